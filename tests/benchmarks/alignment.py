"""Does alignment find planted non-invariance, and do its means come closer to the truth than scalar invariance's?

Run as ``python -m tests.benchmarks.alignment [--replications 20] [--json]``. In each survey 30 groups of 300 to 500
respondents answer ten items; two of the items have other loadings and intercepts in a third of the groups. Flagged is a
planted parameter that `align` does not count as invariant in its group; a false alarm one of the others that it does
not. Means are compared in standard deviations of the first group, after the mean difference over groups is taken
out: an error of the first group, the zero of both scales, would otherwise stand in all of them. The second column has
sirt's tolerance, the third perfectly invariant groups.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.measurement.alignment import Alignment, align
from sqmodel.measurement.confirmatory import confirm
from sqmodel.numerics.alignment.loss import EPS

GROUPS, ITEMS, SIZES = 30, 10, (300, 501)
NAMES = [f"x{i + 1}" for i in range(ITEMS)]
MODEL = {"f": NAMES}
SHIFTS = {"loading": -0.3, "intercept": 0.5}
"""Of the planted items, whose loadings are .6 to .9 and whose residual standard deviation is .6."""
SIRT = 0.001
"""The tolerance that the R package has by default."""
MOST_FALSE, LEAST_FLAGGED = 0.01, 0.95


@dataclass(frozen=True)
class Survey:
    """Answers of many groups, and what they were made from.

    Attributes
    ----------
    frame : DataFrame
        Items x1 ..., and the column group.
    means, sds : array, G
        Of the factor; 0 and 1 in the first group.
    planted : dict
        For loading and intercept the cells (G x p) that differ from the other groups'.
    """

    frame: pd.DataFrame
    means: np.ndarray
    sds: np.ndarray
    planted: dict[str, np.ndarray]


def survey(seed: int, *, invariant: bool = False) -> Survey:
    """One survey of 30 groups."""
    rng = np.random.default_rng([seed, invariant])
    loadings = np.tile(rng.uniform(0.6, 0.9, ITEMS), (GROUPS, 1))
    intercepts = np.tile(rng.normal(3, 0.5, ITEMS), (GROUPS, 1))
    means, sds = rng.normal(0, 0.5, GROUPS), np.exp(rng.normal(0, 0.15, GROUPS))
    means[0], sds[0] = 0.0, 1.0
    cells = np.zeros((GROUPS, ITEMS), dtype=bool)
    if not invariant:
        cells[rng.choice(GROUPS, GROUPS // 3, replace=False), :2] = True
    loadings[cells] += SHIFTS["loading"]
    intercepts[cells] += SHIFTS["intercept"]
    frames = []
    for g, n in enumerate(rng.integers(*SIZES, GROUPS)):
        factor = means[g] + sds[g] * rng.standard_normal(n)
        answers = intercepts[g] + factor[:, None] * loadings[g] + 0.6 * rng.standard_normal((n, ITEMS))
        frames.append(pd.DataFrame(answers, columns=NAMES).assign(group=f"g{g + 1:02d}"))
    return Survey(pd.concat(frames, ignore_index=True), means, sds, {"loading": cells, "intercept": cells})


def scalar_means(given: Survey) -> np.ndarray:
    """Means of the groups under full scalar invariance, the first group's 0."""
    found = confirm(
        given.frame, MODEL, group="group", std_lv=True, group_equal=("loadings", "intercepts"), estimator="ML"
    ).parameters
    return found.loc[(found["lhs"] == "f") & (found["op"] == "~1"), "est"].to_numpy()


def flags(found: Alignment) -> dict[str, np.ndarray]:
    """For loading and intercept the cells (G x p) that are not invariant."""
    wide = found.parameters.pivot_table(index="group", columns=["kind", "item"], values="invariant", sort=False)
    return {kind: ~wide[kind][NAMES].to_numpy().astype(bool) for kind in ("loading", "intercept")}


def closeness(found: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Correlation with the truth, and root mean square of the errors without what all groups share."""
    return {"r": float(np.corrcoef(found, truth)[0, 1]), "rmse": float(np.std(found - truth))}


def replicate(seed: int, *, invariant: bool = False, eps: float = EPS) -> dict[str, Any]:
    """What one survey gives."""
    given = survey(seed, invariant=invariant)
    start = time.perf_counter()
    found = align(given.frame, MODEL, by="group", estimator="ML", eps=eps)
    seconds = time.perf_counter() - start
    row: dict[str, Any] = {"seconds": seconds, "converged": found.converged}
    for kind, flagged in flags(found).items():
        planted = given.planted[kind]
        row[f"{kind}s_flagged"] = float(flagged[planted].mean()) if planted.any() else np.nan
        row[f"{kind}s_false"] = float(flagged[~planted].mean())
    means = found.means
    covered = (means["low"] <= given.means) & (given.means <= means["high"])
    row["coverage"] = float(covered[1:].mean())
    row |= {f"alignment_{k}": v for k, v in closeness(means["mean"].to_numpy(), given.means).items()}
    return row | {f"scalar_{k}": v for k, v in closeness(scalar_means(given), given.means).items()}


def measure(replications: int) -> list[dict[str, Any]]:
    """Means over the replications, with planted items and without."""
    rows = []
    for invariant, eps in ((False, EPS), (False, SIRT), (True, EPS)):
        found = pd.DataFrame([replicate(seed, invariant=invariant, eps=eps) for seed in range(replications)])
        rows.append({"planted": not invariant, "eps": eps} | {str(k): float(v) for k, v in found.mean().items()})
    return rows


def passed(row: dict[str, Any]) -> bool:
    """Whether planted parameters are found, others left alone, and means nearer to the truth than the scalar ones."""
    quiet = max(row["loadings_false"], row["intercepts_false"]) <= MOST_FALSE and row["converged"] == 1
    if not row["planted"]:
        return bool(quiet)
    found = min(row["loadings_flagged"], row["intercepts_flagged"]) >= LEAST_FLAGGED
    return bool(quiet and found and row["alignment_rmse"] < row["scalar_rmse"])


def main() -> int:
    """Measure, print, and fail where the recovery is not as required."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = measure(arguments.replications)
    if arguments.json:
        known = [{k: v for k, v in row.items() if not np.isnan(v)} for row in rows]
        print(json.dumps({"replications": arguments.replications, "rows": known}, indent=1))
    else:
        print(f"{arguments.replications} surveys of {GROUPS} groups, {ITEMS} items; planted: 2 items, 10 groups each")
        print(pd.DataFrame(rows).T.to_string(float_format="{:.4f}".format, header=False))
    return 0 if all(passed(row) for row in rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
