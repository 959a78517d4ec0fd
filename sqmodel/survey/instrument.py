"""Instrument: what was asked. Dimensions, items, scales, outcomes and groups, read from a YAML file."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sqmodel.definitions import Frozen, Text, load_definition
from sqmodel.errors import InstrumentError

Language = Literal["zh", "en"]
Role = Literal["csat", "nps", "effort", "retention", "acsi"]

RESERVED = ("respondent", "quarter", "sample_weight", "duration", "case_id", "comment")
"""Columns of the answers that every instrument shares."""


class Scale(Frozen):
    """A rating scale: whole numbers from `minimum` to `maximum`, and codes that mean "not applicable"."""

    minimum: int
    maximum: int
    anchors: dict[int, Text] = Field(default_factory=dict)
    not_applicable: tuple[int, ...] = ()

    @model_validator(mode="after")
    def _ordered(self) -> Scale:
        if self.maximum <= self.minimum:
            raise ValueError(f"expected maximum above minimum, found {self.minimum} to {self.maximum}")
        inside = [c for c in self.not_applicable if self.minimum <= c <= self.maximum]
        if inside:
            raise ValueError(f"expected codes for 'not applicable' outside the scale, found {inside}")
        return self

    @property
    def width(self) -> int:
        """Distance between the ends of the scale."""
        return self.maximum - self.minimum


class Dimension(Frozen):
    """One dimension of service quality."""

    code: str
    title: Text
    short: Text | None = None

    @property
    def label(self) -> Text:
        """The short title where there is one."""
        return self.short or self.title


class Item(Frozen):
    """One rated statement. `label` names it in a chart; `action` says what to do when it is weak."""

    code: str
    dimension: str
    text: Text
    label: Text | None = None
    action: Text | None = None
    reversed: bool = False
    scale: Scale | None = None
    structures: dict[str, str] = Field(default_factory=dict)

    @property
    def name(self) -> Text:
        """The label, or the full text where there is none."""
        return self.label or self.text


class Outcome(Frozen):
    """A question about the result of the service: satisfaction, recommendation, effort, loyalty."""

    code: str
    role: Role
    text: Text
    scale: Scale


class Group(Frozen):
    """A variable that divides the respondents; without `values` any label is allowed."""

    code: str
    title: Text
    values: dict[str, Text] = Field(default_factory=dict)

    def label(self, value: str) -> Text:
        """How to print one value."""
        return self.values.get(value) or Text(zh=value, en=value)


class Structure(Frozen):
    """Another way to group the same items, such as SERVQUAL's five dimensions."""

    title: Text
    dimensions: tuple[Dimension, ...]


class Allocation(Frozen):
    """A constant-sum question: points given to each dimension, in columns `prefix` + dimension code."""

    prefix: str = "imp_"
    total: float = 100.0
    tolerance: float = 0.5


