"""The gate: every rule, with a page that breaks it and nothing else."""

from __future__ import annotations

import base64
import hashlib
import re

import pytest

from sqmodel.errors import InputError
from sqmodel.reporting.gate import Expected, check_page, inspect
from sqmodel.reporting.publish import SqReportExporter
from tests.reporting import gallery as g


@pytest.fixture(scope="module")
def page() -> str:
    found: str = SqReportExporter().from_notebook_node(g.notebook(g.prose("# 标题 | Title\n\n正文。\n\nText.")))[0]
    return found


def put(page: str, text: str) -> str:
    """The page with something more in its body."""
    assert page.count("</main>") == 1
    return page.replace("</main>", f"{text}</main>")


def restyled(page: str, style: str) -> str:
    """The page with more style, and the policy that allows it."""
    changed = page.replace("</style>", f"{style}</style>")
    content = changed.split("<style>")[1].split("</style>")[0]
    own = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
    return re.sub(r"'sha256-[^']+'", f"'sha256-{own}'", changed, count=1)


OUTSIDE = "expected no address outside the page, found "
INSERTED = {
    "<script></script>": ["expected no <script>, found one"],
    "<p onclick=x>a</p>": ["expected no event handler, found onclick on <p>"],
    '<img src="https://x.example/a.png" alt=a>': [f"{OUTSIDE}'https://x.example/a.png' on <img>"],
    '<img src="//x.example/a.png" alt=a>': [f"{OUTSIDE}'//x.example/a.png' on <img>"],
    "<a href=javascript:alert(1)>a</a>": [f"{OUTSIDE}'javascript:alert(1)' on <a>"],
    '<a href="HTTPS://x.example">a</a>': [f"{OUTSIDE}'HTTPS://x.example' on <a>"],
    '<a href=a.txt ping="https://x.example">a</a>': [
        f"{OUTSIDE}'https://x.example' on <a>",
        "expected links to the files beside the page only, found 'a.txt'",
    ],
    "<p style=color:red>a</p>": [
        "expected no style attribute (the policy refuses it), found one on <p>",
    ],
    '<svg role=img aria-label=a><rect fill="url(https://x.example#a)"/></svg>': [
        f"{OUTSIDE}'https://x.example#a' on <rect>"
    ],
    '<meta http-equiv="refresh" content="0">': ["expected no <meta http-equiv='refresh'>, found one"],
    '<img src="data:image/png;base64,AAAA">': [
        "expected an alternative text on every image, found an image without one"
    ],
    "<svg></svg>": ["expected role and label on every drawing, found a drawing without them"],
    "<figure></figure>": ["expected 0 figures as the notebook shows, found 1"],
    "<table></table>": ["expected 0 tables as the notebook shows, found 1"],
    "<a href=other.html>a</a>": ["expected links to the files beside the page only, found 'other.html'"],
    "<p>\U00020bb7</p>": ["expected a glyph for every character, found none for: \U00020bb7 (U+20BB7)"],
    "<style>p{}</style>": ["expected one style sheet, found 2"],
    "<iframe></iframe>": ["expected no <iframe>, found one"],
}


def test_the_page_as_it_is_made_passes(page: str) -> None:
    assert inspect(page, Expected()) == []


@pytest.mark.parametrize("text", list(INSERTED))
def test_what_must_not_be_in_a_page(page: str, text: str) -> None:
    assert inspect(put(page, text), Expected()) == INSERTED[text]


def test_an_address_in_the_style_sheet(page: str) -> None:
    assert inspect(restyled(page, "p{background:url(https://x.example/a)}"), Expected()) == [
        "expected no address in the style sheet, found 'https://x.example/a'"
    ]
    assert inspect(restyled(page, "p{background:url(data:image/png;base64,AA)}"), Expected()) == []


def test_a_missing_policy(page: str) -> None:
    bare = re.sub(r"<meta http-equiv=[^>]*>", "", page)
    assert inspect(bare, Expected()) == ["expected the one content-security policy of every page, found none"]


def test_a_laxer_policy(page: str) -> None:
    lax = page.replace("img-src data:", "img-src *", 1)
    (problem,) = inspect(lax, Expected())
    assert problem.startswith("expected the one content-security policy of every page, found [\"default-src 'none'; ")


def test_a_hash_that_is_not_the_styles(page: str) -> None:
    assert inspect(page.replace("</style>", " </style>"), Expected()) == [
        "expected the policy's hash to be that of the style sheet, found another: no style would apply"
    ]


def test_missing_figures_and_tables(page: str) -> None:
    assert inspect(page, Expected(figures=2, tables=1)) == [
        "expected 2 figures as the notebook shows, found 0",
        "expected 1 tables as the notebook shows, found 0",
    ]


def test_a_page_without_a_font(page: str) -> None:
    bare = restyled(re.sub(r"@font-face\{[^}]*\}", "", page), "")
    assert inspect(bare, Expected()) == [
        "expected a font in the page, found none: Chinese would be empty boxes on some machines"
    ]


def test_a_page_in_one_language(page: str) -> None:
    assert inspect(page.replace('lang="en"', "").replace(" lang=en", ""), Expected()) == [
        "expected text in zh-CN and en, found zh-CN"
    ]


def test_a_page_that_is_too_large(page: str) -> None:
    size = len(page.encode())
    assert inspect(page, Expected(most_bytes=size)) == []
    assert inspect(page, Expected(most_bytes=size - 1)) == [
        f"expected at most {size - 1:,} bytes, found {size:,}; `page_bytes` in the params allows more"
    ]


def test_links_to_the_files_beside_the_page(page: str) -> None:
    linked = put(page, "<a href=results.json>a</a>")
    assert inspect(linked, Expected(files=("results.json",))) == []
    assert inspect(linked, Expected(files=None)) == []


def test_everything_wrong_is_told_at_once(page: str) -> None:
    with pytest.raises(InputError) as caught:
        check_page("2026Q3/desk", put(page, "<figure></figure><script></script>"), Expected())
    assert str(caught.value) == (
        "2026Q3/desk: 2 problems\n"
        "  - expected no <script>, found one\n"
        "  - expected 0 figures as the notebook shows, found 1\n"
        "  What to do: the page was not published; the last good one stays"
    )
