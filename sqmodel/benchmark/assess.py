"""The association's comparison of a quarter, from submissions alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.assess_field import NOT_COMPARABLE, Field
from sqmodel.benchmark.assess_indicators import assess_indicators
from sqmodel.benchmark.assess_peers import assess_peers, assess_waiting
from sqmodel.benchmark.assess_scopes import assess_scopes
from sqmodel.benchmark.assess_standing import Past, assess_history, assess_standing, fill_changes
from sqmodel.benchmark.comparison import HISTORY, Benchmark, Gate
from sqmodel.benchmark.content import Identity, Ordinal, Submission
from sqmodel.benchmark.pooling_gate import assess_gate
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.benchmark.ranking import FEWER, MANY, draws_for
from sqmodel.errors import InputError
from sqmodel.survey.instrument import load_instrument


def assess_benchmark(
    submissions: Sequence[Submission],
    profile: Profile,
    register: Register,
    *,
    quarter: str,
    receipts: pd.DataFrame,
    gate: Gate | None = None,
    draws: int = 2000,
    rng: np.random.Generator | int = 1,
) -> Benchmark:
    """Where does every institution stand, and what is not known about it?

    Parameters
    ----------
    submissions : sequence of Submission
        Of this quarter and earlier ones: one an institution and quarter.
    profile : Profile
    register : Register
        Peer groups are taken from it.
    quarter : str
        Such as ``2026Q3``; later submissions are left out.
    receipts : DataFrame
        Of the intake; passed on.
    gate : Gate, optional
        Whether answers may be compared; assessed here where none is given.
    draws : int
        For ranks; at most 1,000 beyond 300 institutions.
    rng : Generator or int

    Returns
    -------
    Benchmark

    Raises
    ------
    InputError
        No submission of the quarter, two of an institution and quarter, or simulated ones among real ones.
    ProfileError
        A profile and a tree that do not fit.

    Notes
    -----
    An institution is ranked if it has the profile's least number of respondents, a composite, answers that the gate
    lets be compared and, where case mix is adjusted for, known shares of clients. Without the gate's consent ranks,
    adjusted and shrunken scores are withheld, and scores are shown with the reason. A verdict of "not assessed" is no
    consent: where nobody knows whether answers mean the same, no rank is claimed.
    """
    tree = profile_tree(profile)
    kept = [s for s in submissions if s.quarter <= quarter]
    current = tuple(sorted((s for s in kept if s.quarter == quarter), key=lambda s: s.institution))
    _check(kept, current, quarter)
    streams = np.random.default_rng(rng).spawn(4)
    field = Field(current, profile, tree, register, gate or gate_of(current, profile), draws_for(len(current), draws))
    standing = assess_standing(field, streams[0])
    overall, scopes = assess_scopes(field, standing, streams[1])
    indicators = assess_indicators(field, streams[2])
    history = assess_history(kept, field, streams[3])
    compared_with = fill_changes(standing.table, history, quarter, field)
    peers, waiting = assess_peers(field, standing), assess_waiting(field)
    return Benchmark(
        quarter=quarter, profile=Identity(profile.name, profile.version, profile.digest),
        simulated=any(s.simulated for s in current), institutions=int(standing.ranked.sum()),
        n=int(field.n[standing.ranked].sum()), overall=overall, standing=standing.table, scopes=scopes,
        indicators=indicators, peers=peers, history=_history(history), waiting=waiting, case_mix=standing.terms,
        gate=field.gate, receipts=receipts.reset_index(drop=True), withheld=_withheld(field),
        compared_with=compared_with, settings=_settings(field, rng), notes=_notes(field, standing.ranked),
    )  # fmt: skip


def _check(kept: Sequence[Submission], current: Sequence[Submission], quarter: str) -> None:
    problems = []
    if not current:
        problems.append(f"expected submissions of {quarter}, found none")
    counts = Counter(f"{s.institution} {s.quarter}" for s in kept)
    problems += [f"expected one submission an institution and quarter, found {count} of {key}"
                 for key, count in sorted(counts.items()) if count > 1]  # fmt: skip
    trials = sum(s.simulated for s in kept)
    if 0 < trials < len(kept):
        problems.append(f"expected submissions that are all of real answers or all simulated, found {trials} simulated "
                        f"among {len(kept)}")  # fmt: skip
    if problems:
        raise InputError("submissions", problems)


def gate_of(
    current: Sequence[Submission], profile: Profile, *, ordinals: Iterable[tuple[str, Ordinal]] | None = None
) -> Gate:
    """`assess_gate` with the profile's questionnaire, its scales and its level."""
    instrument = load_instrument(profile.instrument)
    scales = {i.code: (float(instrument.scale_of(i.code).minimum), float(instrument.scale_of(i.code).maximum))
              for i in instrument.items}  # fmt: skip
    return assess_gate(
        current, instrument.structure(), profile, scales=scales, ordinals=ordinals, level=profile.publication.level
    )


def _history(history: dict[str, Past]) -> pd.DataFrame:
    tables = [past.table for past in history.values() if len(past.table)]
    if not tables:
        return pd.DataFrame({c: pd.Series(dtype=object if c in HISTORY[:2] else float) for c in HISTORY})
    return pd.concat(tables, ignore_index=True).sort_values(HISTORY[:2], kind="stable", ignore_index=True)


def _withheld(field: Field) -> pd.DataFrame:
    return pd.DataFrame(list(dict.fromkeys(field.withheld)), columns=["table", "cell", "rule"])


def _settings(field: Field, rng: np.random.Generator | int) -> dict[str, object]:
    rules = field.profile
    return {
        "level": field.level, "draws": field.draws, "fewer_draws": [MANY, FEWER],
        "rng": int(rng) if isinstance(rng, int | np.integer) else "generator",
        "tau2": "reml", "interval_of_means": "knapp_hartung", "shrinkage": "morris",
        "rank_sets": "differences studentised, step-down", "rules": "deducted, then capped, in every draw",
        "overdispersion": "additive", "case_mix": list(rules.case_mix), "required": rules.required,
        "tree": f"{field.tree.name} {field.tree.version}", "scale": dict(rules.scale),
    }  # fmt: skip


def _notes(field: Field, ranked: npt.NDArray[np.bool_]) -> tuple[str, ...]:
    """What was told on the way, and what holds always."""
    always = ["operational indicators are taken as independent of the clients' answers and of each other"]
    if field.gate.verdict == NOT_COMPARABLE:
        always.append("nobody is ranked: answers do not mean the same in the institutions; means are of scores as "
                      "they are")  # fmt: skip
    if (field.profile.floors or field.profile.deductions) and len(field.codes):
        always.append("scores and ranks are after floors and deductions; branches are before them")
    left_out = field.gate.left_out
    unseen = set(left_out["institution"]) & set(field.codes[ranked]) if len(left_out) else set()
    if unseen:
        always.append(f"{len(unseen)} institutions are ranked whose answers the gate could not look at")
    return tuple(dict.fromkeys((*field.notes, *always)))
