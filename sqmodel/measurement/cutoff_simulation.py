"""The samples behind dynamic cutoffs, drawn once and kept."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sqmodel import compute
from sqmodel.errors import ComputationError
from sqmodel.measurement.confirmatory import Fitted
from sqmodel.measurement.misspecification import DIGITS, Relation, Standardised
from sqmodel.measurement.simulation import INDICES, Simulation
from sqmodel.numerics.sem.model import implied

Floats = npt.NDArray[np.float64]

VERSION = "1"
"""Of the rules here and in `misspecification`: part of the key under which simulations are kept."""
MOST_KEPT = 64
_KEPT: dict[str, Floats] = {}


@dataclass(frozen=True)
class Job:
    """Simulations of one model: a population a level, the correct one first.

    Attributes
    ----------
    levels : tuple of Simulation
        They differ in `sigma` alone.
    n, replications : int
    """

    levels: tuple[Simulation, ...]
    n: int
    replications: int

    @classmethod
    def of(
        cls, population: Standardised, fitted: Fitted, added: Sequence[Sequence[Relation]], replications: int
    ) -> Job:
        """The simulation of the correct model and of all levels, in the metric of the data."""
        estimated, table = fitted.estimated, fitted.table
        at = implied(estimated.blocks[0], estimated.solution.theta)
        ordered = bool(table.options.categories)
        deviation = np.ones(len(population.items)) if ordered else _short(np.sqrt(np.diag(at.sigma)))
        below = [[r for relations in added[:level] for r in relations] for level in range(len(added) + 1)]
        sigmas = [population.correlation(r) * np.outer(deviation, deviation) for r in below]
        cuts: list[Floats] = []
        if ordered:
            item = estimated.blocks[0].threshold_item
            standard = np.round(at.scale[item] * (at.thresholds - at.mu[item]), DIGITS)
            cuts = [standard[item == i] for i in range(len(population.items))]
        # Normal draws need no robust correction: ML serves for all estimators by likelihood.
        estimator = "ML" if fitted.estimator in ("ML", "MLR", "MLM") else fitted.estimator
        levels = [
            Simulation(table, estimated.solution.theta, estimator, sigma, _short(at.mu), tuple(cuts))
            for sigma in sigmas
        ]
        return cls(tuple(levels), round(fitted.moments.n), replications)

    @property
    def estimator(self) -> str:
        """Of the samples."""
        return self.levels[0].estimator

    @property
    def suffix(self) -> str:
        """Of lavaan's names of RMSEA and CFI in the simulation."""
        return {"WLSMV": ".scaled", "ULSMV": ".scaled", "ULSM": ".robust"}.get(self.estimator, "")

    def key(self, seed: int) -> str:
        """The same for simulations with the same outcome."""
        own = self.levels[0]
        cells = [(c.lhs, c.op, c.rhs, int(c.matrix), c.row, c.column, c.free, c.value) for c in own.table.cells]
        content = [
            VERSION, cells, self.estimator, [s.sigma.tolist() for s in self.levels], own.mean.tolist(),
            [c.tolist() for c in own.cuts], self.n, self.replications, seed,
        ]  # fmt: skip
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def drawn(job: Job, rng: np.random.Generator | int, folder: str | Path | None) -> Floats:
    """SRMR, RMSEA and CFI (levels + 1, replications, 3) of the samples; NaN where the search failed."""
    return _kept(job, rng, folder) if isinstance(rng, int) else _simulate(job, np.random.default_rng(rng))


def _kept(job: Job, seed: int, folder: str | Path | None) -> Floats:
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


def _read(file: Path, job: Job) -> Floats | None:
    """None where there is no file, or not what was written."""
    try:
        draws = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    shape = (len(job.levels), job.replications, len(INDICES))
    return np.asarray(draws) if draws.shape == shape and draws.dtype == np.float64 else None


def _write(file: Path, draws: Floats) -> None:
    """All or nothing: other sessions may read meanwhile."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".part", delete=False) as part:
        np.save(part, draws)
    Path(part.name).replace(file)


def _simulate(job: Job, rng: np.random.Generator) -> Floats:
    streams = rng.spawn(len(job.levels))
    levels = zip(job.levels, streams, strict=True)
    draws = np.stack(compute.map(_level, [(s, job.n, job.replications, stream, job.suffix) for s, stream in levels]))
    if not np.isfinite(draws).any(axis=1).all():
        raise ComputationError("expected samples that the model can be fitted to, found none; is n large enough?")
    return draws


def _level(given: tuple[Simulation, int, int, np.random.Generator, str]) -> Floats:
    """One level of misspecification, with random numbers of its own, so that it may be simulated anywhere."""
    simulation, n, replications, rng, suffix = given
    return simulation.indices(n, replications, rng, suffix)


def _short(values: npt.ArrayLike) -> Floats:
    """To six significant digits, so that the last bits of a fit do not change the key."""
    return np.array([float(f"{x:.6g}") for x in np.atleast_1d(values)])
