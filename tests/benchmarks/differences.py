"""How often does a survey without any differences show a group as surely different?

Run as ``python -m tests.benchmarks.differences [--replications 500] [--json]``. Groups of unequal size answer alike.
`build_index` must call any of them different in at most 1 - level of the surveys; beside it stand Welch's interval with
Student's t and with normal quantiles, both with Sidak's joint level. The second table is the coverage of the interval
of a subset's mean after raking to margins that cross it, with and without taking the raking into account.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from sqmodel.definitions import Text
from sqmodel.index.columns import Columns
from sqmodel.index.scoring import build_index
from sqmodel.measurement.measure import qualify
from sqmodel.survey.instrument import Group
from sqmodel.survey.responses import Responses
from sqmodel.survey.simple_population import simple_population
from tests.benchmarks.coverage import DIMENSIONS, ITEMS, LOADINGS, SKEWED, SYMMETRIC

LAYOUTS = ((12, 30, 108), (10, 10, 10, 120), (20, 20), (50, 50, 50))
LEVEL, DRAWS, MINIMUM_N = 0.95, 200, 10
MOST = 0.07
"""The largest share of false alarms that passes; for 500 replications .95 has a margin of 1.9 points."""
SHARES = np.array([0.2, 0.3, 0.5])
ALL, SMALL = 50 + SHARES @ [0.0, 10, 25] + 4 * SHARES @ [0.7, 0.4, 0.2], SHARES * [0.7, 0.4, 0.2]


def survey(skewed: bool, layout: tuple[int, ...], rng: np.random.Generator) -> Responses:
    """Groups that answer alike."""
    population = simple_population(
        ITEMS, dimensions=DIMENSIONS, loadings=LOADINGS, thresholds=SKEWED if skewed else SYMMETRIC
    )
    answers = population.sample(1, sum(layout), rng=rng)[0]
    frame = pd.DataFrame(answers, columns=population.instrument.item_codes)
    frame.insert(0, "respondent", [f"{k:04d}" for k in range(len(frame))])
    frame["branch"] = np.repeat([f"g{k + 1}" for k in range(len(layout))], layout)
    branch = Group(code="branch", title=Text(en="Branch"))
    return Responses(population.instrument.model_copy(update={"groups": (branch,)}), frame)


def false_alarms(responses: Responses, seed: int) -> dict[str, bool]:
    """Whether any group counts as different, by our interval and by Welch's with t and with normal quantiles."""
    table = build_index(qualify(responses), rng=seed, draws=DRAWS, level=LEVEL, minimum_n=MINIMUM_N).groups
    score, label = responses.dimension_scores().mean(axis=1).to_numpy(), responses.frame["branch"].to_numpy()
    tail = (1 - LEVEL ** (1 / len(table))) / 2
    found = {"ours": bool(((table["difference_low"] > 0) | (table["difference_high"] < 0)).any())}
    tests = [stats.ttest_ind(score[label == g], score[label != g], equal_var=False) for g in np.unique(label)]
    found["Welch, t"] = any(t.pvalue < 2 * tail for t in tests)
    found["Welch, normal"] = any(abs(t.statistic) > stats.norm.isf(tail) for t in tests)
    return found


def alarm_rates(skewed: bool, layout: tuple[int, ...], replications: int) -> dict[str, Any]:
    """One row of the first table."""
    found = [
        false_alarms(survey(skewed, layout, np.random.default_rng([skewed, *layout, seed])), seed)
        for seed in range(replications)
    ]
    rates = {str(k): float(v) for k, v in pd.DataFrame(found).mean().items()}
    return {"groups": layout, "skewed": skewed, "replications": replications} | rates


def raked_coverage(replications: int, n: int = 150) -> dict[str, float]:
    """Coverage of the mean of a subset that the raked margin crosses."""
    rng, inside = np.random.default_rng(11), np.zeros(2)
    truth = 54 + (SMALL / SMALL.sum()) @ [0.0, 10, 25]
    for _ in range(replications):
        region = rng.choice(3, n, p=SHARES)
        member = rng.random(n) < np.array([0.7, 0.4, 0.2])[region]
        score = 50 + np.array([0.0, 10, 25])[region] + 4 * member + 8 * rng.standard_normal(n)
        weight = (SHARES / np.bincount(region, minlength=3) * n)[region]
        margins = pd.DataFrame({"constant": 1.0, "r1": region == 1, "r2": region == 2}).astype(float)
        for k, book in enumerate((Columns(weight, margins), Columns(weight))):
            part = book.mean(np.where(member, score, np.nan))
            b = book.bootstrap([part], rng=rng, draws=DRAWS, level=LEVEL)
            inside[k] += b.low[0] <= truth <= b.high[0]
    return dict(zip(("raking taken into account", "raking ignored"), (inside / replications).tolist(), strict=True))


def main() -> int:
    """Measure, print, and fail where false alarms are too many or the coverage is off."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--replications", type=int, default=500)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    rows = [alarm_rates(s, layout, arguments.replications) for s in (False, True) for layout in LAYOUTS]
    raked = raked_coverage(arguments.replications)
    if arguments.json:
        print(json.dumps({"false_alarms": rows, "raked_coverage": raked}, indent=1))
    else:
        print(f"surveys without differences in which some group looks different (nominal {1 - LEVEL:.0%})")
        print(pd.DataFrame(rows).to_string(index=False, float_format="{:.3f}".format))
        print("coverage of the mean of a subset after raking")
        print(pd.Series(raked).to_string(float_format="{:.3f}".format))
    good = all(row["ours"] <= MOST for row in rows) and abs(raked["raking taken into account"] - LEVEL) < 0.03
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
