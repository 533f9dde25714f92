# make demo    sets up .venv and runs the quickstart (about ten minutes on two cores)
# make test    sets up .venv and runs the tests that take seconds
# make lint    style and mistakes;   make format    rewrites the layout
# make clean   removes .venv
#
# Choose the Python with PYTHON=/path/to/python3.12, the environment with VENV=folder.

VENV ?= .venv
PYTHON ?=
STARTER := $(shell command -v $(or $(PYTHON),python3) || command -v python3.13 || \
  command -v python3.12 || command -v python3.11 || command -v python)
ifeq ($(STARTER),)
STARTER := echo "error: no Python found; Python 3.11, 3.12 or 3.13 is required." >&2; false
endif
BOOTSTRAP = $(STARTER) .ci/bootstrap.py --venv "$(VENV)" --python "$(PYTHON)"
IN = $(VENV)/bin/python

.PHONY: help demo test lint format clean
.DEFAULT_GOAL := help

help:
	@sed -n '/^$$/q; s/^# \?//p' Makefile

demo: $(VENV)/installed-run
	@$(IN) -m pdm_tf.quickstart --output_dir=quickstart

test: $(VENV)/installed-dev
	@$(IN) -m pytest -m "not slow" -n 2 --dist loadfile --no-loadscope-reorder

lint: $(VENV)/installed-dev
	@$(IN) -m ruff check . && $(IN) -m ruff format --check .

format: $(VENV)/installed-dev
	@$(IN) -m ruff format .

clean:
	@rm -rf "$(VENV)"

# The development environment holds all that running needs.
$(VENV)/installed-run: setup.py pyproject.toml
	@$(BOOTSTRAP) --extras export,upscale --stamp "$@"

$(VENV)/installed-dev: setup.py pyproject.toml
	@$(BOOTSTRAP) --extras dev --stamp "$@"
