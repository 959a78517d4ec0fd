"""Weights of one branch's children, from their values over the units or from judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError
from sqmodel.index.judgements import JudgedWeights, judge_weights
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.derived_weights import (
    WITH_LOADINGS,
    Derivation,
    covariances,
    derived_weights,
    loadings_of,
    share_bounds,
    weight_columns,
)
from sqmodel.operations.records import Records

Floats = npt.NDArray[np.float64]
TreeMethod = Literal["equal", "given", "entropy", "critic", "component", "loadings", "judged"]
FROM_DATA: tuple[TreeMethod, ...] = ("entropy", "critic", "component", "loadings")
Judgements = Records | pd.DataFrame | JudgedWeights


def judged_branches(tree: IndexTree, judgements: Judgements | None, level: float) -> JudgedWeights:
    """The judges' weights, of every branch that has more than one child.

    Raises
    ------
    CompositeError
        No comparisons, or a branch or an element without.
    """
    several = [b for branches in tree.levels for b in branches if len(tree.children(b)) > 1]
    if judgements is None:
        raise CompositeError(tree.name, ["judgements: expected comparisons of every branch, found none"])
    judged = judgements if isinstance(judgements, JudgedWeights) else judge_weights(judgements, tree=tree, level=level)
    told = judged.weights.groupby("branch")["element"].agg(set).to_dict()
    problems = [f"{b}: expected comparisons of its elements, found none" for b in several if b not in told]
    for branch in (b for b in several if b in told and told[b] != set(tree.children(b))):
        names = ", ".join(sorted(told[branch]))
        problems.append(f"{branch}: expected comparisons of {', '.join(tree.children(branch))}, found those of {names}")
    if problems:
        raise CompositeError("judgements", problems, "ask the judges about every branch with more than one element")
    return judged


@dataclass(frozen=True)
class Branch:
    """What was found for one branch: its rows of the table, the children's weights, and those of the resamples.

    `problems` says why there are none; `doubts` are branch, child, doubt.
    """

    name: str
    table: pd.DataFrame
    weight: Floats
    drawn: Floats
    problems: Sequence[str] = ()
    doubts: Sequence[tuple[str, str, str]] = ()


def weigh_branch(
    branch: str, children: tuple[str, ...], x: Floats, tree: IndexTree, method: TreeMethod,
    judged: JudgedWeights | None, counts: Floats, level: float,
) -> Branch:  # fmt: skip
    """Weights of the children whose values over the units are the columns of `x`; `counts` are the resamples."""
    k, nothing = len(children), np.empty((0, len(children)))
    if k == 1 or method in ("equal", "given"):
        weight = np.full(k, 1 / k) if method != "given" else tree.shares(branch)
        return Branch(branch, _table(branch, children, weight, weight, weight), weight, nothing)
    if judged is not None:
        own = judged.weights[judged.weights["branch"] == branch].set_index("element").loc[list(children)]
        weight, low, high = (own[c].to_numpy(float) for c in ("weight", "low", "high"))
        return Branch(branch, _table(branch, children, weight, low, high), weight, nothing)
    return _from_data(branch, children, x, cast(Derivation, method), counts, level)


def _table(
    branch: str, children: tuple[str, ...], weight: Floats, low: Floats, high: Floats, loading: Floats | None = None
) -> pd.DataFrame:
    columns = {"branch": branch, "weight": weight, "low": low, "high": high}
    columns["loading"] = np.full(len(children), np.nan) if loading is None else loading
    return pd.DataFrame(columns, index=pd.Index(children, name="node"))


def _from_data(
    branch: str, children: tuple[str, ...], x: Floats, method: Derivation, counts: Floats, level: float
) -> Branch:
    k, n = len(children), len(x)
    if method == "critic":
        width = np.ptp(x, axis=0)
        x = (x - x.min(axis=0)) / np.where(width > 0, width, 1.0)
    columns = weight_columns(x, np.ones(n))
    own = columns.sum(axis=0)
    problems = list(_problems(branch, children, x, own, method))
    if problems:
        nothing = np.full(k, np.nan)
        return Branch(branch, _table(branch, children, *[nothing] * 3), nothing, np.empty((0, k)), problems)
    totals = counts @ columns
    weight, drawn = (derived_weights(t, method, k) for t in (own, totals))
    low, high = share_bounds(weight, drawn, n, level=level)
    loading = loadings_of(own, method, k) if method in WITH_LOADINGS else None
    doubts = _doubts(branch, children, totals, weight, drawn, method, level)
    return Branch(branch, _table(branch, children, weight, low, high, loading), weight, drawn, (), list(doubts))


def _problems(branch: str, children: tuple[str, ...], x: Floats, totals: Floats, method: Derivation) -> Iterator[str]:
    """Why a branch's children have no weights of a method."""
    k = len(children)
    if method == "entropy":
        bad = [c for c, own in zip(children, x.T, strict=True) if (own < 0).any() or not own.any()]
        if bad:
            yield f"{branch}: expected values of at least 0, and some above it, found others of {', '.join(bad)}"
        elif np.isnan(derived_weights(totals, method, k)).any():
            yield f"{branch}: expected children that vary, found none"
        return
    flat = [c for c, v in zip(children, np.diagonal(covariances(totals, k)), strict=True) if v == 0]
    if flat:
        yield f"{branch}: expected children that vary, found no variance of {', '.join(flat)}"
    elif np.isnan(derived_weights(totals, method, k)).any():
        yield f"{branch}: expected children that do not repeat each other, found ones that do"
    elif method in WITH_LOADINGS:
        if k == 2 and loadings_of(totals, method, k)[1] <= 0:
            one, other = children
            yield f"{branch}: expected two children correlated positively, found {one} and {other} that are not"
            return
        against = [f"{c} ({v:.2f})" for c, v in zip(children, loadings_of(totals, method, k), strict=True) if v <= 0]
        if against:
            one = "factor" if method == "loadings" else "component"
            yield f"{branch}: expected children that load positively on one {one}, found {', '.join(against)}"


def _doubts(
    branch: str, children: tuple[str, ...], totals: Floats, weight: Floats, drawn: Floats, method: Derivation,
    level: float,
) -> Iterator[tuple[str, str, str]]:  # fmt: skip
    if method in WITH_LOADINGS:
        below = (loadings_of(totals, method, len(children)) <= 0).mean(axis=0)
        # Of two children that disagree neither is the one that does.
        below = np.full(2, below.max()) if len(children) == 2 else below
        for child, share in zip(children, below, strict=True):
            if share > (1 - level) / 2:
                yield branch, child, f"its loading is not surely positive: at or below 0 in {share:.0%} of the draws"
    for child, own in zip(children, weight, strict=True):
        if own == 0:
            yield branch, child, "its values do not vary: no weight"
    lost = int(np.isnan(drawn).any(axis=1).sum())
    if lost:
        yield branch, "", f"{lost} of {len(drawn)} draws have no weights (children without variance)"
