"""Drivers: slopes, joint bounds, what a limit is worth, and shares that felt slow, on cases with a known slope.

Answers are whole numbers rounded at random, so that their mean is linear in the logarithm of the wait exactly; their
scatter grows with the wait. One wait drives EFF, the other (which a quarter of the cases did not reach) and the rework
drive nothing.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.index.drivers import Drivers, find_drivers
from sqmodel.measurement.measure import Measure
from sqmodel.survey.responses import Responses
from tests.benchmarks.truth import Trial
from tests.survey.small_instrument import ITEMS, small

Array = npt.NDArray[np.float64]
SPREAD, SLOPE, LIMIT = 0.6, -0.5, 60.0
TRUE_SLOPE = SLOPE / SPREAD * 100 / 6
SIZES = (50, 200)


def cases(n: int, rng: np.random.Generator, slope: float = SLOPE) -> tuple[Array, pd.DataFrame]:
    """Answers to the items of EXP, EFF and RSK (n, 6), and what happened."""
    first = np.clip(rng.standard_normal(n), -2.2, 2.2)
    second = np.clip(0.3 * first + 0.95 * rng.standard_normal(n), -2.2, 2.2)
    reached = rng.random(n) < 0.75
    rework = rng.binomial(2, 0.25, n)
    general = rng.uniform(-0.5, 0.5, (n, 1))
    scatter = rng.uniform(-0.8, 0.8, (n, 6)) * (1 + 0.15 * (first[:, None] + 2.2))
    centre = np.full((n, 6), 4.2)
    centre[:, 2:4] += slope * first[:, None]
    answers = np.floor(centre + general + scatter + rng.random((n, 6)))
    wait = np.expm1(4 + SPREAD * first)
    features = pd.DataFrame(
        {
            "wait_a": wait,
            "wait_b": np.where(reached, np.expm1(3 + 0.8 * second), np.nan),
            "rework_c": rework.astype(float),
            "breach_a": (wait > LIMIT).astype(float),
        },
        index=pd.Index([f"c{i}" for i in range(n)], name="case_id"),
    )
    return answers, features


def measured(answers: Array, names: pd.Index) -> Measure:
    """The answers as a measure without evidence."""
    frame = pd.DataFrame(answers, columns=ITEMS)
    frame["r2"] = 8 - frame["r2"]
    frame.insert(0, "respondent", [f"r{i}" for i in range(len(frame))])
    frame["case_id"] = names
    return Measure(Responses(small(), frame), "", tuple(ITEMS), pd.DataFrame(columns=["verdict"]), "publish")


@functools.cache
def truth() -> dict[str, float]:
    """What a very large sample finds, of the quantities that have no closed form."""
    answers, features = cases(1_000_000, np.random.default_rng(99))
    score = (answers[:, 2:4].mean(axis=1) - 1) / 6 * 100
    wait = features["wait_a"].to_numpy()
    kept = wait <= LIMIT
    return {
        "cut": float((np.log1p(np.minimum(wait, LIMIT)) - np.log1p(wait)).mean()),
        "slow": float((score[kept] < 50 - 1e-9).mean()),
        "slow_beyond": float((score[~kept] < 50 - 1e-9).mean()),
        "unreworked": float(score[features["rework_c"] == 0].mean()),
    }


def one(n: int, rng: np.random.Generator) -> Drivers:
    """The drivers of one simulated survey."""
    answers, features = cases(n, rng)
    return find_drivers(measured(answers, features.index), features, limits={"wait_a": LIMIT}, draws=2000, rng=rng)


def judge(found: Drivers) -> dict[str, bool]:
    """Which claims hold in one survey."""
    known = truth()
    effects = found.effects[found.effects["feature"] != "breach_a"].set_index(["feature", "outcome"])
    planted = {("wait_a", "EFF"): TRUE_SLOPE, ("wait_a", "overall"): TRUE_SLOPE / 3}
    true = pd.Series([planted.get(key, 0.0) for key in effects.index], index=effects.index)
    row: Any = effects.loc[("wait_a", "EFF")]
    none: Any = effects.loc[("wait_b", "EFF")]
    worth: Any = found.worth[found.worth["feature"] == "wait_a"].set_index("outcome").loc["EFF"]
    paper: Any = found.paper[(found.paper["group"] == "all") & (found.paper["outcome"] == "EFF")].iloc[0]
    doses = found.doses[(found.doses["feature"] == "rework_c") & (found.doses["outcome"] == "EFF")]
    gap = known["slow_beyond"] - known["slow"]
    dose: dict[str, bool] = {}
    if len(doses):  # too few cases with rework give none
        low, high = (float(doses.iloc[0][c]) for c in ("low", "high"))
        dose["mean score at a dose"] = low <= known["unreworked"] <= high
    return dose | {
        "slope of the driver": row["low"] <= TRUE_SLOPE <= row["high"],
        "slope alone of the driver": row["unadjusted_low"] <= TRUE_SLOPE <= row["unadjusted_high"],
        "slope of a wait that some did not reach": none["low"] <= 0 <= none["high"],
        "joint bounds of all slopes": bool(((effects["joint_low"] <= true) & (true <= effects["joint_high"])).all()),
        "worth of a limit": worth["low"] <= TRUE_SLOPE * known["cut"] <= worth["high"],
        "share within the limit that felt slow": paper["felt_slow_low"] <= known["slow"] <= paper["felt_slow_high"],
        "difference of shares, breached minus kept": paper["difference_low"] <= gap <= paper["difference_high"],
        "found: the driver": bool(row["drives"]),
        "declared: what drives nothing": bool(effects.loc[true == 0, "drives"].any()),
    }


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Coverage at n = 50 and 200; the driver is found at 200; chance declares no more than the level allows."""
    result = []
    for n, stream in zip(SIZES, np.random.default_rng(seed).spawn(len(SIZES)), strict=True):
        hits: Counter[str] = Counter()
        made: Counter[str] = Counter()
        for _ in range(repetitions):
            found = judge(one(n, stream))
            made.update(found.keys())
            hits.update(claim for claim, holds in found.items() if holds)
        slack = 3 * float(np.sqrt(0.05 * 0.95 / repetitions))
        bounds = {
            "found: the driver": (0.9 if n >= 200 else 0.0, 1.0),
            "declared: what drives nothing": (0.0, 0.05 + slack),
        }
        result += [Trial(f"drivers: {c}", n, hits[c], made[c], *bounds.get(c, (0.93, 0.97))) for c in made]
    return result
