"""Hostile texts through the real route: questionnaire, answers, params, notebook, exporter, gate, shelf, browser.

Whatever a line's staff or its clients may write (names of statements and groups, names of columns and files, answers,
reasons, titles) reaches a page as text: nothing runs, and the reader sees what was written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat.v4 as v4
import pandas as pd
import pytest
import yaml

from sqmodel.errors import ParamsError
from sqmodel.reporting.failures import Failure
from sqmodel.reporting.gate import Expected, check_page
from sqmodel.reporting.publish import SqReportExporter
from sqmodel.reporting.shelf import write_index
from sqmodel.reporting.study import load_study
from tests.reporting import gallery as g
from tests.reporting.cells import DATA, desk_answers, executed
from tests.reporting.visits import Visit

MORE = (
    "<details open ontoggle=alert(1)>x</details>",
    "<body onload=alert(1)><p onmouseover=alert(1)>x</p>",
    "</style><script>alert(1)</script>",
    "</table></div><script>alert(1)</script>",
    "</title><script>alert(1)</script>",
    "<video><source onerror=alert(1)></video>",
    "<animate xlink:href='#sq-main' attributeName=href values='javascript:alert(1)'>",
    "[x](javascript:alert(1)) ![y](https://evil.example/a.png)",
    "@import url(https://evil.example/a.css); a{background:url(//evil.example)}",
    "{{ 7 * 7 }}{% raw %}${alert(1)}`alert(1)`",
    "<!-- --><!doctype html><meta http-equiv=refresh content='0;url=https://evil.example'>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "' onmouseover='alert(1)' x='\" onfocus=\"alert(1)\" autofocus tabindex=1 \"",
)
PAYLOADS = (*g.PAYLOADS, *MORE)


def squeezed(text: str) -> str:
    """Without spaces: charts and narrow columns break lines where they must."""
    return "".join(text.split())


class Slots:
    """Hands out payloads, a mark before each, and remembers which the page has to show."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def __call__(self, mark: str, *, shown: bool = True) -> str:
        text = f"{mark} {PAYLOADS[len(self.shown) % len(PAYLOADS)]}"
        self.shown += [text] if shown else []
        return text


