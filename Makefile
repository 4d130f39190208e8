# The commands of the project. `make help` lists them.
PYTHON ?= python3
BIN    := .venv/bin
UV     := $(BIN)/uv
SERVE  ?= 1
export DO_NOT_TRACK := 1
export UV_SYSTEM_CERTS ?= 1
unexport VIRTUAL_ENV

.DEFAULT_GOAL := help
.PHONY: help install demo test test-browser test-faults test-properties test-trades test-increments check format lock bench bench-billing bench-warehouse bench-churn bench-dashboard bench-api fuzz-api audit clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(UV):
	$(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed")'
	@echo "Building the environment in .venv (a minute or two, once)"
	$(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.9

.venv/.ready: requirements.lock pyproject.toml | $(UV)
	@echo "Installing the locked packages"
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock \
	  || $(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m pip check
	@touch $@

install: .venv/.ready ## build the environment

demo: .venv/.ready ## build both sample companies, open the dashboard and serve API, portal and admin (SERVE=0: build and end)
	$(BIN)/tajdid demo $(if $(filter 0,$(SERVE)),--no-serve,)

# Tests work on small frames, two processes at a time: threads would only wait for each other.
test test-browser test-faults test-properties test-trades test-increments: export POLARS_MAX_THREADS = 1

test: .venv/.ready ## run every test that needs no browser
	$(BIN)/python -m pytest -n 2 --dist loadgroup

test-browser: .venv/.ready ## run the browser tests (needs Debian's chromium)
	@command -v chromium >/dev/null || { echo "No Chromium found: install Debian's package 'chromium' (apt-get install chromium)"; exit 1; }
	$(BIN)/python -m pytest -n 2 -m browser tests/browser

test-faults: .venv/.ready ## kill runs and builds again and again, and start them again
	TAJDID_FAULT_KILLS=50 $(BIN)/python -m pytest -n 0 tests/billing/run/test_bill_faults.py tests/billing/run/test_collect_faults.py
	TAJDID_FAULT_KILLS=30 $(BIN)/python -m pytest -n 0 tests/billing/run/test_dun_faults.py
	TAJDID_FAULT_KILLS=20 $(BIN)/python -m pytest -n 0 tests/pipelines/test_build_faults.py
	TAJDID_FAULT_KILLS=20 $(BIN)/python -m pytest -n 0 tests/billing/webhooks/test_worker.py

test-properties: .venv/.ready ## show every property of the billing engine with many examples
	TAJDID_EXAMPLES=many $(BIN)/python -m pytest -n 2 --dist loadgroup tests/billing

test-trades: .venv/.ready ## play 40 random trades of a year on each database
	TAJDID_TRADES=40 TAJDID_TRADE_DAYS=60 $(BIN)/python -m pytest -n 2 tests/billing/run/test_years_of_trade.py

test-increments: .venv/.ready ## build twenty random companies day by day, added to and made anew, and compare every table
	TAJDID_TEST_INCREMENTS=20 $(BIN)/python -m pytest -n 2 --dist loadgroup tests/models/test_increments.py tests/pipelines/test_in_parts.py

check: .venv/.ready ## style, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: .venv/.ready ## put the code in its standard form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: | $(UV) ## make requirements.lock from pyproject.toml
	$(UV) pip compile --quiet --universal --generate-hashes --no-strip-extras --no-header \
	  --python-version 3.11 --group dev pyproject.toml -o requirements.lock

bench: bench-billing bench-warehouse bench-churn bench-dashboard bench-api ## run every benchmark

bench-billing: .venv/.ready ## bill runs and usage beside bare copies of their rows; dunning, documents and the doctor by size
	@fell_short=0; for one in bill_run_beside_copy collect_beside_copy usage_import_beside_copy dun_many_customers documents doctor_many_customers; do \
	  $(BIN)/python benchmarks/$$one.py || fell_short=1; done; exit $$fell_short

bench-warehouse: .venv/.ready ## movement log and month marts beside a customers × months spine join; an increment beside a full build; ingest beside a bare copy; what a build spends beside its models; ten million orders lines
	@fell_short=0; for one in warehouse warehouse_increment warehouse_ingest warehouse_overhead orders_ingest; do $(BIN)/python benchmarks/$$one.py || fell_short=1; done; exit $$fell_short

bench-churn: .venv/.ready ## churn models on open data they were not made for, and beside the truth of the generated company; scoring beside bare predictions; a day of a million accounts
	@fell_short=0; for one in churn churn_scoring churn_truth churn_day; do $(BIN)/python benchmarks/$$one.py || fell_short=1; done; exit $$fell_short

bench-dashboard: .venv/.ready ## reruns and twenty readers at once beside a bare page; a warehouse of a million customers beside atlas; memory
	@$(BIN)/python benchmarks/dashboard_readers.py

bench-api: .venv/.ready ## reads and writes beside a bare handler of the same SQL; usage beside the import; retry storms; webhooks
	@fell_short=0; for one in api usage_bulk idempotency_storm webhooks; do $(BIN)/python benchmarks/$$one.py || fell_short=1; done; exit $$fell_short

fuzz-api: export POLARS_MAX_THREADS = 1
fuzz-api: .venv/.ready ## random requests to the whole API by its own description (FUZZ=50000 of them)
	$(BIN)/python benchmarks/fuzz_api.py

# What looks for known holes lives in an environment of its own: it needs other packages than the product, and an index.
.venv-audit/.ready:
	$(PYTHON) -m venv --clear .venv-audit
	.venv-audit/bin/python -m pip install --quiet --disable-pip-version-check pip-audit==2.10.1
	@touch $@

audit: .venv-audit/.ready ## look for known holes in the locked packages (needs an index)
	.venv-audit/bin/pip-audit --strict --require-hashes --disable-pip --progress-spinner off -r requirements.lock

clean: ## remove the environment, caches and the sample companies (not your own)
	rm -rf .venv .venv-audit .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis target logs
	rm -rf workspace/retail workspace/atlas
	@rmdir workspace 2>/dev/null || true
