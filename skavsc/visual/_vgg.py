"""VGG16 with its Places365 weights as an embedder."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Literal

import joblib
import numpy as np

from skavsc._sklearn_compat import StrOptions
from skavsc.visual._embedder import ImageEmbedder


class VGGPlacesEmbedder(ImageEmbedder):
    """Describe each frame of a clip by VGG16 trained on Places365: 512 features.

    Parameters
    ----------
    weights : "places365", str, path-like or None, default="places365"
        ``"places365"`` is the file that Keras-VGG16-places365 publishes (59 MB); it is fetched
        when first fitted. A path names a local copy, or other weights of VGG16. None draws
        random weights, with a warning.
    pooling : {"avg", "max"}, default="avg"
        The mean or the maximum of the last maps over positions.
    preprocessing : {"places365", "none"}, default="places365"
        ``"places365"``: blue, green, red minus 104.006, 116.669, 122.679, as in training;
        ``"none"``: RGB of 0 to 255.
    runtime : {"keras", "onnxruntime", "mnn", "auto"}, default="keras"
        What runs the network. Features differ by less than 1e-4 of the largest one.
        ``"auto"`` times those that are installed, in ``fit``, and takes the fastest.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What the layers on maps compute in; weights and features are float32.
        bfloat16 is faster on processors with units for it, and changes features by up to a
        hundredth of the largest one. ``"auto"`` takes it where the processor has them; with
        ``runtime="auto"`` whichever is fastest.
    batch_size : int, default=10
        Number of frames of a clip that go through the network at once, at least 1.
    on_error : {"raise", "missing"}, default="raise"
        What an unreadable video leads to: an error, or a row of NaN and one warning for all.
    memory : path-like, joblib.Memory or None, default=None
        A folder where the features of each clip are kept, keyed by the content of its file,
        the parameters and the weights.
    mmap_mode : {"r", "r+", "c"} or None, default=None
        If given, the result is a memory-mapped file in the folder ``memory``.
    n_jobs : int or None, default=None
        Number of videos that are decoded side by side, ahead of the network.
    verbose : int or bool, default=0
        Whether to show a progress bar.
    random_state : int, RandomState instance or None, default=0
        Determines random weights.

    Attributes
    ----------
    digest_ : str
        The checksum of the network and its weights.
    labels_ : None
        Features of this network are no scores of classes.
    runtime_ : str
        The runtime chosen.
    precision_ : {"float32", "bfloat16"}
        The precision chosen.
    seed_ : int
        The seed of random weights.
    n_steps_ : int or None
        The number of frames of the clips of ``fit``; None if all were missing.

    See Also
    --------
    ImageEmbedder : The same with any image network.
    VideoFrameSampler : Gives the frames of video files.

    References
    ----------
    B. Zhou, A. Lapedriza, A. Khosla, A. Oliva and A. Torralba, "Places: A 10 million image
    database for scene recognition", IEEE TPAMI 40(6), 2018.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc.visual import VGGPlacesEmbedder, VideoFrameSampler
    >>> make_pipeline(VideoFrameSampler(), VGGPlacesEmbedder(runtime="auto"))
    Pipeline(steps=[('videoframesampler', VideoFrameSampler()),
                    ('vggplacesembedder', VGGPlacesEmbedder(runtime='auto'))])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **{
            name: constraint
            for name, constraint in ImageEmbedder._parameter_constraints.items()
            if name not in ("model", "output")
        },
        "preprocessing": [StrOptions({"places365", "none"})],
    }

    #: No parameters here.
    model = "vgg16"
    output = None

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = "places365",
        pooling: str = "avg",
        preprocessing: str = "places365",
        *,
        runtime: str = "keras",
        precision: str = "float32",
        batch_size: int = 10,
        on_error: str = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        mmap_mode: Literal["r", "r+", "c"] | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.weights = weights
        self.pooling = pooling
        self.preprocessing = preprocessing
        self.runtime = runtime
        self.precision = precision
        self.batch_size = batch_size
        self.on_error = on_error
        self.memory = memory
        self.mmap_mode = mmap_mode
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state
