"""The least that is withheld of an item's counts, moments and thresholds so that no small count can be worked out.

What the reader is taken to know
--------------------------------
Everything published, these rules and this program's text; n, the mean and the variance of every item, whether or not
they are published, because the scores and their covariances tell of them more than can be bounded (exact attacks on
small tables recovered counts of items whose moments alone were withheld); of an item, the exact counts of all others;
and that something withheld is a small count: tables without a small count among the withheld cells are no solutions for
them. They are not taken to know answers of single respondents, nor to run the search backwards, that is to rule out
tables for which it would have withheld something else. That is a real limit: because the least is withheld, few tables
are left, and in trials with 14 to 80 answers running it backwards singled out about four in ten small counts; a larger
`spread` did not help, because it is the choice of the least that tells.

What is least
-------------
In this order: fewest items whose moments are withheld, fewest whose thresholds are, fewest counts, least sum of the
counts withheld; at last the counts that come first in the questionnaire. Since n, mean and variance count as told, to
withhold an item's moments alone is of no use: it is decided item by item which counts (and thresholds) are withheld,
and only where no set of them is enough do all items of its dimension go, with counts, moments and thresholds. Items are
decided one by one, as if all was known of the others: the table of one item can be exchanged for another one of its
solutions without touching any other published figure, so that what is safe item by item is safe together.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.disclosure_system import Ints, System, enumerated, extreme, moment_rows, neighbours
from sqmodel.benchmark.profile import DisclosureRules

Fits = Callable[[Ints], npt.NDArray[np.bool_]]

EQUATIONS = 3
"""n, mean and variance."""
MOST_CELLS = 12
"""Cells up to which every set is tried; beyond, neighbours of small counts join one by one."""


class Choice(NamedTuple):
    """What is published of an item, and the places of its counts that are not."""

    moments: bool
    ordinal: bool
    hidden: tuple[int, ...]


class Told(NamedTuple):
    """What was told of the same answers before."""

    counts: frozenset[int] = frozenset()
    moments: bool = False
    ordinal: bool = False


NOTHING = Told()


@dataclass(frozen=True)
class Table:
    """One item's counts, and what else is known of them.

    Attributes
    ----------
    values : tuple of int
    counts : array
    moments : bool
        Whether they may be published at all.
    merged : tuple of tuple of int
        Places of the categories behind each interval between thresholds; empty where none were computed.
    fits : callable or None
        Which tables the covariances do not rule out.
    told : Told
    """

    values: tuple[int, ...]
    counts: Ints
    moments: bool = True
    merged: tuple[tuple[int, ...], ...] = ()
    fits: Fits | None = None
    told: Told = NOTHING

    def options(self, minimum_cell: int) -> Iterator[bool]:
        """Whether thresholds are published, the best first; never where a merged category is small."""
        if self.merged and not any(0 < self.counts[list(g)].sum() < minimum_cell for g in self.merged):
            yield True
        yield False

    def puzzle(self, ordinal: bool) -> Puzzle:
        """The system of all that is known when none of the counts is published."""
        matrix, sums = moment_rows(self.values, self.counts)
        groups = np.zeros((len(self.merged) if ordinal or self.told.ordinal else 0, len(self.counts)), dtype=np.int64)
        for row, places in zip(groups, self.merged, strict=False):
            row[list(places)] = 1
        total = np.concatenate([sums, groups @ self.counts])
        return Puzzle(np.vstack([matrix, groups]), total, total, self.counts, self.values, self.fits)


class Puzzle(NamedTuple):
    """A system over counts, and its true solution.

    Attributes
    ----------
    matrix, low, high : array
        Rows, as in `System`.
    counts : array
        The truth.
    values : tuple of int
        Of a single table; empty where several stand side by side.
    fits : callable or None
    """

    matrix: Ints
    low: Ints
    high: Ints
    counts: Ints
    values: tuple[int, ...] = ()
    fits: Fits | None = None

    def system(self, hidden: Sequence[int]) -> System:
        """With the counts outside `hidden` published."""
        lower, upper = self.counts.copy(), self.counts.copy()
        lower[list(hidden)], upper[list(hidden)] = 0, int(self.counts.sum())
        return System(self.matrix, self.low, self.high, lower, upper)

    def allowed(self, tables: Ints, hidden: Sequence[int], minimum_cell: int) -> Ints:
        """Tables that meet all rows, have a small count among the withheld ones and fit the covariances."""
        sums = tables @ self.matrix.T
        own = tables[:, list(hidden)]
        keep = ((sums >= self.low) & (sums <= self.high)).all(axis=1)
        keep &= ((own > 0) & (own < minimum_cell)).any(axis=1)
        kept = tables[keep]
        return kept if self.fits is None else kept[self.fits(kept)]


def small(counts: Ints, minimum_cell: int) -> tuple[int, ...]:
    """Places of counts above zero and below the minimum.

    Examples
    --------
    >>> small(np.array([0, 2, 3, 1]), 3)
    (1, 3)
    """
    return tuple(np.flatnonzero((counts > 0) & (counts < minimum_cell)).tolist())


def is_safe(puzzle: Puzzle, hidden: Sequence[int], rules: DisclosureRules) -> bool:
    """Whether each small count can be any of a range of at least `spread`, given all that is published.

    Notes
    -----
    Solutions near the truth are tried first; where they are not enough, all solutions are listed; and where these are
    too many, HiGHS looks for the ends of the range. Small counts that are published make a set unsafe.
    """
    primary = small(puzzle.counts, rules.minimum_cell)
    if not set(primary) <= set(hidden):
        return False
    if not primary:
        return True

    def wide(tables: Ints) -> bool:
        kept = puzzle.allowed(tables, hidden, rules.minimum_cell)[:, list(primary)]
        return len(kept) > 0 and bool((kept.max(axis=0) - kept.min(axis=0) >= rules.spread).all())

    if puzzle.values:
        if len(hidden) <= EQUATIONS:
            return False
        if wide(neighbours(puzzle.values, puzzle.counts, sorted(hidden), EQUATIONS)):
            return True
        if len(hidden) == EQUATIONS + 1:
            return False
    tables = enumerated(puzzle.system(hidden))
    return wide(_ends(puzzle, hidden, primary, rules.minimum_cell) if tables is None else tables)


def _ends(puzzle: Puzzle, hidden: Sequence[int], primary: Sequence[int], minimum_cell: int) -> Ints:
    """Solutions with each small count at its ends, whichever of the withheld counts is a small one; and the truth."""
    found = [puzzle.counts]
    system = puzzle.system(hidden)
    for told in hidden:
        narrowed = system.with_cell(told, 1, minimum_cell - 1)
        ends = (extreme(narrowed, cell, largest=largest) for cell in primary for largest in (False, True))
        found += [x for x in ends if x is not None]
    return np.array(found)


def choose(table: Table, rules: DisclosureRules) -> Choice | None:
    """The least to be withheld of an item alone; None where no set of its counts is enough."""
    primary = small(table.counts, rules.minimum_cell)
    if set(primary) & table.told.counts:
        return None
    for ordinal in table.options(rules.minimum_cell):
        if not primary:
            return Choice(table.moments, ordinal, ())
        hidden = _least(table.puzzle(ordinal), primary, rules, table.told.counts)
        if hidden is not None:
            return Choice(table.moments, ordinal, hidden)
    return None


def _least(
    puzzle: Puzzle, primary: Sequence[int], rules: DisclosureRules, told: frozenset[int] = frozenset()
) -> tuple[int, ...] | None:
    """The least set of counts that is safe, of those not told before."""
    free = [c for c in range(len(puzzle.counts)) if c not in told]
    if not is_safe(puzzle, free, rules):
        return None
    sets = by_cost if len(free) <= MOST_CELLS else _by_nearness
    return next((s for s in sets(puzzle.counts, primary, free) if is_safe(puzzle, s, rules)), tuple(free))


def by_cost(counts: Ints, primary: Sequence[int], free: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Sets of cells with the small ones in them: fewest first, then the least sum, then the first cells."""
    others = [c for c in free if c not in primary]
    for size in range(len(others) + 1):
        sets = [tuple(sorted((*primary, *more))) for more in itertools.combinations(others, size)]
        yield from sorted(sets, key=lambda s: (int(counts[list(s)].sum()), s))


