"""Whether a report has to be made at all: the key of what it depends on, found without loading what makes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from sqmodel.errors import ParamsError
from sqmodel.reporting.failures import has_failure
from sqmodel.reporting.lock import STATE
from sqmodel.reporting.manifest import digest_of, is_current, key_of
from sqmodel.reporting.sources import RECORDS, input_files, is_url, project_root
from sqmodel.yaml_text import read_yaml

NOTEBOOK = "business_line.ipynb"
VALIDATION_NOTEBOOK = "validation.ipynb"
DESIGN_NOTEBOOK = "index_design.ipynb"
BENCHMARK_NOTEBOOK = "benchmark.ipynb"
CONFIDENTIAL = "confidential"
"""Folder among the reports of what is not for everyone; no quarter is called so, and no index looks into it."""
DOSSIER = "-validation"
"""Follows the line in the name of a dossier's folder; no line's name holds a hyphen, and the index lists no dossier."""


@dataclass(frozen=True)
class Report:
    """A report that params ask for, before anything of it was checked."""

    params: Path
    root: Path
    given: dict[str, Any]

    @property
    def name(self) -> str:
        """Quarter and line, as in the reports folder."""
        return f"{self.given.get('quarter')}/{self.given.get('business_line')}"


def asked_for(params: Sequence[Path], quarters: Sequence[str] = ()) -> list[Report]:
    """The reports that params files ask for; those that cannot be read so are left for the plan to complain of."""
    found = []
    for path in params:
        try:
            content = read_yaml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue
        if isinstance(content, dict):
            root = project_root(path.resolve().parent)
            found += [Report(path, root, content | ({"quarter": q} if q else {})) for q in quarters or ("",)]
    return found


def unchanged(
    reports: Sequence[Report], folder: Path, *, notebook: Path | None = None, dossiers: bool = False
) -> set[str]:
    """Names of the reports whose page is whole and was made from the same parameters, inputs, notebook and code.

    A page of the same key was checked when it was made. What is asked for twice, reads a database or failed when last
    tried is never among them: that needs the plan.
    """
    names = [r.name for r in reports]
    suffix = DOSSIER if dossiers else ""
    found = set()
    for report in reports:
        noted = not dossiers and has_failure(folder / STATE, report.name)
        if names.count(report.name) == 1 and not noted and (folder / f"{report.name}{suffix}").is_dir():
            key = report_key(report.given, report.root, notebook=notebook, dossier=dossiers)
            if key is not None and is_current(folder / f"{report.name}{suffix}", key):
                found.add(report.name)
    return found


def report_key(
    given: Mapping[str, Any], root: Path, *, notebook: Path | None, dossier: bool, answers: str = ""
) -> str | None:
    """The key of a report; None where an input is missing, or what a database holds is not known.

    Of a database with answers `answers` tells; one with events or other records may have changed at any time, so that
    its report is made at each run.

    Parameters
    ----------
    given : mapping
        Its params, with the quarter.
    root : Path
        The project's folder.
    notebook : Path, optional
        Another notebook than the project's.
    dossier : bool
        Of the validation notebook.
    answers : str
        Digest of the answers, where they come from a database.
    """
    try:
        named = input_files(given, root)
        inputs = {name: digest_of(path) for name, path in (named or {}).items()}
    except (OSError, ValueError):
        return None
    in_database = any(is_url(str(given.get(key) or "")) for key in RECORDS)
    if named is None and (not answers or in_database):
        return None
    source = notebook or find_notebook(root, VALIDATION_NOTEBOOK if dossier else NOTEBOOK)
    # What stands in a database's address besides its place, a password above all, is no part of the report.
    kept = {k: v for k, v in given.items() if not (k == "responses" and is_url(str(v)))}
    # A notebook may import modules that lie in the project's folder.
    modules = {f"module {p.name}": digest_of(p) for p in sorted(root.glob("*.py"))}
    return key_of(kept, inputs | modules | ({"answers": answers} if answers else {}), digest_of(source))


def find_notebook(root: Path, name: str = NOTEBOOK) -> Path:
    """The project's own notebook, or the one shipped with the package."""
    package = Path(str(files("sqmodel")))
    for candidate in (root / "notebooks" / name, package / "notebooks" / name, package.parent / "notebooks" / name):
        if candidate.is_file():
            return candidate
    raise ParamsError(
        name,
        [f"expected the notebook at {root / 'notebooks' / name}, found nothing"],
        "run `sqmodel new` in the project",
    )
