"""Case mix: what institutions would score if all served the same clients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.content import Submission
from sqmodel.numerics.random_effects import Pooled, pool_effects

Floats = npt.NDArray[np.float64]
PER_TERM = 10
"""Institutions for each term of the adjustment."""


@dataclass(frozen=True)
class Adjustment:
    """Scores as if all institutions had the same case mix.

    Attributes
    ----------
    terms : DataFrame
        term, estimate, se, low, high.
    adjusted, se : array, institutions
        NaN where an institution's case mix is not known.
    pooled : Pooled or None
        The meta-regression; None where nothing is adjusted for.
    hat : array, institutions x institutions known
        What the adjustment takes off a score for each point of the others' scores; no columns where nothing is.
    known : array of bool, institutions
    notes : tuple of str
    """

    terms: pd.DataFrame
    adjusted: Floats
    se: Floats
    pooled: Pooled | None
    hat: Floats
    known: npt.NDArray[np.bool_]
    notes: tuple[str, ...] = ()

    def errors(self, errors: Floats, rng: np.random.Generator) -> Floats:
        """Draws of the adjusted scores' errors, from draws of the scores' own, shape (draws, institutions).

        The coefficients are estimated from the same scores: they err with the sampling errors and with the true
        differences between institutions, which are drawn too.
        """
        if self.pooled is None:
            return errors
        true = rng.standard_normal(errors[:, self.known].shape) * np.sqrt(self.pooled.tau2)
        return np.asarray(errors - (errors[:, self.known] + true) @ self.hat.T)


TERMS = ["term", "estimate", "se", "low", "high"]


def adjust_for_case_mix(
    scores: Floats, errors: Floats, context: pd.DataFrame, variables: Sequence[str], *, level: float = 0.95
) -> Adjustment:
    """What would institutions score with an average case mix?

    Parameters
    ----------
    scores, errors : array, institutions
        No missing values.
    context : DataFrame, institutions x (variable, value)
        Shares of the respondents; NaN where not known.
    variables : sequence of str
        In the order of their importance: with fewer than ten institutions a term the last ones are left out.
    level : float

    Notes
    -----
    Meta-regression (`pool_effects`) of the scores on the shares, the most frequent value of each variable left out,
    the others centred at the institutions' mean; adjusted = score - centred shares times coefficients. A variable that
    fewer than three of four institutions tell is left out.
    """
    n = len(scores)
    nothing = pd.DataFrame({"term": pd.Series(dtype=str), **{c: pd.Series(dtype=float) for c in TERMS[1:]}})
    columns, known, notes = _terms(context, variables, n)
    if not columns:
        return Adjustment(nothing, scores.copy(), errors.copy(), None, np.zeros((n, 0)), np.ones(n, dtype=bool), notes)
    x = context.loc[:, columns].to_numpy(float)
    x = x - x[known].mean(axis=0)
    pooled = pool_effects(scores[known], errors[known], covariates=x[known], level=level)
    b = pooled.coefficients[1:]
    design = np.column_stack([np.ones(known.sum()), x[known]])
    weighted = pooled.weights[:, None] * design
    solved = np.linalg.solve(design.T @ weighted, weighted.T)[1:]
    hat = x @ solved
    adjusted = np.where(known, scores - x @ b, np.nan)
    se = np.full(n, np.nan)
    se[known] = _adjusted_errors(errors[known], hat[known], pooled.tau2)
    bounds = (pooled.coefficients, pooled.se, pooled.low, pooled.high)
    terms = pd.DataFrame({"term": ["=".join(c) for c in columns],
                          **{k: v[1:] for k, v in zip(TERMS[1:], bounds, strict=True)}})  # fmt: skip
    return Adjustment(terms, adjusted, se, pooled, np.nan_to_num(hat), known, notes)


def _adjusted_errors(errors: Floats, hat: Floats, tau2: float) -> Floats:
    """Standard errors of e - H (e + u), the true differences u having the variance tau2."""
    v = errors**2
    variance = v * (1 - 2 * np.diag(hat)) + hat**2 @ v + tau2 * (hat**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(variance, 0.0)))


def _terms(
    context: pd.DataFrame, variables: Sequence[str], n: int
) -> tuple[list[tuple[str, str]], npt.NDArray[np.bool_], tuple[str, ...]]:
    """Columns that are adjusted for, which institutions tell all of them, and what was left out."""
    columns: list[tuple[str, str]] = []
    notes: list[str] = []
    known = np.ones(n, dtype=bool)
    for variable in variables if n else ():
        own = [(variable, str(c[1])) for c in context.columns if c[0] == variable]
        told = context[own].notna().all(axis=1).to_numpy() if own else np.zeros(n, dtype=bool)
        if told.mean() < 0.75:
            notes.append(f"{variable} is not adjusted for: {int(told.sum())} of {n} institutions tell its shares")
            continue
        shares = context.loc[told, own]
        own = [c for c in own if c != shares.mean().idxmax() and shares[c].std() > 1e-9]
        if (known & told).sum() < PER_TERM * (len(columns) + len(own)):
            notes.append(f"{variable} is not adjusted for: {int((known & told).sum())} institutions are too few for "
                         f"{len(columns) + len(own)} terms")  # fmt: skip
            continue
        columns, fewer = _independent(context.loc[known & told], columns, own)
        notes += [f"{'='.join(c)} is not adjusted for: other shares determine it" for c in fewer]
        known &= told
    return columns, known, tuple(notes)


def _independent(
    shares: pd.DataFrame, columns: list[tuple[str, str]], own: list[tuple[str, str]]
) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The columns with those of `own` that they do not determine, and those that they do."""
    kept, fewer = list(columns), list[tuple[str, str]]()
    for column in own:
        x = shares.loc[:, [*kept, column]].to_numpy(float)
        x = x - x.mean(axis=0)
        size = np.sqrt((x**2).sum(axis=0))
        good = (size > 0).all() and np.linalg.matrix_rank(x / np.where(size > 0, size, 1), tol=1e-6) == x.shape[1]
        (kept if good else fewer).append(column)
    return kept, fewer


def context_shares(submissions: Sequence[Submission], variables: Sequence[str]) -> pd.DataFrame:
    """Shares of the respondents by variable and value, institutions x (variable, value).

    A value that an institution does not tell is 0 where its shares of the variable add up to one, else not known.
    """
    rows = [{(c.variable, c.value): c.share for c in s.context if c.variable in variables} for s in submissions]
    columns = sorted({c for row in rows for c in row}, key=lambda c: (list(variables).index(c[0]), c[1]))
    found = pd.DataFrame(
        [[row.get(c, np.nan) for c in columns] for row in rows], columns=pd.MultiIndex.from_tuples(columns)
        if columns else None, index=range(len(rows)), dtype=float,
    )  # fmt: skip
    for variable in dict.fromkeys(c[0] for c in columns):
        own = [c for c in columns if c[0] == variable]
        whole = found[own].sum(axis=1) > 0.999
        found.loc[whole, own] = found.loc[whole, own].fillna(0.0)
    return found
