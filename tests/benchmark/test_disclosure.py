"""Disclosure of a submission: least by brute force, laws, revisions, whole messages."""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqmodel.benchmark.content import Context, Indicator, ItemCounts, Ordinal, Waiting, Withheld
from sqmodel.benchmark.disclosure import DisclosureError, Total, mergers, needs_complete_scores, protect
from sqmodel.benchmark.disclosure_search import small
from sqmodel.benchmark.profile import DisclosureRules
from sqmodel.benchmark.simulate import simulate_submissions
from sqmodel.measurement.moments import GroupMoments
from tests.benchmark.playing import every_table, game
from tests.benchmark.small_submissions import Answers, bare, draw, structure_of, submission_of, told, with_counts

RULES = DisclosureRules()
SECRET = b"known to the institution"


# --- the least, against brute force ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("seed", "items", "categories"), list(itertools.product(range(6), (1, 2, 3), (3, 4, 5))))
def test_the_least_is_withheld_of_a_submission(seed: int, items: int, categories: int) -> None:
    rng = np.random.default_rng(seed)
    n = 24 if categories < 5 else 20
    answers = draw(rng, n, items, categories, skew=1.0)
    structure = structure_of(items, 1)
    sent = submission_of(answers, structure, categories)
    expected: dict[str, list[tuple[int, ...]]] = {}
    for column, own in enumerate(sent.counts):
        others = [k for k in range(items) if k != column]
        true = [int(answers[:, column] @ answers[:, k]) for k in others]

        def reached(t: tuple[int, ...], others: Any = others, true: Any = true) -> bool:
            sorted_own = np.repeat(range(1, categories + 1), t)
            both = [np.sort(answers[:, k]) for k in others]
            return all(sorted_own[::-1] @ o <= s <= sorted_own @ o for o, s in zip(both, true, strict=True))

        counts = tuple(c or 0 for c in own.counts)
        tables = [t for t in every_table(counts) if reached(t)]
        expected[own.item] = [h for _, h in game(tables)[counts]] if small(np.array(counts), 3) else [()]
    if [] not in expected.values():
        found = protect(sent, RULES, secret=SECRET, structure=structure)
        for item, counts_sent in told(found).items():
            assert tuple(k for k, c in enumerate(counts_sent) if c is None) in expected[item]
        assert found.moments == sent.moments
    elif items == 1:
        with pytest.raises(DisclosureError):
            protect(sent, RULES, secret=SECRET, structure=structure)
    else:
        found = protect(sent, RULES, secret=SECRET, structure=structure)
        assert found.moments is None
        assert not found.counts or all(c is None for cs in told(found).values() for c in cs)


def test_three_equations_give_back_three_counts() -> None:
    """n, mean and variance are known, so that three withheld counts are as good as told, and a fourth joins."""
    answers = with_counts([2, 1, 2, 20, 30, 40, 50], [20, 20, 20, 20, 20, 20, 25])
    found = protect(submission_of(answers, structure_of(2, 1), 7), RULES, secret=SECRET)
    assert told(found)["q1"] == (None, None, None, None, 30, 40, 50) or sum(c is None for c in told(found)["q1"]) > 3
    assert sum(c is None for c in told(found)["q1"]) >= 4
    assert told(found)["q2"] == (20, 20, 20, 20, 20, 20, 25)
    assert {(w.table, w.rule) for w in found.withheld} == {("counts", "small counts")}


def test_answers_that_correlate_perfectly_tell_each_other() -> None:
    """With a correlation of one the counts of one item are those of the other, so that more than counts must go."""
    one = with_counts([2, 8, 12, 20, 18])[:, 0]
    twice = np.column_stack([one, one, np.random.default_rng(1).permutation(one)])
    found = protect(
        submission_of(twice, {"D1": ["q1", "q2", "q3"]}, 5), RULES, secret=SECRET, structure={"D1": ["q1", "q2", "q3"]}
    )
    assert found.moments is None
    apart = np.column_stack([one, np.random.default_rng(2).permutation(one)])
    sent = protect(submission_of(apart, {"D1": ["q1", "q2"]}, 5), RULES, secret=SECRET, structure={"D1": ["q1", "q2"]})
    assert sent.moments is not None


