"""A trained network that onnxruntime runs, without Keras."""

from __future__ import annotations

import math
import os
import threading
from typing import Any

import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelFileError
from skavsc.training._prediction import segment_probabilities
from skavsc.training._segments import ClipFeatures

# What `skavsc.networks.onnx_model` writes. None of it reads a file, runs a graph within the graph
# or makes a tensor of a size that is not that of its inputs or of a stored array.
_OPERATORS = frozenset(
    {
        "Add", "AveragePool", "BatchNormalization", "Cast", "Concat", "Conv", "Div", "Elu", "Erf",
        "Flatten", "GRU", "Gather", "GreaterOrEqual", "Identity", "IsNaN", "LayerNormalization",
        "LeakyRelu", "LessOrEqual", "MatMul", "Max", "MaxPool", "Min", "Mul", "Not", "Pad",
        "ReduceMax", "ReduceMean", "ReduceMin", "ReduceSum", "Relu", "Reshape", "Sigmoid",
        "Softmax", "Sub", "Tanh", "Transpose", "Unsqueeze", "Where",
    }
)  # fmt: skip

# Values of the largest tensor that one segment may need: 1 GB. VGG16 needs 3 million a frame.
_LARGEST = 2**28


class SegmentOnnxClassifier:
    """Class probabilities of the segments of clips by an ONNX model.

    It can be pickled and used by several threads at once.

    Parameters
    ----------
    graph : bytes
        The model, as `skavsc.networks.onnx_model` writes it, with an input for each modality.
    history : dict of str to list of float
        The values after each epoch of the training.

    Attributes
    ----------
    history_ : dict of str to list of float
        The history.

    Examples
    --------
    >>> import numpy as np
    >>> from skavsc.networks import audio_network, onnx_model
    >>> from skavsc.training import ClipFeatures, ModalityFeatures, SegmentOnnxClassifier
    >>> network = audio_network(2, input_shape=(16, 50, 1), filters=(4, 4, 4))
    >>> classifier = SegmentOnnxClassifier(onnx_model(network), history={})
    >>> sound = ModalityFeatures(np.zeros((3, 16, 100, 1), dtype=np.float32), segment_frames=50)
    >>> classifier.predict_segments(ClipFeatures({"audio": sound})).shape
    (3, 2, 2)
    """

    def __init__(self, graph: bytes, history: dict[str, list[float]]) -> None:
        self.graph = graph
        self.history_ = history
        self._open()

    def predict_segments(
        self, features: ClipFeatures, starts_per_second: int = 1
    ) -> NDArray[np.float32]:
        """Predict the class probabilities of every segment of clips.

        Parameters
        ----------
        features : ClipFeatures
            The clips.
        starts_per_second : int, default=1
            Number of segments that begin in each second.

        Returns
        -------
        ndarray of shape (n_clips, n_starts, n_classes), float32
            NaN for segments that are not usable.
        """
        session = self._session_here()
        (output,) = session.get_outputs()
        names = [given.name for given in session.get_inputs()]

        def run(inputs: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
            # By their order, as in Keras.
            (found,) = session.run([output.name], dict(zip(names, inputs.values(), strict=True)))
            return np.asarray(found)

        return segment_probabilities(run, output.shape[-1], features, starts_per_second)

    def _open(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[int, Any] = {}

    def _session_here(self) -> Any:
        """Return the session of this process: the threads of one do not survive a fork."""
        with self._lock:
            process = os.getpid()
            if process not in self._sessions:
                require_onnxruntime()
                import onnxruntime

                options = onnxruntime.SessionOptions()
                options.log_severity_level = 3
                options.intra_op_num_threads = joblib.cpu_count()
                self._sessions[process] = onnxruntime.InferenceSession(
                    self.graph, options, providers=["CPUExecutionProvider"]
                )
            return self._sessions[process]

    def __getstate__(self) -> dict[str, Any]:
        return {"graph": self.graph, "history_": self.history_}

    def __setstate__(self, state: dict[str, Any]) -> None:
        check_graph(state["graph"])
        self.graph = state["graph"]
        self.history_ = state["history_"]
        self._open()


def require_onnxruntime() -> None:
    """Raise an error that says what to install, if onnxruntime or onnx is not installed.

    Examples
    --------
    >>> from skavsc.training import require_onnxruntime
    >>> require_onnxruntime()
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'runtime="onnxruntime" needs onnxruntime and onnx; install with '
            'pip install "skavsc[onnx]", or use runtime="keras"'
        ) from error


def check_graph(graph: Any) -> None:
    """Raise unless an ONNX model is one that only computes, in bounded memory.

    Parameters
    ----------
    graph : object
        The content of a file.

    Raises
    ------
    ModelFileError
        If it is no model, or holds what `skavsc.networks.onnx_model` never writes.
    """
    import onnx

    if not isinstance(graph, bytes):
        raise ModelFileError("the ONNX model is no bytes")
    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf's errors share no class but this
        raise ModelFileError(f"the ONNX model is damaged: {error}") from error
    if len(model.graph.output) != 1:
        raise ModelFileError(f"the ONNX model has {len(model.graph.output)} outputs, and not one")
    for node in model.graph.node:
        if node.domain or node.op_type not in _OPERATORS:
            raise ModelFileError(
                f"the ONNX model holds the operator {node.domain}{node.op_type}, which is not "
                "known to be safe"
            )
        # Arrays belong into the graph, where the next check sees them.
        for attribute in node.attribute:
            if attribute.HasField("t") or attribute.HasField("g") or attribute.graphs:
                raise ModelFileError(f"the ONNX model holds a graph or array in {node.op_type}")
    stored = model.graph.initializer
    if (
        model.functions
        or model.graph.sparse_initializer
        or any(array.data_location == onnx.TensorProto.EXTERNAL for array in stored)
    ):
        raise ModelFileError("the ONNX model holds functions, sparse arrays or other files")
    for given in model.graph.input:
        given.type.tensor_type.shape.dim[0].dim_value = 1
    try:
        onnx.checker.check_model(model)
        for array in stored:  # the checker of onnx before 1.23 does not compare size and shape
            onnx.numpy_helper.to_array(array)
        whole = onnx.shape_inference.infer_shapes(
            model, check_type=True, strict_mode=True, data_prop=True
        )
    except Exception as error:  # of a class of its own, or of protobuf
        raise ModelFileError(f"the ONNX model does not fit together: {error}") from error
    shapes = [
        [axis.dim_value for axis in tensor.type.tensor_type.shape.dim]
        for tensor in (*whole.graph.input, *whole.graph.value_info, *whole.graph.output)
    ]
    largest = max(map(math.prod, shapes), default=0)
    if largest > _LARGEST or len(shapes) < len(model.graph.node):
        raise ModelFileError(
            f"the ONNX model makes tensors of {largest} values, or of sizes that are not known; "
            f"at most {_LARGEST} are allowed"
        )
