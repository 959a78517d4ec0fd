"""Small surveys for the index room: answers with everything that the instrument can ask."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.measurement.measure import Measure, qualify
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from tests.survey.small_instrument import ITEMS, small

DIMENSIONS = ("EXP", "EFF", "RSK")


def quarter(n: int, seed: int, name: str = "2026Q3", **levels: float) -> pd.DataFrame:
    """Answers of one quarter: a general factor, a factor a dimension, and `levels` added to items (after turning)."""
    rng = np.random.default_rng(seed)
    general, own = rng.normal(size=(n, 1)), rng.normal(size=(n, 3))
    latent = 4.8 + 0.8 * general + 0.7 * np.repeat(own, 2, axis=1) + 0.8 * rng.normal(size=(n, 6))
    latent += np.array([levels.get(c, 0.0) for c in ITEMS])
    answers = pd.DataFrame(np.clip(latent.round(), 1, 7), columns=ITEMS)
    wished = np.clip((6 + 0.5 * general + 0.6 * rng.normal(size=(n, 6))).round(), 1, 7)
    overall = np.clip((6.5 + 1.2 * general[:, 0] + 0.8 * own[:, 0] + rng.normal(size=n)).round(), 1, 10)
    answers["r2"] = 8 - answers["r2"]
    wished[:, 5] = 8 - wished[:, 5]
    points = rng.dirichlet([6, 3, 3], n).round(2) * 100
    points[:, 2] = 100 - points[:, :2].sum(axis=1)
    frame = answers.assign(**{f"{c}_exp": wished[:, j] for j, c in enumerate(ITEMS)}, csat=overall)
    frame = frame.assign(**{f"imp_{d}": points[:, j] for j, d in enumerate(DIMENSIONS)})
    frame["region"] = np.where(np.arange(n) % 3 == 0, "north", "south")
    frame["branch"] = None
    frame.insert(0, "respondent", [f"{name}-{i:04d}" for i in range(n)])
    frame.insert(1, "quarter", name)
    return frame


def responses(*quarters: pd.DataFrame, instrument: Instrument | None = None, **columns: Any) -> Responses:
    """Quarters one under the other, as responses; extra columns for all rows."""
    frame = pd.concat(quarters, ignore_index=True).assign(**columns)
    return Responses(instrument or small(), frame)


def measured(*quarters: pd.DataFrame, instrument: Instrument | None = None, **columns: Any) -> Measure:
    """The measure of the last quarter, with no evidence given."""
    given = responses(*quarters, instrument=instrument, **columns)
    return qualify(given, quarter=given.quarters[-1])


def shuffled(frame: pd.DataFrame, rng: np.random.Generator, columns: list[str]) -> pd.DataFrame:
    """Every column permuted on its own: the same answers, given by nobody in particular."""
    return frame.assign(**{c: rng.permutation(frame[c].to_numpy()) for c in columns})


def flat(n: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Ratings (n, 6) of one population without any differences between items, groups or quarters."""
    latent = 4.5 + rng.normal(size=(n, 1)) + rng.normal(size=(n, 6))
    return np.asarray(np.clip(latent.round(), 1, 7))
