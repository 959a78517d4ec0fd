"""The command line: what it prints, where it writes, with which exit status."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from click.testing import CliRunner, Result

from sqmodel.cli import main
from tests.reporting.cells import DATA, ROOT, desk_answers

QUARTERS = ("2026Q2", "2026Q3")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one line and two quarters of the second questionnaire."""
    (tmp_path / "params" / "data").mkdir(parents=True)
    (tmp_path / "notebooks").mkdir()
    shutil.copyfile(ROOT / "notebooks" / "business_line.ipynb", tmp_path / "notebooks" / "business_line.ipynb")
    shutil.copyfile(DATA / "second.instrument.yaml", tmp_path / "desk.instrument.yaml")
    desk_answers(200, seed=4, quarters=QUARTERS).to_csv(tmp_path / "params" / "data" / "desk.csv", index=False)
    write_params(tmp_path, "desk")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_params(folder: Path, name: str, **changes: object) -> None:
    content = {"business_line": name, "quarter": "2026Q3", "instrument": "desk.instrument.yaml",
               "responses": f"params/data/{name}.csv", "draws": 200} | changes  # fmt: skip
    (folder / "params" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def spoil(project: Path, column: str, value: object) -> None:
    path = project / "params" / "data" / "desk.csv"
    frame = pd.read_csv(path, dtype=object)
    frame.loc[7, column] = value
    frame.to_csv(path, index=False)


def test_check_says_what_is_there(project: Path) -> None:
    result = call("check")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "  2026Q3/desk: 200 answers, 1 earlier quarters\n1 of 1 ready to run\n"


def test_run_publishes_page_results_tables_and_index(project: Path) -> None:
    result = call("run", "--quarter", "2026Q2..2026Q3", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == ["2 of 2 published", "reports/index.html"]
    for quarter in QUARTERS:
        folder = project / "reports" / quarter / "desk"
        assert sorted(p.name for p in folder.iterdir()) == [
            "index.html",
            "manifest.json",
            "results.json",
            "tables.xlsx",
        ]
        record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
        assert (record["quarter"], record["verdict"], record["schema"]) == (quarter, "publish", "sqmodel.results/1")
        assert record["index"]["low"] < record["index"]["value"] < record["index"]["high"]
    index = (project / "reports" / "index.html").read_text(encoding="utf-8")
    assert 'href="2026Q3/desk/index.html"' in index
    assert sorted(p.name for p in (project / "reports" / ".sqmodel").iterdir()) == ["index.json", "lock"]


def test_a_failed_report_names_step_and_cause_and_leaves_the_last_good_page(project: Path) -> None:
    assert call("run").exit_code == 0
    before = tree(project / "reports" / "2026Q3")
    write_params(project, "desk", criteria={"alpha": 0.999})
    result = call("run")
    assert result.exit_code == 1
    assert "2026Q3/desk failed at execute: desk_service 2026Q3: the answers do not support an index" in result.stderr
    assert result.stdout.splitlines()[-2:] == ["0 of 1 published", "reports/index.html"]
    assert tree(project / "reports" / "2026Q3") == before
    assert "the answers do not support an index" in (project / "reports" / "index.html").read_text(encoding="utf-8")


def test_a_record_that_cannot_be_read_hinders_no_run(project: Path) -> None:
    reports = project / "reports"
    broken = {
        "2026Q1/desk": "{",
        "2026Q1/old": '{"schema": "sqmodel.results/0"}',
        "2025Q4/desk": "[]",
        "attic/2026Q1/desk": "{",
    }
    for name, content in broken.items():
        (reports / name).mkdir(parents=True)
        (reports / name / "results.json").write_text(content, encoding="utf-8")
    result = call("run")
    assert result.exit_code == 0, result.output
    notes = result.stderr.splitlines()
    assert [n.split(": ")[:2] for n in notes] == [
        ["note", f"reports/{name}/results.json"] for name in ("2025Q4/desk", "2026Q1/desk", "2026Q1/old")
    ]
    assert notes[1].endswith(
        "expected JSON in UTF-8, found: Expecting property name enclosed in double quotes: line 1 column 2 (char 1); "
        "publish the report again or remove the folder"
    )
    index = (reports / "index.html").read_text(encoding="utf-8")
    assert 'href="2026Q3/desk/index.html"' in index
    for name in ("2025Q4/desk", "2026Q1/desk", "2026Q1/old"):
        assert f"reports/{name}/results.json" in index
    assert "attic" not in index


def test_a_copied_folder_does_not_stand_for_another_page(project: Path) -> None:
    assert call("run").exit_code == 0
    reports = project / "reports"
    shutil.copytree(reports / "2026Q3" / "desk", reports / "2026Q3" / "desk_old")
    result = call("run")
    assert result.exit_code == 0, result.output
    assert result.stderr == (
        "note: reports/2026Q3/desk_old/results.json: expected the record of 2026Q3/desk_old, found the one of "
        "2026Q3/desk; publish the report again or remove the folder\n"
    )


def test_check_refuses_what_run_could_not_do(project: Path) -> None:
    write_params(project, "desk", drop_items=["q99"], strata="region", weighting="given")
    result = call("check")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "desk 2026Q3: 5 problems\n"
        "  - drop_items: expected items of desk_service, found 'q99'; did you mean 'q9'?\n"
        "  - strata: expected a group variable of the answers (channel), found 'region'\n"
        "  - weights: expected a weight for dimension 'SPEED', found none\n"
        "  - weights: expected a weight for dimension 'CARE', found none\n"
        "  - weights: expected a weight for dimension 'SKILL', found none\n"
        "  What to do: correct the params; nothing was run\n"
    )


def test_one_failed_report_does_not_stop_the_others(project: Path) -> None:
    shutil.copyfile(project / "params" / "data" / "desk.csv", project / "params" / "data" / "other.csv")
    write_params(project, "other", criteria={"omega": 0.999})
    result = call("run")
    assert result.exit_code == 1
    assert "1 of 2 published" in result.stdout, result.stderr
    assert (project / "reports" / "2026Q3" / "desk" / "index.html").is_file()
    assert not (project / "reports" / "2026Q3" / "other").exists()


BAD_CELLS = {
    ("q3", "8"): "column q3: expected 1 to 7, found '8'",
    ("q3", "good"): "column q3",
    ("quarter", "2026-Q5"): "column quarter",
    ("respondent", "2026Q2-0"): "respondent",
}


@pytest.mark.parametrize(("column", "value"), list(BAD_CELLS))
def test_bad_cells_stop_everything_before_it_begins(project: Path, column: str, value: str) -> None:
    assert call("run").exit_code == 0
    before = tree(project / "reports")
    spoil(project, column, value)
    result = call("run")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "desk.csv: 1 problem" in result.stderr
    assert "row 9" in result.stderr
    assert tree(project / "reports") == before


def test_bad_params_are_listed_together_with_exit_2(project: Path) -> None:
    write_params(project, "desk", quarter="2026-Q5", minumum_n=4)
    result = call("run")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == (
        "params: 2 problems\n"
        "  - desk.yaml: unknown key 'minumum_n'; did you mean 'minimum_n'?\n"
        "  - desk.yaml: quarter: expected a year and a quarter such as 2026Q3, found '2026-Q5'\n"
        "  What to do: correct the params files; nothing was run\n"
    )
    assert not (project / "reports").exists()


def test_a_missing_data_file_is_named(project: Path) -> None:
    (project / "params" / "data" / "desk.csv").unlink()
    result = call("check")
    assert result.exit_code == 2
    assert "params/data/desk.csv" in result.stderr
    assert "found nothing" in result.stderr


def test_keep_going_publishes_the_good_ones(project: Path) -> None:
    write_params(project, "other")
    (project / "params" / "data" / "other.csv").write_text("", encoding="utf-8")
    assert call("run").exit_code == 2
    assert not (project / "reports").exists()
    result = call("run", "--keep-going")
    assert result.exit_code == 1
    assert "1 of 2 published" in result.stdout, result.stderr
    assert "2026Q3/other failed at check" in result.stderr


def test_a_folder_without_params_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = call("run")
    assert result.exit_code == 2
    assert result.stderr == (
        "params: 1 problem\n  - expected params/*.yaml here, found none\n  What to do: run `sqmodel new DIR` first\n"
    )


def test_new_makes_a_project_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mine"
    result = call("new", str(folder))
    assert result.exit_code == 0, result.output
    monkeypatch.chdir(folder)
    assert call("demo").exit_code == 0
    result = call("check")
    assert result.exit_code == 0, result.output
    assert "2026Q3/project_finance: " in result.stdout


def test_new_overwrites_nothing(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("precious", encoding="utf-8")
    result = call("new", str(tmp_path))
    assert result.exit_code == 2
    assert result.stderr == (
        f"{tmp_path}: 1 problem\n  - expected a new or an empty folder, found files\n"
        "  What to do: choose another folder\n"
    )
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in main.commands:
        assert f"sqmodel {name}" in readme, name
