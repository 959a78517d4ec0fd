"""No R package at hand aligns: an independent objective, derivatives by differences and laws hold the numbers."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from sqmodel.errors import ComputationError
from sqmodel.numerics.alignment.invariance import explained, invariant_groups
from sqmodel.numerics.alignment.search import Aligned, align_groups
from sqmodel.numerics.alignment.spread import spread

SEEDS = st.integers(0, 10_000)


def factor_parameters(seed: int, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Means and standard deviations, 0 and 1 in the first group."""
    rng = np.random.default_rng(seed)
    means, sds = rng.normal(0, 0.7, groups), np.exp(rng.normal(0, 0.3, groups))
    means[0], sds[0] = 0.0, 1.0
    return means, sds


def configural(seed: int, groups: int = 12, items: int = 6, noise: float = 0.0) -> tuple[np.ndarray, ...]:
    """Loadings, intercepts and sizes; with noise also shifted parameters of the first two items."""
    rng = np.random.default_rng([seed, 1])
    means, sds = factor_parameters(seed, groups)
    loadings = np.tile(rng.uniform(0.5, 1.0, items) * rng.choice([-1, 1], items, p=[0.2, 0.8]), (groups, 1))
    intercepts = np.tile(rng.normal(3, 0.5, items), (groups, 1))
    if noise:
        loadings[: groups // 3, 0] -= 0.3
        intercepts[groups // 2 :, 1] += 0.5
    shape = loadings.shape
    return (
        loadings * sds[:, None] + noise * rng.normal(size=shape),
        intercepts + means[:, None] * loadings + noise * rng.normal(size=shape),
        rng.integers(100, 1000, groups).astype(float),
    )


def objective(loadings, intercepts, sizes, means, sds, eps):
    """The paper's sum, term by term, and the sum of the weights."""
    total = weights = 0.0
    for g in range(len(sizes)):
        for h in range(g):
            weight = np.sqrt(sizes[g] * sizes[h])
            weights += weight
            for i in range(loadings.shape[1]):
                scaled = loadings[g, i] / sds[g], loadings[h, i] / sds[h]
                moved = intercepts[g, i] - means[g] * scaled[0], intercepts[h, i] - means[h] * scaled[1]
                for a, b in (scaled, moved):
                    total += weight * np.sqrt(np.sqrt((a - b) ** 2 + eps))
    return total / weights


def same(found: Aligned, other: Aligned, atol: float = 1e-7) -> None:
    np.testing.assert_allclose(found.means, other.means, atol=atol)
    np.testing.assert_allclose(found.sds, other.sds, atol=atol)


@pytest.mark.parametrize("eps", [0.01, 0.001])
def test_the_minimum_is_that_of_the_published_objective(eps):
    """Searched for without gradients, in the metric prod sd = 1, sum of means = 0."""
    loadings, intercepts, sizes = configural(3, groups=3, items=3, noise=0.05)

    def full(x):
        return np.array([x[0], x[1], -x[0] - x[1]]), np.exp([x[2], x[3], -x[2] - x[3]])

    def plain(x):
        return objective(loadings, intercepts, sizes, *full(x), eps)

    starts = [np.zeros(4), *np.random.default_rng(0).normal(0, 0.3, size=(4, 4))]
    options = {"xatol": 1e-9, "fatol": 1e-13, "maxiter": 5000, "maxfev": 5000}
    best = min(
        (optimize.minimize(plain, s, method="Nelder-Mead", options=options) for s in starts), key=lambda f: f.fun
    )
    means, sds = full(best.x)
    found = align_groups(loadings, intercepts, sizes, eps=eps)
    assert found.converged
    assert found.gradient_norm < 1e-10
    assert found.objective == pytest.approx(best.fun, abs=1e-9)
    np.testing.assert_allclose(found.means, (means - means[0]) / sds[0], atol=1e-5)
    np.testing.assert_allclose(found.sds, sds / sds[0], atol=1e-5)


def test_aligned_parameters_imply_the_same_answers():
    loadings, intercepts, sizes = configural(5, noise=0.05)
    found = align_groups(loadings, intercepts, sizes)
    assert (found.means[0], found.sds[0]) == (0.0, 1.0)
    np.testing.assert_allclose(found.loadings * found.sds[:, None], loadings, atol=1e-12)
    np.testing.assert_allclose(found.intercepts + found.means[:, None] * found.loadings, intercepts, atol=1e-12)
    assert (found.starts, found.agreeing) == (10, 10)


@settings(deadline=None, max_examples=25)
@given(SEEDS, st.integers(2, 15), st.sampled_from([1.0, 0.01, 1e-3, 1e-6]), st.sampled_from(["centre", "first"]))
def test_invariant_parameters_are_recovered(seed, groups, eps, origin):
    """Within 1e-8, for every tolerance: at the truth all differences are zero."""
    loadings, intercepts, sizes = configural(seed, groups=groups)
    means, sds = factor_parameters(seed, groups)
    found = align_groups(loadings, intercepts, sizes, eps=eps, origin=origin, starts=2)
    assert found.converged
    np.testing.assert_allclose(found.means, means, atol=1e-8)
    np.testing.assert_allclose(found.sds, sds, atol=1e-8)
    assert found.objective == pytest.approx(12 * eps**0.25, rel=1e-12)
    for share in explained(loadings, intercepts, found):
        np.testing.assert_allclose(share, 1, atol=1e-8)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.permutations(range(6)))
def test_the_order_of_items_does_not_matter(seed, order):
    loadings, intercepts, sizes = configural(seed, noise=0.03)
    found = align_groups(loadings, intercepts, sizes, starts=3)
    moved = align_groups(loadings[:, order], intercepts[:, order], sizes, starts=3)
    same(found, moved)
    np.testing.assert_allclose(found.intercepts[:, order], moved.intercepts, atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.permutations(range(12)))
def test_another_first_group_changes_zero_and_unit_only(seed, order):
    loadings, intercepts, sizes = configural(seed, noise=0.03)
    found = align_groups(loadings, intercepts, sizes, starts=3)
    moved = align_groups(loadings[order], intercepts[order], sizes[order], starts=3)
    first = order[0]
    np.testing.assert_allclose(moved.means, (found.means[order] - found.means[first]) / found.sds[first], atol=1e-6)
    np.testing.assert_allclose(moved.sds, found.sds[order] / found.sds[first], atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.floats(-5, 5), st.floats(0.1, 10), st.floats(0.1, 10))
def test_origin_and_unit_of_the_items_and_of_the_weights_do_not_matter(seed, constant, unit, heavier):
    loadings, intercepts, sizes = configural(seed, noise=0.03)
    found = align_groups(loadings, intercepts, sizes, eps=0.01)
    other = align_groups(unit * loadings, unit * intercepts + constant, heavier * sizes, eps=0.01 * unit**2)
    same(found, other, atol=1e-6)


@settings(deadline=None, max_examples=15)
@given(SEEDS, st.integers(1, 11), st.floats(0.3, 3))
def test_longer_loadings_of_a_group_are_its_standard_deviation(seed, group, factor):
    loadings, intercepts, sizes = configural(seed)
    longer = loadings.copy()
    longer[group] *= factor
    found, other = align_groups(loadings, intercepts, sizes), align_groups(longer, intercepts, sizes)
    expected = found.sds.copy()
    expected[group] *= factor
    np.testing.assert_allclose(other.sds, expected, atol=1e-8)
    np.testing.assert_allclose(other.means, found.means, atol=1e-8)


def test_a_few_large_differences_leave_the_means_alone():
    """Means by least squares (a huge tolerance) are off by a tenth where alignment is by hundredths."""
    loadings, intercepts, sizes = configural(1, groups=30, items=10)
    means, _ = factor_parameters(1, 30)
    intercepts[20:, :2] += 0.6 * np.sign(loadings[0, :2])
    error = {eps: np.std(align_groups(loadings, intercepts, sizes, eps=eps).means - means) for eps in (1e-3, 100.0)}
    assert error[1e-3] < 0.02 < 0.06 < error[100.0]


def test_a_mean_fixed_during_the_search_draws_the_others_to_it():
    """The first group is a standard deviation above the others, on average."""

    def bias(seed: int, origin: str) -> float:
        loadings, intercepts, sizes = configural(seed, groups=30)
        means, _ = factor_parameters(seed, 30)
        noise = np.random.default_rng(seed).normal(0, 0.06, size=(2, *loadings.shape))
        moved = 1 + means[1:].mean()
        intercepts[0] += moved * loadings[0]
        found = align_groups(loadings + noise[0], intercepts + noise[1], sizes, origin=origin, starts=2)
        return float(np.mean(found.means[1:] - means[1:]) + moved)

    found = {origin: np.mean([bias(seed, origin) for seed in range(8)]) for origin in ("centre", "first")}
    assert abs(found["centre"]) < 0.03
    assert found["first"] > 0.08


@pytest.mark.parametrize("origin", ["centre", "first"])
def test_standard_errors_are_those_of_the_numerical_derivatives(origin):
    loadings, intercepts, sizes = configural(4, groups=5, items=3, noise=0.05)
    p, step = 3, 1e-5
    whole = np.hstack([loadings, intercepts])
    covariances = np.array([root @ root.T for root in np.random.default_rng(2).normal(0, 0.05, size=(5, 6, 6))])

    def everything(x):
        found = align_groups(x[:, :p], x[:, p:], sizes, origin=origin, starts=1)
        return np.concatenate([found.means, found.sds, found.loadings.T.ravel(), found.intercepts.T.ravel()])

    slopes = np.zeros((40, 5, 6))
    for g in range(5):
        for k in range(6):
            moved = np.zeros_like(whole)
            moved[g, k] = step
            slopes[:, g, k] = (everything(whole + moved) - everything(whole - moved)) / (2 * step)
    expected = np.einsum("agj,gjk,bgk->ab", slopes, covariances, slopes)
    aligned = align_groups(loadings, intercepts, sizes, origin=origin)
    found = spread(loadings, intercepts, sizes, covariances, aligned, origin=origin)
    blocks = [expected[5 * k : 5 * k + 5, 5 * k : 5 * k + 5] for k in range(8)]
    for got, wanted in zip([found.means, found.sds, *found.loadings, *found.intercepts], blocks, strict=True):
        np.testing.assert_allclose(got, wanted, atol=2e-6 * np.abs(expected).max())
    assert not found.means[0].any()
    assert not found.sds[0].any()


def test_groups_apart_are_not_invariant():
    values = np.array([0.0, 0.01, -0.02, 0.03, 0.5, -0.4])
    found = invariant_groups(values, np.eye(6) * 0.03**2, np.full(6, 100))
    assert found.tolist() == [True] * 4 + [False] * 2


def test_a_chain_of_groups_does_not_count_as_one_set():
    """Neighbours differ by two standard errors of their difference, the ends by twenty."""
    found = invariant_groups(np.arange(11) * 2 * np.sqrt(2), np.eye(11), np.ones(11))
    assert 1 <= found.sum() <= 3


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.floats(0.5, 8))
def test_the_invariant_set_is_never_empty(seed, width):
    rng = np.random.default_rng(seed)
    values, sizes = rng.normal(0, width, 8), rng.integers(50, 1000, 8)
    assert invariant_groups(values, np.eye(8), sizes).any()


