import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import pearson, to_correlation
from sqmodel.numerics.discrepancy import LEAST_SQUARES, LIKELIHOOD, factor_fit
from sqmodel.numerics.factoring import (
    maximum_likelihood,
    minres,
    most_factors,
    one_factor_ml,
    principal_axis,
)
from tests.oracles import SURVEYS, frame, reference

PATTERN = np.array([[0.8, 0], [0.7, 0.1], [0.6, 0], [0, 0.75], [0.1, 0.65], [0, 0.55], [0.3, 0.4]])


def population(pattern: np.ndarray) -> np.ndarray:
    R = pattern @ pattern.T
    np.fill_diagonal(R, 1)
    return R


def random_correlations(seed: int, p: int = 8, n: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    loadings = rng.uniform(0.2, 0.7, size=(p, 2)) * (np.arange(p)[:, None] % 2 == [[0, 1]])
    loadings[:, 0] += 0.3
    x = rng.normal(size=(n, 2)) @ loadings.T + rng.normal(size=(n, p))
    return pearson(x)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_minres_uniquenesses_equal_psych(dataset):
    """psych stops its search at a change of 2e-9 in the objective: up to 1.4e-4 in a uniqueness."""
    expected = reference(dataset)["efa_minres_oblimin"]
    fit = minres(pearson(frame(dataset)), expected["nf"])
    assert fit.gradient_norm < 1e-9
    np.testing.assert_allclose(fit.uniquenesses, list(expected["uniqueness"].values()), atol=2e-4)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_principal_axis_with_psychs_stopping_rule_equals_psych(dataset):
    expected = reference(dataset)["efa_pa_varimax"]
    fit = principal_axis(pearson(frame(dataset)), expected["nf"], max_iter=50, tolerance=1e-3)
    np.testing.assert_allclose(fit.uniquenesses, list(expected["uniqueness"].values()), atol=1e-8)


@pytest.mark.parametrize("dataset", ["holzinger_swineford_1939", "bfi", "mobi_ecsi"])
def test_maximum_likelihood_equals_psych(dataset):
    expected = reference(dataset)["efa_ml_promax"]
    fit = maximum_likelihood(pearson(frame(dataset)), expected["nf"])
    communalities = (fit.loadings**2).sum(axis=1)
    np.testing.assert_allclose(1 - communalities, list(expected["uniqueness"].values()), atol=1e-4)


def test_maximum_likelihood_finds_a_better_heywood_case_than_psych():
    """Six factors in the bank's survey have many minima on the bound; started at psych's, we stay there."""
    expected = reference("satisfaction_es_bank")["efa_ml_promax"]
    R = pearson(frame("satisfaction_es_bank"))
    theirs = np.array(list(expected["uniqueness"].values()))
    near, ours = maximum_likelihood(R, 6, start=theirs), maximum_likelihood(R, 6)
    np.testing.assert_allclose(near.uniquenesses, theirs, atol=2e-5)
    assert near.heywood
    assert ours.heywood
    assert ours.objective < near.objective - 0.01


@pytest.mark.parametrize("dataset", SURVEYS)
@pytest.mark.parametrize(("name", "extract"), [("efa_minres_oblimin", minres), ("efa_pa_varimax", principal_axis)])
def test_fit_statistics_equal_psych(dataset, name, extract):
    """They do not depend on the rotation."""
    expected, data = reference(dataset)[name], frame(dataset)
    R = pearson(data)
    fit = factor_fit(R, extract(R, expected["nf"]).loadings, n=len(data))
    got = [fit.chisq, fit.chisq_residual, fit.bic]
    np.testing.assert_allclose(got, [expected[k] for k in ("stat", "chi", "bic")], atol=4e-4)
    assert fit.df == expected["dof"]
    rmsea = [fit.rmsea, fit.rmsea_low, fit.rmsea_high]
    np.testing.assert_allclose(rmsea, expected["rmsea"][:3], atol=1e-6)
    np.testing.assert_allclose([fit.tli, fit.rms], [expected["tli"], expected["rms"]], atol=1e-6)


def test_fit_without_degrees_of_freedom_has_no_rmsea():
    R = random_correlations(1, p=3)
    fit = factor_fit(R, minres(R, 1).loadings, n=100)
    assert fit.df == 0
    assert np.isnan([fit.tli, fit.rmsea, fit.rmsea_low, fit.rmsea_high, fit.pvalue]).all()


@pytest.mark.parametrize("kind", [LEAST_SQUARES, LIKELIHOOD])
@pytest.mark.parametrize("k", [1, 3])
def test_derivatives_equal_finite_differences(kind, k):
    R, p = random_correlations(3), 8
    at = np.random.default_rng(1).uniform(0.2, 0.7, size=p)
    at = np.log(at) if kind is LIKELIHOOD else at
    point = kind.spectrum(R[None], at[None], k)
    hessian = sum(kind.hessian(point, k))[0]
    step = 1e-6
    for i in range(p):
        up, down = (kind.spectrum(R[None], (at + sign * step * np.eye(p)[i])[None], k) for sign in (1, -1))
        assert (up.objective - down.objective)[0] / 2 / step == pytest.approx(point.gradient[0, i], abs=1e-6)
        np.testing.assert_allclose((up.gradient - down.gradient)[0] / 2 / step, hessian[i], atol=1e-6)


@pytest.mark.parametrize("extract", [minres, maximum_likelihood])
def test_population_matrix_is_recovered_exactly(extract):
    fit = extract(population(PATTERN), 2)
    np.testing.assert_allclose(fit.loadings @ fit.loadings.T, PATTERN @ PATTERN.T, atol=1e-8)
    assert fit.objective == pytest.approx(0, abs=1e-14)
    assert fit.converged
    assert not fit.heywood


@pytest.mark.parametrize("extract", [minres, maximum_likelihood])
def test_large_sample_recovers_its_population(extract):
    rng = np.random.default_rng(7)
    x = rng.multivariate_normal(np.zeros(7), population(PATTERN), size=200_000)
    fit = extract(pearson(x), 2)
    np.testing.assert_allclose((fit.loadings**2).sum(axis=1), (PATTERN**2).sum(axis=1), atol=0.015)


def test_principal_axis_iterated_to_the_end_is_minres():
    x = np.random.default_rng(5).multivariate_normal(np.zeros(7), population(PATTERN), size=500)
    R = pearson(x)
    tight = principal_axis(R, 2, tolerance=1e-14, max_iter=20_000)
    np.testing.assert_allclose(np.abs(tight.loadings), np.abs(minres(R, 2).loadings), atol=1e-6)


def test_a_stack_gives_what_each_matrix_gives():
    R = np.stack([random_correlations(seed) for seed in range(6)]).reshape(2, 3, 8, 8)
    for extract in (minres, maximum_likelihood):
        together = extract(R, 2)
        assert together.loadings.shape == (2, 3, 8, 2)
        assert together.converged.shape == (2, 3)
        np.testing.assert_allclose(together.uniquenesses[1, 2], extract(R[1, 2], 2).uniquenesses, atol=1e-9)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.permutations(range(8)))
