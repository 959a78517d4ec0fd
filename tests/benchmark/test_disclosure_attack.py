"""Attacks on all that is published together: no suppressed count is recovered, and naive suppression is undone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.disclosure import PublishedTotals, Total, protect, unsafe_totals
from sqmodel.benchmark.disclosure_search import small
from sqmodel.benchmark.disclosure_tables import tables_of
from sqmodel.benchmark.profile import DisclosureRules
from tests.benchmark.attack import Equations, Patterns, determined, every_table, extent, read
from tests.benchmark.small_submissions import Answers, Structure, draw, hide, structure_of, submission_of
from tests.benchmarks.benchmark_disclosure import attack

RULES = DisclosureRules()
SECRET = b"known to the institution"
SHAPES = [(3, 1, 3), (4, 2, 3), (2, 1, 5), (2, 1, 7)]
"""Items, dimensions, points of the scale: small enough for the table of all answer patterns."""


def small_cells(full: Submission) -> Iterator[tuple[str, int]]:
    for own in full.counts:
        for k, c in zip(own.categories, own.counts, strict=True):
            if c is not None and 0 < c < RULES.minimum_cell:
                yield own.item, k


def naive(full: Submission) -> Submission:
    """Small counts withheld, and with a single one the next smallest: what counts alone would ask for."""
    cells = {}
    for own in full.counts:
        counts = [c or 0 for c in own.counts]
        hidden = [k for k, c in enumerate(counts) if 0 < c < RULES.minimum_cell]
        if len(hidden) == 1:
            hidden.append(min((k for k in range(len(counts)) if k not in hidden and counts[k]), key=counts.__getitem__))
        cells[own.item] = hidden
    return hide(full, cells)


def drawn(seed: int, items: int, dimensions: int, categories: int) -> tuple[Submission, Structure]:
    rng = np.random.default_rng(seed)
    n, structure = int(rng.integers(12, 81)), structure_of(items, dimensions)
    answers = draw(rng, n, items, categories, skew=float(rng.uniform(0, 1.6)))
    return submission_of(answers, structure, categories), structure


@pytest.mark.parametrize("shape", SHAPES)
def test_no_small_count_follows_from_all_patterns_of_answers(shape: tuple[int, int, int]) -> None:
    """The strongest attack: whole numbers of every pattern of answers that give everything published, scores too."""
    attacked = 0
    for seed in range(14 if shape[2] < 7 else 6):
        full, structure = drawn(seed, *shape)
        sent = protect(full, RULES, secret=SECRET, structure=structure)
        if not sent.counts:
            continue
        patterns = Patterns(sent, structure, full.n)
        for item, k in small_cells(full):
            low, high = patterns.extent(item, k, RULES)
            assert high - low >= RULES.spread, (seed, item, k, low, high)
            attacked += 1
    assert attacked > 10


def test_the_attack_on_patterns_recovers_what_is_withheld_of_counts_alone() -> None:
    recovered = tried = 0
    for seed in range(10):
        full, structure = drawn(seed, 2, 1, 5)
        patterns = Patterns(naive(full), structure, full.n)
        for item, k in small_cells(full):
            low, high = patterns.extent(item, k, RULES)
            tried += 1
            recovered += low == high
    assert recovered > 0.8 * tried > 0


def item_ranges(sent: Submission, structure: Structure, n: int, item: str) -> list[tuple[int, ...]]:
    """Every table of an item that fits its own equations and has a small count among those withheld."""
    own = next(c for c in sent.counts if c.item == item)
    hidden = [k for k, c in enumerate(own.counts) if c is None]
    tables = every_table(read(sent, "0", structure, n), "0", item)
    return [t for t in tables if any(0 < t[k] < RULES.minimum_cell for k in hidden)]


def test_no_small_count_follows_from_an_items_equations() -> None:
    """More items, by enumeration of each item's own tables; what enumeration finds, HiGHS finds too."""
    compared = searched = 0
    for seed, categories in itertools.product(range(14), (5, 7)):
        full, structure = drawn(100 + seed, 6, 2, categories)
        sent = protect(full, RULES, secret=SECRET, structure=structure)
        if not sent.counts:
            continue
        equations = read(sent, "0", structure, full.n)
        for item, k in small_cells(full):
            own = next(c for c in sent.counts if c.item == item)
            assert own.counts[k - 1] is None
            assert not determined(equations, ("0", item, k))
            hidden = [("0", item, c) for c, v in zip(own.categories, own.counts, strict=True) if v is None]
            listed = len(hidden) <= 4 and full.n <= 42 and item in (sent.moments.items if sent.moments else ())
            if listed:
                seen = [t[k - 1] for t in item_ranges(sent, structure, full.n, item)]
                assert max(seen) - min(seen) >= RULES.spread
            if listed or searched % 6 == 0:
                low, high = extent(equations, ("0", item, k), [hidden], RULES)
                assert high - low >= RULES.spread
                if listed:
                    assert (low, high) == (min(seen), max(seen))
                    compared += 1
            searched += 1
    assert compared > 5
    assert searched > 100


