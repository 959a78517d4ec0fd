"""The engine under the models: derivatives, elimination of groups, incomplete data, laws of the fit indices."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.measurement.model_table import Options, Table, complete
from sqmodel.measurement.syntax import parse_model
from sqmodel.numerics.sem import curvature, fit
from sqmodel.numerics.sem.curvature import Curvature, smallest_eigenvalue
from sqmodel.numerics.sem.likelihood import fit_normal
from sqmodel.numerics.sem.model import implied, jacobian, moments
from sqmodel.numerics.sem.robust import Answers, saturated_information, saturated_scores, saturated_trace
from sqmodel.numerics.sem.samples import LeastSquares, Normal
from sqmodel.numerics.sem.solve import gradient_of, information_of, minimise
from sqmodel.numerics.sem.start import start_values
from sqmodel.numerics.sem.sufficient import complete_sample, incomplete_sample

MODELS = {
    "correlated": "f =~ x1 + x2 + x3\ng =~ x4 + x5 + x6\nx1 ~~ x4",
    "second order": "f =~ x1 + x2\ng =~ x3 + x4\nh =~ x5 + x6\nt =~ f + g + h",
    "crossed": "f =~ x1 + a*x2 + a*x3\ng =~ x3 + x4 + x5 + x6\nx1 + x2 ~ m*1",
}


def answers(n: int = 200, seed: int = 1) -> Answers:
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(n, 1))
    scores = 0.6 * common + 0.8 * rng.normal(size=(n, 3))
    return Answers(scores[:, [0, 0, 1, 1, 2, 2]] + rng.normal(size=(n, 6)) + 3.0)


def table(name: str, **options: object) -> Table:
    return complete(parse_model(MODELS[name]), 1, Options(mean_structure=True, **options))  # type: ignore[arg-type]


def begin(own: Table, data: Answers) -> np.ndarray:
    sample = complete_sample(data)
    return start_values(own.q, own.blocks(), [sample.cov], [sample.mean], [np.zeros(0)])


@pytest.mark.parametrize("name", MODELS)
def test_derivatives_of_moments_and_likelihood_equal_finite_differences(name: str) -> None:
    own, data = table(name), answers()
    block, theta = own.blocks()[0], begin(own, data)
    J, slope = jacobian(block, implied(block, theta))
    collapsed = np.zeros((len(J), own.q))
    np.add.at(collapsed.T, slope.parameter, J.T)
    sample = complete_sample(data)
    numerical, gradient = np.empty_like(collapsed), np.empty(own.q)
    for k in range(own.q):
        step = np.zeros(own.q)
        step[k] = 1e-6
        up, down = theta + step, theta - step
        numerical[:, k] = (moments(block, implied(block, up)) - moments(block, implied(block, down))) / 2e-6
        gradient[k] = (sample.value(block, up) - sample.value(block, down)) / 2e-6
    np.testing.assert_allclose(collapsed, numerical, atol=1e-8)
    np.testing.assert_allclose(gradient_of([block], [sample], theta), gradient, atol=1e-7)


@pytest.mark.parametrize("name", MODELS)
def test_the_hessian_is_the_gradients_derivative(name: str) -> None:
    own, data = table(name), answers()
    block, theta, sample = own.blocks()[0], begin(own, data), complete_sample(data)
    exact = information_of([block], [sample], theta, observed=True).dense
    assert exact is not None
    numerical = np.empty((own.q, own.q))
    for k in range(own.q):
        step = np.zeros(own.q)
        step[k] = 1e-5
        up, down = (gradient_of([block], [sample], theta + s * step) for s in (1, -1))
        numerical[k] = (up - down) / 2e-5
    np.testing.assert_allclose(exact, numerical, atol=1e-6)


def test_expected_information_is_the_mean_hessian_where_the_model_is_true() -> None:
    own, data = table("correlated"), answers()
    block, theta = own.blocks()[0], begin(own, data)
    at = implied(block, theta)
    sample = Normal.of(100.0, at.mu, at.sigma)
    expected, number = sample.information(block, theta)
    observed, _ = sample.hessian(block, theta)
    order = np.argsort(number)
    np.testing.assert_allclose(expected[np.ix_(order, order)], observed, atol=1e-10)


def test_ordered_moments_move_as_finite_differences_say() -> None:
    rows = parse_model("f =~ x1 + x2 + x3\ng =~ x4 + x5\nx1 ~*~ NA*x1\nx1 ~ NA*1\nf ~ NA*1\nx2 ~~ x4")
    own = complete(rows, 1, Options(categories={f"x{k}": 3 for k in range(1, 6)}))
    block, theta = own.blocks()[0], np.random.default_rng(2).uniform(0.2, 0.9, size=own.q)
    J, slope = jacobian(block, implied(block, theta))
    for c, number in enumerate(slope.parameter):
        step = np.zeros(own.q)
        step[number] = 1e-6
        up, down = (moments(block, implied(block, theta + s * step)) for s in (1, -1))
        np.testing.assert_allclose(J[:, c], (up - down) / 2e-6, atol=1e-8)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_eliminating_groups_solves_what_the_whole_matrix_solves(seed: int) -> None:
    rng = np.random.default_rng(seed)
    parts, shared, q = [], np.arange(3), 3
    for _ in range(5):
        size = int(rng.integers(1, 5))
        number = np.concatenate([shared, np.arange(q, q + size)])
        root = rng.normal(size=(len(number), len(number) + 3))
        parts.append((root @ root.T, number[rng.permutation(len(number))]))
        q += size
    gradient = rng.normal(size=q)
    dense = Curvature(q, parts)
    assert dense.dense is not None
    limit = curvature.DENSE
    try:
        curvature.DENSE = 1
        arrow = Curvature(q, parts)
    finally:
        curvature.DENSE = limit
    assert arrow.dense is None
    np.testing.assert_allclose(arrow.solve(gradient), np.linalg.solve(dense.dense, gradient), rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(arrow.inverse_diagonal(), np.diag(np.linalg.inv(dense.dense)), rtol=1e-6)
    np.testing.assert_allclose(arrow.diagonal(), np.diag(dense.dense))
    assert smallest_eigenvalue(arrow) == pytest.approx(smallest_eigenvalue(dense), rel=0.01)


def test_complete_data_by_patterns_are_complete_data() -> None:
    own, data = table("correlated"), answers()
    whole = fit_normal(own.blocks(), [complete_sample(data)], begin(own, data), answers=[data], estimator="MLR")
    by_pattern = fit_normal(own.blocks(), [incomplete_sample(data)], begin(own, data), answers=[data], estimator="MLR")
    np.testing.assert_allclose(by_pattern.solution.theta, whole.solution.theta, atol=1e-6)
    np.testing.assert_allclose(by_pattern.se, whole.se, rtol=1e-6)
    for key in ("chisq", "chisq.scaled", "cfi.scaled", "logl", "srmr"):
        assert by_pattern.fit[key] == pytest.approx(whole.fit[key], rel=1e-6), key


def test_free_moments_of_incomplete_data_have_no_slope_and_their_information_is_its_derivative() -> None:
    data = answers()
    x = data.x.copy()
    rng = np.random.default_rng(3)
    x[rng.random(x.shape) < 0.15] = np.nan
    holes = Answers(x[~np.isnan(x).all(axis=1)])
    sample = incomplete_sample(holes)
    mu, sigma = sample.mean, sample.cov
    assert sample.settled
    assert sample.saturated == pytest.approx(sample.minus_loglik(mu, sigma), abs=1e-12)
    np.testing.assert_allclose(saturated_scores(holes, sample).mean(axis=0), 0, atol=1e-5)
    information = saturated_information(sample, mu, sigma)
    row, column = np.triu_indices(6)[1], np.triu_indices(6)[0]
    for k in (0, 5, 6, 7, 20):
        step = np.zeros(27)
        step[k] = 1e-4
        values = []
        for sign in (1, -1):
            moved = sigma.copy()
            moved[row, column] += sign * step[6:]
            moved[column, row] = moved[row, column]
            values.append(sample.minus_loglik(mu + sign * step[:6], moved))
        second = (values[0] - 2 * sample.minus_loglik(mu, sigma) + values[1]) / 1e-8
        assert information[k, k] == pytest.approx(second, rel=1e-3)


def test_the_saturated_trace_of_normal_data_counts_the_moments() -> None:
    data = answers(40_000, seed=6)
    trace = saturated_trace(data, complete_sample(data), mean_structure=True)
    assert trace == pytest.approx(6 + 21, rel=0.03)
    formed = saturated_trace(Answers(data.x, cluster=np.arange(40_000)), complete_sample(data), mean_structure=True)
    assert trace == pytest.approx(formed * (39_999 / 40_000), rel=1e-6)


def test_a_search_that_starts_elsewhere_ends_at_the_same_place() -> None:
    own, data = table("correlated"), answers()
    sample, theta = complete_sample(data), begin(own, data)
    one = minimise(own.blocks(), [sample], theta)
    other = minimise(own.blocks(), [sample], theta * 0.8 + 0.05)
    assert one.converged
    assert other.converged
    assert one.gradient_norm < 1e-6
    assert one.value == pytest.approx(other.value, abs=1e-12)


def test_unweighted_least_squares_of_a_true_model_is_exact() -> None:
    own, data = table("correlated"), answers()
    block = own.blocks()[0]
    truth = begin(own, data)
    observed = moments(block, implied(block, truth))
    found = minimise([block], [LeastSquares(100.0, observed, np.ones(len(observed)))], truth * 0.7 + 0.1)
    assert found.value < 1e-14
    np.testing.assert_allclose(moments(block, implied(block, found.theta)), observed, atol=1e-6)


@given(st.floats(0.1, 300), st.integers(1, 60), st.floats(400, 2000))
def test_laws_of_the_indices(chisq: float, df: int, null_chisq: float) -> None:
    found = fit.indices(fit.Test(chisq, df), fit.Test(null_chisq, df + 20), 250.0, 1)
    assert 0 <= found["cfi"] <= 1
    assert found["rmsea.ci.lower"] <= found["rmsea"] + 1e-9
    assert found["rmsea"] <= found["rmsea.ci.upper"] + 1e-9
    assert (found["rmsea"] == 0) == (chisq <= df)
    assert 0 <= found["pvalue"] <= 1


def test_indices_of_a_saturated_model() -> None:
    found = fit.indices(fit.Test(0.0, 0), fit.Test(500.0, 15), 250.0, 1)
    assert (found["cfi"], found["tli"], found["rmsea"]) == (1.0, 1.0, 0.0)
    assert math.isnan(found["pvalue"])
