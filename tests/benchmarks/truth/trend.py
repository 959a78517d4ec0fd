"""Trend and chain-linking: a service that does not change, or changes by two standard errors, over known versions.

The questionnaire has two dimensions of four statements. Its second version keeps two of them in each and replaces the
others by harder ones, so that the same service scores lower on it by some seven points.
"""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import brentq

from sqmodel.index.chain import LinkedIndex, link_index
from sqmodel.index.links import Segment
from sqmodel.index.trend import assess_trend
from sqmodel.measurement.measure import Measure
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import SimplePopulation, simple_population
from tests.benchmarks.truth import Trial

N, DRAWS = 80, 500
DIFFICULTY = (-0.3, 0.1, 0.2, 0.0, 0.7, 0.9)
"""What is added to the thresholds of the six statements of a dimension: the last two are the harder ones."""
OLD, NEW = (0, 1, 2, 3), (2, 3, 4, 5)


@functools.cache
def union() -> SimplePopulation:
    """Both versions' statements together, six a dimension, skewed as satisfaction ratings are."""
    plain = simple_population(6, dimensions=2, skewed=True)
    return replace(plain, thresholds=plain.thresholds + np.tile(DIFFICULTY, 2)[:, None])


def _places(own: Sequence[int]) -> list[int]:
    return [6 * d + k for d in range(2) for k in own]


@functools.cache
def version(own: tuple[int, ...], name: str) -> Instrument:
    """The questionnaire of some of the statements."""
    whole = union().instrument
    items = tuple(whole.items[p] for p in _places(own))
    return whole.model_copy(update={"items": items, "version": name})


def moved(shift: float) -> SimplePopulation:
    """The old version's population after the service became better by `shift` standard deviations of every answer."""
    whole, own = union(), _places(OLD)
    return SimplePopulation(
        whole.loadings[own], whole.membership[own], whole.factor_correlation, whole.thresholds[own] - shift
    )


def truth(population: SimplePopulation, shares: npt.ArrayLike = (0.5, 0.5)) -> tuple[float, float]:
    """Exact index and the exact standard deviation of a respondent's score."""
    scoring = population.scoring @ np.asarray(shares, float)
    return float(population.index @ np.asarray(shares, float)), float(
        np.sqrt(scoring @ population.covariance @ scoring)
    )


@functools.cache
def two_errors() -> SimplePopulation:
    """The population whose index lies two standard errors of the difference above that without a shift."""
    start, deviation = truth(moved(0.0))

    def missing(shift: float) -> float:
        value, after = truth(moved(shift))
        return value - start - 2 * float(np.sqrt((deviation**2 + after**2) / N))

    return moved(brentq(missing, 0.01, 2.0, xtol=1e-6))


def drawn(populations: Sequence[SimplePopulation], rng: np.random.Generator) -> Responses:
    """A quarter each, other respondents in each."""
    codes = version(OLD, "1").item_codes
    parts = []
    for i, population in enumerate(populations, start=1):
        frame = pd.DataFrame(population.sample(1, N, rng=rng)[0].astype(float), columns=codes)
        parts.append(frame.assign(respondent=[f"{i}-{k}" for k in range(N)], quarter=f"2026Q{i}"))
    return Responses(version(OLD, "1"), pd.concat(parts, ignore_index=True))


def measured(responses: Responses) -> Measure:
    """The answers as a measure without evidence."""
    items = tuple(responses.instrument.item_codes)
    return Measure(responses, responses.quarters[-1], items, pd.DataFrame(columns=["verdict"]), "publish")


def signals(rng: np.random.Generator) -> dict[str, bool]:
    """Which verdicts two quarters get where nothing changed, and where the index rose by two standard errors."""
    before = moved(0.0)
    found = {}
    for what, after in (("no change", before), ("a change of two standard errors", two_errors())):
        changes = assess_trend(measured(drawn([before, after], rng)), draws=DRAWS, rng=rng).changes
        found[f"trend: {what} is signalled"] = bool(changes["verdict"].iloc[0] != "not sure")
    return found


def together(rng: np.random.Generator) -> dict[str, bool]:
    """Whether the bounds of all changes of four unchanged quarters hold together, and each alone."""
    changes = assess_trend(measured(drawn([moved(0.0)] * 4, rng)), draws=DRAWS, rng=rng).changes
    still = (changes["joint_verdict"] == "not sure").groupby(changes["scope"] == "overall").all()
    return {
        "trend: joint bounds of three changes of the index": bool(still[True]),
        "trend: joint bounds of six changes of dimensions": bool(still[False]),
        "trend: interval of one change": bool(changes["verdict"].iloc[0] == "not sure"),
    }


