"""How sure is the index? Every choice and every sample is a factor; all are varied together."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from sqmodel import compute
from sqmodel.errors import CompositeError, Problem
from sqmodel.index.alternatives import NOISE, Alternatives, check_alternatives
from sqmodel.index.composite import Arrangement, Composite, build_composite
from sqmodel.index.factors import find_effects
from sqmodel.index.judgements import GATE
from sqmodel.index.replicates import Design
from sqmodel.index.sampled_data import complete_from_samples, judged_tree
from sqmodel.index.samples import Sample
from sqmodel.index.tree import IndexTree
from sqmodel.index.uncertainty_notes import Drawn, find_notes
from sqmodel.numerics.ranks import rank_sets, tie_bands
from sqmodel.numerics.sensitivity import MOST
from sqmodel.operations.records import Records
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]
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
        (sets that hold for all units at once), band (units whose sets overlap in a chain), median, low and high (rank
        over all replicates), top_quarter (share of the replicates in which the unit is among the best fourth).
    split : DataFrame, rows sampling, method, joint
        share, low, high: of the variance of the scores, all units together.
    factors : DataFrame
        output (``scores``: variance of the scores, all units together; ``ranks``: mean absolute shift of rank), factor,
        kind, options (how many; NaN for draws), and first, total and shapley, each with ``_low`` and ``_high``.
    left_out : DataFrame
        unit, present, reason: units with too few indicators, see `Composite`.
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
    left_out: pd.DataFrame
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
    gate: float = GATE,
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
    gate : float
        Largest consistency ratio that is accepted of a judge.
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

    Where indicators are normalised by the units themselves (`min_max`, `z_score`, `rank`, `distance`) a new sample
    moves the ends of the scale too, outwards on average: percentile intervals of the first and the last units are then
    too narrow where the units' own errors are large against their differences, and a note says so. Confidence sets of
    ranks are not affected. Goalposts have no such effect.

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
    judges, tree = judged_tree(judgements, tree, gate)
    data = complete_from_samples(data, tree, samples)
    # An alternative alone may want the groups.
    wanted = how.impute.startswith("group") or not any(k.startswith("group") for k in others.impute)
    composite = build_composite(data, tree, arrangement=how, groups=groups if wanted else "")
    check_alternatives(others, how, tree, groups)
    if groups and groups not in data:
        raise CompositeError(tree.name, [f"groups: expected a column {groups!r}, found none"], "correct the data")
    design = Design.of(composite, data, tree, how, others, groups, samples, judges)
    _check(design, composite, draws, evaluations, tolerance, level)
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
        convergence=effects.convergence, left_out=composite.left_out,
        notes=(*find_notes(design, drawn), *effects.notes),
        settings={
            "arrangement": composite.settings, "samples": list(design.sampled), "choices": list(design.chosen),
            "options": {name: _shown(options) for name, options in design.options.items() if len(options) > 1},
            "noise": np.atleast_1d(others.noise).tolist(), "gate": gate, "seed": rng if isinstance(rng, int) else None,
            "draws": draws, "evaluations": evaluations, "tolerance": tolerance, "level": level,
            "intervals": "percentiles of the replicates", "rank_sets": "differences studentised, step-down",
        },
    )  # fmt: skip


def _shown(options: Sequence[Any]) -> list[str]:
    """Options as texts."""
    return [" ".join(str(p) for p in o if p is not None) if isinstance(o, tuple) else str(o or "none") for o in options]


def _check(design: Design, composite: Composite, draws: int, evaluations: int, tolerance: float, level: float) -> None:
    problems: list[Problem | str] = []
    count = len(design.factors)
    if not count:
        problems.append("expected samples or alternatives, found nothing that varies")
    if count > MOST:
        problems.append(f"expected at most {MOST} samples and choices that vary, found {count}")
    twice = [f for f in dict.fromkeys(design.sampled) if design.sampled.count(f) > 1]
    problems += [f"expected every sample under a name of its own, found {f!r} again" for f in twice]
    problems += [f"expected a sample under a name that no choice has, found {f!r}"
                 for f in dict.fromkeys(design.sampled) if f in (*design.options, NOISE)]  # fmt: skip
    without = composite.index.index[composite.index.isna()]
    if len(without):
        problems.append(Problem("expected a score of every unit, found none for", tuple(map(str, without))))
    if draws < 100:
        problems.append(f"draws: expected at least 100, found {draws}")
    if evaluations < 0:
        problems.append(f"evaluations: expected 0 or more, found {evaluations}")
    if not tolerance > 0:
        problems.append(f"tolerance: expected a width above 0, found {tolerance}")
    if not 0.5 < level < 1:
        problems.append(f"level: expected a share above .5 and below 1, found {level}")
    if problems:
        raise CompositeError(design.tree.name, problems, "correct the data, the samples or the alternatives")


def _replicates(design: Design, kind: str, draws: int, rng: np.random.Generator) -> Drawn | None:
    """Scores of the replicates; None where nothing of the kind varies."""
    names = {EVERYTHING: design.factors, SAMPLING: design.sampled, METHOD: design.chosen}[kind]
    if not names:
        return None
    blocks = -(-draws // BLOCK)
    sizes = [min(BLOCK, draws - k * BLOCK) for k in range(blocks)]
    items = [(design, names, size, own) for size, own in zip(sizes, rng.spawn(blocks), strict=True)]
    parts = compute.map(_block, items)
    unanswered: Counter[str] = Counter()
    for part in parts:
        unanswered.update(part.unanswered)
    constant = np.sum([p.constant for p in parts], axis=0)
    return Drawn(np.concatenate([p.scores for p in parts]), constant, dict(unanswered))


def _block(item: tuple[Design, tuple[str, ...], int, np.random.Generator]) -> Drawn:
    design, names, size, rng = item
    pool = design.pool(size, rng)
    levels = {
        name: np.arange(size) if design.random(name) else rng.integers(0, len(design.options[name]), size)
        for name in names
    }
    found = design.scores(levels, pool)
    return Drawn(found.scores, found.constant, pool.unanswered if set(design.sampled) & set(names) else {})


def _scores(composite: Composite, drawn: Mapping[str, Drawn | None], level: float) -> pd.DataFrame:
    tail = (1 - level) / 2
    table = pd.DataFrame({"score": composite.index})
    for kind, found in drawn.items():
        prefix = "" if kind == EVERYTHING else f"{kind}_"
        known = np.full((1, composite.n), np.nan) if found is None else found.scores
        with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
            table[f"{prefix}low"], table[f"{prefix}high"] = np.nanquantile(known, [tail, 1 - tail], axis=0)
        table[f"{prefix}sd"] = np.nan if found is None else np.nanstd(found.scores, axis=0, ddof=1)
    return table


def _ranks(composite: Composite, drawn: Mapping[str, Drawn | None], level: float) -> pd.DataFrame:
    own = composite.index.to_numpy()
    every, sampled = drawn[EVERYTHING], drawn[SAMPLING]
    table = pd.DataFrame({"rank": rankdata(-own, method="min").astype(int)}, index=composite.index.index)
    for suffix, together in (("", False), ("_all", True)):
        found: Any = (np.nan, np.nan)
        if sampled is not None:
            errors = sampled.scores - own
            found = rank_sets(own, errors[np.isfinite(errors).all(axis=1)], level=level, simultaneous=together)
        table[f"best{suffix}"], table[f"worst{suffix}"] = found
    table["band"] = np.nan if sampled is None else tie_bands(
        table["best_all"].to_numpy(), table["worst_all"].to_numpy(), own)  # fmt: skip
    if every is None:
        raise ValueError("expected replicates in which everything varies, found none")
    known = every.scores[np.isfinite(every.scores).all(axis=1)]
    ranks = rankdata(-known, method="min", axis=1)
    tail = (1 - level) / 2
    low, median, high = np.quantile(ranks, [tail, 0.5, 1 - tail], axis=0, method="inverted_cdf")
    table["median"], table["low"], table["high"] = median, low, high
    table["top_quarter"] = (ranks <= np.ceil(len(own) / 4)).mean(axis=0)
    return table
