"""The entries of the registry: what must be known of every published network."""

import re

import pytest

from skavsc.pretrained import REGISTRY
from skavsc.pretrained._registry import class_names

FILES = [(model.name, file) for model in REGISTRY.values() for file in model.files]
# Their makers publish no checksum, and none has been computed of a download that is known to be
# whole. A download is checked by its format only.
WITHOUT_CHECKSUM = {"vgg16-places365", "efficientnet-lite0"}


@pytest.mark.parametrize("name", REGISTRY)
def test_licence_reference_and_source_are_given(name):
    model = REGISTRY[name]
    assert model.name == name
    assert model.modality in {"audio", "visual"}
    assert model.licence.strip()
    assert re.search(r"\b(19|20)\d\d\b", model.reference), "no year"
    assert model.source.startswith("https://")
    assert model.labels is None or class_names(model.labels)


def test_what_is_downloaded_has_size_and_checksum():
    without = {name for name, file in FILES if file.url and None in (file.size, file.sha256)}
    assert without == WITHOUT_CHECKSUM
    for _, file in FILES:
        assert file.url is None or file.url.startswith("https://")
        assert file.size is None or file.size > 0
        assert file.sha256 is None or re.fullmatch("[0-9a-f]{64}", file.sha256)


def test_files_are_told_apart():
    checksums = [file.sha256 for _, file in FILES if file.sha256 is not None]
    assert len(set(checksums)) == len(checksums)
    names = [file.name for _, file in FILES]
    assert len(set(names)) == len(names)
