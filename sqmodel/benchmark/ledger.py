"""Ledger: which revision of each quarter an association accepted before, so that an older one cannot come back."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ConfigDict, Field, ValidationError

from sqmodel.benchmark.archive import open_regular
from sqmodel.benchmark.content import CODE
from sqmodel.benchmark.descriptor import QUARTER
from sqmodel.definitions import Frozen, explain
from sqmodel.errors import InputError

SCHEMA = "sqmodel.ledger/1"
MOST_BYTES = 100_000_000


class LedgerError(InputError):
    """The ledger of what was accepted cannot be read or written."""


class Known(NamedTuple):
    """What was accepted of an institution's quarter."""

    revision: int
    digest: str


Ledger = Mapping[tuple[str, str], Known]
"""By institution and quarter."""


class _Row(Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    institution: str = Field(pattern=CODE)
    quarter: str = Field(pattern=QUARTER)
    revision: int = Field(ge=0)
    digest: str = Field(pattern=r"^[0-9a-f]{64}$")


class _File(Frozen):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    schema_: Literal["sqmodel.ledger/1"] = Field(alias="schema")
    accepted: tuple[_Row, ...]


def read_ledger(path: Path) -> dict[tuple[str, str], Known]:
    """What was accepted before; nothing where there is no file yet.

    Raises
    ------
    LedgerError
        The file is no ledger.
    """
    if not os.path.lexists(path):
        return {}
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > MOST_BYTES:
                raise LedgerError(str(path), [f"expected {MOST_BYTES:,} bytes or fewer, found {size:,}"])
            content = file.read(size)
        found = _File.model_validate_json(content)
    except ValidationError as error:
        raise LedgerError(str(path), explain(error), "restore the ledger from a copy") from None
    except InputError as error:
        raise LedgerError(str(path), error.problems) from None
    return {(row.institution, row.quarter): Known(row.revision, row.digest) for row in found.accepted}


def write_ledger(ledger: Ledger, path: Path) -> None:
    """Write a ledger whole or not at all, a line for each quarter of an institution.

    Raises
    ------
    LedgerError
        It cannot be written.
    """
    rows = [json.dumps({"institution": i, "quarter": q, "revision": k.revision, "digest": k.digest})
            for (i, q), k in sorted(ledger.items())]  # fmt: skip
    joined = ",\n  ".join(rows)
    text = f'{{"schema": "{SCHEMA}",\n "accepted": [\n  {joined}\n ]}}\n'
    try:
        write_atomically(path, text.encode("ascii"))
    except OSError as error:
        raise LedgerError(str(path), [f"expected a place to write to, found: {error.strerror}"]) from None


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader finds the old one or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise
