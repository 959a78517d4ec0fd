"""Verification: is what is published still what was published, and do the same inputs give the same numbers again?"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError, SqmodelError
from sqmodel.reporting.keys import CONFIDENTIAL, VALIDATION_NOTEBOOK, find_notebook
from sqmodel.reporting.manifest import MANIFEST, Manifest, code_digest, damaged, digest_of, read_manifest, versions
from sqmodel.reporting.payload import ANSWERS
from sqmodel.reporting.sources import is_path, is_url, project_root

TOLERANCE = 1e-8
"""Relative difference between two numbers of the same report that other processors and libraries may make."""
MOST = 5
RESULTS = "results.json"
NO_NUMBERS = "index.html: expected the published bytes (the page has no record of its numbers), found others now"


@dataclass(frozen=True)
class Verification:
    """What was found out about one page.

    Parameters
    ----------
    name : str
        Quarter and folder.
    problems : list of str
        What is not as it was published, or not the same when computed again.
    notes : list of str
        What could not be checked, and what else is worth knowing.
    rerun : str
        Empty if it was not asked for; else ``identical`` (byte for byte), ``equal`` (all numbers within the
        tolerance) or ``different``.
    """

    name: str
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    rerun: str = ""


def pages_of(place: Path) -> list[Path]:
    """Folders of the pages in a reports folder (the confidential ones too), a quarter's folder, or a page's own.

    Raises
    ------
    RunError
        There are none, or the folder cannot be opened.
    """
    if closed := _closed(place):
        raise RunError(closed)
    quarter = "[0-9][0-9][0-9][0-9]Q[1-4]"
    candidates = [place, *sorted(place.glob("*")), *sorted(place.glob(f"{quarter}/*")), *sorted(place.glob("design/*")),
                  *sorted(place.glob(f"{CONFIDENTIAL}/{quarter}/*"))]  # fmt: skip
    # A folder that lost its page is found by what is left of it.
    pages = [p for p in candidates if (p / MANIFEST).exists() or (p / RESULTS).exists()]
    if not pages and not not_checked(place):
        raise RunError(f"{place}: expected published reports, found none")
    return pages


def not_checked(place: Path) -> str:
    """What of a reports folder this user cannot open, in words; empty if nothing."""
    own = place / CONFIDENTIAL
    return _closed(own) if os.path.lexists(own) else ""


def _closed(folder: Path) -> str:
    """Why a folder cannot be looked into; empty if it can."""
    try:
        with os.scandir(folder):
            return ""
    except PermissionError as error:
        return (f"{folder}: expected a folder that you can open, found: {error.strerror}; confidential reports are for "
                f"their owner{_owner(folder)} only: verify them as that user")  # fmt: skip
    except OSError as error:
        return f"{folder}: expected a folder of published reports, found: {error.strerror}"


def _owner(folder: Path) -> str:
    try:
        return f" ({folder.owner()})"
    except (OSError, KeyError, NotImplementedError):
        # Whose it is only helps; a user without a name here, or a system without owners, is told of without it.
        return ""


def _name(folder: Path) -> str:
    """Quarter and folder, as the command that made it calls them."""
    parts = folder.resolve().parts
    return "/".join(parts[-3:] if CONFIDENTIAL in parts[-3:-2] else parts[-2:])


def verify(folder: Path, root: Path) -> Verification:
    """Recompute the hashes of a page's files and inputs.

    Parameters
    ----------
    folder : Path
        ``reports/2026Q3/project_finance``.
    root : Path
        The project's folder, from which inputs are meant.
    """
    name = _name(folder)
    try:
        manifest = read_manifest(folder)
    except RunError as error:
        return Verification(name, [str(error)])
    result = Verification(name, damaged(folder, manifest))
    for input_name, expected in manifest.inputs.items():
        _check_input(result, input_name, expected, manifest, root)
    return result


def _check_input(result: Verification, name: str, expected: str, manifest: Manifest, root: Path) -> None:
    if name.startswith(ANSWERS) or is_url(name):
        result.notes.append(f"{name}: a database's answers are not read again")
        return
    if name.startswith("instrument "):
        found = _instrument(manifest.params["instrument"], root)
    else:
        path = root / name
        found = digest_of(path) if path.is_file() else ""
    if not found:
        result.notes.append(f"{name}: not found here, so not compared")
    elif found != expected:
        result.problems.append(
            f"{name}: expected the input of sha256 {expected[:12]}…, found {found[:12]}…: it changed since"
        )


def _instrument(given: str, root: Path) -> str:
    from sqmodel.survey.instrument import load_instrument

    try:
        return load_instrument(root / given if is_path(given) else given).digest
    except SqmodelError:
        return ""


def rerun(folder: Path, root: Path, *, seconds: float, tolerance: float = TOLERANCE) -> Verification:
    """Verify a page, make it again from its manifest's parameters, and compare all numbers.

    The notebook is the project's own. Needs `sqmodel.reporting.kernels.manager.kernels` to be open.

    Parameters
    ----------
    folder, root
        As for `verify`.
    seconds : float
        Time limit.
    tolerance : float
        Relative difference of two numbers that still counts as equal; absolute below one.
    """
    from sqmodel.reporting.making import Assignment, StepError, make

    result = verify(folder, root)
    try:
        manifest = read_manifest(folder)
        if is_url(str(manifest.params.get("responses", ""))):
            raise RunError("a report from a database is run again with its params file: `sqmodel run --force`")
        notebook = find_notebook(root, VALIDATION_NOTEBOOK if manifest.kind == "dossier" else manifest.notebook["name"])
        _note_differences(result, manifest, notebook)
        given = {name: value for name, value in manifest.params.items() if name in manifest.given}
        assignment = Assignment(
            result.name, str(root.resolve()), notebook.read_text(encoding="utf-8"), given, seconds, 100_000_000
        )
        made = make(assignment)
    except (StepError, SqmodelError, KeyError, OSError) as error:
        cause = f"{error.step}: {error.cause}" if isinstance(error, StepError) else str(error)
        return Verification(result.name, [*result.problems, f"not made again: {cause}"], result.notes, "different")
    files = {"index.html": made.page.encode(), **made.companions}
    same = [n for n, content in files.items() if (folder / n).is_file() and (folder / n).read_bytes() == content]
    if len(same) == len(files):
        return Verification(result.name, result.problems, result.notes, "identical")
    unequal = _compared(folder, made.companions, tolerance)
    others = [n for n in files if n not in same]
    notes = [*result.notes, f"not the same bytes: {', '.join(others)}"]
    return Verification(result.name, [*result.problems, *unequal], notes, "different" if unequal else "equal")


def _note_differences(result: Verification, manifest: Manifest, notebook: Path) -> None:
    """What is other than when the page was made; the numbers may be equal all the same."""
    if digest_of(notebook) != manifest.notebook["sha256"]:
        result.notes.append(f"{notebook.name}: not the notebook that the page was made with")
    if code_digest() != manifest.code:
        result.notes.append("sqmodel: not the code that the page was made with")
    here = versions()
    for name, published in manifest.versions.items():
        if here.get(name) != published:
            result.notes.append(f"{name} {published} then, {here.get(name, 'none')} here")


def _compared(folder: Path, companions: dict[str, bytes], tolerance: float) -> list[str]:
    if RESULTS not in companions:
        # A notebook of one's own need not display a record: of such a page only the bytes can be compared.
        gone = (folder / RESULTS).exists()
        return [f"{RESULTS}: expected a record as published, found none now"] if gone else [NO_NUMBERS]
    try:
        old = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        return [f"{RESULTS}: expected the published record, found: {error}"]
    found = list(differences(old, json.loads(companions[RESULTS]), tolerance))
    more = [f"and {len(found) - MOST} more differences"] if len(found) > MOST else []
    return [*found[:MOST], *more]


def differences(old: Any, new: Any, tolerance: float, place: str = "") -> Iterator[str]:
    """Every place where two records differ; numbers by more than `tolerance`."""
    if _number(old) and _number(new):
        if abs(old - new) > tolerance * max(1.0, abs(old), abs(new)):
            yield f"{place}: published {old!r}, found {new!r} now"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys((*old, *new)):
            yield from differences(old.get(key), new.get(key), tolerance, f"{place}.{key}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, tolerance, f"{place}[{i}]")
    elif old != new:
        yield f"{place}: published {_short(old)}, found {_short(new)} now"


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:59] + "…"


def verify_all(
    place: Path,
    project: Path | None,
    *,
    again: bool,
    seconds: float,
    tolerance: float,
    report: Callable[[Verification], None],
) -> Sequence[Verification]:
    """Verify every page at a place, one after another.

    Parameters
    ----------
    place : Path
        A reports folder, a quarter's or a page's.
    project : Path, optional
        The project's folder; the one around the pages by default, or else around the working folder.
    again : bool
        Make the pages again.
    seconds, tolerance
        As for `rerun`.
    report : callable
        Told of each page.
    """
    around = project_root(place.resolve())
    root = project or (around if (around / "params").is_dir() else project_root())
    found = []
    for folder in pages_of(place):
        one = rerun(folder, root, seconds=seconds, tolerance=tolerance) if again else verify(folder, root)
        report(one)
        found.append(one)
    return found
