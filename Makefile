# Six words: install, demo, test, lint, docs, bench.
PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/python -m pip install --disable-pip-version-check -c constraints.txt
RUN := $(VENV)/bin

.PHONY: install demo test real lint docs bench results clean

$(VENV)/pip:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "affinage needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12 ..." % v)'
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@touch $@

$(VENV)/core: $(VENV)/pip pyproject.toml constraints.txt
	@echo "installing affinage and what it needs (torch is the large one)"
	@$(PIP) --quiet --progress-bar on -e '.[all]'
	@touch $@

$(VENV)/test: $(VENV)/core
	@echo "installing the test tools"
	@$(PIP) --quiet --group test --group lint
	@touch $@

$(VENV)/bench: $(VENV)/core
	@$(PIP) --quiet --group bench
	@touch $@

install: $(VENV)/core
	@echo "ready: $(RUN)/affinage --help"

demo: $(VENV)/core
	@$(RUN)/affinage demo

test: $(VENV)/test
	@$(RUN)/pytest -n 2 --dist worksteal -m "not slow and not real"

real: $(VENV)/test
	@$(RUN)/pytest -m "slow or real"

lint: $(VENV)/test
	@$(RUN)/ruff check src tests bases benchmarks results docs
	@$(RUN)/ruff format --check src tests bases benchmarks results docs
	@$(RUN)/mypy
	@$(RUN)/lint-imports

docs: $(VENV)/core
	@$(PIP) --quiet --group docs
	@$(RUN)/mkdocs build --strict

bench: $(VENV)/bench
	@$(RUN)/python benchmarks/run.py

results: $(VENV)/core
	@$(RUN)/python results/page.py

clean:
	@rm -rf $(VENV) site dist build
