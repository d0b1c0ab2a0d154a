# Each target is what a person and CI run alike. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
export SERVEMARK_EXTRAS := dev
# pytest rewrites every test before it collects it, which takes each worker twice as long as the rest of collecting: Python
# may keep what it has compiled, whatever the shell says.
unexport PYTHONDONTWRITEBYTECODE
# numpy's BLAS has a thread for each CPU, which wait in a loop: among tests that need the CPUs they take several times what
# they compute.
export OPENBLAS_NUM_THREADS := 1
# What may be skipped where CI is set: words of `cargo clippy fmt`. Elsewhere a missing Rust tool only says what it skips.
ALLOWED_SKIPS ?=
# What `make bench` is told, for a part of it: BENCH="--only pacing --rounds 1".
BENCH ?=
# And `make prove`: PROVE="--only closed,alarms,faults", which leaves the rest of bench/PROOF.md as it is, or "--short".
PROVE ?=
# How often `make test-steady` runs the suite, and of what: words of pytest's for a part of it, STEADY_ONLY="tests/unit -n 2";
# and beside what, STEADY_BESIDE=pauses.
STEADY ?= 10
STEADY_ONLY ?=
STEADY_BESIDE ?= busy

# The tests in three parts. The fast ones compute, and are what is run after each change: one more at a time than there are
# processors. Those marked `seconds` and `slow` wait, for servers to start and for time to pass, longer than they compute:
# 4 at a time on 2, of which the longest files begin first (tests/longest.py), or one worker would be left with them. A file
# is one worker's, with its servers; each worker has a cache of its own for what is written, and shares what is installed.
# Those of accuracy measure, alone.
FAST := $(BIN)/pytest -n 3 -m "not slow and not seconds" --ignore tests/accuracy tests
SLOW := $(BIN)/pytest -n 4 --dist loadfile --no-loadscope-reorder -m "slow or seconds" --ignore tests/accuracy tests
ALONE := $(BIN)/pytest tests/accuracy

# Runs $(2) if $(3) succeeds; otherwise says that it was skipped, and in CI fails unless $(1) is allowed to be.
define with_rust
	@if ( $(3) ) > /dev/null 2>&1; then echo "$(2)"; $(2); else \
	    echo "SKIPPED: $(2) (no $(1) for Rust 1.85 or newer here; to run it: $(4))"; \
	    case "$(if $(CI),$(ALLOWED_SKIPS),$(1))" in *$(1)*) ;; *) exit 1 ;; esac; fi
endef
# An older cargo cannot read the workspace.
HAS_CARGO := cargo metadata --no-deps --format-version 1
INSTALL := ./install_dependencies.sh

STEADY_ALL = $(shell $(HAS_CARGO) > /dev/null 2>&1 && echo "'cargo test --workspace --locked'") '$(FAST)' '$(ALONE)' '$(SLOW)'

# What looks at Python computes on one processor, and what looks at Rust on the others: side by side, each target's output
# in one piece when it has ended.
SIDE_BY_SIDE := $(MAKE) --no-print-directory --output-sync=target --jobs=2

define rust_tests
	$(call with_rust,cargo,cargo test --workspace --locked --quiet,$(HAS_CARGO),$(INSTALL))
endef

.PHONY: help setup lint lint-python lint-rust lint-and-test-rust test test-fast test-servers test-steady docs bench prove fuzz clean

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: ## make .venv with servemark and the tools that test it (as benchmark.py does, and skipped when current)
	@$(PYTHON) benchmark.py --set-up-only

lint: setup ## format, style, types and import order, of Python, Rust and shell
	+@$(SIDE_BY_SIDE) lint-python lint-rust

lint-python:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m mypy.stubtest servemark._loadgen
	$(BIN)/shellcheck install_dependencies.sh .ci/run

lint-rust:
	$(call with_rust,fmt,cargo fmt --all --check && cargo fmt --manifest-path fuzz/Cargo.toml --check,cargo fmt --version,$(INSTALL) or rustup component add rustfmt)
	$(call with_rust,clippy,cargo clippy --workspace --all-targets --locked -- -D warnings,cargo clippy --version && $(HAS_CARGO),$(INSTALL) or rustup component add clippy)

lint-and-test-rust: lint-rust
	$(rust_tests)

test-fast: setup ## what needs neither a command nor a server that is started, nor a second: within a minute
	$(rust_tests)
	$(FAST) --durations=5 --durations-min=2

test: setup ## everything: lint, and all tests, the last against a real Multi Model Server
	+@$(SIDE_BY_SIDE) lint-python lint-and-test-rust
	$(FAST)
	@echo "alone, for they measure:"
	$(ALONE)
	@echo "what the slow tests need, which is downloaded and built once:"
	$(BIN)/python -m tests.prepare
	$(SLOW) --durations=50

test-servers: setup ## servers that `make test` does not install (KServe, LitServe, BentoML, Ray, LLMs: 8 GB), into bench/SERVERS.md
	$(BIN)/python -m bench.servers $(SERVERS)

test-steady: setup ## everything but lint, 10 times beside two processes that compute all the time: what failed how often
	$(BIN)/python -m tests.prepare
	$(BIN)/python -m tests.steady --beside $(STEADY_BESIDE) --times $(STEADY) $(if $(STEADY_ONLY),'$(BIN)/pytest $(STEADY_ONLY)',$(STEADY_ALL))

docs: setup ## the documentation as a site, into build/site: no link in it may be wrong
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict # not --quiet, which has it count no warning

bench: setup ## how fast, exact and small servemark is beside its peers, into bench/RESULTS.md: a quarter of an hour, idle
	$(BIN)/python -m bench $(BENCH)

prove: setup ## how exact servemark's figures are, at length, into bench/PROOF.md: an hour, idle
	$(BIN)/python -m bench.prove $(PROVE)

# By name: a file of fuzz/fuzz_targets, and a folder of fuzz/corpus, to which what is found is not added by itself.
FUZZ_TARGETS ?= response connection
FUZZ_S ?= 60
CARGO_FUZZ := 0.13.2

fuzz: ## what the network may do to a connection, at random: a minute for each target, on stable Rust
	cargo fuzz --version > /dev/null 2>&1 || cargo install cargo-fuzz --locked --version $(CARGO_FUZZ)
	@set -e; for target in $(FUZZ_TARGETS); do mkdir -p fuzz/found/$$target; \
	    echo "cargo fuzz run -s none $$target"; \
	    cargo fuzz run -s none $$target fuzz/found/$$target fuzz/corpus/$$target -- \
	        -max_total_time=$(FUZZ_S) -max_len=4096 -timeout=10 -print_final_stats=1 -verbosity=0; done

clean: ## remove what was built here (not the server environments in the user's cache)
	rm -rf .venv .venv.log .venv.lock build target fuzz/target fuzz/found
