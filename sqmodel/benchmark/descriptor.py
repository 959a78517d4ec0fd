"""The descriptor of a submission: a Frictionless Data Package whose bytes are signed and bind every table by its hash.

It is read as hostile text: its size, its depth and its numbers are looked at before it is parsed, it is checked against
a schema of our own, and it must be byte for byte the one that is written for the same facts.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import ConfigDict, Field, StringConstraints, ValidationError

from sqmodel.benchmark.archive import MOST_BYTES, SubmissionError
from sqmodel.benchmark.content import CODE, SCHEMA, Identity, Submission
from sqmodel.benchmark.signing import ALGORITHM
from sqmodel.benchmark.tables import ORDINAL, PLAIN, TABLES, shown
from sqmodel.definitions import Frozen

QUARTER = r"^[0-9]{4}Q[1-4]$"
TABLE_VERSION = "1"
MOST_DEPTH = 10
MOST_DIGITS = 12
MOST_REVISION = 999

# pydantic's patterns are Rust's: $ is the end of the text, not also a line feed before it as in Python.
Code = Annotated[str, StringConstraints(pattern=CODE)]
Digest = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
_SIGNATURE = re.compile(
    rf'\{{"algorithm": "{ALGORITHM}", "key": "([0-9a-f]{{64}})", "signature": "([0-9a-f]{{128}})"\}}\n', re.ASCII
)
_PLAIN = b"\t\n\r" + bytes(range(32, 127))
# A text that is not closed goes to the end: no quotation mark in it is tried for the beginning of another.
_STRINGS = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)', re.DOTALL)


class _Strict(Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class _Identity(_Strict):
    name: Code
    version: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]{0,31}$")]
    digest: Digest


class Facts(_Strict):
    """What a descriptor says of its submission.

    `complete` and `ordinal` are the respondents behind the items' moments and behind their thresholds, null where these
    are not sent.
    """

    schema_: Literal["sqmodel.submission/1"] = Field(alias="schema")
    institution: Code
    quarter: Annotated[str, StringConstraints(pattern=QUARTER)]
    revision: int = Field(ge=0, le=MOST_REVISION)
    instrument: _Identity
    standard: _Identity | None
    simulated: bool
    n: int = Field(ge=0)
    complete: int | None = Field(ge=0)
    ordinal: int | None = Field(ge=0)


class _Resource(_Strict):
    """The part of a resource that may differ; the rest must be as we write it."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    path: str
    bytes: int = Field(ge=0)
    hash: Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]


class _Descriptor(_Strict):
    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    sqmodel: Facts
    resources: tuple[_Resource, ...]


class Described(NamedTuple):
    """A descriptor that was read: its facts, and the size and sha256 of each table by path."""

    facts: Facts
    tables: dict[str, tuple[int, str]]


def facts_of(submission: Submission) -> dict[str, Any]:
    """What the descriptor tells of a submission beside its tables."""
    ordinal, moments = submission.ordinal, submission.moments
    return {
        "schema": SCHEMA,
        "institution": submission.institution,
        "quarter": submission.quarter,
        "revision": submission.revision,
        "instrument": submission.instrument._asdict(),
        "standard": submission.standard._asdict() if submission.standard else None,
        "simulated": submission.simulated,
        "n": submission.n,
        "complete": moments.n if moments else None,
        "ordinal": int(ordinal.moments.n) if ordinal else None,
    }


def descriptor_of(facts: Mapping[str, Any], tables: Mapping[str, tuple[int, str]]) -> bytes:
    """The only descriptor of these facts and tables (size and sha256 by path)."""
    content = {
        "profile": "data-package",
        "name": f"{facts['institution']}-{facts['quarter']}-{facts['revision']}".lower(),
        "title": f"{facts['institution']} {facts['quarter']}, revision {facts['revision']}",
        "sqmodel": facts,
    }
    resources = []
    for path in TABLES:
        if path in tables:
            size, digest = tables[path]
            before, after = _resource(path)
            resources.append(f'{before}"bytes": {size},\n   "hash": "sha256:{digest}"{after}')
    joined = ",\n  ".join(resources)
    head = json.dumps(content, indent=1).removesuffix("\n}")
    return f'{head},\n "resources": [\n  {joined}\n ]\n}}\n'.encode("ascii")


@functools.cache
def _resource(path: str) -> tuple[str, str]:
    """The text of a resource before and after its size and hash, which are all that differs between packages."""
    table = TABLES[path]
    told = {
        "name": table.name, "path": path, "profile": "tabular-data-resource", "title": table.title, "format": "csv",
        "mediatype": "text/csv", "encoding": "utf-8", "schemaVersion": TABLE_VERSION, "bytes": 0,
        "schema": table.schema,
    }  # fmt: skip
    before, after = json.dumps(told, indent=1).replace("\n", "\n  ").split('"bytes": 0', 1)
    return before, after


def signature_text(key: str, signature: bytes) -> bytes:
    """The only text of ``signature.json`` for a key and a signature."""
    content = {"algorithm": ALGORITHM, "key": key, "signature": signature.hex()}
    return (json.dumps(content) + "\n").encode("ascii")