def test_the_order_of_items_does_not_matter(seed, order):
    R = random_correlations(seed)
    for extract in (minres, maximum_likelihood):
        fit, moved = extract(R, 2), extract(R[np.ix_(order, order)], 2)
        if fit.heywood:
            continue
        np.testing.assert_allclose(moved.uniquenesses, fit.uniquenesses[list(order)], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(0, 7))
def test_reversing_an_item_flips_its_loading(seed, item):
    R = random_correlations(seed)
    turned = R.copy()
    turned[item], turned[:, item] = -turned[item], -turned[:, item]
    turned[item, item] = 1
    fit, flipped = minres(R, 1), minres(turned, 1)
    sign = np.where(np.arange(8) == item, -1.0, 1.0)
    np.testing.assert_allclose(flipped.loadings[:, 0] * sign, fit.loadings[:, 0], atol=1e-6)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(12, 60))
def test_uniquenesses_stay_in_bounds(seed, k, n):
    R = random_correlations(seed, n=n)
    for extract in (minres, maximum_likelihood):
        fit = extract(R, k)
        assert (fit.uniquenesses >= 0.005 * (1 - 1e-12)).all()
        assert (fit.uniquenesses <= 1).all()
        assert fit.converged
        assert fit.heywood == (fit.uniquenesses <= 0.005 * (1 + 1e-9)).any()


