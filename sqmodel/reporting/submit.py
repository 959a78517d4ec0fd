"""Submitting: from an institution's params to the signed file that it sends to the association."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqmodel.benchmark.content import Submission
from sqmodel.benchmark.disclosure import needs_complete_scores, protect
from sqmodel.benchmark.profile import Profile
from sqmodel.benchmark.submission import make_submission
from sqmodel.errors import InputError, ParamsError, SqmodelError
from sqmodel.index.scoring import in_quarter
from sqmodel.index.weighting import derive_weights
from sqmodel.measurement.comparability import assess_comparability
from sqmodel.measurement.exploratory import explore
from sqmodel.measurement.reliability import assess_reliability
from sqmodel.reporting.study import Study, load_study
from sqmodel.reporting.submit_records import done_of
from sqmodel.survey.screening import screen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as PrivateKey

    from sqmodel.index.weighting import Weights
    from sqmodel.measurement.measure import Measure
    from sqmodel.survey.responses import Responses

Made = TypeVar("Made")


@dataclass(frozen=True)
class Order:
    """A submission that is asked for: which study, who signs, where to."""

    study: Study
    source: str
    institution: str
    private: PrivateKey
    path: Path


@dataclass(frozen=True)
class Sent:
    """A file that was written."""

    path: Path
    digest: str
    submission: Submission


def plan_submissions(
    params: Sequence[Path], *, quarter: str, profile: Profile, institution: str, key: Path, output: Path,
    revision: int = 0,
) -> list[Order]:  # fmt: skip
    """Check everything that can be checked before any answer is read.

    Parameters
    ----------
    params : sequence of Path
    quarter : str
    profile : Profile
    institution : str
        In place of the one in the params; empty: the params' own.
    key : Path
        A private key, or the folder of the keys ``CODE.key``.
    output : Path
        A ``.zip``, or a folder that gets ``CODE-QUARTER-rREVISION.zip``.
    revision : int

    Raises
    ------
    SqmodelError
        All problems of all params and keys at once.
    """
    errors: list[SqmodelError] = []
    if len(params) > 1 and output.suffix == ".zip":
        errors.append(InputError("submit", [f"-o: expected a folder for {len(params)} params, found {output.name}"]))
    if len(params) > 1 and institution:
        errors.append(InputError("submit", [f"--institution: expected it for one params file, found {len(params)}"]))
    orders = []
    for path in params:
        made = _attempt(errors, partial(_order, path, quarter, profile, institution, key, output, revision))
        orders += [made] if made else []
    errors += _twice(orders)
    _raise(errors)
    return orders


def _order(
    path: Path, quarter: str, profile: Profile, institution: str, key: Path, output: Path, revision: int
) -> Order:
    from sqmodel.benchmark.signing import load_private

    study = load_study(path, quarter=quarter) if not institution else load_study(
        path, quarter=quarter, institution=institution)  # fmt: skip
    problems = [] if study.institution else ["institution: expected the code in the association's register, found none"]
    problems += _of_profile(study, profile)
    if problems:
        raise ParamsError(str(path), problems, "correct the params; nothing was written")
    private = load_private(key / f"{study.institution}.key" if key.is_dir() else key)
    name = f"{study.institution}-{quarter}-r{revision}.zip"
    return Order(study, str(path), study.institution, private, output if output.suffix == ".zip" else output / name)


def _of_profile(study: Study, profile: Profile) -> list[str]:
    """What the association asks for and the params do not have."""
    problems, instrument = [], study.load_instrument()
    if instrument.name != profile.instrument:
        problems.append(f"instrument: expected {profile.instrument} as {profile.name} asks, found {instrument.name}")
    elif profile.instrument_digest and instrument.digest != profile.instrument_digest:
        problems.append(
            f"instrument: expected the text with the digest {profile.instrument_digest[:12]}..., "
            f"found {instrument.digest[:12]}..."
        )
    return problems


def _twice(orders: list[Order]) -> list[SqmodelError]:
    codes = [o.institution for o in orders]
    return [
        InputError("submit", [f"institution: expected {code} once, found it in {', '.join(found)}"])
        for code in sorted({c for c in codes if codes.count(c) > 1})
        if (found := [o.source for o in orders if o.institution == code])
    ]


def submit(
    orders: Sequence[Order], *, profile: Profile, revision: int = 0, earlier: Sequence[Path] = (),
    report: Callable[[str], None] = lambda _: None,
) -> list[Sent]:  # fmt: skip
    """Analyse, withhold what would tell of a few, sign and write: all of the files, or none.

    Parameters
    ----------
    orders : sequence of Order
    profile : Profile
    revision : int
    earlier : sequence of Path
        What the institutions sent before: nothing may be found out by subtraction.
    report : callable
        Told what is being done.

    Raises
    ------
    SqmodelError
        All problems of all institutions at once; nothing is written then.
    """
    from sqmodel.benchmark.package import read_package, write_package

    errors: list[SqmodelError] = []
    before = [r.submission for path in earlier if (r := _attempt(errors, partial(read_package, path, None)))]
    for order in orders:
        _attempt(errors, order.study.read)
    _raise(errors)
    made: list[tuple[Order, Submission]] = []
    for order in orders:
        report(f"{order.institution} {order.study.quarter}: analysing")
        own = [s for s in before if s.institution == order.institution]
        found = _attempt(errors, partial(_made, order, profile, revision=revision, earlier=own))
        made += [(order, found)] if found else []
    _raise(errors)
    for order, _ in made:
        order.path.parent.mkdir(parents=True, exist_ok=True)
    return [Sent(o.path, write_package(s, o.private, o.path), s) for o, s in made]


def _attempt(errors: list[SqmodelError], make: Callable[[], Made]) -> Made | None:
    """A result, or its error among the others."""
    try:
        return make()
    except SqmodelError as error:
        errors.append(error)
        return None


def _raise(errors: Iterable[SqmodelError]) -> None:
    told = list({str(e): e for e in errors}.values())
    if len(told) == 1:
        raise told[0]
    if told:
        raise SqmodelError("\n".join(str(e) for e in told))


def _made(order: Order, profile: Profile, *, revision: int, earlier: Sequence[Submission]) -> Submission:
    """What of an institution's results may be sent."""
    from sqmodel.benchmark.signing import drawing_secret

    study = order.study
    try:
        whole = build_submission(study, profile, revision=revision)
    except InputError:
        raise
    except SqmodelError as error:
        # Of several institutions: whose answers do not carry it.
        raise SqmodelError(f"{order.institution}: {error}") from None
    kept = set(study.kept_items)
    structure = {d: [i for i in own if i in kept] for d, own in study.load_instrument().structure().items()}
    secret = drawing_secret(order.private)
    return protect(whole, profile.disclosure, secret=secret, earlier=earlier, structure=structure)


