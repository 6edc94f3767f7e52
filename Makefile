# The two commands: `make demo` and `make test`. Each sets up everything that it needs in .venv and reuses it the next time.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
DATA   ?= $(if $(VERAX_DATA),$(VERAX_DATA),../shared/data)
OUT    ?= build/report

# Installed again when a file joins or leaves the package, or when the build itself changes; edits of .py files need nothing.
FILES  := $(shell find src kernels -name '*.py' -not -path '*/__pycache__/*' | sort | cksum | cut -d' ' -f1)
BUILD  := pyproject.toml $(wildcard jaxlib_ext/*)
READY  := $(VENV)/.ready-$(FILES)

.PHONY: demo test test-full lint types docs bench clean
.DELETE_ON_ERROR:

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	touch $@

# The build reads the XLA FFI headers of the jax that will run it, so jax comes first and no isolated build fetches another.
$(READY): $(VENV)/.python $(BUILD)
	$(BIN)/python -m pip install --quiet "scikit-build-core>=1.1" "cmake>=3.20" ninja "jax>=0.10" jaxlib
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable .
	rm -f $(VENV)/.ready-* $(VENV)/.extra-*
	touch $@

$(VENV)/.extra-%: $(READY)
	$(BIN)/python -m pip install --quiet --no-build-isolation --editable ".[$*]"
	touch $@

demo: $(READY)
	$(BIN)/verax reproduce --scale demo --out $(OUT)

# Three legs: single precision with run-time shape and dtype checks; double precision on the numerical core; doctests.
PYTEST := VERAX_DATA=$(DATA) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q
CHECKS := --jaxtyping-packages=verax,beartype.beartype

test: $(VENV)/.extra-test
	JAX_ENABLE_X64=0 $(PYTEST) $(CHECKS) -m "not slow and not gpu and not bad_input"
	JAX_ENABLE_X64=1 $(PYTEST) -m "not slow and not gpu" tests/unit tests/reference
	JAX_ENABLE_X64=0 $(PYTEST) --doctest-modules src/verax

test-full: test
	JAX_ENABLE_X64=0 $(PYTEST) -m "slow and not gpu"

lint: $(VENV)/.extra-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell src kernels jaxlib_ext tests docs benchmarks README.md

types: $(VENV)/.extra-lint
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: $(VENV)/.extra-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

bench: $(READY)
	for file in benchmarks/*.py; do VERAX_DATA=$(DATA) $(BIN)/python $$file || exit 1; done

clean:
	rm -rf build dist $(VENV)
