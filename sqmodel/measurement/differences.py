"""Do groups differ, and do several judges of one case agree? Welch, Games-Howell and ICC, by pingouin."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from sqmodel.errors import ComputationError
from sqmodel.result import Result
from sqmodel.survey.responses import Responses


@dataclass(frozen=True, repr=False)
class GroupDifferences(Result):
    """Tests of equal means over groups.

    Attributes
    ----------
    tests : DataFrame, one row a dimension
        groups, n, F, df1, df2, pvalue (Welch), partial eta squared, pvalue_holm (over the dimensions).
    pairs : DataFrame
        dimension, first, second, difference (first minus second), se, pvalue (Games-Howell), hedges_g.
    left_out : tuple of str
        Groups that are too small or were to be withheld.
    """

    by: str
    n: int
    tests: pd.DataFrame
    pairs: pd.DataFrame
    left_out: tuple[str, ...]
    settings: dict[str, Any]

    def _headline(self) -> str:
        sure = int((self.tests["pvalue_holm"] < 0.05).sum())
        return f"by {self.by}, n={self.n}: {sure} of {len(self.tests)} dimensions differ (Welch, Holm)"


def assess_group_differences(
    responses: Responses,
    by: str,
    *,
    items: Sequence[str] | None = None,
    minimum_n: int = 10,
    withhold: Collection[str] = (),
    post_hoc: float = 1.0,
) -> GroupDifferences:
    """Do the groups of one variable differ in their dimension scores?

    Parameters
    ----------
    responses : Responses
        One quarter; unweighted, as Welch's test has no design-based form (the index by group is weighted).
    by : str
        Grouping variable.
    items : sequence of str, optional
        Items to score; all by default.
    minimum_n : int
        Groups with fewer members who can be scored on every dimension are left out, and named in `left_out`.
    withhold : collection of str
        Groups to leave out besides: those that an index by group suppresses to protect a smaller one.
    post_hoc : float
        Pairs are compared in the dimensions whose Holm-adjusted p value is at most this; in all by default.

    Raises
    ------
    ComputationError
        The variable is unknown, or fewer than two groups are large enough.
    """
    if by not in responses.group_codes:
        raise ComputationError(f"by: expected one of {', '.join(responses.group_codes)}, found {by!r}")
    scores = responses.dimension_scores(items)
    frame = scores.assign(group=responses.frame[by])
    frame = frame[frame["group"].notna()]
    counts = scores.notna().groupby(responses.frame[by]).sum().min(axis=1).sort_index()
    shown = [str(g) for g in counts.index[counts >= minimum_n] if g not in withhold]
    kept = frame[frame["group"].isin(shown)]
    if kept["group"].nunique() < 2:
        raise ComputationError(
            f"by {by}: expected at least 2 groups of {minimum_n} respondents, found {kept['group'].nunique()}"
        )
    import pingouin

    tests = {}
    for code in responses.instrument.dimension_codes:
        part = kept[[code, "group"]].dropna()
        welch = pingouin.welch_anova(part, dv=code, between="group").iloc[0]
        tests[code] = _welch_row(welch, part)
    table = pd.DataFrame.from_dict(tests, orient="index")
    table["pvalue_holm"] = pingouin.multicomp(table["pvalue"].to_numpy(), method="holm")[1]
    differing = table.index[table["pvalue_holm"] <= post_hoc]
    pairs = [_games_howell(kept[[code, "group"]].dropna(), code) for code in differing]
    settings = {"minimum_n": minimum_n, "tests": "Welch; Games-Howell; Holm over dimensions", "weighted": False,
                "post_hoc": post_hoc}  # fmt: skip
    left_out = tuple(str(g) for g in counts.index if g not in shown)
    return GroupDifferences(by, len(kept), table, _joined(pairs), left_out, settings)


PAIR_COLUMNS = ["dimension", "first", "second", "difference", "se", "pvalue", "hedges_g"]


def _joined(pairs: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(pairs, ignore_index=True) if pairs else pd.DataFrame(columns=PAIR_COLUMNS)


def _welch_row(welch: pd.Series, part: pd.DataFrame) -> dict[str, Any]:
    pvalue = welch["p_unc"] if "p_unc" in welch else welch["p-unc"]
    return {
        "groups": int(part["group"].nunique()),
        "n": len(part),
        "F": float(welch["F"]),
        "df1": float(welch["ddof1"]),
        "df2": float(welch["ddof2"]),
        "pvalue": float(pvalue),
        "eta_squared": float(welch["np2"]),
    }


def _games_howell(part: pd.DataFrame, code: str) -> pd.DataFrame:
    import pingouin

    found = pingouin.pairwise_gameshowell(part, dv=code, between="group", effsize="hedges")
    return pd.DataFrame(
        {
            "dimension": code,
            "first": found["A"],
            "second": found["B"],
            "difference": found["diff"],
            "se": found["se"],
            "pvalue": found["pval"],
            "hedges_g": found["hedges"],
        }
    )


@dataclass(frozen=True, repr=False)
class Agreement(Result):
    """Intraclass correlations of several judges of the same targets.

    Attributes
    ----------
    table : DataFrame, one row a form of Shrout and Fleiss (1979)
        Index ICC1, ICC2, ICC3, ICC1k, ICC2k, ICC3k; estimate, F, df1, df2, pvalue, low, high.
    """

    targets: int
    raters: int
    table: pd.DataFrame
    settings: dict[str, Any]

    def _headline(self) -> str:
        row = self.table.loc["ICC2"]
        bounds = f"[{row['low']:.2f}, {row['high']:.2f}]"
        return f"{self.targets} targets, {self.raters} raters: ICC2 {row['estimate']:.3f} {bounds}"


FORMS = {"ICC(1,1)": "ICC1", "ICC(A,1)": "ICC2", "ICC(C,1)": "ICC3",
         "ICC(1,k)": "ICC1k", "ICC(A,k)": "ICC2k", "ICC(C,k)": "ICC3k"}  # fmt: skip


def assess_agreement(scores: pd.DataFrame) -> Agreement:
    """Do several judges (inspectors, respondents of one client) agree on the same targets?

    Parameters
    ----------
    scores : DataFrame, targets x raters
        No missing values.

    Raises
    ------
    ComputationError
        Missing scores, fewer than two raters or five targets (what the F intervals need).

    Notes
    -----
    Estimates and intervals come from pingouin, which rounds the bounds to two decimals.
    """
    if scores.isna().to_numpy().any():
        raise ComputationError(
            f"expected every rater to score every target, found {int(scores.isna().sum().sum())} gaps"
        )
    if scores.shape[0] < 5 or scores.shape[1] < 2:
        raise ComputationError(
            f"expected at least 5 targets and 2 raters, found {scores.shape[0]} targets and {scores.shape[1]} raters"
        )
    import pingouin

    values = scores.to_numpy(float)
    long = pd.DataFrame(
        {
            "target": np.repeat(np.arange(values.shape[0]), values.shape[1]),
            "rater": np.tile(np.arange(values.shape[1]), values.shape[0]),
            "score": values.ravel(),
        }
    )
    found = pingouin.intraclass_corr(long, targets="target", raters="rater", ratings="score").set_index("Type")
    found.index = pd.Index([FORMS.get(str(i), str(i)) for i in found.index], name="form")
    bounds = next(c for c in found.columns if str(c).startswith("CI95"))
    pvalue = next(c for c in found.columns if str(c).lower().startswith("p"))
    table = pd.DataFrame(
        {
            "estimate": found["ICC"].astype(float),
            "F": found["F"].astype(float),
            "df1": found["df1"].astype(float),
            "df2": found["df2"].astype(float),
            "pvalue": found[pvalue].astype(float),
            "low": [float(b[0]) for b in found[bounds]],
            "high": [float(b[1]) for b in found[bounds]],
        }
    )
    return Agreement(values.shape[0], values.shape[1], table, {"level": 0.95})
