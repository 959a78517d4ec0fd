"""Where a report's inputs lie: params files, the files that they name, the project around them.

Nothing here loads a heavy library: a run that has nothing to do must not pay for one that has.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqmodel.errors import ParamsError

PLACEHOLDER = "{quarter}"
MOST_QUARTERS = 12
RECORDS = ("events", "complaints", "exposures", "alerts", "tests", "training", "inspections", "advisers")
"""Keys of params that name a source of what the lender did."""
DEFINITIONS = ("instrument", "process", "standard")
"""Keys of params that name a shipped definition, or a YAML file."""


def is_url(source: str) -> bool:
    """Whether a source is a database rather than a file."""
    return "://" in source


def is_path(instrument: str) -> bool:
    """Whether an instrument is a file of its own rather than a shipped questionnaire."""
    return instrument.endswith((".yaml", ".yml"))


def project_root(start: Path | None = None) -> Path:
    """The nearest folder above (or at) `start` that holds ``params/``; `start` itself if there is none.

    Relative paths in params are meant from there, so a notebook finds them from its own folder too.
    """
    here = (start or Path.cwd()).resolve()
    return next((p for p in (here, *here.parents) if (p / "params").is_dir()), here)


def found_path(path: str, root: Path | None = None) -> Path:
    """A path as it is if absolute or there, else meant from the project's folder; with `root`, meant from there."""
    given = Path(path).expanduser()
    if root is not None:
        return root / given
    if given.is_absolute() or given.exists():
        return given
    return project_root() / given


def placed(source: str, root: Path | None = None) -> str:
    """A source's place: a database as it is, a file by its path."""
    return source if is_url(source) else str(found_path(source, root))


def files_of(responses: str, quarter: str, root: Path | None = None) -> list[tuple[str, str, str]]:
    """Quarter, name as the params give it, and place of every source of answers, in order.

    One with an empty quarter if one holds them all; else that of `quarter` and those of earlier ones that are there.
    """
    if PLACEHOLDER not in responses:
        return [("", responses, placed(responses, root))]
    found = []
    for each in _quarters_until(quarter, MOST_QUARTERS):
        given = responses.replace(PLACEHOLDER, each)
        place = placed(given, root)
        if each == quarter or _exists(place):
            found.append((each, given, place))
    return found


def input_files(params: Mapping[str, Any], root: Path) -> dict[str, Path] | None:
    """All input files of a report by their names in the params; None where some of the data are in a database.

    Relative paths are meant from `root`, the project's folder.
    """
    sources = files_of(str(params.get("responses", "")), str(params.get("quarter", "")), root)
    sources += [("", str(params[key]), placed(str(params[key]), root)) for key in RECORDS if params.get(key)]
    if any(is_url(place) for _, _, place in sources):
        return None
    named = {given: Path(place) for _, given, place in sources}
    own = [str(params.get(key) or "") for key in DEFINITIONS]
    for path in (str(params.get("columns") or ""), *(d for d in own if is_path(d))):
        if path:
            named[path] = found_path(path, root)
    return named


def params_in(folder: Path) -> list[Path]:
    """All params files of a folder, by name.

    Definitions (``standard.yaml``, ``own.standard.yaml``) are none, and design studies (``own.design.yaml``) have a
    command of their own.
    """
    others = tuple(f".{kind}.{ending}" for kind in ("columns", "tree", "design", *DEFINITIONS)
                   for ending in ("yaml", "yml"))  # fmt: skip
    return sorted(p for p in folder.glob("*.y*ml") if not f".{p.name}".endswith(others))


def expand_quarters(texts: Iterable[str]) -> list[str]:
    """Quarters from ``2026Q3`` or ranges such as ``2025Q3..2026Q3``, each once, in order of time.

    Raises
    ------
    ParamsError
        A text that is neither.
    """
    found: set[str] = set()
    problems = []
    for text in texts:
        match = re.fullmatch(r"(\d{4})Q([1-4])(?:\.\.(\d{4})Q([1-4]))?", text)
        if match is None:
            problems.append(f"expected a quarter such as 2026Q3 or a range such as 2025Q3..2026Q3, found {text!r}")
            continue
        start = int(match[1]) * 4 + int(match[2]) - 1
        end = start if match[3] is None else int(match[3]) * 4 + int(match[4]) - 1
        if end < start:
            problems.append(f"expected the earlier quarter first, found {text!r}")
        found |= {f"{q // 4}Q{q % 4 + 1}" for q in range(start, end + 1)}
    if problems:
        raise ParamsError("--quarter", problems)
    return sorted(found)


def _exists(place: str) -> bool:
    """Whether a file is there; of databases only SQLite's can be told without asking a server."""
    if not is_url(place):
        return Path(place).exists()
    return place.startswith("sqlite:///") and Path(place.removeprefix("sqlite:///").split("?")[0]).is_file()


def _quarters_until(quarter: str, most: int) -> list[str]:
    last = int(quarter[:4]) * 4 + int(quarter[5]) - 1
    return [f"{q // 4}Q{q % 4 + 1}" for q in range(last - most, last + 1)]
