"""What else the same answers may mean: items that deviate may be the ones that are right, and small shifts hide."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.numerics.alignment.partial import Bools, Ties

Floats = npt.NDArray[np.float64]
SEEN = float(stats.norm.isf(0.0005))
"""Standard errors from which a deviation is seen: alignment tests at .001."""
_MAJORITY = 2
"""Items by which those that agree with the others must outnumber their rivals."""


def rival_means(ties: Ties, own: Bools, loadings: Floats, factor: npt.NDArray[np.intp]) -> tuple[Floats, Floats]:
    """How far would a group's mean move if the items that deviate were right? Least and most, 0 where they cannot be.

    That most items of a dimension mean the same is an assumption; no answer can tell it from the opposite. Where two or
    more items that deviate agree with each other, and they are outnumbered by less than two, it hangs on one item:
    both readings stand. A single item agrees with itself and proves nothing. With fewer than two items that do not
    deviate every item is a reading.

    Parameters
    ----------
    ties : Ties
    own : bool array, G x p
        Intercepts that deviate.
    loadings : array, p
    factor : integer array, p

    Returns
    -------
    least, most : array, G x m
    """
    groups, m = len(own), int(factor.max()) + 1
    least, most = np.zeros((groups, m)), np.zeros((groups, m))
    for g, f in {(int(g), int(factor[i])) for g, i in np.argwhere(own)}:
        items = np.flatnonzero((factor == f) & own[g])
        kept = int(((factor == f) & ~own[g]).sum())
        away = ties.rest[g, items] / loadings[items]
        noise = ties.noise[g, items] / np.abs(loadings[items])
        # To agree is to differ by chance, or by less than half of what keeps them from the others.
        apart, size = np.abs(away[:, None] - away), np.abs(away)
        near = apart <= np.maximum(SEEN * np.hypot(noise[:, None], noise), np.minimum(size[:, None], size) / 2)
        agreeing = near.sum(axis=1)
        chosen = agreeing >= max(2, kept - _MAJORITY + 1) if kept >= 2 else np.full(len(items), True)
        # Of those that agree the mean; each in turn is the middle of its set.
        readings = [float(np.average(away[near[k]], weights=noise[near[k]] ** -2.0)) for k in np.flatnonzero(chosen)]
        least[g, f], most[g, f] = min([0.0, *readings]), max([0.0, *readings])
    return least, most


def unseen_means(ties: Ties, factor: npt.NDArray[np.intp]) -> Floats:
    """By how much shifts that are too small to be seen could move a group's mean at most (G x m).

    Less than half of the items taken as equal may be shifted all the same way. With k of A of them shifted by d the
    mean gives way, so that they deviate by d (1 - k / A) only, which is seen from 3.29 standard errors on.
    """
    most = np.zeros((len(ties.tied), int(factor.max()) + 1))
    for f in range(most.shape[1]):
        items = factor == f
        pull = np.sort(np.where(ties.tied, np.abs(ties.weight) * ties.noise, 0.0)[:, items], axis=1)[:, ::-1]
        kept = ties.tied[:, items].sum(axis=1)
        hidden = np.maximum(kept - 1, 0) // 2
        summed = np.where(np.arange(pull.shape[1]) < hidden[:, None], pull, 0.0).sum(axis=1)
        most[:, f] = SEEN * summed / (1 - hidden / np.maximum(kept, 1))
    return most
