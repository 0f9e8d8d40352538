# Needs Python 3.11 or newer, git and make. Everything else goes into two folders beside this file:
# .venv has the generator and the tests, .venv-project what generated projects need.

PYTHON ?= python3
CONSTRAINTS ?= tests/constraints.txt
DEMO := build/demo/digits

tools := .venv/installed
project := .venv-project/installed

# A fresh machine has no name for commits, and the build of a package is to be pinned as well.
export GIT_AUTHOR_NAME ?= ml-architect
export GIT_AUTHOR_EMAIL ?= ml-architect@localhost
export GIT_COMMITTER_NAME ?= ml-architect
export GIT_COMMITTER_EMAIL ?= ml-architect@localhost
export PIP_CONSTRAINT := $(abspath $(CONSTRAINTS))
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help demo test check lint golden bench clean python

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
	@echo "The pictures: $(CURDIR)/$(DEMO)/runs/small/report.html"

test: lint ## everything: lint, types, the template, the projects that it makes
	.venv/bin/pytest --numprocesses=auto

check: lint ## the same without what takes minutes
	.venv/bin/pytest --numprocesses=auto -m "not slow"

lint: $(tools) $(project)
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/pyright --pythonpath .venv/bin/python
	.venv/bin/pyright --pythonpath .venv-project/bin/python benchmarks/loop.py

golden: $(tools) ## renew tests/golden and the README's table after a change; look at the diff
	.venv/bin/python tests/golden.py
	.venv/bin/python tests/readme.py

bench: $(tools) $(project) ## what is claimed about speed: of generating a project, of its loop
	.venv/bin/python benchmarks/generation.py
	for starter in image blank; do \
	rm -rf build/bench/$$starter && .venv/bin/copier copy --trust --defaults --quiet --vcs-ref HEAD \
	--data starter=$$starter . build/bench/$$starter || exit 1; done
	.venv-project/bin/python benchmarks/loop.py build/bench/image build/bench/blank

clean: ## remove everything that make has made
	rm -rf .venv .venv-project build

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	{ echo "ml-architect needs Python 3.11 or newer; name one: make PYTHON=python3.12 demo" >&2; exit 1; }

$(tools): pyproject.toml tests/constraints.txt | python
	$(PYTHON) -m venv --clear .venv
	.venv/bin/pip install -qq '.[dev]'
	touch $@

$(project): extensions/catalogue.py tests/requirements.py tests/constraints.txt $(tools)
	test -d .venv-project || $(PYTHON) -m venv .venv-project
	.venv/bin/python tests/requirements.py > .venv-project/requirements.txt
	.venv-project/bin/pip install -qq --requirement .venv-project/requirements.txt
	touch $@
