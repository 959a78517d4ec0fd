"""Grades and alerts: published figures, cases by hand, laws, bad input told whole, and nothing seen in advance."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import brier_score_loss, roc_auc_score
from statsmodels.duration.survfunc import SurvfuncRight

from sqmodel.errors import ComputationError, OperationsError
from sqmodel.numerics.discrimination import auc, ks
from sqmodel.numerics.probabilities import brier_parts, calibration_line
from sqmodel.numerics.proportions import divergence, holm, jeffreys_interval, median_interval, wilson_interval
from sqmodel.numerics.waiting import chance_within, detectable_lift, kaplan_meier
from sqmodel.operations.early_warning import (
    AlertAssessment,
    GradeAssessment,
    assess_alerts,
    assess_grades,
    read_alerts,
    read_exposures,
)
from tests.benchmarks.truth.early_warning import graded, trials_of_alerts, trials_of_grades, warned
from tests.oracles import shared

MIXES = (np.full(6, 1 / 6), np.full(6, 1 / 6))


def loans(*events: str | None, **columns: Any) -> pd.DataFrame:
    """Loans granted on 1 January 2024 and watched for two years; an event's date or None each."""
    frame = pd.DataFrame({
        "loan_id": [chr(97 + i) for i in range(len(events))], "grade": "A", "granted": "2024-01-01T00:00:00Z",
        "observed_until": "2026-01-01T00:00:00Z", "event": [e and f"{e}T00:00:00Z" for e in events],
    })  # fmt: skip
    return frame.assign(**columns)


def alerts(*given: tuple[str, str, str]) -> pd.DataFrame:
    return pd.DataFrame([(a, b, f"{c}T00:00:00Z") for a, b, c in given], columns=["loan_id", "rule", "at"])


def sba() -> pd.DataFrame:
    """The test set of the SBA case with the probabilities of its five-variable model, which the training set gave."""
    import statsmodels.api as sm

    data = pd.read_csv(shared("data", "sba_case", "sba_case.csv.gz"))
    names = ["New", "RealEstate", "DisbursementGross", "Portion", "Recession"]
    train, test = data[data["Selected"] == 1], data[data["Selected"] == 0]
    model = sm.Logit(train["Default"], sm.add_constant(train[names])).fit(disp=0, method="newton", tol=1e-12)
    granted = pd.to_datetime(test["ApprovalDate_iso"], utc=True)
    event = pd.to_datetime(test["ChgOffDate_iso"], utc=True).where(test["Default"] == 1)
    return pd.DataFrame({"loan_id": test["LoanNr_ChkDgt"].astype(str), "granted": granted, "event": event,
                         "probability": model.predict(sm.add_constant(test[names])),
                         "observed_until": pd.Timestamp("2015-01-01", tz="UTC")})  # fmt: skip


def test_sba_case_as_r_has_it() -> None:
    reference = json.loads(Path(shared("data", "sba_case", "reference.json")).read_text(encoding="utf-8"))
    result = assess_grades(sba(), draws=200)
    found = result.discrimination.set_index("statistic")["estimate"]
    assert found["auc"] == pytest.approx(reference["test_auc_5"], abs=1e-6)
    assert found["ks"] == pytest.approx(reference["test_ks_5"], abs=1e-6)
    assert result.calibration["estimate"]["brier"] == pytest.approx(reference["test_brier_5"], abs=1e-6)
    assert (result.n, result.events) == (1050, 355)
    bounds = result.discrimination.set_index("statistic").loc["auc", ["low", "high"]]
    assert bounds.tolist() == pytest.approx([0.6986, 0.7583], abs=1e-4)


def test_information_value_of_german_credit() -> None:
    oracle = json.loads(Path(shared("oracles", "index_and_operations.json")).read_text(encoding="utf-8"))
    counts = oracle["inputs"]["german_credit_checking_counts"]
    distance, parts, filled = divergence(counts["good"], counts["bad"])
    assert distance.value == pytest.approx(oracle["german_credit_IV_checking"], abs=1e-7)
    assert parts.sum() == pytest.approx(distance.value)
    assert not filled
    assert distance.low < distance.value < distance.high


