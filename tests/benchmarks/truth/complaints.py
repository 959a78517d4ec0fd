"""Complaints from a known process, some still open: does every interval hold the truth as often as it says?"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from sqmodel.operations.complaint_figures import cause_table, complaint_rates, rate_ratio
from sqmodel.operations.complaints import ComplaintAssessment, assess_complaints, read_complaints
from tests.benchmarks.truth import Trial

CAUSES = {"speed": 0.3, "fees": 0.25, "attitude": 0.2, "documents": 0.15, "other": 0.1}
REOPENED, COMPLEX = 0.15, 0.25
MEAN = {False: 8.0, True: 16.0}
"""Mean days until a simple and a complex complaint is resolved; exponential."""
ANSWER = 1.5
"""Mean days until the first response; exponential."""
AS_OF = pd.Timestamp("2026-07-01")


def simulated(n: int, rng: np.random.Generator, days: int = 91) -> pd.DataFrame:
    """Complaints received at the ends of the days before the instant, so that a limit of d days is d times 24 hours."""
    age = rng.integers(0, days, n)
    received = AS_OF - pd.to_timedelta(age, unit="D") - pd.Timedelta(microseconds=1)
    hard = rng.random(n) < COMPLEX
    first = rng.exponential(ANSWER, n)
    resolved = rng.exponential(np.where(hard, MEAN[True], MEAN[False]))
    first = np.minimum(first, resolved)
    frame = pd.DataFrame({"received": received, "cause": rng.choice(list(CAUSES), n, p=list(CAUSES.values()))})
    for name, length in (("first_response", first), ("resolved", resolved)):
        at = received + pd.to_timedelta(length, unit="D")
        frame[name] = pd.Series(at).where(length <= age)
    frame["complex"] = np.where(hard, "yes", "no")
    frame["reopened"] = np.where(rng.random(n) < REOPENED, "yes", "no")
    return frame.astype(object).where(frame.notna(), "")


def truths() -> dict[str, float]:
    # The first response is the sooner of two exponential times.
    rate = {hard: 1 / ANSWER + 1 / mean for hard, mean in MEAN.items()}
    weight = {False: 1 - COMPLEX, True: COMPLEX}
    simple, hard = 1 - np.exp(-15 / MEAN[False]), 1 - np.exp(-30 / MEAN[True])
    times = np.linspace(0, 40, 400001)
    left = sum(weight[h] * np.exp(-times / MEAN[h]) for h in MEAN)
    return {
        "first response in time": sum(weight[h] * (1 - np.exp(-3 * rate[h])) for h in MEAN),
        "resolved in time, simple": simple,
        "resolved in time, all limits": weight[False] * simple + weight[True] * hard,
        "median days until resolved": float(times[np.argmax(left <= 0.5)]),
        "reopened": REOPENED,
        "complaints per 30 days": 0.0,
    }


def _bounds(found: ComplaintAssessment) -> dict[str, tuple[float, float]]:
    timely = found.timely.set_index(["stage", "scope"])
    rows: dict[str, Any] = {
        "first response in time": timely.loc[("first_response", "all")],
        "resolved in time, simple": timely.loc[("resolved", "simple")],
        "resolved in time, all limits": timely.loc[("resolved", "all")],
        "median days until resolved": found.times.loc["resolved"],
        "reopened": found.handled.loc["reopened"],
        "complaints per 30 days": found.rates.loc["all"],
    }
    return {what: (float(row["low"]), float(row["high"])) for what, row in rows.items()}


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Coverage of shares with open complaints, medians, rates, causes, ratios of rates and differences of shares."""
    rng = np.random.default_rng(seed)
    truth, mean = truths(), 120.0
    truth["complaints per 30 days"] = mean * 30 / 91
    hits = dict.fromkeys((*truth, "causes, all together", "difference of shares between quarters"), 0)
    for _ in range(repetitions):
        frame = simulated(int(rng.poisson(mean)), rng)
        found = assess_complaints(read_complaints(frame), as_of=AS_OF, begin="2026-04-01", draws=20)
        for what, (low, high) in _bounds(found).items():
            hits[what] += low <= truth[what] <= high
        named = found.causes.reindex(list(CAUSES))
        inside = (named["low"] <= pd.Series(CAUSES)) & (pd.Series(CAUSES) <= named["high"])
        hits["causes, all together"] += bool(inside.all())
        two = assess_complaints(read_complaints(simulated(240, rng, 181)), as_of=AS_OF, begin="2026-01-01", draws=20)
        row: Any = two.changes.loc["resolved in time"]
        hits["difference of shares between quarters"] += row["low"] <= 0 <= row["high"]
    result = [Trial(what, int(mean), int(count), repetitions) for what, count in hits.items()]
    return [*result, *_arithmetic(repetitions, rng)]


def _arithmetic(repetitions: int, rng: np.random.Generator) -> list[Trial]:
    """Intervals that need no records, at sizes of their own."""
    ratio, rate, causes, each = 0, 0, 0, max(repetitions, 2000)
    shares = np.array([0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    for _ in range(each):
        now, before = int(rng.poisson(90)), int(rng.poisson(60))
        found = rate_ratio(now, 3000.0, before, 2500.0, 0.95)
        ratio += found.low <= (90 / 3000) / (60 / 2500) <= found.high
        row: Any = complaint_rates(pd.Series({"all": now}), 3000.0).loc["all"]
        rate += row["low"] <= 30 <= row["high"]
        drawn = pd.Series(np.repeat(list("abcdef"), rng.multinomial(250, shares)))
        table = cause_table(drawn, 0.95).reindex(list("abcdef"))
        causes += bool(((table["low"] <= shares) & (shares <= table["high"])).all())
    return [
        Trial("ratio of rates (score)", 150, ratio, each),
        Trial("complaints per 1,000 cases (exact)", 90, rate, each),
        Trial("shares of six causes together (Goodman)", 250, causes, each),
    ]
