"""The types that a model file may name, and checks of those that compiled code reads.

skops calls trusted types and hands trusted functions on, with arguments of the file. So nothing
may be listed here whose call does more than compute or assign.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from skops.io import get_untrusted_types

from skavsc.exceptions import ModelFileError, UntrustedTypeError
from skavsc.persistence._archive import Archive
from skavsc.training import augmentation

# It turns its network into JSON and arrays and back, and checks them.
_KERAS_CLASSIFIER = "skavsc.training._keras_classifier.SegmentKerasClassifier"
# It holds the bytes of an ONNX model, which it checks.
_ONNX_CLASSIFIER = "skavsc.training._onnx_classifier.SegmentOnnxClassifier"
_TREE = "sklearn.tree._tree.Tree"

_OWN = frozenset(
    {
        "skavsc.audio._embedder.AudioEmbedder",
        "skavsc.audio._transformer.GammatoneMelTransformer",
        "skavsc.classifiers._audio.AudioSceneClassifier",
        "skavsc.classifiers._embedding.EmbeddingSceneClassifier",
        "skavsc.classifiers._secrnn.SECRNNClassifier",
        "skavsc.classifiers._visual.VisualSceneClassifier",
        "skavsc.evaluation._metrics.macro_log_loss_scorer",
        "skavsc.evaluation._novelty.SceneNoveltyDetector",
        "skavsc.pooling.TimePooling",
        "skavsc.training._keras_classifier.OneHotLabels",
        _KERAS_CLASSIFIER,
        _ONNX_CLASSIFIER,
        *(f"skavsc.training.augmentation.{name}" for name in augmentation.__all__),
        "skavsc.visual._embedder.ImageEmbedder",
        "skavsc.recipes.LocationFolds",
        "skavsc.recipes.scale_clips",
        "skavsc.visual._pixels.PixelEmbedder",
        "skavsc.visual._sampler.VideoFrameSampler",
        "skavsc.visual._vgg.VGGPlacesEmbedder",
    }
)

# All classes of these modules only compute or assign.
_OWN_MODULES = re.compile(r"skavsc\.fusion\._[a-z_]+")

_OTHERS = frozenset(
    {
        # Paths as parameters; the second module is that of Python 3.13.
        "pathlib.PosixPath",
        "pathlib._local.PosixPath",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
        "sklearn.metrics._scorer._MultimetricScorer",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.metrics._scorer._Scorer",
        *(
            f"sklearn.model_selection._split.{name}"
            for name in (
                "GroupKFold",
                "GroupShuffleSplit",
                "KFold",
                "LeaveOneGroupOut",
                "ShuffleSplit",
                "StratifiedGroupKFold",
                "StratifiedKFold",
                "StratifiedShuffleSplit",
            )
        ),
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils._metadata_requests.MetadataRequest",
        "sklearn.utils._metadata_requests.MethodMetadataRequest",
        _TREE,
    }
)

# Compiled code reads the arrays of these without checking them, and neither do we.
_UNCHECKED = frozenset(
    {
        "sklearn.ensemble._gb.GradientBoostingClassifier",
        "sklearn.ensemble._gb.GradientBoostingRegressor",
        "sklearn.ensemble._iforest.IsolationForest",
        "sklearn.svm._classes.NuSVR",
        "sklearn.svm._classes.OneClassSVM",
        "sklearn.svm._classes.SVR",
    }
)


@functools.cache
def _trusted_types() -> frozenset[str]:
    from sklearn.metrics import get_scorer, get_scorer_names

    functions = {get_scorer(name)._score_func for name in get_scorer_names()}
    names = {f"{function.__module__}.{function.__name__}" for function in functions}
    return _OWN | _OTHERS | names


def _is_own_class(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    if not _OWN_MODULES.fullmatch(module):
        return False
    try:
        found = getattr(importlib.import_module(module), attribute, None)
    except ModuleNotFoundError:
        return False
    return isinstance(found, type) and found.__module__ == module


def check_types(archive: Archive, trusted: Iterable[str | type]) -> list[str]:
    """Raise if an archive names types that are not trusted.

    Parameters
    ----------
    archive : Archive
        The archive, of which nothing is made.
    trusted : iterable of str or type
        What the user trusts besides.

    Returns
    -------
    list of str
        All trusted types of this archive, for skops.

    Raises
    ------
    UntrustedTypeError
        If there are others.
    """
    if isinstance(trusted, str | type | bool):
        raise TypeError(f"trusted={trusted!r} must be a list of types or of their names")
    users = {
        item if isinstance(item, str) else f"{item.__module__}.{item.__qualname__}"
        for item in trusted
    }
    try:
        unknown = set(get_untrusted_types(data=archive.data))
    except Exception as error:  # whatever skops raises, the file is the cause
        raise ModelFileError(f"its schema cannot be read: {error}") from error
    named = {f"{node['__module__']}.{node['__class__']}" for node in archive.nodes()}
    unknown_here = {name for name in unknown - _trusted_types() if not _is_own_class(name)}
    refused = (unknown_here | (named & _UNCHECKED)) - users
    if refused:
        raise UntrustedTypeError(
            f"it holds the types {', '.join(sorted(refused))}, which are not known to be safe; if "
            f"you trust them and the file's maker, pass trusted={sorted(refused)}",
            sorted(refused),
        )
    return sorted(unknown)


def check_trees(archive: Archive) -> None:
    """Raise if the nodes of a decision tree are not a tree.

    scikit-learn's compiled code follows them without looking, out of memory or for ever.
    """
    for node in archive.nodes():
        if node["__loader__"] != "TreeNode":
            continue
        try:
            n_features, classes, n_outputs = node["__reduce__"]["args"]["content"]
            n_features, n_outputs = int(n_features["content"]), int(n_outputs["content"])
            n_classes = archive.array(classes)
            state = node["content"]["content"]
            nodes, values = archive.array(state["nodes"]), archive.array(state["values"])
            index = np.arange(len(nodes))
            left, right = nodes["left_child"], nodes["right_child"]
            inner = left != -1
            whole = (
                n_classes.shape == (n_outputs,)
                and n_classes.min() >= 1
                and len(nodes) == int(state["node_count"]["content"]) >= 1
                and values.shape == (len(nodes), n_outputs, n_classes.max())
                and np.all((left > index) & (left < len(nodes)), where=inner)
                and np.all((right > index) & (right < len(nodes)), where=inner)
                and np.all((nodes["feature"] >= 0) & (nodes["feature"] < n_features), where=inner)
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelFileError(f"a decision tree is not described as one: {error!r}") from error
        if not whole:
            raise ModelFileError("the nodes of a decision tree do not form a tree")


def check_shapes(estimator: Any) -> None:
    """Raise if arrays that compiled code reads do not fit each other."""
    from sklearn.svm import SVC, NuSVC

    for item in objects(estimator):
        width = getattr(item, "n_features_in_", None)
        for member in np.ravel(np.asarray(getattr(item, "estimators_", ()), dtype=object)):
            tree = getattr(member, "tree_", None)
            if tree is not None and tree.n_features != width:
                raise ModelFileError(f"a tree of {type(item).__name__} is for other features")
        tree = getattr(item, "tree_", None)
        if tree is not None and tree.n_features != width:
            raise ModelFileError(f"the tree of {type(item).__name__} is for other features")
        if isinstance(item, SVC | NuSVC) and hasattr(item, "support_vectors_"):
            n_classes, n_vectors = len(item._n_support), len(item.support_vectors_)
            pairs = n_classes * (n_classes - 1) // 2
            fits = (
                item._n_support.min() >= 0
                and item._n_support.sum() == n_vectors
                and item.support_.shape == (n_vectors,)
                and item._dual_coef_.shape == (n_classes - 1, n_vectors)
                and item._intercept_.shape == (pairs,)
                and item._probA.shape in ((0,), (pairs,))
                and item._probB.shape == item._probA.shape
                and len(item.classes_) == n_classes
            )
            if not fits:
                raise ModelFileError("the arrays of a support vector classifier do not fit")


def objects(root: Any) -> Iterator[Any]:
    """Iterate over an estimator and all objects with attributes that it holds."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        item = waiting.pop()
        if id(item) in seen:
            continue
        seen.add(id(item))
        if isinstance(item, dict):
            waiting.extend(item.values())
        elif isinstance(item, list | tuple | set):
            waiting.extend(item)
        elif isinstance(item, np.ndarray):
            if item.dtype == object:
                waiting.extend(item.ravel().tolist())
        elif hasattr(item, "__dict__") and not isinstance(item, type):
            yield item
            kind = type(item)
            networks = (_KERAS_CLASSIFIER, _ONNX_CLASSIFIER)
            closed = kind.__module__.split(".")[0] == "keras"
            if not closed and f"{kind.__module__}.{kind.__qualname__}" not in networks:
                waiting.extend(vars(item).values())
