"""The operations of the demonstration study: records that belong to its answers, with known truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from sqmodel.errors import OperationsError, Problem
from sqmodel.operations.demo_operations import draw_course, simulate_cases, tell
from sqmodel.operations.demo_records import complaints, loans, staff
from sqmodel.operations.operations_population import OperationsTruth, demo_truth
from sqmodel.survey.demo_population import LINES

__all__ = ["DEMO_TRUTH", "OperationsTruth", "demo_operations", "demo_truth", "simulate_operations"]

DEMO_TRUTH: dict[str, OperationsTruth] = {line: demo_truth(line) for line in LINES}


def demo_operations(directory: str | Path, *, rng: np.random.Generator | int = 20260933) -> list[Path]:
    """Write what the lender did in the demonstration study, beside the answers that `demo_study` wrote.

    Parameters
    ----------
    directory : str or Path
        Where ``project_finance.csv`` and ``corporate_lending.csv`` are. They are read, not changed.
    rng : Generator or int
        The default gives the study of the documentation, the same bytes each time; in it chance makes no driver of
        what is none (as it does with one seed in twenty).

    Returns
    -------
    list of Path
        For each line, as ``LINE.NAME.csv`` in UTF-8: events, complaints, exposures, alerts, advisers, tests, training,
        inspections (see `simulate_operations`).

    Raises
    ------
    OperationsError
        The answers are not there.

    Notes
    -----
    The planted facts are in `DEMO_TRUTH`, one `OperationsTruth` a line. Project finance: credit approval is the
    bottleneck, and shorter in 2026Q3; its wait moves efficiency (partial correlation -.40), documents asked for again
    move experience (-.30), the wait for contract signing moves nothing; complaints about repeated documents fell
    from 2026Q2; its default probabilities are calibrated. Corporate lending: qualification review is the bottleneck,
    nothing moves anything, nothing falls, and defaults are half as many again as stated. In both, urgent cases wait
    half as long and default no more; of four warning rules ``news_mention`` is useless; advisers differ on COM.
    Observation ends on 2026-09-30, 17:30: cases under way are open.
    """
    folder = Path(directory)
    absent = [f"{line}.csv" for line in LINES if not (folder / f"{line}.csv").is_file()]
    if absent:
        raise OperationsError(
            str(folder),
            [Problem("expected the answers of the demonstration study, found no file", tuple(absent))],
            "write them with demo_study(directory) first",
        )
    paths = []
    for line, stream in zip(LINES, np.random.default_rng(rng).spawn(len(LINES)), strict=True):
        for name, frame in simulate_operations(line, folder / f"{line}.csv", rng=stream).items():
            path = folder / f"{line}.{name}.csv"
            frame.to_csv(path, index=False, encoding="utf-8", lineterminator="\n")
            paths.append(path)
    return paths


def simulate_operations(line: str, answers: str | Path, *, rng: np.random.Generator | int) -> dict[str, pd.DataFrame]:
    """Draw what the lender did in the cases of one business line, given their answers.

    Parameters
    ----------
    line : {"project_finance", "corporate_lending"}
    answers : path
        Answers of the line as `demo_study` writes them.
    rng : Generator or int

    Returns
    -------
    dict
        events : case_id, activity, lifecycle, timestamp, resource, channel, entry_minutes, errors, urgent (yes, no)
        and amount (10,000 yuan), both with a case's first event only.
        complaints : complaint_id, case_id, received, first_response, resolved, closed, reopened, complex, extended,
        cause, channel.
        exposures : loan_id, grade, probability (of default within 12 months), granted, observed_until, event.
        alerts : loan_id, rule, at.
        advisers : case_id, adviser, of answered cases.
        tests : adviser, session, taken, i1 to i20.
        training : adviser, course, completed.
        inspections : adviser, inspector, visit, check, passed.
        Instants are ISO text with China's offset, days ISO dates.
    """
    truth = demo_truth(line)
    # A stream of its own for each table: a change to one leaves the others as they are.
    of_cases, of_course, of_events, of_complaints, of_loans, of_staff = np.random.default_rng(rng).spawn(6)
    course = draw_course(truth, simulate_cases(truth, str(answers), of_cases), of_course)
    exposures, alerts = loans(truth, course, of_loans)
    answered = course.cases[course.cases["surveyed"].astype(bool)]
    return {
        "events": tell(truth, course, of_events),
        "complaints": complaints(truth, course, of_complaints),
        "exposures": exposures,
        "alerts": alerts,
        "advisers": answered[["case_id", "adviser"]].reset_index(drop=True),
        **staff(truth, of_staff),
    }
