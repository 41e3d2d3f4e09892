# make                       set up, then every figure and table of the default configuration
# make CONFIG=config/x.yaml  the same for another configuration
# make why                   what would rerun, and why;  make verify  the results against their manifests
# make test, make lint       the checks;  make clean-results  forget every result
CONFIG ?= config/config.yaml
CORES ?= all
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.set-up
# Targets stand before `--configfile`, which would take them for files of its own.
SNAKEMAKE = $(BIN)/snakemake $(TARGETS) --cores $(CORES) --configfile $(CONFIG)

.PHONY: all setup results report test lint format docs clean-results verify why bench-ablation bench-capture bench-training

all: results

setup: $(STAMP) $(CONFIG)

# A configuration is never made; where it is missing, say so before anything is set up.
$(CONFIG):
	@echo "There is no configuration $(CONFIG): give the path of a YAML file, as in make CONFIG=config/minilm.yaml" >&2
	@exit 1

# torch first and pinned: on a machine without a GPU build in reach this takes the CPU build.
$(STAMP): requirements.lock
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	touch $@

results: setup
	$(SNAKEMAKE)

report: setup
	$(SNAKEMAKE) --report report.html

test: setup
	$(BIN)/python -m pytest
	$(MAKE) lint

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

docs: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.config_page
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.sizing --page docs/sizing.md \
	    --configfile config/paper.yaml --configfile docs/sizing-70b.yaml

# What `make` would run and why, for the same CONFIG and TARGETS.
why: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.why $(TARGETS) --configfile $(CONFIG)

verify: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.verify results

# The ablation engine against plain hooks, TransformerLens and nnsight, which have an environment of
# their own; no timing decides pass or fail.
bench-ablation: setup
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement bench/requirements-peers.txt
	$(BIN)/python bench/bench_ablation.py --peers-python .venv-peers/bin/python --output bench/ablation.json

# Our capture against the bare forward pass, TransformerLens and nnsight; prints whether the bars are met.
bench-capture: setup
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement bench/requirements-peers.txt
	$(BIN)/python bench/bench_capture.py --peers-python .venv-peers/bin/python --output bench/capture.json

# Our training loop against Hugging Face Trainer; needs results/models/mini for the time to 99 %.
bench-training: setup
	PYTHONPATH=workflow/scripts $(BIN)/python bench/bench_training.py --output bench/training.json

clean-results:
	find results -mindepth 1 -not -name .gitignore -delete
	rm -rf logs
