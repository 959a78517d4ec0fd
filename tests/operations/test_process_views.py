"""Cases, executions and spans: matched by hand, against a slow twin, and with faults in the log."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import OperationsError
from sqmodel.operations.event_chunks import NEVER, Chunk, Facts, facts_of, read_chunks
from sqmodel.operations.executions import KINDS, find_executions
from sqmodel.operations.process import End, Process, Step
from sqmodel.operations.working_time import working_calendar
from tests.operations.logs import log_of

DAY_ONE = pd.Timestamp("2026-06-01", tz="UTC")
WORDS = ("schedule", "start", "complete")
PROCESS = Process(
    name="loans",
    origin="apply",
    ends=(End(code="paid", activities=("pay",)), End(code="left", activities=("withdraw",), by="client")),
)


def hours(column: pd.Series[Any]) -> list[float | None]:
    """Hours since the first of June."""
    return [None if pd.isna(v) else (v - DAY_ONE).total_seconds() / 3600 for v in column]


def test_a_step_waits_from_its_scheduling_and_is_laid_down_between_sessions() -> None:
    log = log_of(
        [("a", "review", "schedule", 0, "ann"), ("a", "review", "start", 5, "ann"),
         ("a", "review", "complete", 6, "ann"),
         ("a", "review", "start", 9, "bob"), ("a", "review", "complete", 11, "bob"),
         ("a", "review", "schedule", 12, "bob"), ("a", "review", "start", 20, "bob"),
         ("a", "review", "complete", 21, "bob")]
    )  # fmt: skip
    steps = log.steps()
    assert steps["kind"].tolist() == ["schedule", "resumed", "schedule"]
    assert steps["waiting_hours"].tolist() == pytest.approx([5, np.nan, 8], nan_ok=True)
    assert steps["paused_hours"].tolist() == pytest.approx([np.nan, 3, np.nan], nan_ok=True)
    assert steps["working_hours"].tolist() == [1, 2, 1]
    assert steps["repeat"].tolist() == [0, 0, 1]
    assert steps["resource"].tolist() == ["ann", "bob", "bob"]


def test_completions_end_the_oldest_work_first() -> None:
    events = [("a", "review", "start", 0), ("a", "review", "start", 1), ("a", "review", "complete", 4),
              ("a", "review", "complete", 9), ("a", "review", "complete", 10)]  # fmt: skip
    steps = log_of(events).steps()
    assert steps["working_hours"].tolist() == pytest.approx([4, 8, np.nan], nan_ok=True)
    assert hours(steps["started"]) == [0, 1, None]


def test_a_step_without_scheduling_waits_since_the_last_completion_of_the_case() -> None:
    events = [("a", "apply", "start", 0), ("a", "apply", "complete", 1), ("a", "review", "start", 7),
              ("a", "review", "complete", 8), ("a", "review", "start", 10),
              ("a", "review", "complete", 12)]  # fmt: skip
    steps = log_of(events).steps()
    assert steps["kind"].tolist() == ["previous", "previous", "previous"]
    assert steps["waiting_hours"].tolist() == pytest.approx([np.nan, 6, 2], nan_ok=True)
    assert steps["repeat"].tolist() == [0, 0, 1]


def test_a_log_of_completions_tells_the_time_since_the_previous_event() -> None:
    events = [("a", "apply", "complete", 0), ("a", "review", "complete", 4), ("a", "pay", "complete", 5)]
    steps = log_of(events).steps()
    assert set(steps["kind"]) == {"elapsed"}
    assert steps["waiting_hours"].tolist() == pytest.approx([np.nan, 4, 1], nan_ok=True)
    assert steps["working_hours"].isna().all()


def test_where_work_is_timed_a_step_with_completions_only_is_a_state() -> None:
    events = [("a", "submitted", "complete", 0), ("a", "review", "start", 4), ("a", "review", "complete", 5),
              ("a", "approved", "complete", 9)]  # fmt: skip
    steps = log_of(events).steps()
    assert steps["kind"].tolist() == ["status", "previous", "status"]
    assert steps["waiting_hours"].tolist() == pytest.approx([np.nan, 4, np.nan], nan_ok=True)


def test_what_is_scheduled_and_never_begun_is_pending() -> None:
    events = [("a", "documents", "schedule", 0), ("a", "documents", "complete", 30), ("a", "documents", "schedule", 40),
              ("b", "documents", "schedule", 1), ("b", "documents", "schedule", 2)]  # fmt: skip
    steps = log_of(events).steps()
    assert steps["kind"].tolist() == ["schedule", "pending", "pending"]
    assert hours(steps["scheduled"]) == [0, 40, 2]
    assert steps["waiting_hours"].tolist() == pytest.approx([30, np.nan, np.nan], nan_ok=True)


def test_what_happened_later_is_unknown() -> None:
    events = [("a", "apply", "complete", 0), ("a", "review", "schedule", 1), ("a", "review", "start", 9),
              ("a", "review", "complete", 12), ("a", "pay", "complete", 13),
              ("b", "apply", "complete", 11)]  # fmt: skip
    log = log_of(events, PROCESS)
    then = DAY_ONE + pd.Timedelta(hours=10)
    cases = log.cases(as_of=then)
    assert cases.index.tolist() == ["a"]
    assert cases.loc["a", "outcome"] == "open"
    assert hours(cases["last"]) == [10]
    running = log.steps(as_of=then).query("step == 'review'").iloc[0]
    assert running["waiting_hours"] == 8
    assert pd.isna(running["completed"])
    assert log.cases().loc["a", "outcome"] == "paid"
    # A time zone is heeded, and text is read too.
    assert log.cases(as_of="2026-06-01T18:00+08:00").equals(cases)


def test_cases_begin_at_the_origin_and_end_once() -> None:
    events = [("a", "call", "complete", 0), ("a", "apply", "complete", 2), ("a", "pay", "complete", 8),
              ("a", "withdraw", "complete", 9), ("b", "pay", "complete", 1), ("b", "apply", "complete", 3),
              ("c", "call", "complete", 5)]  # fmt: skip
    cases = log_of(events, PROCESS).cases()
    assert hours(cases["begin"]) == [2, 3, None]
    assert hours(cases["end"]) == [8, 1, None]
    assert cases["outcome"].tolist() == ["paid", "paid", "open"]
    assert cases["by"].tolist() == ["lender", "lender", ""]
    assert cases["contradictory"].tolist() == [False, True, False]
    assert cases["events"].tolist() == [4, 2, 1]


def test_without_ends_a_case_ends_with_its_last_event() -> None:
    cases = log_of([("a", "apply", "complete", 2), ("a", "pay", "complete", 8)]).cases()
    assert cases["outcome"].tolist() == ["ended"]
    assert hours(cases["end"]) == [8]


def test_spans_are_censored_at_the_end_of_the_log_or_of_the_case() -> None:
    events = [("a", "apply", "complete", 0), ("a", "review", "start", 4), ("a", "review", "complete", 6),
              ("b", "apply", "complete", 1), ("b", "withdraw", "complete", 3), ("c", "apply", "complete", 2),
              ("d", "review", "start", 1), ("d", "review", "complete", 2), ("d", "apply", "complete", 9),
              ("e", "call", "complete", 10)]  # fmt: skip
    spans = log_of(events, PROCESS).spans("apply", ["review"]).set_index("case_id")
    assert spans.index.tolist() == ["a", "b", "c", "d"]
    assert hours(spans["finish"]) == [6, None, None, None]
    assert hours(spans["until"]) == [6, 3, 10, 10]
    assert spans["ended"].tolist() == [False, True, False, False]
    assert spans["before"].tolist() == [False, False, False, True]
    started = log_of(events, PROCESS).spans("", "review/start").set_index("case_id")
    assert hours(started["finish"]) == [4, None, None, None]


def test_unknown_steps_of_a_span_are_refused() -> None:
    log = log_of([("a", "apply", "complete", 0), ("a", "pay", "complete", 1)], PROCESS)
    with pytest.raises(OperationsError) as caught:
        log.spans("aply", ["pay", "paid/start"])
    assert str(caught.value) == (
        "loans: 1 problem\n"
        "  - expected activities of the process, such as apply, pay, withdraw; found others: paid/start, aply\n"
        "  What to do: correct the names of the span"
    )


@pytest.mark.parametrize(
    ("moment", "message"),
    [
        ("soon", "as_of: 1 problem\n  - expected an instant such as 2026-06-30T18:00+08:00, found 'soon'"),
        (pd.NaT, "as_of: 1 problem\n  - expected an instant such as 2026-06-30T18:00+08:00, found NaT"),
        (
            "2020-01-01",
            "as_of: 1 problem\n  - expected events up to 2020-01-01T00:00:00Z, found none\n"
            "  What to do: take a later instant",
        ),
    ],
)  # fmt: skip
def test_an_instant_that_is_none_is_refused(moment: Any, message: str) -> None:
    log = log_of([("a", "apply", "complete", 0)])
    with pytest.raises(OperationsError) as caught:
        log.cases(as_of=moment)
    assert str(caught.value) == message


def test_working_hours_leave_out_nights() -> None:
    process = Process(name="p", time_zone="UTC", steps=(Step(code="review"),))
    calendar = working_calendar(process.calendar.model_copy(update={"hours": ("09:00-17:00",), "country": ""}), "UTC")
    events = [("a", "review", "schedule", 16), ("a", "review", "start", 34), ("a", "review", "complete", 35)]
    log = log_of(events, process)
    from sqmodel.operations.process_views import steps

    found = steps(log, calendar=calendar)
    assert found["waiting_hours"].tolist() == [2]
    assert found["working_hours"].tolist() == [1]


EVENTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.sampled_from(["x", "y", "z"]), st.sampled_from(WORDS), st.integers(0, 6)),
    min_size=1,
    max_size=40,
)


def slow(events: list[tuple[str, str, str, int]]) -> set[tuple[Any, ...]]:
    """The same rules, one event after another; only for logs where some work is timed."""
    seen = {(a, w) for _, a, w, _ in events}
    groups: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    by_case: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for position, (case, activity, word, hour) in enumerate(events):
        groups[case, activity].append((hour, position, word))
        by_case[case].append((hour, position, word))
    found = set()
    for (case, activity), members in groups.items():
        if not seen & {(activity, "schedule"), (activity, "start")}:
            continue
        has_start, has_schedule = (activity, "start") in seen, (activity, "schedule") in seen
        open_, pending, last_done, count, begun_before = [], None, None, 0, False
        rows: list[dict[str, Any]] = []
        for hour, position, word in sorted(members):
            if word == "schedule":
                pending = hour
                continue
            alone = word == "complete" and not open_
            if word == "complete" and open_:
                open_.pop(0)["completed"] = hour
            else:
                again = pending is None and begun_before and (has_schedule or (alone and has_start))
                row = {"started": None if alone else hour, "completed": hour if alone else None, "scheduled": None,
                       "ready": None, "kind": ""}  # fmt: skip
                if not alone or not has_start:
                    earlier = [h for h, p, w in sorted(by_case[case]) if w == "complete" and (h, p) < (hour, position)]
                    first = min(by_case[case])
                    since = earlier[-1] if earlier else first[0] if first[:2] != (hour, position) else None
                    row["kind"], row["ready"] = "previous", since
                    if pending is not None:
                        row["kind"], row["ready"], row["scheduled"] = "schedule", pending, pending
                    elif again:
                        row["kind"], row["ready"] = "resumed", last_done
                count += not again
                row["repeat"] = count - 1
                begun_before, pending = True, None
                rows.append(row)
                if not alone:
                    open_.append(row)
            if word == "complete":
                last_done = hour
        if pending is not None:
            rows.append({"started": None, "completed": None, "scheduled": pending, "ready": pending,
                         "kind": "pending", "repeat": count})  # fmt: skip
        names = ("kind", "scheduled", "ready", "started", "completed", "repeat")
        found |= {(case, activity, k, *(row[n] for n in names)) for k, row in enumerate(rows)}
    return found


def chunk_of(events: list[tuple[str, str, str, int]]) -> tuple[Chunk, Facts]:
    """Events as a chunk, without DuckDB."""
    rows = sorted((case, hour, k, activity, word) for k, (case, activity, word, hour) in enumerate(events))
    names = sorted({e[1] for e in events})
    key = np.array([ord(r[0]) for r in rows], np.uint64)
    begins = np.concatenate([[True], key[1:] != key[:-1]])
    activity = np.array([names.index(r[3]) for r in rows], np.uint16)
    lifecycle = np.array([WORDS.index(r[4]) for r in rows], np.uint8)
    counts = np.zeros((len(names), 4), np.int64)
    np.add.at(counts, (activity, lifecycle), 1)
    none = np.full(len(rows), np.nan)
    chunk = Chunk(key, np.cumsum(begins) - 1, np.flatnonzero(begins), activity, lifecycle,
                  np.array([r[1] for r in rows]), np.zeros(len(rows), np.uint64), np.array([r[2] for r in rows]),
                  np.full(len(rows), -1, np.int16), none, none)  # fmt: skip
    return chunk, Facts(names, counts, [], len(chunk.first), 10, None)


@settings(max_examples=300, deadline=None)
@given(EVENTS)
def test_matching_agrees_with_a_slow_twin(events: list[tuple[str, str, str, int]]) -> None:
    chunk, facts = chunk_of(events)
    if not facts.timed.any():
        return
    found = find_executions(chunk, facts)
    result, numbers = set(), defaultdict(int)
    order = np.lexsort((found.row, found.kind == KINDS.index("pending"), found.step, found.case))
    for i in order:
        name = (chr(chunk.key[chunk.first][found.case[i]]), facts.activities[found.step[i]])
        instants = (found.scheduled, found.ready, found.started, found.completed)
        times = (None if v[i] == NEVER else int(v[i]) for v in instants)
        result.add((*name, numbers[name], KINDS[found.kind[i]], *times, int(found.repeat[i])))
        numbers[name] += 1
    assert result == slow(events)


@settings(max_examples=20, deadline=None)
@given(EVENTS, st.randoms())
def test_the_order_of_rows_at_other_instants_does_not_matter(events: Any, random: Any) -> None:
    distinct = list({(e[0], e[1], e[3]): e for e in events}.values())
    spread = [(c, a, w, h + k / 1000) for k, (c, a, w, h) in enumerate(distinct)]
    shuffled = random.sample(spread, len(spread))
    pd.testing.assert_frame_equal(log_of(spread).steps(), log_of(shuffled).steps())


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_chunks_hold_whole_cases_whatever_their_size(size: int) -> None:
    events = [(f"c{k % 5}", "xy"[k % 2], WORDS[k % 3], k) for k in range(60)]
    log = log_of(events)
    facts = facts_of(log)
    chunks = list(read_chunks(log, facts, size=size))
    keys = [set(c.key.tolist()) for c in chunks]
    assert sum(len(c) for c in chunks) == 60
    assert sum(map(len, keys)) == len(set().union(*keys)) == 5
    for chunk in chunks:
        same = np.diff(chunk.case) == 0
        assert (np.diff(chunk.at)[same] >= 0).all()
