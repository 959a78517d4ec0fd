"""What a benchmark is made of: rules, register and submissions in; the comparison and every reader's version out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from sqmodel.benchmark.assess import assess_benchmark, gate_of
from sqmodel.benchmark.assess_composite import profile_tree
from sqmodel.benchmark.blind import blind_codes
from sqmodel.benchmark.comparison import Benchmark
from sqmodel.benchmark.content import OVERALL
from sqmodel.benchmark.intake import Intake, number, read_submissions, remember
from sqmodel.benchmark.profile import Profile, ProfileError, Register, load_profile, load_register
from sqmodel.errors import InputError, gathered
from sqmodel.index.tree import IndexTree
from sqmodel.reporting import keys
from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.benchmark_versions import Whole, own_version, public_version, withheld_by
from sqmodel.reporting.sharing import written
from sqmodel.reporting.sources import project_root

CONFIDENTIAL = keys.CONFIDENTIAL
"""See there."""
PUBLIC = "public"
RESERVED = (OVERALL, PUBLIC)
"""Words of the benchmark that no institution can be called by."""
RECEIPTS, RESULTS, LEDGER = "receipts.csv", "benchmark.json", "ledger.json"
VERSIONS, LOGS = ".versions", ".logs"
"""Begin with a full stop, which no institution's code does."""
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""


