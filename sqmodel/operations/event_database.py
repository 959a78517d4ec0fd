"""Events in a database: read through SQLAlchemy in batches, so that a table may be larger than memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import sqlalchemy as sa

from sqmodel.errors import OperationsError
from sqmodel.operations.event_columns import Located, quoted
from sqmodel.operations.event_sources import Raw, insert, one_line, types_of
from sqmodel.survey.sources import table_clause, without_secrets

BATCH = 50_000
TABLE = "events"
Choose = Callable[[str, Mapping[str, str]], Located]
"""Name of a source and its headers with their types to the columns that are needed; raises where some are missing."""


def open_database(connection: duckdb.DuckDBPyConnection, source: str, query: str, choose: Choose) -> Raw:
    """Copy the events of a database, or of a DuckDB file (``duckdb:///path``), into table ``raw``.

    Parameters
    ----------
    connection : DuckDBPyConnection
        Takes the copy.
    source : str
        SQLAlchemy URL.
    query : str
        SQL that gives the events; empty: all of table ``events``.
    choose : callable

    Raises
    ------
    OperationsError
        The URL is none, the database cannot be reached or refuses, or the query fails; no password in the message.
    """
    try:
        url = sa.make_url(source)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        found = "expected a URL such as postgresql+psycopg://user@host/base, found another text"
        raise OperationsError("database", [found]) from None
    backend, path = url.get_backend_name(), Path(url.database or "")
    name = url.set(query={}).render_as_string(hide_password=True)
    if backend in ("sqlite", "duckdb") and not path.is_file():
        # Both would create it.
        raise OperationsError(name, ["expected a database file, found nothing at this path"], "check the path")
    short = f"{backend} database {path.name}"
    if backend == "duckdb":
        return _attached(connection, name, short, path, query, choose)
    try:
        types = _copied(connection, name, url, query, choose)
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        text = " ".join(str(getattr(error, "orig", None) or error).split())
        found = f"expected events from the database, found: {without_secrets(text, url, query)}"
        raise OperationsError(name, [found], "check the address, the account and the query") from None
    return Raw(name, short, "raw", types)


def _copied(
    connection: duckdb.DuckDBPyConnection, name: str, url: sa.URL, query: str, choose: Choose
) -> dict[str, str]:
    engine = sa.create_engine(url)
    try:
        # With a cursor on the server's side, and without parameters: a colon in the query is none.
        with engine.connect().execution_options(stream_results=True, max_row_buffer=BATCH) as opened:
            if query:
                result = opened.exec_driver_sql(query)
            else:
                result = opened.execute(sa.select(sa.text("*")).select_from(table_clause(TABLE)))
            headers = list(dict.fromkeys(result.keys()))
            kept = choose(name, dict.fromkeys(headers, "VARCHAR")).needed
            _create(connection, kept)
            places = [list(result.keys()).index(header) for header in kept]
            for rows in iter(lambda: result.fetchmany(BATCH), []):
                insert(connection, pa.table(dict(zip(kept, _columns(rows, places), strict=True))))
    finally:
        engine.dispose()
    return types_of(connection, "raw")


def _create(connection: duckdb.DuckDBPyConnection, headers: Sequence[str]) -> None:
    connection.execute(f"CREATE TABLE raw ({', '.join(f'{quoted(h)} VARCHAR' for h in headers)})")


def _columns(rows: Sequence[Sequence[Any]], places: Sequence[int]) -> Iterator[pa.Array]:
    """Cells as text: what a time stamp tells of its offset, or does not, is decided in one place for all sources."""
    for place in places:
        yield pa.array([_cell(row[place]) for row in rows], pa.string())


def _cell(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return value.isoformat() if isinstance(value, date | datetime) else str(value)


def _attached(
    connection: duckdb.DuckDBPyConnection, name: str, short: str, path: Path, query: str, choose: Choose
) -> Raw:
    """A file of DuckDB, read by DuckDB itself."""
    statement = query or f"SELECT * FROM {TABLE}"
    try:
        with duckdb.connect(str(path), read_only=True) as other:
            types = types_of(other, f"({statement})")
            kept = ", ".join(quoted(h) for h in choose(name, types).needed)
            reader = other.sql(f"SELECT {kept} FROM ({statement})").to_arrow_reader(BATCH)
            connection.register("batch", reader)
            connection.execute("CREATE TABLE raw AS SELECT * FROM batch")
            connection.unregister("batch")
    except duckdb.Error as error:
        found = f"expected events from the database, found: {one_line(error)}"
        raise OperationsError(name, [found], "check the query, and that no other program has the file open") from None
    return Raw(name, short, "raw", types_of(connection, "raw"))
