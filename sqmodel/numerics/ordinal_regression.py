"""Proportional-odds regression of an ordered answer on any number of variables; arrays only."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import linalg
from scipy.special import expit, log_expit

from sqmodel.errors import ComputationError

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

_NO_INFORMATION = 1e-7
"""Information per case on a coefficient (per standard deviation) below which the variables separate the answers."""


class OrdinalRegression(NamedTuple):
    """A fitted regression of an answer with K categories on m variables.

    Attributes
    ----------
    coefficients : array, m
        Change of the logit of a higher answer by one unit of a variable; positive where it goes with higher answers.
    cuts : array, K - 1
        zeta: logit of category k or a lower one where all variables are 0. Ascending.
    covariance : array, m + K - 1 square
        Of coefficients, then cuts: the inverse of the observed information.
    answers : array, K
        The answer behind each category, ascending.
    loglik, null_loglik : float
        With the variables, and with the cuts only.
    n : float
        Sum of the weights: the number of cases.
    mcfadden : float
        1 - loglik / null_loglik (McFadden 1974).
    nagelkerke : float
        Cox and Snell's R2 as a share of its largest possible value (Nagelkerke 1991).
    converged : bool
    separated : bool
        The variables tell answers apart without error, so that a coefficient grows without bound; the likelihood
        is then as good as at its supremum, the coefficients and errors mean nothing.
    n_iter : int
    """

    coefficients: Floats
    cuts: Floats
    covariance: Floats
    answers: Floats
    loglik: float
    null_loglik: float
    n: float
    mcfadden: float
    nagelkerke: float
    converged: bool
    separated: bool
    n_iter: int

    @property
    def errors(self) -> Floats:
        """Standard errors of the coefficients, m."""
        result: Floats = np.sqrt(np.diag(self.covariance)[: len(self.coefficients)])
        return result

    def probabilities(self, x: npt.ArrayLike) -> Floats:
        """Chance of each category for rows of variables, n x K."""
        logits = self.cuts - (np.asarray(x, dtype=float) @ self.coefficients)[:, None]
        result: Floats = np.diff(np.pad(expit(logits), ((0, 0), (1, 1)), constant_values=((0, 0), (0, 1))), axis=1)
        return result


class _Design(NamedTuple):
    """Rows as they enter the two logits that bound an answer's category.

    `upper` and `lower` (n x m + K - 1) turn the parameters into these logits; a row of the highest (lowest) answer has
    no upper (lower) one: `topped` and `bottomed` (n) are 0 there. `inner` (K - 2) is the weight of the categories
    between two cuts.
    """

    upper: Floats
    lower: Floats
    topped: Floats
    bottomed: Floats
    weight: Floats
    inner: Floats
    m: int


class _Point(NamedTuple):
    loglik: float
    gradient: Floats
    information: Floats


def proportional_odds(
    y: npt.ArrayLike,
    x: npt.ArrayLike,
    *,
    weight: npt.ArrayLike | None = None,
    tolerance: float = 1e-9,
    max_iter: int = 50,
) -> OrdinalRegression:
    """How do higher answers go with other variables?

    logit P(answer <= k) = zeta_k - x beta (McCullagh 1980), by Newton's method with step halving: the log likelihood
    is concave (Pratt 1981). With two answers it is logistic regression.

    Parameters
    ----------
    y : array, n
        Numbers; the categories are those that occur.
    x : array, n x m
        Variables without a constant, in their own units; m may be 0.
    weight : array, n, optional
        Weights, used as they are: whole numbers count cases. All 1 by default.
    tolerance : float
        Largest absolute derivative per case, of variables in standard deviations, that counts as zero.
    max_iter : int
        Newton steps.

    Raises
    ------
    ComputationError
        Missing values, fewer than two different answers, a variable that is constant or a sum of others.

    Notes
    -----
    ``MASS::polr(factor(y) ~ x, Hess=TRUE)`` has the same likelihood and signs; it stops its BFGS search earlier and
    differs by about 1e-5. Where the variables separate the answers polr warns or fails; here `separated` says so, and
    the log likelihood is within 1e-6 of its supremum.

    Examples
    --------
    >>> fit = proportional_odds([0, 0, 1, 1, 0, 1, 1, 1], np.array([[0, 0, 0, 0, 1, 1, 1, 1]]).T)
    >>> round(float(fit.coefficients[0]), 4), round(float(np.log(3)), 4)
    (1.0986, 1.0986)
    """
    answers, codes, variables, w = _inputs(y, x, weight)
    counts = np.bincount(codes, w).astype(float)
    share = counts / counts.sum()
    null = float(counts @ np.log(share))
    m = variables.shape[1]
    # Standardised variables make one tolerance do for all, whatever their units.
    mean = w @ variables / w.sum()
    sd = np.sqrt(w @ (variables - mean) ** 2 / w.sum())
    _check_constant(variables)
    scaled = (variables - mean) / sd
    _check_rank(scaled, w)
    design = _design(codes, scaled, w, counts)
    start = np.concatenate([np.zeros(m), np.log(share.cumsum()[:-1] / (1 - share.cumsum()[:-1]))])
    found, point, converged, n_iter = _newton(design, start, tolerance, max_iter)
    inverse = _inverse(point.information)
    separated = bool((~(np.diag(inverse)[:m] < 1 / (_NO_INFORMATION * w.sum()))).any())
    back = np.eye(len(found))
    back[:m, :m] /= sd
    back[m:, :m] = mean / sd
    return OrdinalRegression(
        found[:m] / sd, back[m:] @ found, back @ inverse @ back.T, answers, point.loglik, null, float(w.sum()),
        1 - point.loglik / null, nagelkerke(point.loglik, null, float(w.sum())), converged, separated, n_iter,
    )  # fmt: skip


def nagelkerke(loglik: float, null_loglik: float, n: float) -> float:
    """Nagelkerke's (1991) R2 of any model of n answers from its log likelihood and that of the answers' shares.

    Examples
    --------
    >>> round(nagelkerke(-36.69333513, -47.23865749, 40), 6)
    0.452419
    """
    return max(math.expm1(2 * (null_loglik - loglik) / n) / math.expm1(2 * null_loglik / n), 0.0)


def _inputs(
    y: npt.ArrayLike, x: npt.ArrayLike, weight: npt.ArrayLike | None
) -> tuple[Floats, Integers, Floats, Floats]:
    target, variables = np.asarray(y, dtype=float), np.asarray(x, dtype=float)
    w = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=float)
    if variables.ndim != 2 or len(variables) != len(target) or w.shape != target.shape:
        raise ComputationError(
            f"expected n answers, n x m variables and n weights, found arrays of shape {target.shape}, "
            f"{variables.shape} and {w.shape}; give one row a case"
        )
    if not (np.isfinite(target).all() and np.isfinite(variables).all() and np.isfinite(w).all() and (w >= 0).all()):
        raise ComputationError(
            "expected finite answers and variables and weights of at least 0, found others; leave out such cases"
        )
    used = w > 0
    answers, codes = np.unique(target[used], return_inverse=True)
    if len(answers) < 2:
        raise ComputationError(
            f"expected at least 2 different answers to regress, found {len(answers)}; leave this variable out"
        )
    return answers, codes, variables[used], w[used]


def _check_constant(variables: Floats) -> None:
    constant = np.flatnonzero(np.ptp(variables, axis=0) == 0)
    if len(constant):
        raise ComputationError(
            f"expected variables that differ, found one value only in column {_numbers(constant)}; leave it out"
        )


def _check_rank(scaled: Floats, w: Floats) -> None:
    if scaled.shape[1] == 0:
        return
    values, vectors = np.linalg.eigh(scaled.T @ (w[:, None] * scaled) / w.sum())
    if values[0] < 1e-10:
        part = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-4)
        raise ComputationError(
            f"expected variables that are no sum of others, found such in columns {_numbers(part)}; leave one out"
        )


def _numbers(columns: Integers) -> str:
    return ", ".join(str(j + 1) for j in columns)


def _design(codes: Integers, scaled: Floats, w: Floats, counts: Floats) -> _Design:
    cut = np.arange(len(counts) - 1)
    upper = np.hstack([-scaled, codes[:, None] == cut])
    lower = np.hstack([-scaled, codes[:, None] == cut + 1])
    topped, bottomed = (codes < len(cut)).astype(float), (codes > 0).astype(float)
    return _Design(upper, lower, topped, bottomed, w, counts[1:-1], scaled.shape[1])


def _evaluate(design: _Design, parameters: Floats) -> _Point:
    """Log likelihood with its first derivatives and minus its second.

    s(u) - s(l) = s(u) s(-l) (1 - exp(l - u)) for the logistic s: no digits are lost in the tails, and the last factor
    depends on the cuts alone.
    """
    u, v = design.upper @ parameters, design.lower @ parameters
    w, m = design.weight, design.m
    gaps = np.diff(parameters[m:])
    loglik = (w * design.topped) @ log_expit(u) + (w * design.bottomed) @ log_expit(-v)
    loglik += design.inner @ np.log(-np.expm1(-gaps))
    above, below = design.topped * expit(-u), design.bottomed * expit(v)
    gradient = (w * above) @ design.upper - (w * below) @ design.lower
    information = design.upper.T @ ((w * above * expit(u))[:, None] * design.upper)
    information += design.lower.T @ ((w * below * expit(-v))[:, None] * design.lower)
    first = np.exp(-gaps) / -np.expm1(-gaps)
    slope, curve = design.inner * first, design.inner * first * (1 + first)
    k = np.arange(m, len(parameters) - 1)
    gradient[k] -= slope
    gradient[k + 1] += slope
    information[k, k] += curve
    information[k + 1, k + 1] += curve
    information[k, k + 1] -= curve
    information[k + 1, k] -= curve
    return _Point(float(loglik), gradient, information)


def _newton(design: _Design, start: Floats, tolerance: float, most: int) -> tuple[Floats, _Point, bool, int]:
    parameters, point = start, _evaluate(design, start)
    total, m = design.weight.sum(), design.m
    for n_iter in range(most + 1):
        if np.abs(point.gradient).max() <= tolerance * total:
            return parameters, point, True, n_iter
        step = _solve(point)
        for halving in range(40):
            trial = parameters + step / 2**halving
            if (np.diff(trial[m:]) > 0).all():
                reached = _evaluate(design, trial)
                if reached.loglik >= point.loglik - 1e-13 * abs(point.loglik):
                    break
        else:
            break
        parameters, point = trial, reached
    return parameters, point, False, n_iter


def _solve(point: _Point) -> Floats:
    """Newton's step; a little shorter where the information is singular, as it gets when answers are separated."""
    try:
        step: Floats = linalg.solve(point.information, point.gradient, assume_a="pos")
    except linalg.LinAlgError:
        ridge = 1e-8 * np.trace(point.information) + 1e-300
        step = linalg.solve(point.information + ridge * np.eye(len(point.gradient)), point.gradient, assume_a="pos")
    return step


def _inverse(information: Floats) -> Floats:
    try:
        result: Floats = linalg.inv(information)
    except linalg.LinAlgError:
        result = np.full_like(information, np.nan)
    return result
