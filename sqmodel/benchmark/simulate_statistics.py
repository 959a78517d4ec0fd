"""Statistics of simulated quarters: answers and records are drawn, counted and thrown away."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import (
    GRID,
    OVERALL,
    Context,
    Indicator,
    ItemCounts,
    ItemMoments,
    Ordinal,
    Score,
    Waiting,
)
from sqmodel.benchmark.simulate_population import GENERAL, INDICATORS, SECTORS, SIZES, STEPS, Floats, Population
from sqmodel.benchmark.sufficient import mean_of, ordinal_of, rate_of, share_of
from sqmodel.survey.instrument import Instrument

Codes = npt.NDArray[np.uint8]
Wide = npt.NDArray[np.float32]

BATCH = 4_000_000
"""Answers drawn at a time."""
STAGES = {"qualification_review": 12.0, "credit_approval": 0.0, "contract_signing": 10.0, "disbursement": 6.0}
"""Median working hours; of credit approval they are the institution's own."""
SPREAD = 0.6


class Answered(NamedTuple):
    """One institution's statistics of its clients' answers."""

    n: int
    counts: tuple[ItemCounts, ...]
    moments: ItemMoments
    scores: tuple[Score, ...]
    score_cov: Floats
    context: tuple[Context, ...]
    ordinal: Ordinal | None


class Done(NamedTuple):
    """One institution's statistics of what it did."""

    indicators: tuple[Indicator, ...]
    waiting: tuple[Waiting, ...]


