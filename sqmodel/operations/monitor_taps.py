"""Taps of the monitor's feed: SQL databases through SQLAlchemy, DuckDB files, and CSV files that grow."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import sqlalchemy as sa

from sqmodel.errors import OperationsError
from sqmodel.operations.monitor_feed import (
    CHUNK,
    KEY,
    OVERLAP,
    SWEEP,
    AwayError,
    Batch,
    Position,
    find_columns,
    gaps_after,
    read_rows,
    select,
)  # fmt: skip
from sqmodel.operations.process import Process

CLOCKS = {
    "postgresql": "SELECT clock_timestamp()",
    "mysql": "SELECT utc_timestamp(6)",
    "mariadb": "SELECT utc_timestamp(6)",
    "mssql": "SELECT sysutcdatetime()",
    "oracle": "SELECT sys_extract_utc(systimestamp) FROM dual",
}
SECONDS = 5
"""After which a connection counts as not to be had."""
AWAY = (sa.exc.OperationalError, sa.exc.InterfaceError, sa.exc.DisconnectionError, sa.exc.TimeoutError)
REFUSED = re.compile(
    r"authentication failed|no password supplied|access denied|login failed|ORA-01017|does not exist|unknown database"
    r"|no such (table|column)", re.IGNORECASE,
)  # fmt: skip
"""What databases say where waiting does not help."""
Run = Callable[[sa.Select[Any]], Iterator[list[tuple[Any, ...]]]]


@dataclass
class Table:
    """Events in a table, read by their numbers where they have some, by their time stamps else."""

    name: str
    process: Process
    attributes: tuple[str, ...]
    columns: dict[str, str]
    relation: sa.FromClause
    key: str | None
    run: Run
    clock: Callable[[], int | None]
    written: dict[str, str] = field(default_factory=dict)
    """Expressions to ask for instead of a column."""

    def now(self) -> int | None:
        """The database's clock."""
        return self.clock()

    def batches(self, position: Position, now: int) -> Iterator[Batch]:
        """What is new."""
        if self.key is None:
            yield from self._by_time(position, now)
            return
        if position.get("high") is not None and position["high"] > self._greatest():
            # A table that was laid anew; whatever is read again changes nothing.
            position = {}
        yield from self._by_number(position, now)

    def _greatest(self) -> int:
        query: sa.Select[Any] = sa.select(sa.func.max(sa.literal_column(str(self.key)))).select_from(self.relation)
        return int(next(self.run(query))[0][0] or 0)

    def _by_number(self, position: Position, now: int) -> Iterator[Batch]:
        number: sa.ColumnElement[Any] = sa.literal_column(str(self.key))
        query: sa.Select[Any] = select(self.columns, self.relation, self.key, self.written)
        holes = [number.between(low, high) for low, high, _ in position.get("gaps", [])]
        if holes:
            for rows in self.run(query.where(sa.or_(*holes))):
                frame, ids = self._numbered(rows)
                position = gaps_after(position, ids, now)
                yield self._batch(frame, position)
        while True:
            high = position.get("high")
            fresh = query if high is None else query.where(number > high)
            count = 0
            for rows in self.run(fresh.order_by(number).limit(CHUNK)):
                frame, ids = self._numbered(rows)
                count += len(frame)
                position = gaps_after(position, ids, now)
                yield self._batch(frame, position)
            if count < CHUNK:
                yield Batch(pd.DataFrame(), gaps_after(position, np.empty(0, dtype=int), now), 0, {})
                return

    def _numbered(self, rows: list[tuple[Any, ...]]) -> tuple[pd.DataFrame, Any]:
        frame = self._frame(rows)
        try:
            return frame, np.array([int(v) for v in frame[KEY]], dtype=np.int64)
        except (TypeError, ValueError):
            found = next(v for v in frame[KEY] if not isinstance(v, int))
            problem = f"expected whole numbers that grow in column {self.columns[KEY]!r}, found {found!r}"
            raise OperationsError(self.name, [problem]) from None

    def _by_time(self, position: Position, now: int) -> Iterator[Batch]:
        """Everything since an hour before the latest event; since a week before it once an hour; all at first."""
        latest, swept = position.get("time"), position.get("swept", 0)
        sweeping = now - swept > OVERLAP * 1_000_000
        query = select(self.columns, self.relation, None, self.written)
        if latest is not None:
            since = latest - (SWEEP if sweeping else OVERLAP) * 1_000_000
            moment = datetime.fromtimestamp(since / 1e6, UTC)
            if position.get("naive"):
                moment = moment.astimezone(ZoneInfo(self.process.time_zone)).replace(tzinfo=None)
            query = query.where(sa.column(self.columns["timestamp"]) >= sa.literal(moment))
        naive = bool(position.get("naive"))
        for rows in self.run(query):
            frame = self._frame(rows)
            if isinstance(frame["timestamp"].iloc[0], str):
                problem = "expected a column event_id that numbers the events, or time stamps that are no text"
                raise OperationsError(self.name, [problem], "name one under `columns` of the process, as event_id")
            batch = self._batch(frame, None)
            naive = not getattr(frame["timestamp"].iloc[0], "tzinfo", None)
            if len(batch.frame):
                latest = max(latest or 0, int(batch.frame["at"].max()))
            yield batch
        # A time stamp in the future must not keep others from being read.
        latest = min(latest, now) if latest is not None else None
        found = {"time": latest, "naive": naive, "swept": now if sweeping else swept}
        yield Batch(pd.DataFrame(), found, 0, {})

    def _frame(self, rows: list[tuple[Any, ...]]) -> pd.DataFrame:
        names = [c for c in self.columns if c != KEY] + ([KEY] if self.key is not None else [])
        return pd.DataFrame(rows, columns=names, dtype=object)

    def _batch(self, frame: pd.DataFrame, position: Position | None) -> Batch:
        events, unreadable, _ = read_rows(frame, self.process, self.attributes)
        return Batch(events, position, len(frame), unreadable)


