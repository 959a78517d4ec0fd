"""Totals of groups that the association withholds: rules by hand, the least by brute force, earlier quarters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.benchmark.disclosure import PublishedTotals, unsafe_changes, unsafe_totals
from sqmodel.benchmark.disclosure_totals import TotalsError
from sqmodel.benchmark.profile import DisclosureRules

RULES = DisclosureRules()


def frame(groups: Mapping[str, Sequence[float]]) -> pd.DataFrame:
    rows = [(g, f"{g}{k}", v) for g, values in groups.items() for k, v in enumerate(values)]
    return pd.DataFrame(rows, columns=["group", "institution", "value"])


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"a": [30, 30, 30], "b": [20, 30, 40]}, {}),
        # Two contributors; c hides them with the least sum.
        ({"a": [10, 10], "b": [90, 90, 90], "c": [20, 30, 30]}, {"a": "minimum institutions", "c": "secondary"}),
        # 80 and 15 of 100 are more than 85 %.
        ({"a": [80, 15, 5], "b": [30, 30, 30], "c": [50, 50, 50]}, {"a": "dominance", "b": "secondary"}),
        # Two unsafe totals hide one another only where their sum is safe.
        ({"a": [10, 10], "b": [12, 13], "c": [50, 50, 50]}, {"a": "minimum institutions", "b": "minimum institutions"}),
        ({"a": [90], "b": [1], "c": [50, 50, 50]},
         {"a": "minimum institutions", "b": "minimum institutions", "c": "secondary"}),
        ({"a": [10, 10]}, {"a": "minimum institutions", "overall": "minimum institutions"}),
        ({}, {}),
    ],
)  # fmt: skip
def test_worked_examples(groups: dict[str, list[float]], expected: dict[str, str]) -> None:
    assert unsafe_totals(frame(groups), RULES) == expected


def test_the_second_largest_could_estimate_the_largest() -> None:
    """100 and 60 of 169: the others' 9 are less than 10 % of 100; a looser share lets the total pass."""
    own = frame({"a": [100, 60, 9], "b": [40, 40, 40]})
    rules = DisclosureRules(dominance=(1, 99.0))
    assert unsafe_totals(own, rules) == {"a": "p percent", "b": "secondary"}
    assert unsafe_totals(own, DisclosureRules(dominance=(1, 99.0), p_percent=9.0)) == {}


def unsafe(values: Sequence[float]) -> bool:
    """The three rules, written once more."""
    v = sorted(values, reverse=True)
    return len(v) < 3 or sum(v[:2]) > 0.85 * sum(v) or sum(v) == 0 or sum(v[2:]) < 0.1 * v[0]


def hide_one_another(groups: Mapping[str, Sequence[float]]) -> bool:
    """Safe together as one total; and nobody of another group knows an unsafe one within 10 % of it."""
    everything = [v for values in groups.values() for v in values]
    if unsafe(everything):
        return False
    for g in (g for g, values in groups.items() if unsafe(values)):
        total, known = sum(groups[g]), max((max(v) for o, v in groups.items() if o != g), default=0)
        if sum(everything) - known - total < 0.1 * total:
            return False
    return True


GROUPS = st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(0, 40), min_size=1, max_size=5), min_size=1)


@settings(max_examples=150)
@given(GROUPS)
def test_the_least_is_withheld(groups: dict[str, list[int]]) -> None:
    """Fewest groups, then the least sum, such that those withheld are safe as one total."""
    found = unsafe_totals(frame(groups), RULES)
    everything = [v for values in groups.values() for v in values]
    primary = {g for g, values in groups.items() if unsafe(values)}
    if unsafe(everything):
        assert set(found) == primary | {"overall"}
        return
    assert {g for g, rule in found.items() if rule != "secondary"} == primary
    sets = [set(s) for size in range(len(groups) + 1) for s in itertools.combinations(groups, size)]
    fine = [s for s in sets if primary <= s and (not s or hide_one_another({g: groups[g] for g in s}))]
    if not fine:
        assert found == {"overall": "secondary"} | {g: found[g] for g in primary}
        return
    cost = [(len(s), sum(sum(groups[g]) for g in s)) for s in fine]
    assert (len(found), sum(sum(groups[g]) for g in found)) == min(cost)
    assert set(found) in fine


def test_many_groups_are_hidden_one_by_one() -> None:
    groups = {f"g{k:02d}": [10.0 + k, 10.0, 10.0, 10.0] for k in range(20)} | {"g20": [5.0, 5.0]}
    assert unsafe_totals(frame(groups), RULES) == {"g20": "minimum institutions", "g00": "secondary"}


def test_a_group_withheld_before_stays_withheld_where_totals_are_cumulated() -> None:
    before = frame({"a": [10, 10], "b": [90, 90, 90], "c": [20, 30, 30]})
    now = frame({"a": [10, 10, 10], "b": [90, 90, 90], "c": [20, 30, 30]})
    withheld = unsafe_totals(before, RULES)
    assert unsafe_totals(now, RULES) == {}
    assert unsafe_totals(now, RULES, earlier=[PublishedTotals(before, withheld)]) == {
        "a": "secondary", "c": "secondary"
    }  # fmt: skip


def test_a_change_is_withheld_where_either_quarter_is() -> None:
    assert unsafe_changes({}, {"a": "dominance"}) == {"a": "dominance"}
    assert unsafe_changes({"b": "secondary"}, {"a": "dominance"}) == {"a": "dominance", "b": "secondary"}


def test_all_that_is_wrong_with_contributions_is_told() -> None:
    wrong = pd.DataFrame(
        {"group": ["a", "overall", "a", "b"], "institution": ["x", "y", "y", "z"], "value": [-1.0, 2.0, np.nan, 3.0]}
    )
    with pytest.raises(TotalsError) as caught:
        unsafe_totals(wrong, RULES, earlier=[PublishedTotals(wrong[["group"]], {})])
    assert str(caught.value) == (
        "contributions: 4 problems\n"
        "  - expected values of 0 or more, found others of x, y\n"
        "  - expected every institution once, found more rows of y\n"
        "  - expected groups with other names than 'overall', which is the total of all, found one\n"
        "  - earlier: expected columns group, institution, value, found none called institution, value\n"
        "  What to do: give one row an institution and group, with values that are not negative"
    )
