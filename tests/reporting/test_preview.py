"""The researcher's loop: a page that follows its data."""

from __future__ import annotations

import os
import selectors
import signal
import time
from pathlib import Path
from subprocess import Popen

import pytest

from sqmodel.reporting.kernels.launchers import Launcher
from tests.reporting.projects import call, left_behind, own_process, write_notebook, write_params

pytestmark = pytest.mark.xdist_group("publisher")
COUNT = "print(open('params/data/desk.csv').read().count('2026Q3-'), 'answers')"


def test_a_page_is_built_where_it_is_wanted(warm: Launcher, project: Path) -> None:
    result = call("preview", "params/desk.yaml", "--notebook", "cheap.ipynb")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("reports/preview/desk.html  ")
    assert "标题" in (project / "reports" / "preview" / "desk.html").read_text(encoding="utf-8")
    assert call("preview", "params/desk.yaml", "--notebook", "cheap.ipynb", "-o", "a/b.html").exit_code == 0
    assert (project / "a" / "b.html").read_bytes() == (project / "reports" / "preview" / "desk.html").read_bytes()
    assert sorted(p.name for p in (project / "reports").iterdir()) == ["preview"]


def test_what_keeps_a_page_from_being_built_leaves_the_last_one(warm: Launcher, project: Path) -> None:
    assert call("preview", "params/desk.yaml", "--notebook", "cheap.ipynb").exit_code == 0
    before = (project / "reports" / "preview" / "desk.html").read_bytes()
    bad = write_notebook(project / "bad.ipynb", "1 / 0")
    result = call("preview", "params/desk.yaml", "--notebook", str(bad))
    assert (result.exit_code, result.stderr.split("): ")[1]) == (1, "execute: ZeroDivisionError: division by zero\n")
    write_params(project, "desk", quarter="2026")
    result = call("preview", "params/desk.yaml", "--notebook", "cheap.ipynb")
    assert (result.exit_code, result.stderr.split("): ", 1)[1]) == (
        1,
        "params: 1 problem\n"
        "  - desk.yaml: quarter: expected a year and a quarter such as 2026Q3, found '2026'\n"
        "  What to do: correct the params files; nothing was run\n",
    )
    assert (project / "reports" / "preview" / "desk.html").read_bytes() == before


def line_of(run: Popen[str], seconds: float = 60) -> str:
    """The next line that a process prints."""
    assert run.stdout is not None
    with selectors.DefaultSelector() as ready:
        ready.register(run.stdout, selectors.EVENT_READ)
        assert ready.select(seconds), "expected a line, found none"
    return run.stdout.readline()


def test_the_page_follows_its_data_until_it_is_stopped(project: Path) -> None:
    pytest.importorskip("watchfiles")
    notebook = write_notebook(project / "count.ipynb", COUNT)
    page, data = project / "page.html", project / "params" / "data" / "desk.csv"
    arguments = ("preview", "params/desk.yaml", "--notebook", str(notebook), "--watch", "-o", "page.html")
    run = own_process(*arguments, folder=project, PYTHONUNBUFFERED="1")
    assert line_of(run).startswith("page.html  ")
    assert "200 answers" in page.read_text(encoding="utf-8")
    time.sleep(1)
    # As editors do: another file in the place of the one that was there.
    rows = data.read_text(encoding="utf-8").splitlines(keepends=True)
    (data.parent / "new").write_text("".join(rows[:-50]), encoding="utf-8")
    os.replace(data.parent / "new", data)
    assert line_of(run).startswith("page.html  ")
    assert "150 answers" in page.read_text(encoding="utf-8")
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=30)
    assert (run.returncode, out, err) == (0, "stopped\n", "")
    assert left_behind(project) == []
