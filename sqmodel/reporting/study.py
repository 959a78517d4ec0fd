"""Study: a validated params file, the only thing a notebook needs to begin."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import ValidationError

from sqmodel.errors import (
    ComputationError,
    InputError,
    ParamsError,
    Problem,
    ResponsesError,
    SmallSampleWarning,
)
from sqmodel.index.actions import Actions, rank_actions
from sqmodel.index.priorities import Priorities
from sqmodel.index.scoring import Index, build_index
from sqmodel.index.trend import Trend, assess_trend
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.confirmatory import Confirmation, confirm
from sqmodel.measurement.differences import GroupDifferences, assess_group_differences
from sqmodel.measurement.measure import Measure, qualify
from sqmodel.reporting.operations import Operations, assess_operations
from sqmodel.reporting.params import Params, explain, plain, public_source, read_params, unknown
from sqmodel.reporting.sources import found_path, is_url
from sqmodel.survey.calibration import calibrate, rake
from sqmodel.survey.instrument import Instrument
from sqmodel.survey.readers import check_scorable, read_responses
from sqmodel.survey.responses import Reading, Responses
from sqmodel.survey.screening import SOURCES, screen


class Study(Params):
    """One business line in one quarter: where the answers are and how they are to be evaluated.

    The fields are the keys of a params file and the parameters of ``notebooks/business_line.ipynb``.
    """

    def __repr__(self) -> str:
        return f"<Study {self.business_line} {self.quarter}: {self.instrument}>"

    __str__ = __repr__

    def read_all(self) -> Responses:
        """The answers of this quarter and the earlier ones, as they came in.

        Raises
        ------
        ParamsError
            The column map is not there.
        ResponsesError
            With all problems of the source; an answer in two files, or in the file of another quarter.
        """
        if self.columns and not found_path(self.columns).is_file():
            missing = f"columns: expected a column map, found no file at {self.columns}"
            raise ParamsError(f"{self.business_line} {self.quarter}", [missing], "correct the path")
        instrument = self.load_instrument()
        parts = [
            (quarter, public_source(given), self._read(source, instrument, quarter or self.quarter))
            for quarter, given, source in self._files()
        ]
        merged = _merge(public_source(self.responses), parts)
        kept = merged.keep(merged.frame["quarter"] <= self.quarter)
        if not is_url(self.responses):
            return kept
        return Responses(
            kept.instrument, kept.frame, replace(kept.reading, digest=digest_of_answers(kept, self.quarter))
        )

    def _read(self, source: str, instrument: Instrument, quarter: str) -> Responses:
        options: dict[str, Any] = {"policy": self.policy, "where": self.where or None, "query": self.query or None}
        options["columns"] = str(found_path(self.columns)) if self.columns else None
        try:
            return read_responses(source, instrument, quarter=quarter, **options)
        except ResponsesError as error:
            if not is_url(error.source):
                raise
            raise ResponsesError(public_source(error.source), error.problems, error.remedy) from None

    def current(self, answers: Responses) -> Responses:
        """The answers of this quarter, which must be there and must be scorable.

        Raises
        ------
        ParamsError
            No answers of the quarter.
        ResponsesError
            An item without variance or answers, or fewer respondents than items.
        """
        found = answers.of(self.quarter)
        if len(found) == 0:
            quarters = ", ".join(answers.quarters) or "no quarter"
            raise ParamsError(
                f"{self.business_line} {self.quarter}",
                [f"expected answers of {self.quarter} in {public_source(self.responses)}, found {quarters}"],
                "choose a quarter that the data hold",
            )
        check_scorable(found, self._kept(answers.instrument))
        return found

    def read(self) -> Responses:
        """All answers until this quarter, after a check that this quarter's can be scored as the params say."""
        answers = self.read_all()
        self.current(answers)
        self.check(answers)
        return answers

    def check(self, answers: Responses) -> None:
        """Do the params fit the questionnaire and these answers, so that the notebook can run to its end?

        Raises
        ------
        ParamsError
            All problems at once, each with its key.
        """
        flags = [f for f in self.exclude if f not in SOURCES]
        problems = [*self._item_problems(answers.instrument), *self._controllability_problems(answers.instrument)]
        problems += [f"exclude: expected flags among {', '.join(SOURCES)}, found {f!r}" for f in flags]
        known = ", ".join(answers.group_codes) or "none"
        if self.strata and self.strata not in answers.group_codes:
            problems.append(f"strata: expected a group variable of the answers ({known}), found {self.strata!r}")
        problems += self._margin_problems(answers, "")
        if not problems and self.margins:
            problems += self._margin_problems(screen(answers, exclude=self.exclude).keep(answers), " after screening")
        if self.weighting in ("equal", "allocation", "given") or not any(p.startswith("drop_items") for p in problems):
            problems += self._weighting_problems(answers)
        if problems:
            raise ParamsError(f"{self.business_line} {self.quarter}", problems, "correct the params; nothing was run")

    def _margin_problems(self, answers: Responses, when: str) -> list[str]:
        """What keeps each quarter from being raked; the same problem of several quarters once."""
        found: dict[str, list[str]] = {}
        for quarter in answers.quarters if self.margins else []:
            try:
                with warnings.catch_warnings(action="ignore"):
                    calibrate(answers.of(quarter), self.margins)
            except ResponsesError as error:
                for problem in error.problems:
                    found.setdefault(str(problem), []).append(quarter)
        return [f"margins: {problem} ({', '.join(quarters)}{when})" for problem, quarters in found.items()]

    def _weighting_problems(self, answers: Responses) -> list[str]:
        """What keeps the weights from being derived, found by deriving them with few draws."""
        items = tuple(self._kept(answers.instrument))
        measure = Measure(
            responses=answers, quarter=self.quarter, items=items, ledger=pd.DataFrame(), verdict="publish"
        )
        try:
            with warnings.catch_warnings(action="ignore"):
                derive_weights(measure, method=self.weighting, given=self.weights, draws=30, rng=self.seed)
        except InputError as error:
            return [f"weights: {problem}" for problem in error.problems]
        except ComputationError as error:
            return [str(error)]
        return []

    def calibrate(self, responses: Responses) -> Responses:
        """Rake each quarter's sample weights to the known margins; unchanged where the params give none."""
        if not self.margins:
            return responses
        parts = {q: rake(responses.of(q), self.margins) for q in responses.quarters}
        frame = pd.concat([p.frame for p in parts.values()], ignore_index=True)
        designs = [p.calibration for p in parts.values() if p.calibration is not None]
        calibration = pd.concat(designs, ignore_index=True).fillna(0.0)
        before = responses.reading.changes
        raked = {q: p.reading.changes.iloc[len(before) :] for q, p in parts.items()}
        reading = replace(responses.reading, changes=_listed({"": before} | raked))
        return Responses(responses.instrument, frame, reading, calibration)

    @property
    def resampling(self) -> dict[str, Any]:
        """Options of every bootstrap: level, draws and seed."""
        return {"level": self.level, "draws": self.draws, "rng": self.seed}

    def qualify(self, responses: Responses, **evidence: Any) -> Measure:
        """`sqmodel.qualify` with this study's criteria; `evidence` is screening, reliability and so on."""
        return qualify(responses, quarter=self.quarter, criteria=self.criteria, drop_items=self.drop_items, **evidence)

    def confirm(self, responses: Responses) -> Confirmation | None:
        """`sqmodel.confirm` of the dimensions as correlated factors; None, with a warning, where answers carry none."""
        kept = set(self.kept_items)
        dimensions = {d: [c for c in own if c in kept] for d, own in responses.instrument.structure().items()}
        model = {d: own for d, own in dimensions.items() if len(own) > 1}
        try:
            return confirm(responses, model)
        except ComputationError as error:
            warnings.warn(f"no confirmatory model: {error}", SmallSampleWarning, stacklevel=2)
            return None

    def build_index(self, measure: Measure, *, weights: Weights, unscreened: Responses) -> Index:
        """`sqmodel.build_index` with this study's rules of publication."""
        return build_index(
            measure,
            weights=weights,
            unscreened=unscreened,
            minimum_n=self.minimum_n,
            strata=self.strata or None,
            accept=self.accept,
            **self.resampling,
        )

    def assess_trend(self, measure: Measure, index: Index) -> Trend | None:
        """`sqmodel.assess_trend` at the weights of the index; None where no earlier quarter is large enough."""
        if not index.previous_quarter:
            return None
        options = {"minimum_n": self.minimum_n, "strata": self.strata or None, "accept": self.accept} | self.resampling
        return assess_trend(measure, weights=index.weights, **options)

    def assess_operations(self, measure: Measure, *, weights: Weights) -> Operations:
        """What the lender did in the quarter, as far as the params name records of it."""
        return assess_operations(self, measure, weights=weights)

    def rank_actions(self, priorities: Priorities, operations: Operations) -> Actions:
        """`sqmodel.rank_actions` over the items and what the lender did."""
        return rank_actions(
            priorities,
            drivers=operations.drivers,
            compliance=operations.compliance,
            process=operations.process,
            controllability=self.controllability,
            minimum_n=self.minimum_n,
            level=self.level,
            rng=self.seed,
        )

    def assess_differences(self, responses: Responses, index: Index) -> tuple[GroupDifferences, ...]:
        """Welch tests by every group variable that shows at least two groups and whose groups may be compared.

        Suppressed groups stay out, and so does a variable whose comparison the index withholds: its items do not mean
        the same to all groups, so that a test of their means would state what the page says it cannot.
        """
        table = index.groups
        found = []
        for code in dict.fromkeys(table["group"]):
            own = table[table["group"] == code]
            if (own["comparison"] == "withheld").any():
                continue
            hidden = own.loc[own["suppressed"] != "", "value"].tolist()
            if len(own) - len(hidden) >= 2:
                options = {"minimum_n": self.minimum_n, "withhold": hidden, "post_hoc": 1 - self.level}
                found.append(assess_group_differences(responses, code, **options))
        return tuple(found)


