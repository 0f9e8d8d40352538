# Needs Python 3.11 or newer, git and make. Everything else is installed in two folders here:
# .venv for the tool and the tests, .venv-project for generated projects.

PYTHON ?= python3
CONSTRAINTS ?= tests/constraints.txt
DEMO := build/demo/digits

tools := .venv/installed
project := .venv-project/installed
peers := .venv-bench/installed

# A new machine has no git user. PIP_CONSTRAINT also pins build dependencies.
export GIT_AUTHOR_NAME ?= ml-architect
export GIT_AUTHOR_EMAIL ?= ml-architect@localhost
export GIT_COMMITTER_NAME ?= ml-architect
export GIT_COMMITTER_EMAIL ?= ml-architect@localhost
export PIP_CONSTRAINT := $(abspath $(CONSTRAINTS))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

# The tests write thousands of small files, which takes three times as long on a disk.
SCRATCH := $(shell df -Pk /dev/shm 2>/dev/null | awk 'NR == 2 && $$4 > 4194304 {print "/dev/shm"}')
# One process more than there are processors, since many tests wait.
PYTEST = TMPDIR=$(or $(SCRATCH),$(TMPDIR),/tmp) .venv/bin/pytest --dist=worksteal \
	--numprocesses=$(shell $(PYTHON) -c "import os; print(1 + (os.cpu_count() or 1))")

.PHONY: help demo test check fuzz lint golden bench audit clean python

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(tools) $(project) ## generate a project, check its data, train and evaluate: one minute
	rm -rf $(DEMO)
	.venv/bin/copier copy --trust --defaults --quiet --vcs-ref HEAD . $(DEMO)
	.venv-project/bin/pip install -qq --no-deps --editable $(DEMO)
	cd $(DEMO) && PATH="$(CURDIR)/.venv-project/bin:$$PATH" && \
	digits validate && digits train --config configs/small.toml && digits evaluate runs/small
	@echo
	@echo "The project:  $(CURDIR)/$(DEMO)"
	@echo "Its mistakes: $(CURDIR)/$(DEMO)/runs/small/mistakes.png"

test: lint ## everything: lint, types, the template, the projects that it makes
	$(PYTEST)

check: lint ## the same without slow tests
	$(PYTEST) -m "not slow"

fuzz: $(tools) $(project) ## ten minutes of random answers, configs, runs and tables
	FUZZ_SECONDS=600 $(PYTEST) --numprocesses=0 tests/test_fuzz.py

lint: $(tools) $(project)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	$(MAKE) --no-print-directory --jobs 2 types-of-tool types-of-benchmarks types-of-examples

types-of-tool:
	.venv/bin/pyright --pythonpath .venv/bin/python

types-of-%:
	.venv/bin/pyright --project $* --pythonpath .venv-project/bin/python

golden: $(tools) $(project) ## rewrite tests/golden, choices/constraints, docs/review and the README's table
	.venv/bin/python tests/golden.py
	.venv/bin/python tests/readme.py
	.venv/bin/python tests/pins.py
	.venv/bin/python tests/modules.py
	.venv/bin/python tests/review_pages.py

bench: $(tools) $(project) $(peers) ## measure speed, memory and the quality of the starters
	.venv/bin/python benchmarks/generation.py
	.venv/bin/python benchmarks/studies.py
	rm -rf build/bench
	for answers in starter=image starter=blank starter=language_model \
	checkpoint_writer=background devices=ddp devices=fsdp; do \
	.venv/bin/copier copy --trust --defaults --quiet --vcs-ref HEAD --data $$answers \
	. build/bench/$${answers#*=} || exit 1; done
	.venv-bench/bin/python benchmarks/loop.py build/bench/image build/bench/blank
	.venv-project/bin/python benchmarks/checkpoint.py build/bench/image build/bench/background
	.venv-project/bin/python benchmarks/devices.py build/bench/ddp
	.venv-project/bin/python benchmarks/layouts.py build/bench/ddp build/bench/fsdp
	.venv/bin/python benchmarks/prepare.py build/bench/language_model

audit: ## known vulnerabilities in tests/constraints.txt; asks PyPI
	test -d .venv-audit || $(PYTHON) -m venv .venv-audit
	.venv-audit/bin/pip install -qq 'pip-audit>=2.10,<3'
	.venv-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement tests/constraints.txt

clean: ## remove everything that make has created
	rm -rf .venv .venv-project .venv-bench .venv-audit build

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "ml-architect needs Python 3.11 or newer; name one: make PYTHON=python3.12 demo" >&2; exit 1; }

$(tools): pyproject.toml tests/constraints.txt | python
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install -qq --editable '.[dev]'
	touch $@

$(project): extensions/catalogue.py tests/requirements.py tests/constraints.txt $(tools)
	test -d .venv-project || $(PYTHON) -m venv .venv-project
	.venv/bin/python tests/requirements.py > .venv-project/requirements.txt
	.venv-project/bin/pip install -qq --requirement .venv-project/requirements.txt
	touch $@

# The requirements of a project without most trackers, and the frameworks to compare with.
$(peers): benchmarks/constraints.txt $(project)
	test -d .venv-bench || $(PYTHON) -m venv .venv-bench
	grep -vE '^(mlflow|wandb|trackio)' .venv-project/requirements.txt > .venv-bench/requirements.txt
	PIP_CONSTRAINT= .venv-bench/bin/pip install -qq --constraint tests/constraints.txt \
	--constraint benchmarks/constraints.txt --requirement .venv-bench/requirements.txt \
	lightning accelerate
	touch $@
