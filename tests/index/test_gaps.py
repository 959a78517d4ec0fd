"""Gaps between expectation and performance: by hand, and the lawful silence where nothing was asked."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sqmodel.index.gaps import Gaps, assess_gaps, difference_reliability
from sqmodel.numerics.reliability import cronbach_alpha
from tests.index.surveys import DIMENSIONS, measured, quarter
from tests.survey.small_instrument import ITEMS, bare


@pytest.mark.parametrize(
    ("rxx", "ryy", "rxy", "expected"), [(0.8, 0.8, 0.4, 0.667), (0.8, 0.8, 0.7, 0.333), (0.9, 0.7, 0.0, 0.8)]
)
def test_published_reliabilities_of_a_difference(rxx: float, ryy: float, rxy: float, expected: float) -> None:
    assert difference_reliability(rxx, ryy, rxy) == pytest.approx(expected, abs=5e-4)


def test_reliability_of_a_difference_weighs_by_the_variances() -> None:
    expected = (4 * 0.9 + 9 * 0.6 - 2 * 0.5 * 6) / (4 + 9 - 2 * 0.5 * 6)
    assert difference_reliability(0.9, 0.6, 0.5, 2, 3) == pytest.approx(expected)


@given(st.floats(0.1, 1), st.floats(0.1, 1), st.floats(0, 0.99), st.floats(0.1, 10))
def test_reliability_of_a_difference_falls_with_correlation(rxx: float, ryy: float, share: float, sx: float) -> None:
    rxy = share * math.sqrt(rxx * ryy)
    assert difference_reliability(rxx, ryy, rxy, sx) <= difference_reliability(rxx, ryy, 0, sx) + 1e-9


def test_gaps_are_performance_minus_expectation_of_those_who_gave_both() -> None:
    frame = quarter(40, 1)
    frame.loc[:4, "e1_exp"] = np.nan
    gaps = assess_gaps(measured(frame), draws=50)
    own, wished = (frame["e1"] - 1) / 6 * 100, (frame["e1_exp"] - 1) / 6 * 100
    row = gaps.items.loc["e1"]
    assert row["performance"] == pytest.approx(own.mean())
    assert row["expectation"] == pytest.approx(wished.mean())
    assert row["gap"] == pytest.approx((own - wished).dropna().mean())
    assert (row["n"], row["dimension"]) == (40, "EXP")


def test_reversed_items_are_turned_in_both_forms() -> None:
    frame = quarter(30, 1)
    row = assess_gaps(measured(frame), draws=30).items.loc["r2"]
    assert row["performance"] == pytest.approx((7 - frame["r2"].mean()) / 6 * 100)
    assert row["gap"] == pytest.approx((frame["r2_exp"] - frame["r2"]).mean() / 6 * 100)


def test_interval_of_a_gap_is_that_of_the_paired_difference() -> None:
    frame = quarter(12, 3)
    gap = (frame["f1"] - frame["f1_exp"]) / 6 * 100
    row = assess_gaps(measured(frame), draws=30).items.loc["f1"]
    half = 2.200985160082949 * gap.std(ddof=1) / math.sqrt(12)
    assert (row["gap_low"], row["gap_high"]) == pytest.approx((gap.mean() - half, gap.mean() + half))


def test_dimension_gaps_are_means_of_the_item_gaps_of_complete_answers() -> None:
    gaps = assess_gaps(measured(quarter(40, 1)), draws=30)
    by_item = gaps.items.groupby("dimension", sort=False)["gap"].mean()
    pd.testing.assert_series_equal(gaps.dimensions["gap"], by_item, check_names=False)


def test_reliability_of_the_gap_by_hand() -> None:
    frame = quarter(60, 2)
    row = assess_gaps(measured(frame), draws=30).difference_reliability.loc["EXP"]
    own, wished = frame[["e1", "e2"]], frame[["e1_exp", "e2_exp"]]
    alphas = [cronbach_alpha(f.cov()) for f in (own, wished)]
    x, y = own.mean(axis=1), wished.mean(axis=1)
    assert row[["alpha_performance", "alpha_expectation"]].tolist() == pytest.approx(alphas)
    assert row["correlation"] == pytest.approx(x.corr(y))
    assert row["reliability"] == pytest.approx(difference_reliability(*alphas, x.corr(y), x.std(), y.std()))


def test_prediction_is_the_correlation_with_satisfaction() -> None:
    frame = quarter(80, 2)
    measure = measured(frame)
    table = assess_gaps(measure, minimum_n=2, draws=100).prediction
    scores, wished = measure.current.dimension_scores(), measure.current.expectation_scores()
    points = frame[[f"imp_{d}" for d in DIMENSIONS]].to_numpy() / 100
    expected = {
        "servperf": scores.mean(axis=1).corr(frame["csat"]),
        "gap": (scores - wished).mean(axis=1).corr(frame["csat"]),
        "weighted_gap": ((scores - wished) * points).sum(axis=1).corr(frame["csat"]),
    }
    assert table["r"].to_dict() == pytest.approx(expected)
    assert table["r_squared"].to_dict() == pytest.approx({k: v**2 for k, v in expected.items()})
    assert (table["r_squared_low"] < table["r_squared"]).all()
    assert (table["r_squared"] < table["r_squared_high"]).all()
    assert (table["n"] == 80).all()


def test_prediction_without_relation_reaches_down_to_zero() -> None:
    rng = np.random.default_rng(1)
    frame = quarter(80, 2)
    frame["csat"] = rng.permutation(frame["csat"])
    assert (assess_gaps(measured(frame), draws=200).prediction["r_squared_low"] == 0).all()


def test_all_scores_are_compared_on_the_same_respondents() -> None:
    frame = quarter(60, 2)
    frame.loc[:9, "imp_EXP"] = np.nan
    frame.loc[55:, "csat"] = np.nan
    assert assess_gaps(measured(frame), draws=30).prediction["n"].tolist() == [45, 45, 45]


def test_without_expectations_there_are_performances_and_a_note() -> None:
    gaps = assess_gaps(measured(quarter(40, 1), instrument=bare()), draws=30)
    assert not gaps.asked
    assert gaps.notes == ("expectations were not asked: no gaps",)
    assert gaps.items[["expectation", "gap", "gap_low", "gap_high"]].isna().all(axis=None)
    assert gaps.items["performance"].notna().all()
    assert gaps.prediction.empty
    assert repr(gaps) == "<Gaps n=40: performance only, no expectations asked>"


def test_order_of_respondents_moves_no_estimate() -> None:
    frame = quarter(50, 1)
    first, second = (assess_gaps(measured(f), draws=30) for f in (frame, frame.sample(frac=1, random_state=1)))
    for name in ("performance", "expectation", "gap"):
        pd.testing.assert_series_equal(first.items[name], second.items[name])


def test_widest_gap_is_in_the_repr() -> None:
    gaps = assess_gaps(measured(quarter(50, 1, f1=-2, f2=-2)), draws=50)
    row = gaps.dimensions.loc["EFF"]
    expected = f"<Gaps n=50: widest EFF {row['gap']:.1f} [{row['gap_low']:.1f}, {row['gap_high']:.1f}]>"
    assert repr(gaps) == expected


def test_gaps_survive_json() -> None:
    gaps = assess_gaps(measured(quarter(40, 1)), draws=30)
    again = Gaps.from_json(gaps.to_json())
    for name, table in gaps.tables().items():
        pd.testing.assert_frame_equal(getattr(again, name), table, check_dtype=False)
    assert set(again.items.index) == set(ITEMS)
