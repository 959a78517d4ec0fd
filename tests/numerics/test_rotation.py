import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import pearson
from sqmodel.numerics.factoring import maximum_likelihood, minres, principal_axis
from sqmodel.numerics.rotation import (
    align,
    geomin,
    oblimin,
    omega_from_schmid_leiman,
    omega_hierarchical,
    promax,
    quartimin,
    schmid_leiman,
    sort_factors,
    varimax,
)
from tests.oracles import SURVEYS, frame, matrix, reference

GEOMIN_PHI, GEOMIN_CRITERION = [0.21313663, 0.24011976, 0.32459585], 0.463426774
PROMAX_PHI = [0.23567365, 0.34078731, 0.39853750]
CLEAN = np.array([[0.8, 0], [0.7, 0], [0.6, 0], [0, 0.8], [0, 0.7], [0, 0.5]])
PHI = np.array([[1, 0.5], [0.5, 1]])
OBLIQUE = {"oblimin": oblimin, "geomin": geomin, "quartimin": quartimin, "promax": promax}


def unrotated(pattern: np.ndarray, phi: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(pattern @ phi @ pattern.T)
    k = pattern.shape[1]
    return vectors[:, -k:] * np.sqrt(values[-k:])


def noisy(seed: int, k: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    pattern = np.kron(np.eye(k), np.full((4, 1), 0.7)) + rng.normal(0, 0.05, size=(4 * k, k))
    phi = np.full((k, k), 0.3) + 0.7 * np.eye(k)
    return unrotated(pattern, phi)


@pytest.mark.parametrize("dataset", SURVEYS)
@pytest.mark.parametrize(
    ("name", "extract", "rotate"),
    [
        ("efa_minres_oblimin", minres, oblimin),
        ("efa_pa_varimax", principal_axis, varimax),
        ("efa_ml_promax", maximum_likelihood, promax),
    ],
)
def test_loadings_and_factor_correlations_equal_psych(dataset, name, extract, rotate):
    expected = reference(dataset)[name]
    options = {}
    if (dataset, name) == ("satisfaction_es_bank", "efa_ml_promax"):
        # psych stops in a local minimum (see test_factoring); rotation is compared from there.
        options["start"] = np.array(list(expected["uniqueness"].values()))
    rotated = rotate(extract(pearson(frame(dataset)), expected["nf"], **options).loadings)
    target = matrix(expected["loadings"])
    found = align(rotated.loadings, target, rotated.phi)
    assert rotated.converged
    np.testing.assert_allclose(found.loadings, target, atol=2e-4)
    if expected["phi"] is not None:
        np.testing.assert_allclose(found.phi, matrix(expected["phi"]), atol=1e-4)
    # Without a target: psych's own order and signs.
    ordered = sort_factors(rotated.loadings, rotated.phi)
    np.testing.assert_allclose(ordered.loadings, found.loadings, atol=1e-12)
    np.testing.assert_allclose(ordered.phi, found.phi, atol=1e-12)


def test_geomin_and_raw_promax_equal_r():
    """R: GPArotation::geominQ(fa(x, 3, rotate="none")$loadings, eps=1e-8) and psych::Promax of the same."""
    loadings = minres(pearson(frame("holzinger_swineford_1939")), 3).loadings
    geo = geomin(loadings)
    np.testing.assert_allclose(np.sort(geo.phi[np.triu_indices(3, 1)]), GEOMIN_PHI, atol=1e-4)
    assert geo.criterion == pytest.approx(GEOMIN_CRITERION, abs=1e-5)
    raw = promax(loadings, normalise=False)
    np.testing.assert_allclose(np.sort(raw.phi[np.triu_indices(3, 1)]), PROMAX_PHI, atol=1e-4)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_omega_equals_psych(dataset):
    """One Schmid-Leiman solution further than the loadings: both within 5e-6."""
    expected = reference(dataset)["omega_all_items"]
    found = omega_hierarchical(pearson(frame(dataset)), expected["nfactors"])
    assert found.hierarchical == pytest.approx(expected["omega_h"], abs=5e-6)
    assert found.total == pytest.approx(expected["omega_tot"], abs=1e-6)


@pytest.mark.parametrize("name", ["oblimin", "quartimin"])
def test_a_clean_oblique_pattern_is_recovered(name):
    rotated = OBLIQUE[name](unrotated(CLEAN, PHI))
    found = align(rotated.loadings, CLEAN, rotated.phi)
    np.testing.assert_allclose(found.loadings, CLEAN, atol=1e-5)
    np.testing.assert_allclose(found.phi, PHI, atol=1e-5)


def test_a_clean_orthogonal_pattern_is_recovered_by_varimax():
    rotated = varimax(unrotated(CLEAN, np.eye(2)), tolerance=1e-13)
    np.testing.assert_allclose(align(rotated.loadings, CLEAN).loadings, CLEAN, atol=1e-6)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from(sorted(OBLIQUE)))
def test_rotation_changes_nothing_that_can_be_observed(seed, name):
    loadings = noisy(seed)
    rotated = OBLIQUE[name](loadings)
    implied = rotated.loadings @ rotated.phi @ rotated.loadings.T
    np.testing.assert_allclose(implied, loadings @ loadings.T, atol=1e-10)
    np.testing.assert_allclose(rotated.loadings, loadings @ rotated.matrix, atol=1e-10)
    np.testing.assert_allclose(np.diag(rotated.phi), 1, atol=1e-10)


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.permutations(range(12)))
def test_the_order_of_items_does_not_matter(seed, order):
    loadings, order = noisy(seed), list(order)
    for rotate in (varimax, *OBLIQUE.values()):
        rotated, moved = rotate(loadings), rotate(loadings[order])
        np.testing.assert_allclose(moved.loadings, rotated.loadings[order], atol=1e-7)


