"""Small pieces that the sections of a design study share: names, figures, verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import Cell
from sqmodel.reporting.dossier_parts import with_bounds
from sqmodel.reporting.words import known_as, listed, number, plain, say

if TYPE_CHECKING:
    from sqmodel.reporting.workbench import Workbench

TONES = {"ok": "ok", "doubtful": "warn", "blocks": "bad", "not assessed": ""}
MARKS = {"ok": "verdict_met", "doubtful": "verdict_doubtful", "blocks": "design_verdict_blocks",
         "not assessed": "verdict_open"}  # fmt: skip
BADGES = {"ok": "", "doubtful": "w", "blocks": "bad"}
MOST = 40
"""Units that a chart or a table shows; of more than these the best and the last."""


def node_name(bench: Workbench, code: str) -> Text:
    """What a node of the tree is called; a pair is told with a stroke."""
    if " / " in code:
        first, second = (node_name(bench, c) for c in code.split(" / "))
        return Text(**{g: f"{first[g]} / {second[g]}" for g in ("zh", "en")})
    return bench.tree.node(code).label


def factor_name(bench: Workbench, code: str) -> Text:
    """What a sample or a choice is called."""
    titles = {s.name: s.title for s in bench.study.samples}
    return titles[code] if code in titles else known_as("design_factor", code)


def method_name(code: str) -> Text:
    """What a way of weighting is called."""
    return say(f"design_weighting_{code}")


def verdict_cell(verdict: str) -> Cell:
    """A verdict in its tone."""
    return Cell(say(MARKS[verdict]), tone=TONES[verdict])


def figure(value: Any) -> str:
    """A number of any size, to three significant digits or to whole numbers."""
    if not math.isfinite(value):
        return "–"
    size = math.floor(math.log10(abs(value))) if value else 0
    return number(value, min(max(2 - size, 0), 4))


def digits_of(bench: Workbench) -> int:
    """Decimals of a score, so that the units' differences show."""
    spread = float(bench.composite.index.max() - bench.composite.index.min())
    return min(max(2 - math.floor(math.log10(spread)), 1), 4) if spread > 0 else 1


def shown_units(order: Iterable[str]) -> list[str]:
    """Units that are shown, of many the best and the last."""
    names = list(order)
    return names if len(names) <= MOST else [*names[: MOST // 2], *names[-(MOST // 2) :]]


def only(bench: Workbench) -> str:
    """``sampling`` or ``method`` where nothing of the other kind varies; else empty."""
    settings = bench.uncertainty.settings
    if settings["samples"] and settings["choices"]:
        return ""
    return "sampling" if settings["samples"] else "method"


def share_bounds(value: Any, low: Any, high: Any) -> str:
    """A share with its interval, in percent without the sign: the column's head has it."""
    return with_bounds(100 * value, 100 * low, 100 * high, number)


def left_out(count: int) -> Text | None:
    """A sentence on units that are not shown."""
    if count <= MOST:
        return None
    return say("design_units_hidden", shown=MOST, count=f"{count:,}")


def units_listed(names: Iterable[str], most: int = 8) -> Text:
    """Names of units in a row, no more than a reader takes in."""
    found = list(names)
    shown = listed(plain(n) for n in found[:most])
    if len(found) <= most:
        return shown
    return Text(zh=f"{shown['zh']}等 {len(found)} 个", en=f"{shown['en']} and {len(found) - most} more")
