"""The notebooks: thin, without output, and running by the plain commands of papermill and nbconvert."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
import yaml

from sqmodel.reporting.kernels.manager import kernels
from sqmodel.reporting.making import Assignment, make
from sqmodel.reporting.plan import make_plan
from tests import notebooks_are_clean
from tests.reporting.cells import DATA, ROOT, desk_answers

NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
BANNED = (ast.FunctionDef, ast.ClassDef, ast.For, ast.While, ast.If, ast.With, ast.Try, ast.ListComp, ast.DictComp)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebooks_are_thin(path: Path) -> None:
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    tagged = [c for c in cells if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    for cell in cells:
        tree = ast.parse(cell.source)
        assert not [n for n in ast.walk(tree) if isinstance(n, BANNED)], cell.source
        if cell not in tagged:
            assert len(cell.source.splitlines()) <= 8, cell.source


def test_notebooks_hold_no_output(tmp_path: Path) -> None:
    assert notebooks_are_clean.main(str(ROOT / "notebooks")) == 0
    spoilt = nbformat.read(NOTEBOOKS[0], as_version=4)
    spoilt.cells[1].execution_count = 3
    nbformat.write(spoilt, tmp_path / "spoilt.ipynb")
    assert notebooks_are_clean.leftovers(tmp_path / "spoilt.ipynb") == ["spoilt.ipynb: cell 1 holds output"]


def test_the_tutorial_runs_from_its_own_folder(tmp_path: Path) -> None:
    path = ROOT / "notebooks" / "tutorial.ipynb"
    done = papermill.execute_notebook(str(path), str(tmp_path / "out.ipynb"), cwd=str(path.parent), progress_bar=False)
    outputs = [o for c in done.cells if c.cell_type == "code" for o in c.outputs]
    assert not [o for o in outputs if o.output_type == "error"]
    assert any("image/png" in o.get("data", {}) for o in outputs)


def test_plain_papermill_and_nbconvert_make_the_same_page(tmp_path: Path) -> None:
    desk_answers(200, seed=4).to_csv(tmp_path / "desk.csv", index=False)
    params = tmp_path / "desk.yaml"
    content = {"business_line": "desk", "quarter": "2026Q3", "instrument": str(DATA / "second.instrument.yaml"),
               "responses": str(tmp_path / "desk.csv"), "draws": 200}  # fmt: skip
    params.write_text(yaml.safe_dump(content), encoding="utf-8")
    notebook, out = ROOT / "notebooks" / "business_line.ipynb", tmp_path / "desk.ipynb"
    python = [sys.executable, "-m"]
    for command in (
        [*python, "papermill", str(notebook), str(out), "-f", str(params), "--no-progress-bar"],
        [*python, "jupyter", "nbconvert", "--to", "sqreport", str(out)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "desk.html").read_text(encoding="utf-8")
    assert "Service desk survey" in page
    assert "<script" not in page
    assert {p.name for p in tmp_path.iterdir()} >= {"results.json", "tables.xlsx"}
    (task,) = make_plan([params])
    text = notebook.read_text(encoding="utf-8")
    with kernels():
        made = make(Assignment(task.name, str(tmp_path), text, task.parameters, seconds=120, most_bytes=1_000_000))
    assert made.page == page
    assert {name: (tmp_path / name).read_bytes() for name in made.companions} == made.companions


def test_a_failing_cell_is_not_published(tmp_path: Path) -> None:
    from sqmodel.errors import SqmodelError
    from sqmodel.reporting.publish import SqReportExporter

    broken = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 / 0")])
    path = tmp_path / "broken.ipynb"
    nbformat.write(broken, path)
    with pytest.raises(papermill.PapermillExecutionError):
        papermill.execute_notebook(str(path), str(path), progress_bar=False, kernel_name="python3")
    with pytest.raises(SqmodelError, match="ZeroDivisionError"):
        SqReportExporter().from_notebook_node(nbformat.read(path, as_version=4))