class NothingAccepted(InputError):
    """No submission of the quarter can be compared; `refused` tells of each file why."""

    refused: tuple[str, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A benchmark that can be made.

    Parameters
    ----------
    folder : Path
        Of the submissions.
    quarter : str
    profile : Profile
    register : Register
    tree : IndexTree
    blind : dict
        Blind codes of all institutions; empty where the profile publishes names.
    root : Path
        The project's folder.
    """

    folder: Path
    quarter: str
    profile: Profile
    register: Register
    tree: IndexTree
    root: Path
    blind: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Compared:
    """The comparison, and the file of each reader asked for: institutions by code, the public as ``public``."""

    benchmark: Benchmark
    intake: Intake
    versions: dict[str, Path]


def plan_benchmark(folder: Path, quarter: str, profile: str, register: Path, secret: Path | None = None) -> Plan:
    """Check the rules of a benchmark before anything is read.

    Parameters
    ----------
    folder : Path
        Of the submissions.
    quarter : str
    profile : str
        A shipped profile, or the path of one.
    register : Path
    secret : Path, optional
        File of the association's secret, that blind codes are made with.

    Raises
    ------
    InputError
        All that is wrong with the quarter, the folder, the profile and its tree, the register and the secret.
    """
    errors: list[InputError] = []
    found: dict[str, object] = {}
    checks: dict[str, Callable[[], object]] = {
        "quarter": lambda: number(quarter),
        "folder": lambda: _folder(folder),
        "profile": lambda: load_profile(profile),
        "register": lambda: _register(register),
    }
    for name, check in checks.items():
        try:
            found[name] = check()
        except InputError as error:
            errors.append(error)
    rules, members = found.get("profile"), found.get("register")
    tree, blind = None, dict[str, str]()
    try:
        tree = profile_tree(rules) if isinstance(rules, Profile) else None
    except InputError as error:
        errors.append(error)
    if isinstance(rules, Profile) and isinstance(members, Register):
        try:
            blind = _blind(rules, members, secret)
        except InputError as error:
            errors.append(error)
    if errors or not isinstance(rules, Profile) or not isinstance(members, Register) or tree is None:
        raise gathered(errors, "benchmark")
    return Plan(folder, quarter, rules, members, tree, project_root(), blind)


def _folder(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(str(folder), ["expected a folder of submissions, found none at this path"], "check the path")
    return folder


def _register(path: Path) -> Register:
    """The register; its codes are names of folders too."""
    register = load_register(path)
    codes = [m.code for m in register.members]
    folded = [c.casefold() for c in codes]
    problems = [f"members: expected another code than {c!r}, which is a word of the benchmark"
                for c in codes if c.casefold() in RESERVED]  # fmt: skip
    problems += [f"members: expected codes that differ in more than capital letters, found {c!r}"
                 for c, f in zip(codes, folded, strict=True) if folded.count(f) > 1]  # fmt: skip
    if problems:
        raise ProfileError(str(path), problems, "correct the register file")
    return register


def _blind(profile: Profile, register: Register, secret: Path | None) -> dict[str, str]:
    if profile.publication.names == "names":
        return {}
    remedy = "make one with `openssl rand -hex 32 > FILE`, keep it where nobody else reads it, and give --secret FILE"
    if secret is None:
        problem = "expected --secret for a profile that publishes blind codes (publication.names: codes), found none"
        raise InputError(profile.name, [problem], remedy)
    try:
        content = secret.read_bytes().strip()
    except OSError as error:
        raise InputError(str(secret), [f"expected a file to read, found: {error.strerror}"], remedy) from None
    try:
        return blind_codes([m.code for m in register.members], content)
    except InputError as error:
        raise InputError(str(secret), error.problems, remedy) from None


def compare(
    plan: Plan,
    reports: Path,
    *,
    workers: int,
    draws: int,
    seed: int,
    only: Sequence[str] = (),
    confidential: bool = True,
) -> Compared:
    """Take in the submissions, compare them, and write what each reader may see.

    Writes below ``reports/confidential``, which only its owner can open: the ledger of what was accepted, and of the
    quarter receipts.csv, benchmark.json and every reader's version.

    Raises
    ------
    NothingAccepted
        No submission of the quarter; the receipts are written all the same.
    InputError
        `only` names somebody who did not submit.
    SqmodelError
        The folder cannot be read, the ledger is none, or there is nothing to compare.
    """
    place = private_folder(reports, plan.quarter)
    ledger = reports / CONFIDENTIAL / LEDGER
    intake = read_submissions(
        plan.folder, plan.register, plan.profile, quarter=plan.quarter, known=ledger, workers=workers
    )
    with tempfile.TemporaryDirectory(dir=place, prefix=".scratch-") as name:
        scratch = Path(name)
        write_file(place / RECEIPTS, _csv(intake.receipts), scratch)
        if not any(s.quarter == plan.quarter for s in intake.submissions):
            problem = f"expected at least one submission of {plan.quarter} that can be accepted, found none"
            problem += f" among {len(intake.receipts)} files"
            nothing = NothingAccepted(str(plan.folder), [problem], f"see {place / RECEIPTS}")
            nothing.refused = refusals(intake.receipts)
            raise nothing
        remember(intake, ledger)
        benchmark = _assessed(plan, intake, draws, seed)
        content = json.dumps(benchmark.to_json(), ensure_ascii=False, sort_keys=True) + "\n"
        write_file(place / RESULTS, content.encode(), scratch)
        withheld = withheld_by(intake.submissions, plan.quarter)
        whole = Whole(benchmark, plan.profile, plan.register, plan.tree, plan.blind, withheld)
        versions = versions_of(whole, place, scratch, only=only, confidential=confidential)
        return Compared(benchmark, intake, versions)


def refusals(receipts: pd.DataFrame) -> tuple[str, ...]:
    """A line for each file that was refused."""
    refused = receipts[~receipts["accepted"].astype(bool)]
    return tuple(f"refused {row.file}: {row.reason}" for row in refused.itertuples())


def private_folder(reports: Path, quarter: str) -> Path:
    """The quarter's folder of what is not for everyone, which only its owner can open."""
    place = reports / CONFIDENTIAL / quarter
    # A folder that others could open must not get what is confidential: then nothing is written.
    with written(reports / CONFIDENTIAL, "nothing was run"):
        reports.mkdir(parents=True, exist_ok=True)
        (reports / CONFIDENTIAL).mkdir(mode=0o700, exist_ok=True)
        (reports / CONFIDENTIAL).chmod(0o700)
        (place / VERSIONS).mkdir(parents=True, exist_ok=True)
        (place / LOGS).mkdir(exist_ok=True)
    return place


def _assessed(plan: Plan, intake: Intake, draws: int, seed: int) -> Benchmark:
    current = [s for s in intake.submissions if s.quarter == plan.quarter]
    # Ordinal statistics are read one institution at a time.
    gate = gate_of(current, plan.profile, ordinals=intake.ordinals(plan.quarter)) if plan.profile.ordinal else None
    return assess_benchmark(
        intake.submissions, plan.profile, plan.register, quarter=plan.quarter, receipts=intake.receipts, gate=gate,
        draws=draws, rng=seed,
    )  # fmt: skip


def versions_of(
    whole: Whole, place: Path, scratch: Path, *, only: Sequence[str] = (), confidential: bool = True
) -> dict[str, Path]:
    """Write what each reader that is asked for may see; the files by reader, the public's first.

    Raises
    ------
    InputError
        `only` names somebody who did not submit.
    """
    known = (PUBLIC, *whole.institutions)
    if strange := [name for name in only if name not in known]:
        problems = [f"--only: expected `public` or an institution that submitted, found {s!r}" for s in strange]
        raise InputError(whole.benchmark.quarter, problems, "name one of the receipts, or none for all")
    paths = {}
    for reader in (r for r in known if r in (only or known) and (confidential or r == PUBLIC)):
        version = public_version(whole) if reader == PUBLIC else own_version(whole, reader)
        paths[reader] = place / VERSIONS / f"{reader}.json"
        write_file(paths[reader], version.encode(), scratch)
    return paths


def _csv(receipts: pd.DataFrame) -> bytes:
    """Receipts that a spreadsheet opens as text: names of files are a stranger's."""
    safe = receipts.map(lambda v: f"'{v}" if isinstance(v, str) and v.startswith(FORMULA) else v)
    return safe.to_csv(index=False).encode("utf-8-sig")
