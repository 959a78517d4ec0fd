"""Several releases of an item's counts looked at together: revisions of a quarter, and totals over quarters."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import ItemCounts, Submission
from sqmodel.benchmark.disclosure_items import Choice, Table
from sqmodel.benchmark.disclosure_search import Search, shuffled, small
from sqmodel.benchmark.disclosure_system import Ints, System, extreme
from sqmodel.benchmark.profile import DisclosureRules


class Total(NamedTuple):
    """A sum of one of an institution's counts over quarters that is published somewhere.

    Attributes
    ----------
    item : str
    category : int
    quarters : tuple of str
    value : int
    """

    item: str
    category: int
    quarters: tuple[str, ...]
    value: int


class Release(NamedTuple):
    """An item's counts as they were sent.

    Attributes
    ----------
    quarter : str
    counts : tuple of int or None
    n : int or None
        Respondents who answered all items, where it can be read.
    mean, variance : float or None
        Where the item's moments were sent.
    ordinal : bool
        Whether its thresholds were.
    """

    quarter: str
    counts: tuple[int | None, ...]
    n: int | None
    mean: float | None
    variance: float | None
    ordinal: bool

    @property
    def told(self) -> frozenset[int]:
        """Places of the counts that were sent."""
        return frozenset(k for k, c in enumerate(self.counts) if c is not None)

    def same(self, values: Sequence[int], counts: Ints) -> bool:
        """Whether nothing that was sent tells these counts from those behind it."""
        k = np.asarray(values, dtype=np.float64)
        n = int(counts.sum())
        mean = float(k @ counts / n)
        variance = float(k**2 @ counts / n - mean**2)
        figures = ((self.mean, mean), (self.variance, variance))
        close = all(old is None or abs(old - new) * n < 1e-3 for old, new in figures)
        return close and self.n in (None, n) and all(self.counts[c] == counts[c] for c in self.told)

    def moved(self, counts: Ints) -> int:
        """Respondents, at the least, whose answer is now another one; 0 where nothing tells."""
        change = np.array([counts[c] - (self.counts[c] or 0) for c in sorted(self.told)], dtype=np.int64)
        return int(max(change[change > 0].sum(), -change[change < 0].sum(), 0))


def release_of(submission: Submission, item: str) -> Release | None:
    """What a submission told of an item's counts; None where it told nothing."""
    own = next((c for c in submission.counts if c.item == item), None)
    if own is None:
        return None
    moments = submission.moments
    mean = variance = None
    if moments is not None and item in moments.items:
        place = moments.items.index(item)
        mean, variance = float(moments.mean[place]), float(moments.cov[place, place])
    ordinal = submission.ordinal is not None and item in submission.ordinal.items
    return Release(submission.quarter, own.counts, complete(submission), mean, variance, ordinal)


def complete(submission: Submission) -> int | None:
    """Respondents who answered all items, where a submission tells it."""
    if submission.moments is not None:
        return submission.moments.n
    whole: Sequence[ItemCounts] = [c for c in submission.counts if None not in c.counts]
    return sum(c or 0 for c in whole[0].counts) if whole else None


def choose_jointly(
    table: Table, quarter: str, before: Sequence[Release], totals: Sequence[Total], rules: DisclosureRules,
    secret: bytes,
) -> Choice | None:  # fmt: skip
    """The least to be withheld of an item when other releases of its counts are known; None where nothing is enough.

    Parameters
    ----------
    table : Table
    quarter : str
    before : sequence of Release
        Of the same quarter, with other respondents; and of other quarters, where totals tie them to this one.
    totals : sequence of Total
    rules : DisclosureRules
    secret : bytes

    Notes
    -----
    The counts of all releases are the unknowns of one system. Respondents of a quarter's revision are, at worst, those
    of the one before and some more (or, where there are fewer, some of them), so that no count went down (or up); where
    the counts that were sent contradict this, nothing is assumed. Besides the new small counts, those withheld before
    and the differences of two revisions must not be told: whichever of them can be narrowed to less than `spread` may
    not be possibly a small one.

    A set must be one that may be used for the table alone (`disclosure_search`). What it tells that a set of fewer
    counts was not enough because of the other releases is not looked at.
    """
    primary = small(table.counts, rules.minimum_cell)
    ties = [r for r in before if r.quarter != quarter or _grows(r, table.counts)]
    forced = {*primary, *(k for r in ties if r.quarter == quarter for k in _small_changes(r, table.counts, rules))}
    if forced & table.told.counts:
        return None
    free = [c for c in range(len(table.counts)) if c not in table.told.counts]
    search = table.search(rules)
    sets = (
        search.drawn(table.counts, free, secret) if primary else _all_sets(search, table.counts, forced, free, secret)
    )
    for ordinal, hidden in sets:
        whole = _joint(table, search, ordinal, quarter, ties, totals)
        if forced <= set(hidden) and _nothing_told(whole, table.counts, hidden, forced, ties, quarter, rules):
            return Choice(table.moments, ordinal, hidden)
    return None


