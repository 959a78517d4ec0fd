"""Calibration: weights that make the respondents match what is known of all clients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from warnings import warn

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ConvergenceWarning, Problem, ResponsesError
from sqmodel.result import Result
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]
Margins = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, repr=False)
class Calibration(Result):
    """Raked weights with the certificate that they reach the margins.

    Attributes
    ----------
    n : int
        Respondents.
    settings : dict
        trim, max_iter, tolerance.
    weights : Series
        Weight of each respondent, mean 1.
    margins : DataFrame
        group, value, respondents, target, before, after (shares of 1).
    design : DataFrame, n x columns of full rank
        The constant and dummy columns of the margins; intervals use it.
    converged : bool
        Whether every margin is within `tolerance` and every weight within `trim`.
    iterations : int
    deviation : float
        Largest distance of a weighted share from its target.
    effective_n : float
        Kish's effective sample size, (sum w)^2 / sum w^2.
    """

    n: int
    settings: dict[str, Any]
    weights: pd.Series[float]
    margins: pd.DataFrame
    design: pd.DataFrame
    converged: bool
    iterations: int
    deviation: float
    effective_n: float

    def _headline(self) -> str:
        state = "converged" if self.converged else "NOT converged"
        span = f"weights {self.weights.min():.2f} to {self.weights.max():.2f}"
        return (
            f"{state} after {self.iterations} iterations, largest deviation {self.deviation:.1e}, "
            f"{span}, effective n {self.effective_n:.1f} of {self.n}"
        )

    def tables(self) -> dict[str, pd.DataFrame]:
        """The margins only: the design has a row for every respondent."""
        return {"margins": self.margins}

    def apply(self, responses: Responses) -> Responses:
        """The responses with these weights; the certificate becomes a row of `reading.changes`."""
        frame = responses.frame.assign(sample_weight=self.weights.to_numpy())
        row = {"kind": "raked", "column": "sample_weight", "count": self.n, "examples": self._headline()}
        changes = pd.DataFrame([*responses.reading.changes.to_dict("records"), row])
        reading = replace(responses.reading, changes=changes)
        return replace(responses, frame=frame, reading=reading, calibration=self.design)


def rake(
    responses: Responses,
    margins: Margins,
    *,
    trim: float | None = None,
    max_iter: int = 100,
    tolerance: float = 1e-8,
) -> Responses:
    """Weight the respondents so that their groups have the shares known of all clients.

    The same as ``calibrate(...).apply(responses)``; call `calibrate` to see the certificate and the margins.

    Parameters
    ----------
    responses : Responses
    margins : mapping of group code to mapping of value to share or count
        Shares sum to 1 in each margin; counts (any value above 1) to the same total in every margin.
    trim : float, optional
        Greatest weight allowed, as a multiple of the mean weight.
    max_iter : int
        Sweeps over all margins.
    tolerance : float
        Greatest distance of a weighted share from its target.

    Returns
    -------
    Responses
        With column ``sample_weight`` (mean 1) and `calibration`.

    Raises
    ------
    ResponsesError
        The margins cannot be reached: unknown group, a value without respondents or without target,
        respondents without label, negative shares, shares that do not sum to 1. All in one message.

    Warns
    -----
    ConvergenceWarning
        The margins contradict each other or `trim`, so that no weights reach them all.
    """
    return calibrate(responses, margins, trim=trim, max_iter=max_iter, tolerance=tolerance).apply(responses)


def calibrate(
    responses: Responses,
    margins: Margins,
    *,
    trim: float | None = None,
    max_iter: int = 100,
    tolerance: float = 1e-8,
) -> Calibration:
    """Which weights give the respondents the known margins, and at what loss of precision?

    Raking, or iterative proportional fitting: the weights at hand are multiplied, margin by margin, until all
    agree. With `trim`, weights above it are cut in every sweep before the margins are fitted again.
    Parameters, errors and warnings as in `rake`.

    References
    ----------
    Deming, W. E. & Stephan, F. F. (1940), Annals of Mathematical Statistics, 11, 427-444. Kish, L. (1992),
    Journal of Official Statistics, 8, 183-200.
    """
    problems = _impossible(responses, margins, trim)
    if problems:
        remedy = "correct the margins, or merge or leave out values so that respondents and margins agree"
        raise ResponsesError(responses.reading.source or "responses", problems, remedy)
    targets = {g: _shares(values) for g, values in margins.items()}
    members = {g: _membership(responses, g, list(t)) for g, t in targets.items()}
    goal = {g: np.array(list(t.values())) for g, t in targets.items()}
    start = responses.sample_weight
    weight, iterations = _fit(start, members, goal, trim, max_iter, tolerance)
    deviation = _deviation(weight, members, goal)
    converged = bool(deviation <= tolerance and _within(weight, trim))
    result = Calibration(
        n=len(responses),
        settings={"trim": trim, "max_iter": max_iter, "tolerance": tolerance},
        weights=pd.Series(weight, name="sample_weight"),
        margins=_comparison(targets, members, start, weight),
        design=_design(targets, members),
        converged=converged,
        iterations=iterations,
        deviation=deviation,
        effective_n=float(weight.sum() ** 2 / (weight**2).sum()),
    )
    if not converged:
        warn(f"raking: expected all margins to be reached, found {result!r}", ConvergenceWarning, stacklevel=2)
    return result


def _fit(
    start: Array,
    members: dict[str, Array],
    goal: dict[str, Array],
    trim: float | None,
    max_iter: int,
    tolerance: float,
) -> tuple[Array, int]:
    weight = start / start.mean()
    for iteration in range(max_iter):
        if _deviation(weight, members, goal) <= tolerance and _within(weight, trim):
            return weight, iteration
        if trim is not None:
            weight = np.minimum(weight, trim)
        for group, member in members.items():
            share = weight @ member / weight.sum()
            weight = weight * (member @ (goal[group] / share))
        weight = weight / weight.mean()
    return weight, max_iter


def _within(weight: Array, trim: float | None) -> bool:
    return trim is None or bool(weight.max() <= trim * (1 + 1e-6))


def _deviation(weight: Array, members: dict[str, Array], goal: dict[str, Array]) -> float:
    return max(float(np.abs(weight @ m / weight.sum() - goal[g]).max()) for g, m in members.items())


def _shares(values: Mapping[str, float]) -> dict[str, float]:
    """Shares of 1, without values that neither clients nor respondents have."""
    total = sum(values.values())
    return {str(v): share / total for v, share in values.items() if share > 0}


def _membership(responses: Responses, group: str, values: list[str]) -> Array:
    labels = responses.frame[group].to_numpy()
    return np.column_stack([(labels == v).astype(float) for v in values])


def _comparison(
    targets: dict[str, dict[str, float]], members: dict[str, Array], before: Array, after: Array
) -> pd.DataFrame:
    rows = []
    for group, target in targets.items():
        for position, (value, share) in enumerate(target.items()):
            member = members[group][:, position]
            shares = [weight @ member / weight.sum() for weight in (before, after)]
            rows.append((group, value, int(member.sum()), share, *shares))
    return pd.DataFrame(rows, columns=["group", "value", "respondents", "target", "before", "after"])


def _design(targets: dict[str, dict[str, float]], members: dict[str, Array]) -> pd.DataFrame:
    """The constant and the dummy columns that add to the rank; each margin's last value is implied."""
    n = len(next(iter(members.values())))
    columns: dict[str, Array] = {"constant": np.ones(n)}
    basis = np.ones((n, 1)) / np.sqrt(n)
    for group, target in targets.items():
        for position, value in enumerate(target):
            column = members[group][:, position]
            rest = column - basis @ (basis.T @ column)
            rest = rest - basis @ (basis.T @ rest)
            length = float(np.linalg.norm(rest))
            if length > 1e-8 * np.sqrt(n):
                columns[f"{group}={value}"] = column
                basis = np.column_stack([basis, rest / length])
    return pd.DataFrame(columns)


