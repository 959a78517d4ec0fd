"""Intervals of grades and alerts against simulated loans, and the planted useless warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.special import expit

from sqmodel.operations.early_warning import AlertAssessment, assess_alerts, assess_grades
from tests.benchmarks.truth import Trial

START = pd.Timestamp("2024-01-01", tz="UTC")
GRADES = tuple("ABCDEF")
LOGITS = np.linspace(-3.0, 0.0, 6)
Truth = dict[str, float]


def instants(days: Any) -> Any:
    return START + pd.to_timedelta(np.asarray(days, float), unit="D")


def graded(n: int, slope: float, shift: float, rng: np.random.Generator, mixes: tuple[Any, Any]) -> pd.DataFrame:
    """Loans of two years, whose probabilities are those of their grades; the truth has another slope and intercept."""
    year = rng.integers(0, 2, n)
    grade = np.where(year == 0, rng.choice(6, n, p=mixes[0]), rng.choice(6, n, p=mixes[1]))
    failed = rng.random(n) < expit(shift + slope * LOGITS)[grade]
    granted = 366 * year + rng.uniform(0, 300, n)
    event = pd.Series(instants(granted + rng.uniform(0, 365, n))).where(failed)
    return pd.DataFrame({"loan_id": np.arange(n).astype(str), "grade": np.array(GRADES)[grade],
                         "probability": expit(LOGITS)[grade], "granted": instants(granted),
                         "observed_until": instants(np.full(n, 1500.0)), "event": event})  # fmt: skip


def truth_of_grades(slope: float, shift: float, mixes: tuple[Any, Any]) -> Truth:
    """By summing over grades."""
    first, second = (np.asarray(m, float) for m in mixes)
    moved = float(((second - first) * np.log(second / first)).sum())
    share = (first + second) / 2
    said, rate = expit(LOGITS), expit(shift + slope * LOGITS)
    mean = float(share @ rate)
    bad, good = share * rate / mean, share * (1 - rate) / (1 - mean)
    auc = float(sum(bad[i] * (good[:i].sum() + good[i] / 2) for i in range(6)))
    return {"auc": auc, "ks": float((np.cumsum(good) - np.cumsum(bad)).max()),
            "information_value": float(((good - bad) * np.log(good / bad)).sum()),
            "brier": float(share @ (rate * (1 - said) ** 2 + (1 - rate) * said**2)),
            "reliability": float(share @ (said - rate) ** 2), "resolution": float(share @ (rate - mean) ** 2),
            "uncertainty": mean * (1 - mean), "slope": slope, "observed_to_expected": mean / float(share @ said),
            "rate of grade E": float(rate[4]), "psi": moved}  # fmt: skip


def found_in_grades(loans: pd.DataFrame, seed: int) -> dict[str, tuple[float, float]]:
    result = assess_grades(loans, horizon=365, rng=seed, minimum_n=20)
    own = result.discrimination[result.discrimination["score"] == "grade"].set_index("statistic")
    both = pd.concat([own[["low", "high"]], result.calibration[["low", "high"]]])
    found = {str(name): (float(r["low"]), float(r["high"])) for name, r in both.iterrows()}
    rate = result.grades.loc["E"]
    found["rate of grade E"] = (float(rate["low"]), float(rate["high"]))
    moved = result.stability[result.stability["score"] == "grade"].iloc[0]
    return found | {"psi": (float(moved["low"]), float(moved["high"]))}


def count(
    name: str, n: int, repetitions: int, seed: int, truth: Truth,
    found: Callable[[np.random.Generator, int], dict[str, tuple[float, float]]],
) -> Iterator[Trial]:  # fmt: skip
    """How often each interval holds its truth; an interval that is not defined does not count."""
    hits, known = dict.fromkeys(truth, 0), dict.fromkeys(truth, 0)
    for r in range(repetitions):
        intervals = found(np.random.default_rng([seed, n, r]), r)
        for what, true in truth.items():
            low, high = intervals[what]
            known[what] += not np.isnan(low)
            hits[what] += low <= true <= high
    for what in truth:
        yield Trial(f"{name}: {what}", n, hits[what], known[what])


def trials_of_grades(repetitions: int, seed: int) -> Iterator[Trial]:
    mixes = (np.full(6, 1 / 6), np.array([0.09, 0.12, 0.15, 0.19, 0.22, 0.23]))
    for n, slope, shift in ((100, 1.0, 0.6), (300, 0.6, -0.3), (1500, 1.3, 0.4)):
        truth = truth_of_grades(slope, shift, mixes)

        def found(rng: np.random.Generator, r: int, n=n, slope=slope, shift=shift) -> Any:  # type: ignore[no-untyped-def]
            return found_in_grades(graded(n, slope, shift, rng, mixes), r)

        yield from count("grades", n, repetitions, seed, truth, found)


def continuous(n: int, gap: float, rng: np.random.Generator) -> pd.DataFrame:
    failed = rng.random(n) < 0.3
    score = rng.standard_normal(n) + gap * failed
    event = pd.Series(instants(rng.uniform(1, 300, n))).where(failed)
    return pd.DataFrame({"loan_id": np.arange(n).astype(str), "probability": expit(score - 1), "granted": START,
                         "observed_until": instants(np.full(n, 400.0)), "event": event})  # fmt: skip


def trials_of_scores(repetitions: int, seed: int) -> Iterator[Trial]:
    for n, gap in ((100, 1.0), (400, 0.5), (1000, 1.5)):
        truth = {"auc": float(stats.norm.cdf(gap / 2**0.5)), "ks": float(2 * stats.norm.cdf(gap / 2) - 1)}

        def found(rng: np.random.Generator, r: int, n=n, gap=gap) -> Any:  # type: ignore[no-untyped-def]
            table = assess_grades(continuous(n, gap, rng), horizon=365, rng=r).discrimination
            return {str(s): (float(lo), float(hi)) for s, lo, hi in
                    zip(table["statistic"], table["low"], table["high"], strict=True)}  # fmt: skip

        yield from count("continuous score", n, repetitions, seed, truth, found)


def warned(n: int, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Loans with a constant hazard of 12 % a year, three times that once the good rule has warned.

    The useless rule warns at random; the good one warns 20 % of the loans at a random age. Some records end early.
    """
    granted = rng.uniform(0, 400, n)
    sensed = np.where(rng.random(n) < 0.2, rng.uniform(0, 500, n), np.inf)
    life = rng.exponential(365 / 0.12, n)
    earlier = np.minimum(sensed, life)
    life = earlier + np.where(life > sensed, (life - earlier) / 3, life - earlier)
    until = rng.uniform(600, 1300, n)
    event = pd.Series(instants(granted + np.minimum(life, 5000))).where(life <= until)
    loans = pd.DataFrame({"loan_id": np.arange(n).astype(str), "grade": "A", "granted": instants(granted),
                          "observed_until": instants(granted + until), "event": event})  # fmt: skip
    random = np.where(rng.random(n) < 0.25, rng.uniform(0, 700, n), np.inf)
    parts = []
    for rule, age in (("good", sensed), ("useless", random)):
        kept = np.isfinite(age)
        parts.append(
            pd.DataFrame({"loan_id": loans["loan_id"][kept], "rule": rule, "at": instants((granted + age)[kept])})
        )
    return loans, pd.concat(parts, ignore_index=True)


