"""The check of links that every build of the documentation ends with."""

import importlib.util
from pathlib import Path

EXTENSION = Path(__file__).parents[1] / "docs" / "_extensions" / "check_links.py"


def test_finds_links_to_what_is_not_there(tmp_path):
    spec = importlib.util.spec_from_file_location("check_links", EXTENSION)
    check_links = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(check_links)
    (tmp_path / "b.html").write_text('<h1 id="there">B</h1>')
    page = tmp_path / "a.html"
    page.write_text(
        '<h1 id="top">A</h1><a href="#top">1</a><a href="#">2</a><a href="b.html#there">3</a>'
        '<a href="b.html#:~:text=B">3</a><a href="https://example.org/a#b">4</a>'
        '<a class="x" href="b.html#gone">5</a>'
        '<a href="#gone">6</a><a href="c.html">7</a><img alt="" src="p.png" />'
    )
    assert check_links.dead_links(page) == ["#gone", "b.html#gone", "c.html", "p.png"]