def _all_sets(
    search: Search, counts: Ints, forced: set[int], free: Sequence[int], secret: bytes
) -> Iterator[tuple[bool, tuple[int, ...]]]:
    """Sets by size, where no count is a small one and only changes are to be hidden."""
    others = [c for c in free if c not in forced]
    for ordinal in (True, False) if search.publishes_thresholds(counts) else (False,):
        for size in range(len(others) + 1):
            sets = [tuple(sorted((*forced, *more))) for more in itertools.combinations(others, size)]
            yield from ((ordinal, h) for h in shuffled(sets, counts, secret))


def _grows(release: Release, counts: Ints) -> bool:
    """Whether the new counts can be the old ones and some respondents more, or less."""
    n = int(counts.sum())
    change = [int(counts[c]) - (release.counts[c] or 0) for c in release.told]
    if release.n is None or release.n == n:
        return False
    return min(change, default=0) >= 0 if n > release.n else max(change, default=0) <= 0


def _small_changes(release: Release, counts: Ints, rules: DisclosureRules) -> list[int]:
    """Counts whose change, which is known as soon as they are published, is a small one."""
    return [c for c in release.told if 0 < abs(int(counts[c]) - (release.counts[c] or 0)) < rules.minimum_cell]


def _joint(
    table: Table, search: Search, ordinal: bool, quarter: str, before: Sequence[Release], totals: Sequence[Total]
) -> System:
    """The new counts first, then those of each release, then the changes against releases of the same quarter."""
    k = len(table.counts)
    same = [r for r in before if r.quarter == quarter]
    cells = k * (1 + len(before) + len(same))
    rows: list[tuple[npt.NDArray[np.int64], int, int]] = []

    def add(low: int, high: int, *parts: tuple[int, Ints]) -> None:
        row = np.zeros(cells, dtype=np.int64)
        for block, weights in parts:
            row[block * k : (block + 1) * k] = weights
        rows.append((row, low, high))

    values, one = np.asarray(table.values, dtype=np.int64), np.ones(k, dtype=np.int64)
    for weights in search.rows(table.counts, ordinal):
        add(int(weights @ table.counts), int(weights @ table.counts), (0, weights))
    for block, release in enumerate(before, start=1):
        if release.n is not None:
            add(release.n, release.n, (block, one))
        if release.n is not None and release.mean is not None and release.variance is not None:
            total = round(release.n * release.mean)
            squares = round(release.n * (release.variance + release.mean**2))
            add(total, total, (block, values))
            add(squares, squares, (block, values**2))
    n = int(table.counts.sum())
    for step, release in enumerate(same):
        sign = 1 if n > (release.n or 0) else -1
        for c in range(k):
            unit = np.eye(k, dtype=np.int64)[c]
            add(0, 0, (0, sign * unit), (1 + before.index(release), -sign * unit), (1 + len(before) + step, -unit))
    # The newest release of a quarter stands for it.
    place = {r.quarter: block for block, r in enumerate(before, start=1)} | {quarter: 0}
    for sent in (t for t in totals if set(t.quarters) <= set(place) and t.category in table.values):
        unit = np.eye(k, dtype=np.int64)[table.values.index(sent.category)]
        add(sent.value, sent.value, *((place[q], unit) for q in sent.quarters))
    largest = max(n, *(r.n or n for r in before), 1) if before else n
    lower, upper = np.zeros(cells, dtype=np.int64), np.full(cells, largest, dtype=np.int64)
    for block, release in enumerate(before, start=1):
        for c in release.told:
            lower[block * k + c] = upper[block * k + c] = release.counts[c] or 0
    return System(
        np.array([r[0] for r in rows]), np.array([r[1] for r in rows]), np.array([r[2] for r in rows]), lower, upper
    )


def _nothing_told(
    whole: System, counts: Ints, hidden: Sequence[int], forced: set[int], before: Sequence[Release], quarter: str,
    rules: DisclosureRules,
) -> bool:  # fmt: skip
    """Whether no small count, new or old, and no small change can be narrowed too far."""
    lower, upper = whole.lower.copy(), whole.upper.copy()
    published = [c for c in range(len(counts)) if c not in hidden]
    lower[published] = upper[published] = counts[published]
    system = whole._replace(lower=lower, upper=upper)
    k = len(counts)
    for cell in range(len(lower)):
        block, c = divmod(cell, k)
        if block == 0 and c not in forced:
            continue
        if 1 <= block <= len(before) and c in before[block - 1].told:
            continue
        ends = [extreme(system, cell, largest=largest) for largest in (False, True)]
        if ends[0] is None or ends[1] is None:
            return False
        low, high = int(ends[0][cell]), int(ends[1][cell])
        if high - low < rules.spread and (block == 0 or (high >= 1 and low < rules.minimum_cell)):
            # A change that both sides tell was looked at as `forced`.
            return False
    return True
