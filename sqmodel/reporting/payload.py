"""The record of a report for machines: a schema-checked mapping that travels inside the executed notebook."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sqmodel.errors import InputError

if TYPE_CHECKING:
    from sqmodel.reporting.page import Page
    from sqmodel.reporting.study import Study
    from sqmodel.survey.instrument import Instrument
    from sqmodel.survey.responses import Reading

MIME = "application/vnd.sqmodel.results+json"
SCHEMA = "sqmodel.results/1"
ANSWERS = "answers in "
VALIDATION_SCHEMA = "sqmodel.validation/1"
DESIGN_SCHEMA = "sqmodel.design/1"
BENCHMARK_SCHEMA = "sqmodel.benchmark/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Bilingual(_Part):
    """A text of the page."""

    zh: str
    en: str


class PageTexts(_Part):
    """What the page's frame shows."""

    title: Bilingual
    subtitle: Bilingual
    kicker: Bilingual


class Number(_Part):
    """An estimate with its interval."""

    value: float
    low: float | None
    high: float | None
    se: float | None
    n: int
    level: float
    method: str


class Results(_Part):
    """Content of results.json.

    The values under `results` are those of each analysis's ``to_json``: unrounded, null for what does not exist or
    was withheld.
    """

    schema_: Literal["sqmodel.results/1"] = Field(alias="schema")
    page: PageTexts
    business_line: str
    quarter: str = Field(pattern=r"^\d{4}Q[1-4]$")
    simulated: bool
    verdict: Literal["publish", "reservations", "reject"]
    index: Number
    change: Number | None
    actions: list[str]
    study: dict[str, Any]
    inputs: dict[str, str]
    labels: dict[str, dict[str, Bilingual]]
    results: dict[str, Any]


class ValidationResults(_Part):
    """Content of the results.json of a validation dossier; what could not be computed has its reason under `failed`."""

    schema_: Literal["sqmodel.validation/1"] = Field(alias="schema")
    page: PageTexts
    business_line: str
    quarter: str = Field(pattern=r"^\d{4}Q[1-4]$")
    simulated: bool
    verdict: Literal["publish", "reservations", "reject"]
    n: int
    study: dict[str, Any]
    inputs: dict[str, str]
    labels: dict[str, dict[str, Bilingual]]
    results: dict[str, Any]


class DesignResults(_Part):
    """Content of the results.json of a design study."""

    schema_: Literal["sqmodel.design/1"] = Field(alias="schema")
    page: PageTexts
    name: str
    simulated: bool
    verdict: Literal["ok", "doubtful", "blocks"]
    n: int
    study: dict[str, Any]
    inputs: dict[str, str]
    labels: dict[str, dict[str, Bilingual]]
    results: dict[str, Any]


class BenchmarkResults(_Part):
    """Content of the results.json of a benchmark: the public's, or that of the institution it names."""

    schema_: Literal["sqmodel.benchmark/1"] = Field(alias="schema")
    page: PageTexts
    name: str
    quarter: str = Field(pattern=r"^\d{4}Q[1-4]$")
    institution: str
    simulated: bool
    verdict: Literal["comparable", "partial", "doubtful", "not comparable", "not assessed"]
    n: int
    study: dict[str, Any]
    inputs: dict[str, str]
    labels: dict[str, dict[str, Bilingual]]
    results: dict[str, Any]


SCHEMAS: dict[str, type[_Part]] = {
    VALIDATION_SCHEMA: ValidationResults,
    DESIGN_SCHEMA: DesignResults,
    BENCHMARK_SCHEMA: BenchmarkResults,
}


@dataclass(frozen=True, repr=False)
class Payload:
    """Results of a report; displays as a line, and carries the record under its own media type."""

    content: dict[str, Any]

    def __repr__(self) -> str:
        return f"<Payload {name_of(self.content)}: {self.content['schema']}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return {MIME: self.content}