def test_information_value_reaches_the_grades() -> None:
    good, bad = [139, 164, 49, 348], [135, 105, 14, 46]
    grade = np.repeat(list("ABCD") * 2, good + bad)
    event = np.repeat([None, "2024-06-01T00:00:00Z"], [sum(good), sum(bad)])
    frame = pd.DataFrame({"loan_id": np.arange(1000).astype(str), "grade": grade, "granted": "2024-01-01T00:00:00Z",
                          "observed_until": "2026-01-01T00:00:00Z", "event": event})  # fmt: skip
    result = assess_grades(frame, horizon=365)
    row = result.discrimination.set_index("statistic").loc["information_value"]
    assert row["estimate"] == pytest.approx(0.6660115, abs=1e-7)
    assert result.grades["information"].sum() == pytest.approx(0.6660115, abs=1e-7)
    assert result.grades["verdict"].tolist() == [""] * 4


def test_area_is_that_of_scikit_learn_and_delongs_error_that_of_placements() -> None:
    rng = np.random.default_rng(1)
    y = rng.random(200) < 0.3
    x = np.round(rng.standard_normal(200) + y, 1)
    area = auc(x, y)
    assert area.estimate == pytest.approx(roc_auc_score(y, x))
    wins = (x[y][:, None] > x[~y]) + 0.5 * (x[y][:, None] == x[~y])
    m, n = wins.shape
    by_hand = wins.mean(axis=1).var(ddof=1) / m + wins.mean(axis=0).var(ddof=1) / n
    assert area.se == pytest.approx(by_hand**0.5)


def test_area_of_a_perfect_score_has_an_interval() -> None:
    area = auc([1, 2, 3, 4, 5, 6], [False] * 3 + [True] * 3)
    assert (area.estimate, area.high, area.method) == (1.0, 1.0, "Newcombe's score method 5")
    assert 0.4 < area.low < 0.8


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=4, max_size=60), st.sampled_from([1.0, -1.0]))
def test_area_of_the_opposite_score_is_the_complement(pairs: list[tuple[int, bool]], sign: float) -> None:
    x, y = np.array([p[0] for p in pairs], float), np.array([p[1] for p in pairs])
    if y.all() or not y.any():
        return
    area, other = auc(sign * x, y), auc(-sign * x, y)
    assert area.estimate == pytest.approx(1 - other.estimate)
    assert 0 <= area.low <= area.estimate <= area.high <= 1
    assert area.low == pytest.approx(1 - other.high, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=8), st.lists(st.integers(0, 40), min_size=8, max_size=8))
def test_divergence_is_symmetric_never_negative_and_zero_for_equal_shares(first: list[int], second: list[int]) -> None:
    second = second[: len(first)]
    one, other = divergence(first, second)[0], divergence(second, first)[0]
    same = divergence(first, [2 * c for c in first])[0]
    np.testing.assert_allclose(one.value, other.value)
    assert np.isnan(one.value) or one.value >= 0
    assert np.isnan(same.value) or same.value == pytest.approx(0)


def test_ks_is_the_largest_gap_and_its_interval_lies_below_it() -> None:
    rng = np.random.default_rng(3)
    y = np.arange(300) < 100
    x = rng.standard_normal(300) + y
    value, _, low, high, bias = ks(x, y, rng=1)
    gaps = [(x[~y] <= v).mean() - (x[y] <= v).mean() for v in x]
    assert value == pytest.approx(max(gaps))
    assert bias > 0
    assert low < value - bias < high


def test_brier_parts_add_up_and_are_murphys() -> None:
    rng = np.random.default_rng(4)
    group = rng.integers(0, 5, 400)
    p = np.linspace(0.1, 0.7, 5)[group]
    y = (rng.random(400) < p).astype(float)
    parts = brier_parts(p, y, group)
    assert parts.score == pytest.approx(brier_score_loss(y, p))
    assert parts.score == pytest.approx(parts.reliability.value - parts.resolution.value + parts.uncertainty)
    assert parts.within == pytest.approx(0, abs=1e-12)


