# The one door to this checkout: `make` alone lists what it can do.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo test quick lint types imports docs bench-agent lab lab-down

PACKAGES := bench_agent fabfile provisioning reporting stacks tools
IN_VENV := PATH="$(CURDIR)/.venv/bin:$(CURDIR)/.tools/bin:$$PATH"
DOCS := README.md $(wildcard docs/*/*.md)

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | while IFS='|' read -r name what; do \
	  printf '  make %-12s%s\n' "$$name" "$$what"; done

setup: ## the environment, the Pulumi engine, ./activate and the stacks (quick when done)
	@python=$$(sh tools/find-python) && "$$python" -m tools.setup

demo: setup ## the whole job on the stack `local`: up, bench, destroy, nothing left
	@$(IN_VENV) python -m tools.demo

test: setup lint types imports docs ## everything: lint, types, imports, docs, unit and integration tests
	@sh tools/test-packages
	@$(IN_VENV) python -m tests.lab prepare || echo "the lab was not prepared; tests that need it say why"
	@$(IN_VENV) pytest

quick: setup lint types imports ## what needs no engine and no server, in under a minute
	@$(IN_VENV) pytest -m "not integration"

bench-agent: setup ## this load client beside others, on a server of known timing
	@$(IN_VENV) python -m tools.bench_agent

lab: setup ## a test host like a fresh cloud VM, left up to play with (docs/how-to/lab.md)
	@$(IN_VENV) python -m tests.lab up $(LAB)

lab-down: ## all test hosts and what runs for them are gone
	@$(IN_VENV) python -m tests.lab down --all

lint: ## style (ruff check, ruff format)
	@$(IN_VENV) ruff check .
	@$(IN_VENV) ruff format --check .

types: ## mypy, strict
	@$(IN_VENV) mypy $(PACKAGES)

imports: ## the directions between packages
	@$(IN_VENV) lint-imports

docs: ## generated parts of the documentation are what the code says
	@$(IN_VENV) cog --check -I . -r $(DOCS)
