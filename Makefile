# What there is to do. Each target makes the environment in .venv itself, with nothing but Python 3.11 or newer.
.PHONY: help demo test check bench soak clients lock clean
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
SHELL := /bin/sh
MAKEFLAGS += --no-print-directory

PYTHONS := python3.13 python3.12 python3.11 python3 python
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --quiet --disable-pip-version-check --no-input
CLIENTS := .clients
CLIENT_NAMES := $(filter-out build,$(patsubst requirements-clients/%.in,%,$(wildcard requirements-clients/*.in)))
TEST_CLIENTS := ibapi-9.81 ibapi-10.50 ib_async-2.1
# The checkout itself, as one line in a .pth file; its build backend is in every lock.
SELF := $(PIP) install --no-deps --no-build-isolation --editable .

help:
	@echo "make demo    backtest both reference strategies on a generated sample, and a paper session held against its backtest"
	@echo "make test    lint, types, import rules and all tests"
	@echo "make check   only lint, types and import rules"
	@echo "make bench   measure speed and memory against other engines"
	@echo "make soak    the property and the crash tests, with many more examples"
	@echo "make clients seven unmodified clients of TWS's API against the simulated one"
	@echo "make lock    resolve the dependencies anew (needs uv)"
	@echo "make clean   remove the environment and what the tools left"

demo: $(VENV)/.runtime
	@$(VENV)/bin/papertape demo

check: $(VENV)/.dev
	@echo "ruff";         $(VENV)/bin/ruff check --quiet .
	@echo "ruff format";  $(VENV)/bin/ruff format --quiet --check .
	@echo "mypy";         $(VENV)/bin/mypy --no-error-summary
	@echo "lint-imports"; $(VENV)/bin/lint-imports --no-logo >$(VENV)/.lint-imports 2>&1 || { cat $(VENV)/.lint-imports; exit 1; }

# Kernels are compiled while the linters run, once for both workers. Where a client cannot be had, the tests with it skip,
# with the reason.
test: $(VENV)/.dev
	@$(PY) -m pytest -q tests/contract >$(VENV)/.compiling 2>&1 & compiling=$$!; \
	if $(MAKE) check; then wait $$compiling || true; else kill $$compiling; exit 1; fi
	@$(MAKE) -k $(TEST_CLIENTS:%=$(CLIENTS)/%/.installed) || echo "not all clients can be had: their tests will skip" >&2
	@echo "pytest"; $(PY) -m pytest -q -n 2 --dist worksteal

clients: $(VENV)/.dev $(CLIENT_NAMES:%=$(CLIENTS)/%/.installed)
	@echo "pytest, real clients"; PAPERTAPE_ALL_CLIENTS=1 $(PY) -m pytest -q -n 2 --dist worksteal tests/gateway/clients tests/gateway/protocol

# Each client in an environment of its own: all install the same import name. Source distributions are built with what
# build.lock names.
$(CLIENTS)/%/.installed: requirements-clients/%.lock requirements-clients/build.lock | $(VENV)/.python
	@echo "installing $* for the tests with real clients"
	@rm -rf $(@D) && $(PY) -m venv --without-pip $(@D)
	@$(PIP) --python $(@D)/bin/python install --require-hashes -r requirements-clients/build.lock
	@$(PIP) --python $(@D)/bin/python install --require-hashes --no-build-isolation -r $<
	@touch $@

soak: $(VENV)/.dev
	@echo "pytest, property and crash tests"; PAPERTAPE_SOAK=1 $(PY) -m pytest -q -n 2 -m "hypothesis or soak" --hypothesis-profile=soak

bench: $(VENV)/.bench
	@$(PY) -m benchmarks

# An environment whose interpreter is gone is made again.
$(shell test -x $(PY) || rm -rf $(VENV))

$(VENV)/.python:
	@for python in $(PYTHONS); do \
	  $$python -c "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))" 2>/dev/null || continue; \
	  echo "making the environment $(VENV) with $$($$python --version)"; \
	  test -x $(PY) || $$python -m venv $(VENV) || exit 1; \
	  touch $@; exit 0; \
	done; \
	echo "papertape needs Python 3.11 or newer, with its venv module (Debian: python3-venv)" >&2; exit 1

$(VENV)/.runtime: requirements.lock pyproject.toml | $(VENV)/.python
	@echo "installing what papertape needs"
	@$(PIP) install --require-hashes -r requirements.lock
	@$(SELF)
	@touch $@

$(VENV)/.dev: requirements-dev.lock pyproject.toml | $(VENV)/.python
	@echo "installing what papertape and its tests need"
	@$(PIP) install --require-hashes -r requirements-dev.lock
	@$(SELF)
	@touch $(VENV)/.runtime $@

$(VENV)/.bench: requirements-bench.lock pyproject.toml | $(VENV)/.python
	@$(PY) -c "import sys; sys.exit(sys.version_info < (3, 12))" || { echo "the engines to compare with need Python 3.12 or newer: make clean, and put it first on the PATH" >&2; exit 1; }
	@echo "installing what papertape and its benchmarks need"
	@$(PIP) install --require-hashes -r requirements-bench.lock
	@$(SELF)
	@touch $(VENV)/.runtime $@

lock:
	@command -v uv >/dev/null || { echo "make lock needs uv" >&2; exit 1; }
	@set -e; export UV_CUSTOM_COMPILE_COMMAND="make lock"; \
	resolve="uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url"; \
	$$resolve pyproject.toml --group build --extra ib -o requirements.lock; \
	$$resolve pyproject.toml --group dev --extra parquet --extra backtrader -c requirements.lock -o requirements-dev.lock; \
	$$resolve pyproject.toml --group build --extra bench -c requirements.lock -o requirements-bench.lock; \
	for wanted in requirements-clients/*.in; do $$resolve $$wanted -o $${wanted%.in}.lock; done

clean:
	@rm -rf $(VENV) $(CLIENTS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
