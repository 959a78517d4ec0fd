"""Priorities: the true first thing to do is among the three shown, chance is not called sure, gains keep their level.

The cases and answers are those of the drivers' trials, so that what each candidate would gain is known: of an item its
planted distance from what clients expect; of the wait its slope times the cut; of the standard what a breach goes with
times the distance from the target share.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pandas as pd

from sqmodel.index.actions import Actions, rank_actions
from sqmodel.index.driver_model import wilson
from sqmodel.index.drivers import Drivers, find_drivers
from sqmodel.index.priorities import find_priorities
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.measure import Measure
from sqmodel.operations.compliance import Compliance
from sqmodel.survey.responses import Responses
from tests.benchmarks.truth import Trial
from tests.benchmarks.truth.drivers import LIMIT, SLOPE, TRUE_SLOPE, Array, cases, truth
from tests.survey.small_instrument import ITEMS, small

SIZES = (50, 200)
TARGET = 0.9
LEVEL = 4.2
"""Mean of every item, in answers from 1 to 7."""
EVEN = dict.fromkeys(ITEMS, 0.2)
PLANTS = {"item": "e2", "wait": "wait_a", "standard": "standard_a"}
"""What is planted to come first, and its code."""


def gaps(plant: str) -> dict[str, float]:
    """By how much clients expect more than they get, in answers; every item of `EVEN` promises 0.56 points."""
    return EVEN | ({"e2": 0.9} if plant == "item" else {"f1": 0.25})


def measured(answers: Array, names: pd.Index, gap: dict[str, float], rng: np.random.Generator) -> Measure:
    """The answers with expectations and satisfaction, as a measure without evidence."""
    n = len(answers)
    wished = np.floor(LEVEL + np.array([gap[c] for c in ITEMS]) + rng.uniform(-0.8, 0.8, (n, 6)) + rng.random((n, 6)))
    frame = pd.DataFrame(answers, columns=ITEMS).join(pd.DataFrame(wished, columns=[f"{c}_exp" for c in ITEMS]))
    frame[["r2", "r2_exp"]] = 8 - frame[["r2", "r2_exp"]]
    frame["csat"] = np.clip(np.rint(2 * answers.mean(axis=1) - 2 + rng.normal(size=n)), 1, 10)
    frame.insert(0, "respondent", [f"r{i}" for i in range(n)])
    frame["case_id"] = names
    return Measure(Responses(small(), frame), "", tuple(ITEMS), pd.DataFrame(columns=["verdict"]), "publish")


def kept(breached: pd.Series) -> Compliance:
    """The standard of one limit, as these cases keep it."""
    n = len(breached)
    share, low, high = wilson(n - float(breached.sum()), n, 0.95)
    row = {"rule": "a", "path": "all", "n": n, "share": share, "low": low, "high": high, "target": TARGET,
           "verdict": "missed" if high < TARGET else "not sure"}  # fmt: skip
    nothing = pd.DataFrame()
    return Compliance(n, "", pd.DataFrame([row]), nothing, nothing, nothing, None, nothing, {"level": 0.95})


def one(n: int, plant: str, rng: np.random.Generator) -> Actions:
    """The ranked actions of one simulated study; `plant` says what comes first, or ``none`` or ``nothing``."""
    planted = plant in PLANTS
    answers, features = cases(n, rng, SLOPE if planted else 0.0)
    gap = gaps(plant) if planted else dict.fromkeys(ITEMS, 0.5 if plant == "none" else 0.0)
    measure = measured(answers, features.index, gap, rng)
    given = {"wait": features.drop(columns="breach_a"), "standard": features.drop(columns="wait_a")}
    used = given.get(plant, features)
    limits = {"wait_a": LIMIT} if "wait_a" in used else {}
    drivers: Drivers = find_drivers(measure, used, limits=limits, draws=500, rng=rng)
    priorities = find_priorities(measure, weights=derive_weights(measure), draws=200, rng=rng)
    compliance = kept(features["breach_a"]) if plant in ("standard", "nothing") else None
    return rank_actions(priorities, drivers=drivers, compliance=compliance, rng=rng)


@functools.cache
def breach() -> tuple[float, float]:
    """Slope of the index on the breach beside what else happened, and share of the breaches; of a very large sample."""
    answers, features = cases(1_000_000, np.random.default_rng(99))
    index = (answers.mean(axis=1) - 1) / 6 * 100
    second = np.log1p(features["wait_b"])
    x = np.column_stack([np.ones(len(index)), features["breach_a"], (second - second.mean()).fillna(0),
                         features["rework_c"], second.isna()])  # fmt: skip
    return float(np.linalg.lstsq(x, index, rcond=None)[0][1]), float(features["breach_a"].mean())


def gains(plant: str) -> dict[str, float]:
    """True gains, in points of the index."""
    slope, share = breach()
    items = {code: gap / 6 * 100 / len(ITEMS) for code, gap in gaps(plant).items()}
    drivers = {"wait_a": TRUE_SLOPE / 3 * truth()["cut"], "breach_a": -slope * share, "rework_c": 0.0}
    return items | drivers | {"standard_a": slope * (1 - share - TARGET)}


COVERED = {"item": ("e2", "f2", "wait_a", "breach_a", "rework_c"), "wait": ("wait_a",), "standard": ("standard_a",)}


def judge(found: Actions, plant: str) -> Iterator[tuple[str, bool]]:
    """Which claims hold in one study."""
    table, first = found.candidates, PLANTS[plant]
    yield f"the first is among the three shown: {plant}", first in found.leading.index
    true = pd.Series(gains(plant)).reindex(table.index).dropna()
    sure = [c for c in table.index[table["sure"].astype(bool)] if c in true.index]
    yield f"a sure gain is one in truth: {plant}", bool((true[sure] > 0).all())
    rows = table.loc[true.index].dropna(subset=["gain"])
    held = (rows["joint_low"] <= true[rows.index]) & (true[rows.index] <= rows["joint_high"])
    yield f"joint bounds of all gains: {plant}", bool(held.all())
    for code in COVERED[plant]:
        row = table.loc[code]
        yield f"gain of {code}: {plant}", bool(row["low"] <= true[code] <= row["high"])


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Each plant, and two studies without any: equal shortfalls (none), and no shortfalls (nothing)."""
    result = []
    slack = 2 * float(np.sqrt(0.05 * 0.95 / repetitions))
    for n, stream in zip(SIZES, np.random.default_rng(seed).spawn(len(SIZES)), strict=True):
        shown = (0.9 if n >= 200 else 0.0, 1.0)
        bounds = {"the first": shown, "a sure": (0.95, 1.0), "joint": (0.95 - slack, 1.0)}
        hits: Counter[str] = Counter()
        for plant in PLANTS:
            for _ in range(repetitions):
                claims = dict(judge(one(n, plant, stream), plant))
                hits.update(claims)
        for what, count in hits.items():
            limits = next((b for start, b in bounds.items() if what.startswith(start)), (0.93, 0.97))
            result.append(Trial(f"priorities: {what}", n, count, repetitions, *limits))
        for plant in ("none", "nothing"):
            wrong = sum(bool(one(n, plant, stream).candidates["sure"].any()) for _ in range(repetitions))
            result.append(Trial(f"priorities: something called sure: {plant}", n, wrong, repetitions, 0, 0.05 + slack))
    return result
