"""The statistics a measurement model is fitted to, from answers or as an institution sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from warnings import warn

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError, ConvergenceWarning, InputError
from sqmodel.numerics.sem import sufficient
from sqmodel.numerics.sem.model import lower
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Patterns

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class GroupMoments:
    """Sufficient statistics of one group.

    Attributes
    ----------
    n : float
        Respondents (sum of weights).
    cov : array, p x p
        Divisor n; for ordered items polychoric correlations.
    mean : array, p
        Zeros for ordered items.
    thresholds : array, t
        Of ordered items, item after item.
    acov : array or None
        n times the covariance of (thresholds, correlations below the diagonal column by column).
    """

    n: float
    cov: Floats
    mean: Floats
    thresholds: Floats = field(default_factory=lambda: np.zeros(0))
    acov: Floats | None = None


@dataclass(frozen=True)
class Moments:
    """Sufficient statistics by group: all that `confirm` needs where the answers may not leave an institution.

    Attributes
    ----------
    items : tuple of str
    groups : dict
        GroupMoments by label; one group has the label "".
    categories : dict
        Categories of each ordered item; empty for continuous items.
    answers : tuple of Answers
        The answers behind each group, where they are at hand: robust statistics of continuous data need them.
    samples : tuple
        Patterns of incomplete data; empty otherwise.
    left_out : int
        Respondents with missing answers who were left out.
    notes : tuple of str
        What was done to the data.
    """

    items: tuple[str, ...]
    groups: Mapping[str, GroupMoments]
    categories: Mapping[str, int] = field(default_factory=dict)
    answers: tuple[Answers, ...] = ()
    samples: tuple[Patterns, ...] = ()
    left_out: int = 0
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> float:
        """Respondents of all groups."""
        return float(sum(g.n for g in self.groups.values()))

    def select(self, items: Sequence[str]) -> Moments:
        """The same statistics for some of the items, in another order.

        Raises
        ------
        InputError
            Items that are not among them.
        """
        if tuple(items) == self.items:
            return self
        unknown = [i for i in items if i not in self.items]
        if unknown:
            raise InputError("moments", [f"expected items of {', '.join(self.items)}, found {i!r}" for i in unknown])
        place = [self.items.index(i) for i in items]
        counts = [self.categories.get(i, 1) - 1 for i in self.items]
        groups = {k: _selected(g, place, counts) for k, g in self.groups.items()}
        answers = tuple(a._replace(x=a.x[:, place]) for a in self.answers)
        categories = {i: self.categories[i] for i in items if i in self.categories}
        found = replace(self, items=tuple(items), groups=groups, categories=categories, answers=answers)
        if not self.samples:
            return found
        # Free moments of some items are not those of all: the other items say something of the missing answers.
        samples, notes = incomplete(list(groups), answers)
        return replace(found, samples=samples, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def normal(self) -> Sequence[Normal | Patterns]:
        """For maximum likelihood."""
        if self.samples:
            return list(self.samples)
        return [Normal.of(g.n, g.mean, g.cov) for g in self.groups.values()]

    def least_squares(self, *, weighted: bool = True) -> list[LeastSquares]:
        """For least squares on thresholds and correlations, weighted by the inverse of their variances or not."""
        row, column = lower(len(self.items), diagonal=False)
        out = []
        for g in self.groups.values():
            observed = np.concatenate([g.thresholds, g.cov[row, column]])
            if g.acov is None:
                raise ComputationError(
                    "expected the covariance of thresholds and correlations, found none; supply acov"
                )
            out.append(LeastSquares(g.n, observed, 1 / np.diag(g.acov) if weighted else np.ones(len(observed))))
        return out


def _selected(group: GroupMoments, place: Sequence[int], counts: Sequence[int]) -> GroupMoments:
    """One group's statistics of the items at `place`; `counts` are the thresholds of all items."""
    ends = np.cumsum([0, *counts])
    threshold = np.concatenate([np.arange(ends[i], ends[i + 1]) for i in place]).astype(int)
    p = len(counts)
    acov = None
    if group.acov is not None:
        number = np.zeros((p, p), dtype=int)
        row, column = lower(p, diagonal=False)
        number[row, column] = number[column, row] = np.arange(len(row)) + ends[-1]
        row, column = lower(len(place), diagonal=False)
        chosen = np.array(place)
        keep = np.concatenate([threshold, number[chosen[row], chosen[column]]])
        acov = group.acov[np.ix_(keep, keep)]
    return replace(
        group, cov=group.cov[np.ix_(place, place)], mean=group.mean[place], thresholds=group.thresholds[threshold],
        acov=acov,
    )  # fmt: skip


def incomplete(labels: Sequence[str], answers: Sequence[Answers]) -> tuple[tuple[Patterns, ...], tuple[str, ...]]:
    """Each group's patterns with their free moments, and what is to be doubted of them, also by a warning."""
    samples, notes = [], []
    for label, own in zip(labels, answers, strict=True):
        samples.append(sufficient.incomplete_sample(own))
        if not samples[-1].settled:
            where = f" of group {label}" if label != "" else ""
            notes.append(
                f"the free means and covariances{where} of the incomplete answers still moved after "
                f"{sufficient.EM_STEPS} steps: chi-square and fit indices are approximate; "
                "leave out items that few answered"
            )
            warn(notes[-1], ConvergenceWarning, stacklevel=5)
    return tuple(samples), tuple(notes)
