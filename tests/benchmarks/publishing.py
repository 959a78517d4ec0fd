"""Twelve reports: ``sqmodel run`` against papermill and nbconvert one after another, in the same run on two cores.

``python -m tests.benchmarks.publishing [--records]``; with ``--records`` reports also tell what the lender did. Both
execute the project's own notebook on twelve lines' data and must publish the same bytes. What is not the cells' own
computing is wall time less the cells' processor time over two cores; that time is taken inside every kernel by the same
hook. A third run finds everything unchanged.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

from sqmodel.reporting.kernels.manager import ONE_THREAD
from sqmodel.reporting.sources import RECORDS

ROOT = Path(__file__).parents[2]
LINES = 12
QUARTER = "2026Q3"
FASTER, LEANER, UNCHANGED = 2.5, 4.0, 20.0

HOOK = """
import os, time
_spent = [0.0, 0.0]
def _before(*_): _spent[0] = time.process_time()
def _after(*_):
    _spent[1] += time.process_time() - _spent[0]
    with open(os.path.join(os.environ["CELL_CPU"], str(os.getpid())), "w") as file:
        file.write(str(_spent[1]))
get_ipython().events.register("pre_run_cell", _before)
get_ipython().events.register("post_run_cell", _after)
"""
BASELINE = """
import pathlib, sys
import papermill, yaml
from sqmodel.reporting.publish import SqReportExporter
project, target = map(pathlib.Path, sys.argv[1:])
for params in sorted(project.glob("params/*.yaml")):
    given = yaml.safe_load(params.read_text())
    folder = target / given["quarter"] / given["business_line"]
    folder.mkdir(parents=True)
    notebook, executed = project / "notebooks/business_line.ipynb", folder / "executed.ipynb"
    executed = papermill.execute_notebook(str(notebook), str(executed),
        parameters=given, cwd=str(project), progress_bar=False, kernel_name="python3")
    page, resources = SqReportExporter().from_notebook_node(executed)
    (folder / "index.html").write_text(page, encoding="utf-8")
    for name, content in resources["outputs"].items():
        (folder / name).write_bytes(content)
"""


def make_project(folder: Path, records: bool) -> None:
    """Twelve lines on the demonstration data of two; with `records`, on what the lender did as well."""
    (folder / "params" / "data").mkdir(parents=True)
    (folder / "notebooks").mkdir()
    shutil.copyfile(ROOT / "notebooks" / "business_line.ipynb", folder / "notebooks" / "business_line.ipynb")
    subprocess.run([sys.executable, "-m", "sqmodel", "demo", str(folder / "demo")], check=True, capture_output=True)
    sources = sorted(p for p in (folder / "demo").glob("*.csv") if "." not in p.stem)
    for i in range(LINES):
        name, source = f"line_{i + 1:02d}", sources[i % len(sources)]
        shutil.copyfile(source, folder / "params" / "data" / f"{name}.csv")
        content = {
            "business_line": name, "quarter": QUARTER, "instrument": "lending_service", "simulated": True,
            "responses": f"params/data/{name}.csv", "weighting": "allocation", "seed": 20260930,
        }  # fmt: skip
        if records:
            content |= {key: f"demo/{source.stem}.{key}.csv" for key in RECORDS}
        (folder / "params" / f"{name}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")


def timed(command: list[str], project: Path, scratch: Path, name: str) -> tuple[float, float]:
    """Wall time of a command and processor time of all cells that ran in it, in seconds."""
    cpu, profile = scratch / f"cpu-{name}", scratch / "ipython" / "profile_default" / "startup"
    cpu.mkdir()
    profile.mkdir(parents=True, exist_ok=True)
    (profile / "00-cpu.py").write_text(HOOK, encoding="utf-8")
    env = os.environ | ONE_THREAD | {"CELL_CPU": str(cpu), "IPYTHONDIR": str(scratch / "ipython")}
    start = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)
    wall = time.perf_counter() - start
    if done.returncode:
        sys.exit(f"{name} failed: {done.stdout}\n{done.stderr}")
    return wall, sum(float(p.read_text()) for p in cpu.iterdir())


def main() -> None:
    """Run all, compare bytes, print the ratios."""
    with tempfile.TemporaryDirectory() as scratch_:
        scratch = Path(scratch_)
        project, ours, theirs = scratch / "project", scratch / "ours", scratch / "theirs"
        make_project(project, "--records" in sys.argv[1:])
        run = [sys.executable, "-m", "sqmodel", "run", "--reports", str(ours)]
        peer = [sys.executable, "-c", BASELINE, str(project), str(theirs)]
        wall, cells = timed(run, project, scratch, "sqmodel")
        again, _ = timed(run, project, scratch, "unchanged")
        wall_peer, cells_peer = timed(peer, project, scratch, "peer")
        compare_bytes(ours, theirs)
    rest, rest_peer = wall - cells / 2, wall_peer - cells_peer / 2
    print(f"papermill + nbconvert  {wall_peer:6.1f} s, cells {cells_peer:5.1f} s of processor, rest {rest_peer:5.1f} s")
    print(f"sqmodel run            {wall:6.1f} s, cells {cells:5.1f} s of processor, rest {rest:5.1f} s")
    print(f"unchanged              {again:6.2f} s")
    print(f"faster                 {wall_peer / wall:6.1f}x (at least {FASTER})")
    print(f"rest smaller           {rest_peer / rest:6.1f}x (at least {LEANER})")
    print(f"unchanged faster       {wall / again:6.1f}x (at least {UNCHANGED})")
    met = wall_peer / wall >= FASTER and rest_peer / rest >= LEANER and wall / again >= UNCHANGED
    sys.exit(0 if met else 1)


def compare_bytes(ours: Path, theirs: Path) -> None:
    """Both published the same pages, records and workbooks."""
    count = 0
    for path in sorted(theirs.glob("*/*/*")):
        if path.name != "executed.ipynb":
            own = ours / path.relative_to(theirs)
            count += 1
            if own.read_bytes() != path.read_bytes():
                sys.exit(f"{path.relative_to(theirs)}: expected the same bytes from both, found others")
    manifest = json.loads((ours / QUARTER / "line_01" / "manifest.json").read_text(encoding="utf-8"))
    print(f"{count} files of {LINES} reports are the same bytes from both (numpy {manifest['versions']['numpy']})")


if __name__ == "__main__":
    main()
