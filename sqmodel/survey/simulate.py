"""Answers drawn from a known population, and the demonstration study that sqmodel ships as a program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.survey.demo_population import LINES, demo_population
from sqmodel.survey.population import OutcomeModel, Population
from sqmodel.survey.simple_population import SimplePopulation, simple_population
from sqmodel.survey.truth import FloatArray, Truth, discretise

__all__ = [
    "OutcomeModel",
    "Population",
    "SimplePopulation",
    "Truth",
    "demo_population",
    "demo_study",
    "simple_population",
    "simulate_responses",
]

COMMENTED = 0.06
NEVER_USED = 0.03
BoolArray = npt.NDArray[np.bool_]


def simulate_responses(
    population: Population,
    n: int,
    *,
    quarter: str,
    rng: np.random.Generator | int,
    careless: float = 0.02,
    missing: float = 0.02,
) -> pd.DataFrame:
    """Draw the answers of one quarter.

    Parameters
    ----------
    population : Population
    n : int
        Questionnaires.
    quarter : str
        One of the population's quarters.
    rng : Generator or int
    careless : float
        Share of respondents who do not read: the same answer throughout or any answer, and too fast.
    missing : float
        Share of answers left blank at random, most of them by few respondents; besides, some clients never
        used some services and leave those items blank. 0 leaves no blanks at all.

    Returns
    -------
    DataFrame, n x columns
        Canonical columns, for `Responses(population.instrument, frame)`; ratings as answered (reversed items
        are not turned), NaN missing.

    Raises
    ------
    InputError
        The population knows no such quarter.

    Notes
    -----
    Compare with `Population.truth` at ``careless=0, missing=0``.

    Examples
    --------
    >>> frame = simulate_responses(demo_population("project_finance"), 50, quarter="2026Q3", rng=1)
    >>> frame.shape[0], frame["case_id"].iloc[0]
    (50, 'PF-2026Q3-0001')
    """
    generator = np.random.default_rng(rng)
    groups = _draw_groups(population, n, quarter, generator)
    centre = groups[population.instrument.dimension_codes].to_numpy()
    items, expectations, outcomes = _draw_ratings(population, centre, generator)
    hurried = generator.random(n) < careless
    items, expectations = _answer_carelessly(population, items, expectations, hurried, generator)
    comments = _draw_comments(population, items, outcomes, generator)
    answers = [
        items.mask(_unused(population, items, missing, generator)),
        expectations,
        outcomes,
    ]
    identity = _draw_identity(population, n, quarter, generator)
    blanked = _leave_blank(answers, _draw_importance(population, n, generator), missing, generator)
    frame = pd.concat([identity, groups[list(population.shares)], *blanked], axis=1)
    usual = np.exp(generator.normal(np.log(640), 0.32, n)).clip(240)
    frame["duration"] = np.where(hurried, generator.uniform(45, 130, n), usual).round()
    frame["comment"] = comments
    return frame


def _draw_identity(population: Population, n: int, quarter: str, rng: np.random.Generator) -> pd.DataFrame:
    # The respondent's number is not the case's: whoever has only the answers cannot look up the case.
    numbers = rng.permutation(n) + 1
    return pd.DataFrame(
        {
            "respondent": [f"{population.code}{quarter}R{k:04d}" for k in numbers],
            "quarter": quarter,
            "case_id": [f"{population.code}-{quarter}-{k:04d}" for k in range(1, n + 1)],
        }
    )


def _draw_groups(population: Population, n: int, quarter: str, rng: np.random.Generator) -> pd.DataFrame:
    """Group values and the mean of each dimension of every respondent."""
    cells = population.cells(quarter)
    drawn = cells.iloc[rng.choice(len(cells), size=n, p=cells["share"])].reset_index(drop=True)
    for group, shares in population.shares.items():
        if group not in population.effects:
            # By quota: a group that is meant to be small stays small, and no answer depends on it.
            counts = round_to_total(np.array([list(shares.values())]) * n)[0]
            drawn[group] = rng.permutation(np.repeat(list(shares), counts))
    return drawn


def _draw_ratings(
    population: Population, centre: FloatArray, rng: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Ratings as answered: items, expectations, outcomes."""
    instrument = population.instrument
    codes = instrument.item_codes
    root = np.linalg.cholesky(population.correlation)
    deviation = rng.standard_normal((len(centre), len(root))) @ root.T
    answers = discretise(deviation + centre @ population.pattern.T, population.cuts)
    answers = answers + population.minima.astype(int)
    own = rng.standard_normal((len(centre), len(codes)))
    demanding = rng.standard_normal((len(centre), 1))
    link = population.expectation_link
    wish = link * deviation[:, : len(codes)] + np.sqrt(1 - link**2) * (0.6 * demanding + 0.8 * own)
    expected = discretise(wish, [population.expected[c] for c in codes])
    expected = expected + population.minima[: len(codes)].astype(int)
    frame = pd.DataFrame(answers, columns=population.variables).astype(float)
    suffix = instrument.expectation_suffix or "_e"
    expectations = _as_answered(population, pd.DataFrame(expected, columns=codes).astype(float))
    return (
        _as_answered(population, frame[codes]),
        expectations.add_suffix(suffix),
        frame[[*population.outcomes]],
    )


def _as_answered(population: Population, oriented: pd.DataFrame) -> pd.DataFrame:
    raw = oriented.copy()
    for item in population.instrument.items:
        if item.reversed:
            scale = population.instrument.scale_of(item.code)
            raw[item.code] = scale.minimum + scale.maximum - raw[item.code]
    return raw


