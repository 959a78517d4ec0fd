"""The index: hand-computed, lawful, the same from JSON, and silent where there is nothing to say."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sqmodel.errors import ComputationError, UnfitMeasureError
from sqmodel.index.columns import Columns
from sqmodel.index.scoring import Index, build_index
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import simple_population
from tests.index.surveys import DIMENSIONS, flat, measured, quarter, responses
from tests.survey.small_instrument import ITEMS, bare, small

FIVE = pd.DataFrame(
    [[7, 7, 4, 4, 1, 7], [5, 3, 2, 4, 4, 4], [1, 1, 1, 1, 1, 7], [6, np.nan, 7, 7, 7, 1], [4, 4, np.nan, np.nan, 4, 4]],
    columns=ITEMS,
).assign(respondent=list("abcde"))
"""Five respondents; r2 is reversed. Scores: EXP 100 50 0 83.3 50; EFF 50 33.3 0 100 -; RSK 0 50 0 100 50."""


def five(**columns: Any) -> Measure:
    return qualify(Responses(bare(), FIVE.assign(**columns)))


def test_index_of_five_respondents_by_hand() -> None:
    index = build_index(five(), minimum_n=3, draws=20)
    expected = {"EXP": 850 / 15, "EFF": 550 / 12, "RSK": 40.0}
    assert index.dimensions["estimate"].to_dict() == pytest.approx(expected)
    assert index.dimensions["n"].to_dict() == {"EXP": 5, "EFF": 4, "RSK": 5}
    assert index.overall.value == pytest.approx(np.mean(list(expected.values())))
    assert index.overall.method == "linearised standard error, Student's t"
    versus = index.dimensions["versus_others"]
    assert versus["EXP"] == pytest.approx(850 / 15 - (550 / 12 + 40) / 2)
    assert (index.n, index.quarter, index.change, index.since_first, index.accepted) == (5, "", None, None, "")


def test_weighted_index_of_five_respondents_by_hand() -> None:
    measure = five(sample_weight=[1.0, 2, 3, 4, 5])
    weights = derive_weights(measure, method="given", given={"EXP": 0.5, "EFF": 0.3, "RSK": 0.2})
    index = build_index(measure, weights=weights, minimum_n=3, draws=20)
    by_dimension = [(100 + 100 + 4 * 250 / 3 + 250) / 15, (50 + 200 / 3 + 400) / 10, (100 + 400 + 250) / 15]
    assert index.dimensions["estimate"].tolist() == pytest.approx(by_dimension)
    assert index.overall.value == pytest.approx(np.dot([0.5, 0.3, 0.2], by_dimension))
    assert index.settings["effective_n"] == pytest.approx(225 / 55)


def test_standard_error_of_complete_answers_is_the_textbook_one() -> None:
    measure = measured(quarter(60, 1))
    scores = measure.current.dimension_scores()
    index = build_index(measure, draws=50)
    assert index.overall.se == pytest.approx(scores.mean(axis=1).std(ddof=1) / math.sqrt(60))
    assert index.dimensions["se"].to_numpy() == pytest.approx(scores.std(ddof=1).to_numpy() / math.sqrt(60))


def test_interval_is_that_of_the_kernel_with_the_same_seed() -> None:
    measure = measured(quarter(60, 1))
    book = Columns(np.ones(60))
    means = [book.mean(measure.current.dimension_scores()[c]) for c in DIMENSIONS]
    kernel = book.bootstrap(means, rng=5, draws=300, level=0.9)
    table = build_index(measure, draws=300, rng=5, level=0.9).dimensions
    np.testing.assert_allclose(table[["low", "high"]], np.column_stack([kernel.low, kernel.high]))


def test_an_answer_that_only_one_respondent_gave_has_an_interval() -> None:
    """Most resamples then hold no variation: Student's t takes the place of the draws' quantiles."""
    ratings = np.full((20, 6), 2.0)
    ratings[12, 0] = 1
    frame = pd.DataFrame(ratings, columns=ITEMS).assign(respondent=[str(i) for i in range(20)])
    index = build_index(qualify(Responses(bare(), frame)), minimum_n=5, draws=30, rng=5)
    assert 0 <= index.overall.low < index.overall.value < index.overall.high <= 100
    assert index.overall.method == "linearised standard error, Student's t"


@settings(max_examples=25, deadline=None)
@given(hnp.arrays(float, st.tuples(st.integers(5, 25), st.just(6)), elements=st.integers(1, 7)), st.integers(0, 99))
def test_index_and_bounds_stay_within_0_and_100(ratings: np.ndarray, seed: int) -> None:
    frame = pd.DataFrame(ratings, columns=ITEMS).assign(respondent=[str(i) for i in range(len(ratings))])
    index = build_index(qualify(Responses(bare(), frame)), minimum_n=5, draws=30, rng=seed)
    shown = [index.overall.low, index.overall.value, index.overall.high]
    shown += index.dimensions[["low", "estimate", "high"]].to_numpy().ravel().tolist()
    assert all(-1e-9 <= v <= 100 + 1e-9 for v in shown)
    assert index.overall.low <= index.overall.value + 1e-9
    assert index.overall.value <= index.overall.high + 1e-9


@pytest.mark.parametrize("answer", [1, 4, 7])
def test_everybody_of_one_mind_has_an_interval_of_no_width(answer: int) -> None:
    frame = pd.DataFrame([[answer] * 5 + [8 - answer]] * 30, columns=ITEMS, dtype=float)
    frame["respondent"] = [str(i) for i in range(30)]
    index = build_index(qualify(Responses(bare(), frame)), draws=30)
    value = (answer - 1) / 6 * 100
    o = index.overall
    assert (o.value, o.low, o.high, o.se) == pytest.approx((value, value, value, 0), abs=1e-9)
    assert index.dimensions["versus_low"].tolist() == pytest.approx([0, 0, 0], abs=1e-9)


def test_order_of_respondents_moves_no_estimate_and_hardly_the_bounds() -> None:
    frame = quarter(80, 2)
    first, second = (build_index(measured(f), draws=2000) for f in (frame, frame.sample(frac=1, random_state=3)))
    pd.testing.assert_frame_equal(
        first.dimensions[["estimate", "se", "versus_others"]], second.dimensions[["estimate", "se", "versus_others"]]
    )
    assert first.overall.value == pytest.approx(second.overall.value)
    assert (first.overall.low, first.overall.high) == pytest.approx((second.overall.low, second.overall.high), abs=0.4)


def test_order_of_items_does_not_matter() -> None:
    frame = quarter(40, 2)
    turned = bare().model_copy(update={"items": bare().items[::-1]})
    first = build_index(qualify(Responses(bare(), frame)), draws=50)
    second = build_index(qualify(Responses(turned, frame)), draws=50)
    pd.testing.assert_frame_equal(first.dimensions, second.dimensions)


def test_turning_an_item_and_its_answers_changes_nothing() -> None:
    frame = quarter(40, 2)
    turned = bare().model_copy(
        update={"items": tuple(i.model_copy(update={"reversed": not i.reversed}) for i in bare().items)}
    )
    first = build_index(qualify(Responses(bare(), frame)), draws=50)
    second = build_index(qualify(Responses(turned, frame.assign(**{c: 8 - frame[c] for c in ITEMS}))), draws=50)
    pd.testing.assert_frame_equal(first.dimensions, second.dimensions)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.01, 100))
def test_scaled_sample_weights_change_nothing(factor: float) -> None:
    weight = np.random.default_rng(1).uniform(0.5, 2, 40)
    first, second = (
        build_index(measured(quarter(40, 2), sample_weight=w), draws=30) for w in (weight, factor * weight)
    )
    pd.testing.assert_frame_equal(first.dimensions, second.dimensions)


def test_same_seed_same_index() -> None:
    one, two = (build_index(measured(quarter(40, 1), quarter(40, 2, "2026Q4")), draws=50, rng=3) for _ in range(2))
    assert one.to_json() == two.to_json()


def test_allocation_weights_are_derived_again_in_every_draw() -> None:
    measure = measured(quarter(60, 1))
    weights = derive_weights(measure, method="allocation", draws=50)
    fixed = derive_weights(measure, method="given", given=weights.table["weight"].to_dict())
    first, second = (build_index(measure, weights=w, draws=400) for w in (weights, fixed))
    assert first.overall.value == pytest.approx(second.overall.value)
    assert first.overall.value == pytest.approx(weights.table["weight"] @ first.dimensions["estimate"])
    assert first.overall.se != pytest.approx(second.overall.se)
    pd.testing.assert_series_equal(first.dimensions["se"], second.dimensions["se"])


def test_change_is_this_quarter_minus_the_previous_one_at_the_same_weights() -> None:
    old, new = quarter(50, 1, "2026Q2"), quarter(60, 2, "2026Q3", f1=1.0, f2=1.0)
    index = build_index(measured(old, new), draws=200)
    earlier = build_index(measured(old), draws=200)
    assert index.previous_quarter == "2026Q2"
    assert index.change is not None
    assert index.change.value == pytest.approx(index.overall.value - earlier.overall.value)
    assert index.change.se == pytest.approx(math.hypot(index.overall.se, earlier.overall.se))
    np.testing.assert_allclose(index.dimensions["previous"], earlier.dimensions["estimate"])
    np.testing.assert_allclose(
        index.dimensions["change"], index.dimensions["estimate"] - earlier.dimensions["estimate"]
    )
    assert index.dimensions.loc["EFF", "change_low"] > 0


def test_respondents_of_both_quarters_sharpen_the_change() -> None:
    old = quarter(60, 1, "2026Q2")
    new = old.assign(quarter="2026Q3")
    new[["f1", "f2"]] = (new[["f1", "f2"]] + 1).clip(upper=7)
    same = build_index(measured(old, new), draws=300).change
    apart = build_index(measured(old, new.assign(respondent=[f"x{i}" for i in range(60)])), draws=300).change
    assert same is not None
    assert apart is not None
    assert same.value == pytest.approx(apart.value)
    by_hand = (responses(new).dimension_scores() - responses(old).dimension_scores()).mean(axis=1)
    assert same.se == pytest.approx(by_hand.std(ddof=1) / math.sqrt(60))
    assert same.se < apart.se / 3


def test_partly_overlapping_quarters_lie_between() -> None:
    old, new = quarter(60, 1, "2026Q2"), quarter(60, 1, "2026Q3")
    new["respondent"] = [*old["respondent"][:30], *(f"n{i}" for i in range(30))]
    half = build_index(measured(old, new), draws=100).change
    none = build_index(measured(old, new.assign(respondent=[f"n{i}" for i in range(60)])), draws=100).change
    assert half is not None
    assert none is not None
    assert 0.5 * none.se < half.se < 0.95 * none.se


def test_change_since_the_first_quarter_skips_small_ones() -> None:
    quarters = [quarter(5, 1, "2026Q1"), quarter(40, 2, "2026Q2"), quarter(40, 3, "2026Q3"), quarter(40, 4, "2026Q4")]
    index = build_index(measured(*quarters), draws=50)
    first = build_index(measured(quarters[1]), draws=50)
    assert index.since_first is not None
    assert index.since_first.value == pytest.approx(index.overall.value - first.overall.value)
    trend = index.trend[index.trend["scope"] == "overall"].set_index("quarter")
    assert trend["estimate"].isna().to_dict() == {"2026Q1": True, "2026Q2": False, "2026Q3": False, "2026Q4": False}
    assert trend.loc["2026Q2", "estimate"] == pytest.approx(first.overall.value)
    assert trend.loc["2026Q4", "low"] == index.overall.low


def test_a_later_quarter_is_not_looked_at() -> None:
    quarters = [quarter(40, 2, "2026Q2"), quarter(40, 3, "2026Q3")]
    given_answers = responses(*quarters)
    early = build_index(qualify(given_answers, quarter="2026Q2"), draws=50)
    alone = build_index(measured(quarters[0]), draws=50)
    assert early.to_json() == alone.to_json()


def test_too_small_a_previous_quarter_is_no_previous_quarter() -> None:
    index = build_index(measured(quarter(9, 1, "2026Q2"), quarter(40, 2)), draws=50)
    assert (index.previous_quarter, index.change) == ("", None)
    assert index.dimensions["change"].isna().all()


def test_group_figures_are_those_of_the_group_alone() -> None:
    frame = quarter(90, 1)
    groups = build_index(measured(frame), draws=100).groups.set_index("value")
    north = build_index(measured(frame[frame["region"] == "north"].reset_index(drop=True)), draws=100)
    south = build_index(measured(frame[frame["region"] == "south"].reset_index(drop=True)), draws=100)
    assert groups.loc["north", "estimate"] == pytest.approx(north.overall.value)
    assert groups.loc["north", "se"] == pytest.approx(north.overall.se)
    assert groups.loc["north", list(DIMENSIONS)].tolist() == pytest.approx(north.dimensions["estimate"].tolist())
    assert groups.loc["north", "difference"] == pytest.approx(north.overall.value - south.overall.value)
    assert groups.loc["north", "difference_se"] == pytest.approx(math.hypot(north.overall.se, south.overall.se))


def test_groups_come_in_the_order_of_the_questionnaire() -> None:
    frame = quarter(60, 1)
    frame["region"] = np.tile(["south", "west", "north"], 20)
    assert build_index(measured(frame), draws=30).groups["value"].tolist() == ["north", "south", "west"]


def test_one_dimension_is_not_compared_with_others() -> None:
    measure = qualify(simple_population(4).responses(50, rng=1))
    table = build_index(measure, draws=50).dimensions
    assert table[["versus_others", "versus_low", "versus_high"]].isna().all(axis=None)


def test_strata_are_the_sampling_design() -> None:
    frame = quarter(80, 1)
    frame["region"] = np.where(frame["e1"] >= 5, "north", "south")
    plain, stratified = (build_index(measured(frame), draws=50, strata=s) for s in (None, "region"))
    assert stratified.overall.value == pytest.approx(plain.overall.value)
    assert stratified.overall.se < plain.overall.se
    assert stratified.settings["strata"] == "region"


def test_index_before_screening_is_shown_only_where_enough_were_left_out() -> None:
    frame = quarter(60, 1)
    whole = responses(frame)
    for left_out, shown in ((12, True), (9, False), (0, False)):
        kept = qualify(whole.keep(np.arange(60) >= left_out), quarter="2026Q3")
        index = build_index(kept, unscreened=whole, draws=30)
        assert index.excluded == left_out
        assert (index.unscreened is not None) == shown
        if index.unscreened is not None:
            assert index.unscreened.value == pytest.approx(build_index(measured(frame), draws=30).overall.value)


def test_raked_margins_narrow_the_interval_and_move_nothing_else() -> None:
    frame = quarter(100, 1)
    frame["region"] = np.where(frame[["e1", "f1", "r1"]].mean(axis=1) > 4.7, "north", "south")
    dummies = pd.get_dummies(frame["region"]).astype(float)
    plain = responses(frame, sample_weight=1.0)
    raked = Responses(plain.instrument, plain.frame, calibration=dummies)
    first, second = (build_index(qualify(r, quarter="2026Q3"), draws=100) for r in (plain, raked))
    assert first.overall.value == pytest.approx(second.overall.value)
    assert second.overall.se < first.overall.se
    scores = plain.dimension_scores().mean(axis=1)
    within = scores - scores.groupby(plain.frame["region"]).transform("mean")
    assert second.overall.se == pytest.approx(within.std(ddof=1) / 10)


def test_json_gives_the_same_index_back() -> None:
    frame = quarter(60, 1)
    frame["branch"] = np.repeat(["a", "b", "c"], [35, 19, 6])
    index = build_index(measured(quarter(40, 3, "2026Q2"), frame), draws=50)
    again = Index.from_json(json.loads(json.dumps(index.to_json())))
    for name, table in index.tables().items():
        pd.testing.assert_frame_equal(getattr(again, name), table, check_dtype=False)
    for name in ("overall", "change", "since_first", "unscreened", "n", "quarter", "settings", "accepted"):
        assert getattr(again, name) == getattr(index, name)
    assert repr(again) == repr(index)
    assert again.to_json() == index.to_json()


def test_repr_is_one_line_with_interval_and_change() -> None:
    index = build_index(measured(quarter(40, 1, "2026Q2"), quarter(50, 2)), draws=50)
    o, c = index.overall, index.change
    assert c is not None
    assert repr(index) == (
        f"<Index 2026Q3: {o.value:.1f} [{o.low:.1f}, {o.high:.1f}], n=50, "
        f"change {c.value:+.1f} [{c.low:+.1f}, {c.high:+.1f}]>"
    )


def test_estimate_of_one_dimension() -> None:
    index = build_index(measured(quarter(40, 1)), draws=50)
    row = index.dimensions.loc["EFF"]
    one = index.dimension("EFF")
    assert (one.value, one.low, one.high, one.se, one.n) == (row["estimate"], row["low"], row["high"], row["se"], 40)
    assert (one.level, one.method) == (0.95, "studentised bootstrap")


def test_a_measure_that_failed_is_scored_only_with_a_reason() -> None:
    measure = measured(quarter(40, 1))
    failed = Measure(measure.responses, measure.quarter, measure.items, measure.ledger, "reject")
    with pytest.raises(UnfitMeasureError):
        build_index(failed)
    assert build_index(failed, accept=" pilot ", draws=20).accepted == "pilot"
    assert build_index(measure, accept="pilot", draws=20).accepted == ""


def test_too_few_respondents_are_refused() -> None:
    with pytest.raises(ComputationError) as caught:
        build_index(measured(quarter(9, 1)))
    assert str(caught.value) == (
        "small 2026Q3: expected at least 10 respondents (minimum_n), found 9; collect more answers before publishing"
    )


def test_a_dimension_that_nobody_answered_is_named() -> None:
    with pytest.raises(ComputationError) as caught:
        build_index(measured(quarter(20, 1).assign(f1=np.nan, f2=np.nan)))
    assert str(caught.value) == (
        "small 2026Q3: expected at least 10 answers (minimum_n) to every dimension, found fewer for EFF (0); "
        "collect more answers before publishing"
    )


def test_unknown_strata_are_refused() -> None:
    with pytest.raises(ComputationError) as caught:
        build_index(measured(quarter(20, 1)), strata="county")
    assert str(caught.value) == "strata: expected one of region, branch, found 'county'"


def nobody_differs(n: int, rng: np.random.Generator, **columns: Any) -> Measure:
    frame = pd.DataFrame(flat(n, rng), columns=ITEMS)
    frame["r2"] = 8 - frame["r2"]
    frame = frame.assign(**{"respondent": np.arange(n).astype(str), "quarter": "2026Q3", **columns})
    return Measure(Responses(small(), frame), "2026Q3", tuple(ITEMS), pd.DataFrame(), "publish")


def outside(table: pd.DataFrame, name: str) -> bool:
    return bool(((table[f"{name}_low"] > 0) | (table[f"{name}_high"] < 0)).any())


def test_without_differences_no_dimension_and_no_change_is_sure() -> None:
    """One population for all items and quarters: each family of findings errs in at most 7 of 100 surveys."""
    rng, trials = np.random.default_rng(2026), 200
    wrong = dict.fromkeys(("dimension", "change", "dimension change"), 0)
    for _ in range(trials):
        measure = nobody_differs(140, rng, quarter=np.repeat(["2026Q2", "2026Q3"], 70))
        index = build_index(measure, draws=499, rng=rng)
        assert index.change is not None
        wrong["dimension"] += outside(index.dimensions, "versus")
        wrong["change"] += index.change.excludes_zero
        wrong["dimension change"] += outside(index.dimensions, "change")
    assert all(count / trials <= 0.07 for count in wrong.values()), wrong


def test_without_differences_no_group_is_sure() -> None:
    """Three groups, the smallest of about fifteen: at least one seems to differ in at most 7 of 100 surveys."""
    rng, trials, wrong = np.random.default_rng(2027), 200, 0
    for _ in range(trials):
        measure = nobody_differs(90, rng, branch=rng.choice(list("abc"), 90, p=[0.5, 1 / 3, 1 / 6]))
        groups = build_index(measure, draws=50, rng=rng).groups
        wrong += outside(groups, "difference")
    assert wrong / trials <= 0.07, wrong


def test_an_item_with_too_few_answers_is_named() -> None:
    frame = quarter(40, 1)
    frame.loc[3:, "e1"] = np.nan
    with pytest.raises(ComputationError) as caught:
        build_index(measured(frame))
    assert str(caught.value) == (
        "small 2026Q3: expected at least 10 answers (minimum_n) to every item, found fewer for e1 (3); "
        "collect more answers, or name the items in drop_items"
    )


def test_a_group_that_cannot_be_scored_on_a_dimension_is_withheld() -> None:
    frame = quarter(120, 1)
    small = frame.index[:14]
    frame["branch"] = "a"
    frame.loc[frame.index[60:], "branch"] = "b"
    frame.loc[small, "branch"] = "c"
    frame.loc[small[:12], ["f1", "f2"]] = np.nan
    groups = build_index(measured(frame), draws=50).groups.set_index("value")
    assert groups.loc["c", "suppressed"] == "too few"
    assert groups.loc["c", ["n", "estimate", "EXP", "EFF", "RSK"]].isna().all()


def test_a_thin_earlier_quarter_is_not_compared_with() -> None:
    old = quarter(12, 1, "2026Q2")
    old.loc[2:, ["f1", "f2"]] = np.nan
    index = build_index(measured(old, quarter(60, 2, "2026Q3")), draws=50)
    assert (index.previous_quarter, index.change, index.since_first) == ("", None, None)
    assert index.trend.loc[index.trend["quarter"] == "2026Q2", "estimate"].isna().all()
