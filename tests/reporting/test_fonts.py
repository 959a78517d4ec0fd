"""The font inside a page: all of its characters, nothing else, the same bytes every time."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import pytest
from fontTools.pens.recordingPen import RecordingPen
from fontTools.ttLib import TTFont

from sqmodel.reporting.fonts import (
    UNITS,
    MissingGlyphWarning,
    _reduced,
    _source,
    characters,
    font_faces,
    ideographs,
    missing_glyphs,
    signs,
)

TEXT = "服务质量指数 67.4（65.6–69.2）：ω ≥ .70，−1.5 Index “quoted”…"


def embedded(rules: str) -> list[TTFont]:
    return [TTFont(io.BytesIO(base64.b64decode(found))) for found in re.findall(r"base64,([^)]+)\)", rules)]


def shown_by(rules: str) -> list[set[str]]:
    return [set(map(chr, font.getBestCmap())) for font in embedded(rules)]


def outline(font: TTFont, character: str) -> list[tuple[str, tuple[tuple[float, float], ...]]]:
    pen, glyphs = RecordingPen(), font.getGlyphSet()
    glyphs[font.getBestCmap()[ord(character)]].draw(pen)
    return [*pen.value, ("width", ((glyphs[font.getBestCmap()[ord(character)]].width, 0),))]


def test_covers_the_characters_of_the_text_and_hardly_more() -> None:
    rules = font_faces(TEXT)
    assert {font.flavor for font in embedded(rules)} == {"woff2"}
    letters, chinese = shown_by(rules)
    assert chinese == set("服务质量指数")
    assert letters >= characters(TEXT) - chinese
    # A glyph that stands in for another one may bring that one's character along.
    assert len(letters - characters(TEXT)) <= 3


def test_a_text_without_chinese_has_one_font_and_greek_or_cyrillic_is_no_obstacle() -> None:
    assert shown_by(font_faces("Index ω Ж")) == [set("Index ω Ж")]
    assert font_faces("Index").count("@font-face") == 1


def test_chinese_is_drawn_as_by_reducing_the_whole_font() -> None:
    """Outline, width and the room that a line takes, against fontTools' own way."""
    rare = "服务质量一丨囗鑫〇㐀豈𠂇"
    assert missing_glyphs(rare) == []
    letters, chinese = embedded(font_faces(rare))
    whole = TTFont(io.BytesIO(_reduced(_source(), frozenset(rare), flavor=None)))
    for character in set(rare) - {"〇"}:
        assert outline(chinese, character) == outline(whole, character), character
    for character in rare:
        font = letters if character == "〇" else chinese
        name, other = font.getBestCmap()[ord(character)], whole.getBestCmap()[ord(character)]
        assert font["hmtx"][name] == whole["hmtx"][other], character
    for font in (letters, chinese):
        assert font["head"].unitsPerEm == whole["head"].unitsPerEm == UNITS
        for table, names in (("hhea", ("ascent", "descent", "lineGap")),
                             ("OS/2", ("sTypoAscender", "sTypoDescender", "usWinAscent", "usWinDescent"))):  # fmt: skip
            assert [getattr(font[table], n) for n in names] == [getattr(whole[table], n) for n in names]


def test_no_rule_of_the_font_is_about_chinese_characters() -> None:
    """So that nothing is lost by taking them out of it."""
    chinese = TTFont(io.BytesIO(_reduced(_source(), frozenset("服务质量鑫一丨囗㐀𠂇"), flavor=None)))
    letters = TTFont(io.BytesIO(_reduced(_source(), frozenset("AVTo“”…"), flavor=None)))
    rules = [sum(len(font[tag].table.LookupList.Lookup) for tag in ("GSUB", "GPOS") if font[tag].table.LookupList)
             for font in (chinese, letters)]  # fmt: skip
    assert rules[0] == 0 < rules[1]


def test_what_was_drawn_before_leaves_no_trace() -> None:
    first = font_faces(TEXT)
    font_faces("一二三 and αβγ")
    ideographs.cache_clear()
    signs.cache_clear()
    assert font_faces(TEXT) == first


def test_order_and_repetition_do_not_matter() -> None:
    assert font_faces(TEXT) == font_faces(TEXT[::-1] + TEXT)


def test_another_process_makes_the_same_bytes() -> None:
    code = f"from sqmodel.reporting.fonts import font_faces; print(font_faces({TEXT!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout == font_faces(TEXT) + "\n"


def test_missing_glyphs_are_named() -> None:
    with pytest.warns(MissingGlyphWarning, match=r"no glyph for: 𐀀 \(U\+10000\), 🏦 \(U\+1F3E6\)"):
        rules = font_faces("好 🏦𐀀")
    assert shown_by(rules) == [{" "}, {"好"}]


def test_controls_and_joiners_need_no_glyph() -> None:
    assert characters("a\n\t\u200b\ufeff\u200d") == {"a"}
