import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.numerics.contingency import cells, tables_of
from sqmodel.numerics.polychoric import codes_of, polychoric, smooth
from sqmodel.numerics.polyserial import polyserial
from sqmodel.numerics.retention import polychoric_parallel
from tests.oracles import converged, frame, reference, shared
from tests.reference.surveys import survey

WITH_POLYCHORICS = ["bfi", "mobi_ecsi", "satisfaction_es_bank"]


def found(dataset, **options):
    table = reference(dataset)["polychoric_lavaan"]["rho"]
    return polychoric(codes_of(frame(dataset)[table["rows"]])[0], **options), np.array(table["values"], dtype=float)


@pytest.mark.parametrize("dataset", WITH_POLYCHORICS)
def test_correlations_and_thresholds_equal_lavaan(dataset):
    """All but the bank's imag1-imag2, where lavaan stops short of the maximum (next test)."""
    result, expected = found(dataset, acov=False)
    difference = np.abs(result.correlation - expected)
    if dataset == "satisfaction_es_bank":
        assert difference[0, 1] > 0.03
        difference[0, 1] = difference[1, 0] = 0
    assert difference.max() < 1e-6
    names = list(reference(dataset)["polychoric_lavaan"]["rho"]["rows"])
    items = [names[i] for i in result.item]
    place = [items[:k].count(item) + 1 for k, item in enumerate(items)]
    expected = reference(dataset)["thresholds_lavaan"]
    values = [expected[f"{item}|t{k}"] for item, k in zip(items, place, strict=True)]
    np.testing.assert_allclose(result.thresholds, values, atol=1e-7)


def test_where_lavaan_differs_its_likelihood_is_lower():
    result, expected = found("satisfaction_es_bank", acov=False)
    data = codes_of(
        frame("satisfaction_es_bank")[reference("satisfaction_es_bank")["polychoric_lavaan"]["rho"]["rows"]]
    )
    tables = tables_of(np.ascontiguousarray(data[0].T), None)
    pair = int(np.flatnonzero((tables.first == 1) & (tables.second == 0))[0])
    counts = tables.counts[pair]

    def loglik(rho):
        probability = cells(tables, np.array([rho]), np.array([pair]))[0][0]
        return float((counts[counts > 0] * np.log(np.maximum(probability[counts > 0], 1e-300))).sum())

    ours, theirs = loglik(result.correlation[0, 1]), loglik(expected[0, 1])
    assert ours > theirs + 1.0
    assert ours >= max(loglik(r) for r in np.linspace(-0.95, 0.95, 381))


@pytest.mark.parametrize(("first", "expected", "psych"), [("A1", 0.407395, 0.4085), ("A3", 0.555556, 0.5555)])
def test_of_incomplete_answers_a_pair_is_what_those_say_who_gave_both(first, expected, psych):
    """lavCor of the complete pairs (A1 is reversed here). psych::polychoric(bfi[, 1:5], correct = 0) is near: it takes
    each item's thresholds from all who answered that item."""
    answers = survey("bfi")[[first, "A2"]].dropna()
    found = polychoric(codes_of(answers)[0], acov=False).correlation[0, 1]
    assert found == pytest.approx(expected, abs=1e-6)
    assert found == pytest.approx(psych, abs=1.5e-3)


@pytest.mark.parametrize("rho", [-0.8, 0.0, 0.3, 0.95])
def test_median_splits_have_a_closed_form(rho):
    """P(both above) = 1/4 + arcsin(rho) / (2 pi) (Sheppard 1899)."""
    both = round(1e6 * (0.25 + np.arcsin(rho) / (2 * np.pi)))
    apart = 500_000 - both
    codes = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [both, apart, apart, both], axis=0)
    exact = np.sin(np.pi / 2 * (4 * both / 1e6 - 1))
    assert polychoric(codes, acov=False).correlation[0, 1] == pytest.approx(exact, abs=1e-8)


def test_the_asymptotic_covariance_is_that_of_many_samples():
    rng = np.random.default_rng(5)
    R = np.array([[1, 0.5, 0.3], [0.5, 1, 0.4], [0.3, 0.4, 1]])
    cuts = [-0.8, 0.2, 1.0]
    draws, predicted, n = [], [], 400
    for _ in range(400):
        z = rng.multivariate_normal(np.zeros(3), R, size=n)
        result = polychoric(np.searchsorted(cuts, z))
        draws.append(np.concatenate([result.thresholds, result.correlation[[1, 2, 2], [0, 0, 1]]]))
        predicted.append(result.acov / n)
    observed, expected = np.cov(np.array(draws).T), np.mean(predicted, axis=0)
    # A variance of 400 draws has a relative standard error of 7 %.
    np.testing.assert_allclose(np.diag(observed) / np.diag(expected), 1, atol=0.25)
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    assert np.abs((observed - expected) / size).max() < 0.2


def test_weights_count_respondents():
    rng = np.random.default_rng(2)
    codes = np.searchsorted([-0.5, 0.7], rng.multivariate_normal([0, 0], [[1, 0.6], [0.6, 1]], size=80))
    times = rng.integers(1, 4, size=80)
    here = polychoric(codes, weight=times.astype(float), acov=False)
    there = polychoric(np.repeat(codes, times, axis=0), acov=False)
    np.testing.assert_allclose(here.correlation, there.correlation, atol=1e-8)
    np.testing.assert_allclose(here.thresholds, there.thresholds, atol=1e-12)