def build_submission(study: Study, profile: Profile, *, revision: int = 0) -> Submission:
    """What an institution would send of its study if nothing had to be withheld, by the steps of its quarterly report.

    Parameters
    ----------
    study : Study
    profile : Profile
    revision : int

    Raises
    ------
    SqmodelError
        The answers or records cannot be used; the measure failed and the params accept no reason for an index.
    """
    # What gives a warning here is in the ledger, and on the institution's own page.
    with warnings.catch_warnings(action="ignore"):
        measure, weights, unscreened = _measured(study)
        index = study.build_index(measure, weights=weights, unscreened=unscreened)
        done = done_of(study, measure, weights)
        make = partial(
            make_submission, institution=study.institution, quarter=study.quarter, revision=revision,
            standard=done.standard, indicators=done.indicators, waiting=done.waiting,
            context=[c for c in profile.case_mix if c in measure.current.group_codes], ordinal=profile.ordinal,
            rules=profile.disclosure, simulated=study.simulated,
        )  # fmt: skip
        found = make(measure, index)
        complete, dimensions = found.moments, [s.n for s in found.scores]
        if complete is None or not needs_complete_scores([found.n, *dimensions], complete.n, profile.disclosure):
            return found
        # The few who left items unanswered would be told by subtraction: the scores too are those of the others.
        measure = _complete(measure)
        return make(measure, study.build_index(measure, weights=weights, unscreened=unscreened))


def _complete(measure: Measure) -> Measure:
    """Without those of the quarter who left an item unanswered."""
    responses = measure.responses
    whole = responses.items[list(measure.items)].notna().all(axis=1) | ~in_quarter(responses, measure.quarter)
    return replace(measure, responses=responses.keep(whole))


def _measured(study: Study) -> tuple[Measure, Weights, Responses]:
    """The measure and the weights of the quarterly report, and the answers before screening."""
    answers = study.read()
    screening = screen(answers, exclude=study.exclude)
    responses = study.calibrate(screening.keep(answers))
    current, items = responses.of(study.quarter), study.kept_items
    measure = study.qualify(
        responses,
        reliability=assess_reliability(current, items=items, level=study.level, rng=study.seed),
        exploration=explore(current, items=items, rng=study.seed),
        confirmation=study.confirm(current),
        comparability=assess_comparability(current, items=items),
        screening=screening,
    )
    measure.require(study.accept)
    given: dict[str, Any] = {"method": study.weighting, "given": study.weights}
    weights = derive_weights(measure, **given, **study.resampling)
    return measure, weights, study.calibrate(answers)
