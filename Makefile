# Everything that is done to this project by hand or by CI. `make help` lists it.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
MADE := $(VENV)/made.stamp
# A stamp says which locked set the environment holds; a set is installed again when its file changes.
SERVICE := $(VENV)/service.stamp
DEV := $(VENV)/dev.stamp

CORE := $(CURDIR)/build/compiled
COMPILED := $(CORE)/made.stamp

PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input --require-virtualenv
LOCKED := --require-hashes --only-binary :all:
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-emit-find-links --custom-compile-command "make lock" requirements/build.in

.DEFAULT_GOAL := help
.PHONY: help run simulate test test-directline test-js test-faults test-stream test-storm test-tapes test-mutations test-theory test-fuzz test-asyncari test-genesis test-live test-rest bench bench-quick model test-plans soak bench-engine compiled test-compiled lint openapi lock clean
.SUFFIXES:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# The service takes the place of the shell, so that Ctrl-C and a signal to make reach it and nothing else.
run: $(SERVICE) ## start the service (settings: CORDBOARD_*; more options: ARGS=...)
	@exec $(BIN)/cordboard serve $(ARGS)

simulate: $(SERVICE) ## a contact centre's worth of customers and agents against a running service (options: ARGS=...)
	@exec $(BIN)/cordboard simulate $(ARGS)