def test_calibration_line_is_that_of_statsmodels() -> None:
    import statsmodels.api as sm

    rng = np.random.default_rng(5)
    logit = rng.normal(-1, 1, 500)
    y = (rng.random(500) < 1 / (1 + np.exp(-(0.4 + 0.7 * logit)))).astype(float)
    intercept, slope = calibration_line(1 / (1 + np.exp(-logit)), y)
    model = sm.GLM(y, sm.add_constant(logit), family=sm.families.Binomial()).fit(tol=1e-12)
    alone = sm.GLM(y, np.ones(500), family=sm.families.Binomial(), offset=logit).fit(tol=1e-12)
    assert slope.estimate == pytest.approx(model.params[1], abs=1e-7)
    assert slope.se == pytest.approx(model.bse[1], rel=1e-5)
    assert intercept.estimate == pytest.approx(alone.params[0], abs=1e-7)
    fixed = sm.GLM(y, np.ones(500), family=sm.families.Binomial(), offset=slope.low * logit).fit(tol=1e-12)
    assert 2 * (model.llf - fixed.llf) == pytest.approx(3.841459, abs=1e-4)


def test_separated_events_have_no_slope() -> None:
    _, slope = calibration_line([0.1, 0.2, 0.8, 0.9], [0, 0, 1, 1])
    assert np.isnan([slope.estimate, slope.low, slope.high]).all()


def test_intervals_of_shares_are_those_of_statsmodels() -> None:
    from statsmodels.stats.proportion import proportion_confint

    assert wilson_interval(7 / 40, 40) == pytest.approx(proportion_confint(7, 40, method="wilson"))
    assert jeffreys_interval(7, 40) == pytest.approx(proportion_confint(7, 40, method="jeffreys"))


def test_median_of_what_never_happened_is_infinite() -> None:
    middle, low, high = median_interval([1.0, 2, 3, *[np.inf] * 7])
    assert (middle, high) == (np.inf, np.inf)
    assert low < 4 or low == np.inf
    assert np.isnan(median_interval([1.0, 2, 3])[1])


def test_holm_is_that_of_statsmodels() -> None:
    from statsmodels.stats.multitest import multipletests

    p = np.array([0.04, 0.001, 0.03, 0.5])
    np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    assert np.isnan(holm([0.1, np.nan])[1])


def test_kaplan_meier_is_that_of_statsmodels_with_late_entry() -> None:
    rng = np.random.default_rng(6)
    t = np.round(rng.exponential(5, 80), 1) + 0.1
    d = rng.random(80) < 0.6
    entry = np.minimum(rng.uniform(0, 3, 80) * (rng.random(80) < 0.5), t - 0.05)
    # A few early cases keep the risk set from running out.
    entry[:10] = 0
    curve = kaplan_meier(t, d, entry)
    # statsmodels takes an entry at the very beginning as already at risk.
    peer = SurvfuncRight(t, d.astype(int), entry=entry)
    np.testing.assert_allclose(curve.survival, peer.surv_prob[np.isin(peer.surv_times, curve.times)])


def test_chance_within_a_horizon_has_greenwoods_error() -> None:
    rng = np.random.default_rng(7)
    t, d = rng.exponential(5, 200), rng.random(200) < 0.7
    found = chance_within(t, d, np.zeros(1), 3.0)
    peer = SurvfuncRight(t, d.astype(int))
    place = int((peer.surv_times <= 3).sum()) - 1
    assert found.value == pytest.approx(1 - peer.surv_prob[place])
    assert np.sqrt((found.influence**2).sum()) == pytest.approx(peer.surv_prob_se[place], rel=0.01)


