# Needs python3 (3.11 or later, with venv), make and git; node 20 for the tests against a real
# OpenID provider. Everything else is installed from requirements-dev.lock into $(VENV).

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# More for the command at hand: make test ARGS='-k session', make demo KEEP=1.
ARGS ?=
# Three processes, each with whole modules (tests/conftest.py), because many a test waits for a
# process of its own; SIDE_BY_SIDE= for one.
SIDE_BY_SIDE ?= -n 3 --dist loadgroup

# A wheel runs no code while it is installed, an sdist does. Where a package has no wheel (cryptography
# on Intel Macs), say WHEELS_ONLY= and have what it takes to build one.
WHEELS_ONLY ?= --only-binary :all:
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --quiet
UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock'

.DEFAULT_GOAL := help
.PHONY: help demo test test-long lint bench format venv idp lock clean

help:
	@echo 'make demo       four tools, end to end, in a temporary home (KEEP=1 leaves it running)'
	@echo 'make test       the tests, without those marked long'
	@echo 'make test-long  the tests marked long'
	@echo 'make lint       ruff, mypy, import-linter and the tests of the house itself'
	@echo 'make bench      the benchmark, beside its peers where they are installed'
	@echo 'make format     what ruff can format and mend by itself'
	@echo 'make lock       both lock files anew (needs uv)'
	@echo 'make clean      away with $(VENV) and everything else that make put here'

demo: venv
	@$(BIN)/python -m tests.demo $(if $(KEEP),--keep) $(ARGS)

test: venv idp
	@$(BIN)/python -m pytest -q -m 'not long' $(SIDE_BY_SIDE) $(ARGS)

test-long: venv idp
	@$(BIN)/python -m pytest -q -m long $(ARGS)

bench: venv
	@$(BIN)/python -m bench $(ARGS)

# Every check runs, so that one pass shows all there is to mend.
lint: venv
	@status=0; \
	$(BIN)/ruff check --quiet || status=1; \
	$(BIN)/ruff format --quiet --check || { echo 'not formatted: run make format'; status=1; }; \
	$(BIN)/mypy || status=1; \
	$(BIN)/lint-imports --no-logo || status=1; \
	$(BIN)/python -m pytest -q tests/house || status=1; \
	exit $$status

format: venv
	@$(BIN)/ruff format --quiet
	@$(BIN)/ruff check --quiet --fix

venv: $(VENV)/.project

# The project itself, editable. The scripts are copies, hence they stand here.
$(VENV)/.project: $(VENV)/.packages pyproject.toml client/bin/tool-agent daemon/bin/tool-agentd
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.packages: requirements-dev.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.x")'
	@echo 'installing requirements-dev.lock into $(VENV)'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) --require-hashes $(WHEELS_ONLY) --requirement requirements-dev.lock
	@touch $@

# The real OpenID provider that the tests sign in to. Without node its tests say so and skip.
idp: tests/idp/node_modules/.installed

tests/idp/node_modules/.installed: tests/idp/package-lock.json
	@if command -v npm >/dev/null; then \
	  echo 'installing tests/idp/package-lock.json' && \
	  npm ci --prefix tests/idp --silent --no-audit --no-fund && touch $@; \
	fi

lock:
	@$(UV_COMPILE) pyproject.toml --output-file requirements.lock
	@$(UV_COMPILE) pyproject.toml --all-extras --group dev --constraint requirements.lock \
	  --output-file requirements-dev.lock

clean:
	@rm -rf $(VENV) build dist tests/idp/node_modules .mypy_cache .ruff_cache .pytest_cache \
	  .hypothesis .import_linter_cache
	@find client daemon tests bench -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