def test_random_starts_never_worsen_the_criterion():
    loadings = np.random.default_rng(3).normal(0, 0.4, size=(12, 4))
    for rotate in (oblimin, geomin):
        alone, many = rotate(loadings), rotate(loadings, starts=15, rng=1)
        assert many.criterion <= alone.criterion
        assert many.converged


def test_random_starts_find_the_better_of_two_minima():
    loadings = np.random.default_rng(11).normal(0, 0.4, size=(12, 3))
    assert geomin(loadings, starts=30, rng=1).criterion < geomin(loadings).criterion - 0.05


@pytest.mark.parametrize("rotate", [varimax, oblimin, geomin, promax])
def test_one_factor_stays_as_it_is(rotate):
    loadings = np.array([[0.7], [0.6], [0.5]])
    rotated = rotate(loadings)
    np.testing.assert_array_equal(rotated.loadings, loadings)
    np.testing.assert_array_equal(rotated.phi, [[1.0]])
    assert rotated.converged


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([-1.0, 1.0])] * 3))
def test_align_undoes_any_order_and_sign(order, signs):
    rotated = oblimin(noisy(2))
    order, signs = list(order), np.array(signs)
    shuffled = rotated.loadings[:, order] * signs
    phi = rotated.phi[np.ix_(order, order)] * np.outer(signs, signs)
    found = align(shuffled, rotated.loadings, phi)
    np.testing.assert_array_equal(found.loadings, rotated.loadings)
    np.testing.assert_array_equal(found.phi, rotated.phi)
    np.testing.assert_allclose(found.congruence, 1, atol=1e-12)


def test_align_needs_as_many_factors():
    with pytest.raises(ComputationError) as caught:
        align(np.ones((4, 2)), np.ones((4, 3)))
    assert str(caught.value) == (
        "expected loadings of the target's shape (4, 3), found (4, 2); extract as many factors"
    )


def test_sorted_factors_are_positive_and_decreasing():
    loadings = np.array([[0.1, -0.8], [0.1, -0.7], [0.6, 0.0]])
    found = sort_factors(loadings, np.array([[1, -0.3], [-0.3, 1]]))
    assert found.order.tolist() == [1, 0]
    assert (found.loadings.sum(axis=0) > 0).all()
    assert found.phi[0, 1] == 0.3


def test_schmid_leiman_reproduces_the_correlations_of_a_second_order_model():
    higher = np.array([0.8, 0.7, 0.6])
    phi = np.outer(higher, higher)
    np.fill_diagonal(phi, 1)
    pattern = np.kron(np.eye(3), np.array([[0.8], [0.7], [0.6]]))
    found = schmid_leiman(pattern, phi)
    np.testing.assert_allclose(found.general_by_factor, higher, atol=1e-8)
    implied = np.outer(found.general, found.general) + found.group @ found.group.T
    np.testing.assert_allclose(implied, pattern @ phi @ pattern.T, atol=1e-8)
    R = implied + np.diag(found.uniquenesses)
    omega = omega_from_schmid_leiman(found, R)
    assert omega.total == pytest.approx(1 - found.uniquenesses.sum() / R.sum())
    assert omega.hierarchical == pytest.approx(found.general.sum() ** 2 / R.sum())


def test_two_factors_share_their_correlation_equally():
    found = schmid_leiman(CLEAN, PHI)
    np.testing.assert_allclose(found.general_by_factor, np.sqrt([0.5, 0.5]))
    np.testing.assert_allclose(schmid_leiman(CLEAN, 2 * np.eye(2) - PHI).general_by_factor, [0.5**0.5, -(0.5**0.5)])


def test_omega_reverses_items_with_negative_general_loadings():
    sign = np.where(np.arange(12) % 3 == 0, -1.0, 1.0)
    R = noisy(5) @ noisy(5).T
    np.fill_diagonal(R, 1)
    np.testing.assert_allclose(omega_hierarchical(R * np.outer(sign, sign)), omega_hierarchical(R), atol=1e-6)


def test_schmid_leiman_of_one_factor():
    with pytest.raises(ComputationError) as caught:
        schmid_leiman(np.ones((3, 1)), np.eye(1))
    assert str(caught.value) == ("expected at least 2 factors below a general one, found 1; use its own omega")
