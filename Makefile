.PHONY: setup demo test docs clean
PYTHON ?= python3
BIN := .venv/bin

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Minnow needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: setup
	rm -rf runs/demo
	$(BIN)/python cli.py demo --out runs/demo

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict core nas/*.py nas/spaces nas/strategies nas/schedulers nas/executors nas/bench
	$(BIN)/mypy cli.py core nas training teachers distill deploy minnow
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -m "not slow"

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
