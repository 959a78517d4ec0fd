"""Drivers: slopes as statsmodels gives them, what was planted is found, and what cannot be said is not said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ComputationError, OperationsError
from sqmodel.index.driver_model import independent, inflation, jointly, newcombe, separable, wilson
from sqmodel.index.drivers import Drivers, driver_features, find_drivers
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.result import decode
from tests.benchmarks.truth.drivers import LIMIT, TRUE_SLOPE, cases
from tests.index.surveys import measured, quarter

N = 240
WHAT_TO_DO = "\n  What to do: give answers with case_id, and one row of features a case"


def survey(n: int = N, seed: int = 1, **columns: Any) -> tuple[Measure, pd.DataFrame]:
    """A measure whose EFF falls with the wait for a, and what happened in its cases."""
    answers, features = cases(n, np.random.default_rng(seed))
    frame = quarter(n, seed)
    frame[["e1", "e2", "f1", "f2", "r1", "r2"]] = answers
    frame["r2"] = 8 - frame["r2"]
    return measured(frame, case_id=features.index, **columns), features


@pytest.fixture(scope="module")
def found() -> Drivers:
    measure, features = survey()
    return find_drivers(measure, features, limits={"wait_a": [LIMIT, 80.0, 1.0]}, adjust=["region"], draws=2000)


def at(drivers: Drivers, feature: str, outcome: str) -> Any:
    table = drivers.effects
    return table[(table["feature"] == feature) & (table["outcome"] == outcome)].iloc[0]


def test_the_planted_driver_is_found_and_no_other(found: Drivers) -> None:
    sure = found.effects[found.effects["drives"]]
    assert set(sure["feature"]) == {"wait_a", "breach_a"}
    assert set(sure["outcome"]) == {"EFF", "overall"}
    assert repr(found).startswith(
        "<Drivers 2026Q3 n=240: wait_a moves EFF -7.4 [-8.8, -6.1]; breach_a moves EFF -5.8 ["
    )
    row = at(found, "wait_a", "EFF")
    assert row["low"] < TRUE_SLOPE < row["high"]
    assert row["effect"] == pytest.approx(row["slope"] * row["effect_low"] / row["low"])


def test_slopes_and_errors_are_those_of_statsmodels() -> None:
    linear = pytest.importorskip("statsmodels.regression.linear_model")
    weight = np.random.default_rng(3).uniform(0.5, 2.0, N)
    measure, features = survey(sample_weight=weight)
    got = find_drivers(measure, features.drop(columns="breach_a"), adjust=["region"], draws=500)
    b = np.log1p(features["wait_b"])
    x = np.column_stack([
        np.ones(N), np.log1p(features["wait_a"]), (b - b.mean()).fillna(0), features["rework_c"], b.isna(),
        measure.current.frame["region"] == "north",
    ]).astype(float)  # fmt: skip
    for outcome in ("EXP", "EFF", "RSK"):
        y = measure.current.dimension_scores()[outcome].to_numpy()
        w = measure.current.sample_weight
        fit = linear.WLS(y, x, weights=w).fit(cov_type="HC3", use_t=True)
        for name, column in (("wait_a", 1), ("wait_b", 2), ("rework_c", 3)):
            row = at(got, name, outcome)
            assert row["slope"] == pytest.approx(fit.params[column], abs=1e-9)
            assert row["se"] == pytest.approx(fit.bse[column], abs=1e-9)
            assert (row["low"], row["high"]) == pytest.approx(tuple(fit.conf_int()[column]), abs=1e-9)
            assert row["p"] == pytest.approx(fit.pvalues[column], abs=1e-9)
        alone = linear.WLS(y, x[:, :2], weights=w).fit(cov_type="HC3", use_t=True)
        assert at(got, "wait_a", outcome)["unadjusted"] == pytest.approx(alone.params[1], abs=1e-9)


def test_vif_is_that_of_statsmodels() -> None:
    influence = pytest.importorskip("statsmodels.stats.outliers_influence")
    x = np.random.default_rng(1).standard_normal((80, 4))
    x[:, 3] += x[:, 0]
    expected = [influence.variance_inflation_factor(np.column_stack([np.ones(80), x]), j) for j in range(1, 5)]
    assert inflation(x) == pytest.approx(expected)


def test_shares_are_those_of_statsmodels() -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    assert wilson(7, 40, 0.95)[1:] == pytest.approx(proportion.proportion_confint(7, 40, method="wilson"))
    expected = proportion.confint_proportions_2indep(7, 40, 12, 35, method="newcomb", compare="diff", correction=False)
    assert newcombe(wilson(7, 40, 0.95), wilson(12, 35, 0.95))[1:] == pytest.approx(expected)


def test_joint_bounds_of_independent_statistics_are_those_of_the_studentised_maximum() -> None:
    critical, p = jointly(np.eye(5), np.array([0.0, 1, 2, 3, 4]), 10**6, 0.95, 200_000, np.random.default_rng(1))
    assert critical == pytest.approx(stats.norm.ppf((1 + 0.95**0.2) / 2), abs=0.02)
    assert p == pytest.approx(1 - (1 - 2 * stats.norm.sf([0.0, 1, 2, 3, 4])) ** 5, abs=0.01)


def test_joint_bounds_are_wider_and_agree_with_the_adjusted_p(found: Drivers) -> None:
    table = found.effects
    assert (table["joint_low"] <= table["low"]).all()
    assert (table["joint_high"] >= table["high"]).all()
    assert (table["p_joint"] >= table["p"]).all()
    assert (table["drives"] == (table["p_joint"] < 0.05)).all()


def test_a_breach_stands_in_the_place_of_its_wait(found: Drivers) -> None:
    assert found.features["instead_of"].to_dict() == {"wait_a": "", "wait_b": "", "rework_c": "", "breach_a": "wait_a"}
    assert "breach_a: a regression of its own, in place of wait_a" in found.notes
    assert at(found, "breach_a", "EFF")["joint_high"] < 0


def test_steps_not_reached_are_no_waits_of_zero(found: Drivers) -> None:
    features_: Any = found.features
    assert features_.loc["wait_b", "absent"] > 40
    assert found.n == N
    _, features = survey()
    measure, _ = survey()
    few = features.assign(wait_b=features["wait_b"].fillna(30.0).where(np.arange(N) >= 4))
    left = find_drivers(measure, few, draws=200)
    assert left.n == N - 4
    assert left.joined.loc["cases left out: a feature is unknown", "count"] == 4


def test_index_points_are_the_weighted_points_of_the_dimensions() -> None:
    measure, features = survey()
    weights = derive_weights(measure, method="given", given={"EXP": 0.2, "EFF": 0.5, "RSK": 0.3})
    got = find_drivers(measure, features, weights=weights, limits={"wait_a": LIMIT}, draws=500)
    for feature in ("wait_a", "wait_b", "rework_c"):
        own = sum(w * at(got, feature, d)["slope"] for d, w in (("EXP", 0.2), ("EFF", 0.5), ("RSK", 0.3)))
        assert at(got, feature, "overall")["slope"] == pytest.approx(own)
    worth = got.worth[got.worth["feature"] == "wait_a"].set_index("outcome")["change"]
    assert worth["overall"] == pytest.approx(0.2 * worth["EXP"] + 0.5 * worth["EFF"] + 0.3 * worth["RSK"])


def test_worth_is_slope_times_mean_cut_and_never_beyond_the_data(found: Drivers) -> None:
    _, features = survey()
    wait = features["wait_a"]
    worths = found.worth[found.worth["feature"] == "wait_a"]
    table: Any = worths[worths["outcome"] == "EFF"].set_index("limit")
    cut = (np.log1p(np.minimum(wait, LIMIT)) - np.log1p(wait)).mean()
    assert table.loc[LIMIT, "change"] == pytest.approx(at(found, "wait_a", "EFF")["slope"] * cut)
    assert 0 < table.loc[80.0, "low"] < table.loc[80.0, "change"] < table.loc[LIMIT, "change"]
    assert table.loc[LIMIT, "above"] == (wait > LIMIT).sum()
    assert table.loc[1.0, ["change", "low", "high"]].isna().all()
    assert table.loc[1.0, "reason"] == ("fewer than 10 cases within the limit: nothing is known about such cases")


def test_a_limit_that_hardly_anybody_exceeds_is_worth_nothing_that_could_be_said() -> None:
    measure, features = survey()
    got = find_drivers(measure, features, limits={"wait_a": float(features["wait_a"].max())}, draws=200)
    assert set(got.worth.query("limit > 0")["reason"]) == {"fewer than 10 cases beyond the limit"}


def test_fast_on_paper_and_felt_slow(found: Drivers) -> None:
    measure, features = survey()
    score = measure.current.dimension_scores()["EFF"].to_numpy()
    kept = features["breach_a"].to_numpy() == 0
    table: Any = found.paper[found.paper["outcome"] == "EFF"].set_index(["group", "value"])
    row = table.loc[("all", "all")]
    assert row["kept"] == kept.sum()
    assert row["breached"] == (~kept).sum()
    assert row["felt_slow"] == pytest.approx((score[kept] < 50 - 1e-9).mean())
    assert row["felt_fast"] == pytest.approx((score[~kept] > 50 - 1e-9).mean())
    assert row["difference"] == pytest.approx(1 - row["felt_fast"] - row["felt_slow"])
    assert row["difference_low"] > 0
    north = table.loc[("region", "north")]
    own = kept & (measure.current.frame["region"] == "north").to_numpy()
    assert north["felt_slow"] == pytest.approx((score[own] < 50 - 1e-9).mean())


def test_small_groups_are_withheld_and_so_is_what_would_give_them_away() -> None:
    measure, features = survey()
    frame = measure.responses.frame.assign(region=np.where(np.arange(N) < 12, "north", "south"))
    got = find_drivers(measured(frame), features, draws=200)
    rows = got.paper[got.paper["group"] == "region"]
    assert rows[["felt_slow", "felt_fast", "difference"]].isna().all().all()
    assert set(rows["reason"]) == {"kept: too few; breached: too few", "kept: secondary; breached: secondary"}


def test_any_rule_is_kept_only_where_all_are_known_to_be() -> None:
    measure, features = survey()
    second = pd.Series(np.where(np.arange(N) % 3 == 0, np.nan, (np.arange(N) % 5 == 0) * 1.0), features.index)
    got = find_drivers(measure, features.assign(breach_b=second), draws=200)
    row = got.paper[(got.paper["rule"] == "any") & (got.paper["group"] == "all")].iloc[0]
    first = features["breach_a"] == 1
    assert row["breached"] == (first | (second == 1)).sum()
    assert row["kept"] == (~first & (second == 0)).sum()


def test_doses_are_means_by_fourths_of_the_cases(found: Drivers) -> None:
    measure, features = survey()
    score = measure.current.dimension_scores()["EFF"].to_numpy()
    table = found.doses[(found.doses["feature"] == "wait_a") & (found.doses["outcome"] == "EFF")]
    fourth = pd.qcut(features["wait_a"], 4, labels=False).to_numpy()
    assert table["mean"].tolist() == pytest.approx([score[fourth == k].mean() for k in range(4)])
    assert table["mean"].is_monotonic_decreasing
    assert (table["n"] == N // 4).all()
    first = score[fourth == 0]
    bounds = stats.t.interval(0.95, len(first) - 1, first.mean(), stats.sem(first))
    assert (table["low"].iloc[0], table["high"].iloc[0]) == pytest.approx(bounds)


@pytest.mark.parametrize("transform", ["log1p", "rank", "linear"])
def test_every_scale_finds_the_driver(transform: str) -> None:
    measure, features = survey()
    got = find_drivers(measure, features, transform=transform, limits={"wait_a": LIMIT}, draws=500)
    assert at(got, "wait_a", "EFF")["joint_high"] < 0
    assert at(got, "wait_a", "EFF")["beta"] == pytest.approx(-0.6, abs=0.15)
    assert got.features.loc[["wait_a", "rework_c"], "scale"].tolist() == [transform, "linear"]
    worth = got.worth[got.worth["outcome"] == "EFF"].iloc[0]
    assert 0 < worth["low"] < worth["change"] < worth["high"]


def test_a_curve_is_noticed() -> None:
    measure, features = survey(400)
    bent = features.assign(wait_a=features["wait_a"] ** 2)
    got = find_drivers(measure, bent[["wait_a"]], transform="linear", draws=500)
    assert at(got, "wait_a", "EFF")["p_curved"] < 0.001
    assert "wait_a on EFF: a curve fits better than the line" in got.notes


def test_what_is_answered_twice_counts_once() -> None:
    measure, features = survey()
    once = measure.responses.frame
    more = pd.concat([once, once.iloc[:7].assign(respondent=[f"again{i}" for i in range(7)])], ignore_index=True)
    got = find_drivers(measured(more), features, draws=200)
    expected = find_drivers(measure, features, draws=200)
    assert got.joined.loc["cases answered more than once", "count"] == 7
    assert got.effects["slope"].tolist() == pytest.approx(expected.effects["slope"].tolist())


def test_what_was_not_joined_is_counted() -> None:
    measure, features = survey()
    frame = measure.responses.frame.copy()
    frame.loc[:4, "case_id"] = None
    strange = pd.DataFrame(features.iloc[:3].to_numpy(), index=["x", "y", "z"], columns=features.columns)
    got = find_drivers(measured(frame), pd.concat([features.iloc[:-6], strange]), draws=200)
    assert got.joined["count"].to_dict() == {
        "answers": N,
        "answers without case_id": 5,
        "answers whose case has no features": 6,
        "answers joined": N - 11,
        "cases joined": N - 11,
        "cases answered more than once": 0,
        "cases with features but no answer": 8,
        "cases left out: a feature is unknown": 0,
    }


def test_features_that_say_nothing_or_the_same_are_left_out_and_named() -> None:
    measure, features = survey()
    rng = np.random.default_rng(2)
    more = features.assign(
        rework_same=features["rework_c"] + (np.arange(N) < 3),
        rework_none=0.0,
        breach_seldom=(np.arange(N) < 6).astype(float),
        wait_rare=pd.Series(rng.uniform(1, 9, N), features.index).where(np.arange(N) < 5),
    )
    got = find_drivers(measure, more, draws=200)
    assert got.features["reason"][lambda r: r != ""].to_dict() == {
        "rework_same": "nearly the same as other features together",
        "rework_none": "the same for all cases",
        "breach_seldom": "fewer than 10 cases differ from the others",
        "wait_rare": "fewer than 10 cases have it",
    }
    assert "rework_none: not used, the same for all cases" in got.notes
    limited = find_drivers(measure, more, limits={"wait_rare": 3.0}, draws=200)
    assert set(limited.worth.query("limit > 0")["reason"]) == {"not in the regression: fewer than 10 cases have it"}


def test_result_survives_json(found: Drivers) -> None:
    text = json.dumps(found.to_json())
    again = decode(json.loads(text))
    assert isinstance(again, Drivers)
    assert json.dumps(again.to_json()) == text
    assert repr(again) == repr(found)
    assert again.found.equals(found.found)


def test_same_seed_same_result() -> None:
    measure, features = survey()
    first, second = (find_drivers(measure, features, limits={"wait_a": LIMIT}, draws=300, rng=4) for _ in range(2))
    assert json.dumps(first.to_json()) == json.dumps(second.to_json())


@settings(max_examples=15, deadline=None)
@given(st.permutations(["wait_a", "wait_b", "rework_c", "breach_a"]), st.integers(0, 5))
def test_order_of_features_and_cases_does_not_matter(names: list[str], seed: int) -> None:
    measure, features = survey(120)
    shuffled = features[names].sample(frac=1, random_state=seed)
    first, second = (find_drivers(measure, f, draws=50).effects for f in (features, shuffled))
    key = ["feature", "outcome"]
    columns = ["slope", "se", "unadjusted", "beta"]
    left, right = (f.sort_values(key)[columns].to_numpy() for f in (first, second))
    np.testing.assert_allclose(left, right, atol=1e-8)


def test_columns_that_follow_from_others_are_known() -> None:
    x = np.random.default_rng(1).standard_normal((50, 3))
    block = np.column_stack([x, x[:, 0] + x[:, 1], np.full(50, 3.0)])
    assert independent(block).tolist() == [True, True, True, False, False]
    close = np.column_stack([x, x[:, 0] + 1e-3 * x[:, 2]])
    assert separable(close).tolist() == [True, True, True, False]


def steps() -> pd.DataFrame:
    done = pd.Timestamp("2026-07-01", tz="UTC")
    return pd.DataFrame(
        [
            ("a", "review", 5.0, 0, done), ("a", "review", 2.0, 1, done), ("a", "signing", 7.0, 0, done),
            ("b", "review", 3.0, 0, done), ("b", "signing", np.nan, 0, pd.NaT), ("c", "review", np.nan, 0, pd.NaT),
        ],
        columns=["case_id", "step", "waiting_hours", "repeat", "completed"],
    )  # fmt: skip


def test_features_of_steps() -> None:
    frame: Any = driver_features(steps())
    assert frame.loc["a"].to_dict() == {"wait_review": 7.0, "wait_signing": 7.0, "rework_review": 1.0}
    assert frame.loc["b", "wait_review"] == 3.0
    assert np.isnan(frame.loc["b", "wait_signing"])
    assert frame.loc["c"].isna().tolist() == [True, True, False]
    assert list(driver_features(steps(), only=["signing"])) == ["wait_signing"]


def test_features_of_breaches_know_what_is_not_decided() -> None:
    standards = pytest.importorskip("sqmodel.operations.standards")
    rules = [{"code": "fast", "step": "review", "limit": 4, "unit": "hours"},
             {"code": "all", "begin": "", "finish": ["signing/complete"], "limit": 9, "unit": "hours"}]  # fmt: skip
    standard = standards.ServiceStandard.model_validate({"name": "s", "rules": rules})
    breaches = pd.DataFrame({"case_id": ["a", "c"], "rule": ["fast", "all"]})
    frame: Any = driver_features(steps(), breaches, standard=standard)
    assert frame["breach_fast"].tolist()[:2] == [1.0, 0.0]
    assert np.isnan(frame["breach_fast"]["c"])
    assert frame["breach_all"].tolist()[::2] == [0.0, 1.0]
    assert np.isnan(frame["breach_all"]["b"])
    assert driver_features(steps(), breaches)["breach_fast"].tolist() == [1.0, 0.0, 0.0]


def test_features_of_wrong_frames() -> None:
    with pytest.raises(OperationsError) as caught:
        driver_features(steps().drop(columns="repeat"), pd.DataFrame({"case": ["a"]}))
    assert str(caught.value) == (
        "driver_features: 3 problems\n"
        "  - steps: expected a column 'repeat', found case_id, step, waiting_hours, completed\n"
        "  - breaches: expected a column 'case_id', found case\n"
        "  - breaches: expected a column 'rule', found case\n"
        "  What to do: give the frames of EventLog.steps() and of Compliance"
    )
    with pytest.raises(OperationsError) as caught:
        driver_features(steps(), only=["review", "prayer"])
    assert str(caught.value).splitlines()[1] == "  - only: expected steps that happened, found others: prayer"


def test_answers_without_case_ids() -> None:
    _, features = survey()
    with pytest.raises(OperationsError) as caught:
        find_drivers(measured(quarter(N, 1)), features)
    assert str(caught.value) == (
        "find_drivers: 1 problem\n  - answers: expected a column case_id that names the cases, found none" + WHAT_TO_DO
    )


def test_no_case_joined() -> None:
    measure, features = survey(30)
    with pytest.raises(OperationsError) as caught:
        find_drivers(measure, features.set_axis([f"LOAN-{k}" for k in range(30)]))
    assert str(caught.value) == (
        "find_drivers: 2 problems\n"
        "  - answers: no case_id is among the features, found: c0, c1, c10, c11, c12 and 25 more\n"
        "  - features: expected the cases of the answers, found: LOAN-0, LOAN-1, LOAN-2, LOAN-3, LOAN-4 and 25 more\n"
        "  What to do: check that both name cases in the same way"
    )


def test_all_problems_at_once() -> None:
    measure, features = survey(30)
    wrong = features.assign(wait_b=-1.0, rework_c=np.inf, note="x")
    wrong = pd.concat([wrong, wrong.iloc[:2]])
    with pytest.raises(OperationsError) as caught:
        find_drivers(measure, wrong, transform="log", adjust=["colour"], limits={"wait_z": 5, "wait_a": [0, "x"]},
                     level=95, middle=-1)  # fmt: skip
    cases_ = ", ".join(f"c{k}" for k in range(5))
    assert str(caught.value) == (
        "find_drivers: 11 problems\n"
        "  - features: expected one row a case, found several: c0, c1\n"
        f"  - features: wait_b: expected hours of 0 or more, found others in cases: {cases_} and 27 more\n"
        f"  - features: rework_c: expected finite numbers, found others in cases: {cases_} and 27 more\n"
        f"  - features: note: expected numbers, found {wrong['note'].dtype}\n"
        "  - transform: expected one of log1p, rank, linear, found 'log'\n"
        "  - adjust: expected grouping variables of the answers (region, branch), found 'colour'\n"
        "  - limits: expected waits among the features, found 'wait_z'\n"
        "  - limits: wait_a: expected hours above 0, found 0\n"
        "  - limits: wait_a: expected hours above 0, found 'x'\n"
        "  - level: expected a number between 0 and 1, found 95\n"
        "  - middle: expected a number between 0 and 100, found -1" + WHAT_TO_DO
    )


def test_constant_features() -> None:
    measure, features = survey(60)
    with pytest.raises(ComputationError) as caught:
        find_drivers(measure, features[[]].assign(wait_a=5.0, breach_a=0))
    assert str(caught.value) == (
        "small 2026Q3: expected a feature whose effect can be estimated over the 60 cases joined, found none: "
        "wait_a: the same for all cases; breach_a: the same for all cases"
    )


def test_too_few_cases() -> None:
    measure, features = survey(11)
    with pytest.raises(ComputationError) as caught:
        find_drivers(measure, features[["wait_a", "rework_c"]])
    assert str(caught.value) == (
        "small 2026Q3: expected a feature whose effect can be estimated over the 11 cases joined, found none: "
        "wait_a: 2 columns want 12 cases with answers, there are EXP (11), EFF (11), RSK (11), overall (11); "
        "rework_c: fewer than 10 cases differ from the others"
    )


def test_the_demonstration_study_shows_what_was_planted(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    from sqmodel.measurement.measure import qualify
    from sqmodel.operations.events import read_events
    from sqmodel.operations.process import load_process
    from sqmodel.operations.simulate import demo_operations
    from sqmodel.survey.instrument import load_instrument
    from sqmodel.survey.readers import read_responses
    from sqmodel.survey.simulate import demo_study

    demo_study(tmp_path)
    demo_operations(tmp_path)
    told = {}
    for line in ("project_finance", "corporate_lending"):
        log = read_events(tmp_path / f"{line}.events.csv", process=load_process("lending_process"))
        answers = read_responses(tmp_path / f"{line}.csv", load_instrument("lending_service"))
        got = find_drivers(qualify(answers, quarter="2026Q3"), driver_features(log.steps()), draws=4000)
        told[line] = set(zip(got.found["feature"], got.found["outcome"], strict=True))
    assert told == {"project_finance": {("wait_credit_approval", "EFF"), ("rework_documents", "EXP")},
                    "corporate_lending": set()}  # fmt: skip
