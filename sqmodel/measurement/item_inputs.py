"""What the screening of items works on: checked arguments, scales that have a model, groups large enough."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.errors import ComputationError, InputError
from sqmodel.measurement.inputs import Ratings
from sqmodel.numerics.irt.patterns import MOST_CATEGORIES
from sqmodel.survey.responses import Responses

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]

MATCHINGS = ("theta", "total", "rest")
CRITERIA = ("nagelkerke", "significance")
ADJUSTMENTS = ("holm", "bh", "none")


class Groups(NamedTuple):
    """Compared groups: their names in order, and each respondent's number (-1: in none)."""

    names: list[str]
    codes: Integers


@dataclass(frozen=True)
class Rules:
    """How item bias is tested."""

    matching: str
    criterion: str
    adjust: str
    purify: bool
    spread: bool
    level: float


def some_of(names: list[str]) -> str:
    """At most five names, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def check_choices(data: Responses | pd.DataFrame, rules: Rules, by: Any) -> None:
    """An InputError with everything that is wrong with the arguments."""
    problems = []
    for name, choices in (("criterion", CRITERIA), ("matching", MATCHINGS), ("adjust", ADJUSTMENTS)):
        if getattr(rules, name) not in choices:
            problems.append(f"{name}: expected one of {', '.join(choices)}, found {getattr(rules, name)!r}")
    if not 0.5 < rules.level < 1:
        problems.append(f"level: expected a number between 0.5 and 1, found {rules.level}")
    if isinstance(by, str):
        known = data.group_codes if isinstance(data, Responses) else [str(c) for c in data.columns]
        if by not in known:
            problems.append(f"by: expected one of {some_of(list(known))}, found {by!r}")
    elif by is not None and np.shape(by) != (len(data),):
        problems.append(f"by: expected a name or {len(data)} groups, one a respondent, found shape {np.shape(by)}")
    if isinstance(data, pd.DataFrame):
        answers = [c for c in data.columns if not (isinstance(by, str) and str(c) == by)]
        text = [str(c) for c in answers if not pd.api.types.is_numeric_dtype(data[c])]
        if text:
            problems.append(f"data: expected columns of numbers, found other content in {some_of(text)}")
    if problems:
        raise InputError("screen_items", problems, "correct the arguments")


def split_groups(
    data: Responses | pd.DataFrame, by: str | npt.ArrayLike | None
) -> tuple[str | None, pd.Series | None, Responses | pd.DataFrame]:
    """Name and values of the grouping variable, and the answers without it."""
    if by is None:
        return None, None, data
    if not isinstance(by, str):
        name = getattr(by, "name", None)
        # A categorical keeps the order of its groups, which arrays do not have.
        values = by if isinstance(by, pd.Series) else pd.Series(np.asarray(by))
        return ("groups" if name is None else str(name)), values, data
    if isinstance(data, Responses):
        return by, data.frame[by], data
    column = next(c for c in data.columns if str(c) == by)
    return by, data[column], data.drop(columns=[column])


def usable_scales(ratings: Ratings, notes: list[str]) -> dict[str, list[str]]:
    """Scales that have a model, after a look at their items."""
    scales = {}
    for code, members in ratings.scales.items():
        if len(members) < 3:
            notes.append(f"{code}: not screened, a trait needs three items or more, it has {len(members)}")
        else:
            scales[code] = members
    if not scales:
        most = max(map(len, ratings.scales.values()), default=0)
        raise ComputationError(
            f"expected a scale of at least 3 items, found {most} in the largest; add items or join scales"
        )
    whole = [c for members in scales.values() for c in members]
    twice = [c for c in dict.fromkeys(whole) if whole.count(c) > 1]
    if twice:
        raise InputError("structure", [f"expected every item in one scale, found {some_of(twice)} in several"])
    for item in whole:
        given = ratings.frame[item].dropna().to_numpy(float)
        check_answers(given, item)
        _note_absent(given, item, notes)
    return scales


def check_answers(given: Array, item: str, where: str = "") -> None:
    """A ComputationError where an item has one answer only, or too many for a rating."""
    count = len(np.unique(given))
    if count < 2:
        raise ComputationError(
            f"expected at least 2 different answers to {item}{where}, found {count}; leave this item out"
        )
    if count > MOST_CATEGORIES:
        raise ComputationError(
            f"expected ratings with at most {MOST_CATEGORIES} different answers, found {count} for {item}; "
            "join neighbouring answers"
        )


def _note_absent(given: Array, item: str, notes: list[str]) -> None:
    """Whole numbers between the lowest and the highest answer that nobody chose."""
    found = np.unique(given)
    if (found == np.round(found)).all():
        absent = [f"{v:g}" for v in np.setdiff1d(np.arange(found[0], found[-1] + 1), found)[:6]]
        if absent:
            notes.append(f"{item}: nobody answered {some_of(absent)}, which therefore has no threshold of its own")


def compared_groups(
    values: pd.Series | None, label: str | None, ratings: Ratings, minimum_n: int
) -> tuple[Groups | None, pd.DataFrame, tuple[str, ...]]:
    """Groups with enough respondents who answered anything, their sizes, and the other groups."""
    if values is None:
        return None, pd.DataFrame(columns=["n", "reference"]), ()
    found = pd.Categorical(values)
    codes = np.where(ratings.frame.notna().to_numpy().any(axis=1), found.codes, -1)
    names, counts = [str(c) for c in found.categories], np.bincount(codes[codes >= 0], minlength=len(found.categories))
    kept = np.flatnonzero(counts >= minimum_n)
    if len(kept) < 2:
        raise ComputationError(
            f"by {label}: expected at least 2 groups of {minimum_n} respondents, found {len(kept)}; "
            "join groups or lower `minimum_n`"
        )
    new = np.full(len(names) + 1, -1, dtype=np.intp)
    new[kept] = np.arange(len(kept))
    table = pd.DataFrame({"n": counts[kept], "reference": kept == kept[0]}, index=[names[k] for k in kept])
    return Groups([names[k] for k in kept], new[codes]), table, tuple(names[k] for k in np.flatnonzero(new[:-1] < 0))
