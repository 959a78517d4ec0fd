"""Priorities: gains by hand, what stands out is found, and chance is not."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from sqmodel.index.priorities import MOST_ACTIONS, Priorities, find_priorities
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.measurement.reliability import assess_reliability
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from tests.index.surveys import DIMENSIONS, measured, quarter, shuffled
from tests.survey.small_instrument import ITEMS, bare, small

ANSWERS = [*ITEMS, *(f"{c}_exp" for c in ITEMS), "csat", *(f"imp_{d}" for d in DIMENSIONS)]


def found(measure: Measure, draws: int = 200, seed: int = 0) -> Priorities:
    return find_priorities(measure, weights=derive_weights(measure), draws=draws, rng=seed)


def without_expectations() -> Instrument:
    return small(expectation_suffix=None)


def test_gain_is_slope_over_items_times_shortfall() -> None:
    frame = quarter(100, 1)
    measure = measured(frame)
    table = found(measure).candidates
    x = measure.current.dimension_scores().to_numpy()
    y = (frame["csat"].to_numpy() - 1) / 9 * 100
    slopes = np.linalg.lstsq(np.column_stack([np.ones(100), x]), y, rcond=None)[0][1:]
    for item in ITEMS:
        wished, own = measure.current.expectations[item].mean(), measure.current.items[item].mean()
        row = table.loc[item]
        assert row["performance"] == pytest.approx((own - 1) / 6 * 100)
        assert row["shortfall"] == pytest.approx((wished - own) / 6 * 100)
        slope = slopes[DIMENSIONS.index(row["dimension"])]
        assert row["gain"] == pytest.approx(slope / 2 * row["shortfall"])
        assert row["importance"] == pytest.approx(np.corrcoef(measure.current.items[item], y)[0, 1])
    assert table["versus_mean"].to_numpy() == pytest.approx((table["gain"] - table["gain"].mean()).to_numpy())
    assert table["gain"].is_monotonic_decreasing


def test_without_expectations_the_target_is_the_average_item() -> None:
    priorities = found(measured(quarter(100, 1), instrument=without_expectations()))
    table = priorities.candidates
    assert priorities.target == "average"
    assert table["shortfall"].to_dict() == pytest.approx((table["performance"].mean() - table["performance"]).to_dict())


def test_without_satisfaction_gains_are_points_of_the_index() -> None:
    measure = measured(quarter(60, 1), instrument=bare())
    weights = derive_weights(measure, method="given", given={"EXP": 0.5, "EFF": 0.3, "RSK": 0.2})
    priorities = find_priorities(measure, weights=weights, draws=100)
    assert priorities.basis == "index"
    share = {"EXP": 0.25, "EFF": 0.15, "RSK": 0.1}
    for _, row in priorities.candidates.iterrows():
        assert row["gain"] == pytest.approx(share[row["dimension"]] * row["shortfall"])
    assert priorities.candidates["importance"].isna().all()


def test_retained_items_only() -> None:
    given_answers = measured(quarter(60, 1)).responses
    priorities = found(qualify(given_answers, quarter="2026Q3", drop_items=["e2"]))
    assert set(priorities.candidates.index) == set(ITEMS) - {"e2"}


def test_a_weak_item_that_drives_satisfaction_stands_out() -> None:
    frame = quarter(300, 1, e1=-1.5)
    assert found(measured(frame), draws=500).actions[0] == "e1"


def test_bounds_hold_for_all_items_together() -> None:
    table = found(measured(quarter(100, 1)), draws=1000).candidates
    half = (table["gain_high"] - table["gain_low"]) / 2
    critical = half / table["gain_se"]
    assert critical.to_numpy() == pytest.approx(np.full(6, critical.iloc[0]))
    assert 2.1 < critical.iloc[0] < 3.3


def test_at_most_three_actions() -> None:
    priorities = found(measured(quarter(2000, 1, e1=-2, e2=-2)), draws=300)
    assert len(priorities.actions) <= MOST_ACTIONS
    rows = priorities.candidates.loc[list(priorities.actions)]
    assert (rows[["gain_low", "versus_mean_low"]] > 0).all(axis=None)
    assert list(priorities.actions) == list(priorities.candidates.index[: len(priorities.actions)])


def test_permuted_answers_leave_no_action_and_no_measure() -> None:
    """Every answer kept, its owner lost: nothing hangs together, so nothing may be advised or published."""
    real = quarter(300, 1, e1=-1.5)
    evidence = assess_reliability(measured(real).current, structure="dimensions")
    assert (evidence.coefficients.loc[list(DIMENSIONS), "alpha"] > 0.6).all()
    for seed in range(5):
        frame = shuffled(real, np.random.default_rng(seed), ANSWERS)
        given_answers = measured(frame).responses
        measure = qualify(
            given_answers, quarter="2026Q3", reliability=assess_reliability(given_answers), criteria={"alpha": 0.6}
        )
        assert measure.verdict == "reject"
        assert found(measure, seed=seed).actions == ()


def test_without_differences_hardly_ever_an_action() -> None:
    """All items equal, average as target: an action in at most 7 of 100 surveys."""
    rng, trials, wrong = np.random.default_rng(5), 100, 0
    for _ in range(trials):
        x = np.clip((4.5 + rng.normal(size=(150, 1)) + rng.normal(size=(150, 6))).round(), 1, 7)
        frame = pd.DataFrame(x, columns=ITEMS).assign(respondent=np.arange(150).astype(str))
        frame["csat"] = np.clip((5.5 + (x.mean(axis=1) - 4.5) + rng.normal(size=150)).round(), 1, 10)
        frame["r2"] = 8 - frame["r2"]
        measure = Measure(Responses(without_expectations(), frame), "", tuple(ITEMS), pd.DataFrame(), "publish")
        weights = derive_weights(measure)
        wrong += bool(find_priorities(measure, weights=weights, draws=199, rng=rng).actions)
    assert wrong / trials <= 0.07


def test_order_of_respondents_moves_no_gain() -> None:
    frame = quarter(80, 1)
    first, second = (found(measured(f)).candidates for f in (frame, frame.sample(frac=1, random_state=1)))
    pd.testing.assert_series_equal(first["gain"], second["gain"])


def test_few_answers_fall_back_to_the_index() -> None:
    assert found(measured(quarter(15, 1))).basis == "index"
    assert found(measured(quarter(16, 1))).basis == "satisfaction"


def test_a_dimension_without_variance_falls_back_to_the_index() -> None:
    for change in ({"f1": 5.0, "f2": 5.0}, {"f1": np.nan, "f2": np.nan}):
        priorities = found(measured(quarter(60, 1).assign(**change)))
        assert priorities.basis == "index"


def test_a_dimension_with_one_dissenter_raises_nothing() -> None:
    frame = quarter(60, 1).assign(f1=5.0, f2=5.0)
    frame.loc[0, "f1"] = 4
    priorities = found(measured(frame))
    assert "f1" not in priorities.actions
    assert priorities.candidates.loc["e1", "gain_low"] < priorities.candidates.loc["e1", "gain"]


def test_an_item_that_is_satisfaction_itself_has_an_importance_of_one() -> None:
    frame = quarter(60, 1)
    frame["csat"] = frame["e1"]
    row = found(measured(frame)).candidates.loc["e1"]
    assert row["importance"] == pytest.approx(1)
    assert 0.999 < row["importance_low"] <= 1


def test_priorities_survive_json_and_print_one_line() -> None:
    priorities = found(measured(quarter(300, 1, e1=-1.5)))
    assert repr(priorities) == f"<Priorities n=300: {', '.join(priorities.actions)}>"
    again = Priorities.from_json(priorities.to_json())
    pd.testing.assert_frame_equal(again.candidates, priorities.candidates, check_dtype=False)
    assert again.actions == priorities.actions
    assert not math.isnan(again.candidates["gain"].iloc[0])


def test_an_item_that_is_better_than_its_target_is_no_action() -> None:
    """A suppressed slope below zero times a negative shortfall is a gain above zero, and no reason to act."""
    rng = np.random.default_rng(6)
    frame = quarter(300, 1)
    strong = rng.normal(0, 1, 300)
    for item in ("e1", "e2"):
        frame[item], frame[f"{item}_exp"] = np.clip(np.rint(6 + 0.7 * strong), 1, 7), 3.0
    frame["csat"] = np.clip(np.rint(6 - 1.5 * strong + rng.normal(0, 0.5, 300)), 1, 10)
    priorities = found(measured(frame))
    better = priorities.candidates.loc[["e1", "e2"]]
    assert (better["gain_low"] > 0).all()
    assert (better["shortfall_high"] < 0).all()
    assert not {"e1", "e2"} & set(priorities.actions)
