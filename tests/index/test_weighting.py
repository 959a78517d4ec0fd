"""Weights of the dimensions: hand-computed, lawful, and refused with a reason."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from sqmodel.errors import ComputationError, HeywoodWarning, InputError
from sqmodel.index.weighting import Weights, derive_weights, overall_satisfaction
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.numerics.derived_weights import derived_weights, share_bounds, weight_columns
from sqmodel.numerics.factoring import minres
from sqmodel.numerics.objective_weights import component_weights, critic_weights, entropy_weights
from sqmodel.numerics.relative_importance import relative_weights, shapley_shares
from tests.index.surveys import DIMENSIONS, measured, quarter, responses
from tests.survey.small_instrument import bare, small

DERIVED = ("shapley", "relative", "loadings", "component", "entropy", "critic")


def test_equal_weights_are_constants() -> None:
    weights = derive_weights(measured(quarter(30, 1)))
    assert weights.table["weight"].tolist() == [1 / 3] * 3
    assert weights.table["low"].tolist() == weights.table["high"].tolist() == [1 / 3] * 3
    assert (weights.n, weights.interval_method) == (0, "constant")
    assert repr(weights) == "<Weights equal, n=0: EXP 0.33, EFF 0.33, RSK 0.33>"


def test_given_weights_are_scaled_to_one() -> None:
    weights = derive_weights(measured(quarter(30, 1)), method="given", given={"RSK": 1, "EXP": 2, "EFF": 5})
    assert weights.table["weight"].to_dict() == {"EXP": 0.25, "EFF": 0.625, "RSK": 0.125}


@settings(max_examples=30)
@given(st.lists(st.floats(0, 100), min_size=3, max_size=3).filter(lambda w: sum(w) > 1e-6))
def test_given_weights_sum_to_one_and_keep_their_ratios(given_weights: list[float]) -> None:
    given_by_code = dict(zip(DIMENSIONS, given_weights, strict=True))
    found = derive_weights(measured(quarter(12, 1)), method="given", given=given_by_code).table["weight"]
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    assert found.to_numpy() * sum(given_weights) == pytest.approx(given_weights)


def test_allocation_is_the_mean_share_of_the_points() -> None:
    frame = quarter(4, 1).assign(imp_EXP=[50.0, 20, 40, 60], imp_EFF=[30.0, 20, 40, 20], imp_RSK=[20.0, 60, 20, np.nan])
    weights = derive_weights(measured(frame), method="allocation", draws=50)
    assert weights.n == 3
    assert weights.table["weight"].tolist() == pytest.approx([110 / 300, 90 / 300, 100 / 300])


def test_points_count_as_shares_of_each_respondents_own_total() -> None:
    frame = quarter(40, 1)
    doubled = frame.copy()
    doubled.loc[::2, [f"imp_{d}" for d in DIMENSIONS]] *= 2
    first, second = (derive_weights(measured(f), method="allocation", draws=50).table for f in (frame, doubled))
    pd.testing.assert_frame_equal(first, second)


def test_sample_weights_move_the_allocation() -> None:
    frame = quarter(2, 1).assign(imp_EXP=[100.0, 0], imp_EFF=[0.0, 100], imp_RSK=0.0, sample_weight=[3.0, 1.0])
    weights = derive_weights(measured(frame), method="allocation", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([0.75, 0.25, 0])


def test_interval_of_allocation_is_studentised_or_says_otherwise() -> None:
    many = derive_weights(measured(quarter(60, 1)), method="allocation", draws=200)
    few = derive_weights(measured(quarter(12, 1)), method="allocation", draws=200)
    assert many.interval_method == "studentised bootstrap"
    assert few.interval_method == "linearised standard error, Student's t"
    for weights in (many, few):
        table = weights.table
        assert ((table["low"] < table["weight"]) & (table["weight"] < table["high"])).all()
        assert table["low"].min() >= 0
        assert table["high"].max() <= 1


def plain_regression(frame: pd.DataFrame) -> np.ndarray:
    """Non-negative least squares on centred columns, with an intercept."""
    measure = measured(frame)
    x = measure.current.dimension_scores().to_numpy()
    y = (frame["csat"].to_numpy() - 1) / 9 * 100
    slopes, _ = nnls(x - x.mean(axis=0), y - y.mean())
    return np.asarray(slopes / slopes.sum())


@pytest.mark.parametrize("seed", range(4))
def test_regression_equals_non_negative_least_squares(seed: int) -> None:
    frame = quarter(80, seed)
    weights = derive_weights(measured(frame), method="regression", draws=100)
    assert weights.table["weight"].to_numpy() == pytest.approx(plain_regression(frame), abs=1e-8)
    assert weights.n == 80
    assert weights.interval_method == "percentile bootstrap, 100 draws"


@pytest.mark.parametrize("method", ["equal", "allocation", "regression", *DERIVED])
@pytest.mark.parametrize("seed", range(3))
def test_weights_sum_to_one_and_are_not_negative(method: str, seed: int) -> None:
    table = derive_weights(measured(quarter(40, seed)), method=method, draws=60).table  # type: ignore[arg-type]
    assert table["weight"].sum() == pytest.approx(1)
    assert (table >= -1e-12).all(axis=None)
    assert (table <= 1 + 1e-12).all(axis=None)


@pytest.mark.parametrize("method", ["allocation", "regression", *DERIVED])
def test_order_of_respondents_does_not_matter(method: str) -> None:
    frame = quarter(50, 3)
    turned = frame.sample(frac=1, random_state=1)
    first, second = (derive_weights(measured(f), method=method, draws=20).table["weight"] for f in (frame, turned))  # type: ignore[arg-type]
    pd.testing.assert_series_equal(first, second)


def test_regression_finds_no_weight_where_satisfaction_is_noise_upside_down() -> None:
    frame = quarter(200, 5)
    frame["csat"] = 11 - frame["csat"]
    weights = derive_weights(measured(frame), method="regression", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([1 / 3] * 3)


def test_a_constant_dimension_gets_no_weight_by_regression() -> None:
    frame = quarter(60, 2).assign(f1=5.0, f2=5.0)
    weights = derive_weights(measured(frame), method="regression", draws=50)
    assert weights.table.loc["EFF", "weight"] == 0
    assert weights.table["weight"].sum() == pytest.approx(1)


def test_everybody_of_one_mind_gets_equal_weights_by_regression() -> None:
    frame = quarter(30, 2).assign(e1=5.0, e2=5.0, f1=5.0, f2=5.0, r1=5.0, r2=3.0)
    weights = derive_weights(measured(frame), method="regression", draws=20)
    assert weights.table["weight"].tolist() == pytest.approx([1 / 3] * 3)


def test_acsi_items_stand_in_for_satisfaction() -> None:
    scale = {"minimum": 1, "maximum": 10}
    outcomes = [{"code": f"acsi{j}", "role": "acsi", "text": "?", "scale": scale} for j in (1, 2, 3)]
    answers = {"acsi1": [1, 10], "acsi2": [4, 10], "acsi3": [7, np.nan]}
    given_answers = responses(quarter(2, 1), instrument=small(outcomes=outcomes), **answers)
    satisfaction = overall_satisfaction(given_answers)
    assert satisfaction is not None
    assert satisfaction.tolist() == pytest.approx([100 / 3, 100])
    assert overall_satisfaction(responses(quarter(2, 1), instrument=bare())) is None


def test_weights_survive_json() -> None:
    weights = derive_weights(measured(quarter(40, 1)), method="allocation", draws=30)
    again = Weights.from_json(weights.to_json())
    pd.testing.assert_frame_equal(again.table, weights.table)
    assert again.settings == weights.settings


def refused(error: type[Exception], frame: pd.DataFrame, **options: object) -> str:
    with pytest.raises(error) as caught:
        derive_weights(measured(frame, instrument=options.pop("instrument", None)), **options)  # type: ignore[arg-type]
    return str(caught.value)


def test_unknown_method_is_refused() -> None:
    assert refused(InputError, quarter(20, 1), method="ahp") == (
        "weighting: 1 problem\n  - expected one of equal, allocation, regression, given, shapley, "
        "relative, loadings, component, entropy, critic, found 'ahp'"
    )


def test_all_problems_of_given_weights_are_named() -> None:
    assert refused(InputError, quarter(20, 1), method="given", given={"EXP": -1, "EFF": math.nan, "XYZ": 2}) == (
        "weights: 4 problems\n"
        "  - expected a weight for dimension 'RSK', found none\n"
        "  - expected a dimension among EXP, EFF, RSK, found 'XYZ'\n"
        "  - expected a weight of at least 0 for 'EXP', found -1\n"
        "  - expected a weight of at least 0 for 'EFF', found nan\n"
        "  What to do: give every dimension one weight"
    )
    assert refused(InputError, quarter(20, 1), method="given", given={"EXP": 0, "EFF": 0, "RSK": 0}) == (
        "weights: 1 problem\n"
        "  - expected weights whose sum is above 0, found a sum of 0\n"
        "  What to do: give every dimension one weight"
    )


def test_allocation_needs_the_question_and_answers() -> None:
    assert refused(ComputationError, quarter(20, 1), method="allocation", instrument=bare()) == (
        "weighting by allocation: expected the importance columns of small, found none; "
        "choose weighting: equal, or map the columns"
    )
    assert refused(ComputationError, quarter(20, 1).assign(imp_EXP=np.nan), method="allocation") == (
        "weighting by allocation: expected at least 2 answered allocations, found 0; choose weighting: equal"
    )


def test_regression_needs_satisfaction_and_enough_answers() -> None:
    assert refused(ComputationError, quarter(20, 1), method="regression", instrument=bare()) == (
        "weighting by regression: expected an overall satisfaction question (role csat or acsi), found none; "
        "choose weighting: equal"
    )
    assert refused(ComputationError, quarter(6, 1), method="regression") == (
        "weighting by regression: expected more than 6 complete respondents, found 6; choose weighting: equal"
    )


def test_weights_rest_on_the_current_quarter() -> None:
    old, new = quarter(30, 1, "2026Q2"), quarter(30, 2, "2026Q3")
    alone = derive_weights(measured(new), method="allocation", draws=20).table
    both = derive_weights(qualify(responses(old, new), quarter="2026Q3"), method="allocation", draws=20).table
    pd.testing.assert_frame_equal(alone, both)


def scored(measure: Measure) -> tuple[np.ndarray, np.ndarray]:
    """Dimension scores and satisfaction of a small survey."""
    return measure.current.dimension_scores().to_numpy(), (measure.current.frame["csat"].to_numpy() - 1) / 9 * 100


@pytest.mark.parametrize("seed", range(3))
def test_derived_weights_are_those_of_the_arrays(seed: int) -> None:
    # A respondent at each end of every scale: CRITIC's sample range is then the range of the scale.
    ends = pd.DataFrame({"e1": [1, 7], "e2": [1, 7], "f1": [1, 7], "f2": [1, 7], "r1": [1, 7], "r2": [7, 1]})
    frame = quarter(120, seed)
    frame.loc[:1, ends.columns] = ends.astype(float)
    measure = measured(frame)
    x, y = scored(measure)
    r = np.corrcoef(np.column_stack([x, y]).T)
    inner, validity = r[:3, :3], r[:3, 3]
    squared = minres(inner, 1).loadings[:, 0] ** 2
    known = {
        "shapley": shapley_shares(inner, validity) / shapley_shares(inner, validity).sum(),
        "relative": relative_weights(inner, validity) / relative_weights(inner, validity).sum(),
        "loadings": squared / squared.sum(),
        "component": component_weights(x),
        "entropy": entropy_weights(x),
        "critic": critic_weights(x),
    }
    for method in DERIVED:
        weights = derive_weights(measure, method=method, draws=30)  # type: ignore[arg-type]
        assert weights.table["weight"].to_numpy() == pytest.approx(known[method], abs=1e-8), method
        assert weights.n == 120
        assert weights.interval_method == "bootstrap standard error on the logit, Student's t, 30 draws"


@pytest.mark.parametrize("method", DERIVED)
def test_a_sample_weight_counts_a_respondent_as_often(method: str) -> None:
    frame = quarter(60, 3)
    often = np.where(np.arange(60) % 4 == 0, 3, 1)
    twice = frame.loc[frame.index.repeat(often)].reset_index(drop=True)
    twice["respondent"] = [f"r{i}" for i in range(len(twice))]
    weighted, repeated = (
        derive_weights(measured(f), method=method, draws=20).table["weight"].to_numpy()  # type: ignore[arg-type]
        for f in (frame.assign(sample_weight=often.astype(float)), twice)
    )
    assert weighted == pytest.approx(repeated, abs=1e-8)
    plain = derive_weights(measured(frame), method=method, draws=20).table["weight"].to_numpy()  # type: ignore[arg-type]
    assert np.abs(weighted - plain).max() > 1e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(DERIVED))
def test_laws_of_derived_weights(seed: int, method: str) -> None:
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(60, 1))
    x = np.clip(50 + 12 * (factor + rng.normal(size=(60, 4))), 0, 100)
    y = x @ rng.uniform(0.2, 1, 4) + rng.normal(0, 10, 60)
    weight, order = rng.uniform(0.5, 2, 60), rng.permutation(4)
    found, turned, scaled = (
        derived_weights(weight_columns(a, w, b).sum(axis=0), method, 4)  # type: ignore[arg-type]
        for a, w, b in ((x, weight, y), (x[:, order], weight, y), (x * 3, weight * 7, 5 - 2 * y))
    )
    assert found.sum() == pytest.approx(1)
    assert (found >= 0).all()
    np.testing.assert_allclose(turned, found[order], atol=1e-6)
    np.testing.assert_allclose(scaled, found, atol=1e-6)
    alone = weight_columns(x, weight).sum(axis=0)
    if method not in ("shapley", "relative"):
        np.testing.assert_allclose(derived_weights(alone, method, 4), found, atol=1e-8)  # type: ignore[arg-type]
    single = weight_columns(x[:, :1], weight, y).sum(axis=0)
    assert derived_weights(single, method, 1).tolist() == [1.0]  # type: ignore[arg-type]


def test_resamples_are_weighed_as_each_would_be_alone() -> None:
    x, y = scored(measured(quarter(80, 4)))
    columns = weight_columns(x, np.ones(80), y)
    counts = np.random.default_rng(1).multinomial(80, np.full(80, 1 / 80), size=5).astype(float)
    for method in DERIVED:
        together = derived_weights(counts @ columns, method, 3)  # type: ignore[arg-type]
        for row, own in zip(counts, together, strict=True):
            drawn = np.repeat(np.arange(80), row.astype(int))
            alone = derived_weights(columns[drawn].sum(axis=0), method, 3)  # type: ignore[arg-type]
            np.testing.assert_allclose(own, alone, atol=1e-8)


def test_a_resample_without_variance_has_no_weights() -> None:
    x = np.column_stack([np.full(10, 40.0), np.arange(10.0), np.arange(10.0) ** 2])
    totals = weight_columns(x, np.ones(10)).sum(axis=0)
    for method in ("loadings", "component", "critic"):
        assert np.isnan(derived_weights(totals, method, 3)).all()  # type: ignore[arg-type]
    assert derived_weights(totals, "entropy", 3)[0] == 0


def test_bounds_of_shares_stay_inside_and_follow_the_draws() -> None:
    rng = np.random.default_rng(1)
    draws = 1 / (1 + np.exp(-rng.normal(-3, 0.5, (20_000, 1))))
    center = 1 / (1 + np.exp(3.0))
    low, high = share_bounds(np.array([center]), draws, 10_000)
    logit = [math.log(v / (1 - v)) for v in (low[0], high[0])]
    assert logit == pytest.approx([-3 - 1.96 * 0.5, -3 + 1.96 * 0.5], abs=0.03)
    low, high = share_bounds(np.array([0.0, 1.0, 0.5]), np.tile([0.0, 1.0, 0.5], (100, 1)), 20)
    assert low.tolist() == high.tolist() == [0.0, 1.0, 0.5]
    half = np.where(rng.random((200, 1)) < 0.6, np.nan, 0.4)
    assert np.isnan(share_bounds(np.array([0.4]), half, 20)[0]).all()
    with pytest.raises(ComputationError, match="interval: expected shares from 0 to 1, found others"):
        share_bounds(np.array([1.2]), draws, 20)


def test_two_dimensions_have_no_factor_of_their_own_and_count_the_same() -> None:
    x, _ = scored(measured(quarter(50, 1)))
    totals = weight_columns(x[:, :2], np.ones(50)).sum(axis=0)
    for method in ("loadings", "component"):
        assert derived_weights(totals, method, 2).tolist() == pytest.approx([0.5, 0.5])  # type: ignore[arg-type]


def test_a_direction_that_is_not_sure_is_a_doubt() -> None:
    frame = quarter(90, 6)
    frame["csat"] = 11 - frame["csat"]
    weights = derive_weights(measured(frame), method="shapley", draws=200)
    assert weights.doubts["dimension"].tolist() == list(DIMENSIONS)
    assert weights.doubts["doubt"].iloc[0] == (
        "its correlation with satisfaction is not surely positive: at or below 0 in 100% of the draws, "
        "which a weight hides"
    )
    assert repr(weights).endswith("; 3 doubts>")
    assert derive_weights(measured(quarter(90, 6)), method="entropy", draws=50).doubts.empty


def test_an_improper_factor_is_a_doubt_and_a_warning() -> None:
    # The first is the sum of the other two, which have little in common: r12 r13 > r23.
    rng = np.random.default_rng(5)
    one, other, common = rng.integers(0, 3, (3, 80))
    frame = quarter(80, 1)
    frame["e1"] = 1.0 + one + other + common
    frame["e2"] = (frame["e1"] + rng.integers(-1, 2, 80)).clip(1, 7)
    frame["f1"] = frame["f2"] = 1.0 + 2 * one + common
    frame["r1"] = 1.0 + 2 * other + common
    frame["r2"] = 8 - frame["r1"]
    with pytest.warns(HeywoodWarning, match="weighting by loadings: Heywood case of EXP"):
        weights = derive_weights(measured(frame), method="loadings", draws=50)
    assert weights.doubts.set_index("dimension").loc["EXP", "doubt"] == (
        "improper solution: the factor explains all of its variance (Heywood case)"
    )


def test_what_has_no_weights_is_refused_by_name() -> None:
    still = quarter(60, 2).assign(f1=5.0, f2=5.0)
    for method in ("shapley", "loadings", "component", "critic"):
        assert refused(ComputationError, still, method=method) == (
            f"weighting by {method}: expected dimensions that vary, found no variance of EFF; choose weighting: equal"
        )
    nothing = quarter(60, 2).assign(f1=1.0, f2=1.0)
    assert refused(ComputationError, nothing, method="entropy") == (
        "weighting by entropy: expected dimensions with scores above 0, found none of EFF; choose weighting: equal"
    )
    entropy = derive_weights(measured(still), method="entropy", draws=30)
    assert entropy.table.loc["EFF", "weight"] == 0
    assert entropy.doubts.to_numpy().tolist() == [["EFF", "its scores do not vary: no weight"]]
    assert refused(ComputationError, quarter(60, 2).assign(csat=7.0), method="relative") == (
        "weighting by relative: expected overall satisfaction that varies, found none; choose weighting: equal"
    )
    same = quarter(60, 2)
    same["f1"], same["f2"] = same["e1"], same["e2"]
    assert refused(ComputationError, same, method="shapley") == (
        "weighting by shapley: expected dimensions that do not determine each other, found ones that do; "
        "choose weighting: equal"
    )
    against = quarter(90, 3)
    against[["f1", "f2"]] = 8 - against[["f1", "f2"]]
    for method, one in (("loadings", "factor"), ("component", "component")):
        message = refused(ComputationError, against, method=method)
        assert message.startswith(f"weighting by {method}: expected dimensions that load positively on one {one}, ")
        assert "EFF (-0." in message
        assert "EXP" not in message
    assert refused(ComputationError, quarter(20, 1), method="shapley", instrument=bare()) == (
        "weighting by shapley: expected an overall satisfaction question (role csat or acsi), found none; "
        "choose weighting: equal"
    )
    assert refused(ComputationError, quarter(6, 1), method="critic") == (
        "weighting by critic: expected more than 6 complete respondents, found 6; choose weighting: equal"
    )


def test_intervals_of_derived_weights_cover_the_population() -> None:
    """A short version of tests/benchmarks/weights.py, on the scores: far too narrow intervals do not pass."""
    x, y = scored(measured(quarter(20_000, 77)))
    columns, rng = weight_columns(x, np.ones(len(x)), y), np.random.default_rng(1)
    held: dict[str, list[float]] = {m: [] for m in DERIVED}
    for _ in range(60):
        sample = columns[rng.integers(0, len(columns), 150)]
        drawn = rng.multinomial(150, np.full(150, 1 / 150), size=300) @ sample
        for method in DERIVED:
            sums = (columns.sum(axis=0), sample.sum(axis=0), drawn)
            truth, own, draws = (derived_weights(t, method, 3) for t in sums)  # type: ignore[arg-type]
            low, high = share_bounds(own, draws, 150)
            held[method].append(float(((low <= truth) & (truth <= high)).mean()))
    for method, shares in held.items():
        # 60 surveys of three dependent weights: a standard error of some .02.
        assert np.mean(shares) >= 0.88, method
        assert np.mean(shares) < 1, method
