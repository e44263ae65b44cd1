# `make demo` and `make test` need Python 3.11 to 3.13 and make; the tests also npm and node, for the Qdrant servers and pyright.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
CODE   := tasb_qdrant tests benchmarks
# Processes that run tests. Many tests wait for servers and children, so that one a core leaves cores idle.
WORKERS ?= 3
PYTEST := $(BIN)/python -m pytest --numprocesses $(WORKERS) --dist worksteal

# Tests start Python some thousand times: it is to compile their modules once, whatever the environment says.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo quick test format lint types pytest coverage wheel api walk install-matrix fuzz faults bench bench-load bench-ingest bench-ingest-gpu bench-index bench-search bench-quick bench-gpu bench-precision bench-long-texts clean

demo: $(VENV)/.demo
	$(BIN)/tasb-qdrant demo

# Before each commit: what needs no Qdrant server and no model, in a minute and a half on two cores.
quick: format lint types
	$(PYTEST) -m "not server and not model and not slow"

# All that CI checks.
test: format lint types pytest wheel

format: $(VENV)/.dev
	$(BIN)/ruff format --check $(CODE)

lint: $(VENV)/.dev
	$(BIN)/ruff check $(CODE)

types: $(VENV)/.dev
	$(BIN)/mypy

pytest: $(VENV)/.dev
	$(PYTEST)

# The same, and at the end the branches that were not taken; it takes a fifth longer.
coverage: $(VENV)/.dev
	$(PYTEST) --cov=tasb_qdrant

# The wheel in an environment that has nothing else: what is missing from it shows here.
wheel: $(VENV)/.dev
	rm -rf build/wheel && mkdir -p build/wheel
	$(BIN)/python -m build --wheel --outdir build/wheel .
	$(BIN)/python -m tests.wheel_smoke build/wheel

# docs/api.md, anew from the docstrings.
api: $(VENV)/.dev
	$(BIN)/python -m tests.docs.reference

# A new user's first hour, from pip install in a clean environment; writes docs/walk.md. `make test` has a short form.
walk: $(VENV)/.dev
	$(BIN)/python -m tests.walk

# The newest and the lowest versions that pyproject.toml allows, on each Python; some gigabytes each, gone afterwards.
install-matrix: $(VENV)/.dev
	$(BIN)/python -m tests.install_matrix

# Other examples than CI's, for every property test and for the faults. The seed told repeats a run: make fuzz SEED=N.
fuzz: $(VENV)/.dev
	$(PYTEST) -m property --hypothesis-profile=fuzz --hypothesis-seed=$(or $(SEED),$(shell $(BIN)/python -c 'import random; print(random.randrange(10**9))'))

# Thousands of faults, for hours; what `make test` has is a short form. Stopped, it goes on where it was.
# make faults FROM=26: only the kinds from this number on; the page keeps what it says of the others.
faults: $(VENV)/.dev
	$(BIN)/python -m tests.faults --from $(or $(FROM),1)

# Each peer gets an environment of its own below build/bench, made when it is first needed.
bench: $(VENV)/.bench
	$(BIN)/python -m benchmarks.encode --write
	$(BIN)/python -m benchmarks.load --write
	$(BIN)/python -m benchmarks.ingest --write
	$(BIN)/python -m benchmarks.search --write

# Storing ready vectors alone; the Qdrant server comes through npm, as in the tests.
bench-load: $(VENV)/.bench
	$(BIN)/python -m benchmarks.load --write

# The whole way: text to stored, to searchable, a second run, verify. With a GPU: make bench-ingest DEVICE=cuda
bench-ingest: $(VENV)/.bench
	$(BIN)/python -m benchmarks.ingest --device $(or $(DEVICE),cpu) --write

# A folder to take along to a GPU machine that has PyTorch and no network; it says what to run there, for 8 minutes.
bench-ingest-gpu: $(VENV)/.bench
	$(BIN)/python -m benchmarks.ingesting.bundle build/gpu

# When the vector index is best built: at the end of a load, or along with it.
bench-index: $(VENV)/.bench
	$(BIN)/python -m benchmarks.index --write

# Searching alone; the first run stores and indexes 200,000 points twice, which later ones find in build/bench.
bench-search: $(VENV)/.bench
	$(BIN)/python -m benchmarks.search --write

bench-quick: $(VENV)/.bench
	$(BIN)/python -m benchmarks.encode --quick

bench-gpu: $(VENV)/.bench
	$(BIN)/python -m benchmarks.encode --device cuda --write

# What each precision costs in retrieval; needs SciFact (docs/performance.md says where).
bench-precision: $(VENV)/.bench
	$(BIN)/python -m benchmarks.precision --write

# What splitting long texts brings in retrieval; needs SciFact, too.
bench-long-texts: $(VENV)/.bench
	$(BIN)/python -m benchmarks.long_texts --write

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || \
	  { echo "Python 3.11, 3.12 or 3.13 is needed, $$($(PYTHON) --version) was found; say make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/python || { echo "Making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@touch $@

$(VENV)/.demo: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing tasb-qdrant into $(VENV) (PyTorch is large: some minutes)"
	@$(PIP) --editable '.[demo]'
	@touch $@

$(VENV)/.dev: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing tasb-qdrant and its tests' tools into $(VENV) (PyTorch is large: some minutes)"
	@$(PIP) --editable '.[dev]'
	@touch $@

$(VENV)/.bench: $(VENV)/.python pyproject.toml constraints.txt
	@echo "Installing tasb-qdrant and what draws the plots into $(VENV) (PyTorch is large: some minutes)"
	@$(PIP) --editable '.[bench]'
	@touch $@

clean:
	rm -rf $(VENV) build dist tasb_qdrant_data
