"""Which counts of a table are withheld, found so that to run the search backwards tells nothing more.

Who knows the rules can ask of every table that fits what is published: would the same counts have been withheld of it?
Tables of which others would have been are ruled out, and where the choice depends on the values (the least sum, say)
hardly any is left. Therefore all is decided on classes of tables that look alike:

1. Levels are tried in an order that is the same for all tables: with thresholds before without, fewer counts before
   more.
2. On a level, a set of counts and what is published beside it stand for a class: all tables with these published
   figures that have a small count among the withheld ones and of which nothing was sent on a level before. The set may
   be used where every count that is a small one in some table of the class has a range of at least `spread` over the
   class. All tables of a class get the same answer, so that it tells nothing of which one it is.
3. Of the sets of its level that may be used one is drawn, each with a chance above zero, by a secret of the institution
   (its signing key). Who does not have the secret can rule out no table of the class.

So the ranges are those that are left to a reader who runs everything backwards, and whatever the secret. Ranges only:
that some tables of a class are more probable than others is not looked at.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.disclosure_system import (
    Ints,
    System,
    enumerated,
    moment_rows,
    move,
    neighbours,
    some_solutions,
)
from sqmodel.benchmark.profile import DisclosureRules

Fits = Callable[[Ints], npt.NDArray[np.bool_]]
Groups = tuple[tuple[int, ...], ...]
Level = tuple[bool, int]
"""Whether thresholds are published, and how many counts are withheld."""

EVERY_SIZE = 7
"""Cells of an item up to which every set is tried; of more, only the smallest sets and the one of all counts."""
SOME_SIZES = 12
"""Cells of an item up to which these are; of more, all counts are withheld or none."""
MOST_TABLES = 2000
"""Of a larger class some tables are looked at, the same whichever of its tables is the true one."""
CHUNK = 256


def small(counts: Ints, minimum_cell: int) -> tuple[int, ...]:
    """Places of counts above zero and below the minimum.

    Examples
    --------
    >>> small(np.array([0, 2, 3, 1]), 3)
    (1, 3)
    """
    return tuple(np.flatnonzero((counts > 0) & (counts < minimum_cell)).tolist())


class Search:
    """All decisions on the tables of one item (or of one variable) that fit the same sums.

    Parameters
    ----------
    values : sequence of int
        What the cells stand for.
    rules : DisclosureRules
    equations : int
        Sums that are known whatever is withheld: 1, of the counts alone; 3, of the values and of their squares too.
    groups : callable, optional
        Table to the places of the categories between the thresholds that would be published of it; None where there are
        none that may be.
    told : tuple of tuple of int
        Places of categories whose sums are known in any case.
    fits : callable, optional
        Which tables other published figures do not rule out.
    kept : sequence of int
        Places that are withheld in any case.
    """

    def __init__(
        self, values: Sequence[int], rules: DisclosureRules, equations: int, *,
        groups: Callable[[Ints], Groups | None] | None = None, told: Groups = (), fits: Fits | None = None,
        kept: Iterable[int] = (),
    ) -> None:  # fmt: skip
        self.values, self.rules, self.equations = tuple(values), rules, equations
        cells = len(self.values)
        none = np.zeros(cells, dtype=np.int64)
        sums = moment_rows(values, none)[0] if equations == 3 else np.ones((1, cells), dtype=np.int64)
        self.matrix = np.vstack([sums, _sum_rows(told, cells)])
        self.lines = groups is None and not told
        self.groups, self.fits, self.kept = groups, fits, frozenset(kept)
        least = equations + 1
        some: Sequence[int] = (least, cells) if cells <= SOME_SIZES else (cells,)
        some = range(least, cells + 1) if cells <= EVERY_SIZE or equations == 1 else some
        self.levels: list[Level] = [(told, size) for told in ((True, False) if groups else (False,)) for size in some]
        self._usable: dict[tuple[int, tuple[int, ...], bytes, Groups, tuple[int, ...]], bool] = {}
        self._reached: dict[tuple[bytes, int], bool] = {}

    def publishes_thresholds(self, counts: Ints) -> bool:
        """Whether thresholds may be published of a table in which no count is small."""
        return self.groups is not None and self.groups(counts) is not None

    def least(self, counts: Ints) -> tuple[bool, list[tuple[int, ...]]]:
        """Whether thresholds stay, and the sets of which one is withheld; none where none is enough."""
        for place, (told, _) in enumerate(self.levels):
            sets = [h for h in self._sets(place, counts) if self.usable(place, counts, h)]
            if sets:
                return told, sets
        return False, []

    def drawn(self, counts: Ints, free: Sequence[int], secret: bytes) -> Iterator[tuple[bool, tuple[int, ...]]]:
        """Whether thresholds are published and what may be withheld, within `free`: level by level, as it is drawn."""
        for place, (told, _) in enumerate(self.levels):
            sets = [h for h in self._sets(place, counts) if set(h) <= set(free)]
            yield from ((told, h) for h in shuffled(sets, counts, secret) if self.usable(place, counts, h))

    def rows(self, counts: Ints, ordinal: bool) -> Ints:
        """Sums that are known of a table when its counts are withheld, with or without its thresholds."""
        return np.vstack([self.matrix, _sum_rows(self._thresholds(counts, ordinal), len(counts))])

    def _thresholds(self, counts: Ints, ordinal: bool) -> Groups:
        """Categories between the thresholds that are published of a table; none where none are."""
        return (self.groups(counts) if ordinal and self.groups else None) or ()

    def usable(self, place: int, counts: Ints, hidden: tuple[int, ...]) -> bool:
        """Whether a set may be used for all the tables that look like this one on a level."""
        seen = counts.copy()
        seen[list(hidden)] = -1
        # Tables with other thresholds are another class, though their published counts are the same.
        groups = self._thresholds(counts, self.levels[place][0])
        key = place, hidden, seen.tobytes(), groups, tuple(int(counts[list(g)].sum()) for g in groups)
        if key not in self._usable:
            self._usable[key] = self._wide(place, hidden, *self._like(place, counts, hidden))
        return self._usable[key]

    def alike(self, place: int, counts: Ints, hidden: tuple[int, ...]) -> Ints:
        """The class of a table on a level when these counts are withheld, or some of it where it is large."""
        tables, _ = self._like(place, counts, hidden)
        tables = tables[~self._on_lines(tables)] if place else tables
        return tables[[not self._sent_before(place, t) for t in tables]] if len(tables) else tables

    def _like(self, place: int, counts: Ints, hidden: tuple[int, ...]) -> tuple[Ints, bool]:
        """Tables that look alike, with those that were served on a level before; and whether these are all."""
        told, _ = self.levels[place]
        groups, matrix = self._thresholds(counts, told), self.rows(counts, told)
        sums = matrix @ counts
        lower, upper = counts.copy(), counts.copy()
        lower[list(hidden)], upper[list(hidden)] = 0, int(counts.sum())
        system = System(matrix, sums, sums, lower, upper)
        listed = self._line(system, counts, hidden)
        if listed is None:
            listed = enumerated(system, MOST_TABLES)
        tables = self._some(system, hidden) if listed is None else listed
        own = tables[:, list(hidden)]
        tables = tables[((own > 0) & (own < self.rules.minimum_cell)).any(axis=1)]
        if groups:
            tables = tables[[self._thresholds(t, told) == groups for t in tables]]
        tables = tables if self.fits is None or not len(tables) else tables[self.fits(tables)]
        return tables, listed is not None

    def _line(self, system: System, counts: Ints, hidden: tuple[int, ...]) -> Ints | None:
        """The tables of a smallest set, which are steps on a line however many they are; None for larger sets."""
        if len(hidden) != self.equations + 1:
            return None
        tables = neighbours(self.values, counts, hidden, self.equations)
        found: Ints = tables[(tables @ system.matrix.T == system.low).all(axis=1)]
        return found

    def _some(self, system: System, hidden: Sequence[int]) -> Ints:
        """Tables of a class that is too large to list; where only the sum is known, those with one large count."""
        if self.equations > 1:
            return some_solutions(system, MOST_TABLES)
        found = []
        for large in hidden:
            upper = system.upper.copy()
            upper[[c for c in hidden if c != large]] = 2 * self.rules.minimum_cell
            found.append(some_solutions(system._replace(upper=upper), MOST_TABLES // len(hidden)))
        return np.unique(np.vstack(found), axis=0)

    def _wide(self, place: int, hidden: tuple[int, ...], tables: Ints, whole: bool) -> bool:
        """Whether each count that is a small one in some table of the class has its range over the class.

        Tables far apart come first: as soon as all withheld counts have their range, no table more can change that.
        Where a class was too large to list, only this is enough.
        """
        own = tables[:, list(hidden)]
        order = np.argsort(-np.abs(own - own.mean(axis=0)).sum(axis=1), kind="stable") if len(own) else np.zeros(0, int)
        low, high = np.full(len(hidden), np.iinfo(np.int64).max), np.zeros(len(hidden), dtype=np.int64)
        concerned = np.zeros(len(hidden), dtype=bool)
        for start in range(0, len(order), CHUNK):
            part = tables[order[start : start + CHUNK]]
            part = part[~self._on_lines(part)] if place else part
            for table in part:
                if self._sent_before(place, table):
                    continue
                counts = table[list(hidden)]
                low, high = np.minimum(low, counts), np.maximum(high, counts)
                if (high - low >= self.rules.spread).all():
                    return True
                concerned |= (counts > 0) & (counts < self.rules.minimum_cell)
        return whole and bool(concerned.any() and (high - low >= self.rules.spread)[concerned].all())

    def _on_lines(self, tables: Ints) -> npt.NDArray[np.bool_]:
        """Tables for which a smallest set without thresholds may be used; those that surely have none are noted.

        With one count more withheld than there are equations, the tables of a class are steps on a line: all tables and
        all sets are looked at together. Where other published figures matter, what is not sure is left to be looked at
        one by one.
        """
        if not self.lines or not len(tables) or self.levels[0][1] != self.equations + 1:
            return np.zeros(len(tables), dtype=bool)
        steps = self._steps
        among = (tables > 0) & (tables < self.rules.minimum_cell)
        possible = ~(among[:, None, :] & (steps.matrix == 0)).any(axis=2) & steps.open
        line = _small_on_lines(tables[:, steps.cells], steps.size, self.rules.minimum_cell)
        length = np.where(possible, line.last - line.first, -1)
        ranges = length[:, :, None] * np.abs(steps.size)
        wide = line.concerned.any(axis=2) & (~line.concerned | (ranges >= self.rules.spread)).all(axis=2) & possible
        doubtful = np.zeros_like(wide)
        if self.fits is not None:
            table, own = np.nonzero(wide)
            held = np.ones(len(table), dtype=bool)
            for times in (line.first, line.last):
                held &= self.fits(tables[table] + times[table, own][:, None] * steps.matrix[own])
            wide[table, own] = held
            # With one step only there is nothing between the ends.
            doubtful = (length > 1) & ~wide
        sure: npt.NDArray[np.bool_] = wide.any(axis=1)
        for none in np.flatnonzero(~sure & ~doubtful.any(axis=1)):
            self._reached[tables[none].tobytes(), 1] = False
        return sure

    @cached_property
    def _steps(self) -> _Steps:
        cells = np.array(list(itertools.combinations(range(len(self.values)), self.equations + 1)))
        size = np.array([move(tuple(self.values[c] for c in own)) for own in cells])
        matrix = np.zeros((len(cells), len(self.values)), dtype=np.int64)
        np.put_along_axis(matrix, cells, size, axis=1)
        return _Steps(cells, size, matrix, np.array([self.kept <= set(own) for own in cells.tolist()]))

    def _sent_before(self, place: int, counts: Ints) -> bool:
        """Whether a level before has a set for this table."""
        if place == 0:
            return False
        key = counts.tobytes(), place
        if key not in self._reached:
            self._reached[key] = self._sent_before(place - 1, counts) or any(
                self.usable(place - 1, counts, h) for h in self._sets(place - 1, counts)
            )
        return self._reached[key]

    def _sets(self, place: int, counts: Ints) -> Iterator[tuple[int, ...]]:
        """Sets of a level with all small counts in them."""
        told, size = self.levels[place]
        inside = sorted({*small(counts, self.rules.minimum_cell), *self.kept})
        if size < len(inside) or (told and self.groups is not None and self.groups(counts) is None):
            return
        others = [c for c in range(len(counts)) if c not in inside]
        for more in itertools.combinations(others, size - len(inside)):
            yield tuple(sorted((*inside, *more)))


class _Steps(NamedTuple):
    """The smallest sets.

    Attributes
    ----------
    cells : array, sets x cells of a set
    size : array, sets x cells of a set
        By how much the counts change in a step that leaves all sums.
    matrix : array, sets x cells
        The same, with 0 for counts outside of a set.
    open : array, sets
        Whether all cells that are withheld in any case are in the set.
    """

    cells: npt.NDArray[np.intp]
    size: Ints
    matrix: Ints
    open: npt.NDArray[np.bool_]


class _Lines(NamedTuple):
    """Steps from tables on which no count is below zero and some count is a small one.

    Attributes
    ----------
    first, last : array, tables x sets
        Last < first where there are none.
    concerned : array, tables x sets x cells of a set
        Whether a count is a small one somewhere on the line.
    """

    first: Ints
    last: Ints
    concerned: npt.NDArray[np.bool_]


def _small_on_lines(counts: Ints, size: Ints, minimum_cell: int) -> _Lines:
    """Of counts (tables x sets x cells of a set) that change by `size` in a step."""
    up, width = size > 0, np.abs(size)
    least = np.where(up, -(counts // width), -(2**40)).max(axis=2)
    most = np.where(up, 2**40, counts // width).min(axis=2)
    # The steps at which a count is between 1 and the minimum; of a falling count the other way round.
    to_least, to_most = (counts - 1) // width, (minimum_cell - 1 - counts) // width
    low = np.maximum(np.where(up, -to_least, -to_most), least[:, :, None])
    high = np.minimum(np.where(up, to_most, to_least), most[:, :, None])
    ever = low <= high
    first = np.where(ever, low, most[:, :, None] + 1).min(axis=2)
    return _Lines(first, np.where(ever, high, least[:, :, None] - 1).max(axis=2), ever)


def _sum_rows(groups: Groups, cells: int) -> Ints:
    rows = np.zeros((len(groups), cells), dtype=np.int64)
    for row, places in zip(rows, groups, strict=True):
        row[list(places)] = 1
    return rows


def shuffled(sets: Sequence[tuple[int, ...]], counts: Ints, secret: bytes) -> list[tuple[int, ...]]:
    """The sets in an order drawn by a secret, each order as probable as any other; the same for the same counts.

    Examples
    --------
    >>> [shuffled([(0, 1), (0, 2)], np.array([1, 5, 5]), s) for s in (b"1", b"3")]
    [[(0, 1), (0, 2)], [(0, 2), (0, 1)]]
    """
    told = ",".join(map(str, counts.tolist()))
    return sorted(sets, key=lambda s: hmac.digest(secret, f"{told}|{','.join(map(str, s))}".encode(), hashlib.sha256))
