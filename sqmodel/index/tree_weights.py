"""Weights of an index tree from its data or from judges, branch by branch, each with its interval."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.branch_weights import FROM_DATA, Branch, Judgements, TreeMethod, judged_branches, weigh_branch
from sqmodel.index.composite import Composite
from sqmodel.index.judgements import JudgedWeights
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.aggregation import Aggregation, aggregate
from sqmodel.numerics.resampling import resample_counts
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
REMEDY = "drop or turn the indicators, or choose other weights"
SMALLEST_SAMPLE = 5
"""Units without which no weights are derived from data: a correlation of fewer says nothing."""


@dataclass(frozen=True, repr=False)
class TreeWeights(Result):
    """Weights of the nodes of a tree, each within its branch.

    Attributes
    ----------
    tree : str
        Name and version.
    method : str
    n : int
        Units (for ``judged``: judges) that they rest on; 0 for equal and given weights.
    table : DataFrame, one row a node
        branch, weight, low, high, loading (of `loadings` and `component`); the weights of a branch sum to one.
    doubts : DataFrame
        branch, node, doubt.
    interval_method : str
    settings : dict
    """

    tree: str
    method: str
    n: int
    table: pd.DataFrame
    doubts: pd.DataFrame
    interval_method: str
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        own = self.table["weight"]
        doubt = f"; {len(self.doubts)} doubt{'' if len(self.doubts) == 1 else 's'}" if len(self.doubts) else ""
        return (f"{self.tree}, {self.method}, n={self.n}: {len(own)} weights in {self.table['branch'].nunique()} "
                f"branches, {own.min():.3f} to {own.max():.3f}{doubt}")  # fmt: skip

    def apply(self, tree: IndexTree) -> IndexTree:
        """The tree with these weights.

        Raises
        ------
        CompositeError
            The tree has other nodes, or other branches above them.
        """
        known = {n.code: n.parent for n in tree.nodes if n.parent}
        own: dict[str, str] = dict(zip(self.table.index.astype(str), self.table["branch"], strict=True))
        if known != own:
            strange = sorted(c for c in {*known, *own} if known.get(c) != own.get(c))
            told = [f"{c}: expected it in one branch of tree and weights, found another or none" for c in strange]
            raise CompositeError(tree.name, told, "derive the weights for this tree")
        weight = self.table["weight"].to_dict()
        nodes = tuple(n.model_copy(update={"weight": float(weight.get(n.code, n.weight))}) for n in tree.nodes)
        found = tree.model_copy(update={"nodes": nodes})
        # A copy keeps what was found out about the tree with other weights.
        for name in set(found.__dict__) - set(type(tree).model_fields):
            found.__dict__.pop(name)
        return found


def derive_tree_weights(
    source: Composite | pd.DataFrame,
    tree: IndexTree,
    *,
    method: TreeMethod,
    judgements: Judgements | None = None,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> TreeWeights:
    """How much should each node of a tree count within its branch?

    Parameters
    ----------
    source : Composite or DataFrame, units x indicators
        Normalised indicators, more being better. A frame is aggregated by arithmetic means, a composite as it says.
    tree : IndexTree
    method : {"equal", "given", "entropy", "critic", "component", "loadings", "judged"}
        equal: the same within a branch. given: the tree's own. entropy, critic: as `entropy_weights` and
        `critic_weights`. component, loadings: squared loadings of a branch's children on their first principal
        component, or on one common factor (minres), scaled to sum one; two children have no identified factor and
        count the same. judged: the analytic hierarchy process (`judge_weights`).
    judgements : Records, DataFrame or JudgedWeights, optional
        Of every branch with more than one child, for ``judged``.
    level, draws, rng
        Of the intervals: bootstrap over units (for ``judged`` the jackknife over judges); equal and given weights are
        constants.

    Returns
    -------
    TreeWeights

    Raises
    ------
    CompositeError
        Missing values, negative values for the entropy, an indicator without variance, children that determine each
        other, that load negatively (a weight could not say so), judgements that lack a branch; all at once, by node.

    Notes
    -----
    Branches are derived from the bottom: a branch's score is made with the weights found for its children, and the
    interval of a weight takes the scores and the normalisation as they are. Units are taken as a sample of units alike:
    the interval says how far the weights hang on which units were there. A single child has weight 1.

    Examples
    --------
    >>> from sqmodel.index.tree import IndexTree, Node
    >>> tree = IndexTree(name="t", nodes=(Node(code="I"), *(Node(code=c, parent="I") for c in "abc")))
    >>> data = pd.DataFrame({"a": [0.0, 40, 60, 100, 80, 20], "b": [10.0, 30, 70, 90, 100, 0],
    ...                      "c": [50.0, 0, 60, 100, 90, 40]})
    >>> derive_tree_weights(data, tree, method="component", draws=200).table["weight"].round(3).to_dict()
    {'a': 0.347, 'b': 0.363, 'c': 0.29}
    """
    return derived(source, tree, method, judgements, level, draws, rng).weights


@dataclass(frozen=True)
class Derived:
    """Weights of a tree with those of the resamples: branch to (draws, children), none for fixed weights."""

    weights: TreeWeights
    drawn: dict[str, Floats]


def derived(
    source: Composite | pd.DataFrame,
    tree: IndexTree,
    method: TreeMethod,
    judgements: Judgements | None,
    level: float,
    draws: int,
    rng: np.random.Generator | int,
) -> Derived:
    """`derive_tree_weights` with the weights of all resamples."""
    if method not in get_args(TreeMethod):
        known = ", ".join(get_args(TreeMethod))
        raise CompositeError(tree.name, [f"method: expected one of {known}, found {method!r}"])
    frame = normalised_of(source, tree)
    if method in FROM_DATA:
        _check_frame(frame, tree)
    judged = judged_branches(tree, judgements, level) if method == "judged" else None
    counts = _counts(len(frame), draws, rng) if method in FROM_DATA else np.empty((0, len(frame)))
    branches = _weighed(frame, tree, aggregations(source, tree), method, judged, counts, level)
    problems = [p for b in branches for p in b.problems]
    if problems:
        raise CompositeError(f"{tree.name}, weights by {method}", problems, REMEDY)
    table = pd.concat([b.table for b in branches])
    doubts = pd.DataFrame([d for b in branches for d in b.doubts], columns=["branch", "node", "doubt"])
    n, named = len(frame), f"bootstrap standard error on the logit, Student's t, {draws} draws over units"
    if judged is not None:
        n, named = judged.n, judged.settings["interval"]
    elif method not in FROM_DATA:
        n, named = 0, "constant"
    weights = TreeWeights(
        tree=f"{tree.name} {tree.version}", method=method, n=n, table=table, doubts=doubts, interval_method=named,
        settings={"method": method, "level": level, "draws": draws},
    )  # fmt: skip
    return Derived(weights, {b.name: b.drawn for b in branches if len(b.drawn)})


def _weighed(
    frame: pd.DataFrame, tree: IndexTree, how: tuple[Aggregation, ...], method: TreeMethod,
    judged: JudgedWeights | None, counts: Floats, level: float,
) -> list[Branch]:  # fmt: skip
    """Every branch from the bottom; none above one that has no weights, for it has no scores."""
    values = {str(c): frame[c].to_numpy(float) for c in frame}
    found: list[Branch] = []
    for branches, aggregation in zip(tree.levels, how, strict=True):
        for branch in branches:
            children = tree.children(branch)
            if not all(c in values for c in children):
                continue
            x = np.column_stack([values[c] for c in children])
            found.append(weigh_branch(branch, children, x, tree, method, judged, counts, level))
            if not found[-1].problems:
                values[branch] = aggregate(x, found[-1].weight, aggregation)
    return found


def normalised_of(source: Composite | pd.DataFrame, tree: IndexTree) -> pd.DataFrame:
    """The normalised indicators of a tree, in its order.

    Raises
    ------
    CompositeError
        Indicators without a column, values that are no finite numbers.
    """
    frame = source.normalised if isinstance(source, Composite) else source
    problems: list[Problem | str] = [
        f"{c}: expected a column of an indicator, found none" for c in tree.indicators if c not in frame
    ]
    if not problems:
        frame = frame[list(tree.indicators)]
        numbers = frame.apply(pd.to_numeric, errors="coerce")
        bad = ((numbers.isna() & frame.notna()) | np.isinf(numbers)).any()
        problems = [f"{c}: expected finite numbers, found others" for c in frame.columns[bad]]
        frame = numbers.astype(float)
        empty = tuple(map(str, frame.index[frame.isna().all(axis=1)]))
        problems += [Problem("expected some value of every unit, found none of", empty)] if empty else []
    if problems:
        raise CompositeError(tree.name, problems, "give the normalised indicators of this tree")
    return frame


def aggregations(source: Composite | pd.DataFrame, tree: IndexTree) -> tuple[Aggregation, ...]:
    """How each level is aggregated, from the bottom."""
    plain: list[Aggregation] = ["arithmetic"] * len(tree.levels)
    return tuple(cast(list[Aggregation], source.settings["aggregate"]) if isinstance(source, Composite) else plain)


def _counts(n: int, draws: int, rng: np.random.Generator | int) -> Floats:
    return np.concatenate(list(resample_counts(np.zeros(n, dtype=np.intp), draws, np.random.default_rng(rng))))


def _check_frame(frame: pd.DataFrame, tree: IndexTree) -> None:
    problems = [f"{c}: expected no missing values, found {n}" for c, n in frame.isna().sum().items() if n]
    if len(frame) < SMALLEST_SAMPLE:
        problems.insert(0, f"expected at least {SMALLEST_SAMPLE} units, found {len(frame)}")
    if problems:
        raise CompositeError(tree.name, problems, "impute, drop the indicators, or choose equal or given weights")