def _impossible(responses: Responses, margins: Margins, trim: float | None) -> list[Problem]:
    """Every reason why no weights can reach these margins."""
    problems = []
    if not margins:
        problems.append(Problem("expected at least one margin, found none"))
    if trim is not None and trim <= 1:
        problems.append(Problem(f"expected trim above 1 (times the mean weight), found {trim:g}"))
    if not len(responses):
        problems.append(Problem("expected at least one respondent, found none"))
    totals = {}
    for group, values in margins.items():
        found = _impossible_values(group, values)
        problems += found or _unmatched(responses, group, values)
        if not found and max(values.values()) > 1:
            totals[group] = sum(values.values())
    if totals and max(totals.values()) - min(totals.values()) > 1e-6 * max(totals.values()):
        shown = tuple(f"{group} {total:g}" for group, total in totals.items())
        problems.append(Problem("expected counts with the same total in every margin, found", shown))
    return problems


def _impossible_values(group: str, values: Mapping[str, float]) -> list[Problem]:
    if not values:
        return [Problem(f"margin {group}: expected at least one value, found none")]
    bad = tuple(f"{v} {share:g}" for v, share in values.items() if not (np.isfinite(share) and share >= 0))
    if bad:
        return [Problem(f"margin {group}: expected shares or counts of at least 0, found", bad)]
    total = sum(values.values())
    if total == 0 or (max(values.values()) <= 1 and abs(total - 1) > 1e-6):
        return [Problem(f"margin {group}: expected shares that sum to 1, found the sum {total:g}")]
    return []


def _unmatched(responses: Responses, group: str, values: Mapping[str, float]) -> list[Problem]:
    """Values without respondents, and respondents without target."""
    if group not in responses.group_codes:
        known = ", ".join(responses.group_codes) or "none"
        return [Problem(f"margin {group}: expected a grouping variable of the answers, which have {known}")]
    frame = responses.frame[responses.sample_weight > 0]
    labels = frame[group]
    positive = {str(v) for v, share in values.items() if share > 0}
    surplus = labels[labels.notna() & ~labels.isin(positive)].value_counts().sort_index()
    culprits = {
        "expected respondents of every value, found none of": sorted(positive - set(labels.dropna())),
        "expected a share above 0 for every value, found none for": [f"{v} (n={n})" for v, n in surplus.items()],
        "expected a value for every respondent, found none for": frame.loc[labels.isna(), "respondent"].tolist(),
    }
    return [Problem(f"margin {group}: {what}", tuple(found)) for what, found in culprits.items() if found]
