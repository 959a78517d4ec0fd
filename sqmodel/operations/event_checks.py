"""Checks of an event log: faults that make it unusable, in one message, and everything else that was noticed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import duckdb

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations import event_columns as bits
from sqmodel.operations.event_columns import WORDS, Located, quoted
from sqmodel.operations.event_sources import Raw
from sqmodel.operations.event_zones import SECOND, offset, shifts
from sqmodel.operations.process import Process

Note = tuple[str, str, int, str]
"""Kind, column, count, examples."""
REMEDY = "correct the events, or how the process says they are read"


class Facts(NamedTuple):
    """What one look at all events tells."""

    events: int
    faults: dict[int, int]
    told: int
    walls: tuple[datetime, datetime] | None
    words: dict[str, int]
    unnamed: int


def look(connection: duckdb.DuckDBPyConnection) -> Facts:
    """Count faults, time stamps with an offset, words of the lifecycle and events without resource."""
    rows = connection.execute(
        "SELECT lifecycle, faults, offset_told, count(*), min(stamp), max(stamp), count(resource) FROM log "
        "GROUP BY lifecycle, faults, offset_told ORDER BY 1, 2, 3"
    ).fetchall()
    faults, words = dict.fromkeys(range(7), 0), dict.fromkeys((r[0] for r in rows), 0)
    for word, found, _, count, *_ in rows:
        words[word] += count
        for bit in faults:
            faults[bit] += count * (found >> bit & 1)
    events = sum(r[3] for r in rows)
    walls = [r[4:6] for r in rows if r[4] is not None and not r[2]]
    return Facts(
        events=events,
        faults={1 << bit: count for bit, count in faults.items()},
        told=sum(r[3] for r in rows if r[2]),
        walls=(min(w[0] for w in walls), max(w[1] for w in walls)) if walls else None,
        words=words,
        unnamed=events - sum(r[6] for r in rows),
    )


def raise_faults(
    connection: duckdb.DuckDBPyConnection, raw: Raw, located: Located, facts: Facts, time_format: str | None, order: str
) -> None:
    """Stop at a log that cannot be analysed.

    Raises
    ------
    OperationsError
        No events; events without case, activity or time stamp; time stamps or numbers that cannot be read; time stamps
        of which some tell their offset and others do not.
    """
    if not facts.events:
        raise OperationsError(raw.name, ["expected at least one event, found none"], "check the source")
    stamp = f"of the form {time_format!r}" if time_format else "such as 2026-07-01T09:30+08:00"
    expected = {
        bits.EMPTY_CASE: ("case_id", "expected a case id of every event, found none in"),
        bits.EMPTY_ACTIVITY: ("activity", "expected an activity of every event, found none in"),
        bits.EMPTY_TIME: ("timestamp", "expected a time stamp of every event, found none in"),
        bits.BAD_TIME: ("timestamp", f"expected time stamps {stamp}, found others in"),
        bits.BAD_MINUTES: ("entry_minutes", "expected minutes as numbers of at least 0, found others in"),
        bits.BAD_ERRORS: ("errors", "expected errors as numbers of at least 0, found others in"),
    }
    problems = [
        Problem(message, _culprits(connection, raw, located, order, name, f"faults & {bit} > 0"), count)
        for bit, (name, message) in expected.items()
        if (count := facts.faults[bit])
    ]
    stamped = facts.events - facts.faults[bits.EMPTY_TIME] - facts.faults[bits.BAD_TIME]
    if 0 < facts.told < stamped:
        problems.append(_mixed(connection, raw, located, order, facts.told, stamped - facts.told))
    if problems:
        raise OperationsError(raw.name, problems, REMEDY)


def _mixed(
    connection: duckdb.DuckDBPyConnection, raw: Raw, located: Located, order: str, told: int, silent: int
) -> Problem:
    message = (
        "expected time stamps that all tell their offset from UTC, or none that does; "
        f"found {told} with and {silent} without, the rarer in"
    )
    sound = f"faults & {bits.EMPTY_TIME + bits.BAD_TIME} = 0"
    rarer = "offset_told" if told < silent else "NOT offset_told"
    where = _culprits(connection, raw, located, order, "timestamp", f"{rarer} AND {sound}")
    return Problem(message, where, min(told, silent))


def _culprits(
    connection: duckdb.DuckDBPyConnection, raw: Raw, located: Located, order: str, name: str, test: str
) -> tuple[str, ...]:
    """The first events of which a test is true, with their place and what stands there in the source."""
    found = connection.execute(
        f"SELECT {order} AS place FROM log WHERE {test} ORDER BY place LIMIT {Problem.MOST}"
    ).fetchall()
    places = [int(row[0]) for row in found]
    header = located.headers[name]
    number = raw.position or "row_number() OVER () - 1"
    texts = dict(
        connection.execute(
            f"SELECT place, cell::VARCHAR FROM (SELECT {number} AS place, {quoted(header)} AS cell "
            f"FROM {raw.relation}) WHERE place IN ({', '.join(map(str, places))})"
        ).fetchall()
    )
    return tuple(_place(raw, place, header, texts.get(place)) for place in places)


def _place(raw: Raw, place: int, header: str, text: str | None) -> str:
    shown = f" ({text[:40]!r})" if text and text.strip() else ""
    return f"{raw.unit} {place + raw.first}, column {header}{shown}"


def instants(connection: duckdb.DuckDBPyConnection, process: Process, facts: Facts) -> tuple[str, list[Note]]:
    """SQL of the instant, and what to say about local times, and those that a change of clocks skips or repeats.

    As for all records, of an hour that occurs twice the first is taken, and one that does not exist moves on to the
    next that does.
    """
    if facts.walls is None:
        return "stamp", []
    notes = [(f"no offset told, read as {process.time_zone}", "timestamp", facts.events - facts.told, "")]
    changes = shifts(process.time_zone, *facts.walls)
    for shift in changes:
        test = f"stamp >= {_stamp(shift.low)} AND stamp < {_stamp(shift.high)}"
        count, least = one(connection, f"SELECT count(*), min(stamp) FROM log WHERE {test}")
        if count:
            kind = "skips, moved to the next that exists" if shift.skipped else "repeats, the first taken"
            notes.append((f"local time that a change of clocks {kind}", "timestamp", count, least.isoformat(" ")))
    # Up to a skipped hour, and to the end of a repeated one, the old offset holds.
    cases = ""
    for shift in changes:
        cases += f"WHEN stamp < {_stamp(shift.low if shift.skipped else shift.high)} THEN {_less(shift.before)} "
        if shift.skipped:
            cases += f"WHEN stamp < {_stamp(shift.high)} THEN {_stamp(shift.at)} "
    after = _less(changes[-1].after if changes else offset(process.time_zone, facts.walls[0]))
    return (f"CASE {cases}ELSE {after} END" if changes else after), notes


def _less(offset: timedelta) -> str:
    return f"stamp - INTERVAL '{offset // SECOND} seconds'" if offset else "stamp"


def _stamp(moment: datetime) -> str:
    return f"TIMESTAMP '{moment.isoformat(' ')}'"


def notes(connection: duckdb.DuckDBPyConnection, located: Located, facts: Facts) -> Iterator[Note]:
    """What is worth telling about a log that can be analysed."""
    if "lifecycle" not in located.headers:
        yield "no lifecycle told, read as complete", "lifecycle", facts.events, ""
    if facts.faults[bits.EMPTY_LIFECYCLE]:
        yield "empty, read as complete", "lifecycle", facts.faults[bits.EMPTY_LIFECYCLE], ""
    for word, count in facts.words.items():
        if word not in WORDS:
            yield "other than schedule, start and complete, kept", "lifecycle", count, word
    if facts.unnamed and "resource" in located.headers:
        yield "missing", "resource", facts.unnamed, ""
    for i, name in enumerate(located.attributes):
        own = f"attribute_{i}"
        (count,) = one(
            connection,
            f"SELECT count(*) FROM (SELECT 1 FROM log GROUP BY case_id HAVING min({own}) <> max({own}))",
        )
        if count:
            yield "differs within a case, the first kept", name, count, ""


def one(connection: duckdb.DuckDBPyConnection, query: str) -> tuple[Any, ...]:
    """The one row of an aggregate; a result of which rows are left would keep the connection busy."""
    (row,) = connection.execute(query).fetchall()
    return tuple(row)