# --- laws -----------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(st.lists(st.one_of(st.just(0), st.integers(3, 60)), min_size=2, max_size=7).filter(lambda c: sum(c) >= 10))
def test_nothing_is_withheld_where_no_count_is_small(counts: list[int]) -> None:
    sent = submission_of(with_counts(counts, counts), structure_of(2, 1), len(counts))
    assume(sent.n >= 12)
    assert protect(sent, RULES, secret=SECRET) == sent


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_to_send_the_same_again_withholds_the_same(seed: int) -> None:
    rng = np.random.default_rng(seed)
    structure = structure_of(4, 2)
    first = submission_of(draw(rng, 40, 4, 5), structure, 5, context=CONTEXT)
    sent = protect(first, RULES, secret=SECRET, structure=structure)
    again = protect(dataclasses.replace(first, revision=1), RULES, secret=SECRET, structure=structure, earlier=[sent])
    assert dataclasses.replace(again, revision=0).withheld == sent.withheld
    assert told(again) == told(sent)


CONTEXT = tuple(Context("size", v, s / 40) for v, s in (("small", 20), ("medium", 17), ("large", 2), ("giant", 1)))


def test_primary_and_secondary_counts_are_withheld_in_the_same_words() -> None:
    sent = protect(submission_of(draw(np.random.default_rng(0), 40, 4, 7), structure_of(4, 2), 7), RULES, secret=SECRET)
    assert {w.rule for w in sent.withheld} == {"small counts"}
    assert {w.cell for w in sent.withheld if w.table == "counts"} == {
        f"{c.item}={k}" for c in sent.counts for k, v in zip(c.categories, c.counts, strict=True) if v is None
    }


# --- too few --------------------------------------------------------------------------------------------------------


def test_all_reasons_why_nothing_can_be_sent_are_told_at_once() -> None:
    sent = submission_of(draw(np.random.default_rng(1), 8, 2, 5), structure_of(2, 1), 5)
    broken = dataclasses.replace(sent, withheld=(Withheld("counts", "q1=1", "small counts"),))
    other = dataclasses.replace(sent, institution="B", quarter="2026Q2")
    with pytest.raises(DisclosureError) as caught:
        protect(broken, RULES, secret=SECRET, earlier=[other, sent])
    assert str(caught.value) == (
        "A 2026Q3: 6 problems\n"
        "  - expected a submission with nothing withheld, found 1 figures withheld\n"
        "  - scores: expected 10 respondents or more, found 8 of overall\n"
        "  - scores: expected 10 respondents or more, found 8 of D1\n"
        "  - expected 10 scored respondents or more, found 8\n"
        "  - earlier: expected submissions of A, found some of B\n"
        "  - revision: expected one above 0, which was sent before, found 0\n"
        "  What to do: wait for more answers, or send the quarter with the next one; a submission from which "
        "somebody's answer could be worked out is not written"
    )


def test_counts_moments_and_thresholds_must_go_together() -> None:
    sent = submission_of(with_counts([9, 5, 20], [10, 20, 4]), structure_of(2, 1), 3)
    moments = sent.moments
    assert moments is not None
    wrong = dataclasses.replace(moments, mean=moments.mean + np.array([0.5, 0.0]))
    ordinal = Ordinal(("q1", "q3"), (3, 3), GroupMoments(34, np.eye(2), np.zeros(2), np.array([-1.0, 1.0, 0.0, 1.0])))
    counts = (sent.counts[0], sent.counts[1]._replace(counts=(10, None, 4)))
    with pytest.raises(DisclosureError) as caught:
        protect(dataclasses.replace(sent, moments=wrong, ordinal=ordinal, counts=counts), RULES, secret=SECRET)
    assert str(caught.value).splitlines()[1:-1] == [
        "  - q1: expected moments of the counted answers (sum of answers 79), found 96",
        "  - q2: expected all counts, so that it can be decided which to withhold, found some withheld",
        "  - q1: expected thresholds of the counted answers, found others",
        "  - q3: expected its counts beside its thresholds, found none",
    ]


def test_a_dimension_of_one_item_with_few_categories_can_tell_a_small_count() -> None:
    sent = submission_of(with_counts([1, 30, 9], [10, 20, 10]), {"D1": ["q1"], "D2": ["q2"]}, 3)
    with pytest.raises(DisclosureError) as caught:
        protect(sent, RULES, secret=SECRET, structure={"D1": ["q1"], "D2": ["q2"]})
    assert str(caught.value).splitlines()[:2] == [
        "A 2026Q3: 1 problem",
        "  - q1: expected a score of D1 from which no small count follows, found one that gives it",
    ]


