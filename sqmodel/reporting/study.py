"""Study: a validated params file, the only thing a notebook needs to begin."""

from __future__ import annotations

import difflib
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sqmodel.errors import ComputationError, InputError, ParamsError, Problem, ResponsesError
from sqmodel.index.scoring import Index, build_index
from sqmodel.index.weighting import Weights, derive_weights
from sqmodel.measurement.differences import GroupDifferences, assess_group_differences
from sqmodel.measurement.exploratory import Exploration
from sqmodel.measurement.measure import Measure, load_criteria, qualify
from sqmodel.measurement.reliability import Reliability
from sqmodel.survey.calibration import calibrate, rake
from sqmodel.survey.instrument import Instrument, Text, load_instrument
from sqmodel.survey.readers import check_scorable, read_responses
from sqmodel.survey.responses import Reading, Responses
from sqmodel.survey.screening import SOURCES, Screening, screen

QUARTER = r"^\d{4}Q[1-4]$"
PLACEHOLDER = "{quarter}"
MOST_QUARTERS = 12

KNOWN_LINES = {
    "project_finance": Text(zh="项目融资", en="Project finance"),
    "corporate_lending": Text(zh="企业贷款", en="Corporate lending"),
}


class Study(BaseModel):
    """One business line in one quarter: where the answers are and how they are to be evaluated.

    The fields are the keys of a params file and the parameters of ``notebooks/business_line.ipynb``.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    business_line: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="short name; the page's folder")
    quarter: str = Field(pattern=QUARTER, description="such as 2026Q3")
    instrument: str = Field(description="a shipped questionnaire, or the path of a YAML file")
    responses: str = Field(min_length=1, description="path or database URL; may hold {quarter}")
    title_zh: str = ""
    title_en: str = ""
    organisation_zh: str = ""
    organisation_en: str = ""
    columns: str = Field(default="", description="path of a column map")
    query: str = Field(default="", description="SQL, where responses is a database URL")
    where: dict[str, str] = Field(default_factory=dict, description="rows to keep: column to value")
    policy: Literal["error", "missing"] = "error"
    exclude: list[str] = Field(default_factory=lambda: ["longstring", "too_fast", "duplicate", "share_missing"])
    margins: dict[str, dict[str, float]] = Field(default_factory=dict, description="known shares to rake to")
    weighting: Literal["equal", "allocation", "regression", "given"] = "equal"
    weights: dict[str, float] = Field(default_factory=dict, description="with weighting: given")
    strata: str = Field(default="", description="group variable of the sampling design")
    criteria: dict[str, Any] = Field(default_factory=dict, description="thresholds to override")
    drop_items: list[str] = Field(default_factory=list)
    accept: str = Field(default="", description="why a measure that failed is shown all the same")
    minimum_n: int = Field(default=10, ge=3, le=1000)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    draws: int = Field(default=1000, ge=200, le=100_000)
    seed: int = Field(default=1, ge=0)
    simulated: bool = Field(default=False, description="true: every page says that the data are simulated")
    page_language: Literal["zh", "en"] = "zh"

    @field_validator("criteria")
    @classmethod
    def _known_criteria(cls, value: dict[str, Any]) -> dict[str, Any]:
        try:
            load_criteria(value)
        except InputError as error:
            raise ValueError("\n".join(str(p) for p in error.problems)) from None
        return value

    @field_validator("responses")
    @classmethod
    def _placeholder(cls, value: str) -> str:
        unknown = set(re.findall(r"\{[^}]*\}", value)) - {PLACEHOLDER}
        if unknown:
            # What stands in a password must not be repeated.
            shown = sorted(u for u in unknown if u in public_source(value)) or ["another one"]
            raise ValueError(f"expected {PLACEHOLDER} as the only placeholder, found {', '.join(shown)}")
        return value

    def __repr__(self) -> str:
        return f"<Study {self.business_line} {self.quarter}: {self.instrument}>"

    __str__ = __repr__

    @property
    def title(self) -> Text:
        """Name of the business line, for readers."""
        known = KNOWN_LINES.get(self.business_line)
        if self.title_zh or self.title_en:
            return Text(zh=self.title_zh, en=self.title_en)
        return known or Text(en=self.business_line.replace("_", " ").capitalize())

    @property
    def organisation(self) -> Text | None:
        """Who is evaluated, where the params say."""
        given = self.organisation_zh or self.organisation_en
        return Text(zh=self.organisation_zh, en=self.organisation_en) if given else None

    def load_instrument(self) -> Instrument:
        """The questionnaire of this study."""
        return load_instrument(_found(self.instrument) if _is_path(self.instrument) else self.instrument)

    def public(self) -> dict[str, Any]:
        """The params as readers may see them: of a database only its place, and no SQL."""
        return self.model_dump(mode="json", exclude={"query"}) | {"responses": public_source(self.responses)}

    def sources(self) -> list[tuple[str, str]]:
        """Quarter and source of every file to read, in order; one pair with an empty quarter if one holds them all."""
        return [(quarter, source) for quarter, _, source in self._files()]

    def _files(self) -> list[tuple[str, str, str]]:
        """Quarter, name as the params give it, and place of every source."""
        if PLACEHOLDER not in self.responses:
            return [("", self.responses, _placed(self.responses))]
        found = []
        for quarter in _quarters_until(self.quarter, MOST_QUARTERS):
            given = self.responses.replace(PLACEHOLDER, quarter)
            place = _placed(given)
            if quarter == self.quarter or _exists(place):
                found.append((quarter, given, place))
        return found

    def read_all(self) -> Responses:
        """The answers of this quarter and the earlier ones, as they came in.

        Raises
        ------
        ParamsError
            The column map is not there.
        ResponsesError
            With all problems of the source; an answer in two files, or in the file of another quarter.
        """
        if self.columns and not _found(self.columns).is_file():
            missing = f"columns: expected a column map, found no file at {self.columns}"
            raise ParamsError(f"{self.business_line} {self.quarter}", [missing], "correct the path")
        instrument = self.load_instrument()
        parts = [
            (quarter, public_source(given), self._read(source, instrument, quarter or self.quarter))
            for quarter, given, source in self._files()
        ]
        merged = _merge(public_source(self.responses), parts)
        return merged.keep(merged.frame["quarter"] <= self.quarter)

    def _read(self, source: str, instrument: Instrument, quarter: str) -> Responses:
        options: dict[str, Any] = {"policy": self.policy, "where": self.where or None, "query": self.query or None}
        options["columns"] = str(_found(self.columns)) if self.columns else None
        try:
            return read_responses(source, instrument, quarter=quarter, **options)
        except ResponsesError as error:
            if not _is_url(error.source):
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
        problems = [*self._item_problems(answers.instrument)]
        problems += [f"exclude: expected flags among {', '.join(SOURCES)}, found {f!r}" for f in flags]
        known = ", ".join(answers.group_codes) or "none"
        if self.strata and self.strata not in answers.group_codes:
            problems.append(f"strata: expected a group variable of the answers ({known}), found {self.strata!r}")
        problems += self._margin_problems(answers, "")
        if not problems and self.margins:
            problems += self._margin_problems(screen(answers, exclude=self.exclude).keep(answers), " after screening")
        if self.weighting != "regression" or not any(p.startswith("drop_items") for p in problems):
            problems += self._weighting_problems(answers)
        if problems:
            raise ParamsError(f"{self.business_line} {self.quarter}", problems, "correct the params; nothing was run")

    def _item_problems(self, instrument: Instrument) -> Iterator[str]:
        for code in self.drop_items:
            if code not in instrument.item_codes:
                near = difflib.get_close_matches(code, instrument.item_codes, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                yield f"drop_items: expected items of {instrument.name}, found {code!r}{hint}"
        kept = set(self._kept(instrument))
        for dimension, members in instrument.structure().items():
            if not kept & set(members):
                yield f"drop_items: expected an item left in dimension {dimension!r}, found none"

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
    def kept_items(self) -> list[str]:
        """Items that are scored."""
        return self._kept(self.load_instrument())

    def _kept(self, instrument: Instrument) -> list[str]:
        return [c for c in instrument.item_codes if c not in set(self.drop_items)]

    @property
    def resampling(self) -> dict[str, Any]:
        """Options of every bootstrap: level, draws and seed."""
        return {"level": self.level, "draws": self.draws, "rng": self.seed}

    def qualify(
        self, responses: Responses, *, screening: Screening, reliability: Reliability, exploration: Exploration
    ) -> Measure:
        """`sqmodel.qualify` with this study's criteria."""
        return qualify(
            responses,
            quarter=self.quarter,
            screening=screening,
            reliability=reliability,
            exploration=exploration,
            criteria=self.criteria,
            drop_items=self.drop_items,
        )

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

    def assess_differences(self, responses: Responses, index: Index) -> tuple[GroupDifferences, ...]:
        """Welch tests by every group variable that shows at least two groups; suppressed ones stay out."""
        table = index.groups
        found = []
        for code in dict.fromkeys(table["group"]):
            own = table[table["group"] == code]
            hidden = own.loc[own["suppressed"] != "", "value"].tolist()
            if len(own) - len(hidden) >= 2:
                options = {"minimum_n": self.minimum_n, "withhold": hidden, "post_hoc": 1 - self.level}
                found.append(assess_group_differences(responses, code, **options))
        return tuple(found)

    def digests(self) -> dict[str, str]:
        """Sha256 of every input file, by its path in the params; of an absolute path only what tells it apart."""
        named = {given: Path(source) for _, given, source in self._files() if not _is_url(source)}
        if self.columns:
            named[self.columns] = _found(self.columns)
        shown = {given: _told_apart(given, named) for given in named}
        result = {shown[given]: hashlib.sha256(path.read_bytes()).hexdigest() for given, path in named.items()}
        return result | {f"instrument {self.instrument.rsplit('/', 1)[-1]}": self.load_instrument().digest}


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
        name, content, problems = "parameters", _plain(source), list[Problem | str]()
    else:
        name, (content, problems) = str(source), read_params(Path(source))
    content = content | overrides
    problems += [_unknown(str(key)) for key in content if key not in Study.model_fields]
    known = {key: value for key, value in content.items() if key in Study.model_fields}
    try:
        study = Study.model_validate(known)
    except ValidationError as error:
        problems += [_explain(dict(found)) for found in error.errors()]
    if problems:
        raise ParamsError(name, problems, "correct the params; `sqmodel check` tests them without running anything")
    return study


