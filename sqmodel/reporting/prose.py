"""Markdown of the notebooks: one source, two languages, told apart by their letters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import mistune
from markupsafe import Markup

from sqmodel.reporting.sanitize import clean

_CHINESE = re.compile(r"[㐀-鿿豈-﫿]")
_LETTER = re.compile(r"[^\W\d_]")
_TAG = re.compile(r"<[^>]*>")
_OPENING = re.compile(r"<(\w+)")


@dataclass(frozen=True)
class Prose:
    """A block of Markdown: a heading of some level with its two texts as HTML, or (level 0) anything else.

    `language` is ``zh``, ``en`` or empty where the block has no letters.
    """

    zh: str
    en: str = ""
    level: int = 0
    language: str = ""
    both: bool = False

    def shared(self) -> Prose:
        """The same block, shown to readers of either language."""
        return replace(self, both=True)

    @property
    def html(self) -> Markup:
        """The block with its language marked; a heading's inside only."""
        if self.level:
            return Markup(spans(self.zh, self.en))
        if not self.language:
            return Markup(self.zh)
        code = "zh-CN" if self.language == "zh" else "en"
        shown = ' class="only"' if self.both else ""
        # A table stands in a box of its own class, so the language goes onto a box around it.
        marked = f"<div>{self.zh}</div>" if self.zh.startswith("<div") else self.zh
        return Markup(_OPENING.sub(rf'<\1 lang="{code}"{shown}', marked, count=1))


def spans(zh: str, en: str) -> str:
    """Two HTML texts of which the page shows one; once where they are the same."""
    return zh if zh == en else f'<span lang="zh-CN">{zh}</span><span lang="en">{en}</span>'


def read_markdown(source: str) -> list[Prose]:
    """Read a Markdown cell.

    ``## 四个维度 | Four dimensions`` names a section in both languages. A paragraph, list, quotation or table with
    Chinese characters is the Chinese text, one without is the English text. HTML is shown as text.

    Examples
    --------
    >>> [block.html for block in read_markdown("你好\\n\\nhello")]
    [Markup('<p lang="zh-CN">你好</p>'), Markup('<p lang="en">hello</p>')]
    """
    renderer = _Blocks(escape=True)
    mistune.create_markdown(renderer=renderer, plugins=["table"])(source)
    return renderer.blocks


def language_of(html: str) -> str:
    """``zh`` where there is a Chinese character, ``en`` where there are other letters, else empty."""
    text = _TAG.sub("", html)
    if _CHINESE.search(text):
        return "zh"
    return "en" if _LETTER.search(text) else ""


class _Blocks(mistune.HTMLRenderer):
    """Renders to a list of blocks rather than one string: the page needs to know its headings."""

    def __init__(self, escape: bool = True) -> None:
        super().__init__(escape=escape)
        self.blocks: list[Prose] = []

    def __call__(self, tokens: Iterable[dict[str, Any]], state: Any) -> str:
        for token in tokens:
            rendered = clean(self.render_token(token, state)).strip()
            if token["type"] == "heading":
                self.blocks.append(_heading(rendered, token["attrs"]["level"]))
            elif rendered:
                self.blocks.append(Prose(rendered, language=language_of(rendered)))
        return ""


def _heading(html: str, level: int) -> Prose:
    inside = re.sub(r"^<h\d[^>]*>|</h\d>$", "", html)
    first, bar, second = inside.partition(" | ")
    if not bar:
        return Prose(inside, inside, level)
    zh, en = (second, first) if language_of(second) == "zh" and language_of(first) != "zh" else (first, second)
    return Prose(zh.strip(), en.strip(), level)
