"""The trend: changes by hand and as the index has them, signals as the control chart has them, and whole messages."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError, InputError, UnfitMeasureError
from sqmodel.index import columns
from sqmodel.index.scoring import build_index
from sqmodel.index.trend import Trend, assess_trend
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.operations.control import chart_individuals
from sqmodel.survey.responses import Responses
from tests.index.surveys import DIMENSIONS, flat, measured, quarter, responses
from tests.survey.small_instrument import ITEMS, bare

RISEN = dict.fromkeys(ITEMS, 0.8)


def names(count: int) -> list[str]:
    return [f"{2023 + i // 4}Q{i % 4 + 1}" for i in range(count)]


def unchanged(count: int, n: int = 40, seed: int = 1, **last: float) -> Measure:
    """So many quarters of one population; `last` is added to items of the last one."""
    whens = names(count)
    parts = [quarter(n, seed + i, q, **(last if q == whens[-1] else {})) for i, q in enumerate(whens)]
    return measured(*parts)


def test_changes_are_differences_of_levels_at_the_weights_of_the_current_quarter() -> None:
    measure = measured(quarter(50, 1, "2026Q1"), quarter(40, 2, "2026Q2", **RISEN), quarter(60, 3, "2026Q3"))
    weights = derive_weights(measure, method="given", given={"EXP": 0.5, "EFF": 0.3, "RSK": 0.2})
    trend = assess_trend(measure, weights=weights, draws=200)
    levels = measure.responses.frame.groupby("quarter").apply(
        lambda own: measure.responses.of(str(own.name)).dimension_scores().mean(), include_groups=False
    )
    by_hand = pd.concat([(levels @ [0.5, 0.3, 0.2]).rename("overall"), levels], axis=1).diff().iloc[1:]
    found = trend.changes.pivot_table("change", "quarter", "scope")[["overall", *DIMENSIONS]]
    np.testing.assert_allclose(found, by_hand)
    assert trend.changes["previous"].unique().tolist() == ["2026Q1", "2026Q2"]


def test_the_last_change_is_the_indexs_own() -> None:
    measure = measured(quarter(50, 1, "2026Q1"), quarter(50, 2, "2026Q2"), quarter(60, 3, "2026Q3", **RISEN))
    for method in ("equal", "allocation"):
        weights = derive_weights(measure, method=method, draws=50)  # type: ignore[arg-type]
        index = build_index(measure, weights=weights, draws=2000)
        last: Any = (
            assess_trend(measure, weights=weights, draws=2000)
            .changes.set_index(["quarter", "scope"])
            .loc[("2026Q3", "overall")]
        )
        assert index.change is not None
        assert (last["change"], last["se"]) == pytest.approx((index.change.value, index.change.se))
        assert (last["low"], last["high"]) == pytest.approx((index.change.low, index.change.high), abs=0.5)


def test_respondents_of_both_quarters_are_compared_with_themselves() -> None:
    old = quarter(60, 1, "2026Q2")
    new = old.assign(quarter="2026Q3")
    new[["f1", "f2"]] = (new[["f1", "f2"]] + 1).clip(upper=7)
    changes = assess_trend(measured(old, new), draws=200).changes.set_index("scope")
    by_hand = (responses(new).dimension_scores() - responses(old).dimension_scores()).mean(axis=1)
    assert changes.loc["overall", "change"] == pytest.approx(by_hand.mean())
    assert changes.loc["overall", "se"] == pytest.approx(by_hand.std(ddof=1) / math.sqrt(60))
    assert changes.loc["EXP", ["low", "high"]].tolist() == [0, 0]
    assert changes["verdict"].to_dict() == {"overall": "rose", "EXP": "not sure", "EFF": "rose", "RSK": "not sure"}


def test_a_planted_rise_and_fall_are_named_and_nothing_else() -> None:
    measure = measured(*(quarter(150, i, q, **(RISEN if q == "2026Q2" else {}))
                         for i, q in enumerate(("2025Q4", "2026Q1", "2026Q2", "2026Q3"))))  # fmt: skip
    trend = assess_trend(measure, draws=500)
    named = trend.changes[trend.changes["scope"] == "overall"].set_index("quarter")["joint_verdict"]
    assert named.to_dict() == {"2026Q1": "not sure", "2026Q2": "rose", "2026Q3": "fell"}
    assert set(trend.sure["quarter"]) == {"2026Q2", "2026Q3"}


def test_joint_bounds_are_wider_and_verdicts_follow_the_bounds() -> None:
    changes = assess_trend(unchanged(4, **RISEN), draws=500).changes
    assert ((changes["joint_high"] - changes["joint_low"]) > (changes["high"] - changes["low"])).all()
    for prefix in ("", "joint_"):
        sure = changes[f"{prefix}verdict"] != "not sure"
        outside = (changes[f"{prefix}low"] > 0) | (changes[f"{prefix}high"] < 0)
        assert (sure == outside).all()
        assert (changes.loc[changes[f"{prefix}verdict"] == "rose", "change"] > 0).all()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 1000), st.integers(2, 4))
def test_changes_add_up_and_the_order_of_rows_does_not_matter(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [pd.DataFrame(flat(20, rng), columns=ITEMS).assign(quarter=q, respondent=[f"{q}{i}" for i in range(20)])
              for q in names(count)]  # fmt: skip
    whole = pd.concat(frames, ignore_index=True)
    one, two = (
        assess_trend(qualify(Responses(bare(), f), quarter=names(count)[-1]), draws=20)
        for f in (whole, whole.sample(frac=1, random_state=seed))
    )
    columns = ["quarter", "scope", "change", "se"]
    pd.testing.assert_frame_equal(one.changes[columns], two.changes[columns])
    total = one.changes.groupby("scope")["change"].sum()
    ends = one.points.groupby("scope")["estimate"].agg(lambda own: own.iloc[-1] - own.iloc[0])
    pd.testing.assert_series_equal(total, ends, check_names=False)


def test_a_quarter_with_too_few_answers_has_no_figure_and_is_stepped_over() -> None:
    trend = assess_trend(measured(quarter(40, 1, "2026Q1"), quarter(6, 2, "2026Q2"), quarter(40, 3)), draws=100)
    assert trend.quarters == ("2026Q1", "2026Q3")
    assert trend.changes["previous"].unique().tolist() == ["2026Q1"]
    hidden = trend.points[trend.points["quarter"] == "2026Q2"]
    assert hidden[["n", "estimate", "se", "low", "high"]].isna().all(axis=None)
    assert trend.notes.values.tolist() == [
        ["few_answers", "fewer than 10 respondents, no figure: 2026Q2"],
        ["few_quarters", "2 quarters; with fewer than 8 nothing signals"],
    ]


def test_fewer_than_eight_quarters_do_not_signal() -> None:
    trend = assess_trend(unchanged(7, **dict.fromkeys(ITEMS, 2.0)), draws=50)
    assert trend.charts.empty
    assert trend.signals.empty
    assert trend.notes["text"].tolist() == ["7 quarters; with fewer than 8 nothing signals"]
    assert "no signals (fewer than 8 quarters)" in repr(trend)


def test_signals_are_those_of_the_control_chart() -> None:
    trend = assess_trend(unchanged(12, **dict.fromkeys(ITEMS, 2.0)), draws=100)
    own = trend.points[trend.points["scope"] == "overall"]
    chart = chart_individuals(own["estimate"], labels=own["quarter"].tolist(), bounds=(0, 100), draws=100)
    assert trend.charts.loc["overall", ["centre", "lower", "upper"]].tolist() == pytest.approx(
        [chart.centre.value, *chart.points[["lower", "upper"]].iloc[0]]
    )
    assert trend.charts.loc["overall", "false_alarm"] == chart.false_alarms.loc["any", "per_chart"]
    found = trend.signals[trend.signals["scope"] == "overall"].drop(columns="scope").reset_index(drop=True)
    pd.testing.assert_frame_equal(found, chart.signals)
    assert own["signals"].iloc[-1].startswith("beyond_limits")
    assert own["signals"].iloc[0] == ""
    assert set(trend.charts.index) == {"overall", *DIMENSIONS}


def test_restatements_stand_at_their_quarters() -> None:
    listed = pd.DataFrame(
        {
            "quarter": ["2026Q2", "2026Q1"],
            "before": [61.0, 58.5],
            "after": [60.0, 59.0],
            "reason": ["late answers", "weights corrected"],
            "date": ["2026-10-02", "2026-07-03"],
        }
    )
    trend = assess_trend(measured(quarter(40, 1, "2026Q1"), quarter(40, 2, "2026Q2")), restatements=listed, draws=50)
    assert trend.restatements.to_dict("list") == {
        "quarter": ["2026Q1", "2026Q2"], "before": [58.5, 61.0], "after": [59.0, 60.0], "difference": [0.5, -1.0],
        "reason": ["weights corrected", "late answers"], "date": ["2026-07-03", "2026-10-02"],
    }  # fmt: skip
    assert trend.points["restated"].eq(1).all()


def test_many_quarters_take_the_standard_errors_of_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    measure = unchanged(3)
    studentised = assess_trend(measure, draws=1000)
    monkeypatch.setattr(columns, "WIDEST", 1000)
    basic = assess_trend(measure, draws=1000)
    assert (studentised.method, basic.method) == ("studentised bootstrap", "basic bootstrap")
    np.testing.assert_allclose(basic.changes["se"], studentised.changes["se"])
    np.testing.assert_allclose(basic.changes["low"], studentised.changes["low"], atol=1.2)


def test_same_seed_same_trend_and_back_from_json() -> None:
    measure = unchanged(3)
    one, two = (assess_trend(measure, draws=50, rng=3) for _ in range(2))
    assert one.to_json() == two.to_json()
    back = Trend.from_json(json.loads(json.dumps(one.to_json())))
    pd.testing.assert_frame_equal(back.changes, one.changes)
    assert repr(back) == repr(one)


def test_a_stratified_design_sharpens_the_change() -> None:
    parts = [quarter(60, i, q) for i, q in enumerate(("2026Q1", "2026Q2"))]
    for part in parts:
        low = part["region"] == "north"
        part.loc[low, ITEMS[:5]] = (part.loc[low, ITEMS[:5]] - 2).clip(lower=1)
    measure = measured(*parts)
    plain, stratified = (assess_trend(measure, strata=s, draws=50).changes["se"][0] for s in (None, "region"))
    assert stratified < 0.95 * plain


def test_one_quarter_is_no_trend() -> None:
    with pytest.raises(ComputationError) as caught:
        assess_trend(measured(quarter(40, 1), quarter(5, 2, "2026Q2")))
    assert str(caught.value) == (
        "trend of small 2026Q3: expected at least 2 quarters with at least 10 respondents (minimum_n), found 1 "
        "(2026Q3); a trend begins with the second quarter"
    )


def test_all_problems_of_the_input_are_told_together() -> None:
    old = quarter(30, 1, "2026Q2")
    restated = pd.DataFrame({"quarter": ["2026Q2", "2019Q1"], "before": 1.0, "after": 2.0, "reason": ["", "late"],
                             "date": "2026-10-01"})  # fmt: skip
    with pytest.raises(InputError) as caught:
        assess_trend(measured(old, old.iloc[:2], quarter(30, 2)), restatements=restated)
    assert str(caught.value) == (
        "trend of small 2026Q3: 3 problems\n"
        "  - expected each respondent once in a quarter, found again: 2026Q2-0000 of 2026Q2, 2026Q2-0001 of 2026Q2\n"
        "  - restatements: expected a reason for each, found none for: 2026Q2\n"
        "  - restatements: expected quarters of the trend (2026Q2, 2026Q3), found: 2019Q1\n"
        "  What to do: correct the answers or the list of restatements"
    )
    with pytest.raises(InputError) as caught:
        assess_trend(measured(old, quarter(30, 2)), restatements=restated.drop(columns=["reason", "date"]))
    assert str(caught.value) == (
        "trend of small 2026Q3: 1 problem\n"
        "  - restatements: expected columns quarter, before, after, reason, date; missing: reason, date\n"
        "  What to do: correct the answers or the list of restatements"
    )


def test_a_measure_that_failed_has_no_trend_without_a_reason() -> None:
    scored = measured(quarter(40, 1, "2026Q2"), quarter(40, 2))
    failed = qualify(scored.responses, quarter="2026Q3", criteria={"sample_size": {"threshold": 500, "required": True}})
    assert failed.verdict == "reject"
    with pytest.raises(UnfitMeasureError):
        assess_trend(failed)
    assert assess_trend(failed, accept="a test", draws=20).quarters == ("2026Q2", "2026Q3")
