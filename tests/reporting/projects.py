"""Small projects to publish: one line or more, two quarters, and notebooks that cost next to nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import nbformat.v4 as v4
import psutil
import yaml
from click.testing import CliRunner, Result

from sqmodel.cli import main
from tests.reporting.cells import DATA, ROOT, desk_answers

QUARTERS = ("2026Q2", "2026Q3")
KEPT = (".sqmodel", "logs")
"""Folders of a reports folder that hold what is told of a run, not what it published."""


def make_project(folder: Path, lines: Sequence[str] = ("desk",), quarters: Sequence[str] = QUARTERS) -> Path:
    """A project of the second questionnaire, with the real notebook and the cheapest one."""
    (folder / "params" / "data").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copyfile(ROOT / "notebooks" / "business_line.ipynb", folder / "notebooks" / "business_line.ipynb")
    shutil.copyfile(DATA / "second.instrument.yaml", folder / "desk.instrument.yaml")
    answers = desk_answers(200, seed=4, quarters=tuple(quarters)).to_csv(index=False)
    for line in lines:
        (folder / "params" / "data" / f"{line}.csv").write_text(answers, encoding="utf-8")
        write_params(folder, line, quarter=quarters[-1])
    write_notebook(folder / "cheap.ipynb")
    return folder


def write_params(folder: Path, line: str, **changes: object) -> None:
    """The params of a line."""
    content = {"business_line": line, "quarter": "2026Q3", "instrument": "desk.instrument.yaml",
               "responses": f"params/data/{line}.csv", "draws": 200} | changes  # fmt: skip
    (folder / "params" / f"{line}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def write_notebook(path: Path, *cells: str, title: str = "标题 | Title") -> Path:
    """A notebook of a title and code cells."""
    path.write_text(nbformat.writes(notebook_of(*cells, title=title)), encoding="utf-8")
    return path


def notebook_of(*cells: str, title: str = "标题 | Title") -> nbformat.NotebookNode:
    """A notebook of a title and code cells; what they draw has an alternative text."""
    code = [
        v4.new_code_cell(source, id=f"cell{i}", metadata={"alt": "一条线 | A line"}) for i, source in enumerate(cells)
    ]
    return v4.new_notebook(cells=[v4.new_markdown_cell(f"# {title}", id="title"), *code])


def call(*arguments: str) -> Result:
    """The command line in this process, in the working folder."""
    return CliRunner().invoke(main, arguments)


def own_process(*arguments: str, folder: Path, group: bool = False, **env: str) -> subprocess.Popen[str]:
    """The command line as a process of its own (and the first of a group), with a temporary folder of its own."""
    temporary = folder / "tmp"
    temporary.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, "-m", "sqmodel", *arguments],
        cwd=folder,
        env=os.environ | {"TMPDIR": str(temporary)} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=group,
    )


def left_behind(folder: Path) -> list[str]:
    """Processes and temporary files that `own_process` calls in a project's folder have left."""
    temporary = folder / "tmp"
    found = [str(p.relative_to(temporary)) for p in temporary.rglob("*")]
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR") == str(temporary) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def published(reports: Path) -> dict[str, bytes]:
    """Every published file."""
    return {
        str(p.relative_to(reports)): p.read_bytes()
        for p in sorted(reports.rglob("*"))
        if p.is_file() and p.relative_to(reports).parts[0] not in KEPT
    }
