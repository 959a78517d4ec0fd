"""Benchmarks of simulated institutions, made for the tests of their pages."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.benchmark.assess import assess_benchmark
from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.blind import blind_codes
from sqmodel.benchmark.comparison import Benchmark, Gate
from sqmodel.benchmark.profile import Profile, Register, load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.definitions import Text
from sqmodel.reporting.benchmark_page import BenchmarkPage
from sqmodel.reporting.benchmark_params import Version, load_benchmark_params, read_benchmark
from sqmodel.reporting.benchmark_versions import Whole, public_version

QUARTER = "2026Q3"
FILE = "public.json"


def gate_of(codes: list[str], verdict: str = "comparable", biased: tuple[str, ...] = ()) -> Gate:
    """A gate that says so, with a bias beyond the limit on some institutions."""
    bias = pd.Series([6.5 if c in biased else 0.1 for c in codes])
    frame = pd.DataFrame({"institution": codes, "observed": bias + 1.0, "bias": bias, "fair": 1.0, "se": 0.1,
                          "unseen": 1.0, "low": bias - 1.2, "high": bias + 1.2, "least": bias, "most": bias,
                          "ladder": np.nan, "finding": np.where(bias > 5, "beyond", "within")})  # fmt: skip
    items = pd.DataFrame(
        {"factor": ["EXP", "EXP"], "item": ["exp1", "exp2"], "kind": ["loading", "intercept"], "value": [1.0, 4.0],
         "noninvariant": [0.0, 0.12], "r2": [0.6, 0.4]}
    )  # fmt: skip
    reason = f"bias beyond 5 points lies on {', '.join(biased)}" if biased else "as the test says"
    left = pd.DataFrame({"institution": codes[:1], "reason": [f"{codes[0]}: 60 complete answers"]})
    return Gate(len(codes), 500 * len(codes), "alignment", verdict, reason, pd.DataFrame(), items,
                frame.assign(withheld=bias > 5), left, (f"{codes[0]} was left out",))  # fmt: skip


def named(register: Register) -> Register:
    """A register whose institutions have names that no other text holds."""
    members = tuple(
        m.model_copy(update={"title": Text(zh=f"真名银行{i:02d}号", en=f"Realname Bank {i:02d}")})
        for i, m in enumerate(register.members)
    )
    return register.model_copy(update={"members": members})


def whole(
    institutions: int = 24, *, codes: bool = False, verdict: str = "comparable", biased: int = 0, **options: Any
) -> Whole:
    """All that an association knows of simulated institutions."""
    found = _assessed(institutions, verdict, biased, tuple(sorted(options.items())))
    if not codes:
        return found
    profile = _changed(found.profile, "publication", names="codes")
    real = [m.code for m in found.register.members]
    return replace(found, profile=profile, blind=blind_codes(real, b"a secret of sixteen bytes or more"))


@functools.cache
def _assessed(institutions: int, verdict: str, biased: int, given: tuple[tuple[str, Any], ...]) -> Whole:
    """With names; what is published makes no difference to the comparison."""
    profile = load_profile("lending_association")
    options = {"respondents": 200, "quarters": ("2026Q2", QUARTER), "rng": 3} | dict(given)
    found = simulate_association(institutions, **options)
    register, names = named(found.register), [m.code for m in found.register.members]
    gate = gate_of(names, verdict, tuple(names[1 : 1 + biased]))
    rows = [(f"{s.institution}.zip", s.institution, s.quarter, 0, True, "") for s in found.submissions]
    rows.append((f"{names[0]}-late.zip", names[0], QUARTER, 1, False, f"{names[0]}: expected revision 2"))
    columns = ["file", "institution", "quarter", "revision", "accepted", "reason"]
    benchmark = assess_benchmark(found.submissions, profile, register, quarter=QUARTER, gate=gate, draws=300,
                                 receipts=pd.DataFrame(rows, columns=columns))  # fmt: skip
    return Whole(benchmark, profile, register, profile_tree(profile))


def _changed(profile: Profile, part: str, **values: Any) -> Profile:
    return profile.model_copy(update={part: getattr(profile, part).model_copy(update=values)})


def public_page(folder: Path, found: Whole, **changes: Any) -> BenchmarkPage:
    """The public's page, from the file that the command would write."""
    version = public_version(found)
    return page_of(folder, replace(version, benchmark=replace(version.benchmark, **changes)))


def page_of(folder: Path, version: Version) -> BenchmarkPage:
    """A page from its file."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_bytes(version.encode())
    params = load_benchmark_params({"quarter": QUARTER, "results": str(folder / FILE)})
    return BenchmarkPage(params, read_benchmark(params))


def multiplied(benchmark: Benchmark, times: int) -> dict[str, Any]:
    """The tables of a benchmark with so many times the institutions."""
    found: dict[str, Any] = {}
    for name in ("standing", "scopes", "indicators", "history"):
        table = getattr(benchmark, name)
        copies = [table.assign(institution=[f"{c}x{k}" for c in table["institution"]]) for k in range(times)]
        found[name] = pd.concat(copies, ignore_index=True)
    count = len(found["standing"])
    for column in ("rank", "best", "worst", "best_all", "worst_all"):
        found["standing"][column] *= times
    found["standing"]["adjusted"] += np.linspace(-0.2, 0.2, count)
    return found | {"institutions": count, "n": benchmark.n * times}
