"""Prediction intervals: as drawn by hand, laws, truth held where the usual interval loses it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import brentq

from sqmodel.errors import ComputationError
from sqmodel.numerics.prediction import prediction_interval
from tests.benchmarks.prediction import measure

Y = np.array([28.0, 8, -3, 7, -1, 1, 18, 12])
SE = np.array([15.0, 10, 16, 11, 9, 11, 10, 18])


def test_as_drawn_by_hand() -> None:
    """The construction, one random tau2 and one further unit at a time."""
    rng, v = np.random.default_rng(1), np.array([0.3, 0.5, 0.2, 0.9, 0.6]) ** 2
    y = np.array([1.0, 2.5, 0.2, 3.0, 1.4])

    def q(tau2: float) -> tuple[float, float, float]:
        w = 1 / (v + tau2)
        mean = float((w * y).sum() / w.sum())
        return float((w * (y - mean) ** 2).sum()), mean, float(w.sum())

    drawn = []
    for target in rng.chisquare(4, 1_200):
        tau2 = 0.0 if q(0.0)[0] <= target else float(brentq(lambda t, a=target: q(t)[0] - a, 0, 1e9))
        found, mean, weight = q(tau2)
        error = np.sqrt(max(found / 4, 1.0) / weight)
        drawn.append(mean + error * rng.standard_t(4, 60) + np.sqrt(tau2) * rng.standard_normal(60))
    expected = np.quantile(drawn, [0.025, 0.975])
    assert prediction_interval(y, np.sqrt(v)) == pytest.approx(tuple(expected), abs=0.3)
    expected = np.quantile(drawn, [0.1, 0.9])
    assert prediction_interval(y, np.sqrt(v), level=0.8) == pytest.approx(tuple(expected), abs=0.05)


def test_of_many_units_that_differ_it_is_their_normal_range() -> None:
    rng = np.random.default_rng(2)
    truth = 3 + 2 * rng.standard_normal(3_000)
    low, high = prediction_interval(truth + 0.3 * rng.standard_normal(3_000), np.full(3_000, 0.3))
    assert (low, high) == pytest.approx(tuple(3 + 2 * stats.norm.ppf([0.025, 0.975])), abs=0.15)


@pytest.mark.parametrize(("units", "spread", "ratio"), [(12, 0.5, 4.0), (24, 0.5, 1.0), (60, 0.2, 4.0)])
def test_it_holds_where_the_usual_interval_does_not(units: int, spread: float, ratio: float) -> None:
    """Cases in which the one that takes the estimated spread for the true one holds 80 to 88 of 100."""
    own, usual = measure(units, spread, ratio, 40)
    assert usual < 0.9
    assert own > 0.9


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 20)), min_size=3, max_size=12), st.floats(0.2, 5))
@settings(max_examples=15, deadline=None)
def test_laws(units: list[tuple[float, float]], unit: float) -> None:
    """Order does not matter, nor does where zero lies; another unit multiplies both ends; surer is wider."""
    y, se = np.array(units).T
    low, high = prediction_interval(y, se)
    near = 1e-3 * (high - low)
    assert prediction_interval(y[::-1], se[::-1]) == pytest.approx((low, high), abs=near)
    moved = prediction_interval(unit * y + 7, unit * se)
    assert moved == pytest.approx((unit * low + 7, unit * high + 7), abs=unit * near + 1e-6)
    wide = prediction_interval(y, se, level=0.99)
    assert wide[0] < low < high < wide[1]


def test_two_units_predict_nothing_and_faults_are_refused() -> None:
    assert np.isnan(prediction_interval(Y[:2], SE[:2])).all()
    for estimates, errors in ((Y, SE[:3]), (Y, 0 * SE), ([1, 2, np.nan], [1, 1, 1])):
        with pytest.raises(ComputationError) as caught:
            prediction_interval(estimates, errors)
        assert str(caught.value) == "prediction: expected finite estimates, each with an error above 0, found others"
