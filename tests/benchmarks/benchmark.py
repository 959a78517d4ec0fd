"""What the benchmark of 10, 100 and 1,000 institutions costs, three quarters of 500 respondents and 26 items each.

Run as ``python -m tests.benchmarks.benchmark [--institutions 10 100 1000] [--ordinal]``. Simulated institutions send
signed packages, which is not timed. Each number of institutions is then benchmarked in a process of its own: the
packages are checked (`read_submissions`), the last quarter's moments are pooled and aligned (`assess_gate`), ranks are
assessed (`assess_benchmark`), and `sqmodel benchmark` publishes the public report from the folder on, with all these
steps again. With ``--ordinal`` every package of the last quarter carries thresholds, polychoric correlations and their
covariance (simulated once and sent by all: only time and memory are looked at), which are read and pooled one after
another. It fails where the command takes more than 3 minutes, anything more than 4 GB, or ten times as many
institutions more than 15 times as long; with ``--ordinal`` also where the statistics are held rather than streamed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml

from sqmodel.benchmark.profile import load_profile, load_register
from tests.benchmarks.process_mining import peak_kb

QUARTERS = ("2026Q1", "2026Q2", "2026Q3")
TARGETS = {"seconds": 180.0, "gigabytes": 4.0, "tenfold": 15.0, "held": 100.0}
"""`held`: MB that reading ordinal statistics may add at the most; those of 100 institutions held would be 180 MB."""
STEPS = ("check", "gate", "rank", "command")
RESPONDENTS = 500


def prepare(folder: Path, institutions: int, ordinal: bool) -> None:
    """Packages in ``inbox``, the register and the profile."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from sqmodel.benchmark.package import write_package
    from sqmodel.benchmark.signing import public_hex
    from sqmodel.benchmark.simulate import simulate_association, simulate_submissions

    private = {f"I{k:0{len(str(institutions))}d}": Ed25519PrivateKey.generate() for k in range(1, institutions + 1)}
    keys = {code: public_hex(key) for code, key in private.items()}
    found = simulate_association(
        institutions, quarters=QUARTERS, respondents=RESPONDENTS, noninvariant=institutions // 20, keys=keys, rng=7
    )
    one = simulate_submissions(1, respondents=RESPONDENTS, ordinal=True, rng=8)[0] if ordinal else None
    (folder / "inbox").mkdir(parents=True)
    for own in found.submissions:
        if one is not None and own.quarter == QUARTERS[-1]:
            own = replace(one, institution=own.institution, quarter=own.quarter, simulated=True)
        write_package(own, private[own.institution], folder / "inbox" / f"{own.institution}-{own.quarter}.zip")
    _yaml(folder / "register.yaml", found.register.model_dump(mode="json", exclude_defaults=True))
    _yaml(folder / "profile.yaml", load_profile("lending_association").model_dump(mode="json") | {"ordinal": ordinal})


def _yaml(path: Path, content: Any) -> None:
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")


def steps(folder: Path) -> dict[str, float]:
    """Seconds of each step but publishing, and the memory of this process at the most."""
    from sqmodel.benchmark.assess import assess_benchmark
    from sqmodel.benchmark.intake import read_submissions
    from sqmodel.benchmark.pooling_gate import assess_gate
    from sqmodel.survey.instrument import load_instrument

    profile, register = load_profile(folder / "profile.yaml"), load_register(folder / "register.yaml")
    found: dict[str, float] = {}
    intake = timed(found, "check", lambda: read_submissions(folder / "inbox", register, profile, quarter=QUARTERS[-1]))
    now = [s for s in intake.submissions if s.quarter == QUARTERS[-1]]
    if len(now) != len(register.members):
        raise SystemExit(f"expected {len(register.members)} submissions accepted, found {len(now)}: {intake.receipts}")
    instrument = load_instrument(profile.instrument)
    scales = {i: (float(s.minimum), float(s.maximum)) for i in instrument.item_codes if (s := instrument.scale_of(i))}
    ordinals = watched(intake.ordinals(QUARTERS[-1]), found) if profile.ordinal else None
    structure = instrument.structure()
    gate = timed(found, "gate", lambda: assess_gate(now, structure, profile, scales=scales, ordinals=ordinals))
    timed(found, "rank", lambda: assess_benchmark(
        intake.submissions, profile, register, quarter=QUARTERS[-1], receipts=intake.receipts, gate=gate
    ))  # fmt: skip
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    # Two processes at the most read packages.
    return found | {"gigabytes": (peak_kb() + 2 * children) / 1e6}


