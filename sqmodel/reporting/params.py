"""Params: the keys of a params file, how their values are checked, and the files they name."""

from __future__ import annotations

import difflib
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import sqlalchemy as sa
import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator

from sqmodel.benchmark.content import CODE
from sqmodel.definitions import Text
from sqmodel.errors import InputError, ParamsError, Problem
from sqmodel.index.actions import PREFIXES
from sqmodel.measurement.measure import load_criteria
from sqmodel.reporting.sources import PLACEHOLDER, RECORDS, files_of, found_path, is_path, is_url
from sqmodel.survey.instrument import Instrument, load_instrument
from sqmodel.yaml_text import read_yaml

QUARTER = r"^\d{4}Q[1-4]$"

KNOWN_LINES = {
    "project_finance": Text(zh="项目融资", en="Project finance"),
    "corporate_lending": Text(zh="企业贷款", en="Corporate lending"),
}


class Params(BaseModel):
    """What a params file says: its keys, checked one by one, and the files they name."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    business_line: str = Field(pattern=r"^[a-z][a-z0-9_]*$", description="short name; the page's folder")
    quarter: str = Field(pattern=QUARTER, description="such as 2026Q3")
    institution: str = Field(
        default="", pattern=rf"^$|{CODE}", description="its code in an association's register, to submit to a benchmark"
    )
    instrument: str = Field(description="a shipped questionnaire, or the path of a YAML file")
    responses: str = Field(min_length=1, description="path or database URL; may hold {quarter}")
    title_zh: str = ""
    title_en: str = ""
    organisation_zh: str = ""
    organisation_en: str = ""
    columns: str = Field(default="", description="path of a column map")
    process: str = Field(default="lending_process", description="a shipped process, or the path of a YAML file")
    standard: str = Field(default="lending_standard", description="a shipped service standard, or a YAML file")
    events: str = Field(default="", description="event log: XES, CSV, Parquet or database URL")
    complaints: str = Field(default="", description="complaints, as the following: a file or database URL")
    exposures: str = Field(default="", description="loans with grade, probability of default and what became of them")
    alerts: str = Field(default="", description="early warnings of those loans")
    horizon: int = Field(default=365, ge=1, description="days after the granting in which a default counts")
    alert_horizon: int = Field(default=180, ge=1, description="days after a warning in which a default makes it right")
    tests: str = Field(default="", description="advisers' knowledge tests")
    training: str = Field(default="", description="advisers' training")
    inspections: str = Field(default="", description="checklists filled in by inspectors")
    advisers: str = Field(default="", description="which adviser handled which case")
    query: str = Field(default="", description="SQL, where responses is a database URL")
    where: dict[str, str] = Field(default_factory=dict, description="rows to keep: column to value")
    policy: Literal["error", "missing"] = "error"
    exclude: list[str] = Field(default_factory=lambda: ["longstring", "too_fast", "duplicate", "share_missing"])
    margins: dict[str, dict[str, float]] = Field(default_factory=dict, description="known shares to rake to")
    weighting: Literal["equal", "allocation", "regression", "given", "shapley", "relative", "loadings", "component",
                       "entropy", "critic"] = "equal"  # fmt: skip
    weights: dict[str, float] = Field(default_factory=dict, description="with weighting: given")
    strata: str = Field(default="", description="group variable of the sampling design")
    criteria: dict[str, Any] = Field(default_factory=dict, description="thresholds to override")
    drop_items: list[str] = Field(default_factory=list)
    controllability: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(
        default_factory=dict, description="share of its headroom that the lender can move: item, wait, ... to 0..1"
    )
    accept: str = Field(default="", description="why a measure that failed is shown all the same")
    minimum_n: int = Field(default=10, ge=3, le=1000)
    level: float = Field(default=0.95, gt=0.5, lt=1)
    draws: int = Field(default=1000, ge=200, le=100_000)
    seed: int = Field(default=1, ge=0)
    simulated: bool = Field(default=False, description="true: every page says that the data are simulated")
    page_language: Literal["zh", "en"] = "zh"
    page_bytes: int = Field(300_000, ge=50_000, le=5_000_000, description="size budget of the page")

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
        return load_instrument(found_path(self.instrument) if is_path(self.instrument) else self.instrument)

    def public(self) -> dict[str, Any]:
        """The params as readers may see them: of a database only its place, and no SQL."""
        shown = {key: public_source(getattr(self, key)) for key in ("responses", *RECORDS)}
        return self.model_dump(mode="json", exclude={"query"}) | shown

    def sources(self) -> list[tuple[str, str]]:
        """Quarter and source of every file to read, in order; one pair with an empty quarter if one holds them all."""
        return [(quarter, source) for quarter, _, source in self._files()]

    def _files(self) -> list[tuple[str, str, str]]:
        """Quarter, name as the params give it, and place of every source."""
        return files_of(self.responses, self.quarter)

    @property
    def kept_items(self) -> list[str]:
        """Items that are scored."""
        return self._kept(self.load_instrument())

    def _kept(self, instrument: Instrument) -> list[str]:
        return [c for c in instrument.item_codes if c not in set(self.drop_items)]

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

    def _controllability_problems(self, instrument: Instrument) -> Iterator[str]:
        """Items must be scored ones; what the records will tell of waits, rework and limits is not known yet."""
        kept = self._kept(instrument)
        for code in self.controllability:
            if code not in kept and not code.startswith(PREFIXES):
                near = difflib.get_close_matches(code, kept, 1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                others = ", ".join(f"{p}..." for p in PREFIXES)
                yield f"controllability: expected scored items of {instrument.name}, {others}, found {code!r}{hint}"

    def digests(self) -> dict[str, str]:
        """Sha256 of every input file, by its path in the params; of an absolute path only what tells it apart."""
        named = {given: Path(source) for _, given, source in self._files() if not is_url(source)}
        own = [getattr(self, key) for key in RECORDS]
        own += [d for d in (self.process, self.standard) if is_path(d) and self.events]
        for given in (self.columns, *own):
            if given and not is_url(given):
                named[given] = found_path(given)
        shown = {given: _told_apart(given, named) for given in named}
        result = {shown[given]: hashlib.sha256(path.read_bytes()).hexdigest() for given, path in named.items()}
        return result | {f"instrument {self.instrument.rsplit('/', 1)[-1]}": self.load_instrument().digest}


def plain(namespace: Mapping[str, Any]) -> dict[str, Any]:
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
        content = read_yaml(text)
    except UnicodeDecodeError as error:
        raise ParamsError(str(path), [f"expected YAML in UTF-8, found: {error}"]) from None
    except yaml.YAMLError as error:
        raise ParamsError(str(path), [f"expected YAML in UTF-8, found: {_without_text(error)}"]) from None
    if not isinstance(content, dict):
        raise ParamsError(str(path), [f"expected keys and values, found {type(content).__name__}"])
    return content, list(_repeated(yaml.compose(text, Loader=yaml.SafeLoader)))


def _without_text(error: yaml.YAMLError) -> str:
    """What is wrong and where, without the line itself: it may hold a password."""
    mark = getattr(error, "problem_mark", None)
    said = [getattr(error, name, None) for name in ("context", "problem")]
    place = f" (row {mark.line + 1}, column {mark.column + 1})" if mark else ""
    return "; ".join(filter(None, said)) + place


def _repeated(node: Any, place: str = "") -> Iterator[str]:
    """Keys that occur more than once; YAML would take the last one silently."""
    if isinstance(node, yaml.MappingNode):
        keys = [f"{place}{key.value}" for key, _ in node.value]
        yield from (f"key {key!r} occurs {count} times" for key, count in Counter(keys).items() if count > 1)
        for key, (_, value) in zip(keys, node.value, strict=True):
            yield from _repeated(value, f"{key}.")


def unknown(key: str) -> str:
    """The problem with a key that is none, with the nearest known one."""
    near = difflib.get_close_matches(key, Params.model_fields, 1, cutoff=0.5)
    return f"unknown key {key!r}" + (f"; did you mean {near[0]!r}?" if near else "")


def explain(found: dict[str, Any]) -> str:
    """One of pydantic's errors as a problem; of a database only its place is repeated."""
    key = ".".join(str(p) for p in found["loc"])
    if found["type"] == "missing":
        return f"{key}: expected a value, found none"
    message = str(found["msg"]).removeprefix("Value error, ")
    if key == "quarter":
        message = "expected a year and a quarter such as 2026Q3"
    elif key == "institution":
        message = "expected a code such as bank_a: a letter first, then letters, digits, _ . -"
    elif found["type"] == "string_pattern_mismatch":
        message = "expected lower-case letters, digits and underscores"
    given = found["input"]
    if key in ("responses", *RECORDS) and isinstance(given, str):
        given = public_source(given)
    shown = (
        type(given).__name__ if key in ("query", "responses", *RECORDS) and not isinstance(given, str) else repr(given)
    )
    return f"{key}: {message[0].lower() + message[1:]}, found {shown}"


def public_source(source: str) -> str:
    """A source as readers may see it: a path as it is, a database URL without user, password and options."""
    if not is_url(source):
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
