"""Reports and computations on a Dask cluster: the same bytes and numbers as here, whatever becomes of a worker."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest

from sqmodel import compute
from sqmodel.errors import RunError
from sqmodel.reporting.kernels.launchers import Launcher
from tests.reporting.projects import call, own_process, published, write_notebook, write_params
from tests.reporting.workers import Cluster, cluster

pytest.importorskip("distributed")
pytestmark = pytest.mark.xdist_group("publisher")


def norm(seed: int) -> tuple[float, float]:
    """A number that depends on its item alone, and one that another order of sums would change."""
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((60, 60))
    return float(rng.random()), float(np.linalg.svd(matrix @ matrix.T, compute_uv=False)[-1])


def fail(number: int) -> int:
    if number == 3:
        raise ValueError("three")
    return number


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), 2) as found:
        yield found


def test_reports_made_there_are_the_same_bytes(two: Cluster, warm: Launcher, released: Path) -> None:
    result = call("run", "-q", "2026Q2..2026Q3", "--reports", "there", "--scheduler", two.address)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-2:] == ["2 of 2 published", "there/index.html"]
    assert published(released / "there") == published(released / "reports")


def test_a_report_that_fails_there_says_why(two: Cluster, project: Path) -> None:
    bad = write_notebook(project / "bad.ipynb", "1 / 0")
    result = call("run", "--notebook", str(bad), "--scheduler", two.address)
    assert (result.exit_code, result.stderr) == (
        1,
        "2026Q3/desk failed at execute: ZeroDivisionError: division by zero\n",
    )


def test_a_map_gives_the_same_numbers_everywhere(two: Cluster) -> None:
    here = [norm(seed) for seed in range(12)]
    for place in ("here", 2, two.address):
        with compute.on(place):
            assert compute.map(norm, range(12)) == here, place
    for place in ("here", two.address):
        with compute.on(place), pytest.raises(ValueError, match=r"^three$"):
            compute.map(fail, range(6))


def test_no_scheduler_and_no_workers_are_named_before_anything_runs(project: Path) -> None:
    nobody = "tcp://127.0.0.1:1"
    with pytest.raises(RunError) as caught:
        compute.connect("nonsense://x")
    assert str(caught.value).startswith("expected a Dask scheduler at nonsense://x, found: ")
    with cluster(project, 0) as idle:
        run = own_process("run", "--notebook", "cheap.ipynb", "--scheduler", nobody, folder=project)
        result = call("run", "--notebook", "cheap.ipynb", "--scheduler", idle.address)
        assert (result.exit_code, result.stderr) == (
            2,
            f"expected workers at the scheduler {idle.address}, found none; start some; nothing was run\n",
        )
        err = run.communicate(timeout=60)[1]
    assert (run.returncode, err) == (
        2,
        f"expected a Dask scheduler at {nobody}, found: Timed out trying to connect to {nobody} after 10 s; "
        "nothing was run\n",
    )
    assert not list((project / "reports").glob("2026*"))


def test_a_worker_that_dies_half_way_costs_a_try_and_no_report(two: Cluster, project: Path) -> None:
    """The last one: it leaves one worker."""
    for line in ("a", "b", "c"):
        write_params(project, line, responses="params/data/desk.csv")
    begun = project / "begun"
    begun.mkdir()
    cell = f"import os, time\nopen(f'{begun}/{{os.getpid()}}', 'w').close()\ntime.sleep(3)"
    notebook = write_notebook(project / "slow.ipynb", cell)
    run = own_process("run", "--notebook", str(notebook), "--scheduler", two.address, folder=project)
    until = time.monotonic() + 60
    while not list(begun.iterdir()) and time.monotonic() < until:
        time.sleep(0.05)
    kernel = psutil.Process(int(next(begun.iterdir()).name))
    above = [p.pid for p in kernel.parents()]
    (victim,) = [w for w in two.workers if w.pid in above]
    os.kill(victim.pid, signal.SIGKILL)
    out, err = run.communicate(timeout=120)
    assert (run.returncode, err) == (0, ""), out
    assert len(list(begun.iterdir())) > 4
    assert out.splitlines()[-2:] == ["4 of 4 published", "reports/index.html"]
    assert len(list((project / "reports" / "2026Q3").iterdir())) == 4
    # What the dead worker had started ended with it.
    assert not kernel.is_running() or kernel.status() == psutil.STATUS_ZOMBIE