def relation_of(process: Process) -> sa.FromClause:
    """The table ``events``, or the process's query."""
    if process.query:
        return sa.text(process.query.rstrip().rstrip(";")).columns().subquery("events")
    return sa.table("events")


@dataclass
class SqlFeed:
    """A database that SQLAlchemy knows."""

    name: str
    url: sa.URL
    process: Process
    attributes: tuple[str, ...]
    _columns: dict[str, str] = field(default_factory=dict, repr=False)
    _key: str | None = field(default=None, repr=False)

    @classmethod
    def of_url(cls, source: str, process: Process, attributes: tuple[str, ...]) -> SqlFeed:
        """The feed of a database URL."""
        try:
            url = sa.make_url(source)
        except (sa.exc.ArgumentError, ValueError):
            # The text may hold a password, so it is not repeated.
            problem = "expected a URL such as sqlite:///events.db, found another text"
            raise OperationsError("database", [problem]) from None
        return cls(url.set(query={}).render_as_string(hide_password=True), url, process, attributes)

    @functools.cached_property
    def engine(self) -> sa.Engine:
        """Connections to the database, each tried before it is used again."""
        backend = self.url.get_backend_name()
        options = {"connect_timeout": SECONDS} if backend in ("postgresql", "mysql", "mariadb") else {}
        if backend == "sqlite":
            # A connection that is kept would go on reading a file that was replaced.
            return sa.create_engine(self.url, poolclass=sa.NullPool)
        return sa.create_engine(self.url, pool_pre_ping=True, pool_size=1, max_overflow=0, connect_args=options)

    @contextlib.contextmanager
    def open(self) -> Iterator[Table]:
        """A connection.

        Raises
        ------
        OperationsError
            The database cannot be had, or a column is missing; without the URL's secrets.
        """
        if self.url.get_backend_name() == "sqlite" and not Path(self.url.database or "").is_file():
            # SQLite would create it.
            raise AwayError(self.name, ["expected a database file, found nothing at this path"])
        try:
            with self.engine.connect() as connection:
                yield self._table(connection)
        except (sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
            said = self._said(error)
            away = isinstance(error, AWAY) and not REFUSED.search(said)
            kind = AwayError if away else OperationsError
            raise kind(self.name, [f"expected events from the database, found: {said}"]) from None

    def _said(self, error: Exception) -> str:
        from sqmodel.survey.sources import without_secrets

        said = " ".join(str(getattr(error, "orig", None) or error).split())
        return without_secrets(said, self.url, self.process.query)

    def _table(self, connection: sa.Connection) -> Table:
        relation = relation_of(self.process)
        if not self._columns:
            headers = list(connection.execute(sa.select(sa.text("*")).select_from(relation).limit(0)).keys())
            self._columns = find_columns(headers, self.process, self.attributes, self.name)
            self._key = self._number(connection, relation)

        def run(query: sa.Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
            result = connection.execution_options(stream_results=True).execute(query)
            for part in result.partitions(CHUNK):
                yield [tuple(row) for row in part]

        clock = functools.partial(self._clock, connection)
        columns, key = self._columns, self._key
        return Table(self.name, self.process, self.attributes, columns, relation, key, run, clock)

    def _number(self, connection: sa.Connection, relation: sa.FromClause) -> str | None:
        if KEY in self._columns:
            return str(self.engine.dialect.identifier_preparer.quote(self._columns[KEY]))
        if self.url.get_backend_name() == "sqlite" and not self.process.query:
            try:
                connection.execute(sa.select(sa.literal_column("rowid")).select_from(relation).limit(1))
            except sa.exc.OperationalError:
                return None
            return "rowid"
        return None

    def _clock(self, connection: sa.Connection) -> int | None:
        asked = CLOCKS.get(self.url.get_backend_name())
        if asked is None:
            return None
        found: datetime = connection.exec_driver_sql(asked).scalar_one()
        return round((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1e6)
