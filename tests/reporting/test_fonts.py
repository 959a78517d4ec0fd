"""The font inside a page: all of its characters, nothing else, the same bytes every time."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys

import pytest
from fontTools.ttLib import TTFont

from sqmodel.reporting.fonts import MissingGlyphWarning, characters, font_face

TEXT = "服务质量指数 67.4（65.6–69.2）：ω ≥ .70，−1.5 Index “quoted”…"


def embedded(rule: str) -> bytes:
    found = re.search(r"base64,([^)]+)\)", rule)
    assert found
    return base64.b64decode(found[1])


def test_covers_the_characters_of_the_text_and_hardly_more() -> None:
    font = TTFont(io.BytesIO(embedded(font_face(TEXT))))
    assert font.flavor == "woff2"
    covered = set(map(chr, font.getBestCmap()))
    assert covered >= characters(TEXT)
    # A glyph that stands in for another one may bring that one's character along.
    assert len(covered - characters(TEXT)) <= 3


def test_order_and_repetition_do_not_matter() -> None:
    assert font_face(TEXT) == font_face(TEXT[::-1] + TEXT)


def test_another_process_makes_the_same_bytes() -> None:
    code = f"from sqmodel.reporting.fonts import font_face; print(font_face({TEXT!r}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout == font_face(TEXT) + "\n"


def test_missing_glyphs_are_named() -> None:
    with pytest.warns(MissingGlyphWarning, match=r"no glyph for: 𐀀 \(U\+10000\), 🏦 \(U\+1F3E6\)"):
        rule = font_face("好 🏦𐀀")
    assert set(map(chr, TTFont(io.BytesIO(embedded(rule))).getBestCmap())) == {"好", " "}


def test_controls_and_joiners_need_no_glyph() -> None:
    assert characters("a\n\t\u200b\ufeff\u200d") == {"a"}
