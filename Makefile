# Each target is what a person and CI run alike. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
export SERVEMARK_EXTRAS := dev

.PHONY: help setup lint test test-fast bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## make .venv with servemark and the tools that test it (as benchmark.py does, and skipped when current)
	@$(PYTHON) benchmark.py --set-up-only

lint: setup ## format, style, types and import order, of Python and Rust
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest servemark._loadgen
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings

test-fast: setup ## unit and integration tests: under a minute
	cargo test --workspace --quiet
	$(BIN)/pytest -m "not slow" tests

test: setup lint ## everything: lint, and all tests, the last against a real Multi Model Server
	cargo test --workspace --quiet
	$(BIN)/pytest tests

bench: setup ## how fast servemark itself is
	$(BIN)/python bench/summarise.py

clean: ## remove what was built here (not the server environments in the user's cache)
	rm -rf .venv .venv.log .venv.lock target
