from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.operations.hazards import cox, logrank
from sqmodel.operations.survival import Survival, cumulative_incidence, kaplan_meier
from tests.oracles import shared

# Gehan 1965: remission of leukaemia in weeks, 6-MP against placebo
MP = ([6, 6, 6, 6, 7, 9, 10, 10, 11, 13, 16, 17, 19, 20, 22, 23, 25, 32, 32, 34, 35],
      [1, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0])  # fmt: skip
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
BOTH = (MP[0] + PLACEBO, MP[1] + [1] * 21, ["6mp"] * 21 + ["placebo"] * 21)
# Miller 1997: survival::aml, maintained against not
AML = ([9, 13, 13, 18, 23, 28, 31, 34, 45, 48, 161, 5, 5, 8, 8, 12, 16, 23, 27, 30, 33, 43, 45],
       [1, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1],
       ["maintained"] * 11 + ["not"] * 12)  # fmt: skip


@cache
def oracle() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shared("oracles", "index_and_operations.json").read_text(encoding="utf-8"))
    return found


@cache
def applications() -> pd.DataFrame:
    """BPI Challenge 2012: days from the first event to the decision (or the end of the log), and who decided."""
    events = pd.read_csv(shared("data", "bpic2012", "bpic2012_flat.csv.gz"), usecols=["case", "act", "time:timestamp"])
    events["at"] = pd.to_datetime(events["time:timestamp"], utc=True, format="ISO8601")
    decided = {"A_APPROVED": "lender", "A_DECLINED": "lender", "A_CANCELLED": "client"}
    ends = events[events["act"].isin(list(decided))].sort_values("at").groupby("case").first()
    table = pd.DataFrame({"begin": events.groupby("case")["at"].min()}).join(ends[["at", "act"]])
    table["days"] = (table["at"].fillna(events["at"].max()) - table["begin"]).dt.total_seconds() / 86400
    table["cause"] = table["act"].map(decided).fillna("")
    table["preaccepted"] = table.index.isin(events.loc[events["act"] == "A_PREACCEPTED", "case"])
    return table


def test_6mp_as_published() -> None:
    curve = kaplan_meier(*MP)
    assert curve.curve["survival"].tolist() == pytest.approx(oracle()["km_6mp"], abs=1e-6)
    assert curve.quantile(0.5).value == 23
    assert curve.curve["se"].iloc[-1] == pytest.approx(0.1346, abs=5e-5)
    # R 4.2.2: survfit(Surv(time, status) ~ 1, conf.type = "log-log"): lower .1881, upper .6801 at 23
    assert curve.curve[["low", "high"]].iloc[-1].tolist() == pytest.approx([0.1881, 0.6801], abs=5e-5)
    assert math.isnan(curve.quantile(0.5).high)


def test_log_rank_as_r_has_it() -> None:
    test = logrank(*BOTH)
    assert test.chisq == pytest.approx(oracle()["logrank_6mp"], abs=5e-5)
    assert test.p == pytest.approx(stats.chi2.sf(test.chisq, 1))
    test = logrank(*AML)
    assert [test.chisq, test.p] == pytest.approx(oracle()["logrank_aml"], abs=1e-5)


def test_cox_with_efrons_ties_as_r_has_it() -> None:
    fit = cox(AML[0], AML[1], pd.DataFrame({"x": AML[2]}))  # R: coxph(Surv(time, status) ~ x, aml)
    assert fit.table.loc["x_not", ["coefficient", "se"]].tolist() == pytest.approx([0.9155, 0.5119], abs=5e-5)
    assert fit.table.loc["x_not", ["low", "high"]].tolist() == pytest.approx([0.9159, 6.813], abs=5e-4)
    fit = cox(BOTH[0], BOTH[1], pd.DataFrame({"placebo": np.equal(BOTH[2], "placebo").astype(float)}))
    assert fit.table.loc["placebo", ["coefficient", "se"]].tolist() == pytest.approx([1.5721, 0.4124], abs=5e-5)