def watched(ordinals: Iterable[Any], found: dict[str, float]) -> Iterator[Any]:
    """The same one by one, and by how much the memory of this process grew from the first few to the last."""
    few, start = 5, 0.0
    for k, own in enumerate(ordinals):
        status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
        now = next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1e3
        start = now if k <= few else start
        found["held_megabytes"] = max(found.get("held_megabytes", 0.0), now - start)
        yield own


def timed(found: dict[str, float], name: str, do: Callable[[], Any]) -> Any:
    """Do something and note how long it took."""
    started = time.perf_counter()
    result = do()
    found[name] = time.perf_counter() - started
    return result


def command(folder: Path) -> dict[str, float]:
    """Seconds and memory of the command that publishes the public report."""
    arguments = [sys.executable, "-m", "sqmodel", "benchmark", folder / "inbox", "--quarter", QUARTERS[-1], "--profile",
                 folder / "profile.yaml", "--register", folder / "register.yaml", "--reports", folder / "reports",
                 "--no-confidential"]  # fmt: skip
    started = time.perf_counter()
    done = subprocess.run([*map(str, arguments)], capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(f"sqmodel benchmark failed with status {done.returncode}\n{done.stdout}{done.stderr}")
    # The largest of its processes; no more than two of them are at work.
    return {"command": seconds, "command_gigabytes": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6}


def measure(institutions: int, ordinal: bool) -> dict[str, float]:
    """All figures of a number of institutions, each part in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "association"
        prepare(folder, institutions, ordinal)
        found: dict[str, float] = {"institutions": institutions}
        for part in ("steps", "command"):
            done = subprocess.run(
                [sys.executable, "-m", "tests.benchmarks.benchmark", "--part", part, "--folder", str(folder)],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise SystemExit(done.stderr or done.stdout)
            found |= json.loads(done.stdout.splitlines()[-1])
    return found


def failures(rows: list[dict[str, float]]) -> Iterator[str]:
    """What is beyond its target."""
    for row in rows:
        n = f"{row['institutions']:,.0f} institutions"
        if row["command"] > TARGETS["seconds"]:
            yield f"{n}: expected {TARGETS['seconds']:.0f} s or less, found {row['command']:.0f} s"
        most = max(row["gigabytes"], row["command_gigabytes"])
        if row.get("held_megabytes", 0.0) > TARGETS["held"]:
            yield f"{n}: expected ordinal statistics to be streamed, found {row['held_megabytes']:.0f} MB held"
        if most > TARGETS["gigabytes"]:
            yield f"{n}: expected {TARGETS['gigabytes']:.0f} GB or less, found {most:.1f} GB"
    for few, many in pairwise(rows):
        if many["institutions"] != 10 * few["institutions"]:
            continue
        ratio, told = many["command"] / few["command"], f"{many['institutions']:,.0f} institutions"
        if ratio > TARGETS["tenfold"]:
            yield f"{told}: expected {TARGETS['tenfold']:.0f} times the time of a tenth or less, found {ratio:.1f}"


def main() -> int:
    """Run everything and say how it compares with the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--institutions", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--ordinal", action="store_true")
    parser.add_argument("--part", choices=("steps", "command"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        print(json.dumps((steps if given.part == "steps" else command)(given.folder)))
        return 0
    print("institutions  " + "  ".join(f"{s:>8}" for s in STEPS) + "   x tenth  GB (steps, command)")
    rows: list[dict[str, float]] = []
    for institutions in sorted(given.institutions):
        row = measure(institutions, given.ordinal)
        tenth = next((r["command"] for r in rows if 10 * r["institutions"] == institutions), None)
        ratio = "" if tenth is None else f"{row['command'] / tenth:.1f}"
        times = "  ".join(f"{row[s]:7.1f}s" for s in STEPS)
        print(
            f"{institutions:>12,}  {times}  {ratio:>8}  {row['gigabytes']:.2f}, {row['command_gigabytes']:.2f}",
            flush=True,
        )
        rows.append(row)
    found = list(failures(rows))
    print("\n".join(found) or "all within their targets")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
