"""From frames to the features of image networks."""

from __future__ import annotations

import os
import warnings
from numbers import Integral
from typing import Any, ClassVar, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import ClipCache, map_clips
from skavsc._sklearn_compat import HasMethods, Interval, StrOptions, _fit_context
from skavsc.exceptions import UntrainedWeightsWarning, WeightsError
from skavsc.pretrained import (
    ARCHITECTURES,
    Compiled,
    KerasNetwork,
    choose_runtime,
    compiled,
    open_keras,
    published_names,
)
from skavsc.visual._frames import ClipFrames
from skavsc.visual._inputs import Clip, decode, frame_sources, preprocess

# To be raised when the values of the features change.
_VERSION = 1


class ImageEmbedder(
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
    auto_wrap_output_keys=None,  # type: ignore[call-arg]
):
    """Describe each frame of a clip by the features of an image network.

    Parameters
    ----------
    network : {"squeezenet11", "vgg16"}, path of a .keras file or keras.Model, \
            default="squeezenet11"
        The network, without a classifying head: from images (n, height, width, 3) to maps
        (n, rows, columns, n_features), or to features (n, n_features).
    weights : str, path-like or None, default=None
        A file of weights, or the name of published ones (``"places365"`` for ``"vgg16"``),
        which are fetched when first fitted. Files are ``.npz`` (arrays ``layer/kernel`` and
        ``layer/bias``), ``.h5`` of Keras 2 or ``.weights.h5`` of Keras 3. None draws random
        weights for a named network, with a warning, and keeps those of a model.
    pooling : {"avg", "max"}, default="avg"
        How maps become features: the mean or the maximum over positions.
    preprocessing : {"auto", "places365", "squeezenet-places365", "none"}, default="auto"
        What images of 0 to 255 go through before (see `skavsc.networks.ImagePreprocessing`).
        ``"auto"`` is what the published weights of a named network want, else ``"none"``.
    runtime : {"keras", "onnxruntime", "mnn", "auto"}, default="keras"
        What runs the network. Features differ by less than 1e-4 of the largest one.
        ``"auto"`` times those that are installed, in ``fit``, and takes the fastest.
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
    runtime_ : str
        The runtime chosen.
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
    Decoding runs in threads ahead of the network. A pickle holds no network: it is built again
    from its weights on first use in a process, and must give the checksum of ``fit``.

    Examples
    --------
    >>> import warnings
    >>> import numpy as np
    >>> from skavsc.visual import ImageEmbedder
    >>> frames = np.zeros((2, 3, 32, 32, 3), dtype=np.uint8)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore")  # no weights at hand
    ...     ImageEmbedder("squeezenet11").fit_transform(frames).shape
    (2, 3, 512)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "network": [str, os.PathLike, HasMethods("get_weights")],
        "weights": [str, os.PathLike, None],
        "pooling": [StrOptions({"avg", "max"})],
        "preprocessing": [StrOptions({"auto", "none", *ARCHITECTURES.values()})],
        "runtime": [StrOptions({"keras", "onnxruntime", "mnn", "auto"})],
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
        network: Any = "squeezenet11",
        *,
        weights: str | os.PathLike[str] | None = None,
        pooling: str = "avg",
        preprocessing: str = "auto",
        runtime: str = "keras",
        batch_size: int = 10,
        on_error: str = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        mmap_mode: Literal["r", "r+", "c"] | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.network = network
        self.weights = weights
        self.pooling = pooling
        self.preprocessing = preprocessing
        self.runtime = runtime
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
            If the weights are neither on disk nor to be downloaded.
        WeightsError
            If they do not fit the network.
        ImportError
            If the packages of the runtime are not installed.
        """
        clips = frame_sources(X)
        self.seed_ = int(check_random_state(self.random_state).randint(2**31))
        if self.weights is None and self.network in list(ARCHITECTURES):
            published = "".join(f", or {name!r}" for name in published_names(self.network))
            warnings.warn(
                f"weights=None: {self.network} has random weights, so its features describe "
                f"little; pass weights=<file of trained ones>{published}",
                UntrainedWeightsWarning,
                stacklevel=2,
            )
        live = open_keras(self.network, self.weights, self.seed_)
        _check_images(live)
        self.digest_ = live.digest
        self.n_steps_ = clips.n_steps
        self._n_features_out = live.model.output_shape[-1]
        size = clips.image_size or (224, 224)
        batch_size = self._batch_size(clips.n_steps)
        self.runtime_ = choose_runtime(live, self._pooling(live), self.runtime, batch_size, size)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed the frames of clips.

        Parameters
        ----------
        X : sequence of n_clips frames
            What a `VideoFrameSampler` gives, or a numeric array of shape (n_clips, steps,
            height, width, 3) or a list of arrays of shape (steps, height, width, 3): RGB of 0 to
            255. None stands for a missing clip, a frame with NaN for a missing frame.

        Returns
        -------
        ndarray of shape (n_clips, steps, n_features), float32
            NaN for missing clips and for frames after the end of a video.

        Raises
        ------
        MediaError
            If a video cannot be read and ``on_error="raise"``.
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
        live = open_keras(self.network, self.weights, self.seed_)
        if live.digest != self.digest_:
            raise WeightsError(
                f"the weights {self.weights!r} of {live.model.name} are not those of fit; fit "
                f"again, or put the former file back"
            )
        size = clips.image_size or (224, 224)
        run = compiled(live, self._pooling(live), self.runtime_, self._batch_size(n_steps), size)
        lenient = self.on_error == "missing" or any(
            isinstance(item, ClipFrames) and item.sampling.on_error == "missing"
            for item in clips.items
        )
        return map_clips(
            lambda clip: self._embed(clip, run, n_steps),
            clips.sources,
            shape=(n_steps, self._n_features_out),
            prepare=decode,
            cache=self._cache(n_steps),
            on_error="missing" if lenient else "raise",
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            mmap_mode=self.mmap_mode,
            description="embedding",
        )

    def _embed(self, clip: Clip, run: Compiled, n_steps: int) -> NDArray[np.float32]:
        frames, valid = clip
        batch_size = self._batch_size(n_steps)
        features = np.full((n_steps, self._n_features_out), np.nan, dtype=np.float32)
        steps = np.flatnonzero(valid)
        for start in range(0, len(steps), batch_size):
            chosen = steps[start : start + batch_size]
            # Always the same number of images: runtimes compile for it.
            batch = np.zeros((batch_size, *frames.shape[1:]), dtype=np.float32)
            batch[: len(chosen)] = preprocess(frames[chosen], self._preprocessing())
            features[chosen] = run(batch)[: len(chosen)]
        return features

    def _batch_size(self, n_steps: int | None) -> int:
        return min(self.batch_size, n_steps or self.batch_size)

    def _pooling(self, live: KerasNetwork) -> str | None:
        return self.pooling if len(live.outputs[0].shape) == 4 else None

    def _preprocessing(self) -> str:
        if self.preprocessing != "auto":
            return self.preprocessing
        named = isinstance(self.network, str)
        return ARCHITECTURES.get(self.network, "none") if named else "none"

    def _cache(self, n_steps: int) -> ClipCache | None:
        location = self.memory.location if isinstance(self.memory, joblib.Memory) else self.memory
        if location is None:
            return None
        params = {
            "network": self.digest_,
            "pooling": self.pooling,
            "preprocessing": self._preprocessing(),
            "runtime": self.runtime_,
            "steps": n_steps,
        }
        return ClipCache(location, "embedding", _VERSION, params)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = True
        tags.transformer_tags.preserves_dtype = []
        return tags


def _check_images(network: KerasNetwork) -> None:
    takes, gives = network.input.shape, network.outputs[0].shape
    if len(takes) != 4 or takes[-1] != 3 or len(gives) not in (2, 4):
        raise WeightsError(
            f"the network {network.name} goes from {takes} to {gives}; it must go from images "
            f"(n, height, width, 3) to maps (n, rows, columns, n_features) or to (n, n_features)"
        )
