"""The statistics a measurement model is fitted to, from answers or as an institution sent them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from warnings import warn

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, ConvergenceWarning, InputError, PositiveDefiniteWarning
from sqmodel.numerics.polychoric import Polychoric, codes_of, polychoric
from sqmodel.numerics.sem import robust
from sqmodel.numerics.sem.estimation import complete_sample, incomplete_sample
from sqmodel.numerics.sem.model import lower
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.samples import LeastSquares, Normal, Patterns
from sqmodel.survey.responses import Responses

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
        samples, notes = _incomplete(list(groups), answers)
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


def _incomplete(labels: Sequence[str], answers: Sequence[Answers]) -> tuple[tuple[Patterns, ...], tuple[str, ...]]:
    """Each group's patterns with their free moments, and what is to be doubted of them, also by a warning."""
    samples, notes = [], []
    for label, own in zip(labels, answers, strict=True):
        samples.append(incomplete_sample(own))
        if not samples[-1].settled:
            where = f" of group {label}" if label != "" else ""
            notes.append(
                f"the free means and covariances{where} of the incomplete answers still moved after "
                f"{robust.EM_STEPS} steps: chi-square and fit indices are approximate; "
                "leave out items that few answered"
            )
            warn(notes[-1], ConvergenceWarning, stacklevel=5)
    return tuple(samples), tuple(notes)