@given(st.integers(0, 10_000), st.permutations(range(4)))
@settings(max_examples=20, deadline=None)
def test_order_of_items_and_direction_of_answers(seed, order):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(150, 1)) + rng.normal(size=(150, 4))
    codes = np.searchsorted([-1.0, 0.0, 1.5], z)
    here = polychoric(codes)
    there = polychoric(codes[:, order])
    np.testing.assert_allclose(there.correlation, here.correlation[np.ix_(order, order)], atol=1e-7)
    turned = codes.copy()
    turned[:, 0] = 3 - turned[:, 0]
    flipped = polychoric(turned, acov=False).correlation
    sign = np.array([-1, 1, 1, 1])
    np.testing.assert_allclose(flipped, here.correlation * np.outer(sign, sign), atol=1e-7)


def test_empty_cells_are_counted_and_perfect_order_is_named():
    codes = np.repeat([[0, 0, 0], [1, 1, 1], [2, 2, 0], [2, 2, 1]], 20, axis=0)
    result = polychoric(codes, acov=False)
    assert result.at_bound.tolist() == [[1, 0]]
    assert result.correlation[0, 1] > 0.999
    assert result.empty_cells.tolist() == [[0, 6, 2], [6, 0, 2], [2, 2, 0]]


def test_an_empty_cell_of_two_by_two_gets_half_an_answer_with_margins_kept():
    """lavCor(data.frame(a = rep(c(0, 1, 1), c(30, 20, 50)), b = rep(c(0, 0, 1), c(30, 20, 50))), ordered) is .932."""
    codes = np.repeat([[0, 0], [1, 0], [1, 1]], [30, 20, 50], axis=0)
    result = polychoric(codes, acov=False)
    assert result.correlation[0, 1] == pytest.approx(0.932, abs=5e-4)
    smoothed = np.repeat([[0, 0], [0, 1], [1, 0], [1, 1]], [59, 1, 41, 99], axis=0)
    assert result.correlation[0, 1] == pytest.approx(polychoric(smoothed, acov=False).correlation[0, 1], abs=1e-8)


def test_smoothing_raises_eigenvalues_and_keeps_the_diagonal():
    R = np.array([[1, 0.9, 0.2], [0.9, 1, 0.9], [0.2, 0.9, 1]])
    repaired, changed = smooth(R)
    assert changed
    assert np.linalg.eigvalsh(repaired)[0] > 0
    np.testing.assert_allclose(np.diag(repaired), 1)
    same, changed = smooth(np.eye(3))
    assert not changed
    assert (same == np.eye(3)).all()


def test_codes_of_any_values():
    codes, values = codes_of(np.array([[1.0, 0.5], [7.0, 0.25], [3.0, 0.5]]))
    assert codes.tolist() == [[0, 1], [2, 0], [1, 1]]
    assert [v.tolist() for v in values] == [[1, 3, 7], [0.25, 0.5]]
    with pytest.raises(ComputationError) as caught:
        codes_of(np.arange(600.0)[:, None] / 7)
    assert str(caught.value) == (
        "expected ordered answers with at most 256 categories, found 600 different values; treat the item as continuous"
    )


def test_a_constant_item_is_named():
    with pytest.raises(ComputationError) as caught:
        polychoric([[0, 0], [0, 1], [0, 2]])
    assert str(caught.value) == (
        "expected at least two categories an item and answers in each, found item 0: [3]; "
        "merge neighbouring categories or leave the items out"
    )


def test_polychoric_parallel_analysis_of_one_factor():
    rng = np.random.default_rng(3)
    z = 0.7 * rng.normal(size=(500, 1)) + np.sqrt(0.51) * rng.normal(size=(500, 6))
    observed, resampled = polychoric_parallel(np.searchsorted([-1.5, -0.5, 0.5], z), draws=20, rng=1)
    quantile = np.quantile(resampled.factors, 0.95, axis=0)
    assert (observed.factors > quantile).tolist()[:2] == [True, False]
    assert resampled.components.shape == (20, 6)
    # Polychorics of unrelated items vary more than product-moment correlations.
    assert resampled.components.mean(axis=0)[0] > 1 + 2 * np.sqrt(6 / 500) / 2
    assert stats.sem(resampled.components[:, 0]) < 0.05


def test_polyserial_correlations_equal_lavaan():
    expected = np.array(converged("sem")["polyserial"], dtype=float)
    whole = survey("holzinger_swineford_1939")
    ordered = pd.read_csv(shared("data", "holzinger_swineford_1939", "hs_ord5.csv")).rename(columns=str.lower)
    found = polyserial(whole[["x1", "x2", "x3"]], codes_of(ordered[["x7", "x8", "x9"]])[0])
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_polyserial_correlations_recover_the_truth():
    rng = np.random.default_rng(4)
    z = rng.multivariate_normal([0, 0], [[1, -0.6], [-0.6, 1]], size=40_000)
    found = polyserial(z[:, :1] * 5 + 2, np.searchsorted([-1.0, 0.5, 1.5], z[:, 1:]))
    assert found[0, 0] == pytest.approx(-0.6, abs=0.01)
