"""Printing: one A4 document a language, offline, with the same bytes each time."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import pypdf
import pytest

from sqmodel.errors import RunError
from sqmodel.reporting.kernels.launchers import Launcher
from sqmodel.reporting.pdf import find_browser, print_page
from sqmodel.reporting.publish import SqReportExporter
from tests.reporting import gallery as g
from tests.reporting.projects import call

pytestmark = pytest.mark.xdist_group("publisher")
MISSING = "--pdf: expected Chromium at /nonexistent ($SQMODEL_CHROMIUM), found none; install it; nothing was run"
A4 = (595, 842)


@pytest.fixture(scope="module")
def browser() -> str:
    try:
        return find_browser()
    except RunError as error:
        pytest.skip(str(error))


def text_of(document: bytes) -> str:
    """All text without white space: readers of PDF find gaps between the letters of an embedded font."""
    return "".join("".join(page.extract_text().split()) for page in pypdf.PdfReader(io.BytesIO(document)).pages)


def test_each_language_on_paper_of_its_own(browser: str) -> None:
    prose = "# 标题 | Title\n\n效率低于预期。\n\nEfficiency lies below its expected range."
    page = SqReportExporter().from_notebook_node(g.notebook(g.prose(prose)))[0]
    # A link to a file beside the page must not lead to where it was printed.
    page = page.replace("</main>", '<a href="results.json">results.json</a></main>')
    first = print_page(page, browser)
    assert list(first) == ["report.zh.pdf", "report.en.pdf"]
    assert print_page(page, browser) == first
    chinese, english = (text_of(first[name]) for name in first)
    assert "效率低于预期" in chinese
    assert "Efficiency" not in chinese
    assert "Efficiencyliesbelowitsexpectedrange." in english
    assert "效率低于预期" not in english
    for document in first.values():
        sizes = {
            (round(p.mediabox.width), round(p.mediabox.height)) for p in pypdf.PdfReader(io.BytesIO(document)).pages
        }
        assert sizes == {A4}
        assert b"file://" not in document
        assert b"http://" not in document.replace(b"http://www.w3.org", b"").replace(b"http://ns.adobe.com", b"")


def test_no_network_is_needed(browser: str, tmp_path: Path) -> None:
    if subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode:
        pytest.skip("a process cannot be cut off from the network here")
    page = SqReportExporter().from_notebook_node(g.notebook(g.prose("# 标题 | Title")))[0]
    alone = tmp_path / "alone"
    alone.write_text(f'#!/bin/sh\nexec unshare -n {browser} "$@"\n', encoding="utf-8")
    alone.chmod(0o755)
    assert print_page(page, str(alone)) == print_page(page, browser)


def test_a_run_prints_what_it_publishes_and_what_was_not_printed_yet(
    browser: str, warm: Launcher, project: Path
) -> None:
    run = ("run", "--notebook", "cheap.ipynb")
    assert call(*run).exit_code == 0
    result = call(*run, "--pdf")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == ["1 of 1 published", "reports/index.html"]
    names = sorted(p.name for p in (project / "reports" / "2026Q3" / "desk").iterdir())
    assert names == ["index.html", "manifest.json", "report.en.pdf", "report.zh.pdf"]
    assert call(*run, "--pdf").stdout.splitlines()[-2:] == ["1 of 1 published, 1 unchanged", "reports/index.html"]
    assert call("verify", "reports").stdout == "  intact    2026Q3/desk\n1 of 1 as published\n"


def test_a_missing_browser_is_named_before_anything_runs(
    warm: Launcher, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SQMODEL_CHROMIUM", "/nonexistent")
    result = call("run", "--notebook", "cheap.ipynb", "--pdf")
    assert (result.exit_code, result.stderr) == (2, f"{MISSING}\n")
    assert not (project / "reports").exists()


def test_a_browser_that_does_not_print_fails_the_report(
    warm: Launcher, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = project / "broken"
    broken.write_text("#!/bin/sh\necho no display >&2\nexit 3\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setenv("SQMODEL_CHROMIUM", str(broken))
    result = call("run", "--notebook", "cheap.ipynb", "--pdf")
    assert (result.exit_code, result.stderr) == (
        1,
        f"2026Q3/desk failed at publish: report.zh.pdf: expected {broken} to print the page, found exit status 3: "
        "no display\n",
    )
    assert not (project / "reports" / "2026Q3").exists()
