"""Records are read cell by cell, and everything wrong is said at once."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from sqmodel.errors import OperationsError
from sqmodel.operations.records import Column, read_records

LOANS = (
    Column("loan", "text", filled=True),
    Column("grade", "number", low=0, high=1),
    Column("granted", "date"),
    Column("at", "instant", also=("time", "时间")),
    Column("urgent", "flag", needed=False),
    Column("kind", "text", needed=False, among=("new", "renewed")),
)


def written(folder: Path, text: str) -> Path:
    path = folder / "loans.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_every_kind_of_cell(tmp_path: Path) -> None:
    path = written(tmp_path, "loan,grade,granted,时间,urgent\nA,0.5,2026/7/1,2026-07-01T09:30+08:00,是\nB,,,,no\n")
    frame, reading = read_records(path, LOANS, what="loans")
    assert frame.index.tolist() == [2, 3]
    assert frame["grade"].tolist()[0] == 0.5
    assert frame["granted"].tolist()[0] == pd.Timestamp("2026-07-01")
    assert frame["at"].tolist()[0] == pd.Timestamp("2026-07-01T01:30Z")
    assert frame["urgent"].tolist() == [True, False]
    assert frame["kind"].isna().all()
    assert frame.loc[3, ["grade", "granted", "at"]].isna().all()
    assert (reading.rows, len(reading.changes)) == (2, 0)


def test_local_times_are_those_of_the_zone_and_doubtful_ones_are_counted() -> None:
    times = ["2026-03-29T02:30", "2026-10-25T02:30", "2026-07-01 09:30"]
    given = pd.DataFrame({"time": times})
    frame, reading = read_records(given, [Column("at", "instant", also=("time",))], what="events", zone="Europe/Berlin")
    assert [t.isoformat() for t in frame["at"]] == [
        "2026-03-29T01:00:00+00:00", "2026-10-25T00:30:00+00:00", "2026-07-01T07:30:00+00:00",
    ]  # fmt: skip
    assert reading.changes[["kind", "column", "count", "examples"]].to_numpy().tolist() == [
        ["local time that a change of clocks skips or repeats", "at", 2, "1, 2"]
    ]


def test_a_format_of_dates() -> None:
    given = pd.DataFrame({"granted": ["7/29/2013", "12/1/2016"]})
    frame, _ = read_records(given, [Column("granted", "date", form="%m/%d/%Y")], what="loans")
    assert frame["granted"].dt.strftime("%Y-%m-%d").tolist() == ["2013-07-29", "2016-12-01"]


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "loan,grade,granted,at,urgent,kind\n"
        "A,1.5,2026-07-32,2026-07-01T09:30+08:00,maybe,old\n"
        ",x,1.7.2026,2026-07-01T09:30,yes,new\n"
        "C,0.1,2026-07-01,soon,no,renewed\n",
    )
    with pytest.raises(OperationsError) as caught:
        read_records(path, LOANS, what="loans")
    assert str(caught.value) == (
        f"{path}: 7 problems\n"
        "  - expected a text, found an empty cell: row 3, column loan ('')\n"
        "  - expected a number from 0 to 1: row 2, column grade ('1.5'), row 3, column grade ('x')\n"
        "  - expected a date such as 2026-07-01: row 2, column granted ('2026-07-32'), "
        "row 3, column granted ('1.7.2026')\n"
        "  - expected a date and time such as 2026-07-01T09:30+08:00: row 4, column at ('soon')\n"
        "  - expected instants that all tell an offset or all tell none, found one without: "
        "row 3, column at ('2026-07-01T09:30')\n"
        "  - expected yes or no: row 2, column urgent ('maybe')\n"
        "  - expected one of new, renewed: row 2, column kind ('old')\n"
        "  What to do: correct the loans, or name their columns"
    )


def test_columns_that_are_not_there() -> None:
    given = pd.DataFrame({"number": ["A"], "score": ["1"]})
    with pytest.raises(OperationsError) as caught:
        read_records(given, LOANS[:2], what="loans", names={"loan": "nummer", "note": "score"})
    assert str(caught.value) == (
        "data frame: 3 problems\n"
        "  - expected names of columns of loans (grade, loan), found 'note'\n"
        "  - expected a column 'nummer', found 'number', 'score'\n"
        "  - expected a column 'grade', found 'number', 'score'\n"
        "  What to do: correct the loans, or name their columns"
    )


def test_what_must_be_unique() -> None:
    given = pd.DataFrame({"loan": ["A", "B", "A", "A"]})
    with pytest.raises(OperationsError) as caught:
        read_records(given, LOANS[:1], what="loans", unique=["loan"])
    assert str(caught.value) == (
        "data frame: 1 problem\n"
        "  - expected loan once, found 'A' in: record 1, record 3, record 4\n"
        "  What to do: correct the loans, or name their columns"
    )


def test_a_database_gives_the_table_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "loans.db"
    with sqlite3.connect(path) as connection:
        connection.execute("create table loans (loan text, grade real)")
        connection.execute("insert into loans values ('A', 0.25)")
    frame, _ = read_records(f"sqlite:///{path}", LOANS[:2], what="loans")
    assert frame.to_numpy().tolist() == [["A", 0.25]]


def test_an_empty_file(tmp_path: Path) -> None:
    with pytest.raises(OperationsError) as caught:
        read_records(written(tmp_path, ""), LOANS, what="loans")
    assert (
        str(caught.value) == f"{tmp_path / 'loans.csv'}: 1 problem\n  - expected a table of loans, found an empty file"
    )
