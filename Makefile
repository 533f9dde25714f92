# make demo      sets up .venv and runs the quickstart (about ten minutes on two cores)
# make test      sets up .venv and runs the default tests
# make test-all  and the slow ones
# make lint      style and mistakes;   make format    rewrites the layout
# make docs      the documentation as a site, in docs/_build
# make clean     removes .venv
#
# Choose the Python with PYTHON=/path/to/python3.12, the environment with VENV=folder.

VENV ?= .venv
PYTHON ?=
IN = $(VENV)/bin/python
PIP = $(IN) -m pip --disable-pip-version-check install --editable

# The first Python that starts, is one of 3.11 to 3.13, and can make environments.
define FITS
import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
endef
CANDIDATES = $(or $(PYTHON),python3 python3.13 python3.12 python3.11)
FITTING = $(firstword $(foreach name,$(CANDIDATES),\
  $(shell $(name) -c '$(FITS)' 2>/dev/null && echo $(name))))

.PHONY: help demo test test-all test-services lint format docs clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^$$/q; s/^# \?//p' Makefile

demo: $(VENV)/installed-run
	@$(IN) -m pdm_tf.quickstart --output=quickstart

test: $(VENV)/installed-dev
	@$(IN) -m pytest -n 2

test-all: $(VENV)/installed-dev
	@$(IN) -m pytest -n 2 -m ""

# Apache Beam and KServe hold other packages at older versions: give them a VENV apart.
test-services: $(VENV)/installed-services
	@$(IN) -m pytest -m "(beam or kserve) and not slow"

lint: $(VENV)/installed-dev
	@$(IN) -m ruff check . && $(IN) -m ruff format --check .

format: $(VENV)/installed-dev
	@$(IN) -m ruff format .

docs: $(VENV)/installed-dev
	@$(IN) -m sphinx -q -W --keep-going -b html docs docs/_build

clean:
	@rm -rf "$(VENV)"

# The development environment holds everything that running needs.
$(VENV)/installed-run: setup.py pyproject.toml | $(IN)
	@$(PIP) ".[export,upscale]" && touch $@

$(VENV)/installed-dev: setup.py pyproject.toml | $(IN)
	@$(PIP) ".[dev]" && touch $@

$(VENV)/installed-services: setup.py pyproject.toml | $(IN)
	@$(PIP) ".[dev,bulk,serve]" && touch $@

$(IN):
	@test -n "$(FITTING)" || { echo "error: Python 3.11, 3.12 or 3.13 with its venv \
	module is required (Debian: apt install python3-venv). Tried: $(CANDIDATES)." >&2; \
	exit 2; }
	@$(FITTING) -m venv "$(VENV)"
