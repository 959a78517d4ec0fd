"""The index tree: which indicators make up which branch, which way is better, and how much each counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from sqmodel.definitions import Frozen, Text, load_definition
from sqmodel.errors import CompositeError

Treatment = Literal["auto", "none", "winsorise", "log"]


class Node(Frozen):
    """An indicator, or a branch that others belong to.

    Parameters
    ----------
    code : str
    parent : str
        Code of the branch it belongs to; empty for the index itself.
    title : Text, optional
    direction : {1, -1}
        -1 where less is better; of indicators only.
    weight : float
        Within its branch.
    goalposts : tuple of float, optional
        Lower and upper goalpost in the indicator's own units.
    denominator : str
        Column by which the indicator is divided.
    treatment : {"auto", "none", "winsorise", "log"}
        Of outliers; ``auto`` winsorises where that is enough, and takes a logarithm where it is not.
    """

    code: str = Field(min_length=1)
    parent: str = ""
    title: Text | None = None
    direction: Literal[1, -1] = 1
    weight: float = Field(default=1.0, ge=0)
    goalposts: tuple[float, float] | None = None
    denominator: str = ""
    treatment: Treatment = "auto"

    @model_validator(mode="after")
    def _ordered(self) -> Node:
        if self.goalposts is not None and not self.goalposts[0] < self.goalposts[1]:
            raise ValueError(f"{self.code}: expected a lower goalpost below the upper one, found {self.goalposts}")
        return self

    @property
    def label(self) -> Text:
        """What it is called."""
        return self.title or Text(zh=self.code, en=self.code)


class IndexTree(Frozen):
    """A tree of indicators and branches with one root.

    Parameters
    ----------
    name, version : str
    title : Text, optional
    weights : {"relative", "shares"}
        Relative weights are rescaled within each branch, whatever is dropped; shares must sum to one in each.
    nodes : tuple of Node
    """

    name: str
    version: str = "1"
    title: Text | None = None
    weights: Literal["relative", "shares"] = "relative"
    nodes: tuple[Node, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _is_a_tree(self) -> IndexTree:
        problems = [*_names(self.nodes)]
        if not problems:
            problems = [*_circles(self.nodes), *_branches(self.nodes)]
        if not problems and self.weights == "shares":
            problems = [*self._shares()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _shares(self) -> Iterable[str]:
        for branch in (n.code for n in self.nodes if n.code not in self.indicators):
            total = sum(n.weight for n in self.nodes if n.parent == branch)
            if abs(total - 1) > 1e-6:
                yield f"{branch}: expected weights that sum to one, found {total:.4g}"

    @property
    def root(self) -> str:
        """Code of the index."""
        return next(n.code for n in self.nodes if not n.parent)

    @cached_property
    def indicators(self) -> tuple[str, ...]:
        """Codes of what has no branches, in the order of the file."""
        parents = {n.parent for n in self.nodes}
        return tuple(n.code for n in self.nodes if n.code not in parents)

    @cached_property
    def levels(self) -> tuple[tuple[str, ...], ...]:
        """Branches by how many steps lie below them at the most, the index last."""
        height: dict[str, int] = dict.fromkeys(self.indicators, 0)
        branches = [n.code for n in self.nodes if n.code not in height]
        while len(height) < len(self.nodes):
            for code in branches:
                own = [n.code for n in self.nodes if n.parent == code]
                if code not in height and all(c in height for c in own):
                    height[code] = 1 + max(height[c] for c in own)
        return tuple(tuple(c for c in branches if height[c] == h) for h in range(1, max(height.values()) + 1))

    def node(self, code: str) -> Node:
        """The node of a code."""
        return next(n for n in self.nodes if n.code == code)

    def children(self, code: str) -> tuple[str, ...]:
        """Codes of what belongs directly to a branch, in the order of the file."""
        return tuple(n.code for n in self.nodes if n.parent == code)

    def leaves(self, code: str) -> tuple[str, ...]:
        """Codes of all indicators below a node; an indicator is its own."""
        if code in self.indicators:
            return (code,)
        return tuple(leaf for child in self.children(code) for leaf in self.leaves(child))

    def effective_weights(self) -> dict[str, float]:
        """Weight of each indicator in an index of arithmetic means: the product of the shares on its way up."""
        found: dict[str, float] = {}
        for leaf in self.indicators:
            value, node = 1.0, self.node(leaf)
            while node.parent:
                value *= node.weight / sum(self.node(c).weight for c in self.children(node.parent))
                node = self.node(node.parent)
            found[leaf] = value
        return found

    def without(self, codes: Iterable[str]) -> IndexTree:
        """The tree without some nodes and all that is below them; a branch that holds nothing any more goes too.

        Raises
        ------
        CompositeError
            A code is not of the tree, nothing is left, or shares no longer sum to one.
        """
        dropped = set(codes)
        strange = sorted(dropped - {n.code for n in self.nodes})
        if strange:
            raise CompositeError(self.name, [f"drop: expected nodes of the tree, found {c!r}" for c in strange])
        if self.root in dropped:
            raise CompositeError(self.name, [f"drop: expected a part of the index, found {self.root!r} itself"])
        kept = [n for n in self.nodes if not dropped & {n.code, *self._above(n.code)}]
        alive = {c for leaf in self.indicators if leaf in {n.code for n in kept} for c in (leaf, *self._above(leaf))}
        if not alive:
            raise CompositeError(self.name, ["drop: expected indicators to be left, found none"])
        tree = self.model_copy(update={"nodes": tuple(n for n in kept if n.code in alive)})
        # A copy keeps what was found out about the whole tree.
        for name in ("indicators", "levels"):
            tree.__dict__.pop(name, None)
        if self.weights == "shares":
            problems = list(tree._shares())
            if problems:
                raise CompositeError(
                    self.name, problems, "give the shares of what is left, or say `weights: relative` in the tree"
                )
        return tree

    def _above(self, code: str) -> tuple[str, ...]:
        parent = self.node(code).parent
        return (parent, *self._above(parent)) if parent else ()

    def shares(self, branch: str) -> npt.NDArray[np.float64]:
        """Weights of a branch's children, as shares."""
        weights = np.array([self.node(c).weight for c in self.children(branch)])
        shares: npt.NDArray[np.float64] = weights / weights.sum()
        return shares


