"""The design of the drivers' regressions: which features can be used, on which scale, beside which others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.index.driver_features import BREACH, WAIT
from sqmodel.index.driver_model import Array, Fit, fit, independent, inflation, separable

TRANSFORMS = ("log1p", "rank", "linear")
OVERLAP = 0.3


@dataclass(frozen=True)
class Prepared:
    """Features made ready for the regression.

    Attributes
    ----------
    rows : bool array
        Cases that are used: nothing of them is unknown but steps that they did not reach.
    design : array (rows, 1 + features + absent + adjust)
        Intercept, features (transformed, centred over the cases that have them, else 0), indicators of steps not
        reached, dummies of the groups.
    names : tuple of str
        Features in the order of the columns 1 to len(names).
    table : DataFrame, one row a feature given
    """

    rows: npt.NDArray[np.bool_]
    design: Array
    names: tuple[str, ...]
    table: pd.DataFrame


def transformed(values: Array, at: Array, how: str) -> Array:
    """`at` on the scale of the regression; ranks are shares of `values` that lie below, half of the ties."""
    if how == "log1p":
        return np.asarray(np.log1p(at))
    if how == "linear":
        return np.asarray(at, float)
    known = np.sort(values[np.isfinite(values)])
    low, high = (np.searchsorted(known, at, side=side) for side in ("left", "right"))
    return np.where(np.isfinite(at), (low + high) / 2 / max(len(known), 1), np.nan)


def scale_of(name: str, transform: str) -> str:
    """How a feature enters: waits as told, counts and breaches as they are."""
    return transform if name.startswith(WAIT) else "linear"


def prepare(features: pd.DataFrame, groups: pd.DataFrame, transform: str, minimum_n: int) -> Prepared:
    """Choose the features that can be used, and say of the others why not.

    A case that did not reach a step has no wait, not a wait of zero: where at least `minimum_n` cases did not, and as
    many did, an indicator of it enters beside the wait; where fewer did not, those cases are left out.
    """
    table = _describe(features, transform, minimum_n)
    reasons = table["reason"].to_dict()
    usable = [str(n) for n in features if not reasons[n]]
    absent_n = features[usable].isna().sum()
    few = [n for n in usable if 0 < absent_n[n] < minimum_n]
    rows = features[few].notna().all(axis=1).to_numpy()
    kept = features.loc[rows, usable]
    reasons |= {name: _unusable(kept[name], minimum_n) for name in usable}
    usable = [n for n in usable if not reasons[n]]
    columns, names = [], []
    for name in usable:
        raw = kept[name].to_numpy(float)
        value = transformed(raw, raw, scale_of(name, transform))
        columns.append(np.where(np.isfinite(value), value - np.nanmean(value), 0.0))
        names.append(name)
    extra: list[Array] = [np.asarray(kept[n].isna(), dtype=float) for n in usable if kept[n].isna().any()]
    extra += _dummies(groups[rows], minimum_n)
    first = np.column_stack(columns) if columns else np.empty((int(rows.sum()), 0))
    free = separable(first) if columns else np.empty(0, bool)
    same = "nearly the same as other features together"
    reasons |= {name: same for name, f in zip(names, free, strict=True) if not f}
    table["reason"] = pd.Series(reasons)
    names = [n for n, f in zip(names, free, strict=True) if f]
    first = first[:, free]
    whole = np.column_stack([first, *extra]) if extra else first
    # Indicators and dummies give way to the features, unless a feature only repeats them.
    keep = independent(whole) if whole.shape[1] else np.empty(0, bool)
    whole = whole[:, keep]
    if names:
        factors = inflation(whole)
        table["vif"] = pd.Series(dict(zip(names, factors[: len(names)], strict=True))).reindex(table.index)
    table["used"] = table["reason"] == ""
    return Prepared(rows, np.column_stack([np.ones(int(rows.sum())), whole]), tuple(names), table)


def _unusable(values: pd.Series[Any], minimum_n: int) -> str:
    known = values.dropna()
    if len(known) < minimum_n:
        return f"fewer than {minimum_n} cases have it"
    counts = known.value_counts()
    if len(counts) == 1:
        return "the same for all cases"
    if len(counts) == 2 and int(counts.min()) < minimum_n:
        return f"fewer than {minimum_n} cases differ from the others"
    return ""


def _describe(features: pd.DataFrame, transform: str, minimum_n: int) -> pd.DataFrame:
    rows = {}
    for name in features:
        known = features[name].dropna()
        rows[str(name)] = {
            "scale": scale_of(str(name), transform),
            "n": len(known),
            "absent": int(features[name].isna().sum()),
            "mean": float(known.mean()) if len(known) else np.nan,
            "median": float(known.median()) if len(known) else np.nan,
            "lowest": float(known.min()) if len(known) else np.nan,
            "highest": float(known.max()) if len(known) else np.nan,
            "vif": np.nan,
            "used": False,
            "reason": _unusable(features[name], minimum_n),
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("feature")


def _dummies(groups: pd.DataFrame, minimum_n: int) -> list[Array]:
    """Indicators of every value with enough cases, but the most frequent; the small ones go with that."""
    columns = []
    for code in groups:
        counts = groups[code].value_counts().sort_index().sort_values(ascending=False, kind="stable")
        columns += [np.asarray(groups[code] == v, dtype=float) for v in counts.index[1:] if counts[v] >= minimum_n]
    return columns


@dataclass(frozen=True)
class Model:
    """One design with the fits of all outcomes, and the features whose slopes are told from it."""

    ready: Prepared
    fits: Mapping[str, Fit]
    told: tuple[str, ...]


def models(
    given: pd.DataFrame,
    groups: pd.DataFrame,
    scores: pd.DataFrame,
    weight: Array,
    transform: str,
    minimum_n: int,
) -> tuple[list[Model], pd.DataFrame]:
    """The regression on all features, and one for each breach that is a wait seen through its limit.

    A breach whose correlation with a wait is `OVERLAP` or more (and at least half its largest with any wait) says
    the same as that wait: together neither would be found. It gets a regression of its own, in the place of those
    waits.

    Returns
    -------
    list of Model
        The first holds everything but such breaches. Empty where no regression is possible.
    DataFrame, one row a feature
        As `Prepared.table`, with ``instead_of``.
    """
    seen_through = _overlaps(given, transform, minimum_n)
    common = given.drop(columns=list(seen_through))
    designs: list[tuple[Prepared, str]] = [(prepare(common, groups, transform, minimum_n), "")]
    for seen, waits in seen_through.items():
        instead = pd.concat([given[[seen]], common.drop(columns=waits)], axis=1)
        designs.append((prepare(instead, groups, transform, minimum_n), seen))
    table = designs[0][0].table.assign(instead_of="")
    found = []
    for ready, breach in designs:
        told = tuple(n for n in ready.names if breach in ("", n))
        few = _too_few(ready, scores, minimum_n) if told else ""
        if breach:
            own = ready.table.loc[[breach]].assign(instead_of=", ".join(seen_through[breach]))
            table = pd.concat([table, own])
        if few:
            table.loc[list(told), ["used", "reason"]] = False, few
        elif told:
            answered = {str(o): scores[o].to_numpy(float)[ready.rows] for o in scores}
            fits = {o: fit(ready.design, y, weight[ready.rows]) for o, y in answered.items()}
            found.append(Model(ready, fits, told))
    return found, table.loc[[str(c) for c in given]]


def _too_few(ready: Prepared, scores: pd.DataFrame, minimum_n: int) -> str:
    """Why a regression on so many columns is not possible with so few cases; empty where it is."""
    wanted = ready.design.shape[1] + minimum_n
    few = {str(o): int(n) for o, n in scores[ready.rows].notna().sum().items() if n < wanted}
    if not few:
        return ""
    found = ", ".join(f"{o} ({n})" for o, n in few.items())
    return f"{ready.design.shape[1]} columns want {wanted} cases with answers, there are {found}"


def _overlaps(given: pd.DataFrame, transform: str, minimum_n: int) -> dict[str, list[str]]:
    waits = [str(c) for c in given if str(c).startswith(WAIT)]
    result: dict[str, list[str]] = {}
    for breach in [str(c) for c in given if str(c).startswith(BREACH)]:
        said = given[breach].to_numpy(float)
        r = {w: _likeness(given[w].to_numpy(float), said, transform, minimum_n) for w in waits}
        # A wait that is only related to the one behind the breach stays beside it.
        least = max(OVERLAP, max(r.values(), default=0.0) / 2)
        close = [w for w in waits if r[w] >= least]
        if close:
            result[breach] = close
    return result


def _likeness(raw: Array, said: Array, transform: str, minimum_n: int) -> float:
    """Absolute correlation of a wait with a breach, over the cases that have both; 0 where there is none."""
    both = np.isfinite(raw) & np.isfinite(said)
    x, y = transformed(raw, raw, transform)[both], said[both]
    if both.sum() < minimum_n or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return abs(float(np.corrcoef(x, y)[0, 1]))
