"""Store: the tables of an event log in DuckDB, made of a source's relation."""

from __future__ import annotations

import re

import duckdb

from sqmodel.errors import OperationsError
from sqmodel.operations.event_checks import Note, instants, look, notes, one, raise_faults
from sqmodel.operations.event_columns import Located, canonical, quoted
from sqmodel.operations.event_sources import Raw, one_line
from sqmodel.operations.process import Process

EVENTS = ("case_id", "activity", "lifecycle", "at", "resource", "channel", "entry_minutes", "errors", "position")
NUMBER = "^[+-]?([1-9]|0$|0[.]|[.])"
"""How a number begins; 007 is a code."""


def build(
    connection: duckdb.DuckDBPyConnection, raw: Raw, located: Located, process: Process, time_format: str | None
) -> list[Note]:
    """Make ``log`` (canonical columns, and what is needed to check them), view ``events`` and table ``cases``.

    Where the source can be read again and again and its time stamps need no parsing, ``log`` is a view of it: nothing
    is copied. Otherwise it is a table, whose rows are numbered by DuckDB in the order of the source.

    Returns
    -------
    list of Note
        What was noticed.

    Raises
    ------
    OperationsError
        The log cannot be analysed.
    """
    kind = located.type_of("timestamp")
    stays = bool(raw.position) and (kind.startswith("TIMESTAMP") or kind == "DATE")
    place = "position" if stays else "rowid"
    selected = canonical(located, process, time_format, raw.position if stays else None)
    try:
        connection.execute(f"CREATE {'VIEW' if stays else 'TABLE'} log AS SELECT {selected} FROM {raw.relation}")
        facts = look(connection)
    except (duckdb.InvalidInputException, duckdb.ConversionException) as error:
        raise _unreadable(raw, error) from None
    raise_faults(connection, raw, located, facts, time_format, place)
    instant, found = instants(connection, process, facts)
    columns = {name: quoted(name) for name in EVENTS} | {"at": instant, "position": place}
    listed = ", ".join(f"{expression} AS {quoted(name)}" for name, expression in columns.items())
    connection.execute(f"CREATE VIEW events AS SELECT {listed} FROM log")
    _make_cases(connection, located, place)
    found = [*raw.notes, *found, *notes(connection, located, facts), *_merged(connection, raw)]
    if not stays:
        _drop(connection, raw)
    return found


def duplicates(connection: duckdb.DuckDBPyConnection) -> int:
    """Events that are there again with the same case, activity, lifecycle, instant and resource."""
    (again,) = one(
        connection,
        "SELECT (SELECT count(*) FROM events) - (SELECT count(*) FROM "
        '(SELECT DISTINCT hash(case_id, activity, lifecycle, "at", resource) FROM events))',
    )
    return int(again)


def _make_cases(connection: duckdb.DuckDBPyConnection, located: Located, place: str) -> None:
    """One row a case with the first value of each attribute; texts that are all numbers become numbers."""
    kept = "".join(f", arg_min(attribute_{i}, {place}) AS {quoted(name)}" for i, name in enumerate(located.attributes))
    connection.execute(f"CREATE TABLE cases AS SELECT case_id{kept} FROM log GROUP BY case_id")
    for name in located.attributes:
        if located.type_of(name) != "VARCHAR":
            continue
        own = quoted(name)
        (plain,) = one(
            connection,
            f"SELECT count({own}) > 0 AND bool_and(TRY_CAST({own} AS DOUBLE) IS NOT NULL "
            f"AND regexp_matches({own}, '{NUMBER}')) FROM cases WHERE {own} IS NOT NULL",
        )
        if plain:
            connection.execute(f"ALTER TABLE cases ALTER {own} TYPE DOUBLE")


def _merged(connection: duckdb.DuckDBPyConnection, raw: Raw) -> list[Note]:
    twice = raw.traces - int(one(connection, "SELECT count(*) FROM cases")[0])
    return [("trace with the case id of another, merged", "case_id", twice, "")] if twice > 0 else []


def _drop(connection: duckdb.DuckDBPyConnection, raw: Raw) -> None:
    """What the events were copied from is needed no more."""
    if raw.relation == "raw":
        connection.execute("DROP TABLE raw")
    elif raw.relation == "given_frame":
        connection.unregister("given_frame")


def _unreadable(raw: Raw, error: duckdb.Error) -> OperationsError:
    """DuckDB's findings about a text in the house's words."""
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)", text)
    cells = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if line and cells:
        found = f"expected {cells[1]} cells in every row as in the header, found {cells[2]} in row {line[1]}"
        return OperationsError(raw.name, [found], "put cells that hold the separator in quotes")
    where = f"row {line[1]}: " if line else ""
    reason = next((t for t in text.split("\n")[1:] if t.strip() and not t.startswith("Original")), "") if line else ""
    problem = f"expected a table of events, found {where}{reason.strip() or one_line(error)}"
    return OperationsError(raw.name, [problem], "save the file again as CSV UTF-8")