class Source:
    """Answers to some items with groups, weights and clusters beside them.

    Parameters
    ----------
    data : Responses or DataFrame
    items : sequence of str
    group, cluster, weight : str or array, optional
        Column name or values, one a respondent; responses bring their own weights.
    """

    def __init__(
        self,
        data: Responses | pd.DataFrame,
        items: Sequence[str],
        *,
        group: str | Sequence[object] | None = None,
        cluster: str | Sequence[object] | None = None,
        weight: str | npt.ArrayLike | None = None,
    ) -> None:
        whole = data.frame if isinstance(data, Responses) else data
        frame = data.items if isinstance(data, Responses) else data
        known = [str(c) for c in frame.columns]
        problems = [f"expected a column of the data, found {c!r} in the model" for c in items if c not in known]
        for role, name in (("group", group), ("cluster", cluster), ("weight", weight)):
            if isinstance(name, str) and name not in whole.columns:
                problems.append(f"expected a column for {role}, found no {name!r}")
        if problems:
            raise InputError("data", problems, f"the data have {', '.join(known[:12])}{', ...' * (len(known) > 12)}")
        self.items = tuple(items)
        self.x = frame.set_axis(known, axis=1)[list(items)].to_numpy(dtype=float)
        self.group = _labels(whole, group)
        self.cluster = _labels(whole, cluster)
        if weight is None and isinstance(data, Responses) and np.ptp(data.sample_weight) > 0:
            weight = data.sample_weight
        values = whole[weight] if isinstance(weight, str) else weight
        self.weight = None if values is None else np.asarray(values, dtype=float)
        self.kept = np.ones(len(self.x), dtype=bool)

    def collect(self, *, ordered: bool = False, missing: str = "listwise") -> Moments:
        """Sufficient statistics of every group.

        Raises
        ------
        ComputationError
            Constant items, fewer respondents than items, items that repeat others, categories empty in a group.
        """
        keep = ~np.isnan(self.x).any(axis=1) if missing == "listwise" or ordered else ~np.isnan(self.x).all(axis=1)
        if self.group is not None:
            keep &= ~pd.isna(self.group)
        self.kept = keep
        labels = [""] if self.group is None else _order(self.group[keep])
        masks = [keep if self.group is None else keep & (self.group == label) for label in labels]
        self._check(labels, masks)
        out = Moments(self.items, {}, left_out=int((~keep).sum()))
        if ordered:
            return self._ordered(out, labels, masks)
        answers = tuple(self._answers(mask) for mask in masks)
        if missing == "fiml":
            samples, notes = _incomplete([str(k) for k in labels], answers)
            groups = {str(k): GroupMoments(s.n, s.cov, s.mean) for k, s in zip(labels, samples, strict=True)}
            return replace(out, groups=groups, answers=answers, samples=samples, notes=notes)
        groups = {}
        for label, a in zip(labels, answers, strict=True):
            sample = complete_sample(a)
            self._positive(label, sample.cov, a.n)
            groups[str(label)] = GroupMoments(sample.n, sample.cov, sample.mean)
        return replace(out, groups=groups, answers=answers)

    def complete(self) -> Answers:
        """Of those who answered every item, over all groups.

        Raises
        ------
        ComputationError
            Constant items, or fewer respondents than items.
        """
        self.kept = ~np.isnan(self.x).any(axis=1)
        self._check([""], [self.kept])
        return self._answers(self.kept)

    def _answers(self, mask: npt.NDArray[np.bool_]) -> Answers:
        weight = None
        if self.weight is not None:
            # Scaled to the number of respondents used, over all groups, as lavaan does.
            weight = self.weight[mask] * (self.kept.sum() / self.weight[self.kept].sum())
        cluster = None if self.cluster is None else np.unique(self.cluster[mask], return_inverse=True)[1]
        x = self.x if mask.all() else self.x[mask]
        return Answers(x, weight, cluster)

    def _check(self, labels: Sequence[object], masks: Sequence[npt.NDArray[np.bool_]]) -> None:
        problems = []
        for label, mask in zip(labels, masks, strict=True):
            where = f" in group {label}" if label != "" else ""
            n = int(mask.sum())
            if n <= len(self.items):
                problems.append(f"expected more respondents than the {len(self.items)} items{where}, found {n}")
                continue
            x = self.x[mask]
            with np.errstate(invalid="ignore"):
                constant = np.nanmax(x, axis=0) == np.nanmin(x, axis=0)
            if constant.any():
                names = ", ".join(np.array(self.items)[constant][:5])
                problems.append(f"expected answers that differ{where}, found one answer only for {names}")
        if problems:
            raise ComputationError("; ".join(problems) + "; leave out items or groups")

    def _positive(self, label: object, cov: Floats, n: float) -> None:
        deviation = np.sqrt(np.diag(cov))
        R = cov / np.outer(deviation, deviation)
        values, vectors = np.linalg.eigh(R)
        if values[0] > 1e-10:
            return
        same = [
            f"{self.items[i]} and {self.items[j]}"
            for i, j in zip(*np.triu_indices(len(R), 1), strict=True)
            if abs(R[i, j]) > 1 - 1e-10
        ]
        involved = np.flatnonzero(np.abs(vectors[:, 0]) > 1e-4)
        which = "; the same answers to " + ", ".join(same[:5]) if same else (
            "; sums of each other: " + ", ".join(self.items[i] for i in involved[:8])
        )  # fmt: skip
        where = f" in group {label}" if label != "" else ""
        raise ComputationError(
            f"expected a positive definite covariance matrix{where}, found a singular one{which}; "
            "leave out the items that repeat others"
        )

    def _ordered(self, out: Moments, labels: Sequence[object], masks: Sequence[npt.NDArray[np.bool_]]) -> Moments:
        union = masks[0].copy()
        for mask in masks[1:]:
            union |= mask
        codes, values = codes_of(self.x[union] if not union.all() else self.x)
        groups, notes = {}, []
        problems = []
        for label, mask in zip(labels, masks, strict=True):
            own = codes[mask[union]] if len(masks) > 1 else codes
            if len(masks) > 1:
                problems += self._empty(label, own, values)
            if problems:
                continue
            weight = self._answers(mask).weight
            found = polychoric(own, weight=weight)
            R = found.correlation
            notes += self._notes(label, found)
            groups[str(label)] = GroupMoments(found.n, R, np.zeros(len(R)), found.thresholds, found.acov)
        if problems:
            raise ComputationError("; ".join(problems) + "; merge these categories with their neighbours in all groups")
        for note in notes:
            warn(note, PositiveDefiniteWarning, stacklevel=4)
        categories = {item: len(v) for item, v in zip(self.items, values, strict=True)}
        return replace(out, groups=groups, categories=categories, notes=tuple(notes))

    def _empty(self, label: object, codes: npt.NDArray[np.uint8], values: Sequence[Floats]) -> list[str]:
        problems = []
        for k, (item, found) in enumerate(zip(self.items, values, strict=True)):
            counts = np.bincount(codes[:, k], minlength=len(found))
            gone = [f"{found[c]:g}" for c in np.flatnonzero(counts == 0)]
            if gone:
                problems.append(
                    f"expected every category of {item} in group {label}, found nobody in {', '.join(gone)}"
                )
        return problems

    def _notes(self, label: object, found: Polychoric) -> list[str]:
        where = f" of group {label}" if label != "" else ""
        notes = []
        if np.linalg.eigvalsh(found.correlation)[0] < 1.5e-8:
            notes.append(f"the polychoric correlations{where} are not positive definite: no robust indices")
        for i, j in found.at_bound:
            pair = f"{self.items[i]} and {self.items[j]}"
            notes.append(f"the polychoric correlation of {pair}{where} reached its bound; do both ask the same?")
        return notes


def _labels(frame: pd.DataFrame, given: str | Sequence[object] | None) -> npt.NDArray[np.object_] | None:
    if given is None:
        return None
    return np.asarray(frame[given] if isinstance(given, str) else given, dtype=object)


def _order(labels: npt.NDArray[np.object_]) -> list[object]:
    """Groups in the order of their first respondent, as lavaan has them."""
    return list(dict.fromkeys(labels.tolist()))
