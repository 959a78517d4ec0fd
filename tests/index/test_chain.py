"""Chain-linking by hand: offsets, linked values, their errors, and what cannot be linked."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.errors import ComputationError, InputError
from sqmodel.index.chain import LinkedIndex, link_index
from sqmodel.index.links import Segment
from sqmodel.index.trend import assess_trend
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from tests.index.surveys import DIMENSIONS, quarter
from tests.survey.small_instrument import CONTENT, ITEMS, bare

CHANGED = {"e2": "e3", "f2": "f3", "r2": "r3"}
"""Statements that the second version replaces, one in each dimension."""
HARDER = {"e2": -1.0, "f2": -1.0, "r2": -1.0}


def second(**changes: Any) -> Instrument:
    """The second version: other statements in the place of those that changed."""
    items = [{**i, "code": CHANGED[i["code"]], "text": "new"} if i["code"] in CHANGED else i for i in CONTENT["items"]]
    return bare(**({"version": "2", "items": items} | changes))


def old(*frames: pd.DataFrame) -> Measure:
    return _measure(bare(), frames)


def new(*frames: pd.DataFrame, instrument: Instrument | None = None) -> Measure:
    """A measure of the second version from answers to the first one's places."""
    return _measure(instrument or second(), [f.rename(columns=CHANGED) for f in frames])


def _measure(instrument: Instrument, frames: Any) -> Measure:
    codes = ["respondent", "quarter", *instrument.item_codes]
    whole = pd.concat(frames, ignore_index=True)
    return qualify(Responses(instrument, whole[codes]), quarter=whole["quarter"].max())


def mean(frame: pd.DataFrame, items: list[str] = ITEMS) -> pd.Series:
    """Each respondent's score over some statements, 0-100; r2 is reversed."""
    turned = frame[ITEMS].assign(r2=8 - frame["r2"])
    return (turned[items].mean(axis=1) - 1) / 6 * 100


def linked(*segments: Segment, **options: Any) -> LinkedIndex:
    return link_index(segments, **({"draws": 200} | options))


def whole(found: LinkedIndex, table: str) -> pd.DataFrame:
    frame: pd.DataFrame = getattr(found, table)
    return frame[frame["scope"] == "overall"].reset_index(drop=True)


Q1, Q2, Q3, Q4 = (quarter(40 + 5 * i, i, f"2026Q{i}") for i in (1, 2, 3, 4))
AGAIN = quarter(50, 2, "2026Q2", **HARDER)
"""The respondents of the second quarter, asked the harder version too."""
LATER = quarter(55, 3, "2026Q3", **HARDER)


def test_an_overlap_of_the_same_respondents_by_hand() -> None:
    found = linked(Segment(old(Q1, Q2)), Segment(new(AGAIN, LATER), reason="new statements"))
    offset = mean(AGAIN) - mean(Q2)
    link: Any = whole(found, "links").iloc[0]
    assert link["offset"] == pytest.approx(offset.mean())
    assert link["se"] == pytest.approx(offset.std(ddof=1) / math.sqrt(50))
    assert (link["method"], link["before"], link["after"]) == ("overlap", "2026Q2", "2026Q2")
    assert (link["n_before"], link["n_after"], link["n_both"], link["segment"]) == (50, 50, 50, 2)
    series = whole(found, "series").set_index("quarter")
    expected = [mean(Q1).mean() + offset.mean(), mean(AGAIN).mean(), mean(LATER).mean()]
    assert series["estimate"].tolist() == pytest.approx(expected)
    assert series["own"].tolist() == pytest.approx([mean(Q1).mean(), *expected[1:]])
    assert series["version"].tolist() == ["small 1", "small 2", "small 2"]
    moved: Any = whole(found, "differences").set_index(["quarter", "earlier"]).loc[("2026Q3", "2026Q1")]
    assert moved["difference"] == pytest.approx(expected[2] - expected[0])
    errors = [f.std(ddof=1) / math.sqrt(len(f)) for f in (mean(LATER), mean(Q1), offset)]
    assert moved["se"] == pytest.approx(math.hypot(*errors))


def test_an_overlap_of_a_split_sample_holds_the_error_of_both_halves() -> None:
    half, other = Q2.iloc[:22], AGAIN.iloc[22:]
    found = linked(Segment(old(Q1, half)), Segment(new(other, LATER), reason="new statements"))
    link: Any = whole(found, "links").iloc[0]
    assert link["offset"] == pytest.approx(mean(other).mean() - mean(half).mean())
    assert link["se"] == pytest.approx(math.hypot(*(mean(f).std(ddof=1) / math.sqrt(len(f)) for f in (half, other))))
    assert (link["n_before"], link["n_after"], link["n_both"]) == (22, 28, 0)


