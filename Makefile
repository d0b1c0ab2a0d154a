# Each target is what a person and CI run alike. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
export SERVEMARK_EXTRAS := dev
# What may be skipped where CI is set: words of `cargo clippy fmt`. Elsewhere a missing Rust tool only says what it skips.
ALLOWED_SKIPS ?=

# Runs $(2) if $(3) succeeds; otherwise says that it was skipped, and in CI fails unless $(1) is allowed to be.
define with_rust
	@if ( $(3) ) > /dev/null 2>&1; then echo "$(2)"; $(2); else \
	    echo "SKIPPED: $(2) (no $(1) for Rust 1.85 or newer here; to run it: $(4))"; \
	    case "$(if $(CI),$(ALLOWED_SKIPS),$(1))" in *$(1)*) ;; *) exit 1 ;; esac; fi
endef
# An older cargo cannot read the workspace.
HAS_CARGO := cargo metadata --no-deps --format-version 1
INSTALL := ./install_dependencies.sh

define rust_tests
	$(call with_rust,cargo,cargo test --workspace --locked --quiet,$(HAS_CARGO),$(INSTALL))
endef

.PHONY: help setup lint test test-fast bench clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## make .venv with servemark and the tools that test it (as benchmark.py does, and skipped when current)
	@$(PYTHON) benchmark.py --set-up-only

lint: setup ## format, style, types and import order, of Python, Rust and shell
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest servemark._loadgen
	$(BIN)/shellcheck install_dependencies.sh .ci/run
	$(call with_rust,fmt,cargo fmt --all --check,cargo fmt --version,$(INSTALL) or rustup component add rustfmt)
	$(call with_rust,clippy,cargo clippy --workspace --all-targets --locked -- -D warnings,cargo clippy --version && $(HAS_CARGO),$(INSTALL) or rustup component add clippy)

test-fast: setup ## unit and integration tests: under a minute
	$(rust_tests)
	$(BIN)/pytest -n 2 -m "not slow" tests

test: setup lint ## everything: lint, and all tests, the last against a real Multi Model Server
	$(rust_tests)
	$(BIN)/pytest tests

bench: setup ## how fast servemark itself is
	$(BIN)/python bench/summarise.py

clean: ## remove what was built here (not the server environments in the user's cache)
	rm -rf .venv .venv.log .venv.lock target
