"""The page in a browser, as a manager has it: offline, on a phone, on paper, in either language."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sqmodel.reporting.publish import SqReportExporter, index_page
from tests.reporting import gallery as g
from tests.reporting.test_publish import entry
from tests.reporting.visits import Visit

LOUD = "document.querySelectorAll('main [lang]')"


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    index = index_page([entry("2026Q2"), entry(), entry(line="b", status="failed", cause="x" * 300, index=None)])
    contents = {"report": SqReportExporter().from_notebook_node(g.gallery())[0], "index": index}
    for name, content in contents.items():
        (folder / f"{name}.html").write_text(content, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in contents}


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    made: list[Visit] = []

    def go(name: str, **options: Any) -> Visit:
        made.append(Visit(browser, pages[name], **options))
        return made[-1]

    yield go
    for one in made:
        one.context.close()


PHONE = {"viewport": {"width": 360, "height": 780}}


@pytest.mark.parametrize("name", ["report", "index"])
@pytest.mark.parametrize("width", [320, 360, 800, 1280])
def test_no_request_no_complaint_no_sideways_scroll(visit: Any, name: str, width: int) -> None:
    seen = visit(name, viewport={"width": width, "height": 800})
    for language in ("en", "zh"):
        seen.page.click(f"label[for=sq-{language}]")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert seen.asked == []
    assert [c for c in seen.complaints if not c.startswith("data:")] == []


def languages(page: Any) -> set[str]:
    return set(page.evaluate(f"[...{LOUD}].filter(e => e.getClientRects().length).map(e => e.getAttribute('lang'))"))


def test_the_toggle_switches_by_mouse_and_by_keyboard(visit: Any) -> None:
    page = visit("report").page
    assert languages(page) == {"zh-CN"}
    page.click("label[for=sq-en]")
    assert languages(page) == {"en"}
    page.focus("#sq-en")
    page.keyboard.press("ArrowLeft")
    assert languages(page) == {"zh-CN"}
    style = page.evaluate("getComputedStyle(document.querySelector('label[for=sq-zh]')).outlineStyle")
    assert style == "solid"


def test_one_language_on_paper_and_no_controls(visit: Any) -> None:
    page = visit("report").page
    for language, code in (("zh", "zh-CN"), ("en", "en")):
        page.emulate_media(media="screen")
        page.click(f"label[for=sq-{language}]")
        page.emulate_media(media="print")
        assert languages(page) == {code}
        for hidden in (".lang", ".toc", ".skip"):
            assert page.evaluate(f"document.querySelector('{hidden}').getClientRects().length") == 0


def test_paper_is_light_even_where_the_screen_is_dark(visit: Any) -> None:
    page = visit("report", color_scheme="dark").page
    colour = "getComputedStyle(document.body).backgroundColor"
    assert page.evaluate(colour) == "rgb(17, 22, 29)"
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate(colour) == "rgb(255, 255, 255)"


def test_chinese_is_set_in_the_font_of_the_page(visit: Any) -> None:
    seen = visit("report")
    session = seen.context.new_cdp_session(seen.page)
    session.send("DOM.enable")
    session.send("CSS.enable")
    root = session.send("DOM.getDocument")["root"]["nodeId"]
    for selector in ("h1", "h2", "figcaption", "figure svg text"):
        node = session.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        fonts = session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        assert fonts
        assert all(font["isCustomFont"] for font in fonts), (selector, fonts)


@pytest.mark.parametrize("width", [320, 360, 700, 860, 1000, 1280])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_text_of_a_chart_is_at_least_11_pixels(visit: Any, width: int, language: str) -> None:
    page = visit("report", viewport={"width": width, "height": 800}).page
    page.click(f"label[for=sq-{language}]")
    sizes = page.evaluate(
        """[...document.querySelectorAll('figure svg')].filter(s => s.getClientRects().length).map(s =>
           Math.min(...[...s.querySelectorAll('text')].map(t => parseFloat(getComputedStyle(t).fontSize)))
           * s.getBoundingClientRect().width / s.viewBox.baseVal.width)"""
    )
    assert len(sizes) == len(g.all_figures())
    assert min(sizes) >= 11


def test_marks_that_are_shared_are_drawn_in_both_languages(visit: Any) -> None:
    page = visit("report").page
    boxes = []
    for language, part in (("zh", "#marks-dimensions-w"), ("en", "use[href='#marks-dimensions-w']")):
        page.click(f"label[for=sq-{language}]")
        boxes.append(page.evaluate(f'(({{x, width}}) => [x, width])(document.querySelector("{part}").getBBox())'))
    assert boxes[0] == pytest.approx(boxes[1])
    # Colours are class names: the style sheet must reach into the shared copy as well.
    page.locator("#figure-dimensions svg.w[lang=en]").scroll_into_view_if_needed()
    assert page.evaluate("getComputedStyle(document.querySelector('.fo')).fill") == "rgb(179, 77, 13)"


def test_no_word_of_a_chart_leaves_its_drawing(visit: Any) -> None:
    for width in (360, 1280):
        page = visit("report", viewport={"width": width, "height": 800}).page
        for language in ("zh", "en"):
            page.click(f"label[for=sq-{language}]")
            outside = page.evaluate(
                """[...document.querySelectorAll('figure svg')].filter(s => s.getClientRects().length).flatMap(s => {
                   const frame = s.getBoundingClientRect();
                   return [...s.querySelectorAll('text')].filter(t => {
                     const b = t.getBoundingClientRect();
                     return b.left < frame.left - 2 || b.right > frame.right + 2;
                   }).map(t => t.textContent); })"""
            )
            assert outside == []


def test_a_hostile_page_runs_nothing(browser: Any, tmp_path: Path) -> None:
    cells = [g.shown(p, i) for i, p in enumerate(g.PAYLOADS, start=1)]
    cells += [g.prose(p, f"p{i}") for i, p in enumerate(g.PAYLOADS)]
    path = tmp_path / "hostile.html"
    path.write_text(SqReportExporter().from_notebook_node(g.notebook(*cells))[0], encoding="utf-8")
    seen = Visit(browser, path)
    dialogs: list[str] = []
    seen.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    seen.page.wait_for_timeout(300)
    assert (seen.asked, dialogs, seen.complaints) == ([], [], [])
    assert seen.page.is_checked("#sq-zh")
    seen.context.close()
