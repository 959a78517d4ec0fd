"""Keys of a register's members: for which quarters each signs, and which of them is ended."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pydantic import ConfigDict, Field, field_validator, model_validator

from sqmodel.benchmark.descriptor import QUARTER
from sqmodel.definitions import Frozen

SHOWN = 16
"""Digits that name a key in a message."""


class MemberKey(Frozen):
    """A key of an institution, and the quarters whose submissions it may sign.

    Which quarter a submission is of is said by whoever signs it. So `begin` and `until` are the order of a rotation and
    no defence: who holds a stolen key writes a quarter for which it is valid. A key that others may have must be
    `revoked`: then only what the ledger has with this very content already is taken of it, of whatever quarter. The
    next key begins early enough to sign corrections of those quarters, which also replace what a thief got accepted.

    Parameters
    ----------
    key : str
        The Ed25519 public key: 64 hexadecimal digits.
    begin : str
        First quarter that it signs, ``from`` in the file; empty where there is none.
    until : str
        Last quarter that it signs, corrections of earlier ones too; empty where there is none.
    revoked : bool
        Whether others may have it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    key: str = Field(pattern=r"^[0-9a-f]{64}$")
    begin: str = Field(default="", alias="from")
    until: str = ""
    revoked: bool = False

    @field_validator("begin", "until")
    @classmethod
    def _quarter(cls, value: str) -> str:
        if value and not re.fullmatch(QUARTER.strip("^$"), value, re.ASCII):
            raise ValueError(f"expected a quarter such as 2026Q3, found {value!r}")
        return value

    @model_validator(mode="after")
    def _in_order(self) -> MemberKey:
        if self.begin and self.until and self.begin > self.until:
            raise ValueError(f"expected `from` no later than `until`, found {self.begin} and {self.until}")
        return self


class Holder(NamedTuple):
    """Whose a trusted key is, and for which quarters."""

    institution: str
    key: MemberKey

    def invalid(self, quarter: str) -> str:
        """Why the key may not sign a quarter; empty where it may.

        Examples
        --------
        >>> Holder("bank_a", MemberKey(key="0" * 64, until="2026Q2")).invalid("2026Q2")
        ''
        """
        own = self.key
        if (own.begin or quarter) <= quarter <= (own.until or quarter):
            return ""
        span = [*([f"from {own.begin}"] if own.begin else []), *([f"until {own.until}"] if own.until else [])]
        return (f"signature.json: expected a key of {self.institution} that is valid for {quarter}, found the one that "
                f"begins with {own.key[:SHOWN]}, which is valid {' '.join(span)}; sign with the key of that quarter, "
                "or have the association enter the quarter in its register")  # fmt: skip

    def revoked(self, quarter: str) -> str:
        """What is told of a revoked key that signed something which was not accepted before."""
        return (f"signature.json: expected a key of {self.institution} that is in use, found the one that begins with "
                f"{self.key.key[:SHOWN]}, which is revoked: nothing that it signs is taken any more, of whatever "
                f"quarter; sign with another key that is valid for {quarter}")  # fmt: skip


def keys_of(code: str, key: str, keys: Iterable[MemberKey]) -> Iterator[MemberKey]:
    """The keys of a member in either form of the register.

    Raises
    ------
    ValueError
        Both forms, or neither.
    """
    several = tuple(keys)
    if bool(key) == bool(several):
        raise ValueError(f"expected either `key` or `keys`, found {'both' if key else 'neither'} of {code}")
    yield from several or (MemberKey(key=key),)
