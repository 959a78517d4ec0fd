"""What may stand in a published page: an allow-list of elements and attributes for HTML that cells displayed."""

from __future__ import annotations

import re

import nh3

HTML_TAGS = frozenset(
    [
        "a",
        "abbr",
        "b",
        "blockquote",
        "br",
        "caption",
        "code",
        "col",
        "colgroup",
        "dd",
        "del",
        "details",
        "div",
        "dl",
        "dt",
        "em",
        "figcaption",
        "figure",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "hr",
        "i",
        "img",
        "ins",
        "kbd",
        "li",
        "mark",
        "ol",
        "p",
        "pre",
        "q",
        "s",
        "samp",
        "section",
        "small",
        "span",
        "strong",
        "sub",
        "summary",
        "sup",
        "table",
        "tbody",
        "td",
        "tfoot",
        "th",
        "thead",
        "tr",
        "u",
        "ul",
        "var",
        "wbr",
    ]
)
SVG_TAGS = frozenset(
    [
        "svg",
        "g",
        "path",
        "line",
        "rect",
        "circle",
        "ellipse",
        "polyline",
        "polygon",
        "text",
        "tspan",
        "defs",
        "use",
        "symbol",
        "clipPath",
        "linearGradient",
        "radialGradient",
        "stop",
    ]
)
HTML_ATTRIBUTES = frozenset(
    [
        "alt",
        "aria-hidden",
        "aria-label",
        "class",
        "colspan",
        "dir",
        "height",
        "href",
        "id",
        "lang",
        "open",
        "role",
        "rowspan",
        "scope",
        "span",
        "src",
        "start",
        "title",
        "width",
    ]
)
SVG_ATTRIBUTES = frozenset(
    [
        "clip-path",
        "clip-rule",
        "clipPathUnits",
        "cx",
        "cy",
        "d",
        "dominant-baseline",
        "dx",
        "dy",
        "fill",
        "fill-opacity",
        "fill-rule",
        "focusable",
        "font-family",
        "font-size",
        "font-style",
        "font-weight",
        "gradientTransform",
        "gradientUnits",
        "letter-spacing",
        "offset",
        "opacity",
        "paint-order",
        "points",
        "preserveAspectRatio",
        "r",
        "rx",
        "ry",
        "stop-color",
        "stroke",
        "stroke-dasharray",
        "stroke-linecap",
        "stroke-linejoin",
        "stroke-miterlimit",
        "stroke-opacity",
        "stroke-width",
        "text-anchor",
        "transform",
        "viewBox",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
    ]
)
RESERVED = "sq-"
"""Prefix of the ids of the page's own frame; cells may not use it."""
_LOCAL = re.compile(r"#[\w.:-]*$")
_IMAGE = re.compile(r"data:image/(png|jpeg|gif|webp|svg\+xml);base64,[A-Za-z0-9+/=\s]*$")
_URL = re.compile(r"url\(", re.IGNORECASE)
_LOCAL_URL = re.compile(r"url\(#[\w.:-]+\)$")
_EMPTY = re.compile(r"></(?:path|line|rect|circle|ellipse|polyline|polygon|use|stop)>")
_IMPLIED = re.compile(r"</t[dhr]>")
_BARE_TABLE = re.compile(r'(?<!<div class="wide">)<table\b.*?</table>', re.DOTALL)


def clean(html: str) -> str:
    """Keep what the page is made of and drop the rest: scripts, handlers, styles, and every address outside the page.

    Parameters
    ----------
    html : str
        What a cell displayed.

    Returns
    -------
    str
        Well-formed HTML; a table that stands alone gets a box that scrolls, so that a phone's page does not.

    Examples
    --------
    >>> clean('<p onclick="x()">a <a href="https://example.org">b</a><script>c</script></p>')
    '<p>a <a>b</a></p>'
    """
    cleaned = nh3.clean(
        html,
        tags=set(HTML_TAGS | SVG_TAGS),
        clean_content_tags={"script", "style", "template", "iframe", "object", "noscript", "title", "foreignObject"},
        attributes={"*": set(HTML_ATTRIBUTES | SVG_ATTRIBUTES)},
        attribute_filter=_keep,
        url_schemes={"data"},
        link_rel=None,
        strip_comments=True,
    )
    # An HTML serialiser writes <line></line> and </td>; in SVG <line/> means the same, in HTML the end of a cell is
    # implied by the next one, and a page holds thousands.
    short = _IMPLIED.sub("", _EMPTY.sub("/>", cleaned))
    return _BARE_TABLE.sub(r'<div class="wide" tabindex="0">\g<0></div>', short).replace(
        '<div class="wide"><table', '<div class="wide" tabindex="0"><table'
    )


def _keep(tag: str, attribute: str, value: str) -> str | None:
    if attribute == "href":
        return value if _LOCAL.match(value) else None
    if attribute == "src":
        return value if tag == "img" and _IMAGE.match(value) else None
    if attribute == "id" and value.startswith(RESERVED):
        return None
    if _URL.search(value) and attribute not in ("alt", "aria-label", "title"):
        return value if _LOCAL_URL.match(value.strip()) else None
    return value