def test_no_small_count_follows_from_running_the_search_backwards() -> None:
    """Of which tables could the same have been withheld? Where the least sum is, some counts are told by that alone."""
    found = attack(250, 3, categories=(5,), most=60)
    drawn_, least = found["drawn"], found["least sum"]
    assert drawn_["small counts"] > 150
    assert drawn_["singled out"] == drawn_["narrowed"] == 0
    assert least["singled out"] + least["narrowed"] > 10


def test_what_is_withheld_of_other_items_tells_no_small_count() -> None:
    """An item's counts can rule out another's only through their covariance: all are decided again for every table."""
    attacked = 0
    for seed in range(24):
        full, structure = drawn(seed, 4, 2, 5)
        sent = protect(full, RULES, secret=SECRET, structure=structure)
        hidden = {c.item: tuple(k for k, v in enumerate(c.counts) if v is None) for c in sent.counts}
        if not hidden or sent.moments is None or len(sent.moments.items) < len(hidden):
            continue
        for item, table in tables_of(full, RULES, []).items():
            search = table.search(RULES)
            places = [place for place, (_, size) in enumerate(search.levels) if size == len(hidden[item])]
            alike = search.alike(places[0], table.counts, hidden[item]) if places else ()
            left = [t for t in alike if _decided_alike(full, item, t, hidden)]
            for cell in small(table.counts, RULES.minimum_cell):
                assert max(t[cell] for t in left) - min(t[cell] for t in left) >= RULES.spread
                attacked += 1
    assert attacked > 25


def _decided_alike(full: Submission, item: str, counts: Any, hidden: dict[str, tuple[int, ...]]) -> bool:
    """Whether of the other items the same could have been withheld if an item had other counts."""
    own = [c._replace(counts=tuple(counts.tolist())) if c.item == item else c for c in full.counts]
    tables = tables_of(dataclasses.replace(full, counts=tuple(own)), RULES, [])
    others = [(t, hidden[i]) for i, t in tables.items() if i != item and hidden[i]]
    return all(cells in t.search(RULES).least(t.counts)[1] for t, cells in others)


def test_linear_algebra_recovers_three_counts_but_not_four() -> None:
    full, structure = drawn(1, 2, 1, 7)
    for hidden, told in (((0, 1, 2), True), ((0, 1, 2, 3), False)):
        equations = read(hide(full, {"q1": hidden, "q2": hidden}), "0", structure, full.n)
        assert determined(equations, ("0", "q1", 1)) == told


def test_few_incomplete_answers_cannot_be_scored_by_subtraction() -> None:
    """Scores of all less those of the complete answers: of nobody, or of at least the minimum."""
    for seed, extra in itertools.product(range(4), (0, 1, 4, 9, 10, 25)):
        rng = np.random.default_rng(seed)
        structure = structure_of(4, 2)
        more = rng.uniform(0, 100, (extra, 2)) if extra else None
        full = submission_of(draw(rng, 40, 4, 5), structure, 5, extra=more)
        sent = protect(full, RULES, secret=SECRET, structure=structure)
        few = 0 < extra < RULES.minimum_n
        assert ("difference" in {w.rule for w in sent.withheld}) == few
        if few:
            assert sent.moments is None
            assert not sent.counts


