"""Suppression: no figure for too few respondents can be had from what is shown."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sqmodel.index.scoring import build_index
from sqmodel.index.suppression import hide_nested, suppressed
from tests.index.surveys import measured, quarter

TABLES = st.dictionaries(st.text("abcdefgh", min_size=1, max_size=2), st.integers(1, 60), max_size=8)


@pytest.mark.parametrize(
    ("counts", "unstated", "expected"),
    [
        ({"a": 40, "b": 25}, 0, {}),
        ({"a": 40, "b": 25, "c": 6}, 0, {"c": "too few", "b": "secondary"}),
        ({"a": 40, "b": 25, "c": 6, "d": 7}, 0, {"c": "too few", "d": "too few"}),
        ({"a": 40, "b": 25, "c": 6}, 4, {"c": "too few"}),
        ({"a": 40, "b": 25}, 3, {"b": "secondary"}),
        ({"a": 40}, 3, {"a": "secondary"}),
        ({"a": 40, "b": 3}, 0, {"b": "too few", "a": "secondary"}),
        ({"a": 40, "b": 25}, 10, {}),
        ({"a": 10, "b": 10, "c": 9}, 0, {"c": "too few", "a": "secondary"}),
        ({}, 0, {}),
    ],
)
def test_worked_examples(counts: dict[str, int], unstated: int, expected: dict[str, str]) -> None:
    assert suppressed(counts, unstated, 10) == expected


@settings(max_examples=200, deadline=None)
@given(TABLES, st.integers(0, 30), st.integers(1, 20))
def test_nobody_can_subtract_down_to_too_few(counts: dict[str, int], unstated: int, minimum_n: int) -> None:
    """Every difference between the total and some of the groups shown counts enough respondents, or nobody."""
    hidden = suppressed(counts, unstated, minimum_n)
    shown = [n for g, n in counts.items() if g not in hidden]
    total = unstated + sum(counts.values())
    assert all(n >= minimum_n for n in shown)
    for size in range(1, len(shown) + 1):
        for chosen in itertools.combinations(shown, size):
            rest = total - sum(chosen)
            assert rest == 0 or rest >= minimum_n


@settings(max_examples=200)
@given(TABLES, st.integers(0, 30), st.integers(1, 20))
def test_no_more_is_hidden_than_needed(counts: dict[str, int], unstated: int, minimum_n: int) -> None:
    hidden = suppressed(counts, unstated, minimum_n)
    secondary = [g for g, why in hidden.items() if why == "secondary"]
    small = {g for g, n in counts.items() if n < minimum_n}
    assert {g for g, why in hidden.items() if why == "too few"} == small
    if secondary:
        assert 0 < unstated + sum(counts[g] for g in small) < minimum_n
    if len(secondary) > 1:
        earlier = unstated + sum(counts[g] for g in hidden if g != secondary[-1])
        assert earlier < minimum_n


@given(TABLES, st.integers(0, 30), st.randoms(use_true_random=False))
def test_order_of_groups_does_not_matter(counts: dict[str, int], unstated: int, random: object) -> None:
    order = list(counts)
    random.shuffle(order)  # type: ignore[attr-defined]
    assert suppressed(counts, unstated, 10) == suppressed({g: counts[g] for g in order}, unstated, 10)


PLACES = st.lists(st.tuples(st.sampled_from("NSW"), st.integers(0, 3)), min_size=1, max_size=90)


@settings(max_examples=100, deadline=None)
@given(PLACES, st.integers(2, 12))
def test_nobody_can_subtract_branches_from_their_region(places: list[tuple[str, int]], minimum_n: int) -> None:
    """Branches lie inside regions: a region shown minus any of its branches shown counts enough, or nobody."""
    labels: dict[str, list[str | None]] = {
        "region": [region for region, _ in places],
        "branch": [f"{region}{branch}" for region, branch in places],
    }
    alone = {v: suppressed(Counter(filter(None, column)), 0, minimum_n) for v, column in labels.items()}
    hidden = hide_nested(labels, alone, minimum_n)
    shown = {v: {g: n for g, n in Counter(labels[v]).items() if g not in hidden[v]} for v in labels}
    for region, n in shown["region"].items():
        branches = [m for b, m in shown["branch"].items() if b is not None and b[0] == region]
        for size in range(1, len(branches) + 1):
            for chosen in itertools.combinations(branches, size):
                rest = n - sum(chosen)
                assert rest == 0 or rest >= minimum_n
    for variable, column in labels.items():
        rest = len(column) - sum(shown[variable].values())
        assert rest == 0 or rest >= min(minimum_n, len(column))
        assert hidden[variable].items() >= alone[variable].items()


def test_unrelated_variables_hide_nothing_of_each_other() -> None:
    labels: dict[str, list[str | None]] = {"sex": ["f", "m"] * 30, "branch": [*("a" * 31), *("b" * 29)]}
    assert hide_nested(labels, {"sex": {}, "branch": {}}, 10) == {"sex": {}, "branch": {}}


def test_a_branch_cannot_be_had_from_its_region() -> None:
    frame = quarter(120, 1)
    frame["region"] = np.repeat(["north", "south"], [60, 60])
    frame["branch"] = np.repeat(list("abcde"), [30, 24, 6, 7, 53])
    groups = build_index(measured(frame), draws=30).groups.set_index("value")
    assert groups["suppressed"].to_dict() == {
        "north": "", "south": "", "a": "", "b": "secondary", "c": "too few", "d": "too few", "e": "secondary",
    }  # fmt: skip


def test_suppressed_rows_of_the_index_hold_no_figure() -> None:
    frame = quarter(60, 1)
    frame["branch"] = np.repeat(["a", "b", "c"], [35, 19, 6])
    groups = build_index(measured(frame), draws=50, rng=1).groups
    rows = groups[groups["group"] == "branch"].set_index("value")
    assert rows["suppressed"].to_dict() == {"a": "", "b": "secondary", "c": "too few"}
    assert rows.loc[["b", "c"]].drop(columns=["group", "suppressed"]).isna().all(axis=None)
    assert rows.loc["a", "n"] == 35


def test_difference_from_all_others_is_withheld_where_they_are_too_few() -> None:
    frame = quarter(60, 1)
    frame["region"] = np.where(np.arange(60) < 52, "north", None)
    groups = build_index(measured(frame), draws=50, rng=1).groups
    assert groups["suppressed"].to_dict() == {0: "secondary"}
    frame["region"] = np.where(np.arange(60) < 45, "north", None)
    (row,) = build_index(measured(frame), draws=50, rng=1).groups.to_dict("records")
    assert row["suppressed"] == ""
    assert row["difference"] == pytest.approx(row["estimate"] - others(frame))


def others(frame: object) -> float:
    answers = measured(frame).current.keep(np.arange(60) >= 45)  # type: ignore[arg-type]
    return float(answers.dimension_scores().mean().mean())
