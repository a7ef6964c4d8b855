# Every target sets up .venv by itself, and only when pyproject.toml, constraints.txt or this file changed.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
DEV := $(VENV)/.ready-dev
PIP := $(BIN)/python -m pip install --quiet --constraint constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

$(STAMP): pyproject.toml constraints.txt Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "evo needs Python 3.11 or later, found $$($(PYTHON) --version); set PYTHON=" >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(DEV): $(STAMP)
	$(PIP) --group dev
	touch $@

.PHONY: help run test test-slow lint docs bench clean

help: ## what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

run: $(STAMP) ## a real search on the embedded default: no key, no download beyond packages
	$(BIN)/evo run --config demo

test: $(DEV) ## the tests (under 5 minutes)
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: $(DEV) ## the slow tests: Ray, kill -9, every catalogue edit trained
	$(BIN)/python -m pytest -m slow -n 2 --dist loadfile

lint: $(DEV) ## ruff, strict types, and a strict build of the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(MAKE) --no-print-directory docs

docs: $(DEV) ## the documentation, in site/
	NO_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict --quiet

bench: $(DEV) ## the figures of the README
	$(BIN)/python -m benchmarks

clean: ## remove the environment; runs in population/ stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
