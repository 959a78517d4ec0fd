"""Rates of units that resemble each other: the posterior of a binomial model with normal effects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, logit

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.intp]
_SIGMAS, _MEANS = 120, 160
"""Points of the grids of the standard deviation and of the mean."""
_FEWEST, _MOST = 1600, 40_000
"""Points of the grid of effects: as many as the sharpest likelihood needs."""
_VALUES = 800_000
"""Densities held at a time: 6 MB an array."""
_BEYOND = 0.002
"""Share of the posterior at an end of a grid that is taken as none."""


@dataclass(frozen=True)
class RatePosterior:
    """Draws from the posterior.

    Attributes
    ----------
    rates : ndarray, shape (draws, units)
    mean : ndarray, shape (draws,)
        Of the logits in the population.
    sigma : ndarray, shape (draws,)
        Standard deviation of the logits.
    """

    rates: Floats
    mean: Floats
    sigma: Floats


def draw_rates(
    n: npt.ArrayLike,
    events: npt.ArrayLike,
    *,
    shape: float = 0.001,
    rate: float = 0.001,
    draws: int = 10_000,
    rng: np.random.Generator | int = 0,
) -> RatePosterior:
    """Draw the rates of units from their joint posterior.

    Parameters
    ----------
    n, events : array_like, shape (units,)
        Trials and events of each unit; at least three units.
    shape, rate : float
        Of the gamma prior of the precision of the logits, 1 / sigma**2; the mean of the logits has a flat prior.
    draws : int
    rng : Generator or int

    Returns
    -------
    RatePosterior

    Raises
    ------
    ComputationError
        Counts that are none, more events than trials, fewer than three units, or no event or nothing but events.

    Notes
    -----
    events ~ Binomial(n, p), logit p ~ Normal(mean, sigma**2): the random-effects model of the Surgical example of
    OpenBUGS, whose Normal(0, 10**6) prior of the mean is flat here. Draws are independent of each other: mean and sigma
    from a grid of their posterior, over which each unit's effect is integrated out by quadrature, then the effects
    given both by inversion. Nothing is to converge.

    References
    ----------
    Spiegelhalter, D., Thomas, A., Best, N. & Lunn, D. (2014). OpenBUGS examples, volume 1: Surgical.

    Examples
    --------
    >>> found = draw_rates([47, 148, 810, 215], [0, 18, 46, 31], draws=500, rng=1)
    >>> bool(0 < found.rates[:, 0].mean() < found.rates[:, 3].mean())
    True
    """
    trials, hits = np.asarray(n, float), np.asarray(events, float)
    _check(trials, hits, shape, rate, draws)
    generator = np.random.default_rng(rng)
    sigmas, means, effects = _grids(trials, hits)
    logs = hits[:, None] * -np.logaddexp(0, -effects) - (trials - hits)[:, None] * np.logaddexp(0, effects)
    likelihood = np.exp(logs - logs.max(axis=1, keepdims=True))
    weight = _posterior(likelihood, effects, means, sigmas, shape, rate)
    ends = max(weight[0].sum(), weight[-1].sum(), weight[:, 0].sum(), weight[:, -1].sum())
    if ends > _BEYOND:
        raise ComputationError(
            f"rates: expected units that resemble each other, found a posterior of mean and deviation that goes beyond "
            f"what is looked at, sigma {sigmas[0]:.3g} to {sigmas[-1]:.3g}"
        )
    place = generator.choice(weight.size, size=draws, p=weight.ravel())
    sigma, mean = sigmas[place // _MEANS], means[place % _MEANS]
    found = np.empty((draws, len(trials)))
    step = max(1, _VALUES // len(effects))
    for start in range(0, draws, step):
        own = slice(start, start + step)
        kernel = _kernel(effects, mean[own], sigma[own])
        for unit, told in enumerate(likelihood):
            found[own, unit] = _inverted(kernel * told, effects, generator)
    return RatePosterior(expit(found), mean, sigma)


def _check(trials: Floats, hits: Floats, shape: float, rate: float, draws: int) -> None:
    problems = []
    if trials.ndim != 1 or trials.shape != hits.shape or len(trials) < 3:
        problems.append(f"trials and events of the same three units or more, found {trials.shape} and {hits.shape}")
    elif not (_counts(trials) and _counts(hits) and (trials > 0).all()):
        problems.append("counts, of trials above 0, found others")
    elif (hits > trials).any():
        at = ", ".join(map(str, np.flatnonzero(hits > trials)))
        problems.append(f"no more events than trials, found more at {at}")
    elif not 0 < hits.sum() < trials.sum():
        problems.append("some events and some trials without, found only one kind")
    if not (shape > 0 and rate > 0):
        problems.append(f"a shape and a rate above 0, found {shape} and {rate}")
    if draws < 1:
        problems.append(f"a draw or more, found {draws}")
    if problems:
        raise ComputationError("rates: expected " + "; ".join(problems))


def _counts(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all())


def _grids(trials: Floats, hits: Floats) -> tuple[Floats, Floats, Floats]:
    """Points of sigma, mean and effect that hold the posterior, and are close enough for the sharpest unit.

    Raises
    ------
    ComputationError
        A unit has so many trials that the grid would be too fine.
    """
    logits = logit((hits + 0.5) / (trials + 1))
    spread = max(float(logits.std(ddof=1)), 0.3)
    sigmas = np.geomspace(0.015, 12 * spread, _SIGMAS)
    reach = max(2.5, 8 * spread / np.sqrt(len(trials)) + 2 * spread)
    means = np.linspace(logits.mean() - reach, logits.mean() + reach, _MEANS)
    low, high = float(logits.min()) - 6 - 2 * spread, float(logits.max()) + 6 + 2 * spread
    sharpest = float(np.sqrt((trials + 1) / ((hits + 0.5) * (trials - hits + 0.5))).min())
    points = max(_FEWEST, int(np.ceil((high - low) / (sharpest / 4))))
    if points > _MOST:
        raise ComputationError(
            f"rates: expected units small enough to learn from others, found one whose rate has an error of "
            f"{sharpest:.2g} on the logit: take such rates as they are"
        )
    return sigmas, means, np.linspace(low, high, points)


def _kernel(effects: Floats, mean: Floats, sigma: Floats) -> Floats:
    """Normal densities up to a constant, shape (len(mean), effects)."""
    z = (effects - mean[:, None]) / sigma[:, None]
    return np.asarray(np.exp(-0.5 * z * z) / sigma[:, None])


def _posterior(likelihood: Floats, effects: Floats, means: Floats, sigmas: Floats, shape: float, rate: float) -> Floats:
    """Weights of the grid, shape (sigmas, means)."""
    logs = np.empty((len(sigmas), len(means)))
    for k, sigma in enumerate(sigmas):
        marginal = _kernel(effects, means, np.full(len(means), sigma)) @ likelihood.T
        logs[k] = np.log(np.maximum(marginal, 1e-300)).sum(axis=1)
    precision = sigmas**-2.0
    # The grid is even in log sigma, so that the density is that of the logarithm: twice the precision times its own.
    prior = shape * np.log(rate) - gammaln(shape) + shape * np.log(precision) - rate * precision
    logs += prior[:, None]
    weight = np.exp(logs - logs.max())
    return np.asarray(weight / weight.sum())


def _inverted(density: Floats, effects: Floats, rng: np.random.Generator) -> Floats:
    """A draw from each row of densities over the grid, even within a step."""
    total = np.cumsum(density, axis=1)
    total /= total[:, -1:]
    at = (total < rng.random(len(total))[:, None]).sum(axis=1)
    step = effects[1] - effects[0]
    return np.asarray(effects[np.minimum(at, len(effects) - 1)] + step * (rng.random(len(at)) - 0.5))
