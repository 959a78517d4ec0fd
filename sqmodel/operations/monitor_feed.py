"""The monitor's feed: new events from a database or a growing file, a batch at a time, and where it stopped.

Whatever is read may be read again: what the monitor keeps does not change when it sees an event twice. So the feed only
has to see to it that no event is missed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import pandas as pd
import sqlalchemy as sa

from sqmodel.errors import OperationsError
from sqmodel.operations.process import Process

CHUNK = 20_000
KEY = "event_id"
GRACE = 3600
"""Seconds for which a number that is missing among the ids may still turn up: its transaction may be open."""
MOST_GAPS = 200
OVERLAP = 3600
"""Seconds that are read again where events have no ids."""
SWEEP = 7 * 24 * 3600
NEEDED = ("case_id", "activity", "timestamp")

Position = dict[str, Any]


class AwayError(OperationsError):
    """The database cannot be had now; it may come back."""


@dataclass(frozen=True)
class Batch:
    """Events read at once.

    Parameters
    ----------
    frame : DataFrame
        case_id, activity, lifecycle, at (microseconds of UTC) and the attributes asked for.
    position : dict or None
        Where to go on from once they are kept; None: not known before the last batch.
    rows : int
        As many as were read.
    unreadable : mapping
        Rows left out, by reason.
    """

    frame: pd.DataFrame
    position: Position | None
    rows: int
    unreadable: Mapping[str, int]


class Tap(Protocol):
    """An open connection to where events are."""

    def now(self) -> int | None:
        """The database's clock in microseconds of UTC; None where it has none of its own."""

    def batches(self, position: Position, now: int) -> Iterator[Batch]:
        """Events that are new since a position, and such as may have been missed."""


class Feed(Protocol):
    """Where events are, and how to get at them."""

    @property
    def name(self) -> str:
        """What it is called, without secrets."""

    def open(self) -> contextlib.AbstractContextManager[Tap]:
        """A connection, for one tick."""


def find_columns(headers: list[str], process: Process, attributes: tuple[str, ...], name: str) -> dict[str, str]:
    """Header by canonical name.

    Raises
    ------
    OperationsError
        One that is needed is not there.
    """
    folded = {h.casefold(): h for h in reversed(headers)}
    found = {}
    problems = []
    for canonical in (*NEEDED, "lifecycle", KEY, *attributes):
        wanted = process.columns.get(canonical, canonical)
        header = wanted if wanted in headers else folded.get(wanted.casefold())
        if header is not None:
            found[canonical] = header
        elif canonical in NEEDED or canonical in process.columns or canonical in attributes:
            problems.append(f"expected a column {wanted!r} for {canonical}, found {', '.join(headers)}")
    if problems:
        raise OperationsError(name, problems, "name the columns under `columns` of the process")
    return found


def read_rows(
    rows: pd.DataFrame, process: Process, attributes: tuple[str, ...]
) -> tuple[pd.DataFrame, dict[str, int], bool]:
    """Rows as they came, as events; what could not be read, by reason; whether the instants came without offset."""
    names = {"case_id", "activity", "lifecycle", *attributes} & set(rows.columns)
    frame = pd.DataFrame({name: _texts(rows[name]) for name in sorted(names)}, index=rows.index)
    if "lifecycle" not in frame:
        frame["lifecycle"] = ""
    frame["at"], naive = microseconds(rows["timestamp"], process.time_zone)
    reasons = {
        "no case id": frame["case_id"] == "",
        "no activity": frame["activity"] == "",
        "no date and time": frame["at"].isna(),
    }
    bad = pd.Series(False, index=frame.index)
    counts = {}
    for reason, rows_of in reasons.items():
        counts[reason] = int((rows_of & ~bad).sum())
        bad |= rows_of
    frame = frame[~bad].reset_index(drop=True)
    words = {w.casefold(): stage for stage, given in process.lifecycle.items() for w in given}
    # An event that tells no stage is one of completion, as in XES.
    frame["lifecycle"] = frame["lifecycle"].map(lambda w: words.get(w.casefold(), w.casefold()) or "complete")
    frame["activity"] = frame["activity"].map(lambda a: process.activities.get(a, a))
    return frame, {reason: n for reason, n in counts.items() if n}, naive