def name_of(content: dict[str, Any]) -> str:
    """Line and quarter of a record, or the name of the study."""
    return str(content["name"]) if "name" in content else f"{content['business_line']} {content['quarter']}"


def payload(page: Page) -> Payload:
    """Collect the results of a page.

    Data of single respondents (screening indices, comments) stay out; groups that were suppressed hold no figure.
    """
    from sqmodel.reporting.opening import title
    from sqmodel.reporting.words import quarter, say
    from sqmodel.result import encode

    index, study, instrument = page.index, page.study, page.measure.instrument
    kicker = say("kicker_simulated" if study.simulated else "kicker")
    where = [study.title, quarter(study.quarter), *([study.organisation] if study.organisation else [])]
    subtitle = {g: " · ".join(t[g] for t in where) for g in ("zh", "en")}
    texts = {"title": title(page), "kicker": kicker}
    content = {
        "schema": SCHEMA,
        "page": {k: {g: v[g] for g in ("zh", "en")} for k, v in texts.items()} | {"subtitle": subtitle},
        "business_line": study.business_line,
        "quarter": study.quarter,
        "simulated": study.simulated,
        "verdict": page.measure.verdict,
        "index": _number(index.overall),
        "change": None if index.change is None else _number(index.change),
        "actions": list(page.ranking.first),
        "study": study.public(),
        "inputs": inputs_of(study, page.reading),
        "labels": labels_of(instrument, study),
        "results": {
            "instrument": {"name": instrument.name, "version": instrument.version, "digest": instrument.digest},
            "ledger": encode(page.measure.ledger),
            "reliability": page.reliability.to_json(),
            "exploration": page.exploration.to_json(),
            "screening": encode(page.screening.counts),
            "reading": page.reading.to_json(),
            "weights": index.weights.to_json(),
            "index": index.to_json(),
            "gaps": page.gaps.to_json(),
            "outcomes": page.outcomes.to_json(),
            "priorities": page.priorities.to_json(),
            "actions": page.ranking.to_json(),
            "differences": [d.to_json() for d in page.differences],
            "operations": page.operations.record(),
            **({} if page.history is None else {"trend": page.history.to_json()}),
        },
    }
    return Payload(check_results(content))


def _number(estimate: Any) -> dict[str, Any]:
    from sqmodel.result import encode

    found: dict[str, Any] = encode(estimate)
    return {k: v for k, v in found.items() if k != "@"}


def inputs_of(study: Study, reading: Reading) -> dict[str, str]:
    """Digests of all inputs: of files by name, of a database's answers as they were read."""
    answers = {f"{ANSWERS}{study.public()['responses']}": reading.digest} if reading.digest else {}
    return study.digests() | answers


def labels_of(instrument: Instrument, study: Study) -> dict[str, dict[str, dict[str, str]]]:
    """Names of codes, so that a reader of the record needs no questionnaire."""
    named = {
        "dimensions": {d.code: d.title for d in instrument.dimensions},
        "items": {i.code: i.name for i in instrument.items},
        "groups": {g.code: g.title for g in instrument.groups},
        "line": {study.business_line: study.title},
    }
    return {kind: {c: {g: t[g] for g in ("zh", "en")} for c, t in texts.items()} for kind, texts in named.items()}


def check_results(content: dict[str, Any]) -> dict[str, Any]:
    """Check a record against the schema of results.json, that of a page, a dossier, a design study or a benchmark.

    Raises
    ------
    InputError
        With every place that does not fit.
    """
    named = str(content.get("schema")) if isinstance(content, dict) else ""
    schema = SCHEMAS.get(named, Results)
    try:
        schema.model_validate(content)
    except ValidationError as error:
        problems = [f"{'.'.join(str(p) for p in e['loc'])}: {e['msg']}" for e in error.errors()]
        raise InputError("results.json", problems, "publish the report again with this version") from None
    return content
