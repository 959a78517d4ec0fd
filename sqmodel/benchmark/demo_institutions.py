"""Small simulated institutions for a first walk through the benchmark: their answers, records and params."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from sqmodel.errors import InputError
from sqmodel.operations.simulate import simulate_operations
from sqmodel.survey.demo_population import demo_population
from sqmodel.survey.simulate import simulate_responses

LINE, QUARTER, RESPONDENTS = "project_finance", "2026Q3", 260
MOST = 26
STEP = 0.35
"""Standard deviations of the clients between the best and the next institution, and so on."""
RECORDS = ("events", "complaints", "exposures", "alerts", "tests", "training")

PARAMS = """\
# 模拟机构 A simulated institution of the benchmark's walk.
business_line: {line}
quarter: {quarter}
institution: {code}
instrument: lending_service
responses: {folder}/{code}.csv
minimum_n: 10
draws: 400
seed: 1
simulated: true
{records}
"""


def demo_institutions(
    directory: str | Path, institutions: int = 3, *, rng: np.random.Generator | int = 20261001
) -> list[Path]:
    """Write institutions that differ in nothing but how content their clients are, the first being the best.

    Parameters
    ----------
    directory : str or Path
        Gets ``params/bank_a.yaml`` and so on, and what these name in ``data/``.
    institutions : int
        At the most 26.
    rng : Generator or int

    Returns
    -------
    list of Path

    Raises
    ------
    InputError
        None, or more than there are letters.
    """
    if not 1 <= institutions <= MOST:
        raise InputError("demo", [f"expected 1 to {MOST} institutions, found {institutions}"])
    folder = Path(directory)
    for part in ("params", "data"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    streams = np.random.default_rng(rng).spawn(institutions)
    return [path for k, own in enumerate(streams) for path in _institution(folder, k, institutions, own)]


def _institution(folder: Path, place: int, institutions: int, rng: np.random.Generator) -> list[Path]:
    code, data = f"bank_{chr(ord('a') + place)}", folder / "data"
    of_answers, of_records = rng.spawn(2)
    population = demo_population(LINE)
    lead = STEP * ((institutions - 1) / 2 - place)
    means = {d: m + lead for d, m in population.quarters[QUARTER].items()}
    population = replace(population, quarters={QUARTER: means})
    answers = simulate_responses(population, RESPONDENTS, quarter=QUARTER, missing=0.004, rng=of_answers)
    numeric = {str(c): "Int64" for c in answers.select_dtypes("number").columns}
    paths = [data / f"{code}.csv"]
    answers.astype(numeric).to_csv(paths[0], index=False, encoding="utf-8", lineterminator="\n")
    tables = simulate_operations(LINE, paths[0], rng=of_records)
    for name in RECORDS:
        paths.append(data / f"{code}.{name}.csv")
        tables[name].to_csv(paths[-1], index=False, encoding="utf-8", lineterminator="\n")
    named = "\n".join(f"{name}: {data.as_posix()}/{code}.{name}.csv" for name in RECORDS)
    params = folder / "params" / f"{code}.yaml"
    text = PARAMS.format(line=LINE, quarter=QUARTER, code=code, folder=data.as_posix(), records=named)
    params.write_text(text, encoding="utf-8")
    return [params, *paths]