@dataclass(frozen=True)
class Design:
    """Quarters of the old and of the new version, and who answers in them."""

    what: str
    old: tuple[int, ...]
    new: tuple[int, ...]
    same: bool = True
    panel: bool = False


DESIGNS = (
    Design("overlap, same respondents", (1, 2), (2, 3)),
    Design("overlap, a random half each", (1, 2), (2, 3), same=False),
    Design("overlap, half a panel", (1, 2), (2, 3), panel=True),
    Design("matched items", (1, 2), (3, 4)),
)


def linked(design: Design, rng: np.random.Generator) -> LinkedIndex:
    """The linked series of an unchanged service."""
    quarters = sorted({*design.old, *design.new})
    staying = rng.standard_normal((N // 2 if design.panel else 0, 2))
    people = {q: _people(q, staying, rng) for q in quarters}
    segments = []
    for own, when, name in ((OLD, design.old, "1"), (NEW, design.new, "2")):
        parts = [_asked(people[q], own, q, design, name) for q in when]
        responses = Responses(version(own, name), pd.concat(parts, ignore_index=True))
        segments.append(Segment(measured(responses), reason="harder statements" if name == "2" else ""))
    return link_index(segments, draws=DRAWS, rng=rng)


def _people(quarter: int, staying: npt.NDArray[np.float64], rng: np.random.Generator) -> pd.DataFrame:
    """Answers of a quarter's respondents to all statements; those of a panel bring what they felt before."""
    whole = union()
    factors = rng.standard_normal((N, 2))
    factors[: len(staying)] = staying
    names = [f"panel-{k}" if k < len(staying) else f"{quarter}-{k}" for k in range(N)]
    factors = factors @ np.linalg.cholesky(whole.factor_correlation).T
    latent = factors[:, whole.membership] * whole.loadings
    latent += rng.standard_normal(latent.shape) * np.sqrt(1 - whole.loadings**2)
    answers = (latent[:, :, None] > whole.thresholds).sum(axis=2) + 1.0
    return pd.DataFrame(answers, columns=whole.instrument.item_codes).assign(respondent=names)


def _asked(people: pd.DataFrame, own: tuple[int, ...], quarter: int, design: Design, name: str) -> pd.DataFrame:
    """The answers of a version; in a split sample each version asks a half of the respondents."""
    codes = version(own, name).item_codes
    rows = people
    if not design.same and quarter in design.old and quarter in design.new:
        rows = people.iloc[: N // 2] if name == "1" else people.iloc[N // 2 :]
    return rows[[*codes, "respondent"]].assign(quarter=f"2026Q{quarter}")


def judge(design: Design, rng: np.random.Generator) -> dict[str, bool]:
    """Whether the differences of an unchanged service cover zero, and the offset the exact difference of versions."""
    found = linked(design, rng)
    own = found.differences[(found.differences["quarter"] == found.differences["quarter"].max())
                            & (found.differences["earlier"] == "2026Q1")].set_index("scope")  # fmt: skip
    zero = (own["low"] <= 0) & (own["high"] >= 0)
    link = found.links.set_index("scope").loc["overall"]
    return {
        f"chain: {design.what}, difference is zero": bool(zero["overall"]),
        f"chain: {design.what}, of a dimension": bool(zero["D1"]),
        f"chain: {design.what}, offset": bool(link["low"] <= harder() <= link["high"]),
    }


@functools.cache
def harder() -> float:
    """How many points lower the same service scores on the new version: exact."""
    whole = union()
    own = [
        SimplePopulation(whole.loadings[p], whole.membership[p], whole.factor_correlation, whole.thresholds[p])
        for p in (_places(OLD), _places(NEW))
    ]
    return truth(own[1])[0] - truth(own[0])[0]


def trials(repetitions: int, seed: int) -> list[Trial]:
    """Verdicts of two quarters, joint bounds of four, and every way to link two versions of an unchanged service."""
    streams = np.random.default_rng(seed).spawn(2 + len(DESIGNS))
    hits: Counter[str] = Counter()
    names: list[str] = []
    for judged, stream in zip((signals, together, *(functools.partial(judge, d) for d in DESIGNS)), streams,
                              strict=True):  # fmt: skip
        claims: dict[str, bool] = {}
        for _ in range(repetitions):
            claims = judged(stream)
            hits.update(claim for claim, holds in claims.items() if holds)
        names += claims
    bounds = {
        "trend: no change is signalled": (0.03, 0.07),
        "trend: a change of two standard errors is signalled": (0.45, 0.58),
    }
    return [Trial(name, N, hits[name], repetitions, *bounds.get(name, (0.93, 0.97))) for name in names]
