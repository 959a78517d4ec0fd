"""The search for the minimum: Fisher scoring with a certificate, many groups by elimination."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.correlation import Floats
from sqmodel.numerics.sem.curvature import Curvature, positive_definite
from sqmodel.numerics.sem.model import Block
from sqmodel.numerics.sem.samples import Sample

_SCORING = 40
_CREEPING = 0.3
"""Fisher scoring that shrinks the decrement by less than this hands over to Newton's method."""


class Solution(NamedTuple):
    """Where the search ended.

    Attributes
    ----------
    theta : array, q
    value : float
        Discrepancy, half of the usual F.
    by_group : array, G
        Each group's own discrepancy.
    gradient_norm : float
        Largest absolute derivative that no bound holds.
    decrement : float
        g' I^-1 g: twice what another step would gain.
    converged : bool
    iterations : int
    at_bound : boolean array, q
    """

    theta: Floats
    value: float
    by_group: Floats
    gradient_norm: float
    decrement: float
    converged: bool
    iterations: int
    at_bound: npt.NDArray[np.bool_]


def gradient_of(blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats) -> Floats:
    """Of the discrepancy over all groups, each with its share of the respondents."""
    total = sum(sample.n for sample in samples)
    out = np.zeros(len(theta))
    for block, sample in zip(blocks, samples, strict=True):
        slope, number = sample.gradient(block, theta)
        out += np.bincount(number, slope * (sample.n / total), minlength=len(theta))
    return out


def information_of(
    blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats, *, observed: bool = False
) -> Curvature:
    """Information of one respondent over all groups: expected, or the exact second derivatives."""
    total = sum(sample.n for sample in samples)
    parts = []
    for block, sample in zip(blocks, samples, strict=True):
        matrix, number = sample.hessian(block, theta) if observed else sample.information(block, theta)
        parts.append((matrix * (sample.n / total), number))
    return Curvature(len(theta), parts)


def _values(blocks: Sequence[Block], samples: Sequence[Sample], theta: Floats) -> Floats:
    return np.array([s.value(b, theta) for b, s in zip(blocks, samples, strict=True)])


def minimise(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    start: Floats,
    *,
    bounds: tuple[Floats, Floats] | None = None,
    tolerance: float = 1e-14,
    max_iter: int = 200,
) -> Solution:
    """Which parameters bring the implied moments nearest to the data?

    Fisher scoring (Gauss and Newton's steps for least squares) with halved steps; where it creeps, as in badly
    fitting or improper models, Newton's method with exact second derivatives. It ends when another step would gain
    less than `tolerance`, which is the certificate together with the gradient's norm.

    Parameters
    ----------
    blocks, samples : sequences of one a group
    start : array, q
    bounds : (low, high), optional
        Arrays of q.
    tolerance : float
        Largest decrement g' I^-1 g that counts as zero, in units of the discrepancy.
    max_iter : int

    Raises
    ------
    ComputationError
        The start implies impossible moments.
    """
    shares = np.array([s.n for s in samples])
    shares = shares / shares.sum()
    low, high = bounds or (np.full(len(start), -np.inf), np.full(len(start), np.inf))
    theta = np.clip(start, low, high)
    parts = _values(blocks, samples, theta)
    if not np.isfinite(parts).all():
        raise ComputationError(
            "expected starting values that imply a positive definite covariance matrix, found that they do not; "
            "give other values by start()"
        )
    value, decrement, newton, before = float(shares @ parts), float("inf"), False, float("inf")
    held = np.zeros(len(theta), dtype=bool)
    gradient = gradient_of(blocks, samples, theta)
    step_count = 0
    for step_count in range(1, max_iter + 1):
        held = ((theta <= low) & (gradient > 0)) | ((theta >= high) & (gradient < 0))
        step, decrement = _step(blocks, samples, theta, gradient, held, newton)
        if decrement <= tolerance:
            break
        moved = _search(blocks, samples, theta, step, value, gradient, shares, (low, high))
        if moved is None:
            if newton or decrement <= 1e3 * tolerance:
                break
            newton = True
            continue
        theta, value, parts = moved
        gradient = gradient_of(blocks, samples, theta)
        newton = newton or step_count >= _SCORING or (step_count > 8 and decrement > _CREEPING * before)
        before = decrement
    norm = float(np.abs(np.where(held, 0.0, gradient)).max(initial=0.0))
    return Solution(theta, value, parts, norm, decrement, decrement <= max(1e3 * tolerance, 1e-11), step_count, held)


def _step(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    theta: Floats,
    gradient: Floats,
    held: npt.NDArray[np.bool_],
    newton: bool,
) -> tuple[Floats, float]:
    """A step downhill and its decrement; Newton's where asked for and downhill."""
    for observed in (True, False) if newton else (False,):
        curvature = information_of(blocks, samples, theta, observed=observed)
        if held.any() and curvature.dense is not None:
            curvature.dense[held] = 0
            curvature.dense[:, held] = 0
            curvature.dense[held, held] = 1
        if observed and curvature.dense is not None and not positive_definite(curvature.dense):
            continue
        step = -curvature.solve(np.where(held, 0.0, gradient))
        decrement = float(-(step @ gradient))
        if decrement >= 0:
            return np.where(held, 0.0, step), decrement
    return -gradient, float(gradient @ gradient)


def _search(
    blocks: Sequence[Block],
    samples: Sequence[Sample],
    theta: Floats,
    step: Floats,
    value: float,
    gradient: Floats,
    shares: Floats,
    bounds: tuple[Floats, Floats],
) -> tuple[Floats, float, Floats] | None:
    """The first of ever shorter steps that lowers the discrepancy."""
    slope = float(gradient @ step)
    length = 1.0
    for _ in range(30):
        moved = np.clip(theta + length * step, *bounds)
        parts = _values(blocks, samples, moved)
        found = float(shares @ parts)
        if found <= value + 1e-4 * length * slope + 1e-15 * (1 + abs(value)):
            return moved, found, parts
        length *= 0.5
    return None
