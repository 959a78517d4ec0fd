"""Simulated institutions: submissions whose truth is known, without running a study for each."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.content import Identity, Submission
from sqmodel.benchmark.profile import Member, Register
from sqmodel.benchmark.simulate_population import INDICATORS, draw_populations, expected_scores
from sqmodel.benchmark.simulate_statistics import Answered, Done, answered, done
from sqmodel.definitions import Text
from sqmodel.errors import ComputationError
from sqmodel.operations.standards import load_standard
from sqmodel.survey.instrument import Instrument, load_instrument

PEERS = {
    "national": Text(zh="全国性银行", en="National banks"),
    "city": Text(zh="城市商业银行", en="City commercial banks"),
    "rural": Text(zh="农村商业银行", en="Rural commercial banks"),
}


@dataclass(frozen=True)
class Simulation:
    """Submissions and the truth behind them.

    Attributes
    ----------
    submissions : tuple of Submission
        All institutions of the first quarter, then of the next; nothing is withheld.
    register : Register
        The institutions with their keys and peer groups.
    truth : DataFrame
        institution, quarter, scope (``overall`` or a dimension), score (what endlessly many of its own clients would
        give), fair (the same without what its shifted items add), adjusted (fair, of clients as they usually are).
    operations : DataFrame
        institution, quarter, indicator, value: expected, in the units of a submission.
    shifts : DataFrame, institutions x items
        What was added to the intercepts, in standard deviations of the answers' latent variables; 0 where the items
        mean the same as elsewhere.
    """

    submissions: tuple[Submission, ...]
    register: Register
    truth: pd.DataFrame
    operations: pd.DataFrame
    shifts: pd.DataFrame


def simulate_submissions(institutions: int, **options: Any) -> list[Submission]:
    """The submissions of `simulate_association`, whose options it takes.

    Examples
    --------
    >>> simulate_submissions(2, respondents=200, rng=1)[0].dimensions
    ('EXP', 'EFF', 'RSK', 'COM')
    """
    return list(simulate_association(institutions, **options).submissions)


def simulate_association(
    institutions: int,
    *,
    quarters: Sequence[str] = ("2026Q3",),
    respondents: int | Sequence[int] = 500,
    between: float = 0.25,
    operations: float = 1.0,
    drift: float = 0.1,
    case_mix: float = 0.3,
    noninvariant: int = 0,
    shift: float = 0.5,
    shifted: Sequence[str] = ("eff1", "eff2", "eff3"),
    indicators: bool = True,
    waiting: bool = True,
    missing: float = 0.0,
    ordinal: bool = False,
    keys: Mapping[str, str] | None = None,
    peers: bool = True,
    rng: np.random.Generator | int = 1,
) -> Simulation:
    """What would institutions send whose quality is known?

    Answers to the shipped questionnaire are drawn from an ordered factor model (four correlated factors, all items
    answered), counted and thrown away; records of what was done are drawn beside them.

    Parameters
    ----------
    institutions : int
    quarters : sequence of str
    respondents : int or sequence of int
        Of each institution, in every quarter.
    between : float
        Standard deviation of the institutions' latent means, in those of respondents; 0.1 is about 1.6 points. With 0
        all are equal but for their clients.
    operations : float
        How much the institutions' operations differ; with 0 they are equal.
    drift : float
        Standard deviation of a quarter's change, relative to that between institutions.
    case_mix : float
        Spread of the logarithms of the shares of clients' sizes and sectors; 0 gives all the same clients.
    noninvariant : int
        Institutions, drawn at random, whose items `shifted` are agreed with more easily by `shift`.
    indicators, waiting : bool
        Whether operational indicators and survival tables are sent.
    missing : float
        Chance that an institution lacks an indicator, in all quarters.
    ordinal : bool
        Whether thresholds, polychoric correlations and their covariance are computed: some tenths of a second each.
    keys : mapping, optional
        Public keys by code (``I1``, ``I2``, ...); made-up ones, which no signature fits, by default.
    peers : bool
        Whether the register has peer groups.
    rng : Generator or int

    Returns
    -------
    Simulation

    Raises
    ------
    ComputationError
        No institution, fewer than two respondents, more shifted institutions than there are, or unknown items.

    Examples
    --------
    >>> found = simulate_association(3, quarters=("2026Q2", "2026Q3"), respondents=200, rng=1)
    >>> len(found.submissions), found.truth.shape, found.register.members[0].code
    (6, (30, 6), 'I1')
    """
    instrument = load_instrument("lending_service")
    sizes = np.broadcast_to(np.asarray(respondents, dtype=np.intp), institutions)
    _check(institutions, sizes, noninvariant, shifted, instrument)
    of_truth, of_shifts, of_answers, of_records, of_missing = np.random.default_rng(rng).spawn(5)
    codes = [f"I{k:0{len(str(institutions))}d}" for k in range(1, institutions + 1)]
    shifts = pd.DataFrame(0.0, index=pd.Index(codes, name="institution"), columns=instrument.item_codes)
    chosen = [codes[k] for k in of_shifts.permutation(institutions)[:noninvariant]]
    shifts.loc[chosen, list(shifted)] = shift
    populations = draw_populations(
        of_truth, instrument, institutions, len(quarters), between=between, operations=operations, drift=drift,
        case_mix=case_mix, shifts=shifts.to_numpy(),
    )  # fmt: skip
    kept = (of_missing.random((institutions, len(INDICATORS))) >= missing) & indicators
    submissions, truth, expected = [], [], []
    for quarter, population in zip(quarters, populations, strict=True):
        statistics = answered(of_answers, population, instrument, sizes, ordinal)
        for k, (code, own) in enumerate(zip(codes, statistics, strict=True)):
            submissions.append(_submission(code, quarter, instrument, own, done(of_records, population, k, kept[k],
                                                                                waiting)))  # fmt: skip
        truth.append(expected_scores(population, codes, quarter, instrument.dimension_codes))
        expected.append(_expected(population.operations, codes, quarter))
    register = _register(codes, keys or {}, peers)
    told, operated = (pd.concat(frames, ignore_index=True) for frames in (truth, expected))
    return Simulation(tuple(submissions), register, told, operated, shifts)


def _check(
    institutions: int, sizes: npt.NDArray[np.intp], noninvariant: int, shifted: Sequence[str], instrument: Instrument
) -> None:
    problems = []
    if institutions < 1:
        problems.append(f"expected 1 institution or more, found {institutions}")
    if (sizes < 2).any():
        problems.append(f"expected 2 respondents or more, found {int(sizes.min())}")
    if not 0 <= noninvariant <= institutions:
        problems.append(f"expected 0 to {institutions} institutions with shifted items, found {noninvariant}")
    problems += [f"expected items of {instrument.name}, found {c!r}" for c in shifted if c not in instrument.item_codes]
    if problems:
        raise ComputationError("simulation: " + "; ".join(problems))


def _submission(code: str, quarter: str, instrument: Instrument, answers: Answered, records: Done) -> Submission:
    standard = load_standard("lending_standard")
    return Submission(
        institution=code, quarter=quarter, revision=0,
        instrument=Identity(instrument.name, instrument.version, instrument.digest),
        standard=Identity(standard.name, standard.version, standard.digest),
        simulated=True, n=answers.n, counts=answers.counts, moments=answers.moments, scores=answers.scores,
        score_cov=answers.score_cov, indicators=records.indicators, waiting=records.waiting, context=answers.context,
        ordinal=answers.ordinal,
    )  # fmt: skip


def _expected(values: Mapping[str, npt.NDArray[np.float64]], codes: Sequence[str], quarter: str) -> pd.DataFrame:
    told = {"institution": np.repeat(list(codes), len(values)), "quarter": quarter, "indicator": [*values] * len(codes)}
    return pd.DataFrame(told | {"value": np.column_stack(list(values.values())).ravel()})


def _register(codes: Sequence[str], keys: Mapping[str, str], peers: bool) -> Register:
    groups = list(PEERS)
    members = tuple(
        Member(
            code=code,
            title=Text(zh=f"模拟机构{code[1:]}", en=f"Simulated institution {code[1:]}"),
            key=keys.get(code) or hashlib.sha256(code.encode()).hexdigest(),
            peers=groups[k % len(groups)] if peers else "",
        )
        for k, code in enumerate(codes)
    )
    title = Text(zh="模拟协会", en="Simulated association")
    return Register(name="simulated", title=title, peer_groups=PEERS if peers else {}, members=members)
