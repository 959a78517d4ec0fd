"""Branches and dimensions: where each institution is surely better or worse than the mean of all."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.benchmark.assess_composite import build_composites, gather_parts
from sqmodel.benchmark.assess_field import Bools, Field, Floats, best_practice, place_of
from sqmodel.benchmark.assess_standing import Standing
from sqmodel.benchmark.comparison import SCOPES
from sqmodel.benchmark.content import OVERALL
from sqmodel.benchmark.disclosure_totals import FEW
from sqmodel.numerics.independent_ranks import independent_rank_sets
from sqmodel.numerics.prediction import prediction_interval
from sqmodel.numerics.random_effects import Pooled

PERCEPTION = "perception"
OVERALL_COLUMNS = ["scope", "mean", "se", "low", "high", "tau", "i2", "prediction_low", "prediction_high", "median",
                   "best_practice", "institutions"]  # fmt: skip
DRAWS = 300
"""Of the best practice, whose error goes into the distance to it."""


def assess_scopes(field: Field, standing: Standing, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What holds for the branches of the tree, and for what clients say of each dimension?

    Returns
    -------
    overall : DataFrame
        As `Benchmark.overall`.
    scopes : DataFrame
        As `Benchmark.scopes`: branches by their code, dimensions as ``perception.CODE``; branches are scores of
        0-100 between goalposts, dimensions of the questionnaire as their institutions computed them.

    Notes
    -----
    Scores are not adjusted for case mix here. Rank sets are simultaneous over institutions, of one scope.
    An institution's strengths and weaknesses are its scopes whose difference from the mean of all is sure at once for
    all its scopes (Bonferroni); that mean counts the institution itself, which the errors of the differences mind.
    """
    rows = [_overall_row(field, OVERALL, standing.score, standing.se, standing.used)]
    tables, differences = [], []
    for scope, n, score, se, compared in _figures(field):
        # Of too few who may be compared nothing is said that compares them.
        compared = compared & (compared.sum() >= field.least)
        used = compared if compared.any() else np.isfinite(score)
        if not scope.startswith(f"{PERCEPTION}."):
            rows.append(_overall_row(field, scope, score, se, used))
        if scope == PERCEPTION:
            continue
        table, sure = _scope(field, scope, n, score, se, used, compared, rng)
        tables.append(table)
        differences.append(sure)
    return pd.DataFrame(rows, columns=OVERALL_COLUMNS), _standing(field, tables, np.array(differences))


def _branches(field: Field) -> list[str]:
    """All branches but the index, from the top."""
    return [n.code for n in field.tree.nodes if n.code not in field.tree.indicators and n.code != field.tree.root]


def _figures(field: Field) -> Iterator[tuple[str, Floats, Floats, Floats, Bools]]:
    """Scope, respondents, scores, errors, and who may be compared by it."""
    fair = field.enough & (field.doubts == "")
    parts = gather_parts(field.submissions, field.profile, field.tree)
    for branch in _branches(field):
        found = build_composites(parts, branch, field.profile.required)
        score, se = (np.where(field.enough, v, np.nan) for v in (found.score, found.se))
        may = fair if field.perceived(branch) else field.enough
        yield branch, field.n, score, se, may & np.isfinite(score)
    for name in (OVERALL, *field.profile.perception):
        told = [next((s for s in sub.scores if s.scope == name), None) for sub in field.submissions]
        n = np.array([np.nan if s is None else s.n for s in told])
        known = field.enough & np.array([s is not None and s.se > 0 for s in told])
        score, se = (np.where(known, [np.nan if s is None else getattr(s, key) for s in told], np.nan)
                     for key in ("estimate", "se"))  # fmt: skip
        scope = PERCEPTION if name == OVERALL else f"{PERCEPTION}.{name}"
        yield scope, np.where(np.isnan(n), 0, n), score, se, fair & np.isfinite(score)


