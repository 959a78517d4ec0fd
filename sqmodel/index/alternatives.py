"""Every choice as a factor: what else could have been chosen on the way from indicators to the index."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from sqmodel.errors import CompositeError
from sqmodel.index.composite import Arrangement, Imputation, scale_problems, unlike_children
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.aggregation import Aggregation
from sqmodel.numerics.indicators import SCALES, Normalisation

Floats = npt.NDArray[np.float64]
Scaling = tuple[Normalisation, tuple[float, float] | None]
Levels = Aggregation | tuple[Aggregation, ...]
NOISE = "weight_noise"
REMEDY = "correct the alternatives; one that was asked for is never left out silently"


@dataclass(frozen=True)
class Alternatives:
    """What else could have been chosen; the arrangement's own choice is always one of them, and all are equally likely.

    Parameters
    ----------
    impute : tuple of {"none", "mean", "median", "group_mean", "group_median"}
    treat : tuple of int or None
        Steps of winsorising at the most; None: outliers are left as they are.
    normalise : tuple of (method, scale)
        Scale as in `Arrangement`, None for its default.
    aggregate : tuple of str or of tuples
        One method for all levels, or one a level from the bottom.
    trees : mapping of name to IndexTree
        The same tree with other weights.
    noise : float or tuple of float
        Every weight is multiplied by a number drawn from 1 - noise to 1 + noise, then rescaled in its branch; 0 for
        none. Of several the first is for the weights within branches of the lowest level, and so on.
    drop : tuple of str
        Nodes left out, one at a time.

    Examples
    --------
    >>> Alternatives(treat=(None, 3), noise=0.25).names(Arrangement())
    ('treatment', 'weight_noise')
    """

    impute: tuple[Imputation, ...] = ()
    treat: tuple[int | None, ...] = ()
    normalise: tuple[Scaling, ...] = ()
    aggregate: tuple[Levels, ...] = ()
    trees: Mapping[str, IndexTree] = field(default_factory=dict)
    noise: float | tuple[float, ...] = 0.0
    drop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        problems = []
        for name in ("impute", "treat", "normalise", "aggregate", "drop"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Sequence):
                problems.append(f"{name}: expected a list of alternatives, found {given!r}")
            else:
                object.__setattr__(self, name, tuple(tuple(v) if isinstance(v, list) else v for v in given))
        if not problems:
            wrong = [v for v in self.normalise if not isinstance(v, tuple) or len(v) != 2]
            problems += [f"normalise: expected a method and its scale, found {v!r}" for v in wrong]
        if problems:
            raise CompositeError("alternatives", problems, REMEDY)
        scaled = tuple((m, None if e is None else (float(e[0]), float(e[1]))) for m, e in self.normalise)
        object.__setattr__(self, "normalise", scaled)

    def options(self, how: Arrangement) -> dict[str, list[Any]]:
        """All options of every discrete choice, the arrangement's own first; what is the same is there once."""

        def ends(method: Any, scale: Any) -> tuple[Any, Any]:
            given = scale if method in SCALES else None
            return method, None if given is None or tuple(given) == SCALES[method] else tuple(map(float, given))

        def levels(method: Any) -> Any:
            each = (method,) if isinstance(method, str) else tuple(method)
            return each[0] if len(set(each)) == 1 else each

        own: dict[str, tuple[Any, Sequence[Any]]] = {
            "imputation": (how.impute, self.impute),
            "treatment": (how.winsorised if how.treat else None, self.treat),
            "normalisation": (ends(how.normalise, how.scale), [ends(*v) for v in self.normalise]),
            "aggregation": (levels(how.aggregate), [levels(v) for v in self.aggregate]),
            "weights": ("", tuple(self.trees)),
            "dropped": ("", self.drop),
        }
        return {name: [first, *(v for v in dict.fromkeys(others) if v != first)]
                for name, (first, others) in own.items()}  # fmt: skip

    def names(self, how: Arrangement) -> tuple[str, ...]:
        """The factors that really vary."""
        varied = [name for name, options in self.options(how).items() if len(options) > 1]
        return (*varied, *([NOISE] if np.any(self.noise) else []))

    def reach(self, tree: IndexTree) -> Floats:
        """Noise of the weight of each node, shape (nodes,)."""
        each = np.broadcast_to(self.noise, len(tree.levels))
        level = {branch: float(r) for own, r in zip(tree.levels, each, strict=True) for branch in own}
        return np.array([level.get(n.parent, 0.0) for n in tree.nodes])