def test_matched_items_by_hand() -> None:
    found = linked(Segment(old(Q1, Q2)), Segment(new(LATER), reason="new statements"))
    kept = ["e1", "f1", "r1"]
    before, after = (mean(f) - mean(f, kept) for f in (Q2, LATER))
    link: Any = whole(found, "links").iloc[0]
    assert (link["method"], link["before"], link["after"]) == ("matched items", "2026Q2", "2026Q3")
    assert (link["items"], link["share"]) == (3, pytest.approx(0.5))
    assert link["offset"] == pytest.approx(after.mean() - before.mean())
    assert link["se"] == pytest.approx(math.hypot(*(f.std(ddof=1) / math.sqrt(len(f)) for f in (before, after))))
    moved: Any = whole(found, "differences").set_index(["quarter", "earlier"]).loc[("2026Q3", "2026Q2")]
    same = [mean(f, kept) for f in (LATER, Q2)]
    assert moved["difference"] == pytest.approx(same[0].mean() - same[1].mean())
    assert moved["se"] == pytest.approx(math.hypot(*(f.std(ddof=1) / math.sqrt(len(f)) for f in same)))


def test_a_ratio_splice_multiplies() -> None:
    found = linked(Segment(old(Q1, Q2)), Segment(new(AGAIN, LATER), reason="new statements"), splice="ratio")
    factor = mean(AGAIN).mean() / mean(Q2).mean()
    assert whole(found, "links")["offset"][0] == pytest.approx(factor)
    assert whole(found, "series")["estimate"][0] == pytest.approx(factor * mean(Q1).mean())


def test_a_ratio_splice_over_matched_items() -> None:
    found = linked(Segment(old(Q1, Q2)), Segment(new(LATER), reason="new statements"), splice="ratio")
    before, after = (mean(f).mean() / mean(f, ["e1", "f1", "r1"]).mean() for f in (Q2, LATER))
    assert whole(found, "links")["offset"][0] == pytest.approx(after / before)


def test_a_dimension_without_unchanged_items_leaves_the_others_to_tell_the_change() -> None:
    """At unequal weights: the index of the unchanged items is that of the two dimensions left, weights rescaled."""
    other = {"r1": "r3", "r2": "r4"}
    items = [{**i, "code": other[i["code"]], "text": "new"} if i["code"] in other else i for i in CONTENT["items"]]
    early, late = old(Q1, Q2), _measure(bare(version="2", items=items), [LATER.rename(columns=other)])
    shares = {"EXP": 0.5, "EFF": 0.2, "RSK": 0.3}
    weights = [derive_weights(m, method="given", given=shares) for m in (early, late)]
    found = linked(Segment(early, weights[0]), Segment(late, weights[1], reason="risk asked anew"))
    left = [m.current.dimension_scores()[["EXP", "EFF"]].mean() @ [5 / 7, 2 / 7] for m in (early, late)]
    moved: Any = whole(found, "differences").set_index(["quarter", "earlier"]).loc[("2026Q3", "2026Q2")]
    assert moved["difference"] == pytest.approx(left[1] - left[0])
    assert whole(found, "links")["share"][0] == pytest.approx(0.7)
    assert set(found.links["scope"]) == {"overall", "EXP", "EFF"}
    assert found.series.loc[found.series["scope"] == "RSK", "quarter"].tolist() == ["2026Q3"]


def test_new_weights_on_the_same_answers_are_linked_without_their_scatter() -> None:
    measure = old(Q1, Q2, Q3)
    first, last = (
        derive_weights(measure, method="given", given=dict(zip(DIMENSIONS, w, strict=True)))
        for w in ((0.2, 0.5, 0.3), (0.5, 0.2, 0.3))
    )
    early = qualify(measure.responses, quarter="2026Q2")
    late = qualify(measure.responses.keep(measure.responses.frame["quarter"] >= "2026Q2"), quarter="2026Q3")
    found = linked(Segment(early, first), Segment(late, last, reason="weights of the new panel"))
    scores = measure.responses.of("2026Q2").dimension_scores()
    by_hand = scores @ (last.table["weight"] - first.table["weight"])
    link: Any = whole(found, "links").iloc[0]
    assert (link["offset"], link["se"]) == pytest.approx((by_hand.mean(), by_hand.std(ddof=1) / math.sqrt(50)))
    own = found.links.set_index("scope").loc[list(DIMENSIONS)]
    assert own[["offset", "se"]].to_numpy() == pytest.approx(0)


