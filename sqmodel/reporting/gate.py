"""The gate: what must hold of a page before it is put in place. It reads the finished bytes and trusts nobody.

It knows nothing of how the page was made, so that a mistake there does not excuse itself here.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser

from sqmodel.errors import InputError, Problem
from sqmodel.reporting.fonts import characters

FORBIDDEN = {
    "script", "iframe", "frame", "object", "embed", "applet", "base", "link", "form", "template", "portal",
    "foreignobject", "audio", "video", "source",
}  # fmt: skip
ADDRESSES = {
    "src", "href", "xlink:href", "action", "formaction", "poster", "data", "srcset", "background", "cite", "ping",
}  # fmt: skip
_POLICY = re.compile(
    r"default-src 'none'; img-src data:; font-src data:; style-src '(sha256-[A-Za-z0-9+/=]+)'; "
    r"base-uri 'none'; form-action 'none'"
)
_FONT = re.compile(r"src:url\(data:font/woff2;base64,([A-Za-z0-9+/=]+)\)")
_URL = re.compile(r"(?:url\(\s*|@import\s+)['\"]?(?!data:|#)([^'\")\s]*)", re.IGNORECASE)
_COMPANION = re.compile(r"[\w%.-]+(?:/[\w%.-]+)*")


@dataclass(frozen=True)
class Expected:
    """What a page has to hold.

    Parameters
    ----------
    figures, tables : int
        As many as the notebook's cells displayed.
    files : tuple of str
        Files beside the page that it may link to; None where any relative path may be linked (the index).
    most_bytes : int
        Size budget of the page.
    """

    figures: int = 0
    tables: int = 0
    files: tuple[str, ...] | None = ()
    most_bytes: int = 300_000


@dataclass
class _Reader(HTMLParser):
    """Everything of a page that the gate asks about."""

    tags: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    styles: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    policies: list[str] = field(default_factory=list)
    languages: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._inside = ""
        self._depth = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        self._inside = tag if tag in ("style", "title") else ""
        if tag in FORBIDDEN:
            self.problems.append(f"expected no <{tag}>, found one")
        if tag == "meta":
            self._meta(found)
        if lang := found.get("lang"):
            self.languages.add(lang)
        self._attributes(tag, found)
        self._alternative(tag, found)

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        (self.styles if self._inside == "style" else self.text).append(data)

    def _meta(self, found: dict[str, str]) -> None:
        kind = found.get("http-equiv", "").lower()
        if kind == "content-security-policy":
            self.policies.append(found.get("content", ""))
        elif kind:
            self.problems.append(f"expected no <meta http-equiv={kind!r}>, found one")

    def _attributes(self, tag: str, found: dict[str, str]) -> None:
        for name, value in found.items():
            if name.startswith("on"):
                self.problems.append(f"expected no event handler, found {name} on <{tag}>")
            elif name == "style":
                self.problems.append(f"expected no style attribute (the policy refuses it), found one on <{tag}>")
            elif name in ADDRESSES:
                self._address(tag, name, value.strip())
            elif name not in ("alt", "aria-label", "title", "content") and (out := _URL.search(value)):
                self.problems.append(f"expected no address outside the page, found {out[1][:60]!r} on <{tag}>")

    def _address(self, tag: str, name: str, value: str) -> None:
        if value.startswith("#") or (tag == "img" and value.startswith("data:image/")):
            return
        if tag == "a" and name == "href" and _COMPANION.fullmatch(value):
            self.links.append(value)
            return
        self.problems.append(f"expected no address outside the page, found {value[:60]!r} on <{tag}>")

    def _alternative(self, tag: str, found: dict[str, str]) -> None:
        if tag == "img" and not found.get("alt", "").strip():
            self.problems.append("expected an alternative text on every image, found an image without one")
        hidden = found.get("aria-hidden") == "true"
        if tag == "svg" and not hidden and not (found.get("role") == "img" and found.get("aria-label", "").strip()):
            self.problems.append("expected role and label on every drawing, found a drawing without them")


def inspect(page: str, expected: Expected) -> list[str]:
    """What keeps a page from being published; empty if nothing does.

    Parameters
    ----------
    page : str
        The whole page.
    expected : Expected
        What it has to hold.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    problems = list(dict.fromkeys(reader.problems))
    for name, wanted in (("figure", expected.figures), ("table", expected.tables)):
        if reader.tags[name] != wanted:
            problems.append(f"expected {wanted} {name}s as the notebook shows, found {reader.tags[name]}")
    if expected.files is not None:
        problems += [
            f"expected links to the files beside the page only, found {link!r}"
            for link in dict.fromkeys(reader.links)
            if link not in expected.files
        ]
    if not {"zh-CN", "en"} <= reader.languages:
        problems.append(f"expected text in zh-CN and en, found {', '.join(sorted(reader.languages)) or 'no language'}")
    problems += _policy(reader) + _glyphs(reader)
    size = len(page.encode())
    if size > expected.most_bytes:
        problems.append(
            f"expected at most {expected.most_bytes:,} bytes, found {size:,}; `page_bytes` in the params allows more"
        )
    return problems


def check_page(source: str, page: str, expected: Expected) -> None:
    """Refuse a page that must not be published.

    Raises
    ------
    InputError
        With everything that is wrong with it.
    """
    problems: list[Problem | str] = [*inspect(page, expected)]
    if problems:
        raise InputError(source, problems, "the page was not published; the last good one stays")


def _policy(reader: _Reader) -> list[str]:
    """One policy, one style, and the hash of the one in the other."""
    if len(reader.policies) != 1 or (match := _POLICY.fullmatch(reader.policies[0])) is None:
        return [f"expected the one content-security policy of every page, found {reader.policies or 'none'}"]
    if len(reader.styles) != 1:
        return [f"expected one style sheet, found {len(reader.styles)}"]
    style = reader.styles[0]
    problems = [f"expected no address in the style sheet, found {url[:60]!r}" for url in _URL.findall(style)]
    own = "sha256-" + base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    if match[1] != own:
        problems.append("expected the policy's hash to be that of the style sheet, found another: no style would apply")
    return problems


def _glyphs(reader: _Reader) -> list[str]:
    """Characters without a glyph in the fonts that the page carries."""
    from fontTools.ttLib import TTFont

    fonts = _FONT.findall("".join(reader.styles))
    if not fonts:
        return ["expected a font in the page, found none: Chinese would be empty boxes on some machines"]
    there: set[str] = set()
    for content in fonts:
        with TTFont(io.BytesIO(base64.b64decode(content)), lazy=True) as font:
            there |= set(map(chr, font.getBestCmap()))
    missing = sorted(characters("".join(reader.text)) - there)
    if not missing:
        return []
    shown = tuple(f"{c} (U+{ord(c):04X})" for c in missing)
    return [str(Problem("expected a glyph for every character, found none for", shown))]
