"""Candidates for action from three sources: items below their target, drivers that can be cut, limits that are missed.

Each is a product: importance (points of the index for one unit) times headroom (units that can be gained).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.index.driver_effects import Product
from sqmodel.index.driver_features import BREACH
from sqmodel.index.drivers import OVERALL, Drivers
from sqmodel.index.priorities import Priorities
from sqmodel.operations.compliance import Compliance

ITEM, DRIVER, STANDARD = "item", "driver", "standard"
LIMIT_OF = "standard_"
DRAWS = 100_000
"""Of a product's distribution: bounds that hold for dozens of candidates lie far out in its tails."""

Bounds = Callable[[float], tuple[float, float]]
"""Level to the bounds of an interval."""
Triple = tuple[float, float, float]
UNKNOWN: Triple = (math.nan, math.nan, math.nan)


@dataclass(frozen=True)
class Candidate:
    """Something that could be done.

    Parameters
    ----------
    code, source : str
    dimension : str
        Of an item.
    about : tuple of str
        The features it is about: candidates that share one are the same matter.
    limit : float
        What is cut to it: hours of a wait, 0 for rework and breaches; of a standard the share that is to keep it.
    importance, headroom : value with low and high
    gain : float
        Their product; NaN where there is a reason.
    bounds, versus, felt : functions of a level
        Intervals of the gain, and of an item those of its difference from the mean item's and of its correlation with
        overall satisfaction.
    """

    code: str
    source: str
    dimension: str = ""
    about: tuple[str, ...] = ()
    limit: float = math.nan
    importance: Triple = UNKNOWN
    headroom: Triple = UNKNOWN
    gain: float = math.nan
    bounds: Bounds | None = None
    versus: Bounds | None = None
    felt: Bounds | None = None
    correlation: float = math.nan
    satisfaction: Triple = UNKNOWN
    reason: str = ""


def student(value: float, se: float, df: float) -> Bounds:
    """Student's t about an estimate."""

    def bounds(level: float) -> tuple[float, float]:
        half = float(stats.t.ppf((1 + level) / 2, df)) * se
        return value - half, value + half

    return bounds


def fisher(r: float, low: float, level: float) -> Bounds:
    """Fisher's z about a correlation whose lower bound at `level` is known."""
    z = math.atanh(min(max(r, -1 + 1e-12), 1 - 1e-12))
    se = (z - math.atanh(low)) / float(stats.norm.ppf((1 + level) / 2))

    def bounds(wanted: float) -> tuple[float, float]:
        half = float(stats.norm.ppf((1 + wanted) / 2)) * se
        return math.tanh(z - half), math.tanh(z + half)

    return bounds


def quantiles(product: Product, rng: np.random.Generator) -> Bounds:
    """Of slope times cut."""
    drawn = np.sort(product.draws(DRAWS, rng))

    def bounds(level: float) -> tuple[float, float]:
        low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)

    return bounds


def items(priorities: Priorities, level: float, minimum_n: int) -> Iterator[Candidate]:
    """The items of the questionnaire: raised to what clients expect, or to the average item."""
    points = priorities.index_points.add_prefix("own_").join(priorities.candidates)
    valued, own = priorities.basis == "satisfaction", float(priorities.settings["level"])
    for row in points.reset_index().to_dict("records"):
        code, gain, df = str(row["item"]), row["own_gain"], row["own_gain_df"]
        if not math.isfinite(gain):
            few = f"fewer than {minimum_n} clients stated what they expect"
            yield Candidate(code, ITEM, row["dimension"], reason=few)
            continue
        yield Candidate(
            code,
            ITEM,
            row["dimension"],
            importance=_told(row["own_share"], student(row["own_share"], row["own_share_se"], df), level),
            headroom=_told(row["shortfall"], student(row["shortfall"], row["own_shortfall_se"], df), level),
            gain=gain,
            bounds=student(gain, row["own_gain_se"], df),
            versus=student(row["own_versus_mean"], row["own_versus_mean_se"], row["own_versus_mean_df"]),
            felt=fisher(row["importance"], row["importance_low"], own) if math.isfinite(row["importance"]) else None,
            correlation=row["importance"],
            satisfaction=(row["gain"], row["gain_low"], row["gain_high"]) if valued else UNKNOWN,
        )


def _told(value: float, bounds: Bounds, level: float) -> Triple:
    return (value, *bounds(level))


