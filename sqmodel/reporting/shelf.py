"""The shelf: where published pages stand, and the index over them."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqmodel.errors import InputError
from sqmodel.reporting.payload import check_results
from sqmodel.reporting.publish import IndexEntry, index_page
from sqmodel.reporting.study import Study
from sqmodel.result import Estimate
from sqmodel.survey.instrument import Text

PAGE = "index.html"
RESULTS = "results.json"


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


def published(reports: Path) -> list[dict[str, Any]]:
    """Records of all published pages, checked; by quarter and line."""
    found = []
    for path in sorted(reports.glob(f"*/*/{RESULTS}")):
        try:
            found.append(check_results(json.loads(path.read_text(encoding="utf-8"))))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise InputError(
                str(path), [f"expected JSON in UTF-8, found: {error}"], "publish the report again"
            ) from None
    return found


def write_index(reports: Path, failed: Mapping[str, tuple[Study, str, str]]) -> Path:
    """Write ``index.html`` over all published pages.

    Parameters
    ----------
    reports : Path
    failed : mapping
        ``quarter/line`` of a report that could not be made now, to its study, failing step and cause. Where an older
        page of it stands, the index shows that one and says that it is stale.
    """
    entries = {}
    for record in published(reports):
        name = f"{record['quarter']}/{record['business_line']}"
        entries[name] = _entry(record, failed.get(name))
    for name, (study, step, cause) in failed.items():
        if name not in entries:
            entries[name] = IndexEntry(
                line=study.business_line,
                title=study.title,
                quarter=study.quarter,
                href=None,
                index=None,
                verdict="",
                headline=study.title,
                status="failed",
                cause=f"{step}: {_first_lines(cause)}",
                simulated=study.simulated,
            )
    page = index_page([entries[name] for name in sorted(entries)])
    scratch = reports / f".{PAGE}.new"
    scratch.write_text(page, encoding="utf-8")
    os.replace(scratch, reports / PAGE)
    return reports / PAGE


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
