"""The visual network as a classifier, alone or with the image network before it."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils import Tags

from skavsc._sklearn_compat import Interval
from skavsc.classifiers._data import TrainingSet, check_features
from skavsc.classifiers._frames import FrameClassifier
from skavsc.classifiers._streams import ClipStreams, Stream
from skavsc.visual import ImageEmbedder


class VisualSceneClassifier(FrameClassifier):
    """Bidirectional GRU on the embeddings of a clip's frames.

    The network sees the frames of one second at a time. In training it gets one random second
    of every clip an epoch; in prediction the probabilities of a clip are the mean over its
    seconds. Where asked, the image network that makes the embeddings is trained with it after
    that.

    Parameters
    ----------
    units : int, default=32
        The units of the GRU in each direction.
    dropout : float, default=0.5
        The rate of the dropout before the scores, in [0, 1).
    l2 : float, default=1e-3
        The L2 penalty of the kernel of the scores, at least 0.
    scale_frames : bool, default=False
        Whether the features of each frame are brought to mean 0 and variance 1 first. The
        published network does not; turn it on for image networks whose features are far from
        the order of 1, on which the GRU saturates.
    segment_frames : int, default=5
        The frames of one second, at least 1.
    fine_tune : {"all"} or None, default=None
        What is trained in the last step: ``"all"`` the image network and the GRU together (X then
        holds frames, see ``embedder``), None nothing.
    embedder : ImageEmbedder or None, default=None
        What turns frames into embeddings, and gives the image network that ``fine_tune="all"``
        trains; it is cloned. With an embedder X holds frames, without one embeddings. None is a
        VGGPlacesEmbedder with ``fine_tune="all"``, else no embedder.
    learning_rate : float, default=1e-4
        The learning rate of Adam at the start, while the image network is frozen.
    fine_tune_learning_rate : float, default=1e-6
        The learning rate of Adam at the start, in the last step.
    batch_size : int, default=16
        The most clips in a batch; batches of an epoch are of nearly equal size.
    epochs : int, default=200
        The most epochs to train, and again in the last step.
    patience : int, default=40
        The epochs without a lower validation loss after which a step ends. The weights of the
        best epoch are restored.
    rate_patience : int, default=20
        The epochs without a lower validation loss after which the learning rate is halved.
    rate_schedule : {"halving", "cosine"}, default="halving"
        How the learning rate falls. "halving": by half where the validation loss does, as
        published. "cosine": from its start to 0 over all ``epochs`` along half a cosine, which
        needs no validation; with ``validation_fraction=0`` it trains on every clip. Better for
        sets whose held-out clips are too few to judge by.
    mixup_alpha : float, default=0.0
        The parameter of the beta distribution of mixup, at least 0; 0 turns mixup off. In the
        last step frames are mixed, before that embeddings.
    flip : bool, default=False
        Whether the frames of half of the examples are mirrored, left to right, in the last step;
        only with ``fine_tune="all"``.
    brightness : float, default=0.0
        By how much frames are made brighter or darker at most in the last step: the factor is
        random within 1 +/- brightness, in [0, 1]; only with ``fine_tune="all"``.
    label_smoothing : float, default=0.0
        How much of each target is spread over all classes, in [0, 1).
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes, as in scikit-learn.
    validation_fraction : float, default=0.15
        About how much of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept.
    starts_per_second : int, default=1
        How many of the seconds that a clip is judged by begin in each second of it. 1: one follows
        the other, as published; more: they overlap. It must divide the ``segment_frames``.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        The mean over the seconds of a clip that gives its probabilities: of probabilities, as
        published, or of their logarithms (then scaled to sum to 1), in which a second that is
        sure that it is not a class counts as much as one that is sure that it is.
    warm_start : bool, default=False
        Whether fit goes on from the weights of the last fit. The parameters of the network must
        be those that it was built with; others, such as the learning rate, may change.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, crops, mixup, dropout and the clips held out.
    verbose : int, default=0
        Whether to write a line an epoch to the error stream.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    history_ : dict of str to list of float
        The loss and accuracy after each epoch, in training and validation; those of the last step
        follow those of the first.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        The wrapped network on embeddings; the Keras model is its ``model_``.
    embedder_ : ImageEmbedder
        What turns frames into embeddings; after ``fine_tune="all"`` with the image network that
        was trained. Only if X held frames.
    feature_shape_ : tuple of (n_clips, n_frames, n_features)
        The shape of the embeddings at fit.

    See Also
    --------
    AudioSceneClassifier : The same for the sound.
    SECRNNClassifier : Both, and their fusion.

    Notes
    -----
    X is an array of embeddings (n_clips, n_frames, n_features). With an embedder it is frames:
    what `skavsc.visual.VideoFrameSampler` gives, None for a missing clip, or an array (n_clips,
    n_frames, height, width, 3). Of a structured array the field ``visual`` is used.

    Frames are embedded once for the step in which the image network does not change. In the last
    one the frames of each clip are decoded once an epoch; they are never all in memory. To build
    a framework on the image network so trained, pass
    ``SECRNNClassifier(visual=FrozenEstimator(fitted))``.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> from skavsc.classifiers import VisualSceneClassifier
    >>> VisualSceneClassifier(learning_rate=1e-3, epochs=60)
    VisualSceneClassifier(epochs=60, learning_rate=0.001)

    From video files, the image network trained too:

    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc.visual import VGGPlacesEmbedder, VideoFrameSampler
    >>> classifier = VisualSceneClassifier(fine_tune="all", embedder=VGGPlacesEmbedder())
    >>> pipeline = make_pipeline(VideoFrameSampler(), classifier)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **FrameClassifier._parameter_constraints,
        "units": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "scale_frames": ["boolean"],
        "segment_frames": [Interval(Integral, 1, None, closed="left")],
    }
    _modality = "visual"
    _built_in = ("units", "dropout", "l2", "scale_frames", "segment_frames")
    feature_shape_: tuple[int, ...]
    _mixed = ("visual",)

    def __init__(
        self,
        *,
        units: int = 32,
        dropout: float = 0.5,
        l2: float = 1e-3,
        scale_frames: bool = False,
        segment_frames: int = 5,
        fine_tune: str | None = None,
        embedder: ImageEmbedder | None = None,
        learning_rate: float = 1e-4,
        fine_tune_learning_rate: float = 1e-6,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 40,
        rate_patience: int = 20,
        rate_schedule: str = "halving",
        mixup_alpha: float = 0.0,
        flip: bool = False,
        brightness: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.units = units
        self.dropout = dropout
        self.l2 = l2
        self.scale_frames = scale_frames
        self.segment_frames = segment_frames
        self.fine_tune = fine_tune
        self.embedder = embedder
        self.learning_rate = learning_rate
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.rate_patience = rate_patience
        self.rate_schedule = rate_schedule
        self.mixup_alpha = mixup_alpha
        self.flip = flip
        self.brightness = brightness
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _stream(self, X: Any, *, reset: bool, stride: int = 1) -> Stream:
        """Check the features of the picture."""
        X = check_features(
            X,
            "visual",
            ("clips", "frames", "features"),
            segment_frames=self.segment_frames,
            known=None if reset else self.feature_shape_,
        )
        if reset:
            self.feature_shape_ = X.shape
        return Stream(X, self.segment_frames, stride)

    def _streams(self, X: Any, *, reset: bool) -> ClipStreams:
        if reset:
            self._begin(X)
        features, frames = self._embedded(X)
        return ClipStreams({"visual": self._stream(features, reset=reset).made_of(frames)})

    def _builder(self, training: TrainingSet) -> Callable[[], Any]:
        from skavsc.networks import visual_network

        return functools.partial(
            visual_network,
            len(training.classes),
            backbone=None,
            n_frames=self.segment_frames,
            n_features=self.feature_shape_[-1],
            units=self.units,
            dropout=self.dropout,
            l2=self.l2,
            scale_frames=self.scale_frames,
        )

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        on_frames = self.embedder is not None or self.fine_tune == "all"
        tags.input_tags.one_d_array = on_frames
        tags.input_tags.three_d_array = not on_frames
        return tags
