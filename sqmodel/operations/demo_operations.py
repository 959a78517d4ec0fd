"""The course of every case of the demonstration study, and the events that tell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtr, ndtri

from sqmodel.operations.operations_population import ADVISER_SPREAD, ADVISERS, Array, OperationsTruth
from sqmodel.survey.demo_population import CODES, QUARTERS, SHARES
from sqmodel.survey.instrument import load_instrument
from sqmodel.survey.readers import read_responses

BoolArray = npt.NDArray[np.bool_]
EXTRA = 0.08
HORIZON = "2026-09-30"
DAY = 7.0

# 法定节假日与调休 The State Council's calendars for 2025 and 2026, written out so that the study does not depend on the
# version of a package: weekdays that are not worked, and days of weekends that are.
HOLIDAYS = """
    2025-01-01 2025-01-28 2025-01-29 2025-01-30 2025-01-31 2025-02-03 2025-02-04 2025-04-04 2025-05-01 2025-05-02
    2025-05-05 2025-06-02 2025-10-01 2025-10-02 2025-10-03 2025-10-06 2025-10-07 2025-10-08 2026-01-01 2026-01-02
    2026-02-16 2026-02-17 2026-02-18 2026-02-19 2026-02-20 2026-02-23 2026-04-06 2026-05-01 2026-05-04 2026-05-05
    2026-06-19 2026-09-25 2026-10-01 2026-10-02 2026-10-05 2026-10-06 2026-10-07
"""
MADE_UP = """
    2025-01-26 2025-02-08 2025-04-27 2025-09-28 2025-10-11 2026-01-04 2026-02-14 2026-02-28 2026-05-09 2026-09-20
    2026-10-10