def _names(nodes: tuple[Node, ...]) -> Iterable[str]:
    codes = [n.code for n in nodes]
    for code, count in Counter(codes).items():
        if count > 1:
            yield f"nodes: expected every code once, found {code!r} {count} times"
    for node in nodes:
        if node.parent and node.parent not in codes:
            yield f"{node.code}: expected a parent among the nodes, found {node.parent!r}"


def _circles(nodes: tuple[Node, ...]) -> Iterable[str]:
    parent = {n.code: n.parent for n in nodes}
    roots = [n.code for n in nodes if not n.parent]
    if len(roots) > 1:
        yield f"nodes: expected one root, found {', '.join(roots)}"
    told: set[str] = set()
    for code in parent:
        path = [code]
        while parent[path[-1]] and parent[path[-1]] not in path:
            path.append(parent[path[-1]])
        following = parent[path[-1]]
        if following:
            circle = path[path.index(following) :]
            if not told & set(circle):
                yield f"nodes: expected a tree, found a circle: {' → '.join([*circle, following])}"
            told |= set(circle)


def _branches(nodes: tuple[Node, ...]) -> Iterable[str]:
    parents = {n.parent for n in nodes}
    for node in nodes:
        own = [n for n in nodes if n.parent == node.code]
        if own and not sum(n.weight for n in own) > 0:
            yield f"{node.code}: expected a child with a weight above 0, found none"
        if node.code in parents:
            for name in ("goalposts", "denominator"):
                if getattr(node, name):
                    yield f"{node.code}: expected {name} of indicators only, found one of a branch"
            if node.direction < 0:
                yield f"{node.code}: expected direction -1 of indicators only, found one of a branch"


def load_tree(source: str | Path) -> IndexTree:
    """Read an index tree.

    Parameters
    ----------
    source : str or Path
        Path of a YAML file, or the name of a tree shipped with sqmodel.

    Raises
    ------
    CompositeError
        The file is missing, is no YAML, or is no tree: circles, roots, parents and weights, all in one message.
    """
    return load_definition(source, IndexTree, folder="index/trees", kind="tree", error=CompositeError)
