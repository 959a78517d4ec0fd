"""Bad input: every message in full, for it is all that the person with the file gets to see."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sqmodel.errors import ResponsesError
from sqmodel.survey.readers import check_scorable, read_responses
from sqmodel.survey.responses import Responses
from tests.survey.small_instrument import ITEMS, answers, bare, long, small, write_csv

CELLS = (
    "  What to do: correct the source, or read with policy='missing' "
    "to turn bad cells into missing values and count them"
)
TABLE = "  What to do: correct the source or its column map"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths, so that whole messages can be compared."""
    monkeypatch.chdir(tmp_path)


def message(source: Any, instrument: Any = None, **options: Any) -> str:
    with pytest.raises(ResponsesError) as caught:
        read_responses(source, instrument or bare(), **options)
    return str(caught.value)


def csv(frame: pd.DataFrame) -> Path:
    return write_csv(frame, Path("a.csv"))


def spoilt(**cells: str) -> pd.DataFrame:
    """Valid answers, where the third record (row 4) has these cells."""
    frame = answers()
    for column, text in cells.items():
        frame.loc[2, column] = text
    return frame


def test_missing_file() -> None:
    assert message("a.csv") == (
        "a.csv: 1 problem\n  - expected a file, found nothing at this path\n  What to do: check the path"
    )


def test_unknown_ending() -> None:
    Path("a.sav").write_bytes(b"x")
    assert message("a.sav") == (
        "a.sav: 1 problem\n"
        "  - expected a file ending in .csv, .tsv, .txt, .xlsx, .xlsm, .xls, .xlsb, .ods, .parquet, "
        "found '.sav'"
    )


def test_bytes_of_no_encoding() -> None:
    Path("a.csv").write_bytes(b"respondent,e1\n\xff\x80\xff,1\n")
    assert message("a.csv") == (
        "a.csv: 1 problem\n"
        "  - expected text in UTF-8, UTF-16, GB18030 or cp949, found bytes that fit none of them\n"
        "  What to do: save the file as CSV UTF-8, or name its encoding in the column map (encoding: ...)"
    )


def test_a_forced_encoding_that_does_not_fit_or_does_not_exist() -> None:
    csv(answers().assign(comment="快"))
    assert message("a.csv", columns={"encoding": "ascii"}) == (
        "a.csv: 1 problem\n"
        "  - expected text in ascii as the column map says, found other bytes at byte 68\n"
        "  What to do: correct `encoding` in the column map or leave it out"
    )
    assert message("a.csv", columns={"encoding": "klingon"}) == (
        "a.csv: 1 problem\n  - expected a known encoding, found 'klingon'"
    )


@pytest.mark.parametrize("content", ["", "\n\n", "\ufeff"])
def test_empty_file(content: str) -> None:
    Path("a.csv").write_text(content, encoding="utf-8")
    assert message("a.csv") == "a.csv: 1 problem\n  - expected a table of answers, found an empty file"


@pytest.mark.parametrize("policy", ["error", "missing"])
def test_header_only(policy: str) -> None:
    csv(answers().head(0).assign(sample_weight=""))
    assert message("a.csv", policy=policy) == (
        f"a.csv: 1 problem\n  - expected at least one record of answers, found only the header\n{TABLE}"
    )


def test_an_empty_sheet_a_missing_sheet_and_a_broken_workbook() -> None:
    pd.DataFrame().to_excel("a.xlsx", sheet_name="Sheet1")
    assert message("a.xlsx") == "a.xlsx: 1 problem\n  - expected a table of answers, found an empty sheet"
    assert message("a.xlsx", columns={"sheet": "Answers"}) == (
        "a.xlsx: 1 problem\n  - expected sheet 'Answers', found Sheet1"
    )
    Path("b.xlsx").write_text("no workbook", encoding="utf-8")
    with pytest.raises(ResponsesError, match="expected a workbook without password, found a file that cannot"):
        read_responses("b.xlsx", bare())


def test_a_broken_parquet_file() -> None:
    Path("a.parquet").write_text("no table", encoding="utf-8")
    with pytest.raises(ResponsesError, match=r"a\.parquet: 1 problem\n  - expected a Parquet file, found: "):
        read_responses("a.parquet", bare())


def test_rows_longer_than_the_header() -> None:
    Path("a.csv").write_text("respondent,e1\n1,2\n2,3,4\n", encoding="utf-8")
    assert message("a.csv") == (
        "a.csv: 1 problem\n"
        "  - expected 2 cells in every row as in the header, found 3 in row 3\n"
        "  What to do: put cells that hold the separator in quotes"
    )


@pytest.mark.parametrize("policy", ["error", "missing"])
def test_missing_columns(policy: str) -> None:
    csv(answers().drop(columns=["e2", "r1"]))
    assert message("a.csv", policy=policy) == (
        f"a.csv: 1 problem\n  - expected a column for every item, found none for: e2, r1\n{TABLE}"
    )


def test_half_of_a_family_of_columns() -> None:
    csv(answers().assign(e1_exp="7", imp_EXP="100", imp_RSK="0"))
    assert message("a.csv", small()) == (
        "a.csv: 2 problems\n"
        "  - expected all columns of the expectations or none, found none for: "
        "e2_exp, f1_exp, f2_exp, r1_exp, r2_exp\n"
        "  - expected all columns of the allocation or none, found none for: imp_EFF\n"
        f"{TABLE}"
    )


def test_column_map_with_unknown_names_and_headers() -> None:
    csv(answers())
    columns = {"speed": "Q9", "e1": "Q1", "e2": "f1", "region": "Region"}
    assert message("a.csv", small(), columns=columns) == (
        "a.csv: 3 problems\n"
        "  - expected names that the instrument has in the column map, found: speed\n"
        "  - expected the headers of the column map in the source, found none of: "
        "'Q1' for 'e1', 'Region' for 'region'\n"
        "  - expected header 'f1' for one name, found it for several: e2, f1\n"
        f"{TABLE}"
    )


def test_two_columns_with_one_header() -> None:
    Path("a.csv").write_text(answers(2).to_csv(index=False).replace("e2", "e1", 1), encoding="utf-8")
    assert message("a.csv") == (
        "a.csv: 2 problems\n"
        "  - expected one column for 'e1', found 2: 'e1' and 'e1'\n"
        "  - expected a column for every item, found none for: e1, e2\n"
        f"{TABLE}"
    )


def test_column_map_files() -> None:
    csv(answers())
    assert message("a.csv", columns="c.yaml") == (
        "c.yaml: 1 problem\n  - expected a column map, found no file at this path"
    )
    Path("c.yaml").write_text("- a", encoding="utf-8")
    assert message("a.csv", columns="c.yaml") == ("c.yaml: 1 problem\n  - expected a mapping at the top, found list")
    Path("c.yaml").write_text("format: paper\ncolour: red\nlabels: {e1: {good: 1.5}}", encoding="utf-8")
    assert message("a.csv", columns="c.yaml") == (
        "c.yaml: 4 problems\n"
        "  - format: Input should be 'plain', 'qualtrics', 'limesurvey' or 'wenjuanxing', found 'paper'\n"
        "  - labels.e1.good.int: Input should be a valid integer, got a number with a fractional part, "
        "found 1.5\n"
        "  - labels.e1.good.str: Input should be a valid string, found 1.5\n"
        "  - colour: unknown key\n"
        "  What to do: keys of a column map are columns, format, labels, missing, encoding, sheet"
    )
    Path("c.yaml").write_text("labels: {x1: {good: 7}, e1: {good: seven}}", encoding="utf-8")
    assert message("a.csv", columns="c.yaml") == (
        "a.csv: 2 problems\n"
        "  - expected labels of names that the instrument has in the column map, found: x1\n"
        "  - expected whole numbers as codes of ratings in the column map, found: e1: good: 'seven'\n"
        f"{TABLE}"
    )


def test_qualtrics_without_its_header_rows() -> None:
    csv(answers())
    assert message("a.csv", columns={"format": "qualtrics"}) == (
        "a.csv: 1 problem\n"
        "  - expected 3 header rows, the last with ImportId, found none in row 3\n"
        "  What to do: export from Qualtrics again, or choose another format in the column map"
    )


def test_all_bad_ratings_in_one_message() -> None:
    frame = spoilt(e1="8", e2="good", f1="2.5", f2="inf", r1="-1", r2="1e400")
    frame.loc[5, "e1"] = "0"
    frame.loc[6, "e2"] = "a very long answer that nobody wants to see twice"
    assert message(csv(frame)) == (
        "a.csv: 4 problems\n"
        "  - expected a rating from 1 to 7, found a number outside the scale: "
        "row 4, column e1 ('8'), row 4, column r1 ('-1'), row 7, column e1 ('0')\n"
        "  - expected a rating from 1 to 7 or a label of it, found text: "
        "row 4, column e2 ('good'), row 8, column e2 ('a very long answer that…')\n"
        "  - expected a whole number from 1 to 7, found a fraction: row 4, column f1 ('2.5')\n"
        "  - expected a rating from 1 to 7, found an infinite number: "
        "row 4, column f2 ('inf'), row 4, column r2 ('1e400')\n"
        f"{CELLS}"
    )


def test_at_most_five_culprits_and_the_rest_counted() -> None:
    assert message(csv(answers().assign(e1="8"))) == (
        "a.csv: 1 problem\n"
        "  - expected a rating from 1 to 7, found a number outside the scale: "
        "row 2, column e1 ('8'), row 3, column e1 ('8'), row 4, column e1 ('8'), row 5, column e1 ('8'), "
        "row 6, column e1 ('8') and 3 more\n"
        f"{CELLS}"
    )


def test_rows_are_counted_as_in_the_source() -> None:
    frame = spoilt(e1="8")
    frame.to_excel("a.xlsx", index=False)
    frame.to_parquet("a.parquet")
    with sqlite3.connect("a.db") as connection:
        frame.to_sql("answers", connection, index=False)
    text = "  - expected a rating from 1 to 7, found a number outside the scale: {}, column e1 ('8')\n"
    assert message("a.xlsx") == f"a.xlsx: 1 problem\n{text.format('row 4')}{CELLS}"
    assert message("a.parquet") == f"a.parquet: 1 problem\n{text.format('record 3')}{CELLS}"
    assert message(frame) == f"data frame: 1 problem\n{text.format('record 3')}{CELLS}"
    assert message("sqlite:///a.db", table="answers") == (
        f"sqlite:///a.db: 1 problem\n{text.format('record 3')}{CELLS}"
    )


def test_a_long_header_is_named_by_its_code() -> None:
    frame = spoilt(e1="8").rename(columns={"e1": "3、请您根据最近一次办理贷款业务的真实感受进行评价—申请简便"})
    assert message(csv(frame), columns={"format": "wenjuanxing"}) == (
        "a.csv: 1 problem\n"
        "  - expected a rating from 1 to 7, found a number outside the scale: row 4, column e1 ('8')\n"
        f"{CELLS}"
    )


def test_respondents_who_answer_twice_or_have_no_id() -> None:
    frame = answers()
    frame.loc[3, "respondent"] = "001"
    frame.loc[4, ["respondent", "quarter"]] = ["001", "2026Q2"]
    frame.loc[5, "respondent"] = " "
    assert message(csv(frame)) == (
        "a.csv: 2 problems\n"
        "  - expected a respondent id, found an empty cell: row 7, column respondent ('')\n"
        "  - expected each respondent once in a quarter, found again: row 5, column respondent ('001')\n"
        f"{CELLS}"
    )


def test_allocation_weights_duration_quarter_and_groups() -> None:
    frame = answers().assign(
        imp_EXP="50", imp_EFF="30", imp_RSK="20", region="north", sample_weight="1", duration="60", csat="10"
    )
    frame.loc[2, ["imp_EXP", "region", "sample_weight", "duration", "quarter", "csat"]] = [
        "60", "east", "-1", "fast", "2026-Q5", "11",
    ]  # fmt: skip
    frame.loc[3, ["imp_EXP", "imp_EFF", "sample_weight"]] = ["-50", "130", ""]
    frame.loc[4, "sample_weight"] = "inf"
    assert message(csv(frame), small()) == (
        "a.csv: 9 problems\n"
        "  - expected a quarter such as 2026Q3, found another text: row 4, column quarter ('2026-Q5')\n"
        "  - expected a sample weight of at least 0, found less: row 4, column sample_weight ('-1')\n"
        "  - expected a sample weight of at least 0, found an infinite number: "
        "row 6, column sample_weight ('inf')\n"
        "  - expected a sample weight of at least 0, found an empty cell: row 5, column sample_weight ('')\n"
        "  - expected a duration of at least 0 seconds, found text: row 4, column duration ('fast')\n"
        "  - expected a rating from 1 to 10, found a number outside the scale: row 4, column csat ('11')\n"
        "  - expected region to be one of north, south, found another value: row 4, column region ('east')\n"
        "  - expected points of at least 0, found less: row 5, column imp_EXP ('-50')\n"
        "  - expected imp_EXP, imp_EFF, imp_RSK to sum to 100, found other sums: "
        "row 4, column imp_* ('110'), row 5, column imp_* ('150')\n"
        f"{CELLS}"
    )


def test_weights_that_are_all_zero() -> None:
    assert message(csv(answers().assign(sample_weight="0"))) == (
        f"a.csv: 1 problem\n  - expected sample weights above 0, found none\n{TABLE}"
    )


def test_structure_and_cells_in_one_message() -> None:
    assert message(csv(spoilt(e1="8").drop(columns="e2"))) == (
        "a.csv: 2 problems\n"
        "  - expected a column for every item, found none for: e2\n"
        "  - expected a rating from 1 to 7, found a number outside the scale: row 4, column e1 ('8')\n"
        f"{CELLS}"
    )


def test_arguments() -> None:
    csv(answers())
    assert message("a.csv", quarter="2026-3", where={"line": "x"}) == (
        "a.csv: 2 problems\n"
        "  - expected the argument quarter such as 2026Q3, found '2026-3'\n"
        "  - expected column 'line' for `where`, found none\n"
        f"{TABLE}"
    )
    assert message("a.csv", where={"quarter": "2025Q1"}) == (
        f"a.csv: 1 problem\n  - expected records where quarter is 2025Q1, found none; it holds: '2026Q3'\n{TABLE}"
    )
    assert message("a.csv", policy="ignore") == (
        "a.csv: 1 problem\n  - expected policy 'error' or 'missing', found 'ignore'"
    )
    assert message("a.csv", query="SELECT 1") == (
        "a.csv: 1 problem\n  - expected a database URL with `query` or `table`, found a file"
    )


def test_databases() -> None:
    assert message("sqlite:///none.db", table="answers") == (
        "sqlite:///none.db: 1 problem\n"
        "  - expected a database file, found nothing at this path\n"
        "  What to do: check the path"
    )
    sqlite3.connect("a.db").close()
    assert message("sqlite:///a.db") == (
        "sqlite:///a.db: 1 problem\n  - expected either `query` or `table`, found neither"
    )
    assert message("sqlite:///a.db", query="SELECT * FROM answers") == (
        "sqlite:///a.db: 1 problem\n  - expected answers from the database, found: no such table: answers\n"
        "  What to do: check the address, the account and the query"
    )
    assert message("oracle9://a:b@host/x", query="SELECT 1") == (
        "oracle9://a:***@host/x: 1 problem\n"
        "  - expected answers from the database, found: Can't load plugin: sqlalchemy.dialects:oracle9\n"
        "  What to do: check the address, the account and the query"
    )


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://bob:s3cret@localhost:1/bank",
        "postgresql+psycopg://localhost:1/bank?user=bob&password=s3cret",
        "postgresql+psycopg://bob:s3cret@localhost:one/bank",
        "postgresql+nodriver://bob:s3cret@localhost/bank",
    ],
)
def test_no_message_holds_a_password(url: str) -> None:
    with pytest.raises(ResponsesError) as caught:
        read_responses(url, bare(), query="SELECT 1")
    assert "s3cret" not in str(caught.value) + repr(caught.value)
    assert caught.value.__cause__ is None


def test_answers_that_cannot_be_scored() -> None:
    instrument = long()
    frame = pd.DataFrame(4.0, index=range(3), columns=instrument.item_codes).assign(respondent=["a", "b", "c"])
    varied = {code: [1.0, 2, 3] for code in instrument.item_codes[6:]}
    frame = frame.assign(**varied, d1i1=float("nan"))
    with pytest.raises(ResponsesError) as caught:
        check_scorable(Responses(instrument, frame))
    assert str(caught.value) == (
        "responses: 3 problems\n"
        "  - expected at least as many respondents as items (20), found 3\n"
        "  - expected answers to every item, found none to: d1i1\n"
        "  - expected answers that differ between respondents, found one answer to: "
        "d1i2 (always 4), d1i3 (always 4), d1i4 (always 4), d1i5 (always 4), d2i1 (always 4)\n"
        "  What to do: collect more answers, or take the items out of the instrument"
    )


def test_policy_missing_keeps_structural_problems_only() -> None:
    frame = spoilt(e1="8")
    assert read_responses(csv(frame), bare(), policy="missing").frame["e1"].isna().sum() == 1
    assert "row 4" not in message(csv(frame.drop(columns=ITEMS[1])), policy="missing")
