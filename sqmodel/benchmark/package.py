"""Package: a submission as a signed file, written for one association and read as if it came from an enemy.

A ZIP of one form (`archive`) holds a descriptor (`descriptor`), the tables that it binds by their hashes (`tables`) and
a signature over its bytes. Reading goes from the outside in, and each step is finished before the next looks at
anything: the file, the archive, the signature, the descriptor, the tables, the numbers (`plausibility`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqmodel.benchmark.archive import DESCRIPTOR, SIGNATURE, Archive, SubmissionError, open_regular, pack, read_archive
from sqmodel.benchmark.content import Ordinal, Submission
from sqmodel.benchmark.descriptor import (
    Described,
    descriptor_of,
    facts_of,
    read_descriptor,
    read_signature,
    sha256,
    signature_text,
)
from sqmodel.benchmark.ledger import write_atomically
from sqmodel.benchmark.member_keys import SHOWN, Holder
from sqmodel.benchmark.packing import Cells, misplaced, misplaced_ordinal, ordinal_of, submission_of, texts_of
from sqmodel.benchmark.plausibility import Expected, implausible
from sqmodel.benchmark.plausible_answers import ordinal as implausible_ordinal
from sqmodel.benchmark.profile import Profile, Register
from sqmodel.benchmark.signing import public_hex, sign, verify
from sqmodel.benchmark.tables import MOMENTS, ORDINAL, PLAIN, POLYCHORIC_COVARIANCES, POLYCHORICS, TABLES, THRESHOLDS
from sqmodel.errors import Problem

if TYPE_CHECKING:
    from sqmodel.benchmark.signing import PrivateKey

__all__ = ["Received", "SubmissionError", "read_package", "write_package"]


@dataclass(frozen=True)
class Received:
    """A package that was read and found in order.

    Attributes
    ----------
    submission : Submission
        Without its ordinal statistics, see `ordinal`.
    digest : str
        Sha256 of the signed descriptor: two packages that say the same have the same.
    key : str
        Public key whose signature it bears.
    path : Path
    tables : dict
        Size and sha256 of each table by path.
    respondents : int
        Behind the ordinal statistics.
    """

    submission: Submission
    digest: str
    key: str
    path: Path
    tables: Mapping[str, tuple[int, str]]
    respondents: int = 0

    def ordinal(self) -> Ordinal | None:
        """Thresholds, polychoric correlations and their covariance, read from the file now; None where not sent.

        Raises
        ------
        SubmissionError
            The file is no longer the one that was read before.
        """
        if ORDINAL[0].path not in self.tables:
            return None
        with open_regular(self.path) as file:
            archive = read_archive(file, self.path.name)
            if sha256(archive.read(DESCRIPTOR)) != self.digest:
                raise SubmissionError(self.path.name, ["expected the file that was read before, found another"])
            found, problems = _ordinal(archive, self.tables, self.respondents)
        if problems:
            raise SubmissionError(self.path.name, problems)
        return found


def write_package(submission: Submission, private: PrivateKey, path: Path) -> str:
    """Write a submission as a signed file, whole or not at all; the same submission and key give the same bytes.

    Of matrices the lower triangle is written.

    Parameters
    ----------
    submission : Submission
    private : PrivateKey
        The institution's.
    path : Path

    Returns
    -------
    str
        Sha256 of the file.

    Raises
    ------
    SubmissionError
        The submission is none that an association would accept, or the file cannot be written.
    """
    source = path.name
    contents = _contents(submission, private, source)
    content = pack(contents)
    try:
        write_atomically(path, content)
    except OSError as error:
        raise SubmissionError(str(path), [f"expected a place to write to, found: {error.strerror}"]) from None
    return sha256(content)


def read_package(path: Path, register: Register | None, profile: Profile | None = None) -> Received:
    """Read a submission as hostile input.

    Parameters
    ----------
    path : Path
    register : Register or None
        Whose keys are trusted; None checks the signature against the key that the package names, which shows that it
        is whole but not whom it is from.
    profile : Profile, optional
        The association's: its questionnaire, standard and smallest n are checked too.

    Returns
    -------
    Received

    Raises
    ------
    SubmissionError
        With all problems of the first step that found any; also where a revoked key signed it, for what was accepted
        before only `sqmodel.benchmark.intake.read_submissions` knows.
    SqmodelError
        `cryptography` is not installed.
    """
    trusted = register.holders if register else None
    found = read_trusted(path, trusted, Expected.of(profile) if profile else None)
    if trusted is not None and trusted[found.key].key.revoked:
        raise SubmissionError(path.name, [trusted[found.key].revoked(found.submission.quarter)])
    return found


def read_trusted(path: Path, trusted: Mapping[str, Holder] | None, expected: Expected | None) -> Received:
    """As `read_package`, with the institutions by their keys; whether a key is revoked is not looked at."""
    source = path.name
    with open_regular(path) as file:
        archive = read_archive(file, source)
        content = archive.read(DESCRIPTOR)
        key, signature = read_signature(archive.read(SIGNATURE), source)
        signer = _signer(key, signature, content, trusted, source)
        try:
            submission, described = _signed(archive, content, signer, expected)
        except SubmissionError as error:
            error.signer = signer.institution if signer else ""
            raise
    return Received(submission, sha256(content), key, path, described.tables, described.facts.ordinal or 0)


def _signed(
    archive: Archive, content: bytes, signer: Holder | None, expected: Expected | None
) -> tuple[Submission, Described]:
    """What a descriptor says whose signature fits, and its tables with it."""
    described = read_descriptor(content, archive.source)
    _check_names(archive, described, signer)
    submission = submission_of(described.facts, _cells(archive, described))
    problems = list(implausible(submission, expected))
    if described.facts.ordinal is not None:
        unasked = expected.unasked(described.facts.ordinal) if expected else ""
        # What nobody asked for is not even opened.
        problems += [Problem(unasked)] if unasked else _check_ordinal(archive, described, submission)
    if problems:
        raise SubmissionError(archive.source, problems)
    return submission, described


def _signer(
    key: str, signature: bytes, content: bytes, trusted: Mapping[str, Holder] | None, source: str
) -> Holder | None:
    """Whose signature fits; None where any key is taken."""
    if trusted is not None and key not in trusted:
        found = f"signature.json: expected a key of the register, found one that begins with {key[:SHOWN]}"
        raise SubmissionError(source, [found],
                              "the association enters the institution's CODE.pub in its register")  # fmt: skip
    if not verify(key, content, signature):
        raise SubmissionError(source, ["signature.json: expected a signature of datapackage.json, found one that does "
                                       "not fit: it was changed, or signed with another key"])  # fmt: skip
    return trusted[key] if trusted is not None else None


def _check_names(archive: Archive, described: Described, signer: Holder | None) -> None:
    facts, problems = described.facts, []
    if signer is not None and signer.institution != facts.institution:
        problems.append(f"expected a submission of {signer.institution}, whose key signed it, found one of "
                        f"{facts.institution}")  # fmt: skip
    elif signer is not None and (invalid := signer.invalid(facts.quarter)):
        problems.append(invalid)
    there = [n for n in archive.entries if n not in (DESCRIPTOR, SIGNATURE)]
    problems += [f"expected {p} in the ZIP, as datapackage.json says, found none"
                 for p in described.tables if p not in there]  # fmt: skip
    problems += [f"expected the tables that datapackage.json tells of, found {p} too"
                 for p in there if p not in described.tables]  # fmt: skip
    if problems:
        raise SubmissionError(archive.source, problems)


def _hashed(archive: Archive, path: str, told: tuple[int, str]) -> tuple[bytes, list[Problem]]:
    """A table's bytes, and whether they are the signed ones."""
    content = archive.read(path)
    same = told == (len(content), sha256(content))
    return content, [] if same else [Problem(f"{path}: expected the content that was signed, found another")]