def _plain(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Plain data of a namespace: no modules, functions, private names or IPython's own."""
    own = {"In", "Out"}
    kinds = (str, int, float, bool, list, dict, type(None))
    return {
        key: value
        for key, value in namespace.items()
        if not key.startswith("_") and key not in own and type(value) in kinds and value is not None
    }


def read_params(path: Path) -> tuple[dict[str, Any], list[Problem | str]]:
    """Keys and values of a params file, and a problem for every key that occurs more than once.

    Raises
    ------
    ParamsError
        There is no file, or it does not hold keys and values.
    """
    if not path.is_file():
        raise ParamsError(str(path), ["expected a params file, found nothing at this path"])
    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [f"expected YAML in UTF-8, found: {' '.join(str(error).split())}"]) from error
    if not isinstance(content, dict):
        raise ParamsError(str(path), [f"expected keys and values, found {type(content).__name__}"])
    return content, list(_repeated(yaml.compose(text, Loader=yaml.SafeLoader)))


def _repeated(node: Any, place: str = "") -> Iterator[str]:
    """Keys that occur more than once; YAML would take the last one silently."""
    if isinstance(node, yaml.MappingNode):
        keys = [f"{place}{key.value}" for key, _ in node.value]
        yield from (f"key {key!r} occurs {count} times" for key, count in Counter(keys).items() if count > 1)
        for key, (_, value) in zip(keys, node.value, strict=True):
            yield from _repeated(value, f"{key}.")


