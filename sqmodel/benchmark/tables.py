"""Tables of a submission: fixed columns of fixed kinds, written so that every number returns exactly, read strictly.

A text is matched as a whole against what its columns allow before a single cell is taken from it, so that neither a
formula, nor a quote, nor a number that only some readers understand ever reaches a reader.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import csv

from sqmodel.benchmark.content import CODE
from sqmodel.errors import Problem

Floats = npt.NDArray[np.float64]
Kind = Literal["code", "cell", "count", "integer", "number"]

MISSING = ""
PATTERNS: dict[str, str] = {
    "code": CODE.strip("^$"),
    # Where a figure would stand: codes with what joins them. It begins with no sign, so that it is no formula.
    "cell": r"[A-Za-z0-9_][A-Za-z0-9_.:/=|~ -]{0,199}",
    "count": r"(?:0|[1-9][0-9]{0,9})",
    "integer": r"(?:0|-?[1-9][0-9]{0,9})",
    # As `repr` writes them; none is too large for a double.
    "number": r"-?(?:0|[1-9][0-9]{0,16}+)(?:\.[0-9]{1,20}+)?+(?:e(?:\+[0-9]{2}|-[0-9]{2,3}+))?+",
}
TYPES = {"code": "string", "cell": "string", "count": "integer", "integer": "integer", "number": "number"}
WORDS = {
    "code": "a code (letters, digits, _ . -; a letter first)",
    "cell": "a cell's name (letters, digits, _ . : / = | ~ -)",
    "count": "a whole number from 0 up",
    "integer": "a whole number",
    "number": "a plain number",
}
MOST_SHOWN = 40


class Column(NamedTuple):
    """A column: its name, what its cells are, and what they mean; `blank` cells are withheld or do not apply."""

    name: str
    kind: Kind
    title: str
    blank: bool = False

    @property
    def pattern(self) -> str:
        """What a cell must match as a whole."""
        return f"(?:{PATTERNS[self.kind]})?" if self.blank else PATTERNS[self.kind]


@dataclass(frozen=True)
class Table:
    """A table of a submission.

    Attributes
    ----------
    name : str
        Its file is ``NAME.csv``.
    title : str
    columns : tuple of Column
    most_rows : int
    most_bytes : int
        Of its file; larger ones are not looked at.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    most_rows: int
    most_bytes: int

    @property
    def path(self) -> str:
        """Name of its file."""
        return f"{self.name}.csv"

    @property
    def header(self) -> str:
        """The first line."""
        return ",".join(c.name for c in self.columns)

    @cached_property
    def schema(self) -> dict[str, Any]:
        """Frictionless Table Schema, version 1."""
        return {"fields": [_field(c) for c in self.columns], "missingValues": [MISSING]}

    @cached_property
    def _rows(self) -> re.Pattern[str]:
        row = ",".join(c.pattern for c in self.columns)
        # Possessive: every row can be matched in one way only, so that there is nothing to go back for.
        return re.compile(rf"{re.escape(self.header)}\n(?:{row}\n)*+", re.ASCII)

    def text(self, columns: Sequence[Sequence[Any]]) -> str:
        """The table of these columns; numbers as `repr` has them, so that they return exactly."""
        written = [_written(c, v) for c, v in zip(self.columns, columns, strict=True)]
        rows = map(",".join, zip(*written, strict=True))
        return "\n".join([self.header, *rows, ""])

    def cells(self, content: bytes) -> tuple[list[list[str]], list[Problem]]:
        """Columns of cells, or what is wrong with the text.

        Parameters
        ----------
        content : bytes

        Returns
        -------
        list of list of str
            One list a column; empty lists where there are problems.
        list of Problem
        """
        width = len(self.columns)
        nothing: list[list[str]] = [[] for _ in self.columns]
        try:
            text = content.decode("ascii")
        except UnicodeDecodeError as error:
            line = content[: error.start].count(b"\n") + 1
            return nothing, [Problem(f"{self.path}: expected ASCII only, found the byte "
                                     f"0x{content[error.start]:02x} in line {line}")]  # fmt: skip
        if not self._rows.fullmatch(text):
            return nothing, list(self._faults(text))
        flat = text.replace("\n", ",").split(",")
        rows = (len(flat) - 1) // width - 1
        if rows > self.most_rows:
            return nothing, [self._too_many(rows)]
        return [flat[width + k : -1 : width] for k in range(width)], []

    def numbers(self, content: bytes) -> tuple[Floats, list[Problem]]:
        """The numbers of a table of one column, as `cells` checks them, without a text for each."""
        text = content.decode("latin-1")
        if not self._rows.fullmatch(text):
            return np.zeros(0), self.cells(content)[1]
        rows = text.count("\n") - 1
        if rows > self.most_rows:
            return np.zeros(0), [self._too_many(rows)]
        # Every line is a plain number by now: the reader is chosen for its speed, and rounds as `float` does.
        kinds = csv.ConvertOptions(column_types={self.header: pa.float64()})
        found = csv.read_csv(io.BytesIO(content), csv.ReadOptions(use_threads=False), convert_options=kinds)
        return np.asarray(found.column(0).to_numpy(), dtype=np.float64), []

    def _too_many(self, rows: int) -> Problem:
        return Problem(f"{self.path}: expected {self.most_rows:,} rows or fewer, found {rows:,}")

    def _faults(self, text: str) -> list[Problem]:
        """Why a text is not of this table: five culprits a column at the most."""
        lines = text.split("\n")
        if lines[0] != self.header:
            return [Problem(f"{self.path}: expected the columns {self.header}, found {shown(lines[0])}")]
        if lines[-1] != "":
            return [Problem(f"{self.path}: expected a line feed at the end, found {shown(lines[-1])}")]
        if len(lines) - 2 > self.most_rows:
            return [self._too_many(len(lines) - 2)]
        found: dict[str, list[str]] = {}
        patterns = [re.compile(c.pattern, re.ASCII) for c in self.columns]
        for number, line in enumerate(lines[1:-1], 2):
            cells = line.split(",")
            if len(cells) != len(self.columns):
                found.setdefault(f"expected {len(self.columns)} cells", []).append(f"line {number} ({len(cells)})")
                continue
            for column, pattern, cell in zip(self.columns, patterns, cells, strict=True):
                if not pattern.fullmatch(cell):
                    key = f"{column.name}: expected {WORDS[column.kind]}"
                    found.setdefault(key, []).append(f"line {number} ({shown(cell)})")
        return [Problem(f"{self.path}: {message}, found others", tuple(where[: Problem.MOST]), len(where))
                for message, where in found.items()]  # fmt: skip


