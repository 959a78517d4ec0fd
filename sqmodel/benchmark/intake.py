"""Intake: a folder of submissions, read as hostile input; every file gets a receipt, and the rest goes on."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sqmodel import compute
from sqmodel.benchmark.archive import SubmissionError
from sqmodel.benchmark.content import Ordinal, Submission
from sqmodel.benchmark.intake_rules import IntakeError, Read, number, of_one_kind, of_time, one_each, shown_name
from sqmodel.benchmark.ledger import Known, read_ledger, write_ledger
from sqmodel.benchmark.member_keys import Holder
from sqmodel.benchmark.package import Received, read_trusted
from sqmodel.benchmark.plausibility import Expected
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.benchmark.signing import require_cryptography
from sqmodel.errors import InputError

__all__ = ["Intake", "IntakeError", "number", "read_submissions", "remember", "shown_name"]

RECEIPTS = ["file", "institution", "quarter", "revision", "accepted", "reason"]
SUFFIX = ".zip"
MOST_PROBLEMS = 20
"""Problems that a receipt tells of; the rest is counted."""
WORTH_PROCESSES = 200
"""Files that are read faster than processes start."""


@dataclass(frozen=True, repr=False)
class Intake:
    """What came of a folder of submissions.

    Attributes
    ----------
    quarter : str
        The latest that was asked for.
    submissions : tuple of Submission
        Accepted: the latest revision of each institution and quarter, by quarter and institution.
    receipts : DataFrame
        One row a file or folder, by name: file, institution (whose key signed it; empty where none did), quarter and
        revision (empty and NA where the file was not read), accepted, reason (empty where accepted).
    received : tuple of Received
        The packages behind `submissions`, in their order.
    """

    quarter: str
    submissions: tuple[Submission, ...]
    receipts: pd.DataFrame
    received: tuple[Received, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return f"<Intake {self.quarter}: {len(self.submissions)} of {len(self.receipts)} files accepted>"

    def ordinals(self, quarter: str) -> Iterator[tuple[str, Ordinal]]:
        """Ordinal statistics of a quarter, each read when it is asked for: institution and statistics.

        Raises
        ------
        SubmissionError
            A file is no longer the one that was accepted.
        """
        for own in self.received:
            if own.submission.quarter == quarter:
                found = own.ordinal()
                if found is not None:
                    yield own.submission.institution, found


def read_submissions(
    folder: Path, register: Register, profile: Profile, *, quarter: str, known: Path | None = None, workers: int = 2
) -> Intake:
    """Which submissions of a folder count, and why do the others not?

    Every file is taken for an attack until it is found in order; whatever is wrong with one keeps no other from being
    read, and the result does not depend on the order of the folder. Simulated submissions count only where all are: as
    soon as one of real answers counts, of whatever quarter, those that are simulated are refused.

    Parameters
    ----------
    folder : Path
        Packages, ending in ``.zip``; sub-folders and other files are refused with a receipt of their own.
    register : Register
    profile : Profile
    quarter : str
        The latest that counts; submissions of up to 12 quarters before count too.
    known : Path, optional
        The ledger that `remember` writes: of a quarter accepted before, neither an earlier revision nor another content
        of the same revision is accepted. What a revoked key signed is accepted only where it stands there.
    workers : int
        Processes that read where the folder has more than 200 files.

    Returns
    -------
    Intake

    Raises
    ------
    IntakeError
        The quarter is none, or the folder cannot be read.
    LedgerError
        The ledger is none.
    SqmodelError
        `cryptography` is not installed.
    """
    number(quarter)
    require_cryptography()
    ledger = read_ledger(known) if known else {}
    names = _names(folder)
    holders = register.holders
    read = functools.partial(_read, folder=folder, trusted=holders, expected=Expected.of(profile))
    with compute.on(workers if workers > 1 and len(names) > WORTH_PROCESSES else compute.HERE):
        found = compute.map(read, names)
    found = [of_time(own, quarter, ledger, holders) for own in found]
    return _intake(quarter, one_each(of_one_kind(found)))


def remember(intake: Intake, path: Path) -> None:
    """Enter what was accepted in the ledger that `read_submissions` takes as `known`; written whole or not at all.

    What is simulated is not entered: after a trial real answers begin with revision 0.

    Raises
    ------
    LedgerError
        The file is no ledger, or cannot be written.
    """
    ledger = read_ledger(path)
    for own in intake.received:
        submission = own.submission
        if submission.simulated:
            continue
        key, row = (submission.institution, submission.quarter), Known(submission.revision, own.digest)
        if key not in ledger or ledger[key].revision < row.revision:
            ledger[key] = row
    write_ledger(ledger, path)


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise IntakeError(str(folder), [f"expected a folder of submissions, found: {error.strerror}"]) from None


def _read(name: str, *, folder: Path, trusted: Mapping[str, Holder], expected: Expected) -> Read:
    """Look at one file. This is the one place where whatever goes wrong with a file must not end the others."""
    if not name.endswith(SUFFIX):
        return Read(name, reason=f"Expected a submission, whose name ends in {SUFFIX}, found another file.")
    try:
        return Read(name, read_trusted(folder / name, trusted, expected))
    except SubmissionError as error:
        return Read(name, reason=_sentences(error), signer=error.signer)
    except MemoryError:
        raise
    except Exception as error:
        return Read(name, reason=f"Expected a submission, found a file that could not be read: {type(error).__name__} "
                                  "inside sqmodel; please report it.")  # fmt: skip


def _sentences(error: InputError) -> str:
    """All problems of an error and what to do, each a sentence; names of files keep their small letters."""
    lines = [str(p) for p in error.problems[:MOST_PROBLEMS]]
    lines = [line[0].upper() + line[1:] if line.startswith("expected ") else line for line in lines]
    if len(error.problems) > MOST_PROBLEMS:
        lines.append(f"And {len(error.problems) - MOST_PROBLEMS:,} problems more")
    if error.remedy:
        lines.append(error.remedy[0].upper() + error.remedy[1:])
    return " ".join(f"{line}." for line in lines)


def _intake(quarter: str, found: Sequence[Read]) -> Intake:
    rows = []
    for own in found:
        told = own.received.submission if own.received else None
        rows.append((shown_name(own.name), told.institution if told else own.signer, told.quarter if told else "",
                     told.revision if told else pd.NA, not own.reason, own.reason))  # fmt: skip
    receipts = pd.DataFrame(rows, columns=RECEIPTS).astype({"revision": "Int64", "accepted": bool})
    counted = [own.received for own in found if own.received is not None and not own.reason]
    counted.sort(key=lambda r: (r.submission.quarter, r.submission.institution))
    return Intake(quarter, tuple(r.submission for r in counted), receipts, tuple(counted))