"""
CLOSED_STAGES = {"withdrawn": 0.05, "expired": 0.04}


@lru_cache(maxsize=1)
def workdays() -> npt.NDArray[np.datetime64]:
    """Working days of 2025 and 2026 in China."""
    days = np.arange("2025-01-01", "2027-01-01", dtype="datetime64[D]")
    weekday = np.is_busday(days) & ~np.isin(days, np.array(HOLIDAYS.split(), dtype="datetime64[D]"))
    chosen = days[weekday | np.isin(days, np.array(MADE_UP.split(), dtype="datetime64[D]"))]
    return np.array(chosen, dtype="datetime64[D]")


def at(hours: Array) -> npt.NDArray[np.datetime64]:
    """Local time stamps, to the minute, of points on the axis of working hours, which begins with 2025; NaN is NaT."""
    known = np.isfinite(hours)
    seconds = 60 * np.round(np.where(known, hours, 0.0) * 60).astype(np.int64)
    day, second = np.divmod(seconds, int(DAY * 3600))
    clock = np.where(second < 3 * 3600, 9 * 3600 + second, 13 * 3600 + 1800 + second - 3 * 3600)
    stamps = workdays()[day].astype("datetime64[s]") + clock.astype("timedelta64[s]")
    return np.where(known, stamps, np.datetime64("NaT"))


def hours_until(day: str | date) -> float:
    """Working hours from the beginning of the axis until the end of a day."""
    return float(np.searchsorted(workdays(), np.datetime64(day), side="right") * DAY)


def quarter_end(quarter: str) -> float:
    """End of a quarter on the axis of working hours."""
    first = np.datetime64(f"{quarter[:4]}-{int(quarter[-1]) * 3 - 2:02d}", "M")
    return hours_until(str((first + 3).astype("datetime64[D]") - 1))


@dataclass(frozen=True)
class Course:
    """All cases of one business line, one element a case; instants in working hours (NaN: it did not come to that)."""

    cases: pd.DataFrame
    log_wait: Array
    times: dict[str, Array]


def simulate_cases(truth: OperationsTruth, answers: str, rng: np.random.Generator) -> pd.DataFrame:
    """The cases: those of the respondents, with what their answers betray, and those that did not answer.

    Columns: case_id, quarter, stage, institution, surveyed, and the parts of EFF, EXP and COM that the other
    dimensions leave (standard normal draws where there is no score).
    """
    responses = read_responses(answers, load_instrument("lending_service"))
    frame = responses.frame[["case_id", "quarter", "stage", "institution"]].assign(surveyed=True)
    for code, part in own_parts(responses.dimension_scores(), frame["quarter"]).items():
        frame[code] = part
    others = [_silent(truth, quarter, int((frame["quarter"] == quarter).sum()), rng) for quarter in QUARTERS]
    cases = pd.concat([frame, *others], ignore_index=True).sort_values("case_id", ignore_index=True)
    for code in ("EFF", "EXP", "COM"):
        cases[code] = cases[code].where(cases[code].notna(), rng.standard_normal(len(cases)))
    cases["adviser"] = _advisers(truth, cases, rng)
    return cases


def own_parts(scores: pd.DataFrame, quarter: pd.Series) -> pd.DataFrame:
    """What of each dimension the other dimensions do not predict, standardised within a quarter."""
    centred = scores - scores.groupby(quarter).transform("mean")
    whole = centred.dropna()
    inverse = np.linalg.inv(whole.cov().to_numpy())
    # Residual of each column on the others: the row of the inverse covariance over its diagonal.
    parts = centred.dot(pd.DataFrame(inverse / inverse.diagonal(), index=scores.columns, columns=scores.columns))
    return parts / parts.groupby(quarter).transform("std")


def _silent(truth: OperationsTruth, quarter: str, answered: int, rng: np.random.Generator) -> pd.DataFrame:
    """Cases of a quarter whose clients did not answer."""
    n = round(EXTRA * answered)
    left = 1 - sum(CLOSED_STAGES.values())
    shares = {s: p * left for s, p in SHARES["stage"].items()} | CLOSED_STAGES
    institutions = SHARES["institution"]
    return pd.DataFrame(
        {
            "case_id": [f"{CODES[truth.line]}-{quarter}-{k:04d}" for k in range(answered + 1, answered + n + 1)],
            "quarter": quarter,
            "stage": rng.choice(list(shares), n, p=list(shares.values())),
            "institution": rng.choice(list(institutions), n, p=list(institutions.values())),
            "surveyed": False,
        }
    )


def _advisers(truth: OperationsTruth, cases: pd.DataFrame, rng: np.random.Generator) -> list[str]:
    """Adviser of each case, drawn so that an adviser's effect is what is planted: Bayes' rule, the answers given.

    Advisers of the first half work for inst_a; every other one is given twice as many of the cases that end declined,
    so that a comparison without regard to the mix of cases is unfair.
    """
    effect = truth.adviser_effects
    spread = np.sqrt(1 - ADVISER_SPREAD**2)
    density = np.exp(-0.5 * ((cases["COM"].to_numpy(float)[:, None] - effect) / spread) ** 2)
    here = (np.arange(ADVISERS) < ADVISERS // 2) == (cases["institution"].to_numpy() == "inst_a")[:, None]
    hard = (np.arange(ADVISERS) % 2 == 0) & (cases["stage"].to_numpy() == "declined")[:, None]
    share = np.cumsum(density * here * np.where(hard, 2.0, 1.0), axis=1)
    chosen = (rng.random(len(cases))[:, None] * share[:, -1:] > share).sum(axis=1)
    return [f"{CODES[truth.line]}-A{k + 1:02d}" for k in chosen]


def draw_course(truth: OperationsTruth, cases: pd.DataFrame, rng: np.random.Generator) -> Course:
    """When each thing happened to each case, as if there were no end of the observation."""
    n = len(cases)
    cases = cases.assign(outcome=_outcomes(cases, rng))
    step, _, r = truth.wait_effect
    deviation, urgent = _felt_wait(truth, -r, cases["EFF"].to_numpy(float), rng)
    cases["urgent"] = urgent
    cases["rounds"] = _rework(truth, cases["EXP"].to_numpy(float), rng)
    mean, spread = truth.amount
    cases["amount"] = np.round(mean * np.exp(spread * rng.standard_normal(n)), -1).astype(int).clip(10)
    late = (cases["quarter"] == QUARTERS[-1]) | ((cases["quarter"] == QUARTERS[-2]) & (cases["stage"] == "applied"))
    waits = {}
    for code, timing in truth.steps.items():
        log = np.log(timing.wait) + timing.spread * (deviation if code == step else rng.standard_normal(n))
        log = log + np.where(late, np.log(truth.faster.get(code, 1.0)), 0.0)
        hurry = code == "qualification_review"
        waits[code] = np.exp(log + np.where(urgent & hurry, np.log(truth.urgent_factor), 0.0))
    times = _timeline(truth, cases, waits, rng)
    return Course(cases, np.log(waits[step]), times)


def _outcomes(cases: pd.DataFrame, rng: np.random.Generator) -> npt.NDArray[np.str_]:
    """How each case ends in the end; who is still waiting when asked may end in any way."""
    stage = cases["stage"].to_numpy(str)
    any_end = rng.choice(["disbursed", "declined", "withdrawn", "expired"], len(cases), p=[0.68, 0.16, 0.09, 0.07])
    return np.where(np.isin(stage, ["approved", "repaying"]), "disbursed", np.where(stage == "applied", any_end, stage))


def _felt_wait(truth: OperationsTruth, link: float, part: Array, rng: np.random.Generator) -> tuple[Array, BoolArray]:
    """Deviation of the logarithm of the wait that is felt, with variance 1, and who was urgent.

    The deviation is a mixture of two normals, urgent cases below the others. It is drawn given the answers first,
    and urgency given the deviation: urgency works on the answers through the wait alone.
    """
    share, step = truth.urgent_share, truth.wait_effect[0]
    distance = -np.log(truth.urgent_factor) / truth.steps[step].spread
    rest = np.sqrt(1 - distance**2 * share * (1 - share))
    centres = np.array([distance * share, -distance * (1 - share)])
    grid = np.linspace(-6, 6, 2001)
    below = (1 - share) * ndtr((grid - centres[0]) / rest) + share * ndtr((grid - centres[1]) / rest)
    normal = -link * part + np.sqrt(1 - link**2) * rng.standard_normal(len(part))
    deviation = np.interp(normal, ndtri(np.clip(below, 1e-15, 1 - 1e-15)), grid)
    usual, hurried = (np.exp(-0.5 * ((deviation - c) / rest) ** 2) for c in centres)
    urgent = rng.random(len(part)) < share * hurried / (share * hurried + (1 - share) * usual)
    return deviation, urgent


def _rework(truth: OperationsTruth, part: Array, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """How often documents are asked for again."""
    r = truth.rework_effect[1]
    latent = r * part + np.sqrt(1 - r**2) * rng.standard_normal(len(part))
    once, twice = (ndtri(1 - share) for share in truth.rework)
    return np.asarray((latent > once).astype(np.int64) + (latent > twice))


def _timeline(
    truth: OperationsTruth, cases: pd.DataFrame, waits: dict[str, Array], rng: np.random.Generator
) -> dict[str, Array]:
    """Instants by name, on the axis of working hours."""
    n, outcome, rounds = len(cases), cases["outcome"].to_numpy(str), cases["rounds"].to_numpy()
    work = {c: s.work * np.exp(0.35 * rng.standard_normal((3, n))) for c, s in truth.steps.items()}
    expired, withdrawn, declined = (outcome == o for o in ("expired", "withdrawn", "declined"))
    early = declined & (rng.random(n) < truth.declined_at_review)
    t: dict[str, Array] = {}
    now = t["application.start"] = np.zeros(n)
    now = t["application.complete"] = now + 0.4 * np.exp(0.4 * rng.standard_normal(n))
    for k in range(3):
        goes = (rounds >= k) & (k == 0 or ~expired)
        t[f"documents.schedule.{k}"] = now = np.where(goes, now, np.nan)
        again = np.exp(0.4 * rng.standard_normal(n)) * (0.5 if k else 1.0)
        back = now + np.where(k == 0, waits["documents"], truth.steps["documents"].wait * again)
        t[f"documents.complete.{k}"] = t[f"qualification_review.schedule.{k}"] = np.where(expired, np.nan, back)
        wait = waits["qualification_review"] * (again if k else 1.0)
        begun = t[f"qualification_review.start.{k}"] = t[f"qualification_review.schedule.{k}"] + wait
        now = t[f"qualification_review.complete.{k}"] = begun + work["qualification_review"][k]
    reviewed = np.nanmax(np.where(np.isfinite(_stack(t, "qualification_review.complete")),
                                  _stack(t, "qualification_review.complete"), -np.inf), axis=0)  # fmt: skip
    reviewed = np.where(np.isfinite(reviewed), reviewed, np.nan)
    t["credit_approval.schedule"] = np.where(early, np.nan, reviewed)
    t["withdrawal.complete"] = np.where(
        withdrawn, reviewed + rng.uniform(0.2, 0.9, n) * waits["credit_approval"], np.nan
    )
    t["credit_approval.start"] = np.where(withdrawn, np.nan, t["credit_approval.schedule"] + waits["credit_approval"])
    t["credit_approval.complete"] = t["credit_approval.start"] + work["credit_approval"][0]
    decided = np.where(early, reviewed, t["credit_approval.complete"])
    t["rejection.complete"] = np.where(declined, decided + rng.uniform(0.3, 3.0, n), np.nan)
    now = np.where(outcome == "disbursed", t["credit_approval.complete"], np.nan)
    for step in ("contract_signing", "disbursement"):
        t[f"{step}.schedule"] = now
        t[f"{step}.start"] = now + waits[step]
        now = t[f"{step}.complete"] = t[f"{step}.start"] + work[step][0]
    t["repayment_service.complete"] = now + rng.uniform(70, 120, n)
    limit = 5 * truth.steps["documents"].wait + 60
    t["expiry.complete"] = np.where(expired, t["documents.schedule.0"] + limit, np.nan)
    origin = _origins(cases, t, rng)
    return {name: instants + origin for name, instants in t.items()}


def _stack(times: dict[str, Array], name: str) -> Array:
    return np.array([v for k, v in times.items() if k.startswith(name)])


def _origins(cases: pd.DataFrame, t: dict[str, Array], rng: np.random.Generator) -> Array:
    """When each case was applied for, so that at the end of its quarter it is in the stage that the client stated."""
    ends = cases["quarter"].map({q: quarter_end(q) for q in QUARTERS}).to_numpy(float)
    names = ("rejection.complete", "withdrawal.complete", "expiry.complete", "credit_approval.complete")
    decided = np.fmin.reduce([t[name] for name in names])
    stage = cases["stage"].to_numpy(str)
    lately = rng.uniform(0.05, 0.95, len(cases))
    settled = t["repayment_service.complete"]
    back = np.where(stage == "applied", lately * np.minimum(decided, 130.0), decided + lately * 380.0)
    back = np.where(stage == "approved", decided + lately * (settled - decided), back)
    return np.asarray(ends - np.where(stage == "repaying", settled + lately * 240.0, back))


RESOURCES = {
    "qualification_review": ("R", 12), "credit_approval": ("C", 6), "contract_signing": ("L", 8),
    "disbursement": ("O", 6), "repayment_service": ("S", 5), "rejection": ("C", 6),
}  # fmt: skip
CLIENTS_OWN = ("withdrawal", "expiry")


def tell(truth: OperationsTruth, course: Course, rng: np.random.Generator) -> pd.DataFrame:
    """The events up to the horizon, case by case in order of time; the case's attributes with its first event."""
    cases, end = course.cases, hours_until(HORIZON)
    own = cases["adviser"].to_numpy(str)
    parts, who = [], {}
    for name, instants in course.times.items():
        activity, lifecycle = name.split(".")[:2]
        rows = np.flatnonzero(instants < end - 1 / 60)
        prefix, size = RESOURCES.get(activity, ("", 1))
        key = name.replace(f".{lifecycle}", "")
        if key not in who:
            number = rng.integers(1, size + 1, len(cases)).astype(str)
            who[key] = np.char.add(prefix, number) if prefix else own
        nobody = activity in CLIENTS_OWN or lifecycle == "schedule"
        resource = np.full(len(rows), "") if nobody else who[key][rows]
        parts.append(pd.DataFrame({"row": rows, "activity": activity, "lifecycle": lifecycle,
                                   "hours": instants[rows], "resource": resource}))  # fmt: skip
    events = pd.concat(parts, ignore_index=True)
    events = events.sort_values(["row", "hours"], kind="stable", ignore_index=True)
    entered = events["activity"].isin(["application", "documents"]) & (events["lifecycle"] == "complete")
    entries = _entries(truth, cases["quarter"].to_numpy(str)[events.loc[entered, "row"]], rng)
    for name, values in entries.items():
        events[name] = pd.Series(values, index=events.index[entered])
    attributes = cases[["case_id", "urgent", "amount"]].iloc[events["row"]].reset_index(drop=True)
    # What is said of the case is said once, with its first event: the file stays small.
    first = ~events["row"].duplicated()
    urgent = np.where(first, np.where(attributes["urgent"], "yes", "no"), "")
    amount = attributes["amount"].astype("Int64").where(first)
    stamps = stamped(events["hours"].to_numpy(float))
    columns = ["case_id", "activity", "lifecycle", "timestamp", "resource", "channel", "entry_minutes", "errors"]
    events = events.assign(case_id=attributes["case_id"], timestamp=stamps, errors=events["errors"].astype("Int64"))
    return events[columns].assign(urgent=urgent, amount=amount)


