"""From frames to the features of image networks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from numbers import Integral
from typing import Any, ClassVar, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import ClipCache, map_clips, with_rate
from skavsc._sklearn_compat import DocLinkMixin, HasMethods, Interval, StrOptions, _fit_context
from skavsc.exceptions import ModelError, UntrainedWeightsWarning, WeightsError
from skavsc.pretrained import ARCHITECTURES, PRECISIONS, CarriesFiles, published_names
from skavsc.visual._frames import Clip, ClipFrames, decode, frame_sources
from skavsc.visual._image_network import ImageNetwork

# To be raised when the values of the features change.
_VERSION = 2


class ImageEmbedder(
    CarriesFiles,
    DocLinkMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Describe each frame of a clip by the features of an image network.

    Parameters
    ----------
    model : str, path-like or keras.Model
        The network: a published one by its name, such as ``"efficientnet-lite0"`` or
        ``"clip-vit-base-patch32"``, which is fetched when first fitted; an ``.onnx``,
        ``.tflite`` or ``.keras`` file; a Keras model; or ``"vgg16"`` or ``"squeezenet11"`` with
        a file of ``weights``. Layout, type, batch and size of its images are read from it.
    weights : str, path-like or None, default=None
        For ``"vgg16"``, ``"squeezenet11"`` and Keras models: a file of weights, or the name of
        published ones (``"places365"`` for ``"vgg16"``). Files are ``.npz`` (arrays
        ``layer/kernel`` and ``layer/bias``), ``.h5`` of Keras 2 or ``.weights.h5`` of Keras 3.
        None draws random weights for the two, with a warning, and keeps those of a model. For
        another published network: its file, in place of the one that is fetched.
    output : str or None, default=None
        The name of the output that is the embedding, in a ``.tflite`` file also of a tensor
        inside. None is the published embedding or the only output.
    pooling : {"avg", "max"}, default="avg"
        How maps become features: the mean or the maximum over positions.
    preprocessing : {"auto", "imagenet", "clip", "places365", "squeezenet-places365", "none"} \
            or pair of (mean, scale), default="auto"
        How RGB of 0 to 255 is prepared (see `skavsc.networks.ImagePreprocessing`); a pair, of
        three numbers each, is (image - mean) / scale. ``"auto"`` is what a published network
        wants, and ``"none"`` for Keras models and for files that take uint8; other files need it
        said.
    runtime : {"keras", "onnxruntime", "mnn", "auto"} or None, default=None
        What runs a Keras network; None is Keras. Features differ by less than 1e-4 of the
        largest one. ``"auto"`` times those that are installed, in ``fit``, and takes the
        fastest; an installed one that does not start is skipped with a warning. Files are run by
        onnxruntime (``.onnx``) and LiteRT (``.tflite``).
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        What the layers on maps of a Keras network compute in; weights and features are float32.
        bfloat16 is faster on processors with units for it, and changes features by up to a
        hundredth of the largest one. ``"auto"`` takes it where the processor has them; with
        ``runtime="auto"`` whichever is fastest.
    batch_size : int, default=10
        Number of frames of a clip that go through the network at once, at least 1. A file of a
        fixed batch is run in turns of that many.
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
    labels_ : ndarray of shape (n_features,) or None
        The class names, where the output is scores of classes and the names are known.
    runtime_ : str
        The runtime chosen; ``"litert"`` for ``.tflite`` files.
    precision_ : {"float32", "bfloat16"}
        The precision chosen.
    seed_ : int
        The seed of random weights.
    n_steps_ : int or None
        The number of frames of the clips of ``fit``; None if all were missing.

    See Also
    --------
    VGGPlacesEmbedder : The same with VGG16 and its Places365 weights.
    VideoFrameSampler : Gives the frames of video files.

    Notes
    -----
    Decoding runs in threads ahead of the network. A pickle of a fitted embedder carries the files
    that it names, for machines that lack them. The network is built from them on first use in a
    process, and must give the checksum of ``fit``.

    Examples
    --------
    A model of one's own, that gives the mean colours of an image:

    >>> import keras
    >>> import numpy as np
    >>> from skavsc.visual import ImageEmbedder
    >>> images = keras.Input((None, None, 3))
    >>> model = keras.Model(images, keras.layers.GlobalAveragePooling2D()(images))
    >>> frames = np.full((2, 3, 32, 32, 3), (10, 20, 30), dtype=np.uint8)
    >>> ImageEmbedder(model).fit_transform(frames)[0]
    array([[10., 20., 30.],
           [10., 20., 30.],
           [10., 20., 30.]], dtype=float32)

    A published network, on files:

    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc.visual import VideoFrameSampler
    >>> make_pipeline(VideoFrameSampler(), ImageEmbedder("clip-vit-base-patch32"))
    Pipeline(steps=[('videoframesampler', VideoFrameSampler()),
                    ('imageembedder', ImageEmbedder(model='clip-vit-base-patch32'))])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [str, os.PathLike, HasMethods("get_weights")],
        "weights": [str, os.PathLike, None],
        "output": [str, None],
        "pooling": [StrOptions({"avg", "max"})],
        "preprocessing": [
            StrOptions({"auto", "none", "imagenet", "clip", *ARCHITECTURES.values()}),
            tuple,
            list,
        ],
        "runtime": [StrOptions({"keras", "onnxruntime", "mnn", "auto"}), None],
        "precision": [StrOptions(set(PRECISIONS))],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "on_error": [StrOptions({"raise", "missing"})],
        "memory": [str, os.PathLike, joblib.Memory, None],
        "mmap_mode": [StrOptions({"r", "r+", "c"}), None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        model: Any,
        *,
        weights: str | os.PathLike[str] | None = None,
        output: str | None = None,
        pooling: str = "avg",
        preprocessing: Any = "auto",
        runtime: str | None = None,
        precision: str = "float32",
        batch_size: int = 10,
        on_error: str = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        mmap_mode: Literal["r", "r+", "c"] | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.model = model
        self.weights = weights
        self.output = output
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

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> ImageEmbedder:
        """Find the weights, build the network and choose the runtime; nothing is learnt.

        Parameters
        ----------
        X : sequence of n_clips frames
            As for ``transform``. It is not decoded.
        y : None
            Ignored.

        Returns
        -------
        ImageEmbedder
            This object.

        Raises
        ------
        WeightsNotFoundError
            If the network or its weights are neither on disk nor to be downloaded.
        ModelError
            If the model is no image network, takes images of another size, or a parameter does
            not go with it; or the runtime cannot do the precision.
        WeightsError
            If the weights do not fit the network.
        ImportError
            If the packages of the runtime are not installed.

        Warns
        -----
        RuntimeSkippedWarning
            If ``runtime="auto"`` and an installed runtime does not start.
        UntrainedWeightsWarning
            If the weights of an architecture are random.
        """
        clips = frame_sources(X)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))
        if self.weights is None and self.model in list(ARCHITECTURES):
            published = "".join(f", or {name!r}" for name in published_names(self.model))
            warnings.warn(
                f"weights=None: {self.model} has random weights, so its features describe "
                f"little; pass weights=<file of trained ones>{published}",
                UntrainedWeightsWarning,
                stacklevel=2,
            )
        opened = self.open_network()
        size = opened.size_for(clips.image_size)
        batch_size = self._batch_size(opened, clips.n_steps)
        self.digest_ = opened.network.digest
        self.n_steps_ = clips.n_steps
        self.runtime_, self.precision_ = opened.choose_runtime(
            self.runtime, self.precision, batch_size, size
        )
        self._n_features_out = opened.n_features(size)
        self.labels_ = opened.labels(self._n_features_out)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed the frames of clips.

        Parameters
        ----------
        X : sequence of n_clips frames
            What a `VideoFrameSampler` gives, or a numeric array of shape (n_clips, steps,
            height, width, 3) or a list of arrays of shape (steps, height, width, 3): RGB of 0 to
            255. None is a missing clip, a frame with NaN a missing frame.

        Returns
        -------
        ndarray of shape (n_clips, steps, n_features), float32
            NaN for missing clips and for frames after the end of a video.

        Raises
        ------
        MediaError
            If a video cannot be read and ``on_error="raise"``.
        ModelError
            If images have another size than the network takes, or it gives NaN.
        ClipTableError
            If X is of another form, or images differ in size.
        WeightsError
            If the weights are no longer those of ``fit``.
        """
        check_is_fitted(self, "digest_")
        self._validate_params()
        clips = frame_sources(X)
        n_steps = clips.n_steps or self.n_steps_
        if n_steps is None:
            raise ValueError(
                "all clips are missing, here and in fit, so that the number of frames is "
                "unknown; drop these clips"
            )
        opened = self.open_network()
        if opened.network.digest != self.digest_:
            raise WeightsError(
                f"the weights of {opened.network.name} are not those of fit; fit again, or put the "
                f"former file back"
            )
        size = opened.size_for(clips.image_size)
        batch_size = self._batch_size(opened, n_steps)
        run = opened.function(self.runtime_, self.precision_, batch_size, size)
        lenient = self.on_error == "missing" or any(
            isinstance(item, ClipFrames) and item.sampling.on_error == "missing"
            for item in clips.items
        )
        features = map_clips(
            lambda clip: _embed(clip, run, (n_steps, self._n_features_out), batch_size, opened),
            clips.sources,
            shape=(n_steps, self._n_features_out),
            prepare=decode,
            cache=self._cache(opened, n_steps),
            on_error="missing" if lenient else "raise",
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            mmap_mode=self.mmap_mode,
            description="embedding",
        )
        rates = {item.sampling.fps for item in clips.items if isinstance(item, ClipFrames)}
        return with_rate(features, rates.pop()) if len(rates) == 1 else features

    def open_network(self) -> ImageNetwork:
        """Open the network, or return it as it is open.

        Returns
        -------
        ImageNetwork
            With ``network``, a `skavsc.pretrained.FrozenNetwork`, and how images get into it and
            features out of it: ``mode``, ``keras_pooling``.

        Raises
        ------
        NotFittedError
            If the embedder is not fitted.
        """
        check_is_fitted(self, "seed_")
        return ImageNetwork.open(
            self.model, self.weights, self.output, self.pooling, self.preprocessing, self.seed_
        )

    def _batch_size(self, opened: ImageNetwork, n_steps: int | None) -> int:
        return opened.batch_size(min(self.batch_size, n_steps or self.batch_size))

    def _cache(self, opened: ImageNetwork, n_steps: int) -> ClipCache | None:
        location = self.memory.location if isinstance(self.memory, joblib.Memory) else self.memory
        if location is None:
            return None
        params = {
            "network": self.digest_,
            "output": opened.output,
            "pooling": self.pooling,
            "preprocessing": opened.mode,
            "runtime": self.runtime_,
            "steps": n_steps,
        }
        # Not in the key for float32, so that features kept before there was a choice are found.
        if self.precision_ != "float32":
            params["precision"] = self.precision_
        return ClipCache(location, "embedding", _VERSION, params)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _embed(
    clip: Clip,
    run: Callable[[NDArray[Any]], NDArray[np.float32]],
    shape: tuple[int, int],
    batch_size: int,
    opened: ImageNetwork,
) -> NDArray[np.float32]:
    frames, valid = clip
    features = np.full(shape, np.nan, dtype=np.float32)
    steps = np.flatnonzero(valid)
    for start in range(0, len(steps), batch_size):
        chosen = steps[start : start + batch_size]
        # Always the same number of images: runtimes compile for it.
        batch = np.zeros((batch_size, *frames.shape[1:]), dtype=frames.dtype)
        batch[: len(chosen)] = frames[chosen]
        features[chosen] = run(batch)[: len(chosen)]
    broken = steps[~np.isfinite(features[steps]).all(axis=1)]
    if len(broken):
        raise ModelError(
            f"{opened.network.name} gives NaN or infinity for frame {broken[0]} of a clip; are "
            f"its images prepared as it wants, here preprocessing={opened.mode!r}?"
        )
    return features
