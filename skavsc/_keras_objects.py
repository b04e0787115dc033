"""Registration of the package's Keras objects, as soon as Keras is there and without loading it.

A saved network names its layers and optimizer; Keras finds those that are registered. So that
``import skavsc`` is enough to load one, and yet does not load Keras, they are registered as soon as
any module imports Keras.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from skavsc._startup import importing

# Modules with registered objects. They import nothing but Keras at their top, so that they can be
# loaded while other modules of the package wait for Keras.
MODULES = (
    "skavsc.networks._backbones",
    "skavsc.networks._layers",
    "skavsc.networks._normalisation",
    "skavsc.networks._transformer",
    "skavsc.training._optimizer",
)


class _OnImportOfKeras(MetaPathFinder):
    """Registers the objects at the end of the import of Keras; finds nothing itself."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != "keras":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            importing(lambda: load(module))
            _register()

        spec.loader.exec_module = load_and_register  # type: ignore[method-assign]
        return spec


def _register() -> None:
    for module in MODULES:
        importlib.import_module(module)


def register_with_keras() -> None:
    """Register the objects now if Keras is loaded, otherwise when it is."""
    if "keras" in sys.modules:
        _register()
    else:
        sys.meta_path.insert(0, _OnImportOfKeras())
