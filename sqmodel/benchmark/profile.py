"""Profile: the rules of an association or regulator, as data that are versioned and can be read by everyone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from sqmodel.benchmark.content import CODE
from sqmodel.benchmark.member_keys import Holder, MemberKey, keys_of
from sqmodel.definitions import Frozen, Text, load_definition
from sqmodel.errors import InputError
from sqmodel.index.tree import IndexTree


class ProfileError(InputError):
    """A profile or a register breaks its rules."""


class DisclosureRules(Frozen):
    """When a figure would tell of a few: rules for what an institution sends and for what the association publishes.

    Parameters
    ----------
    minimum_n : int
        Respondents, cases or complaints that a figure rests on, at the least.
    minimum_cell : int
        A count above zero and below this is withheld.
    spread : int
        Width of the range into which a withheld count can be narrowed from all that is published, at the least.
    dominance : tuple of int and float
        (n, k): a total is withheld where its n largest contributors give more than k % of it.
    p_percent : float
        A total is withheld where the second largest contributor could estimate the largest within p %.
    minimum_institutions : int
        Institutions behind a published total or mean.
    """

    minimum_n: int = Field(default=10, ge=3)
    minimum_cell: int = Field(default=3, ge=2)
    spread: int = Field(default=2, ge=1)
    dominance: tuple[int, float] = (2, 85.0)
    p_percent: float = Field(default=10.0, gt=0, le=100)
    minimum_institutions: int = Field(default=3, ge=2)


class GateRules(Frozen):
    """When institutions may be compared by what their clients say."""

    minimum_n: int = Field(default=100, ge=30, description="complete answers of an institution, to be looked at")
    most_laddered: int = Field(default=12, ge=2, description="institutions up to which the ladder of models is fitted")
    noninvariant: float = Field(default=0.25, gt=0, lt=1, description="largest share of parameters not invariant")
    most_bias: float = Field(default=5.0, gt=0, description="index points that bias may put on one institution")
    reference_cfi: float = Field(default=0.90, gt=0, lt=1, description="median CFI of the configural model")


class Limit(Frozen):
    """A limit of an indicator of the tree, in its own units, that an institution can fall short of."""

    indicator: str
    below: float | None = None
    above: float | None = None
    title: Text

    @model_validator(mode="after")
    def _one_side(self) -> Limit:
        if (self.below is None) == (self.above is None):
            raise ValueError(f"{self.indicator}: expected either `below` or `above`, found both or neither")
        return self


class Floor(Limit):
    """Who falls short gets no more than so many points, however good the rest is."""

    cap: float = Field(ge=0, le=100)


class Deduction(Limit):
    """Points that are taken off."""

    points: float = Field(gt=0, le=100)


class Publication(Frozen):
    """What the public sees."""

    names: Literal["names", "codes"] = "codes"
    level: float = Field(default=0.95, gt=0.5, lt=1)
    minimum_n: int = Field(default=30, ge=3, description="respondents of an institution that is shown and ranked")
    peers: Literal["register", "none"] = "register"
    size_classes: tuple[int, ...] = Field(
        default=(100, 300, 1000),
        description="with blind codes: where classes of respondents begin, by which their number is told",
    )

    @model_validator(mode="after")
    def _rising(self) -> Publication:
        shown = ", ".join(map(str, self.size_classes))
        if any(b <= a for a, b in zip((0, *self.size_classes), self.size_classes, strict=False)):
            raise ValueError(f"size_classes: expected rising numbers above 0, found {shown}")
        return self


class Profile(Frozen):
    """An association's or a regulator's profile.

    Parameters
    ----------
    name, version : str
    title : Text
    instrument : str
        Name of the questionnaire that all institutions use; `instrument_digest` fixes its text where it is given.
    standard : str
        Name of the service standard; empty where none is shared.
    tree : str
        A shipped index tree or the path of one: what the composite is made of, with weights and goalposts.
    perception : dict
        Dimension of the questionnaire to indicator of the tree.
    operations : dict
        Indicator of a submission to indicator of the tree.
    scale : dict
        Indicator of the tree to what its submitted value is multiplied with, such as 1000 for complaints per 1,000.
    case_mix : tuple of str
        Grouping variables whose shares are adjusted for.
    required : float
        Share of its indicators that an institution needs to get a composite.
    ordinal : bool
        Whether thresholds and polychoric correlations are asked for.
    """

    name: str = Field(pattern=CODE)
    version: str
    title: Text
    instrument: str
    instrument_digest: str = ""
    standard: str = ""
    standard_digest: str = ""
    tree: str
    perception: dict[str, str]
    operations: dict[str, str] = Field(default_factory=dict)
    scale: dict[str, float] = Field(default_factory=dict)
    case_mix: tuple[str, ...] = ()
    required: float = Field(default=0.6, gt=0, le=1)
    ordinal: bool = False
    floors: tuple[Floor, ...] = ()
    deductions: tuple[Deduction, ...] = ()
    disclosure: DisclosureRules = DisclosureRules()
    gate: GateRules = GateRules()
    publication: Publication = Publication()

    @cached_property
    def digest(self) -> str:
        """Sha256 of all rules."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()

    def problems(self, tree: IndexTree) -> Iterator[str]:
        """What does not fit the tree."""
        known = ", ".join(tree.indicators)
        for key, mapping in (("perception", self.perception), ("operations", self.operations)):
            for source, target in mapping.items():
                if target not in tree.indicators:
                    yield f"{key}.{source}: expected an indicator of {tree.name} ({known}), found {target!r}"
        used = {*self.perception.values(), *self.operations.values()}
        for code in tree.indicators:
            if code not in used:
                yield f"tree: expected every indicator in `perception` or `operations`, found nothing for {code!r}"
        limits: tuple[Limit, ...] = (*self.floors, *self.deductions)
        for rule in limits:
            if rule.indicator not in tree.indicators:
                yield f"floors and deductions: expected an indicator of {tree.name}, found {rule.indicator!r}"