def test_linking_a_version_to_itself_is_the_plain_trend() -> None:
    early, late = old(Q1, Q2), old(Q2, Q3)
    found = linked(Segment(early), Segment(late, reason="nothing changed"))
    plain = assess_trend(old(Q1, Q2, Q3), draws=200)
    one, two = (
        f.sort_values(["quarter", "scope"])[["estimate", "se"]].to_numpy() for f in (found.series, plain.points)
    )
    np.testing.assert_allclose(one, two)
    assert found.restatements["difference"].abs().max() == pytest.approx(0)


def test_three_versions_add_their_offsets_and_their_errors() -> None:
    third = second(version="3")
    final = new(LATER.assign(**{c: (LATER[c] - 1).clip(lower=1) for c in ("e1", "f1")}), Q4, instrument=third)
    found = linked(Segment(old(Q1, Q2)), Segment(new(AGAIN, LATER), reason="new statements"),
                   Segment(final, reason="other channel"))  # fmt: skip
    links = whole(found, "links").set_index("segment")
    series = whole(found, "series").set_index("quarter")
    assert series.loc["2026Q1", "estimate"] == pytest.approx(mean(Q1).mean() + links["offset"].sum())
    assert series.loc["2026Q2", "estimate"] == pytest.approx(mean(AGAIN).mean() + links.loc[3, "offset"])
    own = whole(found, "restatements").set_index(["segment", "quarter"])
    assert own.loc[(1, "2026Q1"), "reason"] == "new statements; other channel"
    assert own.loc[(2, "2026Q3"), "reason"] == "other channel"
    np.testing.assert_allclose(own["after"] - own["before"], own["difference"])
    assert own.loc[(1, "2026Q1"), "difference"] == pytest.approx(links["offset"].sum())
    assert set(own.index) == {(1, "2026Q1"), (1, "2026Q2"), (2, "2026Q2"), (2, "2026Q3")}


def test_a_dimension_that_only_the_new_version_has_begins_with_it() -> None:
    dimensions = [*CONTENT["dimensions"][:2], {"code": "NEW", "title": "New"}]
    items = [{**i, "dimension": "NEW"} if i["dimension"] == "RSK" else i for i in CONTENT["items"]]
    found = linked(
        Segment(old(Q1, Q2)),
        Segment(_measure(bare(version="2", dimensions=dimensions, items=items), [Q3, Q4]), reason="renamed"),
    )
    assert found.series.groupby("scope")["quarter"].min().to_dict() == {
        "overall": "2026Q1", "EXP": "2026Q1", "EFF": "2026Q1", "NEW": "2026Q3",
    }  # fmt: skip
    assert ["not_linked", "NEW cannot be linked to a version before small 2"] in found.notes.values.tolist()
    assert whole(found, "links")["share"][0] == pytest.approx(1)


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 500), st.booleans())
def test_the_order_of_rows_moves_nothing_and_differences_follow_the_series(seed: int, overlap: bool) -> None:
    frames = [AGAIN, LATER] if overlap else [LATER]
    mixed = [f.sample(frac=1, random_state=seed) for f in frames]
    one, two = (linked(Segment(old(Q1, Q2)), Segment(new(*f), reason="x"), draws=20) for f in (frames, mixed))
    pd.testing.assert_frame_equal(one.series[["estimate", "se"]], two.series[["estimate", "se"]])
    value = one.series.set_index(["scope", "quarter"])["estimate"]
    for row in one.differences.to_dict("records"):
        by_hand = value[row["scope"], row["quarter"]] - value[row["scope"], row["earlier"]]
        assert row["difference"] == pytest.approx(by_hand)


def test_another_scale_is_linked_over_an_overlap() -> None:
    short = {"minimum": 1, "maximum": 5}
    five = [f.assign(**{c: (f[c] * 5 / 7).round().clip(1, 5) for c in ITEMS}) for f in (AGAIN, LATER)]
    found = linked(Segment(old(Q1, Q2)), Segment(new(*five, instrument=second(scale=short)), reason="five points"))
    assert whole(found, "links")["method"].tolist() == ["overlap"]
    assert whole(found, "links")["items"].tolist() == [0]


def test_same_seed_same_series_and_back_from_json() -> None:
    segments = (Segment(old(Q1, Q2)), Segment(new(AGAIN, LATER), reason="new statements"))
    one, two = (link_index(segments, draws=50, rng=3) for _ in range(2))
    assert one.to_json() == two.to_json()
    back = LinkedIndex.from_json(json.loads(json.dumps(one.to_json())))
    pd.testing.assert_frame_equal(back.differences, one.differences)
    assert repr(back) == repr(one)
    assert repr(one).startswith("<LinkedIndex 2026Q1 to 2026Q3 on small 2: ")
    assert repr(one).endswith("linked by overlap>")


