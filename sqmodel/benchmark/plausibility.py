"""Plausibility: numbers that no quarter can have, whoever signed them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from sqmodel.benchmark.content import GRID, OVERALL, Identity, Indicator, Submission, Waiting
from sqmodel.benchmark.plausible_answers import answers, scores
from sqmodel.benchmark.profile import Profile
from sqmodel.errors import Problem
from sqmodel.operations.standards import load_standard
from sqmodel.survey.instrument import load_instrument

TOLERANCE = 1e-9
KINDS = ("share", "rate", "mean")


@dataclass(frozen=True)
class Expected:
    """What an association's profile fixes beforehand.

    Attributes
    ----------
    instrument, standard : str
        Names; an empty standard leaves it open.
    instrument_digest, standard_digest : str
        Of the profile, else of what is shipped under the name; empty leaves it open.
    scales : dict
        Categories of each item; empty where the questionnaire is not shipped.
    dimensions : frozenset of str
    minimum_n : int
    ordinal : bool
        Whether thresholds and polychoric correlations are asked for.
    """

    instrument: str
    instrument_digest: str
    standard: str
    standard_digest: str
    scales: Mapping[str, tuple[int, ...]]
    dimensions: frozenset[str]
    minimum_n: int
    ordinal: bool

    @classmethod
    def of(cls, profile: Profile) -> Expected:
        """What a profile asks for."""
        instrument, scales, dimensions = profile.instrument_digest, {}, set()
        asked = _shipped("instruments", profile.instrument)
        if asked:
            found = load_instrument(asked)
            instrument = instrument or found.digest
            # Another version of the questionnaire than the shipped one may have other items.
            if instrument == found.digest:
                spans = {code: found.scale_of(code) for code in found.item_codes}
                scales = {code: tuple(range(s.minimum, s.maximum + 1)) for code, s in spans.items()}
                dimensions = {*found.dimension_codes, *profile.perception}
        standard, asked = profile.standard_digest, _shipped("operations/standards", profile.standard)
        if asked and not standard:
            standard = load_standard(asked).digest
        return cls(profile.instrument, instrument, profile.standard, standard, scales, frozenset(dimensions),
                   profile.disclosure.minimum_n, profile.ordinal)  # fmt: skip

    def unasked(self, respondents: int) -> str:
        """What is told of ordinal statistics that nobody asked for; empty where they were asked for."""
        if self.ordinal:
            return ""
        return (f"datapackage.json: expected no thresholds and polychoric correlations, for which the association's "
                f"profile does not ask, found those of {respondents:,} respondents; submit again with the "
                "association's profile, without them")  # fmt: skip


def _shipped(folder: str, name: str) -> Path | None:
    """The file of a definition that comes with sqmodel; one of the same name elsewhere is not looked for."""
    path = Path(str(files("sqmodel"))) / folder / f"{name}.yaml"
    return path if name and path.is_file() else None


def implausible(submission: Submission, expected: Expected | None) -> Iterator[Problem]:
    """All that is wrong with what a submission says.

    Parameters
    ----------
    submission : Submission
    expected : Expected or None
        None checks only what holds for every association.

    Yields
    ------
    Problem
    """
    lines = itertools.chain(
        _repeated(submission), answers(submission), scores(submission), _indicators(submission.indicators),
        _waiting(submission.waiting), _context(submission), _withheld(submission),
    )  # fmt: skip
    yield from map(Problem, lines)
    if expected is not None:
        yield from map(Problem, _unexpected(submission, expected))


def _repeated(submission: Submission) -> Iterator[str]:
    moments = submission.moments
    codes: dict[str, Iterable[str]] = {
        "counts.csv: expected every item": (c.item for c in submission.counts),
        "moments.csv: expected every item": moments.items if moments else (),
        "scores.csv: expected every scope": (s.scope for s in submission.scores),
        "indicators.csv: expected every indicator": (i.code for i in submission.indicators),
        "waiting.csv: expected every point": (f"{w.stage} at {w.hours:g}" for w in submission.waiting),
        "context.csv: expected every value": (f"{c.variable}={c.value}" for c in submission.context),
        "withheld.csv: expected every cell": (f"{w.table} {w.cell}" for w in submission.withheld),
    }
    for expectation, found in codes.items():
        for code, times in Counter(found).items():
            if times > 1:
                yield f"{expectation} once, found {code} {times} times"


def _indicators(indicators: Sequence[Indicator]) -> Iterator[str]:
    for own in indicators:
        place = f"indicators.csv, {own.code}"
        if own.kind not in KINDS:
            yield f"{place}: expected the kind {', '.join(KINDS)}, found {own.kind}"
            continue
        if not own.n > 0:
            yield f"{place}: expected n above 0, found {own.n:g}"
            continue
        if not own.se >= 0:
            yield f"{place}: expected a standard error from 0 up, found {own.se:g}"
        if (own.kind == "mean") != (own.events != own.events):
            yield f"{place}: expected events of a share or a rate and of no mean, found {own.events:g} of a {own.kind}"
        elif own.kind != "mean":
            yield from _events(own, place)


def _events(own: Indicator, place: str) -> Iterator[str]:
    if own.events < 0:
        yield f"{place}: expected events from 0 up, found {own.events:g}"
    if own.kind == "share" and own.events > own.n * (1 + TOLERANCE):
        yield f"{place}: expected {own.n:g} events or fewer, as many as trials, found {own.events:g}"
    if own.kind == "share" and not 0 <= own.estimate <= 1 + TOLERANCE:
        yield f"{place}: expected a share from 0 to 1, found {own.estimate:g}"
    if not abs(own.estimate * own.n - own.events) <= TOLERANCE * max(own.n, abs(own.events)):
        share = own.events / own.n
        yield f"{place}: expected events / n = {own.events:g} / {own.n:g} = {share:.6g}, found {own.estimate:.6g}"


def _waiting(waiting: Sequence[Waiting]) -> Iterator[str]:
    for stage, rows in itertools.groupby(sorted(waiting, key=lambda w: (w.stage, w.hours)), key=lambda w: w.stage):
        place, before = f"waiting.csv, {stage}", 1.0
        for own in rows:
            if own.hours not in GRID:
                grid = ", ".join(f"{h:g}" for h in GRID)
                yield f"{place}: expected working hours of the grid {grid}, found {own.hours:g}"
            if not 0 <= own.waiting <= 1:
                yield f"{place} at {own.hours:g} hours: expected a share from 0 to 1, found {own.waiting:g}"
            elif own.waiting > before + TOLERANCE:
                yield (f"{place} at {own.hours:g} hours: expected no more cases waiting than before ({before:.6g}), "
                       f"found {own.waiting:.6g}")  # fmt: skip
            if own.n < 1:
                yield f"{place} at {own.hours:g} hours: expected 1 case or more, found {own.n}"
            if not own.se >= 0:
                yield f"{place} at {own.hours:g} hours: expected a standard error from 0 up, found {own.se:g}"
            before = own.waiting


def _context(submission: Submission) -> Iterator[str]:
    total: dict[str, float] = {}
    for own in submission.context:
        total[own.variable] = total.get(own.variable, 0.0) + own.share
        if not 0 <= own.share <= 1:
            yield f"context.csv, {own.variable} {own.value}: expected a share from 0 to 1, found {own.share:g}"
    for variable, share in total.items():
        if share > 1 + TOLERANCE:
            yield f"context.csv, {variable}: expected shares that sum to 1 or less, found {share:.6g}"


def _withheld(submission: Submission) -> Iterator[str]:
    """Figures said to be withheld that are there, and the other way round."""
    told: dict[str, set[str]] = {}
    for row in submission.withheld:
        told.setdefault(row.table, set()).add(row.cell)
    counts = {f"{c.item}={k}": n for c in submission.counts for k, n in zip(c.categories, c.counts, strict=True)}
    moments = submission.moments
    sent: dict[str, Collection[str]] = {
        "counts": {cell for cell, n in counts.items() if n is not None},
        "moments": moments.items if moments else (),
        "scores": [s.scope for s in submission.scores],
        "indicators": [i.code for i in submission.indicators],
        "waiting": [f"{w.stage}:{w.hours:g}" for w in submission.waiting],
        "context": [f"{c.variable}={c.value}" for c in submission.context],
    }
    for table, cells in sent.items():
        both = sorted(told.get(table, set()) & set(cells))
        if both:
            yield f"withheld.csv: expected no figure of what is withheld, found {_some(both)} in {table}.csv"
    silent = sorted(cell for cell, n in counts.items() if n is None and cell not in told.get("counts", ()))
    if silent:
        yield f"withheld.csv: expected a row for every count that is not sent, found none for {_some(silent)}"


def _some(cells: Sequence[str]) -> str:
    more = len(cells) - Problem.MOST
    return ", ".join(cells[: Problem.MOST]) + (f" and {more} more" if more > 0 else "")


def _unexpected(submission: Submission, expected: Expected) -> Iterator[str]:
    yield from _definition("instrument", submission.instrument, expected.instrument, expected.instrument_digest)
    yield from _of_standard(submission, expected)
    if expected.scales and submission.instrument.digest == expected.instrument_digest:
        yield from _strange(submission, expected)
    sizes = {"respondents": submission.n, **{f"respondents of {s.scope}": s.n for s in submission.scores}}
    if submission.moments:
        sizes["respondents who answered all items"] = submission.moments.n
    few = {what: n for what, n in sizes.items() if n < expected.minimum_n}
    # Where there are too few at all, there are too few of everything.
    for what in ["respondents"] if "respondents" in few else few:
        yield f"expected {expected.minimum_n} {what} or more, as the association's profile asks, found {few[what]}"


def _of_standard(submission: Submission, expected: Expected) -> Iterator[str]:
    """By another standard, or by none, what was done is another thing; who tells answers only needs none."""
    if not expected.standard:
        return
    if submission.standard:
        yield from _definition("standard", submission.standard, expected.standard, expected.standard_digest)
        return
    told = [t for t, rows in (("indicators.csv", submission.indicators), ("waiting.csv", submission.waiting)) if rows]
    if told:
        yield (
            f"datapackage.json: expected the standard {expected.standard}, as the association's profile asks, found "
            f"figures of {' and '.join(told)} and no standard; name it in the params (`standard`) and submit again"
        )


def _definition(what: str, found: Identity, name: str, digest: str) -> Iterator[str]:
    if found.name != name:
        yield f"datapackage.json: expected the {what} {name}, found {found.name}"
    elif digest and found.digest != digest:
        yield (f"datapackage.json: expected the {what} {name} with the digest {digest[:12]}..., found "
               f"{found.digest[:12]}... (version {found.version}): its text is another")  # fmt: skip


def _strange(submission: Submission, expected: Expected) -> Iterator[str]:
    """Items, scales and dimensions that are not the questionnaire's."""
    moments = submission.moments
    for table, items in (
        ("counts", [c.item for c in submission.counts]),
        ("moments", moments.items if moments else ()),
    ):
        unknown = [i for i in items if i not in expected.scales]
        if unknown:
            yield f"{table}.csv: expected items of {expected.instrument}, found {_some(unknown)}"
    for own in submission.counts:
        scale = expected.scales.get(own.item, own.categories)
        if own.categories != scale:
            yield (f"counts.csv, {own.item}: expected the categories {scale[0]} to {scale[-1]} in order, found "
                   f"{_some(list(map(str, own.categories)))}")  # fmt: skip
    scopes = [s.scope for s in submission.scores if s.scope != OVERALL and s.scope not in expected.dimensions]
    if scopes:
        yield f"scores.csv: expected dimensions of {expected.instrument}, found {_some(scopes)}"
