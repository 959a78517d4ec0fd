"""Column map: which header of the source holds which question, and how its platform writes answers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from sqmodel.errors import Problem, ResponsesError
from sqmodel.survey.instrument import RESERVED, Instrument

Format = Literal["plain", "qualtrics", "limesurvey", "wenjuanxing"]


@dataclass(frozen=True)
class Platform:
    """What is special about the exports of one survey platform.

    `columns` are the headers of the reserved fields, `variants` patterns whose first group is the statement
    inside a header, `missing` the cells that mean "no answer", `finished` the headers that tell completed
    answers.
    """

    header_rows: int = 1
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    variants: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    finished: tuple[str, ...] = ()


PLATFORMS: Mapping[Format, Platform] = {
    "plain": Platform(),
    "qualtrics": Platform(
        header_rows=3,
        columns={"respondent": ("ResponseId", "Response ID"), "duration": ("Duration (in seconds)",)},
        variants=(r"^.* - (.+)$",),
        finished=("Finished",),
    ),
    "limesurvey": Platform(
        columns={"respondent": ("id", "Response ID"), "duration": ("interviewtime", "Total time")},
        variants=(r"^.*\[(.+)\]$", r"^[A-Za-z]\w*\. (.+)$"),
        finished=("submitdate", "Date submitted"),
    ),
    "wenjuanxing": Platform(
        columns={"respondent": ("序号",), "duration": ("所用时间",)},
        variants=(r"^\d+ ?[、.] ?(.+)$", r"^.*[—–] ?(.+)$"),
        missing=("(跳过)", "(空)", "-3"),
    ),
}


def fold(text: str) -> str:
    """Text as it is compared: full-width forms as half-width, no blanks around, one blank between words."""
    return " ".join(unicodedata.normalize("NFKC", text).split())


class ColumnMap(BaseModel):
    """How the columns of a source become canonical names.

    Parameters
    ----------
    columns : dict of str to str
        Canonical name to header; names left out are looked up by their code, then by the question's text.
    format : {"plain", "qualtrics", "limesurvey", "wenjuanxing"}
        The platform that wrote the file.
    labels : dict of str to dict
        Canonical name, or ``"*"`` for all ratings, to the labels of its codes: ``{"*": {"非常同意": 7}}``.
    missing : sequence
        Cells that mean "no answer", such as ``-99`` or ``"N/A"``.
    encoding, sheet : str, optional
        Encoding of a text file; sheet of a workbook. Detected, and the first, by default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, str] = Field(default_factory=dict)
    format: Format = "plain"
    labels: dict[str, dict[str, int | str]] = Field(default_factory=dict)
    missing: tuple[str, ...] = ()
    encoding: str | None = None
    sheet: str | None = None

    @field_validator("labels", mode="before")
    @classmethod
    def _text_labels(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {k: {str(t): c for t, c in v.items()} if isinstance(v, dict) else v for k, v in value.items()}

    @field_validator("missing", mode="before")
    @classmethod
    def _text_missing(cls, value: Any) -> Any:
        return tuple(str(v) for v in value) if isinstance(value, list | tuple) else value

    @property
    def platform(self) -> Platform:
        """The habits of the platform that wrote the file."""
        return PLATFORMS[self.format]

    def labels_of(self, name: str, shared: bool = True) -> dict[str, int | str]:
        """Labels of one column by folded text; with those of ``"*"`` where `shared`."""
        found = {**(self.labels.get("*", {}) if shared else {}), **self.labels.get(name, {})}
        return {fold(label): code for label, code in found.items()}

    @property
    def missing_texts(self) -> frozenset[str]:
        """Folded cells that mean "no answer", the platform's own among them."""
        return frozenset(fold(m) for m in (*self.missing, *self.platform.missing))


def load_column_map(columns: ColumnMap | Mapping[str, Any] | str | Path | None) -> ColumnMap:
    """Read a column map from a YAML file or a mapping.

    Parameters
    ----------
    columns : ColumnMap, mapping, path or None
        A mapping is canonical name to header, unless all its keys are fields of `ColumnMap`.

    Raises
    ------
    ResponsesError
        The file is missing, is no YAML or breaks the schema; all problems in one message.
    """
    if isinstance(columns, ColumnMap):
        return columns
    if columns is None:
        return ColumnMap()
    if isinstance(columns, Mapping):
        whole = set(columns) <= set(ColumnMap.model_fields)
        return _validated("column map", dict(columns) if whole else {"columns": dict(columns)})
    source = str(columns)
    try:
        content = yaml.safe_load(Path(columns).read_text(encoding="utf-8"))
    except OSError as error:
        raise ResponsesError(source, ["expected a column map, found no file at this path"]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        found = " ".join(str(error).split())
        raise ResponsesError(source, [f"expected a column map as YAML in UTF-8, found: {found}"]) from error
    if not isinstance(content, dict):
        raise ResponsesError(source, [f"expected a mapping at the top, found {type(content).__name__}"])
    return _validated(source, content)


def _validated(source: str, content: dict[str, Any]) -> ColumnMap:
    try:
        return ColumnMap.model_validate(content)
    except ValidationError as error:
        problems = []
        for found in error.errors():
            place = ".".join(str(p) for p in found["loc"])
            unknown = found["type"] == "extra_forbidden"
            problems.append(f"{place}: " + ("unknown key" if unknown else f"{found['msg']}, found {found['input']!r}"))
        remedy = f"keys of a column map are {', '.join(ColumnMap.model_fields)}"
        raise ResponsesError(source, problems, remedy) from None


def canonical_names(instrument: Instrument) -> dict[str, tuple[str, ...]]:
    """Every name that answers to the instrument may have, with the question's texts that also identify it."""
    names: dict[str, tuple[str, ...]] = dict.fromkeys(RESERVED, ())
    texts = {i.code: i.text for i in instrument.items} | {o.code: o.text for o in instrument.outcomes}
    texts |= {g.code: g.title for g in instrument.groups}
    names.update({code: (text["zh"], text["en"]) for code, text in texts.items()})
    if instrument.expectation_suffix:
        names.update({code + instrument.expectation_suffix: () for code in instrument.item_codes})
    if instrument.allocation:
        names.update({instrument.allocation.prefix + code: () for code in instrument.dimension_codes})
    return names


@dataclass(frozen=True)
class Headers:
    """The headers of a source, findable by what they say.

    Parameters
    ----------
    names : sequence of str
        Headers as written.
    texts : sequence of str
        Question texts of a second header row, where the platform writes one; else empty.
    variants : sequence of str
        Patterns whose first group is the statement inside a longer header.
    """

    names: Sequence[str]
    texts: Sequence[str] = ()
    variants: Sequence[str] = ()

    def find(self, wanted: Iterable[str]) -> list[int]:
        """Positions of the headers that equal one of `wanted`; failing that, of those that end in it."""
        keys = {fold(w) for w in wanted}
        exact = [i for i, name in enumerate(self.names) if fold(name) in keys]
        return exact or [i for i in range(len(self.names)) if self._statements(i) & keys]

    def _statements(self, position: int) -> set[str]:
        texts = {fold(self.names[position])}
        if self.texts:
            texts.add(fold(self.texts[position]))
        for pattern in self.variants:
            # A matrix question has both a number in front and a statement behind: the patterns apply in turn.
            texts |= {match[1].strip() for text in texts if (match := re.match(pattern, text))}
        return texts


def locate(headers: Headers, column_map: ColumnMap, instrument: Instrument) -> tuple[dict[str, int], list[Problem]]:
    """Which column holds which canonical name.

    Returns
    -------
    positions : dict
        Canonical name to position of its column, for the names that the source has.
    problems : list of Problem
        Names and headers of the map that do not exist, ambiguous headers, missing columns.
    """
    names = canonical_names(instrument)
    problems = []
    unknown = [n for n in column_map.columns if n not in names]
    if unknown:
        problems.append(_listed("expected names that the instrument has in the column map, found", unknown))
    positions: dict[str, int] = {}
    absent = []
    for name, texts in names.items():
        mapped = column_map.columns.get(name)
        defaults = ([name], texts, column_map.platform.columns.get(name, ()))
        found = _first(headers, [[mapped]] if mapped is not None else defaults)
        if len(found) > 1:
            headers_found = " and ".join(repr(headers.names[i]) for i in found[:2])
            problems.append(Problem(f"expected one column for {name!r}, found {len(found)}: {headers_found}"))
        elif found:
            positions[name] = found[0]
        elif mapped is not None:
            absent.append(f"{mapped!r} for {name!r}")
    if absent:
        problems.append(_listed("expected the headers of the column map in the source, found none of", absent))
    return positions, [
        *problems,
        *_shared(headers, positions),
        *_incomplete(column_map, instrument, positions),
    ]


def _first(headers: Headers, attempts: Iterable[Iterable[str]]) -> list[int]:
    return next((found for wanted in attempts if (found := headers.find(wanted))), [])


def _listed(message: str, culprits: Sequence[str]) -> Problem:
    return Problem(message, tuple(culprits), len(culprits))


def _shared(headers: Headers, positions: dict[str, int]) -> list[Problem]:
    twice = [p for p, count in Counter(positions.values()).items() if count > 1]
    return [
        Problem(
            f"expected header {headers.names[p]!r} for one name, found it for several",
            tuple(n for n, where in positions.items() if where == p),
        )
        for p in twice
    ]


def _incomplete(column_map: ColumnMap, instrument: Instrument, positions: dict[str, int]) -> list[Problem]:
    """Columns that must be there: all items, and all or none of the expectations and of the allocation."""
    missing = [c for c in instrument.item_codes if c not in positions and c not in column_map.columns]
    problems = [_listed("expected a column for every item, found none for", missing)] if missing else []
    families = {}
    if instrument.expectation_suffix:
        families["expectations"] = [c + instrument.expectation_suffix for c in instrument.item_codes]
    if instrument.allocation:
        families["allocation"] = [instrument.allocation.prefix + d for d in instrument.dimension_codes]
    for family, members in families.items():
        lacking = [c for c in members if c not in positions and c not in column_map.columns]
        if lacking and any(c in positions for c in members):
            problems.append(_listed(f"expected all columns of the {family} or none, found none for", lacking))
    return problems
