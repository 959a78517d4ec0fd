"""Answers to some items with groups, weights and clusters beside them, and the statistics they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from warnings import warn

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError, PositiveDefiniteWarning
from sqmodel.measurement.moments import Floats, GroupMoments, Moments, incomplete
from sqmodel.numerics.polychoric import Polychoric, codes_of, polychoric
from sqmodel.numerics.sem.robust import Answers
from sqmodel.numerics.sem.sufficient import complete_sample
from sqmodel.survey.responses import Responses


class Source:
    """Answers to some items with groups, weights and clusters beside them.

    Parameters
    ----------
    data : Responses or DataFrame
    items : sequence of str
    group, cluster, weight : str or array, optional
        Column name or values, one a respondent; responses bring their own weights.

    Raises
    ------
    InputError
        With all problems: columns that are not there, arrays of another length, weights that are no weights,
        respondents without a cluster.
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
        remedy = f"the data have {', '.join(known[:12])}{', ...' * (len(known) > 12)}" if problems else ""
        if weight is None and isinstance(data, Responses) and np.ptp(data.sample_weight) > 0:
            weight = data.sample_weight
        beside = {"group": group, "cluster": cluster, "weight": weight}
        problems += [p for role, given in beside.items() for p in _beside_problems(whole, role, given)]
        if problems:
            raise InputError("data", problems, remedy)
        self.items = tuple(items)
        self.x = frame.set_axis(known, axis=1)[list(items)].to_numpy(dtype=float)
        self.group = _labels(whole, group)
        self.cluster = _labels(whole, cluster)
        values = whole[weight] if isinstance(weight, str) else weight
        self.weight = None if values is None else np.asarray(values, dtype=float)
        self.kept = np.ones(len(self.x), dtype=bool)

    def collect(self, *, ordered: bool = False, missing: str = "listwise") -> Moments:
        """Sufficient statistics of every group.

        Raises
        ------
        ComputationError
            Constant items, items that nobody answered, fewer respondents than items, items that repeat others,
            categories empty in a group, one cluster only, weights that are all zero in a group.
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
            samples, notes = incomplete([str(k) for k in labels], answers)
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
        cluster = None if self.cluster is None else pd.factorize(self.cluster[mask])[0]
        x = self.x if mask.all() else self.x[mask]
        return Answers(x, weight, cluster)

    def _check(self, labels: Sequence[object], masks: Sequence[npt.NDArray[np.bool_]]) -> None:
        problems = [] if masks else ["expected respondents with answers and a group, found none"]
        for label, mask in zip(labels, masks, strict=True):
            where = f" in group {label}" if label != "" else ""
            n = int(mask.sum())
            if n <= len(self.items):
                problems.append(f"expected more respondents than the {len(self.items)} items{where}, found {n}")
                continue
            problems += self._beside(where, mask)
            x = self.x[mask]
            silent = np.isnan(x).all(axis=0)
            if silent.any():
                problems.append(f"expected answers to every item{where}, found none to {self._names(silent)}")
            constant = ~silent
            constant[~silent] = np.nanmax(x[:, ~silent], axis=0) == np.nanmin(x[:, ~silent], axis=0)
            if constant.any():
                problems.append(
                    f"expected answers that differ{where}, found one answer only for {self._names(constant)}"
                )
        if problems:
            raise ComputationError("; ".join(problems) + "; leave out items or groups")

    def _beside(self, where: str, mask: npt.NDArray[np.bool_]) -> list[str]:
        """What clusters and weights lack in one group."""
        problems = []
        if self.cluster is not None and (count := len(pd.unique(self.cluster[mask]))) < 2:
            problems.append(f"expected at least two clusters{where}, found {count}")
        if self.weight is not None and not self.weight[mask].sum() > 0:
            problems.append(f"expected weights with a positive sum{where}, found only zeros")
        return problems

    def _names(self, which: npt.NDArray[np.bool_]) -> str:
        found = np.array(self.items)[which]
        return ", ".join(found[:5]) + (f" and {len(found) - 5} more" if len(found) > 5 else "")

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


def _beside_problems(frame: pd.DataFrame, role: str, given: str | Sequence[object] | npt.ArrayLike | None) -> list[str]:
    """What is wrong with the values of one role, of those that are there."""
    if given is None or (isinstance(given, str) and given not in frame.columns):
        return []
    values = pd.Series(np.asarray(frame[given] if isinstance(given, str) else given, dtype=object))
    if len(values) != len(frame):
        return [f"expected one {role} a respondent, {len(frame)} in all, found {len(values)}"]
    if role == "cluster" and values.isna().any():
        return [f"expected a cluster of every respondent, found none for {int(values.isna().sum())}"]
    if role != "weight":
        return []
    numbers = pd.to_numeric(values, errors="coerce")
    wrong = ~(np.isfinite(numbers) & (numbers >= 0))
    if wrong.any():
        some = ", ".join(str(v) for v in values[wrong].unique()[:5])
        return [f"expected finite weights that are not negative, found {some} for {int(wrong.sum())} respondents"]
    return [] if numbers.sum() > 0 else ["expected weights with a positive sum, found only zeros"]


def _labels(frame: pd.DataFrame, given: str | Sequence[object] | None) -> npt.NDArray[np.object_] | None:
    if given is None:
        return None
    return np.asarray(frame[given] if isinstance(given, str) else given, dtype=object)


def _order(labels: npt.NDArray[np.object_]) -> list[object]:
    """Groups in the order of their first respondent, as lavaan has them."""
    return list(dict.fromkeys(labels.tolist()))
