"""Sources of events: what DuckDB can read of a file, a database or a frame, before anything is interpreted."""

from __future__ import annotations

import csv
import gzip
import io
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import duckdb
import pandas as pd
import pyarrow as pa

from sqmodel.errors import OperationsError, ResponsesError
from sqmodel.operations.event_columns import literal, quoted
from sqmodel.operations.xes import Seen, read_xes
from sqmodel.survey.encodings import decode

PARQUET = (".parquet", ".pq")
TEXTS = (".csv", ".tsv", ".txt", ".csv.gz", ".tsv.gz", ".txt.gz")
XES = (".xes", ".xes.gz")
SAMPLE = 1 << 20
KNOWN = ", ".join((".xes", ".csv", ".tsv", ".txt", ".xes.gz", ".csv.gz", *PARQUET))


@dataclass(frozen=True)
class Raw:
    """A source as a relation of DuckDB.

    Parameters
    ----------
    name, short : str
        The source as the caller gave it, and without its folder; neither with a password.
    relation : str
        What stands behind FROM.
    types : dict
        Header to DuckDB's type.
    unit : str
        What a record is called there: "row", "record" or "event".
    first : int
        Number of the first record as a person sees it.
    position : str
        SQL of a record's place where the relation is to stay where it is; empty: it is to be copied.
    notes : tuple of (kind, column, count, examples)
        What was noticed on the way.
    traces : int
        Traces with events of an XES log; -1: the source has none.
    """

    name: str
    short: str
    relation: str
    types: Mapping[str, str]
    unit: str = "record"
    first: int = 1
    position: str = ""
    notes: tuple[tuple[str, str, int, str], ...] = ()
    traces: int = -1


def types_of(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    """Header to type of a relation, in its order."""
    rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in rows}


def open_frame(connection: duckdb.DuckDBPyConnection, frame: pd.DataFrame) -> Raw:
    """A frame in memory; what it holds as objects is read as text."""
    plain = pd.DataFrame({str(c): _plain(frame[c]) for c in frame.columns})
    connection.register("given_frame", plain)
    return Raw("data frame", "data frame", "given_frame", types_of(connection, "given_frame"))


def _plain(column: pd.Series) -> pd.Series:
    if not (column.dtype == object or isinstance(column.dtype, pd.CategoricalDtype)):
        return column.reset_index(drop=True)
    texts = [None if pd.isna(v) else _cell(v) for v in column.astype(object)]
    return pd.Series(texts, dtype="string[pyarrow]")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else value.isoformat() if hasattr(value, "isoformat") else str(value)


def files_of(source: str) -> list[Path]:
    """The files of a path or of a pattern, in order.

    Raises
    ------
    OperationsError
        There is none.
    """
    path = Path(source)
    if path.is_file():
        return [path]
    found: list[Path] = []
    if any(c in source for c in "*?["):
        root = Path(path.anchor) if path.anchor else Path()
        found = sorted(p for p in root.glob(str(path.relative_to(path.anchor))) if p.is_file())
    if not found:
        raise OperationsError(source, ["expected a file, found nothing at this path"], "check the path")
    return found


