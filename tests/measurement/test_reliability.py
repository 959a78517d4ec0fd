"""Reliability: against R on four surveys, published oracles, and the laws of the coefficients."""

from __future__ import annotations

import itertools
import math
import warnings
from functools import cache

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError, HeywoodWarning, InputError
from sqmodel.measurement.reliability import MOST_REPLICATES, Reliability, assess_reliability
from sqmodel.numerics import reliability as formulas
from sqmodel.numerics.correlation import moments
from sqmodel.numerics.factoring import one_factor_ml
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import simple_population
from tests import oracles
from tests.survey.small_instrument import ITEMS, bare, long

IMPROPER = {("mobi_ecsi", "Loyalty")}
"""Scales whose one-factor model has a negative uniqueness in lavaan; sqmodel keeps uniquenesses at .005 or more."""

SCALES = [
    (dataset, scale)
    for dataset, scales in {
        "holzinger_swineford_1939": ("visual", "textual", "speed"),
        "bfi": ("A", "C", "E", "N", "O"),
        "satisfaction_es_bank": ("IMAG", "EXPE", "QUAL", "VAL", "SAT", "LOY"),
        "mobi_ecsi": ("Image", "Expectation", "Quality", "Value", "Satisfaction", "Loyalty"),
    }.items()
    for scale in scales
]
by_scale = pytest.mark.parametrize(("dataset", "scale"), SCALES)
by_survey = pytest.mark.parametrize("dataset", oracles.SURVEYS)


def answers(dataset: str) -> pd.DataFrame:
    """All rows, complete or not; reversed where R reversed."""
    scales = oracles.reference(dataset)["scales"]
    raw = pd.read_csv(oracles.shared("data", dataset, oracles._FILES[dataset]))
    data = raw[[c for members in scales.values() for c in members]].astype(float)
    turned = oracles._REVERSED.get(dataset, [])
    data[turned] = 7 - data[turned]
    return data


@cache
def assessed(dataset: str) -> Reliability:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", HeywoodWarning)
        return assess_reliability(answers(dataset), structure=oracles.reference(dataset)["scales"])


@by_scale
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("k", "k"), ("n", "n_complete"), ("alpha", "alpha_raw_listwise"), ("alpha_standardised", "alpha_std_listwise"),
     ("mean_r", "mean_r"), ("lambda2", "guttman_lambda2"), ("lambda6", "g6_smc")],
)  # fmt: skip
def test_coefficients_equal_psych(dataset: str, scale: str, ours: str, theirs: str) -> None:
    expected = oracles.reference(dataset)["reliability"][scale][theirs]
    assert assessed(dataset).coefficients.loc[scale, ours] == pytest.approx(expected, abs=1e-6)


@by_scale
@pytest.mark.parametrize(("method", "theirs"), [("Feldt", "feldt_ci95"), ("Duhachek", "duhachek_ci95")])
def test_normal_theory_intervals_equal_psych(dataset: str, scale: str, method: str, theirs: str) -> None:
    expected = oracles.reference(dataset)["reliability"][scale]
    result = assessed(dataset)
    assert result.interval(scale, "alpha", method) == pytest.approx(expected[theirs], abs=1e-6)
    if method == "Duhachek":
        table = result.intervals
        row = table[(table["scale"] == scale) & (table["method"] == method)]
        assert row["se"].item() == pytest.approx(expected["ase"], abs=1e-6)


@by_scale
def test_item_rest_and_alpha_if_dropped_equal_psych(dataset: str, scale: str) -> None:
    expected = oracles.reference(dataset)["reliability"][scale]
    items = assessed(dataset).items
    for item, value in expected["item_rest_r"].items():
        assert items.loc[item, "item_rest"] == pytest.approx(value, abs=1e-6)
    if expected["k"] == 2:
        # psych prints a one-item "alpha" here; one item has none.
        assert items.loc[list(expected["alpha_if_dropped"]), "alpha_if_dropped"].isna().all()
        return
    for item, value in expected["alpha_if_dropped"].items():
        assert items.loc[item, "alpha_if_dropped"] == pytest.approx(value, abs=1e-6)


