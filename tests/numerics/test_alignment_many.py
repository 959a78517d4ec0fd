"""Alignment of many groups gives the numbers of the sums over all pairs, which test_alignment.py holds."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.numerics.alignment import search, spread
from sqmodel.numerics.alignment.field import Field
from sqmodel.numerics.alignment.loss import Loss, Metric, Origin
from sqmodel.numerics.alignment.many import ManyLoss, linearise, within
from tests.numerics.test_alignment import configural

SEEDS = st.integers(0, 10_000)


def covariances(groups: int, items: int) -> np.ndarray:
    roots = np.random.default_rng(2).normal(0, 0.03, size=(groups, 2 * items, 2 * items))
    return np.array([root @ root.T for root in roots])


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.floats(0.01, 3.0), st.sampled_from([1.0, 0.01, 1e-3]), st.integers(2, 40))
def test_sums_over_groups_are_those_over_pairs(seed: int, width: float, eps: float, groups: int) -> None:
    """Whatever the range of the values is, to the tolerance asked for."""
    rng = np.random.default_rng(seed)
    x, weight = width * rng.normal(size=(3, groups)), rng.uniform(0.5, 2, groups)
    loss = ManyLoss(x, x, weight, eps)
    field = Field.of(x, eps, 1e-11)
    if field is None:
        return
    difference = x[:, :, None] - x[:, None, :]
    largest = eps**-0.75 * weight.sum()
    for function, got in zip((loss.loss, loss.slope, loss.bend), field.sums(weight, loss.loss, loss.slope, loss.bend),
                             strict=True):  # fmt: skip
        np.testing.assert_allclose(got, function(difference) @ weight, atol=1e-6 * largest)
    np.testing.assert_allclose(field.sums(weight, loss.loss)[0], loss.loss(difference) @ weight, rtol=1e-8)
    for own, (vectors, values) in zip(difference, field.factors(weight, loss.bend, 1e-10), strict=True):
        wanted = np.outer(weight, weight) * loss.bend(own)
        np.testing.assert_allclose((vectors * values) @ vectors.T, wanted, atol=1e-6 * np.abs(wanted).max())


def test_values_too_far_apart_have_no_field() -> None:
    x = np.array([[0.0, 1.0, 1000.0]])
    assert Field.of(x, 0.01, 1e-9) is None
    assert Field.of(np.array([[0.0, np.inf]]), 0.01, 1e-9) is None


@pytest.mark.parametrize("origin", ["centre", "first"])
def test_derivatives_are_those_of_the_pairs(origin: Origin) -> None:
    loadings, intercepts, sizes = configural(3, groups=40, noise=0.05)
    rng = np.random.default_rng(0)
    pairs, many = (kind.of(loadings, intercepts, sizes, 0.01) for kind in (Loss, ManyLoss))
    mean, log_sd = rng.normal(0, 0.3, 40), rng.normal(0, 0.1, 40)
    value, gradient = pairs.value_and_gradient(mean, log_sd)
    for tolerance in (1e-11, None):
        got, slope = many.value_and_gradient(mean, log_sd, tolerance)
        assert got == pytest.approx(value, rel=1e-9)
        np.testing.assert_allclose(slope, gradient, atol=1e-8)
    found = search.align_groups(loadings, intercepts, sizes, origin=origin)
    log_sd = np.log(found.sds) - np.log(found.sds).mean()
    mean = found.means * np.exp(log_sd[0])
    mean = mean - (mean.mean() if origin == "centre" else 0.0)
    at = linearise(many, mean, log_sd, origin)
    assert at is not None
    assert at.positive
    basis = Metric.of(40, origin).basis()
    right = within(rng.normal(size=80), origin)
    wanted = basis @ np.linalg.solve(basis.T @ pairs.hessian(mean, log_sd) @ basis, basis.T @ right)
    np.testing.assert_allclose(at.solve(right), wanted, atol=1e-6 * np.abs(wanted).max())


def test_a_saddle_is_no_minimum() -> None:
    """At random means the second derivatives of the loss, which is not convex, have both signs."""
    loadings, intercepts, sizes = configural(3, groups=40, noise=0.05)
    pairs, many = (kind.of(loadings, intercepts, sizes, 0.01) for kind in (Loss, ManyLoss))
    mean, log_sd = np.random.default_rng(1).normal(size=40), np.zeros(40)
    at = linearise(many, mean - mean.mean(), log_sd, "centre")
    basis = Metric.of(40, "centre").basis()
    assert np.linalg.eigvalsh(basis.T @ pairs.hessian(mean - mean.mean(), log_sd) @ basis)[0] < 0
    assert at is not None
    assert not at.positive


@pytest.mark.parametrize("origin", ["centre", "first"])
def test_the_same_minimum_and_the_same_errors(monkeypatch: pytest.MonkeyPatch, origin: Origin) -> None:
    given_ = configural(5, groups=60, noise=0.05)
    V = covariances(60, 6)
    found = search.align_groups(*given_, origin=origin, starts=3)
    errors = spread.spread(*given_, V, found, origin=origin)
    monkeypatch.setattr(search, "MANY", 20)
    monkeypatch.setattr(spread, "MANY", 20)
    many = search.align_groups(*given_, origin=origin, starts=3)
    assert many.converged
    assert many.gradient_norm < 1e-10
    assert (many.starts, many.agreeing) == (3, 3)
    assert many.objective == pytest.approx(found.objective, rel=1e-12)
    for got, wanted in zip(many[:4], found[:4], strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-8)
    for got, wanted in zip(spread.spread(*given_, V, many, origin=origin), errors, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-7 * np.abs(wanted).max())


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_group_out_of_reach_is_aligned_by_pairs() -> None:
    """An intercept sixty units away: no polynomial tells it, and nothing else changes."""
    loadings, intercepts, sizes = configural(6, groups=search.MANY + 2, items=3)
    plain = search.align_groups(loadings, intercepts, sizes, starts=1)
    # Far away all starts and steps are wild: what overflows on the way is no matter.
    intercepts[-1, 0] += 60.0
    found = search.align_groups(loadings, intercepts, sizes, starts=1)
    np.testing.assert_allclose(found.means[:-1], plain.means[:-1], atol=1e-3)
    assert found.objective > plain.objective


def test_a_thousand_groups_take_a_few_seconds() -> None:
    """204 s for four factors by pairs; measured here .6 s for one to search and 1 s for its errors."""
    given_ = configural(9, groups=1000, items=7, noise=0.05)
    start = time.process_time()
    found = search.align_groups(*given_, starts=2)
    spread.spread(*given_, covariances(1000, 7), found)
    assert found.converged
    assert time.process_time() - start < 12
