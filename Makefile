.PHONY: setup demo test system notebooks lint types docs clean
PYTHON ?= python3
BIN := .venv/bin
WORKERS ?= 3
PARALLEL = -n $(WORKERS) --dist loadfile --no-loadscope-reorder

setup: .venv/installed

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("Minnow needs Python 3.11 or newer") if sys.version_info < (3, 11) else 0'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

demo: setup
	rm -rf runs/demo
	$(BIN)/python cli.py demo --out runs/demo

# A worker trains on one core, but some tests wait, so there is one more than cores. A file of tests stays
# together, since its tests share what is slow to make.
test: lint
	$(BIN)/python -m pytest -m "not slow and not system" $(PARALLEL)

# Whole jobs, and what starts clusters, databases, browsers, or installs the wheel.
system: setup
	$(BIN)/python -m pytest -m "system and not slow" $(PARALLEL)

# The notebooks in examples/, from top to bottom.
notebooks: setup
	$(BIN)/python -m pytest -m slow tests/test_notebooks.py

lint: types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

types: setup
	$(BIN)/mypy --strict core nas/*.py nas/spaces nas/strategies nas/schedulers nas/executors nas/bench
	$(BIN)/mypy cli.py core nas training teachers distill deploy minnow benchmarks/*.py

docs: .venv/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

.venv/docs: .venv/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache
