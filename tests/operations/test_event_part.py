"""Part of an event log: the chosen cases as they are in the whole, in a database of its own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations.event_part import part_of
from sqmodel.operations.events import EventLog
from sqmodel.operations.process import End, Process
from sqmodel.operations.process_analysis import analyse_process
from tests.operations.logs import log_of

PROCESS = Process(name="loans", origin="apply", ends=(End(code="paid", activities=("pay",)),), attributes=("branch",))
NAMED = ("a", "b", "it's", 'a"b', "中文")
EVENTS = [
    event
    for k, case in enumerate(NAMED)
    for event in (
        (case, "apply", "complete", k), (case, "review", "schedule", k + 1), (case, "review", "start", k + 3),
        (case, "review", "complete", k + 4 + k), (case, "pay", "complete", 20 + k),
    )[: 5 - k % 2]
]  # fmt: skip
BRANCH = [f"branch {event[0]}" for event in EVENTS]


@pytest.fixture(scope="module")
def log() -> Iterator[EventLog]:
    with log_of(EVENTS, PROCESS, branch=BRANCH) as found:
        yield found


def rows(frame: pd.DataFrame, cases: set[str]) -> pd.DataFrame:
    return frame[frame["case_id"].isin(cases)].reset_index(drop=True)


@settings(max_examples=12, deadline=None)
@given(chosen=st.lists(st.sampled_from([*NAMED, "unknown"]), min_size=1).filter(lambda c: set(c) != {"unknown"}))
def test_the_part_tells_of_its_cases_what_the_whole_tells(log: EventLog, chosen: list[str]) -> None:
    own = set(chosen)
    with part_of(log, chosen) as part:
        assert len(part) == sum(event[0] in own for event in EVENTS)
        pd.testing.assert_frame_equal(part.frame(), rows(log.frame(), own))
        pd.testing.assert_frame_equal(part.steps(), rows(log.steps(), own))
        whole = log.cases()
        pd.testing.assert_frame_equal(
            part.cases().drop(columns="last"), whole[whole.index.isin(own)].drop(columns="last")
        )
        assert part.process is log.process


def test_as_of_an_instant_too(log: EventLog) -> None:
    then = "2026-06-01T06:00Z"
    with part_of(log, ["b", "a"]) as part:
        pd.testing.assert_frame_equal(
            part.spans("apply", "pay", then), rows(log.spans("apply", "pay", then), {"a", "b"})
        )
        assert analyse_process(part, as_of=then, draws=50).n == 2


def test_it_is_named_after_the_whole_and_its_counts_are_its_own(log: EventLog) -> None:
    with part_of(log, pd.Index(["a"])) as part:
        assert repr(part) == f"<EventLog part of {log.reading.source}: 5 events of 1 cases>"
        assert (part.reading.events, part.reading.cases, part.reading.source) == (5, 1, "part of data frame")
        assert len(part.reading.changes) == 0
        assert part.reading.last < log.reading.last


def test_each_can_be_closed_and_the_other_lives_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = tmp_path / "it's a folder"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    log = log_of(EVENTS, PROCESS, branch=BRANCH)
    first, second = part_of(log, ["a"]), part_of(log, ["b"])
    first.close()
    assert len(log.cases()) == len(NAMED)
    log.close()
    assert second.cases().index.tolist() == ["b"]
    second.close()
    assert list(odd.iterdir()) == []


def test_nothing_is_left_in_the_whole(log: EventLog) -> None:
    def names() -> list[tuple[str, ...]]:
        return sorted(log.connection.execute("SELECT table_name FROM information_schema.tables").fetchall())

    before = names()
    part_of(log, ["a"]).close()
    assert names() == before
    with part_of(log, ["a"]) as part, part_of(part, ["a"]) as again:
        assert again.frame().equals(part.frame())


def test_no_case_is_an_empty_log(log: EventLog) -> None:
    for nobody in ([], ["unknown"]):
        with part_of(log, nobody) as part:
            assert len(part) == 0
            assert len(part.frame()) == 0
            with pytest.raises(OperationsError):
                part.cases(as_of="2026-06-01T06:00Z")


def test_a_part_of_a_closed_log_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    log = log_of(EVENTS, PROCESS, branch=BRANCH)
    log.close()
    with pytest.raises(duckdb.Error):
        part_of(log, ["a"])
    assert list(tmp_path.iterdir()) == []
