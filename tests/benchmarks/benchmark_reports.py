"""How long do a hundred confidential reports take, and the public report for a thousand institutions?

    python -m tests.benchmarks.benchmark_reports [--institutions 100] [--public 1000] [--workers 3]

The comparison is made before the clock starts; what is timed is cutting the versions and making the reports.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from pathlib import Path

import pandas as pd

from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.blind import blind_codes
from sqmodel.benchmark.intake import Intake
from sqmodel.benchmark.profile import load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.reporting import benchmark_run
from sqmodel.reporting.benchmark_inputs import Compared, Plan, private_folder, versions_of
from sqmodel.reporting.benchmark_run import BenchmarkSettings, make_benchmark
from sqmodel.reporting.benchmark_versions import Whole
from sqmodel.reporting.kernels.manager import kernels


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--institutions", type=int, default=100)
    parser.add_argument("--public", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=3)
    given = parser.parse_args()
    with kernels(ahead=given.workers):
        measure(given.institutions, BenchmarkSettings(workers=given.workers), f"{given.institutions} confidential")
        alone = BenchmarkSettings(workers=given.workers, confidential=False)
        measure(given.public, alone, f"public, {given.public} institutions")


def measure(institutions: int, settings: BenchmarkSettings, name: str) -> None:
    """Time versions and reports of simulated institutions."""
    with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
        reports, quarter = Path("reports"), "2026Q3"
        made = simulate_association(institutions, quarters=("2026Q2", quarter), respondents=500, rng=1)
        profile, register = load_profile("lending_association"), made.register
        receipts = pd.DataFrame(
            [(f"{s.institution}.zip", s.institution, s.quarter, 0, True, "") for s in made.submissions],
            columns=["file", "institution", "quarter", "revision", "accepted", "reason"],
        )  # fmt: skip
        begun = time.perf_counter()
        found = assess_benchmark(made.submissions, profile, register, quarter=quarter, receipts=receipts, draws=1000)
        assessed = time.perf_counter() - begun
        codes = blind_codes([m.code for m in register.members], b"a secret of sixteen bytes or more")
        plan = Plan(Path("in"), quarter, profile, register, profile_tree(profile), Path(place), codes)
        cut = 0.0

        def compare(*arguments: object, **options: object) -> Compared:
            nonlocal cut
            begun = time.perf_counter()
            intake = Intake(quarter, made.submissions, receipts)
            versions = versions_of(
                Whole(found, profile, register, plan.tree, codes), private_folder(reports, quarter), Path(place),
                confidential=settings.confidential,
            )  # fmt: skip
            cut = time.perf_counter() - begun
            return Compared(found, intake, versions)

        benchmark_run.compare = compare  # type: ignore[assignment]
        begun = time.perf_counter()
        outcomes = make_benchmark(plan, reports, settings=settings)
        taken = time.perf_counter() - begun
        failed = [o for o in outcomes if not o.published]
        sizes = [(o.folder / "index.html").stat().st_size for o in outcomes if o.folder]
        print(f"{name}: {len(outcomes)} reports in {taken:.1f} s (versions {cut:.1f} s), {len(failed)} failed")
        print(f"  largest page {max(sizes) / 1000:.0f} kB; the comparison took {assessed:.1f} s before")
        for outcome in failed[:3]:
            print(f"  {outcome.name} failed at {outcome.step}: {outcome.cause}")


if __name__ == "__main__":
    main()
