"""Figure: a chart as HTML with its alternative text, its caption and the numbers behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.blocks import CODES, Cell, both, details, paragraph, table
from sqmodel.reporting.charts.writer import el
from sqmodel.reporting.words import number, plain

COLUMNS = {
    "label": Text(zh="项目", en="Item"),
    "series": Text(zh="系列", en="Series"),
    "quarter": Text(zh="季度", en="Quarter"),
    "value": Text(zh="数值", en="Value"),
    "low": Text(zh="区间下限", en="Low"),
    "high": Text(zh="区间上限", en="High"),
    "n": Text(zh="样本量", en="n"),
    "previous": Text(zh="上期", en="Before"),
    "band_low": Text(zh="预期下限", en="Expected from"),
    "band_high": Text(zh="预期上限", en="Expected to"),
    "expectation": Text(zh="期望", en="Expectation"),
    "performance": Text(zh="感知", en="Performance"),
    "importance": Text(zh="重要性", en="Importance"),
    "gap": Text(zh="差距", en="Gap"),
    "number": Text(zh="序号", en="Number"),
    "observed": Text(zh="实际数据", en="Observed"),
    "simulated": Text(zh="随机数据", en="Simulated"),
    "note": Text(zh="说明", en="Note"),
    "size": Text(zh="样本量或标准误", en="Cases or standard error"),
    "place": Text(zh="位置", en="Place"),
    "best": Text(zh="最好名次", en="Best rank"),
    "worst": Text(zh="最差名次", en="Worst rank"),
    "own_best": Text(zh="单看：最好", en="Alone: best"),
    "own_worst": Text(zh="单看：最差", en="Alone: worst"),
}
_BOUNDS = {"low": Text(zh="下限", en="low"), "high": Text(zh="上限", en="high")}
SHOW = Text(zh="查看数字", en="Show the numbers")


@dataclass(frozen=True)
class Variant:
    """One of the four drawings of a chart."""

    language: str
    width: float
    narrow: bool

    @property
    def size(self) -> float:
        """Font size of labels; the narrow drawing may be shown at nine tenths of its width."""
        return 14.0 if self.narrow else 13.5

    @property
    def small(self) -> float:
        """Smallest font size: at least 11 px at every width at which the drawing is shown."""
        return 12.5 if self.narrow else 12.0


WIDTHS = {"w": 720.0, "n": 320.0}
VARIANTS = tuple(Variant(g, w, k == "n") for g in CODES for k, w in WIDTHS.items())


@dataclass(frozen=True)
class Drawing:
    """What a chart draws: marks, and above them words. Marks that are the same in both languages are written once."""

    marks: Markup
    words: Markup
    height: float


@dataclass(frozen=True)
class Figure:
    """A chart of a page.

    Parameters
    ----------
    name : str
        Its id on the page.
    html : str
        A ``<figure>`` with four drawings: Chinese and English, wide and narrow.
    alt : Text
        What the chart shows, in words, for those who do not see it.
    caption : Text
        What stands below it, with n.
    data : DataFrame
        The numbers behind it, unrounded.
    digits : int
        Decimals of the numbers shown.
    numbers : bool
        Whether the numbers stand below it, a click away; a page that has them in another table needs them once.
    rows : int, optional
        Of a chart with very many marks, how many rows of numbers the page shows; the files beside it hold all.
    """

    name: str
    html: str
    alt: Text
    caption: Text
    data: pd.DataFrame
    digits: int = 1
    numbers: bool = True
    rows: int | None = None

    def __repr__(self) -> str:
        return f"<Figure {self.name}: {self.alt['en']}>"

    def _repr_html_(self) -> str:
        caption = f"<figcaption>{both(self.caption)}</figcaption>"
        shown = self.data if self.rows is None else self.data.head(self.rows)
        rest = "" if len(shown) == len(self.data) else paragraph(_rest(len(shown), len(self.data)), "mute")
        numbers = details(SHOW, data_table(shown, self.digits) + rest) if self.numbers else ""
        return f"{self.html.removesuffix('</figure>')}{caption}{numbers}</figure>"


def _rest(shown: int, count: int) -> Text:
    return Text(
        zh=f"共 {count:,} 行，此处列出前 {shown} 行，其余见 tables.xlsx。",
        en=f"The first {shown} of {count:,} rows; tables.xlsx has them all.",
    )


def assemble(
    name: str,
    draw: Callable[[Variant], Drawing],
    *,
    alt: Text,
    caption: Text,
    data: pd.DataFrame,
    digits: int = 1,
    rows: int | None = None,
) -> Figure:
    """Draw a chart in its four variants."""
    drawings = Markup("")
    first: dict[bool, Drawing] = {}
    for variant in VARIANTS:
        drawing = draw(variant)
        anchor = f"marks-{name}-{'n' if variant.narrow else 'w'}"
        if first.setdefault(variant.narrow, drawing) is drawing:
            marks = el("g", drawing.marks, id=anchor)
        elif first[variant.narrow].marks == drawing.marks:
            marks = el("use", href=f"#{anchor}")
        else:
            marks = drawing.marks
        drawings += _svg(variant, marks + drawing.words, drawing.height, alt)
    html = str(el("figure", drawings, id=f"figure-{name}", class_="chart"))
    return Figure(name, html, alt, caption, data, digits, rows=rows)


def _svg(variant: Variant, inside: Markup, height: float, alt: Text) -> Markup:
    return el(
        "svg", inside, class_="n" if variant.narrow else "w", lang=CODES[variant.language],
        view_box=f"0 0 {variant.width:.0f} {height:.0f}", role="img", aria_label=alt[variant.language],
    )  # fmt: skip


def data_table(data: pd.DataFrame, digits: int) -> str:
    """The numbers behind a chart; columns without any number are left out."""
    names = [c for c in data.columns if not c.endswith("_en") and not data[c].isna().all()]
    rows = [[_cell(data, c, i, digits) for c in names] for i in range(len(data))]
    return table([_title(c) for c in names], rows)


def _title(column: str) -> Text:
    """Words of a column; ``gap_low`` is put together, an unknown name is shown as it is."""
    name = column.removesuffix("_zh")
    if name in COLUMNS:
        return COLUMNS[name]
    stem, _, bound = name.rpartition("_")
    if stem in COLUMNS and bound in _BOUNDS:
        return Text(**{g: f"{COLUMNS[stem][g]}{' ' if g == 'en' else ''}{_BOUNDS[bound][g]}" for g in CODES})
    return Text(zh=name, en=name)


def _cell(data: pd.DataFrame, column: str, row: int, digits: int) -> Cell:
    value = data[column].iloc[row]
    right = pd.api.types.is_numeric_dtype(data[column])
    if pd.isna(value):
        return Cell(plain("–"), right=right)
    if column.endswith("_zh"):
        return Cell(Text(zh=str(value), en=str(data[column.removesuffix("_zh") + "_en"].iloc[row])))
    whole = column in ("n", "number") or (column == "size" and float(value) >= 30)
    return Cell(plain(number(float(value), 0 if whole else digits) if right else value), right=right)