def test_equal_values_without_error_are_invariant():
    assert invariant_groups(np.ones(4), np.zeros((4, 4)), np.ones(4)).all()


def test_nothing_to_explain():
    """Configural parameters that are all the same have no variation."""
    loadings, intercepts = np.tile([0.7, 0.8, 0.6], (4, 1)), np.tile([3.0, 2.0, 4.0], (4, 1))
    found = align_groups(loadings, intercepts, np.ones(4))
    for share in explained(loadings, intercepts, found):
        assert np.isnan(share).all()


def test_explained_by_hand():
    """Two groups: what is left is the distance of the aligned parameters, in the units of each group."""
    loadings, intercepts, sizes = configural(7, groups=2, items=3, noise=0.1)
    found = align_groups(loadings, intercepts, sizes)
    rest = loadings - found.sds[:, None] * found.loadings.mean(axis=0)
    expected = 1 - rest.var(axis=0) / loadings.var(axis=0)
    np.testing.assert_allclose(explained(loadings, intercepts, found)[0], expected, atol=1e-12)


def test_thirty_groups_take_well_under_a_second():
    given_ = configural(9, groups=30, noise=0.06)
    start = time.perf_counter()
    assert align_groups(*given_).converged
    assert time.perf_counter() - start < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: (a[0][:1], a[1][:1], a[2][:1]), "expected at least two groups, found 1"),
        (lambda a: (a[0][:, :2], a[1][:, :2], a[2]), "expected at least three items, found 2"),
        (
            lambda a: (a[0][:, :4], a[1], a[2]),
            "expected loadings and intercepts of groups x items and a size for each group, found shapes (12, 4), "
            "(12, 6) and (12,)",
        ),
        (
            lambda a: (np.where(np.arange(6) == 2, np.nan, a[0]), a[1], a[2] - a[2].min()),
            "expected finite loadings, intercepts and sizes, found others; expected positive group sizes, found 0",
        ),
        (
            lambda a: (np.where(np.arange(12)[:, None] == 2, 0, a[0]), a[1], a[2]),
            "expected loadings other than zero in every group, found a group without",
        ),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(ComputationError) as caught:
        align_groups(*change(configural(0)))
    assert str(caught.value) == message


def test_bad_tolerance_and_covariances():
    loadings, intercepts, sizes = configural(0)
    with pytest.raises(ComputationError) as caught:
        align_groups(loadings, intercepts, sizes, eps=0)
    assert str(caught.value) == "expected a positive eps, found 0"
    with pytest.raises(ComputationError) as caught:
        spread(loadings, intercepts, sizes, np.eye(12), align_groups(loadings, intercepts, sizes))
    assert str(caught.value) == "expected covariances of shape (12, 12, 12), found (12, 12)"
