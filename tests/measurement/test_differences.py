"""Differences of groups and agreement of judges: pingouin does the tests, the published values hold."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import pingouin
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.measurement.differences import (
    Agreement,
    GroupDifferences,
    assess_agreement,
    assess_group_differences,
)
from tests.index.surveys import DIMENSIONS, quarter, responses

SHROUT_FLEISS = pd.DataFrame(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], columns=list("abcd")
)


def three_branches(seed: int = 1, **levels: float) -> Any:
    frame = quarter(150, seed)
    frame["branch"] = np.repeat(["a", "b", "c"], [60, 60, 30])
    frame.loc[frame["branch"] == "c", ["f1", "f2"]] = frame[["f1", "f2"]].add(levels.get("f", 0)).clip(1, 7)
    return responses(frame)


def test_group_differences_come_from_pingouin() -> None:
    with (
        mock.patch.object(pingouin, "welch_anova", wraps=pingouin.welch_anova) as welch,
        mock.patch.object(pingouin, "pairwise_gameshowell", wraps=pingouin.pairwise_gameshowell) as pairs,
        mock.patch.object(pingouin, "multicomp", wraps=pingouin.multicomp) as holm,
        mock.patch.object(pingouin, "intraclass_corr", wraps=pingouin.intraclass_corr) as icc,
    ):
        assess_group_differences(three_branches(), "branch")
        assess_agreement(SHROUT_FLEISS)
    assert (welch.call_count, pairs.call_count, holm.call_count, icc.call_count) == (3, 3, 1, 1)


def test_two_groups_give_welchs_t() -> None:
    given_answers = responses(quarter(90, 1))
    result = assess_group_differences(given_answers, "region")
    scores = given_answers.dimension_scores()
    north = (given_answers.frame["region"] == "north").to_numpy()
    for code in DIMENSIONS:
        expected = stats.ttest_ind(scores.loc[north, code], scores.loc[~north, code], equal_var=False)
        row = result.tests.loc[code]
        assert row["F"] == pytest.approx(expected.statistic**2)
        assert (row["df1"], row["df2"]) == pytest.approx((1, expected.df))
        assert row["pvalue"] == pytest.approx(expected.pvalue)
        assert (row["groups"], row["n"]) == (2, 90)


def test_holm_is_over_the_dimensions() -> None:
    tests = assess_group_differences(three_branches(), "branch").tests
    ordered = tests["pvalue"].sort_values()
    stepped = np.minimum(np.maximum.accumulate(ordered.to_numpy() * [3, 2, 1]), 1)
    pd.testing.assert_series_equal(
        tests["pvalue_holm"].loc[ordered.index], pd.Series(stepped, ordered.index), check_names=False
    )


def test_pairs_are_first_minus_second() -> None:
    given_answers = three_branches()
    result = assess_group_differences(given_answers, "branch")
    scores = given_answers.dimension_scores().groupby(given_answers.frame["branch"])
    assert len(result.pairs) == 9
    for row in result.pairs.to_dict("records"):
        means, variances = scores.mean()[row["dimension"]], scores.var()[row["dimension"]] / scores.size()
        assert row["difference"] == pytest.approx(means[row["first"]] - means[row["second"]])
        assert row["se"] == pytest.approx(np.sqrt(variances[row["first"]] + variances[row["second"]]))


def test_a_real_difference_is_found_in_its_dimension_only() -> None:
    result = assess_group_differences(three_branches(3, f=-2.5), "branch")
    assert (result.tests["pvalue_holm"] < 0.05).to_dict() == {"EXP": False, "EFF": True, "RSK": False}
    sure = result.pairs[result.pairs["pvalue"] < 0.05]
    assert {(r["first"], r["second"]) for r in sure.to_dict("records")} == {("a", "c"), ("b", "c")}
    assert repr(result) == "<GroupDifferences by branch, n=150: 1 of 3 dimensions differ (Welch, Holm)>"


def test_small_groups_are_left_out_and_named() -> None:
    frame = quarter(100, 1)
    frame["branch"] = [*(["a"] * 50), *(["b"] * 38), *(["c"] * 9), None, None, None]
    result = assess_group_differences(responses(frame), "branch")
    assert result.left_out == ("c",)
    assert (result.n, result.settings["minimum_n"]) == (88, 10)


def test_order_of_respondents_does_not_matter() -> None:
    given_answers = three_branches()
    turned = responses(given_answers.frame.sample(frac=1, random_state=2))
    first, second = (assess_group_differences(r, "branch") for r in (given_answers, turned))
    pd.testing.assert_frame_equal(first.tests, second.tests)
    pd.testing.assert_frame_equal(first.pairs, second.pairs)


def test_missing_scores_are_left_out_by_dimension() -> None:
    frame = quarter(90, 1)
    frame.loc[:9, ["f1", "f2"]] = np.nan
    tests = assess_group_differences(responses(frame), "region").tests
    assert tests["n"].to_dict() == {"EXP": 90, "EFF": 80, "RSK": 90}


def test_differences_survive_json() -> None:
    result = assess_group_differences(three_branches(), "branch")
    again = GroupDifferences.from_json(result.to_json())
    for name, table in result.tables().items():
        pd.testing.assert_frame_equal(getattr(again, name), table, check_dtype=False, check_index_type=False)


def test_unknown_variable_and_too_few_groups_are_refused() -> None:
    with pytest.raises(ComputationError) as caught:
        assess_group_differences(three_branches(), "county")
    assert str(caught.value) == "by: expected one of region, branch, found 'county'"
    with pytest.raises(ComputationError) as caught:
        assess_group_differences(three_branches(), "branch", minimum_n=61)
    assert str(caught.value) == "by branch: expected at least 2 groups of 61 respondents, found 0"


def test_shrout_and_fleiss() -> None:
    table = assess_agreement(SHROUT_FLEISS).table
    expected = {"ICC1": 0.1657, "ICC2": 0.2898, "ICC3": 0.7148, "ICC1k": 0.4428, "ICC2k": 0.6201, "ICC3k": 0.9093}
    assert table["estimate"].to_dict() == pytest.approx(expected, abs=5e-5)
    low = [-0.132932, 0.018787, 0.342465, -0.884442, 0.071137, 0.675675]
    high = [0.72256, 0.76108, 0.94586, 0.91242, 0.92723, 0.98589]
    assert table.loc[list(expected), "low"].tolist() == pytest.approx(low, abs=5.1e-3)
    assert table.loc[list(expected), "high"].tolist() == pytest.approx(high, abs=5.1e-3)
    tested = table.loc["ICC2", ["F", "df1", "df2", "pvalue"]].tolist()
    assert tested == pytest.approx([11.0272, 5, 15, 0.00013457], rel=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.permutations(range(6)), st.permutations(range(4)))
def test_order_of_targets_and_raters_does_not_matter(targets: list[int], raters: list[int]) -> None:
    turned = assess_agreement(SHROUT_FLEISS.iloc[targets, raters]).table
    pd.testing.assert_frame_equal(turned, assess_agreement(SHROUT_FLEISS).table)


def test_agreement_is_one_line_and_survives_json() -> None:
    result = assess_agreement(SHROUT_FLEISS)
    assert repr(result) == "<Agreement 6 targets, 4 raters: ICC2 0.290 [0.02, 0.76]>"
    pd.testing.assert_frame_equal(Agreement.from_json(result.to_json()).table, result.table, check_dtype=False)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (SHROUT_FLEISS.where(SHROUT_FLEISS > 1), "expected every rater to score every target, found 2 gaps"),
        (SHROUT_FLEISS.iloc[:4], "expected at least 5 targets and 2 raters, found 4 targets and 4 raters"),
        (SHROUT_FLEISS[["a"]], "expected at least 5 targets and 2 raters, found 6 targets and 1 raters"),
    ],
)
def test_what_has_no_agreement_is_refused(scores: pd.DataFrame, message: str) -> None:
    with pytest.raises(ComputationError) as caught:
        assess_agreement(scores)
    assert str(caught.value) == message
