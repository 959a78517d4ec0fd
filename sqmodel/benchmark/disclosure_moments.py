"""What covariances say of one item's counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import ItemCounts, ItemMoments
from sqmodel.benchmark.disclosure_system import Ints

Floats = npt.NDArray[np.float64]

BLOCK = 4096
"""Tables whose products are computed at a time."""


class Products(NamedTuple):
    """Sums of products of two items' answers, which the covariances give exactly, and what is between them.

    A covariance speaks of the two-way table of two items. It can rule out counts of one item only by its size: answers
    with these counts cannot reach the sum of products in any order. The largest sum has both items sorted, the smallest
    one of them the other way round (the rearrangement inequality). Correlations of 1 are the extreme case: then the
    two items' counts are the same, and to publish one is to publish the other.

    Attributes
    ----------
    answers : array, respondents x items
        Each item's answers sorted: what its counts say.
    sums : array, items x items
    allowance : array, items
        How far an item's sorted answers may move in all before a covariance could rule the table out.
    """

    answers: Floats
    sums: Floats
    allowance: Floats

    def fit(self, item: int, values: Sequence[int], truth: Ints, tables: Ints) -> npt.NDArray[np.bool_]:
        """Which tables of an item, with its n and sum, no covariance rules out; the other items' counts are known."""
        gaps = np.diff(np.asarray(values))
        moved = np.abs(np.cumsum(tables - truth, axis=1)[:, :-1]) @ gaps
        fits: npt.NDArray[np.bool_] = moved <= self.allowance[item]
        doubtful = np.flatnonzero(~fits)
        others = np.arange(len(self.sums)) != item
        ascending = self.answers[:, others]
        k = np.asarray(values, dtype=np.float64)
        for start in range(0, len(doubtful), BLOCK):
            rows = doubtful[start : start + BLOCK]
            ends = np.cumsum(tables[rows], axis=1)
            place = np.arange(len(self.answers))
            own = k[(place[None, :, None] >= ends[:, None, :]).sum(axis=2)]
            low, high = own @ ascending[::-1], own @ ascending
            target = self.sums[item, others]
            fits[rows] = ((target >= low - 0.5) & (target <= high + 0.5)).all(axis=1)
        return fits


def products(counts: Sequence[ItemCounts], moments: ItemMoments) -> Products:
    """Sums of products of the answers, from counts of which nothing is withheld; items in the order of `counts`."""
    answers = np.column_stack([np.repeat(c.categories, np.array(c.counts, dtype=int)) for c in counts]).astype(float)
    place = [moments.items.index(c.item) for c in counts]
    mean, cov = moments.mean[place], moments.cov[np.ix_(place, place)]
    sums = np.rint(moments.n * (cov + np.outer(mean, mean)))
    slack = np.minimum(answers.T @ answers - sums, sums - answers.T @ answers[::-1])
    width = np.ptp(answers, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        allowed = np.where(width > 0, 2 * slack / width, np.inf)
    np.fill_diagonal(allowed, np.inf)
    return Products(answers, sums, allowed.min(axis=1))
