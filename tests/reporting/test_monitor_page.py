"""The monitor's page: the finding first, whole in both languages, offline, and honest about how fresh it is."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import papermill
import pytest

from sqmodel.definitions import Text
from sqmodel.errors import ParamsError
from sqmodel.operations.monitor_alerts import ALERTS
from sqmodel.operations.monitor_snapshot import Snapshot
from sqmodel.reporting.gate import Expected, check_page
from sqmodel.reporting.monitor_page import MonitorPage
from sqmodel.reporting.monitor_params import load_watch
from tests.operations.monitored import history, insert, make_monitor, now
from tests.reporting.cells import ROOT
from tests.reporting.visits import Visit

LINE = Text(zh="项目融资", en="Project finance")
FILES = (ALERTS, "snapshot.json", "index.html", "still.html", "en.html")
REFRESH = '<meta http-equiv="refresh" content="30">\n'
STANDARD = """
name: small
version: "1"
title: {zh: 时限, en: Limits}
rules:
  - {code: review, step: review, limit: 10, unit: working_hours, node: true}
"""
PROCESS = """
name: small
calendar: {country: "", hours: ["00:00-24:00"], weekend: []}
origin: application
steps: [{code: review, title: {zh: 审查, en: Review}, node: true}]
ends: [{code: granted, activities: [granted]}]
"""


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    folder = tmp_path_factory.mktemp("monitored")
    rows = history()
    for name, begin in (("A", -1.0), ("<b>B</b>", -9.5), ("C", -11.0), ("D", -84.0)):
        rows += [(name, "application", "complete", begin, "no"), (name, "review", "schedule", begin, "")]
    insert(folder / "events.db", rows, now())
    monitor = make_monitor(folder / "events.db", folder / "out")
    found = monitor.tick()
    monitor.close()
    return found


@pytest.fixture(scope="module")
def pages(snapshot: Snapshot, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    stale = dataclasses.replace(snapshot, stale_since=snapshot.at, cause="expected events, found: <i>no server</i>")
    empty = dataclasses.replace(snapshot, nodes=snapshot.nodes.assign(open=0, within=0, at_risk=0, beyond=0),
                                cases=snapshot.cases.iloc[:0], last_event="")  # fmt: skip
    found = {}
    for name, shown in (("fresh", snapshot), ("stale", stale), ("empty", empty)):
        (folder / name).mkdir()
        MonitorPage(shown, LINE, Text(zh="某银行", en="A bank"), 30, simulated=True).write(folder / name)
        found[name] = folder / name
    return found


@pytest.mark.parametrize("name", ["fresh", "stale", "empty"])
def test_pages_pass_the_gate_but_for_the_refreshing_tag(pages: dict[str, Path], name: str) -> None:
    tables = {"fresh": 3, "stale": 3, "empty": 2}[name]
    still = (pages[name] / "still.html").read_text(encoding="utf-8")
    expected = Expected(figures=1, tables=tables, files=FILES)
    check_page(name, still, expected)
    for live in ("index.html", "en.html"):
        page = (pages[name] / live).read_text(encoding="utf-8")
        assert page.count(REFRESH) == 1
        check_page(name, page.replace(REFRESH, ""), expected)
        assert "href=still.html" in page
    assert 'http-equiv="refresh"' not in still
    assert "accessibility" in (pages[name] / "index.html").read_text(encoding="utf-8")
    assert json.loads((pages[name] / "snapshot.json").read_text(encoding="utf-8"))["@"].endswith(":Snapshot")


def test_the_title_is_the_finding(pages: dict[str, Path]) -> None:
    def title(name: str) -> tuple[str, ...]:
        page = (pages[name] / "still.html").read_text(encoding="utf-8")
        found = re.search(r"<h1>(.*?)</h1>", page)
        assert found is not None
        return tuple(re.findall(r">([^<>]+)</span>", found[1]))

    zh, en = "3 项在办已超时限，审查最多（2 项）", "3 open items are past their limit, most of them at Review (2)"
    assert title("fresh") == (zh, en)
    assert title("stale")[1].startswith("No data: this is how things stood at 20")
    assert title("empty") == ("目前没有在办事项", "Nothing is open at present")


def test_what_comes_from_data_is_escaped(pages: dict[str, Path]) -> None:
    for name in ("fresh", "stale"):
        page = (pages[name] / "index.html").read_text(encoding="utf-8")
        assert "<b>B" not in page
        assert "&lt;b&gt;B" in page
        assert "<i>no" not in page


def test_the_source_is_named_without_user_and_folder(snapshot: Snapshot) -> None:
    shown = dataclasses.replace(snapshot, source="postgresql+psycopg://someone:***@host/lending")
    page = MonitorPage(shown, LINE).pages()["still.html"]
    assert "postgresql+psycopg://host/lending" in page
    assert "someone" not in page
    assert "/monitored" not in MonitorPage(snapshot, LINE).pages()["still.html"]


@pytest.fixture
def visit(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    made: list[Visit] = []

    def go(name: str, **options: Any) -> Visit:
        made.append(Visit(browser, pages[name] / "still.html", **options))
        return made[-1]

    yield go
    for one in made:
        one.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_axe_finds_nothing_on_the_copy_that_stands_still(visit: Any, scheme: str, width: int) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page = visit("fresh", viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True).page
    for language in ("zh", "en"):
        page.click(f"label[for=sq-{language}]")
        context = {"exclude": [["figure svg > *"]]}
        found = Axe().run(page, context=context, options={"preload": False, "resultTypes": ["violations"]}).response
        assert [(v["id"], [n["target"] for n in v["nodes"]]) for v in found["violations"]] == []


@pytest.mark.parametrize("name", ["fresh", "stale", "empty"])
def test_no_page_is_wider_than_the_screen_or_asks_for_anything(visit: Any, name: str) -> None:
    seen = visit(name, viewport={"width": 360, "height": 900})
    for language in ("zh", "en"):
        seen.page.click(f"label[for=sq-{language}]")
        assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    assert (seen.asked, seen.complaints) == ([], [])


def test_the_live_page_comes_again_by_itself(browser: Any, snapshot: Snapshot, tmp_path: Path) -> None:
    def published(minute: int) -> None:
        at = f"2026-09-30T18:{minute:02d}:00.000000+08:00"
        MonitorPage(dataclasses.replace(snapshot, at=at), LINE, every=1).write(tmp_path)

    published(1)
    seen = Visit(browser, tmp_path / "index.html")
    assert "18:01:00" in seen.page.inner_text("header")
    published(2)
    end = time.monotonic() + 10
    while "18:02:00" not in seen.page.inner_text("header") and time.monotonic() < end:
        seen.page.wait_for_timeout(200)
    assert "18:02:00" in seen.page.inner_text("header")
    seen.context.close()


@pytest.fixture
def params(tmp_path: Path) -> Path:
    (tmp_path / "params").mkdir()
    (tmp_path / "process.yaml").write_text(PROCESS, encoding="utf-8")
    (tmp_path / "standard.yaml").write_text(STANDARD, encoding="utf-8")
    begun = [("A", "review", "schedule", -11.0, ""), ("B", "review", "schedule", -1.0, "")]
    insert(tmp_path / "events.db", history() + begun, now())
    path = tmp_path / "params" / "line.yaml"
    content = {"business_line": "line", "quarter": "2026Q3", "events": "events.db", "process": "process.yaml",
               "standard": "standard.yaml", "page_language": "en"}  # fmt: skip
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def command(params: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "sqmodel", "monitor", str(params), *more]


ENVIRONMENT = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def test_the_command_draws_once(params: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        command(params, "--once", "--on-alert", f"sh -c 'cat >> {tmp_path / 'taken'}'"), cwd=tmp_path, text=True,
        capture_output=True, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "reports" / "monitor" / "line"
    assert done.stdout.splitlines()[0] == "reports/monitor/line/index.html"
    assert sorted(p.name for p in folder.iterdir()) == [
        ALERTS, "index.html", "monitor.sqlite", "snapshot.json", "still.html", "zh.html"
    ]  # fmt: skip
    assert [json.loads(line)["id"] for line in (folder / ALERTS).read_text().splitlines()] == ["breach:review:A"]
    assert (tmp_path / "taken").read_text() == (folder / ALERTS).read_text()


def test_the_command_goes_on_until_it_is_told_to_end(params: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.txt"
    with told.open("w", encoding="utf-8") as out:
        running = subprocess.Popen(command(params, "--every", "1"), cwd=tmp_path, env=ENVIRONMENT, text=True,
                                   stdout=out, stderr=subprocess.PIPE)  # fmt: skip
    page = tmp_path / "reports" / "monitor" / "line" / "index.html"
    end = time.monotonic() + 120
    while not page.exists() and time.monotonic() < end:
        time.sleep(0.1)
    insert(tmp_path / "events.db", [("C", "review", "schedule", -12.0, "")], now())
    while "1 new" not in told.read_text(encoding="utf-8") and time.monotonic() < end:
        time.sleep(0.1)
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate()
    assert (running.returncode, err) == (143, "")
    assert "review:C" in (page.parent / ALERTS).read_text(encoding="utf-8")
    last = told.read_text(encoding="utf-8").splitlines()[-1]
    assert last.endswith("2 beyond their limit, 0 at risk; alerts: 2, 1 new")


def test_bad_params_are_told_at_once(tmp_path: Path) -> None:
    path = tmp_path / "line.yaml"
    path.write_text("business_line: 3\nevent: sqlite:///a.db\n", encoding="utf-8")
    with pytest.raises(ParamsError) as caught:
        load_watch(path)
    assert str(caught.value) == (
        f"{path}: 3 problems\n  - unknown key 'event'; did you mean 'events'?\n"
        "  - business_line: expected a text, found int\n  - events: expected a value, found none\n"
        "  What to do: correct the params; `sqmodel monitor` needs business_line and events"
    )


def test_the_notebook_shows_one_instant(params: Path, tmp_path: Path) -> None:
    content = json.loads(params.read_text(encoding="utf-8"))
    given = {k: content[k] for k in ("business_line", "events", "process", "standard")}
    notebook = ROOT / "notebooks" / "monitor.ipynb"
    done = papermill.execute_notebook(str(notebook), str(tmp_path / "out.ipynb"), given, cwd=str(tmp_path),
                                      progress_bar=False)  # fmt: skip
    outputs = [o for c in done.cells if c.cell_type == "code" for o in c.outputs]
    shown = "".join(o.data.get("text/html", "") for o in outputs if "data" in o)
    assert "1 open past the limit" in shown
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "events.db", "out.ipynb", "params", "process.yaml", "standard.yaml"
    ]  # fmt: skip
