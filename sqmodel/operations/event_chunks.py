"""Event chunks: a log of any size as arrays of whole cases, in order of time; DuckDB sorts, on disk where it must."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations.process import Process

if TYPE_CHECKING:
    from sqmodel.operations.events import EventLog

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

NEVER = np.iinfo(np.int64).min
"""An instant that did not come; numpy and pandas read it as NaT."""
SCHEDULE, START, COMPLETE, OTHER = range(4)
CHUNK = 2_000_000
"""Events treated at a time: some 500 MB of arrays at the most."""


@dataclass(frozen=True)
class Facts:
    """What a log holds, counted before any event is treated.

    Attributes
    ----------
    activities : list of str
        In alphabetical order; their places are the codes in a `Chunk`.
    counts : (activities, 4) integers
        Events by activity and lifecycle: schedule, start, complete, other.
    channels : list of str
    cases : int
    until : int
        Instant up to which the log is observed, microseconds in UTC: `as_of`, or the last event.
    as_of : int or None
    key : str
        SQL of a case's number: a hash that no two cases of the log share.
    """

    activities: list[str]
    counts: Ints
    channels: list[str]
    cases: int
    until: int
    as_of: int | None
    key: str = "hash(case_id)"

    @property
    def timed(self) -> Bools:
        """Activities whose work can be told from the events: scheduled or started."""
        return np.asarray((self.counts[:, SCHEDULE] > 0) | (self.counts[:, START] > 0))

    def codes(self, activities: tuple[str, ...] | list[str]) -> list[int]:
        """Places of those activities that the log has."""
        return [self.activities.index(a) for a in activities if a in self.activities]


@dataclass(frozen=True)
class Chunk:
    """Events of whole cases, by case, instant and position.

    Attributes
    ----------
    key, case : (n,) arrays
        Hash of the case's id; number of the case within the chunk.
    first : (cases,) integers
        Place of each case's first event.
    activity, lifecycle, at, resource, position, channel, entry_minutes, errors : (n,) arrays
        Codes, microseconds in UTC, hash (0: not told), place in the source, code (-1: not told), NaN where not told.
    """

    key: npt.NDArray[np.uint64]
    case: Ints
    first: Ints
    activity: npt.NDArray[np.uint16]
    lifecycle: npt.NDArray[np.uint8]
    at: Ints
    resource: npt.NDArray[np.uint64]
    position: Ints
    channel: npt.NDArray[np.int16]
    entry_minutes: Floats
    errors: Floats

    def __len__(self) -> int:
        return len(self.key)


def instant(value: Any) -> int | None:
    """Microseconds in UTC of an instant; without a zone it is in UTC.

    Raises
    ------
    OperationsError
        It is none.
    """
    if value is None:
        return None
    try:
        given: Any = pd.Timestamp(value)
    except (ValueError, TypeError):
        given = pd.NaT
    if given is pd.NaT:
        raise OperationsError("as_of", [f"expected an instant such as 2026-06-30T18:00+08:00, found {value!r}"])
    given = given.tz_localize("UTC") if given.tzinfo is None else given.tz_convert("UTC")
    return int(given.as_unit("us").asm8.astype(np.int64))


def iso(microseconds: int) -> str:
    """An instant in words, in UTC."""
    return datetime.fromtimestamp(microseconds / 1e6, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def until(as_of: int | None) -> str:
    """The condition that keeps the events up to an instant."""
    return "true" if as_of is None else f'"at" <= make_timestamp({as_of})'


def facts_of(log: EventLog, as_of: Any = None) -> Facts:
    """Count what a log holds.

    Raises
    ------
    OperationsError
        No event is as old as `as_of`.
    """
    moment = instant(as_of)
    looked = 'count(*), count(channel), max(epoch_us("at"))'
    query = f"SELECT activity, lifecycle, {looked} FROM events WHERE {until(moment)} GROUP BY ALL"
    rows = log.connection.execute(query).fetchall()
    if not rows:
        raise OperationsError(
            "as_of", [f"expected events up to {iso(moment or 0)}, found none"], "take a later instant"
        )
    activities = sorted({str(row[0]) for row in rows})
    words = {"schedule": SCHEDULE, "start": START, "complete": COMPLETE}
    counts = np.zeros((len(activities), 4), np.int64)
    for activity, word, count, _, _ in rows:
        counts[activities.index(activity), words.get(word, OTHER)] += count
    channels: list[str] = []
    if any(row[3] for row in rows):
        found = log.connection.execute("SELECT DISTINCT channel FROM events WHERE channel IS NOT NULL ORDER BY 1")
        channels = [str(row[0]) for row in found.fetchall()]
    ((cases,),) = log.connection.execute("SELECT count(*) FROM cases").fetchall()
    last = max(int(row[4]) for row in rows)
    return Facts(activities, counts, channels, int(cases), last if moment is None else moment, moment, _case_key(log))


def _case_key(log: EventLog) -> str:
    """SQL of a case's number: its hash, or another where two cases of this log share theirs."""
    query = "SELECT count(*) = count(DISTINCT hash(case_id)) FROM cases"
    ((distinct,),) = log.connection.execute(query).fetchall()
    return "hash(case_id)" if distinct else "md5_number_lower(case_id)"


