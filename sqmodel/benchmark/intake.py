"""Intake: a folder of submissions, read as hostile input; every file gets a receipt, and the rest goes on."""

from __future__ import annotations

import functools
import os
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pandas as pd

from sqmodel import compute
from sqmodel.benchmark.archive import SubmissionError
from sqmodel.benchmark.content import Ordinal, Submission
from sqmodel.benchmark.descriptor import QUARTER
from sqmodel.benchmark.ledger import Known, Ledger, read_ledger, write_ledger
from sqmodel.benchmark.package import Received, read_trusted
from sqmodel.benchmark.plausibility import Expected
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.benchmark.signing import require_cryptography
from sqmodel.errors import InputError

RECEIPTS = ["file", "institution", "quarter", "revision", "accepted", "reason"]
OLDEST = 12
"""Quarters that a submission may lie back."""
SUFFIX = ".zip"
MOST_PROBLEMS = 20
"""Problems that a receipt tells of; the rest is counted."""
WORTH_PROCESSES = 200
"""Files that are read faster than processes start."""


class IntakeError(InputError):
    """The folder of submissions cannot be read at all."""


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


@dataclass(frozen=True)
class _Read:
    """A file that was looked at: what it holds, or why it is refused and whose key signed it all the same."""

    name: str
    received: Received | None = None
    reason: str = ""
    signer: str = ""


def read_submissions(
    folder: Path, register: Register, profile: Profile, *, quarter: str, known: Path | None = None, workers: int = 2
) -> Intake:
    """Which submissions of a folder count, and why do the others not?

    Every file is taken for an attack until it is found in order; whatever is wrong with one keeps no other from being
    read, and the result does not depend on the order of the folder.

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
        of the same revision is accepted.
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
    trusted = {m.key: m.code for m in register.members}
    read = functools.partial(_read, folder=folder, trusted=trusted, expected=Expected.of(profile))
    with compute.on(workers if workers > 1 and len(names) > WORTH_PROCESSES else compute.HERE):
        found = compute.map(read, names)
    found = [_of_time(own, quarter, ledger) for own in found]
    return _intake(quarter, _one_each(found))


def remember(intake: Intake, path: Path) -> None:
    """Enter what was accepted in the ledger that `read_submissions` takes as `known`; written whole or not at all.

    Raises
    ------
    LedgerError
        The file is no ledger, or cannot be written.
    """
    ledger = read_ledger(path)
    for own in intake.received:
        submission = own.submission
        key, row = (submission.institution, submission.quarter), Known(submission.revision, own.digest)
        if key not in ledger or ledger[key].revision < row.revision:
            ledger[key] = row
    write_ledger(ledger, path)


def number(quarter: str) -> int:
    """Quarters since the year 0, to count how far two lie apart.

    Raises
    ------
    IntakeError
        It is no quarter.
    """
    if not re.fullmatch(QUARTER, quarter, re.ASCII) or quarter.endswith("\n"):
        raise IntakeError("quarter", [f"expected a quarter such as 2026Q3, found {quarter!r}"])
    return int(quarter[:4]) * 4 + int(quarter[5]) - 1


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError as error:
        raise IntakeError(str(folder), [f"expected a folder of submissions, found: {error.strerror}"]) from None


def _read(name: str, *, folder: Path, trusted: dict[str, str], expected: Expected) -> _Read:
    """Look at one file. This is the one place where whatever goes wrong with a file must not end the others."""
    if not name.endswith(SUFFIX):
        return _Read(name, reason=f"Expected a submission, whose name ends in {SUFFIX}, found another file.")
    try:
        return _Read(name, read_trusted(folder / name, trusted, expected))
    except SubmissionError as error:
        return _Read(name, reason=_sentences(error), signer=error.signer)
    except MemoryError:
        raise
    except Exception as error:
        return _Read(name, reason=f"Expected a submission, found a file that could not be read: {type(error).__name__} "
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


def _of_time(own: _Read, quarter: str, ledger: Ledger) -> _Read:
    """Refuse what comes from the future, from long ago, or again in an older form."""
    if own.received is None:
        return own
    found = own.received.submission
    apart = number(quarter) - number(found.quarter)
    before = ledger.get((found.institution, found.quarter))
    reason = ""
    if apart < 0:
        reason = f"Expected a quarter up to {quarter}, found {found.quarter}."
    elif apart > OLDEST:
        reason = f"Expected a quarter at most {OLDEST} before {quarter}, found {found.quarter}."
    elif before and found.revision < before.revision:
        reason = (f"Expected revision {before.revision} or later of {found.quarter}, which was accepted before, found "
                  f"revision {found.revision}: an old submission was sent again.")  # fmt: skip
    elif before and found.revision == before.revision and own.received.digest != before.digest:
        reason = (f"Expected revision {found.revision} of {found.quarter} as it was accepted before, found another "
                  "content; a correction needs a higher revision.")  # fmt: skip
    return replace(own, reason=reason)


def _one_each(found: Sequence[_Read]) -> list[_Read]:
    """Let one file of each institution and quarter count: the latest revision, if it is one and the same."""
    groups: dict[tuple[str, str], list[_Read]] = defaultdict(list)
    for own in found:
        if own.received is not None and not own.reason:
            groups[own.received.submission.institution, own.received.submission.quarter].append(own)
    reasons = {name: reason for group in groups.values() for name, reason in _beaten(group).items()}
    return [replace(own, reason=reasons.get(own.name, own.reason)) for own in found]


def _beaten(group: Sequence[_Read]) -> dict[str, str]:
    """Why files of the same institution and quarter do not count; in the order of their names."""
    revisions: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for own in group:
        assert own.received is not None
        revisions[own.received.submission.revision].append((own.name, own.received.digest))
    reasons: dict[str, str] = {}
    latest = max(revisions)
    for revision, files in revisions.items():
        first = shown_name(files[0][0])
        doubtful = len({digest for _, digest in files}) > 1
        for name, _ in files:
            others = ", ".join(shown_name(n) for n, _ in files if n != name)
            if doubtful:
                reasons[name] = (f"Expected one content of revision {revision}, found another in {others}: it is not "
                                 "known which counts.")  # fmt: skip
            elif revision < latest:
                reasons[name] = f"Replaced by revision {latest} in {shown_name(revisions[latest][0][0])}."
            elif name != files[0][0]:
                reasons[name] = f"Expected every submission once, found the same as in {first}."
    return reasons


def shown_name(name: str) -> str:
    """A file's name as a receipt may show it: no character that does something, and no formula of a spreadsheet."""
    text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
    return f"./{text}" if text[:1] in ("=", "+", "-", "@") else text


def _intake(quarter: str, found: Sequence[_Read]) -> Intake:
    rows = []
    for own in found:
        told = own.received.submission if own.received else None
        rows.append((shown_name(own.name), told.institution if told else own.signer, told.quarter if told else "",
                     told.revision if told else pd.NA, not own.reason, own.reason))  # fmt: skip
    receipts = pd.DataFrame(rows, columns=RECEIPTS).astype({"revision": "Int64", "accepted": bool})
    counted = [own.received for own in found if own.received is not None and not own.reason]
    counted.sort(key=lambda r: (r.submission.quarter, r.submission.institution))
    return Intake(quarter, tuple(r.submission for r in counted), receipts, tuple(counted))
