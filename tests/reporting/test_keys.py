"""What is unchanged is not made again; whatever a page depends on makes it anew; the same input, the same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sqmodel.reporting.kernels.launchers import Launcher
from sqmodel.reporting.keys import asked_for, report_key
from tests.reporting.projects import call, published, write_notebook, write_params

pytestmark = pytest.mark.xdist_group("publisher")
CHEAP = ("run", "--notebook", "cheap.ipynb")
UNCHANGED = "      2026Q3\ndesk  unchanged\n1 of 1 published, all unchanged\nreports/index.html\n"


def append(path: Path, text: str) -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def change_answer(project: Path) -> None:
    path = project / "params" / "data" / "desk.csv"
    frame = pd.read_csv(path)
    frame.loc[0, "q1"] = 8 - frame.loc[0, "q1"] if frame.loc[0, "q1"] != 4 else 5
    frame.to_csv(path, index=False)


CHANGES: dict[str, Callable[[Path], object]] = {
    "data": change_answer,
    "params": lambda p: write_params(p, "desk", seed=2),
    "notebook": lambda p: write_notebook(p / "cheap.ipynb", "print(1)"),
    "instrument": lambda p: append(p / "desk.instrument.yaml", "# a remark\n"),
    "page edited": lambda p: append(p / "reports" / "2026Q3" / "desk" / "index.html", " "),
    "page lost": lambda p: (p / "reports" / "2026Q3" / "desk" / "index.html").unlink(),
    "manifest cut": lambda p: os.truncate(p / "reports" / "2026Q3" / "desk" / "manifest.json", 100),
    "manifest lost": lambda p: (p / "reports" / "2026Q3" / "desk" / "manifest.json").unlink(),
    "file added": lambda p: append_new(p / "reports" / "2026Q3" / "desk" / "extra.txt"),
}


def append_new(path: Path) -> None:
    path.write_text("x", encoding="utf-8")


def test_every_change_makes_the_page_anew_and_nothing_else_does(warm: Launcher, project: Path) -> None:
    (project / "desk.columns.yaml").write_text("columns: {}\n", encoding="utf-8")
    assert call(*CHEAP).exit_code == 0
    for name, change in CHANGES.items():
        assert call(*CHEAP).stdout == UNCHANGED, name
        change(project)
        result = call(*CHEAP)
        assert result.exit_code == 0, (name, result.output)
        assert result.stdout.splitlines()[-2:] == ["1 of 1 published", "reports/index.html"], name
    assert call(*CHEAP).stdout == UNCHANGED
    assert call(*CHEAP, "--force").stdout.splitlines()[-2:] == ["1 of 1 published", "reports/index.html"]
    assert sorted(published(project / "reports")) == [
        "2026Q3/desk/index.html", "2026Q3/desk/manifest.json", "index.html",
    ]  # fmt: skip


def test_a_lost_index_is_written_again_without_making_a_page(warm: Launcher, project: Path) -> None:
    assert call(*CHEAP).exit_code == 0
    before = published(project / "reports")
    (project / "reports" / "index.html").write_text("spoiled", encoding="utf-8")
    result = call(*CHEAP)
    assert result.stdout.splitlines()[-2:] == ["1 of 1 published, 1 unchanged", "reports/index.html"]
    assert published(project / "reports") == before


def test_times_of_files_do_not_matter(warm: Launcher, project: Path) -> None:
    assert call(*CHEAP).exit_code == 0
    for when in (0, 4_000_000_000):
        for path in project.rglob("*"):
            os.utime(path, (when, when))
        assert call(*CHEAP).stdout == UNCHANGED


def key(project: Path) -> str:
    (report,) = asked_for([project / "params" / "desk.yaml"])
    found = report_key(report.given, report.root, notebook=project / "cheap.ipynb", dossier=False)
    assert found is not None
    return found


def test_a_column_map_and_an_earlier_quarter_are_part_of_the_key(project: Path) -> None:
    data = project / "params" / "data"
    (data / "desk.csv").rename(data / "desk-2026Q3.csv")
    write_params(project, "desk", responses="params/data/desk-{quarter}.csv", columns="desk.columns.yaml")
    (project / "desk.columns.yaml").write_text("a: b\n", encoding="utf-8")
    keys = [key(project)]
    (data / "desk-2026Q2.csv").write_text("respondent\n", encoding="utf-8")
    keys.append(key(project))
    (project / "desk.columns.yaml").write_text("a: c\n", encoding="utf-8")
    keys.append(key(project))
    (data / "desk-2026Q4.csv").write_text("respondent\n", encoding="utf-8")
    assert key(project) == keys[-1]
    assert len(set(keys)) == 3


def test_a_missing_input_has_no_key(project: Path) -> None:
    (project / "params" / "data" / "desk.csv").unlink()
    (report,) = asked_for([project / "params" / "desk.yaml"])
    assert report_key(report.given, report.root, notebook=project / "cheap.ipynb", dossier=False) is None


def test_what_is_unchanged_is_found_without_a_heavy_library(warm: Launcher, project: Path) -> None:
    assert call(*CHEAP).exit_code == 0
    script = (
        "import sys\nfrom sqmodel.cli import main\n"
        f"try:\n    main({list(CHEAP)!r})\nexcept SystemExit as end:\n    print(end.code)\n"
        "print([n for n in ('numpy', 'pandas', 'scipy', 'papermill', 'nbconvert', 'nbformat', 'jinja2', 'pydantic',"
        " 'rich') if n in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=project, capture_output=True, text=True, check=True)
    assert said.stdout == UNCHANGED + "0\n[]\n"


def test_the_same_input_gives_the_same_bytes_however_many_work(warm: Launcher, project: Path) -> None:
    both = ("run", "-q", "2026Q2..2026Q3")
    assert call(*both, "-w", "1").exit_code == 0
    first = published(project / "reports")
    assert sorted({Path(name).name for name in first}) == ["index.html", "manifest.json", "results.json", "tables.xlsx"]
    assert len(first) == 9
    assert call(*both, "-w", "4", "--force").exit_code == 0
    assert published(project / "reports") == first
