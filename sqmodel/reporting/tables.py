"""Files beside the page: results.json (unrounded) and tables.xlsx, from the record of a report."""

from __future__ import annotations

import datetime
import io
import json
from typing import Any

import pandas as pd

from sqmodel.reporting.payload import BENCHMARK_SCHEMA, DESIGN_SCHEMA, SCHEMA, VALIDATION_SCHEMA, check_results, name_of
from sqmodel.result import decode

EPOCH = datetime.datetime(2000, 1, 1)
SHEETS = {
    "index": ("dimensions", "trend", "groups"),
    "weights": ("table",),
    "gaps": ("dimensions", "items", "prediction", "difference_reliability"),
    "outcomes": ("table",),
    "priorities": ("candidates",),
    "actions": ("candidates",),
    "reliability": ("coefficients", "intervals", "items", "answers"),
    "exploration": ("suggestions", "eigenvalues", "loadings"),
    "reading": ("changes",),
    "trend": ("changes",),
}
OPERATIONS_SHEETS = {
    "process": ("steps", "waits", "bottlenecks", "rework", "handovers", "documents", "variants", "channels",
                "durations", "outcomes", "costs", "notes"),
    "compliance": ("rules", "urgent", "risk"),
    "complaints": ("timely", "times", "causes", "rates", "changes", "groups"),
    "grades": ("discrimination", "calibration", "grades", "stability"),
    "alerts": ("rules",),
    "tests": ("sessions", "items"),
    "training": ("courses",),
    "inspections": ("checks",),
    "drivers": ("effects", "doses", "paper", "worth"),
}  # fmt: skip
VALIDATION_SHEETS = {
    "reliability": ("coefficients", "intervals", "items", "answers"),
    "error": ("table",),
    "models": ("table",),
    "confirmation": ("parameters",),
    "modification": ("table",),
    "validity": ("factors", "pairs"),
    "comparability": ("variables", "effects"),
    "invariance_steps": ("table",),
    "items": ("scales", "items", "parameters"),
    "item_bias": ("table",),
    "planning": ("rmsea", "simulation", "kinds"),
    "reading": ("changes",),
}
DESIGN_SHEETS = {
    "uncertainty": ("scores", "ranks", "split", "factors", "convergence"),
    "weights": ("weights", "rankings", "units", "methods", "doubts"),
    "coherence": ("findings", "nodes", "branches", "between"),
    "composite": ("scores", "raw", "denominated", "imputed", "treated", "normalised", "treatment", "imputations",
                  "lost", "left_out", "weights"),
}  # fmt: skip
BENCHMARK_SHEETS = {
    "benchmark": ("standing", "overall", "scopes", "indicators", "peers", "history", "waiting", "case_mix", "receipts",
                  "withheld"),
    "gate": ("steps", "items", "biased", "left_out"),
}  # fmt: skip
BOOKS = {
    SCHEMA: SHEETS,
    VALIDATION_SCHEMA: VALIDATION_SHEETS,
    DESIGN_SCHEMA: DESIGN_SHEETS,
    BENCHMARK_SCHEMA: BENCHMARK_SHEETS,
}
NAMED = ("items", "dimensions", "groups", "nodes", "institutions", "peers")
"""Kinds of codes whose names follow them."""


def companions(results: dict[str, Any]) -> dict[str, bytes]:
    """The files that are published beside a page, by name.

    Parameters
    ----------
    results : dict
        The record that the notebook displayed; checked against its schema.

    Returns
    -------
    dict
        ``results.json`` and ``tables.xlsx`` as bytes; the same record gives the same bytes.
    """
    checked = check_results(results)
    text = json.dumps(checked, ensure_ascii=False, indent=1, allow_nan=False, sort_keys=True)
    return {"results.json": (text + "\n").encode(), "tables.xlsx": workbook(checked)}


def workbook(results: dict[str, Any]) -> bytes:
    """All tables of a record as an Excel file; texts are written as texts, never as formulas or links."""
    import xlsxwriter

    buffer = io.BytesIO()
    options = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "nan_inf_to_errors": False}
    book = xlsxwriter.Workbook(buffer, options)
    book.set_properties({"created": EPOCH, "title": name_of(results)})
    head = book.add_format({"bold": True, "bottom": 1})
    labels = _flat(results["labels"])
    sheets, found = BOOKS[results["schema"]], results["results"]
    if "ledger" in found:
        _write(book, "ledger", decode(found["ledger"]), head, labels)
    named = [(name, parts, found[name]) for name, parts in sheets.items() if name in found]
    operations = found.get("operations", {})
    named += [(name, parts, operations[name]) for name, parts in OPERATIONS_SHEETS.items() if name in operations]
    for name, parts, fields in named:
        for part in parts:
            if fields.get(part) is not None:
                sheet = name if part in ("table", "changes", "candidates") else f"{name}_{part}"
                _write(book, sheet, decode(fields[part]), head, labels)
    book.close()
    return buffer.getvalue()


def _flat(labels: dict[str, dict[str, dict[str, str]]]) -> dict[str, str]:
    return {code: text["zh"] for kind in NAMED for code, text in labels.get(kind, {}).items()}


def _write(book: Any, name: str, frame: pd.DataFrame, head: Any, labels: dict[str, str]) -> None:
    """One frame as a sheet; the codes of dimensions, items and groups are followed by their names."""
    sheet = book.add_worksheet(name[:31])
    named = any(str(i) in labels for i in frame.index)
    columns = [frame.index.name or "code", *(["label"] if named else []), *map(str, frame.columns)]
    for j, column in enumerate(columns):
        sheet.write_string(0, j, column, head)
    for i, (key, row) in enumerate(zip(frame.index, frame.itertuples(index=False), strict=True), start=1):
        values = [key, *([labels.get(str(key), "")] if named else []), *row]
        for j, value in enumerate(values):
            _cell(sheet, i, j, value)
    sheet.freeze_panes(1, 1)
    sheet.set_column(0, 0, 18)
    sheet.set_column(1, len(columns), 14)


def _cell(sheet: Any, row: int, column: int, value: Any) -> None:
    if value is None or (isinstance(value, float) and pd.isna(value)):
        sheet.write_blank(row, column, None)
    elif isinstance(value, bool):
        sheet.write_boolean(row, column, value)
    elif isinstance(value, int | float):
        sheet.write_number(row, column, value)
    else:
        sheet.write_string(row, column, str(value))