def _cells(archive: Archive, described: Described) -> Cells:
    """Cells of the plain tables."""
    contents, problems = {}, []
    for table in PLAIN:
        contents[table], wrong = _hashed(archive, table.path, described.tables[table.path])
        problems += wrong
    cells: dict[str, list[list[str]]] = {}
    if not problems:
        for table, content in contents.items():
            cells[table.name], wrong = table.cells(content)
            problems += wrong
    if problems:
        raise SubmissionError(archive.source, problems)
    problems = misplaced(cells)
    if described.facts.complete is None and cells[MOMENTS.name][0]:
        problems.append(Problem(f"{MOMENTS.path}: expected no row where complete is null, found "
                                f"{len(cells[MOMENTS.name][0])}"))  # fmt: skip
    if problems:
        raise SubmissionError(archive.source, problems)
    return cells


def _check_ordinal(archive: Archive, described: Described, submission: Submission) -> list[Problem]:
    """What is wrong with the ordinal statistics; they are not kept."""
    n = described.facts.ordinal
    found, problems = _ordinal(archive, described.tables, n or 0)
    return [Problem(line) for line in implausible_ordinal(found, submission)] if found else problems


def _ordinal(archive: Archive, told: Mapping[str, tuple[int, str]], n: int) -> tuple[Ordinal | None, list[Problem]]:
    contents, problems = {}, []
    for path in (t.path for t in ORDINAL if t.path in told):
        contents[path], wrong = _hashed(archive, path, told[path])
        problems += wrong
    return (None, problems) if problems else _parsed_ordinal(contents, n)


def _parsed_ordinal(contents: Mapping[str, bytes], n: int) -> tuple[Ordinal | None, list[Problem]]:
    cells: dict[str, list[list[str]]] = {}
    problems: list[Problem] = []
    for table in (THRESHOLDS, POLYCHORICS):
        cells[table.name], wrong = table.cells(contents[table.path])
        problems += wrong
    acov = None
    if POLYCHORIC_COVARIANCES.path in contents:
        acov, wrong = POLYCHORIC_COVARIANCES.numbers(contents[POLYCHORIC_COVARIANCES.path])
        problems += wrong
    problems = problems or misplaced_ordinal(cells, acov)
    return None if problems else ordinal_of(cells, acov, n), problems


def _contents(submission: Submission, private: PrivateKey, source: str) -> dict[str, bytes]:
    """All files of the archive, in their order; raises what a reader would."""
    texts = texts_of(submission)
    problems: list[Problem] = []
    cells: dict[str, list[list[str]]] = {}
    for table in PLAIN:
        cells[table.name], wrong = table.cells(texts[table.path])
        problems += wrong
    for path, text in texts.items():
        if len(text) > TABLES[path].most_bytes:
            problems.append(
                Problem(f"{path}: expected {TABLES[path].most_bytes:,} bytes or fewer, found {len(text):,}")
            )
    problems = problems or misplaced(cells) or list(implausible(submission, None))
    if submission.ordinal and not problems:
        found, problems = _parsed_ordinal(texts, int(submission.ordinal.moments.n))
        problems += [Problem(line) for line in implausible_ordinal(found, submission)] if found else []
    told = {path: (len(text), sha256(text)) for path, text in texts.items()}
    descriptor = descriptor_of(facts_of(submission), told)
    try:
        read_descriptor(descriptor, source)
    except SubmissionError as error:
        problems = [*error.problems, *problems]
    if problems:
        raise SubmissionError(source, problems, "nothing was written")
    signature = signature_text(public_hex(private), sign(private, descriptor))
    return {DESCRIPTOR: descriptor, **texts, SIGNATURE: signature}
