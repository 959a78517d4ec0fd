"""The page brings its own Chinese: a subset of Noto Sans SC with exactly the characters it shows."""

from __future__ import annotations

import base64
import functools
import io
import logging
import threading
import unicodedata
import warnings
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqmodel.errors import SqmodelWarning

FAMILY = "sq"
MOST_NAMED = 20
UNITS = 250
"""Units an em, a quarter of the font's own: finer than a screen shows, and a page is 15 kB smaller than with 500."""


_making = threading.Lock()


class MissingGlyphWarning(SqmodelWarning):
    """Characters of the page are not in the font; readers see them only if their machine has them."""


def font_face(text: str) -> str:
    """Style rule with a font that covers every character of `text`.

    Parameters
    ----------
    text : str
        All that a page shows, in any order and with repetitions.

    Returns
    -------
    str
        An ``@font-face`` rule with the font inside, as woff2; the same characters give the same bytes.

    Warns
    -----
    MissingGlyphWarning
        Some characters are not in Noto Sans SC; the message names them.
    """
    wanted = characters(text)
    missing = missing_glyphs(text)
    if missing:
        shown = ", ".join(f"{c} (U+{ord(c):04X})" for c in missing[:MOST_NAMED])
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        warnings.warn(f"the page's font has no glyph for: {shown}{more}", MissingGlyphWarning, stacklevel=2)
    encoded = base64.b64encode(subset(frozenset(wanted - set(missing)))).decode()
    return (
        f'@font-face{{font-family:"{FAMILY}";font-display:block;'
        f'src:url(data:font/woff2;base64,{encoded})format("woff2")}}'
    )


def missing_glyphs(text: str) -> list[str]:
    """Characters of a text that Noto Sans SC has no glyph for."""
    return sorted(characters(text) - _covered())


def characters(text: str) -> set[str]:
    """Characters of a text that need a glyph."""
    return {c for c in text if unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Zl", "Zp")}


@functools.cache
def _covered() -> frozenset[str]:
    from fontTools.ttLib import TTFont

    with TTFont(_source(), lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


def _source() -> str:
    import pylopdf_fonts_zh_cn

    return str(pylopdf_fonts_zh_cn.sans_path())


@functools.lru_cache(maxsize=32)
def subset(wanted: frozenset[str]) -> bytes:
    """Noto Sans SC reduced to the characters `wanted`, as woff2.

    A page that needs no other characters than the package's own texts takes them from a small font made of those, which
    is some times faster than reducing the whole one; which way a page goes depends on its characters alone.
    """
    return _reduced(_own_font(), wanted) if wanted <= _own_characters() else _reduced(_source(), wanted)


@functools.cache
def _own_characters() -> frozenset[str]:
    """Characters of the page's own words and of the shipped questionnaires, and those of Latin scripts."""
    package = Path(str(files("sqmodel")))
    found = set(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180)]))
    # The notebooks lie beside the package in a checkout, and inside it once installed.
    folders = [package / name for name in ("reporting", "instruments", "measurement", "notebooks")]
    for folder in (*folders, package.parent / "notebooks"):
        for path in folder.rglob("*"):
            if path.suffix in (".py", ".yaml", ".j2", ".ipynb"):
                found |= characters(path.read_text(encoding="utf-8"))
    return frozenset(found & _covered())


def prepare() -> None:
    """Make the small font now rather than when the first page wants it."""
    _own_font()


def _own_font() -> bytes:
    """The small font; pages that are rendered at the same time wait for one another rather than making it each."""
    with _making:
        return _small_font()


@functools.cache
def _small_font() -> bytes:
    return _reduced(_source(), _own_characters(), flavor=None)


def _reduced(source: str | bytes, wanted: frozenset[str], flavor: str | None = "woff2") -> bytes:
    """A font with the characters `wanted` only.

    The font's own date stays as it is: a page made twice must be the same page.
    """
    from fontTools import subset as tools
    from fontTools.ttLib import TTFont

    # fontTools reports on every table; a notebook's reader has no use for it.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    options = tools.Options(
        flavor=flavor,
        hinting=False,
        desubroutinize=True,
        layout_features=["kern", "mark", "ccmp", "pwid"],
        notdef_outline=True,
    )
    options.recalc_timestamp = False
    # For lines that run downwards, which no page has.
    options.drop_tables += ["VORG", "vhea", "vmtx", "BASE"]
    file = source if isinstance(source, str) else io.BytesIO(source)
    font = TTFont(file, recalcTimestamp=False, recalcBBoxes=False)
    selection = tools.Subsetter(options)
    selection.populate(text="".join(sorted(wanted)))
    selection.subset(font)
    if isinstance(source, str):
        _scale(font)
    buffer = io.BytesIO()
    font.flavor = flavor
    font.save(buffer, reorderTables=False)
    return buffer.getvalue()


def _scale(font: Any) -> None:
    """Fewer units an em, each point of an outline rounded by itself.

    `scale_upem` rounds the steps from point to point, whose errors add up until an outline crosses itself.
    """
    from fontTools.pens.t2CharStringPen import T2CharStringPen
    from fontTools.pens.transformPen import TransformPen
    from fontTools.ttLib.scaleUpem import scale_upem

    factor = UNITS / font["head"].unitsPerEm
    glyphs, drawn = font.getGlyphSet(), {}
    for name in font.getGlyphOrder():
        drawn[name] = T2CharStringPen(None, None)
        glyphs[name].draw(TransformPen(drawn[name], (factor, 0, 0, factor, 0, 0)))
    scale_upem(font, UNITS)
    top = font["CFF "].cff.topDictIndex[0]
    for name, pen in drawn.items():
        old = top.CharStrings[name]
        top.CharStrings[name].setProgram(pen.getCharString(old.private, old.globalSubrs).program)
