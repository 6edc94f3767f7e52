# The two commands: `make demo` and `make test`. Each sets up everything that it needs in .venv and reuses it the next time.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
JOBS   ?= 2
DATA   ?= $(if $(VERAX_DATA),$(VERAX_DATA),../shared/data)
OUT    ?= build/report

# Installed again when a file joins or leaves the package, or when the build itself changes; edits of .py files need nothing.
FILES  := $(shell find src/verax kernels -name '*.py' -not -path 'src/verax/kernels/*' | LC_ALL=C sort | cksum | cut -d' ' -f1)
BUILD  := pyproject.toml $(wildcard jaxlib_ext/*)
READY  := $(VENV)/.ready-$(FILES)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test test-tf32 test-full newest newest-leg lint types docs bench clean
.DELETE_ON_ERROR:

$(VENV)/.python:
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	touch $@

# The build reads the XLA FFI headers of the jax that will run it, so jax comes first and no isolated build fetches another.
$(READY): $(VENV)/.python $(BUILD)
	$(PIP) "scikit-build-core>=1.1" "cmake>=3.20" ninja "jax>=0.10" jaxlib
	$(PIP) --no-build-isolation --editable ".[papers]"
	rm -f $(VENV)/.ready-*
	touch $@

# An extra's requirements alone: installing verax[extra] would compile a second time.
EXTRA := import sys, tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["optional-dependencies"][sys.argv[1]], sep="\n")
$(VENV)/.extra-%: $(VENV)/.python pyproject.toml
	$(BIN)/python -c '$(EXTRA)' $* > $(VENV)/requirements-$*.txt
	$(PIP) --requirement $(VENV)/requirements-$*.txt
	touch $@

# Compilation is most of the time of a demo, so XLA optimises less; and of its two emitters for CPUs the older compiles in
# half the time, where there is one: a JAX without it stops at its flag.
OLDER  := --xla_cpu_use_fusion_emitters=false
KNOWN   = $(eval KNOWN := $(shell (XLA_FLAGS=$(OLDER) $(BIN)/python -c 'import jax; jax.devices()') >/dev/null 2>&1 && echo $(OLDER)))$(KNOWN)

demo: $(READY)
	XLA_FLAGS="$(strip --xla_backend_optimization_level=1 $(KNOWN) $(XLA_FLAGS))" $(BIN)/verax reproduce --scale demo --out $(OUT)

# Three legs: single precision with run-time shape and dtype checks; double precision on the numerical core; doctests.
# Compilation is most of the time here too, so only the doctests, which run everything once, run fully optimised programs.
# The workers take the cores, so each has one BLAS thread.
# Tests of bad input run in the second leg, where no run-time type checker answers before the function under test does;
# so do the costliest tests.
PYTEST := OPENBLAS_NUM_THREADS=1 VERAX_DATA=$(DATA) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q
QUICK   = JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$(strip $(XLA_FLAGS) $(KNOWN))"
CHECKS := '--jaxtyping-packages=verax,beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))'

test: $(READY) $(VENV)/.extra-test
	JAX_ENABLE_X64=0 $(QUICK) $(PYTEST) $(CHECKS) -m "not slow and not gpu and not bad_input and not costly"
	JAX_ENABLE_X64=1 $(QUICK) $(PYTEST) -m "not slow and not gpu and (double or bad_input)"
	JAX_ENABLE_X64=0 $(PYTEST) --doctest-modules src/verax --ignore=src/verax/kernels
	$(MAKE) test-tf32

# The same programs as a GPU computes them: float32 products of default precision are rounded to 10 bits of mantissa, and
# `jax_default_matmul_precision` is left as users have it. `ROUNDING=bf16` rounds as a TPU does.
ROUNDING ?= tf32
test-tf32: $(READY) $(VENV)/.extra-test
	JAX_ENABLE_X64=0 VERAX_ROUNDING=$(ROUNDING) PYTHONPATH=tests $(QUICK) $(PYTEST) -p support.rounding -m "accelerator and not slow and not gpu" tests

test-full: test $(VENV)/.extra-inspect
	$(MAKE) test-tf32 ROUNDING=bf16
	JAX_ENABLE_X64=0 $(PYTEST) -m "slow and not gpu"

# PyTorch modules, in an environment of their own: torch and torchax are exact versions, and large.
torch-leg: $(READY) $(VENV)/.extra-test $(VENV)/.extra-test-torch
	VERAX_TORCH_REQUIRED=1 JAX_ENABLE_X64=1 $(QUICK) $(PYTEST) tests/ntk/test_from_torch.py

test-torch:
	VERAX_PURE=1 $(MAKE) VENV=.venv-torch torch-leg

# Another interpreter, and so another JAX: `make newest PYTHON=python3.13`. What leans on JAX's own workings (jaxprs
# rewritten, meshes, custom derivatives, native calls, exports), and the example of every public function.
WORKINGS := tests/ntk tests/kernels tests/parallel tests/federated/test_client_backends.py \
	tests/matching/test_native_assignment.py tests/matching/test_native_bandit.py \
	tests/project/test_fuzz.py tests/project/test_native_loader.py tests/project/test_packaging.py tests/project/test_export.py
newest-leg: $(READY) $(VENV)/.extra-test
	JAX_ENABLE_X64=0 $(QUICK) $(PYTEST) -m "not slow and not gpu and not bad_input and not costly" $(WORKINGS)
	JAX_ENABLE_X64=0 $(QUICK) $(PYTEST) --doctest-modules src/verax --ignore=src/verax/kernels

newest:
	$(MAKE) VENV=.venv-newest newest-leg

lint: $(VENV)/.extra-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/clang-format --dry-run --Werror jaxlib_ext/*.cc jaxlib_ext/*.hpp jaxlib_ext/fuzz/*.cc
	$(BIN)/codespell src kernels jaxlib_ext tests docs benchmarks README.md

types: $(READY) $(VENV)/.extra-test $(VENV)/.extra-lint
	rm -rf build/types && mkdir -p build/types && cp -r src/verax build/types/
	rm -rf build/types/verax/kernels && cp -r kernels build/types/verax/kernels
	$(BIN)/basedpyright --pythonpath $(BIN)/python

docs: $(READY) $(VENV)/.extra-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

bench: $(READY)
	for file in benchmarks/[!_]*.py; do VERAX_DATA=$(DATA) $(BIN)/python $$file || exit 1; done

clean:
	rm -rf build dist $(VENV) .venv-newest .venv-torch
