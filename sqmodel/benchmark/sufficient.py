"""Sufficient statistics as a submission has them: shares, rates, means, and those of ordered answers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import Indicator, Ordinal
from sqmodel.measurement.moments import GroupMoments
from sqmodel.numerics.polychoric import codes_of, polychoric

Floats = npt.NDArray[np.float64]


def share_of(code: str, n: float, events: float) -> Indicator:
    """A share of n trials."""
    p = float(events / n)
    return Indicator(code, "share", float(n), float(events), p, math.sqrt(p * (1 - p) / n))


def rate_of(code: str, exposure: float, events: float) -> Indicator:
    """Events a unit of exposure; the error of none is taken to be that of one."""
    return Indicator(code, "rate", float(exposure), float(events), events / exposure,
                     math.sqrt(max(events, 1)) / exposure)  # fmt: skip


def mean_of(code: str, values: Floats) -> Indicator:
    """The mean of two or more values."""
    return Indicator(code, "mean", float(len(values)), math.nan, float(values.mean()),
                     float(values.std(ddof=1) / math.sqrt(len(values))))  # fmt: skip


def ordinal_of(codes: npt.ArrayLike, items: tuple[str, ...]) -> Ordinal:
    """Thresholds and polychoric correlations of complete answers; categories that nobody chose are passed over."""
    ranks, values = codes_of(codes)
    found = polychoric(ranks)
    moments = GroupMoments(found.n, found.correlation, np.zeros(len(items)), found.thresholds, found.acov)
    return Ordinal(items, tuple(len(v) for v in values), moments)