def test_without_censoring_the_chance_is_the_share() -> None:
    found = chance_within([1, 2, 3, 4, 9.0], [True] * 5, np.zeros(1), 3.0)
    assert found.value == pytest.approx(0.6)
    assert (found.influence**2).sum() == pytest.approx(0.6 * 0.4 / 5)
    assert np.isnan(detectable_lift(0.5, 3))


def test_loans_not_watched_for_the_horizon_are_left_out_and_counted() -> None:
    frame = loans("2024-06-01", None, "2025-12-01", None, "2024-03-01", probability=[0.5, 0.1, 0.2, 0.3, 0.6])
    frame.loc[3, "observed_until"] = "2024-07-01T00:00:00Z"
    frame.loc[4, ["granted", "event"]] = ["2025-10-01T00:00:00Z", "2025-11-01T00:00:00Z"]
    result = assess_grades(frame, horizon=365)
    assert (result.n, result.events) == (3, 1)
    assert result.left_out["n"].tolist() == [1, 1, 0, 0]


def test_a_record_that_ends_with_its_event_is_taken_as_watched_to_the_end_of_the_records() -> None:
    frame = loans("2024-06-01", None, None, probability=[0.5, 0.1, 0.2])
    frame.loc[0, "observed_until"] = frame.loc[0, "event"]
    assert assess_grades(frame, horizon=365).n == 3


def test_grades_in_a_given_order_and_the_reverse() -> None:
    frame = graded(400, 1.0, 0.0, np.random.default_rng(2), MIXES).drop(columns="probability")
    right = assess_grades(frame, horizon=365, order="ABCDEF").discrimination.set_index("statistic")["estimate"]
    wrong = assess_grades(frame, horizon=365, order="FEDCBA").discrimination.set_index("statistic")["estimate"]
    assert right["auc"] == pytest.approx(1 - wrong["auc"])
    assert right["information_value"] == pytest.approx(wrong["information_value"])


def test_a_stable_portfolio_is_within_noise_and_a_moved_one_is_not() -> None:
    rng = np.random.default_rng(8)
    stable = assess_grades(graded(2000, 1.0, 0.0, rng, MIXES), horizon=365).stability
    moved = assess_grades(
        graded(2000, 1.0, 0.0, rng, (MIXES[0], np.array([0.3, 0.25, 0.15, 0.1, 0.1, 0.1]))), horizon=365
    ).stability
    assert stable["verdict"].tolist() == ["within noise"] * 2
    assert moved["verdict"].tolist() == ["changed"] * 2
    assert (stable["psi"] < 0.1).all()
    assert (stable["noise"] > 0).all()


def test_results_come_back_from_json() -> None:
    rng = np.random.default_rng(9)
    grades = assess_grades(graded(300, 1.0, 0.0, rng, MIXES), horizon=365)
    judged = assess_alerts(*warned(300, rng), horizon=180)
    for result, kind in ((grades, GradeAssessment), (judged, AlertAssessment)):
        again = kind.from_json(json.loads(json.dumps(result.to_json())))
        assert repr(again) == repr(result)
        for name, table in result.tables().items():
            np.testing.assert_array_equal(again.tables()[name].shape, table.shape)


def test_alerts_by_hand() -> None:
    """a: right, 30 days before; b: at the event; c: after it; d: false; e: not watched to the end; f: too early."""
    frame = loans("2024-06-01", "2024-06-01", "2024-06-01", None, None, "2025-06-01")
    given = alerts(("a", "r", "2024-05-02"), ("b", "r", "2024-06-01"), ("c", "r", "2024-07-01"),
                   ("d", "r", "2024-05-02"), ("e", "r", "2025-12-01"), ("f", "r", "2024-05-02"))  # fmt: skip
    result = assess_alerts(frame, given, horizon=90)
    row = result.rules.loc["r"]
    assert row[["alerts", "loans", "hits", "false", "censored", "caught"]].tolist() == [4, 4, 1, 2, 1, 1]
    assert row["precision"] == pytest.approx(0.25)
    assert row["recall"] == pytest.approx(1 / 4)
    assert row["lead_days"] == pytest.approx(30)
    assert row["per_1000"] == pytest.approx(4000 / 6)
    assert row["verdict"] == "too few"
    assert result.left_out.to_dict("records") == [{"rule": "r", "reason": "at or after the event", "n": 2}]


