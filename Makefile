# Two commands are all that a fresh machine needs: `make test` and `make demo`.
# Both build .venv first, from setup.cfg (lower bounds) and constraints.txt (exact pins).
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO ?= demo
ROOMS := synth benchmark baselines models leaderboard
INNER := core metrics methods exchange training predict

.PHONY: demo test check lint types unit fast clean

demo: $(STAMP)
	rm -rf $(DEMO)
	$(BIN)/deocc-bench demo --out $(DEMO)

# Everything, with the coverage of each room; the inner loop is `make check`.
test: lint types unit

check: lint types fast

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# mypy finds packages by their place: give it the tree that the install has.
types: $(STAMP)
	rm -rf build/types
	mkdir -p build/types/deocc_bench
	ln -s $(addprefix $(CURDIR)/,$(wildcard deocc_bench/*.py) $(addprefix deocc_bench/,$(INNER)) $(ROOMS)) build/types/deocc_bench/
	MYPYPATH=build/types $(BIN)/mypy -p deocc_bench

unit: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 --cov --cov-report=json:build/coverage.json
	$(BIN)/python tests/support/coverage_by_room.py build/coverage.json

fast: $(STAMP)
	$(BIN)/python -m pytest -q -n 2 -m "not slow"

# torch is installed by itself and pinned: an open range would pull gigabytes of CUDA libraries.
$(STAMP): setup.cfg pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -c constraints.txt setuptools
	$(BIN)/python -m pip install -q -c constraints.txt "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install -q -c constraints.txt --no-build-isolation -e '.[test]'
	touch $@

clean:
	rm -rf $(VENV) $(DEMO) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
