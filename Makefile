# The commands of the project. `make demo` and `make test` need only git, make and Python >= 3.11.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Superset does not run on the newest Python: make SUPERSET_PYTHON=/path/to/python3.12 dashboards
SUPERSET_PYTHON ?= $(PYTHON)
SUPERSET := .venv-superset
SUPERSET_INSTALLED := $(SUPERSET)/.installed

DBT := .venv-dbt
DBT_INSTALLED := $(DBT)/.installed

DOCS := .venv-docs
DOCS_INSTALLED := $(DOCS)/.installed

.PHONY: help demo test test-all test-slow lint lint-python lint-types lint-imports lint-sql hooks lock ui \
  install superset dashboards bundle dbt screenshots soak crash push-crash faults readers \
  verify-million fuzz life points bench image-test reference docs-site clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

install: $(INSTALLED) ## Create the environment in .venv, from the lock file

$(INSTALLED): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@# Built with the pinned tools of the lock file, not with the newest that pip would fetch.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(INSTALLED) ## Sync 14 days of a simulated programme into an embedded Postgres
	@$(BIN)/lcm demo

# Four processes for two cores: half of the time a test waits, for a server that starts or a process that ends.
PYTEST := $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder
test: $(INSTALLED) ## Linters, types, import contracts and all tests but the slow ones
	@# Types take as long as the other linters together.
	$(MAKE) --no-print-directory --jobs 2 --output-sync lint
	$(PYTEST) -m 'not slow'

# PART=2 runs the second sixteenth alone: CI runs one, by the commit, to stay well below half an hour.
PART ?=
test-slow: $(INSTALLED) ## The slow tests: whole scenarios, other cases of sampled tests (PART=1 to 16: a sixteenth)
	$(PYTEST) -m slow $(if $(PART),--splits 16 --group $(PART))

test-all: test test-slow ## make test, then make test-slow

lint: lint-python lint-types lint-imports lint-sql ## ruff, mypy, import contracts, sqlfluff

lint-python: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

lint-types: $(INSTALLED)
	$(BIN)/mypy

lint-imports: $(INSTALLED)
	$(BIN)/lint-imports --no-cache

lint-sql: $(INSTALLED)
	@# Its process pool leaves semaphores behind, and Python warns about them.
	PYTHONWARNINGS=ignore::UserWarning $(BIN)/sqlfluff lint sql

hooks: $(INSTALLED) ## Run the linters before each commit, through pre-commit
	$(BIN)/pre-commit install

# Extras for users: all of pyproject.toml except `dev`.
EXTRAS := report parquet celery k8s
UV_LOCK := uv pip compile --universal --python-version 3.11 --generate-hashes --no-strip-extras \
  --no-header --quiet
lock: ## Update the lock files from pyproject.toml (needs uv); existing pins stay
	$(UV_LOCK) pyproject.toml --all-extras --output-file requirements-dev.lock
	$(UV_LOCK) pyproject.toml --constraint requirements-dev.lock --output-file requirements.lock
	$(UV_LOCK) pyproject.toml --constraint requirements-dev.lock $(EXTRAS:%=--extra %) \
	  --output-file requirements-all.lock
	$(UV_LOCK) --group build --constraint requirements-dev.lock --output-file requirements-build.lock
	$(UV_LOCK) --group docs --output-file docs/requirements.lock

ui: $(INSTALLED) ## Dagster's web interface on 127.0.0.1:3000
	@$(BIN)/lcm ui

superset: $(SUPERSET_INSTALLED) ## Install Superset in .venv-superset (it cannot share .venv)

