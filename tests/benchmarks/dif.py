"""Does item bias (DIF) get found, and how often does an item without any look biased?

Run as ``python -m tests.benchmarks.dif [--replications 100] [--processes 2] [--json]``. Two groups answer ten
five-point items of unequal slopes; the second group's latent mean is lower by the impact, which is no bias. In half of
the surveys three items are biased in the second group: one has higher thresholds (uniform); one a smaller slope, its
intercepts what they were (crossing: the non-uniform bias of Swaminathan & Rogers 1990); one a smaller slope, its
thresholds what they were (spread). Alarms are p values below .05 for each item, without adjustment for their number.
`screen_items` by theta may raise at most 7 % where nothing is planted, purified or not; where something is,
purification must keep that, while without it the biased items bias the standing and with it everything else. For
comparison: without the test of spread, the other matchings, and `screen_items` as it comes (Holm, and the effect at
least moderate).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import warnings
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.measurement.items import screen_items

ITEMS, POINTS, SIZES = 10, 5, (400, 600)
IMPACTS = (0.0, 0.5, 1.0)
PLANTED = {"uniform": 3, "crossing": 6, "spread": 5}
"""Items that are biased where bias is planted."""
HARDER, WEAKER = 0.35, 0.6
"""Thresholds of the uniform item move by so many standard deviations; the slopes of the others are multiplied."""
LEVEL, MOST = 0.95, 0.07
BARE = {"criterion": "significance", "adjust": "none"}
VARIANTS: dict[str, dict[str, Any]] = {
    "theta, purified": {**BARE, "purify": True},
    "theta": {**BARE, "purify": False},
    "without spread": {**BARE, "purify": True, "spread": False},
    "total": {**BARE, "purify": False, "matching": "total"},
    "rest": {**BARE, "purify": False, "matching": "rest"},
    "as it comes": {},
}


def survey(planted: bool, impact: float, rng: np.random.Generator) -> pd.DataFrame:
    """Answers 1 to 5 and the group of every respondent."""
    slopes = np.array([1.0, 2.2, 1.4, 1.6, 0.8, 1.9, 1.7, 1.2, 2.0, 1.5])
    thresholds = np.linspace(-0.6, 0.6, ITEMS)[[5, 0, 8, 3, 9, 1, 4, 7, 2, 6], None] + np.linspace(
        -1.5, 1.5, POINTS - 1
    )
    answers = []
    for group, size in enumerate(SIZES):
        a, b = slopes.copy(), thresholds.copy()
        if planted and group:
            b[PLANTED["uniform"]] += HARDER
            a[[PLANTED["crossing"], PLANTED["spread"]]] *= WEAKER
            b[PLANTED["crossing"]] /= WEAKER
        trait = rng.normal(-impact * group, 1, size=(size, 1))
        latent = a * trait + rng.logistic(size=(size, ITEMS))
        answers.append(1 + (latent[:, :, None] > a[:, None] * b).sum(axis=2))
    frame = pd.DataFrame(np.vstack(answers), columns=[f"i{j}" for j in range(ITEMS)])
    return frame.assign(group=np.repeat(["first", "second"], SIZES))


def replicate(task: tuple[bool, float, str, int]) -> dict[str, Any]:
    """Alarms of one survey by one variant."""
    planted, impact, variant, seed = task
    warnings.simplefilter("ignore")
    frame = survey(planted, impact, np.random.default_rng([planted, round(10 * impact), seed]))
    found = screen_items(frame, by="group", level=LEVEL, **VARIANTS[variant])
    alarm = found.dif["flagged"].to_numpy(bool)
    biased = np.isin(np.arange(ITEMS), list(PLANTED.values())) & planted
    row: dict[str, Any] = {"planted": planted, "impact": impact, "variant": variant}
    row |= {"false_alarms": float(alarm[~biased].mean()), "settled": bool(found.scales["settled"].all())}
    if planted:
        row |= {name: bool(alarm[j]) for name, j in PLANTED.items()}
    return row


def measure(replications: int, processes: int) -> pd.DataFrame:
    """Mean of every cell."""
    cells = [(planted, impact, v) for planted in (False, True) for impact in IMPACTS for v in VARIANTS]
    tasks = [(*cell, seed) for cell in cells for seed in range(replications)]
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = "1"  # read when the spawned processes import numpy
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        rows = pd.DataFrame(pool.map(replicate, tasks, chunksize=20))
    columns = ["false_alarms", *PLANTED, "settled"]
    means = rows.astype(dict.fromkeys(columns, float)).groupby(["planted", "impact", "variant"], sort=False)[columns]
    table = means.mean().reset_index()
    gated = (table["variant"] == "theta, purified") | ((table["variant"] == "theta") & ~table["planted"])
    table["passed"] = np.where(gated, table["false_alarms"] <= MOST, True)
    table["gated"] = gated
    return table


def show(table: pd.DataFrame, replications: int, seconds: float) -> None:
    """Print the table."""
    print(f"{ITEMS} items of {POINTS} points, groups of {SIZES[0]} and {SIZES[1]}, {replications} replications")
    print(
        f"false alarms per item, nominal {1 - LEVEL:.0%}, at most {MOST:.0%} where gated; power; purification settled"
    )
    print("planted impact variant          false alarms          uniform crossing  spread settled")
    for row in table.itertuples():
        power = [f"{getattr(row, name):.1%}" if row.planted else "-" for name in PLANTED]
        verdict = ("met" if row.passed else "MISSED") if row.gated else "-"
        planted = "yes" if row.planted else "no"
        print(f"{planted:7} {row.impact:>6.1f} {row.variant:16} {row.false_alarms:>11.1%} {verdict:6}   "
              f"{power[0]:>8} {power[1]:>8} {power[2]:>7} {row.settled:>7.1%}")  # fmt: skip
    print(f"{seconds:.0f} s")


def main() -> int:
    """Measure, print, and fail where there are too many false alarms."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=100)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    start = time.perf_counter()
    table = measure(arguments.replications, arguments.processes)
    seconds = time.perf_counter() - start
    if arguments.json:
        rows = json.loads(table.to_json(orient="records"))
        print(json.dumps({"replications": arguments.replications, "seconds": seconds, "rows": rows}, indent=1))
    else:
        show(table, arguments.replications, seconds)
    return 0 if table["passed"].all() else 1


if __name__ == "__main__":
    raise SystemExit(main())