def microseconds(values: pd.Series, zone: str) -> tuple[pd.Series, bool]:
    """Instants as microseconds of UTC, NaN where there is none; whether one came without offset."""
    texts = values.map(lambda v: v.strip() if isinstance(v, str) else v.isoformat() if hasattr(v, "isoformat") else "")
    texts = texts.astype(str)
    told = texts.str.contains(r"(?:[zZ]|[+-]\d\d:?\d\d)$", regex=True) & texts.str.contains(":", regex=False)
    result = pd.Series(np.nan, index=values.index)
    for aware, members in ((True, texts[told]), (False, texts[~told & (texts != "")])):
        if members.empty:
            continue
        moments = pd.to_datetime(members, format="ISO8601", utc=aware, errors="coerce").astype(
            "datetime64[us, UTC]" if aware else "datetime64[us]"
        )
        if not aware:
            first = np.ones(len(moments), dtype=bool)
            moments = moments.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward").dt.tz_convert("UTC")
        numbers = pd.Series(pd.DatetimeIndex(moments).as_unit("us").asi8.astype(float), index=members.index)
        result[members.index] = numbers.where(moments.notna())
    return result, bool((~told & result.notna()).any())


def _texts(values: pd.Series) -> pd.Series:
    def one(value: Any) -> str:
        if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
            return ""
        if isinstance(value, float) and value.is_integer():
            return str(int(value))
        return str(value).strip()

    return values.map(one).astype(object)


def gaps_after(position: Position, ids: np.ndarray, now: int) -> Position:
    """The position once these ids are read: the greatest, and the holes below it that may still be filled.

    Examples
    --------
    >>> gaps_after({"high": 3, "gaps": []}, np.array([4, 7]), 0)
    {'high': 7, 'gaps': [[5, 6, 0]]}
    """
    high = position.get("high")
    kept = [gap for gap in position.get("gaps", []) if now - gap[2] < GRACE * 1_000_000]
    seen = np.unique(ids)
    gaps = [piece for gap in kept for piece in _without(gap, seen)]
    fresh = seen[seen > high] if high is not None else seen
    if len(fresh):
        known = fresh if high is None else np.concatenate(([high], fresh))
        gaps += [[int(a) + 1, int(b) - 1, now] for a, b in pairwise(known) if b - a > 1]
        high = int(fresh[-1])
    return {"high": high, "gaps": _merged(gaps)}


def _without(gap: list[int], seen: np.ndarray) -> list[list[int]]:
    low, high, since = gap
    found = seen[(seen >= low) & (seen <= high)]
    if not len(found):
        return [gap]
    edges = [low - 1, *(int(f) for f in found), high + 1]
    return [[a + 1, b - 1, since] for a, b in pairwise(edges) if b - a > 1]


def _merged(gaps: list[list[int]]) -> list[list[int]]:
    """At most so many holes: the nearest ones become one, and what lies between them is read again."""
    gaps = sorted(gaps)
    while len(gaps) > MOST_GAPS:
        apart = [later[0] - earlier[1] for earlier, later in pairwise(gaps)]
        j = int(np.argmin(apart))
        gaps[j : j + 2] = [[gaps[j][0], gaps[j + 1][1], max(gaps[j][2], gaps[j + 1][2])]]
    return gaps


def select(
    columns: Mapping[str, str], relation: sa.FromClause, key: str | None, written: Mapping[str, str]
) -> sa.Select[Any]:
    """A query for the canonical columns; `key` is an expression to number events by, `written` has others."""
    fields: list[Any] = [
        (sa.literal_column(written[c]) if c in written else sa.column(h)).label(c)
        for c, h in columns.items()
        if c != KEY or key is None
    ]
    if key is not None:
        fields.append(sa.literal_column(key).label(KEY))
    return sa.select(*fields).select_from(relation)
