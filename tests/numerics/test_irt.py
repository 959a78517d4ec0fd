"""Graded response model and proportional-odds regression: published values, brute force, laws, recovery, errors."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize
from scipy.special import expit

from sqmodel.errors import ComputationError
from sqmodel.numerics.irt import curves
from sqmodel.numerics.irt.curves import category_probabilities, item_information, marginal_reliability
from sqmodel.numerics.irt.graded import GradedResponse, expected_scores, graded_response
from sqmodel.numerics.ordinal_regression import proportional_odds
from tests.oracles import frame

PATTERNS = (np.arange(32)[:, None] >> np.arange(4, -1, -1)) & 1
LSAT6 = [3, 6, 2, 11, 1, 1, 3, 4, 1, 8, 0, 16, 0, 3, 2, 15, 10, 29, 14, 81, 3, 28, 15, 80, 16, 56, 21, 173, 11, 61, 28,
         298]  # fmt: skip
LSAT7 = [12, 19, 1, 7, 3, 19, 3, 17, 10, 5, 3, 7, 7, 23, 8, 28, 7, 39, 11, 34, 14, 51, 15, 90, 6, 25, 7, 35, 18, 136,
         32, 308]  # fmt: skip
"""Bock & Lieberman (1970): how many of 1000 solved which of five questions, in the order of `PATTERNS`."""

seeds = st.integers(0, 10_000)


def expanded(counts: list[int]) -> np.ndarray:
    return np.repeat(PATTERNS, counts, axis=0)


def planted(p: int, K: int) -> tuple[np.ndarray, np.ndarray]:
    slopes = np.linspace(0.8, 2.4, p)[np.random.default_rng(1).permutation(p)]
    return slopes, np.linspace(-0.6, 0.6, p)[:, None] + np.linspace(-1.5, 1.5, K - 1)


def simulated(n: int, p: int, K: int, seed: int) -> np.ndarray:
    rng, (slopes, thresholds) = np.random.default_rng(seed), planted(p, K)
    latent = slopes * rng.normal(size=(n, 1)) + rng.logistic(size=(n, p))
    return (latent[:, :, None] > slopes[:, None] * thresholds).sum(axis=2).astype(float)


def brute_loglik(x: np.ndarray, a: list[float], d: list[list[float]]) -> np.ndarray:
    """Marginal log likelihood of each respondent from products of differences of logistic chances."""
    nodes = np.array([-6 + 0.2 * q for q in range(61)])
    product = np.tile(np.exp(-(nodes**2) / 2) / np.exp(-(nodes**2) / 2).sum(), (len(x), 1))
    for slope, intercepts, answer in zip(a, d, x.T, strict=True):
        above = np.vstack([np.ones(61), *(expit(slope * nodes + v) for v in intercepts), np.zeros(61)])
        given = ~np.isnan(answer)
        product[given] *= -np.diff(above, axis=0)[answer[given].astype(int)]
    return np.log(product.sum(axis=1))


def unpacked(vector: np.ndarray, sizes: list[int]) -> tuple[list[float], list[list[float]]]:
    parts = np.split(vector, np.cumsum([m + 1 for m in sizes])[:-1])
    return [part[0] for part in parts], [list(part[1:]) for part in parts]


SIZES = [2, 1, 3, 3]


@pytest.fixture(scope="module")
def small() -> tuple[np.ndarray, np.ndarray, np.ndarray, GradedResponse, np.ndarray]:
    """A small problem: distinct patterns, their counts, which rows they make, its fit and the fit as one vector."""
    x = simulated(600, 4, 4, 5)
    x[:, 0], x[:, 1] = np.minimum(x[:, 0], 2), x[:, 1] > 1
    x[np.random.default_rng(6).random(x.shape) < 0.1] = np.nan
    x = x[~np.isnan(x).all(axis=1)]
    patterns, counts = np.unique(x, axis=0, return_counts=True, equal_nan=True)
    fit = graded_response(x)
    vector = np.concatenate([np.r_[fit.slopes[j], fit.intercepts[j, : SIZES[j]]] for j in range(len(SIZES))])
    return patterns, counts, x, fit, vector


LTM = {"loglik": -2466.653, "slopes": [0.8254, 0.7229, 0.8905, 0.6886, 0.6575]}
"""R: summary(ltm::ltm(LSAT ~ z1)), 21 Gauss-Hermite nodes, stopped at a largest gradient of .024."""
MIRT = {"loglik": -2658.805, "slopes": [0.988, 1.081, 1.706, 0.765, 0.736]}
"""R: mirt 1.45.5, coef(mirt(expand.table(LSAT7), 1)), converged within 1e-4."""


def test_law_school_section_6_equals_ltm():
    fit = graded_response(expanded(LSAT6))
    assert fit.loglik == pytest.approx(LTM["loglik"], abs=6e-4)
    np.testing.assert_allclose(fit.slopes, LTM["slopes"], atol=1e-3)
    np.testing.assert_allclose(fit.thresholds[:, 0], [-3.3597, -1.3696, -0.2799, -1.8659, -3.1236], atol=3e-3)
    np.testing.assert_allclose(fit.slope_errors, [0.2581, 0.1867, 0.2326, 0.1852, 0.2100], atol=3e-4)
    np.testing.assert_allclose(fit.threshold_errors[:, 0], [0.8669, 0.3073, 0.0997, 0.4341, 0.8700], atol=2e-3)


def test_law_school_section_7_equals_mirt():
    fit = graded_response(expanded(LSAT7))
    assert fit.loglik == pytest.approx(MIRT["loglik"], abs=6e-4)
    np.testing.assert_allclose(fit.slopes, MIRT["slopes"], atol=2e-3)
    np.testing.assert_allclose(fit.intercepts[:, 0], [1.856, 0.808, 1.804, 0.486, 1.855], atol=2e-3)
    assert (fit.n, fit.patterns) == (1000, 32)


def test_maximum_equals_direct_maximisation_of_the_brute_force_likelihood(small):
    patterns, counts, x, fit, vector = small

    def loss(v: np.ndarray) -> float:
        return -float(counts @ brute_loglik(patterns, *unpacked(v, SIZES))) / counts.sum()

    start = np.array([1, 1, -1, 1, 0, 1, 1, 0, -1, 1, 1, 0, -1], dtype=float)
    direct = optimize.minimize(loss, start, method="BFGS", options={"gtol": 1e-8, "xrtol": 1e-14})
    direct = optimize.minimize(loss, direct.x, method="Nelder-Mead", options={"xatol": 1e-7, "fatol": 1e-15})
    np.testing.assert_allclose(vector, direct.x, atol=1e-5)
    assert fit.loglik == pytest.approx(-direct.fun * counts.sum(), abs=1e-8)
    assert fit.converged
    assert fit.gradient_norm < 1e-8
    assert fit.n == len(x)
    assert np.isnan(fit.thresholds).tolist() == [[False, False, True], [False, True, True], [False] * 3, [False] * 3]


def test_errors_invert_the_numerical_second_derivatives(small):
    patterns, counts, _, fit, vector = small
    m, h = len(vector), 1e-3
    steps = np.eye(m) * h

    def total(v: np.ndarray) -> float:
        return float(counts @ brute_loglik(patterns, *unpacked(v, SIZES)))

    hessian = np.array(
        [[(total(vector + s + t) - total(vector + s - t) - total(vector - s + t) + total(vector - s - t)) / 4 / h**2
          for t in steps] for s in steps]
    )  # fmt: skip
    np.testing.assert_allclose(fit.covariance, np.linalg.inv(-hessian), rtol=2e-3, atol=1e-5)
    a, d, V = fit.slopes[0], fit.intercepts[0, 0], fit.covariance[:2, :2]
    by = np.array([d / a**2, -1 / a])
    assert fit.threshold_errors[0, 0] == pytest.approx(np.sqrt(by @ V @ by))
    assert fit.slope_errors[0] == pytest.approx(np.sqrt(V[0, 0]))


def test_weights_give_sandwich_errors(small):
    _, _, x, plain, _ = small
    rng = np.random.default_rng(3)
    weight = rng.gamma(4, 1, len(x))
    weight /= weight.mean()
    fit = graded_response(x, weight=7 * weight)
    vector = np.concatenate([np.r_[fit.slopes[j], fit.intercepts[j, : SIZES[j]]] for j in range(len(SIZES))])
    h, rows = 1e-4, []
    for s in np.eye(len(vector)) * h:
        rows.append((brute_loglik(x, *unpacked(vector + s, SIZES)) - brute_loglik(x, *unpacked(vector - s, SIZES))) / h)
    scores = np.array(rows).T / 2
    np.testing.assert_allclose(weight @ scores / len(x), 0, atol=1e-7)
    middle = scores.T @ (weight[:, None] ** 2 * scores)
    counted = graded_response(np.repeat(x, 2, axis=0), weight=np.repeat(weight, 2))
    np.testing.assert_allclose(counted.slopes, fit.slopes, atol=1e-7)
    bread = np.linalg.inv(_information_of(x, weight, vector))
    np.testing.assert_allclose(fit.covariance, bread @ middle @ bread, rtol=5e-3, atol=1e-5)
    assert not np.allclose(fit.covariance, plain.covariance, rtol=0.02)


def _information_of(x: np.ndarray, weight: np.ndarray, vector: np.ndarray) -> np.ndarray:
    patterns, which = np.unique(x, axis=0, return_inverse=True, equal_nan=True)
    totals, h, steps = np.bincount(which.ravel(), weight), 1e-3, np.eye(len(vector)) * 1e-3

    def total(v: np.ndarray) -> float:
        return float(totals @ brute_loglik(patterns, *unpacked(v, SIZES)))

    return -np.array(
        [[(total(vector + s + t) - total(vector + s - t) - total(vector - s + t) + total(vector - s - t)) / 4 / h**2
          for t in steps] for s in steps]
    )  # fmt: skip


def test_whole_weights_count_respondents():
    counts = np.array(LSAT7)
    fit, grouped = graded_response(expanded(LSAT7)), graded_response(PATTERNS, weight=counts)
    np.testing.assert_allclose(grouped.slopes, fit.slopes, atol=1e-6)
    np.testing.assert_allclose(grouped.intercepts, fit.intercepts, atol=1e-6)
    assert grouped.loglik / 32 == pytest.approx(fit.loglik / 1000, abs=1e-9)


def test_parameters_are_recovered_and_covered():
    """Bias and coverage of 95 % intervals at n = 1000: 1000 slopes (Monte Carlo margin 1.4 %), 3000 thresholds."""
    slopes, thresholds = planted(10, 4)
    fits = [graded_response(simulated(1000, 10, 4, 100 + r)) for r in range(100)]
    assert all(fit.converged for fit in fits)
    a, b = np.array([f.slopes for f in fits]), np.array([f.thresholds for f in fits])
    se_a, se_b = np.array([f.slope_errors for f in fits]), np.array([f.threshold_errors for f in fits])
    assert np.abs(a.mean(axis=0) - slopes).max() < 0.05
    assert np.abs(b.mean(axis=0) - thresholds).max() < 0.05
    assert 0.93 < (np.abs(a - slopes) < 1.96 * se_a).mean() < 0.97
    assert 0.93 < (np.abs(b - thresholds) < 1.96 * se_b).mean() < 0.97
    np.testing.assert_allclose(se_a.mean(axis=0), a.std(axis=0), rtol=0.25)


def test_missing_answers_cost_precision_only():
    x = simulated(3000, 8, 4, 1)
    gaps = np.where(np.random.default_rng(2).random(x.shape) < 0.3, np.nan, x)
    whole, part = graded_response(x), graded_response(gaps)
    assert (part.slope_errors > whole.slope_errors).all()
    assert (np.abs(part.slopes - whole.slopes) < 4 * part.slope_errors).all()
    empty = np.vstack([gaps, np.full((5, 8), np.nan)])
    assert graded_response(empty).n == part.n <= 3000
    assert graded_response(empty).loglik == pytest.approx(part.loglik)


def test_real_answers_of_six_points():
    data = frame("bfi")
    fit = graded_response(data[[c for c in data if c[0] == "N"]])
    assert fit.converged
    assert fit.n_iter < 40
    assert (np.diff(fit.thresholds, axis=1) > 0).all()
    assert marginal_reliability(fit.slopes, fit.thresholds) == pytest.approx(0.86, abs=0.01)


@settings(deadline=None, max_examples=50)
@given(seeds, st.integers(2, 7))
def test_chances_sum_to_one_and_information_is_what_they_tell(seed, K):
    rng = np.random.default_rng(seed)
    slopes, thresholds = rng.normal(0, 2, 4), np.sort(rng.normal(0, 1.5, (4, K - 1)), axis=1)
    thresholds[slopes < 0] = thresholds[slopes < 0, ::-1]
    thresholds[0, 1:] = np.nan
    theta = np.linspace(-4, 4, 41)
    chances = category_probabilities(theta, slopes, thresholds)
    np.testing.assert_allclose(np.nansum(chances, axis=2), 1, atol=1e-12)
    assert np.nanmin(chances) >= 0
    information = item_information(theta, slopes, thresholds)
    assert (information >= 0).all()
    assert (information[:, 0] <= slopes[0] ** 2 / 4 + 1e-12).all()
    np.testing.assert_allclose(curves.test_information(theta, slopes, thresholds), information.sum(axis=1))
    h = 1e-5
    rise = category_probabilities(theta + h, slopes, thresholds) - category_probabilities(theta - h, slopes, thresholds)
    large = np.where(chances > 1e-6, chances, np.nan)
    told = np.nansum((rise / 2 / h) ** 2 / large, axis=2)
    np.testing.assert_allclose(information, told, rtol=1e-3, atol=1e-4 * (1 + slopes**2).max())


def test_chances_are_exact_in_the_tails():
    chance = category_probabilities([-40.0, 40.0], [1.0], [[0.0, 1.0]])[:, 0]
    np.testing.assert_allclose(chance[0, 1:], np.exp(-40) * np.array([1 - np.exp(-1), np.exp(-1)]), rtol=1e-12)
    np.testing.assert_allclose(chance[1, :2], np.exp(-40) * np.array([1, np.e - 1]), rtol=1e-12)


@settings(deadline=None, max_examples=10)
@given(seeds)
def test_reversing_the_items_turns_the_thresholds(seed):
    x = simulated(300, 4, 4, seed)
    fit, turned = graded_response(x), graded_response(3 - x)
    np.testing.assert_allclose(turned.slopes, fit.slopes, rtol=1e-4)
    np.testing.assert_allclose(turned.thresholds, -fit.thresholds[:, ::-1], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(turned.threshold_errors, fit.threshold_errors[:, ::-1], rtol=1e-3)
    x[:, 1] = 3 - x[:, 1]
    one = graded_response(x)
    np.testing.assert_allclose(one.slopes, fit.slopes * [1, -1, 1, 1], rtol=1e-4)
    np.testing.assert_allclose(one.thresholds[1], fit.thresholds[1, ::-1], rtol=1e-3, atol=1e-4)


@settings(deadline=None, max_examples=10)
@given(seeds, st.permutations(range(5)))
def test_the_order_of_items_and_respondents_does_not_matter(seed, order):
    x, order = simulated(300, 5, 3, seed), list(order)
    fit, moved = graded_response(x), graded_response(x[::-1, order])
    np.testing.assert_allclose(moved.slopes, fit.slopes[order], rtol=1e-4)
    np.testing.assert_allclose(moved.thresholds, fit.thresholds[order], rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(moved.slope_errors, fit.slope_errors[order], rtol=1e-3)


def test_answers_are_categories_whatever_their_numbers():
    x = simulated(300, 4, 4, 1)
    fit, other = graded_response(x), graded_response(np.array([-1.5, 0, 7, 100])[x.astype(int)])
    np.testing.assert_array_equal(other.slopes, fit.slopes)
    np.testing.assert_array_equal(other.answers, np.tile([-1.5, 0, 7, 100], (4, 1)))


def test_scores_are_posterior_means():
    x = simulated(500, 6, 4, 3)
    fit = graded_response(x)
    some = x[:20].copy()
    some[0, :3], some[1] = np.nan, np.nan
    found = expected_scores(some, fit)
    theta = np.linspace(-6, 6, 61)
    chance = category_probabilities(theta, fit.slopes, fit.thresholds)
    for row, mean, sd in zip(some, found.theta, found.sd, strict=True):
        given = np.flatnonzero(~np.isnan(row))
        density = np.exp(-(theta**2) / 2) * chance[:, given, row[given].astype(int)].prod(axis=1)
        density /= density.sum()
        if len(given):
            assert mean == pytest.approx(density @ theta)
            assert sd == pytest.approx(np.sqrt(density @ (theta - density @ theta) ** 2))
        else:
            assert np.isnan([mean, sd]).all()


def test_reliability_is_the_variance_of_scores():
    x = simulated(20_000, 12, 5, 3)
    fit = graded_response(x, errors=False)
    scores = expected_scores(x, fit)
    share = scores.theta.var() / (scores.theta.var() + (scores.sd**2).mean())
    assert marginal_reliability(fit.slopes, fit.thresholds) == pytest.approx(share, abs=0.01)
    assert np.isnan(fit.slope_errors).all()


def test_an_item_that_repeats_another_has_a_slope_without_bound():
    x = simulated(300, 4, 3, 1)
    x[:, 1] = x[:, 0]
    assert np.abs(graded_response(x).slopes).max() > 10


def test_too_few_iterations_are_admitted():
    fit = graded_response(simulated(300, 5, 4, 1), max_iter=3)
    assert not fit.converged
    assert fit.gradient_norm > 1e-8


TABLE = simulated(50, 4, 3, 1)


@pytest.mark.parametrize(
    ("answers", "options", "message"),
    [
        (
            TABLE[:, :2],
            {},
            "expected respondents x at least 3 items, found 2: the slopes of fewer are not determined; add items",
        ),
        (
            TABLE[0],
            {},
            "expected respondents x at least 3 items, found an array of shape (4,): the slopes of fewer are not "
            "determined; add items",
        ),
        (
            np.where(np.arange(4) == 2, 1.0, TABLE),
            {},
            "expected items with different answers, found one answer at most in column 3; leave these items out",
        ),
        (
            np.where(np.arange(4) == 0, np.arange(50.0)[:, None], TABLE),
            {},
            "expected ratings with at most 20 different answers, found 50 in column 1; join neighbouring answers",
        ),
        (
            np.where(TABLE == 2, np.inf, TABLE),
            {},
            "expected finite answers, found infinite ones; mark missing answers as NaN",
        ),
        (TABLE, {"nodes": 5}, "expected at least 11 quadrature nodes, found 5; leave `nodes` out"),
        (
            TABLE,
            {"weight": np.ones(3)},
            "expected 50 weights that are numbers of at least 0, found an array of shape (3,); "
            "give one weight a respondent",
        ),
        (
            TABLE,
            {"weight": -np.ones(50)},
            "expected 50 weights that are numbers of at least 0, found others; give one weight a respondent",
        ),
        (
            TABLE,
            {"weight": np.zeros(50)},
            "expected respondents with an answer and a positive weight, found none; check the data",
        ),
    ],
)
def test_bad_answers_are_refused(answers, options, message):
    with pytest.raises(ComputationError) as caught:
        graded_response(answers, **options)
    assert str(caught.value) == message


def test_scores_need_the_fitted_items_and_answers():
    fit = graded_response(TABLE)
    with pytest.raises(ComputationError) as caught:
        expected_scores(TABLE[:, :3], fit)
    assert str(caught.value) == (
        "expected answers to the 4 fitted items, found an array of shape (50, 3); "
        "give the items that the model was fitted to"
    )
    with pytest.raises(ComputationError) as caught:
        expected_scores(np.full((1, 4), 9.0), fit)
    assert str(caught.value) == (
        "expected answers that occurred when the model was fitted, found 9 in column 1; "
        "fit the model to these answers too"
    )


# Proportional odds

HOUSING = [21, 21, 28, 34, 22, 36, 10, 11, 36, 61, 23, 17, 43, 35, 40, 26, 18, 54, 13, 9, 10, 8, 8, 12, 6, 7, 9, 18, 6,
           7, 15, 13, 13, 7, 5, 11, 14, 19, 37, 17, 23, 40, 3, 5, 23, 78, 46, 43, 48, 45, 86, 15, 25, 62, 20, 23, 20,
           10, 22, 24, 7, 10, 21, 57, 23, 13, 31, 21, 13, 5, 6, 13]  # fmt: skip


def housing():
    """R: MASS::polr(Sat ~ Infl + Type + Cont, weights=Freq, data=housing, Hess=TRUE, control=list(reltol=1e-16))."""
    contact, kind, influence, satisfaction = np.indices((2, 4, 3, 3)).reshape(4, -1)
    x = np.column_stack([influence == 1, influence == 2, kind == 1, kind == 2, kind == 3, contact == 1])
    fit = proportional_odds(satisfaction, x, weight=HOUSING)
    coefficients = [0.566393739966, 1.288819101179, -0.572350003906, -0.366186373198, -1.091014660722, 0.360284009630]
    errors = [0.104652784360, 0.127156147555, 0.119238011851, 0.155173336319, 0.151486022476, 0.095535797705]
    return fit, coefficients, errors


def test_housing_equals_polr():
    fit, coefficients, errors = housing()
    np.testing.assert_allclose(fit.coefficients, coefficients, atol=1e-6)
    np.testing.assert_allclose(fit.cuts, [-0.496135132849, 0.690708258050], atol=1e-6)
    np.testing.assert_allclose(fit.errors, errors, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diag(fit.covariance)[6:]), [0.124847244963, 0.125471939398], atol=1e-6)
    assert fit.loglik == pytest.approx(-1739.57464953, abs=1e-7)
    assert fit.null_loglik == pytest.approx(-1824.43881329, abs=1e-5)  # by polr(Sat ~ 1), stopped early
    assert fit.n == 1681
    assert fit.converged


def test_two_variables_equal_polr():
    """R: x <- 1:40; z <- (7*x) %% 11; y <- ((x^2) %% 5 > 2) + (x > 20) + (z > 5); f <- polr(factor(y) ~ x + z, ...).

    Nagelkerke there is (1 - exp(2 (l0 - l1) / n)) / (1 - exp(2 l0 / n)).
    """
    x = np.arange(1, 41)
    z = 7 * x % 11
    y = (x**2 % 5 > 2).astype(int) + (x > 20) + (z > 5)
    fit = proportional_odds(y, np.column_stack([x, z]))
    np.testing.assert_allclose(fit.coefficients, [0.1100629106, 0.3464496088], atol=1e-6)
    np.testing.assert_allclose(fit.cuts, [1.267893851, 4.545118541, 7.595525981], atol=1e-5)
    found = np.sqrt(np.diag(fit.covariance))
    np.testing.assert_allclose(
        found, [0.03282080289, 0.11749641544, 0.88224537140, 1.15607483110, 1.56782992974], atol=1e-5
    )
    assert fit.loglik == pytest.approx(-36.69333513, abs=1e-7)
    assert fit.null_loglik == pytest.approx(-47.23865749, abs=1e-7)
    assert fit.nagelkerke == pytest.approx(0.4524186326, abs=1e-8)
    assert fit.mcfadden == pytest.approx(0.2232350139, abs=1e-8)


@given(st.tuples(*[st.integers(1, 200)] * 4))
def test_two_by_two_is_the_odds_ratio(table):
    n00, n01, n10, n11 = table
    fit = proportional_odds([0, 1, 0, 1], [[0], [0], [1], [1]], weight=table)
    assert fit.coefficients[0] == pytest.approx(np.log(n00 * n11 / (n01 * n10)), abs=1e-6)
    assert fit.errors[0] == pytest.approx(np.sqrt(sum(1 / v for v in table)), rel=1e-6)
    assert fit.cuts[0] == pytest.approx(np.log(n00 / n01), abs=1e-6)
    rows = np.array([[n00, n01], [n10, n11]])
    assert fit.loglik == pytest.approx((rows * np.log(rows / rows.sum(axis=1, keepdims=True))).sum())
    probabilities = fit.probabilities([[0], [1]])
    np.testing.assert_allclose(probabilities, rows / rows.sum(axis=1, keepdims=True), atol=1e-6)


def test_without_variables_it_is_the_shares():
    fit = proportional_odds([0, 0, 1, 3, 3, 3], np.empty((6, 0)))
    np.testing.assert_allclose(expit(fit.cuts), [2 / 6, 3 / 6])
    np.testing.assert_array_equal(fit.answers, [0, 1, 3])
    assert fit.loglik == fit.null_loglik == pytest.approx(2 * np.log(2 / 6) + np.log(1 / 6) + 3 * np.log(3 / 6))
    assert (fit.mcfadden, fit.nagelkerke) == (0, 0)


@settings(deadline=None, max_examples=25)
@given(seeds, st.floats(0.01, 100), st.floats(-50, 50))
def test_units_and_direction_change_nothing_else(seed, scale, shift):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 2))
    y = np.digitize(x @ [1.0, -0.5] + rng.logistic(size=80), [-1, 0.5, 2])
    fit, moved = proportional_odds(y, x), proportional_odds(y, x * [scale, 1] + [shift, 0])
    np.testing.assert_allclose(moved.coefficients * [scale, 1], fit.coefficients, atol=1e-5)
    np.testing.assert_allclose(moved.errors * [scale, 1], fit.errors, rtol=1e-4)
    assert moved.loglik == pytest.approx(fit.loglik, abs=1e-7)
    turned = proportional_odds(-y, x)
    np.testing.assert_allclose(turned.coefficients, -fit.coefficients, atol=1e-6)
    np.testing.assert_allclose(turned.cuts, -fit.cuts[::-1], atol=1e-6)
    assert 0 <= fit.nagelkerke <= 1
    np.testing.assert_allclose(fit.probabilities(x).sum(axis=1), 1)


def test_separated_answers_are_admitted():
    fit = proportional_odds([0, 0, 1, 1], [[0], [1], [2], [3]])
    assert fit.separated
    assert fit.loglik == pytest.approx(0, abs=1e-6)
    partly = proportional_odds([0, 1, 0, 1, 1, 1], [[0], [0], [0], [1], [1], [1]])
    assert partly.separated
    assert partly.loglik == pytest.approx(np.log([2 / 3, 1 / 3, 2 / 3]).sum(), abs=1e-6)
    assert not proportional_odds([0, 1, 0, 1], [[0], [0], [1], [1]]).separated


@pytest.mark.parametrize(
    ("y", "x", "weight", "message"),
    [
        (
            [0, 1],
            [[1], [2], [3]],
            None,
            "expected n answers, n x m variables and n weights, found arrays of shape (2,), (3, 1) and (2,); "
            "give one row a case",
        ),
        (
            [0, np.nan],
            [[1], [2]],
            None,
            "expected finite answers and variables and weights of at least 0, found others; leave out such cases",
        ),
        (
            [0, 0, 1],
            [[1], [2], [3]],
            [1, 1, 0],
            "expected at least 2 different answers to regress, found 1; leave this variable out",
        ),
        (
            [0, 0, 1],
            [[1, 5], [2, 5], [3, 5]],
            None,
            "expected variables that differ, found one value only in column 2; leave it out",
        ),
        (
            [0, 0, 1, 1],
            [[1, 0, 2], [2, 3, 3], [3, 1, 4], [4, 0, 5]],
            None,
            "expected variables that are no sum of others, found such in columns 1, 3; leave one out",
        ),
    ],
)
def test_bad_regressions_are_refused(y, x, weight, message):
    with pytest.raises(ComputationError) as caught:
        proportional_odds(y, x, weight=weight)
    assert str(caught.value) == message
