"""Sources of the monitor: a database URL, a DuckDB file, or a CSV file that grows."""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from sqmodel.errors import OperationsError
from sqmodel.operations.monitor_feed import CHUNK, KEY, AwayError, Batch, Feed, Position, find_columns, read_rows
from sqmodel.operations.monitor_taps import SqlFeed, Table, relation_of
from sqmodel.operations.process import Process

SUFFIXES = {"sqlite": (".sqlite", ".sqlite3", ".db"), "duckdb": (".duckdb", ".ddb"), "csv": (".csv", ".tsv")}


def open_feed(source: str, process: Process, attributes: tuple[str, ...] = ()) -> Feed:
    """The feed of a database URL or a file.

    Parameters
    ----------
    source : str
        Database URL; or a file of SQLite, DuckDB or CSV that others write to.
    process : Process
        Its `columns` and `query` say how events are to be read. A column named there as ``event_id``, or of that
        name, numbers the events in the order of their insertion.
    attributes : tuple of str
        Attributes of a case to read along.

    Raises
    ------
    OperationsError
        The text is no URL, or the file is of another kind.
    """
    if "://" in source:
        return SqlFeed.of_url(source, process, attributes)
    path = Path(source)
    kind = next((k for k, endings in SUFFIXES.items() if path.suffix.lower() in endings), "")
    if kind == "sqlite":
        return SqlFeed.of_url(f"sqlite:///{path.resolve()}", process, attributes)
    if kind == "duckdb":
        return DuckFeed(path, process, attributes)
    if kind == "csv":
        return CsvFeed(path, process, attributes)
    endings = ", ".join(e for known in SUFFIXES.values() for e in known)
    problem = f"expected a database URL or a file ending in {endings}, found {path.suffix or 'no ending'!r}"
    raise OperationsError(source, [problem])


@dataclass
class _FileFeed:
    path: Path
    process: Process
    attributes: tuple[str, ...]

    @property
    def name(self) -> str:
        """The path."""
        return str(self.path)


@dataclass
class DuckFeed(_FileFeed):
    """A DuckDB file, which others may hold for a while."""

    @contextlib.contextmanager
    def open(self) -> Iterator[Table]:
        """A connection that can only read.

        Raises
        ------
        OperationsError
            The file cannot be had, or a column is missing.
        """
        import duckdb

        try:
            with contextlib.closing(duckdb.connect(self.name, read_only=True)) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                yield self._table(connection)
        except duckdb.Error as error:
            said = str(error).splitlines()[0]
            kind = AwayError if isinstance(error, duckdb.IOException) else OperationsError
            raise kind(self.name, [f"expected events from the database, found: {said}"]) from None

    def _table(self, connection: Any) -> Table:
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]

        def execute(query: sa.Select[Any]) -> Any:
            return connection.execute(str(query.compile(dialect=dialect, compile_kwargs={"literal_binds": True})))

        def run(query: sa.Select[Any]) -> Iterator[list[tuple[Any, ...]]]:
            result = execute(query)
            names = [d[0] for d in result.description]
            at = names.index("timestamp") if aware and "timestamp" in names else None
            while rows := result.fetchmany(CHUNK):
                yield rows if at is None else [(*r[:at], _moment(r[at]), *r[at + 1 :]) for r in rows]

        relation = relation_of(self.process)
        headers = [d[0] for d in execute(sa.select(sa.text("*")).select_from(relation).limit(0)).description]
        columns = find_columns(headers, self.process, self.attributes, self.name)
        header = dialect.identifier_preparer.quote(columns["timestamp"])
        kind = execute(sa.select(sa.literal_column(f"any_value(typeof({header}))")).select_from(relation)).fetchone()
        # Handing over instants with a zone takes DuckDB a package that is needed for nothing else.
        aware = kind[0] == "TIMESTAMP WITH TIME ZONE"
        written = {"timestamp": f"epoch_us({header})"} if aware else {}
        key = str(dialect.identifier_preparer.quote(columns[KEY])) if KEY in columns else None
        return Table(self.name, self.process, self.attributes, columns, relation, key, run, lambda: None, written)


def _moment(number: int | None) -> datetime | None:
    return None if number is None else datetime.fromtimestamp(0, UTC) + timedelta(microseconds=number)


@dataclass
class CsvFeed(_FileFeed):
    """A CSV file that others append whole lines to."""

    @contextlib.contextmanager
    def open(self) -> Iterator[CsvFeed]:
        """Nothing to open: the file is read where it has grown.

        Raises
        ------
        OperationsError
            The file is gone, or is no UTF-8.
        """
        try:
            yield self
        except OSError as error:
            raise AwayError(self.name, [f"expected a file, found: {error.strerror}"]) from None
        except UnicodeDecodeError:
            raise OperationsError(self.name, ["expected CSV in UTF-8, found another encoding"]) from None

    def now(self) -> int | None:
        """A file has no clock."""
        return None

    def batches(self, position: Position, now: int) -> Iterator[Batch]:
        """Lines beyond those that were read; all of a file that was replaced."""
        separator = "\t" if self.path.suffix.lower() == ".tsv" else ","
        with self.path.open("rb") as file:
            header = file.readline()
            digest = hashlib.sha256(header).hexdigest()
            names = next(csv.reader([header.decode("utf-8-sig")], delimiter=separator), [])
            columns = find_columns(names, self.process, self.attributes, self.name)
            size = self.path.stat().st_size
            same = position.get("head") == digest and position.get("bytes", 0) <= size
            file.seek(position["bytes"] if same else len(header))
            while lines := file.readlines(CHUNK * 100):
                if not lines[-1].endswith(b"\n"):
                    # Somebody is still writing it.
                    file.seek(-len(lines.pop()), 1)
                    size = 0
                if lines:
                    rows = self._rows(b"".join(lines).decode("utf-8"), names, columns, separator)
                    events, unreadable, _ = read_rows(rows, self.process, self.attributes)
                    yield Batch(events, {"head": digest, "bytes": file.tell()}, len(rows), unreadable)
                if not size:
                    return

    def _rows(self, text: str, names: list[str], columns: dict[str, str], separator: str) -> pd.DataFrame:
        rows = [r for r in csv.reader(io.StringIO(text), delimiter=separator) if r]
        places = {c: names.index(h) for c, h in columns.items()}
        found = {c: [r[j] if j < len(r) else "" for r in rows] for c, j in places.items()}
        return pd.DataFrame(found, dtype=object)
