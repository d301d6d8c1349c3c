# A fresh clone needs Python 3.11 or newer and make. Everything else goes into .venv; delete it to start over.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo report-sample report-picture test check lint types imports wheel package slow thorough benchmark accuracy clean

help:
	@echo 'make demo    measure small steps here, predict large ones, write report.html (2 minutes)'
	@echo 'make test    run the tests'
	@echo 'make check   lint, types, import rules, packaging, slow tests, benchmarks, accuracy'
	@echo 'make report-sample   a dozen recipes on four GPUs, as build/sample/report.html (3 minutes)'
	@echo 'make clean   delete what the others made, .venv too'

demo: $(VENV)/.installed
	$(BIN)/sslbench demo

# Predictions of a dozen recipes, a measurement, a comparison: build/sample/report.html.
report-sample: $(VENV)/.installed
	.ci/report-sample

# The README's pictures: the first screen of that report.
report-picture: report-sample
	$(BIN)/python .ci/report_picture.py

test: $(VENV)/.installed
	$(BIN)/pytest -m 'not slow' --numprocesses auto --dist worksteal --ignore tests/benchmarks

check: lint imports types package slow benchmark accuracy

# Benchmarks are ratios of times: they run alone.
benchmark: $(VENV)/.installed-check
	$(BIN)/pytest tests/benchmarks

lint: $(VENV)/.installed-check
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

slow: $(VENV)/.installed-check
	$(BIN)/pytest -m slow --numprocesses auto --dist worksteal --ignore tests/benchmarks

# Property tests with four times the examples of `make test`.
thorough: $(VENV)/.installed-check
	$(BIN)/pytest -m hypothesis --hypothesis-profile thorough --numprocesses auto

accuracy: $(VENV)/.installed-check
	$(BIN)/sslbench validate

imports: $(VENV)/.installed-check
	$(BIN)/lint-imports

# The folders are no importable package by themselves, so the types of the built wheel are checked.
types: wheel
	rm -rf build/types
	$(PIP) install --quiet --no-deps --no-compile --target build/types dist/*.whl
	cd build/types && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../../.mypy_cache \
		-p sslbench.bench -p sslbench.hardware_profiles -p sslbench.kernels -p sslbench.reports

package: wheel
	SSLBENCH_DIST=dist $(BIN)/pytest -q tests/test_packaging.py
	.ci/install-check $(abspath $(BIN)/python) dist/*.whl constraints.txt

# The wheel is built from the sdist, as packagers do: what the sdist lacks, the wheel lacks.
wheel: $(VENV)/.installed-check
	rm -rf dist build
	$(BIN)/python -P -m build --outdir dist . >/dev/null

# The stamps are newer than what they were made from: a second run is instant, a changed dependency installs again.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP) install --quiet --upgrade 'pip>=25.1'
	$(INSTALL) --editable . --group test
	# timm requires torchvision, which has no build for a CPU-only torch on every index. Its models use none of it, and
	# the tests put something in its place (tests/conftest.py).
	$(INSTALL) --no-deps timm
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(INSTALL) --group check
	@touch $@

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "sslbench needs Python 3.11 or newer; $(PYTHON) is: $$($(PYTHON) --version 2>&1)." >&2; \
		echo "Name another one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
		echo "$(PYTHON) -m venv failed. On Debian and Ubuntu: apt install python3-venv" >&2; rm -rf $(VENV); exit 1; }

clean:
	rm -rf $(VENV) build dist sslbench.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis \
		.benchmarks report.html report.json
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
