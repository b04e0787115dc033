"""The visual network as a classifier."""

from __future__ import annotations

import functools
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.utils._param_validation import Interval

from skavsc.classifiers._base import SceneClassifier
from skavsc.classifiers._data import TrainingSet, check_features
from skavsc.classifiers._streams import ClipStreams, Stream


class VisualSceneClassifier(SceneClassifier):
    """Bidirectional GRU on the embeddings of a clip's frames.

    The network sees the frames of one second at a time. In training it gets one random second
    of every clip an epoch; in prediction the probabilities of a clip are the mean over its
    seconds.

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
    learning_rate : float, default=1e-4
        The learning rate of Adam at the start.
    batch_size : int, default=16
        The most clips in a batch; batches of an epoch are of nearly equal size.
    epochs : int, default=200
        The most epochs to train.
    patience : int, default=40
        The epochs without a lower validation loss after which training stops. The weights of
        the best epoch are restored.
    rate_patience : int, default=20
        The epochs without a lower validation loss after which the learning rate is halved.
    mixup_alpha : float, default=0.0
        The parameter of the beta distribution of mixup, at least 0; 0 turns mixup off.
    label_smoothing : float, default=0.0
        How much of each target is spread over all classes, in [0, 1).
    class_weight : dict, "balanced" or None, default=None
        The weights of the classes, as in scikit-learn.
    validation_fraction : float, default=0.15
        About how much of the clips, by whole groups, is held out to stop training by, in
        [0, 0.5]. With 0 all epochs are trained and the last weights kept.
    warm_start : bool, default=False
        Whether fit goes on from the weights of the last fit.
    random_state : int, RandomState instance or None, default=None
        Determines the initial weights, crops, mixup, dropout and the clips held out.
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
    feature_shape_ : tuple of (n_clips, n_frames, n_features)
        The shape of X at fit.

    See Also
    --------
    AudioSceneClassifier : The same for the sound.
    SECRNNClassifier : Both, and their fusion.

    References
    ----------
    Naranjo-Alcazar et al.: Squeeze-excitation convolutional recurrent neural networks for
    audio-visual scene classification. DCASE 2021, arXiv 2107.13180.

    Examples
    --------
    >>> from skavsc.classifiers import VisualSceneClassifier
    >>> VisualSceneClassifier(learning_rate=1e-3, epochs=60)
    VisualSceneClassifier(epochs=60, learning_rate=0.001)
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        **SceneClassifier._parameter_constraints,
        "units": [Interval(Integral, 1, None, closed="left")],
        "dropout": [Interval(Real, 0, 1, closed="left")],
        "l2": [Interval(Real, 0, None, closed="left")],
        "scale_frames": ["boolean"],
        "segment_frames": [Interval(Integral, 1, None, closed="left")],
    }
    _modality = "visual"
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
        learning_rate: float = 1e-4,
        batch_size: int = 16,
        epochs: int = 200,
        patience: int = 40,
        rate_patience: int = 20,
        mixup_alpha: float = 0.0,
        label_smoothing: float = 0.0,
        class_weight: dict[Any, float] | str | None = None,
        validation_fraction: float = 0.15,
        warm_start: bool = False,
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.units = units
        self.dropout = dropout
        self.l2 = l2
        self.scale_frames = scale_frames
        self.segment_frames = segment_frames
        self.learning_rate = learning_rate
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
        return ClipStreams({"visual": self._stream(X, reset=reset)})

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
