# make                       set up, then every figure and table of the default configuration
# make CONFIG=config/x.yaml  the same for another configuration
# make why                   what would rerun, and why;  make verify  the results against their manifests
# make report                one HTML page, and a zip, of the results that are there
# make test                  the checks after an edit, in minutes;  make test-system  kills, Slurm, S3, hubs;  make lint
# make notebooks             both notebooks, executed in place
# make site                  the documentation as a site, in build/site
# make cluster               what Slurm and S3 need;  make PROFILE=profiles/slurm  has it, and uses that profile
# make clean-results         forget every result
CONFIG ?= config/config.yaml
CORES ?= all
# Without PYTHON the newest one on the path that fits.
PYTHON ?=
VENV ?= .venv
PROFILE ?=
WORKERS ?= logical
BIN := $(VENV)/bin
RUN := $(VENV)/.set-up
CLUSTER := $(VENV)/.set-up-cluster
TEST := $(VENV)/.set-up-test
SITE := $(VENV)/.set-up-site
# Targets stand before `--configfile`, which would take them for files of its own.
SNAKEMAKE = $(BIN)/snakemake $(TARGETS) --cores $(CORES) $(if $(PROFILE),--workflow-profile $(PROFILE)) \
    --configfile "$(CONFIG)"
SET_UP = VENV="$(VENV)" PYTHON="$(PYTHON)" sh workflow/set-up.sh

.PHONY: all configuration setup cluster setup-test results report test test-system lint format docs gallery site \
    notebooks clean-results verify why bench-ablation bench-capture bench-default bench-planning \
    bench-training growth

all: results

setup: configuration $(RUN) $(if $(PROFILE),$(CLUSTER))

cluster: $(CLUSTER)

setup-test: setup $(TEST) $(SITE)

# What no reader of YAML can open is said before anything is set up.
configuration:
	@[ -f "$(CONFIG)" ] && [ -r "$(CONFIG)" ] || { echo "There is no configuration $(CONFIG) that can be read:" \
	    "give the path of a YAML file, as in make CONFIG=config/minilm.yaml" >&2; exit 1; }
	@! command -v iconv > /dev/null || iconv -f UTF-8 -t UTF-8 "$(CONFIG)" > /dev/null 2>&1 || \
	    { echo "The configuration $(CONFIG) is no text in UTF-8: save it as UTF-8" >&2; exit 1; }

# Each stamp stands for one section of the lock.
$(RUN): requirements.lock workflow/set-up.sh | configuration
	$(SET_UP) run
	touch $@

$(CLUSTER): $(RUN)
	$(SET_UP) cluster
	touch $@

$(TEST): $(CLUSTER)
	$(SET_UP) test
	touch $@

$(SITE): $(TEST)
	$(SET_UP) site
	touch $@

results: setup
	$(SNAKEMAKE)

report: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.report results \
	    --configfile "$(CONFIG)" --output report.html

# What an edit of the package, the rules or the plots can break; `test-system` has the rest (CONTRIBUTING.md).
# One thread a worker: threads of several workers on the same cores wait for one another.
test: setup-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not system" -n $(WORKERS) --maxprocesses 8 --dist loadfile $(PYTEST)

test-system: setup-test
	$(BIN)/python -m pytest -m system -n $(WORKERS) --maxprocesses 4 --dist loadfile $(PYTEST)

lint: setup-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/mypy

format: setup-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile workflow

# The documentation as a site, offline; any warning is an error.
site: setup $(SITE)
	$(BIN)/sphinx-build -W --keep-going -q -b html -c docs . build/site
	@echo "The site is build/site/docs/index.html"

# Both notebooks from their first cell to their last; their outputs are kept in the files.
notebooks: setup $(TEST)
	$(BIN)/python tests/notebooks.py

# The documentation's pictures, tables and numbers, from the results of the default configuration.
gallery: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.gallery results \
	    --configfile config/config.yaml --output docs/gallery
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.page_numbers docs/gallery README.md \
	    docs/default.md docs/units.md

docs: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.config_page
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.sizing --page docs/sizing.md \
	    --configfile config/paper.yaml --configfile docs/sizing-70b.yaml

# What `make` would run and why, for the same CONFIG and TARGETS.
why: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.why $(TARGETS) --configfile "$(CONFIG)"

verify: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m fourier_addition.pipeline.verify results

# The ablation engine against plain hooks, TransformerLens and nnsight, which have an environment of
# their own; no timing decides pass or fail.
bench-ablation: setup-test
	VENV=.venv-peers PYTHON="$(PYTHON)" sh workflow/set-up.sh
	.venv-peers/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement bench/requirements-peers.txt
	$(BIN)/python bench/bench_ablation.py --peers-python .venv-peers/bin/python --output bench/ablation.json

# Our capture against the bare forward pass, TransformerLens and nnsight; prints whether the bars are met.
bench-capture: setup-test
	VENV=.venv-peers PYTHON="$(PYTHON)" sh workflow/set-up.sh
	.venv-peers/bin/pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-peers/bin/pip install --quiet --disable-pip-version-check --requirement bench/requirements-peers.txt
	$(BIN)/python bench/bench_capture.py --peers-python .venv-peers/bin/python --output bench/capture.json

# Our training loop against Hugging Face Trainer; needs results/models/mini for the time to 99 %.
bench-training: setup-test
	PYTHONPATH=workflow/scripts $(BIN)/python bench/bench_training.py --output bench/training.json

# How long a dry run of a study of 5,000 jobs takes; prints whether the bar is met.
bench-planning: setup
	$(BIN)/python bench/bench_planning.py --output bench/planning.json

# The default from a ready set-up, in an empty folder: its seconds by rule.
bench-default: setup
	$(BIN)/python bench/bench_default.py

# How time and memory of jobs grow, beside what sizing expects; renews the table of docs/sizing.md.
growth: setup
	$(BIN)/python bench/bench_growth.py --output bench/growth.json --page docs/sizing.md

clean-results:
	find results -mindepth 1 -not -name .gitignore -delete
	rm -rf logs