def _overall_row(field: Field, scope: str, score: Floats, se: Floats, used: Bools) -> list[object]:
    """Mean and spread of a scope; NaN where they would tell of a few. Intervals end where the scale of 0-100 does."""
    pooled = field.pooled(score, se, used)
    institutions = int((used & np.isfinite(score)).sum())
    if pooled is None:
        field.withhold("overall", scope, FEW)
        return [scope, *[np.nan] * (len(OVERALL_COLUMNS) - 2), institutions]
    mean = [float(v[0]) for v in (pooled.coefficients, pooled.se, pooled.low.clip(min=0), pooled.high.clip(max=100))]
    at = used & np.isfinite(score) & np.isfinite(se)
    usual = np.clip(prediction_interval(score[at], se[at], level=field.level), 0, 100)
    return [scope, *mean, float(np.sqrt(pooled.tau2)), pooled.i2, *usual, field.middle(score, used),
            best_practice(pooled.shrunken), institutions]  # fmt: skip


def _scope(
    field: Field, scope: str, n: Floats, score: Floats, se: Floats, used: Bools, compared: Bools,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, Floats]:  # fmt: skip
    """A scope's rows, and the studentised differences from the mean of all; NaN where nothing may be said."""
    table = pd.DataFrame({"institution": field.codes, "scope": scope, "n": n.astype(int), "score": score, "se": se})
    table["low"] = np.maximum(score - field.z * se, 0.0)
    table["high"] = np.minimum(score + field.z * se, 100.0)
    table["median"], table["peers_median"] = field.middle(score, used), field.peers_middle(score, used)
    for name in ("best_practice", "distance", "distance_low", "distance_high", "best_all", "worst_all"):
        table[name] = np.nan
    sure = np.full(len(score), np.nan)
    pooled = field.pooled(score, se, used)
    if pooled is not None:
        table["best_practice"] = best_practice(pooled.shrunken)
        table["distance"], table["distance_low"], table["distance_high"] = _distances(field, score, se, used, pooled,
                                                                                      rng)  # fmt: skip
        if compared.any():
            sure[used] = _from_mean(score[used], se[used], pooled.weights)
    if compared.sum() >= 2:
        at = np.flatnonzero(compared)
        sets = independent_rank_sets(score[at], se[at], level=field.level, draws=field.draws, rng=rng)
        table.loc[at, ["best_all", "worst_all"]] = np.column_stack(sets).astype(float)
    return table, sure


def _from_mean(score: Floats, se: Floats, weights: Floats) -> Floats:
    """Differences from the weighted mean over their standard errors, each unit's own part of the mean minded."""
    square = weights**2 * se**2
    error = np.sqrt((1 - weights) ** 2 * se**2 + square.sum() - square)
    return np.asarray((score - weights @ score) / error)


def _distances(
    field: Field, score: Floats, se: Floats, used: Bools, pooled: Pooled, rng: np.random.Generator
) -> tuple[Floats, Floats, Floats]:
    """Best practice less an institution's score, with an interval that counts the errors of both.

    Estimates are drawn anew, drawn to their mean as before, and their best tenth is found in each draw.
    """
    best = best_practice(pooled.shrunken)
    errors = rng.standard_normal((DRAWS, len(score))) * np.nan_to_num(se)
    drawn = score[used] + errors[:, used]
    middle = drawn @ pooled.weights
    shrunken = drawn - pooled.shrinkage * (drawn - middle[:, None])
    moved = np.quantile(shrunken, 0.9, axis=1) - best
    reach = field.z * np.sqrt(((moved[:, None] - errors - (moved.mean() - errors.mean(axis=0))) ** 2).mean(axis=0))
    distance = best - score
    return distance, distance - reach, distance + reach


def _standing(field: Field, tables: list[pd.DataFrame], differences: Floats) -> pd.DataFrame:
    """All scopes with what is surely above or below the mean, sorted by institution."""
    counted = np.maximum(np.isfinite(differences).sum(axis=0), 1)
    critical = stats.norm.ppf(1 - (1 - field.level) / 2 / counted)
    for table, sure in zip(tables, differences, strict=True):
        with np.errstate(invalid="ignore"):
            table["standing"] = np.select([sure > critical, sure < -critical], ["strength", "weakness"], default="")
    found = pd.concat(tables, ignore_index=True)[SCOPES]
    rank = place_of(field.codes)
    order = np.argsort(found["institution"].map(rank).to_numpy(), kind="stable")
    return found.iloc[order].reset_index(drop=True)
