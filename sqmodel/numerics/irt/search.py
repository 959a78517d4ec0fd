"""The search for the maximum of the marginal likelihood: EM, then Newton's method."""

from __future__ import annotations

import numpy as np
from scipy import linalg

from sqmodel.numerics.irt.accuracy import observed_information
from sqmodel.numerics.irt.curves import Floats, Grid, filled
from sqmodel.numerics.irt.likelihood import Point, evaluate, expected_loglik, item_derivatives
from sqmodel.numerics.irt.patterns import Flags, Patterns

_NEAR = 1e-3
"""Gradient per respondent at which EM gives way to Newton's method, which is then in its region of convergence."""
_EM_ROUND, _INNER = 10, 3


def starting_values(data: Patterns) -> Floats:
    """Slopes from the first principal component of the codes, intercepts from the shares of answers."""
    p, width = data.free.shape
    shares = (data.weight @ data.indicator).reshape(p, width)
    shares /= shares.sum(axis=1, keepdims=True)
    given, code = data.codes < width, np.arange(width)
    mean = shares @ code
    sd = np.sqrt(shares @ code**2 - mean**2)
    centred = np.where(given, (data.codes - mean) / sd, 0.0) * np.sqrt(data.weight)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred / data.weight.sum())
    loading = vectors[:, -1] * np.sqrt(values[-1])
    loading = np.where(loading < 0, -1, 1) * np.clip(np.abs(loading), 0.3, 0.9)
    slopes = 1.7 * loading / np.sqrt(1 - loading**2)
    above = 1 - shares.cumsum(axis=1)[:, :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        # The marginal logit is flatter than the conditional one by about this factor (Zeger, Liang & Albert 1988).
        intercepts = np.log(above / (1 - above)) * np.sqrt(1 + 0.346 * slopes[:, None] ** 2)
    return filled(np.where(data.free, np.column_stack([slopes, intercepts]), np.nan))


def maximise(data: Patterns, start: Floats, grid: Grid, tolerance: float, most: int) -> tuple[Point, int]:
    """EM until the gradient is small, then Newton's method; back to EM where Newton's step does not help."""
    point, used = evaluate(data, start, grid), 1
    near = _NEAR
    while point.norm > tolerance and used < most:
        for _ in range(_EM_ROUND):
            if point.norm <= near or used >= most:
                break
            point, used = evaluate(data, _improve_items(point, grid.theta, data.free), grid), used + 1
        if point.norm <= near:
            point, used = _newton(data, point, grid, tolerance, used, most)
            # A point from which Newton's method fails again needs a smaller gradient first.
            near = min(near, point.norm) / 10
    return point, used


def _improve_items(point: Point, theta: Floats, free: Flags) -> Floats:
    """Maximisation step: Newton's method in each item's own concave log likelihood, halved where it goes too far."""
    parameters, counts = point.parameters, point.counts
    gradient, information = point.gradient, point.information
    value = expected_loglik(parameters, counts, theta)
    for _ in range(_INNER):
        step = np.linalg.solve(information, gradient[:, :, None])[:, :, 0]
        factor = np.ones((len(step), 1))
        for _ in range(30):
            trial = parameters + factor * step
            reached = expected_loglik(trial, counts, theta)
            worse: Flags = np.asarray(reached < value - 1e-12 * np.abs(value))
            if not worse.any():
                break
            factor[worse] /= 2
        parameters = np.where(worse[:, None], parameters, trial)
        value = np.where(worse, value, reached)
        if np.abs(factor * step).max() < 1e-4:
            break
        gradient, information = item_derivatives(parameters, counts, theta, free)
    return parameters


def _newton(data: Patterns, point: Point, grid: Grid, tolerance: float, used: int, most: int) -> tuple[Point, int]:
    """Newton's method; second derivatives are kept as long as they bring the gradient down tenfold."""
    free, factor = data.free, None
    while point.norm > tolerance and used < most:
        if factor is None:
            try:
                factor = linalg.cho_factor(observed_information(data, point, grid)[0])
            except linalg.LinAlgError:
                return point, used
        step = np.zeros(free.shape)
        step[free] = linalg.cho_solve(factor, point.gradient[free])
        better, tried = _line(data, point, step, grid)
        used += tried
        if better is None:
            return point, used
        if better.norm > point.norm / 10:
            factor = None
        point = better
    return point, used


def _line(data: Patterns, point: Point, step: Floats, grid: Grid) -> tuple[Point | None, int]:
    """The longest of step, step / 2, ... that does not lower the likelihood, if any, and how many were tried."""
    slack = 1e-13 * abs(point.loglik)
    for tried in range(1, 9):
        trial = point.parameters + step / 2 ** (tried - 1)
        if (np.diff(trial[:, 1:], axis=1) < 0).all():
            reached = evaluate(data, trial, grid)
            if reached.loglik >= point.loglik - slack:
                return reached, tried
    return None, tried
