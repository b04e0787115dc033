"""Imports: no garbage collection meanwhile, no new piece of stack for each call."""

import gc
import resource
import subprocess
import sys
import types

import pytest

from skavsc._startup import importing

# The first use of a name, in a process that has imported nothing of the package.
FIRST_USE = """
import gc, sys
import skavsc
passes = []
gc.callbacks.append(lambda phase, info: passes.append((phase, info["generation"])))
n_modules = len(sys.modules)
skavsc.load
assert len(sys.modules) > n_modules + 300
assert not passes, len(passes)
assert gc.isenabled()
"""

# Without the fixture's process, which has Keras already.
IMPORT_OF_KERAS = """
import gc
import skavsc
passes = []
gc.callbacks.append(lambda phase, info: passes.append(info["generation"]))
import keras
assert 2 not in passes, passes.count(2)
assert keras.saving.get_registered_name(skavsc.networks.Recalibration).startswith("skavsc>")
"""


@pytest.fixture
def new_module():
    """A function that imports a module, in effect, and makes an object that the collector knows."""
    name = "a_module_that_is_new"

    def call():
        module = sys.modules[name] = types.ModuleType(name)
        return module

    yield call
    sys.modules.pop(name, None)


@pytest.fixture
def collecting():
    """Garbage collection, as in a program that has frozen nothing."""
    enabled = gc.isenabled()
    gc.unfreeze()
    gc.enable()
    yield
    gc.freeze()
    (gc.enable if enabled else gc.disable)()


def is_in(generation, item):
    return any(other is item for other in gc.get_objects(generation))


def test_the_first_use_of_a_name_collects_no_garbage(run_fresh):
    run_fresh(FIRST_USE)


def test_the_import_of_keras_looks_for_no_old_garbage():
    subprocess.run([sys.executable, "-c", IMPORT_OF_KERAS], check=True)


def test_collection_waits(collecting):
    assert importing(gc.isenabled) is False
    assert gc.isenabled()


def test_collection_goes_on_after_an_error(collecting):
    with pytest.raises(ZeroDivisionError):
        importing(lambda: 1 / 0)
    assert gc.isenabled()


def test_a_program_without_collection_stays_so(collecting):
    gc.disable()
    importing(list)
    assert not gc.isenabled()


def test_what_is_imported_is_old(collecting, new_module):
    module = importing(new_module)
    assert is_in(2, module)
    assert gc.get_freeze_count() == 0


def test_what_is_made_without_imports_stays_young(collecting):
    made = importing(lambda: [[]])
    assert not is_in(2, made)


def test_what_a_program_has_frozen_stays_so(collecting, new_module):
    frozen = [[]]
    gc.freeze()
    try:
        module = importing(new_module)
        # What is frozen is in no generation.
        assert not any(is_in(generation, frozen) for generation in range(3))
        assert not is_in(2, module)
    finally:
        gc.unfreeze()


def wide():
    """Do nothing, in a frame that is as large as that of a function with 200 variables."""


wide.__code__ = wide.__code__.replace(co_stacksize=200)


def new_pages(depth, n_calls=100):
    """Call a function again and again while so many calls are open; count new pages of memory."""
    if depth:
        return new_pages(depth - 1, n_calls)
    wide()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n_calls):
        wide()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_calls_at_any_depth_need_no_new_memory():
    depths = range(0, 300, 3)
    if sys.version_info < (3, 14):
        # What is avoided: at some depth each call needs a new page.
        assert max(map(new_pages, depths)) >= 100
    assert max(importing(lambda: list(map(new_pages, depths)))) < 50
