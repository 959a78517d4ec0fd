"""Process analysis: the BPI Challenge 2012 against known figures, small logs by hand, laws, and bad arguments."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sqmodel.errors import OperationsError
from sqmodel.operations.case_durations import ages
from sqmodel.operations.event_chunks import facts_of
from sqmodel.operations.process import End, Hours, Process, Step, load_process
from sqmodel.operations.process_analysis import ProcessAnalysis, analyse_process
from sqmodel.operations.process_intervals import quantiles, share_of_sums, wilson
from sqmodel.operations.process_tally import tally
from sqmodel.operations.survival import kaplan_meier
from sqmodel.operations.working_time import working_calendar
from tests.benchmarks.truth import process as truth
from tests.operations.logs import CALLS, loan_log, log_of
from tests.oracles import reference, shared

CALLED = "W_Nabellen offertes"
VALIDATION = "W_Valideren aanvraag"


@cache
def loans(*, tagged: bool) -> ProcessAnalysis:
    return analyse_process(loan_log(*(CALLS if tagged else ())), draws=300)


@cache
def known() -> dict[str, Any]:
    import json

    text = shared("oracles", "index_and_operations.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)["bpi2012"]
    return found


def test_counts_of_the_loan_log() -> None:
    found, facts = loans(tagged=True), reference("bpic2012")
    assert (found.n, found.events, found.variant_count) == (13087, 262200, known()["variants_names"])
    assert found.steps["events"].to_dict() == facts["activity_counts"]
    assert found.outcomes["n"].to_dict() == {k: known()[k] for k in ("approved", "declined", "cancelled")}
    notes = found.notes.set_index("kind")["count"]
    assert notes["completed without a start"] == facts["unmatched_completes"]
    assert notes.filter(like="started and not completed").sum() == facts["unmatched_starts"]
    assert found.durations.loc["all cases", "open"] == known()["open_at_end"]


def test_work_of_the_loan_log_is_matched_first_in_first_out() -> None:
    steps = loans(tagged=True).steps
    for step, minutes in reference("bpic2012")["work_item_minutes_FIFO_start_complete"].items():
        row = steps.loc[step]
        assert row["working_n"] == minutes["n"]
        for name in ("mean", "median", "p25", "p75", "p90"):
            assert 60 * row[f"working_{name}"] == pytest.approx(minutes[name], abs=1e-6)


def test_validation_waits_a_day_and_is_done_in_minutes() -> None:
    row = loans(tagged=True).steps.loc[VALIDATION]
    assert row["waiting_median"] == pytest.approx(known()["W_Valideren_wait_h_median"], abs=1e-4)
    assert row["working_median"] == pytest.approx(known()["W_Valideren_service_h_median"], abs=1e-4)
    assert row["waiting_low"] < row["waiting_median"] < row["waiting_high"]


def test_durations_of_the_loan_log_count_open_cases() -> None:
    durations = loans(tagged=True).durations
    every, accepted = durations.loc["all cases"], durations.loc["A_PREACCEPTED"]
    assert every["median"] == pytest.approx(known()["KM_median_days_all"], abs=1e-6)
    assert every["ended_only_median"] == pytest.approx(known()["naive_median"], abs=1e-6)
    assert every["within_15"] == pytest.approx(known()["decided_within_15d"]["KM"], abs=1e-5)
    assert every["within_15_ended_only"] == pytest.approx(known()["decided_within_15d"]["naive_decided"], abs=1e-5)
    oracle = known()["preaccepted"]
    assert (accepted["n"], accepted["ended"]) == (oracle["n"], oracle["events"])
    assert accepted["median"] == pytest.approx(oracle["KM_median"], abs=1e-6)
    assert accepted["ended_only_median"] == pytest.approx(oracle["naive_median"], abs=1e-6)
    assert 1 - accepted["within_15"] == pytest.approx(oracle["S15"], abs=1e-5)


def test_spans_give_the_same_durations() -> None:
    log = loan_log()
    spans = log.spans("", [a for e in log.process.ends for a in e.activities]).set_index("case_id")
    accepted = spans.loc[log.spans("A_PREACCEPTED", "A_APPROVED")["case_id"]]
    days = (accepted["until"] - accepted["begin"]).dt.total_seconds() / 86400
    curve = kaplan_meier(days, accepted["finish"].notna())
    assert (curve.n, curve.events) == (known()["preaccepted"]["n"], known()["preaccepted"]["events"])
    assert curve.quantile(0.5).value == pytest.approx(known()["preaccepted"]["KM_median"], abs=1e-6)


def test_outcomes_of_the_loan_log_compete() -> None:
    found, facts = loans(tagged=True), reference("bpic2012")
    for code in ("approved", "declined", "cancelled"):
        median = facts[f"days_from_submit_to_first_A_{code.upper()}"]["median"]
        assert found.outcomes.loc[code, "median_days"] == pytest.approx(median, abs=1e-5)
    total = found.outcomes["within_15"].sum()
    assert total == pytest.approx(found.durations.loc["all cases", "within_15"], abs=1e-9)
    own = found.outcomes.loc[found.outcomes["by"] == "lender", "within_15"].sum()
    assert own < total


def test_with_calls_tagged_validation_is_the_bottleneck_by_itself() -> None:
    found = loans(tagged=True)
    assert found.named == (VALIDATION,)
    first = found.bottlenecks.loc[VALIDATION]
    assert (first["rank"], first["reason"], first["first"]) == (1, "largest", 1)
    calls = found.bottlenecks.loc[CALLED]
    assert (calls["rank"], calls["reason"], calls["named"]) == (0, "not the lender's", False)
    assert calls["why"] == "the definition says that its wait is the client's: kept apart"
    assert found.waits.loc["client", "hours"] > found.waits.loc["lender", "hours"] > 0
    # Pauses are no waits, but a step whose pauses outweigh its waiting says so.
    completing = found.bottlenecks.loc["W_Completeren aanvraag"]
    assert completing["why"].endswith(
        "not counted: 353025 hours laid down between two sessions, more than its waiting; the events do not tell whom "
        "it waited for then"
    )


def test_untagged_both_are_named_and_it_says_why() -> None:
    found = loans(tagged=False)
    assert found.named == (CALLED, VALIDATION)
    assert found.bottlenecks.loc[CALLED, "why"].startswith(
        "the largest: 61 % of the lender's waiting; the definition does not say whose wait this is, so that it counts "
        "as the lender's; it is taken up again 2.4 times an execution, as calls to a client are; if it waits for the "
        f"client, tag it so, and {VALIDATION} is the largest"
    )
    assert found.bottlenecks.loc[VALIDATION, "reason"] == "shared"


def test_the_result_survives_json() -> None:
    found = loans(tagged=True)
    again = ProcessAnalysis.from_json(found.to_json())
    assert repr(again) == repr(found)
    for name, table in found.tables().items():
        pd.testing.assert_frame_equal(again.tables()[name], table, check_dtype=False, check_index_type=False)
    assert repr(found) == (
        "<ProcessAnalysis 13087 cases, 262200 events, 4366 variants, median 0.810 days; "
        "bottleneck: W_Valideren aanvraag>"
    )


def test_an_earlier_instant_forgets_what_came_later() -> None:
    log = loan_log(*CALLS)
    early = analyse_process(log, as_of="2012-01-01T00:00+01:00", draws=100)
    every = log.frame()
    cut = every[every["at"] <= pd.Timestamp("2011-12-31T23:00", tz="UTC")]
    assert (early.events, early.n) == (len(cut), cut["case_id"].nunique())
    notes = early.notes.set_index("kind")
    assert notes.loc["events after as_of, left out", "count"] == 262200 - len(cut)
    assert early.settings["until"] == "2011-12-31T23:00:00Z"
    assert early.durations.loc["all cases", "open"] == early.n - early.outcomes["n"].sum()


PROCESS = Process(
    name="loans",
    origin="apply",
    ends=(End(code="paid", activities=("pay",)),),
    steps=(Step(code="review", rate=100.0), Step(code="documents", wait="client", documents=True, minutes=30, rate=60),
           Step(code="sign", wait="planned")),
)  # fmt: skip


def small() -> list[tuple[Any, ...]]:
    """Case a is smooth, b asks twice for documents and is reviewed twice, c is contradictory, d waits."""
    return [
        ("a", "apply", "complete", 0, "ann"),
        ("a", "documents", "schedule", 0, "ann"), ("a", "documents", "complete", 10, "ann"),
        ("a", "review", "schedule", 10, "ann"), ("a", "review", "start", 14, "bob"),
        ("a", "review", "complete", 16, "bob"),
        ("a", "pay", "complete", 20, "bob"),
        ("b", "apply", "complete", 0, "ann"),
        ("b", "documents", "schedule", 0, "ann"), ("b", "documents", "complete", 20, "ann"),
        ("b", "review", "schedule", 20, "ann"), ("b", "review", "start", 26, "ann"),
        ("b", "review", "complete", 27, "ann"),
        ("b", "documents", "schedule", 27, "ann"), ("b", "documents", "complete", 37, "ann"),
        ("b", "review", "schedule", 37, "ann"), ("b", "review", "start", 45, "cy"),
        ("b", "review", "complete", 48, "cy"),
        ("b", "pay", "complete", 50, "cy"),
        ("c", "pay", "complete", 1, ""), ("c", "apply", "complete", 2, ""), ("c", "review", "complete", 3, ""),
        ("c", "review", "start", 4, ""),
        ("d", "apply", "complete", 30, ""), ("d", "review", "schedule", 40, ""),
    ]  # fmt: skip


def test_a_small_log_by_hand() -> None:
    found = analyse_process(log_of(small(), PROCESS), draws=50)
    review = found.steps.loc["review"]
    assert (review["waiting_n"], review["waiting_median"], review["working_total"]) == (3, 6, 6)
    assert (review["open"], review["open_hours"]) == (1, 10)
    assert math.isnan(review["waiting_low"])
    assert review["reason"] == "waiting: fewer than 6 cases; working: fewer than 6 cases"
    assert found.waits["hours"].to_dict() == {"lender": 28, "client": 40, "planned": 0}
    assert found.rework.loc["review", ["repeats", "cases_with", "hours"]].tolist() == [1, 1, 3]
    assert found.documents.loc["documents"].tolist()[:4] == [2, 3, 1, 1]
    assert found.handovers.loc["review", ["transitions", "handovers", "other_median"]].tolist() == [3, 2, 6]
    costs = found.costs
    assert costs.loc["review", ["cost", "cost_of_rework"]].tolist() == [600, 300]
    assert costs.loc["documents", ["cost", "cost_of_rework"]].tolist() == [90, 30]
    assert costs.loc["documents", "source"] == "minutes of the definition"
    assert costs.loc["total", "per_case"] == 690 / 4
    assert costs.loc["apply", "reason"] == "no working time and no rate"
    notes = found.notes.set_index("kind")
    assert notes.loc["case ends before it begins", ["count", "examples"]].tolist() == [1, "c"]
    assert notes.loc["completed without a start", ["count", "examples"]].tolist() == [1, "c"]
    assert notes.loc["started and not completed, case ended", "count"] == 1
    assert notes.loc["negative duration", "count"] == 0
    assert notes.loc["scheduled and not begun, case open", "examples"] == "d"
    assert found.durations.loc["all cases", ["n", "ended", "open"]].tolist() == [3, 2, 1]


def test_with_a_calendar_nights_are_not_waited_through() -> None:
    events = [("a", "review", "schedule", 16), ("a", "review", "start", 34), ("a", "review", "complete", 35)]
    every_day = Hours(country="", hours=("09:00-17:00",), weekend=())
    found = analyse_process(log_of(events), calendar=working_calendar(every_day, "UTC"), draws=50)
    row = found.steps.loc["review"]
    assert (row["waiting_median"], row["working_median"]) == (2, 1)
    assert found.settings["hours"] == "working hours"


def test_pauses_are_told_and_not_ranked() -> None:
    events = [("a", "call", "schedule", 0), ("a", "call", "start", 1), ("a", "call", "complete", 2),
              ("a", "call", "start", 50), ("a", "call", "complete", 51),
              ("a", "review", "schedule", 51), ("a", "review", "start", 60),
              ("a", "review", "complete", 61)]  # fmt: skip
    found = analyse_process(log_of(events), draws=50).bottlenecks
    assert found.index.tolist() == ["review", "call"]
    assert found["hours"].tolist() == [9, 1]
    assert found["paused_hours"].tolist() == [0, 48]
    assert found.loc["call", "why"] == (
        "10 % of the lender's waiting; not counted: 48 hours laid down between two sessions, more than its waiting; "
        "the events do not tell whom it waited for then"
    )


def test_a_completion_dated_before_its_start_is_a_negative_duration() -> None:
    events = [("a", "review", "start", 5), ("a", "review", "complete", 3), ("b", "review", "start", 5),
              ("b", "review", "complete", 6)]  # fmt: skip
    found = analyse_process(log_of(events), draws=50)
    notes = found.notes.set_index("kind")
    assert notes.loc["negative duration", ["count", "cases", "examples"]].tolist() == [1, 1, "a"]
    assert found.steps.loc["review", "working_n"] == 1


def test_a_log_of_completions_says_so() -> None:
    steps = (("apply", 0), ("review", 5), ("pay", 9))
    events = [(c, s, "complete", h + k) for k, c in enumerate("ab") for s, h in steps]
    found = analyse_process(log_of(events), draws=50)
    assert found.steps["timing"].unique().tolist() == ["previous event to completion, work included"]
    assert found.steps.loc["review", "waiting_median"] == 5
    assert found.named[0] == "review"


def test_a_log_that_never_waits_names_no_bottleneck() -> None:
    found = analyse_process(log_of([("a", "apply", "complete", 0)]), draws=50)
    assert found.named == ()
    assert len(found.bottlenecks) == 0
    assert ProcessAnalysis.from_json(found.to_json()).named == ()


def test_channels_by_hand() -> None:
    rng = np.random.default_rng(1)
    n = 200
    channel = rng.choice(["manual", "voice"], n)
    events = [(f"c{k}", "apply", "complete", k) for k in range(n)]
    minutes = np.where(channel == "manual", 20.0, 10.0) + rng.normal(size=n)
    errors = (rng.random(n) < np.where(channel == "manual", 0.4, 0.1)).astype(float)
    found = analyse_process(log_of(events, channel=channel, entry_minutes=minutes, errors=errors), draws=200).channels
    by = found.set_index("channel")
    frame = pd.DataFrame({"channel": channel, "minutes": minutes, "errors": errors}).groupby("channel").mean()
    for name in ("minutes", "errors"):
        assert by[name].to_dict() == pytest.approx(frame[name].to_dict())
        difference = frame.loc["voice", name] - frame.loc["manual", name]
        assert by.loc["voice", f"{name}_difference"] == pytest.approx(difference)
        assert by.loc["voice", f"{name}_difference_high"] < 0
    assert math.isnan(by.loc["manual", "minutes_difference"])


def test_a_channel_of_few_cases_has_no_interval() -> None:
    events = [(f"c{k}", "apply", "complete", k) for k in range(40)]
    channel = ["voice"] * 3 + ["manual"] * 37
    log = log_of(events, channel=channel, entry_minutes=[float(k) for k in range(40)], errors=[0.0] * 40)
    row = analyse_process(log, draws=50).channels.set_index("channel").loc["voice"]
    assert row["minutes"] == 1
    assert math.isnan(row["minutes_low"])
    assert row["reason"] == "minutes: fewer than 20 cases; errors: fewer than 20 cases"


def test_every_argument_that_makes_no_sense_is_named() -> None:
    log = log_of([("a", "apply", "complete", 0)])
    with pytest.raises(OperationsError) as caught:
        analyse_process(log, within=(0.0, 5.0), top=0, level=1.0, draws=10)
    assert str(caught.value) == (
        "analyse_process: 4 problems\n"
        "  - within: expected days above 0, found 0, 5\n"
        "  - top: expected 1 or more, found 0\n"
        "  - level: expected a share between 0 and 1, found 1\n"
        "  - draws: expected 50 or more, found 10"
    )


def test_bundles_of_cases_give_nearly_the_same_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    chunk, facts = truth.simulate(1900, np.random.default_rng(3))
    from sqmodel.operations import process_tally
    from sqmodel.operations.bottlenecks import bottleneck_frame

    widths = []
    for bundles in (2000, 200):
        monkeypatch.setattr(process_tally, "BUNDLES", bundles)
        found = process_tally.tally_chunks([chunk], facts, truth.PROCESS)
        assert len(found.sizes) == min(bundles, 1900)
        frame = bottleneck_frame(found, truth.PROCESS, level=0.95, draws=2000, rng=np.random.default_rng(1))
        widths.append((frame["high"] - frame["low"]).to_numpy())
        assert frame["per_case"].notna().all()
    assert widths[1] == pytest.approx(widths[0], rel=0.2)


def test_quantiles_of_independent_durations_are_those_of_order_statistics() -> None:
    rng = np.random.default_rng(5)
    hours = rng.exponential(10, 400)
    found = quantiles(hours, np.arange(400), 400, 0.95)
    ordered = np.sort(hours)
    # Ranks 180 and 221 bound the median of 400 by the binomial distribution.
    assert ordered[176] < found.low < ordered[184]
    assert ordered[216] < found.high < ordered[224]
    assert quantiles(np.empty(0), np.empty(0, int), 10, 0.95).reason == "no duration"


def test_shares_at_their_edges() -> None:
    share, low, high = wilson([0, 5, 0], [10, 5, 0], 0.95)
    assert share[:2].tolist() == [0, 1]
    assert (low[0], high[1]) == (0, 1)
    assert np.isnan([share[2], low[2], high[2]]).all()
    assert math.isnan(share_of_sums(np.zeros(3), np.zeros(3), 0.95)[0])
    assert share_of_sums(np.zeros(30), np.ones(30), 0.95)[:2] == (0, 0)


def test_the_shipped_process_finds_nodes_and_documents() -> None:
    process = load_process("lending_process")
    events = [("a", "application", "complete", 0), ("a", "documents", "schedule", 0), ("a", "documents", "complete", 9),
              ("a", "credit_approval", "start", 10), ("a", "credit_approval", "complete", 12),
              ("a", "disbursement", "complete", 30)]  # fmt: skip
    found = analyse_process(log_of(events, process, urgent="no", amount=1.0), draws=50)
    assert found.durations.index.tolist() == ["all cases", "credit_approval", "disbursement"]
    assert found.documents.index.tolist() == ["documents"]
    assert found.outcomes.loc["disbursed", "n"] == 1


def test_ages_leave_out_what_contradicts_itself() -> None:
    log = log_of(small(), PROCESS)
    facts = facts_of(log)
    days, ended = ages(tally(log, facts).cases, facts.until)
    assert int(np.isnan(days).sum()) == 1
    assert int(ended.sum()) == 3


def test_the_planted_bottleneck_is_found_on_simulated_cases() -> None:
    found = sum((truth.checks(60, np.random.default_rng(k), draws=100) for k in range(5)), truth.Counter())
    assert found["planted bottleneck first"] == 5