def test_repeated_alerts_load_but_do_not_count_again() -> None:
    frame = loans("2024-06-01", None, None)
    given = alerts(
        ("a", "r", "2024-05-02"), ("a", "r", "2024-05-12"), ("b", "r", "2024-05-02"), ("b", "r", "2024-05-02")
    )
    row = assess_alerts(frame, given, horizon=90).rules.loc["r"]
    assert row[["alerts", "loans", "hits", "false"]].tolist() == [3, 2, 1, 1]
    assert row["lead_days"] == pytest.approx(30)


def test_nothing_that_happens_later_changes_what_an_alert_was_worth() -> None:
    """No look-ahead: alerts after the event, and events after the horizon, leave precision and recall as they are."""
    rng = np.random.default_rng(10)
    frame, given = warned(500, rng)
    late = frame[frame["event"].notna()].head(40)
    more = pd.DataFrame({"loan_id": late["loan_id"], "rule": "good", "at": late["event"] + pd.Timedelta(days=1)})
    columns = ["precision", "recall", "lift", "alerts"]
    before = assess_alerts(frame, given, horizon=180, draws=50).rules.loc["good", columns]
    after = assess_alerts(frame, pd.concat([given, more]), horizon=180, draws=50).rules.loc["good", columns]
    assert before.tolist() == after.tolist()


def test_censored_alerts_are_neither_dropped_nor_false() -> None:
    """Alerts two days before the end of observation would, if false, halve the precision."""
    frame, given = warned(3000, np.random.default_rng(11))
    quiet = frame[frame["event"].isna() & ~frame["loan_id"].isin(given["loan_id"])]
    late = quiet["observed_until"] - pd.Timedelta(days=2)
    more = pd.DataFrame({"loan_id": quiet["loan_id"], "rule": "good", "at": late})
    plain = assess_alerts(frame, given, horizon=180, draws=50).rules.loc["good"]
    censored = assess_alerts(frame, pd.concat([given, more]), horizon=180, draws=50).rules.loc["good"]
    assert censored["censored"] > 1000
    assert censored["precision"] == pytest.approx(plain["precision"], rel=0.1)


def test_the_planted_useless_rule_is_found_among_many() -> None:
    frame, given = warned(2000, np.random.default_rng(12))
    result = assess_alerts(frame, given, horizon=180)
    assert result.useless == ("useless",)
    row = result.rules.loc["useless"]
    assert row["lift_low"] < 1 < row["lift_high"]
    assert result.rules.loc["good", "verdict"] == "useful"


def test_rules_that_began_later_are_judged_from_then_on() -> None:
    frame = loans("2024-06-01", "2025-06-01", None)
    given = alerts(("b", "r", "2025-05-02"), ("c", "r", "2024-05-02"))
    row = assess_alerts(frame, given, horizon=90, since="2025-01-01").rules.loc["r"]
    assert row[["alerts", "hits", "recall"]].tolist() == [1, 1, 1]


def test_truth_within_monte_carlo_error() -> None:
    """A few repetitions of the benchmark: no interval misses by far."""
    for trial in [*trials_of_grades(60, 3), *trials_of_alerts(40, 3)]:
        assert trial.share > 0.8, trial.what


def test_bad_exposures_are_told_at_once() -> None:
    frame = loans("2023-06-01", None, "2027-01-01", None, None, probability=[0.1, 1.2, 0.3, 0.2, -0.5])
    frame.loc[3, "observed_until"] = "2023-01-01T00:00:00Z"
    frame.loc[4, "loan_id"] = "b"
    with pytest.raises(OperationsError) as caught:
        assess_grades(frame)
    assert str(caught.value) == (
        "exposures: 5 problems\n"
        "  - expected probabilities from 0 to 1, found others: b (row 1), b (row 4)\n"
        "  - expected every loan once, found it again: b (row 4)\n"
        "  - expected observation to end after the granting, found the reverse: d (row 3)\n"
        "  - expected events after the granting, found them before: a (row 0)\n"
        "  - expected events until the end of observation, found them after it: c (row 2)\n"
        "  What to do: correct the exposures, or leave out the loans that are in doubt"
    )


