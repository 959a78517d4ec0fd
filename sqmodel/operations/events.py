"""Events: what was done in every case and when, from a file, a database or a frame, in canonical columns."""

from __future__ import annotations

import functools
import importlib
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd

from sqmodel.errors import OperationsError
from sqmodel.operations import event_columns
from sqmodel.operations.event_checks import Note, one
from sqmodel.operations.event_columns import Located
from sqmodel.operations.event_database import Choose, open_database
from sqmodel.operations.event_sources import (
    KNOWN,
    PARQUET,
    TEXTS,
    XES,
    Raw,
    ending,
    files_of,
    one_line,
    open_frame,
    open_parquet,
    open_text,
    open_xes,
)
from sqmodel.operations.event_store import build, duplicates
from sqmodel.operations.process import Process
from sqmodel.result import Result


@dataclass(frozen=True, repr=False)
class EventReading(Result):
    """How a source became an event log: nothing that was filled, merged or doubtful goes unmentioned.

    Attributes
    ----------
    source : str
        Without folder and password.
    events, cases : int
    first, last : str
        First and last instant, ISO in UTC.
    changes : DataFrame
        One row a kind: kind, column, count, examples.
    """

    source: str
    events: int
    cases: int
    first: str
    last: str
    changes: pd.DataFrame

    def _headline(self) -> str:
        noticed = len(self.changes)
        return f"{self.source}: {self.events} events of {self.cases} cases, {noticed} kinds of notices"


class EventLog:
    """Events in DuckDB: ``events``, one row an event, and ``cases``, one row a case.

    Attributes
    ----------
    connection : DuckDBPyConnection
        Instants are TIMESTAMP in UTC. ``events``: case_id, activity, lifecycle (schedule, start, complete, or another
        word of the source), "at" (in SQL to be quoted), resource, channel, entry_minutes, errors, position (order in
        the source, the first is 0). ``cases``: case_id and the attributes of cases.
    process : Process
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, process: Process, folder: Path) -> None:
        self.connection = connection
        self.process = process
        self._source = ""
        self._notes: list[Note] = []
        self._counts = (0, 0)
        self._close = weakref.finalize(self, _discard, connection, folder)

    def _take(self, source: str, notes: list[Note]) -> None:
        """What is known once the tables are there."""
        self._source, self._notes = source, notes
        events, cases = one(self.connection, "SELECT (SELECT count(*) FROM events), (SELECT count(*) FROM cases)")
        self._counts = (int(events), int(cases))

    @functools.cached_property
    def reading(self) -> EventReading:
        """What was noticed; events that are there twice are counted when this is first asked for."""
        again = duplicates(self.connection)
        notes = [*self._notes, *([("the same event again, kept", "", again, "")] if again else [])]
        changes = pd.DataFrame(notes, columns=["kind", "column", "count", "examples"])
        ends = one(self.connection, 'SELECT min("at"), max("at") FROM events')
        first, last = (f"{moment.isoformat()}+00:00" for moment in ends)
        return EventReading(self._source, *self._counts, first, last, changes)

    def __repr__(self) -> str:
        return f"<EventLog {self._source}: {self._counts[0]} events of {self._counts[1]} cases>"

    def __len__(self) -> int:
        return self._counts[0]

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection and remove its temporary folder; also done when the log is forgotten."""
        self._close()

    def frame(self) -> pd.DataFrame:
        """All events by case, instant and position; `at` in UTC."""
        frame = self.connection.execute('SELECT * FROM events ORDER BY case_id, "at", position').df()
        return frame.assign(at=frame["at"].astype("datetime64[us]").dt.tz_localize("UTC"))

    def cases(self, as_of: Any = None) -> pd.DataFrame:
        """One row a case: see `process_views.cases`."""
        return _views().cases(self, as_of=as_of)  # type: ignore[no-any-return]

    def steps(self, as_of: Any = None) -> pd.DataFrame:
        """One row an execution of a step: see `process_views.steps`."""
        return _views().steps(self, as_of=as_of)  # type: ignore[no-any-return]

    def spans(self, begin: str, finish: str | Sequence[str], as_of: Any = None) -> pd.DataFrame:
        """One row a case, from one event to another: see `process_views.spans`."""
        return _views().spans(self, begin, finish, as_of=as_of)  # type: ignore[no-any-return]


def _views() -> Any:
    return importlib.import_module("sqmodel.operations.process_views")


def _discard(connection: duckdb.DuckDBPyConnection, folder: Path) -> None:
    connection.close()
    shutil.rmtree(folder, ignore_errors=True)


