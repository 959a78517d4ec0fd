"""The configural model: one measurement model, fitted to each of many groups alone."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import SqmodelError, SqmodelWarning
from sqmodel.measurement.confirmatory import SINGULAR, Confirmation, confirm
from sqmodel.measurement.model_table import Options, Table, complete
from sqmodel.measurement.moments import GroupMoments, Moments
from sqmodel.measurement.syntax import Row, write_model
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.many import ManyFits, fit_many
from sqmodel.numerics.sem.model import Matrix

FEW = 20
"""Up to so many groups each is fitted by `confirm`; beyond, those with complete normal data all at once."""
FITS = ["group", "n", "chisq", "df", "cfi", "rmsea", "srmr"]


@dataclass(frozen=True)
class Configural:
    """One model in each of many groups, with a solution.

    Attributes
    ----------
    groups : tuple of str
    numbers : dict
        Number of each relation (lhs, op, rhs) among the parameters.
    theta : array, G x q
    covariances : array, G x q x q
    fits : DataFrame
        group, n, chisq, df, cfi, rmsea, srmr (robust where there are).
    improper : tuple of str
        Groups with a negative variance, or the like.
    estimator : str
    failed : dict
        Groups without a solution, and why.
    """

    groups: tuple[str, ...]
    numbers: dict[tuple[str, str, str], int]
    theta: Floats
    covariances: Floats
    fits: pd.DataFrame
    improper: tuple[str, ...]
    estimator: str
    failed: dict[str, str]


def fit_each(moments: Moments, rows: Sequence[Row], groups: Sequence[str], shared: dict[str, Any]) -> Configural:
    """Fit the model to each group alone; groups without a solution are told of, not raised.

    Many groups of complete normal data are fitted all at once (see `fit_many`): the estimates are the same, and what
    only a report on one model needs (standardised solutions, intervals of fit indices) is not computed. Where that
    search does not settle, `confirm` goes on for the group.

    Parameters
    ----------
    moments : Moments
    rows : sequence of Row
        The same for all groups.
    groups : sequence of str
        In the order of the result.
    shared : dict
        Arguments of `confirm`: estimator, missing, cluster, weight.
    """
    plain = (not moments.answers and not moments.samples) or (shared.get("estimator") == "ML" and not moments.samples)
    if plain and len(groups) > FEW:
        return _at_once(moments, rows, groups, shared)
    found: dict[str, Confirmation] = {}
    failed: dict[str, str] = {}
    for g in groups:
        _alone(moments, rows, g, shared, found, failed)
    return _gathered(found, failed)


def _alone(
    moments: Moments, rows: Sequence[Row], group: str, shared: dict[str, Any], found: dict[str, Confirmation],
    failed: dict[str, str],
) -> None:  # fmt: skip
    """One group by `confirm`, to where it belongs."""
    k = list(moments.groups).index(group)
    alone = replace(
        moments, groups={group: moments.groups[group]}, answers=moments.answers[k : k + 1],
        samples=moments.samples[k : k + 1],
    )  # fmt: skip
    try:
        with warnings.catch_warnings():
            # Doubts are told for all groups at once.
            warnings.simplefilter("ignore", SqmodelWarning)
            fit = confirm(alone, write_model(rows), std_lv=True, mean_structure=True, **shared)
    except SqmodelError as error:
        failed[group] = str(error)
        return
    if not fit.converged:
        failed[group] = "the configural model did not converge"
    elif not fit.identified:
        failed[group] = "the configural model is not identified"
    else:
        found[group] = fit


def numbers_of(table: Table) -> dict[tuple[str, str, str], int]:
    """Number of each relation among the parameters."""
    return {(c.lhs, c.op, c.rhs): c.free for c in table.cells}


def _gathered(found: dict[str, Confirmation], failed: dict[str, str]) -> Configural:
    fits = list(found.values())
    estimates = [f.internal.estimated for f in fits]
    return Configural(
        tuple(found), numbers_of(fits[0].internal.table) if fits else {},
        np.array([e.solution.theta for e in estimates]), np.array([e.covariance for e in estimates]),
        pd.DataFrame([_fit_row(g, f) for g, f in found.items()], columns=FITS),
        tuple(str(g) for g, f in found.items() if not f.proper),
        str(fits[0].settings["estimator"]) if fits else "", failed,
    )  # fmt: skip


def _fit_row(group: str, fit: Confirmation) -> tuple[Any, ...]:
    scaled = math.isfinite(fit.fit.get("chisq.scaled", math.nan))
    robust = ".robust" if math.isfinite(fit.fit.get("cfi.robust", math.nan)) else ""
    return (str(group), fit.n, fit.fit["chisq.scaled" if scaled else "chisq"], int(fit.fit["df"]),
            fit.fit[f"cfi{robust}"], fit.fit[f"rmsea{robust}"], fit.fit["srmr"])  # fmt: skip


def _at_once(moments: Moments, rows: Sequence[Row], groups: Sequence[str], shared: dict[str, Any]) -> Configural:
    """All groups in stacks; those whose search did not settle alone."""
    table = complete(rows, 1, Options(std_lv=True, mean_structure=True))
    free = [c.free for c in table.cells if c.free >= 0]
    own = [moments.groups[g] for g in groups]
    start = _pooled_start(moments, rows, own, shared)
    if start is None or len(set(free)) < len(free):
        slow: dict[str, Confirmation] = {}
        failed: dict[str, str] = {}
        for g in groups:
            _alone(moments, rows, g, shared, slow, failed)
        return _gathered(slow, failed)
    sizes, means, covs = (np.array([getattr(g, name) for g in own], dtype=float) for name in ("n", "mean", "cov"))
    possible = np.linalg.eigvalsh(covs)[:, 0] > 0
    covs[~possible] = np.eye(covs.shape[1])
    found = fit_many(table.blocks()[0], sizes, means, covs, start)
    settled = possible & found.converged & (found.singular >= SINGULAR)
    return _joined(moments, rows, groups, shared, table, found, settled)


def _joined(
    moments: Moments, rows: Sequence[Row], groups: Sequence[str], shared: dict[str, Any], table: Table,
    found: ManyFits, settled: npt.NDArray[np.bool_],
) -> Configural:  # fmt: skip
    """What was found at once, with the other groups in their places."""
    others: dict[str, Confirmation] = {}
    failed: dict[str, str] = {}
    for k in np.flatnonzero(~settled).tolist():
        _alone(moments, rows, groups[k], shared, others, failed)
    kept = [k for k, g in enumerate(groups) if g not in failed]
    theta, covariances = found.theta, found.covariance
    fits, improper = [], []
    bad = _improper(table, theta)
    for k in kept:
        g = groups[k]
        if g in others:
            estimated = others[g].internal.estimated
            assert estimated.covariance is not None
            theta[k], covariances[k] = estimated.solution.theta, estimated.covariance
            fits.append(_fit_row(g, others[g]))
            improper += [str(g)] * (not others[g].proper)
            continue
        values = (found.chisq[k], found.df, found.cfi[k], found.rmsea[k], found.srmr[k])
        fits.append((str(g), round(moments.groups[g].n), *values))
        improper += [str(g)] * bool(bad[k])
    return Configural(
        tuple(groups[k] for k in kept), numbers_of(table), theta[kept], covariances[kept],
        pd.DataFrame(fits, columns=FITS), tuple(improper), "ML", failed,
    )  # fmt: skip


def _pooled_start(
    moments: Moments, rows: Sequence[Row], own: Sequence[GroupMoments], shared: dict[str, Any]
) -> Floats | None:
    """The solution for the mean covariances of all groups; None where there is none."""
    n = sum(g.n for g in own)
    mean, cov = sum(g.n * g.mean for g in own) / n, sum(g.n * g.cov for g in own) / n
    pooled = replace(moments, groups={"pooled": GroupMoments(n, np.asarray(cov), np.asarray(mean))}, answers=())
    found: dict[str, Confirmation] = {}
    _alone(pooled, rows, "pooled", shared | {"cluster": None, "weight": None, "estimator": "ML"}, found, {})
    return found["pooled"].internal.estimated.solution.theta if found else None


def _improper(table: Table, theta: Floats) -> Floats:
    """Which groups have a negative variance or factors whose correlations are not positive definite."""
    variances = [c.free for c in table.cells if c.op == "~~" and c.lhs == c.rhs and c.free >= 0]
    bad = (theta[:, variances] < -1e-8).any(axis=1)
    m = len(table.factors)
    phi = np.tile(np.eye(m), (len(theta), 1, 1))
    for c in table.cells:
        if c.matrix == Matrix.FACTOR_COV and c.row != c.column:
            phi[:, c.row, c.column] = phi[:, c.column, c.row] = theta[:, c.free] if c.free >= 0 else c.value
    return np.asarray(bad | (np.linalg.eigvalsh(phi)[:, 0] < -1e-6))
