"""Statistics of answers that no set of answers can have: of counts, moments, scores and thresholds together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from sqmodel.benchmark.content import OVERALL, ItemCounts, ItemMoments, Ordinal, Score, Submission

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
TOLERANCE = 1e-9
"""Of sums of doubles, relative to their size."""
SEMIDEFINITE = 1e-8
"""How far below zero the smallest eigenvalue may be, relative to the largest."""


def answers(submission: Submission) -> Iterator[str]:
    """What is wrong with the items' counts and moments, and with both of them together."""
    moments = submission.moments
    counts = {c.item: c for c in submission.counts}
    for own in submission.counts:
        yield from _ascending(own)
    yield from _sums(submission)
    if moments is None:
        return
    if moments.n > submission.n:
        yield (f"datapackage.json: expected no more respondents who answered all items than scored ones "
               f"({submission.n}), found {moments.n}")  # fmt: skip
    unknown = [i for i in moments.items if i not in counts]
    if unknown:
        yield f"moments.csv: expected items of counts.csv, found {unknown[0]}"
    elif moments.items and moments.n > 0:
        yield from _moments(moments, [counts[i] for i in moments.items])


def _ascending(own: ItemCounts) -> Iterator[str]:
    found = own.categories
    if len(set(found)) < len(found):
        twice = next(k for k in found if found.count(k) > 1)
        yield f"counts.csv, {own.item}: expected every category once, found {twice} {found.count(twice)} times"
    elif list(found) != sorted(found) or len(found) < 2:
        told = ", ".join(map(str, found))
        yield f"counts.csv, {own.item}: expected two categories or more in rising order, found {told}"


def _sums(submission: Submission) -> Iterator[str]:
    """Counts of an item that is told in full sum to the respondents who answered all items, others to fewer."""
    n = submission.moments.n if submission.moments else None
    first = ""
    for own in submission.counts:
        given = [k for k in own.counts if k is not None]
        total, full = sum(given), len(given) == len(own.counts)
        if n is None and full:
            n, first = total, own.item
            if total > submission.n:
                yield f"counts.csv, {own.item}: expected counts that sum to {submission.n} or less, found {total}"
        elif n is not None and full and total != n:
            who = f"as those of {first}" if first else "the respondents who answered all items"
            yield f"counts.csv, {own.item}: expected counts that sum to {n}, {who}, found {total}"
        elif total > (most := submission.n if n is None else n):
            yield f"counts.csv, {own.item}: expected counts that sum to {most} or less, found {total}"


def _moments(moments: ItemMoments, counts: list[ItemCounts]) -> Iterator[str]:
    low = np.array([c.categories[0] for c in counts], dtype=float)
    high = np.array([c.categories[-1] for c in counts], dtype=float)
    mean, variance = moments.mean, np.diag(moments.cov)
    largest = np.maximum(abs(low), abs(high))
    room = TOLERANCE * largest**2
    outside = (mean < low - room) | (mean > high + room)
    most = np.maximum((high - mean) * (mean - low), 0.0)
    bad = outside | (variance < -room) | (variance > most + room)
    for k in np.flatnonzero(bad):
        item = moments.items[k]
        if outside[k]:
            yield f"moments.csv, {item}: expected a mean from {low[k]:g} to {high[k]:g}, found {mean[k]:.6g}"
        elif variance[k] < -room[k]:
            yield f"covariances.csv, {item}: expected a variance from 0 up, found {variance[k]:.6g}"
        else:
            yield (f"covariances.csv, {item}: expected a variance of {most[k]:.6g} or less, as the mean and the scale "
                   f"allow, found {variance[k]:.6g}")  # fmt: skip
    yield from _against_counts(moments, counts, bad)
    yield from _semidefinite(moments.cov, "covariances.csv")
    if not bad.any():
        yield from _whole(moments, largest)


def _against_counts(moments: ItemMoments, counts: list[ItemCounts], skipped: Bools) -> Iterator[str]:
    """Means and variances that the counts of the same respondents give."""
    sums = [sum(c.counts) if None not in c.counts else None for c in counts]  # type: ignore[arg-type]
    told = [k for k, total in enumerate(sums) if total == moments.n and not skipped[k]]
    for categories in dict.fromkeys(counts[k].categories for k in told):
        place = [k for k in told if counts[k].categories == categories]
        value, count = np.array(categories, dtype=float), np.array([counts[k].counts for k in place], dtype=float)
        mean = count @ value / moments.n
        spread = ((value - mean[:, None]) ** 2 * count).sum(axis=1) / moments.n
        room = TOLERANCE * float(abs(value).max() ** 2)
        for found, expected, table, what in (
            (moments.mean[place], mean, "moments.csv", "mean"),
            (np.diag(moments.cov)[place], spread, "covariances.csv", "variance"),
        ):
            for k in np.flatnonzero(abs(found - expected) > room):
                yield (f"{table}, {counts[place[k]].item}: expected the {what} of its counts, {expected[k]:.6g}, found "
                       f"{found[k]:.6g}")  # fmt: skip


