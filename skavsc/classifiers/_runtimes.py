"""Running a trained network: by Keras, or by onnxruntime, without Keras."""

from __future__ import annotations

import copy
import json
import threading
from typing import TYPE_CHECKING, Any, Self
from weakref import WeakKeyDictionary

from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted

from skavsc.training import SegmentOnnxClassifier, require_onnxruntime

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from skavsc.training import SegmentKerasClassifier

RUNTIMES = ("keras", "onnxruntime")

# The ONNX models of Keras networks, made when they are first asked for. Not attributes of the
# classifiers: they would be pickled with them.
_converted: WeakKeyDictionary[SegmentKerasClassifier, SegmentOnnxClassifier] = WeakKeyDictionary()
_one_at_a_time = threading.Lock()


class NetworkRunner:
    """Base of the classifiers with a trained network and the parameter ``runtime``.

    The network is either ``keras_classifier_`` or, in a classifier that was saved to run without
    Keras, ``onnx_classifier_``.
    """

    runtime: str
    classes_: NDArray[Any]
    keras_classifier_: SegmentKerasClassifier
    onnx_classifier_: SegmentOnnxClassifier

    @property
    def history_(self) -> dict[str, list[float]]:
        """The loss and accuracy after each epoch, in training and validation."""
        check_is_fitted(self)
        trained: Any = self.onnx_classifier_ if self._is_without_keras() else self.keras_classifier_
        history: dict[str, list[float]] = trained.history_
        return history

    def _runner(self) -> SegmentKerasClassifier | SegmentOnnxClassifier:
        """Return what predicts in the runtime that is set."""
        if self.runtime not in RUNTIMES:
            raise ValueError(f"runtime={self.runtime!r} must be one of {list(RUNTIMES)}")
        if self.runtime == "keras":
            self._require_keras_network()
            return self.keras_classifier_
        return self._onnx()

    def _onnx(self) -> SegmentOnnxClassifier:
        """Return the network as an ONNX model that is ready to run."""
        if self._is_without_keras():
            return self.onnx_classifier_
        require_onnxruntime()
        from skavsc.networks import onnx_model

        trained = self.keras_classifier_
        with _one_at_a_time:
            if trained not in _converted:
                classes = json.dumps(self.classes_.tolist())
                graph = onnx_model(trained.model_, metadata={"classes": classes})
                _converted[trained] = SegmentOnnxClassifier(graph, trained.history_)
            return _converted[trained]

    def _onnx_graph(self) -> bytes:
        """Return the content of an ONNX file of the network."""
        return self._onnx().graph

    def _forget_onnx(self) -> None:
        """Drop the ONNX model of a network that is to be trained again or further."""
        trained = vars(self).get("keras_classifier_")
        if trained is not None:
            with _one_at_a_time:
                _converted.pop(trained, None)

    def _without_keras(self) -> Self:
        """Return a copy that runs on onnxruntime and holds no Keras network."""
        classifier = copy.copy(self)
        classifier.runtime = "onnxruntime"
        classifier.onnx_classifier_ = self._onnx()
        vars(classifier).pop("keras_classifier_", None)
        # The parts of a framework, of which a frozen one is a parameter as well.
        for name in ("audio", "visual"):
            if hasattr(self, f"{name}_"):
                part = getattr(self, f"{name}_")._without_keras()
                setattr(classifier, f"{name}_", part)
                if isinstance(getattr(self, name), FrozenEstimator):
                    setattr(classifier, name, FrozenEstimator(part))
        return classifier

    def _is_without_keras(self) -> bool:
        return "onnx_classifier_" in vars(self) and "keras_classifier_" not in vars(self)

    def _require_keras_network(self) -> None:
        if self._is_without_keras():
            raise ValueError(
                f"this {type(self).__name__} is of a model file saved for onnxruntime, which holds "
                'no Keras network: it predicts with runtime="onnxruntime", and can be fitted anew '
                "(warm_start=False) but not go on"
            )

    def _has_network(self) -> bool:
        """Return whether there is a network to go on with."""
        self._require_keras_network()
        return hasattr(getattr(self, "keras_classifier_", None), "model_")
