"""Embeddings of sound by a frozen network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any, ClassVar, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted

from skavsc._clips import ClipCache, map_clips, with_rate
from skavsc._sklearn_compat import DocLinkMixin, HasMethods, Interval, StrOptions, _fit_context
from skavsc.audio._transformer import _sources
from skavsc.audio._waveforms import SoundWindows, Windows
from skavsc.exceptions import ModelError
from skavsc.pretrained import (
    CarriesFiles,
    FrozenNetwork,
    describe,
    find_model,
    labels_of,
    open_file,
    open_keras,
)

# Raised whenever the same sound and network give other embeddings.
_VERSION = 1


class AudioEmbedder(
    CarriesFiles, DocLinkMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator
):
    """Embed sound by a frozen pretrained network.

    Sound is mixed to mono and cut into windows, one at each step of ``hop`` seconds, and the
    network turns each window into a vector. It is not trained.

    Parameters
    ----------
    model : str, path-like or keras.Model, default="yamnet"
        The network: a name (see ``skavsc models list``), which is fetched when first
        used; an ``.onnx``, ``.tflite`` or ``.keras`` file; or a Keras model. A file of a named
        network is recognised by its checksum.
    weights : path-like, default=None
        The file of a named network, in place of the published one.
    output : str, default=None
        The name of the output that is the embedding. None is the published one of a named
        network, or the only output.
    duration : float, default=10.0
        Length of a clip in seconds, greater than 0. Longer clips are cut, shorter ones end in
        NaN.
    hop : float, default=0.5
        Seconds from step to step; 1 / hop must be a whole number, so that steps align with
        those of the picture.
    sample_rate : int, default=None
        Sampling rate that the network was trained with, in Hz. Known for named networks,
        required for others.
    window : float, default=None
        Length of sound that makes an embedding, in seconds. Known for named networks, and for
        files that take waveforms of fixed length; required for others.
    front_end : transformer, default=None
        For networks that take spectrograms: turns an array of shape (n_windows, n_samples) into
        what the network takes, by its ``transform``; it is not fitted.
    level : float or None, default=None
        Level in dBFS, at most 0, to which the root mean square of each clip is brought. None
        leaves levels as they are.
    on_error : {"raise", "missing"}, default="raise"
        What to do with sound that cannot be read: raise its MediaError, or return NaN and warn.
    memory : str, path-like or joblib.Memory, default=None
        A folder in which the embeddings of each clip are kept.
    mmap_mode : {"r", "r+", "c"}, default=None
        If given, the result is a memory-mapped file in ``memory``.
    n_jobs : int, default=None
        Number of clips that are processed at the same time, as in joblib; None is 1.
    verbose : bool or int, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    digest_ : str
        Checksum of the network.
    labels_ : ndarray of shape (n_features,) or None
        Class names of the features, where the output is scores of named classes.
    sample_rate_ : int
        Sampling rate in Hz.
    window_ : float
        Length of a window in seconds.
    steps_per_second_ : float
        Number of steps per second.

    See Also
    --------
    TimePooling : Reduce the steps of a clip to one vector.
    ImageEmbedder : The same for pictures.

    Notes
    -----
    Step i is the time from ``i * hop`` to ``(i + 1) * hop``; its window is centred there
    and moved inside the clip at both ends.

    References
    ----------
    S. Hershey et al.: CNN architectures for large-scale audio classification. ICASSP 2017.

    J. Cramer, H.-H. Wu, J. Salamon, J. P. Bello: Look, listen, and learn more: design choices for
    deep audio embeddings. ICASSP 2019.

    Examples
    --------
    A Keras model of one's own:

    >>> import keras, numpy as np
    >>> from skavsc.audio import AudioEmbedder
    >>> inputs = keras.Input((800,))
    >>> model = keras.Model(inputs, keras.layers.Dense(4, name="vector")(inputs))
    >>> embedder = AudioEmbedder(model, sample_rate=8000, duration=1.0)
    >>> embedder.fit_transform([np.sin(np.arange(8000.0)), None]).shape
    (2, 2, 4)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "model": [str, os.PathLike, HasMethods(["predict", "get_config"])],
        "weights": [str, os.PathLike, None],
        "output": [str, None],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "hop": [Interval(Real, 0, 1, closed="right")],
        "sample_rate": [Interval(Integral, 1, None, closed="left"), None],
        "window": [Interval(Real, 0, None, closed="neither"), None],
        "front_end": [HasMethods(["transform"]), None],
        "level": [Interval(Real, None, 0, closed="right"), None],
        "on_error": [StrOptions({"raise", "missing"})],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "mmap_mode": [StrOptions({"r", "r+", "c"}), None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        model: Any = "yamnet",
        *,
        weights: str | os.PathLike[str] | None = None,
        output: str | None = None,
        duration: float = 10.0,
        hop: float = 0.5,
        sample_rate: int | None = None,
        window: float | None = None,
        front_end: Any = None,
        level: float | None = None,
        on_error: Literal["raise", "missing"] = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        mmap_mode: Literal["r", "r+", "c"] | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.model = model
        self.weights = weights
        self.output = output
        self.duration = duration
        self.hop = hop
        self.sample_rate = sample_rate
        self.window = window
        self.front_end = front_end
        self.level = level
        self.on_error = on_error
        self.memory = memory
        self.mmap_mode = mmap_mode
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> AudioEmbedder:
        """Open the network and check that it takes such windows; no file of sound is read.

        Parameters
        ----------
        X : pandas.DataFrame, sequence or array of n_clips sources
            As for ``transform``.
        y : object, default=None
            Ignored.

        Returns
        -------
        AudioEmbedder
            The embedder itself.

        Raises
        ------
        WeightsNotFoundError
            If the network is neither on disk nor to be fetched.
        ModelError
            If it cannot be run, or takes something else.
        """
        _sources(X)
        meant = find_model(self.model, self.weights)
        network = self._opened(meant)
        published = meant.published
        if published is not None and published.modality != "audio":
            raise ModelError(f"model={self.model!r} embeds pictures; use ImageEmbedder")
        rate = None if published is None else published.sample_rate
        self.sample_rate_ = self._agreed("sample_rate", rate, network)
        window = None if published is None else published.window
        if self.front_end is None:
            shape = network.example_shape(1)
            if len(shape) != 1:
                raise ModelError(
                    f"{network.name} takes {describe(network.input)}, which is no waveform; give "
                    f"front_end=, a transformer from waveforms to that"
                )
            if window is None and shape[0] is not None:
                window = shape[0] / self.sample_rate_
        self.window_ = self._agreed("window", window, network)
        self.output_ = network.output_named(meant.output_alias(self.output))
        self.digest_ = network.digest
        self.steps_per_second_ = 1 / self.hop
        windows = self._windows()
        silence = np.zeros((1, windows.window), dtype=np.float32)
        found = embeddings(network, self.output_, silence, self.front_end)
        self._n_features_out = found.shape[1]
        labels = labels_of(meant, network, self.output_, self._n_features_out)
        self.labels_ = None if labels is None else np.array(labels)
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Embed the sound of clips.

        Parameters
        ----------
        X : pandas.DataFrame, sequence or array of n_clips sources
            A clip table with the column ``audio``; or a sequence of paths, waveforms, pairs of
            waveform and rate, or None where there is no sound. Waveforms without a rate have
            that of the network.

        Returns
        -------
        ndarray of shape (n_clips, n_steps, n_features), float32
            NaN where there is no sound.

        Raises
        ------
        MediaError
            If sound cannot be read and ``on_error="raise"``.
        ModelError
            If the network gives NaN.
        WeightsError
            If the network is no longer that of ``fit``.
        """
        check_is_fitted(self, "digest_")
        self._validate_params()
        meant = find_model(self.model, self.weights)
        network = self._opened(meant, self.digest_)
        windows = self._windows()
        extract = SoundEmbedding(
            windows=windows,
            network=network,
            output=self.output_,
            front_end=self.front_end,
            n_steps=int(windows.n_samples / windows.hop + 0.5),
            n_features=self._n_features_out,
        )
        location = getattr(self.memory, "location", self.memory)
        cache = None
        if location is not None:
            params = {
                **vars(windows),
                "network": self.digest_,
                "output": self.output_,
                "front_end": None if self.front_end is None else joblib.hash(self.front_end),
            }
            cache = ClipCache(location, "sound-embedding", _VERSION, params)
        features = map_clips(
            # A Keras model stays in this process, while sound is read ahead in threads.
            extract if meant.is_file else extract.embed,
            _sources(X),
            shape=(extract.n_steps, extract.n_features),
            prepare=None if meant.is_file else windows,
            cache=cache,
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            mmap_mode=self.mmap_mode,
            description="embedding sound",
        )
        return with_rate(features, self.steps_per_second_)

    def _opened(self, meant: Any, digest: str | None = None) -> FrozenNetwork:
        if meant.is_file:
            return open_file(meant.model, digest=digest)
        network = open_keras(meant.model, output=self.output)
        if digest is not None and network.digest != digest:
            raise ModelError(f"model={self.model!r} has changed since fit; fit again")
        return network

    def _agreed(self, name: str, known: Any, network: FrozenNetwork) -> Any:
        """Return a setting that the model fixes or the parameter gives."""
        given = getattr(self, name)
        if known is None and given is None:
            raise ModelError(
                f"{network.name} does not say with which {name} it was trained; give {name}="
            )
        if known is not None and given is not None and abs(known - given) > 1e-9 * known:
            raise ModelError(f"{name}={given!r}, but {network.name} takes {known:g}")
        return given if known is None else known

    def _windows(self) -> SoundWindows:
        rate = self.sample_rate_
        hop = self.hop * rate
        if abs(1 / self.hop - round(1 / self.hop)) > 1e-9 or abs(hop - round(hop)) > 1e-6:
            raise ValueError(
                f"hop={self.hop!r} s must divide a second, and be a whole number of samples at "
                f"{rate} Hz"
            )
        n_samples, window = round(self.duration * rate), round(self.window_ * rate)
        if n_samples < window:
            raise ValueError(
                f"duration={self.duration!r} must be at least the window of the network, "
                f"{self.window_:g} s"
            )
        return SoundWindows(rate, n_samples, window, round(hop), self.level)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = []
        return tags


@dataclass(frozen=True)
class SoundEmbedding:
    """The embeddings of one clip: what joblib's workers run."""

    windows: SoundWindows
    network: FrozenNetwork
    output: str
    front_end: Any
    n_steps: int
    n_features: int

    def __call__(self, source: Any) -> NDArray[np.float32]:
        """Return the embeddings of a source, (n_steps, n_features), float32."""
        return self.embed(self.windows(source))

    def embed(self, windows: Windows) -> NDArray[np.float32]:
        """Return the embeddings of windows, NaN in the steps after them."""
        features = np.full((self.n_steps, self.n_features), np.nan, dtype=np.float32)
        found = embeddings(self.network, self.output, windows, self.front_end)
        if not np.isfinite(found).all():
            loudest = 20 * np.log10(max(float(np.abs(windows).max()), 1e-10))
            raise ModelError(
                f"{self.network.name} gives NaN or infinite values for sound that peaks at "
                f"{loudest:.0f} dBFS; very quiet sound may be the cause: set level=-20"
            )
        n_present = min(len(found), self.n_steps)
        features[:n_present] = found[:n_present]
        return features


def embeddings(
    network: FrozenNetwork, output: str, windows: Windows, front_end: Any
) -> NDArray[np.float32]:
    """Run a network on windows of sound, (n_windows, n_features)."""
    examples = windows if front_end is None else np.asarray(front_end.transform(windows))
    n_axes = examples.ndim - 1
    if front_end is not None:
        # Axes of length 1, such as one channel, may be there or not.
        shape = [size for size in network.input.shape[1:] if size != 1]
        squeezed = examples.reshape(len(examples), *(s for s in examples.shape[1:] if s != 1))
        if len(shape) == squeezed.ndim - 1 and len(network.input.shape) > n_axes:
            examples = squeezed.reshape(
                len(examples), *_with_ones(network.input.shape[1:], squeezed.shape[1:])
            )
    found = network(examples, output)
    return found.reshape(len(found), -1)


def _with_ones(takes: tuple[int | None, ...], given: tuple[int, ...]) -> list[int]:
    """Return the lengths of the axes given, with 1 where the network wants an axis of 1."""
    rest = iter(given)
    return [1 if size == 1 else next(rest) for size in takes]