@by_survey
def test_item_statistics_equal_psych_describe(dataset: str) -> None:
    items, n = assessed(dataset).items, assessed(dataset).n
    for item, expected in oracles.reference(dataset)["item_stats"].items():
        row = items.loc[item]
        for name in ("n", "mean", "sd", "min", "max", "skew", "kurtosis"):
            assert row[name] == pytest.approx(expected[name], abs=1e-6), (item, name)
        assert row["missing"] * n == pytest.approx(expected["missing"], abs=1e-6)
        assert row["floor"] == pytest.approx(expected["floor_share"], abs=1e-6)
        assert row["ceiling"] == pytest.approx(expected["ceiling_share"], abs=1e-6)


CONVERGED = oracles.converged("omega")
"""What lavaan and psych say once their optimisers go on until the gradient vanishes (tests/reference/omega.R)."""

R_STOPPED_EARLY = {("bfi", "A"), ("mobi_ecsi", "Image")}
"""Scales whose omega in reference.json is more than 1e-6 from lavaan's own optimum."""


@by_scale
def test_omega_equals_semtools(dataset: str, scale: str) -> None:
    """semTools takes lavaan's one-factor solution: equal to 1e-6, and to 1e-9 once lavaan has converged."""
    expected = oracles.reference(dataset)["reliability"][scale]
    if expected["k"] < 3 or (dataset, scale) in IMPROPER:
        return
    ours, optimum = assessed(dataset).coefficients.loc[scale, "omega"], CONVERGED[dataset]["scales"][scale]["omega"]
    assert ours == pytest.approx(optimum, abs=1e-9)
    stopped_early = abs(optimum - expected["omega_cfa1f"]) > 1e-6
    assert stopped_early == ((dataset, scale) in R_STOPPED_EARLY)
    if not stopped_early:
        assert ours == pytest.approx(expected["omega_cfa1f"], abs=1e-6)


@by_scale
def test_omega_rests_on_a_solution_where_the_derivatives_vanish(dataset: str, scale: str) -> None:
    members = oracles.reference(dataset)["scales"][scale]
    if len(members) < 3:
        return
    _, covariance = moments(answers(dataset)[members].dropna().to_numpy())
    deviations = np.sqrt(np.diag(covariance))
    S = covariance / np.outer(deviations, deviations)
    fit = one_factor_ml(S)
    inverse = np.linalg.inv(np.outer(fit.loadings, fit.loadings) + np.diag(fit.uniquenesses))
    slope = inverse - inverse @ S @ inverse
    assert np.abs(slope @ fit.loadings).max() < 1e-8
    free = fit.uniquenesses > 0.0051
    assert np.abs(np.diag(slope)[free]).max() < 1e-8
    assert free.all() == ((dataset, scale) not in IMPROPER)


def test_omega_of_three_items_has_a_closed_form() -> None:
    for dataset, scale in [("holzinger_swineford_1939", s) for s in ("visual", "textual", "speed")]:
        _, s = moments(answers(dataset)[oracles.reference(dataset)["scales"][scale]].to_numpy())
        loadings = np.sqrt([s[0, 1] * s[0, 2] / s[1, 2], s[0, 1] * s[1, 2] / s[0, 2], s[0, 2] * s[1, 2] / s[0, 1]])
        omega = assessed(dataset).coefficients.loc[scale, "omega"]
        assert omega == pytest.approx(loadings.sum() ** 2 / s.sum(), abs=1e-9)


def test_improper_factor_is_named_and_lavaan_value_is_the_improper_one() -> None:
    data, reference = answers("mobi_ecsi"), oracles.reference("mobi_ecsi")
    members = reference["scales"]["Loyalty"]
    with pytest.warns(HeywoodWarning) as caught:
        result = assess_reliability(data, structure={"Loyalty": members})
    said = "Loyalty: the one-factor model is improper (a uniqueness reached its bound), doubt omega"
    assert [str(w.message) for w in caught] == [said]
    assert result.notes == (said,)
    _, s = moments(data[members].to_numpy())
    loadings = np.sqrt([s[0, 1] * s[0, 2] / s[1, 2], s[0, 1] * s[1, 2] / s[0, 2], s[0, 2] * s[1, 2] / s[0, 1]])
    assert (loadings**2 > np.diag(s)).any()
    theirs, optimum = reference["reliability"]["Loyalty"]["omega_cfa1f"], CONVERGED["mobi_ecsi"]["scales"]["Loyalty"]
    assert optimum["improper"]
    assert loadings.sum() ** 2 / s.sum() == pytest.approx(optimum["omega"], abs=1e-9)
    assert theirs == pytest.approx(optimum["omega"], abs=1e-6)
    assert 0 < result.coefficients.loc["Loyalty", "omega"] < theirs


