"""Complaints, loans, warnings and staff of the demonstration study."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.special import expit

from sqmodel.operations.demo_operations import HORIZON, Course, as_text, at, hours_until
from sqmodel.operations.operations_population import (
    ABILITY,
    ADVISERS,
    CHECKS,
    COURSES,
    DISCRIMINATION,
    INSPECTORS,
    ITEM_DIFFICULTY,
    TRAINED,
    Array,
    OperationsTruth,
    Rule,
)
from sqmodel.survey.demo_population import CODES

EARLIER_LOANS = 1500
GRACE, YEAR = 175, 365
LONGEST_LEAD = 170.0


def complaints(truth: OperationsTruth, course: Course, rng: np.random.Generator) -> pd.DataFrame:
    """Complaints received until the horizon; what happened after it is blank."""
    cases = course.cases
    cause, rate, when = truth.fell
    table = np.array([[p * (when if c == cause and q >= rate else 1.0) for c, p in truth.causes.items()]
                      for q in cases["quarter"]])  # fmt: skip
    row, which = np.nonzero(rng.random(table.shape) < table)
    first = course.times["application.start"][row]
    last = np.fmax.reduce(list(course.times.values()))[row]
    received_hours = first + rng.uniform(0.05, 1.0, len(row)) * (last - first)
    kept = received_hours < hours_until(HORIZON)
    row, which, received_hours = row[kept], which[kept], received_hours[kept]
    order = np.argsort(received_hours, kind="stable")
    row, which, n = row[order], which[order], len(row)
    received = at(received_hours[order])
    answered = at(received_hours[order] + 6.0 * np.exp(0.7 * rng.standard_normal(n)))
    hard = rng.random(n) < truth.complex_share
    median = np.where(hard, truth.resolve_complex_days, truth.resolve_days)
    seconds = 86_400 * median * np.exp(truth.resolve_spread * rng.standard_normal(n))
    resolved = np.maximum(received + seconds.astype("timedelta64[s]"), answered)
    closed = resolved + (86_400 * rng.uniform(0.5, 4.0, n)).astype("timedelta64[s]")
    end = np.datetime64(f"{HORIZON}T17:30:00")
    days = (resolved - received).astype(float) / 86_400
    texts = [as_text(np.where(t <= end, t, np.datetime64("NaT"))) for t in (answered, resolved, closed)]
    return pd.DataFrame(
        {
            "complaint_id": [f"{CODES[truth.line]}-C{k:04d}" for k in range(1, n + 1)],
            "case_id": cases["case_id"].to_numpy()[row],
            "received": as_text(received),
            "first_response": texts[0],
            "resolved": texts[1],
            "closed": texts[2],
            "reopened": _yes((rng.random(n) < 0.07) & (closed <= end)),
            "complex": _yes(hard),
            "extended": _yes(hard & (days > 30) & (rng.random(n) < 0.6)),
            "cause": np.array(list(truth.causes))[which],
            "channel": rng.choice(["hotline", "branch", "app", "regulator"], n, p=[0.5, 0.2, 0.24, 0.06]),
        }
    )


def _yes(flags: np.ndarray) -> np.ndarray:
    return np.where(flags, "yes", "no")


def loans(truth: OperationsTruth, course: Course, rng: np.random.Generator) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Exposures over their first year, and the alerts on them.

    Loans of cases disbursed in the study carry the case's number; earlier ones have numbers of their own. Defaults
    come between half a year and a year after granting.
    """
    granted, names = _granted(truth, course, rng)
    n = len(names)
    grade = rng.choice(len(truth.grade_shares), n, p=truth.grade_shares)
    stated = np.array(truth.default_probability)[grade] * np.exp(0.15 * rng.standard_normal(n))
    bad = rng.random(n) < np.minimum(stated * truth.optimism, 0.95)
    default = np.where(bad, rng.integers(GRACE, YEAR, n), 0)
    horizon = (np.datetime64(HORIZON) - granted).astype(int)
    alerts = [_alerts(rule, default, rng) for rule in truth.rules.values()]
    seen = bad & (default <= horizon)
    until = np.where(seen, default, np.minimum(YEAR, horizon))
    exposures = pd.DataFrame(
        {
            "loan_id": names,
            "grade": grade + 1,
            "probability": stated.round(4),
            "granted": np.datetime_as_string(granted),
            "observed_until": np.datetime_as_string(granted + until),
            "event": np.where(seen, np.datetime_as_string(granted + default), ""),
        }
    )
    row = np.concatenate([np.flatnonzero(day > 0) for day in alerts])
    day = np.concatenate([day[day > 0] for day in alerts])
    rule = np.repeat(list(truth.rules), [int((day > 0).sum()) for day in alerts])
    shown = day <= until[row]
    moment = (granted[row] + day).astype("datetime64[s]") + np.timedelta64(8, "h")
    frame = pd.DataFrame({"loan_id": names[row], "rule": rule, "at": as_text(moment)})[shown]
    return exposures, frame.sort_values(["at", "loan_id", "rule"], ignore_index=True)


