"""How sure is the index? Every choice and every sample is a factor; all are varied together."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from sqmodel import compute
from sqmodel.errors import CompositeError, Problem
from sqmodel.index.alternatives import Alternatives, check_alternatives
from sqmodel.index.composite import Arrangement, Composite, build_composite
from sqmodel.index.factors import find_effects
from sqmodel.index.judgements import judge_weights
from sqmodel.index.replicates import Design
from sqmodel.index.samples import JudgeSample, Sample
from sqmodel.index.tree import IndexTree
from sqmodel.numerics.ranks import rank_sets, tie_bands
from sqmodel.numerics.sensitivity import MOST
from sqmodel.operations.records import Records
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
JUDGES = "judges"
BLOCK = 500
"""Replicates that one call of `compute.map` makes; each block has a seed of its own."""
EVERYTHING, SAMPLING, METHOD = "all", "sampling", "method"


@dataclass(frozen=True, repr=False)
class Uncertainty(Result):
    """An index with what is not known about it.

    Attributes
    ----------
    tree : str
        Name and version.
    n : int
        Units.
    scores : DataFrame, one row a unit
        score (of the arrangement and the data as given); low and high over all replicates, sampling_low and
        sampling_high over those in which only the samples vary, method_low and method_high over those in which only
        the choices do (percentiles); sd, sampling_sd, method_sd. NaN for a kind that does not vary.
    ranks : DataFrame, one row a unit
        rank (1 is best), best and worst (confidence set of this unit's rank, over samples), best_all and worst_all
        (sets that hold for all units at once), band (units that cannot be told apart), median, low and high (rank over
        all replicates), top_quarter (share of the replicates in which the unit is among the best fourth).
    split : DataFrame, rows sampling, method, joint
        share, low, high: of the variance of the scores, all units together.
    factors : DataFrame
        output (``scores``: variance of the scores, all units together; ``ranks``: mean absolute shift of rank), factor,
        kind, options, and first, total and shapley, each with ``_low`` and ``_high``.
    convergence : DataFrame, one row a step
        evaluations, half_width (of the widest interval of `factors`), reached.
    notes : tuple of str
        What deserves doubt.
    settings : dict
    """

    tree: str
    n: int
    scores: pd.DataFrame
    ranks: pd.DataFrame
    split: pd.DataFrame
    factors: pd.DataFrame
    convergence: pd.DataFrame
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        first = self.ranks.sort_values(["rank", "median"], kind="stable").index[0]
        row, rank = self.scores.loc[first], self.ranks.loc[first]
        told = (f"{self.tree}, {self.n} units, {self.settings['draws']:,} replicates: {first} {row['score']:.1f} "
                f"[{row['low']:.1f}, {row['high']:.1f}], rank {rank['low']:.0f} to {rank['high']:.0f}")  # fmt: skip
        if not self.split.empty:
            told += "; " + ", ".join(f"{k} {v:.0%}" for k, v in self.split["share"].items())
        return told


def assess_uncertainty(
    data: pd.DataFrame,
    tree: IndexTree,
    *,
    arrangement: Arrangement | None = None,
    groups: str = "",
    alternatives: Alternatives | None = None,
    samples: Sequence[Sample] = (),
    judgements: Records | pd.DataFrame | None = None,
    draws: int = 2000,
    evaluations: int = 2**15,
    tolerance: float = 0.05,
    level: float = 0.95,
    rng: np.random.Generator | int = 0,
) -> Uncertainty:
    """What would the index and the ranks be with other samples and other choices?

    Parameters
    ----------
    data : DataFrame, units x columns
        As for `build_composite`; a column that it lacks is taken from the sample that has it.
    tree : IndexTree
    arrangement : Arrangement, optional
    groups : str
        Column of the groups whose mean or median is imputed.
    alternatives : Alternatives, optional
        What else could have been chosen.
    samples : sequence of Sample
        What the indicators were estimated from: `RowSample`, `ErrorSample`.
    judgements : Records or DataFrame, optional
        Comparisons by judges (see `judge_weights`); their weights take the place of the tree's, and the judges are
        resampled.
    draws : int
        Replicates of each kind: all varied, samples only, choices only.
    evaluations : int
        At the most, for the factors' shares; 0 for none.
    tolerance : float
        Half width of the widest interval of a share at which evaluating ends.
    level : float
    rng : Generator or int

    Returns
    -------
    Uncertainty

    Raises
    ------
    CompositeError
        Whatever `build_composite` and `judge_weights` refuse; alternatives that cannot be applied; samples whose
        columns or units are others than the data's, or whose values are not the data's; nothing that varies.

    Notes
    -----
    Every option of a choice is equally likely, and all factors are independent. A replicate draws rows, errors and
    judges again, and goes through denominators, imputation, outliers, normalisation, weights and aggregation with its
    own options. Confidence sets of ranks are those of `rank_sets`, from the samples alone at the arrangement's own
    choices; `low` and `high` of a rank are percentiles over all that varies. Sobol indices and Shapley effects are
    those of `sensitivity`, on the variance of the scores summed over the units (Gamboa et al. 2014) and, as COINr's
    ``get_sensitivity``, on the mean absolute shift of rank.

    References
    ----------
    Saisana, M., Saltelli, A. & Tarantola, S. (2005). Uncertainty and sensitivity analysis techniques as tools for the
    quality assessment of composite indicators. Journal of the Royal Statistical Society A 168, 307-323.

    Examples
    --------
    >>> from sqmodel.index.samples import ErrorSample
    >>> from sqmodel.index.tree import Node
    >>> tree = IndexTree(name="t", nodes=(Node(code="I"), Node(code="a", parent="I"), Node(code="b", parent="I")))
    >>> data = pd.DataFrame({"a": [1.0, 2.0, 9.0], "b": [3.0, 1.0, 8.0]}, index=["x", "y", "z"])
    >>> errors = ErrorSample("survey", data, data * 0 + 0.5)
    >>> found = assess_uncertainty(data, tree, samples=[errors], alternatives=Alternatives(noise=0.2), draws=200)
    >>> found.ranks["rank"].to_dict()
    {'x': 2, 'y': 3, 'z': 1}
    """
    how, others = arrangement or Arrangement(), alternatives or Alternatives()
    judges, tree = _judged(judgements, tree)
    data = _completed(data, tree, samples)
    composite = build_composite(data, tree, arrangement=how, groups=groups)
    check_alternatives(others, how, tree, groups)
    design = Design.of(composite, data, tree, how, others, groups, samples, judges)
    _check(design, draws, level)
    *streams, last = np.random.default_rng(rng).spawn(4)
    drawn = {
        kind: _replicates(design, kind, draws, stream)
        for kind, stream in zip((EVERYTHING, SAMPLING, METHOD), streams, strict=True)
    }
    effects = find_effects(
        design, composite.index.to_numpy(), most=evaluations, tolerance=tolerance, level=level, rng=last
    )
    return Uncertainty(
        tree=composite.tree, n=composite.n, scores=_scores(composite, drawn, level),
        ranks=_ranks(composite, drawn, level), split=effects.split, factors=effects.factors,
        convergence=effects.convergence, notes=(*_notes(design, drawn), *effects.notes),
        settings={
            "arrangement": composite.settings, "samples": list(design.sampled), "choices": list(design.chosen),
            "draws": draws, "evaluations": evaluations, "tolerance": tolerance, "level": level,
            "intervals": "percentiles of the replicates", "rank_sets": "differences studentised, step-down",
        },
    )  # fmt: skip


def _judged(judgements: Records | pd.DataFrame | None, tree: IndexTree) -> tuple[JudgeSample | None, IndexTree]:
    """The judges, and the tree with their weights."""
    if judgements is None:
        return None, tree
    judge_weights(judgements, tree=tree)
    frame = judgements.frame if isinstance(judgements, Records) else judgements
    judges = JudgeSample(JUDGES, frame, tree)
    told = {c: float(w) for branch, own in judges.values().items()
            for c, w in zip(tree.children(branch), own, strict=True)}  # fmt: skip
    nodes = tuple(n.model_copy(update={"weight": told.get(n.code, n.weight)}) for n in tree.nodes)
    changed = IndexTree(name=tree.name, version=tree.version, title=tree.title, weights=tree.weights, nodes=nodes)
    return JudgeSample(JUDGES, frame, changed), changed


def _completed(data: pd.DataFrame, tree: IndexTree, samples: Sequence[Sample]) -> pd.DataFrame:
    """The data with the columns that only a sample has.

    Raises
    ------
    CompositeError
        Samples that do not go with the data.
    """
    data = data.set_axis(data.index.astype(str))
    wanted = {*tree.indicators, *(tree.node(c).denominator for c in tree.indicators)}
    problems: list[Problem | str] = []
    taken: dict[str, str] = {}
    for sample in samples:
        strange = [c for c in sample.columns if c not in wanted]
        problems += [f"{sample.name}: expected columns of the tree, found {c!r}" for c in strange]
        for column in sample.columns:
            if column in taken:
                told = f"expected a column of one sample, found {column!r} in {taken[column]!r} too"
                problems.append(f"{sample.name}: {told}")
            taken[column] = sample.name
        unknown = tuple(u for u in sample.units if u not in data.index)
        if unknown:
            problems.append(Problem(f"{sample.name}: expected units of the data, found others", unknown))
            continue
        values = sample.values()
        new = [c for c in sample.columns if c not in data]
        data = data.join(values[new]) if new else data
        problems += _apart(sample, values, data)
    if problems:
        raise CompositeError(tree.name, problems, "correct the samples or the data")
    return data


def _apart(sample: Sample, values: pd.DataFrame, data: pd.DataFrame) -> Iterator[Problem]:
    """Values of the data that are not what the sample's rows give."""
    for column in sample.columns:
        given = pd.to_numeric(data.loc[list(values.index), column], errors="coerce")
        off = ~np.isclose(given, values[column], rtol=1e-6, atol=1e-9, equal_nan=True)
        if off.any():
            shown = tuple(f"{u} ({g:g}, not {v:g})" for u, g, v in zip(
                values.index[off], given[off], values.loc[off, column], strict=True))  # fmt: skip
            yield Problem(f"{column}: expected the values that {sample.name} gives, found others", shown)


def _check(design: Design, draws: int, level: float) -> None:
    problems = []
    count = len(design.factors)
    if not count:
        problems.append("expected samples or alternatives, found nothing that varies")
    if count > MOST:
        problems.append(f"expected at most {MOST} samples and choices that vary, found {count}")
    twice = [f for f in dict.fromkeys(design.factors) if design.factors.count(f) > 1]
    problems += [f"expected every sample and choice under a name of its own, found {f!r} again" for f in twice]
    if draws < 100:
        problems.append(f"draws: expected at least 100, found {draws}")
    if not 0.5 < level < 1:
        problems.append(f"level: expected a share above .5 and below 1, found {level}")
    if problems:
        raise CompositeError(design.tree.name, problems, "name samples, or what else could have been chosen")


def _replicates(design: Design, kind: str, draws: int, rng: np.random.Generator) -> Floats | None:
    """Scores of the replicates, shape (draws, units); None where nothing of the kind varies."""
    names = {EVERYTHING: design.factors, SAMPLING: design.sampled, METHOD: design.chosen}[kind]
    if not names:
        return None
    blocks = -(-draws // BLOCK)
    sizes = [min(BLOCK, draws - k * BLOCK) for k in range(blocks)]
    items = [(design, names, size, own) for size, own in zip(sizes, rng.spawn(blocks), strict=True)]
    return np.concatenate(compute.map(_block, items))


def _block(item: tuple[Design, tuple[str, ...], int, np.random.Generator]) -> Floats:
    design, names, size, rng = item
    pool = design.pool(size, rng)
    random = {*design.sampled, "weight_noise"}
    levels = {
        name: np.arange(size) if name in random else rng.integers(0, design.count(name, size), size) for name in names
    }
    return design.scores(levels, pool)


def _scores(composite: Composite, drawn: dict[str, Floats | None], level: float) -> pd.DataFrame:
    tail = (1 - level) / 2
    table = pd.DataFrame({"score": composite.index})
    for kind, values in drawn.items():
        prefix = "" if kind == EVERYTHING else f"{kind}_"
        known = np.full((1, composite.n), np.nan) if values is None else values
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            table[f"{prefix}low"], table[f"{prefix}high"] = np.nanquantile(known, [tail, 1 - tail], axis=0)
        table[f"{prefix}sd"] = np.nan if values is None else np.nanstd(values, axis=0, ddof=1)
    return table


def _ranks(composite: Composite, drawn: dict[str, Floats | None], level: float) -> pd.DataFrame:
    own = composite.index.to_numpy()
    every, sampled = drawn[EVERYTHING], drawn[SAMPLING]
    table = pd.DataFrame({"rank": rankdata(-own, method="min").astype(int)}, index=composite.index.index)
    nothing = (np.full(len(own), np.nan),) * 2
    for suffix, together in (("", False), ("_all", True)):
        found = nothing if sampled is None else rank_sets(own, sampled - own, level=level, simultaneous=together)
        table[f"best{suffix}"], table[f"worst{suffix}"] = found
    table["band"] = np.nan if sampled is None else tie_bands(
        table["best_all"].to_numpy(), table["worst_all"].to_numpy(), own)  # fmt: skip
    if every is None:
        raise ValueError("expected replicates in which everything varies, found none")
    ranks = rankdata(-every, method="min", axis=1)
    tail = (1 - level) / 2
    low, median, high = np.quantile(ranks, [tail, 0.5, 1 - tail], axis=0)
    table["median"], table["low"], table["high"] = median, low, high
    table["top_quarter"] = (ranks <= np.ceil(len(own) / 4)).mean(axis=0)
    return table


def _notes(design: Design, drawn: dict[str, Floats | None]) -> Iterator[str]:
    every = drawn[EVERYTHING]
    if every is not None and np.isnan(every).any():
        yield f"{int(np.isnan(every).any(axis=1).sum())} replicates leave a unit without a score"
    if design.rescaled:
        yield "alternatives on another scale are brought to the mean and the spread of the arrangement's own scores"
    if drawn[SAMPLING] is None:
        yield "no samples were given: confidence sets of ranks, and what sampling adds, are not known"
    if drawn[METHOD] is None:
        yield "no alternatives were given: what other choices would change is not known"