def _by_nearness(counts: Ints, primary: Sequence[int], free: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """One set after the other, each with the cell more that is nearest to a small one."""
    hidden = sorted(primary)
    yield tuple(hidden)
    for cell in sorted(set(free) - set(primary), key=lambda c: (min(abs(c - p) for p in primary), counts[c], c)):
        hidden = sorted([*hidden, cell])
        yield tuple(hidden)


def choose_dimension(tables: Sequence[Table], rules: DisclosureRules) -> bool:
    """Whether small counts cannot be told when all counts, moments and thresholds of a dimension's items are withheld.

    What is told of these items is then the sum of each respondent's answers at the most. An answer can go up where
    another one of the same respondent goes down, and nothing that is published changes. How many respondents can do so
    is bounded from the counts: of those at a category, all but those who gave every other item the last (first) one.
    """
    values = tables[0].values
    if len(tables) < 2 or any(t.values != values or t.told.counts or t.told.moments or t.told.ordinal for t in tables):
        return False
    return all(
        _movable(t.counts, cell, [o.counts for o in tables if o is not t]) >= rules.spread
        for t in tables for cell in small(t.counts, rules.minimum_cell)
    )  # fmt: skip


def _movable(counts: Ints, cell: int, others: Sequence[Ints]) -> int:
    """Range of a count by moves of one step that another answer of the same respondent makes up for, at the least."""
    down = np.maximum(counts - min(int(o[-1]) for o in others), 0)
    up = np.maximum(counts - min(int(o[0]) for o in others), 0)
    last = len(counts) - 1
    into = (int(down[cell + 1]) if cell < last else 0) + (int(up[cell - 1]) if cell else 0)
    out = max(int(down[cell]) if cell else 0, int(up[cell]) if cell < last else 0)
    return into + out
