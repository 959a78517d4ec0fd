"""Process views: the cases, executions and spans of an event log as frames, as of any instant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.event_chunks import (
    COMPLETE,
    NEVER,
    Chunk,
    Facts,
    Ints,
    facts_of,
    read_chunks,
    until,
)
from sqmodel.operations.executions import KINDS, PENDING, RESUMED, Executions, find_executions

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog

HOUR = 3.6e9
"""Microseconds."""
WORDS = ("schedule", "start", "complete")
OPEN = "open"
ENDED = "ended"
"""Outcome of every case where the process defines no ends."""


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def cases(log: EventLog, *, as_of: Any = None) -> pd.DataFrame:
    """When did every case begin and end, and how?

    Parameters
    ----------
    log : EventLog
    as_of : instant, optional
        Later events are as if they had not happened; text, datetime or Timestamp, in UTC where it tells no zone.

    Returns
    -------
    DataFrame, one row a case that has an event
        Index case_id; begin (the first event of `Process.origin`, or the first event; NaT: not begun), end (the first
        completion among `Process.ends`; NaT: open), outcome (the end's code, ``open``; ``ended`` where no ends are
        defined: then a case ends with its last event), by (lender, client or empty), last (observed until this
        instant), events, contradictory (the end comes before the begin), and the case's attributes.

    Raises
    ------
    OperationsError
        `as_of` is no instant, or lies before all events.
    """
    facts = facts_of(log, as_of)
    process = log.process
    origin = f"activity = {literal(process.origin)}" if process.origin else "true"
    which = " ".join(f"WHEN {_condition(e.activities, facts)} THEN {literal(e.code)}" for e in process.ends)
    marked = f"CASE {which} END" if which else "NULL"
    ended = 'min("at") FILTER (finish IS NOT NULL)' if which else 'max("at")'
    outcome = (
        f'coalesce(arg_min(finish, "at") FILTER (finish IS NOT NULL), {literal(OPEN)})' if which else literal(ENDED)
    )
    found = log.connection.execute(
        f'SELECT case_id, min("at") FILTER ({origin}) AS "begin", {ended} AS "end", {outcome} AS outcome, '
        f'count(*) AS events FROM (SELECT case_id, activity, "at", {marked} AS finish FROM events '
        f"WHERE {until(facts.as_of)}) GROUP BY case_id"
    ).df()
    attributes = log.connection.execute("SELECT * FROM cases").df().set_index("case_id")
    frame = found.set_index("case_id").sort_index()
    frame["begin"], frame["end"] = _utc(frame["begin"]), _utc(frame["end"])
    owners = {e.code: e.by for e in process.ends}
    frame.insert(3, "by", [owners.get(code, "") for code in frame["outcome"]])
    frame.insert(4, "last", pd.DatetimeIndex(np.full(len(frame), facts.until, "datetime64[us]")).tz_localize("UTC"))
    frame["contradictory"] = (frame["end"] < frame["begin"]).fillna(False)
    return frame.join(attributes)


def _condition(marks: Sequence[str], facts: Facts, *, begin: bool = False) -> str:
    """SQL of events that are one of ``activity`` or ``activity/lifecycle``.

    Without a lifecycle a span begins with any event of the activity, and ends when it is completed (with any event,
    where it has no completions).
    """
    tests = []
    for mark in marks:
        activity, _, word = mark.rpartition("/")
        if not activity or word not in WORDS:
            activity, word = mark, ""
        if not word and not begin and any(facts.counts[facts.codes([activity]), COMPLETE]):
            word = "complete"
        tests.append(f"activity = {literal(activity)}" + (f" AND lifecycle = {literal(word)}" if word else ""))
    return "(" + " OR ".join(f"({t})" for t in tests) + ")"


def spans(log: EventLog, begin: str, finish: str | Sequence[str], *, as_of: Any = None) -> pd.DataFrame:
    """How long does every case take from one event to another?

    Parameters
    ----------
    log : EventLog
    begin : str
        ``activity`` (its first event) or ``activity/lifecycle``; empty: where the case begins.
    finish : str or sequence of str
        ``activity`` (its first completion) or ``activity/lifecycle``; of several, whichever comes first.
    as_of : instant, optional
        As in `cases`.

    Returns
    -------
    DataFrame, one row a case that has begun the span
        case_id, begin, finish (the first at or after begin; NaT: not yet), until (finish; else the end of the
        case, where it ended without the finish; else the instant up to which the log is observed), ended (the case
        ended and cannot reach the finish any more), before (it happened before begin, and not again).

    Raises
    ------
    OperationsError
        An activity that neither the log nor the process knows, or as in `cases`.
    """
    facts = facts_of(log, as_of)
    wanted = [finish] if isinstance(finish, str) else list(finish)
    _known(log, facts, [*wanted, *([begin] if begin else [])])
    ends = [a for e in log.process.ends for a in e.activities]
    origin = [begin] if begin else [log.process.origin] if log.process.origin else []
    opening = _condition(origin, facts, begin=True) if origin else "true"
    closing = _condition(ends, facts) if ends else "false"
    found = log.connection.execute(
        f'WITH log AS (SELECT case_id, "at", {opening} AS opens, {_condition(wanted, facts)} AS finishes, '
        f"{closing} AS closes FROM events WHERE {until(facts.as_of)}), "
        'starts AS (SELECT case_id, min("at") FILTER (opens) AS "begin", min("at") FILTER (closes) AS closed, '
        'max("at") AS latest FROM log GROUP BY case_id HAVING count(*) FILTER (opens) > 0), '
        'reached AS (SELECT case_id, min(log."at") FILTER (log."at" >= starts."begin") AS finish, '
        'count(*) FILTER (log."at" < starts."begin") > 0 AS earlier FROM log JOIN starts USING (case_id) '
        "WHERE finishes GROUP BY case_id) "
        'SELECT case_id, "begin", finish, closed, latest, coalesce(earlier, false) AS earlier '
        "FROM starts LEFT JOIN reached USING (case_id) ORDER BY case_id"
    ).df()
    frame = found
    for name in ("begin", "finish", "closed", "latest"):
        frame[name] = _utc(frame[name])
    last = pd.Series(pd.Timestamp(facts.until, unit="us", tz="UTC"), index=frame.index).dt.as_unit("us")
    # Without ends defined a case ends with its last event, so that nothing is open.
    closed = frame["closed"] if ends else frame["latest"]
    frame["ended"] = frame["finish"].isna() & closed.notna()
    over = closed.where(closed >= frame["begin"], frame["begin"])
    frame["until"] = frame["finish"].fillna(over.where(closed.notna(), last))
    frame["before"] = frame["finish"].isna() & frame["earlier"].astype(bool)
    return frame[["case_id", "begin", "finish", "until", "ended", "before"]]


def _known(log: EventLog, facts: Facts, marks: list[str]) -> None:
    steps = {s.code for s in log.process.steps} | {a for e in log.process.ends for a in e.activities}
    known = steps | set(facts.activities) | {log.process.origin}
    if facts.as_of is not None:
        known |= {str(row[0]) for row in log.connection.execute("SELECT DISTINCT activity FROM events").fetchall()}
    unknown = [m for m in marks if m not in known and not (m.rpartition("/")[0] in known and m.endswith(WORDS))]
    if unknown:
        some = ", ".join(sorted(known - {""})[: Problem.MOST])
        expected = f"expected activities of the process, such as {some}; found others"
        raise OperationsError(log.process.name, [Problem(expected, tuple(unknown))], "correct the names of the span")


def steps(log: EventLog, *, as_of: Any = None, calendar: Any = None) -> pd.DataFrame:
    """What was done in every case, when, by whom, and how long did it wait?

    Parameters
    ----------
    log : EventLog
    as_of : instant, optional
        As in `cases`.
    calendar : WorkingCalendar, optional
        Hours are then working hours.

    Returns
    -------
    DataFrame, one row an execution of a step, by case and time
        case_id, step, resource, kind (what it waited for: see `executions`), scheduled, ready, started, completed,
        waiting_hours, paused_hours (of ``resumed`` ones: laid down since the step's last completion), working_hours,
        repeat (how often the step was done in the case before), channel, entry_minutes, errors. A step that was
        scheduled and not begun is ``pending``. NaT and NaN where the events do not tell.
    """
    facts = facts_of(log, as_of)
    parts = []
    for chunk in read_chunks(log, facts):
        found = find_executions(chunk, facts, statuses=True)
        parts.append(_part(chunk, found, facts, calendar))
    frame = pd.concat(parts, ignore_index=True)
    frame["case_id"] = frame["case_id"].map(case_names(log, facts))
    named = log.connection.execute("SELECT DISTINCT hash(resource), resource FROM events WHERE resource IS NOT NULL")
    frame["resource"] = frame["resource"].map(dict(named.fetchall()))
    frame["step"] = np.asarray(facts.activities, object)[frame["step"]]
    order = ["case_id", "order", "row"]
    return frame.sort_values(order, kind="stable").drop(columns=["order", "row"]).reset_index(drop=True)


def _part(chunk: Chunk, found: Executions, facts: Facts, calendar: Any) -> pd.DataFrame:
    waiting, paused, working = durations_of(found, calendar)
    channels = np.asarray([*facts.channels, None], object)
    channel = np.where(chunk.channel[found.last] >= 0, chunk.channel[found.last], chunk.channel[found.row])
    entries = {}
    for name in ("entry_minutes", "errors"):
        values = getattr(chunk, name)
        entries[name] = np.where(np.isnan(values[found.last]), values[found.row], values[found.last])
    times = ("scheduled", "ready", "started", "completed")
    return pd.DataFrame(
        {
            "case_id": chunk.key[chunk.first][found.case],
            "step": found.step,
            "resource": resource_of(chunk, found),
            "kind": np.asarray(KINDS, object)[found.kind],
            **{name: _instants(getattr(found, name)) for name in times},
            "waiting_hours": waiting,
            "paused_hours": paused,
            "working_hours": working,
            "repeat": found.repeat,
            "channel": channels[channel],
            **entries,
            "order": np.take(chunk.at, found.row),
            "row": found.row,
        }
    )


def resource_of(chunk: Chunk, found: Executions) -> npt.NDArray[np.uint64]:
    """Who began each execution, or who completed it where that is not told."""
    begun = chunk.resource[found.row]
    return np.where(begun != 0, begun, chunk.resource[found.last])


def durations_of(found: Executions, calendar: Any = None) -> tuple[npt.NDArray[np.float64], ...]:
    """Hours waited, laid down and worked by each execution; NaN where the events do not tell."""
    begun = np.where(found.started != NEVER, found.started, found.completed)
    before = hours_between(found.ready, np.where(found.kind == PENDING, NEVER, begun), calendar)
    resumed = found.kind == RESUMED
    worked = hours_between(found.started, found.completed, calendar)
    return np.where(resumed, np.nan, before), np.where(resumed, before, np.nan), worked


def hours_between(begin: Ints, end: Ints, calendar: Any = None) -> npt.NDArray[np.float64]:
    """Hours, or working hours, between instants; NaN where either did not come."""
    known = (begin != NEVER) & (end != NEVER)
    hours = np.full(len(begin), np.nan)
    if calendar is None:
        hours[known] = (end[known] - begin[known]) / HOUR
    else:
        hours[known] = calendar.hours(_instants(begin[known]), _instants(end[known]))
    return hours


def case_names(log: EventLog, facts: Facts, wanted: Iterable[int] | None = None) -> dict[int, str]:
    """Case ids by their numbers in chunks; of all cases, or of some."""
    key = facts.key
    some = "" if wanted is None else f"WHERE {key} IN ({', '.join(map(str, {0, *wanted}))})"
    return dict(log.connection.execute(f"SELECT {key}, case_id FROM cases {some}").fetchall())


def _instants(microseconds: Ints) -> pd.DatetimeIndex:
    return pd.DatetimeIndex(microseconds.view("datetime64[us]")).tz_localize("UTC")


def _utc(column: pd.Series[Any]) -> pd.Series[Any]:
    return column.astype("datetime64[us]").dt.tz_localize("UTC")