def _granted(truth: OperationsTruth, course: Course, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Days of granting and numbers of the loans, oldest first."""
    days = np.sort(rng.integers(0, 730, EARLIER_LOANS)) + np.datetime64("2023-07-01")
    earlier = [f"{CODES[truth.line]}-L{k:05d}" for k in range(1, EARLIER_LOANS + 1)]
    paid = course.times["disbursement.complete"]
    rows = np.flatnonzero(paid <= hours_until("2026-09-29"))
    rows = rows[np.argsort(paid[rows], kind="stable")]
    granted = np.concatenate([days, at(paid[rows]).astype("datetime64[D]")])
    return granted, np.concatenate([earlier, course.cases["case_id"].to_numpy(str)[rows]])


def _alerts(rule: Rule, default: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Day of a rule's alert after granting; 0: none."""
    n = len(default)
    bad = default > 0
    some_day = np.ceil(rng.random(n) * np.where(bad, default - 1, YEAR)).astype(int)
    if rule.lead == 0:
        return np.where(rng.random(n) < rule.recall, some_day, 0)
    lead = np.clip(rng.gamma(8.0, rule.lead / 8.0, n), 3.0, LONGEST_LEAD).round().astype(int)
    fires = rng.random(n) < np.where(bad, rule.recall, rule.false)
    return np.where(fires, np.where(bad, default - lead, some_day), 0)


def staff(truth: OperationsTruth, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """Tests before and after training, courses completed, and what two inspectors saw at the same visits."""
    advisers = np.array([f"{CODES[truth.line]}-A{k + 1:02d}" for k in range(ADVISERS)])
    trained = np.zeros(ADVISERS, bool)
    trained[rng.choice(ADVISERS, TRAINED, replace=False)] = True
    ability = ABILITY[0] + ABILITY[1] * rng.standard_normal(ADVISERS)
    gain = np.where(trained, truth.training_gain, truth.untrained_gain)
    before = _test(advisers, "before", "2026-04-20", ability, rng)
    after = _test(advisers, "after", "2026-07-13", ability + gain, rng)
    return {
        "tests": pd.concat([before, after], ignore_index=True),
        "training": _training(advisers, trained, rng),
        "inspections": _inspections(truth, advisers, rng),
    }


def _test(advisers: np.ndarray, session: str, first: str, ability: Array, rng: np.random.Generator) -> pd.DataFrame:
    right = rng.random((ADVISERS, 20)) < expit(DISCRIMINATION * (ability[:, None] - ITEM_DIFFICULTY))
    taken = np.datetime_as_string(np.datetime64(first) + rng.integers(0, 5, ADVISERS))
    frame = pd.DataFrame(right.astype(int), columns=[f"i{k}" for k in range(1, 21)])
    frame.insert(0, "taken", taken)
    frame.insert(0, "session", session)
    frame.insert(0, "adviser", advisers)
    return frame


def _training(advisers: np.ndarray, trained: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """The first course lies between the two tests; the others were taken at some time in the last two years."""
    parts = []
    for course, count in COURSES.items():
        own = course == next(iter(COURSES))
        rows = np.flatnonzero(trained) if own else np.sort(rng.choice(ADVISERS, count, replace=False))
        first, span = (np.datetime64("2026-05-11"), 40) if own else (np.datetime64("2024-10-01"), 700)
        days = np.datetime_as_string(first + rng.integers(0, span, len(rows)))
        parts.append(pd.DataFrame({"adviser": advisers[rows], "course": course, "completed": days}))
    return pd.concat(parts, ignore_index=True)


def _inspections(truth: OperationsTruth, advisers: np.ndarray, rng: np.random.Generator) -> pd.DataFrame:
    """One visit an adviser, both inspectors, every check; an inspector sees what is true with a known probability."""
    true = rng.random((ADVISERS, len(CHECKS))) < np.array(list(CHECKS.values()))
    parts = []
    for inspector, right in INSPECTORS.items():
        seen = np.where(rng.random(true.shape) < right, true, ~true)
        frame = pd.DataFrame(seen.astype(int), columns=list(CHECKS)).assign(
            adviser=advisers, inspector=inspector,
            visit=[f"{CODES[truth.line]}-V{k:03d}" for k in range(1, ADVISERS + 1)],
        )  # fmt: skip
        parts.append(frame.melt(["adviser", "inspector", "visit"], var_name="check", value_name="passed"))
    return pd.concat(parts).sort_values(["visit", "check", "inspector"], kind="stable", ignore_index=True)
