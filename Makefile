PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Two test processes on two cores: more threads would only get into each other's way.
ONE_THREAD := OMP_NUM_THREADS=1 TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 TF_CPP_MIN_LOG_LEVEL=3

.PHONY: demo test test-jax test-slow lint clean

# A stamp a set of extras: reinstall only when the metadata changes.
$(VENV)/.demo: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[test]"
	touch $@

demo: $(VENV)/.demo  ## render scenes, train, compare, save and reload a model
	$(BIN)/skavsc demo

lint: $(VENV)/.test
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --quiet --check .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports
	$(BIN)/numpydoc lint $$(git ls-files 'skavsc/*.py')

test: lint test-jax  ## linters and all tests but the slow ones
	$(ONE_THREAD) $(BIN)/pytest --quiet -n 2 -m "not slow"

# What the backend can break; the rest of tests/classifiers checks what is above it.
ON_JAX := tests/networks $(addprefix tests/classifiers/test_,scene_classifiers.py memory.py missing_streams.py)

test-jax: $(VENV)/.test  ## networks and classifiers once more, on JAX
	$(ONE_THREAD) KERAS_BACKEND=jax $(BIN)/pytest --quiet -n 2 -m "not slow" $(ON_JAX)

test-slow: $(VENV)/.test
	$(BIN)/pytest --quiet -m slow

clean:
	rm -rf $(VENV) build dist *.egg-info