def read_events(
    source: str | Path | pd.DataFrame,
    *,
    process: Process | None = None,
    columns: Mapping[str, str] | None = None,
    time_format: str | None = None,
    query: str | None = None,
    memory: str = "2GB",
) -> EventLog:
    """Read an event log: what was done in every case, and when?

    Parameters
    ----------
    source : path, pattern, database URL or DataFrame
        XES (``.xes``, ``.xes.gz``), CSV or TSV (also ``.gz``; UTF-8, UTF-16, GB18030, cp949: detected), Parquet, or a
        pattern of such files (``log/*.parquet``), a SQLAlchemy URL or ``duckdb:///path``, or a frame in memory. Parquet
        stays on disk and may be larger than memory; everything else is copied once into a temporary database on disk.
    process : Process, optional
        Columns, attributes of cases, time zone, words of the lifecycle, names of activities, and the query.
    columns : mapping, optional
        Canonical name to header or key of XES; goes before `process.columns`. A name that is none of ``case_id``,
        ``activity``, ``timestamp``, ``lifecycle``, ``resource``, ``channel``, ``entry_minutes``, ``errors`` is an
        attribute of the case. Names left out are looked up under themselves and under the keys of XES.
    time_format : str, optional
        Form of time stamps that are neither ISO nor year/month/day, as `strptime` writes it: ``%d/%m/%Y %H:%M``.
    query : str, optional
        SQL that gives the events; goes before `process.query`.
    memory : str
        Memory that DuckDB may use before it moves data to the disk.

    Returns
    -------
    EventLog
        To be closed, or used in ``with``; what it holds on disk goes when it is forgotten.

    Raises
    ------
    OperationsError
        A source that cannot be read, missing columns, or events that cannot be used (see `event_checks`), all in one
        message; never with a password.

    Examples
    --------
    >>> frame = pd.DataFrame({"case": ["a", "a"], "activity": ["apply", "pay"]})
    >>> read_events(frame.assign(timestamp=["2026-07-01", "2026-07-02"]))
    <EventLog data frame: 2 events of 1 cases>
    """
    process = process or Process(name="process")
    folder = Path(tempfile.mkdtemp(prefix="sqmodel-events-"))
    log = EventLog(connect(folder, memory), process, folder)
    try:
        _fill(log, source, columns or {}, time_format, process.query if query is None else query, folder)
    except BaseException:
        log.close()
        raise
    return log


def connect(folder: Path, memory: str = "2GB") -> duckdb.DuckDBPyConnection:
    """A temporary database in a folder, in UTC, that moves to the disk what exceeds its memory."""
    settings: dict[str, str | bool | int | float | list[str]] = {
        "memory_limit": memory,
        "temp_directory": str(folder / "spill"),
        "TimeZone": "UTC",
        "autoinstall_known_extensions": "false",
    }
    return duckdb.connect(str(folder / "log.duckdb"), config=settings)


def _fill(
    log: EventLog,
    source: str | Path | pd.DataFrame,
    columns: Mapping[str, str],
    time_format: str | None,
    query: str,
    folder: Path,
) -> None:
    """Tables ``events`` and ``cases``, checked, and what was noticed."""

    def choose(name: str, types: Mapping[str, str]) -> Located:
        found, problems = event_columns.locate(types, log.process, columns)
        if problems:
            raise OperationsError(name, problems, "name the columns in the process's `columns`")
        return found

    raw = _open(log.connection, source, query, choose, event_columns.sought(log.process, columns), folder)
    try:
        found = build(log.connection, raw, choose(raw.name, raw.types), log.process, time_format)
    except duckdb.Error as error:
        raise OperationsError(raw.name, [f"expected a table of events, found: {one_line(error)}"]) from None
    log._take(raw.short, found)


def _open(
    connection: duckdb.DuckDBPyConnection,
    source: str | Path | pd.DataFrame,
    query: str,
    choose: Choose,
    keys: Sequence[str],
    folder: Path,
) -> Raw:
    if isinstance(source, pd.DataFrame):
        return open_frame(connection, source)
    name = str(source)
    if "://" in name:
        return open_database(connection, name, query, choose)
    files = files_of(name)
    kinds = {ending(f) for f in files}
    if kinds <= set(PARQUET):
        return open_parquet(connection, name, files)
    if kinds <= set(TEXTS):
        return open_text(connection, name, files, folder)
    if kinds <= set(XES):
        return open_xes(connection, name, files, keys)
    found = ", ".join(sorted(k or "no ending" for k in kinds))
    raise OperationsError(name, [f"expected files that end in one of {KNOWN}; found {found}"], "convert the file")