def ending(path: Path) -> str:
    """The ending that tells a file's kind: ``.csv.gz`` for a packed CSV."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() + suffix if suffix == ".gz" else suffix


def listed(files: list[Path]) -> str:
    """Paths as a list of SQL."""
    return "[" + ", ".join(literal(str(f)) for f in files) + "]"


def open_parquet(connection: duckdb.DuckDBPyConnection, source: str, files: list[Path]) -> Raw:
    """Parquet stays on disk: DuckDB reads of it what an analysis asks for."""
    try:
        sizes = connection.execute(f"SELECT num_rows FROM parquet_file_metadata({listed(files)})").fetchall()
        relation = f"read_parquet({listed(files)}, union_by_name=true)"
        types = types_of(connection, relation)
    except duckdb.Error as error:
        raise OperationsError(source, [f"expected Parquet files, found: {one_line(error)}"]) from None
    before, places = 0, []
    for (size,), file in zip(sizes, files, strict=True):
        places.append(f"WHEN {literal(str(file))} THEN {before}")
        before += int(size)
    offset = f" + CASE filename {' '.join(places)} END" if len(files) > 1 else ""
    return Raw(source, _short(files), relation, types, position=f"file_row_number{offset}")


def open_text(connection: duckdb.DuckDBPyConnection, source: str, files: list[Path], folder: Path) -> Raw:
    """CSV or TSV; every cell as text, so that nothing is guessed; other encodings than UTF-8 are copied into it."""
    readable, notes = [], []
    for i, file in enumerate(files):
        encoding = _encoding(source, file)
        if encoding.removeprefix("utf-8") not in ("", "-sig"):
            notes.append(("encoding", "", 1, f"{file.name}: {encoding}"))
            file = _transcoded(source, file, encoding, folder / f"{i}.csv")
        readable.append(file)
    separator = "\t" if ".tsv" in ending(files[0]) else _separator(source, readable[0])
    headers = [_headers(file, separator) for file in readable]
    if any(h != headers[0] for h in headers):
        other = next(f.name for f, h in zip(files, headers, strict=True) if h != headers[0])
        found = f"expected the same header in all files, found another than {files[0].name}'s in {other}"
        raise OperationsError(source, [found], "read them one by one")
    # Nothing is detected: DuckDB would skip rows at the top to find a table that pleases it better.
    columns = ", ".join(f"{literal(h)}: 'VARCHAR'" for h in headers[0])
    relation = (
        f"read_csv({listed(readable)}, columns={{{columns}}}, auto_detect=false, header=true, "
        f"delim={literal(separator)}, quote='\"', escape='\"')"
    )
    types = dict.fromkeys(headers[0], "VARCHAR")
    return Raw(source, _short(files), relation, types, "row", 2, notes=tuple(notes))


def _opened(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.suffix.lower() == ".gz" else path.open("rb")  # type: ignore[return-value]


def _encoding(source: str, path: Path) -> str:
    """Of the beginning of a text: UTF-8, UTF-16, GB18030 or cp949."""
    with _opened(path) as file:
        sample = file.read(SAMPLE)
    if not sample.strip():
        raise OperationsError(source, ["expected a table of events, found an empty file"], "check the path")
    whole = sample if len(sample) < SAMPLE else sample[: sample.rfind(b"\n") + 1] or sample
    try:
        return decode(whole, source)[1]
    except ResponsesError as error:
        raise OperationsError(error.source, error.problems, "save the file as CSV UTF-8") from None


def _transcoded(source: str, path: Path, encoding: str, target: Path) -> Path:
    with _opened(path) as file, io.TextIOWrapper(file, encoding, newline="") as text:
        try:
            with target.open("w", encoding="utf-8", newline="") as copy:
                shutil.copyfileobj(text, copy, SAMPLE)
        except UnicodeDecodeError as error:
            found = f"expected text in {encoding} as at its beginning, found other bytes: {error.reason}"
            raise OperationsError(source, [found], "save the file as CSV UTF-8") from None
    return target


def _headers(path: Path, separator: str) -> list[str]:
    """The cells of the first row; one that is there twice, or is empty, gets its number."""
    with _opened(path) as file, io.TextIOWrapper(file, "utf-8-sig", newline="") as text:
        cells = next(csv.reader(text, delimiter=separator), [])
    known = Counter(cells)
    return [c if c and known[c] == 1 else f"{c} {i + 1}".strip() for i, c in enumerate(cells)]


def _separator(source: str, path: Path) -> str:
    """Of the header line: comma, semicolon or tab, whichever it holds most outside quotes."""
    with _opened(path) as file:
        header = re.sub(rb'"[^"]*"', b"", file.readline(SAMPLE))
    return max((b",", b";", b"\t"), key=header.count).decode()


def open_xes(connection: duckdb.DuckDBPyConnection, source: str, files: list[Path], keys: Sequence[str]) -> Raw:
    """XES, copied into table ``raw``: attributes of traces have the prefix ``case:``."""
    case_keys = [k.removeprefix("case:") for k in keys if k.startswith("case:")]
    event_keys = [k for k in keys if not k.startswith("case:")]
    names = ", ".join(f"{quoted(k)} VARCHAR" for k in (*(f"case:{k}" for k in case_keys), *event_keys))
    connection.execute(f"CREATE TABLE raw ({names})")
    seen = Seen()
    for file in files:
        for batch in read_xes(file, source=source, case_keys=case_keys, event_keys=event_keys, seen=seen):
            insert(connection, batch)
    notes = [("trace without events, left out", "", seen.empty, "")] if seen.empty else []
    types = dict.fromkeys((*(f"case:{k}" for k in seen.case_keys), *seen.event_keys), "VARCHAR")
    return Raw(source, _short(files), "raw", types, "event", notes=tuple(notes), traces=seen.traces - seen.empty)


def insert(connection: duckdb.DuckDBPyConnection, batch: pa.Table) -> None:
    """Append a batch to table ``raw``."""
    connection.register("batch", batch)
    connection.execute("INSERT INTO raw SELECT * FROM batch")
    connection.unregister("batch")


def _short(files: list[Path]) -> str:
    return files[0].name if len(files) == 1 else f"{files[0].name} and {len(files) - 1} more"


def one_line(error: Exception) -> str:
    """The first line of DuckDB's message: below it there is advice about settings of its own."""
    return " ".join(str(error).split("\n")[0].split())
