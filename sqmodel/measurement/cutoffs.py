"""Which values of the fit indices would betray a wrong model of this kind? Dynamic cutoffs by simulation."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement.confirmatory import Confirmation, Fitted
from sqmodel.measurement.model_table import Table
from sqmodel.measurement.planning import Study
from sqmodel.measurement.standardised import standardised
from sqmodel.numerics.sem.model import Matrix, implied
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]

INDICES = ("srmr", "rmsea", "cfi")
RULES = ((0.05, "95/5"), (0.10, "90/10"))
"""Share of errors of either kind that a cutoff may make; the stricter rule first."""
RESIDUAL_CORRELATION = 0.3
ADMISSIBLE = 0.95
"""Share of the largest possible cross-loading that one may have."""
DIGITS = 4
"""Standardised estimates are rounded to so many digits before the simulation, as the package dynamic does: fits that
agree so far have the same cutoffs."""
VERSION = "1"
"""Of the rules below: part of the key under which simulations are kept."""


@dataclass(frozen=True, repr=False)
class Cutoffs(Result):
    """Cutoffs of SRMR, RMSEA and CFI for one model, its loadings and its sample size.

    Attributes
    ----------
    n : int
    settings : dict
    cutoffs : DataFrame, a row a level and index
        level, index, rule ("95/5", "90/10", or "none" where the distributions overlap too much), cutoff (NaN with
        "none"), found (share of the misspecified samples at the cutoff or beyond), rejected (share of the correct
        ones).
    levels : DataFrame
        What each level adds to those below: level, lhs, op, rhs, value (standardised; residual correlations for ~~).
    reached : DataFrame, a row an index
        index, statistic (lavaan's name), value (of the fitted model), exact (95 % of correct models are better), level
        (the highest whose cutoff the model reaches; 0 where it is better than all).
    quantiles : DataFrame
        By level (0 is the correct model) and index: samples, q05, q10, q50, q90, q95.
    notes : tuple of str
    """

    n: int
    settings: dict[str, Any]
    cutoffs: pd.DataFrame
    levels: pd.DataFrame
    reached: pd.DataFrame
    quantiles: pd.DataFrame
    notes: tuple[str, ...]

    def _headline(self) -> str:
        parts, known = [], self.cutoffs.dropna(subset=["cutoff"])["index"]
        for name, value, level in zip(*(self.reached[c] for c in ("index", "value", "level")), strict=True):
            found = f"reaches level {level}" if level else "is better than all cutoffs"
            parts.append(f"{name.upper()} {value:.3f} {found if name in set(known) else 'has no cutoff'}")
        count = self.settings["levels"]
        return f"{count} level{'s' if count > 1 else ''}, n={self.n}: {', '.join(parts)}"


def dynamic_cutoffs(
    confirmation: Confirmation,
    *,
    replications: int = 500,
    rng: np.random.Generator | int = 0,
    cache: str | Path | None = None,
) -> Cutoffs:
    """Which values of SRMR, RMSEA and CFI tell a correct model of this kind from a misspecified one?

    McNeish & Wolf (2021, Psychological Methods; 2022, Behavior Research Methods, for one factor). The standardised
    solution, rounded to four digits, is taken for the population; samples of the same n are drawn from it and from
    populations with relations that the model omits, and the model is fitted to all. Levels are cumulative: level k has
    the omissions of all levels below. The rules are those of the R package dynamic (1.1.0; ``cfaHB``, ``cfaOne``):

    Several factors (m - 1 levels of one cross-loading each). Of every factor the item with the lowest absolute
    standardised loading stands for it, among the items that load on one factor and have no residual covariance. The
    m - 1 lowest of these items are taken, those of factors with two items last. In the order of their loadings each
    is given a loading on the factor with the highest coefficient H (Hancock & Mueller 2001) of those factors with
    whose pair no item before it has been treated. It is as large as the item's own loading l, in absolute value, but
    at most .95 (sqrt(l^2 r^2 + 1 - l^2) - |l r|), where r is the correlation of the factors: beyond, the communality
    would pass 1.

    One factor (up to three levels). The items without residual covariance are paired from the lowest absolute loading
    on, and pairs get a residual correlation of .3: one pair with 4 items; 1 and 2 pairs with 5; else a third, two
    thirds (both rounded down) and all of the floor(items / 2) pairs.

    Added relations are positive whatever the sign of the loadings: turn reversed items before the analysis. The items'
    variances stay as they are.

    The cutoff of a level is the value that 95 % of its samples reach, if 95 % of the correct ones do not; failing that
    the same with 90 %; else there is none. Quantiles are R's type 7.

    Departures from the package. The fit's own model is fitted again, with its constraints and means, not a plain one.
    n is not capped at 2000, because the covariance matrices are drawn themselves (Wishart). Where loadings are equal
    the first item counts, of one factor only; equal H are settled by the order of the factors, not by chance; added
    loadings are ordered by their absolute value. Ordered answers are cut at the estimated thresholds and fitted by the
    fit's own estimator, with the scaled indices as in ``catHB``. The package's later versions report the best rule
    down to 50 % instead of 95/5 and 90/10.

    Continuous answers are drawn as normal and complete and fitted by ML, also where the fit was robust or used FIML;
    robust indices are then compared with the cutoffs of the plain ones, which estimate the same.

    Parameters
    ----------
    confirmation : Confirmation
        A converged, proper model of one group, fitted in this session. (For loadings from a publication, fit
        `Moments` with the correlations that they imply.)
    replications : int
        Samples of every level; the package recommends 500.
    rng : Generator or int
        With an int, simulations are kept: a second call with the same model, rounded estimates, n, replications and
        seed is instant.
    cache : str or Path, optional
        A folder that keeps them beyond this session, too.

    Raises
    ------
    InputError
        Several groups, fewer than 20 replications.
    ComputationError
        A model that is not a possible population, has no degrees of freedom, has factors of factors, or too few items
        to misspecify.
    """
    fitted = _checked(confirmation, replications)
    population = _Standardised.of(fitted)
    added = population.misspecifications()
    seed = rng if isinstance(rng, int) else None
    job = population.job(fitted, added, replications)
    draws = _simulate(job, np.random.default_rng(rng)) if seed is None else _kept(job, seed, cache)
    quantiles, table = _quantiles(draws), _cutoffs(draws)
    reached = _reached(confirmation, fitted, draws, table)
    settings = {
        "items": list(fitted.table.items), "factors": list(fitted.table.factors), "levels": len(added),
        "estimator": job.estimator, "replications": replications, "rng": "Generator" if seed is None else seed,
    }  # fmt: skip
    rows = [(level, *relation) for level, relations in enumerate(added, 1) for relation in relations]
    levels = pd.DataFrame(rows, columns=["level", "lhs", "op", "rhs", "value"])
    return Cutoffs(confirmation.n, settings, table, levels, reached, quantiles, _notes(fitted, draws, table))


class _Relation(NamedTuple):
    """A relation that the population has and the model omits."""

    lhs: str
    op: str
    rhs: str
    value: float


def _checked(confirmation: Confirmation, replications: int) -> Fitted:
    problems = []
    if replications < 20:
        problems.append(f"expected at least 20 replications, found {replications}")
    fitted = confirmation.internal
    if len(fitted.moments.groups) > 1:
        problems.append(f"expected a model of one group, found {len(fitted.moments.groups)} groups")
    if problems:
        raise InputError("dynamic_cutoffs", problems)
    wrong = [
        text
        for text, found in (
            ("that has not converged", not confirmation.converged),
            ("that is not identified", not confirmation.identified),
            ("with negative variances or impossible factors", not confirmation.proper),
            ("without degrees of freedom", confirmation.fit["df"] < 1),
            ("with factors of factors", any(c.matrix is Matrix.BETA for c in fitted.table.cells)),
        )
        if found
    ]
    if wrong:
        raise ComputationError(
            f"expected a fitted model that could be a population and can be misspecified, found one {', '.join(wrong)}"
        )
    return fitted


@dataclass(frozen=True)
class _Standardised:
    """The standardised solution as a population.

    Attributes
    ----------
    items, factors : tuple of str
    loading : array, p x m
    factor_correlation : array, m x m
    residual_correlation : array, p x p
        Diagonal 1.
    """

    items: tuple[str, ...]
    factors: tuple[str, ...]
    loading: Floats
    factor_correlation: Floats
    residual_correlation: Floats

    @classmethod
    def of(cls, fitted: Fitted) -> _Standardised:
        block = fitted.estimated.blocks[0]
        values = np.round(standardised(block, fitted.estimated.solution.theta).real, DIGITS)
        places = {
            Matrix.LOADING: np.zeros((block.p, block.m)), Matrix.FACTOR_COV: np.eye(block.m),
            Matrix.RESIDUAL_COV: np.eye(block.p),
        }  # fmt: skip
        for kind, row, column, value in zip(block.matrix, block.row, block.column, values, strict=True):
            found = places.get(Matrix(kind))
            if found is None or (kind != Matrix.LOADING and row == column):
                continue
            found[row, column] = value
            if kind != Matrix.LOADING:
                found[column, row] = value
        return cls(
            fitted.table.items, fitted.table.factors, places[Matrix.LOADING], places[Matrix.FACTOR_COV],
            places[Matrix.RESIDUAL_COV],
        )  # fmt: skip

    def correlation(self, added: Sequence[_Relation] = ()) -> Floats:
        """Of the items, with the added relations; what the factors leave of an item's variance is its residual's."""
        loading, residual = self.loading.copy(), self.residual_correlation.copy()
        for relation in added:
            if relation.op == "=~":
                loading[self.items.index(relation.rhs), self.factors.index(relation.lhs)] = relation.value
            else:
                i, j = self.items.index(relation.lhs), self.items.index(relation.rhs)
                residual[i, j] = residual[j, i] = relation.value
        common = loading @ self.factor_correlation @ loading.T
        deviation = np.sqrt(np.maximum(1 - np.diag(common), 0))
        out = common + residual * np.outer(deviation, deviation)
        if (np.diag(common) >= 1).any() or not np.linalg.eigvalsh(out)[0] > 1e-8:
            raise ComputationError("expected loadings that a population can have, found communalities of 1 or more")
        return np.asarray(out)

    def misspecifications(self) -> list[list[_Relation]]:
        """What each level adds."""
        alone = (self.loading != 0).sum(axis=1) == 1
        alone &= (self.residual_correlation != 0).sum(axis=1) == 1
        return self._residuals(alone) if len(self.factors) == 1 else self._cross_loadings(alone)

    def _residuals(self, alone: npt.NDArray[np.bool_]) -> list[list[_Relation]]:
        """The rule for one factor."""
        size = np.abs(self.loading[:, 0])
        order = [i for i in np.argsort(size, kind="stable") if alone[i]]
        k = len(order)
        if k < 4:
            raise ComputationError(
                f"expected at least 4 items without residual covariance for a one-factor model, found {k}"
            )
        pairs = [
            _Relation(self.items[order[2 * i + 1]], "~~", self.items[order[2 * i]], RESIDUAL_CORRELATION)
            for i in range(k // 2)
        ]
        most = k // 2
        ends = {4: [1], 5: [1, 2]}.get(k, [most // 3, 2 * most // 3, most])
        return [pairs[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _cross_loadings(self, alone: npt.NDArray[np.bool_]) -> list[list[_Relation]]:
        """The rule for several factors."""
        size, m = np.abs(self.loading), len(self.factors)
        lowest = [(j, min(own, key=lambda i: size[i, j])) for j in range(m) if (own := self._own(j, alone))]
        few = {j: int((size[:, j] > 0).sum() <= 2) for j in range(m)}
        ranked = sorted(lowest, key=lambda c: (few[c[0]], size[c[1], c[0]]))[: m - 1]
        if len(ranked) < m - 1:
            wanted = f"{m - 1} factor{'s' if m > 2 else ''}"
            raise ComputationError(
                f"expected {wanted} with an item that loads on nothing else and has no residual covariance, "
                f"found {len(ranked)}"
            )
        explained = np.where(size > 0, self.loading**2, 0.0)
        H = 1 / (1 + 1 / (explained / (1 - explained)).sum(axis=0))
        used: set[frozenset[int]] = set()
        partner = {}
        for j, i in sorted(ranked, key=lambda c: size[c[1], c[0]]):
            free = [k for k in range(m) if k != j and frozenset((j, k)) not in used]
            partner[i] = max(free, key=lambda k: H[k])
            used.add(frozenset((j, partner[i])))
        return [
            [_Relation(self.factors[k := partner[i]], "=~", self.items[i], self._largest(i, j, k))] for j, i in ranked
        ]

    def _own(self, j: int, alone: npt.NDArray[np.bool_]) -> list[int]:
        return [int(i) for i in np.flatnonzero((self.loading[:, j] != 0) & alone)]

    def _largest(self, i: int, j: int, k: int) -> float:
        """The cross-loading of item i of factor j on factor k."""
        own, r = abs(self.loading[i, j]), abs(self.factor_correlation[j, k])
        most = ADMISSIBLE * (math.sqrt(own**2 * r**2 + 1 - own**2) - own * r)
        return float(min(own, round(most, DIGITS)))

    def job(self, fitted: Fitted, added: Sequence[Sequence[_Relation]], replications: int) -> _Job:
        """The simulation of the correct model and of all levels, in the metric of the data."""
        estimated, table = fitted.estimated, fitted.table
        at = implied(estimated.blocks[0], estimated.solution.theta)
        ordered = bool(table.options.categories)
        deviation = np.ones(len(self.items)) if ordered else _short(np.sqrt(np.diag(at.sigma)))
        below = [[r for relations in added[:level] for r in relations] for level in range(len(added) + 1)]
        sigma = np.stack([self.correlation(r) for r in below]) * np.outer(deviation, deviation)
        cuts: list[Floats] = []
        if ordered:
            item = estimated.blocks[0].threshold_item
            standard = np.round(at.scale[item] * (at.thresholds - at.mu[item]), DIGITS)
            cuts = [standard[item == i] for i in range(len(self.items))]
        # Normal draws need no robust correction: ML serves for all estimators by likelihood.
        estimator = "ML" if fitted.estimator in ("ML", "MLR", "MLM") else fitted.estimator
        return _Job(
            table, estimated.solution.theta, estimator, sigma, _short(at.mu), tuple(cuts),
            round(fitted.moments.n), replications,
        )  # fmt: skip


def _short(values: npt.ArrayLike) -> Floats:
    """To six significant digits, so that the last bits of a fit do not change the key."""
    return np.array([float(f"{x:.6g}") for x in np.atleast_1d(values)])


@dataclass(frozen=True)
class _Job:
    """A simulation: one population a level, the correct one first.

    Attributes
    ----------
    table, start, estimator, mean, cuts
        As in `Study`.
    sigma : array, levels + 1, p, p
    n, replications : int
    """

    table: Table
    start: Floats
    estimator: str
    sigma: Floats
    mean: Floats
    cuts: tuple[Floats, ...]
    n: int
    replications: int

    @property
    def suffix(self) -> str:
        """Of lavaan's names of RMSEA and CFI in the simulation."""
        return {"WLSMV": ".scaled", "ULSMV": ".scaled", "ULSM": ".robust"}.get(self.estimator, "")

    def key(self, seed: int) -> str:
        """The same for simulations with the same outcome."""
        cells = [(c.lhs, c.op, c.rhs, int(c.matrix), c.row, c.column, c.free, c.value) for c in self.table.cells]
        content = [
            VERSION, cells, self.estimator, self.sigma.tolist(), self.mean.tolist(), [c.tolist() for c in self.cuts],
            self.n, self.replications, seed,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


MOST_KEPT = 64
_KEPT: dict[str, Floats] = {}


def _kept(job: _Job, seed: int, folder: str | Path | None) -> Floats:
    """The simulation, from this session or from the folder where it has been run before."""
    key = job.key(seed)
    file = None if folder is None else Path(folder) / f"cutoffs-{key[:32]}.npy"
    if key not in _KEPT:
        draws = None if file is None else _read(file, job)
        if draws is None:
            draws = _simulate(job, np.random.default_rng(seed))
        while len(_KEPT) >= MOST_KEPT:
            del _KEPT[next(iter(_KEPT))]
        _KEPT[key] = draws
    if file is not None and not file.exists():
        _write(file, _KEPT[key])
    return _KEPT[key]


def _read(file: Path, job: _Job) -> Floats | None:
    """None where there is no file, or not what was written."""
    try:
        draws = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    shape = (len(job.sigma), job.replications, len(INDICES))
    return np.asarray(draws) if draws.shape == shape and draws.dtype == np.float64 else None


def _write(file: Path, draws: Floats) -> None:
    """All or nothing: other sessions may read meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
        np.save(part, draws)
    Path(part.name).replace(file)


def _simulate(job: _Job, rng: np.random.Generator) -> Floats:
    """SRMR, RMSEA and CFI (levels + 1, replications, 3); NaN where the search failed."""
    streams = rng.spawn(len(job.sigma))
    studies = [Study(job.table, job.start, job.estimator, sigma, job.mean, job.cuts) for sigma in job.sigma]
    draws = np.stack(
        [s.indices(job.n, job.replications, stream, job.suffix) for s, stream in zip(studies, streams, strict=True)]
    )
    if not np.isfinite(draws).any(axis=1).all():
        raise ComputationError("expected samples that the model can be fitted to, found none; is n large enough?")
    return draws


def _towards_misfit(index: str) -> int:
    """1 where large values are bad, -1 where small ones are."""
    return -1 if index == "cfi" else 1


def _cutoffs(draws: Floats) -> pd.DataFrame:
    rows = []
    for level in range(1, len(draws)):
        for k, index in enumerate(INDICES):
            sign = _towards_misfit(index)
            correct, wrong = (sign * x[np.isfinite(x)] for x in (draws[0, :, k], draws[level, :, k]))
            cutoff, rule = math.nan, "none"
            for share, name in RULES:
                lowest = float(np.quantile(wrong, share))
                if lowest > np.quantile(correct, 1 - share):
                    cutoff, rule = lowest, name
                    break
            known = math.isfinite(cutoff)
            rows.append({
                "level": level, "index": index, "rule": rule, "cutoff": sign * cutoff,
                "found": float((wrong >= cutoff).mean()) if known else math.nan,
                "rejected": float((correct >= cutoff).mean()) if known else math.nan,
            })  # fmt: skip
    return pd.DataFrame(rows)


def _quantiles(draws: Floats) -> pd.DataFrame:
    rows = []
    for level, own in enumerate(draws):
        for k, index in enumerate(INDICES):
            values = own[np.isfinite(own[:, k]), k]
            found = {f"q{q:02d}": float(np.quantile(values, q / 100)) for q in (5, 10, 50, 90, 95)}
            rows.append({"level": level, "index": index, "samples": len(values), **found})
    return pd.DataFrame(rows)


def _reached(confirmation: Confirmation, fitted: Fitted, draws: Floats, table: pd.DataFrame) -> pd.DataFrame:
    """Where the fitted model stands among the simulated ones."""
    rows = []
    for k, index in enumerate(INDICES):
        sign, name = _towards_misfit(index), _statistic(confirmation, fitted, index)
        value, correct = confirmation.fit[name], draws[0, np.isfinite(draws[0, :, k]), k]
        own = table[(table["index"] == index) & (sign * value >= sign * table["cutoff"])]
        rows.append({
            "index": index, "statistic": name, "value": value,
            "exact": sign * float(np.quantile(sign * correct, 0.95)),
            "level": int(own["level"].max()) if len(own) else 0,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _statistic(confirmation: Confirmation, fitted: Fitted, index: str) -> str:
    """lavaan's name of the index to compare: scaled for ordered answers, robust for continuous ones, where there is."""
    if index == "srmr":
        return index
    name = f"{index}.{'scaled' if fitted.table.options.categories else 'robust'}"
    return name if math.isfinite(confirmation.fit.get(name, math.nan)) else index


def _notes(fitted: Fitted, draws: Floats, table: pd.DataFrame) -> tuple[str, ...]:
    notes = []
    lost = 1 - float(np.isfinite(draws[..., 0]).mean())
    if lost > 0:
        notes.append(f"{lost:.1%} of the samples gave no solution and do not count")
    for row_level, names in table[table["rule"] == "none"].groupby("level")["index"]:
        which = ", ".join(n.upper() for n in names)
        notes.append(f"level {row_level}: {which} cannot tell it from a correct model in this sample")
    if fitted.moments.samples:
        notes.append("answers are missing: the samples behind the cutoffs are complete, and as large")
    if any(a.cluster is not None for a in fitted.moments.answers):
        notes.append("respondents come in clusters: those behind the cutoffs are independent")
    return tuple(notes)
