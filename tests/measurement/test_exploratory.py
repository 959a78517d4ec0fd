import json
import warnings

import numpy as np
import pandas as pd
import pytest
from factor_analyzer import calculate_kmo
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError, HeywoodWarning, InputError
from sqmodel.measurement.exploratory import DECIDING, Exploration, explore
from sqmodel.numerics.correlation import discretised_moments, to_correlation
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.rotation import align, oblimin
from sqmodel.survey.instrument import load_instrument
from sqmodel.survey.responses import Responses
from tests.oracles import SURVEYS, frame, matrix, reference

CUTS = np.array([-1.4, -0.6, 0.3, 1.2])
PATTERN = np.zeros((12, 3))
PATTERN[np.arange(12), np.repeat([0, 1, 2], 4)] = np.linspace(0.85, 0.65, 12)
PHI = np.array([[1, 0.5, 0.4], [0.5, 1, 0.3], [0.4, 0.3, 1]])


def survey(n: int = 300, seed: int = 0) -> pd.DataFrame:
    """Five-point answers of three correlated factors."""
    rng = np.random.default_rng(seed)
    z = rng.multivariate_normal(np.zeros(3), PHI, size=n) @ PATTERN.T
    z += rng.normal(size=z.shape) * np.sqrt(1 - (PATTERN**2).sum(axis=1))
    names = [f"{d}{i}" for d in "abc" for i in range(1, 5)]
    return pd.DataFrame(np.searchsorted(CUTS, z) + 1, columns=names)


@pytest.fixture(scope="module")
def found() -> Exploration:
    return explore(survey(), draws=100)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_adequacy_equals_psych(dataset):
    expected, data = reference(dataset), frame(dataset)
    got = explore(data, n_factors=2, draws=20)
    assert got.kmo_overall == pytest.approx(expected["kmo"]["overall"], abs=1e-6)
    np.testing.assert_allclose(got.kmo["kmo"], list(expected["kmo"]["items"].values()), atol=1e-6)
    assert got.bartlett.loc["bartlett", "chisq"] == pytest.approx(expected["bartlett"]["chisq"], abs=1e-6)
    assert got.bartlett.loc["bartlett", "df"] == expected["bartlett"]["df"]
    assert got.n == expected["bartlett"]["n"] == len(data)


@pytest.mark.parametrize("dataset", SURVEYS)
def test_solution_equals_psych(dataset):
    expected = reference(dataset)["efa_minres_oblimin"]
    got = explore(frame(dataset), n_factors=expected["nf"], draws=20)
    np.testing.assert_allclose(got.loadings, matrix(expected["loadings"]), atol=1e-3)
    np.testing.assert_allclose(got.factor_correlations, matrix(expected["phi"]), atol=1e-3)
    np.testing.assert_allclose(got.communalities["communality"], list(expected["communality"].values()), atol=2e-4)
    assert got.fit.loc["fit", "chisq"] == pytest.approx(expected["stat"], abs=4e-4)


def test_holzinger_shows_its_disagreement():
    got = explore(frame("holzinger_swineford_1939"), draws=200)
    assert got.suggestions["n_factors"].to_dict() == {
        "parallel components (normal)": 3,
        "parallel components (resampled)": 3,
        "parallel factors (normal)": 3,
        "parallel factors (resampled)": 3,
        "MAP": 2,
        "Kaiser": 3,
    }
    assert got.disagreement == (
        "The methods suggest 2 to 3 factors: 2 by MAP; 3 by parallel components (normal), "
        "parallel components (resampled), parallel factors (normal), parallel factors (resampled), Kaiser"
    )
    assert got.n_factors == 3


def test_the_banks_borderline_fifth_factor_shows_its_margin():
    """psych's 200 draws say 4; the fifth factor lies within .01 of the quantile, so the draws decide."""
    row = explore(frame("satisfaction_es_bank"), n_factors=4, draws=200).suggestions.loc[DECIDING]
    assert row["n_factors"] in (4, 5)
    assert abs(row["margin"]) < 0.01
    assert row["margin"] in (row["margin_kept"], row["margin_next"])