@by_scale
def test_omega_total_of_a_scale_equals_psych(dataset: str, scale: str) -> None:
    expected = oracles.reference(dataset)["reliability"][scale]
    if expected["k"] < 3:
        return
    # psych's minres search of the improper scale stops inside its bounds.
    margin = 2e-4 if (dataset, scale) in IMPROPER else 1e-6
    assert assessed(dataset).coefficients.loc[scale, "omega_total"] == pytest.approx(
        expected["omega_tot_psych_1f"], abs=margin
    )


@by_survey
def test_omega_of_all_items_equals_psych(dataset: str) -> None:
    """Equal to 1e-6; where psych's own search stops further than that from its optimum, equal to the optimum."""
    row, expected = assessed(dataset).coefficients.loc["total"], oracles.reference(dataset)["omega_all_items"]
    optimum = CONVERGED[dataset]["all"]
    assert row["omega_hierarchical"] == pytest.approx(optimum["omega_hierarchical"], abs=1e-6)
    assert row["omega_total"] == pytest.approx(optimum["omega_total"], abs=1e-9)
    assert row["omega_total"] == pytest.approx(expected["omega_tot"], abs=1e-6)
    r_stopped_early = abs(optimum["omega_hierarchical"] - expected["omega_h"]) > 7e-7
    assert r_stopped_early == (dataset in ("holzinger_swineford_1939", "bfi", "mobi_ecsi"))
    if not r_stopped_early:
        assert row["omega_hierarchical"] == pytest.approx(expected["omega_h"], abs=1e-6)
    assert math.isnan(row["omega"])


@by_survey
def test_alpha_of_all_items_equals_psych_once_items_point_the_same_way(dataset: str) -> None:
    """psych::omega turns items that load negatively on the general factor: in bfi the neurotic ones and O4."""
    data = answers(dataset).dropna()
    if dataset == "bfi":
        data = data.assign(**{c: 7 - data[c] for c in [*oracles.reference(dataset)["scales"]["N"], "O4"]})
    alpha = formulas.cronbach_alpha(data.corr())
    assert alpha == pytest.approx(oracles.reference(dataset)["omega_all_items"]["alpha"], abs=1e-6)
    if dataset != "bfi":
        assert assessed(dataset).coefficients.loc["total", "alpha_standardised"] == pytest.approx(alpha, abs=1e-12)


def test_omega_hierarchical_needs_three_group_factors() -> None:
    data, scales = answers("bfi"), oracles.reference("bfi")["scales"]
    result = assess_reliability(data, structure={c: scales[c] for c in ("A", "C")})
    assert result.notes == ("omega_hierarchical needs three or more group factors, the structure has 2",)
    assert math.isnan(result.coefficients.loc["total", "omega_hierarchical"])


def test_one_item_scales_are_noted() -> None:
    data = answers("bfi")
    result = assess_reliability(data, structure={"A": ["A1", "A2", "A3"], "single": ["C1"]})
    assert result.notes == (
        "single: one item has no reliability",
        "omega_hierarchical needs three or more group factors, the structure has 2",
    )
    assert list(result.coefficients.index) == ["A", "total"]
    assert math.isnan(result.items.loc["C1", "item_rest"])


def test_published_intervals_of_holzinger_and_swineford() -> None:
    result = assess_reliability(answers("holzinger_swineford_1939"))
    assert result.coefficients.loc["total", "alpha"] == pytest.approx(0.76049, abs=5e-6)
    for method, bounds in {"Feldt": (0.7177, 0.7991), "Duhachek": (0.7197, 0.8013), "Bonett": (0.7161, 0.7979)}.items():
        assert result.interval("total", "alpha", method) == pytest.approx(bounds, abs=5e-5)


def test_guttman_lambdas_of_holzinger_and_swineford() -> None:
    row = assess_reliability(answers("holzinger_swineford_1939")).coefficients.loc["total"]
    expected = {1: 0.6759131, 2: 0.7793595, 3: 0.7604022, 5: 0.7582214, 6: 0.8084867}
    assert {j: row[f"lambda{j}"] for j in expected} == pytest.approx(expected, abs=5e-8)


def test_lambda4_is_above_psych_which_tries_half_of_the_splits_of_an_odd_number_of_items() -> None:
    """psych::splitHalf stops after choose(9, 4) / 2 of the 126 ways to choose 4 of 9 items."""
    data = answers("holzinger_swineford_1939")
    v = data.corr().to_numpy()
    tried = [split_half(v, np.isin(np.arange(9), half)) for half in itertools.combinations(range(9), 4)]
    assert max(tried[:63]) == pytest.approx(0.8438890, abs=5e-8)
    assert assess_reliability(data).coefficients.loc["total", "lambda4"] == pytest.approx(max(tried), rel=1e-12)


