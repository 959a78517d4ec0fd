"""Kernels: nothing passes from one report to the next, and whatever becomes of one, nothing of it stays."""

from __future__ import annotations

import html
import re
from pathlib import Path

import nbformat
import pytest

from sqmodel.reporting.kernels.launchers import ForkServer, Launcher
from sqmodel.reporting.making import Assignment, Made, make
from tests.reporting.projects import (
    call,
    left_behind,
    notebook_of,
    own_process,
    published,
    write_notebook,
    write_params,
)

pytestmark = pytest.mark.xdist_group("publisher")

LEAK = """
import builtins, os, random, sys
import matplotlib, numpy as np, pandas as pd
builtins.leak = 1
os.environ["LEAK"] = "1"
os.chdir("/")
np.random.seed(1)
random.seed(1)
np.mean = None
matplotlib.rcParams["figure.dpi"] = 7
pd.set_option("display.max_rows", 3)
sys.path.append("/leak")
sys.modules["leak"] = sys
"""
LOOK = """
import builtins, os, sys
import matplotlib, numpy as np, pandas as pd
print(hasattr(builtins, "leak"), "LEAK" in os.environ, os.getcwd(), np.mean is None, "/leak" in sys.path,
      "leak" in sys.modules, matplotlib.rcParams["figure.dpi"] == 7, pd.get_option("display.max_rows") == 3)
"""
DRAW = """
import random
import numpy as np
print(random.random(), np.random.random(), np.random.default_rng().random())
"""


def make_cells(folder: Path, *cells: str, seconds: float = 60.0) -> Made:
    source = nbformat.writes(notebook_of(*cells))
    return make(Assignment("2026Q3/desk", str(folder), source, {}, seconds, 300_000))


def said(made: Made) -> str:
    """What the cells printed."""
    return "\n".join(html.unescape(text) for text in re.findall(r"<pre[^>]*>(.*?)</pre>", made.page, re.DOTALL))


def test_nothing_that_a_notebook_sets_shows_in_the_next(warm: Launcher, tmp_path: Path) -> None:
    nothing = f"False False {tmp_path} False False False False False"
    assert said(make_cells(tmp_path, LOOK)) == nothing
    make_cells(tmp_path, LEAK)
    assert said(make_cells(tmp_path, LOOK)) == nothing


def test_two_kernels_draw_different_numbers(warm: Launcher, tmp_path: Path) -> None:
    numbers = [float(x) for _ in range(2) for x in said(make_cells(tmp_path, DRAW)).split()]
    assert len(numbers) == 6
    assert len(set(numbers)) == 6


def test_an_ordinary_figure_comes_out_as_a_picture(warm: Launcher, tmp_path: Path) -> None:
    made = make_cells(tmp_path, "import matplotlib.pyplot as plt\nfigure, axes = plt.subplots()\naxes.plot([1, 2]);")
    assert re.findall(r'<img src="data:image/(png|svg\+xml);base64,[^"]{500,}" alt="([^"]*)"', made.page) == [
        ("png", "一条线 | A line")
    ]


def test_the_fork_server_has_one_thread(warm: Launcher) -> None:
    assert isinstance(warm, ForkServer)
    assert warm.threads() == 1


def test_a_module_beside_the_project_can_be_imported(warm: Launcher, tmp_path: Path) -> None:
    (tmp_path / "own_module.py").write_text("answer = 42\n", encoding="utf-8")
    assert said(make_cells(tmp_path, "import own_module\nprint(own_module.answer)")) == "42"


def test_a_killed_kernel_fails_its_own_report_only(warm: Launcher, project: Path) -> None:
    write_params(project, "other", responses="params/data/desk.csv")
    cell = "import os, signal\nif business_line == 'desk':\n    os.kill(os.getpid(), signal.SIGKILL)"
    notebook = write_notebook(project / "kill.ipynb", cell)
    result = call("run", "--notebook", str(notebook))
    assert (result.exit_code, result.stderr) == (
        1,
        "2026Q3/desk failed at execute: the kernel died: expected it to run to the end of the notebook\n",
    )
    assert result.stdout.splitlines()[-2:] == ["1 of 2 published", "reports/index.html"]
    assert sorted(published(project / "reports")) == [
        "2026Q3/other/index.html", "2026Q3/other/manifest.json", "index.html",
    ]  # fmt: skip


def test_a_report_that_takes_too_long_is_ended_with_all_it_started(project: Path) -> None:
    cell = "import subprocess, time\nsubprocess.Popen(['sleep', '300'])\nprint('x')"
    notebook = write_notebook(project / "slow.ipynb", cell, "time.sleep(300)")
    # A busy machine may need seconds to start a kernel: the limit is far beyond that, the sleep far beyond the limit.
    run = own_process("run", "--notebook", str(notebook), "--timeout", "15", folder=project)
    said = run.communicate(timeout=200)[1]
    assert (run.returncode, said) == (
        1,
        "2026Q3/desk failed at execute: expected the report within 15 s (--timeout), "
        "found cell 4 ('time.sleep(300)') still running\n",
    )
    assert left_behind(project) == []


def test_nothing_is_left_of_a_run(project: Path) -> None:
    cells = ["import os, tempfile, subprocess\nsubprocess.Popen(['sleep', '60'])\nprint(os.getpid())", "1 / 0"]
    for notebook, status in ((write_notebook(project / "a.ipynb", cells[0]), 0),
                             (write_notebook(project / "b.ipynb", *cells), 1)):  # fmt: skip
        run = own_process("run", "--notebook", str(notebook), folder=project)
        said = run.communicate(timeout=60)[1]
        assert run.returncode == status, said
        assert left_behind(project) == []


@pytest.mark.parametrize("kind", ["fork", "spare"])
def test_where_kernels_come_from_changes_no_byte(warm: Launcher, project: Path, kind: str) -> None:
    assert call("run", "-w", "1").exit_code == 0
    run = own_process("run", "-w", "1", "--reports", kind, folder=project, SQMODEL_KERNELS=kind)
    said = run.communicate(timeout=120)[1]
    assert run.returncode == 0, said
    assert published(project / kind) == published(project / "reports")
    assert left_behind(project) == []