$(SUPERSET_INSTALLED): dashboards/requirements.lock
	@$(SUPERSET_PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' || \
	  { echo "Superset 6.1 needs Python 3.10 to 3.12: make SUPERSET_PYTHON=/path/to/python3.12 $(MAKECMDGOALS)"; exit 2; }
	$(SUPERSET_PYTHON) -m venv $(SUPERSET)
	$(SUPERSET)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r dashboards/requirements.lock
	@touch $@

PORT ?= 8088
dashboards: $(INSTALLED) $(SUPERSET_INSTALLED) ## Open the dashboards in Superset on 127.0.0.1:8088 (PORT=…)
	@$(BIN)/lcm dashboards --port $(PORT)

bundle: $(INSTALLED) ## Write the bundle for any Superset, to dist/ and build/dashboards
	@$(BIN)/lcm bundle

dbt: $(DBT_INSTALLED) ## Install dbt in .venv-dbt, for the package in dbt/

$(DBT_INSTALLED): dbt/requirements.lock
	$(PYTHON) -m venv $(DBT)
	$(DBT)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r dbt/requirements.lock
	@touch $@

reference: $(INSTALLED) ## Regenerate docs/reference: settings, commands, exit codes
	$(BIN)/python -m tests.docs.reference

docs-site: $(DOCS_INSTALLED) ## Build the site from docs/ in build/site; warnings are errors
	@mkdir -p build
	@# Material for MkDocs is maintained until May 2027; its successor reads the same mkdocs.yml. Not --quiet,
	@# which would silence --strict too.
	@NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict > build/site.log 2>&1 \
	  || { grep -v '^INFO' build/site.log; exit 1; }
	@echo "wrote build/site"

$(DOCS_INSTALLED): docs/requirements.lock
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-compile --require-hashes -r docs/requirements.lock
	@touch $@

screenshots: $(INSTALLED) $(SUPERSET_INSTALLED) ## Take the screenshots in docs/screenshots
	$(BIN)/python -m tests.browser.screenshots

RUNS ?= 3
WITH ?=
POSTGRES ?= embedded
bench: $(INSTALLED) ## Benchmark against a hand-written floor and dlt; WITH=airbyte,singer for more
	$(BIN)/python -m benchmarks --runs $(RUNS) --with '$(WITH)' $(POSTGRES:%=--postgres %)

HISTORIES ?= 1000000
soak: $(INSTALLED) ## Read a million random histories while they change
	$(BIN)/python -m tests.paging.histories --histories $(HISTORIES)

# Of all random draws but those of `make soak`, whose histories are numbered.
SEED ?= 1
KILLS ?= 1000
crash: $(INSTALLED) ## Kill a sync a thousand times at every commit point: process, backend or server
	$(BIN)/python -m tests.crash.kills --kills $(KILLS) --seed $(SEED)

push-crash: $(INSTALLED) ## Kill lcm push a thousand times: claim, send, response, commit
	$(BIN)/python -m tests.crash.push_kills --kills $(KILLS) --seed $(SEED)

EVERY ?= 4
faults: $(INSTALLED) ## Fail the HTTP calls and SQL statements of a sync, in every way (each: EVERY=1)
	$(BIN)/python -m tests.crash.faults --every $(EVERY) --seed $(SEED)

PUBLISHES ?= 1000
readers: $(INSTALLED) ## Read at repeatable read during a thousand publishes
	$(BIN)/python -m tests.crash.readers --publishes $(PUBLISHES) --seed $(SEED)

verify-million: $(INSTALLED) ## Change one of a million rows, find it with `lcm verify`, repair it
	$(BIN)/python -m tests.verification.million

MUTANTS ?= 100000
REPLAY ?=
fuzz: $(INSTALLED) ## Sync mutated responses with healthy clients; SEED=…, or REPLAY=FILE of a failure
	$(BIN)/python -m tests.fuzz.run --mutants $(MUTANTS) --seed $(SEED) $(if $(REPLAY),--replay '$(REPLAY)')

DAYS ?= 60
life: $(INSTALLED) ## Sixty random days: each refresh of the marts equals a full recomputation
	$(BIN)/python -m tests.marts.life --days $(DAYS) --seed $(SEED)

WORLDS ?= 20
points: $(INSTALLED) ## Twenty programmes with random conventions: each month of the ledger against the truth
	$(BIN)/python -m tests.marts.random_points --worlds $(WORLDS) --seed $(SEED)

IMAGE_BASE ?=
image-test: $(INSTALLED) ## Build the image with buildah and run it (as root; IMAGE_BASE=… sets its base)
	$(if $(IMAGE_BASE),IMAGE_BASE='$(IMAGE_BASE)') $(BIN)/python -m pytest -n 0 tests/deploy/test_image.py

clean: ## Remove the environment (never the data in LCM_HOME)
	rm -rf $(VENV) $(SUPERSET) $(DBT) $(DOCS) .pytest_cache .mypy_cache .ruff_cache .hypothesis
