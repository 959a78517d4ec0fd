"""How often does the gate's interval of bias hold the truth, and who is kept out of ranks wrongly, or let in?

Run as ``python -m tests.benchmarks.benchmark_bias [--repetitions 200] [--seed 1] [--json]``. Item means and covariances
of institutions whose items mean the same but for the last one's, some of which are shifted: normal means and Wishart
covariances of 26 items in four dimensions, whose factors have other means and spreads in every institution; or answers
in six categories (``answers``), where the truth is the mean of endlessly many answers, with and without the shift.

Holds: share of intervals that hold the true bias, of the last institution and of all others; sampling: the same of bias
plus and minus its sampling error alone, without what shifts too small to be seen could make. Out: how often the last
one is kept out of ranks (beyond the limit of 5 points, or undecided); others out: share of the others who are. It ends
with 1 where an interval holds the truth less often than in 95 % minus two Monte Carlo standard errors, where somebody
whose bias is within the limit is found beyond it more often than in 2.5 % plus two, or undecided without a rival.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import wishart

from sqmodel.benchmark.content import Identity, ItemMoments, Submission
from sqmodel.benchmark.pooling_gate import assess_gate
from sqmodel.benchmark.profile import load_profile
from sqmodel.benchmark.simulate import simulate_association
from sqmodel.survey.instrument import load_instrument

Floats = npt.NDArray[np.float64]
LEVEL, LIMIT = 0.95, 5.0
INSTRUMENT = load_instrument("lending_service")
STRUCTURE = {d: list(own) for d, own in INSTRUMENT.structure().items()}
ITEMS = [i for own in STRUCTURE.values() for i in own]
FACTOR = np.repeat(np.arange(4), [len(own) for own in STRUCTURE.values()])
SCALES = dict.fromkeys(ITEMS, (1.0, 6.0))
SHARE = np.array([20 / len(own) / 4 for own in STRUCTURE.values() for _ in own])
LOADINGS = 0.75 + 0.15 * np.cos(2.3 * np.arange(26))
INTERCEPTS = 4 + 0.4 * np.sin(1.7 * np.arange(26))
RESIDUALS = 0.6 + 0.2 * np.sin(np.arange(26))
MADE = Identity("lending_service", "1.0", "0" * 64)


@dataclass(frozen=True)
class Design:
    """Institutions, respondents, items of each dimension that the last one has shifted, and by how much.

    Attributes
    ----------
    points : float or None
        Bias of the last one, in place of `shift`.
    answers : bool
        Answers in six categories; `shift` is then in standard deviations of the latent answer.
    """

    name: str
    institutions: int
    n: int
    shifted: tuple[int, int, int, int] = (0, 0, 0, 0)
    shift: float = 0.0
    points: float | None = None
    answers: bool = False

    @property
    def chosen(self) -> list[int]:
        return [int(i) for d, k in enumerate(self.shifted) for i in np.flatnonzero(d == FACTOR)[:k]]

    @property
    def size(self) -> float:
        """Scale points of each shift."""
        if self.points is None:
            return self.shift
        return float(self.points / SHARE[self.chosen].sum() / (1 - 1 / self.institutions))

    @property
    def rival(self) -> bool:
        """Whether items that are shifted are outnumbered by less than two somewhere, so that it may stay undecided."""
        return any(k >= 2 and len(own) - 2 * k < 2 for k, own in zip(self.shifted, STRUCTURE.values(), strict=True))


DESIGNS = (
    Design("6, n 500, nothing shifted", 6, 500),
    Design("2, n 500, 2 of 7 items by .7", 2, 500, (2, 0, 0, 0), 0.7),
    Design("6, n 500, 2 of 7 items by .7", 6, 500, (2, 0, 0, 0), 0.7),
    Design("6, n 500, 3 of 7 items by .7", 6, 500, (3, 0, 0, 0), 0.7),
    Design("6, n 500, 3, 3, 2, 2 items by .2", 6, 500, (3, 3, 2, 2), 0.2),
    Design("6, n 500, 2 items each by .1", 6, 500, (2, 2, 2, 2), 0.1),
    Design("12, n 500, 2 items each, 5 points", 12, 500, (2, 2, 2, 2), points=5.0),
    Design("12, n 500, 2 items each, 8 points", 12, 500, (2, 2, 2, 2), points=8.0),
    Design("12, n 150, 2 items each, 8 points", 12, 150, (2, 2, 2, 2), points=8.0),
    Design("12, n 500, 3, 3, 2, 2 items, 8 points", 12, 500, (3, 3, 2, 2), points=8.0),
    Design("12, n 500, six categories, nothing", 12, 500, answers=True),
    Design("12, n 500, six categories, 3 of 7 by 1", 12, 500, (0, 3, 0, 0), 1.0, answers=True),
)


def submissions_of(design: Design, rng: np.random.Generator) -> list[Submission]:
    """What institutions would send."""
    found = []
    pattern = np.zeros((26, 4))
    pattern[np.arange(26), FACTOR] = LOADINGS
    for k in range(design.institutions):
        spread = np.exp(rng.normal(0, 0.1, 4))
        mean = INTERCEPTS + pattern @ rng.normal(0, 0.3, 4)
        if k == design.institutions - 1:
            mean[design.chosen] += design.size
        cov = pattern @ (np.outer(spread, spread) * (0.5 + 0.5 * np.eye(4))) @ pattern.T + np.diag(RESIDUALS)
        own = wishart(design.n - 1, cov / design.n).rvs(random_state=rng)
        moments = ItemMoments(tuple(ITEMS), design.n, rng.multivariate_normal(mean, cov / design.n), own)
        found.append(Submission(f"I{k:03d}", "2026Q3", 0, MADE, None, True, design.n, (), moments, (), np.eye(2)))
    return found


def drawn(design: Design, rng: np.random.Generator) -> tuple[list[Submission], pd.Series, str]:
    """Submissions, the true bias of each, and whose items are shifted."""
    if not design.answers:
        given = submissions_of(design, rng)
        true = pd.Series(0.0, index=[s.institution for s in given])
        true.iloc[-1] = SHARE[design.chosen].sum() * design.size
        return given, true - true.mean(), given[-1].institution
    made = simulate_association(
        design.institutions, respondents=design.n, noninvariant=1, shift=design.size, indicators=False, waiting=False,
        shifted=[ITEMS[i] for i in design.chosen] or ITEMS[:1], rng=rng,
    )  # fmt: skip
    whole = made.truth[made.truth["scope"] == "overall"].set_index("institution")
    true = whole["score"] - whole["fair"]
    return list(made.submissions), true - true.mean(), str(made.shifts.abs().sum(axis=1).idxmax())


def once(design: Design, rng: np.random.Generator) -> pd.DataFrame:
    """A row an institution, that with shifted items last: its bias, the true one, and what the gate makes of it."""
    given, true, last = drawn(design, rng)
    profile = load_profile("lending_association")
    # The bias is by alignment for any number of institutions; the ladder beside it would take most of the time.
    profile = profile.model_copy(update={"gate": profile.gate.model_copy(update={"most_laddered": 1})})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = assess_gate(given, STRUCTURE, profile, scales=SCALES, level=LEVEL).biased.set_index("institution")
    table = found.assign(true=true)
    return pd.concat([table.drop(index=last), table.loc[[last]]])


def run(design: Design, repetitions: int, seed: int = 1) -> dict[str, Any]:
    """Figures of a design."""
    start = time.monotonic()
    found = pd.concat([once(design, np.random.default_rng([seed, r])) for r in range(repetitions)])
    error, z = found["bias"] - found["true"], 1.959964
    found["holds"] = (found["low"] <= found["true"]) & (found["true"] <= found["high"])
    found["sampling"] = error.abs() <= z * found["se"]
    last = np.arange(len(found)) % design.institutions == design.institutions - 1
    own, others = found[last], found[~last]
    return {"design": design.name, "true": float(own["true"].mean()), "bias": float(own["bias"].mean()),
            "error_sd": float(error[last].std()), "se": float(own["se"].mean()), "unseen": float(own["unseen"].mean()),
            "holds": float(own["holds"].mean()), "sampling": float(own["sampling"].mean()),
            "others_hold": float(others["holds"].mean()), "others_sampling": float(others["sampling"].mean()),
            "beyond": float((own["finding"] == "beyond").mean()), "rival": design.rival,
            "undecided": float((own["finding"] == "undecided").mean()), "others_out": float(others["withheld"].mean()),
            "named": float(((others["low"] > 0) | (others["high"] < 0)).mean()),
            "seconds": time.monotonic() - start}  # fmt: skip


def passed(f: dict[str, Any], repetitions: int) -> bool:
    """Whether a design keeps what is promised."""
    slack = 2 * math.sqrt(LEVEL * (1 - LEVEL) / repetitions)
    wrong = 2 * math.sqrt(0.025 * 0.975 / repetitions)
    holds = min(f["holds"], f["others_hold"]) >= LEVEL - slack
    innocent = abs(f["true"]) > LIMIT + 1e-9 or f["beyond"] <= 0.025 + wrong
    return bool(holds and innocent and f["others_out"] <= 0.025 + wrong and (f["rival"] or f["undecided"] <= wrong))


def _line(f: dict[str, Any], verdict: str) -> str:
    return (
        f"{f['design']:>38}: true {f['true']:5.2f}, bias {f['bias']:5.2f} (sd {f['error_sd']:.2f}, se {f['se']:.2f}, "
        f"unseen {f['unseen']:.2f}); holds {f['holds']:6.1%} (others {f['others_hold']:6.1%}), sampling "
        f"{f['sampling']:6.1%} ({f['others_sampling']:6.1%}); beyond {f['beyond']:6.1%}, undecided "
        f"{f['undecided']:6.1%}, others out {f['others_out']:.1%}, not zero {f['named']:.1%}; {f['seconds']:4.0f} s  "
        f"{verdict}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    told = parser.parse_args()
    found = []
    for design in DESIGNS:
        f = run(design, told.repetitions, told.seed)
        found.append(f)
        if not told.json:
            print(_line(f, "ok" if passed(f, told.repetitions) else "BEYOND"), flush=True)
    if told.json:
        print(json.dumps(found, indent=1))
    sys.exit(0 if all(passed(f, told.repetitions) for f in found) else 1)


if __name__ == "__main__":
    main()
