"""The page brings its own Chinese: Noto Sans SC with exactly the characters it shows, in two parts.

Signs (letters, figures, punctuation) stand closer or further apart by their neighbours, so they are taken out of the
font with those rules. A Chinese character is an outline and nothing more: drawn once, it is put into the font of every
page that shows it, which costs a fraction of reducing the whole font for each page.
"""

from __future__ import annotations

import base64
import functools
import io
import logging
import threading
import unicodedata
import warnings
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, NamedTuple

from sqmodel.errors import SqmodelWarning

FAMILY = "sq"
MOST_NAMED = 20
UNITS = 250
"""Units an em, a quarter of the font's own: finer than a screen shows, and a page is 15 kB smaller than with 500."""
IDEOGRAPHS = ((0x2E80, 0x2FDF), (0x3400, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF))
"""Code points whose glyphs take part in no rule of the font: neither kerning nor substitution names one."""
SIGNS = ((0x20, 0x7E), (0xA0, 0x17F), (0x391, 0x3C9), (0x2010, 0x203E), (0x2190, 0x2199), (0x2200, 0x226B),
         (0x3000, 0x301F), (0xFF01, 0xFF5E))  # fmt: skip
"""Code points that pages are expected to show; one that shows others has its signs taken from the whole font."""
NO_GLYPH = ("Cc", "Cf", "Cs", "Co", "Cn", "Mn", "Zl", "Zp")
NOTHING = bytes([14])
"""The outline of nothing: `endchar`."""


_making = threading.Lock()


class MissingGlyphWarning(SqmodelWarning):
    """Characters of the page are not in the font; readers see them only if their machine has them."""


def font_faces(text: str) -> str:
    """Style rules with a font that covers every character of `text`.

    Parameters
    ----------
    text : str
        All that a page shows, in any order and with repetitions.

    Returns
    -------
    str
        An ``@font-face`` rule for the signs and, where there are any, one for the Chinese characters, with the fonts
        inside, as woff2; the same characters give the same bytes.

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
    found = wanted - set(missing)
    chinese = frozenset(c for c in found if _ideograph(c))
    rules = [_rule(signs(frozenset(found - chinese)), "")]
    if chinese:
        ranges = ",".join(f"U+{low:X}-{high:X}" for low, high in IDEOGRAPHS)
        rules.append(_rule(ideographs(chinese), f"unicode-range:{ranges};"))
    return "".join(rules)


def _rule(font: bytes, which: str) -> str:
    encoded = base64.b64encode(font).decode()
    return (
        f'@font-face{{font-family:"{FAMILY}";font-display:block;{which}'
        f'src:url(data:font/woff2;base64,{encoded})format("woff2")}}'
    )


def missing_glyphs(text: str) -> list[str]:
    """Characters of a text that Noto Sans SC has no glyph for."""
    return sorted(characters(text) - _covered())


def characters(text: str) -> set[str]:
    """Characters of a text that need a glyph."""
    return {c for c in set(text) if unicodedata.category(c) not in NO_GLYPH}


def _ideograph(character: str) -> bool:
    return any(low <= ord(character) <= high for low, high in IDEOGRAPHS)


@functools.cache
def _covered() -> frozenset[str]:
    from fontTools.ttLib import TTFont

    with TTFont(_source(), lazy=True) as font:
        return frozenset(map(chr, font.getBestCmap()))


def _source() -> str:
    import pylopdf_fonts_zh_cn

    return str(pylopdf_fonts_zh_cn.sans_path())


def prepare() -> None:
    """Make now what every page needs, rather than when the first one wants it."""
    _usual_font()
    text = files("sqmodel.reporting").joinpath("texts/zh.yaml").read_text(encoding="utf-8")
    _outlines().of(c for c in sorted(characters(text) & _covered()) if _ideograph(c))


@functools.lru_cache(maxsize=32)
def signs(wanted: frozenset[str]) -> bytes:
    """Noto Sans SC reduced to the signs `wanted`, as woff2, with their kerning.

    The whole font is gone through only for what is not among `SIGNS`; which way it goes depends on `wanted` alone.
    """
    usual = all(any(low <= ord(c) <= high for low, high in SIGNS) for c in wanted)
    return _reduced(_usual_font() if usual else _source(), wanted)


@functools.lru_cache(maxsize=32)
def ideographs(wanted: frozenset[str]) -> bytes:
    """The Chinese characters `wanted` as a font of its own, as woff2; its lines are as high as those of the signs."""
    from fontTools.fontBuilder import FontBuilder
    from fontTools.misc.psCharStrings import T2CharString
    from fontTools.ttLib import TTFont

    drawn = dict(zip(sorted(wanted), _outlines().of(sorted(wanted)), strict=True))
    names = {ord(c): f"u{ord(c):X}" for c in drawn}
    builder = FontBuilder(UNITS, isTTF=False)
    builder.setupGlyphOrder([".notdef", *names.values()])
    builder.setupCharacterMap(names)
    # Letters and Chinese characters share a line: what a line's height follows from must be the same in both fonts.
    with TTFont(io.BytesIO(_usual_font())) as usual:
        for tag in ("head", "hhea", "OS/2"):
            builder.font[tag] = usual[tag]
        box = usual["CFF "].cff.topDictIndex[0].FontBBox
    builder.setupHorizontalMetrics({".notdef": (UNITS, 0)} | {names[ord(c)]: g.metrics for c, g in drawn.items()})
    programs = {".notdef": NOTHING} | {names[ord(c)]: glyph.program for c, glyph in drawn.items()}
    outlines = {name: T2CharString(bytecode=program) for name, program in programs.items()}
    builder.setupCFF(FAMILY, {"FontBBox": box}, outlines, {"defaultWidthX": UNITS})
    builder.setupNameTable({"familyName": FAMILY, "styleName": "Regular", "psName": FAMILY})
    builder.setupPost(keepGlyphNames=False)
    return _bytes(builder.font, "woff2")


class _Glyph(NamedTuple):
    """An outline as the font's machine draws it; its width and the room at its left."""

    program: bytes
    metrics: tuple[int, int]


