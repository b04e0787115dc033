"""The code of the user guide runs as it stands there."""

import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[1] / "docs" / "guide"


def code_of(page):
    """Return the blocks marked ``python``; those marked ``py`` need files or a cluster."""
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    )


PAGES = [page for page in sorted(GUIDE.glob("*.md")) if code_of(page)]


def test_there_is_code_to_run():
    assert len(PAGES) > 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_code_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(compile(code_of(page), str(page), "exec"), {"__name__": "__main__"})
