"""Advisers' knowledge tests: are they reliable, which questions tell something, and did training change the scores?"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from sqmodel.errors import ComputationError, OperationsError, Problem
from sqmodel.numerics.proportions import wilson_interval
from sqmodel.numerics.reliability import cronbach_alpha, feldt_interval
from sqmodel.operations.exposures import broken
from sqmodel.operations.records import Column, Records, read_headers, read_records
from sqmodel.result import Estimate, Result

BEFORE, AFTER = "before", "after"
ITEM = re.compile(r"(?:i|q|item|question)_?\d+", re.IGNORECASE)
TESTS = (
    Column("adviser", "text", filled=True, also=("adviser_id", "staff")),
    Column("session", "text", filled=True, among=(BEFORE, AFTER)),
    Column("taken", "instant", needed=False),
)
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class TestAssessment(Result):
    """What a knowledge test measured; scores are shares of right answers, frames unrounded.

    Attributes
    ----------
    n : int
        Advisers who took the test.
    sessions : DataFrame, one row a session
        n (with all questions answered), incomplete, k, mean, mean_low, mean_high, sd, kr20, kr20_low, kr20_high, sem
        (standard error of measurement of one adviser's score).
    items : DataFrame, one row a question and session
        session, item, n, difficulty (share right) with low, high; discrimination (correlation with the rest of the
        test) with discrimination_low, discrimination_high; verdict (``keyed wrong?``: tells against; ``tells nothing``:
        the interval covers zero; ``all alike``; empty).
    change : Estimate or None
        Mean change of the advisers who took both sessions.
    thirds : DataFrame, one row a third of the scores before
        n, before, change, low, high, expected_by_regression (what would show without any change of knowledge),
        beyond (change less that) with beyond_low, beyond_high, which count the error of the reliability too.
    advisers : DataFrame, one row an adviser
        before, after, change, sure (whether the change exceeds what the test's error gives at the level).
    left_out : DataFrame
        reason, n.
    notes : tuple of str
    """

    __test__ = False

    n: int
    settings: dict[str, Any]
    sessions: pd.DataFrame
    items: pd.DataFrame
    change: Estimate | None
    thirds: pd.DataFrame
    advisers: pd.DataFrame
    left_out: pd.DataFrame
    notes: tuple[str, ...] = ()

    def _headline(self) -> str:
        parts = [
            f"{s} KR-20 {r['kr20']:.2f} [{r['kr20_low']:.2f}, {r['kr20_high']:.2f}]"
            for s, r in self.sessions.iterrows()
        ]
        moved = "" if self.change is None else f"; change {self.change}"
        return f"{self.n} advisers: {', '.join(parts)}{moved}"


def read_tests(
    source: str | Path | pd.DataFrame, *, names: Mapping[str, str] | None = None, zone: str = "Asia/Shanghai",
    table: str | None = None, query: str | None = None,
) -> Records:  # fmt: skip
    """Read test answers: adviser, session (``before``, ``after``), taken, and one column of 0 and 1 a question (i1...).

    Raises
    ------
    OperationsError
        Answers other than 0, 1 or empty, an adviser twice in a session, no questions; all in one message.
    """
    headers = read_headers(source, what="tests", table=table, query=query)
    items = [str(h) for h in headers if ITEM.fullmatch(str(h).strip())]
    if not items:
        shown = ", ".join(repr(str(h)) for h in headers[:12])
        raise OperationsError(
            "tests", [Problem(f"expected questions i1, i2, ..., found {shown}")], "name the questions so"
        )
    columns = (*TESTS, *(Column(i, "number", low=0, high=1) for i in items))
    records = read_records(source, columns, what="tests", names=names, zone=zone, unique=("adviser", "session"),
                           table=table, query=query)  # fmt: skip
    _check(records.frame, items, records.reading.source)
    return records


def _check(frame: pd.DataFrame, items: list[str], source: str = "tests") -> None:
    problems = []
    if not len(items) or not len(frame):
        problems.append(Problem("expected answers to questions i1, i2, ..., found none"))
    for item in items:
        wrong = frame[item].notna() & ~frame[item].isin([0, 1])
        problems += broken(frame, [(f"expected 0, 1 or nothing for question {item}, found others", wrong)], "adviser")
    session = frame["session"].isin([BEFORE, AFTER])
    problems += broken(frame, [
        (f"expected sessions {BEFORE} or {AFTER}, found others", ~session),
        ("expected an adviser once a session, found again", frame.duplicated(["adviser", "session"])),
    ], "adviser")  # fmt: skip
    if problems:
        raise OperationsError(source, problems, "correct the tests")


def assess_tests(scores: Records | pd.DataFrame, *, blank: str = "wrong", level: float = 0.95) -> TestAssessment:
    """How reliable is the test, which questions tell something, and what changed from before to after?

    Parameters
    ----------
    scores : Records or DataFrame
        As `read_tests` gives them.
    blank : {"wrong", "missing"}
        A question without answer is a wrong one, or leaves the adviser out of that session.
    level : float

    Returns
    -------
    TestAssessment

    Raises
    ------
    OperationsError
        Answers that break their rules.
    ComputationError
        No session has three advisers, or the test fewer than two questions.

    Notes
    -----
    KR-20 (Kuder and Richardson 1937) with Feldt's (1965) interval; difficulty with Wilson's; discrimination with
    Fisher's z; change with Student's t over pairs. Who scored low by bad luck scores higher the next time whatever was
    taught: an adviser of a third is expected to move (1 - KR-20) of the way to the mean of all (Kelley 1947). Of the
    change of all advisers together this explains nothing.

    Examples
    --------
    >>> answers = pd.DataFrame({"adviser": list("abcd"), "session": "before", "i1": [1, 1, 0, 0], "i2": [1, 1, 1, 0]})
    >>> float(assess_tests(answers).items["difficulty"].iloc[1])
    0.75
    """
    if blank not in ("wrong", "missing"):
        raise ValueError(f"expected wrong or missing for blank, found {blank!r}")
    frame = scores.frame if isinstance(scores, Records) else scores
    items = [str(c) for c in frame.columns if ITEM.fullmatch(str(c))]
    _check(frame, items)
    answers = frame[items].astype(float)
    blanks = int(answers.isna().to_numpy().sum())
    if blank == "wrong":
        answers = answers.fillna(0.0)
    usable = answers.notna().all(axis=1)
    notes = [] if not blanks or blank == "missing" else [f"{blanks} questions without answer count as wrong"]
    sessions = [s for s in (BEFORE, AFTER) if int((usable & (frame["session"] == s)).sum()) >= 3]
    if not sessions or len(items) < 2:
        raise ComputationError("expected at least three advisers in a session and two questions, found fewer")
    by_session = {s: answers[usable & (frame["session"] == s)].to_numpy() for s in sessions}
    rows = {s: _session(x, int((~usable & (frame["session"] == s)).sum()), level) for s, x in by_session.items()}
    table = pd.DataFrame.from_dict(rows, orient="index").rename_axis("session")
    wide = answers[usable].mean(axis=1).to_frame("score").assign(adviser=frame["adviser"], session=frame["session"])
    advisers = wide.pivot_table(index="adviser", columns="session", values="score").reindex(columns=[BEFORE, AFTER])
    advisers["change"] = advisers[AFTER] - advisers[BEFORE]
    error = _error_of_change(table)
    sure = advisers["change"].abs() > stats.norm.ppf((1 + level) / 2) * error
    advisers["sure"] = np.where(advisers["change"].notna() & math.isfinite(error), sure.astype(float), np.nan)
    advisers.columns.name = None
    return TestAssessment(
        n=len(advisers),
        settings={
            "blank": blank,
            "level": level,
            "kr20": "Feldt",
            "difficulty": "Wilson",
            "discrimination": "Fisher's z",
            "change": "Student's t, paired",
        },
        sessions=table,
        items=pd.concat([_items(s, x, items, level) for s, x in by_session.items()], ignore_index=True),
        change=_change(advisers, level),
        thirds=_thirds(advisers.dropna(subset=["change"]), table, level, notes),
        advisers=advisers,
        left_out=_left_out(advisers, frame, usable),
        notes=tuple(notes),
    )


def _session(x: Floats, incomplete: int, level: float) -> dict[str, float]:
    n, k = x.shape
    score = x.mean(axis=1)
    mean, sd = float(score.mean()), float(score.std(ddof=1))
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * sd / math.sqrt(n)
    alpha, low, high = (math.nan,) * 3
    if sd > 1e-12:
        alpha = cronbach_alpha(np.cov(x.T))
        low, high = feldt_interval(alpha, n, k, level)
    sem = sd * math.sqrt(min(max(1 - alpha, 0.0), 1.0)) if math.isfinite(alpha) else math.nan
    return {"n": n, "incomplete": incomplete, "k": k, "mean": mean, "mean_low": mean - half, "mean_high": mean + half,
            "sd": sd, "kr20": alpha, "kr20_low": low, "kr20_high": high, "sem": sem}  # fmt: skip


def _items(session: str, x: Floats, items: list[str], level: float) -> pd.DataFrame:
    n = len(x)
    share = x.mean(axis=0)
    low, high = wilson_interval(share, n, level)
    rest = x.sum(axis=1)[:, None] - x
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = x - share, rest - rest.mean(axis=0)
        r = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
        half = stats.norm.ppf((1 + level) / 2) / math.sqrt(n - 3) if n > 3 else math.nan
        r_low, r_high = np.tanh(np.arctanh(r) - half), np.tanh(np.arctanh(r) + half)
    verdict = np.select([np.isnan(r), r_high < 0, ~(r_low > 0)], ["all alike", "keyed wrong?", "tells nothing"], "")
    return pd.DataFrame({"session": session, "item": items, "n": n, "difficulty": share, "low": low, "high": high,
                         "discrimination": r, "discrimination_low": r_low, "discrimination_high": r_high,
                         "verdict": verdict.astype(object)})  # fmt: skip


def _error_of_change(table: pd.DataFrame) -> float:
    """Standard error of one adviser's change, from the errors of measurement of both sessions."""
    if len(table) < 2:
        return math.nan
    return math.sqrt(float((table["sem"] ** 2).sum(skipna=False)))


def _change(advisers: pd.DataFrame, level: float) -> Estimate | None:
    moved = advisers["change"].dropna().to_numpy()
    if len(moved) < 3:
        return None
    value, se = float(moved.mean()), float(moved.std(ddof=1)) / math.sqrt(len(moved))
    half = float(stats.t.ppf((1 + level) / 2, len(moved) - 1)) * se
    return Estimate(value, value - half, value + half, se, len(moved), level, "Student's t, paired")


THIRDS = ["n", "before", "change", "low", "high", "expected_by_regression", "beyond", "beyond_low", "beyond_high"]


def _thirds(both: pd.DataFrame, table: pd.DataFrame, level: float, notes: list[str]) -> pd.DataFrame:
    if len(both) < 9 or BEFORE not in table.index or not math.isfinite(float(table["kr20"][BEFORE])):
        notes.append("no thirds: they need nine advisers with both sessions and scores that differ")
        return pd.DataFrame(columns=THIRDS, index=pd.Index([], name="third"))
    order = both[BEFORE].rank(method="average", pct=True)
    place = np.minimum((order.to_numpy() * 3 - 1e-9).astype(int), 2)
    rows = {}
    for code, name in enumerate(("lowest", "middle", "highest")):
        own = both[place == code]
        if len(own) < 3:
            notes.append(f"{name} third: fewer than three advisers, many scores are equal")
        rows[name] = _third(own, float(both[BEFORE].mean()), table.loc[BEFORE], level)
    notes.append("who scores low by bad luck scores higher the next time: read the thirds by what is beyond that")
    return pd.DataFrame.from_dict(rows, orient="index", columns=THIRDS).rename_axis("third")


def _third(own: pd.DataFrame, mean: float, session: Any, level: float) -> list[float]:
    """Change of a third, and what is beyond regression to the mean, with the error of the reliability."""
    n = len(own)
    if n < 3:
        return [float(n), *[math.nan] * (len(THIRDS) - 1)]
    before, change = float(own[BEFORE].mean()), float(own["change"].mean())
    expected = (1 - min(max(float(session["kr20"]), 0.0), 1.0)) * (mean - before)
    half = float(stats.t.ppf((1 + level) / 2, n - 1)) * float(own["change"].std(ddof=1)) / math.sqrt(n)
    known = float(session["kr20_high"] - session["kr20_low"]) / 2 * (mean - before)
    wide, beyond = math.hypot(half, known), change - expected
    return [n, before, change, change - half, change + half, expected, beyond, beyond - wide, beyond + wide]


def _left_out(advisers: pd.DataFrame, frame: pd.DataFrame, usable: pd.Series) -> pd.DataFrame:
    before, after = advisers[BEFORE].notna(), advisers[AFTER].notna()
    reasons = {
        "before only": int((before & ~after).sum()),
        "after only": int((after & ~before).sum()),
        "a question without answer": int((~usable).sum()),
    }
    return pd.DataFrame({"reason": list(reasons), "n": list(reasons.values())})
