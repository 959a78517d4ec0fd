"""Process analysis: coverage of its intervals, and whether the planted bottleneck is found.

Cases with known distributions: three steps that wait (a review that is repeated in some cases, an approval that waits
longest, documents that the client owes), entries by channel, hand-overs. What holds in the population is taken from
400,000 simulated cases where it has no formula.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import numpy as np

from sqmodel.operations.bottlenecks import bottleneck_frame
from sqmodel.operations.channels import channel_frame
from sqmodel.operations.event_chunks import COMPLETE, SCHEDULE, START, Chunk, Facts
from sqmodel.operations.process import Process, Step
from sqmodel.operations.process_tally import Tally, tally_chunks
from sqmodel.operations.rework import cost_frame, handover_frame, rework_frame
from sqmodel.operations.step_times import owner_frame, step_frame
from tests.benchmarks.truth import Trial

ACTIVITIES = ["approval", "documents", "review"]
APPROVAL, DOCUMENTS, REVIEW = range(3)
CHANNELS = ["manual", "recognition", "voice"]
SHARES = (0.5, 0.3, 0.2)
"""A channel's intervals are looked at where some 50 cases or more use it; below 20 it has none."""
MINUTES, FAULTS = (24.0, 9.0, 15.0), (0.30, 0.10, 0.20)
AGAIN, HANDED, RATE = 0.3, 0.4, 200.0
HOUR = 3_600_000_000
PROCESS = Process(
    name="truth",
    steps=(
        Step(code="approval", rate=RATE),
        Step(code="documents", wait="client"),
        Step(code="review", rate=RATE),
    ),
)
SIZES = (60, 300, 5000)


def simulate(n: int, rng: np.random.Generator) -> tuple[Chunk, Facts]:
    """Events of n cases; slow cases are slow in every step, so that a case's waits go together."""
    slow = rng.gamma(4, 1 / 4, n)
    reviews = 1 + (rng.random(n) < AGAIN).astype(int)
    case = np.concatenate([np.arange(n), np.repeat(np.arange(n), reviews), np.arange(n)])
    step = np.concatenate([np.full(n, DOCUMENTS), np.full(reviews.sum(), REVIEW), np.full(n, APPROVAL)])
    m = len(case)
    mean = np.array([40.0, 100.0, 15.0])[step]
    wait = rng.gamma(1.5, mean / 1.5) * slow[case]
    work = np.where(step == DOCUMENTS, 0.0, rng.gamma(2.0, 1.0, m))
    # One execution after another within each case.
    order = np.argsort(case, kind="stable")
    case, step, wait, work = case[order], step[order], wait[order], work[order]
    length = wait + work
    before = np.cumsum(length) - length
    first = np.concatenate([[True], case[1:] != case[:-1]])
    begin = before - before[np.maximum.accumulate(np.where(first, np.arange(m), 0))]
    person = 1 + _changes(case, first, rng)
    return _events(case, step, (begin, begin + wait, begin + wait + work), person, n, rng)


