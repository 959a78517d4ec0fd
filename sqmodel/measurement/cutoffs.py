"""Which values of the fit indices would betray a wrong model of this kind? Dynamic cutoffs by simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement.confirmatory import Confirmation, Fitted
from sqmodel.measurement.cutoff_simulation import Job, drawn
from sqmodel.measurement.misspecification import Standardised
from sqmodel.measurement.simulation import INDICES, index_name
from sqmodel.numerics.sem.model import Matrix
from sqmodel.result import Result

Floats = npt.NDArray[np.float64]

RULES = ((0.05, "95/5"), (0.10, "90/10"))
"""Share of errors of either kind that a cutoff may make; the stricter rule first."""


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
    population = Standardised.of(fitted)
    added = population.misspecifications()
    job = Job.of(population, fitted, added, replications)
    draws = drawn(job, rng, cache)
    quantiles, table = _quantiles(draws), _cutoffs(draws)
    reached = _reached(confirmation, fitted, draws, table)
    settings = {
        "items": list(fitted.table.items), "factors": list(fitted.table.factors), "levels": len(added),
        "estimator": job.estimator, "replications": replications, "rng": rng if isinstance(rng, int) else "Generator",
    }  # fmt: skip
    rows = [(level, *relation) for level, relations in enumerate(added, 1) for relation in relations]
    levels = pd.DataFrame(rows, columns=["level", "lhs", "op", "rhs", "value"])
    return Cutoffs(confirmation.n, settings, table, levels, reached, quantiles, _notes(fitted, draws, table))


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
    name = index_name(index, ".scaled" if fitted.table.options.categories else ".robust")
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