HORIZON = 180.0
COLUMNS = {"precision": "precision", "lift": "lift", "recall": "recall", "lead_days": "lead", "per_1000": "per_1000",
           "per_1000_months": "per_1000_months"}  # fmt: skip


def intervals_of(result: AlertAssessment) -> dict[str, tuple[float, float]]:
    return {
        f"{rule} {what}": (float(row[f"{stem}_low"]), float(row[f"{stem}_high"]))
        for rule, row in result.rules.iterrows()
        for what, stem in COLUMNS.items()
    }


def trials_of_alerts(repetitions: int, seed: int) -> Iterator[Trial]:
    large = assess_alerts(*warned(400_000, np.random.default_rng(99)), horizon=HORIZON, draws=20)
    truth = {f"{rule} {what}": float(row[what]) for rule, row in large.rules.iterrows() for what in COLUMNS}
    truth["good precision"] = float(-np.expm1(-3 * 0.12 * HORIZON / 365))
    for n in (400, 1500):
        verdicts: list[tuple[bool, bool]] = []

        def found(rng: np.random.Generator, r: int, n=n, verdicts=verdicts) -> Any:  # type: ignore[no-untyped-def]
            result = assess_alerts(*warned(n, rng), horizon=HORIZON, rng=r)
            verdicts.append(("useless" in result.useless, "good" not in result.useless))
            return intervals_of(result)

        # With 400 loans there are some ten lead times.
        own = {what: true for what, true in truth.items() if n > 1000 or "lead" not in what}
        yield from count("alerts", n, repetitions, seed, own, found)
        useless, good = np.array(verdicts).sum(axis=0)
        yield Trial("alerts: the useless rule is found", n, int(useless), repetitions, 0.95, 1.0)
        if n > 1000:
            yield Trial("alerts: the good rule is not called useless", n, int(good), repetitions, 0.95, 1.0)


def trials(repetitions: int, seed: int) -> list[Trial]:
    return [
        *trials_of_grades(repetitions, seed),
        *trials_of_scores(repetitions, seed),
        *trials_of_alerts(repetitions, seed),
    ]
