"""A composite indicator, stage by stage: denominated, imputed, screened, treated, normalised, aggregated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import CompositeError, Problem
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.aggregation import Aggregation, aggregate
from sqmodel.numerics.indicators import (
    KURTOSIS,
    SCALES,
    SKEWNESS,
    Middle,
    Normalisation,
    fill_missing,
    kurtosis,
    normalise,
    skewness,
    treat,
)
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
Imputation = Literal["none", "mean", "median", "group_mean", "group_median"]
REMEDY = "correct the tree or the data; a step that was asked for is never left out silently"


@dataclass(frozen=True)
class Arrangement:
    """Every choice that makes numbers of a tree and its data.

    Parameters
    ----------
    impute : {"none", "mean", "median", "group_mean", "group_median"}
        Of missing values: over all units, or over those of the same group.
    present : float
        Share of indicators that a unit needs before anything is imputed; others are left out.
    treat : bool
        Whether outliers are treated as each node says.
    winsorised : int
        Steps of winsorising at the most.
    normalise : {"min_max", "z_score", "rank", "goalposts", "distance"}
    scale : tuple of float, optional
        Ends of the scale of `min_max` and `goalposts`, 0 and 100 by default; mean and standard deviation of
        `z_score`, 0 and 1 by default.
    aggregate : str or sequence of str
        ``arithmetic``, ``geometric``, ``harmonic`` or ``copeland``; one a level, from the bottom, or one for all.
    """

    impute: Imputation = "none"
    present: float = 0.0
    treat: bool = True
    winsorised: int = 5
    normalise: Normalisation = "min_max"
    scale: tuple[float, float] | None = None
    aggregate: Aggregation | Sequence[Aggregation] = "arithmetic"

    def methods(self, levels: int) -> tuple[Aggregation, ...]:
        """The aggregation of each level, from the bottom."""
        if isinstance(self.aggregate, str):
            return (self.aggregate,) * levels
        return tuple(self.aggregate)


@dataclass(frozen=True, repr=False)
class Composite(Result):
    """A composite indicator and every stage on its way.

    Attributes
    ----------
    tree : str
        Name and version.
    n : int
        Units scored.
    scores : DataFrame, units x branches
        From the lowest level to the index.
    raw, denominated, imputed, treated, normalised : DataFrame, units x indicators
        The values after each stage; `imputed` has the units that were kept.
    treatment : DataFrame, one row an indicator
        skewness and kurtosis before and after, steps of winsorising, done (none, winsorised, log).
    imputations : DataFrame
        unit, indicator, value: what was filled in.
    lost : DataFrame
        unit, indicator, reason: values that are missing because the unit has no denominator.
    left_out : DataFrame
        unit, present (share of its indicators), reason.
    weights : DataFrame, one row a node
        parent, weight (share within its branch), effective (of indicators, in an index of arithmetic means).
    settings : dict
    """

    tree: str
    n: int
    scores: pd.DataFrame
    raw: pd.DataFrame
    denominated: pd.DataFrame
    imputed: pd.DataFrame
    treated: pd.DataFrame
    normalised: pd.DataFrame
    treatment: pd.DataFrame
    imputations: pd.DataFrame
    lost: pd.DataFrame
    left_out: pd.DataFrame
    weights: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def index(self) -> pd.Series:
        """The index of each unit."""
        return self.scores.iloc[:, -1]

    def _headline(self) -> str:
        best = self.index.sort_values(ascending=False, kind="stable")
        return (f"{self.tree}, {self.n} units, {self.raw.shape[1]} indicators: {best.index[0]} {best.iloc[0]:.1f} to "
                f"{best.index[-1]} {best.iloc[-1]:.1f}; no intervals")  # fmt: skip


def build_composite(
    data: pd.DataFrame,
    tree: IndexTree,
    *,
    arrangement: Arrangement | None = None,
    groups: str = "",
) -> Composite:
    """What does a tree of indicators make of the units?

    Parameters
    ----------
    data : DataFrame, units x columns
        Its index names the units; a column for each indicator and each denominator, numbers or missing.
    tree : IndexTree
    arrangement : Arrangement, optional
        min-max to 0-100 and arithmetic means, with outliers treated and nothing imputed, by default.
    groups : str
        Column of the groups whose mean or median is imputed.

    Returns
    -------
    Composite

    Raises
    ------
    CompositeError
        Whatever was asked for and cannot be done, named by node: missing or constant indicators, text in a column,
        denominators that are absent or zero, goalposts that a node lacks, values that a geometric or harmonic
        mean does not take. All problems of a stage at once.

    Notes
    -----
    After Becker, W., Caperna, G., Del Sorbo, M. et al. (2022). COINr. Journal of Open Source Software 7(78), 4567,
    whose numbers these are; unlike COINr it does not go on without a step that was asked for.

    Examples
    --------
    >>> from sqmodel.index.tree import IndexTree, Node
    >>> tree = IndexTree(name="t", nodes=(Node(code="I"), Node(code="a", parent="I"),
    ...                                   Node(code="b", parent="I", direction=-1)))
    >>> data = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [30.0, 10.0, 20.0]}, index=["x", "y", "z"])
    >>> build_composite(data, tree).index.to_dict()
    {'x': 0.0, 'y': 75.0, 'z': 75.0}
    """
    how = arrangement or Arrangement()
    _check_arrangement(tree, how, groups)
    raw = _numbers(data, tree, groups)
    denominated, lost = _denominated(raw, data, tree)
    kept, left_out = _present(denominated, how.present)
    imputed, imputations = _imputed(kept, data, tree, how, groups)
    treated, treatment = _treated(imputed, tree, how)
    normalised = _normalised(treated, tree, how)
    scores = aggregate_tree(normalised, tree, how)
    return Composite(
        tree=f"{tree.name} {tree.version}", n=len(scores), scores=scores, raw=raw, denominated=denominated,
        imputed=imputed, treated=treated, normalised=normalised, treatment=treatment, imputations=imputations,
        lost=lost, left_out=left_out, weights=weight_table(tree),
        settings={
            "impute": how.impute, "groups": groups, "present": how.present, "treat": how.treat,
            "winsorised": how.winsorised, "skewness": SKEWNESS, "kurtosis": KURTOSIS, "normalise": how.normalise,
            "scale": [*(how.scale or SCALES.get(how.normalise) or ())],
            "aggregate": list(how.methods(len(tree.levels))),
        },
    )  # fmt: skip


def _check_arrangement(tree: IndexTree, how: Arrangement, groups: str) -> None:
    problems: list[str] = []
    methods = how.methods(len(tree.levels))
    problems += [f"aggregate: expected one of {', '.join(get_args(Aggregation))}, found {m!r}"
                 for m in dict.fromkeys(methods) if m not in get_args(Aggregation)]  # fmt: skip
    if len(methods) != len(tree.levels):
        problems.append(f"aggregate: expected one method or {len(tree.levels)}, one a level, found {len(methods)}")
    if len(methods) == len(tree.levels):
        problems += unlike_children(tree, methods)
    for name, value, known in (("impute", how.impute, get_args(Imputation)),
                               ("normalise", how.normalise, get_args(Normalisation))):  # fmt: skip
        if value not in known:
            problems.append(f"{name}: expected one of {', '.join(known)}, found {value!r}")
    if how.impute.startswith("group") != bool(groups):
        problems.append(f"groups: expected {'a column' if not groups else 'none'} for impute {how.impute!r}, "
                        f"found {groups or 'none'!r}")  # fmt: skip
    problems += scale_problems(how.normalise, how.scale)
    if not 0 <= how.present <= 1:
        problems.append(f"present: expected a share from 0 to 1, found {how.present}")
    if how.winsorised < 0:
        problems.append(f"winsorised: expected 0 or more steps, found {how.winsorised}")
    if how.normalise == "goalposts":
        problems += [f"{c}: expected goalposts, found none" for c in tree.indicators if not tree.node(c).goalposts]
    if problems:
        raise CompositeError(tree.name, problems, REMEDY)


def unlike_children(tree: IndexTree, methods: Sequence[str]) -> Iterator[str]:
    """Branches that would mix outranking scores, from -1 to 1, with values of another scale."""
    height = {branch: k for k, level in enumerate(tree.levels) for branch in level}
    for level, method in zip(tree.levels, methods, strict=False):
        for branch in level if method != "copeland" else ():
            outranked = {c: c in height and methods[height[c]] == "copeland" for c in tree.children(branch)}
            if len(set(outranked.values())) > 1:
                other = next(c for c, o in outranked.items() if not o)
                yield (f"{branch}: expected children on one scale, found {next(c for c, o in outranked.items() if o)} "
                       f"by copeland beside {other}")  # fmt: skip


def scale_problems(method: str, scale: tuple[float, float] | None) -> list[str]:
    """What keeps a normalisation from having a scale."""
    if scale is None:
        return []
    if method == "z_score":
        return [] if scale[1] > 0 else [f"scale: expected a standard deviation above 0, found {scale[1]}"]
    return [] if scale[0] < scale[1] else [f"scale: expected a lower end below the upper one, found {scale}"]


def _numbers(data: pd.DataFrame, tree: IndexTree, groups: str) -> pd.DataFrame:
    """The columns of the indicators as numbers; everything that is wrong with them at once."""
    problems: list[Problem | str] = []
    twice = data.index[data.index.duplicated()].unique()
    if len(twice):
        problems.append(Problem("expected every unit once, found it again", tuple(map(str, twice))))
    denominators = dict.fromkeys(d for c in tree.indicators if (d := tree.node(c).denominator))
    for name in (*tree.indicators, *denominators):
        if name not in data:
            kind = "an indicator" if name in tree.indicators else "a denominator"
            problems.append(f"{name}: expected a column of {kind}, found none")
            continue
        numbers = pd.to_numeric(data[name], errors="coerce")
        bad = data.index[(numbers.isna() & data[name].notna()) | np.isinf(numbers)]
        if len(bad):
            problems.append(Problem(f"{name}: expected finite numbers, found others at", tuple(map(str, bad))))
        elif name in denominators and not (numbers.dropna() != 0).all():
            zero = tuple(map(str, data.index[numbers == 0]))
            problems.append(Problem(f"{name}: expected a denominator other than 0, found 0 at", zero))
    if groups and groups not in data:
        problems.append(f"groups: expected a column {groups!r}, found none")
    if problems:
        raise CompositeError(tree.name, problems, REMEDY)
    columns = {c: pd.to_numeric(data[c]).astype(float) for c in tree.indicators}
    return pd.DataFrame(columns, index=data.index)


def _denominated(raw: pd.DataFrame, data: pd.DataFrame, tree: IndexTree) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Indicators over their denominators, and the values that were lost because a unit has none."""
    found, lost = raw.copy(), []
    for code in tree.indicators:
        name = tree.node(code).denominator
        if name:
            below = pd.to_numeric(data[name]).astype(float)
            found[code] = raw[code] / below
            lost += [(str(u), code, f"no {name}") for u in raw.index[below.isna() & raw[code].notna()]]
    return found, pd.DataFrame(lost, columns=["unit", "indicator", "reason"])