def test_stratified_alpha_and_omegas_of_holzinger_and_swineford() -> None:
    row = assessed("holzinger_swineford_1939").coefficients.loc["total"]
    assert row["stratified_alpha"] == pytest.approx(0.8406, abs=5e-5)
    assert (row["omega_hierarchical"], row["omega_total"]) == pytest.approx((0.449, 0.851), abs=5e-4)


def test_lambda4_is_left_out_above_sixteen_items() -> None:
    rng = np.random.default_rng(0)
    data = pd.DataFrame(rng.normal(size=(100, 1)) + rng.normal(size=(100, 17)))
    assert math.isnan(assess_reliability(data).coefficients.loc["total", "lambda4"])
    sixteen = formulas.guttman_lambdas(data.iloc[:, :16].cov())["lambda4"]
    halves = [rng.permutation(np.repeat([0, 1], 8)) for _ in range(500)]
    assert max(split_half(data.iloc[:, :16].cov().to_numpy(), half) for half in halves) <= sixteen + 1e-12


def split_half(v: np.ndarray, chosen: np.ndarray) -> float:
    first = chosen.astype(bool)
    return 4 * float(v[np.ix_(first, ~first)].sum()) / float(v.sum())


@pytest.mark.parametrize("k", [2, 3, 6, 7])
def test_lambda4_equals_all_halves_tried_one_by_one(k: int) -> None:
    v = np.cov(np.random.default_rng(3).normal(size=(50, k)) + np.arange(50)[:, None] / 25, rowvar=False)
    splits = [np.isin(np.arange(k), half) for half in itertools.combinations(range(k), k // 2)]
    assert formulas.guttman_lambdas(v)["lambda4"] == pytest.approx(max(split_half(v, s) for s in splits), rel=1e-12)


def test_jackknife_replicates_equal_leaving_one_out() -> None:
    rng = np.random.default_rng(5)
    x, weight = rng.integers(1, 6, (20, 4)).astype(float), rng.uniform(0.5, 2, 20)
    found = formulas.covariances_without(x, weight, np.arange(20))
    for i in range(20):
        kept = np.arange(20) != i
        expected = np.cov(x[kept].T, aweights=weight[kept], ddof=0)
        np.testing.assert_allclose(found[i], expected, atol=1e-12)


def test_jackknife_replicates_equal_leaving_groups_out() -> None:
    rng = np.random.default_rng(6)
    x, weight = rng.integers(1, 6, (50, 3)).astype(float), rng.uniform(0.5, 2, 50)
    groups = formulas.jackknife_groups(50, 7, rng)
    assert sorted(np.bincount(groups)) == [7, 7, 7, 7, 7, 7, 8]
    for g, found in enumerate(formulas.covariances_without(x, weight, groups)):
        expected = np.cov(x[groups != g].T, aweights=weight[groups != g], ddof=0)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_an_item_on_which_one_respondent_differs_has_an_omega_with_an_interval() -> None:
    data = pd.DataFrame(simple_population(4).sample(1, 40, rng=8)[0].astype(float), columns=list("abcd"))
    data = data.assign(d=np.where(np.arange(40) == data["a"].argmin(), 3.0, 4.0))
    result = assess_reliability(data, structure={"all": list("abcd")})
    low, high = result.interval("all", "omega")
    assert low < result.coefficients.loc["all", "omega"] < high


def test_many_respondents_are_left_out_in_groups() -> None:
    data = pd.DataFrame(simple_population(4).sample(1, MOST_REPLICATES + 500, rng=2)[0])
    single = assess_reliability(data.iloc[:MOST_REPLICATES]).intervals["se"].iloc[0]
    grouped = assess_reliability(data).intervals["se"].iloc[0]
    assert grouped == pytest.approx(single / math.sqrt(1 + 500 / MOST_REPLICATES), rel=0.1)


def test_default_interval_is_the_jackknife_and_others_are_named() -> None:
    result = assessed("satisfaction_es_bank")
    rows = result.intervals[(result.intervals["scale"] == "SAT") & (result.intervals["coefficient"] == "alpha")]
    assert [m.split(" ")[0] for m in rows["method"]] == ["jackknife", "Feldt", "Duhachek", "Bonett"]
    assert result.interval("SAT", "alpha") == (rows["low"].iloc[0], rows["high"].iloc[0])
    with pytest.raises(KeyError) as caught:
        result.interval("SAT", "alpha", "Fisher")
    assert caught.value.args == ("no interval of alpha for SAT by Fisher",)


def test_bootstrap_of_alpha_lies_near_the_jackknife() -> None:
    data = answers("satisfaction_es_bank")[["sat1", "sat2", "sat3", "sat4"]]
    result = assess_reliability(data, draws=2000, rng=3)
    drawn = result.intervals[result.intervals["method"] == "percentile bootstrap, 2000 draws"].iloc[0]
    assert drawn["value"] == pytest.approx(result.coefficients.loc["total", "alpha"], rel=1e-12)
    assert (drawn["low"], drawn["high"]) == pytest.approx(result.interval("total", "alpha"), abs=0.01)


def test_alpha_from_totals_equals_alpha_from_the_covariance() -> None:
    rng = np.random.default_rng(1)
    x, weight = rng.integers(1, 8, (80, 5)).astype(float), rng.uniform(0.5, 2, 80)
    totals = formulas.alpha_columns(x, weight).sum(axis=0)
    covariance = np.cov(x.T, aweights=weight)
    assert formulas.alpha_from_totals(totals) == pytest.approx(formulas.cronbach_alpha(covariance), rel=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.permutations(range(5)), st.integers(0, 1000))
def test_order_of_items_does_not_matter(order: list[int], seed: int) -> None:
    data = pd.DataFrame(simple_population(5, categories=5).sample(1, 60, rng=seed)[0], columns=list("abcde"))
    first, second = assess_reliability(data), assess_reliability(data.iloc[:, order])
    pd.testing.assert_frame_equal(first.coefficients, second.coefficients, rtol=1e-8)
    pd.testing.assert_frame_equal(first.items, second.items.loc[first.items.index], rtol=1e-8)
    pd.testing.assert_frame_equal(first.intervals, second.intervals, rtol=1e-6)


def rated(seed: int, **columns: object) -> Responses:
    x = simple_population(2, dimensions=3).sample(1, 60, rng=seed)[0].astype(float)
    frame = pd.DataFrame(x, columns=ITEMS).assign(respondent=[str(i) for i in range(60)], **columns)
    return Responses(bare(), frame)


def test_reversed_items_are_turned_before_anything_else() -> None:
    responses = rated(1)
    turned = responses.frame.assign(r2=8 - responses.frame["r2"])
    straight = [item.model_copy(update={"reversed": False}) for item in bare().items]
    plain = Responses(bare().model_copy(update={"items": tuple(straight)}), turned)
    first, second = assess_reliability(responses), assess_reliability(plain)
    pd.testing.assert_frame_equal(first.coefficients, second.coefficients)
    pd.testing.assert_frame_equal(first.items, second.items)


def test_weights_of_one_change_nothing_and_scaled_weights_neither() -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2, 60)
    plain, ones = assess_reliability(rated(2)), assess_reliability(rated(2, sample_weight=1.0))
    pd.testing.assert_frame_equal(plain.intervals, ones.intervals)
    assert (plain.settings["weighted"], ones.settings["weighted"]) == (False, False)
    once = assess_reliability(rated(2, sample_weight=weight))
    tenfold = assess_reliability(rated(2, sample_weight=10 * weight))
    assert once.settings["weighted"]
    pd.testing.assert_frame_equal(once.intervals, tenfold.intervals)
    pd.testing.assert_frame_equal(once.items, tenfold.items)


def test_whole_number_weights_are_copies_of_the_respondents() -> None:
    weight = np.random.default_rng(4).integers(1, 4, 60)
    responses = rated(3, sample_weight=weight.astype(float))
    copied = responses.frame.loc[np.repeat(np.arange(60), weight)].drop(columns="sample_weight")
    copies = Responses(bare(), copied.assign(respondent=[str(i) for i in range(weight.sum())]))
    first, second = assess_reliability(responses), assess_reliability(copies)
    names = ["alpha", "alpha_standardised", "mean_r", "lambda2", "lambda6", "stratified_alpha"]
    pd.testing.assert_frame_equal(first.coefficients[names], second.coefficients[names])
    names = ["mean", "floor", "ceiling", "item_rest"]
    pd.testing.assert_frame_equal(first.items[names], second.items[names])


def test_weighted_methods_say_that_they_use_the_effective_n() -> None:
    result = assess_reliability(rated(2, sample_weight=np.tile([1.0, 3.0], 30)))
    table = result.intervals[result.intervals["scale"] == "EXP"]
    assert list(table["method"][1:4]) == ["Feldt (effective n)", "Duhachek (effective n)", "Bonett (effective n)"]
    expected = formulas.feldt_interval(result.coefficients.loc["EXP", "alpha"], 60 * 4 / 5, 2)
    assert result.interval("EXP", "alpha", "Feldt") == pytest.approx(expected)


def test_floor_and_ceiling_are_shares_at_the_ends_of_the_scale() -> None:
    responses = rated(5)
    items = assess_reliability(responses).items
    assert items.loc["e1", "ceiling"] == pytest.approx((responses.frame["e1"] == 7).mean())
    assert items.loc["r2", "ceiling"] == pytest.approx((responses.frame["r2"] == 1).mean())
    none_at_the_top = Responses(bare(), responses.frame.assign(e1=responses.frame["e1"].clip(upper=6)))
    assert assess_reliability(none_at_the_top).items.loc["e1", "ceiling"] == 0


def test_shares_of_the_answers_add_up_to_one() -> None:
    responses = rated(6)
    shares = assess_reliability(responses).answers
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert shares.loc["r2", "7"] == pytest.approx((responses.frame["r2"] == 1).mean())


def test_each_scale_rests_on_its_own_complete_answers() -> None:
    responses = rated(7)
    responses.frame.loc[:9, "e1"] = np.nan
    result = assess_reliability(responses)
    assert result.coefficients["n"].to_dict() == {"EXP": 50, "EFF": 60, "RSK": 60, "total": 50}
    assert result.n == 60
    assert result.items.loc["e1", "missing"] == pytest.approx(10 / 60)


def test_coverage_is_kept_with_tau_equivalent_items_and_rises_with_the_level() -> None:
    data = pd.DataFrame(simple_population(4).sample(1, 80, rng=3)[0])
    widths = [np.ptp(assess_reliability(data, level=v).interval("total", "alpha")) for v in (0.8, 0.95, 0.99)]
    assert widths == sorted(widths)


def test_repr_is_one_line() -> None:
    population = simple_population(3, dimensions=2)
    result = assess_reliability(population.responses(100, rng=1))
    first, second = result.coefficients["alpha"].iloc[:2]
    assert repr(result) == f"<Reliability 6 items, n=100: alpha D1 {first:.3f}, D2 {second:.3f}>"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"e1": 4.0}, "expected answers that differ, found one answer only for e1; leave these items out"),
        ({"e1": np.nan}, "expected at least 3 respondents who answered all of e1, e2, found 0; "
                         "collect more answers or leave items out"),
    ],
)  # fmt: skip
def test_items_that_say_nothing_are_refused(change: dict[str, float], message: str) -> None:
    responses = rated(1)
    spoilt = Responses(bare(), responses.frame.assign(**change))
    with pytest.raises(ComputationError) as caught:
        assess_reliability(spoilt)
    assert str(caught.value) == message


