"""The full framework: both subnetworks, then their fusion, then all together."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar, Self

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, check_memory

from skavsc._sklearn_compat import HasMethods, Interval, StrOptions
from skavsc.classifiers._audio import AudioSceneClassifier
from skavsc.classifiers._augmentation import Augmentation, drop_streams
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._data import TrainingSet
from skavsc.classifiers._frames import FrameClassifier
from skavsc.classifiers._parts import (
    is_new,
    prepared,
    require_fields,
    require_no_frames,
    require_streams,
)
from skavsc.classifiers._steps import recipe_of, take_step
from skavsc.classifiers._streams import ClipStreams, FrameStream, Stream
from skavsc.classifiers._visual import VisualSceneClassifier
from skavsc.visual import ImageEmbedder

if TYPE_CHECKING:
    import keras


class SECRNNClassifier(FrameClassifier):
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
        The classifier of the picture, likewise. Only a frozen one may have an ``embedder`` of its
        own, which the framework then uses too.
    fusion : {"late", "early"}, default="late"
        Early fusion joins the inner features of both networks in a bidirectional GRU; late
        fusion joins the probabilities of early fusion and of both networks in a softmax layer.
    fine_tune : {"heads", "all"} or None, default=None
        What is trained in the last step: ``"heads"`` both subnetworks and the fusion, ``"all"``
        the image network too (X then holds frames, see ``embedder``), None nothing.
    embedder : ImageEmbedder or None, default=None
        What turns frames into embeddings, and gives the image network that ``fine_tune="all"``
        trains; it is cloned. With an embedder the field ``visual`` of X holds frames, without
        one embeddings. None is that of a frozen visual classifier, where that has one, else a
        VGGPlacesEmbedder with ``fine_tune="all"``, else no embedder.
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
    rate_schedule : {"halving", "cosine"}, default="halving"
        How the learning rate falls. "halving": by half where the validation loss does, as
        published. "cosine": from its start to 0 over all ``epochs`` along half a cosine, which
        needs no validation; with ``validation_fraction=0`` it trains on every clip. Better for
        sets whose held-out clips are too few to judge by.
    mixup_alpha : float, default=0.0
        The parameter of the beta distribution of mixup of both streams jointly, at least 0; 0
        turns mixup off. The subnetworks have their own.
    modality_dropout : float, default=0.0
        The probability that an example in training loses one of its streams, in [0, 1), in all
        steps. What is missing is 0 to the network: the middle of the scale of the sound, no
        features of the picture. Above 0, clips that lack a stream (NaN) can be trained on and
        predicted; with 0 they are an error.
    flip : bool, default=False
        Whether the frames of half of the examples are mirrored, left to right, in the last step;
        only with ``fine_tune="all"``.
    brightness : float, default=0.0
        By how much frames are made brighter or darker at most in the last step: the factor is
        random within 1 +/- brightness, in [0, 1]; only with ``fine_tune="all"``.
    label_smoothing : float, default=0.0
        How much of each target is spread over all classes, in [0, 1).
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes in every step, as in scikit-learn. This, the clips held out
        and the random state are one for all steps; those of the subclassifiers are not used.
    validation_fraction : float, default=0.15
        About how much of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept.
    starts_per_second : int, default=1
        How many of the seconds that a clip is judged by begin in each second of it. 1: one follows
        the other, as published; more: they overlap. It must divide the frames of the picture in
        a second.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        The mean over the seconds of a clip that gives its probabilities: of probabilities, as
        published, or of their logarithms (then scaled to sum to 1), in which a second that is
        sure that it is not a class counts as much as one that is sure that it is.
    warm_start : bool, default=False
        Whether fit goes on from the weights of the last fit. The parameters of the network must
        be those that it was built with; others, such as the learning rate, may change.
    memory : path-like or joblib.Memory, default=None
        A folder to keep each trained network in, known by its clips and parameters: a fit that is
        cut short goes on with the step that it was at, and a search over the fusion's parameters
        trains the subnetworks once. Ctrl-C then ends the fit with KeyboardInterrupt, and what was
        half trained is not kept. It needs a ``random_state`` that is a number (ValueError
        otherwise), and has no part in going on by ``warm_start`` or `partial_fit`.
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
    embedder_ : ImageEmbedder
        What turns frames into embeddings; after ``fine_tune="all"`` with the image network that
        was trained. Only if X held frames.
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

    With frames, ``visual`` is a field of objects, as ModalityUnion makes it with a
    `skavsc.visual.VideoFrameSampler`, or of numbers (n_frames, height, width, 3)::

        features = ModalityUnion(
            [("audio", GammatoneMelTransformer()), ("visual", VideoFrameSampler())]
        )
        framework = Pipeline(
            [("features", features), ("classifier", SECRNNClassifier(fine_tune="all"))]
        )

    Embeddings are made once for the steps in which the image network does not change. In the
    last one the frames of each clip are decoded once an epoch; they are never all in memory.

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
        **FrameClassifier._parameter_constraints,
        "audio": [AudioSceneClassifier, FrozenEstimator, None],
        "visual": [VisualSceneClassifier, FrozenEstimator, None],
        "fusion": [StrOptions({"late", "early"})],
        "fine_tune": [StrOptions({"heads", "all"}), None],
        "units": [Interval(Integral, 1, None, closed="left")],
        "modality_dropout": [Interval(Real, 0, 1, closed="left")],
        "memory": [str, os.PathLike, HasMethods("cache"), None],
    }
    _modality = "sound and picture"
    _mixed = ("audio", "visual")
    _built_in = ("fusion", "units")

    def __init__(
        self,
        audio: AudioSceneClassifier | FrozenEstimator | None = None,
        visual: VisualSceneClassifier | FrozenEstimator | None = None,
        *,
        fusion: str = "late",
        fine_tune: str | None = None,
        embedder: ImageEmbedder | None = None,
        units: int = 64,
        learning_rate: float = 1e-4,
        fine_tune_learning_rate: float = 1e-6,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 80,
        rate_patience: int = 15,
        rate_schedule: str = "halving",
        mixup_alpha: float = 0.0,
        modality_dropout: float = 0.0,
        flip: bool = False,
        brightness: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
        warm_start: bool = False,
        memory: str | os.PathLike[str] | joblib.Memory | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.audio = audio
        self.visual = visual
        self.fusion = fusion
        self.fine_tune = fine_tune
        self.embedder = embedder
        self.units = units
        self.learning_rate = learning_rate
        self.fine_tune_learning_rate = fine_tune_learning_rate
        self.batch_size = batch_size
        self.epochs = epochs
        self.patience = patience
        self.rate_patience = rate_patience
        self.rate_schedule = rate_schedule
        self.mixup_alpha = mixup_alpha
        self.modality_dropout = modality_dropout
        self.flip = flip
        self.brightness = brightness
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.warm_start = warm_start
        self.memory = memory
        self.random_state = random_state
        self.verbose = verbose

    def build_deployable(
        self,
        embedder: ImageEmbedder | None = None,
        *,
        image_size: int | tuple[int, int] = 224,
    ) -> keras.Model:
        """Join the image network and the fitted framework to one Keras model.

        Parameters
        ----------
        embedder : ImageEmbedder, optional
            The fitted embedder that made the field ``visual`` of X; by default ``embedder_``.
        image_size : int or tuple of (int, int), default=224
            The height and width of a frame in pixels.

        Returns
        -------
        keras.Model
            From ``[audio, visual]``, one second of audio features (n_bands, n_frames, n_channels)
            and the RGB values 0 to 255 of its frames (n_frames, height, width, 3), to
            probabilities in the order of ``classes_``: those of ``predict_proba_segments``. A
            missing stream is all 0 (sound) or all negative (frames), for a framework trained with
            ``modality_dropout``. It shares nothing with the classifier. Not compiled.

        Raises
        ------
        ValueError
            If there is no embedder, or it gives another number of features.
        """
        check_is_fitted(self)
        from skavsc.classifiers._backbone import Backbone, copied

        embedder = getattr(self, "embedder_", None) if embedder is None else embedder
        if embedder is None:
            raise ValueError(
                "the framework was fitted on embeddings; pass embedder=, the fitted embedder that "
                "made them"
            )
        backbone = Backbone.of(embedder)
        backbone.network.trainable = False
        return backbone.before(copied(self.keras_classifier_.model_), image_size)

    def _streams(self, X: Any, *, reset: bool) -> ClipStreams:
        require_fields(X)
        if reset:
            self._begin(X)
        ratio, rest = divmod(self.audio_.segment_frames, self.visual_.segment_frames)
        if rest:
            raise ValueError(
                f"a second has {self.audio_.segment_frames} frames of sound and "
                f"{self.visual_.segment_frames} of picture (segment_frames of the audio and "
                "visual classifiers); the first must be a multiple of the second"
            )
        picture, frames = self._embedded(X)
        # A prefit subclassifier keeps its shape, so that features of another are refused.
        audio = self.audio_._stream(X, reset=reset and is_new(self.audio_), stride=ratio)
        visual = self.visual_._stream(picture, reset=reset and is_new(self.visual_))
        clips = ClipStreams(
            {"audio": audio, "visual": visual.made_of(frames)},
            any_will_do=self.modality_dropout > 0,
        )
        require_streams(clips)
        return clips

    def _begin(self, X: Any) -> None:
        """Make the parts, those that are given as copies."""
        self.audio_ = prepared("audio", self.audio, AudioSceneClassifier(verbose=self.verbose))
        self.visual_ = prepared("visual", self.visual, VisualSceneClassifier(verbose=self.verbose))
        if is_new(self.visual_):
            require_no_frames(self.visual_)
        super()._begin(X)

    def _fitted_embedder(self, X: Any) -> ImageEmbedder | None:
        prefit: ImageEmbedder | None = getattr(self.visual_, "embedder_", None)
        if prefit is None:
            return super()._fitted_embedder(X)
        if self.embedder is not None:
            raise ValueError(
                f"embedder={self.embedder!r}, but the frozen visual classifier has an embedder of "
                "its own, on whose embeddings it was trained; pass embedder=None to use that one"
            )
        return prefit

    def _augmentations(self, on_frames: bool = False) -> tuple[Augmentation, ...]:
        changes = super()._augmentations(on_frames)
        if not self.modality_dropout:
            return changes
        picture = FrameStream if on_frames else Stream
        blanks = {"audio": Stream.blank, "visual": picture.blank}
        return (
            *changes,
            functools.partial(drop_streams, rate=self.modality_dropout, blanks=blanks),
        )

    def _fit_set(self, training: TrainingSet, *, going_on: bool, epochs: int | None = None) -> Self:
        steps: list[tuple[str, Any, Any]] = [
            ("audio", self.audio, self.audio_),
            ("visual", self.visual, self.visual_),
        ]
        if going_on and self._has_network():
            # Before hours of training, not after them.
            self._check_as_built(training.classes)
            for _, given, classifier in steps:
                if isinstance(given, SceneClassifier):
                    # A copy of what was given, whose parameters may have changed since.
                    classifier.set_params(**given.get_params(deep=False))
                    classifier._check_as_built(training.classes)
        for name, given, classifier in steps:
            if isinstance(given, FrozenEstimator):
                if not np.array_equal(classifier.classes_, training.classes):
                    raise ValueError(
                        f"the {name} classifier was fitted on the labels "
                        f"{classifier.classes_.tolist()}, y holds {training.classes.tolist()}"
                    )
                continue
            part = replace(training.narrowed(name), augmentations=self._augmentations())
            self._train(classifier, classifier._fit_set, part, going_on=going_on, epochs=epochs)
        self._train(self, super()._fit_set, training, going_on=going_on, epochs=epochs)
        return self

    def _train(
        self,
        classifier: SceneClassifier,
        train: Callable[..., Any],
        training: TrainingSet,
        *,
        going_on: bool,
        epochs: int | None,
    ) -> None:
        """Take one step of the training, or its outcome from the memory."""
        if self.memory is None or (going_on and classifier._has_network()):
            train(training, going_on=going_on, epochs=epochs)
            return
        if not isinstance(self.random_state, Integral):
            raise ValueError(
                f"random_state={self.random_state!r} with memory={self.memory!r}: no two fits are "
                "the same, so that nothing kept is used again; set random_state to a number"
            )
        # joblib's Memory takes no other path-like than str and Path.
        memory = check_memory(
            os.fspath(self.memory) if isinstance(self.memory, os.PathLike) else self.memory
        )
        step = memory.cache(take_step, ignore=["classifier", "train"])
        training = replace(training, keeps_half_trained=False)
        outcome = step(recipe_of(classifier), training, epochs, classifier, train)
        for name, value in outcome.items():
            setattr(classifier, name, value)

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

    def _trained_parts(self) -> Sequence[keras.Model]:
        return [part.keras_classifier_.model_ for part in (self.audio_, self.visual_)]
