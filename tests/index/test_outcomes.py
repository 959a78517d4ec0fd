"""Outcomes: satisfaction, recommendation, effort and loyalty by hand."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.index.outcomes import Outcomes, assess_outcomes
from sqmodel.measurement.measure import Measure
from sqmodel.survey.instrument import Instrument
from tests.index.surveys import measured, quarter
from tests.survey.small_instrument import bare, small


def asking(**roles: tuple[int, int, int]) -> Instrument:
    """An instrument with some questions a role, on a scale from .. to .."""
    outcomes: list[dict[str, Any]] = [
        {"code": f"{role}{j}", "role": role, "text": "?", "scale": {"minimum": low, "maximum": high}}
        for role, (count, low, high) in roles.items()
        for j in range(1, count + 1)
    ]
    return small(outcomes=outcomes)


def answered(instrument: Instrument, **columns: Any) -> Measure:
    n = len(next(iter(columns.values())))
    return measured(quarter(n, 1).drop(columns="csat"), instrument=instrument, **columns)


def test_net_promoter_score_counts_nine_and_ten_against_six_and_less() -> None:
    answers = [0, 3, 6, 7, 8, 9, 10, 10, 10, np.nan]
    row = assess_outcomes(answered(asking(nps=(1, 0, 10)), nps1=answers), minimum_n=2, draws=50).table.loc["nps"]
    assert row["estimate"] == pytest.approx(100 * (4 - 3) / 9)
    assert (row["n"], row["unit"]) == (9, "-100-100")
    net = np.array([-1, -1, -1, 0, 0, 1, 1, 1, 1]) * 100
    assert row["se"] == pytest.approx(net.std(ddof=1) / 3 * math.sqrt(10 / 9 * 8 / 9))


def test_all_promoters_and_all_detractors_are_the_ends() -> None:
    for answer, value in ((10, 100), (9, 100), (8, 0), (7, 0), (6, -100), (0, -100)):
        row = assess_outcomes(answered(asking(nps=(1, 0, 10)), nps1=[answer] * 12), draws=20).table.loc["nps"]
        assert (row["estimate"], row["low"], row["high"]) == pytest.approx((value, value, value))


@pytest.mark.parametrize("role", ["csat", "effort", "retention"])
def test_other_outcomes_are_means_between_the_ends_of_their_scales(role: str) -> None:
    measure = answered(asking(**{role: (1, 1, 5)}), **{f"{role}1": [1, 2, 3, 4, 5, 5, np.nan]})
    row = assess_outcomes(measure, minimum_n=2, draws=50).table.loc[role]
    assert row["estimate"] == pytest.approx(np.mean([0, 25, 50, 75, 100, 100]))
    assert row["unit"] == "0-100"


def test_acsi_is_the_mean_of_its_items() -> None:
    measure = answered(asking(acsi=(3, 1, 10)), acsi1=[1, 10, 5], acsi2=[10, 10, 5], acsi3=[1, 10, np.nan])
    expected = np.mean([100 / 3, 100, 400 / 9])
    assert assess_outcomes(measure, minimum_n=2, draws=20).table.loc["acsi", "estimate"] == pytest.approx(expected)


def test_sample_weights_count() -> None:
    measure = answered(asking(csat=(1, 1, 5)), csat1=[1, 5, 5], sample_weight=[2.0, 1.0, 1.0])
    assert assess_outcomes(measure, minimum_n=2, draws=20).table.loc["csat", "estimate"] == pytest.approx(50)


def compared(before: list[float], now: list[float], **options: Any) -> pd.Series:
    old = quarter(len(before), 1, "2026Q2").assign(csat=before)
    new = quarter(len(now), 2, "2026Q3").assign(csat=now)
    if options.pop("same", False):
        new["respondent"] = old["respondent"]
    return assess_outcomes(measured(old, new), minimum_n=2, draws=100, **options).table.loc["csat"]


def test_change_is_now_minus_before() -> None:
    row = compared([1.0, 4, 7, 10] * 3, [4.0, 7, 7, 10] * 3, previous="2026Q2")
    assert row["change"] == pytest.approx(100 * (7 - 5.5) / 9)
    assert row["change_low"] < row["change"] < row["change_high"]
    assert math.isnan(compared([1.0, 4], [4.0, 7])["change"])


def test_respondents_of_both_quarters_make_the_change_exact() -> None:
    old = [1.0, 4, 7, 8, 2, 3] * 4
    same = compared(old, [v + 2 for v in old], previous="2026Q2", same=True)
    apart = compared(old, [v + 2 for v in old], previous="2026Q2")
    assert (same["change_low"], same["change_high"]) == pytest.approx((200 / 9, 200 / 9))
    assert apart["change_high"] - apart["change_low"] > 10


def test_questions_nobody_answered_are_left_out() -> None:
    measure = answered(asking(csat=(1, 1, 5), nps=(1, 0, 10)), csat1=[1, 2, 3], nps1=[9, np.nan, np.nan])
    assert list(assess_outcomes(measure, minimum_n=2, draws=20).table.index) == ["csat"]
    none = assess_outcomes(measured(quarter(20, 1), instrument=bare()), draws=20)
    assert none.table.empty
    assert repr(none) == "<Outcomes n=20: no outcome questions>"


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(0, 10), min_size=5, max_size=40), st.randoms(use_true_random=False))
def test_order_of_respondents_does_not_matter(answers: list[int], random: Any) -> None:
    turned = list(answers)
    random.shuffle(turned)
    first, second = (
        assess_outcomes(answered(asking(nps=(1, 0, 10)), nps1=a), minimum_n=2, draws=20).table.loc["nps"]
        for a in (answers, turned)
    )
    assert first["estimate"] == pytest.approx(second["estimate"])
    assert first["se"] == pytest.approx(second["se"])


def test_outcomes_survive_json_and_print_one_line() -> None:
    outcomes = assess_outcomes(measured(quarter(40, 1)), draws=50)
    row = outcomes.table.loc["csat"]
    assert repr(outcomes) == f"<Outcomes n=40: csat {row['estimate']:.1f}±{row['se']:.1f}>"
    again = Outcomes.from_json(outcomes.to_json())
    pd.testing.assert_frame_equal(again.table, outcomes.table, check_dtype=False)


def test_an_outcome_that_few_answered_is_left_out_and_bounds_stay_on_the_scale() -> None:
    few = answered(asking(csat=(1, 1, 5)), csat1=[5.0, 5, 4] + [np.nan] * 20)
    assert assess_outcomes(few, draws=20).table.empty
    top = answered(asking(csat=(1, 1, 5)), csat1=[5.0] * 11 + [1.0])
    assert assess_outcomes(top, draws=20).table.loc["csat", "high"] <= 100
