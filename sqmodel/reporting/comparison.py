"""Two quarters side by side: what changed, by how much against its interval, and what was restated since."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import t as student

from sqmodel.errors import InputError, RunError
from sqmodel.reporting.manifest import read_manifest
from sqmodel.reporting.payload import SCHEMA, check_results
from sqmodel.reporting.restatements import NO_REASON, NOISE, Restatement, read_restatements, reasons
from sqmodel.result import decode

PUBLISHED, APPROXIMATE = "as reported", "Student's t on published standard errors"


@dataclass(frozen=True)
class Change:
    """One number in two quarters.

    Parameters
    ----------
    line, scope : str
        ``overall`` or a dimension.
    earlier, later : float
        As published for each quarter.
    change, low, high : float
        Later minus earlier, with its interval.
    method : str
        Of the interval: the later report's own where it compared these two quarters.
    """

    line: str
    scope: str
    earlier: float
    later: float
    change: float
    low: float
    high: float
    method: str

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval of the change leaves out zero."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Comparison:
    """Content of ``sqmodel diff``.

    Parameters
    ----------
    changes : list of Change
    restated : dict
        Line to sentences: a number of the earlier quarter is now another one, and why.
    only : dict
        Line that has a report in one of the quarters alone, to that quarter.
    labels : dict
        Names of lines and scopes, zh and en.
    """

    changes: list[Change] = field(default_factory=list)
    restated: dict[str, list[str]] = field(default_factory=dict)
    only: dict[str, str] = field(default_factory=dict)
    labels: dict[str, dict[str, str]] = field(default_factory=dict)


def compare_quarters(reports: Path, earlier: str, later: str) -> Comparison:
    """Compare the published reports of two quarters.

    Raises
    ------
    RunError
        A quarter has no reports, or a record cannot be read.
    """
    if earlier >= later:
        raise RunError(f"expected the earlier quarter first, found {earlier} and {later}")
    records = {quarter: _records(reports, quarter) for quarter in (earlier, later)}
    result = Comparison()
    history = read_restatements(reports)
    for line in dict.fromkeys((*records[earlier], *records[later])):
        here = [q for q in records if line in records[q]]
        if len(here) == 1:
            result.only[line] = here[0]
            continue
        old, new = records[earlier][line], records[later][line]
        result.labels.update(new["labels"]["dimensions"] | new["labels"]["line"])
        result.changes.extend(_changes(line, old, new))
        if found := _restated(reports, line, old, new, history):
            result.restated[line] = found
    return result


def _records(reports: Path, quarter: str) -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((reports / quarter).glob("*/results.json")):
        try:
            record = check_results(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, InputError) as error:
            raise RunError(f"{path}: expected a record of results, found: {error}; publish the report again") from None
        if record["schema"] == SCHEMA:
            found[record["business_line"]] = record
    if not found:
        raise RunError(f"{reports / quarter}: expected published reports, found none")
    return found


def _changes(line: str, old: dict[str, Any], new: dict[str, Any]) -> list[Change]:
    """Overall first, then the dimensions that both have; the index's own comparison where it made it."""
    index = new["results"]["index"]
    own = index["previous_quarter"] == old["quarter"]
    found = [_change(line, "overall", old["index"], new["index"], new["change"] if own else None)]
    tables = [decode(r["results"]["index"]["dimensions"]) for r in (old, new)]
    for scope in tables[1].index:
        if scope in tables[0].index:
            levels = [r["index"]["level"] for r in (old, new)]
            one, other = (_number(t.loc[scope], level) for t, level in zip(tables, levels, strict=True))
            row = tables[1].loc[scope]
            reported = {"value": row["change"], "low": row["change_low"], "high": row["change_high"]}
            found.append(_change(line, scope, one, other, reported if own else None))
    return found


def _number(row: pd.Series, level: float) -> dict[str, Any]:
    return {"value": row["estimate"], "se": row["se"], "n": row["n"], "level": level}


def _change(line: str, scope: str, old: dict[str, Any], new: dict[str, Any], own: dict[str, Any] | None) -> Change:
    """The change of one number: the later report's own comparison, with its weights in both quarters, if it made it."""
    if own is not None:
        return Change(line, scope, old["value"], new["value"], own["value"], own["low"], own["high"], PUBLISHED)
    change = new["value"] - old["value"]
    error = math.hypot(old["se"], new["se"])
    # Welch and Satterthwaite's degrees of freedom, of the two means' standard errors.
    parts = [(x["se"] ** 4) / max(x["n"] - 1, 1) for x in (old, new)]
    df = error**4 / sum(parts) if sum(parts) > 0 else math.inf
    half = float(student.ppf(0.5 + new["level"] / 2, df)) * error
    return Change(line, scope, old["value"], new["value"], change, change - half, change + half, APPROXIMATE)


def _restated(
    reports: Path, line: str, old: dict[str, Any], new: dict[str, Any], history: list[Restatement]
) -> list[str]:
    """Restatements of both quarters on record, and the earlier quarter's index as the later report has it."""
    found = [
        f"{r.name.split('/')[0]}: {_told(r.before['value'], r.after['value'])} on {r.date}: {'; '.join(r.reasons)}"
        for r in history
        if r.name in (f"{old['quarter']}/{line}", f"{new['quarter']}/{line}")
    ]
    trend = decode(new["results"]["index"]["trend"])
    row = trend[(trend["quarter"] == old["quarter"]) & (trend["scope"] == "overall")]
    if len(row):
        now, then = float(row["estimate"].iloc[0]), old["index"]["value"]
        if abs(now - then) > NOISE * max(1.0, abs(then)):
            manifests = [read_manifest(reports / r["quarter"] / line) for r in (old, new)]
            why = [w for w in reasons(*manifests) if not w.startswith(("quarter:", NO_REASON))]
            if old["results"]["weights"] != new["results"]["weights"]:
                why.insert(0, f"weights of {new['quarter']} instead of {old['quarter']}")
            told = _told(then, now)
            found.append(f"{old['quarter']}: {told} in the report of {new['quarter']}: {'; '.join(why) or NO_REASON}")
    return found


def _told(before: float, after: float) -> str:
    """Two numbers with as many digits as tell them apart."""
    digits = next((d for d in range(1, 10) if f"{before:.{d}f}" != f"{after:.{d}f}"), 10)
    return f"{before:.{digits}f} → {after:.{digits}f}"
