"""How many respondents does a model need? Power of RMSEA tests, and samples drawn from a population."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from scipy import stats

from sqmodel.errors import InputError
from sqmodel.numerics.correlation import Floats

LARGEST = 100_000_000
"""Samples beyond this are given up: the two RMSEAs are practically the same."""


def rmsea_power(df: int, n: float, rmsea0: float, rmsea_a: float, *, alpha: float = 0.05, groups: int = 1) -> float:
    """How likely is the RMSEA test to reject `rmsea0` where `rmsea_a` is true?

    MacCallum, Browne & Sugawara (1996): the test statistic is a chi-square with noncentrality
    (n - 1) df rmsea^2 / groups under either value (Steiger 1998 for several groups). Where `rmsea0` is the smaller
    one this is the power to detect a worse fit (test of close fit, .05 against .08; of exact fit, 0 against .05),
    else the power to establish a better one (test of not close fit, .05 against .01). The same as
    ``semTools::findRMSEApower``. lavaan's own RMSEA divides by n, not n - 1: the difference is that of one respondent.

    Parameters
    ----------
    df : int
        Degrees of freedom of the model, at least 1.
    n : float
        Respondents of all groups together.
    rmsea0, rmsea_a : float
        Under the null hypothesis, and the true one.
    alpha : float
        Level of the test.
    groups : int

    Raises
    ------
    InputError
        No degrees of freedom, fewer than 2 respondents, a negative RMSEA, or an impossible level.

    Examples
    --------
    >>> round(rmsea_power(24, 375, 0.05, 0.08), 4)
    0.801
    """
    problems = _problems(df, rmsea0, rmsea_a, alpha, groups)
    if not 2 <= n < math.inf:
        problems.append(f"expected a sample of at least 2, found {n:g}")
    if problems:
        raise InputError("RMSEA power", problems)
    unit = (n - 1) * df / groups
    worse = rmsea0 < rmsea_a
    critical = _quantile(1 - alpha if worse else alpha, df, unit * rmsea0**2)
    return _tail(critical, df, unit * rmsea_a**2, upper=worse)


def rmsea_sample_size(
    df: int, rmsea0: float, rmsea_a: float, *, power: float = 0.80, alpha: float = 0.05, groups: int = 1
) -> int:
    """What is the smallest sample in which the RMSEA test has this power?

    ``semTools::findRMSEAsamplesize`` gives the size of a group and searches from 5 on; here it is the size of all
    groups together, from 2 on.

    Parameters
    ----------
    df, rmsea0, rmsea_a, alpha, groups
        As for `rmsea_power`.
    power : float

    Raises
    ------
    InputError
        As `rmsea_power`; also a power not between 0 and 1, or RMSEAs so close that no sample up to a hundred million
        tells them apart.

    Examples
    --------
    >>> rmsea_sample_size(24, 0.05, 0.08)
    375
    """
    problems = _problems(df, rmsea0, rmsea_a, alpha, groups)
    if not 0 < power < 1:
        problems.append(f"expected a power between 0 and 1, found {power:g}")
    if rmsea0 == rmsea_a:
        problems.append(f"expected two different RMSEAs, found {rmsea0:g} twice")
    if problems:
        raise InputError("RMSEA sample size", problems)

    def enough(n: int) -> bool:
        return rmsea_power(df, n, rmsea0, rmsea_a, alpha=alpha, groups=groups) >= power

    low, high = 1, 2  # power rises with n, so that halving the interval finds the first n
    while not enough(high):
        low, high = high, 2 * high
        if high > LARGEST:
            raise InputError(
                "RMSEA sample size",
                [f"expected RMSEAs that a sample can tell apart, found {rmsea0:g} and {rmsea_a:g}"],
            )
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def wishart(replications: int, n: int, covariance: Floats, rng: np.random.Generator) -> Floats:
    """Covariance matrices (divisor n) of normal samples; replications, p, p.

    Bartlett's (1933) decomposition of the Wishart matrix with n - 1 degrees of freedom: the cost does not depend on n.
    """
    p = len(covariance)
    root = np.tril(rng.standard_normal((replications, p, p)), -1)
    index = np.arange(p)
    root[:, index, index] = np.sqrt(rng.chisquare(n - 1 - index, size=(replications, p)))
    half = np.linalg.cholesky(covariance) @ root
    return np.asarray(half @ half.mT / n)


def ordered_answers(n: int, root: Floats, cuts: list[Floats], rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Answers 0, 1, ... of n respondents (n x p): normal variables with covariance root root', cut at thresholds."""
    response = rng.standard_normal((n, len(root))) @ root.T
    found = [np.searchsorted(cut, x, side="right") for cut, x in zip(cuts, response.T, strict=True)]
    return np.column_stack(found)


def symmetric_cuts(categories: int) -> Floats:
    """Thresholds of a symmetric answer scale: the range from -2.5 to 2.5 in parts of one width.

    As in the symmetric condition of Rhemtulla, Brosseau-Liard & Savalei (2012): -1.5, -.5, .5, 1.5 of five categories.
    """
    return np.asarray(np.linspace(-2.5, 2.5, categories + 1)[1:-1])


def _problems(df: int, rmsea0: float, rmsea_a: float, alpha: float, groups: int) -> list[str]:
    problems = []
    if not df >= 1:
        problems.append(f"expected at least 1 degree of freedom, found {df}")
    problems += [f"expected an RMSEA of 0 or more, found {r:g}" for r in (rmsea0, rmsea_a) if not 0 <= r < math.inf]
    if not 0 < alpha < 1:
        problems.append(f"expected a level between 0 and 1, found {alpha:g}")
    if groups < 1:
        problems.append(f"expected at least 1 group, found {groups}")
    return problems


def _quantile(probability: float, df: int, centre: float) -> float:
    """The central distribution where the noncentrality is 0, for which scipy's noncentral one has no quantile."""
    found = stats.ncx2.ppf(probability, df, centre) if centre > 0 else stats.chi2.ppf(probability, df)
    return float(found)


def _tail(x: float, df: int, centre: float, *, upper: bool) -> float:
    kind = stats.ncx2(df, centre) if centre > 0 else stats.chi2(df)
    return float(kind.sf(x) if upper else kind.cdf(x))
