"""What a replicate of an index costs with every choice varied, and what thousands of them do.

Run as ``python -m tests.benchmarks.composite [--json]``. Three runs, each in a process of its own that tells its peak
memory: the ASEM index of COINr (51 units, 49 indicators) with imputation, outliers, normalisation, weights, aggregation
and dropped indicators varied and errors drawn, 10,000 replicates; the whole `assess_uncertainty` of it, with rank sets
and the factors' shares; and 1,000 units with 60 indicators, 1,000 replicates, with rank sets. COINr 1.1.14 takes .068 s
a replicate of the ASEM index, measured through its ``get_sensitivity`` on a machine of two cores; it is not run here.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.index.alternatives import Alternatives
from sqmodel.index.composite import Arrangement
from sqmodel.index.samples import ErrorSample
from sqmodel.index.tree import IndexTree, Node
from sqmodel.index.uncertainty import assess_uncertainty
from tests.benchmarks.process_mining import peak_kb
from tests.index.test_composite import asem_file, asem_tree

COINR = 0.068
"""Seconds a replicate."""
TARGETS = {"ratio": 100.0, "asem": 10.0, "large": 60.0, "gigabytes": 4.0}
REPLICATES = 10_000


def asem(whole: bool) -> dict[str, float]:
    """The ASEM index: the replicates alone, or all that is said of it."""
    tree, data = asem_tree(), asem_file("idata")
    own = data[list(tree.indicators)]
    others = Alternatives(
        impute=("group_median",), treat=(1, 2, 3, 4), normalise=(("z_score", (20.0, 2.0)),), aggregate=("geometric",),
        noise=0.25, drop=tree.indicators,
    )  # fmt: skip
    options: dict[str, Any] = {
        "arrangement": Arrangement(impute="group_mean", scale=(1, 100)), "groups": "EurAsia_group",
        "alternatives": others, "samples": [ErrorSample("errors", own, own.notna() * own.std() * 0.05)], "rng": 1,
    }  # fmt: skip
    if whole:
        return timed(lambda: assess_uncertainty(data, tree, draws=REPLICATES, **options))
    from sqmodel.index.composite import build_composite
    from sqmodel.index.replicates import Design
    from sqmodel.index.uncertainty import EVERYTHING, _replicates

    def replicates() -> Any:
        how, groups = options["arrangement"], options["groups"]
        composite = build_composite(data, tree, arrangement=how, groups=groups)
        design = Design.of(composite, data, tree, how, others, groups, options["samples"], None)
        return _replicates(design, EVERYTHING, REPLICATES, np.random.default_rng(1))

    return timed(replicates)


def large(units: int = 1000, indicators: int = 60, draws: int = 1000) -> dict[str, float]:
    """Many units, with rank sets; what each factor does is not asked."""
    rng = np.random.default_rng(1)
    branches = [Node(code=f"D{d}", parent="I") for d in range(6)]
    leaves = [Node(code=f"x{j}", parent=f"D{j % 6}", direction=-1 if j % 7 == 0 else 1) for j in range(indicators)]
    tree = IndexTree(name="large", nodes=(Node(code="I"), *branches, *leaves))
    quality = rng.normal(size=(units, 1))
    values = np.exp(0.3 * (quality + rng.normal(size=(units, indicators))))
    data = pd.DataFrame(values, index=[f"u{k}" for k in range(units)], columns=list(tree.indicators))
    others = Alternatives(treat=(None, 3), normalise=(("z_score", (50.0, 3.0)), ("rank", None)),
                          aggregate=("geometric",), noise=0.25, drop=tree.indicators)  # fmt: skip
    errors = ErrorSample("errors", data, data * 0 + 0.05)
    return timed(lambda: assess_uncertainty(
        data, tree, arrangement=Arrangement(scale=(1, 100)), alternatives=others, samples=[errors], draws=draws,
        evaluations=0, rng=1,
    ))  # fmt: skip


def timed(make: Any) -> dict[str, float]:
    """Seconds of one call."""
    start = time.perf_counter()
    make()
    return {"seconds": time.perf_counter() - start}


RUNS = {"replicates": lambda: asem(False), "asem": lambda: asem(True), "large": large}


def measure() -> dict[str, Any]:
    """Each run in its own process."""
    found = {}
    for name in RUNS:
        command = [sys.executable, "-m", "tests.benchmarks.composite", "--run", name]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[name] = json.loads(done.stdout)
    each = found["replicates"]["seconds"] / REPLICATES
    return found | {"a_replicate": each, "ratio": COINR / each}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--run", choices=list(RUNS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(RUNS[arguments.run]() | {"gigabytes": peak_kb() / 1e6}))
        return
    found = measure()
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"a replicate of the ASEM index, all choices varied: {1000 * found['a_replicate']:.3f} ms, "
        f"{found['ratio']:.0f}x faster than COINr's {1000 * COINR:.0f} ms (target {TARGETS['ratio']:.0f}x)"
    )
    names = {"replicates": f"{REPLICATES:,} replicates", "asem": "all that is said of the ASEM index",
             "large": "1,000 units x 60 indicators x 1,000 replicates"}  # fmt: skip
    bounds = {"replicates": TARGETS["asem"], "large": TARGETS["large"]}
    for name, told in names.items():
        target = f" (target {bounds[name]:.0f} s, {TARGETS['gigabytes']:.0f} GB)" if name in bounds else ""
        print(f"{told}: {found[name]['seconds']:.1f} s, {found[name]['gigabytes']:.2f} GB{target}")


if __name__ == "__main__":
    main()
