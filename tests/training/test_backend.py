"""What Keras's global settings and a fork may not change or hang."""

import textwrap

import keras
import numpy as np
import pytest

SETTINGS = """
    import sys, keras, numpy as np, joblib
    policy, floatx, image_format, path = sys.argv[1:]
    keras.config.set_floatx(floatx)
    keras.config.set_dtype_policy(policy)
    keras.config.set_image_data_format(image_format)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf
        tf.config.run_functions_eagerly(True)  # quicker than a graph for two steps
    from skavsc import AudioSceneClassifier
    rng = np.random.default_rng(0)
    y = np.arange(12) % 3
    X = rng.normal(-60, 8, (12, 8, 20, 2)) + 10 * y[:, None, None, None]
    options = {"filters": (2, 2, 2), "reduction": 1, "segment_frames": 10, "epochs": 2}
    classifier = AudioSceneClassifier(**options, random_state=0, validation_fraction=0).fit(X, y)
    np.save(path, classifier.predict_proba(X))
    assert keras.config.floatx() == floatx
    assert keras.config.dtype_policy().name == policy
    assert keras.config.image_data_format() == image_format
"""


def test_global_settings_do_not_change_results(tmp_path, run_fresh):
    found = []
    for number, settings in enumerate(
        [
            ("float32", "float32", "channels_last"),
            ("mixed_bfloat16", "float64", "channels_first"),
        ]
    ):
        path = tmp_path / f"{number}.npy"
        run_fresh(textwrap.dedent(SETTINGS), *settings, path)
        found.append(np.load(path))
    assert found[0].dtype == np.float32
    np.testing.assert_allclose(found[0].sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found[1], found[0])


FORK = """
    import os, pickle, sys, time
    import numpy as np
    from skavsc import VisualSceneClassifier
    X, y = np.random.default_rng(0).normal(size=(8, 4, 6)), np.arange(8) % 2
    options = {"units": 2, "segment_frames": 2, "epochs": 1, "validation_fraction": 0}
    model = VisualSceneClassifier(**options).fit(X, y)
    dumped = pickle.dumps(model)
    tasks = [
        lambda: model.predict(X),
        lambda: pickle.loads(dumped),
        lambda: VisualSceneClassifier(**options).fit(X, y),
    ]
    for task in tasks:
        child = os.fork()
        if not child:
            begin = time.monotonic()
            try:
                task()
            except RuntimeError as error:
                told = "spawn" in str(error) and time.monotonic() - begin < 1
                os._exit(0 if told else 1)
            os._exit(2)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    model.predict(X)
"""


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch works in a fork")
def test_a_fork_is_told_so_at_once(run_fresh):
    run_fresh(textwrap.dedent(FORK))