def check_alternatives(alternatives: Alternatives, how: Arrangement, tree: IndexTree, groups: str) -> None:
    """Can every alternative be applied, and every combination of them?

    Raises
    ------
    CompositeError
        Methods that are none, scales, nodes that the tree lacks, trees that are others, and means that do not take the
        values of a normalisation; all in one message.
    """
    problems = [*_unknown(alternatives, how, tree, groups)]
    if not problems:
        problems = [*_incompatible(alternatives.options(how), tree)]
    if problems:
        raise CompositeError(tree.name, dict.fromkeys(problems), REMEDY)


def _unknown(alternatives: Alternatives, how: Arrangement, tree: IndexTree, groups: str) -> Iterator[str]:
    for kind in alternatives.impute:
        if kind not in get_args(Imputation):
            yield f"impute: expected one of {', '.join(get_args(Imputation))}, found {kind!r}"
        elif kind.startswith("group") and not groups:
            yield f"groups: expected a column for impute {kind!r}, found none"
    for steps in alternatives.treat:
        if steps is not None and (not isinstance(steps, int) or steps < 0):
            yield f"treat: expected 0 or more steps, or none, found {steps}"
    for method, scale in alternatives.normalise:
        if method not in get_args(Normalisation):
            yield f"normalise: expected one of {', '.join(get_args(Normalisation))}, found {method!r}"
        yield from (f"normalise {method}: {p}" for p in scale_problems(method, scale))
        if method == "goalposts":
            yield from (f"{c}: expected goalposts, found none" for c in tree.indicators if not tree.node(c).goalposts)
    for levels in alternatives.aggregate:
        yield from _levels(levels, tree)
    noise = np.atleast_1d(alternatives.noise)
    if not ((noise >= 0) & (noise < 1)).all():
        yield f"noise: expected a share from 0 to below 1, found {alternatives.noise}"
    if len(noise) not in (1, len(tree.levels)):
        yield f"noise: expected one share or {len(tree.levels)}, one a level, found {len(noise)}"
    own = {n.code: n.model_copy(update={"weight": 1.0, "title": None}) for n in tree.nodes}
    for name, other in alternatives.trees.items():
        if {n.code: n.model_copy(update={"weight": 1.0, "title": None}) for n in other.nodes} != own:
            yield f"trees: expected the nodes of {tree.name} with other weights only, found others in {name!r}"
    known = {n.code for n in tree.nodes} - {tree.root}
    yield from (f"drop: expected nodes below the index, found {c!r}" for c in alternatives.drop if c not in known)
    for code in alternatives.drop:
        if code in known:
            yield from _dropped(code, tree, "")
            yield from (p for name, other in alternatives.trees.items() if set(own) == {n.code for n in other.nodes}
                        for p in _dropped(code, other, f" of {name}"))  # fmt: skip


def _dropped(code: str, tree: IndexTree, which: str) -> Iterator[str]:
    """What keeps a node from being left out: nothing left, shares that no longer sum to one, weights of zero."""
    try:
        left = tree.without([code])
    except CompositeError as error:
        yield from (f"drop {code}{which}: {p}" for p in error.problems)
        return
    for branch in (b for level in left.levels for b in level):
        if not any(left.node(c).weight > 0 for c in left.children(branch)):
            yield f"drop {code}{which}: {branch}: expected a child with a weight above 0 to be left, found none"


def _levels(method: Levels, tree: IndexTree) -> Iterator[str]:
    each = (method,) if isinstance(method, str) else tuple(method)
    for one in each:
        if one not in get_args(Aggregation):
            yield f"aggregate: expected one of {', '.join(get_args(Aggregation))}, found {one!r}"
    if not isinstance(method, str) and len(each) != len(tree.levels):
        yield f"aggregate: expected one method or {len(tree.levels)}, one a level, found {len(each)}"


def _incompatible(options: Mapping[str, list[Any]], tree: IndexTree) -> Iterator[str]:
    """Means that take no values of 0 or below, after what gives such values."""
    for levels in options["aggregation"]:
        methods = (levels,) * len(tree.levels) if isinstance(levels, str) else levels
        yield from unlike_children(tree, methods)
        for level, method in enumerate(methods):
            if method not in ("geometric", "harmonic"):
                continue
            if "copeland" in methods[:level]:
                yield f"aggregate: expected values above 0 for a {method} mean, found it above copeland"
            for kind, scale in options["normalisation"]:
                if kind == "distance" or (kind in ("min_max", "goalposts") and (scale or (0, 100))[0] <= 0):
                    shown = f"{kind} from {(scale or (0, 100))[0]:g}" if kind != "distance" else kind
                    yield f"aggregate: expected a scale above 0 for a {method} mean, found {shown}"