def _answer_carelessly(
    population: Population,
    items: pd.DataFrame,
    expectations: pd.DataFrame,
    hurried: BoolArray,
    rng: np.random.Generator,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Three in five of the hurried tick one point all the way down, the others tick anything."""
    scale = population.instrument.scale
    n, p = items.shape
    column = rng.integers(scale.minimum + 2, scale.maximum + 1, (n, 1))
    anything = rng.integers(scale.minimum, scale.maximum + 1, (n, 2 * p))
    ticked = np.where(rng.random((n, 1)) < 0.6, column, anything).astype(float)
    rows = hurried[:, None]
    return (
        _same_labels(items, np.where(rows, ticked[:, :p], items.to_numpy())),
        _same_labels(expectations, np.where(rows, ticked[:, p:], expectations.to_numpy())),
    )


def _same_labels(frame: pd.DataFrame, values: FloatArray) -> pd.DataFrame:
    return pd.DataFrame(values, index=frame.index, columns=frame.columns)


def _unused(population: Population, items: pd.DataFrame, missing: float, rng: np.random.Generator) -> BoolArray:
    """Items about services that the respondent never used."""
    unused = np.zeros(items.shape, dtype=bool)
    for service in population.seldom if missing else ():
        unused |= (rng.random((len(items), 1)) < NEVER_USED) & np.array([c in service for c in items.columns])
    return unused


def _leave_blank(
    frames: list[pd.DataFrame], points: pd.DataFrame, missing: float, rng: np.random.Generator
) -> list[pd.DataFrame]:
    """Blanks gather in few respondents, as they do in the field: a gamma rate of shape 1/4 for each.

    The points are left blank together: survey tools accept a constant sum only whole.
    """
    rate = np.clip(rng.gamma(0.25, 4 * missing, (len(points), 1)), 0, 0.6)
    blanked = [frame.mask(rng.random(frame.shape) < rate) for frame in frames]
    unasked = np.broadcast_to(rng.random((len(points), 1)) < rate, points.shape)
    return [*blanked, points.mask(unasked)]


def _draw_importance(population: Population, n: int, rng: np.random.Generator) -> pd.DataFrame:
    allocation = population.instrument.allocation
    if allocation is None:
        return pd.DataFrame(index=range(n))
    codes = population.instrument.dimension_codes
    mean = np.array([population.importance[d] for d in codes])
    drawn = rng.dirichlet(mean * population.importance_precision, size=n)
    points = round_to_total(drawn * allocation.total)
    return pd.DataFrame(points, columns=[allocation.prefix + d for d in codes]).astype(float)


def round_to_total(shares: FloatArray) -> npt.NDArray[np.int64]:
    """Whole numbers with the same row sums (whole themselves), by largest remainder; rows x parts."""
    floor = np.floor(shares)
    left = np.rint(shares.sum(axis=1) - floor.sum(axis=1))
    rank = (floor - shares).argsort(axis=1, kind="stable").argsort(axis=1, kind="stable")
    whole: npt.NDArray[np.int64] = (floor + (rank < left[:, None])).astype(np.int64)
    return whole


def _draw_comments(
    population: Population, items: pd.DataFrame, outcomes: pd.DataFrame, rng: np.random.Generator
) -> list[str | None]:
    """A few sentences: praise from the satisfied, from the others about their weakest dimension."""
    spoken, pick = rng.random(len(items)) < COMMENTED, rng.random(len(items))
    oriented = _as_answered(population, items)
    scores = pd.DataFrame({d: oriented[m].mean(axis=1) for d, m in population.instrument.structure().items()})
    top = population.instrument.scale.maximum - 1
    content = scores.mean(axis=1) >= top if "csat" not in outcomes else outcomes["csat"] >= top
    topics = np.where(content, "praise", scores.idxmin(axis=1))
    comments: list[str | None] = [None] * len(items)
    for row in np.flatnonzero(spoken):
        sentences = population.comments.get(str(topics[row]), ())
        comments[row] = sentences[int(pick[row] * len(sentences))] if sentences else None
    return comments


def demo_study(directory: str | Path, *, rng: np.random.Generator | int = 20260930) -> list[Path]:
    """Write the demonstration study: one CSV file a business line, five quarters in each.

    Parameters
    ----------
    directory : str or Path
        Created if it is not there.
    rng : Generator or int
        The default gives the study of the documentation, the same bytes each time.

    Returns
    -------
    list of Path
        ``project_finance.csv`` and ``corporate_lending.csv``: UTF-8 with a byte order mark, for Excel's sake.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for line, stream in zip(LINES, np.random.default_rng(rng).spawn(len(LINES)), strict=True):
        population = demo_population(line)
        # A stream of its own for each quarter: adding a quarter leaves the others as they are.
        parts = [
            _for_file(population, simulate_responses(population, n, quarter=quarter, rng=own, careless=0.04), own)
            for (quarter, n), own in zip(population.sizes.items(), stream.spawn(len(population.sizes)), strict=True)
        ]
        path = folder / f"{line}.csv"
        pd.concat(parts).to_csv(path, index=False, encoding="utf-8-sig", lineterminator="\n")
        paths.append(path)
    return paths


def _for_file(population: Population, frame: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Whole numbers; some blanks about services never used become the code for "not applicable"."""
    written = frame.copy()
    codes = population.instrument.scale.not_applicable
    for service in population.seldom if codes else ():
        unused = written[list(service)].isna().all(axis=1) & (rng.random(len(written)) < 0.7)
        written.loc[unused, list(service)] = codes[0]
    numeric: Mapping[str, str] = {str(c): "Int64" for c in written.select_dtypes("number").columns}
    return written.astype(numeric)
