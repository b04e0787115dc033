"""Networks on embeddings of sound, picture or both as a classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._checks import check_features, require_aligned, require_fields
from skavsc.classifiers._docs import fill_docstring
from skavsc.training import ClipFeatures, StepFeatures, TrainingSet
from skavsc.training.augmentation import Augmentation

if TYPE_CHECKING:
    import keras

# What the network builders have by default: of the published GRU, and of the transformer.
_WIDTHS = {"gru": 32, "transformer": 128}
_DROPOUTS = {"gru": 0.5, "transformer": 0.1}


@fill_docstring
class EmbeddingSceneClassifier(SceneClassifier):
    """Bidirectional GRU or transformer encoder on embeddings by frozen networks.

    The network takes the steps of one segment, a second, at a time: of sound, of picture, or, as
    a transformer, of both, each of which may be missing. In training it gets one random segment
    of every clip per epoch; in prediction the probabilities of a clip are the mean over its
    segments.

    Parameters
    ----------
    network : {"gru", "transformer"}, default="gru"
        ``"gru"``: the bidirectional GRU of the published visual network, on one modality.
        ``"transformer"``: an encoder whose steps, of one modality or both, attend to each other.
        Both scale each step to mean 0 and variance 1 first.
    modality : {"audio", "visual"} or None, default="audio"
        What X holds: embeddings of sound, of picture, or, with None, of both.
    audio_steps : int, default=2
        Number of steps of one second of sound, which is a segment, at least 1: the
        ``steps_per_second_`` of `skavsc.audio.AudioEmbedder`. Embeddings that carry another rate
        are refused.
    visual_steps : int, default=5
        Number of steps of one second of picture, likewise: the ``fps`` of
        `skavsc.visual.VideoFrameSampler`.
    units : int, default=None
        Number of units of the GRU in each direction, or width of the transformer, a multiple of
        ``n_heads``. None is 32 for the GRU, as published, and 128 for the transformer.
    dropout : float, default=None
        Rate of the dropout, in [0, 1): before the scores, and in the blocks of the transformer.
        None is 0.5 for the GRU, as published, and 0.1 for the transformer.
    n_heads : int, default=4
        Number of attention heads of each block of the transformer.
    n_blocks : int, default=2
        Number of blocks of the transformer.
    modality_dropout : float, default=0.0
        Share of the examples that lose one of two modalities in training, in [0, 1], so that the
        network learns to do without.
    learning_rate : float, default=1e-3
        %(learning_rate)s.
    batch_size : int, default=16
        %(batch_size)s.
    epochs : int, default=200
        Maximum number of epochs.
    patience : int, default=40
        %(patience)s.
    rate_patience : int, default=20
        %(rate_patience)s.
    rate_schedule : {"halving", "cosine"}, default="halving"
        %(rate_schedule)s.
    augmentation : list of Augmentation or "published", default="published"
        %(augmentation)s. ``"published"`` is an empty list.
    label_smoothing : float, default=0.0
        %(label_smoothing)s.
    class_weight : dict, "balanced" or None, default=None
        %(class_weight)s.
    validation_fraction : float, default=0.15
        %(validation_fraction)s.
    starts_per_second : int, default=1
        Number of segments that begin in each second in prediction. 1: one follows the other;
        more: they overlap. It must divide the number of steps of a second, of both modalities
        where there are two.
    clip_average : {"arithmetic", "geometric"}, default="arithmetic"
        %(clip_average)s.
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
    feature_shapes_ : dict of str to tuple of (n_clips, n_steps, n_features)
        The shape of the embeddings of each modality at fit.

    See Also
    --------
    VisualSceneClassifier : The published network on frames, whose image network can be trained.
    skavsc.networks.transformer_network : The transformer.
    skavsc.TimePooling : Statistics over time, for scikit-learn's classifiers; better for few clips.

    Notes
    -----
    X is an array (n_clips, n_steps, n_features), as `skavsc.audio.AudioEmbedder` and
    `skavsc.visual.ImageEmbedder` make it, or a structured array with the fields ``audio`` and
    ``visual``, as `skavsc.fusion.ModalityUnion` makes it, of which ``modality`` says what is
    used. Segments that hold a NaN are missing. A clip that lacks one of two modalities is trained
    on and predicted from the other.

    References
    ----------
    %(paper)s.
    W. Boes and H. Van hamme: Multi-source transformer architectures for audiovisual scene
    classification. DCASE 2021.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.classifiers import EmbeddingSceneClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.array(["park", "tram"] * 4)
    >>> X = np.empty(8, dtype=[("audio", "f4", (4, 6)), ("visual", "f4", (10, 8))])  # 2 s
    >>> X["audio"] = rng.normal(size=(8, 4, 6))
    >>> X["visual"] = rng.normal(size=(8, 10, 8))
    >>> X["visual"][y == "tram", :, :4] += 3
    >>> classifier = EmbeddingSceneClassifier(
    ...     "transformer", modality=None, units=8, n_blocks=1, epochs=5, learning_rate=0.05,
    ...     validation_fraction=0, random_state=0,
    ... ).fit(X, y)
    >>> X["audio"][0] = np.nan  # the microphone has failed
    >>> classifier.predict(X).tolist()
    ['park', 'tram', 'park', 'tram', 'park', 'tram', 'park', 'tram']

    The published GRU on what a frozen network hears, from files of sound:

    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc.audio import AudioEmbedder
    >>> pipeline = make_pipeline(AudioEmbedder("yamnet"), EmbeddingSceneClassifier("gru"))
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "network": [StrOptions({"gru", "transformer"})],
        "modality": [StrOptions({"audio", "visual"}), None],
        "audio_steps": [Interval(Integral, 1, None, closed="left")],
        "visual_steps": [Interval(Integral, 1, None, closed="left")],
        "units": [Interval(Integral, 1, None, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), None],
        "n_heads": [Interval(Integral, 1, None, closed="left")],
        "n_blocks": [Interval(Integral, 1, None, closed="left")],
        "modality_dropout": [Interval(Real, 0, 1, closed="both")],
    }
    _label = "embeddings"
    _built_in = (
        "network",
        "modality",
        "audio_steps",
        "visual_steps",
        "units",
        "dropout",
        "n_heads",
        "n_blocks",
        "modality_dropout",
    )
    feature_shapes_: dict[str, tuple[int, ...]]

    def __init__(
        self,
        network: str = "gru",
        *,
        modality: str | None = "audio",
        audio_steps: int = 2,
        visual_steps: int = 5,
        units: int | None = None,
        dropout: float | None = None,
        n_heads: int = 4,
        n_blocks: int = 2,
        modality_dropout: float = 0.0,
        learning_rate: float = 1e-3,
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
        runtime: str = "keras",
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.network = network
        self.modality = modality
        self.audio_steps = audio_steps
        self.visual_steps = visual_steps
        self.units = units
        self.dropout = dropout
        self.n_heads = n_heads
        self.n_blocks = n_blocks
        self.modality_dropout = modality_dropout
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
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.runtime = runtime
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _features(self, X: Any, *, reset: bool) -> ClipFeatures:
        self._check_network()
        steps = {"audio": self.audio_steps, "visual": self.visual_steps}
        if self.modality is None:
            require_fields(X)
        else:
            steps = {self.modality: steps[self.modality]}
        # Sound and picture of a crop are from the same moment.
        n_starts = math.gcd(*steps.values())
        parts, shapes = {}, {}
        for name, n_steps in steps.items():
            data = check_features(
                X,
                name,
                ("clips", "steps", "features"),
                segment_frames=n_steps,
                known=None if reset else self.feature_shapes_[name],
                parameter=f"{name}_steps",
            )
            parts[name] = StepFeatures(data, n_steps, n_steps // n_starts)
            shapes[name] = data.shape
        if reset:
            self.feature_shapes_ = shapes
        clips = ClipFeatures(parts, any_modality=self.modality is None)
        if self.modality is None:
            require_aligned(clips)
        return clips

    def _check_network(self) -> None:
        """Raise if parameters do not go with the network."""
        if self.network == "gru" and self.modality is None:
            raise ValueError(
                'network="gru" takes one modality and modality=None means two; set '
                'modality="audio" or "visual", or network="transformer"'
            )
        if self.modality_dropout and self.modality is not None:
            raise ValueError(
                f"modality_dropout={self.modality_dropout!r} has no effect on "
                f"modality={self.modality!r} alone; set it to 0, or modality=None"
            )

    def _build_network(self, training_set: TrainingSet) -> keras.Model:
        from skavsc.networks import transformer_network, visual_network

        n_classes = len(training_set.classes)
        parts = training_set.train.features.modalities
        shapes = {name: (part.segment_frames, part.data.shape[-1]) for name, part in parts.items()}
        units = _WIDTHS[self.network] if self.units is None else self.units
        dropout = _DROPOUTS[self.network] if self.dropout is None else self.dropout
        if self.network == "gru":
            [(n_steps, n_features)] = shapes.values()
            return visual_network(
                n_classes,
                backbone=None,
                n_frames=n_steps,
                n_features=n_features,
                units=units,
                dropout=dropout,
                scale_frames=True,
            )
        return transformer_network(
            n_classes,
            audio_shape=shapes.get("audio"),
            visual_shape=shapes.get("visual"),
            units=units,
            n_heads=self.n_heads,
            n_blocks=self.n_blocks,
            dropout=dropout,
            modality_dropout=self.modality_dropout,
        )
