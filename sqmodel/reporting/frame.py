"""The frame of every published page: style, policy, font, language toggle. No script, nothing from outside."""

from __future__ import annotations

import base64
import functools
import hashlib
import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2
from markupsafe import Markup

from sqmodel.definitions import Text
from sqmodel.reporting.fonts import font_faces, missing_glyphs
from sqmodel.reporting.prose import spans

POLICY = (
    "default-src 'none'; img-src data:; font-src data:; style-src 'sha256-{digest}'; "
    "base-uri 'none'; form-action 'none'"
)
WORDS = {
    "skip": Text(zh="跳到正文", en="Skip to content"),
    "language": Text(zh="语言", en="Language"),
    "files": Text(zh="同时发布的数据文件：", en="Data published with this page: "),
    "offline": Text(
        zh="本页不含脚本，不连接网络，可离线打开和打印。",
        en="This page holds no script, connects to nothing, and can be opened and printed offline.",
    ),
}
_OPENING = re.compile(r"<[a-z][^>]*>")
_QUOTED = re.compile(r"=\"([A-Za-z0-9_.:#%,;+()-]+)\"(?=[ >])")
_TAG = re.compile(r"<[^>]*>")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_CONTENT = re.compile(r'content:"([^"]*)"')


@dataclass(frozen=True)
class Entry:
    """A line of the table of contents: the section's id and its title as HTML in both languages."""

    id: str
    html: Markup


def both(text: Text) -> Markup:
    """A text in both languages, escaped; the page shows one."""
    return Markup(spans(html.escape(text["zh"]), html.escape(text["en"])))


def render_page(
    body: str,
    *,
    title: Text,
    kicker: Text | None = None,
    subtitle: Text | None = None,
    toc: Sequence[Entry] = (),
    companions: Sequence[str] = (),
    language: str = "zh",
) -> str:
    """Put a body into the frame.

    Parameters
    ----------
    body : str
        Clean HTML.
    title : Text
        What the browser's tab says.
    kicker, subtitle : Text, optional
        What the bar at the top says: which report, of whom and when.
    toc : sequence of Entry
        Sections to list at the side.
    companions : sequence of str
        Names of files beside the page, to link to.
    language : str
        ``zh`` or ``en``: in which the page opens.

    Returns
    -------
    str
        A whole page that needs nothing else; the same arguments give the same bytes.
    """
    values = {
        "title": title["zh"] if title["zh"] == title["en"] else f"{title['zh']} | {title['en']}",
        "kicker": kicker,
        "subtitle": subtitle,
        "toc": toc,
        "files": companions,
        "language": language,
        "body": Markup(_OPENING.sub(_unquoted, body.strip())),
        "words": WORDS,
        "both": both,
    }
    shown = _template().render(values, style="", policy="")
    # A character that the font does not have is spelled out, so that no reader sees an empty box in its place.
    spelled = {ord(c): f"[U+{ord(c):04X}]" for c in missing_glyphs(visible_text(shown))}
    shown = shown.translate(spelled)
    style = font_faces(visible_text(shown) + "".join(_CONTENT.findall(_css()))) + _css()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    # The policy is ours and safe: escaping its quotes would only hurt those who read the source.
    page = _template().render(values, style=Markup(style), policy=Markup(POLICY.format(digest=digest)))
    return page.translate(spelled) if spelled else page


def _unquoted(tag: re.Match[str]) -> str:
    """A tag with no quotes around values that need none: a page has thousands of them."""
    return _QUOTED.sub(r"=\1", tag[0])


def visible_text(page: str) -> str:
    """All characters that a page may show."""
    return html.unescape(_TAG.sub("", page))


@functools.cache
def _css() -> str:
    source = files("sqmodel.reporting").joinpath("template/sqreport.css").read_text(encoding="utf-8")
    return _COMMENT.sub("", source).replace("\n", "")


@functools.cache
def _template() -> jinja2.Template:
    source = files("sqmodel.reporting").joinpath("template/page.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string(source)
