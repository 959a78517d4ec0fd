"""Actions: gains by hand, the planted first is first, whose wait it is counts, and nothing doubtful is called sure."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import InputError
from sqmodel.index.actions import Actions, rank_actions
from sqmodel.index.drivers import Drivers, find_drivers
from sqmodel.index.priorities import Priorities, find_priorities
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.operations.events import read_events
from sqmodel.operations.process import Process
from sqmodel.operations.process_analysis import ProcessAnalysis, analyse_process
from tests.benchmarks.truth.drivers import LIMIT, cases
from tests.benchmarks.truth.priorities import gaps, kept, measured, one
from tests.index.surveys import measured as surveyed
from tests.index.surveys import quarter
from tests.survey.small_instrument import ITEMS, bare

N = 200


def study(plant: str = "item", seed: int = 1) -> tuple[Measure, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    answers, features = cases(N, rng)
    return measured(answers, features.index, gaps(plant), rng), features


def points(measure: Measure, weights: Weights | None = None) -> Priorities:
    return find_priorities(measure, weights=weights or derive_weights(measure), draws=200)


@pytest.fixture(scope="module")
def priorities() -> Priorities:
    return points(study()[0])


@pytest.fixture(scope="module")
def drivers() -> Drivers:
    measure, features = study()
    return find_drivers(measure, features, limits={"wait_a": [LIMIT, 40.0]}, draws=1000)


@pytest.fixture(scope="module")
def process() -> ProcessAnalysis:
    """Waits for a are the lender's, those for b the client's."""
    rows = []
    for case in range(6):
        begin = pd.Timestamp("2026-01-05", tz="UTC") + pd.Timedelta(days=case)
        for step, hours in (("start", 0), ("a", 5), ("b", 15)):
            rows.append((f"x{case}", step, begin + pd.Timedelta(hours=hours)))
    log = read_events(
        pd.DataFrame(rows, columns=["case_id", "activity", "timestamp"]),
        process=Process.model_validate({"name": "p", "steps": [{"code": "b", "wait": "client"}]}),
    )
    return analyse_process(log, draws=50)


def row(actions: Actions, code: str) -> Any:
    return actions.candidates.loc[code]


def test_an_item_gains_weight_over_items_times_shortfall() -> None:
    frame = quarter(100, 1)
    measure = surveyed(frame)
    weights = derive_weights(measure, method="given", given={"EXP": 0.5, "EFF": 0.3, "RSK": 0.2})
    got = rank_actions(points(measure, weights))
    for code, share in zip(ITEMS, (0.25, 0.25, 0.15, 0.15, 0.1, 0.1), strict=True):
        short = (measure.current.expectations[code] - measure.current.items[code]) / 6 * 100
        error = short.std(ddof=1) / np.sqrt(100)
        half = 1.984216952 * error * share
        assert row(got, code)["gain"] == pytest.approx(share * short.mean())
        assert row(got, code)["importance"] == pytest.approx(share)
        assert row(got, code)["headroom"] == pytest.approx(short.mean())
        bounds = (share * short.mean() - half, share * short.mean() + half)
        assert tuple(row(got, code)[["low", "high"]]) == pytest.approx(bounds, rel=1e-6)


def test_raising_an_item_by_its_headroom_moves_the_index_by_its_gain() -> None:
    frame = quarter(60, 2)
    before, after = surveyed(frame), surveyed(frame.assign(e1=frame["e1_exp"]))
    weights = derive_weights(before, method="given", given={"EXP": 0.6, "EFF": 0.3, "RSK": 0.1})
    index = [
        float((m.current.dimension_scores() * weights.table["weight"]).sum(axis=1).mean()) for m in (before, after)
    ]
    assert row(rank_actions(points(before, weights)), "e1")["gain"] == pytest.approx(index[1] - index[0])


def test_weights_by_allocation_add_their_own_error() -> None:
    measure = surveyed(quarter(80, 3))
    fixed = derive_weights(measure, method="allocation", draws=100)
    given_ = derive_weights(measure, method="given", given=fixed.table["weight"].to_dict())
    own, without = (row(rank_actions(points(measure, w)), "e1") for w in (fixed, given_))
    assert own["gain"] == pytest.approx(without["gain"])
    assert own["importance_high"] > own["importance"] == without["importance_high"]


def test_drivers_and_standards_are_importance_times_headroom(priorities: Priorities, drivers: Drivers) -> None:
    _, features = study()
    got = rank_actions(priorities, drivers=drivers, compliance=kept(features["breach_a"]))
    told = got.candidates.dropna(subset=["gain"])
    assert told["gain"].to_numpy() == pytest.approx((told["importance"] * told["headroom"]).to_numpy())
    worth = drivers.worth[drivers.worth["outcome"] == "overall"].set_index(["feature", "limit"])
    wait = row(got, "wait_a")
    assert wait["limit"] == 40.0
    assert wait["gain"] == pytest.approx(worth["change"]["wait_a", 40.0])
    assert tuple(wait[["low", "high"]]) == pytest.approx(tuple(worth.loc[("wait_a", 40.0), ["low", "high"]]), rel=0.1)
    standard = row(got, "standard_a")
    assert standard["source"] == "standard"
    assert standard["headroom"] == pytest.approx(0.9 - (1 - features["breach_a"].mean()))
    assert standard["gain"] == pytest.approx(-worth["slope"]["breach_a", 0.0] * standard["headroom"])
    assert "breach_a" not in got.candidates.index
    assert row(got, "wait_b")["reason"] == "no limit is given to which it would be cut"
    assert set(standard["overlaps"].split(", ")) == {"f1", "f2", "wait_a"}


def test_a_limit_that_is_not_surely_missed_is_no_candidate(priorities: Priorities, drivers: Drivers) -> None:
    few = pd.Series([1.0] * 2 + [0.0] * 18)
    got = rank_actions(priorities, drivers=drivers, compliance=kept(few)).candidates
    assert set(got["source"]) == {"item", "driver"}
    assert "breach_a" in got.index


def test_without_drivers_a_missed_limit_has_no_figure_and_says_why(priorities: Priorities) -> None:
    _, features = study()
    got = rank_actions(priorities, compliance=kept(features["breach_a"]))
    assert np.isnan(row(got, "standard_a")["gain"])
    assert row(got, "standard_a")["reason"] == "without drivers nothing tells what a breach costs"
    assert got.candidates.index[-1] == "standard_a"


def test_joint_bounds_are_those_of_sidak(priorities: Priorities) -> None:
    from scipy import stats

    got = rank_actions(priorities).candidates
    table = priorities.index_points.loc[got.index]
    critical = (got["joint_high"] - got["gain"]) / table["gain_se"]
    expected = stats.t.ppf((1 + 0.95 ** (1 / 18)) / 2, N - 1)
    assert critical.to_numpy() == pytest.approx(np.full(6, expected), rel=1e-6)


def test_an_item_that_satisfaction_does_not_go_with_is_not_sure() -> None:
    frame = quarter(300, 1, e1=-1.5)
    felt = rank_actions(points(surveyed(frame)))
    assert felt.first == ("e1",)
    lost = frame.assign(csat=np.random.default_rng(1).permutation(frame["csat"].to_numpy()))
    got = rank_actions(points(surveyed(lost)))
    assert row(got, "e1")["gain"] == row(felt, "e1")["gain"]
    assert row(got, "e1")["versus_mean_low"] > 0 > row(got, "e1")["correlation_low"]
    assert got.first == ()


def test_what_covers_zero_or_does_not_exceed_the_mean_item_is_not_sure(
    priorities: Priorities, drivers: Drivers
) -> None:
    got = rank_actions(priorities, drivers=drivers)
    table = got.candidates
    sure = table[table["sure"].astype(bool)]
    assert (sure["joint_low"] > 0).all()
    items = table["source"] == "item"
    assert (table.loc[items, "joint_low"] > 0).sum() > sure.index.isin(table.index[items]).sum() == 1
    assert (sure.loc[sure["source"] == "item", "versus_mean_low"] > 0).all()


def test_the_first_are_the_sure_ones_by_gain_and_no_matter_twice(priorities: Priorities, drivers: Drivers) -> None:
    got = rank_actions(priorities, drivers=drivers)
    assert got.first[0] == "e2"
    assert len(got.leading) == 3
    assert len({"wait_a", "breach_a"} & set(got.leading.index)) == 1
    order = got.leading.sort_values(["sure", "gain"], ascending=False).index
    assert list(got.leading.index) == list(order)
    gain = got.candidates["gain"].dropna()
    assert gain.is_monotonic_decreasing
    assert repr(got).startswith("<Actions n=200, 10 candidates: e2 +2.")


@pytest.mark.parametrize(("plant", "code"), [("item", "e2"), ("wait", "wait_a"), ("standard", "standard_a")])
def test_the_planted_first_is_shown(plant: str, code: str) -> None:
    for seed in range(2):
        assert code in one(N, plant, np.random.default_rng(seed)).leading.index


def test_with_nothing_planted_nothing_is_sure() -> None:
    for seed in range(2):
        got = one(N, "none", np.random.default_rng(seed))
        assert got.first == ()
        assert repr(got).endswith("nothing is sure>")
        assert not got.leading["sure"].any()


def test_whose_wait_it_is_counts(priorities: Priorities, drivers: Drivers, process: ProcessAnalysis) -> None:
    worth = drivers.worth.copy()
    limited = drivers.worth[drivers.worth["feature"] == "wait_a"].assign(feature="wait_b")
    told = Drivers(**{**vars(drivers), "worth": pd.concat([worth, limited])})
    got = rank_actions(priorities, drivers=told, process=process)
    assert (row(got, "wait_a")["controllability"], row(got, "wait_a")["controlled_by"]) == (1.0, "process")
    other = row(got, "wait_b")
    assert (other["controllability"], other["controlled_by"], other["gain"]) == (0.0, "process", 0.0)
    assert other["reason"] == "nothing of it is the lender's to move"
    assert not other["sure"]
    assert row(got, "e1")["controlled_by"] == "assumed"
    assert row(got, "breach_a")["controlled_by"] == "process"


def test_what_is_given_goes_before_what_the_process_says(
    priorities: Priorities, drivers: Drivers, process: ProcessAnalysis
) -> None:
    shares = {"wait_a": 0.25, "e2": 0.5, "wait_gone": 0.5}
    plain = rank_actions(priorities, drivers=drivers, process=process)
    got = rank_actions(priorities, drivers=drivers, process=process, controllability=shares)
    for code, share in (("wait_a", 0.25), ("breach_a", 0.25), ("e2", 0.5)):
        assert row(got, code)["controlled_by"] == "given"
        for column in ("gain", "low", "high", "joint_low", "joint_high"):
            assert row(got, code)[column] == pytest.approx(share * row(plain, code)[column])
    assert "controllability: wait_gone is no candidate in these data" in got.notes


@given(share=st.floats(0.05, 1))
@settings(max_examples=20, deadline=None)
def test_what_can_be_moved_scales_the_gain(priorities: Priorities, share: float) -> None:
    shares = dict.fromkeys(ITEMS, share)
    got, whole = (rank_actions(priorities, controllability=c).candidates for c in (shares, None))
    pd.testing.assert_series_equal(got["gain"], share * whole["gain"])
    assert list(got["sure"]) == list(whole["sure"])


def test_an_item_without_expectations_has_a_reason() -> None:
    frame = quarter(60, 1)
    frame.loc[5:, "e1_exp"] = np.nan
    got = rank_actions(points(surveyed(frame)))
    assert row(got, "e1")["reason"] == "fewer than 10 clients stated what they expect"
    assert np.isnan(row(got, "e1")["gain"])
    assert got.candidates["gain"].notna().sum() == 5
    assert got.candidates["versus_mean_low"].notna().sum() == 5
    assert "without a figure: 1 candidates, each with its reason" in got.notes


def test_without_satisfaction_there_is_no_second_opinion() -> None:
    got = rank_actions(points(surveyed(quarter(60, 1), instrument=bare())))
    assert got.settings["target"] == "average"
    assert got.candidates["satisfaction"].isna().all()
    with_it = rank_actions(points(surveyed(quarter(60, 1))))
    assert with_it.candidates["satisfaction"].notna().all()


def test_all_wrong_shares_are_told_at_once(priorities: Priorities) -> None:
    with pytest.raises(InputError) as caught:
        rank_actions(priorities, controllability={"e1": 1.5, "e22": 0.5, "wait_a": True, "profit": -1}, level=95)
    assert str(caught.value) == (
        "rank_actions: 6 problems\n"
        "  - level: expected a number between 0 and 1, found 95\n"
        "  - controllability: e1: expected a share between 0 and 1, found 1.5\n"
        "  - controllability: expected an item, wait_..., rework_..., breach_..., standard_..., found 'e22'; "
        "did you mean 'e2'?\n"
        "  - controllability: wait_a: expected a share between 0 and 1, found True\n"
        "  - controllability: profit: expected a share between 0 and 1, found -1\n"
        "  - controllability: expected an item, wait_..., rework_..., breach_..., standard_..., found 'profit'\n"
        "  What to do: give shares of candidates that the lender can move"
    )


def test_the_same_seed_gives_the_same_actions_and_json_keeps_them(priorities: Priorities, drivers: Drivers) -> None:
    first, second = (rank_actions(priorities, drivers=drivers, rng=3) for _ in range(2))
    pd.testing.assert_frame_equal(first.candidates, second.candidates)
    again = Actions.from_json(json.loads(json.dumps(first.to_json())))
    assert again.first == first.first
    pd.testing.assert_frame_equal(again.candidates, first.candidates, check_dtype=False)
