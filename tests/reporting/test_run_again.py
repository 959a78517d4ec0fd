"""A run after something went wrong: what is told, what is kept, and what the next run makes of it."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
import sqlalchemy as sa

from sqmodel.cli.tools import Terminated
from sqmodel.reporting import interrupts
from sqmodel.reporting.kernels.launchers import Launcher
from tests.reporting.cells import desk_answers
from tests.reporting.projects import QUARTERS, call, left_behind, own_process, published, write_notebook, write_params

pytestmark = pytest.mark.xdist_group("publisher")
CHEAP = ("run", "--notebook", "cheap.ipynb")
STALE = "Stale: last good page shown"


def index(project: Path) -> str:
    return (project / "reports" / "index.html").read_text(encoding="utf-8")


def failures(project: Path) -> list[str]:
    folder = project / "reports" / ".sqmodel" / "failures"
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*.json"))


def test_params_that_cannot_be_read_are_not_passed_over(warm: Launcher, project: Path) -> None:
    assert call(*CHEAP).exit_code == 0
    (project / "params" / "broken.yaml").write_text('responses: "sqlite://u:s3cret"pw@x"\n', encoding="utf-8")
    result = call(*CHEAP)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "s3cret" not in result.stderr
    assert result.stderr == (
        "params: 1 problem\n"
        "  - broken.yaml: expected YAML in UTF-8, found: while parsing a block mapping; expected <block end>, "
        "but found '<scalar>' (row 1, column 31)\n"
        "  What to do: correct the params files; nothing was run\n"
    )
    missing = call(*CHEAP, "params/desk.yaml", "params/typo.yaml")
    assert missing.exit_code == 2
    assert "expected a params file, found nothing at this path" in missing.stderr


def test_a_failure_is_forgotten_once_the_data_are_good_again(warm: Launcher, released: Path) -> None:
    data = released / "params" / "data" / "desk.csv"
    good = data.read_bytes()
    data.write_text("", encoding="utf-8")
    (released / "params" / "data" / "other.csv").write_bytes(good)
    write_params(released, "other")
    result = call("run", "-q", "2026Q3", "--keep-going")
    assert result.exit_code == 1, result.output
    assert "bad data" in result.stdout
    assert STALE in index(released)
    data.write_bytes(good)
    again = call("run", "-q", "2026Q3")
    assert (again.exit_code, again.stderr) == (0, "")
    assert again.stdout.splitlines()[-2:] == ["2 of 2 published, 2 unchanged", "reports/index.html"]
    assert STALE not in index(released)
    assert failures(released) == []


def test_a_time_limit_makes_a_page_stale_and_a_dossier_does_not_mend_it(warm: Launcher, released: Path) -> None:
    before = published(released / "reports")
    slow = str(write_notebook(released / "slow.ipynb", "import time\ntime.sleep(300)"))
    result = call("run", "-q", "2026Q3", "--notebook", slow, "--timeout", "15")
    assert result.exit_code == 1
    assert result.stderr == (
        "2026Q3/desk failed at execute: expected the report within 15 s (--timeout), "
        "found cell 3 ('import time') still running\n"
    )
    assert STALE in index(released)
    assert failures(released) == ["2026Q3/desk.json"]
    assert call("validate", "-q", "2026Q3").exit_code == 0
    assert failures(released) == ["2026Q3/desk.json"]
    now = {k: v for k, v in published(released / "reports").items() if "-validation" not in k}
    assert {k: v for k, v in now.items() if k != "index.html"} == {k: v for k, v in before.items() if k != "index.html"}


@pytest.mark.parametrize("content", ["[]", '{"index": null}', "{"])
def test_an_odd_record_of_before_hinders_no_run(warm: Launcher, released: Path, content: str) -> None:
    (released / "reports" / "2026Q3" / "desk" / "results.json").write_text(content, encoding="utf-8")
    result = call("run", "-q", "2026Q3")
    assert result.exit_code == 0, result.output
    assert call("verify", "reports/2026Q3").exit_code == 0


def test_a_share_that_is_something_else_is_refused(warm: Launcher, project: Path) -> None:
    (project / "web").mkdir()
    (project / "web" / "index.html").write_text("mine", encoding="utf-8")
    result = call(*CHEAP, "--publish-to", "web")
    assert (result.exit_code, result.stderr) == (
        2,
        "--publish-to web: expected an empty folder or one that was published to before, found an index.html of "
        "something else; nothing was run\n",
    )
    assert (project / "web" / "index.html").read_text(encoding="utf-8") == "mine"
    same = call(*CHEAP, "--publish-to", "reports")
    assert (same.exit_code, same.stderr) == (
        2,
        "--publish-to reports: expected another folder than the one of --reports; nothing was run\n",
    )


def test_a_damaged_copy_on_a_share_is_put_right(warm: Launcher, released: Path) -> None:
    both = ("run", "-q", "2026Q2..2026Q3", "--publish-to", "share")
    assert call(*both).exit_code == 0
    (released / "share" / "2026Q3" / "desk" / "index.html").write_text("x", encoding="utf-8")
    assert call(*both).exit_code == 0
    assert published(released / "share") == published(released / "reports")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupts_have_their_status_in_every_command(released: Path, number: int, status: int) -> None:
    begun = released / "begun"
    cell = f"import pathlib, time\npathlib.Path({str(begun)!r}).touch()\ntime.sleep(120)"
    slow = write_notebook(released / "notebooks" / "business_line.ipynb", cell)
    for command in (("run", "--force"), ("verify", "reports", "--rerun"), ("preview", "params/desk.yaml")):
        process = own_process(*command, folder=released)
        until = time.monotonic() + 60
        while not begun.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        assert begun.exists(), (command, slow)
        begun.unlink()
        os.kill(process.pid, number)
        _, said = process.communicate(timeout=60)
        assert process.returncode == status, (command, said)
        assert "Traceback" not in said
        assert left_behind(released) == [], command


def test_an_interrupt_that_something_swallowed_is_obeyed_later() -> None:
    interrupts.forget()
    interrupts.obey()
    interrupts.ask(Terminated)
    with pytest.raises(Terminated):
        interrupts.obey()
    interrupts.obey()


def store(project: Path, quarters: tuple[str, ...] = QUARTERS, drop: int = 0) -> None:
    """Put the answers into a database; the first `drop` of them are left out."""
    engine = sa.create_engine(f"sqlite:///{project / 'answers.db'}")
    frame: pd.DataFrame = desk_answers(200, seed=4, quarters=quarters).iloc[drop:]
    frame.to_sql("answers", engine, index=False, if_exists="replace")
    engine.dispose()


def test_a_database_is_read_again_and_its_answers_are_the_key(warm: Launcher, project: Path) -> None:
    store(project)
    write_params(project, "desk", responses="sqlite:///answers.db", query="SELECT * FROM answers")
    assert call("run").exit_code == 0
    folder = project / "reports" / "2026Q3" / "desk"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    record = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert manifest["inputs"] == record["inputs"]
    assert [k for k in manifest["inputs"] if k.startswith("answers in ")] == ["answers in sqlite:///answers.db"]
    assert call("run").stdout.splitlines()[-2] == "1 of 1 published, 1 unchanged"
    store(project, drop=3)
    assert call("run").stdout.splitlines()[-2] == "1 of 1 published"


def test_answers_that_change_after_the_check_are_not_published(warm: Launcher, project: Path) -> None:
    store(project)
    write_params(project, "desk", responses="sqlite:///answers.db", query="SELECT * FROM answers")
    text = (project / "notebooks" / "business_line.ipynb").read_text(encoding="utf-8")
    content = json.loads(text)
    spoil = (
        "import sqlite3\nwith sqlite3.connect('answers.db') as base: base.execute('DELETE FROM answers WHERE q1 = 4')"
    )
    cell = {"cell_type": "code", "id": "spoil", "metadata": {}, "outputs": [], "execution_count": None, "source": spoil}
    content["cells"].insert(2, cell)
    (project / "spoil.ipynb").write_text(json.dumps(content), encoding="utf-8")
    result = call("run", "--notebook", "spoil.ipynb")
    assert result.exit_code == 1
    assert result.stderr == (
        "2026Q3/desk failed at publish: 2026Q3/desk: expected the database's answers as checked, found others since; "
        "run again\n"
    )
    assert not (project / "reports" / "2026Q3").exists()


def test_a_databases_error_does_not_repeat_the_query(project: Path) -> None:
    store(project)
    write_params(project, "desk", responses="sqlite:///answers.db", query="SELECT * FROM answers WHERE q1 = 'HUSH AND")
    result = call("check")
    assert result.exit_code == 2
    assert "HUSH" not in result.stderr
    assert 'unrecognized token: "…"' in result.stderr


def test_a_module_beside_the_params_is_part_of_the_key(warm: Launcher, project: Path) -> None:
    (project / "house.py").write_text("TITLE = 1\n", encoding="utf-8")
    write_notebook(project / "cheap.ipynb", "import house\nprint(house.TITLE)")
    assert call(*CHEAP).exit_code == 0
    (project / "house.py").write_text("TITLE = 2\n", encoding="utf-8")
    assert call(*CHEAP).stdout.splitlines()[-2] == "1 of 1 published"
    page = (project / "reports" / "2026Q3" / "desk" / "index.html").read_text(encoding="utf-8")
    assert "<pre tabindex=0>2</pre>" in page
