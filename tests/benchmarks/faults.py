"""Is anything lost when things break? ``python -m tests.benchmarks.faults [--keep DIR] [--only NAME] [--seed N]``.

Real processes, real signals, real disks. Each fault begins with a published project and a forced run of it, breaks
something, and then asks: is every published page whole (its manifest's hashes hold), is none gone, is nothing left
running or lying about, and does the next run complete with the same bytes? For every fault a folder keeps what was on
disk before and after (paths and sha256), process ids, exit statuses, what the runs said and the logs, and
``summary.json`` keeps it all together. Exit status 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from sqmodel.errors import RunError
from sqmodel.reporting.manifest import damaged, digest_of, read_manifest
from tests.reporting.projects import QUARTERS, left_behind, make_project, published, write_notebook
from tests.reporting.workers import cluster

LINES = ("desk", "phone", "mail")
ALL = [f"{quarter}/{line}" for quarter in QUARTERS for line in LINES]
RANGE = f"{QUARTERS[0]}..{QUARTERS[-1]}"
KILLS = 10
PATIENCE = 30.0


@dataclasses.dataclass
class Case:
    """One fault: its project, and what happened."""

    name: str
    project: Path
    archive: Path
    random: random.Random
    events: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    first: dict[str, bytes] = dataclasses.field(default_factory=dict)

    @property
    def reports(self) -> Path:
        """The published pages."""
        return self.project / "reports"

    def note(self, what: str, **more: Any) -> None:
        """Put an event on record."""
        self.events.append({"what": what} | more)

    def expect(self, good: bool, what: str) -> None:
        """Put a problem on record unless all is well."""
        if not good:
            self.problems.append(what)

    def start(self, *arguments: str, force: bool = True, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """A run of everything, as a process of its own, its words in the archive."""
        (self.project / "tmp").mkdir(exist_ok=True)
        number = sum(e["what"] == "run" for e in self.events)
        command = [*prefix, sys.executable, "-m", "sqmodel", "run", "--notebook", "slow.ipynb", "-q", RANGE, "-w", "2",
                   *(["--force"] if force else []), *arguments]  # fmt: skip
        with (self.archive / f"{number}.out").open("wb") as out, (self.archive / f"{number}.err").open("wb") as err:
            run = subprocess.Popen(
                command, cwd=self.project, stdout=out, stderr=err,
                env=os.environ | {"TMPDIR": str(self.project / "tmp")},
            )  # fmt: skip
        self.note("run", number=number, pid=run.pid, arguments=list(arguments))
        return run

    def end(self, run: subprocess.Popen[bytes], *statuses: int) -> str:
        """Wait for a run; what it said on standard error."""
        try:
            status = run.wait(timeout=120)
        except subprocess.TimeoutExpired:
            run.kill()
            status = run.wait()
            self.problems.append(f"run {run.pid} did not end within 120 s")
        self.note("ended", pid=run.pid, status=status)
        self.expect(status in statuses, f"expected exit status {statuses}, found {status}")
        number = next(e["number"] for e in reversed(self.events) if e["what"] == "run" and e["pid"] == run.pid)
        return (self.archive / f"{number}.err").read_text(encoding="utf-8", errors="replace")

    def kill(self, pid: int, number: int = signal.SIGKILL, what: str = "runner") -> None:
        """Send a signal, on record."""
        self.note("signal", number=int(number), pid=pid, to=what)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def snapshot(self, label: str) -> None:
        """Paths and hashes of everything in the reports folder."""
        files = {str(p.relative_to(self.reports)): digest_of(p) for p in sorted(self.reports.rglob("*")) if p.is_file()}
        (self.archive / f"{label}.json").write_text(json.dumps(files, indent=1), encoding="utf-8")

    def check_pages(self, when: str) -> None:
        """Every page is there and whole: the old one or the new one."""
        for name in ALL:
            folder = self.reports / name
            try:
                problems = damaged(folder, read_manifest(folder))
            except RunError as error:
                problems = [str(error)]
            self.problems += [f"{when}: {p}" for p in problems]
        index = self.reports / "index.html"
        self.expect(index.is_file() and index.read_bytes().endswith(b"</html>"), f"{when}: the index is not whole")

    def check_left(self, when: str) -> None:
        """Nothing runs and nothing lies about, at the latest after some seconds."""
        until = time.monotonic() + PATIENCE
        while (left := left_behind(self.project)) and time.monotonic() < until:
            time.sleep(0.1)
        self.expect(not left, f"{when}: left behind {left}")

    def complete(self, *arguments: str, force: bool = True) -> None:
        """The next run completes, and its pages are those of the first."""
        self.end(self.start(*arguments, force=force), 0)
        self.check_pages("after the next run")
        self.expect(published(self.reports) == self.first, "after the next run: other bytes than at first")
        # A run that has nothing to make leaves the state folder alone.
        state = sorted(p.name for p in (self.reports / ".sqmodel").iterdir()) if force else []
        self.expect(not [n for n in state if n.startswith(("scratch", "tmp"))], f"left in the state folder: {state}")


def children(case: Case, run: subprocess.Popen[bytes], depth: int) -> list[psutil.Process]:
    """Wait for the fork server (depth 1) or its kernels (depth 2)."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and run.poll() is None:
        with contextlib.suppress(psutil.Error):
            servers = [p for p in psutil.Process(run.pid).children() if "kernels.server" in " ".join(p.cmdline())]
            found = servers if depth == 1 else [k for s in servers for k in s.children()]
            if found:
                return found
        time.sleep(0.02)
    case.problems.append("there was nothing to kill")
    return []


