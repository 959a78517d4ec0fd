"""Sample planning: RMSEA power as in semTools, populations that can be, and what the simulation must find in them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement.model_population import population_of
from sqmodel.measurement.model_table import Options, complete
from sqmodel.measurement.planning import SamplePlan, plan_sample
from sqmodel.measurement.simulation import without_categories
from sqmodel.measurement.syntax import parse_model
from sqmodel.numerics.sem.power import ordered_answers, rmsea_power, rmsea_sample_size, symmetric_cuts, wishart
from sqmodel.numerics.sem.samples import Normal
from sqmodel.numerics.sem.solve import information_of
from sqmodel.survey.instrument import load_instrument
from sqmodel.survey.simple_population import simple_population

THREE = {"f": ["a", "b", "c"], "g": ["d", "e", "h"], "i": ["j", "k", "l"]}
ONE = {"f": ["a", "b", "c", "d"]}


# semTools 0.5-6: findRMSEApower(rmsea0, rmseaA, df, n, alpha, group)
@pytest.mark.parametrize(
    ("df", "n", "null", "true", "alpha", "groups", "expected"),
    [(24, 375, 0.05, 0.08, 0.05, 1, 0.800980618712), (24, 200, 0.05, 0.08, 0.05, 1, 0.509967428979),
     (24, 200, 0.05, 0.01, 0.05, 1, 0.359526879093), (10, 300, 0.0, 0.05, 0.05, 1, 0.405611672466),
     (100, 150, 0.05, 0.08, 0.01, 1, 0.667300005992), (48, 400, 0.06, 0.09, 0.05, 2, 0.790158829879)],
)  # fmt: skip
def test_rmsea_power_equals_semtools(
    df: int, n: int, null: float, true: float, alpha: float, groups: int, expected: float
) -> None:
    assert rmsea_power(df, n, null, true, alpha=alpha, groups=groups) == pytest.approx(expected, abs=1e-9)


# semTools 0.5-6: findRMSEAsamplesize(rmsea0, rmseaA, df, power, alpha, group), times group: it gives 219.5 for 439 / 2.
@pytest.mark.parametrize(
    ("df", "null", "true", "power", "alpha", "groups", "expected"),
    [(24, 0.05, 0.08, 0.80, 0.05, 1, 375), (24, 0.05, 0.01, 0.80, 0.05, 1, 422), (2, 0.05, 0.08, 0.80, 0.05, 1, 3494),
     (100, 0.05, 0.08, 0.80, 0.05, 1, 132), (24, 0.0, 0.05, 0.90, 0.05, 1, 467),
     (24, 0.05, 0.08, 0.80, 0.01, 1, 558), (48, 0.05, 0.08, 0.80, 0.05, 2, 439), (8, 0.05, 0.01, 0.80, 0.05, 1, 874),
     (24, 0.05, 0.08, 0.80, 0.05, 3, 1121)],
)  # fmt: skip
def test_rmsea_sample_size_equals_semtools(
    df: int, null: float, true: float, power: float, alpha: float, groups: int, expected: int
) -> None:
    assert rmsea_sample_size(df, null, true, power=power, alpha=alpha, groups=groups) == expected


RMSEAS = st.sampled_from([(0.05, 0.08), (0.05, 0.01), (0.0, 0.05), (0.06, 0.10)])


@given(df=st.integers(1, 200), n=st.integers(20, 2000), pair=RMSEAS)
@settings(max_examples=60, deadline=None)
def test_rmsea_power_rises_with_n_and_df(df: int, n: int, pair: tuple[float, float]) -> None:
    here = rmsea_power(df, n, *pair)
    assert 0.049 < here <= 1
    assert rmsea_power(df, n + 50, *pair) >= here - 1e-9
    assert rmsea_power(df + 10, n, *pair) >= here - 1e-9


@given(df=st.integers(1, 200), power=st.floats(0.3, 0.99), pair=RMSEAS)
@settings(max_examples=40, deadline=None)
def test_rmsea_sample_size_is_the_smallest(df: int, power: float, pair: tuple[float, float]) -> None:
    n = rmsea_sample_size(df, *pair, power=power)
    assert rmsea_power(df, n, *pair) >= power
    assert n == 2 or rmsea_power(df, n - 1, *pair) < power


def test_rmsea_power_of_the_null_is_alpha() -> None:
    assert rmsea_power(24, 300, 0.05, 0.05, alpha=0.05) == pytest.approx(0.05)


def test_rmsea_names_every_wrong_argument() -> None:
    with pytest.raises(InputError) as error:
        rmsea_power(0, -5, 0.05, -0.1, alpha=1.5, groups=0)
    assert str(error.value) == (
        "RMSEA power: 5 problems\n"
        "  - expected at least 1 degree of freedom, found 0\n"
        "  - expected an RMSEA of 0 or more, found -0.1\n"
        "  - expected a level between 0 and 1, found 1.5\n"
        "  - expected at least 1 group, found 0\n"
        "  - expected a sample of at least 2, found -5"
    )
    with pytest.raises(InputError) as error:
        rmsea_sample_size(24, 0.05, 0.05, power=1.0)
    assert str(error.value) == (
        "RMSEA sample size: 2 problems\n"
        "  - expected a power between 0 and 1, found 1\n"
        "  - expected two different RMSEAs, found 0.05 twice"
    )
    with pytest.raises(InputError) as error:
        rmsea_sample_size(24, 0.05, 0.05 + 1e-7)
    assert str(error.value) == (
        "RMSEA sample size: 1 problem\n  - expected RMSEAs that a sample can tell apart, found 0.05 and 0.0500001"
    )


def test_wishart_matrices_have_the_moments_of_sample_covariances() -> None:
    sigma = np.array([[1.0, 0.5, 0.2], [0.5, 2.0, 0.3], [0.2, 0.3, 1.5]])
    n, draws = 12, 40_000
    found = wishart(draws, n, sigma, np.random.default_rng(3))
    # E = (n - 1) / n Sigma; Var s_ij = (n - 1) / n^2 (s_ij^2 + s_ii s_jj).
    variance = (n - 1) / n**2 * (sigma**2 + np.outer(np.diag(sigma), np.diag(sigma)))
    assert np.abs(found.mean(axis=0) - sigma * (n - 1) / n).max() < 4 * np.sqrt(variance.max() / draws)
    assert found.var(axis=0) == pytest.approx(variance, rel=0.04)


def test_answers_fall_into_the_categories_of_their_cuts() -> None:
    cuts = symmetric_cuts(5)
    assert cuts == pytest.approx([-1.5, -0.5, 0.5, 1.5])
    codes = ordered_answers(50_000, np.eye(2), [cuts, np.array([1.0])], np.random.default_rng(1))
    expected = np.diff(stats.norm.cdf([-np.inf, *cuts, np.inf]))
    assert np.bincount(codes[:, 0]) / 50_000 == pytest.approx(expected, abs=0.01)
    assert codes[:, 1].mean() == pytest.approx(stats.norm.sf(1), abs=0.01)


def test_one_population_in_four_forms() -> None:
    text = "\n".join(
        f"D{d} =~ " + " + ".join(f"{v}*d{d}_{k}" for k, v in enumerate((0.5, 0.6, 0.7), 1)) for d in (1, 2)
    )
    written = population_of(text + "\nD1 ~~ 0.4*D2")
    simple = simple_population(3, dimensions=2, loadings=[0.5, 0.6, 0.7], factor_correlation=0.4)
    structure = simple.instrument.structure()
    mapped = population_of(structure, loadings=[0.5, 0.6, 0.7] * 2, factor_correlation=[[1, 0.4], [0.4, 1]])
    by_item = {f"d{d}_{k}": v for d in (1, 2) for k, v in enumerate((0.5, 0.6, 0.7), 1)}
    asked = population_of(simple.instrument, loadings=by_item, factor_correlation=0.4)
    for other in (mapped, asked, population_of(simple)):
        assert other.table.items == written.table.items
        assert other.sigma == pytest.approx(written.sigma)
        assert other.sigma == pytest.approx(simple.correlation)
    assert written.estimator == "ML"
    assert population_of(simple).estimator == "WLSMV"
    assert np.stack(population_of(simple).cuts) == pytest.approx(simple.thresholds)
    assert population_of(simple, estimator="MLR").cuts == ()


def test_answer_scales() -> None:
    instrument = load_instrument("lending_service")
    points = instrument.scale.width + 1
    assert population_of(instrument).cuts == ()
    assert {len(c) + 1 for c in population_of(instrument, estimator="WLSMV").cuts} == {points}
    assert {len(c) + 1 for c in population_of(ONE, estimator="DWLS").cuts} == {5}
    assert {len(c) + 1 for c in population_of(ONE, categories=3).cuts} == {3}
    own = population_of(ONE, thresholds={"a": [0.0], "b": [-1, 1], "c": [0.5], "d": [0.0, 0.1, 0.2]}).cuts
    assert [len(c) for c in own] == [1, 2, 1, 3]


def test_written_residuals_leave_the_items_variance_open() -> None:
    population = population_of("f =~ 0.8*a + 0.8*b + 0.8*c\na ~~ 1*a\na ~~ 0.2*b")
    assert population.sigma == pytest.approx(np.array([[1.64, 0.84, 0.64], [0.84, 1, 0.64], [0.64, 0.64, 1]]))
    assert population.values["a", "~~", "b"] == 0.2


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (ONE, {"loadings": [0.7, 0.7, 1.1, 0.7]},
     "population: 1 problem\n  - expected a communality below 1, found 1.210 for c"),
    ("f =~ .9*a + .7*b + .7*c\ng =~ .8*a + .7*d + .7*e\nf ~~ .5*g", {},
     "population: 1 problem\n  - expected a communality below 1, found 2.170 for a"),
    (THREE, {"factor_correlation": [[1, 0.9, 0], [0.9, 1, 0.9], [0, 0.9, 1]]},
     "population: 1 problem\n"
     "  - expected a positive definite correlation matrix of the factors, found a smallest eigenvalue of -0.273"),
    (THREE, {"factor_correlation": [1, 2]},
     "population: 1 problem\n  - expected a number or a symmetric 3 x 3 matrix with diagonal 1 as factor_correlation, "
     "found [1, 2]"),
    (ONE, {"loadings": [0.7, 0.6]}, "population: 1 problem\n  - expected one loading or 4, found 2"),
    (ONE, {"loadings": {"a": 0.7, "b": 0.7, "c": 0.7}},
     "population: 1 problem\n  - expected a loading of d, found none"),
    ("f =~ .7*a + b + .7*c\na ~ 1\nf ~~ 2*f", {},
     "population: 3 problems\n"
     "  - expected one number, the population's value, in 'f =~ b', found 0\n"
     "  - expected loadings and covariances only, found 'a ~ 1'\n"
     "  - expected factors of variance 1, found 2 in 'f ~~ f'\n"
     "  What to do: write the model as f =~ 0.7*x1 + 0.6*x2 and f ~~ 0.3*g"),
    ("f =~ .7*a + .7*b + .7*c\ng =~ .7*f + .7*d", {},
     "population: 1 problem\n  - expected factors that items measure, found a factor of factors in 'g =~ f'\n"
     "  What to do: write the model as f =~ 0.7*x1 + 0.6*x2 and f ~~ 0.3*g"),
    ("f =~ .7*a + .7*b + .7*c", {"loadings": 0.5},
     "population: 1 problem\n  - expected the values of a model's text alone, found loadings as well"),
    (simple_population(3), {"factor_correlation": 0.5},
     "population: 1 problem\n  - expected the values of a SimplePopulation alone, found factor_correlation as well"),
    ("f =~ .7*a + .7*b + .7*c\na ~~ .9*b", {},
     "population: 1 problem\n  - expected residual covariances with a positive definite matrix, found one that is not"),
    ("f =~ .7*a + .7*b + .7*c\na ~~ -.1*a", {},
     "population: 1 problem\n  - expected a residual variance above 0, found -0.1 for a"),
    ("f =~ .7*a + .7*b + .7*c\na ~~ .6*a", {"categories": 5},
     "population: 1 problem\n  - expected ordered items with a variance of 1 behind them, found 1.09 for a"),
    (ONE, {"thresholds": [0.5, -0.5]}, "population: 1 problem\n  - expected increasing thresholds, found [0.5, -0.5]"),
    (ONE, {"thresholds": [0.0], "categories": 3},
     "population: 1 problem\n  - expected 2 thresholds for 3 categories, found 1"),
    (ONE, {"thresholds": {"a": [0.0], "b": [0.0], "c": [0.0]}},
     "population: 1 problem\n  - expected thresholds of d, found none"),
    (ONE, {"categories": 1}, "population: 1 problem\n  - expected at least 2 categories, found 1"),
    (ONE, {"estimator": "WLSMW"},
     "population: 1 problem\n"
     "  - expected an estimator (ML, MLR, MLM, ULSM, WLSMV, ULSMV, DWLS, ULS), found 'WLSMW'"),
    (ONE, {"estimator": "ML", "categories": 5},
     "population: 1 problem\n"
     "  - expected an estimator for ordered answers (WLSMV, ULSMV, DWLS, ULS), found 'ML'"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "arguments", "message"), WRONG)
def test_populations_that_cannot_be(model: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        plan_sample(model, replications=2, **arguments)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [({"sizes": (-100, 200)}, ["expected whole sizes above 0, found -100"]),
     ({"sizes": (100.5,)}, ["expected whole sizes above 0, found 100.5"]),
     ({"sizes": ()}, ["expected at least one size, found none"]),
     ({"sizes": (3, 4)}, ["expected sizes above the 4 items, found 3", "expected sizes above the 4 items, found 4"]),
     ({"replications": 1, "target": 1.0, "level": 95},
      ["expected at least 2 replications, found 1", "expected target between 0 and 1, found 1",
       "expected level between 0 and 1, found 95"])],
)  # fmt: skip
def test_arguments_that_cannot_be(arguments: dict[str, Any], problems: list[str]) -> None:
    with pytest.raises(InputError) as error:
        plan_sample(ONE, **arguments)
    count = f"{len(problems)} problem{'s' if len(problems) > 1 else ''}"
    assert str(error.value) == "\n".join([f"plan_sample: {count}", *(f"  - {p}" for p in problems)])


def test_models_that_are_not_identified() -> None:
    with pytest.raises(ComputationError) as error:
        plan_sample({"f": ["a", "b"]})
    assert str(error.value) == "expected no more parameters than moments, found 1 too many; use more items a factor"
    for estimator in ("ML", "WLSMV"):
        with pytest.raises(ComputationError) as error:
            plan_sample({"f": ["a", "b", "e"], "g": ["c", "d"]}, factor_correlation=0.0, estimator=estimator)
        assert str(error.value) == (
            "expected values that determine every parameter, found a model that is not identified; "
            "use at least three items a factor, or two where factors correlate"
        )


def test_a_sample_without_some_categories_has_fewer_thresholds() -> None:
    table = complete(parse_model("f =~ a + b + c"), 1, Options(std_lv=True, categories={"a": 4, "b": 3, "c": 2}))
    assert without_categories(table, {"a": 4, "b": 3, "c": 2}) is table
    fewer = without_categories(table, {"a": 2, "b": 3, "c": 2})
    direct = complete(parse_model("f =~ a + b + c"), 1, Options(std_lv=True, categories={"a": 2, "b": 3, "c": 2}))
    assert fewer == direct


def test_rare_categories_do_not_stop_the_simulation() -> None:
    plan = plan_sample(ONE, thresholds=[-2.2, -1.0, 0.0, 2.4], sizes=(60,), replications=20)
    assert plan.simulation["converged"].item() > 0.8


def binomial_margin(share: float, count: int) -> float:
    """Three standard errors."""
    return 3 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize(
    ("estimator", "n", "replications"), [("ML", 500, 600), ("MLR", 500, 150), ("ULSM", 500, 100), ("WLSMV", 500, 150)]
)
def test_intervals_cover_and_the_test_keeps_its_level(estimator: str, n: int, replications: int) -> None:
    plan = plan_sample(ONE, loadings=[0.5, 0.6, 0.7, 0.8], sizes=(n,), replications=replications, estimator=estimator)
    assert plan.simulation["converged"].item() == 1
    coverage = plan.parameters["coverage"]
    assert (coverage - 0.95).abs().max() < binomial_margin(0.95, replications) + 0.005
    # Over the parameters the errors average out: 93 to 97 %.
    assert 0.93 <= coverage.mean() <= 0.97
    assert plan.simulation["rejected"].item() == pytest.approx(0.05, abs=binomial_margin(0.05, replications))
    table = plan.parameters
    assert ((table["mean"] - table["value"]).abs() < 4 * table["sd"] / math.sqrt(replications) + 0.005).all()
    assert plan.kinds["se_bias"].abs().max() < 0.10


def test_estimates_are_as_precise_as_the_information_says() -> None:
    """The power of a factor correlation follows from its expected standard error."""
    n, model = 300, population_of(THREE, loadings=0.6, factor_correlation=0.25)
    simulation = model.simulation()
    place = next(c.free for c in model.table.cells if c[:3] == ("f", "~~", "g"))
    population = Normal.of(1.0, simulation.mean, simulation.sigma)
    curvature = information_of(model.table.blocks(), [population], simulation.start)
    se = math.sqrt(curvature.inverse_diagonal()[place] / n)
    plan = plan_sample(THREE, loadings=0.6, factor_correlation=0.25, sizes=(n,), replications=150)
    row = plan.parameters[plan.parameters["kind"] == "factor correlation"].iloc[0]
    expected = stats.norm.sf(stats.norm.isf(0.025) - 0.25 / se)
    assert row["sd"] == pytest.approx(se, rel=0.2)
    assert row["power"] == pytest.approx(expected, abs=binomial_margin(expected, 150) + 0.02)


@pytest.fixture(scope="module")
def three() -> SamplePlan:
    return plan_sample(THREE, loadings=0.6, factor_correlation=0.3, sizes=(60, 150, 400), replications=60)


def test_power_rises_with_n(three: SamplePlan) -> None:
    correlations = three.kinds[three.kinds["kind"] == "factor correlation"]
    assert correlations["power"].is_monotonic_increasing
    assert three.parameters.groupby("n")["se"].mean().is_monotonic_decreasing
    assert three.simulation["proper"].is_monotonic_increasing


def test_the_smallest_size_is_the_first_where_every_power_reaches_the_target(three: SamplePlan) -> None:
    assert (three.df, three.smallest) == (24, 400)
    tested = three.parameters.dropna(subset=["power"])
    reached = tested.groupby("n")["power"].min() >= 0.80
    assert reached.to_dict() == {60: False, 150: False, 400: True}
    needed = three.needed.set_index("criterion")["n"]
    assert needed["power of the test of close fit"] == 375
    assert needed["power of the test of not close fit"] == 422
    assert needed["power of every factor correlation"] == 400
    assert needed["power of every loading"] <= 150
    assert repr(three) == (
        "<SamplePlan 9 items, 3 factors, df=24: 80% power of all parameters from n=400, test of close fit from n=375>"
    )


def test_no_power_is_claimed_where_there_is_nothing_to_find() -> None:
    plan = plan_sample(THREE, factor_correlation=0.0, loadings=0.7, sizes=(100,), replications=20)
    powers = plan.parameters.set_index("kind")["power"]
    assert powers[["factor correlation", "residual variance"]].isna().all()
    assert powers["loading"].notna().all()
    assert plan.smallest == 100
    assert plan.notes == ("already the smallest size tried, 100, gives every parameter a power of 0.8",)


def test_a_plan_says_where_it_ends() -> None:
    plan = plan_sample({"f": ["a", "b", "c"]}, loadings=0.3, sizes=(40,), replications=20)
    assert plan.df == 0
    assert plan.rmsea[["n", "power"]].isna().all(axis=None)
    assert plan.smallest is None
    assert plan.notes[:2] == (
        "the model has no degrees of freedom: its fit cannot be tested",
        "no size up to 40 gives every parameter a power of 0.8; try larger ones",
    )
    assert repr(plan).endswith("80% power of all parameters in none of the sizes tried>")


def test_seeds_reproduce() -> None:
    plans = [plan_sample(ONE, sizes=(50, 80), replications=10, rng=rng) for rng in (1, 1, 2, np.random.default_rng(1))]
    first, again, other, generator = (p.parameters for p in plans)
    pd.testing.assert_frame_equal(first, again)
    pd.testing.assert_frame_equal(first, generator)
    assert (first["mean"] != other["mean"]).all()


def test_the_cost_of_continuous_answers_does_not_depend_on_n() -> None:
    plan = plan_sample(ONE, sizes=(10**6,), replications=10)
    assert plan.parameters["bias"].abs().max() < 0.01


def test_a_plan_survives_json(three: SamplePlan) -> None:
    again = SamplePlan.from_json(three.to_json())
    for name, table in three.tables().items():
        pd.testing.assert_frame_equal(table, again.tables()[name], check_dtype=False)
    assert again.smallest == three.smallest
    assert again.notes == three.notes


def test_indices_alone_are_those_of_the_whole_fit() -> None:
    simulation = population_of(THREE, loadings=0.6).simulation()
    alone = simulation.indices(150, 8, np.random.default_rng(5))
    fits = simulation.fits(150, 8, np.random.default_rng(5))
    for row, found in zip(alone, fits, strict=True):
        assert found is not None
        assert row == pytest.approx([found.estimated.fit[name] for name in ("srmr", "rmsea", "cfi")], abs=1e-6)
