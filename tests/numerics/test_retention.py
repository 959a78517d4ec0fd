import numpy as np
import pytest

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import pearson
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.retention import n_retained, parallel_eigenvalues, velicer_map
from tests.oracles import SURVEYS, frame, reference

BORDERLINE = 0.01
"""A margin below this can go either way between two sets of a few hundred draws."""


@pytest.mark.parametrize("dataset", SURVEYS)
def test_observed_eigenvalues_equal_psych(dataset):
    expected = reference(dataset)["parallel_analysis"]
    observed = parallel_eigenvalues(frame(dataset), normal=False, resampled=False).observed
    np.testing.assert_allclose(observed.components, expected["pc_values"], atol=1e-6)
    np.testing.assert_allclose(observed.factors, expected["fa_values"], atol=1e-6)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_map_equals_psych(dataset):
    expected = reference(dataset)["map"]
    got = velicer_map(pearson(frame(dataset)))
    shown = min(len(got), len(expected["values"]))
    np.testing.assert_allclose(got[:shown], expected["values"][:shown], atol=1e-6)
    assert got.argmin() + 1 == expected["argmin"]


@pytest.mark.parametrize("dataset", SURVEYS)
def test_simulated_components_have_psychs_mean(dataset):
    expected = np.array(reference(dataset)["parallel_analysis"]["pc_sim_mean"])
    found = parallel_eigenvalues(frame(dataset), draws=500, rng=3)
    for kind in (found.normal, found.resampled):
        # psych's 200 draws and our 500: four standard errors of the difference, eigenvalue by eigenvalue.
        tolerance = 4 * kind.components.std(axis=0) * np.sqrt(1 / 200 + 1 / 500)
        assert (np.abs(kind.components.mean(axis=0) - expected) < tolerance).all()


@pytest.mark.parametrize("kind", ["components", "factors"])
@pytest.mark.parametrize("dataset", SURVEYS)
def test_number_of_factors_equals_psych(dataset, kind):
    """Equal, but for the bank's fifth factor, where the draws decide.

    Its eigenvalue is .4346; the quantile is .4320 by 4,000 draws, with a standard deviation of .005 over sets of 200
    such as psych's, which came out at 4.
    """
    reported = reference(dataset)["parallel_analysis"]
    found = parallel_eigenvalues(frame(dataset), draws=500, rng=1)
    number, margin = n_retained(getattr(found.observed, kind), getattr(found.normal, kind))
    expected = reported["ncomp" if kind == "components" else "nfact"]
    if (dataset, kind) == ("satisfaction_es_bank", "factors"):
        assert expected == 4
        assert number in (4, 5)
        assert abs(margin[4]) < BORDERLINE
    else:
        assert number == expected
        assert min(margin[number - 1], -margin[number]) > BORDERLINE


@pytest.mark.parametrize("n", [60, 400])
def test_simulated_factors_are_those_of_minres(n):
    """The draws' own Newton search agrees with `minres` but where several minima compete (Heywood cases)."""
    from sqmodel.numerics import retention

    R = retention._wishart(200, n, 12, np.random.default_rng(5))
    fit = minres(R, 1)
    difference = np.abs(retention._one_factor_communalities(R) - fit.loadings[..., 0] ** 2).max(axis=1)
    assert np.mean(difference < 1e-3) > 0.85
    assert difference[~fit.heywood].size > 150


def test_wishart_draws_have_the_moments_of_normal_samples():
    n, p, draws = 30, 5, 4000
    x = np.random.default_rng(1).normal(size=(n, p))
    found = parallel_eigenvalues(x, draws=draws, rng=2, resampled=False).normal.components
    rng = np.random.default_rng(3)
    direct = np.array([np.linalg.eigvalsh(pearson(rng.normal(size=(n, p))))[::-1] for _ in range(draws)])
    error = np.sqrt((found.var(axis=0) + direct.var(axis=0)) / draws)
    assert (np.abs(found.mean(axis=0) - direct.mean(axis=0)) < 4 * error).all()
    np.testing.assert_allclose(found.std(axis=0), direct.std(axis=0), rtol=0.06)


def test_resampling_whole_numbers_equals_resampling_anything(monkeypatch):
    """The float32 path is exact: halves of the answers take the other path and give the same correlations."""
    answers = np.random.default_rng(0).integers(1, 11, size=(300, 6)).astype(float)
    whole = parallel_eigenvalues(answers, draws=40, rng=9, normal=False).resampled
    halves = parallel_eigenvalues(answers * np.pi, draws=40, rng=9, normal=False).resampled
    np.testing.assert_allclose(whole.components, halves.components, atol=1e-10)


def test_long_columns_are_counted_in_exact_blocks():
    from sqmodel.numerics import retention

    x = np.random.default_rng(0).integers(0, 2, size=(3000, 3)).astype(float) * 255
    codes, largest = retention._codes(x)
    assert largest == 255
    assert 2**24 // largest**2 < len(x)
    R = retention._resampled_correlation(codes, largest, np.random.default_rng(1))
    assert np.abs(R - np.eye(3)).max() < 0.1


def test_the_same_seed_gives_the_same_draws():
    x = np.random.default_rng(0).normal(size=(50, 4))
    first, second = (parallel_eigenvalues(x, draws=120, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(first.normal.factors, second.normal.factors)
    np.testing.assert_array_equal(first.resampled.factors, second.resampled.factors)


def test_kinds_not_asked_for_are_absent():
    found = parallel_eigenvalues(np.random.default_rng(0).normal(size=(50, 4)), draws=20, normal=False)
    assert found.normal is None
    assert found.resampled.components.shape == (20, 4)


def test_retained_counts_up_to_the_first_failure():
    simulated = np.ones((10, 4))
    number, margin = n_retained(np.array([3.0, 0.5, 2.0, 0.1]), simulated)
    assert number == 1
    np.testing.assert_allclose(margin, [2, -0.5, 1, -0.9])
    assert n_retained(np.full(4, 2.0), simulated)[0] == 4


def test_fewer_rows_than_items():
    with pytest.raises(ComputationError) as caught:
        parallel_eigenvalues(np.zeros((3, 4)))
    assert str(caught.value) == "expected more rows than the 4 items, found 3; collect more answers"


def test_constant_item():
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[:, 1] = 2
    with pytest.raises(ComputationError) as caught:
        parallel_eigenvalues(x)
    assert str(caught.value) == ("expected items with variance, found a constant one; leave out constant items")
