"""Exposures and the alerts about them: how they are read, what must be true of them, when they were watched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.records import Column, Records, read_records

EXPOSURES = (
    Column("loan_id", "text", filled=True, also=("exposure_id", "loan")),
    Column("grade", "text", needed=False),
    Column("probability", "number", needed=False, low=0, high=1, also=("pd",)),
    Column("granted", "instant", filled=True),
    Column("observed_until", "instant", filled=True),
    Column("event", "instant", also=("default", "defaulted")),
)
ALERTS = (
    Column("loan_id", "text", filled=True, also=("exposure_id", "loan")),
    Column("rule", "text", filled=True),
    Column("at", "instant", filled=True, also=("timestamp",)),
)
Days = npt.NDArray[np.float64]


def read_exposures(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read loans with their risk grade or probability, and until when they were watched.

    Parameters
    ----------
    source : path, database URL or DataFrame
        With columns loan_id, granted, observed_until, event (empty: none until `observed_until`) and grade,
        probability, or both.
    names, zone, table, query
        As `read_records` takes them.

    Raises
    ------
    OperationsError
        Cells that cannot be read, probabilities beyond 0 to 1, loans given twice, events before the granting or after
        the end of observation; all problems in one message.
    """
    records = read_records(source, EXPOSURES, what="exposures", names=names, zone=zone, unique=("loan_id",),
                           table=table, query=query)  # fmt: skip
    check_exposures(records.frame, records.reading.source)
    return records


def read_alerts(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read alerts: which rule warned of which loan, and when.

    Raises
    ------
    OperationsError
        Cells that cannot be read; all problems in one message.
    """
    return read_records(source, ALERTS, what="alerts", names=names, zone=zone, table=table, query=query)


def frame_of(given: Records | pd.DataFrame, columns: Sequence[Column], what: str) -> pd.DataFrame:
    """The frame of records, or a given one, with all columns and times in UTC.

    Raises
    ------
    OperationsError
        A column is absent or of another kind.
    """
    frame = given.frame if isinstance(given, Records) else given
    problems = [
        Problem(f"expected a column {c.name!r}, found {', '.join(map(repr, frame.columns[:12]))}")
        for c in columns
        if c.needed and c.name not in frame
    ]
    if problems:
        raise OperationsError(what, problems, f"read the {what} with the function that reads them")
    made = {}
    for column in columns:
        values = frame[column.name] if column.name in frame else pd.Series(None, index=frame.index, dtype=object)
        made[column.name] = _typed(values, column)
    return pd.DataFrame(made, index=frame.index)


def _typed(values: pd.Series, column: Column) -> pd.Series:
    if column.kind == "instant":
        return pd.to_datetime(values, utc=True, format="ISO8601").astype("datetime64[us, UTC]")
    if column.kind == "number":
        return values.astype(float)
    if column.kind == "date":
        return pd.to_datetime(values).astype("datetime64[us]")
    if column.kind == "flag":
        return values.astype("boolean")
    return values.astype(object).where(values.notna(), None)


def check_exposures(frame: pd.DataFrame, source: str = "exposures") -> None:
    """What must be true of exposures; the index tells rows.

    Raises
    ------
    OperationsError
    """
    granted, until, event = (frame[c] for c in ("granted", "observed_until", "event"))
    probability = frame["probability"]
    rules = (
        ("expected probabilities from 0 to 1, found others", ~probability.between(0, 1) & probability.notna()),
        ("expected every loan once, found it again", frame["loan_id"].duplicated()),
        ("expected a time of granting, found none", granted.isna()),
        ("expected an end of observation, found none", until.isna()),
        ("expected observation to end after the granting, found the reverse", until < granted),
        ("expected events after the granting, found them before", event < granted),
        ("expected events until the end of observation, found them after it", event > until),
    )
    problems = broken(frame, rules)
    if not len(frame):
        problems.append(Problem("expected loans, found none"))
    if problems:
        raise OperationsError(source, problems, "correct the exposures, or leave out the loans that are in doubt")


def broken(frame: pd.DataFrame, rules: Sequence[tuple[str, Any]], name: str = "loan_id") -> list[Problem]:
    """One problem for each rule that rows break, with their names and rows."""
    problems = []
    for message, mask in rules:
        rows = frame[np.asarray(mask, dtype=bool)]
        if len(rows):
            shown = rows.head(Problem.MOST)
            where = tuple(f"{key} (row {row})" for row, key in zip(shown.index, shown[name], strict=True))
            problems.append(Problem(message, where, len(rows)))
    return problems


def days(later: pd.Series, earlier: pd.Series) -> Days:
    """Days between instants; NaN where one is missing."""
    result: Days = (later - earlier).dt.total_seconds().to_numpy(dtype=float) / 86_400
    return result


def follow_up(frame: pd.DataFrame) -> tuple[Days, Days]:
    """Days from granting to the event (infinite without one), and to the end of what was or would have been seen.

    A record that ends with its event would have gone on to the last instant of the records otherwise: only so are
    loans with and without events kept or left out by the same rule.
    """
    event = days(frame["event"], frame["granted"])
    until = days(frame["observed_until"], frame["granted"])
    last = days(pd.Series(frame["observed_until"].max(), index=frame.index), frame["granted"])
    seen = np.where(np.isfinite(event) & (until <= event), last, until)
    return np.where(np.isnan(event), np.inf, event), seen