@given(st.integers(0, 10_000), st.integers(2, 60))
@settings(max_examples=25, deadline=None)
def test_cox_finds_what_statsmodels_finds(seed: int, distinct: int) -> None:
    from statsmodels.duration.hazard_regression import PHReg

    rng = np.random.default_rng(seed)
    x = rng.normal(size=(80, 2))
    time = np.ceil(rng.exponential(np.exp(-0.5 * x[:, 0])) * distinct)
    event = rng.random(80) < 0.7
    ours = cox(time, event, pd.DataFrame(x * [1, 1000] + [0, 50], columns=["a", "b"])).table
    theirs = PHReg(time, x, event.astype(float), ties="efron").fit(disp=0)
    assert (ours["coefficient"] * [1, 1000]).tolist() == pytest.approx(theirs.params.tolist(), abs=1e-6)
    assert (ours["se"] * [1, 1000]).tolist() == pytest.approx(theirs.bse.tolist(), abs=1e-6)


def test_open_applications_count_until_the_end_of_the_log() -> None:
    known, table = oracle()["bpi2012"], applications()
    pre = table[table["preaccepted"]]
    curve = kaplan_meier(pre["days"], pre["cause"] != "")
    assert (curve.n, curve.events) == (known["preaccepted"]["n"], known["preaccepted"]["events"])
    median = curve.quantile(0.5)
    assert median.value == pytest.approx(known["preaccepted"]["KM_median"], abs=1e-5)
    assert median.low < median.value < median.high
    decided = pre.loc[pre["cause"] != "", "days"]
    assert decided.median() == pytest.approx(known["preaccepted"]["naive_median"], abs=1e-5)
    assert curve.survival(15).item() == pytest.approx(known["preaccepted"]["S15"], abs=1e-5)
    everyone = kaplan_meier(table["days"], table["cause"] != "")
    assert everyone.quantile(0.5).value == pytest.approx(known["KM_median_days_all"], abs=1e-6)
    within = everyone.reached(15)
    assert within.value == pytest.approx(known["decided_within_15d"]["KM"], abs=1e-5)
    assert within.method == "log-log"
    decided = table.loc[table["cause"] != "", "days"]
    assert (decided <= 15).mean() == pytest.approx(known["decided_within_15d"]["naive_decided"], abs=1e-5)


def test_the_lenders_own_decision_with_cancellation_competing() -> None:
    pre = applications().query("preaccepted")
    ends = cumulative_incidence(pre["days"], pre["cause"])
    lender, client = ends.at(15, "lender"), ends.at(15, "client")
    together = kaplan_meier(pre["days"], pre["cause"] != "").reached(15)
    assert lender.value + client.value == pytest.approx(together.value, abs=1e-10)
    alone = kaplan_meier(pre["days"], pre["cause"] == "lender").reached(15)
    assert lender.value < alone.value  # pretending that those cancelled could still be decided says too much
    assert [lender.value, client.value] == pytest.approx([0.3769, 0.1827], abs=2e-4)


def test_standard_errors_of_the_incidence() -> None:
    rng = np.random.default_rng(3)
    time, cause = rng.exponential(1, 200), np.where(rng.random(200) < 0.4, "a", "b")
    curve = cumulative_incidence(time, cause).curve.query("cause == 'a'")
    p = curve["incidence"]  # without censoring it is a share, to the last time
    assert curve["se"].tolist() == pytest.approx(np.sqrt(p * (1 - p) / 200).tolist(), abs=1e-12)
    from statsmodels.duration.survfunc import CumIncidenceRight

    limit = rng.exponential(1, 200)
    seen = np.where(time <= limit, np.where(cause == "a", 1, 2), 0)
    theirs = CumIncidenceRight(np.minimum(time, limit), seen)
    ours = cumulative_incidence(np.minimum(time, limit), np.array(["", "a", "b"])[seen]).curve.query("cause == 'a'")
    known = np.isfinite(theirs.cinc_se[0])
    assert ours["se"].to_numpy()[known] == pytest.approx(theirs.cinc_se[0][known], abs=1e-10)
    assert known.mean() > 0.9
    assert np.isfinite(ours["se"]).all()


def test_the_median_where_the_curve_stays_at_one_half() -> None:
    assert kaplan_meier([1, 2, 3, 4], [1, 1, 1, 1]).quantile(0.5).value == 2.5
    # a product of factors that is one half but for rounding: (9/10)(8/9)...(5/6)
    curve = kaplan_meier(np.arange(1, 11), [1] * 5 + [0] + [1] * 4)
    assert curve.survival(5).item() == pytest.approx(0.5)
    assert curve.quantile(0.5).value == 6  # the middle of the stretch from 5 to the next event, 7


