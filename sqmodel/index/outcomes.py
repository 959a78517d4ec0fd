"""What the service leads to: satisfaction, recommendation, effort, intention to stay, and the ACSI form."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.index.columns import Columns, Part, difference, quarter_pattern
from sqmodel.index.weighting import outcome_percent
from sqmodel.measurement.measure import Measure
from sqmodel.result import Result
from sqmodel.survey.instrument import Role
from sqmodel.survey.responses import Responses

ROLES: tuple[Role, ...] = ("csat", "nps", "effort", "retention", "acsi")


@dataclass(frozen=True, repr=False)
class Outcomes(Result):
    """Outcomes of the quarter and their change.

    Attributes
    ----------
    table : DataFrame, one row an outcome
        n, estimate, se, low, high, change, change_low, change_high, unit. csat, retention and acsi are means on 0-100;
        effort too (100: the greatest effort); nps is promoters (9-10 of 0-10) minus detractors (0-6) in percent.
    """

    n: int
    table: pd.DataFrame
    settings: dict[str, Any]

    def _headline(self) -> str:
        shown = (f"{name} {row['estimate']:.1f}±{row['se']:.1f}" for name, row in self.table.iterrows())
        return f"n={self.n}: " + (", ".join(shown) or "no outcome questions")


def assess_outcomes(
    measure: Measure, *, previous: str = "",
    minimum_n: int = 10, level: float = 0.95, draws: int = 1000,
    rng: np.random.Generator | int = 0,
) -> Outcomes:  # fmt: skip
    """What do clients say of the result, and has it changed?

    Parameters
    ----------
    measure : Measure
    previous : str
        The quarter to compare with; empty for no comparison (`Index.previous_quarter` names one that is large enough).
    minimum_n : int
        An outcome that fewer answered is left out; one that fewer answered in the previous quarter has no change.
    level, draws, rng
        Of the studentised bootstrap over respondents.

    Notes
    -----
    The ACSI form is the mean of its three items put on 0-100 with equal weights; the published ACSI weights them by a
    structural model (Fornell et al. 1996).
    """
    generator = np.random.default_rng(rng)
    responses = measure.responses
    now = (
        (responses.frame["quarter"] == measure.quarter).to_numpy() if measure.quarter else np.ones(len(responses), bool)
    )
    before = (responses.frame["quarter"] == previous).to_numpy() if previous else np.zeros(len(responses), bool)
    part = responses.keep(now | before)
    now = now[now | before]
    quarters = part.frame["quarter"].astype(str) if "quarter" in part.frame else None
    rows = {}
    for role in ROLES:
        values = _values(part, role)
        if values is None or int(values[now].notna().sum()) < minimum_n:
            continue
        book = Columns(part.sample_weight, part.calibration, quarters)
        parts: list[Part] = [book.mean(values.where(now))]
        compared = bool(previous) and int(values[~now].notna().sum()) >= minimum_n
        if compared:
            parts.append(difference(parts[0], book.mean(values.where(~now))))
        result = book.bootstrap(
            parts,
            units=part.frame["respondent"],
            strata=quarter_pattern(part.frame),
            rng=generator,
            draws=draws,
            level=level,
        )
        row = {"n": int(values[now].notna().sum()), "estimate": result.estimate[0], "se": result.se[0]}
        lowest = -100.0 if role == "nps" else 0.0
        row |= {"low": max(result.low[0], lowest), "high": min(result.high[0], 100.0)}
        for name, source in (("change", result.estimate), ("change_low", result.low), ("change_high", result.high)):
            row[name] = source[1] if compared else math.nan
        rows[role] = row | {"unit": "-100-100" if role == "nps" else "0-100"}
    columns = ["n", "estimate", "se", "low", "high", "change", "change_low", "change_high", "unit"]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    return Outcomes(len(measure.current), table, {"level": level, "draws": draws, "previous": previous})


def _values(part: Responses, role: Role) -> pd.Series | None:
    answers = part.outcome(role)
    if answers.shape[1] == 0:
        return None
    if role != "nps":
        return outcome_percent(part, answers).mean(axis=1)
    answer = answers.iloc[:, 0]
    net = 100.0 * ((answer >= 9).astype(float) - (answer <= 6).astype(float))
    return net.where(answer.notna())
