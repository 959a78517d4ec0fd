"""From an executed notebook to one page: complete, closed, and the same every time."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import nbformat.v4 as v4
import pytest

from sqmodel.definitions import Text
from sqmodel.errors import SqmodelError
from sqmodel.reporting import tables
from sqmodel.reporting.publish import RESULTS_MIME, IndexEntry, PublishError, SqReportExporter, index_page
from tests.reporting import gallery as g

PAGE = {
    "title": {"zh": "效率 < 预期", "en": "Efficiency < expected"},
    "kicker": {"zh": "季报", "en": "Report"},
    "subtitle": {"zh": "项目融资", "en": "Project finance"},
}


def publish(*cells: Any) -> str:
    return export(g.notebook(*cells))[0]


def export(notebook: Any) -> tuple[str, dict[str, Any]]:
    page, resources = SqReportExporter().from_notebook_node(notebook)
    return page, resources


def body(page: str) -> str:
    return page.split("</style>", 1)[1]


@pytest.fixture(scope="module")
def page() -> str:
    return export(g.gallery())[0]


def test_the_page_is_closed(page: str) -> None:
    assert page.startswith('<!doctype html>\n<html lang="zh-CN">\n<head>\n<meta charset="utf-8">')
    for forbidden in ("http:", "https:", "//", "<script", "<link", "<iframe", "style=", "javascript:", "@import"):
        assert forbidden not in re.sub(r"base64,[A-Za-z0-9+/=]+", "", page), forbidden
    assert not re.search(r"<[^>]*\son\w+\s*=", body(page))
    assert set(re.findall(r'(?:href|src)="([^"#]*)', body(page))) == {""}


def test_the_policy_allows_this_style_and_nothing_else(page: str) -> None:
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    style = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    assert policy
    assert len(style) == 1
    digest = base64.b64encode(hashlib.sha256(style[0].encode()).digest()).decode()
    assert policy[1] == (
        f"default-src 'none'; img-src data:; font-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_both_languages_the_numbers_and_no_code(page: str) -> None:
    for text in ("服务质量季报", "Service quality report", "Section 3", "第3节", "56.9–60.9", "查看数字"):
        assert text in page
    assert "show()" not in page
    assert "<title>服务质量季报 | Service quality report</title>" in page
    assert page.count("<h1") == 1


def test_sections_are_landmarks_and_listed(page: str) -> None:
    ids = re.findall(r"<section aria-labelledby=(s\d+)><h2 id=\1>", page)
    assert ids == [f"s{i}" for i in range(1, 11)]
    assert re.findall(r'<li><a href="#(s\d+)">', page) == ids
    assert page.count("<section") == page.count("</section>") == 10
    assert '<a class="skip" href="#sq-main">' in page
    assert '<main id="sq-main">' in page
    every = re.findall(r'\bid="?([^" >]+)', body(page))
    assert len(every) == len(set(every))


def test_a_section_without_data_is_left_out() -> None:
    """A cell that had nothing to show displays nothing, and no heading stands over nothing."""
    cells = [g.prose("# 题目 | Topic", "title")]
    for name, heading in (("c", "投诉 | Complaints"), ("t", "走势 | Trend"), ("p", "人员 | People")):
        outputs = g.shown("<p>61.2</p>").outputs if name == "t" else []
        cells += [
            g.prose(f"## {heading}", f"prose-{name}"),
            v4.new_code_cell("page.show()", id=name, execution_count=1, outputs=outputs),
        ]
    page = publish(*cells)
    assert re.findall(r"<h2[^>]*>(.*?)</h2>", page) == ["<span lang=zh-CN>走势</span><span lang=en>Trend</span>"]


def test_ten_charts_stay_within_the_budget(page: str) -> None:
    assert len(page.encode()) < 200_000


def test_same_notebook_same_bytes(page: str, tmp_path: Path) -> None:
    assert export(g.gallery())[0] == page
    source = tmp_path / "report.ipynb"
    nbformat.write(g.gallery(), source)
    command = [sys.executable, "-m", "nbconvert", "--to", "sqreport", source.name]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page


def test_results_give_the_titles_and_the_files_beside_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    files = {"results.json": b"{}", "tables.xlsx": b"PK"}
    monkeypatch.setattr(tables, "companions", lambda results: files if results["page"] == PAGE else {})
    record = {RESULTS_MIME: {"page": PAGE}, "text/plain": "<Payload>"}
    page, resources = export(g.notebook(g.prose("# 题目 | Topic"), g.shown(record)))
    assert resources["outputs"] == files
    assert "<title>效率 &lt; 预期 | Efficiency &lt; expected</title>" in page
    assert "<h1><span lang=zh-CN>效率 &lt; 预期</span>" in page
    assert "Topic" not in page
    assert "Payload" not in page
    assert '<a href="results.json">results.json</a>' in page
    for text in ("季报", "Project finance"):
        assert text in page.split("</header>")[0]


def test_a_headline_of_the_notebook_is_the_only_one() -> None:
    page = publish(g.prose("# 题目 | Topic"), g.shown("<h1>结论</h1>"))
    assert re.findall(r"<h1>(.*?)</h1>", page) == ["结论"]


def test_two_records_of_results_are_refused() -> None:
    record = {RESULTS_MIME: {"page": PAGE}}
    with pytest.raises(PublishError, match="expected one record of results, found a second one"):
        publish(g.shown(record), g.shown(record, 2))


def failed(**change: Any) -> Any:
    cell = g.shown("<p>1</p>", source="page.dimensions()")
    cell.update(change)
    return cell


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (
            failed(outputs=[v4.new_output("error", ename="KeyError", evalue="'q1'", traceback=[])]),
            "found KeyError: 'q1'",
        ),
        (failed(metadata={"papermill": {"exception": True}}), "found one that did not"),
        (failed(metadata={"papermill": {"status": "pending"}}), "found one that did not"),
    ],
)
def test_nothing_is_published_from_a_failed_notebook(cell: Any, found: str) -> None:
    with pytest.raises(SqmodelError, match=rf"cell 2 \('page\.dimensions\(\)'\).*{re.escape(found)}"):
        publish(g.prose("# 题目 | Topic"), cell)


def test_a_run_that_papermill_marked_or_that_never_was_is_refused() -> None:
    marked = g.notebook(g.shown("<p>1</p>"))
    marked.metadata["papermill"] = {"exception": True}
    with pytest.raises(PublishError, match="marked as failed"):
        export(marked)
    with pytest.raises(PublishError, match="found one that was never run"):
        publish(v4.new_code_cell("1 + 1"))


def test_warnings_go_to_the_runner_and_not_to_the_readers() -> None:
    cell = g.shown("<p>1</p>")
    cell.outputs.insert(0, v4.new_output("stream", name="stderr", text="UserWarning: careful\n"))
    cell.outputs.insert(0, v4.new_output("stream", name="stdout", text="a < b\n"))
    page, resources = export(g.notebook(cell))
    assert resources["notes"] == ["cell 1 ('show()'): UserWarning: careful"]
    assert "careful" not in page
    assert "<pre tabindex=0>a &lt; b</pre>" in page


def test_prose_is_told_apart_by_its_letters() -> None:
    text = (
        "## 维度 `x` | Dimensions\n\n中文 text\n\nEnglish `omega`\n\n- 一\n- two\n\n1. one\n\n42\n\n| 甲 |\n|--|\n| 1 |"
    )
    page = publish(g.prose(text))
    assert "<h2 id=s1><span lang=zh-CN>维度 <code>x</code></span><span lang=en>Dimensions</span></h2>" in page
    for part in (
        "<p lang=zh-CN>中文 text</p>",
        "<p lang=en>English <code>omega</code></p>",
        "<ul lang=zh-CN>",
        "<ol lang=en>",
        "<p>42</p>",
        "<div lang=zh-CN><div class=wide tabindex=0><table>",
    ):
        assert part in page


def test_prose_in_one_language_is_shown_to_all() -> None:
    assert "<p lang=en class=only>Only English.</p>" in publish(g.prose("# T\n\nOnly English."))


def test_headings_in_either_order() -> None:
    assert "<span lang=zh-CN>走势</span><span lang=en>Trend</span>" in publish(g.prose("### Trend | 走势"))


@pytest.mark.parametrize("payload", g.PAYLOADS)
def test_what_cells_display_cannot_run_or_reach_out(payload: str) -> None:
    for cell in (g.shown(f"<p>before</p>{payload}<p>after</p>"), g.prose(f"before\n\n{payload}\n\nafter {payload}")):
        page = publish(cell)
        inside = body(page).split('<main id="sq-main">')[1].split("<footer>")[0]
        tags = " ".join(re.findall(r"<[^>]+>", inside))
        assert "before" in inside
        assert not re.search(r"evil|javascript|alert|\son\w+=|style|<(script|iframe|form|input|link|base|math)", tags)
        assert page.count('id="sq-en"') == 1


def test_markdown_shows_html_as_text_and_keeps_links_within_the_page() -> None:
    page = publish(g.prose("<b>粗</b> [节](#s1) [外](https://evil.example) ![图](https://evil.example/a.png)"))
    assert "&lt;b&gt;粗&lt;/b&gt;" in page
    assert "<a href=#s1>节</a>" in page
    assert "<a>外</a>" in page
    assert "evil" not in page


def test_tables_scroll_in_their_own_box() -> None:
    page = publish(
        g.shown("<table><tr><td>1</td></tr></table><div class='wide'><table><tr><td>2</td></tr></table></div>")
    )
    assert page.count("<div class=wide tabindex=0><table>") == 2
    assert page.count("class=wide") == 2


def test_pictures_need_an_alternative_text() -> None:
    svg = "<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    cell = g.shown({"image/svg+xml": svg, "text/plain": "<Figure>"}, source="plot()")
    with pytest.raises(PublishError, match=r"cell 1 \('plot\(\)'\): expected an alternative text for the image"):
        publish(cell)
    cell.outputs[0].metadata = {"alt": 'a "b"'}
    page = publish(cell)
    assert f'<img src="data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"' in page
    assert 'alt="a &quot;b&quot;"' in page


def test_plain_text_is_shown_as_it_is() -> None:
    assert "<pre tabindex=0>&lt;Index 67.4&gt;</pre>" in publish(g.shown({"text/plain": "<Index 67.4>"}))


def entry(quarter: str = "2026Q3", **change: Any) -> IndexEntry:
    name = Text(zh="项目融资", en="Project finance")
    values: dict[str, Any] = {
        "line": "project_finance", "title": name, "quarter": quarter, "verdict": "reservations", "status": "published",
        "href": f"{quarter}/project_finance/index.html", "index": g.estimate(67.4), "headline": g.ALT,
    }  # fmt: skip
    return IndexEntry(**(values | change))


def test_index_page_shows_every_report() -> None:
    entries = [entry("2026Q2", index=g.estimate(65.1)), entry(), entry(line="other", verdict="reject", status="stale")]
    page = index_page(entries)
    for text in ("67.4", "65.4–69.4", "63.1–67.1", "2026年第三季度", "2026 Q2", "With reservations", "Stale"):
        assert text in page
    assert page.count('<a href="2026Q3/project_finance/index.html">') == 2
    assert page.count("class=spark") >= 1
    assert page == index_page(entries)


def test_index_page_shows_what_failed_and_why() -> None:
    cause = "execute: <script>alert(1)</script> https://evil.example"
    page = index_page([entry(status="failed", cause=cause, index=None, href=None, verdict="")])
    assert html.escape(cause) in page
    assert "<script" not in page
    assert "Failed" in page


def test_index_page_links_to_neighbours_only() -> None:
    page = index_page([entry(href="javascript:alert(1)"), entry("2026Q2", href="//evil.example/x")])
    assert set(re.findall(r'<a href="?([^"#> ]+)"?', page)) == {"javascript%3Aalert%281%29", "evil.example/x"}


def test_index_page_of_nothing() -> None:
    assert "Nothing has been published yet." in index_page([])
