"""The figures behind the coherence of a tree: correlations, alpha and first components, with intervals over units."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError
from sqmodel.index.composite import Arrangement, Composite, aggregate_tree
from sqmodel.index.tree import IndexTree
from sqmodel.index.tree_weights import SMALLEST_SAMPLE, normalised_of
from sqmodel.numerics.aggregation import aggregate
from sqmodel.numerics.derived_weights import difference_bounds
from sqmodel.numerics.pair_moments import pair_moments
from sqmodel.numerics.reliability import alpha_of_many
from sqmodel.numerics.resampling import resample_counts

Floats = npt.NDArray[np.float64]
PAIRS = ["first", "second", "r", "low", "high"]


@dataclass(frozen=True)
class Statistics:
    """Tables as `Coherence` describes them, without verdicts; `within` holds all pairs of a branch."""

    n: int
    nodes: pd.DataFrame
    branches: pd.DataFrame
    between: pd.DataFrame
    within: pd.DataFrame


def gather(
    source: Composite | pd.DataFrame, tree: IndexTree, level: float, draws: int, rng: np.random.Generator | int
) -> Statistics:
    """All figures.

    Raises
    ------
    CompositeError
        A composite of another tree, too few units, or nodes that do not vary.
    """
    values = _values(source, tree)
    n = len(values)
    drawn = list(resample_counts(np.zeros(n, dtype=np.intp), draws, np.random.default_rng(rng)))
    work = _Work(values, tree, np.concatenate([np.ones((1, n)), *drawn]), level)
    branches = [b for own in tree.levels for b in own]
    return Statistics(
        n=n,
        nodes=pd.DataFrame.from_dict(
            {c: row for b in branches for c, row in work.nodes(b).items()}, orient="index"
        ).rename_axis("node"),
        branches=pd.DataFrame.from_dict({b: work.branch(b) for b in branches}, orient="index").rename_axis("branch"),
        between=_listed([work.pairs(own).assign(level=k) for k, own in enumerate(tree.levels, 1)], "level"),
        within=_listed([work.pairs(tree.children(b)).assign(branch=b) for b in branches], "branch"),
    )


def _listed(tables: list[pd.DataFrame], key: str) -> pd.DataFrame:
    full = [t for t in tables if len(t)]
    return pd.concat(full, ignore_index=True)[[key, *PAIRS]] if full else pd.DataFrame(columns=[key, *PAIRS])


def _values(source: Composite | pd.DataFrame, tree: IndexTree) -> pd.DataFrame:
    """Indicators and branches, units x nodes."""
    frame = normalised_of(source, tree)
    if isinstance(source, Composite):
        scores = source.scores
        strange = sorted({*scores.columns} ^ {b for own in tree.levels for b in own})
        if strange:
            raise CompositeError(
                tree.name, [f"expected a composite of this tree, found {', '.join(strange)} in one of the two only"]
            )
    else:
        scores = aggregate_tree(frame, tree, Arrangement())
    values = pd.concat([frame, scores], axis=1)
    problems = []
    if len(values) < SMALLEST_SAMPLE:
        problems.append(f"expected at least {SMALLEST_SAMPLE} units, found {len(values)}")
    flat = values.columns[~(values.max() > values.min())]
    problems += [f"{c}: expected a node that varies, found one value throughout" for c in flat]
    if problems:
        raise CompositeError(tree.name, problems, "drop the node from the tree, or give more units")
    return values


class _Work:
    """Values and resamples; the first row of every array is the sample itself."""

    def __init__(self, values: pd.DataFrame, tree: IndexTree, counts: Floats, level: float) -> None:
        self._x = {str(c): values[c].to_numpy(float) for c in values}
        self._tree, self._counts, self._level = tree, counts, level

    def _moments(self, x: list[Floats], y: list[Floats]) -> tuple[Floats, Floats]:
        return pair_moments(np.column_stack(x), np.column_stack(y), self._counts)

    def _bounds(self, drawn: Floats, forth: Callable[[Floats], Floats], back: Callable[[Floats], Floats]) -> Floats:
        """Estimate, low and high of each column, (3, columns), by way of a scale on which they are nearly normal."""
        moved = forth(drawn)
        low, high = difference_bounds(moved[0], moved[1:], self._counts.shape[1], level=self._level)
        ends = np.sort(np.stack([back(low), back(high)]), axis=0)
        return np.asarray(np.vstack([drawn[:1], ends]))

    def _correlation(self, r: Floats) -> Floats:
        return self._bounds(r, lambda v: np.arctanh(np.clip(v, -1 + 1e-12, 1 - 1e-12)), np.tanh)

    def nodes(self, branch: str) -> dict[str, dict[str, float | str]]:
        """Rows of a branch's children."""
        children, root = self._tree.children(branch), self._tree.root
        own = [self._x[c] for c in children]
        r_own = self._moments(own, [self._x[branch]] * len(own))[1]
        r_rest = self._moments(own, self._rests(branch))[1] if len(own) > 1 else np.full_like(r_own, np.nan)
        r_root = self._moments(own, [self._x[root]] * len(own))[1]
        figures = {"own": self._correlation(r_own), "rest": self._correlation(r_rest),
                   "index": self._correlation(r_root)}  # fmt: skip
        others, names = self._others(branch, own)
        figures["other"] = self._correlation(others)
        figures["nearer"] = self._bounds(r_own - others, lambda v: v, lambda v: v)
        vectors = self._components(children)[0]
        figures["loading"] = self._correlation(vectors)
        rows: dict[str, dict[str, float | str]] = {}
        for j, child in enumerate(children):
            row: dict[str, float | str] = {"branch": branch}
            for name, found in figures.items():
                row |= {k: float(v) for k, v in zip((name, f"{name}_low", f"{name}_high"), found[:, j], strict=True)}
            row["other_branch"] = names[j]
            row["below"] = float((vectors[1:, j] <= 0).mean()) if len(children) > 1 else np.nan
            rows[child] = row
        return rows

    def _rests(self, branch: str) -> list[Floats]:
        """Mean of a child's siblings by their weights, for each child."""
        children, shares = self._tree.children(branch), self._tree.shares(branch)
        x = np.column_stack([self._x[c] for c in children])
        keep = ~np.eye(len(children), dtype=bool)
        return [aggregate(x[:, k], shares[k]) for k in keep]

    def _others(self, branch: str, own: list[Floats]) -> tuple[Floats, list[str]]:
        """Largest correlation of each child with another branch of its own branch's level, and with which."""
        level = next(names for names in self._tree.levels if branch in names)
        others = [b for b in level if b != branch]
        if not others:
            return np.full((len(self._counts), len(own)), np.nan), [""] * len(own)
        r = np.stack([self._moments(own, [self._x[b]] * len(own))[1] for b in others])
        largest = np.argmax(r[:, 0], axis=0)
        # The branch that is nearest in the sample is followed through the resamples.
        return r[largest, :, np.arange(len(own))].T, [others[k] for k in largest]

    def _covariances(self, children: tuple[str, ...]) -> tuple[Floats, Floats]:
        """Covariances and correlations of a branch's children, (resamples, k, k)."""
        k = len(children)
        rows, columns = np.triu_indices(k)
        x = [self._x[c] for c in children]
        both = self._moments([x[i] for i in rows], [x[j] for j in columns])
        found = np.empty((2, len(self._counts), k, k))
        for matrix, values in zip(found, both, strict=True):
            matrix[:, rows, columns] = matrix[:, columns, rows] = values
        return found[0], found[1]

    def _components(self, children: tuple[str, ...]) -> tuple[Floats, Floats]:
        """First component of the children: vectors (resamples, k), their sum not negative; and what it explains."""
        k = len(children)
        if k == 1:
            return np.full((len(self._counts), 1), np.nan), np.ones(len(self._counts))
        r = self._covariances(children)[1]
        known = np.isfinite(r).all(axis=(1, 2))
        vectors, explained = np.full((len(r), k), np.nan), np.full(len(r), np.nan)
        values, axes = np.linalg.eigh(r[known])
        first = axes[:, :, -1]
        vectors[known] = first * np.where(first.sum(axis=1, keepdims=True) < 0, -1.0, 1.0)
        explained[known] = values[:, -1] / k
        return vectors, explained

    def branch(self, branch: str) -> dict[str, float]:
        """Row of a branch."""
        children = self._tree.children(branch)
        explained = float(self._components(children)[1][0])
        alpha = np.full((3, 1), np.nan)
        if len(children) > 1:
            drawn = alpha_of_many(self._covariances(children)[0])[:, None]
            alpha = self._bounds(drawn, lambda a: np.log1p(-np.minimum(a, 1 - 1e-12)), lambda v: -np.expm1(v))
        return {"children": len(children), "alpha": float(alpha[0, 0]), "alpha_low": float(alpha[1, 0]),
                "alpha_high": float(alpha[2, 0]), "explained": explained}  # fmt: skip

    def pairs(self, codes: tuple[str, ...]) -> pd.DataFrame:
        """Correlations of all pairs."""
        rows, columns = np.triu_indices(len(codes), 1)
        if not len(rows):
            return pd.DataFrame(columns=PAIRS)
        r = self._moments([self._x[codes[i]] for i in rows], [self._x[codes[j]] for j in columns])[1]
        found = self._correlation(r)
        names = {"first": [codes[i] for i in rows], "second": [codes[j] for j in columns]}
        return pd.DataFrame({**names, "r": found[0], "low": found[1], "high": found[2]})
