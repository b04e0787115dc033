"""Trained networks as ONNX files, for other programs and languages."""

from __future__ import annotations

import copy
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from skavsc.persistence._archive import write_atomically
from skavsc.persistence._trust import objects


def to_onnx(estimator: Any, path: str | os.PathLike[str] | None = None) -> bytes:
    """Write the network of a fitted classifier, or a Keras network, as an ONNX model.

    The model takes a batch of segments of any number: the features of one second each, under the
    names ``audio`` and ``visual``, laid out as the classifier takes them. It gives their class
    probabilities, ``probabilities``, those of ``predict_proba_segments``. It needs neither Keras
    nor this package. A missing segment is all 0, for networks that can do without.

    Parameters
    ----------
    estimator : scene classifier or keras.Model
        A fitted AudioSceneClassifier, VisualSceneClassifier, EmbeddingSceneClassifier or
        SECRNNClassifier; or a network, such as `skavsc.networks` and
        `SECRNNClassifier.build_deployable` build them.
    path : path-like, default=None
        The file to write, by convention ``*.onnx``. A file that is there is replaced once the new
        one is complete.

    Returns
    -------
    bytes
        The content of the file.

    Raises
    ------
    TypeError
        If it is another kind of estimator.
    ValueError
        If the network has a layer that cannot be written.
    ImportError
        If onnx is not installed.
    OSError
        If the file cannot be written.

    See Also
    --------
    save : Write whole estimators and Pipelines; with ``runtime="onnxruntime"`` without Keras.

    Notes
    -----
    The metadata of a classifier's model holds its labels in the order of the probabilities, as
    JSON, under ``classes``.

    Examples
    --------
    >>> import numpy as np
    >>> import skavsc
    >>> X, y = np.random.default_rng(0).normal(size=(4, 5, 6)), ["park", "tram"] * 2
    >>> classifier = skavsc.VisualSceneClassifier(units=2, epochs=1, validation_fraction=0)
    >>> graph = skavsc.to_onnx(classifier.fit(X, y))
    >>> import onnxruntime
    >>> session = onnxruntime.InferenceSession(graph)
    >>> (found,) = session.run(["probabilities"], {"visual": X.astype("float32")})
    >>> np.allclose(found, classifier.predict_proba(X), atol=1e-5)
    True
    """
    if hasattr(estimator, "_onnx_graph"):
        check_is_fitted(estimator)
        graph: bytes = estimator._onnx_graph()
    elif "keras" in sys.modules and isinstance(estimator, sys.modules["keras"].Model):
        from skavsc.networks import onnx_model

        graph = onnx_model(estimator)
    else:
        steps = getattr(estimator, "steps", None)
        remedy = f"; pass its last step, {steps[-1][1]!r}" if steps else ""
        raise TypeError(
            f"estimator is a {type(estimator).__name__}; only networks can be written as ONNX: an "
            f"AudioSceneClassifier, VisualSceneClassifier, EmbeddingSceneClassifier, "
            f"SECRNNClassifier or keras.Model{remedy}"
        )
    if path is not None:
        write_atomically(Path(path), graph)
    return graph


def without_keras(estimator: Any, every: bool) -> Any:
    """Return an estimator whose classifiers hold ONNX models in place of Keras networks.

    Parameters
    ----------
    estimator : object
        The estimator, which is not changed.
    every : bool
        Whether to convert all classifiers with a trained network, or only those whose ``runtime``
        is ``"onnxruntime"``.

    Returns
    -------
    object
        A copy, or the estimator itself if there is nothing to convert.
    """
    trained = [item for item in objects(estimator) if "keras_classifier_" in vars(item)]
    chosen = [item for item in trained if every or item.runtime == "onnxruntime"]
    if not chosen:
        return estimator
    # Networks that stay are not copied, and arrays need not be.
    kept = [item.keras_classifier_ for item in trained]
    kept += [
        value
        for item in objects(estimator)
        for value in vars(item).values()
        if isinstance(value, np.ndarray) and not value.dtype.hasobject
    ]
    memo = {id(item): item for item in kept}
    memo |= {id(item): item._without_keras() for item in chosen}
    return copy.deepcopy(estimator, memo)