class _Outlines:
    """Characters of the whole font, each drawn once, in `UNITS`."""

    def __init__(self) -> None:
        from fontTools.ttLib import TTFont

        font = TTFont(_source(), lazy=True)
        self._names, self._metrics, self._glyphs = font.getBestCmap(), font["hmtx"], font.getGlyphSet()
        self._factor = UNITS / font["head"].unitsPerEm
        self._known: dict[str, _Glyph] = {}
        self._reading = threading.Lock()

    def of(self, shown: Iterable[str]) -> list[_Glyph]:
        """Their glyphs; one thread at a time reads the font."""
        found = []
        for character in shown:
            with self._reading:
                if character not in self._known:
                    self._known[character] = self._draw(self._names[ord(character)])
                found.append(self._known[character])
        return found

    def _draw(self, name: str) -> _Glyph:
        from fontTools.misc.roundTools import otRound

        width, left = (otRound(v * self._factor) for v in self._metrics[name])
        outline = _drawn(self._glyphs[name], self._factor, None if width == UNITS else width)
        outline.compile()
        return _Glyph(outline.bytecode, (width, left))


def _drawn(glyph: Any, factor: float, width: int | None = None) -> Any:
    """An outline in other units, each point rounded by itself."""
    from fontTools.pens.t2CharStringPen import T2CharStringPen
    from fontTools.pens.transformPen import TransformPen

    pen = T2CharStringPen(width, None)
    glyph.draw(TransformPen(pen, (factor, 0, 0, factor, 0, 0)))
    return pen.getCharString()


def _outlines() -> _Outlines:
    """The drawn characters of this process."""
    with _making:
        return _whole_font()


@functools.cache
def _whole_font() -> _Outlines:
    return _Outlines()


def _usual_font() -> bytes:
    """The font of `SIGNS`; pages that are rendered at the same time wait for one another rather than making it each."""
    with _making:
        return _sign_font()


@functools.cache
def _sign_font() -> bytes:
    every = {chr(k) for low, high in SIGNS for k in range(low, high + 1)}
    return _reduced(_source(), frozenset(every & _covered()), flavor=None)


def _reduced(source: str | bytes, wanted: frozenset[str], flavor: str | None = "woff2") -> bytes:
    """A font with the characters `wanted` only."""
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
    font = TTFont(source if isinstance(source, str) else io.BytesIO(source))
    selection = tools.Subsetter(options)
    selection.populate(text="".join(sorted(wanted)))
    selection.subset(font)
    if isinstance(source, str):
        _scale(font)
    return _bytes(font, flavor)


def _bytes(font: Any, flavor: str | None) -> bytes:
    """The font as a file. Its own date stays as it is: a page made twice must be the same page."""
    font.recalcBBoxes = font.recalcTimestamp = False
    font.flavor = flavor
    buffer = io.BytesIO()
    font.save(buffer, reorderTables=False)
    return buffer.getvalue()


def _scale(font: Any) -> None:
    """Fewer units an em, each point of an outline rounded by itself.

    `scale_upem` rounds the steps from point to point, whose errors add up until an outline crosses itself.
    """
    from fontTools.ttLib.scaleUpem import scale_upem

    factor = UNITS / font["head"].unitsPerEm
    glyphs = font.getGlyphSet()
    drawn = {name: _drawn(glyphs[name], factor) for name in font.getGlyphOrder()}
    scale_upem(font, UNITS)
    top = font["CFF "].cff.topDictIndex[0]
    for name, outline in drawn.items():
        top.CharStrings[name].setProgram(outline.program)
