"""Ordered answers of many institutions: each one's model is fitted, its loadings kept, its covariances forgotten."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.benchmark.content import Ordinal
from sqmodel.errors import SqmodelError, SqmodelWarning
from sqmodel.measurement.confirmatory import Confirmation, confirm
from sqmodel.measurement.moments import Moments
from sqmodel.numerics.random_effects import pool_effects

ORDINAL = ["factor", "item", "kind", "institutions", "n", "value", "se", "low", "high", "tau", "i2", "q", "df",
           "pvalue"]  # fmt: skip
_ROWS = ["institution", "n", "chisq", "df", "cfi", "rmsea"]


@dataclass(frozen=True)
class PooledOrdinal:
    """What the institutions' models have in common.

    Attributes
    ----------
    institutions : int
    n : int
    fits : DataFrame
        A row an institution: institution, n, chisq (scaled and shifted), df, cfi, rmsea (robust where there are).
    table : DataFrame
        See ORDINAL. The first row, of kind ``fit``: value is the median CFI, q the sum of the chi-squares, df that of
        their degrees of freedom with the p-value. Then a row a standardised loading: mean over institutions with its
        interval, tau (standard deviation between institutions), I2, Cochran's Q with df and p-value.
    failed : dict
        Institutions without a model, and why.
    notes : tuple of str
    """

    institutions: int
    n: int
    fits: pd.DataFrame
    table: pd.DataFrame
    failed: dict[str, str]
    notes: tuple[str, ...]


def pool_ordinal(
    ordinals: Iterable[tuple[str, Ordinal]], structure: Mapping[str, Sequence[str]], *, level: float = 0.95
) -> PooledOrdinal:
    """Do ordered answers have the same loadings in all institutions?

    To each institution's thresholds and polychoric correlations the configural model is fitted (WLSMV: weights from the
    diagonal, errors and statistic from the whole of their covariance), standardised loadings and their errors are kept,
    and the rest is let go before the next is asked for: 26 items with seven categories have a covariance of 1.9 MB.

    The institutions are independent, so that each one's chi-square, scaled and shifted to mean and variance of its
    degrees of freedom (Asparouhov & Muthen 2010), adds up, as do these: the sum tests the configural model of all of
    them at once. It is not the statistic of one joint fit, whose scaling would be common to all, but has the same
    reference distribution. Loadings are pooled as random effects (restricted maximum likelihood); tau and I2 tell how
    much they differ between institutions beyond sampling.

    Parameters
    ----------
    ordinals : iterable of (institution, Ordinal)
        May be a generator: one is held at a time.
    structure : mapping
        Items by dimension.
    level : float
        Of the intervals.
    """
    rows: list[tuple[object, ...]] = []
    values: list[np.ndarray] = []
    errors: list[np.ndarray] = []
    failed: dict[str, str] = {}
    for code, ordinal in ordinals:
        fit = _fitted(code, ordinal, structure, failed)
        # The loop's own name would keep it alive while the next one is read.
        del ordinal
        if fit is None:
            continue
        rows.append(_row(code, fit))
        loadings = fit.parameters[fit.parameters["op"] == "=~"]
        values.append(loadings["std"].to_numpy(copy=True))
        errors.append(loadings["std_se"].to_numpy(copy=True))
        del fit, loadings
    fits = pd.DataFrame(rows, columns=_ROWS)
    table = _table(fits, structure, np.array(values), np.array(errors), level) if rows else _none()
    notes = () if rows else ("the model of ordered answers has a solution in no institution",)
    return PooledOrdinal(len(fits), int(fits["n"].sum()), fits, table, failed, notes)


def _fitted(
    code: str, ordinal: Ordinal, structure: Mapping[str, Sequence[str]], failed: dict[str, str]
) -> Confirmation | None:
    """One institution's model; None, with the reason in `failed`, where there is none."""
    items = [i for own in structure.values() for i in own]
    gone = [i for i in items if i not in ordinal.items]
    if gone:
        failed[code] = f"the thresholds of {', '.join(gone[:5])}{', ...' * (len(gone) > 5)} are withheld"
        return None
    categories = dict(zip(ordinal.items, ordinal.categories, strict=True))
    moments = Moments(ordinal.items, {code: ordinal.moments}, categories)
    try:
        with warnings.catch_warnings():
            # Who has no proper solution is told of below.
            warnings.simplefilter("ignore", SqmodelWarning)
            fit = confirm(moments, structure, std_lv=True)
    except (SqmodelError, np.linalg.LinAlgError) as error:
        failed[code] = str(error)
        return None
    if fit.converged and fit.identified:
        return fit
    failed[code] = "the model did not converge" if not fit.converged else "the model is not identified"
    return None


def _row(code: str, fit: Confirmation) -> tuple[object, ...]:
    robust = ".robust" if "cfi.robust" in fit.fit else ".scaled"
    values = (fit.fit["chisq.scaled"], int(fit.fit["df"]), fit.fit[f"cfi{robust}"], fit.fit[f"rmsea{robust}"])
    return (code, fit.n, *values)


def _table(
    fits: pd.DataFrame, structure: Mapping[str, Sequence[str]], values: np.ndarray, errors: np.ndarray, level: float
) -> pd.DataFrame:
    count, n, nan = len(fits), int(fits["n"].sum()), np.nan
    chisq, df = float(fits["chisq"].sum()), int(fits["df"].sum())
    rows = [("", "", "fit", count, n, float(fits["cfi"].median()), nan, nan, nan, nan, nan, chisq, df,
             float(stats.chi2.sf(chisq, df)))]  # fmt: skip
    pairs = [(factor, item) for factor, own in structure.items() for item in own]
    for k, (factor, item) in enumerate(pairs):
        if count < 2:
            wide = stats.norm.isf((1 - level) / 2) * errors[0, k]
            value, se = float(values[0, k]), float(errors[0, k])
            rows.append((factor, item, "loading", 1, n, value, se, value - wide, value + wide, nan, nan, nan, 0, nan))
            continue
        found = pool_effects(values[:, k], errors[:, k], level=level)
        rows.append(
            (factor, item, "loading", count, n, float(found.coefficients[0]), float(found.se[0]), float(found.low[0]),
             float(found.high[0]), float(np.sqrt(found.tau2)), found.i2, found.q, found.df, found.pvalue)
        )  # fmt: skip
    return pd.DataFrame(rows, columns=ORDINAL)


def _none() -> pd.DataFrame:
    return pd.DataFrame(columns=ORDINAL)
