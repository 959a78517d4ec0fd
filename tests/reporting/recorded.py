"""The demonstration's records in a study, and what a page says of them: shared by tests of operations in a report."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape
from pathlib import Path
from typing import Any

import pandas as pd

import sqmodel as sq
from sqmodel.measurement.measure import Measure
from sqmodel.operations.simulate import demo_operations
from sqmodel.reporting import sources
from sqmodel.reporting.operations import Operations
from sqmodel.reporting.page import Page
from sqmodel.reporting.study import Study, load_study
from sqmodel.survey.simulate import demo_study

LINE, QUARTER = "project_finance", "2026Q2"
RECORDS = sources.RECORDS
SECTIONS = ("process", "complaints", "warnings", "people", "drivers")


def written(folder: Path) -> Path:
    """A folder with the answers and the records of the demonstration."""
    demo_study(folder)
    demo_operations(folder)
    return folder


def tables_of(folder: Path) -> dict[str, pd.DataFrame]:
    """All records of the line, cells as they are written."""
    return {n: pd.read_csv(folder / f"{LINE}.{n}.csv", dtype=str, keep_default_na=False) for n in RECORDS}


def study_of(folder: Path, *names: str, quarter: str = QUARTER, **changes: Any) -> Study:
    """A study with these records of the demonstration."""
    content = {
        "business_line": LINE, "quarter": quarter, "instrument": "lending_service", "draws": 200,
        "responses": str(folder / f"{LINE}.csv"), **{n: str(folder / f"{LINE}.{n}.csv") for n in names}, **changes,
    }  # fmt: skip
    return load_study(content)


def study_with(folder: Path, place: Path, tables: Mapping[str, pd.DataFrame], **changes: Any) -> Study:
    """A study with other records, which are written to a place of their own."""
    for name, table in tables.items():
        table.to_csv(place / f"{name}.csv", index=False)
    return study_of(folder, **{n: str(place / f"{n}.csv") for n in tables}, **changes)


def measured(study: Study) -> Measure:
    """The measure of a study's answers."""
    return study.qualify(sq.screen(study.read(), exclude=study.exclude).keep(study.read()))


def page_of(study: Study, measure: Measure, operations: Operations) -> Page:
    """A page of operations alone: its sections need nothing of the survey's but the measure."""
    page = Page.__new__(Page)
    for name, value in (("study", study), ("measure", measure), ("operations", operations)):
        object.__setattr__(page, name, value)
    return page


def section(page: Page, name: str) -> str:
    """HTML of a section; empty where it is left out."""
    return str(getattr(getattr(page, name)(), "html", ""))


def words(html: str, language: str) -> str:
    """What a reader of one language sees; tables and drawings aside."""
    other = {"zh": "en", "en": "zh-CN"}[language]
    kept = re.sub(r"<figure.*?</figure>|<div class=\"wide\".*?</div>", " ", html, flags=re.DOTALL)
    return unescape(re.sub(r"<[^>]+>", "", re.sub(rf'<span lang="{other}">.*?</span>', "", kept)))
