"""One network, several runtimes: Keras, onnxruntime and MNN, with the same numbers."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Hashable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import joblib
import numpy as np
from numpy.typing import NDArray

from skavsc.exceptions import ModelError
from skavsc.pretrained._download import cache_folder
from skavsc.pretrained._precision import choose_precision, lower_precision

Batch = NDArray[np.float32]
#: A network as a function: a batch of inputs to their outputs.
Compiled = Callable[[Batch], Batch]
Key = TypeVar("Key", bound=Hashable)

#: Runtime -> (modules that it needs, the extra that installs them).
_RUNTIMES = {
    "mnn": (("MNN", "onnx"), "mnn"),
    "onnxruntime": (("onnxruntime", "onnx"), "onnx"),
    "keras": ((), ""),
}

#: Runtime -> what it computes in.
_PRECISIONS_OF = {
    "mnn": ("float32",),
    "onnxruntime": ("float32",),
    "keras": ("float32", "bfloat16"),
}

#: The number of MNN's hint on the tiles of Winograd convolutions (WINOGRAD_MEMORY_LEVEL).
_MNN_TILES = 3

# Run apart, because the converter brings its own protobuf and writes to the standard output.
# It is called directly: the package's command line also reports each conversion to its makers.
_CONVERT = "import sys, MNN, _tools; _tools.mnnconvert(['mnnconvert', *sys.argv[1:]])"


def installed_runtimes() -> list[str]:
    """Return the names of the runtimes whose packages are installed.

    Returns
    -------
    list of str
        The names, as the parameter ``runtime`` takes them.

    Examples
    --------
    >>> from skavsc.pretrained import installed_runtimes
    >>> "keras" in installed_runtimes()
    True
    """
    return [name for name in _RUNTIMES if not _absent(name)]


def _absent(runtime: str) -> list[str]:
    return [name for name in _RUNTIMES[runtime][0] if importlib.util.find_spec(name) is None]


def precisions_of(runtime: str, precision: str) -> list[str]:
    """Return the precisions asked for that a runtime can compute in.

    Parameters
    ----------
    runtime : {"keras", "onnxruntime", "mnn"}
        The runtime.
    precision : {"float32", "bfloat16", "auto"}
        The precision asked for; ``"auto"`` means float32 and, where the processor has units for
        it, bfloat16.

    Returns
    -------
    list of str
        The precisions.
    """
    wanted = {precision} if precision != "auto" else {"float32", choose_precision("auto")}
    return [each for each in _PRECISIONS_OF[runtime] if each in wanted]


def check_runtime(runtime: str) -> None:
    """Raise an error that says what to install, if the packages of a runtime are not there.

    Parameters
    ----------
    runtime : {"keras", "onnxruntime", "mnn"}
        The name.

    Raises
    ------
    ImportError
        If the packages of the runtime are not installed.
    """
    absent = _absent(runtime)
    if absent:
        raise ImportError(
            f"runtime={runtime!r} needs {' and '.join(absent)}; install with "
            f'pip install "skavsc[{_RUNTIMES[runtime][1]}]", or use runtime="keras" or "auto"'
        )


def _pooled(network: Any, pooling: str | None) -> Any:
    import keras

    output = network.outputs[0]
    if pooling is not None:
        kind = {"avg": "GlobalAveragePooling2D", "max": "GlobalMaxPooling2D"}[pooling]
        output = getattr(keras.layers, kind)(data_format="channels_last")(output)
    return keras.Model(network.inputs, output, name=network.name)


def _compile_keras(network: Any, pooling: str | None, precision: str) -> Compiled:
    model = _pooled(_lowered_copy(network) if precision == "bfloat16" else network, pooling)
    # predict() makes a data pipeline a call, some of which is never freed.
    return lambda images: np.asarray(model.predict_on_batch(images))


def _lowered_copy(network: Any) -> Any:
    """Copy a network to one that computes in bfloat16; the given one may be used elsewhere."""
    import keras

    try:
        copy = keras.models.clone_model(network)
        copy.set_weights(network.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ModelError(
            f"precision='bfloat16' needs a copy of {network.name}, which cannot be copied: "
            f"{error}; use precision='float32'"
        ) from error
    lower_precision(copy)
    return copy


def _onnx_graph(network: Any, pooling: str | None) -> bytes:
    from skavsc.networks import onnx_model

    try:
        return onnx_model(_pooled(network, pooling), output="features")
    except ValueError as error:
        raise ModelError(f"{error}; use runtime='keras'") from error


def _compile_onnxruntime(network: Any, pooling: str | None) -> Compiled:
    import onnxruntime

    graph = _onnx_graph(network, pooling)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = joblib.cpu_count()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(["features"], {name: images})[0]


def _mnn_file(graph: bytes, name: str) -> Path:
    """Convert for MNN once, and keep the file for later processes."""
    target = cache_folder("mnn") / f"{name}.mnn"
    if target.is_file():
        return target
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(tempfile.TemporaryDirectory(dir=target.parent))
        except OSError as error:
            cause = (
                f"{error.strerror}; runtime='mnn' keeps converted networks there: set "
                f"SKAVSC_CACHE_DIR to a folder that can be written, or use another runtime"
            )
            raise OSError(error.errno, cause, str(target.parent)) from error
        source, converted = Path(folder) / "graph.onnx", Path(folder) / "graph.mnn"
        source.write_bytes(graph)
        done = subprocess.run(
            [sys.executable, "-c", _CONVERT, "-f", "ONNX", "--modelFile", str(source),
             "--MNNModel", str(converted), "--bizCode", "skavsc"],
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
        if not converted.is_file():
            raise RuntimeError(
                f"MNN could not convert the network (exit status {done.returncode}); use "
                f"runtime='onnxruntime' or 'keras'. It said: {(done.stdout + done.stderr)[-500:]}"
            )
        os.replace(converted, target)
    return target


@contextlib.contextmanager
def _talk_on_stderr() -> Iterator[None]:
    """Keep what MNN's C++ code prints out of the standard output, which may be a table."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _mnn_module(path: Path, name: str, pooling: str | None) -> Any:
    import MNN

    how = {"precision": "high", "backend": 0, "numThread": joblib.cpu_count()}
    manager = MNN.nn.create_runtime_manager((how,))
    # Larger tiles of the Winograd convolution are faster and less exact. Averages over
    # positions bear them (3e-5 of the largest value); a maximum does not (2e-4).
    manager.set_hint(_MNN_TILES, 3 if pooling == "avg" else 1)
    return MNN.nn.load_module_from_file(
        str(path), [name], ["features"], runtime_manager=manager, shape_mutable=False
    )