def shown(text: str) -> str:
    """A text from outside as a message may hold it: short, quoted, and without a character that does something."""
    return ascii(text if len(text) <= MOST_SHOWN else text[:MOST_SHOWN] + "...")


def floats(cells: Sequence[str]) -> Floats:
    """Numbers of cells; NaN of blank ones."""
    return np.array([cell or "nan" for cell in cells], dtype=np.float64)


def _field(column: Column) -> dict[str, Any]:
    rules: dict[str, Any] = {} if column.blank else {"required": True}
    if TYPES[column.kind] == "string":
        rules["pattern"] = PATTERNS[column.kind]
    if column.kind == "count":
        rules["minimum"] = 0
    field: dict[str, Any] = {"name": column.name, "type": TYPES[column.kind], "description": column.title}
    if rules:
        field["constraints"] = rules
    return field


def _written(column: Column, values: Sequence[Any]) -> list[str]:
    if column.kind == "number":
        found = np.asarray(values, dtype=np.float64).tolist()
        return [MISSING if v != v and column.blank else repr(v) for v in found]
    if column.kind in ("count", "integer"):
        return [MISSING if v is None and column.blank else str(v) for v in values]
    return list(values)


def _triangle(name: str, title: str, what: str, rows: int, most_bytes: int) -> Table:
    columns = (Column("first", "code", "row"), Column("second", "code", "column"), Column(what, "number", title))
    return Table(name, title, columns, rows, most_bytes)


