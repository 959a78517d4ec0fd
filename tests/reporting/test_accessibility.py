"""Pages as they are published, read by axe: no violation in either language, light or dark, on a phone or a desk."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from sqmodel.definitions import Text
from sqmodel.index.design_demo import demo_design
from sqmodel.reporting.charts.distribution import INKS
from sqmodel.reporting.frame import render_page
from sqmodel.reporting.frontpage import IndexEntry
from sqmodel.reporting.gate import Expected, check_page
from sqmodel.reporting.making import render
from sqmodel.reporting.publish import SqReportExporter, index_page
from sqmodel.survey.simulate import demo_study
from tests.reporting import gallery as g
from tests.reporting.cells import DATA, ROOT, desk_answers, executed
from tests.reporting.visits import Visit

PAGES = ("report", "dossier", "design", "index")
DRAWN = {"exclude": [["figure svg > *"]]}
"""The insides of a drawing, whose words axe cannot judge because it does not know what lies beneath them; the drawings
themselves it does, and `test_words_stand_out_from_what_lies_beneath_them` judges the words."""
OPTIONS = {"preload": False, "resultTypes": ["violations"]}
"""Nothing of the page lies elsewhere, so that there is nothing to fetch."""
MOST_BYTES = 275_000
"""A demonstration page stays below this, so that a longer questionnaire still fits the gate's 300 kB."""


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A report, a dossier, a design and an index as the command publishes them, by the same notebooks and gate."""
    folder = tmp_path_factory.mktemp("published")
    demo_study(folder)
    desk_answers(300, seed=4).to_csv(folder / "desk.csv", index=False)
    line = {"business_line": "project_finance", "responses": str(folder / "project_finance.csv"), "simulated": True}
    desk = {"business_line": "desk", "responses": str(folder / "desk.csv")}
    contents = {
        "report": published("business_line", MOST_BYTES, weighting="allocation", **line),
        "dossier": published("validation", 300_000, instrument=str(DATA / "second.instrument.yaml"), **desk),
        "design": design_page(folder),
        "index": index_page(entries()),
    }
    for name, content in contents.items():
        (folder / f"{name}.html").write_text(content, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in contents}


def design_page(folder: Path) -> str:
    """The demonstration's design study, with few draws."""
    demo_design(folder / "params" / "data")
    content = yaml.safe_load((ROOT / "params" / "branches.design.yaml").read_text(encoding="utf-8"))
    few = content | {"draws": 200, "evaluations": 2**15, "alternatives": {"weights": ["equal"]}}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        page, *_ = render(executed(ROOT / "notebooks" / "index_design.ipynb", **few))
    return page


def published(notebook: str, most_bytes: int, **parameters: Any) -> str:
    """The page of a notebook, past the gate."""
    source = executed(ROOT / "notebooks" / f"{notebook}.ipynb", quarter="2026Q3", draws=200, **parameters)
    page, resources = SqReportExporter().from_notebook_node(source)
    files = tuple(resources["outputs"])
    check_page(notebook, page, Expected(**resources["shown"], files=files, most_bytes=most_bytes))
    return page


def entries() -> list[IndexEntry]:
    """Everything that an index page can show: published, restated, stale, failed with and without a page, absent."""
    line, other = Text(zh="项目融资", en="Project finance"), Text(zh="企业贷款", en="Corporate lending")
    headline = Text(zh="服务质量指数升至 67.8", en="The index has risen to 67.8")
    made = {"title": line, "headline": headline, "href": "2026Q3/project_finance/index.html", "status": "published"}
    rows: list[dict[str, Any]] = [
        {"quarter": "2026Q1", "index": g.estimate(63.0), "verdict": "publish"},
        {"quarter": "2026Q2", "index": g.estimate(65.5), "verdict": "reservations", "restated": "64.9 → 65.5"},
        {"quarter": "2026Q3", "index": g.estimate(67.8), "verdict": "publish", "status": "stale",
         "cause": "project_finance.csv: expected a file, found nothing"},
    ]  # fmt: skip
    failed = {"title": other, "headline": headline, "href": None, "index": None, "verdict": "", "status": "failed",
              "cause": "corporate_lending.csv: expected 26 items, found 25"}  # fmt: skip
    kept = {"index": g.estimate(58.2), "verdict": "reject", "simulated": True}
    return [
        *(IndexEntry(**{"line": "a", **made, **row}) for row in rows),
        IndexEntry(**{"line": "b", "quarter": "2026Q2", **made, **kept, "title": other}),
        IndexEntry(**{"line": "b", "quarter": "2026Q3", **failed}),
    ]