def _entries(
    truth: OperationsTruth, quarter: npt.NDArray[np.str_], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.generic]]:
    """Channel, minutes and errors of entries; recognition is used more from quarter to quarter."""
    names = list(truth.channels)
    progress = np.searchsorted(QUARTERS, quarter) / (len(QUARTERS) - 1)
    first, last = (np.array([truth.channel_shares[c][k] for c in names]) for k in (0, 1))
    share = np.cumsum(first + progress[:, None] * (last - first), axis=1)
    channel = (rng.random(len(quarter))[:, None] > share).sum(axis=1).clip(max=len(names) - 1)
    minutes, errors = (np.array([truth.channels[c][k] for c in names])[channel] for k in (0, 1))
    spread = 0.4
    drawn = minutes * np.exp(spread * rng.standard_normal(len(quarter)) - spread**2 / 2)
    return {
        "channel": np.array(names)[channel],
        "entry_minutes": np.round(drawn, 1),
        "errors": rng.poisson(errors),
    }


def stamped(hours: Array) -> npt.NDArray[np.str_]:
    """ISO time stamps with the offset of China; empty where there is no instant."""
    return as_text(at(hours))


def as_text(stamps: npt.NDArray[np.datetime64]) -> npt.NDArray[np.str_]:
    """ISO text of local instants with China's offset; empty for NaT."""
    text = np.char.add(np.datetime_as_string(stamps, unit="m"), "+08:00")
    return np.where(np.isnat(stamps), "", text)