def kernel(case: Case) -> None:
    """Kill -9 of a kernel: its report fails and says why, the others are published."""
    run = case.start()
    for process in children(case, run, 2)[:1]:
        time.sleep(case.random.uniform(0.1, 0.5))
        case.kill(process.pid, what="kernel")
    said = case.end(run, 1)
    case.expect(said.count("failed at execute: the kernel died") == 1, f"expected one dead kernel, found: {said}")
    case.check_pages("after")
    case.check_left("after")


def fork_server(case: Case) -> None:
    """Kill -9 of the fork server: the reports at work fail, those to come get another server."""
    run = case.start()
    children(case, run, 2)
    for process in children(case, run, 1):
        case.kill(process.pid, what="fork server")
    said = case.end(run, 1)
    failed = said.count("failed at execute")
    case.expect(1 <= failed <= 2, f"expected at most the two reports at work to fail, found {failed}: {said}")
    case.check_pages("after")
    case.check_left("after")


def runner(case: Case) -> None:
    """Kill -9 of the runner, at moments all over a run."""
    start = time.monotonic()
    case.end(case.start(), 0)
    whole = time.monotonic() - start
    for moment in sorted(case.random.uniform(0.05, 1.0) * whole for _ in range(KILLS)):
        run = case.start()
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(moment)
        case.kill(run.pid)
        case.end(run, -signal.SIGKILL, 0)
        case.check_pages(f"killed after {moment:.2f} s")
        case.check_left(f"killed after {moment:.2f} s")
    case.complete(force=False)


def interrupted(case: Case) -> None:
    """Ctrl-C and SIGTERM: a clean end, with the status of the signal."""
    for number, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        run = case.start()
        children(case, run, 2)
        time.sleep(case.random.uniform(0.0, 1.0))
        case.kill(run.pid, number)
        said = case.end(run, status)
        case.expect(
            "what was published before is in place" in said, f"expected word of the interruption, found: {said}"
        )
        case.check_pages(f"after signal {number:d}")
        case.check_left(f"after signal {number:d}")


def worker(case: Case) -> None:
    """Kill -9 of one of two Dask workers at work: a try is lost, no report."""
    with cluster(case.project, 2) as own:
        run = case.start("--scheduler", own.address)
        until = time.monotonic() + PATIENCE
        at_work: list[psutil.Process] = []
        while not at_work and time.monotonic() < until:
            at_work = [k for s in psutil.Process(own.workers[0].pid).children() for k in s.children()]
            time.sleep(0.02)
        case.expect(bool(at_work), "the worker had nothing to do")
        case.kill(own.workers[0].pid, what="worker")
        case.end(run, 0)
        case.check_pages("after")
    # Files of a killed worker are its scheduler's affair; what it had started is not.
    shutil.rmtree(case.project / "tmp", ignore_errors=True)
    case.check_left("after")


def full_disk(case: Case) -> None:
    """No room while pages are published: those that fit are whole, the rest are as they were."""
    used = sum(p.stat().st_size for p in case.reports.rglob("*") if p.is_file())
    if os.geteuid() == 0 and _mounted(case, used):
        try:
            _filled(case)
        finally:
            subprocess.run(["umount", "-l", str(case.reports)], check=True)
    else:
        case.note("no file system could be mounted: a limit on the size of files instead")
        # Less than a page needs: none can be written.
        case.end(case.start(prefix=("prlimit", "--fsize=4000")), 1, 2)
        case.check_pages("full")
    case.check_left("full")


def _mounted(case: Case, used: int) -> bool:
    """Put the reports folder on a small file system of its own."""
    kept = case.project / "kept"
    shutil.copytree(case.reports, kept)
    room = used + 120_000
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={room}", "tmpfs", str(case.reports)], check=False)
    if done.returncode == 0:
        shutil.copytree(kept, case.reports, dirs_exist_ok=True)
    shutil.rmtree(kept)
    return done.returncode == 0


def _filled(case: Case) -> None:
    """From some room to none at all, and then enough again."""
    total = shutil.disk_usage(case.reports).free
    for room in (total, 40_000, 16_000, 0):
        ballast = case.reports / "ballast"
        ballast.unlink(missing_ok=True)
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            file.write(b"0" * max(0, shutil.disk_usage(case.reports).free - room))
        case.note("room", bytes=shutil.disk_usage(case.reports).free)
        said = case.end(case.start(), 0, 1, 2)
        case.expect("Traceback" not in said, f"{room} bytes: a traceback: {said[-500:]}")
        case.check_pages(f"{room} bytes of room")
    ballast.unlink(missing_ok=True)
    subprocess.run(["mount", "-o", "remount,size=50m", str(case.reports)], check=True)
    case.complete()