def load_study(source: str | Path | Mapping[str, Any], **overrides: Any) -> Study:
    """Check a params file, or the parameters of a notebook, and make a Study of them.

    Parameters
    ----------
    source : path or mapping
        A YAML file; or the notebook's namespace (``vars()``) right after its parameters cell, of which everything
        that is plain data is taken as a parameter.
    **overrides
        Values that replace those of the source (``quarter="2026Q3"``).

    Returns
    -------
    Study

    Raises
    ------
    ParamsError
        All unknown keys (with the nearest known name), missing keys and wrong values in one message.

    Examples
    --------
    >>> answers = {"instrument": "lending_service", "responses": "a.csv"}
    >>> load_study({"business_line": "demo", "quarter": "2026Q3"} | answers)
    <Study demo 2026Q3: lending_service>
    """
    if isinstance(source, Mapping):
        name, content, problems = "parameters", plain(source), list[Problem | str]()
    else:
        name, (content, problems) = str(source), read_params(Path(source))
    content = content | overrides
    problems += [unknown(str(key)) for key in content if key not in Study.model_fields]
    known = {key: value for key, value in content.items() if key in Study.model_fields}
    try:
        study = Study.model_validate(known)
    except ValidationError as error:
        problems += [explain(dict(found)) for found in error.errors()]
    if problems:
        raise ParamsError(name, problems, "correct the params; `sqmodel check` tests them without running anything")
    return study