def test_edges_have_intervals_and_what_was_not_seen_has_none() -> None:
    kept = kaplan_meier([1.0] * 60, [1] * 60).reached(2)
    assert (kept.value, kept.high, kept.method) == (1.0, 1.0, "Wilson")
    assert 0.9 < kept.low < 1
    none = kaplan_meier([5.0] * 60, [1] * 60).reached(2)
    assert (none.value, none.low) == (0.0, 0.0)
    assert math.isnan(kaplan_meier([1.0, 2.0], [0, 1]).quantile(0.9).high)
    short = kaplan_meier([1.0, 2.0, 3.0], [1, 0, 0]).reached(10)
    assert (math.isnan(short.value), short.method) == (True, "not defined")
    nothing = kaplan_meier([1.0, 2.0], [0, 0])
    assert nothing.reached(1).value == 0
    assert math.isnan(nothing.quantile(0.5).value)


def test_what_cannot_be_estimated_says_why() -> None:
    assert logrank([1, 2], [1, 1], ["a", "a"]).reason == "only one group"
    assert logrank([1, 2], [0, 0], ["a", "b"]).reason == "no events"
    assert cox([1, 2], [0, 0], pd.DataFrame({"x": [0, 1]})).reason == "no events"
    assert cox([1, 2], [1, 1], pd.DataFrame({"x": [1, 1]})).reason == "the same for all cases: x"
    split = cox([1, 2, 3, 4], [1, 1, 0, 0], pd.DataFrame({"x": [1, 1, 0, 0]}))
    assert split.reason == "the likelihood has no maximum: a term tells all events from none, or terms tell the same"
    assert split.table["hazard_ratio"].isna().all()
    x = np.array([0.0, 1, 0, 1, 1, 0])
    twice = cox([1, 2, 3, 4, 5, 6], [1] * 6, pd.DataFrame({"x": x, "y": 2 * x}))
    assert twice.table["se"].isna().all()


def test_bad_times() -> None:
    with pytest.raises(ComputationError) as found:
        kaplan_meier([1, -2, np.nan], [1, 1, 1])
    assert str(found.value) == "survival: expected times of 0 or more, found 2 others: -2, nan"
    with pytest.raises(ComputationError) as found:
        kaplan_meier([], [])
    assert str(found.value) == "survival: expected as many times as events and one or more, found (0,), (0,)"


def test_results_come_back_from_json() -> None:
    curve = kaplan_meier(*MP)
    back = Survival.from_json(json.loads(json.dumps(curve.to_json())))
    assert repr(back) == repr(curve) == "<Survival n=21, 9 events: median 23.000 [13.000, nan]>"
    assert back.conditional(10, 20) == curve.conditional(10, 20)


cases = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=2, max_size=40)


@given(cases, st.integers(0, 12), st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_what_is_conditional_is_the_curve_of_those_still_open(
    data: list[tuple[int, bool]], age: int, limit: int
) -> None:
    time, event = (np.array(c) for c in zip(*data, strict=True))
    curve = kaplan_meier(time, event)
    both = curve.conditional(age, max(age, limit))
    later = time > age
    if not later.any():
        assert math.isnan(both.value)
        return
    landmark = kaplan_meier(time[later], event[later])
    alone = landmark.reached(max(age, limit))
    assert (both.n, both.method) == (alone.n, alone.method)
    assert [both.value, both.low, both.high] == pytest.approx([1 - alone.value, 1 - alone.high, 1 - alone.low],
                                                             nan_ok=True, abs=1e-9)  # fmt: skip


@given(cases)
@settings(max_examples=100, deadline=None)
def test_causes_add_up_to_all_ends(data: list[tuple[int, bool]]) -> None:
    time, event = (np.array(c) for c in zip(*data, strict=True))
    cause = np.where(event, np.where(np.arange(len(time)) % 2, "a", "b"), "")
    ends, curve = cumulative_incidence(time, cause), kaplan_meier(time, event)
    for at in range(int(time.max()) + 1):
        total = sum(ends.at(at, c).value for c in ends.causes.index)
        assert total == pytest.approx(curve.reached(at).value, abs=1e-9)


@given(cases)
@settings(max_examples=100, deadline=None)
def test_intervals_hold_their_estimate(data: list[tuple[int, bool]]) -> None:
    time, event = zip(*data, strict=True)
    curve = kaplan_meier(time, event)
    for at in range(13):
        share = curve.reached(at)
        if not math.isnan(share.value):
            assert 0 <= share.low <= share.value + 1e-12
            assert share.value <= share.high + 1e-12 <= 1 + 2e-12
