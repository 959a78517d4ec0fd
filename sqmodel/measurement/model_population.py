"""A population for a measurement model: a value for every parameter, written, given or assumed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sqmodel.errors import InputError
from sqmodel.measurement.confirmatory import ESTIMATORS
from sqmodel.measurement.model_table import Options, Table, complete
from sqmodel.measurement.simulation import Simulation
from sqmodel.measurement.syntax import Row, parse_model
from sqmodel.numerics.sem.model import Matrix
from sqmodel.numerics.sem.power import symmetric_cuts
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.simple_population import SimplePopulation

Floats = npt.NDArray[np.float64]
Key = tuple[str, str, str]
Model = str | Mapping[str, Sequence[str]] | Instrument | SimplePopulation

LOADING, FACTOR_CORRELATION = 0.7, 0.6
"""Of populations given by their items alone; those of `simple_population`."""
CATEGORIES = 5


@dataclass(frozen=True)
class Population:
    """A measurement model with a value for every parameter.

    Attributes
    ----------
    table : Table
        The model as it is analysed, factors with unit variance.
    values : dict
        Of every loading, variance and covariance by (lhs, op, rhs) of the table.
    sigma : array, p x p
        Covariances of the items, or of the normal variables behind them.
    cuts : tuple of array
        Thresholds of every item; empty for continuous answers.
    estimator : str
    """

    table: Table
    values: dict[Key, float]
    sigma: Floats
    cuts: tuple[Floats, ...]
    estimator: str

    def simulation(self) -> Simulation:
        """The population's own model in its own samples.

        Raises
        ------
        ComputationError
            The values do not determine every parameter.
        """
        start = np.zeros(self.table.q)
        for cell in self.table.cells:
            if cell.free >= 0:
                start[cell.free] = self.values.get(cell[:3], 0.0)
        simulation = Simulation(self.table, start, self.estimator, self.sigma, np.zeros(len(self.sigma)), self.cuts)
        simulation.check()
        return simulation


def population_of(
    model: Model,
    *,
    loadings: float | Sequence[float] | Mapping[str, float] | None = None,
    factor_correlation: float | npt.ArrayLike | None = None,
    categories: int | None = None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None = None,
    estimator: str | None = None,
) -> Population:
    """The population that `plan_sample` draws from; see there.

    Raises
    ------
    InputError
        A population that cannot be.
    """
    known = [name for names in ESTIMATORS.values() for name in names]
    if estimator not in (None, *known):
        raise InputError("population", [f"expected an estimator ({', '.join(known)}), found {estimator!r}"])
    if isinstance(model, SimplePopulation | str):
        given = {"loadings": loadings, "factor_correlation": factor_correlation}
        surplus = [name for name, value in given.items() if value is not None]
        if surplus:
            kind = "a model's text" if isinstance(model, str) else "a SimplePopulation"
            raise InputError(
                "population", [f"expected the values of {kind} alone, found {name} as well" for name in surplus]
            )
    if isinstance(model, str):
        written = parse_model(model)
        _check_text(written)
    elif isinstance(model, SimplePopulation):
        written = _written(model.instrument.structure(), model.loadings[_by_dimension(model)], model.factor_correlation)
    else:
        structure = model.structure() if isinstance(model, Instrument) else model
        written = _written(
            structure, LOADING if loadings is None else loadings,
            FACTOR_CORRELATION if factor_correlation is None else factor_correlation,
        )  # fmt: skip
    items = _items(written)
    cuts = _cuts(model, items, categories, thresholds, estimator)
    chosen = estimator or ("WLSMV" if cuts else "ML")
    kind = "ordered" if cuts else "continuous"
    if chosen not in ESTIMATORS[kind]:
        raise InputError(
            "population",
            [f"expected an estimator for {kind} answers ({', '.join(ESTIMATORS[kind])}), found {chosen!r}"],
        )
    options = Options(
        std_lv=True, categories={i: len(c) + 1 for i, c in zip(items, cuts, strict=True)} if cuts else {},
    )  # fmt: skip
    table = complete([row._replace(fixed=(), start=()) for row in written], 1, options)
    values, sigma = _completed(table, written)
    return Population(table, values, sigma, cuts, chosen)


def _items(rows: Sequence[Row]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r.rhs for r in rows if r.op == "=~"))


def _check_text(rows: Sequence[Row]) -> None:
    """A model's text must give a value to everything it names, and nothing but loadings and covariances."""
    factors = {r.lhs for r in rows if r.op == "=~"}
    problems = []
    for row in rows:
        written = f"'{row.lhs} {row.op} {row.rhs}'".replace("~1 ", "~ 1")
        if row.op not in ("=~", "~~"):
            problems.append(f"expected loadings and covariances only, found {written}")
        elif row.op == "=~" and row.rhs in factors:
            problems.append(f"expected factors that items measure, found a factor of factors in {written}")
        elif len(row.fixed) != 1 or math.isnan(row.fixed[0]):
            problems.append(f"expected one number, the population's value, in {written}, found {len(row.fixed)}")
        elif row.lhs == row.rhs and row.lhs in factors and row.fixed[0] != 1:
            problems.append(f"expected factors of variance 1, found {row.fixed[0]:g} in {written}")
    if problems:
        raise InputError("population", problems, "write the model as f =~ 0.7*x1 + 0.6*x2 and f ~~ 0.3*g")


