"""The audio front end as a scikit-learn transformer."""

from __future__ import annotations

import contextlib
import os
from numbers import Integral, Number, Real
from typing import Any, Literal

import joblib
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils import Tags

from skavsc._clips import ClipCache, clip_sources, map_clips, with_rate
from skavsc._sklearn_compat import DocLinkMixin, HasMethods, Interval, StrOptions, _fit_context
from skavsc.audio._features import CHANNELS, FEATURE_VERSION, SoundFeatures
from skavsc.audio._filterbanks import FILTERBANKS
from skavsc.exceptions import ClipTableError


class GammatoneMelTransformer(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Compute gammatone or log-mel spectrograms of the sound of clips.

    ``filterbank`` chooses which of the two is computed: gammatone by default.

    Parameters
    ----------
    filterbank : {"gammatone", "mel"}, default="gammatone"
        "gammatone": 4th-order gammatone filters on the ERB scale; a value is the level of a
        band's root mean square in a window, in dB relative to a full-scale square wave.
        "mel": triangles on Slaney's mel scale, applied to the power spectrum of a Hann window;
        in dB relative to the largest value of the same channel of the same clip.
    channels : {"lrd", "hpd", "mono", "stereo"}, default="lrd"
        "lrd": left, right, left - right. "hpd": harmonic and percussive part of the mono mix,
        separated by median filters, and left - right. "mono": (left + right) / 2. "stereo":
        left, right. A mono clip has equal left and right, and left - right at the floor. The
        channels of a file with more than two are mixed to left and right by their names, as in
        :func:`skavsc.media.read_sound`; of a waveform in memory the first two are used.
    sample_rate : int, default=44100
        Rate in Hz, at least 1, that sound is resampled to. Waveforms in memory that come
        without a rate have this one.
    duration : float, default=10.0
        Length of a clip in seconds, greater than 0. Longer clips are cut at the end.
    n_bands : int, default=64
        Number of bands, at least 1.
    window : float, default=0.04
        Length of a window in seconds, greater than 0, a whole number of samples.
    hop : float, default=0.02
        Time between two time frames in seconds, greater than 0, a whole number of samples.
    f_min : float, default=0.0
        Lowest frequency in Hz, at least 0: the centre of the lowest band (gammatone) or the
        lower edge of the first triangle (mel).
    f_max : float, default=None
        Highest frequency in Hz, greater than ``f_min`` and at most half of ``sample_rate``,
        which is the default. The centre of the highest gammatone band lies one step below.
    floor_db : float, default=None
        Smallest value in dB, less than 0. The default is -120 for gammatone and -80
        (librosa's ``top_db``) for mel.
    on_error : {"raise", "missing"}, default="raise"
        What to do with sound that cannot be read: raise MediaError, or return a row of NaN and
        warn once with the number of such clips.
    memory : path-like or joblib.Memory, default=None
        Folder to cache the features of each clip in, keyed by the content of its file and by
        the parameters. An interrupted extraction resumes where it was.
    mmap_mode : {"r", "r+", "c"}, default=None
        Mode in which the result is memory-mapped from a file in ``memory``. None returns an
        array in memory.
    n_jobs : int, default=None
        Number of joblib workers. None means 1 unless in a ``joblib.parallel_config`` context.
    verbose : int or bool, default=0
        Whether to show a progress bar.

    Attributes
    ----------
    centre_frequencies_ : ndarray of shape (n_bands,), float64
        Centre frequency of each band in Hz: falling for gammatone, rising for mel.
    frame_times_ : ndarray of shape (n_frames,), float64
        Centre of each time frame in seconds from the beginning of the clip.
    frames_per_second_ : float
        Number of time frames per second, ``1 / hop``.
    channel_names_ : tuple of str
        Name of each channel.

    See Also
    --------
    plot_clip : Plot the features of a clip with hertz and seconds on the axes.
    skavsc.TimePooling : Reduce features to statistics over time, one row per clip.
    skavsc.media.read_sound : Read the sound of a file.

    Notes
    -----
    *Time frames.* A clip has ``duration / hop`` time frames, rounded. Gammatone frame i is the
    window that begins at ``i * hop``; 10 s hold 499 whole windows, and the last one is repeated
    as the 500th frame. Mel frame i is the window centred on ``i * hop``, with zeros beyond the
    ends of the clip; the frame at the very end of a clip is only used for its largest value.
    Filters start at rest.

    *Missing values.* A clip shorter than ``duration`` has as many time frames as hops, rounded
    to the nearest; the remaining ones are NaN. A clip shorter than one window raises MediaError.
    A missing source (None or NaN) is a row of NaN.

    *Reference values.* Gammatone values are those of ``gammatone.gtgram`` [1]_ [2]_ in dB, to
    1e-4 dB, or the floor where these are less. Mel values are those of ``librosa.power_to_db``
    with ``ref=numpy.max`` and ``top_db=-floor_db`` of ``librosa.feature.melspectrogram`` [3]_, to
    1e-4 dB, except for silence: a channel with no power above 1e-10 is at the floor, where
    librosa has 0.

    *Harmonic and percussive* parts are separated in the short-time spectrum of the log-mel
    features, as by ``librosa.decompose.hpss``. For gammatone features they are converted back to
    signals.

    *Compilation.* The inner loops are compiled when first used on a machine, which takes about
    4 s, and cached on disk beside the package or in the folder that the environment variable
    ``NUMBA_CACHE_DIR`` names. Where neither can be written, every process compiles them again,
    after a CacheWarning.

    Waveforms in memory are arrays of shape (n_samples,) or (n_channels, n_samples), or pairs of
    such an array and its rate in Hz. Full scale is 1 for floats; signed integers are PCM and
    are divided by the full scale of their type.

    References
    ----------
    .. [1] M. Slaney, "An efficient implementation of the Patterson-Holdsworth auditory filter
       bank", Apple Computer technical report 35, 1993.
    .. [2] J. Heeris, "gammatone", https://github.com/detly/gammatone.
    .. [3] B. McFee et al., "librosa: Audio and music signal analysis in Python", Proc. 14th
       Python in Science Conf., 2015.
    .. [4] J. Naranjo-Alcazar et al., "Squeeze-Excitation convolutional recurrent neural networks
       for audio-visual scene classification", arXiv:2107.13180, 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.audio import GammatoneMelTransformer
    >>> tone = np.sin(2 * np.pi * 440 * np.arange(44100) / 44100)
    >>> transformer = GammatoneMelTransformer(duration=1.0)
    >>> features = transformer.fit_transform([tone, None])
    >>> features.shape, features.dtype
    ((2, 64, 50, 3), dtype('float32'))
    >>> loudest = features[0, :, 25, 0].argmax()
    >>> round(float(transformer.centre_frequencies_[loudest]))
    440
    """

    _parameter_constraints: dict[str, list[Any]] = {  # noqa: RUF012
        "filterbank": [StrOptions(set(FILTERBANKS))],
        "channels": [StrOptions(set(CHANNELS))],
        "sample_rate": [Interval(Integral, 1, None, closed="left")],
        "duration": [Interval(Real, 0, None, closed="neither")],
        "n_bands": [Interval(Integral, 1, None, closed="left")],
        "window": [Interval(Real, 0, None, closed="neither")],
        "hop": [Interval(Real, 0, None, closed="neither")],
        "f_min": [Interval(Real, 0, None, closed="left")],
        "f_max": [Interval(Real, 0, None, closed="neither"), None],
        "floor_db": [Interval(Real, None, 0, closed="neither"), None],
        "on_error": [StrOptions({"raise", "missing"})],
        "memory": [str, os.PathLike, HasMethods(["cache"]), None],
        "mmap_mode": [StrOptions({"r", "r+", "c"}), None],
        "n_jobs": [Integral, None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        filterbank: str = "gammatone",
        channels: Literal["lrd", "hpd", "mono", "stereo"] = "lrd",
        *,
        sample_rate: int = 44_100,
        duration: float = 10.0,
        n_bands: int = 64,
        window: float = 0.04,
        hop: float = 0.02,
        f_min: float = 0.0,
        f_max: float | None = None,
        floor_db: float | None = None,
        on_error: Literal["raise", "missing"] = "raise",
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        mmap_mode: Literal["r", "r+", "c"] | None = None,
        n_jobs: int | None = None,
        verbose: int | bool = 0,
    ) -> None:
        self.filterbank = filterbank
        self.channels = channels
        self.sample_rate = sample_rate
        self.duration = duration
        self.n_bands = n_bands
        self.window = window
        self.hop = hop
        self.f_min = f_min
        self.f_max = f_max
        self.floor_db = floor_db
        self.on_error = on_error
        self.memory = memory
        self.mmap_mode = mmap_mode
        self.n_jobs = n_jobs
        self.verbose = verbose

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any = None) -> GammatoneMelTransformer:
        """Validate the parameters; nothing is learnt from the clips and no file is read.

        Parameters
        ----------
        X : pandas.DataFrame, sequence or array of n_clips sources
            As for ``transform``.
        y : object, default=None
            Ignored.

        Returns
        -------
        GammatoneMelTransformer
            The transformer itself.
        """
        extract = self._extractor()
        _sources(X)
        bank = FILTERBANKS[self.filterbank]
        self.centre_frequencies_ = bank.centres(
            self.sample_rate, extract.n_bands, extract.f_min, extract.f_max
        )
        # Windows of a spectrum are centred on their time, others begin there.
        first = extract.window / 2 if bank.triangles is None else 0.0
        self.frame_times_ = (first + np.arange(extract.n_frames) * extract.hop) / self.sample_rate
        self.frames_per_second_ = self.sample_rate / extract.hop
        self.channel_names_ = CHANNELS[self.channels]
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Compute the features of every clip.

        Parameters
        ----------
        X : pandas.DataFrame, sequence or array of n_clips sources
            A clip table with the column ``audio``; or a sequence of paths, waveforms, pairs of
            waveform and rate, or None where there is no sound; or an array of shape (n_clips,
            n_samples).

        Returns
        -------
        ndarray of shape (n_clips, n_bands, n_frames, n_channels), float32
            The features in dB; NaN where there is no sound. The bands are in the order of
            ``centre_frequencies_``.

        Raises
        ------
        MediaError
            If sound cannot be read and ``on_error="raise"``; the message names the file, what
            failed and the cause.
        ClipTableError
            If the clip table has no column ``audio`` or X is not a sequence of sources.
        """
        self._validate_params()
        extract = self._extractor()
        location = getattr(self.memory, "location", self.memory)
        cache = None
        if location is not None:
            cache = ClipCache(location, "sound", FEATURE_VERSION, extract.parameters())
        features = map_clips(
            extract,
            _sources(X),
            shape=(extract.n_bands, extract.n_frames, len(CHANNELS[self.channels])),
            cache=cache,
            on_error=self.on_error,
            n_jobs=self.n_jobs,
            verbose=self.verbose,
            mmap_mode=self.mmap_mode,
            description="sound",
        )
        return with_rate(features, self.sample_rate / extract.hop)

    def _extractor(self) -> SoundFeatures:
        """Return the function of one clip, with all defaults resolved."""
        nyquist = self.sample_rate / 2
        f_max = nyquist if self.f_max is None else float(self.f_max)
        if not self.f_min < f_max <= nyquist:
            raise ValueError(
                f"f_min={self.f_min!r} and f_max={self.f_max!r} must satisfy f_min < f_max <= "
                f"{nyquist:g} Hz, half of sample_rate={self.sample_rate!r}"
            )
        window = self._samples("window")
        hop = self._samples("hop")
        n_samples = round(self.duration * self.sample_rate)
        if n_samples < window:
            raise ValueError(f"duration={self.duration!r} must be at least window={self.window!r}")
        return SoundFeatures(
            filterbank=self.filterbank,
            channels=self.channels,
            sample_rate=int(self.sample_rate),
            n_samples=n_samples,
            n_bands=int(self.n_bands),
            window=window,
            hop=hop,
            f_min=float(self.f_min),
            f_max=f_max,
            floor_db=float(
                FILTERBANKS[self.filterbank].floor_db if self.floor_db is None else self.floor_db
            ),
        )

    def _samples(self, name: str) -> int:
        """Convert a parameter in seconds to a number of samples."""
        seconds = getattr(self, name)
        samples = seconds * self.sample_rate
        # With a rounded hop, time frames would drift away from the picture.
        if round(samples) < 1 or abs(samples - round(samples)) > 1e-6 * samples:
            raise ValueError(
                f"{name}={seconds!r} s is {samples:g} samples at sample_rate="
                f"{self.sample_rate!r}; it must be a whole number of samples"
            )
        return round(samples)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        tags.input_tags.string = True
        tags.input_tags.three_d_array = True
        # The features are float32 whatever the waveforms are.
        tags.transformer_tags.preserves_dtype = []
        return tags


def _sources(X: Any) -> list[Any]:
    """Return one source a clip; raise for what cannot be a sequence of sources."""
    if issparse(X):
        raise TypeError("X is a sparse matrix; waveforms must be dense, use X.toarray()")
    if hasattr(X, "__array__") and not hasattr(X, "__iter__"):
        X = np.asarray(X)
    if isinstance(X, np.ndarray) and X.dtype == object and X.ndim == 2 and X.shape[1] > 1:
        # Waveforms of equal length, unless they are several columns of paths.
        with contextlib.suppress(TypeError, ValueError):
            X = X.astype(np.float64)
    sources = clip_sources(X, "audio")
    for number, source in enumerate(sources):
        if isinstance(source, Number | np.generic | bytes) and not isinstance(source, str):
            raise ClipTableError(
                f"clip {number} of X is {source!r}, and not a path, a waveform or None. "
                f"Reshape your data to (n_clips, n_samples), or put a single waveform into a "
                f"list: [waveform]"
            )
    return sources