def _present(frame: pd.DataFrame, least: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The units with enough indicators, and those without."""
    share = frame.notna().mean(axis=1)
    enough = (share >= least) & (share > 0)
    gone = share[~enough]
    reason = np.where(gone > 0, f"fewer than {least:.0%} of the indicators", "no indicator")
    table = pd.DataFrame({"unit": gone.index.astype(str), "present": gone.to_numpy(), "reason": reason})
    return frame[enough], table


def _imputed(
    frame: pd.DataFrame, data: pd.DataFrame, tree: IndexTree, how: Arrangement, groups: str
) -> tuple[pd.DataFrame, pd.DataFrame]:
    missing = frame.isna()
    if how.impute == "none" or not missing.any(axis=None):
        return frame, pd.DataFrame({"unit": [], "indicator": [], "value": []}).astype({"value": float})
    middle, codes = imputation(how.impute, data.loc[frame.index, groups] if groups else None)
    filled = pd.DataFrame(fill_missing(frame.to_numpy(), middle, codes), frame.index, frame.columns)
    where = "its group" if groups else "any unit"
    problems = [
        Problem(f"{code}: expected a value of {where} to impute from, found none for",
                tuple(map(str, filled.index[filled[code].isna()])))
        for code in filled.columns[filled.isna().any()]
    ]  # fmt: skip
    if problems:
        raise CompositeError(tree.name, problems, REMEDY)
    rows, columns = np.nonzero(missing.to_numpy())
    table = {"unit": frame.index[rows].astype(str), "indicator": frame.columns[columns],
             "value": filled.to_numpy()[rows, columns]}  # fmt: skip
    return filled, pd.DataFrame(table)


def imputation(kind: str, groups: pd.Series | None) -> tuple[Middle, npt.NDArray[np.intp] | None]:
    """Mean or median, and the codes of the groups that it is taken of, a missing name being a group too."""
    middle: Middle = "median" if kind.endswith("median") else "mean"
    return middle, pd.factorize(groups)[0] if kind.startswith("group") and groups is not None else None


def _treated(frame: pd.DataFrame, tree: IndexTree, how: Arrangement) -> tuple[pd.DataFrame, pd.DataFrame]:
    wanted = [tree.node(c).treatment if how.treat else "none" for c in frame.columns]
    before = frame.to_numpy()
    values, steps, logged = treat(before, wanted, how.winsorised)
    done = np.where(logged, "log", np.where(steps > 0, "winsorised", "none"))
    table = pd.DataFrame(
        {
            "skewness": skewness(before), "kurtosis": kurtosis(before), "steps": steps, "done": done,
            "skewness_after": skewness(values), "kurtosis_after": kurtosis(values),
        },
        index=pd.Index(frame.columns, name="indicator"),
    )  # fmt: skip
    return pd.DataFrame(values, frame.index, frame.columns), table


def _normalised(frame: pd.DataFrame, tree: IndexTree, how: Arrangement) -> pd.DataFrame:
    if how.normalise not in ("goalposts", "rank"):
        values = frame.to_numpy()
        flat = frame.columns[~(np.nanmax(values, axis=0) > np.nanmin(values, axis=0))]
        if len(flat):
            told = [f"{c}: expected an indicator that varies, found {frame[c].iloc[0]:g} throughout" for c in flat]
            raise CompositeError(tree.name, told, "drop it from the tree, or normalise by goalposts")
    nodes = [tree.node(c) for c in frame.columns]
    posts = np.array([n.goalposts or (np.nan, np.nan) for n in nodes])
    direction = np.array([float(n.direction) for n in nodes])
    found = normalise(frame.to_numpy(), how.normalise, direction=direction, scale=how.scale, goalposts=posts)
    return pd.DataFrame(found, frame.index, frame.columns)


def aggregate_tree(normalised: pd.DataFrame, tree: IndexTree, how: Arrangement) -> pd.DataFrame:
    """Scores of every branch, from the lowest level to the index.

    Raises
    ------
    CompositeError
        Values that a geometric or a harmonic mean does not take, by branch and child.
    """
    values: dict[str, Floats] = {str(c): normalised[c].to_numpy(float) for c in normalised}
    scores: dict[str, Floats] = {}
    for level, method in zip(tree.levels, how.methods(len(tree.levels)), strict=True):
        problems = []
        for branch in level:
            children = tree.children(branch)
            if method in ("geometric", "harmonic"):
                problems += [
                    Problem(f"{branch}: expected values above 0 of {c} for a {method} mean, found others at",
                            tuple(map(str, normalised.index[values[c] <= 0])))
                    for c in children if (values[c] <= 0).any()
                ]  # fmt: skip
            if not problems:
                stacked = np.column_stack([values[c] for c in children])
                scores[branch] = aggregate(stacked, tree.shares(branch), method)
        if problems:
            raise CompositeError(tree.name, problems, "normalise to a scale above 0, such as 1 to 100")
        values |= scores
    return pd.DataFrame(scores, index=normalised.index)


def weight_table(tree: IndexTree) -> pd.DataFrame:
    """Share of every node within its branch, and what each indicator counts in the index."""
    effective: Mapping[str, float] = tree.effective_weights()
    rows = {
        n.code: {
            "parent": n.parent,
            "weight": n.weight / sum(tree.node(c).weight for c in tree.children(n.parent)) if n.parent else 1.0,
            "effective": effective.get(n.code, np.nan),
        }
        for n in tree.nodes
    }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("node")