class Instrument(Frozen):
    """A questionnaire, complete enough to check, score and print its answers.

    Columns of the answers have these names unless a column map says otherwise: each item's code; its expectation
    under `code + expectation_suffix`; importance under `allocation.prefix + dimension code`; each outcome's and
    group's code; and the fields in `RESERVED`.
    """

    name: str
    version: str
    title: Text
    source: str = ""
    scale: Scale
    dimensions: tuple[Dimension, ...]
    items: tuple[Item, ...]
    expectation_suffix: str | None = None
    allocation: Allocation | None = None
    outcomes: tuple[Outcome, ...] = ()
    groups: tuple[Group, ...] = ()
    structures: dict[str, Structure] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Instrument:
        problems = _inconsistencies(self)
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def __repr__(self) -> str:
        return (
            f"<Instrument {self.name} {self.version}: {len(self.items)} items, "
            f"{len(self.dimensions)} dimensions, scale {self.scale.minimum}-{self.scale.maximum}>"
        )

    __str__ = __repr__

    @property
    def item_codes(self) -> list[str]:
        """Codes of the items in the order of the questionnaire."""
        return [i.code for i in self.items]

    @property
    def dimension_codes(self) -> list[str]:
        """Codes of the dimensions in order."""
        return [d.code for d in self.dimensions]

    @property
    def digest(self) -> str:
        """Sha256 of the content, the same for the same questions whatever the file looks like."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(content.encode()).hexdigest()

    def item(self, code: str) -> Item:
        """The item with this code."""
        return next(i for i in self.items if i.code == code)

    def dimension(self, code: str) -> Dimension:
        """The dimension with this code."""
        return next(d for d in self.dimensions if d.code == code)

    def group(self, code: str) -> Group:
        """The grouping variable with this code."""
        return next(g for g in self.groups if g.code == code)

    def outcome(self, role: Role) -> tuple[Outcome, ...]:
        """All outcome questions with this role."""
        return tuple(o for o in self.outcomes if o.role == role)

    def scale_of(self, code: str) -> Scale:
        """The scale of an item, its own or the instrument's."""
        return self.item(code).scale or self.scale

    def structure(self, name: str = "dimensions") -> dict[str, list[str]]:
        """Item codes by dimension code, for the instrument's own dimensions or for a named structure.

        Raises
        ------
        InstrumentError
            No structure has this name.
        """
        if name == "dimensions":
            return {d: [i.code for i in self.items if i.dimension == d] for d in self.dimension_codes}
        if name not in self.structures:
            known = ", ".join(["dimensions", *self.structures])
            raise InstrumentError(self.name, [f"expected one of the structures {known}, found {name!r}"])
        dimensions = [d.code for d in self.structures[name].dimensions]
        return {d: [i.code for i in self.items if i.structures.get(name) == d] for d in dimensions}


def _inconsistencies(instrument: Instrument) -> list[str]:
    """Everything in an instrument that contradicts something else in it."""
    problems = []
    names = [*RESERVED, *instrument.item_codes]
    names += [o.code for o in instrument.outcomes] + [g.code for g in instrument.groups]
    if instrument.expectation_suffix:
        names += [c + instrument.expectation_suffix for c in instrument.item_codes]
    if instrument.allocation:
        names += [instrument.allocation.prefix + d for d in instrument.dimension_codes]
    for code, count in Counter(names).items():
        if count > 1:
            problems.append(f"expected every code once, found {code!r} {count} times")
    for code, count in Counter(instrument.dimension_codes).items():
        if count > 1:
            problems.append(f"expected every dimension once, found {code!r} {count} times")
    for item in instrument.items:
        if item.dimension not in instrument.dimension_codes:
            known = ", ".join(instrument.dimension_codes)
            problems.append(f"item {item.code!r}: expected one of the dimensions {known}, found {item.dimension!r}")
        for name, code in item.structures.items():
            known_codes = (
                [d.code for d in instrument.structures[name].dimensions] if name in instrument.structures else []
            )
            if code not in known_codes:
                problems.append(f"item {item.code!r}: structure {name!r} has no dimension {code!r}")
    for code, items in instrument.structure().items():
        if len(items) < 2:
            problems.append(f"dimension {code!r}: expected at least 2 items, found {len(items)}")
    return problems


def load_instrument(source: str | Path) -> Instrument:
    """Read a questionnaire's definition.

    Parameters
    ----------
    source : str or Path
        Name of a questionnaire shipped with sqmodel (``"lending_service"``), or the path of a YAML file.

    Returns
    -------
    Instrument

    Raises
    ------
    InstrumentError
        The file is missing, is no YAML, or contradicts itself; all problems in one message.

    Examples
    --------
    >>> load_instrument("lending_service").dimension_codes
    ['EXP', 'EFF', 'RSK', 'COM']
    """
    return load_definition(source, Instrument, folder="instruments", kind="instrument", error=InstrumentError)
