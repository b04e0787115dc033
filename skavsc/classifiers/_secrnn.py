"""The full framework: both subnetworks, then their fusion, then all together."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from skavsc.classifiers._audio import AudioSceneClassifier
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._data import LabelledClips, TrainingSet
from skavsc.classifiers._streams import ClipStreams, Stream
from skavsc.classifiers._visual import VisualSceneClassifier
from skavsc.exceptions import MissingModalityError


class SECRNNClassifier(SceneClassifier):
    """Squeeze-excitation convolutional recurrent network on sound and picture.

    Trains the audio network, then the visual network, then with both frozen their fusion, and
    at last, where asked, everything together. The same clips are held out in every step.

    Parameters
    ----------
    audio : AudioSceneClassifier, FrozenEstimator or None, default=None
        The classifier of the sound. It is cloned and trained first; one that is trained already
        is passed as ``FrozenEstimator(fitted)`` and used as it is. None is an
        AudioSceneClassifier with its defaults.
    visual : VisualSceneClassifier, FrozenEstimator or None, default=None
        The classifier of the picture, likewise.
    fusion : {"late", "early"}, default="late"
        Early fusion joins the inner features of both networks in a bidirectional GRU; late
        fusion joins the probabilities of early fusion and of both networks in a softmax layer.
    fine_tune : {"heads"} or None, default=None
        What is trained in the last step: ``"heads"`` both subnetworks and the fusion (all but
        the image network, which is not part of the features' way), None nothing.
    units : int, default=64
        The units of the GRU of early fusion in each direction.
    learning_rate : float, default=1e-4
        The learning rate of Adam at the start, in training the fusion.
    fine_tune_learning_rate : float, default=1e-6
        The learning rate of Adam at the start, in the last step.
    batch_size : int, default=16
        The most clips in a batch; batches of an epoch are of nearly equal size.
    epochs : int, default=200
        The most epochs to train the fusion, and again in the last step.
    patience : int, default=80
        The epochs without a lower validation loss after which a step ends. The weights of the
        best epoch are restored.
    rate_patience : int, default=15
        The epochs without a lower validation loss after which the learning rate is halved.
    mixup_alpha : float, default=0.0
        The parameter of the beta distribution of mixup of both streams jointly, at least 0; 0
        turns mixup off. The subnetworks have their own.
    label_smoothing : float, default=0.0
        How much of each target is spread over all classes, in [0, 1).
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes in every step, as in scikit-learn. This, the clips held out
        and the random state are one for all steps; those of the subclassifiers are not used.
    validation_fraction : float, default=0.15
        About how much of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept.
    warm_start : bool, default=False
        Whether fit goes on from the weights of the last fit.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, crops, mixup, dropout and the clips held out, those of
        the subnetworks included.
    verbose : int, default=0
        Whether to write a line an epoch to the error stream, for every step.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    audio_ : AudioSceneClassifier
        The fitted classifier of the sound.
    visual_ : VisualSceneClassifier
        The fitted classifier of the picture.
    history_ : dict of str to list of float
        The loss and accuracy after each epoch of the fusion and of the last step; those of the
        first two steps are in ``audio_.history_`` and ``visual_.history_``.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        The wrapped network; the Keras model is its ``model_``.

    See Also
    --------
    skavsc.fusion.LateFusionClassifier : Fusion of any classifiers, with missing modalities.

    Notes
    -----
    X is a structured array with the fields ``audio``, (n_bands, n_frames, n_channels), and
    ``visual``, (n_frames, n_features), as `skavsc.fusion.ModalityUnion` makes it. Sound and
    picture of a crop are from the same moment.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> from skavsc.classifiers import AudioSceneClassifier, SECRNNClassifier
    >>> framework = SECRNNClassifier(AudioSceneClassifier(dropout=0.2), fusion="early")
    >>> framework.set_params(audio__epochs=100)
    SECRNNClassifier(audio=AudioSceneClassifier(dropout=0.2, epochs=100),
                     fusion='early')
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "audio": [AudioSceneClassifier, FrozenEstimator, None],
        "visual": [VisualSceneClassifier, FrozenEstimator, None],
        "fusion": [StrOptions({"late", "early"})],
        "fine_tune": [StrOptions({"heads"}), None],
        "units": [Interval(Integral, 1, None, closed="left")],
        "fine_tune_learning_rate": [Interval(Real, 0, None, closed="neither")],
    }
    _modality = "sound and picture"
    _mixed = ("audio", "visual")

    def __init__(
        self,
        audio: AudioSceneClassifier | FrozenEstimator | None = None,
        visual: VisualSceneClassifier | FrozenEstimator | None = None,
        *,
        fusion: str = "late",
        fine_tune: str | None = None,
        units: int = 64,
        learning_rate: float = 1e-4,
        fine_tune_learning_rate: float = 1e-6,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 80,
        rate_patience: int = 15,
        mixup_alpha: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.audio = audio
        self.visual = visual
        self.fusion = fusion
        self.fine_tune = fine_tune
        self.units = units
        self.learning_rate = learning_rate
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.rate_patience = rate_patience
        self.mixup_alpha = mixup_alpha
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _streams(self, X: Any, *, reset: bool) -> ClipStreams:
        if reset and not (self.warm_start and hasattr(self, "audio_")):
            self.audio_ = self._subclassifier(
                self.audio, AudioSceneClassifier(verbose=self.verbose)
            )
            self.visual_ = self._subclassifier(
                self.visual, VisualSceneClassifier(verbose=self.verbose)
            )
        ratio, rest = divmod(self.audio_.segment_frames, self.visual_.segment_frames)
        if rest:
            raise ValueError(
                f"a second has {self.audio_.segment_frames} frames of sound and "
                f"{self.visual_.segment_frames} of picture (segment_frames of the audio and "
                "visual classifiers); the first must be a multiple of the second"
            )
        # A prefit subclassifier keeps its shape, so that features of another are refused.
        streams = {
            "audio": self.audio_._stream(X, reset=reset and _is_new(self.audio_), stride=ratio),
            "visual": self.visual_._stream(X, reset=reset and _is_new(self.visual_)),
        }
        clips = ClipStreams(streams)
        lacking = np.flatnonzero(~clips.usable_seconds.any(axis=1))
        if len(lacking):
            raise MissingModalityError(
                f"{len(lacking)} of {clips.n_clips} clips have no second with both sound and "
                f"picture (the first is row {lacking[0]}); leave them out, or use "
                "LateFusionClassifier, which predicts from what is there"
            )
        return clips

    def _subclassifier(self, given: Any, default: SceneClassifier) -> Any:
        if isinstance(given, FrozenEstimator):
            check_is_fitted(given.estimator)
            return given.estimator
        classifier = default if given is None else clone(given)
        classifier._validate_params()
        return classifier

    def _fit_set(self, training: TrainingSet, *, going_on: bool, epochs: int | None = None) -> Self:
        steps: list[tuple[str, Any, Any]] = [
            ("audio", self.audio, self.audio_),
            ("visual", self.visual, self.visual_),
        ]
        for name, given, classifier in steps:
            if isinstance(given, FrozenEstimator):
                if not np.array_equal(classifier.classes_, training.classes):
                    raise ValueError(
                        f"the {name} classifier was fitted on the labels "
                        f"{classifier.classes_.tolist()}, y holds {training.classes.tolist()}"
                    )
                continue
            classifier._fit_set(_only(training, name), going_on=going_on, epochs=epochs)
        return super()._fit_set(training, going_on=going_on, epochs=epochs)

    def _builder(self, training: TrainingSet) -> Callable[[], Any]:
        from skavsc.classifiers._training import build_fusion

        return functools.partial(
            build_fusion,
            len(training.classes),
            audio=self.audio_._builder(training),
            visual=self.visual_._builder(training),
            readout=self.fusion,
            units=self.units,
        )

    def _procedure(self, training: TrainingSet) -> Callable[..., dict[str, list[float]]]:
        from skavsc.classifiers._training import train_fusion

        return functools.partial(
            train_fusion,
            plan=self._plan(training.seed),
            training=training,
            trained=[self.audio_.keras_classifier_.model_, self.visual_.keras_classifier_.model_],
            fine_tune_learning_rate=self.fine_tune_learning_rate if self.fine_tune else None,
        )


def _is_new(classifier: SceneClassifier) -> bool:
    return not hasattr(classifier, "classes_")


def _only(training: TrainingSet, name: str) -> TrainingSet:
    """Give the same training and held-out rows with one stream alone, free to start anywhere."""

    def narrow(labelled: LabelledClips) -> LabelledClips:
        stream: Stream = labelled.clips.streams[name]
        return replace(labelled, clips=ClipStreams({name: replace(stream, stride=1)}))

    held = None if training.held is None else narrow(training.held)
    return replace(training, train=narrow(training.train), held=held)
