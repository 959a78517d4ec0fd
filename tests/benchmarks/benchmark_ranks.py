"""How often do an association's rank sets hold the true order, and how often is one of equals declared the best?

Run as ``python -m tests.benchmarks.benchmark_ranks [--repetitions 500] [--seed 1] [--json]``. Institutions with known
true scores and indicators send submissions: scores with estimated covariances, binomial shares, Poisson rates. The
benchmark's own path (goalposts, weights, adjustment for case mix, floors and deductions, draws, rank sets) goes on
from there. At once: the share of repetitions in which every institution's simultaneous set holds all ranks that its
true (adjusted) score may have; of one: the share of institutions whose own, marginal set does; best: that of
repetitions in which exactly one institution is sure of rank 1. It ends with 1 where the sets of some design hold less
than 95 % minus two Monte Carlo standard errors, or where somebody of equals is declared the best in more than 5 % plus
two.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.assess_field import Field
from sqmodel.benchmark.assess_standing import assess_standing
from sqmodel.benchmark.comparison import Gate
from sqmodel.benchmark.content import Context, Identity, Indicator, Score, Submission
from sqmodel.benchmark.profile import Member, Profile, Register, load_profile
from sqmodel.definitions import Text

Floats = npt.NDArray[np.float64]
LEVEL, DRAWS = 0.95, 800
DIMENSIONS = ("EXP", "EFF", "RSK", "COM")
PERCEPTION = (65.0, 4.0)
"""Usual score of a dimension, and what a standard deviation of quality adds."""
WITHIN = 15.0**2 * (0.4 + 0.6 * np.eye(4))
"""Covariance of the respondents' scores of the dimensions."""
OPERATIONS = {
    "repeated": ("share", 0.30, -0.04), "handovers": ("mean", 3.5, -0.4), "review_hours": ("mean", 45.0, -8.0),
    "within_limit": ("share", 0.78, 0.04), "complaints": ("rate", 0.012, -0.002),
    "warning_precision": ("share", 0.5, 0.08), "test_share": ("share", 0.72, 0.04), "trained": ("share", 0.75, 0.05),
}  # fmt: skip
"""Kind, usual value, and what a standard deviation of quality adds."""
SPREAD = {"handovers": 1.5, "review_hours": 40.0}
SIZES = ("large", "medium", "small", "micro")
MIX_EFFECT = np.array([0.0, -4.0, -8.0, -16.0])
"""Points that a client of this size adds to each dimension."""


@dataclass(frozen=True)
class Design:
    """Institutions with their number of respondents, how much they differ, and what makes ranking hard."""

    name: str
    institutions: int
    respondents: tuple[int, int]
    differences: float = 1.0
    case_mix: bool = False
    at_limit: bool = False

    @property
    def equal(self) -> bool:
        return self.differences == 0 and not self.at_limit


DESIGNS = (
    Design("3, n 300, real differences", 3, (300, 300)),
    Design("10, n 500, real differences", 10, (500, 500)),
    Design("30, n 60 to 2,000, real differences", 30, (60, 2000)),
    Design("15, n 3,000 to 30,000, real differences", 15, (3000, 30000)),
    Design("30, n 60 to 2,000, small differences", 30, (60, 2000), 0.1),
    Design("20 with a floor at their own value", 20, (150, 600), 0.5, at_limit=True),
    Design("40, case mix, real differences", 40, (100, 1000), 0.5, case_mix=True),
    Design("5 equals, n 300", 5, (300, 300), 0.0),
    Design("30 equals, n 60 to 2,000", 30, (60, 2000), 0.0),
    Design("40 equals but for their case mix", 40, (100, 1000), 0.0, case_mix=True),
)


@dataclass(frozen=True)
class Truth:
    """Quality by institution and dimension, shares of clients by size, respondents, and the true adjusted scores."""

    quality: Floats
    mix: Floats
    n: npt.NDArray[np.intp]
    within_limit: Floats
    score: Floats


