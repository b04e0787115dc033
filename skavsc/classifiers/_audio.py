"""The audio network as a classifier."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from skavsc._sklearn_compat import Interval, StrOptions
from skavsc.classifiers._augmentation import Augmentation, colour_blocks, mask_blocks
from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._data import TrainingSet, check_features
from skavsc.classifiers._streams import ClipStreams, Stream

if TYPE_CHECKING:
    from skavsc.classifiers._training import Plan


class AudioSceneClassifier(SceneClassifier):
    """Squeeze-excitation residual network on gammatone or log-mel features.

    The network sees one second at a time. In training it gets one random second of every clip
    an epoch; in prediction the probabilities of a clip are the mean over its seconds.

    Parameters
    ----------
    filters : sequence of 3 ints, default=(32, 64, 128)
        The filters of the three residual blocks, each at least ``reduction``.
    reduction : int, default=2
        The reduction ratio of squeeze and excitation, at least 1.
    dropout : float, default=0.0
        The rate of the dropout after each block, in [0, 1).
    segment_frames : int, default=50
        The frames of one second of features, at least 4.
    learning_rate : float, default=1e-3
        The learning rate of Adam at the start.
    batch_size : int, default=32
        The most clips in a batch; batches of an epoch are of nearly equal size.
    epochs : int, default=200
        The most epochs to train.
    patience : int, default=80
        The epochs without a lower validation loss after which training stops. The weights of
        the best epoch are restored.
    rate_patience : int, default=15
        The epochs without a lower validation loss after which the learning rate is halved.
    rate_schedule : {"halving", "cosine"}, default="halving"
        How the learning rate falls. "halving": by half where the validation loss does, as
        published. "cosine": from its start to 0 over all ``epochs`` along half a cosine, which
        needs no validation; with ``validation_fraction=0`` it trains on every clip. Better for
        sets whose held-out clips are too few to judge by.
    mixup_alpha : float, default=0.4
        The parameter of the beta distribution of mixup, at least 0; 0 turns mixup off.
    mixup_domain : {"decibels", "power"}, default="decibels"
        How two seconds are mixed: "decibels" their features, scaled to [-1, 1] as the network
        does, as published; "power" as two sounds of equal loudness that are heard at once
        (between-class learning), which features must be in decibels for.
    time_mask : int, default=0
        The most frames in a row that are hidden in each crop in training, at least 0 and fewer
        than ``segment_frames``; how many, and where, is random (SpecAugment). What is hidden
        gets the mean of its crop and channel.
    frequency_mask : int, default=0
        The most bands in a row that are hidden in each crop in training, likewise, fewer than
        there are.
    band_gain : float, default=0.0
        How much each crop is filtered at random in training, at least 0: the standard deviation
        of a gain that is smooth over the bands, as a fraction of the range of the crop's values.
        Makes up for recordings from few devices and places (FilterAugment, linear type).
    label_smoothing : float, default=0.0
        How much of each target is spread over all classes, in [0, 1).
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes, as in scikit-learn.
    validation_fraction : float, default=0.15
        About how much of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept.
    clean_statistics : bool, default=False
        Whether, after the last epoch, the statistics of batch normalisation are taken anew over
        random seconds of the training clips as they are. Those gathered in training, used
        otherwise, are of crops that are mixed, masked and filtered, which those to be predicted
        are not.
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
        Determines the initial weights, crops, mixup, masks, filters and the clips held out.
    verbose : int, default=0
        Whether to write a line an epoch to the error stream.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    history_ : dict of str to list of float
        The loss and accuracy after each epoch, in training and validation.
    keras_classifier_ : scikeras.wrappers.KerasClassifier
        The wrapped network; the Keras model is its ``model_``.
    feature_shape_ : tuple of (n_clips, n_bands, n_frames, n_channels)
        The shape of X at fit.

    See Also
    --------
    VisualSceneClassifier : The same for the picture.
    SECRNNClassifier : Both, and their fusion.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180. Mixup: Zhang et al.,
    ICLR 2018, arXiv 1710.09412; of powers: Tokozume, Ushiku and Harada, Learning from
    between-class examples for deep sound recognition, ICLR 2018, arXiv 1711.10282. Masks: Park et
    al., SpecAugment, Interspeech 2019, arXiv 1904.08779. Random filters: Nam, Kim and Park,
    FilterAugment, ICASSP 2022, arXiv 2110.03282. Statistics taken anew: Izmailov et al.,
    Averaging weights leads to wider optima and better generalization, UAI 2018, arXiv 1803.05407.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skavsc.audio import GammatoneMelTransformer
    >>> from skavsc.classifiers import AudioSceneClassifier
    >>> pipeline = make_pipeline(GammatoneMelTransformer(), AudioSceneClassifier(epochs=50))
    >>> pipeline.get_params()["audiosceneclassifier__learning_rate"]
    0.001
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "filters": ["array-like"],
        "reduction": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "segment_frames": [Interval(Integral, 4, None, closed="left")],
        "time_mask": [Interval(Integral, 0, None, closed="left")],
        "frequency_mask": [Interval(Integral, 0, None, closed="left")],
        "mixup_domain": [StrOptions({"decibels", "power"})],
        "band_gain": [Interval(Real, 0, None, closed="left")],
        "clean_statistics": ["boolean"],
    }
    _modality = "audio"
    _built_in = ("filters", "reduction", "dropout", "segment_frames")
    feature_shape_: tuple[int, ...]
    _mixed = ("audio",)

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
        mixup_alpha: float = 0.4,
        mixup_domain: str = "decibels",
        time_mask: int = 0,
        frequency_mask: int = 0,
        band_gain: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        clean_statistics: bool = False,
        starts_per_second: int = 1,
        clip_average: str = "arithmetic",
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
        self.mixup_alpha = mixup_alpha
        self.mixup_domain = mixup_domain
        self.time_mask = time_mask
        self.frequency_mask = frequency_mask
        self.band_gain = band_gain
        self.label_smoothing = label_smoothing
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.clean_statistics = clean_statistics
        self.starts_per_second = starts_per_second
        self.clip_average = clip_average
        self.warm_start = warm_start
        self.random_state = random_state
        self.verbose = verbose

    def _stream(self, X: Any, *, reset: bool, stride: int = 1) -> Stream:
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
        return Stream(X, self.segment_frames, stride, block_scaled=True)

    def _streams(self, X: Any, *, reset: bool) -> ClipStreams:
        return ClipStreams({"audio": self._stream(X, reset=reset)})

    def _builder(self, training: TrainingSet) -> Callable[[], Any]:
        from skavsc.classifiers._training import momentum_for
        from skavsc.networks import audio_network

        _, n_bands, _, n_channels = self.feature_shape_
        return functools.partial(
            audio_network,
            len(training.classes),
            input_shape=(n_bands, self.segment_frames, n_channels),
            filters=tuple(self.filters),
            reduction=self.reduction,
            dropout=self.dropout,
            batch_norm_momentum=momentum_for(len(training.train.rows), self.batch_size),
        )

    def _plan(self, training: TrainingSet) -> Plan:
        return replace(
            super()._plan(training),
            mixup_domain=self.mixup_domain,
            clean_statistics=self.clean_statistics,
        )

    def _augmentations(self) -> tuple[Augmentation, ...]:
        changes: list[Augmentation] = []
        if self.band_gain:
            changes.append(
                functools.partial(colour_blocks, stream="audio", deviation=self.band_gain)
            )
        if not (self.time_mask or self.frequency_mask):
            return tuple(changes)
        n_bands = self.feature_shape_[1]
        for name, value, extent, unit in (
            ("time_mask", self.time_mask, self.segment_frames, "frames"),
            ("frequency_mask", self.frequency_mask, n_bands, "bands"),
        ):
            if value >= extent:
                raise ValueError(
                    f"{name}={value} may hide all of the {extent} {unit} of a second; it must be "
                    f"less than {extent}"
                )
        changes.append(
            functools.partial(
                mask_blocks,
                stream="audio",
                max_frames=self.time_mask,
                max_bands=self.frequency_mask,
            )
        )
        return tuple(changes)
