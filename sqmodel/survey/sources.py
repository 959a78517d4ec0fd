"""Sources: files, databases and frames as tables of text, before anything is interpreted."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Hashable
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from python_calamine import CalamineError

from sqmodel.errors import ResponsesError
from sqmodel.survey.column_map import ColumnMap
from sqmodel.survey.encodings import decode

WORKBOOKS = (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods")
TEXTS = (".csv", ".tsv", ".txt")


@dataclass(frozen=True)
class Table:
    """A source as text.

    Parameters
    ----------
    name : str
        The source as the caller gave it, without password.
    short : str
        The source without its folder, the same on every machine.
    headers, texts : list of str
        The first header row, and the question texts of a second one where the platform writes it.
    frame : DataFrame of str
        Cells, columns numbered from 0; an empty cell is "".
    first : int
        Number of the first record as a person sees it in the source.
    unit : str
        What a record is called there: "row" or "record".
    encoding : str
        Encoding of a text file, else "".
    """

    name: str
    short: str
    headers: list[str]
    frame: pd.DataFrame
    texts: list[str]
    first: int
    unit: str
    encoding: str = ""


def read_table(
    source: str | Path | pd.DataFrame,
    column_map: ColumnMap,
    *,
    query: str | None = None,
    table: str | None = None,
    what: str = "answers",
) -> Table:
    """Read a source as text, so that no library guesses what a cell means; `what` it holds is said in messages.

    Raises
    ------
    ResponsesError
        The source is missing, unreadable, empty, or of an unknown kind.
    """
    if isinstance(source, pd.DataFrame):
        return _from_frame("data frame", "data frame", source)
    if "://" in str(source):
        return _read_database(str(source), query, table, what)
    path = Path(source)
    if query is not None or table is not None:
        raise ResponsesError(str(path), ["expected a database URL with `query` or `table`, found a file"])
    if not path.is_file():
        raise ResponsesError(str(path), ["expected a file, found nothing at this path"], "check the path")
    suffix = path.suffix.lower()
    if suffix in TEXTS:
        return _read_text(path, column_map, what)
    if suffix in WORKBOOKS:
        return _read_workbook(path, column_map, what)
    if suffix in (".parquet", ".pq"):
        return _read_parquet(path)
    known = ", ".join([*TEXTS, *WORKBOOKS, ".parquet"])
    raise ResponsesError(str(path), [f"expected a file ending in {known}, found {suffix or 'no ending'!r}"])


def _read_text(path: Path, column_map: ColumnMap, what: str) -> Table:
    text, encoding = decode(path.read_bytes(), str(path), column_map.encoding)
    if not text.strip():
        raise ResponsesError(str(path), [f"expected a table of {what}, found an empty file"])
    separator = "\t" if path.suffix.lower() == ".tsv" else _separator(text)
    # pandas takes the width of the first line for all; a person sees surplus cells as a fault in the file.
    try:
        grid = pd.read_csv(
            io.StringIO(text),
            sep=separator,
            header=None,
            dtype=object,
            na_filter=False,
            skip_blank_lines=False,
        )
    except pd.errors.ParserError as error:
        found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
        problem = f"expected a table, found: {' '.join(str(error).split())}"
        if found:
            problem = f"expected {found[1]} cells in every row as in the header, found {found[3]} in row {found[2]}"
        raise ResponsesError(str(path), [problem], "put cells that hold the separator in quotes") from None
    return _with_headers(str(path), path.name, grid.fillna(""), column_map, encoding, what)


def _separator(text: str) -> str:
    """The separator of the header line: comma, semicolon or tab, whichever it holds most outside quotes."""
    header = re.sub(r'"[^"]*"', "", text).lstrip("\r\n").split("\n", 1)[0]
    return max((",", ";", "\t"), key=header.count)


def _read_workbook(path: Path, column_map: ColumnMap, what: str) -> Table:
    try:
        with pd.ExcelFile(path, engine="calamine") as book:
            sheets = [str(s) for s in book.sheet_names]
            sheet = sheets[0] if column_map.sheet is None else column_map.sheet
            if sheet not in sheets:
                raise ResponsesError(str(path), [f"expected sheet {sheet!r}, found {', '.join(sheets)}"])
            grid = pd.read_excel(book, sheet_name=sheet, header=None, dtype=object, na_filter=False)
    except (CalamineError, zipfile.BadZipFile, ValueError) as error:
        found = f"expected a workbook without password, found a file that cannot be opened ({error})"
        raise ResponsesError(str(path), [found], "save it again from the spreadsheet program") from error
    short = path.name if len(sheets) == 1 else f"{path.name}, sheet {sheet}"
    return _with_headers(str(path), short, as_text(grid), column_map, "", what)


def _with_headers(name: str, short: str, grid: pd.DataFrame, column_map: ColumnMap, encoding: str, what: str) -> Table:
    """Split the header rows from the records; Qualtrics writes names, question texts and import ids."""
    rows = column_map.platform.header_rows
    if grid.empty:
        raise ResponsesError(name, [f"expected a table of {what}, found an empty sheet"])
    if rows > 1 and not (len(grid) >= rows and grid.iloc[rows - 1].str.contains("ImportId").any()):
        found = f"expected {rows} header rows, the last with ImportId, found none in row {rows}"
        raise ResponsesError(name, [found], "export from Qualtrics again, or choose another format in the column map")
    return Table(
        name=name,
        short=short,
        headers=grid.iloc[0].tolist(),
        texts=grid.iloc[1].tolist() if rows > 1 else [],
        frame=grid.iloc[rows:].reset_index(drop=True),
        first=rows + 1,
        unit="row",
        encoding=encoding,
    )


def _read_parquet(path: Path) -> Table:
    try:
        frame = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise ResponsesError(str(path), [f"expected a Parquet file, found: {' '.join(str(error).split())}"]) from error
    return _from_frame(str(path), path.name, frame)


def _from_frame(name: str, short: str, frame: pd.DataFrame) -> Table:
    headers = [str(c) for c in frame.columns]
    return Table(name=name, short=short, headers=headers, texts=[], frame=as_text(frame), first=1, unit="record")


def _read_database(source: str, query: str | None, table: str | None, what: str) -> Table:
    try:
        url = sa.make_url(source)
    except (sa.exc.ArgumentError, ValueError):
        # The text may hold a password, so it is not repeated.
        found = "expected a URL such as sqlite:///answers.db, found another text"
        raise ResponsesError("database", [found]) from None
    name = url.set(query={}).render_as_string(hide_password=True)
    if (query is None) == (table is None):
        given = "both" if query else "neither"
        raise ResponsesError(name, [f"expected either `query` or `table`, found {given}"])
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        # SQLite would create it.
        raise ResponsesError(name, ["expected a database file, found nothing at this path"], "check the path")
    try:
        frame = _fetch(url, query or sa.select(sa.text("*")).select_from(table_clause(str(table))))
    except (sa.exc.SQLAlchemyError, ModuleNotFoundError) as error:
        found = without_secrets(" ".join(str(getattr(error, "orig", None) or error).split()), url, query or "")
        problem = f"expected {what} from the database, found: {found}"
        raise ResponsesError(name, [problem], "check the address, the account and the query") from None
    short = f"{url.get_backend_name()} database {Path(url.database or '').name}"
    return _from_frame(name, short, frame)


def _fetch(url: sa.URL, statement: str | sa.Select[Any]) -> pd.DataFrame:
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            # A query goes to the driver as it is: a colon in it is no parameter.
            if isinstance(statement, str):
                result = connection.exec_driver_sql(statement)
            else:
                result = connection.execute(statement)
            return pd.DataFrame([tuple(row) for row in result], columns=list(result.keys()), dtype=object)
    finally:
        engine.dispose()


def table_clause(name: str) -> sa.TableClause:
    """A table of a database by its name, which may have a schema before it."""
    schema, _, table = name.rpartition(".")
    return sa.table(table, schema=schema or None)


def without_secrets(message: str, url: sa.URL, query: str) -> str:
    """The message without the URL's password and the query's literals, wherever the driver repeats them."""
    hidden = [url.password, *(v for k, v in url.query.items() if "pass" in k.lower())]
    for secret in hidden:
        message = message.replace(str(secret), "***") if secret else message
    literals = {text for text in re.findall(r"'([^']*)", query) if text.strip()}
    # PostgreSQL shows the line of the query; others quote the part that they stumble over.
    message = re.split(r"\s+LINE \d+:", message)[0]
    return re.sub(r'"([^"]*)"', lambda m: '"…"' if any(text in m[1] for text in literals) else m[0], message)


def as_text(frame: pd.DataFrame) -> pd.DataFrame:
    """All cells as text: whole numbers without ".0", dates in ISO form, missing values as ""."""
    columns = {}
    for position in range(frame.shape[1]):
        column = frame.iloc[:, position].astype(object)
        # Databases and Parquet files may hold lists, which cannot be counted as distinct values.
        plain = column.map(lambda v: v if isinstance(v, Hashable) else str(v))
        codes, values = pd.factorize(plain, use_na_sentinel=True)
        texts = np.array([*(_cell(v) for v in values), ""], dtype=object)
        columns[position] = texts[codes]  # code -1, a missing value, takes the last
    return pd.DataFrame(columns, index=pd.RangeIndex(len(frame)), dtype=object)


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    if isinstance(value, datetime | date | pd.Timestamp):
        return value.isoformat()
    return str(value)
