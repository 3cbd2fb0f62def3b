# `make run` and `make test` do all their set-up; running them again reinstalls and refetches nothing.
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP_FLAGS := --quiet --disable-pip-version-check
PYTEST_FLAGS ?=
BENCH_FLAGS ?=
LOAD_FLAGS ?=
SOAK ?=
SOAK_FLAGS ?=
# a file's tests together: they share what is dear to set up; tests/conftest.py says how many workers there are and what comes first
PARALLEL := -n auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.PHONY: run test check bench load soak default-model screenshots clean

run: $(VENV)/.installed
	@$(PY) download_assets.py
	@$(PY) startup_optimizer.py
	@exec $(PY) app.py

test: $(VENV)/.installed-dev
	@$(PY) download_assets.py
	@$(PY) -m pytest $(PARALLEL) $(PYTEST_FLAGS)

check: $(VENV)/.installed-dev
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

bench: $(VENV)/.installed-dev
	@$(PY) download_assets.py
	@$(PY) -m benchmarks $(BENCH_FLAGS)

# LOAD_FLAGS: such as --users 200 --seconds 120; SOAK: minutes of load during which memory must not grow
load: $(VENV)/.installed-dev
	@$(PY) download_assets.py
	@$(PY) -m benchmarks.loadtest $(if $(SOAK),--soak $(SOAK)) $(LOAD_FLAGS)

# SOAK_FLAGS: such as --minutes 30 --days 30; ten thousand candle closes in thirteen minutes by default
soak: $(VENV)/.installed-dev
	@$(PY) download_assets.py
	@$(PY) -m benchmarks.soak $(SOAK_FLAGS)

# DATA: a folder of SYMBOL-1h.parquet files (see `python -m data.import_klines --help` for the columns)
DATA ?= ../shared/klines
default-model: $(VENV)/.installed
	@$(PY) -m models.train --model scale --preset standard --interval 1h --data $(DATA) --until 2024-09-30 --refit --id scale-1h

screenshots: $(VENV)/.installed-dev
	@$(PY) -m tests.support.screenshots

$(VENV)/.made:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else f"Python {v[0]}.{v[1]} found; 3.11 to 3.13 fits: make PYTHON=python3.12 …")'
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "The venv module is missing: on Debian or Ubuntu, apt install python3-venv"; exit 1; }
	@touch $@

$(VENV)/.installed: requirements.txt constraints.txt $(VENV)/.made
	@echo "Installing requirements into $(VENV) (a few minutes, once)…"
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what the tests need…"
	@$(PY) -m pip install $(PIP_FLAGS) -r requirements-dev.txt -c constraints.txt
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache
