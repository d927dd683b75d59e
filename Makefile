# twigma-spark. `make demo` and `make test` do all their own set-up.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-collect s3-demo cluster-demo test test-spark4 test-spark4-part faults fuzz bench check format lock pins wheel emr-env audit sample-models deploy-files docs clean
BIN := .venv/bin
EXTRAS := models cpu umap stats connect live dev
LOCK = $(BIN)/uv pip compile setup.py --universal --python-version 3.11 --generate-hashes --upgrade --quiet \
  --custom-compile-command "make lock"
export PYTHONHASHSEED := 0
# Where Python may write no bytecode, each of many processes compiles torch, pandas and the rest anew.
unexport PYTHONDONTWRITEBYTECODE
# OpenMP's threads that wait for each other leave the processor to the other tests.
test test-spark4 test-spark4-part: export OMP_WAIT_POLICY := PASSIVE

help:  ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-17s %s\n", $$1, $$2}'

setup: .venv/.ready  ## build .venv from requirements.lock; find Java; bring Delta

.venv/.ready: requirements.lock setup.py deploy/local/setup.sh deploy/local/prepare.py
	@deploy/local/setup.sh
	@touch $@

demo: .venv/.ready  ## draw the sample world, run every stage on it, leave build/demo/report.html
	@$(BIN)/twigma demo

demo-collect: .venv/.ready  ## the same world, collected and downloaded from a server on this machine
	@$(BIN)/twigma demo --collect

s3-demo: .venv/.ready  ## the same with files, tables, models and report in S3 (moto), compared with make demo
	@$(BIN)/python -m tests.s3_demo

cluster-demo: .venv/.ready  ## the same on a standalone cluster of two workers, compared with make demo
	@$(BIN)/python -m tests.cluster_demo

test: .venv/.ready  ## run the tests
	@$(BIN)/python -m pytest -m "not faults" --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.venv-spark4/.ready: requirements-spark4.lock setup.py deploy/local/setup.sh deploy/local/prepare.py
	@deploy/local/setup.sh .venv-spark4 requirements-spark4.lock
	@touch $@

test-spark4: .venv-spark4/.ready  ## run the tests on Spark 4.1
	@.venv-spark4/bin/python -m pytest -m "not faults" --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

test-spark4-part: .venv-spark4/.ready  ## run the tests on Spark 4.1 in which versions may differ
	@.venv-spark4/bin/python -m pytest -m spark4 --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder \
	  tests/spark tests/jobs

faults: .venv/.ready  ## kill processes, lose workers, run on a cluster: the tests that make test leaves out
	@$(BIN)/python -m tests.bench.faults

fuzz: .venv/.ready  ## try 50,000 damaged images, others each time
	@TWIGMA_FUZZ_MUTANTS=5000 TWIGMA_FUZZ_SEED=$${TWIGMA_FUZZ_SEED:-$$(date +%s)} \
	  $(BIN)/python -m pytest --verbose tests/unit/test_fuzz.py

bench: .venv/.ready  ## measure against what one would use instead; writes build/bench
	@$(BIN)/python -m tests.bench

check: .venv/.ready  ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: .venv/.ready  ## put the code into the house's format
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

lock: .venv/.ready  ## pin every package again into requirements.lock and requirements-spark4.lock
	@$(LOCK) $(addprefix --extra ,local train synapseml docs $(EXTRAS)) -o requirements.lock
	@$(LOCK) $(addprefix --extra ,local-spark4 $(EXTRAS)) -o requirements-spark4.lock

pins: .venv/.ready  ## pin the packages of Databricks and EMR again into deploy/constraints
	@$(BIN)/python deploy/pin.py

wheel: .venv/.ready  ## build the wheel into dist/
	@$(BIN)/python -m build --wheel --no-isolation --outdir dist . >/dev/null && ls dist/*.whl

emr-env: wheel  ## pack Python, the pinned packages and the wheel for Spark's --archives; PINS=emr_serverless without models
	@$(BIN)/python deploy/environment.py $(PINS)

audit: .venv/.ready  ## list the pinned packages (CycloneDX), their licences and known vulnerabilities
	@$(BIN)/python deploy/audit.py

sample-models: .venv/.ready  ## train the sample's tiny CLIP, captioner and NSFW head again
	@$(BIN)/python jobs/train_sample_models.py --out twigma_spark/sample/weights

deploy-files: .venv/.ready  ## write the pages of docs/ that follow from the code again
	@$(BIN)/python deploy/generate.py

docs: .venv/.ready  ## build the documentation into build/site, with the report of `make demo` where there is one
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "open build/site/index.html, or for its search: $(BIN)/python -m http.server --directory build/site"

clean:  ## remove what was built, but not the environments
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis spark-warehouse metastore_db derby.log
