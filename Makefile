PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Three test processes on two cores, as some wait for others that they started, and small matrices: more threads would only
# wait for each other.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3

# Processes that the tests start would compile the package anew, each of them.
unexport PYTHONDONTWRITEBYTECODE

SPHINX := $(BIN)/sphinx-build --quiet --fail-on-warning --builder html

.PHONY: demo docs docs-quick test test-jax test-backend test-slow test-floors test-newest lint clean

# A stamp a set of extras: reinstall only when the metadata changes.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[report]"
	touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

demo: $(VENV)/.demo  ## render scenes, train, write a report and a model
	$(BIN)/skavsc demo

lint: $(VENV)/.test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(git ls-files 'skavsc/*.py')

docs: $(VENV)/.test  ## the documentation, with the gallery executed, in docs/_build
	rm -rf docs/api docs/gallery
	$(ONE_THREAD) $(SPHINX) docs docs/_build

docs-quick: $(VENV)/.test  ## the same without executing the gallery
	rm -rf docs/api docs/gallery
	$(ONE_THREAD) SKAVSC_DOCS_GALLERY=0 $(SPHINX) docs docs/_build

# JAX uses one core, and linters and documentation one after the other the other.
test: $(VENV)/.test  ## linters and all tests but the slow ones
	$(MAKE) --no-print-directory --jobs 2 --output-sync test-jax docs-quick lint
	$(ONE_THREAD) $(BIN)/pytest --quiet -n 3 --dist worksteal -m "not slow"

# What the backend can break, in a minute; `make test-backend` repeats more.
ON_JAX := tests/networks/test_layers.py tests/training $(addprefix tests/classifiers/test_,leaks.py scene_classifiers.py training_loop.py)
BY_BACKEND := gain or gradient or go_with_the or (visual and learns) or interruption or validation_stops \
	or weights_of_clips or threads or half_a_cosine or clean_statistics
# JAX compiles equal networks once, and quickly rather than well: most of its time is compilation.
JAX_QUICK := JAX_DISABLE_MOST_OPTIMIZATIONS=1 JAX_COMPILATION_CACHE_DIR=$(abspath $(VENV)/jax) JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS=0 \
	JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES=-1

test-jax: $(VENV)/.test  ## layers and training once more, on JAX
	rm -rf $(VENV)/jax
	$(ONE_THREAD) $(JAX_QUICK) KERAS_BACKEND=jax $(BIN)/pytest --quiet -m "not slow" $(ON_JAX) -k "$(BY_BACKEND)"

BACKEND ?= jax

test-backend: $(VENV)/.test  ## all tests of networks and classifiers on jax or torch
	$(ONE_THREAD) KERAS_BACKEND=$(BACKEND) $(BIN)/pytest --quiet -n 2 --dist worksteal -m "not slow" tests/networks tests/training tests/classifiers

test-slow: $(VENV)/.test
	$(BIN)/pytest --quiet -m slow

UV := $(BIN)/uv --quiet
# The Python of each; what is newest depends on it.
FLOORS_PYTHON ?= python3.11
NEWEST_PYTHON ?= python3.13
# What to test there, such as TESTS=tests/audio; by default all but the slow tests.
TESTS ?=

test-floors: $(VENV)/.test  ## the tests on the lowest versions that pyproject.toml allows
	$(UV) venv --clear --python $(FLOORS_PYTHON) .venv-floors
	$(UV) pip install --python .venv-floors --resolution lowest-direct --editable ".[test]"
	$(ONE_THREAD) .venv-floors/bin/pytest --quiet -n 2 --dist worksteal -m "not slow" $(TESTS)

test-newest: $(VENV)/.test  ## the tests on the newest versions that pyproject.toml allows
	$(UV) venv --clear --python $(NEWEST_PYTHON) .venv-newest
	$(UV) pip install --python .venv-newest --upgrade --editable ".[test]"
	$(ONE_THREAD) .venv-newest/bin/pytest --quiet -n 2 --dist worksteal -m "not slow" $(TESTS)

clean:
	rm -rf $(VENV) .venv-floors .venv-newest build dist *.egg-info docs/_build docs/_generated docs/api docs/gallery
