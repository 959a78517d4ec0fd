"""Careless-response indices of an answer matrix, respondents x items; NaN is a missing answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

LEAST_PAIRS = 3
"""Dimensions that an even-odd correlation needs: two points always lie on a line."""


def longstring(answers: Array) -> npt.NDArray[np.int64]:
    """How long is the longest run of the same answer, in the order of the questionnaire?

    A missing answer is passed over: it neither ends nor lengthens a run.

    Parameters
    ----------
    answers : array, n x p
        Answers as given (reversed items not turned).

    Returns
    -------
    array of int, n
        0 without any answer.

    References
    ----------
    Johnson, J. A. (2005), Journal of Research in Personality, 39, 103-129.

    Examples
    --------
    >>> longstring(np.array([[5.0, 5, 5, 2], [1, np.nan, 1, 2]])).tolist()
    [3, 2]
    """
    run = np.zeros(len(answers), dtype=np.int64)
    longest = run.copy()
    last = np.full(len(answers), np.nan)
    for column in answers.T:
        given = ~np.isnan(column)
        run = np.where(given, np.where(column == last, run + 1, 1), run)
        last = np.where(given, column, last)
        longest = np.maximum(longest, run)
    return longest


def irv(answers: Array) -> Array:
    """How much do a respondent's answers vary? Standard deviation (n - 1) over the items answered.

    Parameters
    ----------
    answers : array, n x p
        Answers as given.

    Returns
    -------
    array, n
        NaN with fewer than two answers.

    References
    ----------
    Dunn, A. M. et al. (2018), Journal of Business and Psychology, 33, 105-121; R ``careless::irv``.
    """
    count = (~np.isnan(answers)).sum(axis=1)
    filled = np.nan_to_num(answers)
    mean = filled.sum(axis=1) / np.maximum(count, 1)
    squares = np.where(np.isnan(answers), 0.0, (filled - mean[:, None]) ** 2).sum(axis=1)
    return np.where(count > 1, np.sqrt(squares / np.maximum(count - 1, 1)), np.nan)


def mahalanobis(answers: Array) -> tuple[Array, Array]:
    """How unusual is a respondent's pattern of answers?

    Squared distance from the mean in the metric of the covariance, both from the available answers
    (pairwise). A respondent with missing answers is judged on the items answered, which equals putting the
    regression on them in place of the missing ones. Directions without variance (items that depend on each
    other) are left out.

    Parameters
    ----------
    answers : array, n x p

    Returns
    -------
    distance, p : array, n
        D squared, and its upper chi-square probability with as many degrees of freedom as directions used;
        NaN without any answer.

    References
    ----------
    Mahalanobis (1936); as an index of careless answers Meade & Craig (2012), Psychological Methods, 17,
    437-455.
    """
    distance = np.full(len(answers), np.nan)
    p = distance.copy()
    usable = (~np.isnan(answers)).sum(axis=0) > 1
    centred = answers[:, usable] - np.nanmean(answers[:, usable], axis=0)
    covariance = _pairwise_covariance(centred)
    patterns, member = np.unique(~np.isnan(centred), axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        if pattern.any():
            rows = np.flatnonzero(member.ravel() == number)
            values, vectors = np.linalg.eigh(covariance[np.ix_(pattern, pattern)])
            real = values > max(values.max(), 0.0) * 1e-10
            scores = centred[np.ix_(rows, pattern)] @ vectors[:, real] / np.sqrt(values[real])
            distance[rows] = (scores**2).sum(axis=1)
            p[rows] = stats.chi2.sf(distance[rows], real.sum()) if real.any() else np.nan
    return distance, p


def _pairwise_covariance(centred: Array) -> Array:
    given = (~np.isnan(centred)).astype(float)
    filled = np.nan_to_num(centred)
    pairs = given.T @ given
    # Means over the pair's own cases, as R's cov(use = "pairwise") has them.
    sums = filled.T @ given
    cross = filled.T @ filled - sums * sums.T / np.maximum(pairs, 1)
    covariance: Array = cross / np.maximum(pairs - 1, 1)
    return covariance


def even_odd(dimensions: Sequence[Array]) -> Array:
    """Do the two halves of a respondent's dimensions disagree?

    Within each respondent, the correlation over the dimensions between the mean of the items in even places
    and the mean of those in odd places, stepped up by Spearman-Brown, 2r / (1 + r), not below -1, and with
    its sign turned, as R ``careless::evenodd`` does since version 1.2: -1 is perfect agreement, more is more
    careless.

    Parameters
    ----------
    dimensions : sequence of arrays, n x items of the dimension
        Answers turned so that more is better.

    Returns
    -------
    array, n
        NaN with fewer than three dimensions answered in both halves, or a half that does not vary.

    References
    ----------
    Jackson, D. N. (1976); Johnson, J. A. (2005), Journal of Research in Personality, 39, 103-129.
    """
    even = np.column_stack([_row_means(d[:, 1::2]) for d in dimensions])
    odd = np.column_stack([_row_means(d[:, 0::2]) for d in dimensions])
    both = ~np.isnan(even) & ~np.isnan(odd)
    count = np.maximum(both.sum(axis=1, keepdims=True), 1)
    even, odd = np.where(both, even, 0.0), np.where(both, odd, 0.0)
    even = np.where(both, even - even.sum(axis=1, keepdims=True) / count, 0.0)
    odd = np.where(both, odd - odd.sum(axis=1, keepdims=True) / count, 0.0)
    spread = np.sqrt((even**2).sum(axis=1) * (odd**2).sum(axis=1))
    defined = (both.sum(axis=1) >= LEAST_PAIRS) & (spread > 1e-12)
    r = np.where(defined, (even * odd).sum(axis=1) / np.where(defined, spread, 1.0), np.nan)
    stepped = 2 * r / np.where(r > -1, 1 + r, np.nan)
    stepped = np.where(r <= -1, -1.0, stepped)
    return -np.clip(stepped, -1.0, 1.0)


def _row_means(values: Array) -> Array:
    count = (~np.isnan(values)).sum(axis=1)
    return np.where(count > 0, np.nansum(values, axis=1) / np.maximum(count, 1), np.nan)
