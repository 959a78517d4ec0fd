"""Records of complaints: the rules they stand under, and how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pydantic import Field, model_validator

from sqmodel.definitions import Frozen, Text, TimeZone, load_definition
from sqmodel.errors import OperationsError, Problem, ResponsesError
from sqmodel.operations.records import Column, read_records
from sqmodel.survey.column_map import ColumnMap, fold
from sqmodel.survey.responses import Reading
from sqmodel.survey.sources import read_table

Unit = Literal["days", "working_days"]
Stage = Literal["received", "first_response", "resolved", "closed"]

STAGES: tuple[Stage, ...] = ("received", "first_response", "resolved", "closed")
FLAGS = ("reopened", "complex", "extended", "timely", "disputed")
TEXTS = ("complaint_id", "case_id", "cause", "channel")


class ComplaintRules(Frozen):
    """How long a lender may take over a complaint, and how its records are to be read.

    The defaults are those of the Measures for handling consumer complaints in banking and insurance (银行业保险业消费
    投诉处理管理办法, CBIRC order 3 of 2020): a decision within 15 days of receipt, 30 where the matter is complex, and
    30 more where a senior manager has approved it. The Measures set no limit for a first response: the 3 days are a
    common promise, to be replaced by the institution's own.

    Parameters
    ----------
    name : str
    title : Text, optional
    first_response_days : int or None
        None: no limit.
    resolve_days, complex_days, extension_days : int
        Limit of a simple and of a complex complaint, and what an approved extension adds to it.
    first_response_unit, resolve_unit : {"days", "working_days"}
        Days of the calendar, or working days of the institution's own. The day of receipt does not count, the last
        day counts until 24:00 (Civil Code of China, art. 201 and 203).
    rest_days_extend : bool
        Whether a limit in days that ends on a day without work runs on to the next working day (art. 203).
    time_zone : str
        Of days, and of instants without an offset.
    causes : tuple of str
        The causes that records may name; empty: any.
    columns : mapping
        Canonical name to header, where they differ.
    form : str
        Format of dates as `strptime` writes it, where they are not in ISO form.
    """

    name: str = "cbirc_2020_3"
    title: Text | None = None
    first_response_days: int | None = Field(default=3, gt=0)
    resolve_days: int = Field(default=15, gt=0)
    complex_days: int = Field(default=30, gt=0)
    extension_days: int = Field(default=30, ge=0)
    first_response_unit: Unit = "days"
    resolve_unit: Unit = "days"
    rest_days_extend: bool = False
    time_zone: TimeZone = "Asia/Shanghai"
    causes: tuple[str, ...] = ()
    columns: dict[str, str] = Field(default_factory=dict)
    form: str = ""

    @model_validator(mode="after")
    def _in_order(self) -> ComplaintRules:
        if self.complex_days < self.resolve_days:
            raise ValueError(
                f"expected complex_days of at least resolve_days ({self.resolve_days}), found {self.complex_days}"
            )
        return self


def load_complaint_rules(source: str | Path) -> ComplaintRules:
    """Read rules from a YAML file; ``ComplaintRules()`` has the regulation's own.

    Raises
    ------
    OperationsError
        The file is missing, is no YAML, or contradicts itself; all problems in one message.
    """
    return load_definition(source, ComplaintRules, folder="operations/complaints", kind="complaint rule",
                           error=OperationsError)  # fmt: skip


@dataclass(frozen=True)
class Complaints:
    """Complaints as they were recorded.

    Attributes
    ----------
    frame : DataFrame, index row in the source
        The stages received, first_response, resolved, closed (UTC), the flags reopened, complex, extended, timely and
        disputed (the last two as another body judged), complaint_id, case_id, cause, channel and the groups asked for.
    columns : tuple of str
        Those of them that the source has.
    groups : tuple of str
    identical : tuple of int
        Rows that repeat an earlier row in every cell of the source.
    dropped : int
        How many of them were left out: all, where complaints have an id.
    reading : Reading
    """

    frame: pd.DataFrame
    columns: tuple[str, ...]
    groups: tuple[str, ...]
    identical: tuple[int, ...]
    dropped: int
    reading: Reading

    def __len__(self) -> int:
        return len(self.frame)

    def __repr__(self) -> str:
        return f"<Complaints {len(self)} of {self.reading.source}, {len(self.identical)} identical rows>"


def read_complaints(
    source: str | Path | pd.DataFrame,
    *,
    rules: ComplaintRules | None = None,
    groups: Sequence[str] = (),
    table: str | None = None,
    query: str | None = None,
) -> Complaints:
    """Read complaints: a record each, with the instants of its stages.

    Only the column received must be there. Stages in a wrong order are read as they are, for they are a finding; what
    cannot be read is an error.

    Parameters
    ----------
    source : path, database URL or DataFrame
    rules : ComplaintRules, optional
        Its `columns`, `form`, `time_zone` and `causes` say how to read.
    groups : sequence of str
        Further columns of text to compare by, such as a product or a branch.
    table, query : str, optional
        Of a database; the table ``complaints`` by default.

    Raises
    ------
    OperationsError
        All problems of the source in one message: columns that are not there, cells that are no dates or flags, causes
        that are not known, ids that repeat with other content.

    Examples
    --------
    >>> given = pd.DataFrame({"received": ["2026-07-01", "2026-07-02"], "resolved": ["2026-07-09", ""]})
    >>> read_complaints(given)
    <Complaints 2 of data frame, 0 identical rows>
    """
    use = rules or ComplaintRules()
    wanted = _columns(use, groups)
    found = read_records(source, wanted, what="complaints", names=use.columns, zone=use.time_zone, table=table,
                         query=query)  # fmt: skip
    raw = _raw(source, table, query)
    headers = {fold(h).casefold() for h in raw.headers}
    present = tuple(c.name for c in wanted if fold(use.columns.get(c.name, c.name)).casefold() in headers)
    cells = raw.frame.set_axis(pd.RangeIndex(raw.first, raw.first + len(raw.frame)), axis=0).loc[found.frame.index]
    identical = tuple(int(i) for i in cells.index[cells.duplicated()])
    frame = found.frame
    named = "complaint_id" in present
    if named:
        frame = frame.drop(index=list(identical))
        _check_ids(frame, raw.name, raw.unit)
    return Complaints(frame, present, tuple(groups), identical, len(identical) if named else 0, found.reading)


def _columns(rules: ComplaintRules, groups: Sequence[str]) -> list[Column]:
    others = [g for g in groups if g not in TEXTS]
    clash = [g for g in others if g in (*STAGES, *FLAGS)]
    if clash:
        raise OperationsError("complaints", [Problem("expected groups that are texts, found", tuple(clash))])
    stages = [Column(s, "instant", filled=s == "received", needed=s == "received", form=rules.form) for s in STAGES]
    flags = [Column(f, "flag", needed=False) for f in FLAGS]
    texts = [
        Column(t, "text", filled=t == "complaint_id", needed=False, among=rules.causes if t == "cause" else ())
        for t in TEXTS
    ]
    return [*stages, *flags, *texts, *(Column(g, "text") for g in others)]


def _raw(source: str | Path | pd.DataFrame, table: str | None, query: str | None) -> Any:
    """The source as it is written, to see which rows repeat in every cell, also those that nothing reads."""
    if "://" in str(source) and query is None and not isinstance(source, pd.DataFrame):
        table = table or "complaints"
    try:
        return read_table(source, ColumnMap(), query=query, table=table, what="complaints")
    except ResponsesError as error:  # the source has gone since it was read a moment ago
        raise OperationsError(error.source, error.problems, error.remedy) from None


def _check_ids(frame: pd.DataFrame, name: str, unit: str) -> None:
    twice = frame[frame["complaint_id"].duplicated(keep=False)]
    problems = [
        Problem(f"expected complaint_id once, or the same in every cell, found {key!r} in",
                tuple(f"{unit} {row}" for row in own.index))
        for key, own in twice.groupby("complaint_id", sort=False)
    ]  # fmt: skip
    if problems:
        raise OperationsError(name, problems, "give every complaint its own id, or keep its last record only")
