"""The shelf: where published pages stand, and the index over them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqmodel.definitions import Text
from sqmodel.errors import InputError
from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.failures import Failure
from sqmodel.reporting.gate import Expected, check_page
from sqmodel.reporting.keys import DOSSIER
from sqmodel.reporting.payload import BENCHMARK_SCHEMA, SCHEMA, check_results
from sqmodel.reporting.publish import IndexEntry, index_page
from sqmodel.reporting.restatements import Restatement, read_restatements
from sqmodel.result import Estimate

PAGE = "index.html"
RESULTS = "results.json"
MOST_BYTES = 5_000_000
"""Of the index: it grows with the number of reports, and no reader waits for it on a phone line."""


def published(reports: Path) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Records of all published reports of business lines, checked; and what is wrong with those that cannot be read.

    Dossiers are left out, and public reports of a benchmark, for which see `benchmarks`.

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
            record = _read(path)
            if record["schema"] != BENCHMARK_SCHEMA:
                records.append(_of_line(path, record, name))
            elif record["institution"]:
                raise InputError(str(path), ["expected no confidential report in a public place, found one"])
        except InputError as error:
            shown = "; ".join(str(p) for p in error.problems)
            unreadable[name] = f"{path}: {_first_lines(shown)}; publish the report again or remove the folder"
    return records, unreadable


def benchmarks(reports: Path) -> list[IndexEntry]:
    """Public reports of benchmarks, for the index; what cannot be read `published` complains of."""
    entries = []
    for path in sorted(reports.glob(f"[0-9][0-9][0-9][0-9]Q[1-4]/*/{RESULTS}")):
        try:
            record = _read(path)
        except InputError:
            continue
        if record["schema"] == BENCHMARK_SCHEMA and not record["institution"]:
            title, subtitle = (Text(**record["page"][k]) for k in ("title", "subtitle"))
            name = Text(**{g: subtitle[g].split(" · ")[0] for g in ("zh", "en")})
            entries.append(
                IndexEntry(
                    line=path.parent.name, title=name, quarter=path.parent.parent.name, index=None, verdict="",
                    href=f"{path.parent.parent.name}/{path.parent.name}/{PAGE}", headline=title, status="published",
                    simulated=record["simulated"],
                )
            )  # fmt: skip
    return entries


def _read(path: Path) -> dict[str, Any]:
    try:
        return check_results(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(str(path), [f"expected JSON in UTF-8, found: {error}"]) from None


def _of_line(path: Path, record: dict[str, Any], name: str) -> dict[str, Any]:
    if record["schema"] != SCHEMA:
        raise InputError(str(path), [f"expected a record of a report ({SCHEMA}), found {record['schema']}"])
    own = f"{record['quarter']}/{record['business_line']}"
    if own != name:
        raise InputError(str(path), [f"expected the record of {name}, found the one of {own}"])
    if record["business_line"] not in record["labels"].get("line", {}):
        raise InputError(str(path), [f"expected a label of the line {record['business_line']!r}, found none"])
    return record


def write_index(reports: Path, failed: Mapping[str, Failure], scratch: Path) -> Path:
    """Write ``index.html`` over all published pages, through the gate.

    Parameters
    ----------
    reports : Path
    failed : mapping
        ``quarter/line`` of a report that could not be made when last tried. Where an older page of it stands, the
        index shows that one and says that it is stale.
    scratch : Path
        A folder on the same file system.

    A page whose record cannot be read is listed as failed, with the cause; restated numbers say what changed.
    """
    records, unreadable = published(reports)
    restated = {r.name: r for r in read_restatements(reports)}
    entries = {}
    for record in records:
        name = f"{record['quarter']}/{record['business_line']}"
        entries[name] = _entry(record, failed.get(name), restated.get(name))
    for entry in benchmarks(reports):
        name = f"{entry.quarter}/{entry.line}"
        failure = failed.get(name)
        entries[name] = entry if failure is None else replace(entry, status="stale", cause=_shown(failure))
    titles = {e.line: e.title for e in entries.values()}
    for name, cause in unreadable.items():
        quarter, line = name.split("/")
        entries[name] = _without_page(line, quarter, titles.get(line, Text(en=line)), cause)
    for name, failure in failed.items():
        if name not in entries or name in unreadable:
            quarter, line = name.split("/")
            title = Text(zh=failure.title_zh, en=failure.title_en)
            entries[name] = _without_page(line, quarter, title, _shown(failure), failure.simulated)
    page = index_page([entries[name] for name in sorted(entries)])
    expected = Expected(figures=0, tables=1 if entries else 0, files=None, most_bytes=MOST_BYTES)
    check_page(PAGE, page, expected)
    write_file(reports / PAGE, page.encode(), scratch)
    return reports / PAGE


def _shown(failure: Failure) -> str:
    return f"{failure.step}: {_first_lines(failure.cause)}"


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


def _entry(record: dict[str, Any], failure: Failure | None, restated: Restatement | None) -> IndexEntry:
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
        cause="" if failure is None else _shown(failure),
        simulated=record["simulated"],
        restated="" if restated is None else _reason(restated),
    )


def _reason(restated: Restatement) -> str:
    before = restated.before["value"]
    return (
        f"{before:.1f} → {restated.after['value']:.1f} ({restated.date}): {_first_lines('; '.join(restated.reasons))}"
    )


def _first_lines(cause: str, most: int = 300) -> str:
    text = " ".join(cause.split())
    return text if len(text) <= most else text[: most - 1] + "…"
