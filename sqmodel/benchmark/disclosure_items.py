"""What is withheld of an item's counts, moments and thresholds so that no small count can be worked out.

What the reader is taken to know
--------------------------------
Everything published, these rules and this program's text, which he may also run backwards; n, the mean and the variance
of every item, whether or not they are published, because the scores and their covariances tell of them more than can be
bounded (exact attacks on small tables recovered counts of items whose moments alone were withheld); and of an item, the
exact counts of all others. He is not taken to know answers of single respondents, nor the institution's signing key, by
which it is drawn which of several sets of counts is withheld.

What is least
-------------
In this order: fewest items whose moments are withheld, fewest whose thresholds are, fewest counts. Which counts, of
the sets of that size that may be used, is drawn: an order that depends on the values (the least sum of withheld counts,
say) would tell of them, see `disclosure_search`. Since n, mean and variance count as told, to withhold an item's
moments alone is of no use: it is decided item by item which counts (and thresholds) are withheld, and only where no set
of them is enough do all items of its dimension go, with counts, moments and thresholds. Of scales with more than 7
points not every set is tried, see `disclosure_search.EVERY_SIZE`.

Items are decided one by one, as if all was known of the others. The covariances with other items rule a table out only
where no order of the answers reaches them. That the decision on one item may in such a case depend on the counts of
another is not looked at (the attack in the tests gains nothing from it), nor is what it tells that no set was enough
for some item of a dimension.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sqmodel.benchmark.disclosure_search import Fits, Groups, Search, small
from sqmodel.benchmark.disclosure_system import Ints
from sqmodel.benchmark.profile import DisclosureRules

EQUATIONS = 3
"""n, mean and variance."""


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
    asked : bool
        Whether thresholds are computed of items that have enough answers.
    fits : callable or None
        Which tables the covariances do not rule out.
    told : Told
    """

    values: tuple[int, ...]
    counts: Ints
    moments: bool = True
    merged: Groups = ()
    asked: bool = False
    fits: Fits | None = None
    told: Told = NOTHING

    def search(self, rules: DisclosureRules) -> Search:
        """All decisions on tables like this one."""
        own = mergers(self.counts.tolist(), rules)
        by_rule = [int(self.counts[list(g)].sum()) for g in own] == [
            int(self.counts[list(g)].sum()) for g in self.merged
        ]
        if not self.merged and (not self.asked or len(own) > 1):
            return Search(self.values, rules, EQUATIONS, fits=self.fits)

        def groups(counts: Ints) -> Groups | None:
            """Thresholds that would be published of a table: of the merged categories, none of them small."""
            places = self.merged if self.merged and not by_rule else mergers(counts.tolist(), rules)
            sums = [int(counts[list(g)].sum()) for g in places]
            return None if len(places) < 2 or any(0 < s < rules.minimum_cell for s in sums) else places

        told = self.merged if self.told.ordinal else ()
        return Search(self.values, rules, EQUATIONS, groups=groups, told=told, fits=self.fits)


def mergers(counts: Sequence[int], rules: DisclosureRules) -> Groups:
    """The most groups of adjacent categories with no small count, to compute thresholds and polychorics of.

    Parameters
    ----------
    counts : sequence of int
    rules : DisclosureRules

    Returns
    -------
    tuple of tuple of int
        Places of the categories of each group; empty categories are in a group with others. One group only where the
        item has too few answers: it is left out of the ordinal statistics.

    Examples
    --------
    >>> mergers([1, 4, 0, 20, 2], DisclosureRules())
    ((0, 1), (2, 3, 4))
    """
    best: dict[int, Groups] = {0: ()}
    for end in range(1, len(counts) + 1):
        for start in sorted(best):
            if sum(counts[start:end]) >= rules.minimum_cell:
                way = (*best[start], tuple(range(start, end)))
                if end not in best or len(way) > len(best[end]):
                    best[end] = way
    return best.get(len(counts), (tuple(range(len(counts))),))


def choose(table: Table, rules: DisclosureRules, secret: bytes) -> Choice | None:
    """The least to be withheld of an item alone, drawn by a secret; None where no set of its counts is enough."""
    primary = small(table.counts, rules.minimum_cell)
    if set(primary) & table.told.counts:
        return None
    search = table.search(rules)
    if not primary:
        return Choice(table.moments, search.publishes_thresholds(table.counts), ())
    free = [c for c in range(len(table.counts)) if c not in table.told.counts]
    ordinal, hidden = next(search.drawn(table.counts, free, secret), (False, None))
    return None if hidden is None else Choice(table.moments, ordinal, hidden)


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
