"""Readers: answers from a file, a database or a frame, checked against the instrument cell by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import Problem, ResponsesError
from sqmodel.survey import cells
from sqmodel.survey.column_map import ColumnMap, Headers, canonical_names, fold, load_column_map, locate
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.ledger import Ledger, Policy, Rows
from sqmodel.survey.records import check_records
from sqmodel.survey.responses import Reading, Responses
from sqmodel.survey.sources import Table, read_table


def read_responses(
    source: str | Path | pd.DataFrame,
    instrument: Instrument,
    *,
    columns: ColumnMap | Mapping[str, Any] | str | Path | None = None,
    policy: Policy = "error",
    query: str | None = None,
    where: Mapping[str, Any] | None = None,
    quarter: str | None = None,
    table: str | None = None,
) -> Responses:
    """Read answers and check them: what did the respondents answer, and does it obey the questionnaire?

    Everything is read as text and interpreted by the instrument's scales, so that nothing is guessed. A
    rating may be a code, an anchor of the scale in zh or en, a label of the column map, or a label with its
    number ("7-非常同意", "非常同意（7分）"). Codes for "not applicable" become missing and are counted.

    Parameters
    ----------
    source : path, database URL or DataFrame
        CSV or TSV (UTF-8, UTF-16, GB18030, cp949: detected), ``.xlsx``, ``.xls``, ``.ods``, Parquet, a
        SQLAlchemy URL such as ``postgresql+psycopg://...``, or a frame in memory.
    instrument : Instrument
        The questionnaire that was answered.
    columns : mapping or path, optional
        Canonical name to header, or the YAML file of a `ColumnMap`. A name that it leaves out is looked up by
        its code, then by the question's text.
    policy : {"error", "missing"}
        What a bad cell does: any problem raises, or the cell becomes missing and is counted in
        `reading.changes` (of a repeated respondent the first record stays; a missing sample weight becomes
        the mean of the others). Problems of the whole table, such as a missing column, always raise.
    query, table : str, optional
        What to read from a database.
    where : mapping, optional
        Read only the records whose column (header or canonical name) has this value, or one of these values.
    quarter : str, optional
        Quarter such as ``2026Q3`` of the records whose source does not tell it.

    Returns
    -------
    Responses
        With `reading`: encoding, number of records, and every change by kind, column, count and examples.

    Raises
    ------
    ResponsesError
        All problems of the source in one message, with row and column as a person sees them in the file.
    """
    column_map = load_column_map(columns)
    text = read_table(source, column_map, query=query, table=table)
    if policy not in ("error", "missing"):
        raise ResponsesError(text.name, [f"expected policy 'error' or 'missing', found {policy!r}"])
    ledger = Ledger(policy, text.unit)
    headers = Headers(text.headers, text.texts, column_map.platform.variants)
    positions, problems = locate(headers, column_map, instrument)
    ledger.structural += [*problems, *_check_arguments(column_map, instrument, quarter)]
    reader = _Reader(text, headers, column_map, instrument, positions, ledger)
    frame = reader.parsed(reader.records(where or {}))
    frame = check_records(frame, frame.index.to_numpy(dtype=np.intp), instrument, ledger, quarter)
    ledger.raise_problems(text.name)
    reading = Reading(text.short, text.encoding, len(text.frame), ledger.changes())
    return Responses(instrument, frame.reset_index(drop=True), reading)


def check_scorable(responses: Responses, items: Sequence[str] | None = None) -> None:
    """Can these answers be analysed at all?

    Parameters
    ----------
    responses : Responses
    items : sequence of str, optional
        Items that are scored; all by default.

    Raises
    ------
    ResponsesError
        An item has no answers, or the same answer from everyone; fewer respondents than items. All at once.
    """
    codes = [c for c in responses.instrument.item_codes if items is None or c in items]
    ratings = {c: responses.frame[c].astype(float).dropna() for c in codes}
    problems = []
    if len(responses) < len(ratings):
        message = f"expected at least as many respondents as items ({len(ratings)}), found {len(responses)}"
        problems.append(Problem(message))
    empty = [code for code, answers in ratings.items() if answers.empty]
    if empty:
        problems.append(Problem("expected answers to every item, found none to", tuple(empty)))
    constant = {code: a.min() for code, a in ratings.items() if len(a) and a.min() == a.max()}
    if constant:
        shown = tuple(f"{code} (always {value:g})" for code, value in constant.items())
        problems.append(Problem("expected answers that differ between respondents, found one answer to", shown))
    if problems:
        remedy = "collect more answers, or take the items out of the instrument"
        raise ResponsesError(responses.reading.source or "responses", problems, remedy)


def _check_arguments(column_map: ColumnMap, instrument: Instrument, quarter: str | None) -> list[Problem]:
    problems = []
    if quarter is not None and not cells.QUARTER.fullmatch(quarter):
        problems.append(Problem(f"expected the argument quarter such as 2026Q3, found {quarter!r}"))
    unknown = [n for n in column_map.labels if n != "*" and n not in canonical_names(instrument)]
    if unknown:
        message = "expected labels of names that the instrument has in the column map, found"
        problems.append(Problem(message, tuple(unknown)))
    groups = {g.code for g in instrument.groups}
    worded = [
        f"{name}: {label}: {code!r}"
        for name, labels in column_map.labels.items()
        for label, code in labels.items()
        if isinstance(code, str) and name not in groups
    ]
    if worded:
        problems.append(Problem("expected whole numbers as codes of ratings in the column map, found", tuple(worded)))
    return problems


@dataclass(frozen=True)
class _Reader:
    """One source on its way to canonical columns."""

    table: Table
    headers: Headers
    column_map: ColumnMap
    instrument: Instrument
    positions: dict[str, int]
    ledger: Ledger

    def records(self, where: Mapping[str, Any]) -> pd.DataFrame:
        """The records to interpret, indexed by their number in the source: neither empty nor left out."""
        first, size = self.table.first, len(self.table.frame)
        frame = self.table.frame.set_axis(pd.RangeIndex(first, first + size), axis=0)
        blank = (frame == "").all(axis=1).to_numpy()
        if blank.all():
            self.ledger.structural.append(Problem("expected at least one record of answers, found only the header"))
            return frame[~blank]
        self.ledger.change("header row skipped", "", np.arange(2, first))
        self.ledger.change("empty record", "", _numbers(frame[blank]))
        unused = [h for p, h in enumerate(self.table.headers) if p not in self.positions.values()]
        self.ledger.unused(unused)
        frame = frame[~blank]
        for name, wanted in where.items():
            frame = self._filtered(frame, name, wanted)
        self._note_unfinished(frame)
        return frame

    def _filtered(self, frame: pd.DataFrame, name: str, wanted: Any) -> pd.DataFrame:
        found = self.headers.find([name]) or [p for n, p in self.positions.items() if n == name]
        if not found:
            self.ledger.structural.append(Problem(f"expected column {name!r} for `where`, found none"))
            return frame
        keys = {fold(str(v)) for v in (wanted if isinstance(wanted, list | tuple | set) else [wanted])}
        canonical = next((n for n, p in self.positions.items() if p == found[0]), name)
        parsed = cells.parse_column(frame[found[0]], cells.parser_of(canonical, self.instrument, self.column_map))
        # A value may be written as in the source or as the instrument's code for it.
        fits = [fold(t) in keys or m.value in keys for t, m in zip(parsed.texts, parsed.meanings, strict=True)]
        kept = np.array(fits, dtype=bool)[parsed.codes]
        self.ledger.change("left out by where", name, _numbers(frame[~kept]))
        if len(frame) and not kept.any():
            message = f"expected records where {name} is {' or '.join(sorted(keys))}, found none; it holds"
            self.ledger.structural.append(Problem(message, tuple(repr(t) for t in parsed.texts)))
        return frame[kept]

    def _note_unfinished(self, frame: pd.DataFrame) -> None:
        """Interviews broken off stay: whether they can be scored is decided by their missing answers."""
        for position in self.headers.find(self.column_map.platform.finished)[:1]:
            broken = frame[position].str.strip().str.casefold().isin(["", "0", "false"])
            self.ledger.change("unfinished, kept", self.table.headers[position], _numbers(frame[broken]))

    def parsed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """Canonical columns of interpreted values: numbers as float, texts as object with None."""
        columns = {name: self._column(name, frame[position]) for name, position in self.positions.items()}
        return pd.DataFrame(columns, index=frame.index)

    def _column(self, name: str, texts: pd.Series) -> pd.Series:
        header = self.table.headers[self.positions[name]]
        shown = header if len(header) <= 24 else name
        parsed = cells.parse_column(texts, cells.parser_of(name, self.instrument, self.column_map))
        for kind, fault in sorted({(m.kind, m.fault) for m in parsed.meanings if m.kind}):
            told = np.array([(m.kind, m.fault) == (kind, fault) for m in parsed.meanings])[parsed.codes]
            if fault:
                self.ledger.fault(kind, fault, shown, _numbers(texts[told]), texts[told].tolist())
            else:
                self.ledger.change(kind, shown, _numbers(texts[told]))
        kept_as_text = name in cells.TEXTS or any(g.code == name for g in self.instrument.groups)
        values = np.array([m.value for m in parsed.meanings], dtype=object if kept_as_text else float)
        return pd.Series(values[parsed.codes], index=texts.index, dtype=values.dtype)


def _numbers(records: pd.DataFrame | pd.Series) -> Rows:
    """Numbers of records as a person sees them in the source."""
    return records.index.to_numpy(dtype=np.intp)
