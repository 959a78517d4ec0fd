"""Which counts are withheld: against all tables played at once, by laws, and the whole-number systems beneath."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sqmodel.benchmark.content import Context
from sqmodel.benchmark.disclosure import mergers, protect
from sqmodel.benchmark.disclosure_items import Table, choose
from sqmodel.benchmark.disclosure_search import small
from sqmodel.benchmark.disclosure_system import System, enumerated, extreme, move, neighbours
from sqmodel.benchmark.profile import DisclosureRules
from tests.benchmark.playing import compositions, every_table, game
from tests.benchmark.small_submissions import structure_of, submission_of, with_counts

RULES = DisclosureRules()
SECRET = b"known to the institution"
COUNTS = st.lists(st.integers(0, 9), min_size=3, max_size=5).filter(lambda c: sum(c) >= 10)


def table(counts: Sequence[int]) -> Table:
    return Table(tuple(range(1, len(counts) + 1)), np.array(counts))


@settings(max_examples=80)
@given(COUNTS)
def test_the_least_is_withheld_of_an_item(counts: list[int]) -> None:
    assume(sum(counts) <= 24)
    sets = [h for _, h in game(every_table(counts))[tuple(counts)]]
    search = table(counts).search(RULES)
    if not any(0 < c < RULES.minimum_cell for c in counts):
        assert choose(table(counts), RULES, SECRET) == (True, False, ())
        return
    assert search.least(np.array(counts))[1] == sets
    found = choose(table(counts), RULES, SECRET)
    assert (found is None) == (not sets)
    assert found is None or found.hidden in sets


def test_which_of_the_least_sets_is_withheld_is_drawn() -> None:
    """By the secret and nothing else, and each set can be the one."""
    one = table([2, 15, 19, 24, 30, 28, 16])
    sets = one.search(RULES).least(one.counts)[1]
    chosen = [choose(one, RULES, str(k).encode()) for k in range(40 * len(sets))]
    seen = [c.hidden for c in chosen if c is not None]
    assert set(seen) == set(sets)
    assert len(sets) > 3
    assert min(seen.count(s) for s in sets) > 15
    assert choose(one, RULES, b"1") == choose(one, RULES, b"1")


@settings(max_examples=60)
@given(COUNTS, st.data())
def test_tables_that_look_alike_get_the_same_answer(counts: list[int], data: Any) -> None:
    """On every level, whichever of them is asked first: else the answer would tell which of them it is."""
    assume(sum(counts) <= 30 and len(counts) > 3)
    one, own = table(counts), np.array(counts)
    search = one.search(RULES)
    place = data.draw(st.sampled_from(range(len(search.levels))))
    hidden = tuple(sorted(data.draw(st.permutations(range(len(counts))))[: search.levels[place][1]]))
    assume(set(small(own, RULES.minimum_cell)) <= set(hidden))
    for other in search.alike(place, own, hidden):
        assert one.search(RULES).usable(place, other, hidden) == search.usable(place, own, hidden)


@pytest.mark.parametrize(
    ("counts", "cell", "spread"),
    [((0, 8, 6, 4, 4), 5, 1), ((2, 4, 6, 8, 4), 3, 2), ((5, 0, 6, 1, 5), 4, 3), ((1, 5, 7, 6, 5), 2, 2)],
)
def test_one_search_answers_for_all_tables_with_the_same_sums(counts: tuple[int, ...], cell: int, spread: int) -> None:
    """Also for those of which other thresholds would be published: as if all were played at once."""
    rules = DisclosureRules(minimum_cell=cell, spread=spread)
    merged = mergers(counts, rules)
    one = Table(tuple(range(1, 6)), np.array(counts), merged=merged if len(merged) > 1 else (), asked=True)
    search, tables = one.search(rules), every_table(counts)

    def thresholds(t: tuple[int, ...]) -> Any:
        return places if len(places := mergers(t, rules)) > 1 else None

    for table_, sets in game(tables, thresholds=thresholds, rules=rules).items():
        if any(0 < c < cell for c in table_):
            told_, hidden = search.least(np.array(table_))
            assert [(told_, h) for h in hidden] == sets, table_


def test_smallest_sets_are_the_same_looked_at_together_or_alone() -> None:
    """Of large tables too: an item of ten thousand answers with a single small count."""
    rules = DisclosureRules(minimum_cell=2)
    rng = np.random.default_rng(2)
    for n in (40, 3000, 10_000):
        for counts in rng.multinomial(n - 1, np.array([0, 3, 5, 8, 4, 9, 9]) / 38, size=12):
            counts[0] = 1
            search = table(counts.tolist()).search(rules)
            alone = any(search.usable(0, counts, h) for h in itertools.combinations(range(7), 4) if 0 in h)
            assert search._on_lines(counts[None])[0] == alone


def test_of_too_many_tables_some_are_looked_at() -> None:
    """Evenly spaced solutions, the same for every table of the class; all meet all rows."""
    counts = np.array([1, 40, 60, 80, 90, 30, 2, 5])
    search = Table(tuple(range(1, 9)), counts).search(RULES)
    place = search.levels.index((False, 8))
    alike = search.alike(place, counts, tuple(range(8)))
    assert 50 < len(alike) <= 2000
    assert (alike @ search.matrix.T == search.matrix @ counts).all()
    again = search.alike(place, alike[0], tuple(range(8)))
    assert np.array_equal(again, alike)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=4).filter(lambda c: 0 < sum(c) <= 14))
def test_the_least_shares_are_withheld(counts: list[int]) -> None:
    """Against all tables; those who stated nothing are withheld anyhow."""
    n = 14
    answers = submission_of(with_counts([5, 5, 4]), structure_of(1, 1), 3)
    context = tuple(Context("size", f"v{k}", c / n) for k, c in enumerate(counts))
    sent = dataclasses.replace(answers, counts=(), moments=None, context=context)
    found = {int(w.cell.removeprefix("size=v")) for w in protect(sent, RULES, secret=SECRET).withheld}
    rest = n - sum(counts)
    cells = (*counts, rest) if rest else tuple(counts)
    if not any(0 < c < RULES.minimum_cell for c in cells):
        assert not found
        return
    always = (len(counts),) if rest else ()
    # Whether some stated nothing may be known.
    tables = [t for t in compositions(n, len(cells)) if not rest or t[-1]]
    sets = [h for _, h in game(tables, always)[cells]] or [tuple(range(len(cells)))]
    assert tuple(sorted({*found, *always})) in sets


def test_shares_tell_no_small_group_to_who_runs_the_search_backwards() -> None:
    """Of all tables of ten respondents with two values, under all draws: which could have led to the same shares?"""
    sent = dataclasses.replace(submission_of(with_counts([5, 5]), structure_of(1, 1), 2), counts=(), moments=None)
    found: dict[Any, set[tuple[int, int]]] = {}
    for a, b, k in itertools.product(range(11), range(11), range(12)):
        if a + b <= 10:
            context = (Context("size", "a", a / 10), Context("size", "b", b / 10))
            out = protect(dataclasses.replace(sent, context=context), RULES, secret=bytes([k]))
            found.setdefault((out.context, out.withheld), set()).add((a, b))
    for (_, withheld), tables in found.items():
        for place, value in enumerate("ab"):
            counts = {t[place] for t in tables}
            if any(w.cell == f"size={value}" for w in withheld) and counts & {1, 2}:
                assert max(counts) - min(counts) >= RULES.spread, (withheld, tables)


def test_every_variable_is_drawn_for_itself() -> None:
    """Else two variables with the same counts would show by their sets that they have."""
    sent = dataclasses.replace(submission_of(with_counts([30, 30]), structure_of(1, 1), 2), counts=(), moments=None)
    shares = [("a", 2), ("b", 20), ("c", 20), ("d", 18)]
    both = tuple(Context(variable, v, c / 60) for variable in ("size", "sector") for v, c in shares)
    apart = 0
    for k in range(30):
        out = protect(dataclasses.replace(sent, context=both), RULES, secret=bytes([k])).withheld
        size, sector = ({w.cell[-1] for w in out if w.cell.startswith(name)} for name in ("size", "sector"))
        assert len(size) == len(sector) == 2
        apart += size != sector
    assert apart > 10


def test_small_groups_among_many_values_hide_with_one_or_two_more() -> None:
    """Seventeen lines of business, three of them small: a class too large to list is looked at by its small tables."""
    counts = [1, 2, 1, *range(20, 34)]
    n = sum(counts)
    answers = submission_of(with_counts([n // 2, n - n // 2]), structure_of(1, 1), 2)
    context = tuple(Context("line", f"v{k:02d}", c / n) for k, c in enumerate(counts))
    sent = protect(dataclasses.replace(answers, counts=(), moments=None, context=context), RULES, secret=SECRET)
    hidden = {int(w.cell.removeprefix("line=v")) for w in sent.withheld}
    assert {0, 1, 2} < hidden
    assert len(hidden) == 4


@settings(max_examples=60)
@given(st.data())
def test_solutions_are_those_of_trying_all(data: Any) -> None:
    cells, rows = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    numbers = st.lists(st.integers(-3, 3), min_size=cells, max_size=cells)
    matrix = np.array(data.draw(st.lists(numbers, min_size=rows, max_size=rows)))
    upper = np.array(data.draw(st.lists(st.integers(0, 4), min_size=cells, max_size=cells)))
    low = np.array(data.draw(st.lists(st.integers(-6, 6), min_size=rows, max_size=rows)))
    high = low + data.draw(st.integers(0, 2))
    system = System(matrix, low, high, np.zeros(cells, dtype=np.int64), upper)
    found = enumerated(system)
    assert found is not None
    every = [x for x in itertools.product(*(range(u + 1) for u in upper))
             if (matrix @ x >= low).all() and (matrix @ x <= high).all()]  # fmt: skip
    assert sorted(map(tuple, found.tolist())) == sorted(every)
    ends = [extreme(system, 0, largest=largest) for largest in (False, True)]
    if every:
        assert [int(e[0]) for e in ends if e is not None] == [min(x[0] for x in every), max(x[0] for x in every)]
    else:
        assert ends == [None, None]


def test_more_solutions_than_may_be_held_are_not_listed() -> None:
    ones = np.ones((1, 4), dtype=np.int64)
    system = System(ones, np.array([60]), np.array([60]), np.zeros(4, dtype=np.int64), np.full(4, 60))
    assert enumerated(system, limit=1000) is None


@given(st.sets(st.integers(1, 11), min_size=3, max_size=5))
def test_a_move_leaves_all_powers(values: set[int]) -> None:
    k = np.array(sorted(values))
    change = move(tuple(k.tolist()))
    assert [int(k**p @ change) for p in range(len(k) - 1)] == [0] * (len(k) - 1)
    assert math.gcd(*change.tolist()) == 1


@given(COUNTS)
def test_neighbours_are_tables_with_the_same_moments(counts: list[int]) -> None:
    k = np.arange(1, len(counts) + 1)
    tables = neighbours(k.tolist(), np.array(counts), range(len(counts)), 2)
    assert (tables >= 0).all()
    assert (tables @ np.column_stack([k**0, k]) == np.array(counts) @ np.column_stack([k**0, k])).all()