def read_signature(content: bytes, source: str) -> tuple[str, bytes]:
    """Key and signature of ``signature.json``; the text has one form, and nothing else is parsed.

    Raises
    ------
    SubmissionError
        It is of another form.
    """
    found = _SIGNATURE.fullmatch(content.decode("latin-1"))
    if not found:
        raise SubmissionError(source, [f"signature.json: expected an {ALGORITHM} key and signature as `sqmodel submit` "
                                       "writes them, found another text"])  # fmt: skip
    return found[1], bytes.fromhex(found[2])


def read_descriptor(content: bytes, source: str) -> Described:
    """Facts and tables of a descriptor.

    Raises
    ------
    SubmissionError
        It is no plain JSON, of another schema, or not as it is written for the same facts.
    """
    place = "datapackage.json"
    facts = _facts(_loaded(content, source), source)
    try:
        read = _Descriptor.model_validate_json(content)
    except ValidationError as error:
        raise SubmissionError(source, [f"{place}: {line}" for line in _explained(error)]) from None
    tables = {r.path: (r.bytes, r.hash.removeprefix("sha256:")) for r in read.resources}
    problems = _missing_tables(read, tables)
    if problems:
        raise SubmissionError(source, [f"{place}: {line}" for line in problems])
    if descriptor_of(facts, tables) != content:
        raise SubmissionError(source, [f"{place}: expected it as `sqmodel submit` writes it, found other keys, values "
                                       "or spaces beside those of the submission"])  # fmt: skip
    return Described(read.sqmodel, tables)


def _facts(value: Any, source: str) -> dict[str, Any]:
    """The part of a descriptor that is the submission's own, of our schema and with few resources beside it."""
    place = "datapackage.json"
    facts = value.get("sqmodel") if isinstance(value, dict) else None
    if not isinstance(facts, dict):
        raise SubmissionError(source, [f"{place}: expected a data package with the key sqmodel, found none"])
    if facts.get("schema") != SCHEMA:
        found = shown(str(facts.get("schema")))
        raise SubmissionError(source, [f"{place}: expected the schema {SCHEMA}, found {found}"],
                              "write it again with the version of sqmodel that the association uses")  # fmt: skip
    told = value.get("resources")
    if not isinstance(told, list) or len(told) > len(TABLES):
        raise SubmissionError(source, [f"{place}: expected {len(TABLES)} resources or fewer, found "
                                       f"{len(told) if isinstance(told, list) else 'none'}"])  # fmt: skip
    return facts


def _missing_tables(read: _Descriptor, tables: Mapping[str, object]) -> list[str]:
    ordinal = [t.path for t in ORDINAL]
    has = [p for p in ordinal if p in tables]
    problems = [f"expected the table {t.path}, found none" for t in PLAIN if t.path not in tables]
    problems += [f"expected the tables of a submission, found {shown(p)}" for p in tables if p not in TABLES]
    if len(read.resources) != len(tables):
        problems.append("expected every table once, found some more than once")
    wanted = {True: (ordinal, ordinal[:2]), False: ([],)}[read.sqmodel.ordinal is not None]
    if has not in wanted:
        problems.append(f"expected {', '.join(ordinal)} where ordinal has a value and only there, found "
                        f"{', '.join(has) or 'none'}")  # fmt: skip
    return problems


def _explained(error: ValidationError) -> list[str]:
    """pydantic's findings; what was found is shortened and made harmless."""
    problems = []
    for found in error.errors():
        place = ".".join(shown(p)[1:-1] if isinstance(p, str) else str(p) for p in found["loc"])
        kinds = {"missing": "missing key", "extra_forbidden": "unknown key"}
        value = f"{found['msg']}, found {shown(str(found['input']))}"
        problems.append(f"{place}: {kinds.get(found['type'], value)}")
    return problems


def _loaded(content: bytes, source: str) -> Any:
    """JSON of a text that was looked at before."""
    place = "datapackage.json"
    problem, value = _unfit(content), None
    if not problem:
        try:
            value = json.loads(content.decode("ascii"), object_pairs_hook=_once, parse_constant=_no_constant)
        except ValueError as error:
            problem = f"expected JSON, found: {error}"
    if problem:
        raise SubmissionError(source, [f"{place}: {problem}"])
    return value


def _unfit(content: bytes) -> str:
    """Why a text is not even parsed."""
    most = MOST_BYTES["datapackage.json"]
    if len(content) > most:
        return f"expected {most:,} bytes or fewer, found {len(content):,}"
    odd = content.translate(None, _PLAIN)
    if odd:
        return f"expected plain ASCII, found the byte 0x{odd[0]:02x} at {content.index(odd[:1])}"
    bare = _STRINGS.sub("", content.decode("ascii"))
    depth = deepest = 0
    for mark in re.findall(r"[\[\]{}]", bare):
        depth += 1 if mark in "[{" else -1
        deepest = max(deepest, depth)
    if deepest > MOST_DEPTH:
        return f"expected {MOST_DEPTH} levels of nesting or fewer, found {deepest:,}"
    number = re.search(rf"[0-9]{{{MOST_DIGITS + 1},}}", bare)
    if number:
        return f"expected numbers of {MOST_DIGITS} digits or fewer, found one of {len(number[0]):,}"
    return ""


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {shown(key)} more than once")
        found[key] = value
    return found


def _no_constant(text: str) -> Any:
    raise ValueError(f"{text}, which is no number of JSON")


def identity(told: _Identity | None) -> Identity | None:
    """As the submission holds it."""
    return Identity(told.name, told.version, told.digest) if told else None


def sha256(content: bytes) -> str:
    """In hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