def read_chunks(log: EventLog, facts: Facts, *, entries: bool = True, size: int = CHUNK) -> Iterator[Chunk]:
    """All events up to `facts.as_of`, whole cases at a time.

    Parameters
    ----------
    log : EventLog
    facts : Facts
    entries : bool
        Whether channels, entry minutes and errors are wanted.
    size : int
        Events of a chunk, about; more where one case has more.
    """
    rest: dict[str, Any] = {}
    # A connection of its own: a reader that is left half way keeps it busy.
    relation = log.connection.cursor().sql(_selection(log, facts, entries))
    # The name changed with DuckDB 1.5.
    reader = relation.to_arrow_reader if hasattr(relation, "to_arrow_reader") else relation.fetch_arrow_reader
    for batch in reader(size):
        found = {name: batch.column(name).to_numpy(zero_copy_only=False) for name in batch.schema.names}
        if rest:
            found = {name: np.concatenate([rest[name], column]) for name, column in found.items()}
        key = found["key"]
        if not len(key):
            continue
        # The last case may go on in the next batch.
        edge = len(key) - int(np.argmax(key[::-1] != key[-1])) if key[0] != key[-1] else 0
        rest = {name: column[edge:].copy() for name, column in found.items()}
        if edge:
            yield _chunk({name: column[:edge] for name, column in found.items()}, entries)
    if rest:
        yield _chunk(rest, entries)


def _selection(log: EventLog, facts: Facts, entries: bool) -> str:
    columns = {
        "key": facts.key,
        "activity": f"{_code('activity', facts.activities)}::USMALLINT",
        "lifecycle": "CASE lifecycle WHEN 'complete' THEN 2 WHEN 'start' THEN 1 WHEN 'schedule' THEN 0 ELSE 3 END"
        "::UTINYINT",
        "at": 'epoch_us("at")',
        "resource": "CASE WHEN resource IS NULL THEN 0::UBIGINT ELSE hash(resource) END",
        "position": '"position"',
    }
    if entries and facts.channels:
        columns["channel"] = f"coalesce({_code('channel', facts.channels)}::SMALLINT, -1::SMALLINT)"
    if entries:
        columns |= {name: f"coalesce({name}, 'nan'::DOUBLE)" for name in ("entry_minutes", "errors")}
    selected = ", ".join(f'{expression} AS "{name}"' for name, expression in columns.items())
    return f'SELECT {selected} FROM events WHERE {until(facts.as_of)} ORDER BY "key", "position"'


def _code(column: str, names: list[str]) -> str:
    listed = ", ".join("'" + name.replace("'", "''") + "'" for name in names)
    return f"enum_code({column}::ENUM({listed}))"


def _in_time(found: dict[str, Any], begins: Bools) -> dict[str, Any]:
    """Columns by case, instant and position, given by case and position: most sources tell a case in order of time."""
    backwards = np.zeros(len(begins), bool)
    backwards[1:] = (found["at"][1:] < found["at"][:-1]) & ~begins[1:]
    if not backwards.any():
        return found
    case = np.cumsum(begins)
    affected = np.zeros(case[-1] + 1, bool)
    affected[case[backwards]] = True
    row = np.flatnonzero(affected[case])
    order = np.arange(len(begins))
    order[row] = row[np.lexsort((found["at"][row], case[row]))]
    return {name: column[order] for name, column in found.items()}


def _chunk(found: dict[str, Any], entries: bool) -> Chunk:
    key = found["key"]
    begins = np.empty(len(key), bool)
    begins[0] = True
    np.not_equal(key[1:], key[:-1], out=begins[1:])
    found = _in_time(found, begins)
    none = np.full(len(key), np.nan) if not entries else np.empty(0)
    return Chunk(
        key=key,
        case=np.cumsum(begins) - 1,
        first=np.flatnonzero(begins),
        activity=found["activity"],
        lifecycle=found["lifecycle"],
        at=found["at"],
        resource=found["resource"],
        position=found["position"],
        channel=found.get("channel", np.broadcast_to(np.int16(-1), len(key))),
        entry_minutes=found.get("entry_minutes", none),
        errors=found.get("errors", none),
    )


def ends_of(process: Process, facts: Facts) -> tuple[npt.NDArray[np.int16], list[str]]:
    """The end that an activity's completion brings about (-1: none), and the codes of the ends."""
    ends = np.full(len(facts.activities), -1, np.int16)
    for number, end in enumerate(process.ends):
        ends[facts.codes(end.activities)] = number
    return ends, [end.code for end in process.ends]