# --- several releases -----------------------------------------------------------------------------------------------


def tied(releases: Sequence[tuple[str, Submission, int]], structure: Structure) -> Equations:
    found = Equations()
    for name, sent, n in releases:
        read(sent, name, structure, n, found)
    return found


def revisions(seed: int) -> tuple[Answers, Answers, Structure]:
    rng = np.random.default_rng(seed)
    answers = draw(rng, 70 + int(rng.integers(12, 40)), 2, 5, skew=0.5)
    return answers[:70], answers, structure_of(2, 1)


def test_two_revisions_do_not_tell_who_came_late() -> None:
    """Everything of both revisions, and that nobody was taken out: no small count, old, new or of those added."""
    attacked = 0
    for seed in range(6):
        old, new, structure = revisions(seed)
        first, second = submission_of(old, structure, 5), submission_of(new, structure, 5, revision=1)
        sent = protect(first, RULES, secret=SECRET, structure=structure)
        again = protect(second, RULES, secret=SECRET, structure=structure, earlier=[sent])
        if not again.counts:
            continue
        equations = tied([("old", sent, len(old)), ("new", again, len(new))], structure)
        for own in second.counts:
            for k in own.categories:
                late = ("late", own.item, k)
                equations.bounds[late] = (0, len(new) - len(old))
                equations.equal({("new", own.item, k): 1, ("old", own.item, k): -1, late: -1}, 0)
        for name, full in (("old", first), ("new", second), ("late", submission_of(new[70:], structure, 5))):
            for item, k in small_cells(full):
                low, high = extent(equations, (name, item, k), [], RULES)
                assert high - low >= RULES.spread, (seed, name, item, k)
                attacked += 1
    assert attacked > 5


def test_two_revisions_published_each_by_itself_do_tell() -> None:
    told = 0
    for seed in range(5):
        old, new, structure = revisions(seed)
        sent = [protect(submission_of(a, structure, 5), RULES, secret=SECRET, structure=structure) for a in (old, new)]
        late = submission_of(new[70:], structure, 5)
        for item, k in small_cells(late):
            counts = [next(c for c in s.counts if c.item == item).counts[k - 1] for s in sent if s.counts]
            told += None not in counts and len(counts) == 2
    assert told > 3


@pytest.mark.parametrize("seed", range(3))
def test_three_quarters_and_their_moving_totals_do_not_tell(seed: int) -> None:
    """Counts of three quarters and the sums over all three, each published as soon as the last quarter is."""
    rng = np.random.default_rng(seed)
    structure = structure_of(2, 1)
    quarters = ["2026Q1", "2026Q2", "2026Q3"]
    full = [submission_of(draw(rng, 60, 2, 5, skew=0.6), structure, 5, quarter=q) for q in quarters]
    totals = [
        Total(c.item, k, tuple(quarters), sum(s.counts[i].counts[k - 1] or 0 for s in full))
        for i, c in enumerate(full[0].counts) for k in c.categories
    ]  # fmt: skip
    sent: list[Submission] = []
    for s in full:
        tie = totals if s is full[-1] else []
        sent.append(protect(s, RULES, secret=SECRET, structure=structure, earlier=sent, totals=tie))
    equations = tied([(s.quarter, s, s.n) for s in sent], structure)
    for total in totals:
        equations.equal({(q, total.item, total.category): 1 for q in quarters}, total.value)
    for s in full:
        for item, k in small_cells(s):
            if all(x.counts for x in sent):
                low, high = extent(equations, (s.quarter, item, k), [], RULES)
                assert high - low >= RULES.spread, (s.quarter, item, k)