def corrupted(case: Case) -> None:
    """Damage to whatever a run relies on: it is noticed, and made good again."""
    spoiled = {
        f"{ALL[0]}/manifest.json": b'{"schema": "sqmodel.mani',
        f"{ALL[1]}/index.html": b"<html>edited",
        f"{ALL[2]}/index.html": None,
        f"{ALL[3]}/manifest.json": None,
        f"{ALL[4]}/manifest.json": b"[]",
        ".sqmodel/index.json": b"\xff\x00{",
        ".sqmodel/lock": b"\xff" * 5000,
        f".sqmodel/failures/{ALL[5]}.json": b"{",
        "index.html": b"",
    }
    for name, content in spoiled.items():
        path = case.reports / name
        case.note("spoiled", path=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)
    said = case.end(case.start(force=False), 0)
    case.expect("Traceback" not in said, f"a traceback: {said[-500:]}")
    case.check_pages("after")
    case.check_left("after")


def clock(case: Case) -> None:
    """Times of files in the past and in the future: what is unchanged stays unchanged."""
    before = published(case.reports)
    for when in (0, 86_400 * 365, 4_000_000_000):
        for path in case.project.rglob("*"):
            if path.is_file() and not path.is_relative_to(case.project / "tmp"):
                os.utime(path, (when, when))
        case.note("times set", seconds=when)
        run = case.start(force=False)
        case.end(run, 0)
        out = (case.archive / f"{sum(e['what'] == 'run' for e in case.events) - 1}.out").read_text(encoding="utf-8")
        case.expect(f"{len(ALL)} of {len(ALL)} published, all unchanged" in out, f"something was made again: {out}")
        case.expect(published(case.reports) == before, "other bytes")
    case.check_left("after")


def two_runs(case: Case) -> None:
    """Two runs at once in one folder: the second says who holds it and touches nothing."""
    one = case.start()
    children(case, one, 2)
    said = case.end(case.start(), 2)
    case.expect(f"process {one.pid} on " in said, f"expected the holder's name, found: {said}")
    case.end(one, 0)
    case.check_pages("after")
    case.check_left("after")


FAULTS: dict[str, Callable[[Case], None]] = {
    "kernel": kernel, "fork_server": fork_server, "runner": runner, "interrupted": interrupted, "worker": worker,
    "full_disk": full_disk, "corrupted": corrupted, "clock": clock, "two_runs": two_runs,
}  # fmt: skip


def prepare(folder: Path) -> Case:
    """A project, published once."""
    project = make_project(folder / "project", LINES)
    write_notebook(project / "slow.ipynb", "import time\ntime.sleep(0.4)\nprint(business_line, quarter)")
    archive = folder / "first"
    archive.mkdir()
    case = Case("first", project, archive, random.Random(0))
    case.end(case.start(), 0)
    case.check_pages("at first")
    case.first = published(case.reports)
    return case


def suffer(name: str, first: Case, archive: Path, seed: int) -> Case:
    """One fault, in the project as the one before left it: the runs agree on every byte."""
    archive.mkdir(parents=True)
    case = Case(name, first.project, archive, random.Random(f"{seed} {name}"), first=first.first)
    case.snapshot("before")
    try:
        FAULTS[name](case)
        case.snapshot("after")
        case.complete()
        case.check_left("after the next run")
    except Exception as error:
        case.problems.append(f"{type(error).__name__}: {error}")
    case.snapshot("end")
    if (case.reports / "logs").is_dir():
        shutil.copytree(case.reports / "logs", archive / "logs")
    return case


def main() -> int:
    """All faults, a line for each, and a summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=Path, help="Folder of the archives; it must not exist.")
    parser.add_argument("--only", action="append", choices=list(FAULTS), help="This fault only; may be repeated.")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        keep = arguments.keep or Path(scratch) / "archive"
        keep.mkdir(parents=True)
        first = prepare(Path(scratch))
        cases = []
        for name in arguments.only or FAULTS:
            start = time.monotonic()
            case = suffer(name, first, keep / name, arguments.seed)
            cases.append(case)
            state = "LOST" if case.problems else "nothing lost"
            print(f"{name:<12} {state}  {time.monotonic() - start:.0f} s", flush=True)
            for problem in case.problems:
                print(f"    {problem}", flush=True)
        cases.insert(0, first)
        summary = [{"fault": c.name, "problems": c.problems, "events": c.events, "seed": arguments.seed} for c in cases]
        (keep / "summary.json").write_text(json.dumps(summary, indent=1), encoding="utf-8")
    return 1 if any(c.problems for c in cases) else 0


if __name__ == "__main__":
    raise SystemExit(main())
