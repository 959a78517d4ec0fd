"""Does a tree hang together? Correlations of nodes with their branches, consistency, redundancy, and a verdict."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError
from sqmodel.index.coherence_statistics import Statistics, gather
from sqmodel.index.composite import Composite
from sqmodel.index.tree import IndexTree
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
Verdict = Literal["ok", "doubtful", "blocks"]
GRAVITY: dict[str, int] = {"not assessed": 0, "ok": 0, "doubtful": 1, "blocks": 2}
FINDINGS = ["check", "node", "value", "low", "high", "threshold", "verdict", "source"]
JRC = ("OECD & JRC (2008), Handbook on Constructing Composite Indicators, step 4; JRC statistical audits of the Global "
       "Innovation Index")  # fmt: skip


@dataclass(frozen=True)
class Check:
    """One thing that is looked at.

    Attributes
    ----------
    threshold : float
        Of a value that is good enough.
    at_least : bool
        Whether the value must be at least the threshold, or at most.
    blocks : bool
        Whether a value that is surely below zero, its whole interval, keeps the index from being shown.
    why, source : str
    """

    threshold: float
    at_least: bool
    blocks: bool
    why: str
    source: str


CHECKS: Mapping[str, Check] = {
    "own_branch": Check(0.3, True, True, "a node that gets better must not lower its own branch",
                        f"{JRC}; .3 is weak in COINr 1.1.14 plot_corr"),
    "item_rest": Check(0.0, True, False, "without itself, its branch should not move the other way", JRC),
    "index": Check(0.0, True, False, "a node that gets better should not lower the index (a trade-off)", JRC),
    "elsewhere": Check(0.0, True, False, "a node belongs to the branch that it is most correlated with", JRC),
    "first_component": Check(0.0, True, False, "a negative loading is a negative weight in its branch",
                             "OECD & JRC (2008), step 6; COINr 1.1.14 get_PCA"),
    "alpha": Check(0.7, True, True, "children whose mean is shown should agree",
                   "Nunnally (1978), .7; OECD & JRC (2008), step 4"),
    "collinear": Check(0.9, False, False, "what is counted twice weighs twice", "COINr 1.1.14 get_corr_flags, .9"),
}  # fmt: skip


@dataclass(frozen=True, repr=False)
class Coherence(Result):
    """How well the data support the tree.

    Attributes
    ----------
    tree : str
    n : int
        Units.
    verdict : {"ok", "doubtful", "blocks"}
        The gravest of the findings.
    nodes : DataFrame, one row a node
        branch; own, rest, index, other with _low and _high: correlation with its branch, with the mean of the others
        in it, with the index, and the largest with another branch of that level (other_branch); loading on the first
        component of its branch and below (share of the draws in which it is at most 0); verdict.
    branches : DataFrame, one row a branch
        children, alpha, alpha_low, alpha_high (raw, of the children's scores), explained (by the first component),
        verdict.
    between : DataFrame
        level, first, second, r, low, high: correlations of branches of the same level.
    pairs : DataFrame
        branch, first, second, r, low, high: nodes of a branch whose correlation exceeds that of `collinear`, either
        way.
    findings : DataFrame
        check, node, value, low, high, threshold, verdict, source: everything that was looked at.
    settings : dict
    """

    tree: str
    n: int
    verdict: Verdict
    nodes: pd.DataFrame
    branches: pd.DataFrame
    between: pd.DataFrame
    pairs: pd.DataFrame
    findings: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    def _headline(self) -> str:
        counts = self.findings["verdict"].value_counts()
        shown = ", ".join(f"{counts[v]} {v}" for v in ("ok", "doubtful", "blocks", "not assessed") if v in counts)
        return f"{self.tree}, {self.n} units: {self.verdict} ({shown})"

    @property
    def problems(self) -> pd.DataFrame:
        """Findings that are not ok, the gravest first."""
        gravity = self.findings["verdict"].map(GRAVITY)
        found = gravity[gravity > 0].sort_values(ascending=False, kind="stable")
        return self.findings.loc[found.index]

    def require(self, accept: str = "") -> None:
        """Raise unless the tree holds together, or somebody accepted in writing that it does not.

        Raises
        ------
        CompositeError
            Findings that block, and `accept` is empty; by node.
        """
        blocking = self.findings[self.findings["verdict"] == "blocks"]
        if blocking.empty or accept.strip():
            return
        told = [
            f"{row['node']}: expected {NAMES[row['check']]} that may be above 0, found {row['value']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]; {CHECKS[row['check']].why}"
            for row in blocking.to_dict("records")
        ]
        raise CompositeError(self.tree, told, "turn the node, move it or drop it; or say in `accept` why it is kept")


NAMES = {"own_branch": "a correlation with its branch", "alpha": "an alpha of its children"}


def assess_coherence(
    source: Composite | pd.DataFrame,
    tree: IndexTree,
    *,
    level: float = 0.95,
    draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Coherence:
    """Do the indicators of a tree belong where they stand?

    Parameters
    ----------
    source : Composite or DataFrame, units x indicators
        A composite of this tree, or normalised indicators, aggregated by arithmetic means.
    tree : IndexTree
    level, draws, rng
        Of the bootstrap over units.

    Returns
    -------
    Coherence

    Raises
    ------
    CompositeError
        The composite is of another tree; fewer than five units; nodes that do not vary.

    Notes
    -----
    A finding is ``ok`` where the value is good enough and its interval does not reach below zero, ``doubtful`` where
    not, and ``blocks`` where a node is surely correlated negatively with its own branch (which it is a part of: chance
    alone gives a positive correlation), or the children of a branch surely disagree (alpha below zero). Sources and
    thresholds are in `CHECKS`. A low alpha alone does not block: what an index makes of indicators need not be what
    they have in common.

    Intervals are Student's t with the bootstrap's standard error, of correlations on Fisher's z, of alpha on the
    logarithm of one less alpha. Missing values are left out pair by pair, as in COINr; so alpha is that of
    ``COINr::get_cronbach``.

    Examples
    --------
    >>> from sqmodel.index.tree import IndexTree, Node
    >>> tree = IndexTree(name="t", nodes=(Node(code="I"), *(Node(code=c, parent="I") for c in "abc")))
    >>> x = np.random.default_rng(1).normal(size=(40, 1)) + np.random.default_rng(2).normal(size=(40, 3))
    >>> found = assess_coherence(pd.DataFrame(x, columns=list("abc")), tree, draws=200)
    >>> found.verdict, float(found.branches.loc["I", "alpha"].round(2))
    ('ok', 0.74)
    """
    found = gather(source, tree, level, draws, rng)
    rows = [*_node_findings(found), *_branch_findings(found), *_pair_findings(found)]
    findings = pd.DataFrame(rows, columns=FINDINGS)
    gravity = findings["verdict"].map(GRAVITY)
    gravest = gravity[findings["check"] != "alpha"].groupby(findings["node"]).max()
    words = {0: "ok", 1: "doubtful", 2: "blocks"}
    verdict: Any = words[int(gravity.max())]
    nodes = found.nodes.assign(verdict=[words[int(gravest.get(c, 0))] for c in found.nodes.index])
    own = findings[findings["check"] == "alpha"].set_index("node")["verdict"]
    branches = found.branches.assign(verdict=own.reindex(found.branches.index))
    high = found.within["r"].abs() > CHECKS["collinear"].threshold
    return Coherence(
        tree=f"{tree.name} {tree.version}", n=found.n, verdict=verdict, nodes=nodes, branches=branches,
        between=found.between, pairs=found.within[high].reset_index(drop=True), findings=findings,
        settings={"level": level, "draws": draws,
                  "interval": "bootstrap standard error, Student's t; on Fisher's z, and on log(1 - alpha)",
                  "thresholds": {k: c.threshold for k, c in CHECKS.items()}},
    )  # fmt: skip


def _judge(check: str, value: float, low: float, high: float) -> str:
    rule = CHECKS[check]
    if np.isnan(value):
        return "not assessed"
    if rule.blocks and high < 0:
        return "blocks"
    good = value >= rule.threshold if rule.at_least else value <= rule.threshold
    sure = not (rule.blocks and low < 0)
    return "ok" if good and sure else "doubtful"


def _row(check: str, node: str, value: float, low: float, high: float) -> tuple[Any, ...]:
    rule = CHECKS[check]
    return check, node, value, low, high, rule.threshold, _judge(check, value, low, high), rule.source


def _node_findings(found: Statistics) -> Iterator[tuple[Any, ...]]:
    for code, row in found.nodes.to_dict("index").items():
        yield _row("own_branch", str(code), row["own"], row["own_low"], row["own_high"])
        yield _row("item_rest", str(code), row["rest"], row["rest_low"], row["rest_high"])
        yield _row("index", str(code), row["index"], row["index_low"], row["index_high"])
        yield _row("elsewhere", str(code), row["nearer"], row["nearer_low"], row["nearer_high"])
        yield _row("first_component", str(code), row["loading"], row["loading_low"], row["loading_high"])


def _branch_findings(found: Statistics) -> Iterator[tuple[Any, ...]]:
    for code, row in found.branches.to_dict("index").items():
        yield _row("alpha", str(code), row["alpha"], row["alpha_low"], row["alpha_high"])


def _pair_findings(found: Statistics) -> Iterator[tuple[Any, ...]]:
    for row in found.within.to_dict("records"):
        low, high = sorted((abs(row["low"]), abs(row["high"])))
        low = 0.0 if row["low"] < 0 < row["high"] else low
        yield _row("collinear", f"{row['first']} / {row['second']}", abs(row["r"]), low, high)