def load_profile(source: str | Path) -> Profile:
    """Read a profile.

    Parameters
    ----------
    source : str or Path
        A shipped profile, or the path of a YAML file.

    Raises
    ------
    ProfileError
        With all problems at once.

    Examples
    --------
    >>> load_profile("lending_association").version
    '1'
    """
    return load_definition(source, Profile, folder="benchmark/profiles", kind="profile", error=ProfileError)


class Member(Frozen):
    """An institution that may submit.

    Parameters
    ----------
    code : str
    title : Text
    key : str
        Its Ed25519 public key, 64 hexadecimal digits, where it has one for all quarters.
    keys : tuple of MemberKey
        In place of `key`: several, each with the quarters that it signs.
    peers : str
        Its peer group; empty where it has none.
    """

    code: str = Field(pattern=CODE)
    title: Text
    key: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    keys: tuple[MemberKey, ...] = ()
    peers: str = ""

    @model_validator(mode="after")
    def _one_form(self) -> Member:
        tuple(self.all_keys)
        return self

    @property
    def all_keys(self) -> tuple[MemberKey, ...]:
        """Its keys, in whatever form they are written."""
        return tuple(keys_of(self.code, self.key, self.keys))


class Register(Frozen):
    """The association's list of institutions, their keys and their peer groups."""

    name: str = Field(pattern=CODE)
    title: Text
    peer_groups: dict[str, Text] = Field(default_factory=dict)
    members: tuple[Member, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Register:
        problems = []
        keys = [own.key for m in self.members for own in m.all_keys]
        for what, values in (("code", [m.code for m in self.members]), ("key", keys)):
            twice = sorted({v for v in values if values.count(v) > 1})
            problems += [f"members: expected every {what} once, found {v} {values.count(v)} times" for v in twice]
        for member in self.members:
            if member.peers and member.peers not in self.peer_groups:
                known = ", ".join(self.peer_groups) or "none"
                problems.append(f"members: expected a peer group ({known}), found {member.peers!r} of {member.code}")
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def member(self, code: str) -> Member | None:
        """The institution with this code."""
        return next((m for m in self.members if m.code == code), None)

    @property
    def holders(self) -> dict[str, Holder]:
        """Whose each trusted key is."""
        return {own.key: Holder(m.code, own) for m in self.members for own in m.all_keys}


def load_register(source: str | Path) -> Register:
    """Read the association's register.

    Raises
    ------
    ProfileError
        With all problems at once.
    """
    return load_definition(Path(source), Register, folder="benchmark/profiles", kind="register", error=ProfileError)
