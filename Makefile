# `make demo` and `make test` need Python 3.11 or newer, and make; nothing else.

VENV := .venv
BIN := $(VENV)/bin
# Classes and modules stay together; the longest come first (tests/conftest.py).
SPREAD := -n auto --dist loadscope --no-loadscope-reorder
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
RECENT := import sys; sys.exit(sys.version_info < (3, 11))

# The first that runs and is recent enough; `make test PYTHON=…` takes another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11 python3.14; do \
	$$python -c '$(RECENT)' 2>/dev/null && echo $$python && break; done)

.PHONY: help demo test check bench campaign clean

help:
	@echo "make demo      see what it does, in a minute"
	@echo "make test      run all tests, with coverage"
	@echo "make check     format, lint, types, and the tests of the code base itself"
	@echo "make bench     measure it beside its peers, 20 minutes; QUICK=1 for three"
	@echo "make campaign  break it for hours; SHORT=1 for minutes, ONLY=sigkill for one part"
	@echo "make clean     remove what these made"

demo: $(VENV)/.demo
	@$(BIN)/python examples/demo.py

# Coverage doubles the time: what only goes where others have been goes without.
test: $(VENV)/.dev
	@rm -f .coverage .coverage.*
	$(BIN)/coverage run -m pytest $(SPREAD) -m 'not repeated'
	$(BIN)/pytest $(SPREAD) -m repeated
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report
	@$(BIN)/coverage json --quiet -o - | $(BIN)/python .ci/branch_coverage.py

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/pyright
	$(BIN)/pytest -q tests/house

bench: $(VENV)/.demo
	$(BIN)/python -m benchmarks $(if $(QUICK),--quick,--out docs/benchmarks)

campaign: $(VENV)/.campaign
	$(BIN)/python tests/crash/campaign.py $(if $(SHORT),--short) $(if $(ONLY),--only $(ONLY))

clean:
	rm -rf $(VENV) build dist demo-sessions .coverage .coverage.* .hypothesis \
		.mypy_cache .pytest_cache .ruff_cache benchmarks/.envs
	find src tests examples benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

# What the demo needs: the package and its command.
$(VENV)/.demo: pyproject.toml constraints.txt
	@$(if $(PYTHON),$(PYTHON) -c '$(RECENT)',false) || { \
		echo "This needs Python 3.11 or newer, and $(or $(PYTHON),python3) is not." >&2; \
		echo "Say where one is: make $(MAKECMDGOALS) PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@echo "Making $(VENV) with $(PYTHON) …"
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) 'pip>=25.1'
	@$(PIP) -c constraints.txt -e '.[cli]'
	@touch $@

# What the campaigns need besides. Root, mounts, strace, mkfs and FUSE are used where they are.
$(VENV)/.campaign: $(VENV)/.dev
	@echo "Installing what the campaigns need …"
	@$(PIP) -c constraints.txt --group campaign
	@touch $@

# What the tests need besides.
$(VENV)/.dev: $(VENV)/.demo
	@echo "Installing what the tests need …"
	@$(PIP) -c constraints.txt --group dev
	@touch $@