def test_too_many_factors():
    with pytest.raises(ComputationError) as caught:
        minres(np.eye(5), 3)
    assert str(caught.value) == (
        "expected 1 to 2 factors for 5 items, found 3; ask for fewer factors or use more items"
    )


def test_missing_correlations():
    with pytest.raises(ComputationError) as caught:
        maximum_likelihood(np.full((4, 4), np.nan), 1)
    assert str(caught.value) == ("expected finite correlations, found missing ones; leave out items without variance")


@pytest.mark.parametrize(("p", "most"), [(2, 0), (3, 1), (5, 2), (6, 3), (9, 5), (22, 15)])
def test_ledermanns_bound(p, most):
    assert most_factors(p) == most


def test_likelihood_needs_a_positive_definite_matrix():
    with pytest.raises(ComputationError) as caught:
        maximum_likelihood(np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]]), 1)
    assert str(caught.value) == (
        "expected positive definite correlations for maximum likelihood, found a matrix that is not; "
        "use minres, smooth the matrix, or leave out items that repeat others"
    )


class TestOneFactor:
    loadings = np.array([0.9, 0.8, 0.7, 0.6, 0.75, 0.5, 0.65])
    deviations = np.array([1.0, 1.2, 0.8, 2.0, 1.1, 0.9, 1.0])

    @pytest.fixture
    def covariance(self) -> np.ndarray:
        return population(self.loadings[:, None]) * np.outer(self.deviations, self.deviations)

    def test_population(self, covariance):
        fit = one_factor_ml(covariance)
        np.testing.assert_allclose(fit.loadings, self.loadings * self.deviations, atol=1e-9)
        np.testing.assert_allclose(fit.uniquenesses, (1 - self.loadings**2) * self.deviations**2, atol=1e-9)

    def test_jackknife_from_a_warm_start(self, covariance):
        x = np.random.default_rng(0).multivariate_normal(np.zeros(7), covariance, size=400)
        whole = np.cov(x.T)
        left_out = np.stack([np.cov(np.delete(x, i, axis=0).T) for i in range(len(x))])
        warm = one_factor_ml(left_out, start=one_factor_ml(whole).loadings)
        assert warm.converged.all()
        assert warm.gradient_norm.max() < 1e-9
        np.testing.assert_allclose(warm.loadings, one_factor_ml(left_out).loadings, atol=1e-8)
        single = maximum_likelihood(to_correlation(left_out[7]), 1)
        np.testing.assert_allclose(warm.loadings[7], single.loadings[:, 0] * np.sqrt(np.diag(left_out[7])), atol=1e-8)

    def test_three_items_are_just_identified(self):
        r12, r13, r23 = 0.5, 0.4, 0.3
        S = np.array([[1, r12, r13], [r12, 1, r23], [r13, r23, 1]])
        expected = np.sqrt([r12 * r13 / r23, r12 * r23 / r13, r13 * r23 / r12])
        fit = one_factor_ml(S)
        np.testing.assert_allclose(fit.loadings, expected, atol=1e-9)
        assert not fit.heywood

    def test_heywood_is_flagged_not_raised(self):
        S = np.array([[1, 0.7, 0.6], [0.7, 1, 0.2], [0.6, 0.2, 1]]) * 4
        fit = one_factor_ml(np.stack([S, np.eye(3) * 0.4 + 0.6]))
        assert fit.heywood.tolist() == [True, False]
        assert fit.uniquenesses[0].min() == pytest.approx(0.005 * 4)
        assert fit.converged.all()

    def test_two_items(self):
        with pytest.raises(ComputationError) as caught:
            one_factor_ml(np.eye(2))
        assert str(caught.value) == (
            "expected at least 3 items for one factor, found 2: two items fit every factor; "
            "add an item or report their correlation"
        )
