"""The visual network as a classifier, alone or with the image network before it."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils import Tags

from skavsc._sklearn_compat import Interval
from skavsc.classifiers._checks import check_features
from skavsc.classifiers._docs import fill_docstring
from skavsc.classifiers._frames import FrameClassifier
from skavsc.training import ClipFeatures, ModalityFeatures, TrainingSet
from skavsc.training.augmentation import Augmentation
from skavsc.visual import ImageEmbedder

if TYPE_CHECKING:
    import keras


@fill_docstring
class VisualSceneClassifier(FrameClassifier):
    """Bidirectional GRU on the embeddings of a clip's frames.

    The network takes the frames of one segment, a second, at a time. In training it gets one
    random segment of every clip per epoch; in prediction the probabilities of a clip are the mean
    over its segments. Where asked, the image network that computes the embeddings is trained with
    it after that.

    Parameters
    ----------
    units : int, default=32
        Number of units of the GRU in each direction.
    dropout : float, default=0.5
        Rate of the dropout before the scores, in [0, 1).
    l2 : float, default=1e-3
        L2 penalty of the kernel of the scores, at least 0.
    scale_frames : bool, default=False
        Whether the features of each frame are scaled to mean 0 and variance 1 first. The
        published network does not; turn it on for image networks whose features are far from
        the order of 1, on which the GRU saturates.
    segment_frames : int, default=5
        %(segment_frames)s; at least 1.
    fine_tune : {"all"} or None, default=None
        What is trained in the last stage: ``"all"``, the image network of the embedder and the
        GRU together; None, nothing.
    embedder : ImageEmbedder, FrozenEstimator or None, default=None
        %(embedder)s.
    learning_rate : float, default=1e-4
        %(learning_rate)s, while the image network is frozen.
    fine_tune_learning_rate : float, default=1e-6
        %(fine_tune_learning_rate)s.
    batch_size : int, default=16
        %(batch_size)s.
    epochs : int, default=200
        Maximum number of epochs, and again in the last stage.
    patience : int, default=40
        %(patience)s.
    rate_patience : int, default=20
        %(rate_patience)s.
    rate_schedule : {"halving", "cosine"}, default="halving"
        %(rate_schedule)s.
    augmentation : list of Augmentation or "published", default="published"
        %(augmentation)s. ``"published"`` is an empty list. Those that change frames take part in
        the last stage only; the others change embeddings before it and frames in it.
    label_smoothing : float, default=0.0
        %(label_smoothing)s.
    class_weight : dict, "balanced" or None, default=None
        %(class_weight)s.
    validation_fraction : float, default=0.15
        %(validation_fraction)s.
    starts_per_second : int, default=1
        %(starts_per_second)s.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        %(clip_average)s.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        %(precision)s. ``"bfloat16"`` is refused without ``fine_tune="all"``.
    runtime : {"keras", "onnxruntime"}, default="keras"
        %(runtime)s.
    warm_start : bool, default=False
        %(warm_start)s.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, crops, augmentation, dropout and the clips held out.
    verbose : int, default=0
        %(verbose)s.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    history_ : dict of str to list of float
        %(history_)s; those of the last stage follow those of the first.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        %(keras_classifier_)s, on embeddings.
    embedder_ : ImageEmbedder
        %(embedder_)s.
    feature_shape_ : tuple of (n_clips, n_frames, n_features)
        The shape of the embeddings at fit.

    See Also
    --------
    AudioSceneClassifier : The same for the sound.
    SECRNNClassifier : Both, and their fusion.
    skavsc.training.augmentation : HorizontalFlip, Brightness and more.

    Notes
    -----
    Without an embedder, X is an array of embeddings (n_clips, n_frames, n_features). With one it
    is frames: what `skavsc.visual.VideoFrameSampler` returns, None for a missing clip, or an array
    (n_clips, n_frames, height, width, 3). Of a structured array the field ``visual`` is used.

    Frames are embedded once for the stage in which the image network does not change. In the last
    one the frames of each clip are decoded once an epoch; they are never all in memory. To build
    a framework on the image network so trained, pass ``SECRNNClassifier(
    visual=FrozenEstimator(fitted), embedder=FrozenEstimator(fitted.embedder_))``.

    References
    ----------
    %(paper)s.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.classifiers import VisualSceneClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["park", "tram"] * 4)
    >>> X = rng.normal(size=(8, 10, 6))  # embeddings of 8 clips of 2 s
    >>> X[y == "tram", :, :3] += 3
    >>> classifier = VisualSceneClassifier(
    ...     units=4, learning_rate=0.1, epochs=5, validation_fraction=0, random_state=0
    ... ).fit(X, y)
    >>> classifier.predict(X).tolist()
    ['park', 'tram', 'park', 'tram', 'park', 'tram', 'park', 'tram']

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
    modality = "visual"
    _label = "visual"
    _built_in = ("units", "dropout", "l2", "scale_frames", "segment_frames")
    feature_shape_: tuple[int, ...]

    def __init__(
        self,
        *,
        units: int = 32,
        dropout: float = 0.5,
        l2: float = 1e-3,
        scale_frames: bool = False,
        segment_frames: int = 5,
        fine_tune: str | None = None,
        embedder: ImageEmbedder | FrozenEstimator | None = None,
        learning_rate: float = 1e-4,
        fine_tune_learning_rate: float = 1e-6,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 40,
        rate_patience: int = 20,
        rate_schedule: str = "halving",
        augmentation: Sequence[Augmentation] | str = "published",
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
        precision: str = "float32",
        runtime: str = "keras",
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
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.precision = precision
        self.runtime = runtime
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _modality_features(
        self, X: Any, frames: list[Any] | None = None, *, reset: bool
    ) -> ModalityFeatures:
        """Check the embeddings of the picture."""
        X = check_features(
            X,
            "visual",
            ("clips", "frames", "features"),
            segment_frames=self.segment_frames,
            known=None if reset else self.feature_shape_,
        )
        if reset:
            self.feature_shape_ = X.shape
        return ModalityFeatures(X, self.segment_frames, frames=frames)

    def _features(self, X: Any, *, reset: bool) -> ClipFeatures:
        if reset:
            if self.precision == "bfloat16" and self.fine_tune is None:
                raise ValueError(
                    'precision="bfloat16" would change nothing: only fine_tune="all" trains on '
                    'frames, the GRU on embeddings is in float32; set precision="auto" or "float32"'
                )
            self._begin(X)
        return ClipFeatures({"visual": self._modality_features(*self._embedded(X), reset=reset)})

    def _build_network(self, training_set: TrainingSet) -> keras.Model:
        from skavsc.networks import visual_network

        return visual_network(
            len(training_set.classes),
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
        on_frames = self.embedder is not None
        tags.input_tags.one_d_array = on_frames
        tags.input_tags.three_d_array = not on_frames
        return tags
