"""The branches of the demonstration study: respondents, cases, alerts, advisers and judges, with known truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

Floats = npt.NDArray[np.float64]
UNIT, NAME = "branch", "branches"
BRANCHES, JUDGES = 24, 9
REGIONS = ("east", "central", "west")
SLOW, SILENT = 16, (5, 19)
"""Places in the planted order: the branch whose reviews take three times as long, those that had no alerts."""
LEADS = {1: 0.4, 8: 0.5, 18: 1.4}
"""How many branches are ahead of the others, and by how much, in standard deviations of the branches."""

WEIGHTS: dict[str, dict[str, float]] = {
    "INDEX": {"EXP": 0.30, "EFF": 0.30, "RSK": 0.25, "COM": 0.15},
    "EXP": {"experience": 0.50, "repeated": 0.30, "handovers": 0.20},
    "EFF": {"efficiency": 0.40, "review_hours": 0.25, "within_limit": 0.35},
    "RSK": {"feedback": 0.40, "complaints": 0.35, "warning_precision": 0.25},
    "COM": {"competence": 0.50, "test_share": 0.30, "trained": 0.20},
}
"""What the judges hold to be right, each in a way of their own."""

SURVEY = {"experience": (68, 5), "efficiency": (62, 6), "feedback": (65, 5), "competence": (71, 4)}
"""Mean of a clients' score, and what one standard deviation of the branches is worth."""


@dataclass(frozen=True)
class DesignDemo:
    """Simulated branches and the truth behind them.

    Attributes
    ----------
    files : dict of name to DataFrame
        ``branches``: branch, region, cases, thousand_cases, complaints. ``respondents``: branch and the four scores.
        ``cases``: branch, repeated, handovers, review_hours, within_limit. ``alerts``: branch, warning_precision (1: it
        came true). ``advisers``: branch, test_share, trained. ``errors``: branch, complaints (standard error).
        ``judgements``: judge, branch, a, b, value.
    truth : DataFrame, branches x indicators and their denominator
        What the records would give if there were endlessly many; of complaints the expected number.
    order : tuple of str
        Branches from the best to the worst of the planted quality, from which every indicator departs a little.
    """

    files: dict[str, pd.DataFrame]
    truth: pd.DataFrame
    order: tuple[str, ...]


def simulate_branches(*, rng: np.random.Generator | int) -> DesignDemo:
    """Draw the records of 24 branches whose quality is known.

    Parameters
    ----------
    rng : Generator or int

    Returns
    -------
    DesignDemo

    Examples
    --------
    >>> demo = simulate_branches(rng=1)
    >>> demo.truth.shape, len(demo.order)
    ((24, 13), 24)
    """
    # A stream of its own for each table: a change to one leaves the others as they are.
    of_truth, of_clients, of_cases, of_alerts, of_staff, of_complaints, of_judges = np.random.default_rng(rng).spawn(7)
    truth, order = _truth(of_truth)
    frame = truth[["thousand_cases"]].assign(
        region=np.resize(REGIONS, len(truth)), complaints=of_complaints.poisson(truth["complaints"])
    )
    frame["cases"] = (1000 * frame["thousand_cases"]).round().astype(int)
    # Of a count without a complaint the error is taken to be that of one.
    errors = frame[["complaints"]].clip(lower=1) ** 0.5
    return DesignDemo(
        files={
            NAME: frame[["region", "cases", "thousand_cases", "complaints"]].rename_axis(UNIT).reset_index(),
            "respondents": _respondents(truth, of_clients),
            "cases": _cases(truth, of_cases),
            "alerts": _alerts(truth, [order[k] for k in SILENT], of_alerts),
            "advisers": _advisers(truth, of_staff),
            "errors": errors.round(3).rename_axis(UNIT).reset_index(),
            "judgements": _judgements(of_judges),
        },
        truth=truth, order=order,
    )  # fmt: skip