def _compile_mnn(
    network: Any, digest: str, pooling: str | None, shape: tuple[int, ...]
) -> Compiled:
    graph = _onnx_graph(network, pooling)
    path = _mnn_file(graph, f"{network.name}-{digest}-{pooling}-{'x'.join(map(str, shape))}")
    with _talk_on_stderr():
        import MNN

        module = _mnn_module(path, network.inputs[0].name, pooling)
    lock = threading.Lock()

    def run(images: Batch) -> Batch:
        with lock:  # an MNN module has one set of buffers
            # NCHW means that the axes are those of the graph, whatever they are.
            placed = MNN.expr.const(
                np.ascontiguousarray(images), list(shape), MNN.expr.NCHW, MNN.expr.float
            )
            return np.array(module.forward([placed])[0].read())

    return run


def compile_for_runtime(
    network: Any,
    digest: str,
    pooling: str | None,
    runtime: str,
    precision: str,
    batch_size: int,
    image_size: tuple[int, int],
) -> Compiled:
    """Return a function from preprocessed images to features.

    Parameters
    ----------
    network : keras.Model
        From images to maps, or to features if ``pooling`` is None.
    digest : str
        The checksum of the weights, by which converted networks are kept.
    pooling : {"avg", "max"} or None
        The pooling over positions that follows.
    runtime : {"keras", "onnxruntime", "mnn"}
        Which is installed.
    precision : {"float32", "bfloat16"}
        Which the runtime can do.
    batch_size : int
        Number of images a call.
    image_size : tuple of (int, int)
        Height and width in pixels.

    Returns
    -------
    callable
        From (batch_size, height, width, 3) to (batch_size, n_features), float32.
    """
    if runtime == "keras":
        return _compile_keras(network, pooling, precision)
    if runtime == "onnxruntime":
        return _compile_onnxruntime(network, pooling)
    shape = (batch_size, *image_size, network.input_shape[-1])
    return _compile_mnn(network, digest, pooling, shape)


def fastest(candidates: dict[Key, Compiled], shape: tuple[int, ...]) -> Key:
    """Return the candidate that takes the least time for a batch.

    Which one it is depends on the processor: Winograd convolutions win on AVX2, direct ones
    may win on AVX-512. So it is measured.

    Parameters
    ----------
    candidates : dict of callables
        The compiled network by runtime and precision.
    shape : tuple of int
        The shape of a batch.

    Returns
    -------
    object
        A key of ``candidates``.
    """
    images = np.random.default_rng(0).uniform(-100, 100, shape).astype(np.float32)
    seconds: dict[Key, float] = {}
    for round_ in range(3):
        for name, run in candidates.items():
            start = time.perf_counter()
            run(images)
            if round_:  # the first call also compiles and allocates
                seconds[name] = min(seconds.get(name, np.inf), time.perf_counter() - start)
    return min(seconds, key=seconds.__getitem__)