def _by_dimension(population: SimplePopulation) -> npt.NDArray[np.intp]:
    """The order of the instrument's items, dimension after dimension."""
    return np.argsort(population.membership, kind="stable")


def _written(
    structure: Mapping[str, Sequence[str]],
    loadings: float | Sequence[float] | Floats | Mapping[str, float],
    correlation: float | npt.ArrayLike,
) -> tuple[Row, ...]:
    """The relations of a mapping, with the population's values as if they had been written."""
    rows = parse_model("\n".join(f"{factor} =~ {' + '.join(members)}" for factor, members in structure.items()))
    factors = list(structure)
    problems = [f"expected factors that items measure, found {r.rhs} in {r.lhs}" for r in rows if r.rhs in factors]
    if isinstance(loadings, Mapping):
        problems += [f"expected a loading of {r.rhs}, found none" for r in rows if r.rhs not in loadings]
        values = [float(loadings.get(r.rhs, math.nan)) for r in rows]
    else:
        given = np.atleast_1d(np.asarray(loadings, dtype=float))
        if given.shape not in ((1,), (len(rows),)):
            problems.append(f"expected one loading or {len(rows)}, found {given.size}")
            given = np.zeros(1)
        values = [float(x) for x in np.broadcast_to(given, len(rows))]
    m = len(factors)
    phi = np.asarray(correlation, dtype=float)
    if phi.ndim == 0:
        phi = np.full((m, m), float(phi)) + (1 - float(phi)) * np.eye(m)
    if phi.shape != (m, m) or not np.allclose(phi, phi.T) or not np.allclose(np.diag(phi), 1):
        problems.append(
            f"expected a number or a symmetric {m} x {m} matrix with diagonal 1 as factor_correlation, "
            f"found {np.asarray(correlation).tolist()}"
        )
    if problems:
        raise InputError("population", problems)
    out = [row._replace(fixed=(value,)) for row, value in zip(rows, values, strict=True)]
    pairs = [(a, b) for k, a in enumerate(factors) for b in factors[k + 1 :]]
    out += [Row(a, "~~", b, (float(phi[factors.index(a), factors.index(b)]),), (), (), 0) for a, b in pairs]
    return tuple(out)