def truth_of(design: Design, profile: Profile, rng: np.random.Generator) -> Truth:
    """Institutions of a design."""
    k = design.institutions
    quality = design.differences * np.clip(rng.normal(size=(k, 4)), -2.2, 2.2)
    mix = rng.dirichlet([4, 4, 4, 4], size=k)
    low, high = design.respondents
    n = np.exp(rng.uniform(np.log(low), np.log(high), k)).astype(int)
    limit = _expected("within_limit", quality)
    if design.at_limit:
        limit[: k // 2] = rng.uniform(0.47, 0.53, k // 2)
    return Truth(quality, mix, n, limit, _score(design, profile, quality, limit))


def _expected(code: str, quality: Floats) -> Floats:
    places = dict(zip(OPERATIONS, (0, 0, 1, 1, 2, 2, 3, 3), strict=True))
    _, usual, gain = OPERATIONS[code]
    return np.asarray(usual + gain * quality[:, places[code]])


def _score(design: Design, profile: Profile, quality: Floats, limit: Floats) -> Floats:
    """True composites with an average case mix: goalposts, weights, floors; all inside of the goalposts."""
    tree = profile_tree(profile)
    weights = tree.effective_weights()
    values = {profile.perception[d]: PERCEPTION[0] + PERCEPTION[1] * quality[:, j] for j, d in enumerate(DIMENSIONS)}
    values |= {c: _expected(c, quality) * profile.scale.get(c, 1.0) for c in OPERATIONS} | {"within_limit": limit}
    total = np.zeros(len(quality))
    for code, value in values.items():
        node = tree.node(code)
        assert node.goalposts is not None
        place = (value - node.goalposts[0]) / (node.goalposts[1] - node.goalposts[0])
        assert ((place >= 0) & (place <= 1)).all(), code
        total += weights[code] * 100 * (place if node.direction > 0 else 1 - place)
    if design.at_limit:
        total = np.where(limit < 0.5, np.minimum(total, profile.floors[0].cap), total)
    return total


def submissions_of(design: Design, truth: Truth, rng: np.random.Generator) -> tuple[Submission, ...]:
    """What the institutions would send in one quarter."""
    made = Identity("lending_service", "1.0", "0" * 64)
    found = []
    for i, n in enumerate(truth.n):
        mean = PERCEPTION[0] + PERCEPTION[1] * truth.quality[i]
        mean = mean + (truth.mix[i] - 0.25) @ MIX_EFFECT if design.case_mix else mean
        root = np.linalg.cholesky(WITHIN)
        cov = WITHIN * rng.chisquare(n - 1) / (n - 1) / n
        estimate = mean + root @ rng.normal(size=4) / math.sqrt(n)
        scores = [Score("overall", int(n), estimate.mean(), math.sqrt(cov.mean()))]
        scores += [
            Score(d, int(n), e, math.sqrt(v)) for d, e, v in zip(DIMENSIONS, estimate, np.diag(cov), strict=True)
        ]
        context = [Context("size", s, p) for s, p in zip(SIZES, truth.mix[i], strict=True)]
        found.append(Submission(f"I{i:03d}", "2026Q3", 0, made, None, True, int(n), (), None, tuple(scores), cov,
                                indicators=tuple(_indicators(truth, i, int(n), rng)),
                                context=tuple(context) if design.case_mix else ()))  # fmt: skip
    return tuple(found)


def _indicators(truth: Truth, i: int, n: int, rng: np.random.Generator) -> list[Indicator]:
    """Cases are five a respondent, advisers one in twelve with 20 questions each, warnings one in four."""
    sizes = {"warning_precision": max(20, n // 4), "test_share": 20 * max(12, n // 12), "trained": max(12, n // 12)}
    found = []
    for code, (kind, *_) in OPERATIONS.items():
        value = float(truth.within_limit[i] if code == "within_limit" else _expected(code, truth.quality[[i]])[0])
        m = sizes.get(code, 5 * n)
        if kind == "mean":
            se = SPREAD[code] / math.sqrt(m)
            found.append(Indicator(code, "mean", m, math.nan, value + se * rng.normal(), se))
            continue
        events = int(rng.binomial(m, value) if kind == "share" else rng.poisson(m * value))
        share = events / m
        se = math.sqrt(share * (1 - share if kind == "share" else 1) / m)
        found.append(Indicator(code, "share" if kind == "share" else "rate", m, events, share, se))
    return found


def run(design: Design, repetitions: int, seed: int = 1) -> dict[str, Any]:
    """Figures of a design."""
    plain = load_profile("lending_association")
    floor = plain.floors[0].model_copy(update={"cap": 52.0})
    change = {"floors": (floor,) if design.at_limit else (), "deductions": ()}
    profile = plain.model_copy(update={**change, "case_mix": ("size",) if design.case_mix else ()})
    rng = np.random.default_rng(seed)
    truth = truth_of(design, profile, rng)
    least = 1 + (truth.score[None, :] > truth.score[:, None] + 1e-9).sum(axis=1)
    most = (truth.score[None, :] >= truth.score[:, None] - 1e-9).sum(axis=1)
    start, at_once, each, best, width = time.monotonic(), 0, 0.0, 0, 0.0
    for _ in range(repetitions):
        sent = submissions_of(design, truth, rng)
        field = Field(sent, profile, profile_tree(profile), REGISTER, GATE, DRAWS)
        table = assess_standing(field, rng).table
        assert (table["reason"] == "").all()
        low, high = table["best_all"].to_numpy(), table["worst_all"].to_numpy()
        at_once += bool(((low <= least) & (high >= most)).all())
        own, worst = table["best"].to_numpy(), table["worst"].to_numpy()
        each += float(((own <= least) & (worst >= most)).mean())
        best += int(((low == 1) & (high == 1)).sum()) == 1
        width += float((high - low + 1).mean())
    return {"design": design.name, "equal": design.equal, "at_once": at_once / repetitions, "each": each / repetitions,
            "best": best / repetitions, "width": width / repetitions, "institutions": design.institutions,
            "seconds": time.monotonic() - start}  # fmt: skip


REGISTER = Register(name="none", title=Text(en="none"), members=(Member(code="X", title=Text(en="X"), key="0" * 64),))
GATE = Gate(0, 0, "none", "comparable", "", pd.DataFrame(), pd.DataFrame(), pd.DataFrame(), pd.DataFrame())


def passed(figures: dict[str, Any], repetitions: int) -> bool:
    """Whether a design keeps what is promised."""
    slack = 2 * math.sqrt(LEVEL * (1 - LEVEL) / repetitions)
    return figures["at_once"] >= LEVEL - slack and (not figures["equal"] or figures["best"] <= 1 - LEVEL + slack)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = [run(design, told.repetitions, told.seed) for design in DESIGNS]
    if told.json:
        print(json.dumps(found, indent=1))
    else:
        slack = 2 * math.sqrt(LEVEL * (1 - LEVEL) / told.repetitions)
        print(f"{told.repetitions} repetitions each; at once at least {LEVEL - slack:.1%}; of equals one declared the "
              f"best at most {1 - LEVEL + slack:.1%}")  # fmt: skip
        for f in found:
            print(f"{f['design']:>39}: at once {f['at_once']:6.1%}, of one {f['each']:6.1%}, best {f['best']:6.1%}, "
                  f"mean width {f['width']:5.1f} of {f['institutions']}, {f['seconds']:4.0f} s  "
                  f"{'ok' if passed(f, told.repetitions) else 'BEYOND'}")  # fmt: skip
    sys.exit(0 if all(passed(f, told.repetitions) for f in found) else 1)


if __name__ == "__main__":
    main()
