"""Fail a build whose pages link to pages, places on pages or pictures that are not there."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.errors import SphinxError

# What Sphinx writes is regular: attributes are in double quotes.
LINK = re.compile(r'<(?:a|img|link|script|source)\s[^>]*?(?:href|src)="([^"]+)"')
PLACE = re.compile(r'<[^>]*?\sid="([^"]+)"')


@functools.cache
def places(page: Path) -> frozenset[str]:
    """Return the ids on a page."""
    return frozenset(PLACE.findall(page.read_text(encoding="utf-8")))


def dead_links(page: Path) -> list[str]:
    """Return the links of a page to what is not there, outside addresses left alone."""
    dead = []
    for link in sorted(set(LINK.findall(page.read_text(encoding="utf-8")))):
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            continue
        target = page.parent / unquote(parts.path) if parts.path else page
        # What follows ":~:" is text to scroll to, as diagrams of estimators link parameters.
        place = unquote(parts.fragment.partition(":~:")[0])
        if not target.is_file() or (
            place and target.suffix == ".html" and place not in places(target.resolve())
        ):
            dead.append(link)
    return dead


def check(app, exception):
    """Check all pages after they are written."""
    if exception or app.builder.format != "html":
        return
    places.cache_clear()
    found = [
        f"{name}: {link}"
        for name in sorted(app.env.found_docs)
        for link in dead_links(Path(app.builder.get_outfilename(name)))
    ]
    if found:
        raise SphinxError("links to what is not there:\n" + "\n".join(found))


def setup(app):
    """Register with Sphinx."""
    # The last, so that what other extensions copy at the end is there.
    app.connect("build-finished", check, priority=1000)
    return {"parallel_read_safe": True}
