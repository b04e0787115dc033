"""Private names of scikit-learn stand in one module."""

import ast
from pathlib import Path

import skavsc
from skavsc import _sklearn_compat

PACKAGE = Path(skavsc.__file__).parent


def _private_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sklearn"):
            parts = node.module.split(".")
            for alias in node.names:
                if any(part.startswith("_") for part in (*parts, alias.name)):
                    yield f"{path.relative_to(PACKAGE)}:{node.lineno}: {node.module}.{alias.name}"


def test_no_other_module_imports_a_private_name_of_scikit_learn():
    modules = [path for path in PACKAGE.rglob("*.py") if path.name != "_sklearn_compat.py"]
    assert len(modules) > 10
    assert [line for path in modules for line in _private_imports(path)] == []


def test_the_search_for_private_names_finds_those_of_the_compatibility_module():
    found = list(_private_imports(PACKAGE / "_sklearn_compat.py"))
    assert any("_param_validation" in line for line in found)


def test_every_name_is_there():
    for name in _sklearn_compat.__all__:
        assert getattr(_sklearn_compat, name) is not None
