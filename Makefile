# make demo | make test | make check: each from a fresh clone with Python 3.11 and pip alone.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
DATA ?= ../shared/data

.PHONY: help setup demo test check format slow torture golden clean

help:
	@echo "make demo    install into .venv, then run the whole road on the embedded sample"
	@echo "make test    install into .venv, then run the tests"
	@echo "make check   format, lint, types, import layers"
	@echo "make slow    the tests that take minutes"
	@echo "make torture kill -9 at thirty random moments, for every objective"
	@echo "make golden  write the golden loss traces anew (on purpose only)"

# torch first: any other request for it would pull the newest build with its CUDA packages.
.venv/.run: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet -c constraints.txt -e .
	touch $@

.venv/.dev: .venv/.run
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

setup: .venv/.dev

demo: .venv/.run
	$(BIN)/hanmo demo --out work/demo

test: .venv/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow"

slow: .venv/.dev
	$(BIN)/python -m pytest -m "slow and not torture"

torture: .venv/.dev
	$(BIN)/python -m pytest -q -s -m torture

golden: .venv/.dev
	HANMO_GOLDEN=write $(BIN)/python -m pytest -q tests/story/test_golden.py

check: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.dev
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean:
	rm -rf .venv build dist work src/*.egg-info