def driven(
    drivers: Drivers, compliance: Compliance | None, level: float, rng: np.random.Generator
) -> Iterator[Candidate]:
    """Waits cut to the strictest limit of which the cases tell, rework and breaches avoided altogether.

    A breach of a limit that is surely missed is left to `missed`: the target share is what the lender promised.
    """
    worth = drivers.worth[drivers.worth["outcome"] == OVERALL]
    promised = set() if compliance is None else {f"{BREACH}{r}" for r in _missed(compliance)["rule"]}
    for feature in (str(f) for f in drivers.features.index if f not in promised):
        about = behind(drivers, feature)
        own = worth[worth["feature"] == feature].sort_values("limit")
        known = own[own["reason"] == ""].to_dict("records")
        if not known:
            told = own["reason"].iloc[-1] if len(own) else "no limit is given to which it would be cut"
            yield Candidate(feature, DRIVER, about=about, reason=str(told))
            continue
        row = known[0]
        product = Product(*(float(row[c]) for c in Product._fields))
        yield Candidate(
            feature,
            DRIVER,
            about=about,
            limit=float(row["limit"]),
            importance=product.importance(level),
            headroom=product.headroom(level),
            gain=product.value,
            bounds=quantiles(product, rng),
        )


def behind(drivers: Drivers, feature: str) -> tuple[str, ...]:
    """What a feature is about: itself, and of a breach the waits that it is, seen through their limit."""
    seen = str(drivers.features["instead_of"].to_dict().get(feature, ""))
    return (feature, *(seen.split(", ") if seen else ()))


def missed(
    compliance: Compliance, drivers: Drivers | None, level: float, rng: np.random.Generator
) -> Iterator[Candidate]:
    """Limits that are surely missed, kept by their target share: what the breaches avoided would be worth.

    A path's share of the cases under the rule is the share of its headroom that counts.
    """
    rules = compliance.rules
    for row in _missed(compliance).to_dict("records"):
        breach = f"{BREACH}{row['rule']}"
        code = f"{LIMIT_OF}{row['rule']}" + ("_urgent" if row["path"] == "urgent" else "")
        about = behind(drivers, breach) if drivers is not None else (breach,)
        found = _effect(drivers, breach)
        if isinstance(found, str):
            yield Candidate(code, STANDARD, about=about, limit=row["target"], reason=found)
            continue
        weight = row["n"] / max(int(rules.loc[rules["rule"] == row["rule"], "n"].sum()), 1)
        z = float(stats.norm.ppf((1 + float(compliance.settings["level"])) / 2))
        error = weight * (row["high"] - row["low"]) / (2 * z)
        product = Product(*found, weight * (row["share"] - row["target"]), error, float(row["n"]))
        yield Candidate(
            code,
            STANDARD,
            about=about,
            limit=row["target"],
            importance=product.importance(level),
            headroom=product.headroom(level),
            gain=product.value,
            bounds=quantiles(product, rng),
        )


def _missed(compliance: Compliance) -> pd.DataFrame:
    return compliance.rules[compliance.rules["verdict"] == "missed"]


def _effect(drivers: Drivers | None, breach: str) -> Triple | str:
    """Slope of the index on a breach with its error and degrees of freedom, or why it is not known."""
    if drivers is None:
        return "without drivers nothing tells what a breach costs"
    own: Any = drivers.worth[(drivers.worth["outcome"] == OVERALL) & (drivers.worth["feature"] == breach)]
    if own.empty or not math.isfinite(own["slope"].iloc[0]):
        return "no driver tells what a breach costs" + (f": {own['reason'].iloc[0]}" if len(own) else "")
    row = own.iloc[0]
    return float(row["slope"]), float(row["slope_se"]), float(row["df"])


def same_matter(candidates: list[Candidate], drivers: Drivers | None) -> dict[str, list[str]]:
    """Which candidates overlap: they are about the same feature, or one that surely moves the dimension of an item."""
    sure: pd.DataFrame = pd.DataFrame() if drivers is None else drivers.found
    moves: set[tuple[str, str]] = set() if sure.empty else set(zip(sure["feature"], sure["outcome"], strict=True))

    def overlap(one: Candidate, other: Candidate) -> bool:
        pairs = {(f, other.dimension) for f in one.about} | {(f, one.dimension) for f in other.about}
        return bool(set(one.about) & set(other.about) or pairs & moves)

    return {c.code: [o.code for o in candidates if o.code != c.code and overlap(c, o)] for c in candidates}