def _changes(case: np.ndarray, first: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Who does it: another person than before with probability `HANDED`."""
    return np.cumsum((rng.random(len(case)) < HANDED) | first)


def _events(
    case: np.ndarray, step: np.ndarray, hours: tuple[np.ndarray, ...], person: np.ndarray, n: int,
    rng: np.random.Generator,
) -> tuple[Chunk, Facts]:  # fmt: skip
    m = len(case)
    place, kind = np.repeat(np.arange(m), 3), np.tile([SCHEDULE, START, COMPLETE], m)
    at = np.rint(np.column_stack(hours).ravel() * HOUR).astype(np.int64)
    keep = ~((step[place] == DOCUMENTS) & (kind == START))
    place, kind, at = place[keep], kind[keep], at[keep]
    entry = (step[place] == DOCUMENTS) & (kind == COMPLETE)
    channel = np.where(entry, rng.choice(3, len(place), p=SHARES), -1)
    minutes = np.where(entry, rng.gamma(3, np.array(MINUTES)[channel] / 3), np.nan)
    errors = np.where(entry, rng.random(len(place)) < np.array(FAULTS)[channel], np.nan)
    key = case[place].astype(np.uint64)
    chunk = Chunk(
        key=key, case=case[place], first=np.flatnonzero(np.concatenate([[True], key[1:] != key[:-1]])),
        activity=step[place].astype(np.uint16), lifecycle=kind.astype(np.uint8), at=at,
        resource=np.where(kind == SCHEDULE, 0, person[place]).astype(np.uint64), position=np.arange(len(place)),
        channel=channel.astype(np.int16), entry_minutes=minutes, errors=errors,
    )  # fmt: skip
    counts = np.zeros((3, 4), np.int64)
    np.add.at(counts, (chunk.activity, chunk.lifecycle), 1)
    return chunk, Facts(ACTIVITIES, counts, CHANNELS, n, int(at.max()), None)


def tallied(n: int, rng: np.random.Generator) -> Tally:
    """One pass over n simulated cases."""
    chunk, facts = simulate(n, rng)
    return tally_chunks([chunk], facts, PROCESS)


@cache
def population() -> dict[str, float]:
    """What holds in the population, where it has no formula."""
    found = tallied(400_000, np.random.default_rng(20260630))
    steps = step_frame(found, PROCESS, 0.95)
    truth = {f"wait {s}": float(steps.loc[s, "waiting_median"]) for s in ACTIVITIES}
    return truth | {f"work {s}": float(steps.loc[s, "working_median"]) for s in ("approval", "review")}


def checks(n: int, rng: np.random.Generator, draws: int = 400) -> Counter[str]:
    """Which intervals of one simulated log hold what is true, and whether the planted bottleneck is the first."""
    found = tallied(n, rng)
    truth = population()
    hits: Counter[str] = Counter()

    def inside(what: str, low: float, value: float, high: float) -> None:
        hits[what] += bool(low <= value <= high)

    steps = step_frame(found, PROCESS, 0.95)
    for step in ACTIVITIES:
        inside(f"median wait, {step}", steps.loc[step, "waiting_low"], truth[f"wait {step}"],
               steps.loc[step, "waiting_high"])  # fmt: skip
    inside("median work, review", steps.loc["review", "working_low"], truth["work review"],
           steps.loc["review", "working_high"])  # fmt: skip
    costly = bottleneck_frame(found, PROCESS, level=0.95, draws=draws, rng=rng)
    for step, mean in (("approval", 40.0), ("documents", 100.0), ("review", 15.0 * (1 + AGAIN))):
        inside(f"waiting per case, {step}", costly.loc[step, "low"], mean, costly.loc[step, "high"])
    hits["planted bottleneck first"] += costly.index[0] == "approval" and bool(costly["named"].iloc[0])
    owners = owner_frame(found, PROCESS, level=0.95, draws=draws, rng=rng)
    inside("client's share of waiting", owners.loc["client", "share_low"], 100 / (100 + 40 + 15 * (1 + AGAIN)),
           owners.loc["client", "share_high"])  # fmt: skip
    again = rework_frame(found, 0.95).loc["review"]
    inside("share of cases done again", again["low"], AGAIN, again["high"])
    handed = handover_frame(found, 0.95).loc["all steps"]
    inside("share handed over", handed["low"], HANDED, handed["high"])
    costs = cost_frame(found, PROCESS, level=0.95, draws=draws, rng=rng).loc["total"]
    inside("cost per case", costs["low"], RATE * 2.0 * (2 + AGAIN), costs["high"])
    inside("cost of rework per case", costs["rework_low"], RATE * 2.0 * AGAIN, costs["rework_high"])
    channels = channel_frame(found, level=0.95, draws=draws, rng=rng).set_index("channel")
    for k, channel in enumerate(CHANNELS):
        if n * SHARES[k] < 50:
            continue
        row = channels.loc[channel]
        inside(f"entry minutes, {channel}", row["minutes_low"], MINUTES[k], row["minutes_high"])
        if k:
            inside(f"difference in minutes, {channel}", row["minutes_difference_low"], MINUTES[k] - MINUTES[0],
                   row["minutes_difference_high"])  # fmt: skip
            inside(f"difference in errors, {channel}", row["errors_difference_low"], FAULTS[k] - FAULTS[0],
                   row["errors_difference_high"])  # fmt: skip
    return hits


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Coverage at several sizes (the largest has its cases bundled), and the planted bottleneck."""
    results = []
    for n in SIZES:
        hits: Counter[str] = Counter()
        names: list[str] = []
        for repetition in range(repetitions):
            found = checks(n, np.random.default_rng([seed, n, repetition]))
            names = list(dict.fromkeys([*names, *found]))
            hits.update(found)
        for what in names:
            bounds = (0.95, 1.0) if what.startswith("planted") else (0.93, 0.97)
            results.append(Trial(f"process: {what}", n, hits[what], repetitions, *bounds))
    return results
