import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import multivariate_normal, norm

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import (
    bivariate_normal_cdf,
    discretised_moments,
    moments,
    nearest_positive_definite,
    pairwise_pearson,
    pearson,
    smc,
    to_correlation,
)
from tests.oracles import SURVEYS, frame, matrix, reference

# R: psych::cor.smooth(matrix(c(1,.9,-.9,.9,1,.9,-.9,.9,1),3))
IMPROPER = np.array([[1, 0.9, -0.9], [0.9, 1, 0.9], [-0.9, 0.9, 1]])


@pytest.fixture
def answers() -> np.ndarray:
    return np.random.default_rng(4).integers(1, 6, size=(60, 4)).astype(float)


def test_moments_agree_with_numpy(answers):
    mean, covariance = moments(answers)
    np.testing.assert_allclose(mean, answers.mean(axis=0))
    np.testing.assert_allclose(covariance, np.cov(answers.T), atol=1e-14)


def test_equal_weights_change_nothing(answers):
    for got, expected in zip(moments(answers, np.full(60, 7.0)), moments(answers), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-14)


def test_whole_weights_of_mean_one_act_like_repeated_rows(answers):
    weight = np.tile([0, 2], 30)
    for got, expected in zip(moments(answers, weight), moments(np.repeat(answers, weight, axis=0)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-14)


def test_weights_that_cannot_be_used(answers):
    with pytest.raises(ComputationError) as caught:
        moments(answers, np.full(60, -1.0))
    assert str(caught.value) == (
        "expected 60 non-negative weights with a positive sum, found an array of shape (60,) with minimum -1 "
        "and sum -60; correct the weights"
    )


def test_one_row_has_no_covariance():
    with pytest.raises(ComputationError) as caught:
        moments([[1.0, 2.0]])
    assert str(caught.value) == "expected at least 2 rows for a covariance, found 1; supply more answers"


@pytest.mark.parametrize("dataset", SURVEYS)
def test_pearson_equals_r(dataset):
    R = reference(dataset)["pearson_cor"]
    np.testing.assert_allclose(pearson(frame(dataset)[R["rows"]]), matrix(R), atol=1e-6)


def test_a_constant_item_correlates_with_nothing():
    R = pearson([[1, 5, 2], [2, 5, 2], [3, 5, 4]])
    assert np.isnan(R[1]).all()
    assert np.isfinite(R[[0, 2]][:, [0, 2]]).all()


def test_pairwise_equals_pandas(answers):
    import pandas as pd

    answers[np.random.default_rng(1).random(answers.shape) < 0.3] = np.nan
    R, count = pairwise_pearson(answers)
    np.testing.assert_allclose(R, pd.DataFrame(answers).corr().to_numpy(), atol=1e-13)
    seen = np.isfinite(answers).astype(int)
    np.testing.assert_array_equal(count, seen.T @ seen)


def test_pairwise_of_complete_answers_is_pearson(answers):
    np.testing.assert_allclose(pairwise_pearson(answers)[0], pearson(answers), atol=1e-13)


def test_pairwise_without_common_rows_is_missing():
    R, count = pairwise_pearson([[1, np.nan], [2, np.nan], [np.nan, 3], [np.nan, 4.0]])
    assert np.isnan(R[0, 1])
    assert count.tolist() == [[2, 0], [0, 2]]


def test_smc_is_the_r_squared_of_a_regression(answers):
    x = answers - answers.mean(axis=0)
    fitted = x[:, 1:] @ np.linalg.lstsq(x[:, 1:], x[:, 0], rcond=None)[0]
    assert smc(pearson(answers))[0] == pytest.approx((fitted**2).sum() / (x[:, 0] ** 2).sum(), abs=1e-12)


def test_smc_of_a_singular_matrix():
    with pytest.raises(ComputationError) as caught:
        smc(np.ones((2, 2)))
    assert str(caught.value) == (
        "expected a correlation matrix of full rank, found a singular one; leave out items that repeat others"
    )


def test_smoothing_equals_psych():
    got = nearest_positive_definite(IMPROPER)
    np.testing.assert_allclose(
        got[np.triu_indices(3, 1)], [0.499999999961, -0.499999999961, 0.499999999961], atol=1e-12
    )
    assert np.linalg.eigvalsh(got)[0] > 0


def test_smoothing_leaves_a_proper_matrix_alone(answers):
    R = pearson(answers)
    assert nearest_positive_definite(R) is R


def test_bivariate_normal_equals_scipy():
    rng = np.random.default_rng(2)
    for rho in (-0.949, -0.5, 0.0, 0.3, 0.8, 0.949):
        h, k = rng.uniform(-3, 3, size=(2, 20))
        exact = [
            multivariate_normal.cdf([a, b], cov=[[1, rho], [rho, 1]], abseps=1e-13, releps=1e-13)
            for a, b in zip(h, k, strict=True)
        ]
        np.testing.assert_allclose(bivariate_normal_cdf(h, k, rho), exact, atol=1e-10)


def test_bivariate_normal_at_the_ends():
    got = bivariate_normal_cdf([np.inf, -np.inf, 1.0], [np.inf, 0.0, np.inf], 0.4)
    np.testing.assert_allclose(got, [1, 0, norm.cdf(1)], atol=1e-15)


@given(st.floats(-3, 3), st.floats(-3, 3), st.floats(-0.94, 0.94))
def test_the_four_quadrants_sum_to_one(h, k, rho):
    total = (
        bivariate_normal_cdf(h, k, rho) + bivariate_normal_cdf(-h, -k, rho)
        + bivariate_normal_cdf(-h, k, -rho) + bivariate_normal_cdf(h, -k, -rho)
    )  # fmt: skip
    assert total == pytest.approx(1, abs=1e-12)


def test_half_normals_have_sheppards_probability():
    rho = np.linspace(-0.9, 0.9, 7)
    np.testing.assert_allclose(bivariate_normal_cdf(0, 0, rho), 0.25 + np.arcsin(rho) / 2 / np.pi, atol=1e-14)


def test_discretised_moments_are_those_of_a_large_sample():
    rng = np.random.default_rng(8)
    R = np.array([[1, 0.6, -0.3], [0.6, 1, 0.1], [-0.3, 0.1, 1]])
    cuts = [np.array([-1.0, 0.2, 1.5]), np.array([0.4]), np.array([-2.0, -1.0, 0.0, 1.0])]
    n = 400_000
    z = rng.multivariate_normal(np.zeros(3), R, size=n)
    codes = np.column_stack([np.searchsorted(c, z[:, j]) for j, c in enumerate(cuts)])
    mean, covariance = discretised_moments(cuts, R)
    deviations = np.sqrt(np.diag(covariance))
    np.testing.assert_allclose(codes.mean(axis=0), mean, atol=4 * deviations.max() / np.sqrt(n))
    tolerance = 6 * np.outer(deviations, deviations) / np.sqrt(n)
    assert (np.abs(np.cov(codes.T) - covariance) < tolerance).all()


def test_discretised_variance_is_exact():
    cuts = np.array([-0.7, 0.1, 1.3])
    share = np.diff(norm.cdf(np.r_[-np.inf, cuts, np.inf]))
    codes = np.arange(4)
    mean, covariance = discretised_moments([cuts], np.eye(1))
    assert mean[0] == pytest.approx(share @ codes, abs=1e-14)
    assert covariance[0, 0] == pytest.approx(share @ codes**2 - (share @ codes) ** 2, abs=1e-14)


def test_covariances_become_correlations_in_a_stack(answers):
    S = np.stack([np.cov(answers.T), 9 * np.cov(answers.T)])
    np.testing.assert_allclose(to_correlation(S), np.stack([pearson(answers)] * 2), atol=1e-14)