@pytest.fixture
def open_page(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    made: list[Visit] = []

    def go(name: str, **options: Any) -> Visit:
        made.append(Visit(browser, pages[name], **options))
        made[-1].page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        return made[-1]

    yield go
    for one in made:
        one.context.close()


def test_every_chart_says_how_many_answers_it_shows(pages: dict[str, Path]) -> None:
    page = html.unescape(pages["report"].read_text(encoding="utf-8"))
    captions = re.findall(r"<figcaption>(.*?)</figcaption>", page)
    assert len(captions) == 7
    assert [c for c in captions if len(re.findall(r"\bn\s=\s\d", c)) != 2] == []


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing(open_page: Any, name: str, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # Contrast takes most of the time, a thousand cells of the same few colours most of that: every word is judged in
    # the light at 1280 px, in the dark those that are not folded away.
    contrast = {"color-contrast": {"enabled": (width, scheme) != (360, "light")}}
    # axe is put into the page from outside, which the page's policy would refuse; nothing else is exempted.
    page = open_page(name, viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True).page
    page.evaluate("open => document.querySelectorAll('details').forEach(d => d.open = open)", scheme == "light")
    for language in ("zh", "en"):
        page.click(f"label[for=sq-{language}]")
        found = Axe().run(page, context=DRAWN, options=OPTIONS | {"rules": contrast}).response
        told = [(v["id"], n["target"], n["failureSummary"]) for v in found["violations"] for n in v["nodes"]]
        assert not told, (len(told), told[:5])
        assert len(found["passes"]) > 30


def test_axe_would_find_something(browser: Any, tmp_path: Path) -> None:
    from axe_playwright_python.sync_playwright import Axe

    bad = render_page('<h1>a</h1><img src="data:," class="r"><p class="faint">faint words</p>', title=g.ALT)
    path = tmp_path / "bad.html"
    path.write_text(bad.replace("<style>", "<style>.faint{color:#eee}"), encoding="utf-8")
    seen = Visit(browser, path, bypass_csp=True)
    found = Axe().run(seen.page, context=DRAWN, options=OPTIONS).response["violations"]
    assert {"image-alt", "color-contrast"} <= {v["id"] for v in found}
    seen.context.close()


def tokens(dark: bool) -> dict[str, str]:
    """The style sheet's colours by name."""
    css = (ROOT / "sqmodel" / "reporting" / "template" / "sqreport.css").read_text(encoding="utf-8")
    found = [dict(re.findall(r"--(\w+):#(\w+)", rule)) for rule in re.findall(r":root\{[^}]*\}", css)]
    named = found[0] | (found[1] if dark else {})
    return {k: v if len(v) == 6 else "".join(2 * c for c in v) for k, v in named.items()}


def mixed(over: str, under: str, share: float) -> str:
    pairs = zip(bytes.fromhex(over), bytes.fromhex(under), strict=True)
    return bytes(round(share * a + (1 - share) * b) for a, b in pairs).hex()


def luminance(colour: str) -> float:
    parts = [c / 255 for c in bytes.fromhex(colour)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("dark", [False, True])
def test_words_stand_out_from_what_lies_beneath_them(dark: bool) -> None:
    named = tokens(dark)
    named["tint"] = mixed(named["orange"], named["paper"], 0.1)
    pairs = [(text, ground) for text in ("ink", "mute", "blue", "orange", "green") for ground in ("paper", "wash")]
    pairs += [("paper", "blue"), ("paper", "orange"), ("orange", "tint"), ("ink", "tint"), ("mute", "tint")]
    pairs += [(ink, f"k{step}") for step, ink in enumerate(INKS)]
    for text, ground in pairs:
        light, deep = sorted((luminance(named[text]), luminance(named[ground])), reverse=True)
        assert (light + 0.05) / (deep + 0.05) >= 4.5, (text, ground, (light + 0.05) / (deep + 0.05))


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_published_page_asks_for_nothing_and_complains_of_nothing(open_page: Any, name: str, scheme: str) -> None:
    seen = open_page(name, viewport={"width": 360, "height": 900}, color_scheme=scheme)
    for width in (360, 1280):
        seen.page.set_viewport_size({"width": width, "height": 900})
        for language in ("zh", "en"):
            seen.page.click(f"label[for=sq-{language}]")
            assert seen.page.evaluate("document.documentElement.scrollWidth") <= width
    assert (seen.asked, seen.complaints) == ([], [])


TEXTS = """[...document.querySelectorAll('body *')].filter(e => e.getClientRects().length
  && [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).map((e, i) => (e.dataset.text = i, e.tagName))"""


@pytest.mark.parametrize("name", PAGES)
def test_every_text_is_set_in_the_font_of_the_page(open_page: Any, name: str) -> None:
    """On a machine without a Chinese font, too, no character is an empty box: all come from the page itself."""
    seen = open_page(name, viewport={"width": 1280, "height": 900})
    session = seen.context.new_cdp_session(seen.page)
    for command in ("DOM.enable", "CSS.enable"):
        session.send(command)
    for language in ("zh", "en"):
        seen.page.click(f"label[for=sq-{language}]")
        seen.page.evaluate("document.querySelectorAll('[data-text]').forEach(e => e.removeAttribute('data-text'))")
        tags = seen.page.evaluate(TEXTS)
        root = session.send("DOM.getDocument")["root"]["nodeId"]
        nodes = session.send("DOM.querySelectorAll", {"nodeId": root, "selector": "[data-text]"})["nodeIds"]
        assert len(nodes) == len(tags) > 20
        own = [session.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"] for node in nodes]
        foreign = {(t, f["familyName"]) for t, fonts in zip(tags, own, strict=True) for f in fonts
                   if not f["isCustomFont"]}  # fmt: skip
        assert foreign == set()
