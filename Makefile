# Needs Python 3.11 or later and make; everything else goes into .venv.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
QUARTERS ?= 2025Q3..2026Q3
WORKERS ?=

.PHONY: reports design lab test lint notebooks clean

reports: $(READY) params/data/project_finance.csv
	$(BIN)/sqmodel run --quarter $(QUARTERS) $(if $(WORKERS),--workers $(WORKERS)) --reports reports

design: $(READY) params/data/branches.csv
	$(BIN)/sqmodel design params/branches.design.yaml --reports reports

params/data/project_finance.csv: $(READY)
	$(BIN)/sqmodel demo params/data

params/data/branches.csv: $(READY)
	$(BIN)/python -c "from sqmodel.index.design_demo import demo_design; demo_design('params/data')"

lab: $(READY) params/data/project_finance.csv params/data/branches.csv
	$(BIN)/jupyter lab --notebook-dir notebooks

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadgroup

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python tests/notebooks_are_clean.py notebooks

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all]'
	touch $(READY)

clean:
	rm -rf .venv build dist *.egg-info
