"""Funnel plots: which institutions lie further from the target than chance, and usual differences, put them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from scipy import optimize, stats

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Kind = Literal["mean", "share", "rate"]
Overdispersion = Literal["none", "multiplicative", "additive"]
LEVELS = (0.95, 0.998)
"""Of the inner and the outer limits."""
PLACES = ("within", "above", "far above", "below", "far below")
WINSORISED = 0.1
"""Share of the units at each end that is pulled in before over-dispersion is estimated."""
CONSISTENT = 0.6787
"""Mean square of a standard normal variable whose outer tenths are set to the tenth."""


@dataclass(frozen=True)
class Funnel:
    """Limits and places.

    Attributes
    ----------
    target : float
    phi : float
        Mean of the squared, winsorised z-scores: 1 where chance alone is at work.
    tau2 : float
        Variance between units that the limits allow for; 0 unless over-dispersion is additive.
    low, high : array, units
        Limits at 95 %.
    far_low, far_high : array, units
        Limits at 99.8 %.
    place : array of str, units
        One of PLACES; by value, whether more is better or not. Empty where the value is missing.
    """

    target: float
    phi: float
    tau2: float
    low: Floats
    high: Floats
    far_low: Floats
    far_high: Floats
    place: npt.NDArray[np.str_]


def assess_funnel(
    kind: Kind,
    values: npt.ArrayLike,
    size: npt.ArrayLike,
    target: float,
    *,
    overdispersion: Overdispersion = "additive",
) -> Funnel:
    """Who lies outside of the funnel?

    Parameters
    ----------
    kind : {"mean", "share", "rate"}
    values : array_like, shape (units,)
        NaN is missing.
    size : array_like, shape (units,)
        Trials of a share, exposure of a rate, standard error of a mean: the funnel of means narrows with precision.
    target : float
        What units are held against, such as the mean of all.
    overdispersion : {"none", "multiplicative", "additive"}
        ``additive`` allows for a variance between units that is the same for small and large ones (a random effect, as
        is usual for health care since Spiegelhalter et al. 2012); with ``multiplicative`` limits of very large units
        would close in on the target. Neither makes limits narrower than chance alone.

    Raises
    ------
    ComputationError
        Sizes that are not above zero, or a target that a share or rate cannot have.

    Notes
    -----
    Limits are those of `funnel_limits`; where over-dispersed, their distances from the target are multiplied by the
    square root of phi, or of (s**2 + tau2) / s**2, s being the unit's standard error at the target. phi is the mean of
    the squares of z = (value - target) / s, the outer tenth at either end set to the tenth, over what this leaves of
    normal variables (0.679; Spiegelhalter does not divide, so that his limits are too narrow where many units are
    usual). tau2 is the variance at which phi of (value - target) / sqrt(s**2 + tau2) is 1: Paule and Mandel's with the
    outer tenths pulled in, where Spiegelhalter takes DerSimonian and Laird's, which large units decide.

    References
    ----------
    Spiegelhalter, D. J. (2005). Funnel plots for comparing institutional performance. Statistics in Medicine 24.
    Spiegelhalter, D. J. (2005). Handling over-dispersion of performance indicators. Quality and Safety in Health
    Care 14.
    Spiegelhalter, D., Sherlaw-Johnson, C., Bardsley, M. et al. (2012). Statistical methods for healthcare regulation.
    Journal of the Royal Statistical Society A 175.

    Examples
    --------
    >>> assess_funnel("share", [0.1, 0.2, 0.6], [50, 50, 50], 0.2, overdispersion="none").place.tolist()
    ['within', 'within', 'far above']
    """
    y, n = np.asarray(values, float), np.asarray(size, float)
    _check(kind, y, n, target, overdispersion)
    s = _at_target(kind, n, target)
    phi, tau2 = _dispersion(y - target, s)
    wider = np.ones(len(y))
    if overdispersion == "multiplicative":
        wider = np.full(len(y), np.sqrt(max(phi, 1.0)))
    elif overdispersion == "additive":
        wider = np.sqrt(1 + tau2 / s**2)
    top = 1.0 if kind == "share" else np.inf
    least = -np.inf if kind == "mean" else 0.0
    limits = [np.clip(target + (side - target) * wider, least, top)
              for level in LEVELS for side in funnel_limits(kind, n, target, level=level)]  # fmt: skip
    low, high, far_low, far_high = limits
    tau2 = tau2 if overdispersion == "additive" else 0.0
    return Funnel(target, phi, tau2, low, high, far_low, far_high, _places(y, low, high, far_low, far_high))


def _places(y: Floats, low: Floats, high: Floats, far_low: Floats, far_high: Floats) -> npt.NDArray[np.str_]:
    with np.errstate(invalid="ignore"):
        cases = [np.isnan(y), y > far_high, y < far_low, y > high, y < low]
    return np.select(cases, ["", "far above", "far below", "above", "below"], default="within")


def funnel_limits(
    kind: Kind, size: npt.ArrayLike, target: float, *, level: float = 0.95
) -> tuple[Floats, Floats]:  # fmt: skip
    """Between which limits would a unit at the target lie by chance?

    Parameters
    ----------
    kind : {"mean", "share", "rate"}
    size : array_like, shape (units,)
        See `assess_funnel`.
    target : float
    level : float

    Returns
    -------
    low, high : array, units

    Notes
    -----
    Normal for means. For shares and rates the binomial's and the Poisson's exact quantiles, interpolated as
    Spiegelhalter (2005, appendix A.1) does: with r the least count whose distribution function reaches p,
    (r - (F(r) - p) / (F(r) - F(r - 1))) / size; not below 0.

    Examples
    --------
    >>> low, high = funnel_limits("share", [100], 0.2)
    >>> round(float(low[0]), 4), round(float(high[0]), 4)
    (0.1197, 0.2765)
    """
    n = np.asarray(size, float)
    tail = (1 - level) / 2
    if kind == "mean":
        reach = stats.norm.ppf(1 - tail) * n
        return target - reach, target + reach
    trials = np.rint(n) if kind == "share" else n
    found = stats.binom(trials, target) if kind == "share" else stats.poisson(trials * target)
    low, high = (_interpolated(found, p) / trials for p in (tail, 1 - tail))
    return low, high


def _interpolated(distribution: stats.rv_frozen, p: float) -> Floats:
    r = distribution.ppf(p)
    reached, before = distribution.cdf(r), distribution.cdf(r - 1)
    return np.asarray(np.maximum(r - (reached - p) / (reached - before), 0.0))


def _at_target(kind: Kind, n: Floats, target: float) -> Floats:
    """Standard error of a unit whose true value is the target."""
    if kind == "mean":
        return n
    return np.asarray(np.sqrt(target * (1 - target) / n if kind == "share" else target / n))


def _dispersion(rest: Floats, s: Floats) -> tuple[float, float]:
    """Winsorised phi, and the variance between units at which it would be 1."""
    known = ~np.isnan(rest)
    rest, square = rest[known], s[known] ** 2
    if len(rest) < 2:
        return 1.0, 0.0

    def excess(tau2: float) -> float:
        z = rest / np.sqrt(square + tau2)
        ends = np.quantile(z, [WINSORISED, 1 - WINSORISED])
        return float((np.clip(z, *ends) ** 2).mean()) / CONSISTENT - 1

    phi = excess(0.0) + 1
    if phi <= 1:
        return phi, 0.0
    top = float((rest**2).max()) / CONSISTENT
    return phi, float(optimize.brentq(excess, 0.0, top, xtol=1e-9 * top))


def _check(kind: str, y: Floats, n: Floats, target: float, overdispersion: str) -> None:
    problems = []
    if kind not in get_args(Kind):
        problems.append(f"a kind of {', '.join(get_args(Kind))}, found {kind!r}")
    if overdispersion not in get_args(Overdispersion):
        problems.append(f"over-dispersion {', '.join(get_args(Overdispersion))}, found {overdispersion!r}")
    if y.shape != n.shape or y.ndim != 1:
        problems.append(f"a size for every value, found {n.shape} for {y.shape}")
    elif not (n[~np.isnan(y)] > 0).all():
        problems.append(f"sizes above 0, found {int((~(n[~np.isnan(y)] > 0)).sum())} others")
    inside = {"mean": np.isfinite(target), "share": 0 < target < 1, "rate": 0 < target < np.inf}
    if not inside.get(kind, True):
        problems.append(f"a target that a {kind} can have, found {target}")
    if problems:
        raise ComputationError("funnel: expected " + "; ".join(problems))
