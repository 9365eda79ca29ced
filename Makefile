# Thin: every target is one command that may be typed as well.
.PHONY: setup dev test test-all lint types arch migrations docs check format
VENV ?= .venv
PYTHON = $(VENV)/bin/python

setup:            ## virtual environment with everything for development
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install -q -r requirements-dev.txt
dev:              ## a cloud on this machine, with the checkout's code (see also ./quickstart.sh status)
	./quickstart.sh
test:             ## the inner loop
	./run-tests.sh --fast
test-all:
	./run-tests.sh
format:
	$(VENV)/bin/ruff format . && $(VENV)/bin/ruff check --fix .
lint:
	$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .
types:
	$(VENV)/bin/python -m mypy cloud apps agents scripts tests
arch:
	$(VENV)/bin/lint-imports
migrations:
	DJANGO_SETTINGS_MODULE=cloud.settings.test $(PYTHON) manage.py makemigrations --check --dry-run
docs:
	$(VENV)/bin/sphinx-build -q -W --keep-going docs build/docs
check:            ## what CI runs
	./run-tests.sh
