# Two commands for a new machine: `make up` runs Tandem, `make test` checks it. Both install what they need into .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRA ?= $(if $(shell command -v nvidia-smi),gpu,cpu)
WORKERS ?= 2
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements/constraints.txt -e

.DEFAULT_GOAL := help
.PHONY: help up install install-dev test check e2e bench clean

help: ## Show what there is
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

up: $(VENV)/.installed ## Install into .venv and run everything on this machine (Ctrl-C stops it)
	@exec $(BIN)/tandem up --die-with-parent

install: $(VENV)/.installed ## Install into .venv
install-dev: $(VENV)/.installed-dev

test: check ## Check everything and run all tests that need no servers
	$(BIN)/python -m pytest -m "not e2e" -n $(WORKERS) --dist loadfile $(PYTEST)

check: $(VENV)/.installed-dev ## Check format, lint, types and import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

e2e: $(VENV)/.installed-dev ## Run the tests with a real Label Studio, Redis, PostgreSQL and browser
	$(BIN)/python -m pytest -m e2e $(PYTEST)

bench: $(VENV)/.installed-dev ## Measure, and print tables
	$(BIN)/python -m bench $(BENCH)

clean: ## Remove .venv and what tools left behind; never data
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

# A stamp tells what was installed for which dependencies; the development set contains the other one.
$(VENV)/.installed: pyproject.toml requirements/constraints.txt | $(BIN)/python
	@echo "Installing Tandem ($(EXTRA)) into $(VENV); the first time takes a few minutes …"
	@$(INSTALL) '.[$(EXTRA),postgres]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml requirements/constraints.txt | $(BIN)/python
	@echo "Installing Tandem ($(EXTRA)) and its tools into $(VENV); the first time takes a few minutes …"
	@$(INSTALL) '.[$(EXTRA),postgres,dev]'
	@touch $(VENV)/.installed $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Tandem needs Python 3.11 to 3.13; say which one: make PYTHON=python3.12 …"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Install the package python3-venv."; exit 1; }
