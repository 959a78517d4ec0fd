"""Weights by judgement: the analytic hierarchy process, with several judges, gaps, and a gate for contradictions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.pairwise import Priority, completed, connected, consistency_ratio, priorities
from sqmodel.operations.records import Column, Records, read_records
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
COLUMNS = (
    Column("judge", "text", filled=True),
    Column("branch", "text", filled=True),
    Column("a", "text", filled=True),
    Column("b", "text", filled=True),
    Column("value", "number", filled=True, low=0),
)
GATE = 0.10


@dataclass(frozen=True, repr=False)
class JudgedWeights(Result):
    """Weights of every branch, by the judges' comparisons.

    Attributes
    ----------
    n : int
        Judges.
    weights : DataFrame
        branch, element, weight, low, high, judges; sums to one in each branch.
    branches : DataFrame, one row a branch
        elements, judges, ratio (consistency of the judges' common matrix).
    judges : DataFrame
        branch, judge, comparisons, missing, ratio, worst (the comparison that contradicts the others most).
    settings : dict
    """

    n: int
    weights: pd.DataFrame
    branches: pd.DataFrame
    judges: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        worst = self.judges["ratio"].max()
        return f"{self.n} judges, {len(self.branches)} branches; largest consistency ratio {worst:.3f}"


def read_judgements(
    source: str | Path | pd.DataFrame, *, table: str | None = None, query: str | None = None
) -> Records:
    """Read comparisons: judge, branch, a, b, value (how many times a outweighs b; 1/3 is 0.333…).

    Parameters
    ----------
    source, table, query
        See `read_records`.

    Raises
    ------
    OperationsError
        Cells or columns that break the rules, a comparison made twice by one judge; all in one message.
    """
    return read_records(source, COLUMNS, what="judgements", table=table, query=query,
                        unique=("judge", "branch", "a", "b"))  # fmt: skip


def judge_weights(
    judgements: Records | pd.DataFrame,
    *,
    tree: IndexTree | None = None,
    method: Priority = "eigenvector",
    gate: float = GATE,
    level: float = 0.95,
) -> JudgedWeights:
    """What do the judges' comparisons say that each element counts?

    Parameters
    ----------
    judgements : Records or DataFrame
        One row a comparison: judge, branch, a, b, value. A pair may be missing, and be told in either order.
    tree : IndexTree, optional
        Whose branches and elements they must be.
    method : {"eigenvector", "geometric_mean"}
        Priorities of a matrix.
    gate : float
        Largest consistency ratio that is accepted of a judge.
    level : float

    Returns
    -------
    JudgedWeights

    Raises
    ------
    CompositeError
        Comparisons of an element with itself, told twice and differently, of elements that the tree does not have, too
        few to connect all elements; or judges who contradict themselves beyond the gate, with the comparison to ask
        about again. All in one message.

    Notes
    -----
    The common matrix is the geometric mean of the judges' (Aczel & Saaty 1983), each completed first so that its
    largest eigenvalue is least. Intervals are by Student's t from the jackknife over judges on the logit of a weight;
    a single judge gives none.

    References
    ----------
    Saaty, T. L. (1980). The Analytic Hierarchy Process. Saaty, T. L. (2008). International Journal of Services Sciences
    1, 83-98.

    Examples
    --------
    >>> pairs = {"a": ["speed", "speed", "care"], "b": ["care", "cost", "cost"], "value": [3.0, 6.0, 2.0]}
    >>> found = judge_weights(pd.DataFrame({"judge": "J", "branch": "index", **pairs}))
    >>> found.weights.set_index("element")["weight"].round(3).to_dict()
    {'care': 0.222, 'cost': 0.111, 'speed': 0.667}
    """
    frame = judgements.frame if isinstance(judgements, Records) else judgements
    problems: list[Problem | str] = [*_check(frame, tree, method, gate)]
    if problems:
        raise CompositeError("judgements", problems, "correct the comparisons")
    weights, branches, judges = [], [], []
    for branch, own in frame.groupby("branch", sort=True):
        elements = sorted({*own["a"], *own["b"]})
        matrices = {str(j): _matrix(rows, elements) for j, rows in own.groupby("judge", sort=True)}
        loose = tuple(j for j, a in matrices.items() if not connected(a))
        if loose:
            what = f"{branch}: expected comparisons that connect all elements, found too few of"
            problems.append(Problem(what, loose))
            continue
        full = {j: completed(a) for j, a in matrices.items()}
        told = [_told(str(branch), j, matrices[j], full[j], elements) for j in matrices]
        limit = f"{branch}: expected a consistency ratio of at most {gate:.2f} of judge"
        problems += [f"{limit} {r['judge']!r}, found {r['ratio']:.3f}; ask again about {r['worst']}"
                     for r in told if r["ratio"] > gate]  # fmt: skip
        judges += told
        table, ratio = _common(np.stack(list(full.values())), elements, method, level)
        weights.append(table.assign(branch=branch, judges=len(full)))
        branches.append({"branch": branch, "elements": len(elements), "judges": len(full), "ratio": ratio})
    if problems:
        raise CompositeError("judgements", problems, "ask the judges again, or set `gate` and say why")
    columns = ["branch", "element", "weight", "low", "high", "judges"]
    return JudgedWeights(
        n=int(frame["judge"].nunique()),
        weights=pd.concat(weights, ignore_index=True)[columns],
        branches=pd.DataFrame(branches).set_index("branch"),
        judges=pd.DataFrame(judges),
        settings={"method": method, "gate": gate, "level": level, "interval": "jackknife over judges on the logit, t"},
    )


def judge_matrices(frame: pd.DataFrame) -> Iterator[tuple[str, list[str], Floats]]:
    """Branches with their elements and the judges' matrices, gaps filled, shape (judges, elements, elements)."""
    for branch, own in frame.groupby("branch", sort=True):
        elements = sorted({*own["a"], *own["b"]})
        rows = [completed(_matrix(r, elements)) for _, r in own.groupby("judge", sort=True)]
        yield str(branch), elements, np.stack(rows)


def _check(frame: pd.DataFrame, tree: IndexTree | None, method: str, gate: float) -> Iterator[Problem | str]:
    absent = [c.name for c in COLUMNS if c.name not in frame]
    if absent:
        yield f"expected columns {', '.join(absent)}, found {', '.join(map(str, frame.columns)) or 'none'}"
        return
    if method not in get_args(Priority):
        yield f"method: expected one of {', '.join(get_args(Priority))}, found {method!r}"
    if not gate > 0:
        yield f"gate: expected a ratio above 0, found {gate}"
    if frame.empty:
        yield "expected comparisons, found none"
    pairs = frame.apply(lambda r: f"{r['judge']}: {r['branch']}: {r['a']} / {r['b']}", axis=1) if len(frame) else None
    for what, bad in (
        ("expected two different elements, found one compared with itself", frame["a"] == frame["b"]),
        ("expected how many times a outweighs b, a number above 0, found another", ~(frame["value"] > 0)),
    ):
        if bad.any() and pairs is not None:
            yield Problem(what, tuple(pairs[bad]))
    positive = frame[frame["value"] > 0]
    ordered = positive.assign(low=positive[["a", "b"]].min(axis=1), high=positive[["a", "b"]].max(axis=1))
    value = np.where(positive["a"] <= positive["b"], positive["value"], 1 / positive["value"])
    spread = ordered.assign(log=np.log(value)).groupby(["judge", "branch", "low", "high"])["log"].agg(["min", "max"])
    twice = spread.index[spread["max"] - spread["min"] > 1e-6]
    if len(twice):
        yield Problem("expected one answer to a comparison, found two that differ",
                      tuple(f"{j}: {b}: {x} / {y}" for j, b, x, y in twice))  # fmt: skip
    if tree is not None:
        yield from _strange(frame, tree)


def _strange(frame: pd.DataFrame, tree: IndexTree) -> Iterator[str]:
    for branch, own in frame.groupby("branch", sort=True):
        known = set(tree.children(str(branch)))
        if not known:
            yield f"{branch}: expected a branch of the tree {tree.name}, found none"
            continue
        found = {*own["a"], *own["b"]}
        yield from (f"{branch}: expected elements of this branch, found {e!r}" for e in sorted(found - known))
        yield from (f"{branch}: expected comparisons of {e!r}, found none" for e in sorted(known - found))


def _matrix(rows: pd.DataFrame, elements: list[str]) -> Floats:
    place = {e: k for k, e in enumerate(elements)}
    matrix = np.full((len(elements),) * 2, np.nan)
    np.fill_diagonal(matrix, 1.0)
    i, j = (rows[c].map(place).to_numpy() for c in ("a", "b"))
    matrix[i, j], matrix[j, i] = rows["value"], 1 / rows["value"]
    return matrix


def _told(branch: str, judge: str, given: Floats, full: Floats, elements: list[str]) -> dict[str, Any]:
    """A judge's consistency, and the comparison that is farthest from what the others imply."""
    weight, largest = priorities(full)
    missing = int(np.isnan(given).sum() // 2)
    distance = np.abs(np.log(full * weight[None, :] / weight[:, None]))
    i, j = np.unravel_index(np.argmax(np.where(np.isnan(given), -1.0, np.triu(distance, 1))), distance.shape)
    implied = weight[i] / weight[j]
    return {
        "branch": branch, "judge": judge, "comparisons": len(elements) * (len(elements) - 1) // 2 - missing,
        "missing": missing, "ratio": float(consistency_ratio(largest, len(elements))),
        "worst": f"{elements[i]} / {elements[j]}: said {full[i, j]:.3g}, the others imply {implied:.3g}",
    }  # fmt: skip


def _common(matrices: Floats, elements: list[str], method: Priority, level: float) -> tuple[pd.DataFrame, float]:
    """Weights of the geometric mean of all matrices, with intervals, and its consistency ratio."""
    logs = np.log(matrices)
    weight, largest = priorities(np.exp(logs.mean(axis=0)), method)
    low = high = np.full(len(elements), np.nan)
    m = len(matrices)
    if m > 1 and len(elements) > 1:
        left = priorities(np.exp((logs.sum(axis=0) - logs) / (m - 1)), method)[0]
        logit = np.log(left / (1 - left))
        se = np.sqrt((m - 1) / m * ((logit - logit.mean(axis=0)) ** 2).sum(axis=0))
        center, reach = np.log(weight / (1 - weight)), student.ppf((1 + level) / 2, m - 1) * se
        low, high = (1 / (1 + np.exp(-(center + s * reach))) for s in (-1, 1))
    table = pd.DataFrame({"element": elements, "weight": weight, "low": low, "high": high})
    return table, float(consistency_ratio(largest, len(elements)))
