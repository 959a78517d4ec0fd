"""Small pieces of an institution's confidential report: its rows, its name, and what sets of ranks say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sqmodel.benchmark.content import OVERALL
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_parts import (
    PERCEPTION,
    compared_bounds,
    finite,
    institution_name,
    label_of,
    level,
    profile_of,
)
from sqmodel.reporting.words import known_as, say

CLIENTS = f"{PERCEPTION}."
"""How the scope of a dimension as clients see it begins."""

if TYPE_CHECKING:
    from sqmodel.reporting.benchmark_page import BenchmarkPage


def level_of(page: BenchmarkPage) -> float:
    """Of all intervals and sets."""
    return level(page)


def own_name(page: BenchmarkPage) -> Text:
    """What the institution is called."""
    return institution_name(page, page.params.institution)


def own_row(page: BenchmarkPage) -> dict[str, Any]:
    """The institution's standing; `adjusted`, `low` and `high` are of the score that is shown.

    Of one that is ranked this is the score that ranks are made of; else the score as it was submitted.
    """
    table = page.benchmark.standing
    if table.empty:
        return {}
    row = {str(k): v for k, v in table.iloc[0].items()}
    if finite(row["adjusted"]):
        low, high = compared_bounds(page, table)
        return row | {"low": float(low.iloc[0]), "high": float(high.iloc[0])}
    return row | {"adjusted": row["score"]}


def scope_name(page: BenchmarkPage, scope: str) -> Text:
    """Name of a branch, or of the clients' score of a dimension (``perception.CODE``)."""
    code = scope.removeprefix(CLIENTS)
    return label_of(page, profile_of(page).perception.get(code, code) if scope.startswith(CLIENTS) else code)


def peers_of(page: BenchmarkPage) -> dict[str, Any]:
    """The row of the institution's peer group where it may be shown; empty else."""
    table, own = page.benchmark.peers, own_row(page).get("peers", "")
    rows = table[(table["peers"] == own) & (table["peers"] != OVERALL) & (table["withheld"] == "")]
    return {str(k): v for k, v in rows.iloc[0].items()} if own and len(rows) else {}


def reason_of(row: dict[str, Any]) -> Text:
    """Why the institution is not ranked, in words."""
    reason = str(row.get("reason") or "")
    return known_as("bench_reason", reason.replace(" ", "_")) if reason else say("own_reason_unknown")


def undecided(best: float, worst: float, count: int) -> tuple[int, int, int]:
    """How many of the others are surely ahead, not told apart, and surely behind.

    Examples
    --------
    >>> undecided(2, 5, 8)
    (1, 3, 3)
    """
    return int(best) - 1, int(worst) - int(best), count - int(worst)


def ordinal_of(best: float, worst: float) -> Text:
    """A set of ranks in words.

    Examples
    --------
    >>> ordinal_of(2, 5)["en"], ordinal_of(3, 3)["zh"]
    ('between rank 2 and rank 5', '第 3 位')
    """
    if best == worst:
        return say("own_rank_one", rank=int(best))
    return say("own_rank_between", best=int(best), worst=int(worst))


def against(own: dict[str, Any], other: dict[str, Any]) -> str:
    """``above`` or ``below`` where the intervals do not meet, else ``same``."""
    if not all(finite(r.get(k)) for r in (own, other) for k in ("low", "high")):
        return "same"
    if own["low"] > other["high"]:
        return "above"
    return "below" if own["high"] < other["low"] else "same"


def known(value: Any) -> float:
    """A number, NaN where there is none."""
    return float(value) if finite(value) else float(np.nan)
