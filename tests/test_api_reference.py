"""What the API reference promises of every public name."""

import importlib
import importlib.util
import inspect
import re
from pathlib import Path

import pytest
from sklearn.base import BaseEstimator
from sklearn.utils import estimator_html_repr

from skavsc import TimePooling

EXTENSION = Path(__file__).parents[1] / "docs" / "_extensions" / "api_reference.py"


def load_extension():
    """Load the module that writes the API reference."""
    spec = importlib.util.spec_from_file_location("api_reference", EXTENSION)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NAMES = [name for of_room in load_extension().public_names().values() for name in of_room]


def public(name):
    """Return the object of a public name."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute)


def test_names_are_listed_once():
    assert len(NAMES) > 100
    assert len({name.rpartition(".")[2] for name in NAMES}) == len(NAMES)


# Errors and warnings are met, not made.
@pytest.mark.parametrize(
    "name", [name for name in NAMES if not name.startswith("skavsc.exceptions.")]
)
def test_has_an_example(name):
    thing = public(name)
    if not (inspect.isclass(thing) or inspect.isroutine(inspect.unwrap(thing))):
        return  # a constant, which is its own example
    assert re.search(r"^Examples\n-{8}\n.*>>> ", inspect.getdoc(thing), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    "name", [name for name in NAMES if inspect.isroutine(inspect.unwrap(public(name)))]
)
def test_parameters_and_what_is_returned_are_described(name):
    function = inspect.unwrap(public(name))
    text = inspect.getdoc(function)
    for parameter in inspect.signature(function).parameters:
        assert re.search(rf"^(\w+, )*{parameter}(, \w+)*( : .*)?$", text, re.MULTILINE), parameter
    if inspect.signature(function).return_annotation not in (None, "None"):
        assert re.search(r"^(Returns|Yields)\n-+$", text, re.MULTILINE)


def test_diagrams_link_to_pages_that_exist(monkeypatch):
    monkeypatch.setenv("SKAVSC_DOCS_URL", "https://docs.example.org/")
    kinds = {name: public(name) for name in NAMES if inspect.isclass(public(name))}
    estimators = {
        name: kind
        for name, kind in kinds.items()
        if issubclass(kind, BaseEstimator) and not inspect.isabstract(kind)
    }
    assert len(estimators) > 20
    for name, kind in estimators.items():
        link = object.__new__(kind)._get_doc_link()
        assert link == f"https://docs.example.org/api/generated/{name}.html"
    assert 'href="https://docs.example.org/api/generated/skavsc.TimePooling.html"' in (
        estimator_html_repr(TimePooling())
    )


def test_diagrams_do_not_link_without_an_address(monkeypatch):
    monkeypatch.delenv("SKAVSC_DOCS_URL", raising=False)
    assert "Documentation for TimePooling" not in estimator_html_repr(TimePooling())


def test_classes_of_users_have_no_page(monkeypatch):
    monkeypatch.setenv("SKAVSC_DOCS_URL", "https://docs.example.org")

    class Own(TimePooling):
        pass

    assert Own()._get_doc_link() == ""
