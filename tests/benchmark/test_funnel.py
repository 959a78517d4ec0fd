"""Funnel plots: exact limits, who lies outside by chance, over-dispersion, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.benchmark.funnel import PLACES, assess_funnel, funnel_limits
from sqmodel.errors import ComputationError


def test_limits_of_means_are_normal() -> None:
    low, high = funnel_limits("mean", [1.0, 4.0], 10.0, level=0.998)
    np.testing.assert_allclose(high - 10, 3.0902323 * np.array([1, 4]), rtol=1e-7)
    np.testing.assert_allclose(high - 10, 10 - low)


def test_limits_of_shares_and_rates_by_hand() -> None:
    """Spiegelhalter (2005, A.1.1) by hand: of 10 trials at 0.5 the distribution passes 0.025 between 1 and 2 events."""
    low, high = funnel_limits("share", [10], 0.5)
    cdf = stats.binom(10, 0.5).cdf
    assert low[0] == pytest.approx((2 - (cdf(2) - 0.025) / (cdf(2) - cdf(1))) / 10, abs=1e-12)
    assert high[0] == pytest.approx((8 - (cdf(8) - 0.975) / (cdf(8) - cdf(7))) / 10, abs=1e-12)
    assert 0.1 < low[0] < 0.2
    assert 0.7 < high[0] < 0.8
    low, high = funnel_limits("rate", [100.0], 0.05)
    cdf = stats.poisson(5).cdf
    assert low[0] == pytest.approx((1 - (cdf(1) - 0.025) / (cdf(1) - cdf(0))) / 100, abs=1e-12)
    assert high[0] == pytest.approx((10 - (cdf(10) - 0.975) / (cdf(10) - cdf(9))) / 100, abs=1e-12)


@given(st.floats(0.05, 0.95), st.integers(5, 5000), st.sampled_from(["share", "rate"]))
@settings(max_examples=60, deadline=None)
def test_limits_enclose_the_target_and_close_in(target: float, n: int, kind: str) -> None:
    sizes = [n, 4 * n, 400 * n]
    low, high = funnel_limits(kind, sizes, target)  # type: ignore[arg-type]
    far_low, far_high = funnel_limits(kind, sizes, target, level=0.998)  # type: ignore[arg-type]
    assert (far_low <= low).all()
    assert (low <= target).all()
    assert (target <= high).all()
    assert (high <= far_high).all()
    assert high[2] - low[2] < high[0] - low[0]
    assert (high - low)[2] == pytest.approx(2 * 1.96 * np.sqrt(target * (1 - target if kind == "share" else 1)
                                                               / sizes[2]), rel=0.1)  # fmt: skip


@pytest.mark.parametrize("kind", ["mean", "share", "rate"])
def test_chance_puts_one_in_twenty_outside(kind: str) -> None:
    rng = np.random.default_rng(7)
    size = rng.integers(50, 2000, 4000).astype(float)
    target = 0.3
    if kind == "share":
        values = rng.binomial(size.astype(int), target) / size
    elif kind == "rate":
        values = rng.poisson(size * target) / size
    else:
        size = 5 / np.sqrt(size)
        values = target + size * rng.normal(size=4000)
    found = assess_funnel(kind, values, size, target, overdispersion="none")  # type: ignore[arg-type]
    shares = {p: (found.place == p).mean() for p in PLACES}
    assert shares["above"] + shares["far above"] == pytest.approx(0.025, abs=3 * np.sqrt(0.025 / 4000))
    assert shares["below"] + shares["far below"] == pytest.approx(0.025, abs=3 * np.sqrt(0.025 / 4000))
    assert shares["far above"] + shares["far below"] < 0.006
    assert found.phi == pytest.approx(1, abs=0.06)
    assert found.tau2 == 0


def test_over_dispersion() -> None:
    """Additive limits hold units that differ as all do, small and large; multiplicative ones close in on large ones."""
    rng = np.random.default_rng(9)
    se = np.repeat([0.2, 3.0], 500)
    values = 50 + 2 * rng.normal(size=1000) + se * rng.normal(size=1000)
    plain, multiplied, added = (assess_funnel("mean", values, se, 50, overdispersion=kind)  # type: ignore[arg-type]
                                for kind in ("none", "multiplicative", "additive"))  # fmt: skip
    outside = [(f.place != "within")[:500].mean() for f in (plain, multiplied, added)]
    assert outside[0] > 0.8
    assert outside[2] < outside[1] < outside[0]
    assert outside[2] < 0.09
    assert added.tau2 == pytest.approx(4, rel=0.15)
    assert multiplied.tau2 == plain.tau2 == 0
    assert multiplied.phi == added.phi > 20
    assert assess_funnel("share", [0.2, np.nan, 0.9], [40, 40, 40], 0.2).place.tolist() == ["within", "", "within"]
    one = assess_funnel("share", [0.9], [40], 0.2)
    assert one.place.tolist() == ["far above"]


def test_what_is_refused() -> None:
    with pytest.raises(ComputationError) as caught:
        assess_funnel("median", [1.0], [1.0, 2.0], 0.5, overdispersion="some")  # type: ignore[arg-type]
    assert str(caught.value) == (
        "funnel: expected a kind of mean, share, rate, found 'median'; over-dispersion none, multiplicative, additive, "
        "found 'some'; a size for every value, found (2,) for (1,)"
    )
    with pytest.raises(ComputationError) as caught:
        assess_funnel("share", [0.1, 0.2], [0, 5], 1.0)
    assert (
        str(caught.value) == "funnel: expected sizes above 0, found 1 others; a target that a share can have, found 1.0"
    )
