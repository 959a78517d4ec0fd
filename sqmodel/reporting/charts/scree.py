"""The scree plot: observed eigenvalues against those of random data, drawn by seaborn for the methods section.

All other charts are hand-written SVG (`sqmodel.reporting.charts.writer` says why). A plot for specialists may come from
the tool they know; what it writes is brought to the page's rules here: no style attributes, no ids but the page's own,
colours as class names, text as text.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

import pandas as pd
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.errors import ComputationError
from sqmodel.reporting.charts.figure import Drawing, Figure, Variant, assemble
from sqmodel.reporting.charts.writer import Texts, number

SERIES = {
    "observed": Text(zh="实际数据", en="Observed"),
    "simulated": Text(zh="随机数据（95% 分位数）", en="Random (95th percentile)"),
}
MOST = 12
"""Eigenvalues after these hardly ever count as factors; results.json holds them all."""
AXES = (Text(zh="因子序号", en="Factor number"), Text(zh="特征值", en="Eigenvalue"))
INK, MUTE, LINE, BLUE, PAPER = "#1d2733", "#566270", "#e9edf2", "#1f5fa8", "#ffffff"
CLASSES = {INK: "i", MUTE: "m", LINE: "l", BLUE: "b", PAPER: "w", "#000000": "i"}
KEPT = ("stroke-width", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "opacity", "text-anchor")
_SVG = "{http://www.w3.org/2000/svg}"
_HREF = "{http://www.w3.org/1999/xlink}href"
_NUMBER = re.compile(r"-?\d+\.\d+")
_FONT = re.compile(r"([\d.]+)px")
_SPACE = re.compile(r"\s*([A-Za-z])\s*|\s+")
_EMPTY = re.compile(r'<defs ?/>|<path d="[^"]*" fill="none" ?/>')
"""Patches without paint, of which matplotlib writes many."""


def scree_plot(
    eigenvalues: pd.DataFrame,
    *,
    alt: Text,
    caption: Text,
    name: str = "scree",
    observed: str = "factors",
    simulated: str = "factors_normal_quantile",
) -> Figure:
    """How many factors the answers hold: eigenvalues above those of random data count.

    Parameters
    ----------
    eigenvalues : DataFrame
        A row each, numbered from 1.
    alt, caption : Text
        What the chart shows in words; what stands below it.
    name : str
        Id of the figure.
    observed, simulated : str
        Columns to draw; the defaults are those of `sqmodel.explore` for the method that decides.

    Returns
    -------
    Figure
    """
    absent = [c for c in (observed, simulated) if c not in eigenvalues]
    if absent:
        raise ComputationError(
            f"{name}: expected columns {', '.join(absent)}, found {', '.join(map(str, eigenvalues))}"
        )
    shown = eigenvalues.head(MOST)
    data = pd.DataFrame(
        {
            "number": range(1, len(shown) + 1),
            "observed": shown[observed].to_numpy(dtype=float),
            "simulated": shown[simulated].to_numpy(dtype=float),
        }
    )
    return assemble(name, functools.partial(_draw, data, name), alt=alt, caption=caption, data=data, digits=2)


def _draw(data: pd.DataFrame, name: str, variant: Variant) -> Drawing:
    height = 250.0 if variant.narrow else 300.0
    drawn = _matplotlib(data, variant, height)
    marks, words = tame(drawn, f"{name}-{'n' if variant.narrow else 'w'}")
    return Drawing(marks, words, height)


def _matplotlib(data: pd.DataFrame, variant: Variant, height: float) -> bytes:
    """Draw with 72 dots an inch, so that a point of matplotlib is a pixel of the page."""
    import matplotlib as mpl
    import seaborn as sns
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Canvas

    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "sqmodel", "font.size": variant.small}
    settings["font.family"] = [_page_font()]
    with mpl.rc_context(settings):
        canvas = Canvas(figsize=(variant.width / 72, height / 72), dpi=72)
        FigureCanvasSVG(canvas)
        axes = canvas.add_axes((38 / variant.width, 44 / height, 1 - 44 / variant.width, 1 - 74 / height))
        long = data.melt("number", var_name="series", value_name="eigenvalue")
        sns.lineplot(
            long, x="number", y="eigenvalue", hue="series", style="series", errorbar=None, legend=False, ax=axes,
            palette={"observed": BLUE, "simulated": MUTE}, dashes={"observed": "", "simulated": (3, 2)},
            markers={"observed": "o", "simulated": "o"}, markersize=7, linewidth=2, markeredgecolor=PAPER,
        )  # fmt: skip
        _dress(axes, data, variant)
        buffer = io.BytesIO()
        canvas.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return buffer.getvalue()


@functools.cache
def _page_font() -> str:
    """The page's font, so that matplotlib measures Chinese text with the glyphs that it will be shown in."""
    import pylopdf_fonts_zh_cn
    from matplotlib import font_manager

    source = str(pylopdf_fonts_zh_cn.sans_path())
    font_manager.fontManager.addfont(source)
    return str(font_manager.FontProperties(fname=source).get_name())


