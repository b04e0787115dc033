"""The code of the user guide runs as it stands there."""

import ast
import importlib
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


def code_of(page):
    """Return the blocks marked ``python``; those marked ``py`` need files or a cluster."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    )


PAGES = [
    page
    for page in [DOCS / "getting_started.md", *sorted((DOCS / "guide").glob("*.md"))]
    if code_of(page)
]


def test_there_is_code_to_run():
    assert len(PAGES) > 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder of all pages, which share their scenes and features."""
    return tmp_path_factory.mktemp("guide")


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page, folder, monkeypatch):
    monkeypatch.chdir(folder)
    exec(compile(code_of(page), str(page), "exec"), {"__name__": "__main__"})


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_that_is_not_run_imports_what_there_is(page):
    for block in re.findall(r"^```py\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        for node in ast.walk(ast.parse(block, str(page))):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("skavsc"):
                module = importlib.import_module(node.module)
                assert all(hasattr(module, alias.name) for alias in node.names)


def test_files_that_are_named_exist():
    pages = [*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]
    named = {
        (page.name, path)
        for page in pages
        if "_build" not in page.parts and page.name != "CHANGELOG.md"
        for path in re.findall(
            r"`((?:benchmarks|docs|examples|skavsc|tests)/[\w./]*)[ `]", page.read_text()
        )
    }
    assert len(named) > 50
    assert {(page, path) for page, path in named if not (DOCS.parent / path).exists()} == set()
