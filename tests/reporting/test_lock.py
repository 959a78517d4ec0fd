"""One run at a time in a folder; a folder or a share that cannot be written to is named before anything runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import nbformat
import pandas as pd
import pytest

from sqmodel.reporting.kernels.launchers import Launcher
from tests.reporting.projects import call, left_behind, own_process, published, write_notebook

pytestmark = pytest.mark.xdist_group("publisher")
CHEAP = ("run", "--notebook", "cheap.ipynb")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[Path]:
    """A folder that cannot be written to, by whomever."""
    folder = tmp_path / "locked"
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("root can write everywhere, and no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_second_run_says_who_holds_the_folder_and_touches_nothing(warm: Launcher, project: Path) -> None:
    notebook = write_notebook(project / "slow.ipynb", "import time\ntime.sleep(60)")
    lock = project / "reports" / ".sqmodel" / "lock"
    first = own_process("run", "--notebook", str(notebook), folder=project)
    until = time.monotonic() + 60
    while not (lock.exists() and lock.stat().st_size) and time.monotonic() < until:
        time.sleep(0.05)
    holder = lock.read_text(encoding="utf-8").strip()
    result = call(*CHEAP)
    assert f", process {first.pid} on " in holder
    assert (result.exit_code, result.stderr) == (
        2,
        f"reports: expected no other run in this folder, found one by {holder}; wait for it to end, or give --reports "
        "another folder; nothing was run\n",
    )
    assert published(project / "reports") == {}
    first.send_signal(signal.SIGINT)
    said = first.communicate(timeout=60)[1]
    assert (first.returncode, said) == (
        130,
        "interrupted: 0 of 1 published; what was published before is in place; run the same command again to go on\n",
    )
    assert left_behind(project) == []
    assert call(*CHEAP).exit_code == 0


def test_an_interrupt_while_reports_are_begun_ends_them(
    warm: Launcher, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notebook = write_notebook(project / "slow.ipynb", "import time\ntime.sleep(60)")
    submit = ThreadPoolExecutor.submit

    def interrupted(pool: ThreadPoolExecutor, *arguments: Any, **options: Any) -> Any:
        submit(pool, *arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(ThreadPoolExecutor, "submit", interrupted)
    begun = time.monotonic()
    assert call("run", "--notebook", str(notebook)).exit_code == 130
    assert time.monotonic() - begun < 45
    assert left_behind(project) == []


def test_the_lock_of_a_dead_run_holds_nobody_up(warm: Launcher, project: Path) -> None:
    lock = project / "reports" / ".sqmodel" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_bytes(b"\xff" * 5000)
    assert call(*CHEAP).exit_code == 0
    assert lock.read_text(encoding="utf-8").count(f"process {os.getpid()} on ") == 1


def test_a_reports_folder_that_cannot_be_written_to(warm: Launcher, project: Path, locked: Path) -> None:
    result = call(*CHEAP, "--reports", "locked")
    cause = "Read-only file system" if os.geteuid() == 0 else "Permission denied"
    assert (result.exit_code, result.stderr) == (
        2,
        f"locked: expected a folder that can be written to, found: {cause}; nothing was run\n",
    )


def test_a_share_that_cannot_be_written_to_stops_a_run_before_it_begins(
    warm: Launcher, project: Path, locked: Path
) -> None:
    result = call(*CHEAP, "--publish-to", "locked")
    cause = "Read-only file system" if os.geteuid() == 0 else "Permission denied"
    assert (result.exit_code, result.stderr) == (
        2,
        f"locked: expected a folder that can be written to, found: {cause}; nothing was run\n",
    )
    assert not (project / "reports").exists()


def test_pages_are_copied_to_a_share_once(warm: Launcher, released: Path) -> None:
    both = ("run", "-q", "2026Q2..2026Q3", "--publish-to", "share")
    result = call(*both)
    assert result.exit_code == 0, result.output
    assert published(released / "share") == published(released / "reports")
    pages = {p: p.stat().st_ino for p in (released / "share").glob("2026Q*/desk/*")}
    assert len(pages) == 8
    assert call(*both).exit_code == 0
    assert {p: p.stat().st_ino for p in (released / "share").glob("2026Q*/desk/*")} == pages
    (released / "share" / "2026Q2" / "desk" / "manifest.json").unlink()
    assert call(*both).exit_code == 0
    assert published(released / "share") == published(released / "reports")


def test_a_restatement_is_on_record_before_the_run_has_ended(warm: Launcher, released: Path) -> None:
    """Killed while another report is still at work, the run has already said what it restated."""
    path = released / "params" / "data" / "desk.csv"
    frame = pd.read_csv(path)
    past = frame["quarter"] == "2026Q2"
    frame.loc[past, "q1"] = (frame.loc[past, "q1"] + 1).clip(upper=7)
    frame.to_csv(path, index=False)
    notebook = released / "notebooks" / "business_line.ipynb"
    content = nbformat.read(notebook, as_version=4)
    waiting = "import time\ntime.sleep(60 if quarter == '2026Q3' else 0)"
    content.cells.append(nbformat.v4.new_code_cell(waiting, id="waiting"))
    nbformat.write(content, notebook)
    run = own_process("run", "-q", "2026Q2..2026Q3", folder=released)
    record = released / "reports" / "restatements.json"
    until = time.monotonic() + 60
    while not record.exists() and time.monotonic() < until:
        time.sleep(0.05)
    run.kill()
    run.communicate(timeout=30)
    (row,) = json.loads(record.read_text(encoding="utf-8"))
    assert row["name"] == "2026Q2/desk"
    assert row["after"]["value"] > row["before"]["value"]
    assert call("verify", "reports/2026Q2").exit_code == 0
