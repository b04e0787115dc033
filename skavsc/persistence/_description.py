"""The description in a model file, made when it is saved."""

from __future__ import annotations

import datetime
import importlib.metadata
import platform
import sys
from typing import Any

import numpy as np

from skavsc.exceptions import ModelFileError
from skavsc.persistence._archive import FORMAT
from skavsc.persistence._trust import objects

# Modules of the packages whose versions may change what an estimator computes.
_PACKAGES = {
    "cv2": "opencv-python-headless",
    "keras": "keras",
    "librosa": "librosa",
    "numpy": "numpy",
    "onnxruntime": "onnxruntime",
    "scipy": "scipy",
    "skavsc": "skavsc",
    "sklearn": "scikit-learn",
    "skops": "skops",
    "tensorflow": "tensorflow",
}


def check_description(description: dict[str, Any]) -> None:
    """Raise unless a description has the parts that are read."""
    parts = {
        "created": str,
        "estimator": str,
        "expected_input": list,
        "format": int,
        "labels": list,
        "self_test": bool,
        "training": dict,
        "versions": dict,
        "weights": list,
    }
    for name, kind in parts.items():
        if type(description.get(name)) is not kind:
            raise ModelFileError(f"skavsc.json has no {name!r} of type {kind.__name__}")
    texts = {"parameter", "value", "name", "sha256"}
    for file in description["weights"]:
        whole = isinstance(file, dict) and all(isinstance(file.get(part), str) for part in texts)
        if (
            not whole
            or not {"size", "address", "licence"} <= set(file)
            or not isinstance(file.get("network", 0), str | None)
        ):
            raise ModelFileError("skavsc.json describes weights incompletely")


def describe(
    estimator: Any, training: dict[str, Any] | None, weights: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the content of ``skavsc.json``, except whether there is a self-test.

    Parameters
    ----------
    estimator : object
        The estimator.
    training : dict or None
        What the user says of the training.
    weights : list of dict
        The files of frozen networks.

    Returns
    -------
    dict
        The description.
    """
    inputs = [
        {
            "modality": "audio" if "sample_rate" in vars(item) else "visual",
            **{
                name: vars(item)[name]
                for name in ("sample_rate", "duration", "fps")
                if isinstance(vars(item).get(name), int | float)
            },
        }
        for item in objects(estimator)
        if type(item).__module__.startswith(("skavsc.audio", "skavsc.visual"))
    ]
    distinct = [item for number, item in enumerate(inputs) if item not in inputs[:number]]
    features = getattr(estimator, "n_features_in_", None)
    if not distinct and features is not None:
        distinct = [{"n_features": int(features)}]
    return {
        "format": FORMAT,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "estimator": _outline(estimator),
        "labels": np.asarray(getattr(estimator, "classes_", [])).tolist(),
        "expected_input": distinct,
        "training": {**_training_record(estimator), **(training or {})},
        "versions": versions(),
        "weights": weights,
    }


def _training_record(estimator: Any) -> dict[str, Any]:
    """Return what is known of the training: of the part that was trained on most clips."""
    known = [
        vars(item)["_trained_on"] for item in objects(estimator) if "_trained_on" in vars(item)
    ]
    return max(known, key=lambda record: record["clips"], default={})


def _outline(estimator: Any) -> str:
    steps = getattr(estimator, "steps", None)
    if steps is None:
        return type(estimator).__name__
    return " > ".join(_outline(step) for _, step in steps)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that are loaded."""
    loaded = {name: package for name, package in _PACKAGES.items() if name in sys.modules}
    found = {"python": platform.python_version()}
    for package in loaded.values():
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # opencv-python in place of opencv-python-headless, for instance
    return found
