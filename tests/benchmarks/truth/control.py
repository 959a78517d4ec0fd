"""Control charts of processes that do not change: intervals of centre, spread and limits, and false alarms."""

from __future__ import annotations

import numpy as np

from sqmodel.operations.control import ControlChart, chart_counts, chart_individuals
from tests.benchmarks.truth import Trial

WHAT = ("centre", "sigma", "lower", "upper")
N = 60


def _held(chart: ControlChart, truth: tuple[float, float, float, float], position: int) -> list[bool]:
    point = chart.points.iloc[position]
    bounds = [
        (chart.centre.low, chart.centre.high),
        (chart.sigma.low, chart.sigma.high),
        (point["lower_low"], point["lower_high"]),
        (point["upper_low"], point["upper_high"]),
    ]
    return [low <= value <= high for (low, high), value in zip(bounds, truth, strict=True)]


def _individuals(rng: np.random.Generator) -> ControlChart:
    return chart_individuals(rng.normal(20, 4, N), labels=[str(i) for i in range(N)], rng=rng)


def _sizes(rng: np.random.Generator) -> np.ndarray:
    return rng.integers(600, 1800, N).astype(float)


def _rates(rng: np.random.Generator, rate: float = 0.05, factor: float = 2.0) -> ControlChart:
    """Counts that vary twice as much as Poisson's."""
    sizes = _sizes(rng)
    mean = rate * sizes
    counts = rng.poisson(rng.gamma(mean / (factor - 1), factor - 1))
    return chart_counts(counts, sizes, labels=[str(i) for i in range(N)], rng=rng)


def _shares(rng: np.random.Generator, share: float = 0.2) -> ControlChart:
    sizes = _sizes(rng)
    counts = rng.binomial(sizes.astype(int), share)
    return chart_counts(counts, sizes, labels=[str(i) for i in range(N)], kind="share", rng=rng)


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Coverage of every interval of XmR, u' and p' charts, and how often a stable XmR chart signals."""
    rng = np.random.default_rng(seed)
    hits = {name: np.zeros(4, dtype=int) for name in ("XmR", "u'", "p'")}
    signalled, stated = 0, 0.0
    for _ in range(repetitions):
        chart = _individuals(rng)
        hits["XmR"] += _held(chart, (20, 4, 8, 32), 0)
        signalled += not chart.stable
        stated += float(chart.false_alarms.loc["any", "per_chart"]) / repetitions
        for name, chart, centre, sigma, variance in (
            ("u'", _rates(rng), 0.05, np.sqrt(2.0), 0.05),
            ("p'", _shares(rng), 0.2, 1.0, 0.16),
        ):
            half = 3 * sigma * np.sqrt(variance / chart.points["size"].iloc[0])
            hits[name] += _held(chart, (centre, sigma, centre - half, centre + half), 0)
    found = [Trial(f"{kind} chart: interval of {what}", N, int(count), repetitions)
             for kind, counts in hits.items() for what, count in zip(WHAT, counts, strict=True)]  # fmt: skip
    error = 4 * np.sqrt(stated * (1 - stated) / repetitions)
    found.append(Trial("XmR chart: signals of a stable process as often as stated", N, signalled, repetitions,
                       stated - error, stated + error))  # fmt: skip
    return found
