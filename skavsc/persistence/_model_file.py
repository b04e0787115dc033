"""Save fitted estimators to model files and load them."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io

from skavsc._startup import importing
from skavsc.exceptions import ModelFileError, ModelVersionWarning
from skavsc.persistence._archive import Archive, build, read_file, write_atomically
from skavsc.persistence._card import check_description, describe, versions
from skavsc.persistence._networks import needed_files, restore_files
from skavsc.persistence._onnx import without_keras
from skavsc.persistence._trust import check_shapes, check_trees, check_types, objects

# What the self-test calls: the first that an estimator has.
_METHODS = ("predict_proba", "decision_function", "predict", "transform")


def save(
    estimator: Any,
    path: str | os.PathLike[str],
    *,
    sample: Any = None,
    training: dict[str, Any] | None = None,
    include_weights: bool = True,
    runtime: str | None = None,
    trusted: Iterable[str | type] = (),
) -> None:
    """Save a fitted estimator to a file that runs no code when it is loaded.

    Parameters
    ----------
    estimator : estimator
        A fitted estimator or Pipeline of this package's and of scikit-learn's estimators. Networks
        of Keras that are parameters must be paths of ``.keras`` files.
    path : path-like
        The file, by convention ``*.skops``. A file that is there is replaced once the new one is
        complete: if saving fails or is killed, it stays as it is.
    sample : ndarray, default=None
        Some rows of X, such as the features of one clip. They are stored with what the estimator
        predicts, and `load` with ``verify=True`` predicts them again.
    training : dict, default=None
        What the model card says of the training: numbers, strings, and lists and dicts of them,
        such as ``{"data": "TAU 2021", "metrics": {"accuracy": 0.9}}``. ``clips``, ``locations``
        and ``date`` are those of the fit, unless given here, where a classifier or fusion of this
        package knows them.
    include_weights : bool, default=True
        Whether the files of frozen networks are stored too, each once. Otherwise they are
        described by name, sha256 and address, and `load` takes a folder of them.
    runtime : {"onnxruntime"} or None, default=None
        ``"onnxruntime"``: the networks of classifiers are stored as ONNX models, which predict
        the same to 1e-5 where neither Keras nor its backend is installed, and cannot be trained
        further. None: those of classifiers whose ``runtime`` is that.
    trusted : iterable of str or type, default=()
        Types of other packages that the estimator holds. `load` must be passed them as well.

    Raises
    ------
    UntrustedTypeError
        If the estimator holds types that are not known to be safe.
    ModelFileError
        If the estimator cannot be stored.
    WeightsNotFoundError
        If the files of frozen networks are not found.
    OSError
        If the file cannot be written, for instance as the disk is full.

    See Also
    --------
    load : Load such a file.
    model_card : Describe such a file.

    Notes
    -----
    The file is one of skops [1]_ with a description and weights added. Gradient boosting, SVR,
    trees of neighbours and some others are read by compiled code without checks and must be named
    in ``trusted``. Use joblib for what model files do not hold, and only load its pickles from
    those you trust.

    References
    ----------
    .. [1] https://skops.readthedocs.io

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> import skavsc
    >>> from sklearn.linear_model import LogisticRegression
    >>> X, y = np.array([[0.0], [1.0]]), ["park", "tram"]
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     skavsc.save(LogisticRegression().fit(X, y), f"{folder}/scenes.skops", sample=X)
    ...     model = skavsc.load(f"{folder}/scenes.skops", verify=True)
    >>> model.predict([[0.9]])
    array(['tram'], dtype='<U4')
    """
    path = Path(path)
    trusted = list(trusted)
    if runtime not in (None, "onnxruntime"):
        raise ValueError(f'runtime={runtime!r} must be "onnxruntime" or None')
    estimator = without_keras(estimator, every=runtime is not None)
    for item in objects(estimator):
        if type(item).__module__.split(".")[0] in ("keras", "scikeras"):
            raise ModelFileError(
                f"the estimator holds the Keras object {item!r}; save it to a "
                f".keras file and pass its path in place of it, or use joblib.dump"
            )
        if isinstance(getattr(item, "memory", None), joblib.Memory):
            raise ModelFileError(
                f"{type(item).__name__}: memory is a joblib.Memory; set it to a path or to None, "
                f"which it is after loading"
            )
    files = {file["sha256"]: (where, file) for where, file in needed_files(estimator)}
    content = {"estimator": estimator, "self_test": _self_test(estimator, sample)}
    try:
        with _named_owners(estimator):
            skops_file = skops.io.dumps(content)
    except ModelFileError:
        raise
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(f"{type(estimator).__name__} cannot be stored: {error}") from error
    description = describe(estimator, training, [file for _, file in files.values()])
    description["self_test"] = sample is not None
    weights = {digest: where for digest, (where, _) in files.items()} if include_weights else {}
    try:
        data = build(skops_file, description, weights)
    except (TypeError, ValueError) as error:
        raise ModelFileError(f"training={training!r} is no JSON: {error}") from error
    _restore(Archive(data), trusted)
    write_atomically(path, data)


@contextlib.contextmanager
def _named_owners(estimator: Any) -> Iterator[None]:
    """Replace the owners of metadata requests by their names while the block runs.

    An estimator whose metadata were requested holds itself, as the owner of its requests, which
    serves messages alone; skops cannot write an object that holds itself.
    """
    requests = [
        item
        for item in objects(estimator)
        if type(item).__module__ == "sklearn.utils._metadata_requests" and hasattr(item, "owner")
    ]
    owners = [request.owner for request in requests]
    try:
        for request, owner in zip(requests, owners, strict=True):
            request.owner = owner if isinstance(owner, str) else type(owner).__name__
        yield
    finally:
        for request, owner in zip(requests, owners, strict=True):
            request.owner = owner


def load(
    path: str | os.PathLike[str],
    *,
    trusted: Iterable[str | type] = (),
    weights: str | os.PathLike[str] | None = None,
    verify: bool = False,
) -> Any:
    """Load an estimator from a file that `save` has written.

    Parameters
    ----------
    path : path-like
        The file.
    trusted : iterable of str or type, default=()
        Types, or their full names, that are trusted besides those of this package and of
        scikit-learn. Trust none of a file whose maker you do not know.
    weights : path-like, default=None
        A folder with the weights of frozen networks that the file does not hold.
    verify : bool, default=False
        Whether to predict the stored sample again and compare.

    Returns
    -------
    estimator
        The fitted estimator. Its ``memory`` is None everywhere.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    UntrustedTypeError
        If it holds types that are not trusted; nothing of it was run.
    ModelFileError
        If it is damaged, not a model file or of a newer format, or verification fails.
    WeightsNotFoundError
        If weights are neither in the file nor in the folder.

    Warns
    -----
    ModelVersionWarning
        If packages have other versions than when the file was written.

    See Also
    --------
    save : Write such a file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skavsc import TimePooling, load, save
    >>> with tempfile.NamedTemporaryFile(suffix=".skavsc") as file:
    ...     save(TimePooling().fit(np.zeros((2, 3, 4))), file.name)
    ...     load(file.name)
    TimePooling()
    """
    path = Path(path)
    trusted = [trusted] if isinstance(trusted, str | type) else list(trusted)
    try:
        archive = Archive(read_file(path))
        content = _restore(archive, trusted)
        _warn_of_versions(path, archive.description["versions"])
        estimator = content["estimator"]
        restore_files(estimator, archive, weights)
        if verify:
            _verify(estimator, content["self_test"])
    except ModelFileError as error:
        raise _located(error, path) from error
    return estimator


def _located(error: ModelFileError, path: Path) -> ModelFileError:
    """Return an error of the same class whose message begins with the file."""
    located = type(error).__new__(type(error))
    vars(located).update(vars(error))
    located.args = (f"{path}: {error}", *error.args[1:])
    return located


def _restore(archive: Archive, trusted: list[str | type]) -> dict[str, Any]:
    """Make the objects of an archive, after all checks."""
    check_description(archive.description)
    types = check_types(archive, trusted)
    check_trees(archive)
    try:
        content = importing(lambda: skops.io.loads(archive.data, trusted=types))
        if not isinstance(content, dict) or set(content) != {"estimator", "self_test"}:
            raise ModelFileError("it holds no estimator")
        check_shapes(content)
        for item in objects(content):
            # A folder of another machine, or one that a stranger has chosen.
            if getattr(item, "memory", None) is not None:
                item.memory = None
    except ModelFileError:
        raise
    except Exception as error:  # whatever the types raise, the file is the cause
        raise ModelFileError(f"it cannot be restored: {type(error).__name__}: {error}") from error
    return content


def _self_test(estimator: Any, sample: Any) -> dict[str, Any] | None:
    if sample is None:
        return None
    sample = np.asarray(sample)
    if sample.dtype.hasobject:
        raise ModelFileError(
            f"sample is an array of {sample.dtype}; pass features, as pipeline[:-1].transform "
            f"gives them, or waveforms"
        )
    method = next(name for name in _METHODS if hasattr(estimator, name))
    return {"X": sample, "method": method, "output": getattr(estimator, method)(sample)}


def _verify(estimator: Any, test: Any) -> None:
    if test is None:
        raise ModelFileError("it holds no sample to verify; save it with sample=")
    if not isinstance(test, dict) or test.get("method") not in _METHODS:
        raise ModelFileError("its sample is not described as one")
    try:
        output = np.asarray(getattr(estimator, test["method"])(test["X"]))
    except Exception as error:  # whatever the estimator raises, it cannot do what it did
        raise ModelFileError(f"{test['method']} of the stored sample fails: {error}") from error
    if output.dtype.kind in "fc":
        # What other versions and runtimes may differ by.
        same = np.allclose(output, test["output"], rtol=0, atol=1e-5, equal_nan=True)
    else:
        same = np.array_equal(output, test["output"])
    if not same:
        raise ModelFileError(
            f"{test['method']} of the stored sample is not what it was when the file was written; "
            f"install the versions that model_card names"
        )


def _warn_of_versions(path: Path, stored: dict[str, Any]) -> None:
    here = versions()
    differing = [
        f"{package} {version} (here {here[package]})"
        for package, version in stored.items()
        if package in here and here[package] != version
    ]
    if differing:
        warnings.warn(
            f"{path} was written with {', '.join(differing)}; predictions may differ: load it "
            f"with verify=True",
            ModelVersionWarning,
            stacklevel=3,
        )
