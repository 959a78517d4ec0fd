"""Answers as codes of the categories that occur, and different patterns of them with their weights."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sqmodel.errors import ComputationError
from sqmodel.numerics.irt.curves import Floats

Integers = npt.NDArray[np.intp]
Flags = npt.NDArray[np.bool_]

MOST_CATEGORIES = 20
"""An item with more different answers is not a rating; its thresholds would be too many to estimate."""


class Patterns(NamedTuple):
    """Different patterns of answers.

    Attributes
    ----------
    codes : integers, r x p
        Categories from 0; K where unanswered.
    indicator : array, r x (p K)
        One where an item was answered with a category: turns sums over items and patterns into matrix products.
    weight, square : array, r
        Sum of the weights and of their squares over the respondents with the pattern.
    free : flags, p x K
        Parameters that an item has: its slope, then its intercepts.
    """

    codes: Integers
    indicator: Floats
    weight: Floats
    square: Floats
    free: Flags


def categories(answers: Floats) -> tuple[Integers, Floats]:
    """Codes 0, 1, ... of the answers that occur in each column, and those answers.

    Parameters
    ----------
    answers : array, n x p
        NaN where unanswered.

    Returns
    -------
    codes : integers, n x p
        K, the largest number of categories, where unanswered.
    values : array, p x K
        The answers in ascending order; NaN where an item has fewer.

    Raises
    ------
    ComputationError
        A column with one answer only, or with more than 20.
    """
    found = [np.unique(column[~np.isnan(column)]) for column in answers.T]
    constant = [str(j + 1) for j, v in enumerate(found) if len(v) < 2]
    if constant:
        raise ComputationError(
            f"expected items with different answers, found one answer at most in column {', '.join(constant)}; "
            "leave these items out"
        )
    most = max(len(v) for v in found)
    if most > MOST_CATEGORIES:
        j = next(j for j, v in enumerate(found) if len(v) == most)
        raise ComputationError(
            f"expected ratings with at most {MOST_CATEGORIES} different answers, found {most} in column {j + 1}; "
            "join neighbouring answers"
        )
    values = np.full((len(found), most), np.nan)
    codes = np.full(answers.shape, most, dtype=np.intp)
    for j, v in enumerate(found):
        values[j, : len(v)] = v
        given = ~np.isnan(answers[:, j])
        codes[given, j] = np.searchsorted(v, answers[given, j])
    return codes, values


def recode(table: Floats, values: Floats) -> Integers:
    """Codes of the answers as they were when the model was fitted."""
    match = table[:, :, None] == values[None]
    known = match.any(axis=2) | np.isnan(table)
    if not known.all():
        row, column = np.argwhere(~known)[0]
        raise ComputationError(
            f"expected answers that occurred when the model was fitted, found {table[row, column]:g} in column "
            f"{column + 1}; fit the model to these answers too"
        )
    codes: Integers = np.where(np.isnan(table), values.shape[1], match.argmax(axis=2))
    return codes


def collapse(codes: Integers, values: Floats, weight: npt.ArrayLike | None) -> tuple[Patterns, int]:
    """Different patterns with their weights, and the number of respondents with any answer and a weight."""
    width = values.shape[1]
    w = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=float)
    if w.shape != (len(codes),) or not (np.isfinite(w) & (w >= 0)).all():
        raise ComputationError(
            f"expected {len(codes)} weights that are numbers of at least 0, found "
            f"{'others' if w.shape == (len(codes),) else f'an array of shape {w.shape}'}; give one weight a respondent"
        )
    used = (codes < width).any(axis=1) & (w > 0)
    if not used.any():
        raise ComputationError("expected respondents with an answer and a positive weight, found none; check the data")
    codes, w = codes[used], w[used] / w[used].mean()
    # A row of small integers is one value of its bytes: sorted much faster than a row of numbers.
    rows = np.ascontiguousarray(codes.astype(np.uint8)).view(f"V{codes.shape[1]}").ravel()
    _, first, pattern = np.unique(rows, return_index=True, return_inverse=True)
    codes = codes[first]
    free = np.column_stack([np.ones(len(values), bool), ~np.isnan(values[:, 1:])])
    weight_of, square_of = (np.bincount(pattern, v).astype(float) for v in (w, w**2))
    return Patterns(codes, indicator_of(codes, width), weight_of, square_of, free), int(used.sum())


def indicator_of(codes: Integers, width: int) -> Floats:
    """One where an item was answered with a category, r x (p K)."""
    indicator: Floats = (codes[:, :, None] == np.arange(width)).astype(float).reshape(len(codes), -1)
    return indicator
