# Two commands matter: `make demo` and `make test`. Everything else is `make help`.
PYTHON ?= $(shell for p in python3.11 python3.12 python3.13 python3.14 python3; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
VERIFIER := tests/webhooks/node_modules/.package-lock.json
AXE := tests/page/node_modules/.package-lock.json
# A file that does not compile, such as a template, is none that anybody imports; of these packages few files are.
COMPILE := $(BIN)/python -m compileall -q -j 0 -x '/(fontTools|kubernetes|matplotlib|mypy|numba|pip|pygments)/' $(VENV)/lib >/dev/null || true

SHARP := tests/bench/images/node_modules/.package-lock.json
.PHONY: help demo up down test check pytest bench bench-profile bench-images soak flood lock proto clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 16

demo: export PHOTO := $(PHOTO)
demo: $(VENV)/.installed ## start everything, send the sample photographs (or PHOTO=path), show the results, stop everything
	@$(BIN)/python -m deploy.local demo $${PHOTO:+"$$PHOTO"}

up: $(VENV)/.installed ## start everything and keep it until Ctrl-C
	@exec $(BIN)/python -m deploy.local up

down: $(VENV)/.installed ## stop what a killed `make up` left running
	@$(BIN)/python -m deploy.local down

test: $(VENV)/.installed-dev $(VERIFIER) $(AXE) ## lint, types, import contracts, tests
	@$(MAKE) --no-print-directory -j2 check pytest

check: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

pytest: $(VENV)/.installed-dev $(VERIFIER) $(AXE)
	$(BIN)/python -m tests

bench: $(VENV)/.installed-dev ## measure speed and latency beside Celery and others: PARTS ("a b"), OPTIONS ("--jobs 2000")
	$(BIN)/python -m tests.bench $(PARTS) $(OPTIONS)

bench-profile: $(VENV)/.installed-dev ## where the time of a job goes, by process and by statement (OPTIONS="--load drain")
	$(BIN)/python -m tests.bench.profile $(OPTIONS)

bench-images: $(VENV)/.installed-dev $(SHARP) ## measure pictures beside sharp, libvips and Pillow (ONLY=jpeg, "12 MP", …)
	$(BIN)/python -m tests.bench.images $(if $(ONLY),--only "$(ONLY)")

soak: $(VENV)/.installed-dev ## break everything at random under load for MINUTES (15), with SEED, on BROKER (redis, rabbitmq)
	$(BIN)/python -m tests.faults.soak --minutes $(or $(MINUTES),15) --broker $(or $(BROKER),redis) $(if $(SEED),--seed $(SEED))

flood: $(VENV)/.installed-dev ## queue JOBS (20000) and kill KILLS (120) processes while they are worked on, with SEED, on BROKER
	$(BIN)/python -m tests.faults.flood --jobs $(or $(JOBS),20000) --kills $(or $(KILLS),120) --broker $(or $(BROKER),redis) $(if $(SEED),--seed $(SEED))

lock: $(VENV)/.installed-dev ## renew the pinned versions and hashes
	$(BIN)/uv pip compile --group installer $(LOCK) -o deploy/installer.txt
	$(BIN)/uv pip compile pyproject.toml --extra local --extra kubernetes --extra moderation --extra otel --extra pdf --extra planes --extra text $(LOCK) -o deploy/requirements.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras $(LOCK) -o deploy/requirements-dev.txt
LOCK := --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-annotate --quiet

proto: $(VENV)/.installed-dev ## renew what is generated from scheduler/keda/externalscaler.proto
	$(BIN)/python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. --grpc_python_out=. scheduler/keda/externalscaler.proto

clean: ## remove the virtual environment (data under .millrace/ stays)
	rm -rf $(VENV) tests/webhooks/node_modules tests/page/node_modules tests/bench/images/node_modules

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "Millrace needs Python 3.11 to 3.14 on the PATH (or: make PYTHON=/path/to/python3.11 …)" >&2; exit 1; }
	@echo "Creating $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }

$(VENV)/.installed: $(BIN)/python pyproject.toml deploy/installer.txt deploy/requirements.txt
	@echo "Installing the pinned packages (once; less than a minute)"
	@deploy/install.sh $(BIN)/python deploy/requirements.txt
	@$(COMPILE)
	@touch $@

# All of .installed's and more, in the same versions: to install those first would take half as long again.
$(VENV)/.installed-dev: $(BIN)/python pyproject.toml deploy/installer.txt deploy/requirements.txt deploy/requirements-dev.txt
	@echo "Installing the pinned packages, those for development among them (once; about a minute)"
	@deploy/install.sh $(BIN)/python deploy/requirements-dev.txt
	@$(COMPILE)
	@touch $(VENV)/.installed
	@touch $@

$(SHARP): $(VENV)/.installed-dev tests/bench/images/package-lock.json tests/bench/images/.npmrc
	@$(BIN)/npm ci --loglevel=error --prefix tests/bench/images && touch $@ || { echo "sharp cannot be installed" >&2; exit 1; }

$(AXE): $(VENV)/.installed-dev tests/page/package-lock.json tests/page/.npmrc
	@echo "Installing axe-core"
	@$(BIN)/npm ci --loglevel=error --prefix tests/page && touch $@ || echo "It cannot be installed: its tests are skipped" >&2

# What a laptop without npm's registry cannot have, its tests skip.
$(VERIFIER): $(VENV)/.installed-dev tests/webhooks/package-lock.json tests/webhooks/.npmrc
	@echo "Installing the JavaScript verifier of webhooks"
	@$(BIN)/npm ci --loglevel=error --prefix tests/webhooks && touch $@ || echo "It cannot be installed: its tests are skipped" >&2
