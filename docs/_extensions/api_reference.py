"""The API reference: what is in it, which methods it shows, and what names in prose refer to."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
PACKAGE = HERE.parent / "skavsc"

# Where public names live, from the recipes down.
ROOMS = {
    "recipes": "Whole classifiers",
    "streaming": "Prediction of many clips",
    "datasets": "Clip tables",
    "media": "Decoding",
    "audio": "Sound",
    "visual": "Picture",
    "pooling": "Pooling over time",
    "pretrained": "Frozen networks",
    "networks": "Keras networks",
    "training": "Training",
    "training.augmentation": "Augmentation",
    "classifiers": "Classifiers",
    "fusion": "Fusion",
    "evaluation": "Evaluation",
    "persistence": "Model files",
    "exceptions": "Errors and warnings",
}


INTRODUCTION = """\
Every public name of skavsc, by the module that it is imported from. HTML diagrams of estimators,
as notebooks show them, link here if the environment variable ``SKAVSC_DOCS_URL`` holds the address
of this documentation."""


def exported(stub: Path) -> list[str]:
    """Return the names that a stub of a package exports, without subpackages."""
    names = []
    for node in ast.parse(stub.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            names += [alias.asname or alias.name for alias in node.names]
    return names


def listed(module: Path) -> list[str]:
    """Return the names in ``__all__`` of a module."""
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    raise ValueError(f"{module} has no __all__; list its public names")


def defined_as(name: str) -> str:
    """Return the full name of what a public name stands for, in the module that defines it."""
    room, _, own = name.rpartition(".")
    stub = PACKAGE / Path(*room.split(".")[1:]) / "__init__.pyi"
    if stub.exists():
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom) and own in {alias.name for alias in node.names}:
                return defined_as(f"{room}.{node.module}.{own}")
    return name


@functools.cache
def public_names() -> dict[str, list[str]]:
    """Return the public names of every room, as they are imported."""
    top = set(exported(PACKAGE / "__init__.pyi"))
    names = {}
    for room in ROOMS:
        base = PACKAGE / Path(*room.split("."))
        stub = base / "__init__.pyi"
        own = exported(stub) if stub.exists() else listed(base.with_suffix(".py"))
        own = sorted(own, key=str.lower)
        names[room] = [f"skavsc.{n}" if n in top else f"skavsc.{room}.{n}" for n in own]
    if left_out := top - {name.rpartition(".")[2] for own in names.values() for name in own}:
        raise ValueError(f"{sorted(left_out)} are exported by skavsc and in none of ROOMS")
    return names


def public_classes() -> list[str]:
    """Return the public names that are written as classes are."""
    names = [full for of_room in public_names().values() for full in of_room]
    return [full for full in names if re.match(r"[A-Z]+[a-z]", full.rpartition(".")[2])]


def write_index(*_: object) -> None:
    """Write the page that lists every public name, before Sphinx looks for its sources."""
    lines = ["API reference", "=============", "", INTRODUCTION, ""]
    for room, names in public_names().items():
        title = ROOMS[room]
        lines += [title, "-" * len(title), "", f".. py:module:: skavsc.{room}", ""]
        # Names in the tables are whole, so that one sees where to import them from.
        lines += [".. py:currentmodule:: None", "", f"``skavsc.{room}``", ""]
        lines += [".. autosummary::", "   :toctree: generated", f"   :caption: {title}", ""]
        lines += [f"   {name}" for name in names] + [""]
    path = HERE / "api" / "index.rst"
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(lines)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def skip_foreign(app, what, name, member, skip, options):
    """Leave methods out that are scikit-learn's, Keras's or Python's own, documented there."""
    if skip or what not in ("class", "exception"):
        return skip
    function = inspect.unwrap(getattr(member, "fget", None) or getattr(member, "__func__", member))
    own = inspect.isfunction(function) and function.__module__.startswith("skavsc")
    return None if own else True


def describe_constant(app, what, name, obj, options, lines):
    """Take the text of a constant from the comment above its definition, not from its type."""
    if what != "data":
        return
    from sphinx.pycode import ModuleAnalyzer

    module, _, own = defined_as(name).rpartition(".")
    comments = ModuleAnalyzer.for_module(module).find_attr_docs()
    if ("", own) not in comments:
        raise ValueError(f"{own} in {module} has no comment; say what it is above it, after #:")
    lines[:] = comments["", own]


def link_short_name(app, env, node, contnode):
    """Find the page of a name that is written without its room, or with the room it lives in."""
    target = node.get("reftarget", "")
    names = {
        full.rpartition(".")[2]: full for of_room in public_names().values() for full in of_room
    }
    room, _, name = target.removeprefix("~").rpartition(".")
    if (
        node.get("refdomain") != "py"
        or name not in names
        or not (not room or room.startswith("skavsc"))
    ):
        return None
    domain = env.get_domain("py")
    found = dict(domain.objects).get(names[name])
    if found is None:
        return None
    from sphinx.util.nodes import make_refnode

    return make_refnode(
        app.builder, node["refdoc"], found.docname, found.node_id, contnode, names[name]
    )


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", write_index)
    app.connect("autodoc-skip-member", skip_foreign)
    app.connect("autodoc-process-docstring", describe_constant)
    app.connect("missing-reference", link_short_name)
    return {"parallel_read_safe": True}