def _cuts(
    model: Model,
    items: Sequence[str],
    categories: int | None,
    thresholds: Sequence[float] | Mapping[str, Sequence[float]] | None,
    estimator: str | None,
) -> tuple[Floats, ...]:
    """Thresholds of every item; none for continuous answers."""
    if estimator in ESTIMATORS["continuous"] and categories is None and thresholds is None:
        return ()
    if thresholds is None and categories is None:
        if isinstance(model, SimplePopulation):
            return tuple(model.thresholds[_by_dimension(model)])
        if estimator is None:
            return ()
        if isinstance(model, Instrument):
            return tuple(symmetric_cuts(model.scale_of(i).width + 1) for i in items)
    if thresholds is None:
        found = dict.fromkeys(items, symmetric_cuts(max(categories or CATEGORIES, 2)))
    elif isinstance(thresholds, Mapping):
        found = {i: np.asarray(thresholds[i], dtype=float) for i in items if i in thresholds}
    else:
        found = dict.fromkeys(items, np.asarray(thresholds, dtype=float))
    problems = [f"expected thresholds of {i}, found none" for i in items if i not in found]
    if categories is not None and categories < 2:
        problems.append(f"expected at least 2 categories, found {categories}")
    for cut in {tuple(c.tolist()): c for c in found.values()}.values():
        if not len(cut) or (np.diff(cut) <= 0).any() or not np.isfinite(cut).all():
            problems.append(f"expected increasing thresholds, found {cut.tolist()}")
        elif thresholds is not None and categories is not None and len(cut) != categories - 1:
            problems.append(f"expected {categories - 1} thresholds for {categories} categories, found {len(cut)}")
    if problems:
        raise InputError("population", problems)
    return tuple(found[i] for i in items)


def matrices(table: Table, values: Iterable[float]) -> dict[Matrix, Floats]:
    """Loadings and covariances of factors and of residuals from a value a cell; diagonals are 1, whatever theirs."""
    p, m = len(table.items), len(table.factors)
    out = {Matrix.LOADING: np.zeros((p, m)), Matrix.FACTOR_COV: np.eye(m), Matrix.RESIDUAL_COV: np.eye(p)}
    for cell, value in zip(table.cells, values, strict=True):
        if cell.matrix is Matrix.LOADING:
            out[cell.matrix][cell.row, cell.column] = value
        elif cell.matrix in out and cell.row != cell.column:
            own = out[cell.matrix]
            own[cell.row, cell.column] = own[cell.column, cell.row] = value
    return out


def _completed(table: Table, written: Sequence[Row]) -> tuple[dict[Key, float], Floats]:
    """Values of all loadings, variances and covariances, and the covariance matrix they imply."""
    given = {(r.lhs, r.op, r.rhs): r.fixed[0] for r in written}
    given |= {(r.rhs, r.op, r.lhs): r.fixed[0] for r in written if r.op == "~~"}
    places = matrices(table, (given.get(cell[:3], 0.0) for cell in table.cells))
    L, phi, residual = (places[kind] for kind in (Matrix.LOADING, Matrix.FACTOR_COV, Matrix.RESIDUAL_COV))
    common = L @ phi @ L.T
    own = [given.get((i, "~~", i), math.nan) for i in table.items]
    rest = np.where(np.isnan(own), 1 - np.diag(common), own)
    np.fill_diagonal(residual, rest)
    _check_values(table, phi, common, np.array(own), rest, residual)
    values = {c[:3]: float(places[c.matrix][c.row, c.column]) for c in table.cells if c.matrix in places}
    return values, common + residual


def _check_values(table: Table, phi: Floats, common: Floats, own: Floats, rest: Floats, residual: Floats) -> None:
    problems = []
    lowest = float(np.linalg.eigvalsh(phi)[0])
    if not lowest > 0:
        problems.append(
            f"expected a positive definite correlation matrix of the factors, found a smallest eigenvalue of "
            f"{lowest:.3f}"
        )
    for i, item in enumerate(table.items):
        if math.isnan(own[i]) and not rest[i] > 0:
            problems.append(f"expected a communality below 1, found {common[i, i]:.3f} for {item}")
        elif not math.isnan(own[i]) and not own[i] > 0:
            problems.append(f"expected a residual variance above 0, found {own[i]:g} for {item}")
        elif not math.isnan(own[i]) and table.options.categories and abs(own[i] + common[i, i] - 1) > 1e-6:
            problems.append(
                f"expected ordered items with a variance of 1 behind them, found {own[i] + common[i, i]:g} for {item}"
            )
    if not problems and not np.linalg.eigvalsh(residual)[0] > 0:
        problems.append("expected residual covariances with a positive definite matrix, found one that is not")
    if problems:
        raise InputError("population", problems)
