# make demo: raw crawl to registered model.  make test: all tests.  Both prepare .venv and Java first.
.PHONY: demo test prepare check lock clean

BIN := .venv/bin

prepare:
	@infra/setup/prepare.sh

demo: prepare
	@$(BIN)/gristmill demo

test: prepare
	@$(BIN)/python -m pytest

check: prepare
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: prepare
	@infra/setup/lock.sh

clean:
	rm -rf .venv build *.egg-info
