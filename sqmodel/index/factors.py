"""Which sample and which choice matters? Shares of the variance of scores and ranks, evaluated until they are sure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import rankdata

from sqmodel import compute
from sqmodel.index.replicates import Design
from sqmodel.numerics.sensitivity import Sensitivity, redrawn_variances, share_of, shares_of_variance, subset_design

Floats = npt.NDArray[np.float64]
ROWS, SETS, TOGETHER = 8, 8, 2
"""Pairs of points in a set, sets added in a step, and sets that one call of `compute.map` evaluates."""

SMALL = 1e-20
"""Share of the variance between units below which a factor changes nothing."""


@dataclass(frozen=True)
class Effects:
    """Shares of the variance; see `Uncertainty` for the tables."""

    split: pd.DataFrame
    factors: pd.DataFrame
    convergence: pd.DataFrame
    notes: tuple[str, ...]


def find_effects(
    design: Design, own: Floats, *, most: int, tolerance: float, level: float, rng: np.random.Generator
) -> Effects:
    """Evaluate the index at designed mixtures of all factors until the widest interval is narrow enough.

    Parameters
    ----------
    design : Design
    own : ndarray, shape (units,)
        Scores of the arrangement itself, from whose ranks shifts are counted.
    most : int
        Evaluations at the most; too few for a first step of 64 mixtures of all factors: none are made.
    tolerance, level : float
    rng : Generator
        Gives the pool of draws and every set a stream of its own.
    """
    k = len(design.factors)
    size = ROWS * 2**k
    if most < SETS * size:
        return _nothing(design, f"what each factor does needs at least {SETS * size:,} evaluations: not assessed")
    spread = float(np.var(own)) + float(np.mean(own**2)) * 1e-16
    streams = rng.spawn(most // (TOGETHER * size))
    scores, ranks = np.empty((0, 2**k)), np.empty((0, 2**k))
    steps, found = [], dict[str, Sensitivity]()
    while len(scores) * size + SETS * size <= most:
        own_streams = streams[len(scores) // TOGETHER : (len(scores) + SETS) // TOGETHER]
        parts = compute.map(_variances, [(design, own, stream) for stream in own_streams])
        scores, ranks = (np.vstack([old, *(p[j] for p in parts)]) for j, old in enumerate((scores, ranks)))
        if not np.isfinite(scores).all():
            return _nothing(
                design, "some replicates leave a unit without a score: what each factor does is not assessed"
            )
        found = {name: shares_of_variance(v, level=level)
                 for name, v in (("scores", scores), ("ranks", ranks)) if v[:, -1].mean() > SMALL * spread}  # fmt: skip
        if not found:
            return _nothing(design, "nothing that varies changes a score: what each factor does is not assessed")
        half = max(f.half_width for f in found.values())
        steps.append({"evaluations": len(scores) * size, "half_width": half, "reached": half <= tolerance})
        if half <= tolerance:
            break
    last = steps[-1]
    reach, count = f"±{last['half_width']:.2f}", f"{last['evaluations']:,}"
    wide = f"shares of the variance: intervals of {reach} after {count} evaluations, wider than {tolerance:g}"
    notes = () if last["reached"] else (wide,)
    split = _split(design, scores, level) if "scores" in found else _nothing(design, "").split
    return Effects(split, _table(design, found), pd.DataFrame(steps), notes)


def _nothing(design: Design, told: str) -> Effects:
    """No shares, and why."""
    return Effects(pd.DataFrame(columns=["share", "low", "high"]), _table(design, {}),
                   pd.DataFrame(columns=["evaluations", "half_width", "reached"]), (told,))  # fmt: skip


def _variances(item: tuple[Design, Floats, np.random.Generator]) -> tuple[Floats, Floats]:
    """Variances of some sets from redrawing each subset: of the scores, summed over units, and of the shift of ranks.

    Every point has draws of its own, so that the differences between the sets hold all that drawing adds.
    """
    design, own, rng = item
    points = subset_design(len(design.factors), ROWS, TOGETHER, rng)
    shape = points.shape[:-1]
    pool = design.pool(TOGETHER * 2 * ROWS, rng)
    levels = {}
    for j, name in enumerate(design.factors):
        flat = points[..., j].ravel()
        if design.random(name):
            levels[name] = np.unique(flat, return_inverse=True)[1].astype(np.intp)
        else:
            count = len(design.options[name])
            levels[name] = np.minimum((flat * count).astype(np.intp), count - 1)
    values = design.scores(levels, pool).scores
    shift = np.abs(rankdata(-values, axis=1) - rankdata(-own)).mean(axis=1)
    by_unit = np.moveaxis(values.reshape(*shape, -1), -1, 0)
    return redrawn_variances(by_unit).sum(axis=0), redrawn_variances(shift.reshape(shape))


def _split(design: Design, redrawn: Floats, level: float) -> pd.DataFrame:
    """What sampling alone, method alone and both together make of the variance."""
    sampled, everything = 2 ** len(design.sampled) - 1, 2 ** len(design.factors) - 1
    whole = redrawn[:, everything]
    alone = [whole - redrawn[:, everything ^ mask] for mask in (sampled, everything ^ sampled)]
    parts = np.stack([*alone, whole - alone[0] - alone[1]], axis=1)
    shares = share_of(parts, whole, level)
    return pd.DataFrame(shares, index=["sampling", "method", "joint"], columns=["share", "low", "high"])


def _table(design: Design, found: dict[str, Sensitivity]) -> pd.DataFrame:
    rows = []
    for output, shares in found.items():
        for j, factor in enumerate(design.factors):
            kind = "sampling" if factor in design.sampled else "method"
            options = np.nan if design.random(factor) else len(design.options[factor])
            row = {"output": output, "factor": factor, "kind": kind, "options": options}
            for name in ("first", "total", "shapley"):
                value, low, high = getattr(shares, name)[j]
                row |= {name: value, f"{name}_low": low, f"{name}_high": high}
            rows.append(row)
    columns = ["output", "factor", "kind", "options", *(f"{n}{s}" for n in ("first", "total", "shapley")
                                                        for s in ("", "_low", "_high"))]  # fmt: skip
    return pd.DataFrame(rows, columns=columns)
