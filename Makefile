# make demo: raw crawl to registered model.  make test: all tests; make test-fast: those under two minutes.
# make bench: measurements for tests/benchmarks/RESULTS.md.  make reference: docs/reference from the declarations.
# make audit: asks OSV's advisory list about every locked package; exit code 2 where it cannot be reached.
# All prepare .venv and Java first.
.PHONY: demo test test-fast bench prepare check audit lock reference clean

BIN := .venv/bin

prepare:
	@infra/setup/prepare.sh

demo: prepare
	@$(BIN)/gristmill demo

test: prepare
	@$(BIN)/python -m pytest

test-fast: prepare
	@$(BIN)/python -m pytest -m fast

bench: prepare
	@$(BIN)/python -m tests.benchmarks.bench_packed_tokens
	@$(BIN)/python -m tests.benchmarks.bench_shards small build/bench 20000
	@$(BIN)/python -m tests.benchmarks.bench_mutated 10000
	@$(BIN)/python -m tests.benchmarks.bench_kills 200 build/kills

check: prepare
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

reference: prepare
	@$(BIN)/python -m flows.reference

audit: prepare
	@$(BIN)/python -m infra.setup.audit

lock: prepare
	@infra/setup/lock.sh

clean:
	rm -rf .venv build *.egg-info
