"""Weights of the dimensions: hand-computed, lawful, and refused with a reason."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from sqmodel.errors import ComputationError, InputError
from sqmodel.index.weighting import Weights, derive_weights, overall_satisfaction
from sqmodel.measurement.measure import qualify
from tests.index.surveys import DIMENSIONS, measured, quarter, responses
from tests.survey.small_instrument import bare, small


def test_equal_weights_are_constants() -> None:
    weights = derive_weights(measured(quarter(30, 1)))
    assert weights.table["weight"].tolist() == [1 / 3] * 3
    assert weights.table["low"].tolist() == weights.table["high"].tolist() == [1 / 3] * 3
    assert (weights.n, weights.interval_method) == (0, "constant")
    assert repr(weights) == "<Weights equal, n=0: EXP 0.33, EFF 0.33, RSK 0.33>"


def test_given_weights_are_scaled_to_one() -> None:
    weights = derive_weights(measured(quarter(30, 1)), method="given", given={"RSK": 1, "EXP": 2, "EFF": 5})
    assert weights.table["weight"].to_dict() == {"EXP": 0.25, "EFF": 0.625, "RSK": 0.125}


@settings(max_examples=30)
@given(st.lists(st.floats(0, 100), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-6))
def test_given_weights_sum_to_one_and_keep_their_ratios(given_weights: list[float]) -> None:
    given_by_code = dict(zip(DIMENSIONS, given_weights, strict=True))
    found = derive_weights(measured(quarter(12, 1)), method="given", given=given_by_code).table["weight"]
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found.to_numpy() * sum(given_weights) == pytest.approx(given_weights)


def test_allocation_is_the_mean_share_of_the_points() -> None:
    frame = quarter(4, 1).assign(imp_EXP=[50.0, 20, 40, 60], imp_EFF=[30.0, 20, 40, 20], imp_RSK=[20.0, 60, 20, np.nan])
    weights = derive_weights(measured(frame), method="allocation", draws=50)
    assert weights.n == 3
    assert weights.table["weight"].tolist() == pytest.approx([110 / 300, 90 / 300, 100 / 300])


def test_points_count_as_shares_of_each_respondents_own_total() -> None:
    frame = quarter(40, 1)
    doubled = frame.copy()
    doubled.loc[::2, [f"imp_{d}" for d in DIMENSIONS]] *= 2
    first, second = (derive_weights(measured(f), method="allocation", draws=50).table for f in (frame, doubled))
    pd.testing.assert_frame_equal(first, second)


def test_sample_weights_move_the_allocation() -> None:
    frame = quarter(2, 1).assign(imp_EXP=[100.0, 0], imp_EFF=[0.0, 100], imp_RSK=0.0, sample_weight=[3.0, 1.0])
    weights = derive_weights(measured(frame), method="allocation", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([0.75, 0.25, 0])


def test_interval_of_allocation_is_studentised_or_says_otherwise() -> None:
    many = derive_weights(measured(quarter(60, 1)), method="allocation", draws=200)
    few = derive_weights(measured(quarter(12, 1)), method="allocation", draws=200)
    assert many.interval_method == "studentised bootstrap"
    assert few.interval_method == "linearised standard error, Student's t"
    for weights in (many, few):
        table = weights.table
        assert ((table["low"] < table["weight"]) & (table["weight"] < table["high"])).all()
        assert table["low"].min() >= 0
        assert table["high"].max() <= 1


def plain_regression(frame: pd.DataFrame) -> np.ndarray:
    """Non-negative least squares on centred columns, with an intercept."""
    measure = measured(frame)
    x = measure.current.dimension_scores().to_numpy()
    y = (frame["csat"].to_numpy() - 1) / 9 * 100
    slopes, _ = nnls(x - x.mean(axis=0), y - y.mean())
    return np.asarray(slopes / slopes.sum())


@pytest.mark.parametrize("seed", range(4))
def test_regression_equals_non_negative_least_squares(seed: int) -> None:
    frame = quarter(80, seed)
    weights = derive_weights(measured(frame), method="regression", draws=100)
    assert weights.table["weight"].to_numpy() == pytest.approx(plain_regression(frame), abs=1e-8)
    assert weights.n == 80
    assert weights.interval_method == "percentile bootstrap, 100 draws"


@pytest.mark.parametrize("method", ["equal", "allocation", "regression"])
@pytest.mark.parametrize("seed", range(3))
def test_weights_sum_to_one_and_are_not_negative(method: str, seed: int) -> None:
    table = derive_weights(measured(quarter(40, seed)), method=method, draws=60).table  # type: ignore[arg-type]
    assert table["weight"].sum() == pytest.approx(1)
    assert (table >= -1e-12).all(axis=None)
    assert (table <= 1 + 1e-12).all(axis=None)


@pytest.mark.parametrize("method", ["allocation", "regression"])
def test_order_of_respondents_does_not_matter(method: str) -> None:
    frame = quarter(50, 3)
    turned = frame.sample(frac=1, random_state=1)
    first, second = (derive_weights(measured(f), method=method, draws=20).table["weight"] for f in (frame, turned))  # type: ignore[arg-type]
    pd.testing.assert_series_equal(first, second)


def test_regression_finds_no_weight_where_satisfaction_is_noise_upside_down() -> None:
    frame = quarter(200, 5)
    frame["csat"] = 11 - frame["csat"]
    weights = derive_weights(measured(frame), method="regression", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([1 / 3] * 3)


def test_a_constant_dimension_gets_no_weight_by_regression() -> None:
    frame = quarter(60, 2).assign(f1=5.0, f2=5.0)
    weights = derive_weights(measured(frame), method="regression", draws=50)
    assert weights.table.loc["EFF", "weight"] == 0
    assert weights.table["weight"].sum() == pytest.approx(1)


def test_everybody_of_one_mind_gets_equal_weights_by_regression() -> None:
    frame = quarter(30, 2).assign(e1=5.0, e2=5.0, f1=5.0, f2=5.0, r1=5.0, r2=3.0)
    weights = derive_weights(measured(frame), method="regression", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([1 / 3] * 3)


def test_acsi_items_stand_in_for_satisfaction() -> None:
    scale = {"minimum": 1, "maximum": 10}
    outcomes = [{"code": f"acsi{j}", "role": "acsi", "text": "?", "scale": scale} for j in (1, 2, 3)]
    answers = {"acsi1": [1, 10], "acsi2": [4, 10], "acsi3": [7, np.nan]}
    given_answers = responses(quarter(2, 1), instrument=small(outcomes=outcomes), **answers)
    satisfaction = overall_satisfaction(given_answers)
    assert satisfaction is not None
    assert satisfaction.tolist() == pytest.approx([100 / 3, 100])
    assert overall_satisfaction(responses(quarter(2, 1), instrument=bare())) is None


def test_weights_survive_json() -> None:
    weights = derive_weights(measured(quarter(40, 1)), method="allocation", draws=30)
    again = Weights.from_json(weights.to_json())
    pd.testing.assert_frame_equal(again.table, weights.table)
    assert again.settings == weights.settings


def refused(error: type[Exception], frame: pd.DataFrame, **options: object) -> str:
    with pytest.raises(error) as caught:
        derive_weights(measured(frame, instrument=options.pop("instrument", None)), **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_unknown_method_is_refused() -> None:
    assert refused(InputError, quarter(20, 1), method="ahp") == (
        "weighting: 1 problem\n  - expected one of equal, allocation, regression, given, found 'ahp'"
    )


def test_all_problems_of_given_weights_are_named() -> None:
    assert refused(InputError, quarter(20, 1), method="given", given={"EXP": -1, "EFF": math.nan, "XYZ": 2}) == (
        "weights: 4 problems\n"
        "  - expected a weight for dimension 'RSK', found none\n"
        "  - expected a dimension among EXP, EFF, RSK, found 'XYZ'\n"
        "  - expected a weight of at least 0 for 'EXP', found -1\n"
        "  - expected a weight of at least 0 for 'EFF', found nan\n"
        "  What to do: give every dimension one weight"
    )
    assert refused(InputError, quarter(20, 1), method="given", given={"EXP": 0, "EFF": 0, "RSK": 0}) == (
        "weights: 1 problem\n"
        "  - expected weights whose sum is above 0, found a sum of 0\n"
        "  What to do: give every dimension one weight"
    )


def test_allocation_needs_the_question_and_answers() -> None:
    assert refused(ComputationError, quarter(20, 1), method="allocation", instrument=bare()) == (
        "weighting by allocation: expected the importance columns of small, found none; "
        "choose weighting: equal, or map the columns"
    )
    assert refused(ComputationError, quarter(20, 1).assign(imp_EXP=np.nan), method="allocation") == (
        "weighting by allocation: expected at least 2 answered allocations, found 0; choose weighting: equal"
    )


def test_regression_needs_satisfaction_and_enough_answers() -> None:
    assert refused(ComputationError, quarter(20, 1), method="regression", instrument=bare()) == (
        "weighting by regression: expected an overall satisfaction question (role csat or acsi), found none; "
        "choose weighting: equal"
    )
    assert refused(ComputationError, quarter(6, 1), method="regression") == (
        "weighting by regression: expected more than 6 complete respondents, found 6; choose weighting: equal"
    )


def test_weights_rest_on_the_current_quarter() -> None:
    old, new = quarter(30, 1, "2026Q2"), quarter(30, 2, "2026Q3")
    alone = derive_weights(measured(new), method="allocation", draws=20).table
    both = derive_weights(qualify(responses(old, new), quarter="2026Q3"), method="allocation", draws=20).table
    pd.testing.assert_frame_equal(alone, both)
