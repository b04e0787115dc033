"""The audio network as a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._checks import check_features
from skavsc.classifiers._docs import fill_docstring
from skavsc.pretrained import PRECISIONS
from skavsc.training import ClipFeatures, ModalityFeatures, TrainingSet
from skavsc.training.augmentation import Augmentation, Mixup

if TYPE_CHECKING:
    import keras


@fill_docstring
class AudioSceneClassifier(SceneClassifier):
    """Squeeze-excitation residual network on gammatone or log-mel features.

    The network takes one segment, a second, at a time. In training it gets one random segment of
    every clip per epoch; in prediction the probabilities of a clip are the mean over its segments.

    Parameters
    ----------
    filters : sequence of 3 ints, default=(32, 64, 128)
        Numbers of filters of the three residual blocks, each at least ``reduction``.
    reduction : int, default=2
        Reduction ratio of squeeze and excitation, at least 1.
    dropout : float, default=0.0
        Rate of the dropout after each block, in [0, 1).
    segment_frames : int, default=50
        %(segment_frames)s; at least 4.
    learning_rate : float, default=1e-3
        %(learning_rate)s.
    batch_size : int, default=32
        %(batch_size)s.
    epochs : int, default=200
        Maximum number of epochs.
    patience : int, default=80
        %(patience)s.
    rate_patience : int, default=15
        %(rate_patience)s.
    rate_schedule : {"halving", "cosine"}, default="halving"
        %(rate_schedule)s.
    augmentation : list of Augmentation or "published", default="published"
        %(augmentation)s. ``"published"`` is ``[Mixup(alpha=0.4)]``.
    label_smoothing : float, default=0.0
        %(label_smoothing)s.
    class_weight : dict, "balanced" or None, default=None
        %(class_weight)s.
    validation_fraction : float, default=0.15
        %(validation_fraction)s.
    clean_statistics : bool, default=False
        Whether, after the last epoch, the statistics of batch normalisation are estimated anew
        over random segments of the training clips without augmentation. Those gathered in
        training, used otherwise, are of segments that are augmented, which those to be predicted
        are not.
    starts_per_second : int, default=1
        %(starts_per_second)s.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        %(clip_average)s.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        %(precision)s.
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
        %(history_)s.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        %(keras_classifier_)s.
    feature_shape_ : tuple of (n_clips, n_bands, n_frames, n_channels)
        The shape of X at fit.

    See Also
    --------
    VisualSceneClassifier : The same for the picture.
    SECRNNClassifier : Both, and their fusion.
    skavsc.training.augmentation : Mixup, SpecAugment, FilterAugment and more.

    References
    ----------
    %(paper)s.
    Clean statistics: Izmailov et al., Averaging weights leads to wider optima and better
    generalization, UAI 2018, arXiv 1803.05407.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.classifiers import AudioSceneClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["park", "tram"] * 4)
    >>> X = rng.normal(-40, 4, size=(8, 16, 100, 1))  # 8 clips of 2 s, 16 bands
    >>> X[y == "tram", :8] += 20
    >>> classifier = AudioSceneClassifier(
    ...     filters=(4, 4, 4), learning_rate=0.05, epochs=5, validation_fraction=0, random_state=0
    ... ).fit(X, y)
    >>> classifier.predict(X).tolist()
    ['park', 'tram', 'park', 'tram', 'park', 'tram', 'park', 'tram']
    >>> classifier.predict_proba_segments(X).shape
    (8, 2, 2)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "filters": ["array-like"],
        "reduction": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "segment_frames": [Interval(Integral, 4, None, closed="left")],
        "clean_statistics": ["boolean"],
        "precision": [StrOptions(set(PRECISIONS))],
    }
    modality = "audio"
    _label = "audio"
    _built_in = ("filters", "reduction", "dropout", "segment_frames")
    feature_shape_: tuple[int, ...]

    def __init__(
        self,
        *,
        filters: Sequence[int] = (32, 64, 128),
        reduction: int = 2,
        dropout: float = 0.0,
        segment_frames: int = 50,
        learning_rate: float = 1e-3,
        batch_size: int = 32,
        epochs: int = 200,
        patience: int = 80,
        rate_patience: int = 15,
        rate_schedule: str = "halving",
        augmentation: Sequence[Augmentation] | str = "published",
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        clean_statistics: bool = False,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
        precision: str = "float32",
        runtime: str = "keras",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.filters = filters
        self.reduction = reduction
        self.dropout = dropout
        self.segment_frames = segment_frames
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.rate_patience = rate_patience
        self.rate_schedule = rate_schedule
        self.augmentation = augmentation
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.clean_statistics = clean_statistics
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.precision = precision
        self.runtime = runtime
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _published_augmentation(self) -> list[Augmentation]:
        return [Mixup(alpha=0.4)]

    def _modality_features(self, X: Any, *, reset: bool, stride: int = 1) -> ModalityFeatures:
        """Check the features of the sound."""
        X = check_features(
            X,
            "audio",
            ("clips", "bands", "frames", "channels"),
            segment_frames=self.segment_frames,
            known=None if reset else self.feature_shape_,
        )
        if reset:
            self.feature_shape_ = X.shape
        return ModalityFeatures(X, self.segment_frames, stride)

    def _features(self, X: Any, *, reset: bool) -> ClipFeatures:
        return ClipFeatures({"audio": self._modality_features(X, reset=reset)})

    def _build_network(self, training_set: TrainingSet) -> keras.Model:
        from skavsc.networks import audio_network
        from skavsc.training import momentum_for

        _, n_bands, _, n_channels = self.feature_shape_
        return audio_network(
            len(training_set.classes),
            input_shape=(n_bands, self.segment_frames, n_channels),
            filters=tuple(self.filters),
            reduction=self.reduction,
            dropout=self.dropout,
            batch_norm_momentum=momentum_for(len(training_set.train.rows), self.batch_size),
        )
