"""Records: tables of what was done (complaints, exposures, tests), read cell by cell as their columns say."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import OperationsError, Problem, ResponsesError
from sqmodel.survey.column_map import ColumnMap, fold
from sqmodel.survey.ledger import Ledger
from sqmodel.survey.responses import Reading
from sqmodel.survey.sources import Table, read_table

Kind = Literal["text", "number", "instant", "date", "flag"]

YES = frozenset({"1", "true", "yes", "y", "是", "有", "已"})
NO = frozenset({"0", "false", "no", "n", "否", "无", "未"})
OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")
NAMES = {
    "text": "a text", "number": "a number", "instant": "a date and time such as 2026-07-01T09:30+08:00",
    "date": "a date such as 2026-07-01", "flag": "yes or no",
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """A column that a table of records has.

    Parameters
    ----------
    name : str
        Canonical name.
    kind : {"text", "number", "instant", "date", "flag"}
        An instant becomes UTC, a date midnight without zone, a flag a nullable boolean.
    filled : bool
        Whether an empty cell is a fault.
    needed : bool
        Whether the column must be there; one that is not there is filled with missing values.
    among : tuple of str
        The texts that are allowed; empty: all.
    low, high : float, optional
        Bounds of a number, themselves allowed.
    also : tuple of str
        Other headers under which it is found.
    form : str
        Format of dates and instants as `strptime` writes it, where they are not in ISO form.
    """

    name: str
    kind: Kind
    filled: bool = False
    needed: bool = True
    among: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    also: tuple[str, ...] = ()
    form: str = ""


class Records(NamedTuple):
    """Records in canonical columns, indexed by their row in the source, and how they were read."""

    frame: pd.DataFrame
    reading: Reading


def read_headers(
    source: str | Path | pd.DataFrame, *, what: str, table: str | None = None, query: str | None = None
) -> list[str]:
    """The headers of a table, for records whose columns are known by a pattern only.

    Raises
    ------
    OperationsError
        The source cannot be read.
    """
    return _read(source, what, table, query).headers


def _read(source: str | Path | pd.DataFrame, what: str, table: str | None, query: str | None) -> Table:
    if not isinstance(source, pd.DataFrame) and "://" in str(source) and query is None:
        table = table or what
    try:
        return read_table(source, ColumnMap(), query=query, table=table, what=what)
    except ResponsesError as error:
        raise OperationsError(error.source, error.problems, error.remedy) from None


def read_records(
    source: str | Path | pd.DataFrame,
    columns: Sequence[Column],
    *,
    what: str,
    names: Mapping[str, str] | None = None,
    zone: str = "Asia/Shanghai",
    unique: Sequence[str] = (),
    table: str | None = None,
    query: str | None = None,
) -> Records:
    """Read a table and check every cell: does it hold what its columns say?

    Parameters
    ----------
    source : path, database URL or DataFrame
        CSV or TSV, a workbook, Parquet, or a SQLAlchemy URL, of which `table` (`what` by default) or `query` is read.
    columns : sequence of Column
    what : str
        What the records are, in messages: ``complaints``.
    names : mapping, optional
        Canonical name to header, where a header is neither the name nor one of `Column.also`.
    zone : str
        Of instants without an offset.
    unique : sequence of str
        Columns that together may not repeat.
    table, query : str, optional

    Returns
    -------
    Records
        `frame` has all columns, and only those; texts are None where missing. What was read otherwise than written is
        in `reading.changes`.

    Raises
    ------
    OperationsError
        All problems of the source in one message, with row and column as a person sees them in the file.

    Examples
    --------
    >>> given = pd.DataFrame({"loan": ["a", "b"], "grade": ["3", "4"]})
    >>> read_records(given, [Column("loan", "text"), Column("grade", "number")], what="loans").frame["grade"].tolist()
    [3.0, 4.0]
    """
    found = _read(source, what, table, query)
    ledger = Ledger("error", found.unit)
    positions = _located(found, columns, names or {}, ledger, what)
    rows = found.frame.set_axis(pd.RangeIndex(found.first, found.first + len(found.frame)), axis=0)
    blank = (rows == "").all(axis=1).to_numpy()
    ledger.change("empty record", "", _numbers(rows[blank]))
    rows = rows[~blank]
    frame = pd.DataFrame({c.name: _column(c, rows, positions.get(c.name), ledger, zone) for c in columns})
    if unique and not ledger.problems():
        _check_unique(frame, unique, ledger)
    problems = ledger.problems()
    if problems:
        raise OperationsError(found.name, problems, f"correct the {what}, or name their columns")
    return Records(frame, Reading(found.short, found.encoding, len(found.frame), ledger.changes()))


def _located(
    table: Table, columns: Sequence[Column], names: Mapping[str, str], ledger: Ledger, what: str
) -> dict[str, int]:
    """Position of each column that is there; one that is needed and is not is a problem."""
    headers = {fold(h).casefold(): j for j, h in reversed(list(enumerate(table.headers)))}
    known = {c.name for c in columns}
    ledger.structural += [
        Problem(f"expected names of columns of {what} ({', '.join(sorted(known))}), found {name!r}")
        for name in names
        if name not in known
    ]
    positions = {}
    for column in columns:
        wanted = [names[column.name]] if column.name in names else [column.name, *column.also]
        place = next((headers[fold(w).casefold()] for w in wanted if fold(w).casefold() in headers), None)
        if place is not None:
            positions[column.name] = place
        elif column.needed or column.name in names:
            shown = ", ".join(repr(h) for h in table.headers[:12])
            ledger.structural.append(Problem(f"expected a column {wanted[0]!r}, found {shown}"))
    ledger.unused([h for j, h in enumerate(table.headers) if j not in positions.values()])
    return positions


def _column(column: Column, rows: pd.DataFrame, position: int | None, ledger: Ledger, zone: str) -> pd.Series:
    texts = pd.Series("", index=rows.index, dtype=object) if position is None else rows[position]
    codes, written = pd.factorize(texts)
    folded = [fold(str(w)) for w in written]
    values, faults = PARSERS[column.kind](column, folded, zone)
    if column.kind == "instant":
        doubtful = _doubtful(column, folded, values, zone)[codes]
        ledger.change("local time that a change of clocks skips or repeats", column.name, _numbers(rows[doubtful]))
    missing = np.array([f == "" for f in folded], dtype=bool)[codes]
    fault = np.array(faults, dtype=object)[codes]
    if column.filled and position is not None:
        fault[missing] = f"expected {_expected(column)}, found an empty cell"
    for message in sorted({m for m in fault if m}):
        told = fault == message
        ledger.fault(message, message, column.name, _numbers(rows[told]), texts[told].tolist())
    return pd.Series(values.take(codes), index=rows.index)


Parsed = tuple[Any, list[str]]
"""A value for each distinct text, and what is wrong with it ("" where nothing is)."""


def _expected(column: Column) -> str:
    return f"one of {', '.join(column.among)}" if column.among else NAMES[column.kind]


def _parse_texts(column: Column, texts: list[str], zone: str) -> Parsed:
    values = pd.array([t or None for t in texts], dtype=object)
    allowed = set(column.among)
    faults = [f"expected {_expected(column)}" if t and allowed and t not in allowed else "" for t in texts]
    return values, faults


def _parse_numbers(column: Column, texts: list[str], zone: str) -> Parsed:
    values = pd.to_numeric(pd.Series(texts, dtype=object).str.replace(",", ""), errors="coerce").to_numpy(dtype=float)
    low = -np.inf if column.low is None else column.low
    high = np.inf if column.high is None else column.high
    bounds = f" from {low:g} to {high:g}" if np.isfinite([low, high]).all() else f" of at least {low:g}"
    wanted = NAMES["number"] + (bounds if np.isfinite(low) else f" of at most {high:g}" if np.isfinite(high) else "")
    wrong = [bool(t) and not (np.isfinite(v) and low <= v <= high) for t, v in zip(texts, values, strict=True)]
    return values, [f"expected {wanted}" if w else "" for w in wrong]


def _parse_flags(column: Column, texts: list[str], zone: str) -> Parsed:
    known = [t.casefold() in YES if t.casefold() in YES | NO else None for t in texts]
    faults = ["expected yes or no" if t and k is None else "" for t, k in zip(texts, known, strict=True)]
    return pd.array(known, dtype="boolean"), faults


def _parse_dates(column: Column, texts: list[str], zone: str) -> Parsed:
    given = pd.Series(texts, dtype=object).str.replace("/", "-") if not column.form else pd.Series(texts, dtype=object)
    form = column.form or "%Y-%m-%d"
    # A date may have been written by a program that adds midnight.
    day = given if column.form else given.str.replace(r"[T ]00:00(:00(\.0+)?)?$", "", regex=True)
    values = pd.to_datetime(day, format=form, errors="coerce").astype("datetime64[us]")
    faults = [f"expected {NAMES['date']}" if t and pd.isna(v) else "" for t, v in zip(texts, values, strict=True)]
    return values.array, faults


def _parse_instants(column: Column, texts: list[str], zone: str) -> Parsed:
    local, told = _local(column, texts), _told(texts)
    naive, offset = local.notna(), told.notna()
    faults = [
        f"expected {NAMES['instant']}" if t and not (n or o) else ""
        for t, n, o in zip(texts, naive, offset, strict=True)
    ]
    if naive.any() and offset.any():
        mixed = "expected instants that all tell an offset or all tell none, found one without"
        faults = [mixed if n else f for n, f in zip(naive, faults, strict=True)]
    return told.fillna(_localised(local, zone)).array, faults


def _told(texts: list[str]) -> pd.Series:
    """Instants that tell an offset, in UTC."""
    given = pd.Series(texts, dtype=object)
    own = given.str.contains(OFFSET) & given.str.contains(":")
    parsed = pd.to_datetime(given.str.replace("/", "-").where(own), format="ISO8601", utc=True, errors="coerce")
    return parsed.astype("datetime64[us, UTC]")


def _local(column: Column, texts: list[str]) -> pd.Series:
    """Instants that tell no offset, as a clock on the wall shows them."""
    given = pd.Series(texts, dtype=object)
    own = given.where(~(given.str.contains(OFFSET) & given.str.contains(":")))
    if column.form:
        return pd.to_datetime(own, format=column.form, errors="coerce").astype("datetime64[us]")
    return pd.to_datetime(own.str.replace("/", "-"), format="ISO8601", errors="coerce").astype("datetime64[us]")


def _localised(local: pd.Series, zone: str) -> pd.Series:
    # Of an hour that occurs twice the first is taken; one that does not exist moves on to the next that does.
    first = np.ones(len(local), dtype=bool)
    moved = local.dt.tz_localize(zone, ambiguous=first, nonexistent="shift_forward")
    utc: pd.Series = moved.dt.tz_convert("UTC").astype("datetime64[us, UTC]")
    return utc


def _doubtful(column: Column, texts: list[str], values: Any, zone: str) -> npt.NDArray[np.bool_]:
    """Local times that do not exist, or exist twice."""
    local = _local(column, texts)
    if local.isna().all():
        return np.zeros(len(texts), dtype=bool)
    found = pd.Series(values)
    shown = found.dt.tz_convert(zone).dt.tz_localize(None)
    second = local.dt.tz_localize(zone, ambiguous=np.zeros(len(local), dtype=bool), nonexistent="shift_forward")
    found_other = second.dt.tz_convert("UTC").astype("datetime64[us, UTC]") != found
    return np.asarray(local.notna() & ((shown != local) | found_other), dtype=bool)


PARSERS: dict[str, Callable[[Column, list[str], str], Parsed]] = {
    "text": _parse_texts,
    "number": _parse_numbers,
    "flag": _parse_flags,
    "date": _parse_dates,
    "instant": _parse_instants,
}


def _check_unique(frame: pd.DataFrame, unique: Sequence[str], ledger: Ledger) -> None:
    keys = list(unique)
    twice = frame[frame.duplicated(keys, keep=False) & frame[keys].notna().all(axis=1)]
    for key, own in twice.groupby(keys, sort=False):
        shown = " ".join(str(k) for k in (key if isinstance(key, tuple) else (key,)))
        where = tuple(f"{ledger.unit} {row}" for row in own.index)
        ledger.structural.append(Problem(f"expected {' and '.join(keys)} once, found {shown!r} in", where))


def _numbers(rows: pd.DataFrame) -> Any:
    return rows.index.to_numpy(dtype=np.intp)