# Most tests wait for something most of the time: files run beside one another, in more processes than a small machine has
# cores (all in one process: ARGS="-n 0").
test: $(DEV) ## every test (a part of them: ARGS=tests/unit)
	@exec $(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder $(ARGS)

# Half of it is waiting: three are tried beside one another, each with processes and servers of its own (one: ARGS="-n 0").
test-faults: $(DEV) ## kill, pause, cut off and fill up several processes under load (all of it twenty times: TIMES=20)
	@failed=0; for round in $$(seq $(or $(TIMES),1)); do \
		CORDBOARD_TEST_FAULTS=all $(BIN)/python -m pytest -v -n 3 --maxschedchunk 1 $(ARGS) tests/fault || failed=$$((failed + 1)); \
		echo "Round $$round of $(or $(TIMES),1) is over; failed so far: $$failed"; \
	done; exit $$failed

test-stream: $(DEV) ## streams that are cut, held up and doubled at random, for two minutes (others: SECONDS=; again: SEED=)
	@CORDBOARD_TEST_STREAM_S=$(or $(SECONDS),120) CORDBOARD_TEST_SEED=$(or $(SEED),0) exec $(BIN)/python -m pytest -s -v \
		$(ARGS) tests/integration/test_stream_chaos.py

test-storm: $(DEV) ## ten thousand desktops that come back at once (ten minutes; fewer: DESKTOPS=2000)
	@CORDBOARD_TEST_FAULTS=all CORDBOARD_TEST_DESKTOPS=$(or $(DESKTOPS),10000) exec $(BIN)/python -m pytest -v $(ARGS) tests/fault/test_storm.py

test-tapes: $(DEV) ## random operations on the engine that no run played before (more: TAPES=; the same again: FIRST=)
	@CORDBOARD_TEST_TAPES=$(or $(TAPES),2000) CORDBOARD_TEST_FIRST_TAPE=$(or $(FIRST),$$(date +%s)) exec $(BIN)/python -m pytest \
		-v --timeout=3600 $(ARGS) tests/property/test_engine_tape.py

test-theory: $(DEV) ## the engine against Erlang, Markov chains, the best assignment; and fairness: prints what came out
	@exec $(BIN)/python -m pytest -v -s -n 0 --timeout=3600 $(ARGS) tests/theory

test-mutations: $(DEV) ## break the guards of engine and service one by one: the tests must notice (many minutes)
	@CORDBOARD_TEST_MUTATIONS=all exec $(BIN)/python -m pytest -v --timeout=900 $(ARGS) tests/mutation

# Its own folder: nothing else needs it, and it has wheels for few Pythons.
FUZZ := $(VENV)/fuzz
test-fuzz: $(DEV) ## coverage-guided fuzzing of what strangers' bytes reach (a minute for each parser; others: SECONDS=)
	@$(PIP) install --target $(FUZZ) --upgrade --no-deps --only-binary :all: atheris==3.0.0
	@for each in tests/fuzz/corpus/*/; do \
		name=$$(basename $$each); mkdir -p build/fuzz/$$name; echo "$$name"; \
		PYTHONPATH=$(FUZZ) $(BIN)/python -m tests.fuzz.run $$name -max_total_time=$(or $(SECONDS),60) -verbosity=0 \
			-print_final_stats=1 -artifact_prefix=build/fuzz/ build/fuzz/$$name $$each || exit 1; \
	done

test-live: $(DEV) ## calls on a live Asterisk with SIP telephones (CORDBOARD_TEST_ARI_URL; docs/voice.md says how)
	@test -n "$$CORDBOARD_TEST_ARI_URL" || { echo "CORDBOARD_TEST_ARI_URL is not set: docs/voice.md says how" >&2; exit 1; }
	@exec $(BIN)/python -m pytest -v -n 0 $(ARGS) -k live tests/integration/tenants/test_voice.py

test-rest: $(DEV) ## schemathesis over the whole OpenAPI document, thousands of cases (many minutes; other numbers: CASES=)
	@CORDBOARD_TEST_REST=$(or $(CASES),25) exec $(BIN)/python -m pytest -v --timeout=3600 $(ARGS) tests/contract/test_openapi.py

# An environment of its own: it wants other versions of what we use.
GENESIS := $(VENV)/genesis
test-genesis: $(DEV) ## the double of FreeSWITCH with somebody else's client, genesis
	@test -x $(GENESIS)/bin/python || $(PYTHON) -m venv $(GENESIS)
	@$(GENESIS)/bin/python -m pip -qq --disable-pip-version-check install --only-binary :all: genesis==2026.10.18
	@CORDBOARD_TEST_GENESIS=$(CURDIR)/$(GENESIS)/bin/python exec $(BIN)/python -m pytest -v -n 0 $(ARGS) tests/integration/test_genesis.py

ASYNCARI := $(VENV)/asyncari
test-asyncari: $(DEV) ## the double of Asterisk with somebody else's client, asyncari
	@test -x $(ASYNCARI)/bin/python || $(PYTHON) -m venv $(ASYNCARI)
	@$(ASYNCARI)/bin/python -m pip -qq --disable-pip-version-check install --only-binary :all: asyncari==0.20.6
	@CORDBOARD_TEST_ASYNCARI=$(CURDIR)/$(ASYNCARI)/bin/python exec $(BIN)/python -m pytest -v -n 0 $(ARGS) tests/integration/test_asyncari.py

# Exact versions, and nothing of theirs runs while they are installed.
DIRECTLINE := $(VENV)/directline
test-directline: $(DEV) ## Microsoft's own Direct Line client against the service (needs node and npm)
	@mkdir -p $(DIRECTLINE) && npm --prefix $(DIRECTLINE) install --silent --no-audit --no-fund --ignore-scripts --save-exact \
		botframework-directlinejs@0.15.8 ws@8.18.3 xhr2@0.2.1
	@CORDBOARD_TEST_DIRECTLINE=$(CURDIR)/$(DIRECTLINE) exec $(BIN)/python -m pytest -v $(ARGS) tests/integration/test_directline_js.py

# What integrators use in JavaScript: the official parser of AsyncAPI, and the official library for webhooks.
JS := $(VENV)/js
test-js: $(DEV) ## asyncapi.yaml in AsyncAPI's own parser, webhooks with Standard Webhooks' own library (needs node and npm)
	@mkdir -p $(JS) && npm --prefix $(JS) install --silent --no-audit --no-fund --ignore-scripts --save-exact \
		@asyncapi/parser@3.6.6 standardwebhooks@1.1.1
	@CORDBOARD_TEST_JS=$(CURDIR)/$(JS) exec $(BIN)/python -m pytest -v $(ARGS) tests/integration/test_javascript.py

# Speed is measured of what the Docker image runs: the compiled engine, in the copy of the package that goes before the
# checkout. Of the source: `make bench-engine CORE= COMPILED=` (and so `make bench`), as `make bench-quick` is.
MEASURED = PYTHONPATH=$(if $(CORE),$(CORE):)$(CURDIR) exec $(BIN)/python -P

bench: $(DEV) $(COMPILED) ## the whole service beside what could be had instead (some minutes; ARGS=--into=docs for table, chart)
	@$(MEASURED) -m bench.whole $(ARGS)

bench-quick: $(DEV) ## the same, smaller: about two minutes
	@exec $(BIN)/python -m bench.whole --quick $(ARGS)

model: $(DEV) ## check the hand-over between processes in every order of events (some minutes)
	@CORDBOARD_TEST_MODEL=all exec $(BIN)/python -m pytest -s -v $(ARGS) tests/model

test-plans: $(DEV) ## how PostgreSQL carries out every statement at a million rows (some minutes; other numbers: ROWS=)
	@CORDBOARD_TEST_ROWS=$(or $(ROWS),1000000) exec $(BIN)/python -m pytest -v --timeout=1800 $(ARGS) tests/plans

soak: $(DEV) ## an hour under load: is memory flat? (other lengths: MINUTES=)
	@exec $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),60) $(ARGS)

bench-engine: $(DEV) $(COMPILED) ## decisions a second and memory, from 100 agents to 100,000 (a minute: ARGS=--quick)
	@$(MEASURED) -m bench.engine $(ARGS)

# Limits that a test makes small, and subclasses of the engine, are of no effect or refused there: tests that need them are left out.
CORE_TESTS := $(addprefix tests/,unit/test_engine.py unit/test_index.py unit/test_policy_*.py unit/test_classify.py \
	unit/test_tagging.py unit/test_hours.py unit/test_checks.py unit/test_wire.py property theory)

compiled: $(COMPILED) ## the engine as machine code, some three times as fast, into build/compiled (some minutes; needs a C compiler)

$(COMPILED): deploy/compile_router.py bench/centre.py $(shell find src migrations -name '*.py') | $(DEV)
	@$(BIN)/python deploy/compile_router.py
	@cd $(CORE) && PYTHONPATH=$(CORE) $(CURDIR)/$(BIN)/python -c 'import src.router.engine as e; print("Compiled:", e.__file__); assert e.__file__.endswith(".so")'
	@touch $@

test-compiled: compiled ## the router's tests on the compiled engine
	@PYTHONPATH=$(CORE) exec $(BIN)/python -m pytest -o pythonpath=$(CORE) $(ARGS) $(CORE_TESTS)

lint: $(DEV) ## style, types, layers, and whether openapi.yaml and asyncapi.yaml are what the code says
	@echo "ruff check" && $(BIN)/ruff check --quiet .
	@echo "ruff format" && $(BIN)/ruff format --quiet --check .
	@echo "mypy" && $(BIN)/mypy
	@echo "import-linter" && $(BIN)/lint-imports
	@echo "openapi.yaml" && $(BIN)/cordboard openapi --check openapi.yaml
	@echo "asyncapi.yaml" && $(BIN)/cordboard asyncapi --check asyncapi.yaml

openapi: $(SERVICE) ## write openapi.yaml, asyncapi.yaml and docs/problems.md from the code
	@$(BIN)/cordboard openapi > openapi.yaml.new && mv openapi.yaml.new openapi.yaml
	@$(BIN)/cordboard asyncapi > asyncapi.yaml.new && mv asyncapi.yaml.new asyncapi.yaml
	@$(BIN)/cordboard problems > docs/problems.md.new && mv docs/problems.md.new docs/problems.md
	@$(BIN)/cordboard schema > docs/configuration.schema.json.new && mv docs/configuration.schema.json.new docs/configuration.schema.json

lock: $(DEV) ## choose the newest allowed versions and write requirements/
	@echo "Locking requirements/service.txt" && $(COMPILE) pyproject.toml --upgrade --output-file requirements/service.txt
	@echo "Locking requirements/otel.txt" && $(COMPILE) pyproject.toml --upgrade --extra otel \
		--constraint requirements/service.txt --output-file requirements/otel.txt
	@echo "Locking requirements/dev.txt" && $(COMPILE) pyproject.toml --upgrade --extra dev --constraint requirements/otel.txt \
		--output-file requirements/dev.txt
	@echo "Locking requirements/compile.txt" && $(COMPILE) requirements/compile.in --constraint requirements/dev.txt \
		--output-file requirements/compile.txt

clean: ## remove the environment and everything that was built; data in .cordboard stays
	@rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamp holds the folder, which an environment cannot leave: one that was moved or lost its Python is made anew.
ifneq ($(shell test -x $(BIN)/python && cat $(MADE) 2>/dev/null),$(CURDIR))
.PHONY: $(MADE)
endif

$(MADE):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Cordboard needs Python 3.11 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1): name one by PYTHON=..." >&2; \
		exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@rm -rf $(VENV) && $(PYTHON) -m venv $(VENV)
	@echo "$(CURDIR)" > $@

$(SERVICE): requirements/service.txt pyproject.toml $(MADE)
	@echo "Installing what the service needs: $$(grep -c == requirements/service.txt) packages, about a minute the first time"
	@$(PIP) install $(LOCKED) --requirement requirements/service.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(DEV): requirements/dev.txt $(SERVICE)
	@echo "Installing what the tests and checks need"
	@$(PIP) install --no-compile $(LOCKED) --requirement requirements/dev.txt
	@touch $@
