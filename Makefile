# Every target makes .venv by itself; only Python 3.11 to 3.13 and make are needed.
VENV := .venv
BIN := $(VENV)/bin
DATA ?=
PROFILE ?= $(if $(DATA),quick,sample)
OUT ?= runs/$(PROFILE)
# On the sample, a notebook leaves much of two cores idle. A training on FER-2013 does not.
JOBS ?= $(if $(filter sample,$(PROFILE)),2,1)
# `.ci/run` leaves out nothing: neither the minutes that models and sample take to be made, nor the hostile campaigns.
MARKS ?= not workshop and not long
# The folder that `make notebooks` leaves: its outputs are compared with the committed ones, and nothing runs twice.
EXECUTED ?=
# Two processes test side by side, each with half of the processors, or they spend their time on waiting for one another.
HALF = $(shell $(BIN)/python -c "import os; print(max(1, os.cpu_count() // 2))")
SIDE_BY_SIDE = TF_NUM_INTRAOP_THREADS=$(HALF) OMP_NUM_THREADS=$(HALF)
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3 python; do \
	"$$p" -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && { echo "$$p"; break; }; done)

.PHONY: help venv notebooks refresh lint test lab app bench exercises book
.DEFAULT_GOAL := help

help:  ## show this list
	@echo "make venv        create .venv with everything in it"
	@echo "make notebooks   run the six notebooks on the embedded sample; open runs/sample/index.html"
	@echo "                 DATA=archive.zip runs them on FER-2013 (profile quick); PROFILE=full for the original settings"
	@echo "make test        unit tests, then the committed notebooks and the appendix, cell by cell; FER_DATA=archive.zip adds the real data"
	@echo "make lint        format, lint and types, in seconds"
	@echo "make lab         open JupyterLab in notebooks/"
	@echo "make book        make one site of notebooks, exercises and docs; open build/book/index.html"
	@echo "make app         open the emotion detector as a page of its own"
	@echo "make bench       measure side by side what the project claims to be fast"
	@echo "make refresh     execute the committed notebooks in place, after changing them"
	@echo "make exercises   execute the worked solutions and make the exercise notebooks from them, after changing them"

venv: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "No Python 3.11, 3.12 or 3.13 with venv found: install one, or say make PYTHON=/path/to/python3" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

notebooks: venv
	$(BIN)/fer run --profile $(PROFILE) --out $(OUT) --jobs $(JOBS) $(if $(DATA),--parameter 'DATA=$(DATA)')

refresh: venv
	$(BIN)/fer refresh

lint: venv  ## format, lint, types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

exercises: venv
	$(BIN)/python -m workshop.exercises --execute

test: venv
	$(SIDE_BY_SIDE) EXECUTED=$(EXECUTED) $(BIN)/python -m pytest -n 2 --dist loadscope -m '$(MARKS)' tests
	$(SIDE_BY_SIDE) $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env \
		--nbval-cell-timeout 1800 --nbval-sanitize-with tests/notebooks/sanitize.cfg \
		--ignore notebooks/exercises --ignore notebooks/solutions \
		$(if $(EXECUTED),--ignore-glob='notebooks/0*.ipynb') notebooks

# From the project's folder, so that the notebooks' links to docs and results can be followed.
lab: venv
	$(BIN)/jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/notebooks

# BOOK_REPOSITORY=https://github.com/you/your-fork adds the buttons that start a page elsewhere.
book: venv
	$(BIN)/python -m sphinx -q -b html -W --keep-going -n -d build/doctrees -c docs/book . build/book
	@echo "open build/book/index.html"

app: venv
	$(BIN)/fer app

bench: venv
	$(BIN)/python -m benchmarks