def test_unknown_items_are_all_named() -> None:
    data = pd.DataFrame(np.eye(4), columns=list("abcd"))
    with pytest.raises(InputError) as caught:
        assess_reliability(data, structure={"A": ["a", "b", "zz"], "B": ["c", "yy"]})
    assert str(caught.value) == (
        "items: 2 problems\n"
        "  - expected items of the answers, found 'zz'\n"
        "  - expected items of the answers, found 'yy'"
    )
    with pytest.raises(InputError) as caught:
        assess_reliability(Responses(long(), answers_of_long()), items=["d1i1", "nothing"])
    assert str(caught.value) == "items: 1 problem\n  - expected items of the answers, found 'nothing'"


def answers_of_long() -> pd.DataFrame:
    codes = long().item_codes
    x = np.random.default_rng(0).integers(1, 8, (20, len(codes)))
    return pd.DataFrame(x, columns=codes).assign(respondent=[str(i) for i in range(20)])


def test_chosen_items_leave_the_others_out() -> None:
    responses = Responses(long(), answers_of_long())
    kept = ["d1i1", "d1i2", "d1i3", "d2i1", "d2i2"]
    result = assess_reliability(responses, items=kept)
    assert list(result.items.index) == kept
    assert result.coefficients["k"].to_dict() == {"d1": 3, "d2": 2, "total": 5}