MOST_ITEMS = 200
MOST_DIMENSIONS = 50
_PAIRS = MOST_ITEMS * (MOST_ITEMS + 1) // 2
COUNTS = Table("counts", "Answers by category, of the respondents who answered all items", (
    Column("item", "code", "item of the questionnaire"),
    Column("category", "integer", "value of the scale"),
    Column("count", "count", "respondents; blank where withheld", blank=True)), 20_000, 2_000_000)  # fmt: skip
MOMENTS = Table("moments", "Means of the items, of the respondents who answered all items", (
    Column("item", "code", "item of the questionnaire"),
    Column("mean", "number", "mean on the item's scale")), MOST_ITEMS, 100_000)  # fmt: skip
COVARIANCES = _triangle("covariances", "Covariances of the items (divisor n), lower triangle column by column",
                        "covariance", _PAIRS, 4_000_000)  # fmt: skip
SCORES = Table("scores", "Overall and the dimensions on 0-100, of all scored respondents", (
    Column("scope", "code", "overall or a dimension"),
    Column("n", "count", "respondents"),
    Column("estimate", "number", "points"),
    Column("se", "number", "standard error")), MOST_DIMENSIONS + 1, 20_000)  # fmt: skip
SCORE_COVARIANCES = _triangle("score_covariances", "Covariances of the dimensions' estimates, lower triangle column "
                              "by column", "covariance", 1_300, 300_000)  # fmt: skip
INDICATORS = Table("indicators", "What was done: shares, rates and means", (
    Column("code", "code", "indicator"),
    Column("kind", "code", "share, rate or mean"),
    Column("n", "number", "trials, exposure or cases"),
    Column("events", "number", "of a share or a rate", blank=True),
    Column("estimate", "number", "in the indicator's own units"),
    Column("se", "number", "standard error")), 500, 100_000)  # fmt: skip
WAITING = Table("waiting", "Share of cases not yet done after so many working hours", (
    Column("stage", "code", "stage of the process"),
    Column("hours", "number", "working hours"),
    Column("n", "count", "cases"),
    Column("waiting", "number", "share"),
    Column("se", "number", "standard error")), 3_000, 400_000)  # fmt: skip
CONTEXT = Table("context", "Case mix: shares of the scored respondents", (
    Column("variable", "code", "grouping variable"),
    Column("value", "code", "its value"),
    Column("share", "number", "of the scored respondents")), 1_000, 200_000)  # fmt: skip
WITHHELD = Table("withheld", "Figures that are not sent, and by which rule", (
    Column("table", "code", "table of the figure"),
    Column("cell", "cell", "its place", blank=True),
    Column("rule", "cell", "rule of disclosure control")), 50_000, 4_000_000)  # fmt: skip
THRESHOLDS = Table("thresholds", "Thresholds of the items, in ascending order", (
    Column("item", "code", "item of the questionnaire"),
    Column("threshold", "number", "of the latent answer")), 20_000, 2_000_000)  # fmt: skip
POLYCHORICS = _triangle("polychorics", "Polychoric correlations below the diagonal, column by column", "correlation",
                        _PAIRS, 4_000_000)  # fmt: skip
POLYCHORIC_COVARIANCES = Table("polychoric_covariances", "n times the covariance of thresholds and polychoric "
                               "correlations, lower triangle column by column", (
    Column("covariance", "number", "of two statistics in the order of thresholds.csv and polychorics.csv"),),
    1_200_000, 32_000_000)  # fmt: skip

PLAIN = (COUNTS, MOMENTS, COVARIANCES, SCORES, SCORE_COVARIANCES, INDICATORS, WAITING, CONTEXT, WITHHELD)
ORDINAL = (THRESHOLDS, POLYCHORICS, POLYCHORIC_COVARIANCES)
TABLES = {table.path: table for table in (*PLAIN, *ORDINAL)}
