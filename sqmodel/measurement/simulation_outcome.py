"""What a simulation gave: its estimates against the values of the population."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.measurement.confirmatory import SINGULAR
from sqmodel.measurement.model_population import Key, Population
from sqmodel.measurement.model_table import Cell
from sqmodel.measurement.simulation import Simulation, proper
from sqmodel.numerics.threads import one_blas_thread

Floats = npt.NDArray[np.float64]

KINDS = ("loading", "factor correlation", "residual covariance", "residual variance")
TESTED = KINDS[:3]
"""Kinds whose power counts: that a residual variance is not zero is no finding."""


class Outcome(NamedTuple):
    """What the replications of one size gave; a row a replication, NaN where it failed."""

    n: int
    keys: list[Key]
    estimate: Floats
    se: Floats
    pvalue: Floats
    converged: npt.NDArray[np.bool_]
    proper: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, simulation: Simulation, n: int, replications: int, rng: np.random.Generator) -> Outcome:
        """Run the simulation."""
        keys = [c[:3] for c in simulation.table.cells if c.free >= 0 and _kind(c, simulation.table.items)]
        estimate, se = (np.full((replications, len(keys)), np.nan) for _ in range(2))
        pvalue = np.full(replications, np.nan)
        converged, good = (np.zeros(replications, dtype=bool) for _ in range(2))
        with one_blas_thread(), np.errstate(all="ignore"):
            for r, found in enumerate(simulation.fits(n, replications, rng)):
                if found is None:
                    continue
                table, fitted = found
                place = {c[:3]: c.free for c in table.cells if c.free >= 0}
                at = [place[k] for k in keys]
                estimate[r], se[r] = fitted.solution.theta[at], fitted.se[at]
                pvalue[r] = fitted.fit.get("pvalue.scaled", fitted.fit["pvalue"])
                converged[r] = fitted.solution.converged and not fitted.singular < SINGULAR
                good[r] = converged[r] and proper(fitted)
        return cls(n, keys, estimate, se, pvalue, converged, good)

    def shares(self, alpha: float) -> dict[str, float]:
        """Of replications that converged, were proper and, among the converged, rejected the model."""
        tested = self.pvalue[self.converged & np.isfinite(self.pvalue)]
        rejected = float((tested < alpha).mean()) if len(tested) else math.nan
        return {
            "n": int(self.n), "replications": len(self.pvalue), "converged": float(self.converged.mean()),
            "proper": float(self.proper.mean()), "rejected": rejected,
        }  # fmt: skip

    def parameters(self, population: Population, alpha: float) -> pd.DataFrame:
        """Estimates of converged replications against the population, a row a parameter."""
        z = stats.norm.isf(alpha / 2)
        cells = {c[:3]: c for c in population.table.cells}
        rows = []
        for key, estimates, errors in zip(self.keys, self.estimate.T, self.se.T, strict=True):
            kind, value = _kind(cells[key], population.table.items), population.values.get(key, 0.0)
            used = self.converged & (errors > 0)
            est, se = estimates[used], errors[used]
            sd = float(est.std(ddof=1)) if len(est) > 1 else math.nan
            mean, error = (float(est.mean()), float(se.mean())) if len(est) else (math.nan, math.nan)
            covered = float((np.abs(est - value) <= z * se).mean()) if len(est) else math.nan
            # Nothing can be found where nothing is: the rejections of a true zero are no power.
            counts = kind in TESTED and value != 0 and len(est)
            rows.append({
                "n": int(self.n), "kind": kind, "lhs": key[0], "op": key[1], "rhs": key[2], "value": value,
                "mean": mean, "sd": sd, "se": error, "bias": mean / value - 1 if value else mean,
                "se_bias": error / sd - 1 if sd else math.nan, "coverage": covered,
                "power": float((np.abs(est) > z * se).mean()) if counts else math.nan,
            })  # fmt: skip
        return pd.DataFrame(rows)


def _kind(cell: Cell, items: Sequence[str]) -> str:
    """One of `KINDS`; "" for thresholds and means, which the plan does not look at."""
    if cell.op == "=~":
        return "loading"
    if cell.op != "~~":
        return ""
    if cell.lhs not in items:
        return "factor correlation" if cell.lhs != cell.rhs else ""
    return "residual variance" if cell.lhs == cell.rhs else "residual covariance"


def by_kind(parameters: pd.DataFrame) -> pd.DataFrame:
    """The parameters of `Outcome` in one row a size and kind."""
    rows = []
    for (n, kind), own in parameters.groupby(["n", "kind"], sort=False):
        relative = own.loc[own["value"] != 0, "bias"]
        rows.append({
            "n": n, "kind": kind, "parameters": len(own), "power": own["power"].mean(),
            "lowest_power": own["power"].min(), "coverage": own["coverage"].mean(), "bias": relative.mean(),
            "se_bias": own["se_bias"].mean(),
        })  # fmt: skip
    return pd.DataFrame(rows)


def simulate(given: tuple[Simulation, int, int, np.random.Generator]) -> Outcome:
    """`Outcome.of` of one argument (simulation, n, replications, random numbers), for `sqmodel.compute.map`."""
    return Outcome.of(*given)
