"""Many institutions' moments as one sample: what an analysis of all answers would give, without any answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple
from warnings import warn

import numpy as np
import pandas as pd

from sqmodel.benchmark.content import OVERALL, ItemMoments, Submission
from sqmodel.errors import ComputationError, InputError, SmallSampleWarning
from sqmodel.measurement.moments import GroupMoments, Moments

LEFT_OUT = ["institution", "reason"]
POOLED = ["scope", "n", "estimate", "se"]
_SINGULAR = 1e-10
"""Smallest eigenvalue of the correlations below which no model can be fitted, as for answers."""


class Usable(NamedTuple):
    """Who can be pooled.

    Attributes
    ----------
    submissions : tuple of Submission
    left_out : DataFrame
        institution, reason.
    items : tuple of str
        The items that they were asked for.
    """

    submissions: tuple[Submission, ...]
    left_out: pd.DataFrame
    items: tuple[str, ...]


def pool_moments(submissions: Sequence[Submission], *, items: Sequence[str] | None = None) -> ItemMoments:
    """What are means and covariances of all institutions' clients together?

    Exactly those of the pooled answers: N = sum n_g, M = sum n_g m_g / N, and S = sum n_g (S_g + (m_g - M)(m_g - M)')
    / N, within and between institutions (divisor N, as ML has it). An institution that withholds a needed item's
    moments is left out as a whole, and a SmallSampleWarning names it: covariances of different people for different
    items would not belong to any sample.

    Parameters
    ----------
    submissions : sequence of Submission
        One of each institution, of the same questionnaire.
    items : sequence of str, optional
        What is needed; by default every item that somebody sent.

    Raises
    ------
    ComputationError
        Nobody has all items.
    InputError
        Two submissions of an institution, or different questionnaires.
    """
    found = usable(submissions, items=items)
    parts = [_selected(s, found.items) for s in _somebody(found)]
    _name(found.left_out)
    sizes = np.array([p.n for p in parts], dtype=float)
    means = np.array([p.mean for p in parts])
    share = sizes / sizes.sum()
    mean = share @ means
    away = means - mean
    within = np.einsum("g,gij->ij", share, np.array([p.cov for p in parts]))
    cov = within + (away * share[:, None]).T @ away
    return ItemMoments(found.items, int(sizes.sum()), mean, (cov + cov.T) / 2)


def group_moments(submissions: Sequence[Submission], *, items: Sequence[str] | None = None) -> Moments:
    """The institutions as groups of a measurement model: all that `compare_groups`, `confirm` and `align` need.

    Parameters
    ----------
    submissions, items
        As for `pool_moments`; who is left out is also in the notes of the result.

    Raises
    ------
    ComputationError
        Nobody has all items.
    InputError
        Two submissions of an institution, or different questionnaires.
    """
    found = usable(submissions, items=items)
    kept = _somebody(found)
    _name(found.left_out)
    return grouped(kept, found.items, _names_note(found.left_out))


def grouped(submissions: Sequence[Submission], items: Sequence[str], notes: tuple[str, ...] = ()) -> Moments:
    """Moments of institutions that are known to have these items."""
    groups = {}
    for s in submissions:
        own = _selected(s, items)
        groups[s.institution] = GroupMoments(float(own.n), own.cov, own.mean)
    return Moments(tuple(items), groups, notes=notes)


def usable(submissions: Sequence[Submission], *, items: Sequence[str] | None = None, minimum_n: int = 2) -> Usable:
    """Who sent moments of all needed items, of enough clients, from which a model can be fitted?

    Parameters
    ----------
    submissions : sequence of Submission
    items : sequence of str, optional
        By default every item that somebody sent.
    minimum_n : int
        Complete answers.

    Raises
    ------
    InputError
        Two submissions of an institution, or different questionnaires.
    """
    _check(submissions)
    needed = tuple(items) if items is not None else _union(submissions)
    reasons = {s.institution: _reason(s, needed, minimum_n) for s in submissions}
    rows = [(code, reason) for code, reason in reasons.items() if reason]
    kept = tuple(s for s in submissions if not reasons[s.institution])
    return Usable(kept, pd.DataFrame(rows, columns=LEFT_OUT), needed)


def pooled_scores(
    moments: ItemMoments,
    structure: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[float, float]],
    weights: Mapping[str, float] | None = None,
) -> pd.DataFrame:
    """The index of all clients together, from moments alone.

    A dimension is the mean of its items, each rescaled to 0-100; the index is the weighted mean of the dimensions.
    Both are linear in the items, so that estimates are w'M and standard errors sqrt(w'S w / (n - 1)) (S with divisor
    n), as for the mean of a random sample of the respondents' scores: what the institutions are, is taken as given.

    Parameters
    ----------
    moments : ItemMoments
        As `pool_moments` gives them, or of one institution.
    structure : mapping
        Items by dimension; items that the moments do not have are refused.
    scales : mapping
        Least and largest answer of each item.
    weights : mapping, optional
        Of the dimensions; equal by default. They are scaled to add up to 1.

    Returns
    -------
    DataFrame
        scope (``overall``, then the dimensions), n, estimate, se.

    Raises
    ------
    InputError
        Items without moments or scale, scales the wrong way round, weights that are missing, negative or all zero.
    """
    _check_scores(moments, structure, scales, weights)
    at = {item: k for k, item in enumerate(moments.items)}
    rows, start = np.zeros((len(structure), len(at))), np.zeros(len(structure))
    for d, items in enumerate(structure.values()):
        for item in items:
            low, high = scales[item]
            rows[d, at[item]] = 100 / (high - low) / len(items)
            start[d] -= low * 100 / (high - low) / len(items)
    share = np.array([1.0 if weights is None else weights[d] for d in structure])
    share = share / share.sum()
    combined = np.vstack([share @ rows, rows])
    estimate = combined @ moments.mean + np.concatenate([[share @ start], start])
    variance = np.einsum("si,ij,sj->s", combined, moments.cov, combined) / (moments.n - 1)
    scopes = [OVERALL, *structure]
    columns = (scopes, [moments.n] * len(scopes), estimate, np.sqrt(np.maximum(variance, 0.0)))
    return pd.DataFrame(dict(zip(POOLED, columns, strict=True)))


def _check(submissions: Sequence[Submission]) -> None:
    """One submission an institution, one questionnaire."""
    counts = Counter(s.institution for s in submissions)
    problems = [
        f"expected one submission of each institution, found {count} of {code}; choose a quarter"
        for code, count in counts.items() if count > 1
    ]  # fmt: skip
    kinds = Counter(s.instrument.digest for s in submissions)
    if len(kinds) > 1:
        common = kinds.most_common(1)[0][0]
        others = [s.institution for s in submissions if s.instrument.digest != common]
        problems.append(f"expected the same questionnaire of all, found another of {_some(others)}")
    if problems:
        raise InputError("submissions", problems)


def _union(submissions: Iterable[Submission]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(i for s in submissions if s.moments is not None for i in s.moments.items))


def _reason(submission: Submission, items: Sequence[str], minimum_n: int) -> str:
    """Why an institution cannot be pooled; "" where it can."""
    own = submission.moments
    if own is None:
        return "no moments of the items were sent"
    if own.n < minimum_n:
        return f"{own.n} complete answers, fewer than {minimum_n}"
    gone = [i for i in items if i not in own.items]
    if gone:
        return f"the moments of {_some(gone)} are withheld"
    if own.n <= len(items):
        return f"{own.n} complete answers to {len(items)} items"
    chosen = _selected(submission, items)
    variance = np.diag(chosen.cov)
    if not (variance > 0).all():
        constant = [i for i, v in zip(items, variance, strict=True) if not v > 0]
        return f"one answer only to {_some(constant)}"
    deviation = np.sqrt(variance)
    if not np.linalg.eigvalsh(chosen.cov / np.outer(deviation, deviation))[0] > _SINGULAR:
        return "the covariance matrix is singular: some items repeat others"
    return ""


def _selected(submission: Submission, items: Sequence[str]) -> ItemMoments:
    own = submission.moments
    if own is None:
        raise ComputationError(f"expected moments of {submission.institution}, found none")
    if own.items == tuple(items):
        return own
    place = [own.items.index(i) for i in items]
    return ItemMoments(tuple(items), own.n, own.mean[place], own.cov[np.ix_(place, place)])


def _somebody(found: Usable) -> tuple[Submission, ...]:
    if not found.submissions:
        reasons = "; ".join(f"{r.institution}: {r.reason}" for r in found.left_out.head(5).itertuples())
        raise ComputationError(
            f"expected an institution with the moments of all items, found none of {len(found.left_out)} "
            f"({reasons or 'no submission'}); ask for fewer items"
        )
    return found.submissions


def _name(left_out: pd.DataFrame) -> None:
    for note in _names_note(left_out):
        warn(note, SmallSampleWarning, stacklevel=3)


def _names_note(left_out: pd.DataFrame) -> tuple[str, ...]:
    if left_out.empty:
        return ()
    reasons = [f"{r.institution} ({r.reason})" for r in left_out.itertuples()]
    return (f"not pooled: {_some(reasons)}",)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check_scores(
    moments: ItemMoments,
    structure: Mapping[str, Sequence[str]],
    scales: Mapping[str, tuple[float, float]],
    weights: Mapping[str, float] | None,
) -> None:
    problems = [] if structure else ["expected dimensions, found none"]
    for dimension, items in structure.items():
        if not items:
            problems.append(f"{dimension}: expected items, found none")
        for item in items:
            if item not in moments.items:
                problems.append(f"{dimension}: expected moments of {item}, found none; it may be withheld")
            if item not in scales:
                problems.append(f"{dimension}: expected a scale of {item}, found none")
            elif not scales[item][0] < scales[item][1]:
                low, high = scales[item]
                problems.append(f"{dimension}: expected a scale of {item} from low to high, found {low:g} to {high:g}")
    if weights is not None:
        wrong = [d for d in structure if not weights.get(d, -1.0) >= 0]
        problems += [f"weights: expected a weight of {d} that is not negative, found {weights.get(d)}" for d in wrong]
        if not wrong and structure and not sum(weights[d] for d in structure) > 0:
            problems.append("weights: expected a weight above 0, found only zeros")
    if problems:
        raise InputError("pooled scores", problems)