def test_a_withheld_count_does_not_come_back_in_a_later_revision() -> None:
    """The same answers sent again under looser rules, or three times: what the file before withheld stays so."""
    for seed in range(6):
        full, structure = drawn(300 + seed, 4, 2, 7)
        if full.n < 20:
            continue
        earlier: list[Submission] = []
        for revision, rules in enumerate((DisclosureRules(minimum_cell=4), RULES, RULES)):
            sent = protect(
                dataclasses.replace(full, revision=revision), rules, secret=SECRET, structure=structure, earlier=earlier
            )
            earlier.append(sent)
        together = earlier[0]
        for sent in (s for s in earlier[1:] if s.counts and together.counts):
            merged = [a._replace(counts=tuple(x if y is None else y for x, y in zip(a.counts, b.counts, strict=True)))
                      for a, b in zip(together.counts, sent.counts, strict=True)]  # fmt: skip
            together = dataclasses.replace(together, counts=tuple(merged), moments=together.moments or sent.moments)
        for item, k in small_cells(full):
            if together.counts and together.moments is not None and item in together.moments.items:
                equations = read(together, "0", structure, full.n)
                assert not determined(equations, ("0", item, k))


# --- the association ------------------------------------------------------------------------------------------------


def market(rng: np.random.Generator, groups: int) -> pd.DataFrame:
    rows = [(f"g{g}", f"I{g}_{k}", float(v)) for g in range(groups)
            for k, v in enumerate(rng.lognormal(3, 0.8, int(rng.integers(2, 7))))]  # fmt: skip
    return pd.DataFrame(rows, columns=["group", "institution", "value"])


def narrowed(quarters: Sequence[tuple[pd.DataFrame, dict[str, str]]], group: str, quarter: int) -> float:
    """How near to its true value, as a share of it, the best informed institution gets a group's total: by LP."""
    cells = [(q, g) for q, (f, _) in enumerate(quarters) for g in sorted(set(f["group"]))]
    truth = np.array([quarters[q][0].query("group == @g")["value"].sum() for q, g in cells])
    rows = [np.eye(len(cells))[i] for i, (q, g) in enumerate(cells) if g not in quarters[q][1]]
    rows += [np.array([float(c[0] == q) for c in cells]) for q, (_, w) in enumerate(quarters) if "overall" not in w]
    # Cumulated totals of the groups that the newest quarter publishes.
    newest = len(quarters) - 1
    rows += [np.array([float(c[1] == g) for c in cells]) for g in sorted({g for _, g in cells})
             if newest and g not in quarters[newest][1]]  # fmt: skip
    place = cells.index((quarter, group))
    best = np.inf
    for known in (None, *(i for i, c in enumerate(cells) if c != (quarter, group))):
        lower = np.zeros(len(cells))
        if known is not None:
            frame = quarters[cells[known][0]][0]
            lower[known] = frame.loc[frame["group"] == cells[known][1], "value"].max()
        a = np.array(rows)
        ends = [linprog(s * np.eye(len(cells))[place], A_eq=a, b_eq=a @ truth,
                        bounds=[(x, None) for x in lower]) for s in (1, -1)]  # fmt: skip
        for end in ends:
            if end.status == 0:
                best = min(best, abs(end.x[place] - truth[place]) / truth[place])
    return float(best)


def test_totals_of_groups_cannot_be_estimated() -> None:
    """Within p % by linear programming from the published totals and any institution's own value; alone they can."""
    alone = tried = 0
    for seed in range(12):
        frame = market(np.random.default_rng(seed), 5)
        withheld = unsafe_totals(frame, RULES)
        primary = {g: r for g, r in withheld.items() if r != "secondary" and g != "overall"}
        for g in primary:
            tried += 1
            assert narrowed([(frame, withheld)], g, 0) >= RULES.p_percent / 100 - 1e-6
            alone += len(primary) == 1 and narrowed([(frame, primary)], g, 0) < 1e-6
    assert tried > 5
    assert alone > 0


def test_cumulated_totals_do_not_tell_an_earlier_quarter() -> None:
    for seed in range(3):
        rng = np.random.default_rng(50 + seed)
        quarters: list[tuple[pd.DataFrame, dict[str, str]]] = []
        for _ in range(3):
            frame = market(rng, 4)
            before = [PublishedTotals(f, w) for f, w in quarters]
            quarters.append((frame, unsafe_totals(frame, RULES, earlier=before)))
            for q, (_, withheld) in enumerate(quarters):
                for g, rule in withheld.items():
                    if rule != "secondary" and g != "overall":
                        assert narrowed(quarters, g, q) >= RULES.p_percent / 100 - 1e-6, (seed, q, g)
