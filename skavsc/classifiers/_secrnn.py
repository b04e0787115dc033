"""The full framework: both subnetworks, then their fusion, then all together."""

from __future__ import annotations

import os
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import joblib
import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skavsc._sklearn_compat import HasMethods, Interval, StrOptions
from skavsc.classifiers._audio import AudioSceneClassifier
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._checks import require_aligned, require_fields
from skavsc.classifiers._docs import fill_docstring
from skavsc.classifiers._frames import FrameClassifier
from skavsc.classifiers._memory import require_fixed_seed, train_or_recall
from skavsc.classifiers._subclassifiers import share_params, subclassifier
from skavsc.classifiers._visual import VisualSceneClassifier
from skavsc.training import ClipFeatures, TrainingSet
from skavsc.training.augmentation import Augmentation, ModalityDropout
from skavsc.visual import ImageEmbedder

if TYPE_CHECKING:
    import keras


@fill_docstring
class SECRNNClassifier(FrameClassifier):
    """Squeeze-excitation convolutional recurrent network on sound and picture.

    Trains the audio network, then the visual network, then with both frozen their fusion, and
    at last, where asked, everything together. The same clips are held out in every stage.

    Parameters
    ----------
    audio : AudioSceneClassifier, FrozenEstimator or None, default=None
        The classifier of the sound. It is cloned and trained first; one that is trained already
        is passed as ``FrozenEstimator(fitted)`` and used as it is. None is an
        AudioSceneClassifier with its defaults. Those of its parameters that the framework
        decides for all stages (the clips held out, class weights, random state, average over
        segments) must be left at their defaults and set here.
    visual : VisualSceneClassifier, FrozenEstimator or None, default=None
        The classifier of the picture, likewise.
    fusion : {"late", "early"}, default="late"
        Early fusion joins the inner features of both networks in a bidirectional GRU; late
        fusion joins the probabilities of early fusion and of both networks in a softmax layer.
    fine_tune : {"heads", "all"} or None, default=None
        What is trained in the last stage: ``"heads"``, both subnetworks and the fusion; ``"all"``,
        the image network of the embedder too; None, nothing.
    embedder : ImageEmbedder, FrozenEstimator or None, default=None
        %(embedder)s. For a frozen visual classifier that was trained on frames it is
        ``FrozenEstimator(fitted.embedder_)``.
    units : int, default=64
        Number of units of the GRU of early fusion in each direction.
    learning_rate : float, default=1e-4
        %(learning_rate)s, in training the fusion.
    fine_tune_learning_rate : float, default=1e-6
        %(fine_tune_learning_rate)s.
    batch_size : int, default=16
        %(batch_size)s.
    epochs : int, default=200
        Maximum number of epochs of the fusion, and again of the last stage.
    patience : int, default=80
        %(patience)s.
    rate_patience : int, default=15
        %(rate_patience)s.
    rate_schedule : {"halving", "cosine"}, default="halving"
        %(rate_schedule)s.
    augmentation : list of Augmentation or "published", default="published"
        %(augmentation)s. ``"published"`` is an empty list. They take part in training the fusion
        and in the last stage, where those that change frames do so with ``fine_tune="all"``; the
        subclassifiers have their own.
    modality_dropout : float, default=0.0
        Probability that an example in training loses one of its modalities, in [0, 1), in all
        stages. What is missing is 0 to the network: the middle of the scale of the sound, no
        features of the picture. Above 0, clips that lack a modality (NaN) can be trained on and
        predicted; with 0 they are an error.
    label_smoothing : float, default=0.0
        %(label_smoothing)s.
    class_weight : dict, "balanced" or None, default=None
        %(class_weight)s. In all stages.
    validation_fraction : float, default=0.15
        %(validation_fraction)s.
    starts_per_second : int, default=1
        %(starts_per_second)s. Of the subclassifiers too.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        %(clip_average)s. Of the subclassifiers too.
    precision : {"float32", "bfloat16", "auto"}, default="float32"
        %(precision)s. In all stages.
    runtime : {"keras", "onnxruntime"}, default="keras"
        %(runtime)s.
    warm_start : bool, default=False
        %(warm_start)s.
    memory : path-like or joblib.Memory, default=None
        A folder to keep each trained network in, known by its clips, parameters, backend and
        versions: a fit that is cut short goes on with the stage that it was at, and a search over
        the fusion's parameters trains the subnetworks once. Ctrl-C then ends the fit, and what
        was half trained is not kept. It needs a ``random_state`` that is a number, and is not
        used in going on by ``warm_start`` or `partial_fit`.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, crops, augmentation, dropout and the clips held out, those
        of the subnetworks included.
    verbose : int, default=0
        %(verbose)s, for the fusion and the last stage, and for subclassifiers that are None.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    audio_ : AudioSceneClassifier
        The fitted classifier of the sound.
    visual_ : VisualSceneClassifier
        The fitted classifier of the picture.
    embedder_ : ImageEmbedder
        %(embedder_)s.
    history_ : dict of str to list of float
        %(history_)s, of the fusion and of the last stage; those of the first two stages are in
        ``audio_.history_`` and ``visual_.history_``.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        %(keras_classifier_)s.

    See Also
    --------
    skavsc.fusion.LateFusionClassifier : Fusion of any classifiers, with missing modalities.
    skavsc.training.augmentation : Mixup, HorizontalFlip and more.

    Notes
    -----
    X is a structured array with the fields ``audio``, (n_bands, n_frames, n_channels), and
    ``visual``, (n_frames, n_features), as `skavsc.fusion.ModalityUnion` makes it. Sound and
    picture of a crop are from the same moment.

    With an embedder, ``visual`` is a field of frames: objects, as ModalityUnion makes it with a
    `skavsc.visual.VideoFrameSampler`, or numbers (n_frames, height, width, 3)::

        features = ModalityUnion(
            [("audio", GammatoneMelTransformer()), ("visual", VideoFrameSampler())]
        )
        classifier = SECRNNClassifier(fine_tune="all", embedder=VGGPlacesEmbedder())
        framework = Pipeline([("features", features), ("classifier", classifier)])

    Embeddings are computed once for the stages in which the image network does not change. In the
    last one the frames of each clip are decoded once an epoch; they are never all in memory.

    References
    ----------
    %(paper)s.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.classifiers import (
    ...     AudioSceneClassifier, SECRNNClassifier, VisualSceneClassifier
    ... )
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["park", "tram"] * 4)
    >>> X = np.empty(8, dtype=[("audio", "f4", (16, 50, 1)), ("visual", "f4", (5, 6))])
    >>> X["audio"] = rng.normal(-40, 4, size=(8, 16, 50, 1))  # 8 clips of 1 s
    >>> X["visual"] = rng.normal(size=(8, 5, 6))
    >>> X["visual"][y == "tram", :, :3] += 3
    >>> framework = SECRNNClassifier(
    ...     AudioSceneClassifier(filters=(4, 4, 4), epochs=2),
    ...     VisualSceneClassifier(units=4, learning_rate=0.1, epochs=5),
    ...     units=4, learning_rate=0.02, epochs=2, validation_fraction=0, random_state=0,
    ... )
    >>> framework.set_params(audio__epochs=1).fit(X, y).predict(X).tolist()
    ['park', 'tram', 'park', 'tram', 'park', 'tram', 'park', 'tram']
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
    modality = None
    _label = "sound and picture"
    _built_in = ("fusion", "units")

    def __init__(
        self,
        audio: AudioSceneClassifier | FrozenEstimator | None = None,
        visual: VisualSceneClassifier | FrozenEstimator | None = None,
        *,
        fusion: str = "late",
        fine_tune: str | None = None,
        embedder: ImageEmbedder | FrozenEstimator | None = None,
        units: int = 64,
        learning_rate: float = 1e-4,
        fine_tune_learning_rate: float = 1e-6,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 80,
        rate_patience: int = 15,
        rate_schedule: str = "halving",
        augmentation: Sequence[Augmentation] | str = "published",
        modality_dropout: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
        precision: str = "float32",
        runtime: str = "keras",
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
        self.augmentation = augmentation
        self.modality_dropout = modality_dropout
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.precision = precision
        self.runtime = runtime
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
        self._require_keras_network()
        from skavsc.training import Backbone, copied

        embedder = getattr(self, "embedder_", None) if embedder is None else embedder
        if embedder is None:
            raise ValueError(
                "the framework was fitted on embeddings; pass embedder=, the fitted embedder that "
                "made them"
            )
        backbone = Backbone.of(embedder)
        backbone.network.trainable = False
        return backbone.before(copied(self.keras_classifier_.model_), image_size)

    def _features(self, X: Any, *, reset: bool) -> ClipFeatures:
        require_fields(X)
        if reset:
            self._begin(X)
        ratio, rest = divmod(self.audio_.segment_frames, self.visual_.segment_frames)
        if rest:
            raise ValueError(
                f"a second has {self.audio_.segment_frames} frames of sound and "
                f"{self.visual_.segment_frames} of picture (audio__segment_frames and "
                "visual__segment_frames); the first must be a multiple of the second"
            )
        picture, frames = self._embedded(X)
        # A frozen subclassifier keeps its shape, so that features of another are refused.
        audio = self.audio_._modality_features(
            X, reset=reset and not self.audio_._has_network(), stride=ratio
        )
        visual = self.visual_._modality_features(
            picture, frames, reset=reset and not self.visual_._has_network()
        )
        parts = {"audio": audio, "visual": visual}
        clips = ClipFeatures(parts, any_modality=self.modality_dropout > 0)
        require_aligned(clips)
        return clips

    def _begin(self, X: Any) -> None:
        """Create the subclassifiers; the given ones are copied."""
        if self.memory is not None:
            require_fixed_seed(self.random_state, self.memory)
        self.audio_ = subclassifier("audio", self.audio, AudioSceneClassifier, self.verbose)
        self.visual_ = subclassifier("visual", self.visual, VisualSceneClassifier, self.verbose)
        super()._begin(X)
        own = getattr(self.visual_, "embedder_", None)
        if own and self.embedder and own.digest_ != self.embedder_.digest_:
            raise ValueError(
                f"embedder={self.embedder!r}, but the frozen visual classifier was trained on the "
                "embeddings of another one; pass "
                "embedder=FrozenEstimator(fitted_visual_classifier.embedder_) to use that"
            )

    def _train(
        self,
        training_set: TrainingSet,
        *,
        going_on: bool,
        epochs: int | None = None,
        **options: Any,
    ) -> None:
        parts = [("audio", self.audio, self.audio_), ("visual", self.visual, self.visual_)]
        if going_on and self._has_network():
            # Before hours of training, not after them.
            self._check_as_built(training_set.classes)
            for _, given, classifier in parts:
                if isinstance(given, SceneClassifier):
                    # A copy of what was given, whose parameters may have changed since.
                    classifier.set_params(**given.get_params(deep=False))
                    classifier._check_as_built(training_set.classes)
        dropout = (ModalityDropout(rate=self.modality_dropout),) if self.modality_dropout else ()
        for name, given, classifier in parts:
            if not isinstance(given, FrozenEstimator):
                share_params(self, classifier)
                self._train_stage(classifier, training_set.only(name), going_on, epochs, dropout)
            elif not np.array_equal(classifier.classes_, training_set.classes):
                raise ValueError(
                    f"the {name} classifier was fitted on the labels "
                    f"{classifier.classes_.tolist()}, y holds {training_set.classes.tolist()}"
                )
        if going_on and self._has_network():
            self._take_weights()
        self._train_stage(self, training_set, going_on, epochs, dropout)

    def _train_stage(
        self,
        classifier: SceneClassifier,
        training_set: TrainingSet,
        going_on: bool,
        epochs: int | None,
        dropout: tuple[Augmentation, ...],
    ) -> None:
        """Train one network, or take it from the memory."""
        train = super()._train if classifier is self else classifier._train
        options: dict[str, Any] = {
            "going_on": going_on,
            "epochs": epochs,
            "further_augmentation": dropout,
        }
        if self.memory is None or (going_on and classifier._has_network()):
            train(training_set, **options)
        else:
            options["keep_interrupted"] = False
            train_or_recall(self.memory, classifier, train, training_set, **options)

    def _build_network(self, training_set: TrainingSet) -> keras.Model:
        from skavsc.networks import fusion_network
        from skavsc.training import copied

        return fusion_network(
            len(training_set.classes),
            readout=self.fusion,
            audio=copied(self.audio_.keras_classifier_.model_),
            visual=copied(self.visual_.keras_classifier_.model_),
            units=self.units,
        )

    def _take_weights(self) -> None:
        """Set the weights of the framework's subnetworks to those of the subclassifiers."""
        own = {layer.name: layer for layer in self.keras_classifier_.model_.layers}
        for part in (self.audio_, self.visual_):
            for layer in part.keras_classifier_.model_.layers:
                # Early fusion does not use the subnetworks' scores, so it lacks those layers.
                if layer.name in own:
                    own[layer.name].set_weights(layer.get_weights())
