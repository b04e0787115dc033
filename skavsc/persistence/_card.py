"""The description in a model file: made when it is saved, read as text, HTML and Markdown."""

from __future__ import annotations

import datetime
import html
import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

import numpy as np

from skavsc.exceptions import ModelFileError
from skavsc.persistence._archive import FORMAT, Archive, read_file
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


class ModelCard:
    """The description of a model file; printed as text, and as HTML in notebooks.

    Parameters
    ----------
    description : dict
        What the file says: ``created``, ``estimator``, ``labels``, ``expected_input``,
        ``training``, ``versions``, ``weights``, ``self_test`` and ``format``.

    See Also
    --------
    model_card : Read the description of a file.

    Examples
    --------
    >>> import tempfile, numpy as np
    >>> from skavsc import TimePooling, model_card, save
    >>> with tempfile.NamedTemporaryFile(suffix=".skavsc") as file:
    ...     save(TimePooling().fit(np.zeros((2, 3, 4))), file.name)
    ...     model_card(file.name)
    <ModelCard of TimePooling...>
    """

    def __init__(self, description: dict[str, Any]) -> None:
        self.description = description

    def __str__(self) -> str:
        return "\n".join(
            f"{title}\n" + "\n".join(f"  {name}: {value}" for name, value in rows)
            for title, rows in self._sections()
        )

    def __repr__(self) -> str:
        return f"<ModelCard of {self.description['estimator']}>"

    def _repr_html_(self) -> str:
        parts = []
        for title, rows in self._sections():
            cells = "".join(
                f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td></tr>"
                for name, value in rows
            )
            parts.append(f"<h3>{html.escape(title)}</h3><table>{cells}</table>")
        return "".join(parts)

    def to_markdown(self) -> str:
        """Return the card in the usual sections, as Markdown.

        Returns
        -------
        str
            The text, to be completed by hand where it cannot be known from the file.
        """
        lines = [f"# {_escaped(self.description['estimator'])}", ""]
        for title, rows in self._sections():
            lines += [f"## {title}", ""]
            lines += [f"- **{_escaped(name)}:** {_escaped(value)}" for name, value in rows]
            lines += [""]
        return "\n".join(lines)

    def _sections(self) -> list[tuple[str, list[tuple[str, str]]]]:
        said = self.description
        training = dict(said["training"])
        metrics = training.pop("metrics", {})
        # There may be thousands of them, which only programs can use.
        training.pop("file_digests", None)
        metrics = metrics if isinstance(metrics, dict) else {"metrics": metrics}
        weights = [
            (
                str(file["name"]),
                f"sha256 {file['sha256']}; licence: {file['licence'] or 'not known'}; address: "
                f"{file['address'] or 'not known'}",
            )
            for file in said["weights"]
        ]
        expected = [
            ("expected input", ", ".join(f"{name} {value}" for name, value in item.items()))
            for item in said["expected_input"]
            if isinstance(item, dict)
        ]
        return [
            (
                "Model details",
                [
                    ("estimator", said["estimator"]),
                    ("created", said["created"]),
                    ("format", str(said["format"])),
                    ("self-test", "yes" if said["self_test"] else "no"),
                ],
            ),
            ("Uses", [("labels", ", ".join(map(str, said["labels"]))), *expected]),
            ("Training details", _rows(training)),
            ("Evaluation", _rows(metrics)),
            ("Weights of frozen networks", weights or [("weights", "none")]),
            ("Versions", _rows(said["versions"])),
        ]


def model_card(path: str | os.PathLike[str]) -> ModelCard:
    """Read what a model file says of itself; nothing of the estimator is loaded.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    ModelCard
        The description, to be printed, shown in a notebook or written as Markdown.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ModelFileError
        If it is damaged, not a model file or of a newer format.

    See Also
    --------
    save : Write a model file.

    Examples
    --------
    >>> import tempfile
    >>> import skavsc
    >>> from sklearn.linear_model import LogisticRegression
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = f"{folder}/scenes.skops"
    ...     skavsc.save(LogisticRegression().fit([[0.0], [1.0]], ["park", "tram"]), path)
    ...     card = skavsc.model_card(path)
    >>> card.description["labels"]
    ['park', 'tram']
    """
    try:
        description = Archive(read_file(Path(path))).description
        check_description(description)
    except ModelFileError as error:
        raise ModelFileError(f"{os.fspath(path)}: {error}") from error
    return ModelCard(description)


def _rows(values: dict[str, Any]) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in values.items()] or [("given", "nothing")]


def _escaped(text: str) -> str:
    """Return text without what Markdown or HTML would take for markup."""
    text = html.escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{char}" if char in "\\`*_[]#|" else char for char in text)


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
