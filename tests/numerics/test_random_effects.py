"""Random effects: eight schools, Efron and Morris, statsmodels, known populations, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.meta_analysis import combine_effects

from sqmodel.errors import ComputationError
from sqmodel.numerics.independent_ranks import independent_rank_sets, largest_differences
from sqmodel.numerics.random_effects import Method, pool_effects
from sqmodel.numerics.ranks import rank_sets
from tests.oracles import shared

METHODS: tuple[Method, ...] = ("reml", "paule_mandel", "dersimonian_laird")


@pytest.fixture(scope="module")
def oracles() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("method", METHODS)
def test_eight_schools(oracles: dict[str, Any], method: Method) -> None:
    data, known = oracles["inputs"]["eight_schools"], oracles["eight_schools"]
    found = pool_effects(data["y"], data["se"], method=method)
    assert found.mean == pytest.approx(known["mu"], abs=1e-6)
    assert found.se[0] == pytest.approx(known["se"], abs=1e-6)
    assert found.q == pytest.approx(known["Q"], abs=1e-6)
    assert found.tau2 == known["tau2_DL"]
    assert found.tau2_low == 0 < found.tau2_high
    # Schools keep some of their own though tau2 is estimated as 0: it may be larger.
    assert (found.shrunken != found.mean).all()
    assert (found.shrunken_se > 0).all()


def test_efron_and_morris_batters(oracles: dict[str, Any]) -> None:
    hits = np.array(oracles["inputs"]["efron_morris"]["hits_of_45"]) / 45
    season, known = np.array(oracles["inputs"]["efron_morris"]["season"]), oracles["efron_morris"]
    error = np.sqrt(hits.mean() * (1 - hits.mean()) / 45)
    found = pool_effects(hits, np.full(18, error), method="paule_mandel")
    assert 1 - found.shrinkage == pytest.approx(np.full(18, known["c"]), abs=1e-7)
    assert ((found.shrunken - season) ** 2).sum() == pytest.approx(known["SSE_js"], abs=1e-7)
    assert ((hits - season) ** 2).sum() == pytest.approx(known["SSE_mle"], abs=1e-7)


def test_as_statsmodels() -> None:
    rng = np.random.default_rng(3)
    v = rng.uniform(0.1, 2, 20)
    y = rng.normal(size=20) + rng.normal(size=20) * np.sqrt(v)
    for method, other in (("paule_mandel", "pm"), ("dersimonian_laird", "dl")):
        found = pool_effects(y, np.sqrt(v), method=method)  # type: ignore[arg-type]
        known = combine_effects(y, v, method_re=other, use_t=True)
        assert found.tau2 == pytest.approx(known.tau2, rel=1e-6)
        assert found.mean == pytest.approx(known.mean_effect_re, abs=1e-7)
        assert np.sqrt(found.cov[0, 0]) == pytest.approx(known.sd_eff_w_re, rel=1e-6)
        assert found.q == pytest.approx(known.q, rel=1e-9)
        hksj = np.sqrt(found.cov[0, 0]) * max(1.0, known.sd_eff_w_re_hksj / known.sd_eff_w_re)
        assert found.se[0] == pytest.approx(hksj, rel=1e-6)
        if other == "dl":
            assert found.i2 == pytest.approx(known.i2, rel=1e-9)


def test_reml_is_the_best_restricted_likelihood() -> None:
    rng = np.random.default_rng(8)
    x = rng.normal(size=(30, 2))
    se = rng.uniform(0.3, 2, 30)
    y = 1 + x @ [1.0, -2.0] + rng.normal(size=30) * np.hypot(0.8, se)
    found = pool_effects(y, se, covariates=x)
    design = np.column_stack([np.ones(30), x])

    def height(tau2: float) -> float:
        w = 1 / (se**2 + tau2)
        inside = design.T @ (w[:, None] * design)
        rest = y - design @ np.linalg.solve(inside, design.T @ (w * y))
        return float(np.log(w).sum() - np.linalg.slogdet(inside)[1] - (w * rest**2).sum())

    assert all(height(found.tau2) > height(found.tau2 * f) for f in (0.98, 1.02))
    assert found.coefficients[1:] == pytest.approx([1, -2], abs=1.0)
    low, high = (((y - design @ _wls(design, y, se, t)) ** 2 / (se**2 + t)).sum()
                 for t in (found.tau2_low, found.tau2_high))  # fmt: skip
    assert stats.chi2.cdf([high, low], found.df) == pytest.approx([0.025, 0.975], abs=1e-8)


def _wls(design: np.ndarray, y: np.ndarray, se: np.ndarray, tau2: float) -> np.ndarray:
    w = 1 / (se**2 + tau2)
    found: np.ndarray = np.linalg.solve(design.T @ (w[:, None] * design), design.T @ (w * y))
    return found


@pytest.mark.parametrize(("units", "tau", "spread"), [(8, 0.7, 1.0), (15, 1.0, 3.0), (40, 0.3, 2.0), (12, 0.0, 2.0)])
def test_intervals_hold_the_truth(units: int, tau: float, spread: float) -> None:
    rng = np.random.default_rng([units, int(10 * tau)])
    effects, means, spreads, trials = [], [], [], 150
    for _ in range(trials):
        se = spread ** rng.uniform(-0.5, 0.5, units)
        x = rng.normal(size=(units, 1))
        truth = 2 + x[:, 0] + tau * rng.normal(size=units)
        found = pool_effects(truth + se * rng.normal(size=units), se, covariates=x)
        effects.append(((found.shrunken_low <= truth) & (truth <= found.shrunken_high)).mean())
        means.append((found.low <= [2, 1]) & (found.high >= [2, 1]))
        spreads.append(found.tau2_low <= tau**2 <= found.tau2_high)
    assert np.mean(effects) >= 0.935
    assert np.mean(means, axis=0).min() >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)
    assert np.mean(spreads) >= 0.95 - 3 * np.sqrt(0.95 * 0.05 / trials)


def test_shrunken_effects_are_closer_to_the_truth() -> None:
    rng = np.random.default_rng(5)
    se = rng.uniform(0.5, 3, 200)
    truth = rng.normal(size=200)
    y = truth + se * rng.normal(size=200)
    found = pool_effects(y, se)
    assert ((found.shrunken - truth) ** 2).sum() < 0.6 * ((y - truth) ** 2).sum()
    assert (found.shrunken_se < np.maximum(se, 1.3)).all()


@given(st.lists(st.tuples(st.floats(-50, 50), st.floats(0.1, 20)), min_size=4, max_size=12), st.floats(0.2, 5))
@settings(max_examples=60, deadline=None)
def test_laws(units: list[tuple[float, float]], unit: float) -> None:
    """Order does not matter, nor does where zero lies; another unit multiplies all."""
    y, se = np.array(units).T
    found = pool_effects(y, se)
    turned = pool_effects(y[::-1], se[::-1])
    moved = pool_effects(unit * y + 7, unit * se)
    scale = max(1.0, float(np.abs(y).max()))
    assert turned.tau2 == pytest.approx(found.tau2, rel=1e-6, abs=1e-6 * scale)
    assert moved.tau2 == pytest.approx(unit**2 * found.tau2, rel=1e-6, abs=1e-6 * scale)
    assert moved.shrunken == pytest.approx(unit * found.shrunken + 7, rel=1e-6, abs=1e-5 * scale)
    assert found.tau2_low <= found.tau2_high
    assert found.weights.sum() == pytest.approx(1)
    assert ((found.shrinkage >= 0) & (found.shrinkage <= 1)).all()


def test_three_units_are_not_shrunken() -> None:
    found = pool_effects([1, 2, 4], [1, 1, 1])
    assert found.shrunken.tolist() == [1, 2, 4]
    assert found.shrunken_se.tolist() == [1, 1, 1]


def test_what_is_refused() -> None:
    for arguments, told in (
        (([1, 2], [1, 2, 3]), "an error for every estimate, found (3,) for (2,)"),
        (([1, np.nan], [1, 2]), "finite estimates, errors and covariates, found others"),
        (([1, 2, 3], [1, 0, -1]), "errors above 0, found 2 others"),
        (([1], [0]), "errors above 0, found 1 others; more units than coefficients, found 1 and 1"),
    ):
        with pytest.raises(ComputationError) as caught:
            pool_effects(*arguments)
        assert str(caught.value) == f"effects: expected {told}"
    with pytest.raises(ComputationError) as caught:
        pool_effects([1, 2, 3, 4], [1] * 4, covariates=[[1, 2], [2, 4], [3, 6], [4, 8]], method="ml")  # type: ignore[arg-type]
    assert str(caught.value) == ("effects: expected method one of reml, paule_mandel, dersimonian_laird, found 'ml'")
    with pytest.raises(ComputationError) as caught:
        pool_effects([1, 2, 3, 4], [1] * 4, covariates=[[1, 2], [2, 4], [3, 6], [4, 8]])
    assert str(caught.value) == "effects: expected covariates that do not determine each other, found some that do"


def test_the_few_largest_errors_decide() -> None:
    """The pruned search finds the same largest differences as all pairs do, also once some are rejected."""
    rng = np.random.default_rng(4)
    z, se = rng.normal(size=(150, 130)), rng.uniform(0.2, 3, 130)
    above = rng.random((130, 130)) < 0.97
    above &= ~above.T
    for rejected in (np.zeros_like(above), above, np.triu(np.ones_like(above), 1)):
        t = (z * se)[:, :, None] - (z * se)[:, None, :]
        t /= np.sqrt(se[:, None] ** 2 + se[None, :] ** 2)
        t[:, rejected | np.eye(130, dtype=bool)] = -np.inf
        np.testing.assert_allclose(largest_differences(z, se, rejected), t.max(axis=(1, 2)), rtol=1e-12)


def test_independent_rank_sets_are_rank_sets() -> None:
    rng = np.random.default_rng(2)
    se = rng.uniform(0.5, 1.5, 40)
    values = np.repeat([0.0, 6.0, 7.0, 20.0], 10) + se * rng.normal(size=40)
    best, worst = independent_rank_sets(values, se, draws=20_000, rng=1)
    known = rank_sets(values, se * rng.normal(size=(20_000, 40)), simultaneous=True)
    assert np.abs(best - known[0]).max() <= 1
    assert np.abs(worst - known[1]).max() <= 1
    assert (best == known[0]).mean() > 0.9
    assert independent_rank_sets(np.array([3.0]), np.array([1.0])) == (np.array([1]), np.array([1]))
    with pytest.raises(ComputationError, match=r"^ranks: expected finite values and errors above 0, found others$"):
        independent_rank_sets(values, 0 * se)