def test_linked_values_that_leave_the_scale_are_noted() -> None:
    high = Q1.assign(**dict.fromkeys(ITEMS[:5], 7.0), r2=1.0)
    up = AGAIN.assign(**{c: (Q2[c] + 2).clip(upper=7) for c in ITEMS[:5]})
    found = linked(Segment(old(high, Q2)), Segment(new(up, LATER), reason="milder"))
    assert whole(found, "series")["estimate"][0] > 100
    assert "outside_scale" in set(found.notes["code"])


REMEDY = (
    "  What to do: ask both versions in one quarter (all respondents, or a random half each), or keep items as they are"
)


def test_segments_that_do_not_meet() -> None:
    everything = [{**i, "text": "new"} for i in CONTENT["items"]]
    with pytest.raises(InputError) as caught:
        linked(Segment(old(Q1)), Segment(_measure(bare(version="2", items=everything), [Q3]), reason="rewritten"))
    assert str(caught.value) == (
        "chain-linking: 1 problem\n"
        "  - segments 1 and 2 (small 1, small 2): expected a quarter that both versions asked, or unchanged items "
        "(code, text and scale) that carry at least 50% of the index; found no such quarter, and 0 unchanged of 6 "
        "items that have the same code (0% of the index)\n" + REMEDY
    )


def test_another_scale_without_an_overlap() -> None:
    five = Q3.assign(**{c: (Q3[c] * 5 / 7).round().clip(1, 5) for c in ITEMS})
    with pytest.raises(InputError) as caught:
        linked(
            Segment(old(Q1)),
            Segment(_measure(bare(version="2", scale={"minimum": 1, "maximum": 5}), [five]), reason="five points"),
        )
    assert str(caught.value) == (
        "chain-linking: 1 problem\n"
        "  - segments 1 and 2 (small 1, small 2): expected a quarter that both versions asked, or unchanged items "
        "(code, text and scale) that carry at least 50% of the index; found no such quarter, and 0 unchanged of 6 "
        "items that have the same code, 6 of them on another scale (0% of the index)\n" + REMEDY
    )


def test_everything_wrong_with_the_segments_is_told_together() -> None:
    with pytest.raises(InputError) as caught:
        linked(
            Segment(old(Q1, Q2, Q2.iloc[:1])),
            Segment(new(LATER), reason=" "),
            Segment(old(Q1, Q4), reason="back"),
            splice="geometric",
        )
    assert str(caught.value) == (
        "chain-linking: 4 problems\n"
        "  - segment 1 (small 1): expected each respondent once in a quarter, found again: 2026Q2-0000 of 2026Q2\n"
        "  - segment 2 (small 2): expected a reason of the change, found none\n"
        "  - splice: expected one of additive, ratio, found 'geometric'\n"
        "  - segments 2 and 3 (small 2, small 1): expected the old version to end where the new one begins, found "
        "2026Q3 to 2026Q3 and 2026Q1 to 2026Q4\n" + REMEDY
    )


def test_one_segment_one_quarter_and_too_few_answers() -> None:
    for segments, message in (
        ([Segment(old(Q1, Q2))], "expected at least 2 segments, found 1"),
        ([Segment(old(Q2)), Segment(new(AGAIN), reason="x")],
         "expected at least 2 quarters in all segments together, found 2026Q2"),
        ([Segment(old(Q1.iloc[:9])), Segment(new(LATER), reason="x")],
         "segment 1 (small 1): expected a quarter with at least 10 respondents (minimum_n), found none"),
    ):  # fmt: skip
        with pytest.raises(InputError) as caught:
            linked(*segments)
        assert str(caught.value) == f"chain-linking: 1 problem\n  - {message}\n{REMEDY}"


def test_a_ratio_splice_of_an_index_of_zero() -> None:
    nothing = [f.assign(**dict.fromkeys(ITEMS[:5], 1.0), r2=7.0) for f in (Q1, Q2)]
    with pytest.raises(ComputationError) as caught:
        linked(Segment(old(*nothing)), Segment(new(AGAIN, LATER), reason="x"), splice="ratio")
    assert str(caught.value) == (
        "chain-linking: expected answers to the unchanged items in the quarters compared, and with a ratio splice an "
        "index above 0; found a link that is not defined; choose splice: additive, or ask both versions once"
    )
