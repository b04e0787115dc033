"""Every dependency that pyproject.toml declares is used, and every one that is used is declared."""

import ast
import functools
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

# Used without an import in the package.
LOADED_BY_OTHERS = {
    "tensorflow": "the default backend of Keras",
    "jax": "a backend of Keras",
    "torch": "a backend of Keras",
    "dask": "a backend of joblib",
    "distributed": "a backend of joblib",
    "mapie": "examples/prediction_sets.py",
}
# What only developers need.
TOOLS = {"docs", "test"}


def names(requirements):
    return {canonicalize_name(Requirement(line).name) for line in requirements} - {"skavsc"}


REQUIRED = names(PROJECT["dependencies"])
OPTIONAL = {
    name
    for extra, requirements in PROJECT["optional-dependencies"].items()
    if extra not in TOOLS
    for name in names(requirements)
}


@functools.cache
def imported():
    """The modules that the package imports, each with the distributions that may hold it."""
    by_module = packages_distributions()
    found = {}
    for path in (ROOT / "skavsc").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                modules = [node.module]
            for module in {module.partition(".")[0] for module in modules}:
                if module not in sys.stdlib_module_names and module != "skavsc":
                    # Stubs may name the module too.
                    names = by_module.get(module, [module])
                    found[module] = {canonicalize_name(name) for name in names}
    return found


def test_what_is_imported_is_declared():
    undeclared = {m for m, names in imported().items() if not names & (REQUIRED | OPTIONAL)}
    assert not undeclared


def test_what_is_declared_is_used():
    used = set().union(*imported().values())
    assert (REQUIRED | OPTIONAL) - used <= set(LOADED_BY_OTHERS)


@pytest.mark.parametrize("line", PROJECT["dependencies"])
def test_every_dependency_has_a_floor(line):
    # `make test-floors` installs the floors.
    assert any(specifier.operator == ">=" for specifier in Requirement(line).specifier)