def digest_of_answers(answers: Responses, quarter: str) -> str:
    """Sha256 of the answers until a quarter, whatever the order in which a database gives them."""
    until = answers.frame[answers.frame["quarter"] <= quarter]
    lines = until[sorted(until.columns)].to_csv(index=False).splitlines()
    return hashlib.sha256("\n".join([lines[0], *sorted(lines[1:])]).encode()).hexdigest()


def _merge(source: str, parts: list[tuple[str, str, Responses]]) -> Responses:
    """Answers of several files (quarter, name, answers) as one; a column that some files lack is missing there."""
    problems = [*_in_wrong_file(parts), *_in_two_files(parts)]
    if problems:
        raise ResponsesError(source, problems, "put each answer once, into the file of its quarter")
    if len(parts) == 1:
        return parts[0][2]
    frame = pd.concat([part.frame for _, _, part in parts], ignore_index=True)
    readings = {name: part.reading for _, name, part in parts}
    reading = Reading(
        source=source,
        encoding=", ".join(dict.fromkeys(r.encoding for r in readings.values() if r.encoding)),
        rows=sum(r.rows for r in readings.values()),
        changes=_listed({name: r.changes for name, r in readings.items()}),
    )
    return Responses(parts[-1][2].instrument, frame, reading)


def _in_wrong_file(parts: list[tuple[str, str, Responses]]) -> Iterator[Problem]:
    for quarter, name, part in parts:
        found = part.frame["quarter"]
        others = found[found != quarter].value_counts().sort_index()
        if quarter and len(others):
            shown = tuple(f"{q} (n={n})" for q, n in others.items())
            yield Problem(f"{name}: expected answers of {quarter} only, found some of", shown)


def _in_two_files(parts: list[tuple[str, str, Responses]]) -> Iterator[Problem]:
    keys = ["respondent", "quarter"]
    listed = pd.concat([part.frame[keys].assign(file=name) for _, name, part in parts], ignore_index=True)
    twice = listed[listed.duplicated(keys, keep=False)]
    if len(twice):
        shown = tuple(f"{r} of {q} (in {', '.join(own)})" for (r, q), own in twice.groupby(keys)["file"])
        yield Problem("expected each respondent once in a quarter, found in several files", shown)


def _listed(changes: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Changes of several sources in one table; the source's name stands before the column."""
    rows = [
        row | {"column": ": ".join(part for part in (name, str(row["column"])) if part)}
        for name, table in changes.items()
        for row in table.to_dict("records")
    ]
    return pd.DataFrame(rows, columns=["kind", "column", "count", "examples"])
