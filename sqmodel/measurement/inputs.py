"""What the measurement room works on: responses or a plain frame, made one thing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.survey.responses import Responses

Structure = str | Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Ratings:
    """Ratings with their scales.

    Attributes
    ----------
    frame : DataFrame, n x items
        Oriented so that more is better; NaN where unanswered.
    scales : dict
        Item codes by scale code, in order.
    weight : (n,) array
        Sample weights, mean 1.
    ends : dict
        Lowest and highest possible answer by item; empty for a plain frame.
    """

    frame: pd.DataFrame
    scales: dict[str, list[str]]
    weight: npt.NDArray[np.float64]
    ends: dict[str, tuple[float, float]]

    @property
    def weighted(self) -> bool:
        """Whether the weights differ from each other."""
        return bool(len(self.weight)) and bool(np.ptp(self.weight) > 0)

    def complete(self, items: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Answers to `items` of those who answered all of them (n_complete x k), and their weights.

        Raises
        ------
        ComputationError
            Too few complete rows, or an item with one answer only.
        """
        block = self.frame[list(items)].to_numpy(float)
        whole = ~np.isnan(block).any(axis=1)
        values, weight = block[whole], self.weight[whole]
        if len(values) < 3:
            raise ComputationError(
                f"expected at least 3 respondents who answered all of {', '.join(items)}, found {len(values)}; "
                "collect more answers or leave items out"
            )
        constant = [c for c, spread in zip(items, np.ptp(values, axis=0), strict=True) if spread == 0]
        if constant:
            raise ComputationError(
                f"expected answers that differ, found one answer only for {', '.join(constant)}; leave these items out"
            )
        return values, weight


def as_ratings(
    data: Responses | pd.DataFrame, structure: Structure = "dimensions", items: Sequence[str] | None = None
) -> Ratings:
    """Ratings of responses or of a plain frame.

    Parameters
    ----------
    data : Responses or DataFrame
    structure : str or mapping
        For responses the name of a structure; for a frame a mapping of scale to columns. A frame with no mapping
        is one scale, ``total``.
    items : sequence of str, optional
        Items to keep; all by default.

    Raises
    ------
    InputError
        Items or columns that are not there.
    """
    known = data.instrument.item_codes if isinstance(data, Responses) else [str(c) for c in data.columns]
    asked = [] if isinstance(structure, str) else [c for members in structure.values() for c in members]
    missing = [c for c in dict.fromkeys([*(items or []), *asked]) if c not in known]
    if missing:
        raise InputError("items", [f"expected items of the answers, found {c!r}" for c in missing])
    if isinstance(data, Responses):
        chosen = data.instrument.item_codes if items is None else list(items)
        named = data.instrument.structure(structure) if isinstance(structure, str) else structure
        ends = {c: data.instrument.scale_of(c) for c in chosen}
        frame, weight = data.items[chosen], data.sample_weight
        limits = {c: (float(s.minimum), float(s.maximum)) for c, s in ends.items()}
    else:
        chosen = known if items is None else list(items)
        named = {"total": chosen} if isinstance(structure, str) else structure
        frame, weight, limits = data.set_axis(known, axis=1)[chosen].astype(float), np.ones(len(data)), {}
    scales = {code: [c for c in members if c in set(chosen)] for code, members in named.items()}
    return Ratings(frame, {c: m for c, m in scales.items() if m}, weight, limits)