def test_kmo_is_factor_analyzers(found):
    by_item, overall = calculate_kmo(survey().to_numpy(float))
    assert found.kmo_overall == overall
    np.testing.assert_array_equal(found.kmo["kmo"], by_item)


def test_clean_structure_is_found_without_disagreement(found):
    assert found.n_factors == 3
    assert found.disagreement == ""
    assert (found.suggestions["margin"].abs() > 0.001).all()
    strongest = found.loadings.abs().idxmax(axis=1)
    assert [strongest[f"{d}{i}"] for d in "abc" for i in range(1, 5)] == [
        strongest[f"{d}1"] for d in "abc" for _ in range(4)
    ]
    assert strongest.nunique() == 3


def test_large_sample_recovers_the_population_of_the_cut_items():
    got = explore(survey(100_000, seed=5), draws=20)
    latent = PATTERN @ PHI @ PATTERN.T
    np.fill_diagonal(latent, 1)
    truth = oblimin(minres(to_correlation(discretised_moments([CUTS] * 12, latent)[1]), 3).loadings)
    moved = align(got.loadings, truth.loadings, got.factor_correlations)
    np.testing.assert_allclose(moved.loadings, truth.loadings, atol=0.015)
    np.testing.assert_allclose(moved.phi, truth.phi, atol=0.015)


def test_headline(found):
    assert repr(found).startswith("<Exploration 12 items, 3 factors, n=300: KMO 0.")
    assert "Heywood" not in repr(found)


def test_settings_echo_the_arguments(found):
    assert dict(found.settings) == {
        "n_factors": None, "structure": "dimensions", "extraction": "minres", "rotation": "oblimin",
        "draws": 100, "rng": 0,
    }  # fmt: skip


def test_json_and_back(found):
    back = Exploration.from_json(json.loads(json.dumps(found.to_json())))
    pd.testing.assert_frame_equal(back.loadings, found.loadings)
    pd.testing.assert_frame_equal(back.suggestions, found.suggestions)
    assert back.n_factors == 3


def test_the_same_seed_gives_the_same_result(found):
    again = explore(survey(), draws=100, rng=np.random.default_rng(0))
    pd.testing.assert_frame_equal(again.eigenvalues, found.eigenvalues)
    assert again.settings["rng"] == "generator"


def test_incomplete_rows_are_left_out_and_counted(found):
    data = pd.concat([survey().astype(float), survey(7, seed=1).astype(float)], ignore_index=True)
    data.iloc[300:, 2] = np.nan
    got = explore(data, draws=100)
    assert (got.n, got.dropped) == (300, 7)
    pd.testing.assert_frame_equal(got.loadings, found.loadings)


@pytest.mark.parametrize("extraction", ["minres", "ml", "pa"])
@pytest.mark.parametrize("rotation", ["oblimin", "quartimin", "geomin", "promax", "varimax", "none"])
def test_every_choice_reproduces_the_correlations(extraction, rotation):
    got = explore(survey(), n_factors=3, draws=20, extraction=extraction, rotation=rotation)
    L, phi = got.loadings.to_numpy(), got.factor_correlations.to_numpy()
    np.testing.assert_allclose(np.diag(L @ phi @ L.T), got.communalities["communality"], atol=1e-10)
    assert got.fit.loc["fit", "rms"] < 0.03
    assert got.communalities["communality"].between(0, 1).all()
    assert (L.sum(axis=0) > 0).all()


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(12)))
def test_the_order_of_items_does_not_matter(order):
    data = survey()
    got = explore(data.iloc[:, list(order)], n_factors=3, draws=20)
    expected = explore(data, n_factors=3, draws=20)
    np.testing.assert_allclose(
        align(got.loadings.loc[data.columns], expected.loadings).loadings, expected.loadings, atol=1e-5
    )
    assert got.kmo_overall == pytest.approx(expected.kmo_overall, abs=1e-12)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 11))
def test_reversing_an_item_flips_its_loadings(item):
    data = survey()
    turned = data.copy()
    turned.iloc[:, item] = 6 - turned.iloc[:, item]
    expected = explore(data, n_factors=3, draws=20).loadings
    got = align(explore(turned, n_factors=3, draws=20).loadings, expected).loadings
    sign = np.where(np.arange(12) == item, -1.0, 1.0)[:, None]
    np.testing.assert_allclose(got * sign, expected, atol=1e-5)


def test_responses_bring_their_structure():
    instrument = load_instrument("lending_service")
    items = instrument.item_codes
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(400, len(instrument.dimensions)))
    where = {c: i for i, members in enumerate(instrument.structure().values()) for c in members}
    z = 0.8 * scores[:, [where[c] for c in items]] + 0.6 * rng.normal(size=(400, len(items)))
    answers = pd.DataFrame(np.searchsorted(CUTS, z) + 1.0, columns=items)
    answers["respondent"] = [f"r{i}" for i in range(400)]
    got = explore(Responses(instrument, answers), draws=40)
    assert list(got.loadings.index) == items
    assert got.suggestions.loc["structure", "n_factors"] == len(instrument.dimensions)
    assert got.n_factors == len(instrument.dimensions)
    assert got.disagreement == ""


def test_heywood_case_warns_and_is_flagged():
    data = survey(60, seed=3)
    rng = np.random.default_rng(1)
    data["d1"] = data["a1"] * 3 + rng.normal(0, 0.2, size=60)
    with pytest.warns(HeywoodWarning) as caught:
        got = explore(data[["a1", "d1", "b1", "b2", "c1", "c2"]], n_factors=2, extraction="ml", draws=20)
    assert len(caught) == 1
    assert got.heywood
    assert str(caught[0].message) == (
        f"Heywood case: with 2 factors by ml the uniqueness of {', '.join(got.heywood)} reached its bound; "
        "do not interpret this solution, ask for fewer factors"
    )
    assert caught[0].filename == __file__
    assert ", Heywood" in repr(got)


def test_a_proper_solution_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        explore(survey(), n_factors=3, draws=20)


def test_constant_items():
    with pytest.raises(ComputationError) as caught:
        explore(survey().assign(a2=3, c4=1))
    assert str(caught.value) == (
        "expected items with different answers, found the same answer throughout in a2, c4; leave these items out"
    )


def test_items_that_add_up():
    data = survey()
    data["total"] = data["a1"] + data["b1"]
    with pytest.raises(ComputationError) as caught:
        explore(data)
    assert str(caught.value) == (
        "expected items that are no sum of others, found a singular correlation matrix through a1, b1, "
        "total; leave out items that repeat or add up others"
    )


def test_fewer_rows_than_items():
    with pytest.raises(ComputationError) as caught:
        explore(survey(12))
    assert str(caught.value) == (
        "expected more complete rows than the 12 items, found 12; "
        "collect more answers or leave out items that few answered"
    )


def test_two_items():
    with pytest.raises(ComputationError) as caught:
        explore(survey()[["a1", "a2"]])
    assert str(caught.value) == "expected at least 3 items to explore, found 2; add items"


def test_all_wrong_choices_in_one_message():
    with pytest.raises(InputError) as caught:
        explore(survey().assign(a1="x"), extraction="paf", rotation="quartimax", draws=3)
    assert str(caught.value) == (
        "explore: 4 problems\n"
        "  - extraction: expected one of minres, ml, pa, found 'paf'\n"
        "  - rotation: expected one of oblimin, quartimin, geomin, promax, varimax, none, found 'quartimax'\n"
        "  - draws: expected at least 20 for a quantile of 0.95, found 3\n"
        "  - data: expected columns of numbers, found other content in a1\n"
        "  What to do: correct the arguments"
    )


def test_too_many_factors():
    with pytest.raises(ComputationError) as caught:
        explore(survey(), n_factors=9, draws=20)
    assert str(caught.value) == (
        "expected 1 to 7 factors for 12 items, found 9; ask for fewer factors or use more items"
    )
