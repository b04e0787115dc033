"""Small real media files that the tests of all rooms share."""

from __future__ import annotations

import multiprocessing
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import settings

from skavsc.media import write_clip

# How long an example takes says more of the machine than of the code.
settings.register_profile("skavsc", deadline=None)
settings.load_profile("skavsc")

AVSC_MINI = Path(__file__).resolve().parents[2] / "shared" / "data" / "avsc-mini"


def run_in_workers(module):
    """Let worker processes run the functions of a test module, which they cannot import."""
    try:
        from joblib.externals import cloudpickle  # before 1.6 joblib brings its own
    except ImportError:
        import cloudpickle
    cloudpickle.register_pickle_by_value(sys.modules[module])


def tones(duration=1.0, rate=48_000, channels=2, frequency=440.0):
    """A tone a channel, each with its own pitch and a little noise: (channels, samples)."""
    rng = np.random.default_rng(0)
    time = np.arange(round(duration * rate)) / rate
    pitch = frequency * 1.5 ** np.arange(channels)[:, None]
    return 0.3 * np.sin(2 * np.pi * pitch * time) + 0.01 * rng.uniform(-1, 1, (channels, time.size))


def moving_frames(duration=1.0, fps=25, height=48, width=64):
    """Red left half, blue right half, and a white bar that crosses both in the clip's time."""
    n_frames = round(duration * fps)
    frames = np.zeros((n_frames, height, width, 3), dtype=np.uint8)
    frames[:, :, : width // 2, 0] = 220
    frames[:, :, width // 2 :, 2] = 220
    for number, frame in enumerate(frames):
        left = number * width // n_frames
        frame[height // 4 : height // 2, left : left + width // 8] = 255
    return frames


def write_wav(path, duration=1.0, rate=48_000, channels=2, subtype="PCM_24", **kwargs):
    """Write ``tones`` to a wav file and give its path."""
    sound = tones(duration, rate, channels, **kwargs)
    soundfile.write(path, sound.T, rate, subtype=subtype)
    return Path(path)


FRESH = """
import os, sys
sys.argv = ["-c", *arguments]
os.dup2(os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
os.dup2(1, 2)
exec(code, {"__name__": "__main__"})
"""


@pytest.fixture(scope="session")
def run_fresh(tmp_path_factory):
    """The function ``run_fresh(code, *arguments)``, which runs code in a process of its own.

    It is forked from one that has imported Keras, which takes seconds, and done nothing else: it
    knows no module, network or setting of the test's process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["keras"])
    output = tmp_path_factory.mktemp("fresh") / "output.txt"

    def run(code, *arguments):
        names = {"code": code, "arguments": [str(a) for a in arguments], "output": str(output)}
        process = context.Process(target=exec, args=(FRESH, names))
        process.start()
        process.join(120)
        if process.is_alive():
            process.kill()
            process.join()
        assert process.exitcode == 0, output.read_text(encoding="utf-8")

    return run


@pytest.fixture(scope="session")
def media_dir(tmp_path_factory):
    """A folder for generated media, kept for the whole session."""
    return tmp_path_factory.mktemp("media")


@pytest.fixture(scope="session")
def wav_path(media_dir):
    """One second of stereo sound, 48 kHz, 24 bit."""
    return write_wav(media_dir / "stereo.wav")


@pytest.fixture(scope="session")
def video_path(media_dir):
    """One second of ``moving_frames`` at 25 frames a second, 64 x 48, without sound."""
    return write_clip(media_dir / "picture.mp4", moving_frames(), 25)


@pytest.fixture(scope="session")
def clip_path(media_dir):
    """An mp4 with both streams: ``moving_frames`` and ``tones``, one second."""
    return write_clip(media_dir / "both.mp4", moving_frames(), 25, sound=tones())


@pytest.fixture(scope="session")
def make_wav():
    """The function ``write_wav(path, duration, rate, channels, subtype)``."""
    return write_wav


@pytest.fixture(scope="session")
def make_frames():
    """The function ``moving_frames(duration, fps, height, width)``."""
    return moving_frames


@pytest.fixture(scope="session")
def make_tones():
    """The function ``tones(duration, rate, channels, frequency)``."""
    return tones


@pytest.fixture(scope="session")
def avsc_mini():
    """The development set beside the checkout; the test is skipped where it is not."""
    if not AVSC_MINI.is_dir():
        pytest.skip(f"needs {AVSC_MINI}")
    return AVSC_MINI


def write_network(path, name, takes, nodes, arrays=()):
    """Write a network from one example to 16 numbers."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        name,
        [info("x", TensorProto.FLOAT, takes)],
        [info("y", TensorProto.FLOAT, ["n", 16])],
        [numpy_helper.from_array(values.astype(np.float32), key) for key, values in arrays],
    )
    opset = [helper.make_opsetid("", 13)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)
    return str(path)


@pytest.fixture(scope="session")
def tiny_networks(tmp_path_factory):
    """Networks in files: levels of 16 bands of 0.1 s at 8 kHz; 4 x 4 grey levels of 224 x 224."""
    from onnx import helper

    folder = tmp_path_factory.mktemp("networks")
    time = np.arange(800) / 8000
    waves = np.exp(2j * np.pi * time[:, None] * np.linspace(100, 3800, 16)) / 800
    node = helper.make_node
    sound = [
        node("MatMul", ["x", "cosines"], ["c"]),
        node("MatMul", ["x", "sines"], ["s"]),
        node("Mul", ["c", "c"], ["cc"]),
        node("Mul", ["s", "s"], ["ss"]),
        node("Add", ["cc", "ss"], ["power"]),
        node("Add", ["power", "floor"], ["above"]),
        node("Log", ["above"], ["y"]),
    ]
    arrays = [("cosines", waves.real), ("sines", waves.imag), ("floor", np.array([1e-9]))]
    image = [
        node("ReduceMean", ["x"], ["grey"], axes=[1], keepdims=1),
        node("AveragePool", ["grey"], ["p"], kernel_shape=[56, 56], strides=[56, 56]),
        node("Flatten", ["p"], ["y"]),
    ]
    return (
        write_network(folder / "sound.onnx", "sound", ["n", 800], sound, arrays),
        write_network(folder / "image.onnx", "image", ["n", 3, 224, 224], image),
    )