def _unknown(key: str) -> str:
    near = difflib.get_close_matches(key, Study.model_fields, 1, cutoff=0.5)
    return f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def _explain(found: dict[str, Any]) -> str:
    key = ".".join(str(p) for p in found["loc"])
    if found["type"] == "missing":
        return f"{key}: expected a value, found none"
    message = str(found["msg"]).removeprefix("Value error, ")
    if key == "quarter":
        message = "expected a year and a quarter such as 2026Q3"
    elif found["type"] == "string_pattern_mismatch":
        message = "expected lower-case letters, digits and underscores"
    given = found["input"]
    if key == "responses" and isinstance(given, str):
        given = public_source(given)
    shown = type(given).__name__ if key in ("query", "responses") and not isinstance(given, str) else repr(given)
    return f"{key}: {message[0].lower() + message[1:]}, found {shown}"


def _is_url(source: str) -> bool:
    return "://" in source


def public_source(source: str) -> str:
    """A source as readers may see it: a path as it is, a database URL without user, password and options."""
    if not _is_url(source):
        return source
    scheme = source.split("://", 1)[0]
    if not re.fullmatch(r"[A-Za-z][\w+.-]*", scheme):
        return "database"
    try:
        url = sa.make_url(source)
    except (sa.exc.ArgumentError, ValueError):
        return f"{scheme}://"
    place = f"{url.host or ''}/{re.split('[?#;]', url.database or '')[0]}"
    # An unescaped @ in the password would leave the rest of it before the host.
    return f"{scheme}://" + ("" if "@" in place else place)


def _told_apart(given: str, among: Iterable[str]) -> str:
    """A relative path as it is; of an absolute one the shortest end that no other path has: pages travel."""
    if not Path(given).expanduser().is_absolute():
        return given
    ends = [["/".join(Path(g).parts[-k:]) for g in among if g != given] for k in range(1, len(Path(given).parts))]
    own = ("/".join(Path(given).parts[-k:]) for k in range(1, len(Path(given).parts)))
    return next((end for end, others in zip(own, ends, strict=True) if end not in others), given)


def _placed(source: str) -> str:
    return source if _is_url(source) else str(_found(source))


def _exists(place: str) -> bool:
    """Whether a file is there; of databases only SQLite's can be told without asking a server."""
    if not _is_url(place):
        return Path(place).exists()
    return place.startswith("sqlite:///") and Path(place.removeprefix("sqlite:///").split("?")[0]).is_file()


def _is_path(source: str) -> bool:
    return source.endswith((".yaml", ".yml"))


def project_root(start: Path | None = None) -> Path:
    """The nearest folder above (or at) `start` that holds ``params/``; `start` itself if there is none.

    Relative paths in params are meant from there, so a notebook finds them from its own folder too.
    """
    here = (start or Path.cwd()).resolve()
    return next((p for p in (here, *here.parents) if (p / "params").is_dir()), here)


def _found(path: str) -> Path:
    given = Path(path).expanduser()
    if given.is_absolute() or given.exists():
        return given
    return project_root() / given


def _quarters_until(quarter: str, most: int) -> list[str]:
    last = int(quarter[:4]) * 4 + int(quarter[5]) - 1
    return [f"{q // 4}Q{q % 4 + 1}" for q in range(last - most, last + 1)]


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