def instrument(folder: Path, slot: Slots) -> tuple[Path, dict[str, str], str]:
    """The second questionnaire with every text hostile; its labels of one group's values and another group's column."""
    content = yaml.safe_load((DATA / "second.instrument.yaml").read_text(encoding="utf-8"))
    content["title"] = {"zh": slot("问卷"), "en": slot("questionnaire")}
    content["scale"]["anchors"] = {1: slot("low"), 7: slot("high")}
    for dimension in content["dimensions"]:
        dimension["title"] = slot(f"dimension {dimension['code']}")
    for item in content["items"]:
        item["text"] = slot(f"text {item['code']}", shown=False)
        item["label"] = {"zh": slot(f"题项{item['code']}"), "en": slot(f"label {item['code']}")}
        item["action"] = slot(f"action {item['code']}", shown=item["code"] in ("q1", "q2", "q3"))
    content["outcomes"][0]["text"] = slot("outcome", shown=False)
    values = {value: slot(f"value {value}") for value in ("phone", "mail", "chat")}
    column = "<b onmouseover=alert(1)>region</b>"
    content["groups"] = [
        {"code": "channel", "title": slot("channel")},
        {"code": column, "title": slot("region"), "values": {"n": slot("north"), "s": slot("south")}},
    ]
    path = folder / "hostile.instrument.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path, values, column


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder of published pages made of hostile inputs, and what must be read on the report."""
    folder, slot = tmp_path_factory.mktemp("hostile"), Slots()
    questionnaire, values, column = instrument(folder, slot)
    answers = desk_answers(300, seed=4, quarters=("2026Q2", "2026Q3")).replace({"channel": values})
    answers[column] = ["n", "s"] * (len(answers) // 2)
    # An unknown group becomes missing, and the page's list of changes names its column.
    answers.loc[0, column] = "<script>alert(1)</script>"
    answers["comment"] = [PAYLOADS[i % len(PAYLOADS)] for i in range(len(answers))]
    answers["respondent"] = answers["respondent"] + " <script>alert(1)</script>"
    answers[slot("unused", shown=False)] = "<script>alert(1)</script>"
    file = folder / "<img src=x onerror=alert(1)>.csv"
    answers.to_csv(file, index=False)
    slot.shown += [file.name, column]
    texts = {f"{name}_{code}": slot(f"{name} {code}") for name in ("title", "organisation") for code in ("zh", "en")}
    notebook = executed(
        business_line="desk",
        quarter="2026Q3",
        instrument=str(questionnaire),
        responses=str(file),
        policy="missing",
        draws=200,
        **texts,
    )
    page, resources = SqReportExporter().from_notebook_node(notebook)
    files = resources["outputs"]
    check_page("hostile", page, Expected(**resources["shown"], files=tuple(files)))
    own = folder / "reports" / "2026Q3" / "desk"
    own.mkdir(parents=True)
    (own / "index.html").write_text(page, encoding="utf-8")
    (own / "results.json").write_bytes(files["results.json"])
    return folder / "reports", slot.shown


def everything(seen: Visit) -> str:
    """All that readers of either language can see, without spaces."""
    seen.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    found = ""
    for language in ("zh", "en"):
        seen.page.click(f"label[for=sq-{language}]")
        found += seen.page.evaluate("document.body.innerText")
    seen.page.mouse.move(300, 300)
    seen.page.wait_for_timeout(200)
    return squeezed(found)


def watched(browser: Any, path: Path) -> tuple[Visit, list[str]]:
    seen = Visit(browser, path)
    dialogs: list[str] = []
    seen.page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    return seen, dialogs


def harmless(seen: Visit, dialogs: list[str]) -> None:
    assert (seen.asked, dialogs, seen.complaints) == ([], [], [])
    assert seen.page.url == seen.own
    assert seen.page.evaluate("document.querySelectorAll('script, iframe, img, link, form, style').length") == 1
    handlers = "[...document.querySelectorAll('*')].flatMap(e => [...e.attributes].map(a => a.name))"
    assert not [name for name in seen.page.evaluate(handlers) if name.startswith("on")]
    seen.context.close()


def test_there_are_many_payloads() -> None:
    assert len(set(PAYLOADS)) >= 25


def test_a_report_of_hostile_inputs_shows_them_and_runs_nothing(browser: Any, shelf: tuple[Path, list[str]]) -> None:
    reports, shown = shelf
    assert len(shown) > 30
    assert {p for p in PAYLOADS if any(p in text for text in shown)} == set(PAYLOADS)
    seen, dialogs = watched(browser, reports / "2026Q3" / "desk" / "index.html")
    text = everything(seen)
    assert [payload for payload in shown if squeezed(payload) not in text] == []
    harmless(seen, dialogs)


def test_the_index_over_hostile_reports_shows_them_and_runs_nothing(
    browser: Any, shelf: tuple[Path, list[str]], tmp_path: Path
) -> None:
    reports, _ = shelf
    folder = "<img src=x onerror=alert(1)>"
    (reports / "2026Q3" / folder).mkdir()
    (reports / "2026Q3" / folder / "results.json").write_text(PAYLOADS[0], encoding="utf-8")
    slots = [f"{i} {payload}" for i, payload in enumerate(PAYLOADS)]
    failed = {
        f"2026Q3/line{i}": Failure(step=slots[i], cause=slots[i + 1], title_zh=slots[i + 2], title_en=slots[i + 3])
        for i in range(0, len(slots) - 3, 4)
    }
    path = write_index(reports, failed, tmp_path)
    seen, dialogs = watched(browser, path)
    text = everything(seen)
    titles = [t for t in shelf[1] if t.startswith("title ")]
    assert titles
    missed = [t for t in (*slots[:28], *titles, folder) if squeezed(t) not in text]
    assert missed == []
    harmless(seen, dialogs)


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_name_of_a_line_or_of_a_key_is_refused(payload: str) -> None:
    given = {"business_line": "desk", "quarter": "2026Q3", "responses": "none.csv", "instrument": "lending_service"}
    with pytest.raises(ParamsError, match="expected lower-case letters, digits and underscores"):
        load_study(given | {"business_line": payload})
    with pytest.raises(ParamsError, match="unknown key"):
        load_study(given | {payload: "x"})


def test_hostile_tables_of_pandas_run_nothing(browser: Any, tmp_path: Path) -> None:
    """A frame is shown as text; a Styler writes its cells as they are, and of those only what is harmless is kept."""
    frame = pd.DataFrame({f"{i} {p}": [p] for i, p in enumerate(PAYLOADS)}, index=[PAYLOADS[0]]).T
    styles = [{"selector": "td", "props": [("background", "url(https://evil.example)")]}]
    styled = frame.style.set_table_styles(styles).set_caption(PAYLOADS[1]).set_td_classes(frame)
    escaped = frame.style.format(escape="html").format_index(escape="html").format_index(escape="html", axis=1)
    cells = [g.shown(shown._repr_html_(), i) for i, shown in enumerate((frame, styled, escaped), start=1)]
    cells.append(v4.new_code_cell("print()", outputs=[v4.new_output("stream", text="\n".join(PAYLOADS))]))
    path = tmp_path / "pandas.html"
    with pd.option_context("display.max_colwidth", None, "display.max_rows", None):
        path.write_text(SqReportExporter().from_notebook_node(g.notebook(*cells))[0], encoding="utf-8")
    seen, dialogs = watched(browser, path)
    text = everything(seen)
    assert [p for p in PAYLOADS if text.count(squeezed(p)) < 3] == []
    assert (seen.asked, dialogs, seen.complaints) == ([], [], [])
    seen.context.close()