def answered(
    rng: np.random.Generator, population: Population, instrument: Instrument, sizes: npt.NDArray[np.intp], ordinal: bool
) -> Iterator[Answered]:
    """Draw the answers of `sizes` respondents of each institution and keep their statistics, in order."""
    p, start = len(instrument.items), 0
    while start < len(sizes):
        n = int(sizes[start])
        same = np.flatnonzero(np.append(sizes[start:], -1) != n)[0]
        stop = start + min(int(same), max(1, BATCH // (n * p)))
        rows = slice(start, stop)
        codes, size, sector = _draw(rng, population, rows, n)
        yield from _statistics(codes, size, sector, instrument, population, ordinal)
        start = stop


def _draw(
    rng: np.random.Generator, population: Population, rows: slice, n: int
) -> tuple[Codes, npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Categories 0, 1, ... (institutions x respondents x items), and the size and sector of every respondent."""
    quality = population.quality[rows]
    kinds, effects = [], np.zeros((len(quality), n))
    for shares, spec in ((population.sizes[rows], SIZES), (population.sectors[rows], SECTORS)):
        ends = shares.cumsum(axis=1)[:, None, :-1]
        kinds.append((rng.random((len(shares), n, 1)) > ends).sum(axis=2))
        effects += np.array([e for _, e in spec.values()])[kinds[-1]]
    factors = rng.standard_normal((*effects.shape, quality.shape[1]), dtype=np.float32)
    factors *= np.float32(math.sqrt(1 - GENERAL))
    common = math.sqrt(GENERAL) * rng.standard_normal(effects.shape, dtype=np.float32)
    factors += (effects + common)[..., None].astype(np.float32)
    factors += quality[:, None, :].astype(np.float32)
    loading = population.loading.astype(np.float32)
    latent: Wide = rng.standard_normal((*effects.shape, len(loading)), dtype=np.float32)
    latent *= np.sqrt(1 - loading**2)
    latent += factors[..., population.dimension] * loading
    latent += population.intercepts[rows, None, :].astype(np.float32)
    codes = np.zeros(latent.shape, dtype=np.uint8)
    for step in STEPS.astype(np.float32):
        codes += latent > step
    return codes, kinds[0], kinds[1]


def _statistics(
    codes: Codes, size: npt.NDArray[np.intp], sector: npt.NDArray[np.intp], instrument: Instrument,
    population: Population, ordinal: bool,
) -> Iterator[Answered]:  # fmt: skip
    batch, n, p = codes.shape
    items, scale, used = tuple(instrument.item_codes), instrument.scale, len(STEPS) + 1
    place = (np.arange(batch)[:, None, None] * p + np.arange(p)) * used
    counts = np.bincount((place + codes).ravel(), minlength=batch * p * used).reshape(batch, p, used)
    values: Wide = codes.astype(np.float32) + np.float32(scale.minimum)
    # Sums of whole numbers this small are exact in single precision.
    mean = values.sum(axis=1, dtype=np.float64) / n
    cross = (values.transpose(0, 2, 1) @ values).astype(np.float64) / n
    cov = cross - mean[:, :, None] * mean[:, None, :]
    share = np.zeros((p, population.quality.shape[1]))
    share[np.arange(p), population.dimension] = 1 / np.bincount(population.dimension)[population.dimension]
    share *= 100 / scale.width
    estimate = (mean - scale.minimum) @ share
    # Of n answers with divisor n; the error of a mean has n - 1.
    score_cov = share.T @ cov @ share / (n - 1)
    kinds = [(variable, list(spec), _shares(which, len(spec))) for variable, spec, which in
             (("size", SIZES, size), ("sector", SECTORS, sector))]  # fmt: skip
    categories = tuple(range(scale.minimum, scale.maximum + 1))
    for k in range(batch):
        yield Answered(
            n,
            tuple(ItemCounts(i, categories, tuple(own)) for i, own in zip(items, counts[k].tolist(), strict=True)),
            ItemMoments(items, n, mean[k], cov[k]),
            scores_of(n, instrument.dimension_codes, estimate[k], score_cov[k]),
            score_cov[k],
            tuple(Context(v, name, s) for v, names, found in kinds
                  for name, s in zip(names, found[k].tolist(), strict=True)),
            ordinal_of(codes[k], items) if ordinal else None,
        )  # fmt: skip


def _shares(which: npt.NDArray[np.intp], values: int) -> Floats:
    return np.asarray((which[:, :, None] == np.arange(values)).mean(axis=1))


def scores_of(n: int, dimensions: list[str], estimate: Floats, cov: Floats) -> tuple[Score, ...]:
    """Dimensions' scores and their mean as the overall one."""
    share = np.full(len(dimensions), 1 / len(dimensions))
    overall = Score(OVERALL, n, float(share @ estimate), math.sqrt(share @ cov @ share))
    own = zip(dimensions, estimate.tolist(), np.sqrt(np.diag(cov)).tolist(), strict=True)
    return (overall, *(Score(d, n, e, s) for d, e, s in own))


def done(
    rng: np.random.Generator, population: Population, institution: int, kept: npt.NDArray[np.bool_], waiting: bool
) -> Done:
    """Draw an institution's records and keep their statistics; `kept` says which indicators it has."""
    expected = {name: float(values[institution]) for name, values in population.operations.items()}
    cases, alerts, advisers = int(rng.integers(800, 3000)), int(rng.integers(60, 130)), int(rng.integers(20, 60))
    # The mean of a lognormal is above its median.
    hours = expected["review_hours"] * np.exp(SPREAD * rng.standard_normal(cases) - SPREAD**2 / 2)
    handed = np.asarray(1.0 + rng.poisson(expected["handovers"] - 1, cases), dtype=np.float64)
    share = expected["test_share"]
    tests = np.asarray(rng.beta(12 * share, 12 * (1 - share), advisers), dtype=np.float64)
    found = {
        "repeated": share_of("repeated", cases, int(rng.binomial(cases, expected["repeated"]))),
        "handovers": mean_of("handovers", handed),
        "review_hours": mean_of("review_hours", hours),
        "within_limit": share_of("within_limit", cases, int(rng.binomial(cases, expected["within_limit"]))),
        "complaints": rate_of("complaints", cases, int(rng.poisson(cases * expected["complaints"]))),
        "warning_precision": share_of(
            "warning_precision", alerts, int(rng.binomial(alerts, expected["warning_precision"]))
        ),
        "test_share": mean_of("test_share", tests),
        "trained": share_of("trained", advisers, int(rng.binomial(advisers, expected["trained"]))),
    }
    indicators = tuple(found[name] for name, has in zip(INDICATORS, kept, strict=True) if has)
    return Done(indicators, tuple(_waiting(rng, cases, hours)) if waiting else ())


def _waiting(rng: np.random.Generator, cases: int, approval: Floats) -> Iterator[Waiting]:
    """All cases are done in the end, so that Greenwood's error is that of a share."""
    for stage, median in STAGES.items():
        if median:
            hours = median * np.exp(SPREAD * rng.standard_normal(cases))
        else:
            hours = approval
        ends = np.sort(hours)
        left = (cases - np.searchsorted(ends, GRID, side="right")) / cases
        for at, share in zip(GRID, left.tolist(), strict=True):
            yield Waiting(stage, at, cases, share, math.sqrt(share * (1 - share) / cases))
