"""Study: a validated params file, the only thing a notebook needs to begin."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sqmodel.errors import InputError, ParamsError, Problem
from sqmodel.index.scoring import Index, build_index
from sqmodel.index.weighting import Weights
from sqmodel.measurement.differences import GroupDifferences, assess_group_differences
from sqmodel.measurement.exploratory import Exploration
from sqmodel.measurement.measure import Measure, load_criteria, qualify
from sqmodel.measurement.reliability import Reliability
from sqmodel.survey.calibration import rake
from sqmodel.survey.instrument import Instrument, Text, load_instrument
from sqmodel.survey.readers import check_scorable, read_responses
from sqmodel.survey.responses import Responses
from sqmodel.survey.screening import Screening

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
            raise ValueError(f"expected {PLACEHOLDER} as the only placeholder, found {', '.join(sorted(unknown))}")
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

    def sources(self) -> list[tuple[str, str]]:
        """Quarter and source of every file to read, in order; one pair with an empty quarter if one holds them all."""
        if PLACEHOLDER not in self.responses:
            return [("", self.responses if _is_url(self.responses) else str(_found(self.responses)))]
        found = []
        for quarter in _quarters_until(self.quarter, MOST_QUARTERS):
            path = _found(self.responses.replace(PLACEHOLDER, quarter))
            if path.exists() or quarter == self.quarter:
                found.append((quarter, str(path)))
        return found

    def read_all(self) -> Responses:
        """The answers of this quarter and the earlier ones, as they came in.

        Raises
        ------
        ResponsesError
            With all problems of the source.
        """
        instrument = self.load_instrument()
        options: dict[str, Any] = {"policy": self.policy, "where": self.where or None, "query": self.query or None}
        options["columns"] = str(_found(self.columns)) if self.columns else None
        parts = [
            read_responses(source, instrument, quarter=quarter or self.quarter, **options)
            for quarter, source in self.sources()
        ]
        merged = _merge(parts)
        return merged.keep(merged.frame["quarter"] <= self.quarter)

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
                [f"expected answers of {self.quarter} in {self.responses}, found {quarters}"],
                "choose a quarter that the data hold",
            )
        check_scorable(found)
        return found

    def read(self) -> Responses:
        """All answers until this quarter, after a check that this quarter's can be scored."""
        answers = self.read_all()
        self.current(answers)
        return answers

    def calibrate(self, responses: Responses) -> Responses:
        """Rake each quarter's sample weights to the known margins; unchanged where the params give none."""
        if not self.margins:
            return responses
        parts = [rake(responses.of(q), self.margins) for q in responses.quarters]
        frame = pd.concat([p.frame for p in parts], ignore_index=True)
        designs = [p.calibration for p in parts if p.calibration is not None]
        calibration = pd.concat(designs, ignore_index=True).fillna(0.0)
        return Responses(responses.instrument, frame, responses.reading, calibration)

    @property
    def kept_items(self) -> list[str]:
        """Items that are scored."""
        return [c for c in self.load_instrument().item_codes if c not in set(self.drop_items)]

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
        """Sha256 of every input file, by its name in the params."""
        named = {source: Path(source) for _, source in self.sources() if not _is_url(source)}
        if self.columns:
            named[self.columns] = _found(self.columns)
        result = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in named.values()}
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
        name, content = "parameters", _plain(source)
    else:
        name, content = str(source), _read_yaml(Path(source))
    content = content | overrides
    problems: list[Problem | str] = [_unknown(str(key)) for key in content if key not in Study.model_fields]
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


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ParamsError(str(path), ["expected a params file, found nothing at this path"])
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParamsError(str(path), [f"expected YAML in UTF-8, found: {' '.join(str(error).split())}"]) from error
    if not isinstance(content, dict):
        raise ParamsError(str(path), [f"expected keys and values, found {type(content).__name__}"])
    return content


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
    return f"{key}: {message[0].lower() + message[1:]}, found {found['input']!r}"


def _is_url(source: str) -> bool:
    return "://" in source


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


def _merge(parts: list[Responses]) -> Responses:
    """Answers of several files as one; a column that some files lack is missing there."""
    if len(parts) == 1:
        return parts[0]
    frame = pd.concat([p.frame for p in parts], ignore_index=True)
    last = parts[-1]
    return Responses(last.instrument, frame, last.reading)
