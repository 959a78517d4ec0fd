"""Means up the tree for many replicates, each with weights of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from sqmodel.errors import CompositeError
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.aggregation import Aggregation, aggregate

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
Bools = npt.NDArray[np.bool_]


def children_at(tree: IndexTree, branch: str) -> list[int]:
    """Places of a branch's children among the nodes."""
    return [k for k, n in enumerate(tree.nodes) if n.parent == branch]


def replicate_means(
    tree: IndexTree, values: Floats, place: Ints, weights: Floats, method: Aggregation | Sequence[Aggregation]
) -> Floats:
    """The index of every replicate.

    Parameters
    ----------
    tree : IndexTree
    values : ndarray, shape (distinct, units, indicators)
        Normalised.
    place : ndarray of int, shape (replicates,)
        Which of them a replicate has.
    weights : ndarray, shape (replicates, nodes)
        0 of what is left out; rescaled here within each branch.
    method : str or sequence of str
        One for all levels, or one a level from the bottom.

    Returns
    -------
    ndarray, shape (replicates, units)

    Raises
    ------
    CompositeError
        Values of 0 or below under a geometric or a harmonic mean.
    """
    methods = (method,) * len(tree.levels) if isinstance(method, str) else tuple(method)
    if len(set(methods)) == 1 and methods[0] != "copeland" and not np.isnan(values).any():
        shares = effective_weights(tree, weights)
        return _at_once(_usable(tree, values, place, shares, methods[0]), place, shares, methods[0])
    return _by_level(tree, values[place], weights, methods)


def effective_weights(tree: IndexTree, weights: Floats) -> Floats:
    """What each indicator counts where one kind of mean is taken at all levels, shape (replicates, indicators)."""
    node = {n.code: k for k, n in enumerate(tree.nodes)}
    alive, share = weights > 0, np.zeros_like(weights)
    for level in tree.levels:
        for branch in level:
            alive[:, node[branch]] &= alive[:, children_at(tree, branch)].any(axis=1)
    share[:, node[tree.root]] = 1.0
    for level in reversed(tree.levels):
        for branch in level:
            own = children_at(tree, branch)
            w = weights[:, own] * alive[:, own]
            total = w.sum(axis=1, keepdims=True)
            share[:, own] = share[:, [node[branch]]] * w / np.where(total > 0, total, 1.0)
    return np.asarray(share[:, [node[c] for c in tree.indicators]])


def _at_once(values: Floats, place: Ints, weights: Floats, method: str) -> Floats:
    """A mean of the same kind at all levels is one mean with the products of the weights."""
    x = np.log(values) if method == "geometric" else 1 / values if method == "harmonic" else values
    if len(values) * 4 < len(place):
        found = np.empty((len(place), values.shape[1]))
        for k in range(len(values)):
            own = place == k
            found[own] = weights[own] @ x[k].T
    else:
        found = np.matmul(x[place], weights[..., None])[..., 0]
    return np.exp(found) if method == "geometric" else 1 / found if method == "harmonic" else found


def _usable(tree: IndexTree, values: Floats, place: Ints, shares: Floats, method: str) -> Floats:
    """The values, if the mean takes all that count for something; what counts for nothing must not spoil it."""
    if method not in ("geometric", "harmonic") or not (values <= 0).any():
        return values
    bad: Bools = np.asarray(np.asarray((values <= 0).any(axis=1))[place] & (shares > 0))
    problems = [
        _told(tree.node(code).parent, code, method, int(bad[:, k].sum()))
        for k, code in enumerate(tree.indicators) if bad[:, k].any()
    ]  # fmt: skip
    if problems:
        raise _refused(tree, problems)
    return np.where(values <= 0, 1.0, values)


def _by_level(tree: IndexTree, x: Floats, weights: Floats, methods: Sequence[Any]) -> Floats:
    weights = weights.copy()
    node = {n.code: k for k, n in enumerate(tree.nodes)}
    known = {c: x[..., k] for k, c in enumerate(tree.indicators)}
    for level, one in zip(tree.levels, methods, strict=True):
        problems = []
        for branch in level:
            own = children_at(tree, branch)
            children = [tree.nodes[k].code for k in own]
            stacked = np.stack([known[c] for c in children], axis=-1)
            used = (weights[:, own] > 0)[:, None, :]
            if one in ("geometric", "harmonic"):
                bad: Bools = np.asarray(((stacked <= 0) & used).max(axis=1), dtype=np.bool_)
                problems += [_told(branch, c, one, int(bad[:, k].sum())) for k, c in enumerate(children)
                             if bad[:, k].any()]  # fmt: skip
            # A branch all of whose nodes were left out counts for nothing itself.
            empty: Bools = np.asarray(weights[:, own].max(axis=1) <= 0)
            weights[empty, node[branch]] = 0.0
            safe = np.where(empty[:, None], 1.0, weights[:, own])
            if not problems:
                known[branch] = aggregate(np.where(used, stacked, np.nan), safe, one)
        if problems:
            raise _refused(tree, problems)
    return known[tree.root]


def _told(branch: str, child: str, method: str, count: int) -> str:
    shown = "a replicate" if count == 1 else f"{count:,} replicates"
    return f"{branch}: expected values above 0 of {child} for a {method} mean, found others in {shown}"


def _refused(tree: IndexTree, problems: Sequence[str]) -> CompositeError:
    return CompositeError(tree.name, problems, "normalise to a scale farther above 0, such as 1 to 100")