def _dress(axes: Any, data: pd.DataFrame, variant: Variant) -> None:
    """Direct labels, quiet grid, no frame."""
    axes.set_facecolor("none")
    axes.figure.set_facecolor("none")
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color=LINE, linewidth=1)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, colors=MUTE, pad=6)
    axes.set_xticks(range(1, len(data) + 1, 2 if variant.narrow else 1))
    axes.set_xlabel(AXES[0][variant.language], color=MUTE, loc="right")
    axes.set_ylabel("")
    axes.text(-0.0, 1.05, AXES[1][variant.language], transform=axes.transAxes, color=MUTE, ha="left")
    top, span = data[["observed", "simulated"]].max().max(), len(data)
    first = data.iloc[0]
    axes.text(1 + 0.03 * span, first["observed"], SERIES["observed"][variant.language], color=BLUE, va="center")
    above = data[["observed", "simulated"]].iloc[span // 3 :].max().max() + 0.06 * top
    axes.text(span, above, SERIES["simulated"][variant.language], color=MUTE, ha="right")


def tame(drawn: bytes, prefix: str) -> tuple[Markup, Markup]:
    """Bring matplotlib's SVG to the page's rules.

    Parameters
    ----------
    drawn : bytes
        What matplotlib wrote with ``svg.fonttype`` none.
    prefix : str
        Begins every id, so that two drawings on a page do not refer to each other's parts.

    Returns
    -------
    marks, words : Markup
        The inside of the ``<svg>``, texts apart because they differ between languages: no style, no metadata, ids only
        where something refers to them.
    """
    root = ElementTree.fromstring(drawn)
    for parent in root.iter():
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in ("metadata", "title", "style", "clipPath"):
                parent.remove(child)
    used = sorted({v.lstrip("#") for e in root.iter() for k, v in e.items() if k == _HREF})
    names = {own: f"{prefix}-{i}" for i, own in enumerate(used)}
    for element in root.iter():
        _tame_element(element, names)
    words = _take_texts(root)
    for element in root.iter(f"{_SVG}g"):
        _hoist(element)
    inside = "".join(ElementTree.tostring(child, encoding="unicode") for child in _unwrapped(root))
    inside = re.sub(r' xmlns(:\w+)?="[^"]*"|ns\d+:', "", inside)
    inside = re.sub(r">\s+<", "><", inside).strip().replace(" />", "/>")
    return Markup(_EMPTY.sub("", inside)), words


def _take_texts(root: ElementTree.Element) -> Markup:
    """The texts, which matplotlib places without transforms, taken out of the drawing."""
    words = Texts()
    for parent in root.iter():
        for text in parent.findall(f"{_SVG}text"):
            x, y = float(text.attrib.pop("x")), float(text.attrib.pop("y"))
            looks = {k.replace("-", "_"): v for k, v in text.items() if (k, v) != ("text-anchor", "start")}
            words.add("".join(text.itertext()), x, y, **looks)
            parent.remove(text)
    return words.markup()


def _unwrapped(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """The elements without the groups that say nothing; lines that look alike become one."""
    last: ElementTree.Element | None = None
    for child in root:
        plain = child.tag == f"{_SVG}g" and not child.attrib
        for element in _unwrapped(child) if plain else [child]:
            if last is not None and last.tag == element.tag == f"{_SVG}path" and _looks(last) == _looks(element):
                last.set("d", last.get("d", "") + element.get("d", ""))
                continue
            if last is not None:
                yield last
            last = element
    if last is not None:
        yield last


def _looks(element: ElementTree.Element) -> dict[str, str]:
    return {k: v for k, v in element.items() if k != "d"}


def _hoist(element: ElementTree.Element) -> None:
    """Write once, on the group, what all its children say: a hundred markers look alike."""
    children = list(element)
    if len(children) < 2:
        return
    common = set.intersection(*(set(c.items()) for c in children))
    for key, value in sorted(common):
        if key in (*KEPT, "class", "font-size"):
            element.set(key, value)
            for child in children:
                del child.attrib[key]


def _tame_element(element: ElementTree.Element, ids: Mapping[str, str]) -> None:
    style = element.attrib.pop("style", "")
    own = element.attrib.pop("id", "")
    if own in ids:
        element.set("id", ids[own])
    if _HREF in element.attrib:
        element.set("href", "#" + ids[element.attrib.pop(_HREF).lstrip("#")])
    names = _style_to_attributes(element, style)
    for key, value in list(element.items()):
        if key == "transform" and value.startswith("rotate(-0"):
            del element.attrib[key]
        elif key in ("d", "transform", "x", "y", "width", "height"):
            short = _SPACE.sub(lambda m: m[1] or " ", value.strip())
            element.set(key, _NUMBER.sub(lambda m: number(float(m.group())), short))
        if key == "clip-path":
            # Marks at the edge are cut by matplotlib's clipping, and nothing here lies outside the axes.
            del element.attrib[key]
        if key in ("fill", "stroke"):
            names += _paint(element, key, value)
    if names:
        element.set("class", " ".join(dict.fromkeys(names)))


def _style_to_attributes(element: ElementTree.Element, style: str) -> list[str]:
    """Style properties as presentation attributes; returns the class names for colours."""
    names: list[str] = []
    for prop in filter(None, (p.strip() for p in style.split(";"))):
        key, _, value = (p.strip() for p in prop.partition(":"))
        if key in ("font", "font-size"):
            size = _FONT.search(value)
            element.set("font-size", number(float(size.group(1))) if size else "12")
        elif key in ("fill", "stroke"):
            names += _paint(element, key, value)
        elif key in KEPT:
            element.set(key, value)
    return names


def _paint(element: ElementTree.Element, key: str, value: str) -> list[str]:
    element.attrib.pop(key, None)
    if value in CLASSES:
        return [key[0] + CLASSES[value]]
    element.set(key, value)
    return []
