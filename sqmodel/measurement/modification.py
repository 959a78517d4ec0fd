"""What would change if a parameter were freed or an equality released: score tests."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError
from sqmodel.measurement.model_table import Cell, Table
from sqmodel.measurement.standardised import standardised
from sqmodel.numerics.sem import curvature
from sqmodel.numerics.sem.model import Block, Matrix
from sqmodel.numerics.sem.solve import gradient_of, information_of

if TYPE_CHECKING:
    from sqmodel.measurement.confirmatory import Fitted

Floats = npt.NDArray[np.float64]
COLUMNS = ["lhs", "op", "rhs", "group", "mi", "pvalue", "epc", "epc_std"]


def modification_indices(fitted: Fitted) -> pd.DataFrame:
    """One row a parameter that is fixed at zero: cross-loadings, residual covariances, covariances of factors.

    The score test with one degree of freedom and the expected change (Sorbom 1989), from the expected information (the
    observed one for incomplete answers), as in lavaan. For ordered items the test counts n - 1 as the chi-square does,
    and the expected change is the score over its variance; lavaan 0.6-14 multiplies the one by ((n - 1) / n)^2 and the
    other by (n - 1) / n, of which there is no account.

    Raises
    ------
    ComputationError
        More parameters, with those that would be freed, than one matrix holds.
    """
    extended, theta = _extended(fitted)
    gradient, variance, first = _scores(fitted, extended, theta)
    n = fitted.estimated.n - (fitted.table.groups if fitted.moments.categories else 0)
    rows = []
    labels = list(fitted.moments.groups)
    values = [_unit(block, theta, first) for block in extended.blocks()]
    position = [0] * extended.groups
    for cell in extended.cells:
        g = cell.group
        k, position[g] = position[g], position[g] + 1
        if cell.free < first:
            continue
        slope, spread = gradient[cell.free], variance[cell.free - first]
        good = spread > 1e-10
        mi = n * slope**2 / spread if good else math.nan
        epc = -slope / spread if good else math.nan
        rows.append(
            (cell.lhs, cell.op, cell.rhs, str(labels[g]), mi, stats.chi2.sf(mi, 1), epc, epc * float(values[g][k]))
        )
    table = pd.DataFrame(rows, columns=COLUMNS)
    return table.sort_values("mi", ascending=False, ignore_index=True)


def score_tests(fitted: Fitted) -> pd.DataFrame:
    """One row an equality constraint: what the parameter of a later group, released alone, would gain.

    Raises
    ------
    ComputationError
        More parameters than one matrix holds.
    """
    table, theta = fitted.table, fitted.estimated.solution.theta
    released = table.released()
    old = np.array([c.free for c in table.cells if c.free >= 0])
    whole = theta[old]
    samples = fitted.estimated.samples
    gradient = gradient_of(released.blocks(), samples, whole)
    information = _information(fitted, released, whole, "score tests")
    to = np.zeros((len(old), table.q))
    to[np.arange(len(old)), old] = 1
    left = information @ to
    rest = np.diag(information) - np.einsum("ij,ji->i", left, np.linalg.solve(to.T @ left, left.T))
    n, labels, rows = fitted.estimated.n, list(fitted.moments.groups), []
    slots = [c for c in table.cells if c.free >= 0]
    firsts = set(np.unique(old, return_index=True)[1].tolist())
    for k, cell in enumerate(slots):
        if k in firsts:
            continue
        mi = n * gradient[k] ** 2 / rest[k] if rest[k] > 1e-10 else math.nan
        rows.append((cell.lhs, cell.op, cell.rhs, str(labels[cell.group]), mi, stats.chi2.sf(mi, 1),
                     -gradient[k] / rest[k] if rest[k] > 1e-10 else math.nan))  # fmt: skip
    found = pd.DataFrame(rows, columns=COLUMNS[:-1])
    return found.sort_values("mi", ascending=False, ignore_index=True)


def _extended(fitted: Fitted) -> tuple[Table, Floats]:
    """The table with every fixed zero as a parameter at its end, and the estimates with zeros for them."""
    table = fitted.table
    q, cells = table.q, list(table.cells)
    used = {(c.group, c.matrix, c.row, c.column) for c in cells}
    outer = [j for j, f in enumerate(table.factors) if not any(c.rhs == f and c.op == "=~" for c in cells)]
    candidates: list[tuple[str, str, str, Matrix, int, int]] = []
    for j, factor in enumerate(table.factors):
        if any(c.matrix == Matrix.LOADING and c.column == j for c in cells):
            candidates += [(factor, "=~", item, Matrix.LOADING, i, j) for i, item in enumerate(table.items)]
    candidates += _pairs(table.items, range(len(table.items)), Matrix.RESIDUAL_COV)
    candidates += _pairs(table.factors, outer, Matrix.FACTOR_COV)
    for g in range(table.groups):
        for lhs, op, rhs, matrix, row, column in candidates:
            if (g, matrix, row, column) not in used:
                cells.append(Cell(lhs, op, rhs, g, matrix, row, column, q, 0.0, math.nan, ""))
                q += 1
    theta = np.concatenate([fitted.estimated.solution.theta, np.zeros(q - table.q)])
    return replace(table, cells=tuple(cells), q=q), theta


def _pairs(names: Sequence[str], places: Sequence[int], matrix: Matrix) -> list[tuple[str, str, str, Matrix, int, int]]:
    places = list(places)
    return [(names[a], "~~", names[b], matrix, b, a) for k, a in enumerate(places) for b in places[k + 1 :]]


def _scores(fitted: Fitted, extended: Table, theta: Floats) -> tuple[Floats, Floats, int]:
    """Gradient of all parameters, and the variance of the added ones' given the model's."""
    samples, blocks, first = fitted.estimated.samples, extended.blocks(), fitted.table.q
    gradient = gradient_of(blocks, samples, theta)
    information = _information(fitted, extended, theta, "modification indices")
    inner, cross = information[:first, :first], information[:first, first:]
    variance = np.diag(information)[first:] - np.einsum("ij,ij->j", cross, np.linalg.solve(inner, cross))
    return gradient, variance, first


def _information(fitted: Fitted, table: Table, theta: Floats, purpose: str) -> Floats:
    """Of one respondent by the parameters of `table`; the observed one for incomplete answers."""
    observed = bool(fitted.moments.samples)
    found = information_of(table.blocks(), fitted.estimated.samples, theta, observed=observed).dense
    if found is None:
        raise ComputationError(
            f"expected at most {curvature.DENSE} parameters for {purpose}, with those they would add, found {table.q}; "
            "fit fewer groups at a time"
        )
    return found


def _unit(block: Block, theta: Floats, first: int) -> Floats:
    """What a change of each added cell is worth in standard deviations: its slope at zero, by the complex step."""
    stepped = theta.astype(complex)
    stepped[first:] += 1e-30j
    # An added cell is zero, so that the standard deviations' own changes are of second order.
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(standardised(block, stepped).imag / 1e-30, dtype=float)
