"""Intervals of tests, training, checklists and advisers' effects against simulated staff."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from sqmodel.numerics.agreement import agreement_columns, agreement_from_totals, cohen_from_totals, pair_columns
from sqmodel.numerics.reliability import cronbach_alpha
from sqmodel.operations.staff import assess_advisers, assess_tests, assess_training, score_checklists
from tests.benchmarks.truth import Trial

ITEMS = [f"i{j}" for j in range(1, 21)]
HARDNESS = np.linspace(-2.0, 1.5, 20)
GAIN = 0.5
Found = dict[str, tuple[float, float, float]]
"""True value and interval of each statistic."""


def answers(n: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Answers before and after training that adds the same to everybody's ability."""
    ability = rng.normal(0.3, 1.2, n)
    return tuple((rng.random((n, 20)) < expit(ability[:, None] + g - HARDNESS)).astype(float) for g in (0.0, GAIN))


def test_truth() -> dict[str, float]:
    before, after = answers(400_000, np.random.default_rng(5))
    total = before.sum(axis=1)
    rest = float(np.corrcoef(before[:, 9], total - before[:, 9])[0, 1])
    return {"kr20": cronbach_alpha(np.cov(before.T)), "mean": float(before.mean()),
            "difficulty": float(before[:, 9].mean()), "discrimination": rest,
            "change": float((after - before).mean())}  # fmt: skip


def found_in_tests(n: int, truth: dict[str, float], rng: np.random.Generator) -> Found:
    frames = [pd.DataFrame(x, columns=ITEMS).assign(adviser=np.arange(n).astype(str), session=s)
              for s, x in zip(("before", "after"), answers(n, rng), strict=True)]  # fmt: skip
    result = assess_tests(pd.concat(frames, ignore_index=True))
    first, item = result.sessions.loc["before"], result.items.iloc[9]
    assert result.change is not None
    low = result.thirds.loc["lowest"]
    return {
        "kr20": (truth["kr20"], first["kr20_low"], first["kr20_high"]),
        "mean score": (truth["mean"], first["mean_low"], first["mean_high"]),
        "difficulty": (truth["difficulty"], item["low"], item["high"]),
        "discrimination": (truth["discrimination"], item["discrimination_low"], item["discrimination_high"]),
        "change": (truth["change"], result.change.low, result.change.high),
        "change of the lowest third beyond regression": (truth["change"], low["beyond_low"], low["beyond_high"]),
    }


def found_in_training(n: int, rng: np.random.Generator) -> Found:
    """70 % were ever trained, at a time that is uniform over 36 months."""
    names = [str(i) for i in range(n)]
    ever = rng.random(n) < 0.7
    ago = pd.to_timedelta(rng.uniform(0, 36, n) * 30.4375, unit="D")
    done = pd.DataFrame({"adviser": names, "course": "codes", "completed": pd.Timestamp("2026-01-01", tz="UTC") - ago})
    row: Any = assess_training(done[ever], advisers=names, as_of="2026-01-01").courses.loc["codes"]
    return {"training share": (0.7 / 3, row["low"], row["high"]),
            "months since training": (36 * 0.5 / 0.7, row["months_low"], row["months_high"])}  # fmt: skip


