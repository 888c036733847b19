# Everything runs from a fresh clone: each target first sets up what it needs (Python 3.11+, Node 20+).
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help demo test deep bench gate faults lint docs sbom setup clean

help:
	@echo "make demo    set up and run the whole story on the embedded platform"
	@echo "make test    set up and run the tests"
	@echo "make deep    the slow tests: fault campaigns, fuzzing"
	@echo "make faults  the fault campaigns alone, with their figures (docs/faults.md)"
	@echo "make bench   what plans, applies and imports take, beside the least that this machine takes; SIZES=100000"
	@echo "make gate    what a plan does for each script, counted"
	@echo "make lint    ruff, mypy, and pages that are made from the code"
	@echo "make docs    docs/ as a site, in site/"
	@echo "make sbom    what it is made of, with hashes and licences, as CycloneDX in dist/"

demo: setup
	@$(BIN)/python -m tests.demo

# One more process than there are processors: a third of the time a test waits for a process, a port or a clock.
test: setup tests/conformance/wrangler/node_modules/installed
	@$(BIN)/python -m pytest -q --numprocesses=$$(($$(getconf _NPROCESSORS_ONLN) + 1)) --maxprocesses=5 --dist=loadfile

faults: setup
	@$(BIN)/python -m tests.campaign
	@$(BIN)/python -m tests.campaign.killing

deep: setup
	@$(BIN)/python -m pytest -q -m deep

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/python -m tests.documents.pages check

# What is measured; KEEP=--write keeps it in docs/benchmarks.md. 100,000 customers take about ten minutes and 4 GB.
SIZES ?= 10,100,1000,10000
ROUNDS ?= 5
bench: setup tests/conformance/wrangler/node_modules/installed
	@$(BIN)/python -m benchmarks.scale --sizes $(SIZES) --rounds $(ROUNDS) $(KEEP)
	@$(BIN)/python -m benchmarks.peers --rounds $(ROUNDS) $(KEEP)

gate: setup
	@$(BIN)/python -m benchmarks.gate

docs: .venv-docs/installed
	@NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --site-dir site
	@echo "site/index.html"

# What we are made of, in CycloneDX: names, versions, hashes, licences, and who needs whom.
sbom: setup .venv-sbom/installed
	@mkdir -p dist
	@.venv-sbom/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml $(BIN)/python >dist/sbom.python.cdx.json
	@npm sbom --sbom-format=cyclonedx --package-lock-only >dist/sbom.node.cdx.json
	@echo "dist/sbom.python.cdx.json and dist/sbom.node.cdx.json are written"

setup: .venv/installed node_modules/installed

# Hashes are checked for everything that is downloaded; the project itself is then installed without asking the network.
.venv/installed: requirements.lock pyproject.toml
	@echo "Setting up Python packages in .venv"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11")'
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The generator of the site has an environment of its own: 100 MB that nothing else needs. Its makers keep it until May
# 2027; Zensical, their next one, reads the same mkdocs.yml.
.venv-docs/installed: docs/requirements.lock
	@echo "Setting up mkdocs in .venv-docs"
	@$(PYTHON) -m venv .venv-docs
	@.venv-docs/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r docs/requirements.lock
	@touch $@

node_modules/installed: package-lock.json
	@echo "Setting up workerd in node_modules"
	@npm ci --silent
	@touch $@

.venv-sbom/installed: .ci/sbom.lock
	@$(PYTHON) -m venv .venv-sbom
	@.venv-sbom/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/sbom.lock
	@touch $@

# wrangler itself judges the embedded API; only the tests need it, and it is 195 MB.
tests/conformance/wrangler/node_modules/installed: tests/conformance/wrangler/package-lock.json
	@echo "Setting up wrangler in tests/conformance/wrangler"
	@cd tests/conformance/wrangler && npm ci --silent
	@touch $@

clean:
	rm -rf .venv .venv-docs .venv-sbom site node_modules tests/conformance/wrangler/node_modules .reconciler .mypy_cache .ruff_cache .pytest_cache .hypothesis