def demo_design(directory: str | Path, *, rng: np.random.Generator | int = 20260934) -> list[Path]:
    """Write the branches of the demonstration study.

    Parameters
    ----------
    directory : str or Path
    rng : Generator or int
        The default gives the study of the documentation, the same bytes each time.

    Returns
    -------
    list of Path
        ``branches.csv``, and ``branches.NAME.csv`` for each other table of `DesignDemo`, in UTF-8.

    Notes
    -----
    ``params/branches.design.yaml`` is the study of them, ``lending_index`` its tree. One branch is ahead of the others,
    one takes three times as long for its reviews, and two had no alerts, so that their precision is not known.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, frame in simulate_branches(rng=rng).files.items():
        paths.append(folder / (f"{NAME}.csv" if name == NAME else f"{NAME}.{name}.csv"))
        frame.to_csv(paths[-1], index=False, encoding="utf-8", lineterminator="\n")
    return paths


def _truth(rng: np.random.Generator) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """True values of all columns, and the branches in the planted order."""
    quality = np.linspace(0.9, -0.9, BRANCHES)
    for ahead, lead in LEADS.items():
        quality[:ahead] += lead / 2
        quality[ahead:] -= lead / 2
    names = np.array([f"B{k:02d}" for k in range(1, BRANCHES + 1)])
    order = rng.permutation(names)
    dimension = {code: quality + 0.4 * rng.standard_normal(BRANCHES) for code in WEIGHTS["INDEX"]}
    own = {
        indicator: dimension[code] + 0.5 * rng.standard_normal(BRANCHES)
        for code in WEIGHTS["INDEX"]
        for indicator in WEIGHTS[code]
    }
    thousand = rng.integers(800, 3000, BRANCHES) / 1000
    values = {name: mean + step * own[name] for name, (mean, step) in SURVEY.items()}
    values |= {
        "repeated": expit(-1.3 - 0.45 * own["repeated"]),
        "handovers": 1 + np.exp(0.8 - 0.25 * own["handovers"]),
        "review_hours": np.exp(np.log(38) - 0.22 * own["review_hours"]),
        "within_limit": expit(1.5 + 0.45 * own["within_limit"]),
        "complaints": thousand * np.exp(np.log(11) - 0.3 * own["complaints"]),
        "warning_precision": expit(0.1 + 0.45 * own["warning_precision"]),
        "test_share": expit(1.0 + 0.35 * own["test_share"]),
        "trained": expit(1.2 + 0.5 * own["trained"]),
        "thousand_cases": thousand,
    }
    values["review_hours"][SLOW] *= 3
    return pd.DataFrame(values, index=order).sort_index(), tuple(map(str, order))


def _rows(truth: pd.DataFrame, low: int, high: int, rng: np.random.Generator) -> pd.DataFrame:
    """The branches, each as often as it has rows."""
    return truth.loc[np.repeat(truth.index.to_numpy(), rng.integers(low, high, len(truth)))]


def _told(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.rename_axis(UNIT).reset_index()


def _respondents(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    own = _rows(truth[list(SURVEY)], 90, 150, rng)
    general = rng.standard_normal((len(own), 1))
    scores = own + 15 * (0.7 * general + 0.7 * rng.standard_normal(own.shape))
    return _told(scores.clip(0, 100).round(1))


def _cases(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    own, spread = _rows(truth, 150, 260, rng), 0.5
    n = len(own)
    # The mean of a lognormal is above its median.
    hours = own["review_hours"] * np.exp(spread * rng.standard_normal(n) - spread**2 / 2)
    return _told(
        pd.DataFrame(
            {
                "repeated": (rng.random(n) < own["repeated"]).astype(int),
                "handovers": 1 + rng.poisson(own["handovers"] - 1),
                "review_hours": hours.round(1),
                "within_limit": (rng.random(n) < own["within_limit"]).astype(int),
            },
            index=own.index,
        )
    )


def _alerts(truth: pd.DataFrame, silent: list[str], rng: np.random.Generator) -> pd.DataFrame:
    own = _rows(truth.drop(index=silent), 60, 130, rng)
    right = (rng.random(len(own)) < own["warning_precision"]).astype(int)
    return _told(pd.DataFrame({"warning_precision": right}, index=own.index))


def _advisers(truth: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    own = _rows(truth, 20, 40, rng)
    share = rng.beta(12 * own["test_share"], 12 * (1 - own["test_share"])).round(2)
    trained = (rng.random(len(own)) < own["trained"]).astype(int)
    return _told(pd.DataFrame({"test_share": share, "trained": trained}, index=own.index))


def _judgements(rng: np.random.Generator) -> pd.DataFrame:
    """Every judge compares all pairs of every branch, by weights of their own and not quite consistently."""
    rows = []
    for judge in range(1, JUDGES + 1):
        for node, weights in WEIGHTS.items():
            names = list(weights)
            held = np.log(list(weights.values())) + 0.2 * rng.standard_normal(len(names))
            for i, j in zip(*np.triu_indices(len(names), 1), strict=True):
                value = np.exp(held[i] - held[j] + 0.12 * rng.standard_normal())
                rows.append((f"J{judge}", node, names[i], names[j], round(float(value), 2)))
    return pd.DataFrame(rows, columns=["judge", "branch", "a", "b", "value"])