def test_bad_alerts_are_told_at_once() -> None:
    given = alerts(("a", "r", "2024-05-02"), ("x", "r", "2024-05-02"), ("y", "r", "2024-05-02")).assign(
        rule=["r", None, "r"]
    )
    with pytest.raises(OperationsError) as caught:
        assess_alerts(loans("2024-06-01", None), given, horizon=90)
    assert str(caught.value) == (
        "alerts: 2 problems\n"
        "  - expected alerts of loans among the exposures, found others: x (row 1), y (row 2)\n"
        "  - expected the rule that warned, found none: x (row 1)\n"
        "  What to do: correct the alerts, or add the exposures that they are about"
    )


def test_bad_file_of_exposures_is_told_with_rows_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "L.exposures.csv"
    path.write_text(
        "loan_id,grade,probability,granted,observed_until,event\n"
        "a,A,0.1,2024-01-01T00:00+08:00,2026-01-01T00:00+08:00,\n"
        "b,B,1.5,2024-01-01T00:00+08:00,2026-01-01T00:00+08:00,\n"
        ",B,0.5,soon,2026-01-01T00:00+08:00,\n",
        encoding="utf-8",
    )
    with pytest.raises(OperationsError) as caught:
        read_exposures(path)
    assert "expected a number from 0 to 1" in str(caught.value)
    assert "expected a text, found an empty cell" in str(caught.value)
    assert "soon" in str(caught.value)


def test_exposures_and_alerts_are_read_from_files(tmp_path: Path) -> None:
    frame, given = loans("2024-06-01", None, None, probability=[0.4, 0.2, 0.1]), alerts(("a", "r", "2024-05-02"))
    frame.to_csv(tmp_path / "e.csv", index=False)
    given.to_csv(tmp_path / "a.csv", index=False)
    exposures, warnings = read_exposures(tmp_path / "e.csv"), read_alerts(tmp_path / "a.csv")
    assert assess_alerts(exposures, warnings, horizon=90).rules.loc["r", "hits"] == 1
    assert assess_grades(exposures, horizon=365).n == 3


def test_what_cannot_be_assessed_is_said() -> None:
    with pytest.raises(ComputationError, match="found no loans with events among 2"):
        assess_grades(loans(None, None, probability=0.1))
    with pytest.raises(ComputationError, match="expected loans watched for the whole horizon, found none"):
        assess_grades(loans("2024-06-01", None, probability=0.1), horizon=3000)
    with pytest.raises(OperationsError, match="expected grades among A, B, found others: C"):
        assess_grades(loans("2024-06-01", None, grade=["A", "C"]), order=["A", "B"])
    with pytest.raises(OperationsError, match="expected grades or probabilities, found neither"):
        assess_grades(loans("2024-06-01", None, grade=None))
    with pytest.raises(ValueError, match="expected a horizon of more than 0 days, found 0"):
        assess_alerts(loans("2024-06-01", None), alerts(("a", "r", "2024-05-02")), horizon=0)
    with pytest.raises(OperationsError, match="expected a column 'rule', found 'loan_id', 'at'"):
        assess_alerts(loans(None), alerts(("a", "r", "2024-05-02")).drop(columns="rule"), horizon=9)


def test_an_alert_never_watched_long_enough_has_no_precision() -> None:
    result = assess_alerts(loans("2024-06-01", None), alerts(("b", "r", "2025-12-30")), horizon=90)
    assert np.isnan(result.rules.loc["r", "precision"])
    assert "r: no alert was watched for 90 days, so its precision is not known" in result.notes
