"""What is open at each node as bars: within the limit pale, at risk blue, past it orange."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import both
from sqmodel.reporting.charts.figure import Drawing, Variant, assemble
from sqmodel.reporting.charts.layout import Key, RowText, explain, lay_rows
from sqmodel.reporting.charts.writer import el, number
from sqmodel.reporting.words import say

BAR = 18.0
TONES = ("fp", "fb", "fo")
Node = tuple[Text, Text, int, int, int]
"""Title, limit, and how many are within it, at risk and past it."""


def node_chart(name: str, nodes: Sequence[Node], *, alt: Text, n: int) -> str:
    """A figure with a bar for each node.

    Parameters
    ----------
    name : str
        Id of the figure.
    nodes : sequence of tuple
        From top to bottom.
    alt : Text
        What it shows in words.
    n : int
        Everything that is open.

    Returns
    -------
    str
        HTML; the numbers stand in the table below it.
    """
    most = max([sum(counts) for _, _, *counts in nodes] + [1])

    def draw(variant: Variant) -> Drawing:
        texts = [RowText(title, value=f"{sum(counts):,}", note=limit, tone="o" if counts[2] else "",
                         bare=not sum(counts)) for title, limit, *counts in nodes]  # fmt: skip
        laid = lay_rows(texts, variant)
        bars = [""] * len(TONES)
        for (_, _, *counts), y in zip(nodes, laid.middles, strict=True):
            x = laid.start
            for j, count in enumerate(counts):
                width = count / most * (laid.end - laid.start)
                if count:
                    side = number(max(width - 0.8, 1.5))
                    bars[j] += f"M{number(x)},{number(y - BAR / 2)}h{side}v{number(BAR)}h-{side}z"
                x += width
        drawn = Markup("").join(el("path", d=d, class_=tone) for d, tone in zip(bars, TONES, strict=True) if d)
        keys = [Key(_swatch(tone), say(f"monitor_{state}"))
                for tone, state in zip(TONES, ("within", "at_risk", "beyond"), strict=True)]  # fmt: skip
        line, height = explain(keys, variant, laid.bottom)
        return Drawing(drawn + laid.values, laid.words + line, height)

    caption = say("monitor_nodes_caption", n=f"{n:,}")
    figure = assemble(name, draw, alt=alt, caption=caption, data=pd.DataFrame())
    return f"{figure.html.removesuffix('</figure>')}<figcaption>{both(caption)}</figcaption></figure>"


def _swatch(tone: str) -> Callable[[float, float], Markup]:
    return lambda x, y: el("rect", x=x, y=y - 6, width=18, height=12, class_=tone)
