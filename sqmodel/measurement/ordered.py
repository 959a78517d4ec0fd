"""Polychoric correlations of ordered answers, ready for factor analysis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from warnings import warn

import pandas as pd

from sqmodel.errors import PositiveDefiniteWarning
from sqmodel.measurement.source import Source
from sqmodel.numerics.polychoric import codes_of, polychoric, smooth
from sqmodel.result import Result
from sqmodel.survey.responses import Responses


@dataclass(frozen=True, repr=False)
class OrderedCorrelations(Result):
    """Correlations of the normal variables behind ordered answers.

    Attributes
    ----------
    n : int
        Respondents who answered all items.
    settings : dict
    correlations : DataFrame, p x p
    thresholds : DataFrame, a row a threshold
        item, number, value, proportion (of answers below it).
    empty_cells : DataFrame, p x p
        Empty cells of each pair's table: where they are many the correlation rests on few answers.
    smoothed : bool
        Whether the matrix had to be made positive definite.
    """

    n: int
    settings: dict[str, Any]
    correlations: pd.DataFrame
    thresholds: pd.DataFrame
    empty_cells: pd.DataFrame
    smoothed: bool

    def _headline(self) -> str:
        empty = int(self.empty_cells.to_numpy().sum()) // 2
        return f"{len(self.correlations)} items, n={self.n}, {empty} empty cells{', smoothed' * self.smoothed}"


def correlate_ordered(
    data: Responses | pd.DataFrame, *, items: Sequence[str] | None = None, smallest: float = 1e-4
) -> OrderedCorrelations:
    """What are the polychoric correlations of ordered answers?

    Two-step maximum likelihood, as `numerics.polychoric.polychoric` states it (empty cells stay empty but in 2 x 2
    tables). Pairs are estimated one by one, so the matrix may fail to be positive definite: eigenvalues below
    `smallest` are then raised to it and the diagonal is brought back to one, with a warning.

    Parameters
    ----------
    data : Responses or DataFrame
        Respondents with a missing answer are left out.
    items : sequence of str, optional
        All items, or all columns, by default.
    smallest : float
        Least eigenvalue after smoothing.

    Raises
    ------
    InputError
        Items that are not there.
    ComputationError
        Constant items, or fewer respondents than items.
    """
    chosen = items or (data.instrument.item_codes if isinstance(data, Responses) else [str(c) for c in data.columns])
    answers = Source(data, chosen).complete()
    codes, _ = codes_of(answers.x)
    found = polychoric(codes, weight=answers.weight, acov=False)
    R, smoothed = smooth(found.correlation, smallest)
    if smoothed:
        warn(
            f"the polychoric correlations were not positive definite; eigenvalues were raised to {smallest:g}",
            PositiveDefiniteWarning, stacklevel=2,
        )  # fmt: skip
    names = list(chosen)
    below = [(codes[:, i] <= k).mean() for i in range(len(names)) for k in range(int(codes[:, i].max()))]
    thresholds = pd.DataFrame({"item": [names[i] for i in found.item], "value": found.thresholds, "proportion": below})
    thresholds.insert(1, "number", thresholds.groupby("item").cumcount() + 1)
    correlations, empty = (pd.DataFrame(m, names, names) for m in (R, found.empty_cells))
    return OrderedCorrelations(len(codes), {"smallest": smallest}, correlations, thresholds, empty, smoothed)