def _whole(moments: ItemMoments, largest: Floats) -> Iterator[str]:
    """Answers are whole numbers, so that sums of them and of their products are."""
    n = moments.n
    room = 1e-6 + 10 * TOLERANCE * n * largest
    sums = n * moments.mean
    bad = np.flatnonzero(abs(sums - np.rint(sums)) > room)
    if len(bad):
        item = moments.items[bad[0]]
        yield f"moments.csv, {item}: expected a mean of {n} whole numbers, found {moments.mean[bad[0]]:.6g}"
        return
    products = n * (moments.cov + np.outer(moments.mean, moments.mean))
    off = abs(products - np.rint(products)) > 1e-6 + 10 * TOLERANCE * n * np.outer(largest, largest)
    if off.any():
        i, j = np.argwhere(off)[0]
        yield (f"covariances.csv, {moments.items[i]} and {moments.items[j]}: expected a covariance of {n} whole "
               f"numbers, found {moments.cov[i, j]:.6g}")  # fmt: skip


def _semidefinite(matrix: Floats, place: str) -> Iterator[str]:
    if not len(matrix):
        return
    values = np.linalg.eigvalsh(matrix)
    if values[0] < -SEMIDEFINITE * max(values[-1], TOLERANCE):
        yield f"{place}: expected a positive semidefinite matrix, found the eigenvalue {values[0]:.4g}"


def scores(submission: Submission) -> Iterator[str]:
    """What is wrong with the scores and their covariance."""
    found = submission.scores
    for own in found:
        yield from _score(own, submission.n)
    dimensions = found[1:]
    if not dimensions or submission.score_cov.shape != (len(dimensions), len(dimensions)):
        return
    variance = np.diag(submission.score_cov)
    for own, v in zip(dimensions, variance.tolist(), strict=True):
        if own.se >= 0 and not abs(v - own.se**2) <= TOLERANCE * max(1.0, own.se**2):
            yield (f"score_covariances.csv, {own.scope}: expected the square of its standard error, {own.se**2:.6g}, "
                   f"found {v:.6g}")  # fmt: skip
    yield from _semidefinite(submission.score_cov, "score_covariances.csv")
    # Only of the same respondents is overall a mean of the dimensions that are sent.
    withheld = any(w.table == "scores" for w in submission.withheld)
    if found[0].scope == OVERALL and not withheld and len({s.n for s in found}) == 1:
        low, high = min(s.estimate for s in dimensions), max(s.estimate for s in dimensions)
        if not low - 1e-6 <= found[0].estimate <= high + 1e-6:
            yield (f"scores.csv: expected overall among its dimensions, {low:.6g} to {high:.6g}, found "
                   f"{found[0].estimate:.6g}")  # fmt: skip


def _score(own: Score, n: int) -> Iterator[str]:
    place = f"scores.csv, {own.scope}"
    if not 0 <= own.estimate <= 100:
        yield f"{place}: expected points from 0 to 100, found {own.estimate:.6g}"
    if not own.se >= 0:
        yield f"{place}: expected a standard error from 0 up, found {own.se:.6g}"
    # Half of the answers at either end: nothing from 0 to 100 strays more. Clusters and calibration can add to it.
    elif own.se > 50 * (1 + TOLERANCE):
        yield f"{place}: expected a standard error of 50 or less, found {own.se:.6g}"
    if own.n > n:
        yield f"{place}: expected {n} respondents or fewer, found {own.n}"


def ordinal(found: Ordinal, submission: Submission) -> Iterator[str]:
    """What is wrong with thresholds, polychoric correlations and their covariance."""
    moments, start = found.moments, 0
    for item, categories in zip(found.items, found.categories, strict=True):
        own = moments.thresholds[start : start + categories - 1]
        start += categories - 1
        falls = np.flatnonzero(~(np.diff(own) > 0))
        if len(falls):
            k = falls[0]
            yield f"thresholds.csv, {item}: expected rising thresholds, found {own[k + 1]:.6g} after {own[k]:.6g}"
    largest = abs(moments.cov - np.eye(len(moments.cov))).max(initial=0.0)
    if not largest <= 1:
        yield f"polychorics.csv: expected correlations from -1 to 1, found {largest:.6g} in size"
    yield from _unlike(found, submission)
    if moments.acov is not None and not _nearly_semidefinite(moments.acov):
        yield "polychoric_covariances.csv: expected a positive semidefinite matrix, found one with a negative direction"


def _unlike(found: Ordinal, submission: Submission) -> Iterator[str]:
    """Items and respondents other than those of the counts."""
    scales = {c.item: len(c.categories) for c in submission.counts}
    for item, categories in zip(found.items, found.categories, strict=True):
        most = max(scales.get(item, 0), 1)
        if categories > most:
            yield f"thresholds.csv, {item}: expected {most - 1} thresholds or fewer, found {categories - 1}"
    n = submission.moments.n if submission.moments else submission.n
    if found.moments.n > n or (submission.moments and found.moments.n != n):
        yield f"datapackage.json: expected {n} respondents behind the thresholds, found {found.moments.n:g}"


def _nearly_semidefinite(matrix: Floats) -> bool:
    """By a triangular factor, which is ten times as fast as eigenvalues."""
    room = SEMIDEFINITE * max(float(np.diag(matrix).max(initial=0.0)), TOLERANCE) * len(matrix)
    try:
        np.linalg.cholesky(matrix + room * np.eye(len(matrix)))
    except np.linalg.LinAlgError:
        return False
    return True
