"""Known institutions: how good they are, whom they serve, and what is expected of their answers and operations."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit, ndtr

from sqmodel.benchmark.content import OVERALL
from sqmodel.survey.instrument import Instrument

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]

SIZES = {"large": (0.15, 0.25), "medium": (0.30, 0.10), "small": (0.35, -0.05), "micro": (0.20, -0.25)}
SECTORS = {"energy": (0.15, 0.10), "infrastructure": (0.20, 0.05), "manufacturing": (0.30, 0.0), "trade": (0.25, -0.10),
           "technology": (0.10, 0.0)}  # fmt: skip
"""Usual share of the clients, and what they add to the latent variables of all dimensions."""

STEPS = np.array([-2.1, -1.5, -0.9, -0.25, 0.5, 1.35])
"""Where a standard normal variable steps from one category to the next."""
GENERAL = 0.6
"""Share of a factor's variance among respondents that all dimensions have in common."""

INDICATORS = ("repeated", "handovers", "review_hours", "within_limit", "complaints", "warning_precision", "test_share",
              "trained")  # fmt: skip
_BEHIND = {"repeated": "EXP", "handovers": "EXP", "review_hours": "EFF", "within_limit": "EFF", "complaints": "RSK",
           "warning_precision": "RSK", "test_share": "COM", "trained": "COM"}  # fmt: skip


@dataclass(frozen=True)
class Population:
    """Institutions of one quarter as they are.

    Attributes
    ----------
    quality : array, institutions x dimensions
        Means of the latent variables, in standard deviations of the respondents.
    sizes, sectors : array, institutions x values
        Expected shares of the clients.
    intercepts : array, institutions x items
    loading : array, items
    dimension : integer array, items
        Place of an item's dimension.
    operations : dict of indicator to array
        Expected values in the units of a submission.
    """

    quality: Floats
    sizes: Floats
    sectors: Floats
    intercepts: Floats
    loading: Floats
    dimension: Ints
    operations: dict[str, Floats]


def draw_populations(
    rng: np.random.Generator,
    instrument: Instrument,
    institutions: int,
    quarters: int,
    *,
    between: float,
    operations: float,
    drift: float,
    case_mix: float,
    shifts: Floats,
) -> list[Population]:
    """Institutions over the quarters; see `sqmodel.benchmark.simulate.simulate_association` for the arguments."""
    of_quality, of_mix, of_operations, of_drift = rng.spawn(4)
    structure = instrument.structure()
    names, p = list(structure), len(instrument.items)
    dimension = np.array([names.index(i.dimension) for i in instrument.items])
    general = of_quality.standard_normal((institutions, 1))
    deviate = np.sqrt(0.7) * general + np.sqrt(0.3) * of_quality.standard_normal((institutions, len(names)))
    sizes, sectors = (_mixes(of_mix, spec, institutions, case_mix) for spec in (SIZES, SECTORS))
    own = of_operations.standard_normal((institutions, len(INDICATORS)))
    # Items differ in how easily they are agreed with and how much they tell, the same way in every simulation.
    intercepts = 0.3 * np.sin(1.7 * np.arange(p)) + shifts
    loading = 0.74 + 0.1 * np.cos(2.3 * np.arange(p))
    found = []
    for _ in range(quarters):
        behind = deviate[:, [names.index(_BEHIND[i]) for i in INDICATORS]]
        z = operations * (0.8 * behind + 0.6 * own)
        expected = _operations(dict(zip(INDICATORS, z.T, strict=True)))
        found.append(Population(between * deviate, sizes, sectors, intercepts, loading, dimension, expected))
        deviate = deviate + drift * of_drift.standard_normal(deviate.shape)
    return found


def _mixes(rng: np.random.Generator, spec: dict[str, tuple[float, float]], rows: int, spread: float) -> Floats:
    usual = np.array([share for share, _ in spec.values()])
    found = usual * np.exp(spread * rng.standard_normal((rows, len(usual))))
    return np.asarray(found / found.sum(axis=1, keepdims=True))


def _operations(z: dict[str, Floats]) -> dict[str, Floats]:
    return {
        "repeated": expit(-1.3 - 0.45 * z["repeated"]),
        "handovers": 1 + np.exp(0.8 - 0.25 * z["handovers"]),
        "review_hours": np.exp(np.log(38) - 0.22 * z["review_hours"]),
        "within_limit": expit(1.5 + 0.45 * z["within_limit"]),
        "complaints": np.exp(np.log(11) - 0.3 * z["complaints"]) / 1000,
        "warning_precision": expit(0.1 + 0.45 * z["warning_precision"]),
        "test_share": expit(1.0 + 0.35 * z["test_share"]),
        "trained": expit(1.2 + 0.5 * z["trained"]),
    }


def expected_scores(population: Population, codes: Sequence[str], quarter: str, names: Sequence[str]) -> pd.DataFrame:
    """What endlessly many respondents would give: see `Simulation.truth`."""
    fair = population.intercepts - _shifts(population)
    usual = [np.array([[share for share, _ in spec.values()]]) for spec in (SIZES, SECTORS)]
    own = (population.sizes, population.sectors)
    columns = {
        "score": _scores(population, population.intercepts, *own),
        "fair": _scores(population, fair, *own),
        "adjusted": _scores(population, fair, *(np.broadcast_to(u, o.shape) for u, o in zip(usual, own, strict=True))),
    }
    scopes = [OVERALL, *names]
    frame = pd.DataFrame({"institution": np.repeat(list(codes), len(scopes)), "quarter": quarter,
                          "scope": scopes * len(codes)})  # fmt: skip
    for column, values in columns.items():
        frame[column] = np.column_stack([values.mean(axis=1), values]).ravel()
    return frame


def _shifts(population: Population) -> Floats:
    p = population.intercepts.shape[1]
    return np.asarray(population.intercepts - 0.3 * np.sin(1.7 * np.arange(p)))


def _scores(population: Population, intercepts: Floats, sizes: Floats, sectors: Floats) -> Floats:
    """Expected scores, institutions x dimensions: of all answers above a step, over all kinds of clients."""
    total = np.zeros_like(population.quality)
    items = np.bincount(population.dimension)
    for a, (_, by_size) in enumerate(SIZES.values()):
        for b, (_, by_sector) in enumerate(SECTORS.values()):
            latent = population.quality[:, population.dimension] + by_size + by_sector
            middle = intercepts + population.loading * latent
            above = ndtr(middle[..., None] - STEPS).mean(axis=-1)
            share = (sizes[:, a] * sectors[:, b])[:, None]
            for d in range(len(items)):
                total[:, d] += 100 * (share * above[:, population.dimension == d]).sum(axis=1) / items[d]
    return total
