# Two commands do everything on a fresh machine: `make demo` and `make test`.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
ROOT ?= demo/root

.PHONY: help setup demo test lint browser promtool bench clean

help:
	@echo "make setup   a ready $(VENV) (Python 3.11 or later)"
	@echo "make demo    set-up, then the whole pipeline on music composed here"
	@echo "             MUSIC=/folder takes your own audio, LABELS=/file.csv its labels, ROOT=/out the output"
	@echo "make test    set-up, then format, lint, types, layers and all tests; as root on Debian it installs chromium;"
	@echo "             promtool is unpacked from Debian's package"
	@echo "make bench   set-up, then the measurements of tests/bench (hours; the last one continues where it was stopped)"

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip --constraint constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

ifdef MUSIC
demo: $(READY)
	$(BIN)/python -m jobs.pipeline --root '$(ROOT)' --music '$(MUSIC)' $(if $(LABELS),--labels '$(LABELS)')
else
demo: $(READY)
	$(BIN)/python -m jobs.compose --out demo/music --tracks 128 --seed 0
	$(BIN)/python -m jobs.pipeline --root '$(ROOT)' --music demo/music --labels demo/music/labels.csv --config jobs/configs/demo.yaml
endif

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

# The report's pages are opened in Debian's chromium; where it cannot be installed, that test is skipped and says so.
browser:
	@command -v chromium >/dev/null || if [ "$$(id -u)" = 0 ] && grep -qx ID=debian /etc/os-release; then \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null; \
	else echo "no chromium here: the report's pages will not be opened in a browser"; fi

# Alerts and dashboard are tested with promtool, out of Debian's package: nothing is installed, no server is started.
promtool: $(READY)
	@test -x $(BIN)/promtool || if command -v apt-get >/dev/null; then \
		mkdir -p build/promtool && cd build/promtool && \
		(apt-get download -qq prometheus 2>/dev/null || (apt-get update -qq && apt-get download -qq prometheus)) && \
		dpkg -x prometheus_*.deb . && cp usr/bin/promtool ../../$(BIN)/promtool; \
	else echo "no Debian here: alerts and dashboard will not be tested"; fi

test: lint browser promtool
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist worksteal --durations 40 --durations-min 4

bench: $(READY)
	$(BIN)/python -m tests.bench.extract
	$(BIN)/python -m tests.bench.ledger
	$(BIN)/python -m tests.bench.represent
	$(BIN)/python -m tests.bench.engine
	$(BIN)/python -m tests.bench.resilience.faults
	$(BIN)/python -m tests.bench.resilience.storage_faults
	$(BIN)/python -m tests.bench.resilience.lease_races
	$(BIN)/python -m tests.bench.resilience.lease_races --s3
	$(BIN)/python -m tests.bench.resilience.gc_races
	$(BIN)/python -m tests.bench.capacity
	$(BIN)/python -m tests.bench.train
	$(BIN)/python -m tests.bench.resilience.train_faults
	$(BIN)/python -m tests.bench.recovery --seeds 20 --out build/recovery.jsonl

clean:
	rm -rf $(VENV) demo build *.egg-info
