"""Weights of a tree side by side: what each way of weighting makes of the scores and the ranking of the units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError
from sqmodel.index.branch_weights import Judgements, TreeMethod
from sqmodel.index.composite import Composite
from sqmodel.index.rank_shift import kendall, ranks_of
from sqmodel.index.tree import IndexTree
from sqmodel.index.tree_weights import Derived, aggregations, derived, normalised_of
from sqmodel.numerics.aggregation import Aggregation, aggregate
from sqmodel.numerics.derived_weights import difference_bounds
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
METHODS: tuple[str, ...] = get_args(TreeMethod)
_BLOCK = 4_000_000
RANKINGS = ["method", "tau", "tau_low", "tau_high", "mean_shift", "largest_shift", "gains", "gained", "loses", "lost"]


@dataclass(frozen=True, repr=False)
class TreeWeightComparison(Result):
    """A composite indicator under several weightings of its tree.

    Attributes
    ----------
    tree : str
    n : int
        Units.
    reference : str
        Method that the others are compared with.
    methods : DataFrame, one row a method
        applied, interval_method, doubts (their number), reason (why it was not applied).
    weights : DataFrame
        method, branch, node, weight, low, high, effective (of indicators, in an index of arithmetic means).
    doubts : DataFrame
        method, branch, node, doubt.
    units : DataFrame
        method, unit, score, low, high, rank, rank_low, rank_high, difference (from the reference), shift (rank less
        that under the reference: above 0 has fallen). The intervals hold the error of the weights alone, for these
        units with these values; weights that no resampling moves leave none.
    rankings : DataFrame, one row a method
        tau (Kendall's tau-b with the reference) with tau_low, tau_high (quantiles of the resamples), mean_shift and
        largest_shift (absolute), gains and loses (the units that rise and fall most) with gained, lost (ranks).
    settings : dict
    """

    tree: str
    n: int
    reference: str
    methods: pd.DataFrame
    weights: pd.DataFrame
    doubts: pd.DataFrame
    units: pd.DataFrame
    rankings: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        others = self.rankings[self.rankings["method"] != self.reference]
        applied = f"{self.tree}, {len(self.rankings)} of {len(self.methods)} methods, {self.n} units"
        if others.empty:
            return applied
        worst = others.sort_values("mean_shift", kind="stable").iloc[-1]
        return (f"{applied}: {worst['method']} moves ranks most, {worst['mean_shift']:.1f} on average, "
                f"{worst['largest_shift']:.0f} at the most")  # fmt: skip


def compare_tree_weights(
    source: Composite | pd.DataFrame,
    tree: IndexTree,
    *,
    methods: Sequence[str] | None = None,
    judgements: Judgements | None = None,
    reference: str = "",
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> TreeWeightComparison:
    """Does it matter how the nodes of a tree are weighted?

    Parameters
    ----------
    source, tree, judgements, level, draws, rng
        As for `derive_tree_weights`.
    methods : sequence of str, optional
        Those of `derive_tree_weights`. By default all; those that do not apply are listed with the reason.
    reference : str
        Method to compare with; the first one by default.

    Returns
    -------
    TreeWeightComparison

    Raises
    ------
    CompositeError
        Unknown methods; a method that was asked for by name and cannot be applied. All in one message.
    """
    chosen = list(dict.fromkeys(methods)) if methods is not None else list(METHODS)
    _check(tree, chosen, reference)
    seed = int(rng.integers(2**31)) if isinstance(rng, np.random.Generator) else rng
    frame, how = normalised_of(source, tree), aggregations(source, tree)
    found: dict[str, Derived] = {}
    failed: dict[str, CompositeError] = {}
    for name in chosen:
        try:
            found[name] = derived(source, tree, cast(TreeMethod, name), judgements, level, draws, seed)
        except CompositeError as error:
            if name == "judged" and judgements is not None:
                raise
            failed[name] = error
    if failed and methods is not None:
        told = [f"{m}: {p}" for m, error in failed.items() for p in error.problems]
        raise CompositeError(tree.name, told, "leave out the methods, or mend the tree or the data")
    first = reference or next(iter(found))
    if first not in found:
        raise CompositeError(tree.name, [f"reference: expected a method that applies, found {first!r}"])
    scores = {m: _scores(frame, tree, how, own) for m, own in found.items()}
    moved = {m: _drawn(frame, tree, how, own) for m, own in found.items()}
    units = pd.concat([_units(m, frame.index, scores, moved, first, level) for m in found], ignore_index=True)
    rankings = [_ranking(m, frame.index, scores, moved, first, level) for m in found]
    return TreeWeightComparison(
        tree=f"{tree.name} {tree.version}", n=len(frame), reference=first, methods=_methods(chosen, found, failed),
        weights=pd.concat([_weights(m, own, tree) for m, own in found.items()], ignore_index=True),
        doubts=pd.concat([own.weights.doubts.assign(method=m)[["method", "branch", "node", "doubt"]]
                          for m, own in found.items()], ignore_index=True),
        units=units, rankings=pd.DataFrame(rankings, columns=RANKINGS),
        settings={"level": level, "draws": draws, "aggregate": list(how)},
    )  # fmt: skip


def _check(tree: IndexTree, chosen: list[str], reference: str) -> None:
    problems = [f"methods: expected one of {', '.join(METHODS)}, found {m!r}" for m in chosen if m not in METHODS]
    if not chosen:
        problems.append("methods: expected at least one, found none")
    if reference and reference not in chosen:
        problems.append(f"reference: expected one of {', '.join(chosen)}, found {reference!r}")
    if problems:
        raise CompositeError(tree.name, problems)


def _methods(chosen: list[str], found: dict[str, Derived], failed: dict[str, CompositeError]) -> pd.DataFrame:
    rows = [
        (True, found[m].weights.interval_method, len(found[m].weights.doubts), "") if m in found
        else (False, "", 0, "; ".join(str(p) for p in failed[m].problems))
        for m in chosen
    ]  # fmt: skip
    columns = ["applied", "interval_method", "doubts", "reason"]
    return pd.DataFrame(rows, index=pd.Index(chosen, name="method"), columns=columns)


def _weights(method: str, own: Derived, tree: IndexTree) -> pd.DataFrame:
    table = own.weights.table.reset_index()
    effective = own.weights.apply(tree).effective_weights()
    table = table.assign(method=method, effective=table["node"].map(effective))
    return table[["method", "branch", "node", "weight", "low", "high", "effective"]]


def _scores(frame: pd.DataFrame, tree: IndexTree, how: tuple[Aggregation, ...], own: Derived) -> Floats:
    """The index of each unit, (units,)."""
    weight = own.weights.table["weight"]
    shares = {b: weight[list(tree.children(b))].to_numpy(float) for level in tree.levels for b in level}
    return _aggregated(frame, tree, how, shares)


def _drawn(frame: pd.DataFrame, tree: IndexTree, how: tuple[Aggregation, ...], own: Derived) -> Floats:
    """The index of each unit under the weights of every resample, (draws, units); none for fixed weights."""
    if not own.drawn:
        return np.empty((0, len(frame)))
    weight = own.weights.table["weight"]
    draws = len(next(iter(own.drawn.values())))
    # Copeland's score compares all units with one another.
    wide = max(len(frame) if "copeland" in how else 0, max(len(tree.children(b)) for v in tree.levels for b in v))
    step = max(1, _BLOCK // (len(frame) * wide))
    parts = []
    for start in range(0, draws, step):
        shares = {
            b: own.drawn[b][start : start + step] if b in own.drawn else weight[list(tree.children(b))].to_numpy(float)
            for level in tree.levels
            for b in level
        }
        parts.append(_aggregated(frame, tree, how, shares))
    found = np.concatenate(parts)
    return found[~np.isnan(found).all(axis=1)]


def _aggregated(
    frame: pd.DataFrame, tree: IndexTree, how: tuple[Aggregation, ...], shares: dict[str, Floats]
) -> Floats:
    """The index with given weights, (..., units), for shares of shape (..., children)."""
    values = {str(c): frame[c].to_numpy(float) for c in frame}
    for branches, method in zip(tree.levels, how, strict=True):
        for branch in branches:
            x = np.stack(np.broadcast_arrays(*(values[c] for c in tree.children(branch))), axis=-1)
            if method == "copeland":
                x = np.broadcast_to(x, (*shares[branch].shape[:-1], *x.shape[-2:]))
            values[branch] = aggregate(x, shares[branch], method)
    return values[tree.root]


def _units(
    method: str, names: pd.Index, scores: dict[str, Floats], moved: dict[str, Floats], first: str, level: float
) -> pd.DataFrame:
    own, drawn = scores[method], moved[method]
    ranks, before = ranks_of(own), ranks_of(scores[first])
    low = high = own
    best = worst = ranks
    if len(drawn):
        low, high = difference_bounds(own, drawn, len(own), level=level)
        tail = [(1 - level) / 2, (1 + level) / 2]
        best, worst = np.quantile(ranks_of(drawn), tail, axis=0, method="nearest")
    return pd.DataFrame({
        "method": method, "unit": names.astype(str), "score": own, "low": low, "high": high, "rank": ranks,
        "rank_low": np.minimum(best, ranks), "rank_high": np.maximum(worst, ranks), "difference": own - scores[first],
        "shift": ranks - before,
    })  # fmt: skip


def _ranking(
    method: str, names: pd.Index, scores: dict[str, Floats], moved: dict[str, Floats], first: str, level: float
) -> tuple[Any, ...]:
    shift = ranks_of(scores[method]) - ranks_of(scores[first])
    tau = float(kendall(scores[method], scores[first]))
    low = high = tau
    if method != first and (len(moved[method]) or len(moved[first])):
        one, other = (moved[m] if len(moved[m]) else scores[m][None] for m in (method, first))
        size = min(len(v) for v in (one, other) if len(v) > 1)
        found = kendall(one[:size] if len(one) > 1 else one, other[:size] if len(other) > 1 else other)
        low, high = np.nanquantile(found, [(1 - level) / 2, (1 + level) / 2])
    up, down = int(np.argmin(shift)), int(np.argmax(shift))
    return (method, tau, float(low), float(high), float(np.abs(shift).mean()), float(np.abs(shift).max()),
            str(names[up]) if shift[up] < 0 else "", abs(min(float(shift[up]), 0.0)),
            str(names[down]) if shift[down] > 0 else "", max(float(shift[down]), 0.0))  # fmt: skip