def inspected(visits: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Eight checks a visit, two visits an adviser, judged by two inspectors who are right nine times in ten."""
    skill = np.repeat(rng.beta(4, 1.5, visits // 2), 2)
    truth = rng.random((visits, 8)) < skill[:, None]
    return tuple(np.where(rng.random((visits, 8)) < 0.9, truth, ~truth) for _ in range(2))


def checklist_truth() -> dict[str, float]:
    first, second = (x.ravel() for x in inspected(400_000, np.random.default_rng(6)))
    both = agreement_from_totals(agreement_columns(first.astype(int) + second, np.full(first.size, 2)).sum(axis=0))
    kappa = cohen_from_totals(pair_columns(first, second).sum(axis=0))[0]
    names = ("agreement", "fleiss_kappa", "gwet_ac1", "krippendorff_alpha")
    return {"score": 0.1 + 0.8 * 4 / 5.5, "cohen": float(kappa), **dict(zip(names, map(float, both), strict=True))}


def found_in_checklists(visits: int, truth: dict[str, float], rng: np.random.Generator, seed: int) -> Found:
    rows = np.indices((visits, 8)).reshape(2, -1)
    frames = [
        pd.DataFrame({"adviser": (rows[0] // 2).astype(str), "inspector": who, "visit": rows[0].astype(str),
                      "check": np.char.add("c", rows[1].astype(str)), "passed": judged.ravel()})
        for who, judged in zip("xy", inspected(visits, rng), strict=True)
    ]  # fmt: skip
    result = score_checklists(pd.concat(frames, ignore_index=True), rng=seed)
    own = result.agreement[result.agreement["scope"] == "all checks"].set_index("statistic")
    pair, check = result.pairs.iloc[0], result.checks.iloc[0]
    return {
        "score": (truth["score"], result.score.low, result.score.high),
        "passed": (truth["score"], check["low"], check["high"]),
        "cohen": (truth["cohen"], pair["low"], pair["high"]),
        **{k: (truth[k], own["low"][k], own["high"][k]) for k in truth if k in own.index},
    }


def found_in_advisers(k: int, between: float, rng: np.random.Generator, seed: int) -> tuple[Found, tuple[Any, Any]]:
    size = rng.integers(4, 13, k)
    code = np.repeat(np.arange(k), size)
    effect, mix = rng.normal(0, between, k), rng.standard_normal(len(code))
    outcome = 3 + 0.5 * mix + effect[code] + rng.standard_normal(len(code))
    cases = pd.DataFrame({"adviser": [f"{c:03}" for c in code], "amount": mix, "score": outcome})
    result = assess_advisers(cases, outcome="score", adjust=["amount"], minimum_n=4, rng=seed)
    table = result.advisers
    one = int(rng.integers(k))
    centred = effect - effect.mean()
    pair = result.pairs
    wrong = sum(effect[int(h)] < effect[int(lo)] for h, lo in zip(pair["higher"], pair["lower"], strict=True))
    share = between**2 / (between**2 + 1)
    return {
        "effect": (centred[one], table["low"].iloc[one], table["high"].iloc[one]),
        "standard deviation between": (between, result.between.low, result.between.high),
        "share of variance": (share, result.share.low, result.share.high),
        "residual": (1.0, result.residual.low, result.residual.high),
        "case mix": (0.5, result.case_mix["low"]["amount"], result.case_mix["high"]["amount"]),
    }, (wrong, len(pair))


def count(name: str, n: int, found: list[Found]) -> Iterator[Trial]:
    for what in found[0]:
        known = [f[what] for f in found if not np.isnan(f[what][1])]
        yield Trial(f"{name}: {what}", n, sum(low <= true <= high for true, low, high in known), len(known))


def trials(repetitions: int, seed: int) -> list[Trial]:
    found: list[Trial] = []
    generators = [np.random.default_rng([seed, r]) for r in range(repetitions)]
    tests, lists = test_truth(), checklist_truth()
    for n in (60, 200):
        found += count("tests", n, [found_in_tests(n, tests, g) for g in generators])
        found += count("training", n, [found_in_training(n, g) for g in generators])
        found += count("checklists", n, [found_in_checklists(n, lists, g, r) for r, g in enumerate(generators)])
    # An adviser's interval holds the effect in 94 % of the studies: it takes more of them, and the default draws.
    for k, between, times in ((20, 0.5, 4), (60, 0.4, 4)):
        more = [np.random.default_rng([seed, r]) for r in range(times * repetitions)]
        both = [found_in_advisers(k, between, g, r) for r, g in enumerate(more)]
        found += count("advisers", k, [b[0] for b in both])
        wrong, pairs = np.array([b[1] for b in both]).sum(axis=0)
        found.append(Trial("advisers: pairs told apart are so", k, int(pairs - wrong), int(pairs), 0.975, 1.0))
    return found
