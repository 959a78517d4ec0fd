"""The shelf: where published pages stand, and the index over them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqmodel.errors import InputError
from sqmodel.reporting.payload import SCHEMA, check_results
from sqmodel.reporting.publish import IndexEntry, index_page
from sqmodel.reporting.study import Study
from sqmodel.result import Estimate
from sqmodel.survey.instrument import Text

PAGE = "index.html"
RESULTS = "results.json"
DOSSIER = "-validation"
"""Follows the line in the name of a dossier's folder; no line's name holds a hyphen, and the index lists no dossier."""


def publish_page(quarter: Path, line: str, page: str, companions: Mapping[str, bytes], staging: Path) -> Path:
    """Put a page and its files in place of the last good ones, whole or not at all.

    Parameters
    ----------
    quarter : Path
        ``reports/2026Q3``.
    line : str
        Name of the page's folder in it.
    page, companions
        Content of index.html and of the files beside it.
    staging : Path
        A scratch folder on the same file system.

    Returns
    -------
    Path
        The page's folder.
    """
    fresh = staging / line
    fresh.mkdir()
    for name, content in {PAGE: page.encode(), **companions}.items():
        (fresh / name).write_bytes(content)
    quarter.mkdir(parents=True, exist_ok=True)
    target, old = quarter / line, staging / "old"
    if target.exists():
        os.replace(target, old)
    try:
        os.replace(fresh, target)
    except OSError:
        if old.exists():
            os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)
    return target


def published(reports: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Records of all published pages but dossiers, checked; and what is wrong with those that cannot be read.

    Returns
    -------
    records : list of dict
        By quarter and line.
    unreadable : dict
        ``quarter/line`` of each page without a usable record, to path and cause.
    """
    records, unreadable = [], {}
    for path in sorted(reports.glob(f"[0-9][0-9][0-9][0-9]Q[1-4]/*/{RESULTS}")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        if name.endswith(DOSSIER):
            continue
        try:
            records.append(_record(path, name))
        except InputError as error:
            shown = "; ".join(str(p) for p in error.problems)
            unreadable[name] = f"{path}: {_first_lines(shown)}; publish the report again or remove the folder"
    return records, unreadable


def _record(path: Path, name: str) -> dict[str, Any]:
    try:
        record = check_results(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(str(path), [f"expected JSON in UTF-8, found: {error}"]) from None
    if record["schema"] != SCHEMA:
        raise InputError(str(path), [f"expected a record of a report ({SCHEMA}), found {record['schema']}"])
    own = f"{record['quarter']}/{record['business_line']}"
    if own != name:
        raise InputError(str(path), [f"expected the record of {name}, found the one of {own}"])
    if record["business_line"] not in record["labels"].get("line", {}):
        raise InputError(str(path), [f"expected a label of the line {record['business_line']!r}, found none"])
    return record


def write_index(reports: Path, failed: Mapping[str, tuple[Study, str, str]]) -> Path:
    """Write ``index.html`` over all published pages.

    Parameters
    ----------
    reports : Path
    failed : mapping
        ``quarter/line`` of a report that could not be made now, to its study, failing step and cause. Where an older
        page of it stands, the index shows that one and says that it is stale.

    A page whose record cannot be read is listed as failed, with the cause.
    """
    records, unreadable = published(reports)
    entries = {}
    for record in records:
        name = f"{record['quarter']}/{record['business_line']}"
        entries[name] = _entry(record, failed.get(name))
    titles = {e.line: e.title for e in entries.values()}
    for name, cause in unreadable.items():
        quarter, line = name.split("/")
        entries[name] = _without_page(line, quarter, titles.get(line, Text(en=line)), cause)
    for name, (study, step, cause) in failed.items():
        if name not in entries or name in unreadable:
            shown = f"{step}: {_first_lines(cause)}"
            entries[name] = _without_page(study.business_line, study.quarter, study.title, shown, study.simulated)
    page = index_page([entries[name] for name in sorted(entries)])
    scratch = reports / f".{PAGE}.new"
    scratch.write_text(page, encoding="utf-8")
    os.replace(scratch, reports / PAGE)
    return reports / PAGE


def _without_page(line: str, quarter: str, title: Text, cause: str, simulated: bool = False) -> IndexEntry:
    return IndexEntry(
        line=line,
        title=title,
        quarter=quarter,
        href=None,
        index=None,
        verdict="",
        headline=title,
        status="failed",
        cause=cause,
        simulated=simulated,
    )


def _entry(record: dict[str, Any], failure: tuple[Study, str, str] | None) -> IndexEntry:
    number = record["index"]
    bounds = (number["value"], number["low"], number["high"], number["se"])
    title = record["labels"]["line"][record["business_line"]]
    return IndexEntry(
        line=record["business_line"],
        title=Text(**title),
        quarter=record["quarter"],
        href=f"{record['quarter']}/{record['business_line']}/{PAGE}",
        index=Estimate(*bounds, n=number["n"], level=number["level"], method=number["method"]),
        verdict=record["verdict"],
        headline=Text(**record["page"]["title"]),
        status="published" if failure is None else "stale",
        cause="" if failure is None else f"{failure[1]}: {_first_lines(failure[2])}",
        simulated=record["simulated"],
    )


def _first_lines(cause: str, most: int = 300) -> str:
    text = " ".join(cause.split())
    return text if len(text) <= most else text[: most - 1] + "…"