@pytest.mark.parametrize(
    ("complete", "scored", "rule"),
    [(9, 20, "minimum n"), (30, 33, "difference"), (30, 39, "difference"), (30, 40, ""), (30, 30, "")],
)
def test_few_who_did_not_answer_everything(complete: int, scored: int, rule: str) -> None:
    """Scores of all less those of the complete answers would be the scores of the few."""
    rng = np.random.default_rng(1)
    extra = rng.uniform(0, 100, (scored - complete, 2))
    counts = [complete // 3] * 3
    sent = submission_of(with_counts(counts, counts), structure_of(2, 2), 3, extra=extra if len(extra) else None)
    found = protect(sent, RULES, secret=SECRET)
    assert needs_complete_scores([s.n for s in sent.scores], complete, RULES) == (rule == "difference")
    expected = (Withheld("counts", "", rule), Withheld("moments", "", rule)) if rule else ()
    assert found.withheld == expected
    assert (found.moments is None) == bool(rule)
    assert found.scores == sent.scores


def test_covariances_need_more_answers_than_items() -> None:
    """Sums of products of as many items as respondents can be solved by their records only."""
    for n, sent in ((13, False), (14, True)):
        counts = [5, n - 10, 5]
        found = protect(
            submission_of(with_counts(counts, counts, counts, counts), structure_of(4, 1), 3), RULES, secret=SECRET
        )
        assert (found.moments is not None) == sent
        assert found.withheld == (() if sent else (Withheld("moments", "", "minimum n"),))


# --- thresholds -----------------------------------------------------------------------------------------------------


def ordinal_of(answers: Answers, merged: Sequence[Sequence[Sequence[int]]]) -> Ordinal:
    from scipy.special import ndtri

    n, thresholds = len(answers), []
    for column, groups in zip(answers.T, merged, strict=True):
        ends = [max(g) + 1 for g in groups[:-1]]
        thresholds += [float(ndtri((column <= e).mean())) for e in ends]
    items = tuple(f"q{k + 1}" for k in range(answers.shape[1]))
    return Ordinal(items, tuple(len(g) for g in merged),
                   GroupMoments(n, np.eye(len(items)), np.zeros(len(items)), np.array(thresholds)))  # fmt: skip


def test_thresholds_are_cumulative_counts() -> None:
    """With a small category an item's thresholds go; merged so that none is small they stay, and count as told."""
    answers = with_counts([2, 9, 12, 25, 18, 15, 19], [11, 9, 12, 20, 18, 15, 15], [12, 9, 12, 20, 18, 15, 14])
    sent = submission_of(answers, structure_of(3, 1), 7)
    plain = [[[k] for k in range(7)]] * 3
    found = protect(dataclasses.replace(sent, ordinal=ordinal_of(answers, plain)), RULES, secret=SECRET)
    assert found.ordinal is not None
    assert found.ordinal.items == ("q2", "q3")
    assert Withheld("ordinal", "q1", "small counts") in found.withheld


@pytest.mark.parametrize(
    "counts", [(2, 4, 6, 8, 4), (1, 5, 7, 6, 5), (2, 5, 3, 9, 5), (4, 4, 4, 1, 11), (1, 2, 7, 7, 7)]
)
def test_merged_thresholds_count_as_told(counts: tuple[int, ...]) -> None:
    """With no small merged category thresholds stay if some counts are safe beside the sums that they tell."""
    answers = with_counts(counts, [5, 5, 5, 5, 4], [4, 5, 5, 5, 5])
    groups = mergers(counts, RULES)
    ordinal = ordinal_of(answers, [groups, [[k] for k in range(5)], [[k] for k in range(5)]])
    found = protect(
        dataclasses.replace(submission_of(answers, structure_of(3, 1), 5), ordinal=ordinal), RULES, secret=SECRET
    )
    sets = game(every_table(counts), thresholds=lambda t: places if len(places := mergers(t, RULES)) > 1 else None)
    assert (found.ordinal is not None) == bool(sets[counts])
    if found.ordinal is not None:
        hidden = tuple(k for k, c in enumerate(told(found)["q1"]) if c is None)
        assert ("q1" in found.ordinal.items, hidden) in sets[counts]


@given(st.lists(st.integers(0, 9), min_size=2, max_size=7))
def test_most_merged_categories(counts: list[int]) -> None:
    groups = mergers(counts, RULES)
    assert [k for g in groups for k in g] == list(range(len(counts)))
    best = 1
    for cuts in itertools.product((0, 1), repeat=len(counts) - 1):
        ends = [0, *(k + 1 for k, c in enumerate(cuts) if c), len(counts)]
        if all(sum(counts[a:b]) >= RULES.minimum_cell for a, b in itertools.pairwise(ends)):
            best = max(best, len(ends) - 1)
    assert len(groups) == best


# --- context, indicators, waiting -----------------------------------------------------------------------------------


def share(code: str, n: float, events: float) -> Indicator:
    return Indicator(code, "share", n, events, events / n, 0.1)


def test_indicators_of_few() -> None:
    mean = Indicator("hours", "mean", 9, math.nan, 3.0, 0.1)
    rate = Indicator("complaints", "rate", 500.5, 2, 2 / 500.5, 0.1)
    none = Indicator("losses", "rate", 500.5, 0, 0.0, 0.1)
    sent = bare(indicators=(share("a", 100, 98), share("b", 100, 97), share("c", 9, 5), share("d", 50, 0), mean, rate,
                            none))  # fmt: skip
    found = protect(sent, RULES, secret=SECRET)
    assert {w.cell: w.rule for w in found.withheld} == {
        "a": "small counts", "c": "minimum n", "hours": "minimum n", "complaints": "small counts"
    }  # fmt: skip
    assert [i.code for i in found.indicators] == ["b", "d", "losses"]


def test_parts_of_an_indicator_hide_one_another() -> None:
    parts = (share("standard.x", 40, 38), share("standard.y", 60, 30), share("standard.z", 100, 50))
    total = share("within", 200, 118)
    found = protect(bare(indicators=(*parts, total)), RULES, secret=SECRET)
    assert [w.cell for w in found.withheld] == ["standard.x", "standard.y"]
    assert {w.rule for w in found.withheld} == {"small counts"}
    apart = protect(bare(indicators=(*parts, share("within", 210, 118))), RULES, secret=SECRET)
    assert [w.cell for w in apart.withheld] == ["standard.x"]


@settings(max_examples=80)
@given(st.lists(st.integers(0, 9), min_size=2, max_size=6).filter(lambda c: sum(c) >= 10))
def test_the_fewest_points_of_a_survival_table_are_withheld(done: list[int]) -> None:
    n = sum(done)
    left = n - np.cumsum(done[:-1])
    hours = [float(2**k) for k in range(len(left))]
    rows = tuple(Waiting("review", h, n, int(x) / n, 0.1) for h, x in zip(hours, left, strict=True))
    found = protect(bare(waiting=rows), RULES, secret=SECRET)

    def fine(kept: Sequence[int]) -> bool:
        marks = [n, *(int(left[k]) for k in kept), 0]
        return all(a - b == 0 or a - b >= RULES.minimum_cell for a, b in itertools.pairwise(marks))

    sets = [s for size in range(len(left) + 1) for s in itertools.combinations(range(len(left)), size)]
    assert len(found.waiting) == max(len(s) for s in sets if fine(s))
    assert fine([hours.index(w.hours) for w in found.waiting])
    assert {w.cell for w in found.withheld} == {f"review:{h:g}" for h in hours} - {
        f"review:{w.hours:g}" for w in found.waiting
    }


# --- revisions and other quarters -----------------------------------------------------------------------------------


def test_a_revision_by_few_respondents_is_refused() -> None:
    rng = np.random.default_rng(0)
    answers, structure = draw(rng, 60, 3, 5), structure_of(3, 1)
    sent = protect(submission_of(answers[:56], structure, 5), RULES, secret=SECRET)
    with pytest.raises(DisclosureError) as caught:
        protect(submission_of(answers, structure, 5, revision=1), RULES, secret=SECRET, earlier=[sent])
    assert str(caught.value).splitlines()[:3] == [
        "A 2026Q3: 2 problems",
        "  - respondents: expected as many as in revision 0 or a difference of 10 or more (56), found 60",
        "  - respondents who answered all items: expected as many as in revision 0 or a difference of 10 or more (56), "
        "found 60",
    ]
    assert (
        protect(submission_of(answers, structure, 5, quarter="2026Q4"), RULES, secret=SECRET, earlier=[sent]).quarter
        == "2026Q4"
    )


def test_a_few_corrected_answers_are_refused_and_many_are_not() -> None:
    structure = structure_of(2, 1)
    old = with_counts([20, 20, 20, 20, 20], [20, 20, 20, 20, 20])
    sent = protect(submission_of(old, structure, 5), RULES, secret=SECRET)
    new = old.copy()
    new[np.flatnonzero(old[:, 0] == 5)[:4], 0] = 4
    with pytest.raises(DisclosureError) as caught:
        protect(submission_of(new, structure, 5, revision=1), RULES, secret=SECRET, earlier=[sent])
    assert str(caught.value).splitlines()[1] == (
        "  - q1: expected the answers of revision 0, or 10 or more that differ, found 4"
    )
    new[np.flatnonzero(old[:, 0] == 5)[:12], 0] = 4
    assert protect(submission_of(new, structure, 5, revision=1), RULES, secret=SECRET, earlier=[sent]).withheld == ()


def test_counts_withheld_once_stay_withheld_when_the_rules_get_looser() -> None:
    structure = structure_of(3, 1)
    first = submission_of(draw(np.random.default_rng(4), 60, 3, 7), structure, 7, context=CONTEXT_60)
    sent = protect(first, DisclosureRules(minimum_cell=5), secret=SECRET)
    again = protect(dataclasses.replace(first, revision=1), RULES, secret=SECRET, earlier=[sent])
    # What may be withheld under the one rules is seldom what may be under the others: then all counts go.
    assert len(sent.counts) == 3
    assert Withheld("counts", "", "small counts") in again.withheld
    assert not again.counts
    hidden = {w.cell for w in sent.withheld if w.table == "context"}
    assert hidden <= {w.cell for w in again.withheld if w.table == "context"}


CONTEXT_60 = tuple(Context("size", v, s / 60) for v, s in (("small", 30), ("medium", 22), ("large", 4), ("giant", 4)))


def test_late_answers_are_a_table_of_their_own() -> None:
    """Two revisions published in full tell the answers of those who came late, one by one."""
    structure = structure_of(2, 1)
    old = with_counts([10, 20, 30, 40, 50, 60, 70], [40] * 7)
    late = with_counts([1, 2, 3, 4, 5, 6, 7], [4] * 7)
    sent = protect(submission_of(old, structure, 7), RULES, secret=SECRET)
    assert sent.withheld == ()
    new = protect(submission_of(np.vstack([old, late]), structure, 7, revision=1), RULES, secret=SECRET, earlier=[sent])
    hidden = [k for k, c in enumerate(told(new)["q1"]) if c is None]
    assert {0, 1} < set(hidden)
    assert len(hidden) >= 4
    assert told(new)["q2"] == (44,) * 7


def test_totals_over_quarters_tie_their_counts() -> None:
    """With a total over two quarters the new count gives the old one, which was withheld: it is withheld too."""
    structure = structure_of(2, 1)
    first = submission_of(with_counts([2, 9, 12, 25, 18, 15, 19], [15, 15, 14, 14, 14, 14, 14]), structure, 7)
    sent = protect(first, RULES, secret=SECRET)
    old = told(sent)["q1"]
    hidden = [k for k, c in enumerate(old) if c is None]
    second = submission_of(with_counts([20] * 7, [20] * 7), structure, 7, quarter="2026Q4")
    true = [c or 0 for c in first.counts[0].counts]
    totals = [Total("q1", k + 1, ("2026Q3", "2026Q4"), true[k] + 20) for k in range(7)]
    assert protect(second, RULES, secret=SECRET, earlier=[sent]).withheld == ()
    new = told(protect(second, RULES, secret=SECRET, earlier=[sent], totals=totals))["q1"]
    assert new[0] is None
    assert len([k for k in hidden if new[k] is None]) >= 4


def test_changes_of_indicators_shares_and_waiting_by_few_are_withheld() -> None:
    context = tuple(Context("size", v, c / 60) for v, c in (("a", 20), ("b", 20), ("c", 20)))
    waiting = tuple(Waiting("review", h, 200, s, 0.1) for h, s in ((1.0, 0.8), (2.0, 0.5), (4.0, 0.2)))
    sent = protect(
        bare(context=context, waiting=waiting, indicators=(share("a", 100, 50), share("b", 100, 50))),
        RULES,
        secret=SECRET,
    )
    assert sent.withheld == ()
    context = tuple(Context("size", v, c / 60) for v, c in (("a", 22), ("b", 14), ("c", 24)))
    later = tuple(w._replace(waiting=w.waiting - 0.005 * (w.hours == 2)) for w in waiting)
    now = bare(revision=1, context=context, waiting=later, indicators=(share("a", 100, 51), share("b", 120, 60)))
    found = protect(now, RULES, secret=SECRET, earlier=[sent]).withheld
    assert [(w.table, w.cell, w.rule) for w in found[:5]] == [
        ("indicators", "a", "difference"), ("waiting", "review:1", "difference"),
        ("waiting", "review:2", "difference"), ("waiting", "review:4", "difference"),
        ("context", "size=a", "small counts"),
    ]  # fmt: skip
    assert [(w.table, w.rule) for w in found[5:]] == [("context", "small counts")]


# --- time -----------------------------------------------------------------------------------------------------------


def test_it_takes_no_time_worth_mentioning() -> None:
    whole = simulate_submissions(4, respondents=[60, 100, 500, 500], rng=2)
    for sent in whole:
        start = time.process_time()
        protect(sent, RULES, secret=SECRET)
        assert time.process_time() - start < 2
    items = [ItemCounts(c.item, c.categories, c.counts) for c in whole[0].counts]
    assert len(items) == 26
