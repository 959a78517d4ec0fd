"""Which reports could not be made when last tried, kept until they can: the index names them whatever runs next.

Nothing here loads a heavy library.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from sqmodel.reporting.atomic import write_file
from sqmodel.reporting.lock import STATE
from sqmodel.reporting.manifest import MANIFEST, digest_of

FAILURES = "failures"
STAMP = "index.json"
RESTATEMENTS = "restatements.json"


@dataclass(frozen=True)
class Failure:
    """A report that could not be made: at which step, why, and what the index calls it."""

    step: str
    cause: str
    title_zh: str
    title_en: str
    simulated: bool = False


def keep_failure(state: Path, name: str, failure: Failure) -> None:
    """Remember a failure; `name` is quarter and line."""
    path = _path(state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_file(path, json.dumps(asdict(failure), ensure_ascii=False).encode(), state)


def has_failure(state: Path, name: str) -> bool:
    """Whether the report could not be made when last tried."""
    return _path(state, name).exists()


def forget_failure(state: Path, name: str) -> None:
    """The report is there again."""
    _path(state, name).unlink(missing_ok=True)


def kept_failures(state: Path) -> dict[str, Failure]:
    """All failures by quarter and line; a file that cannot be read counts as one whose cause is unknown."""
    found = {}
    for path in sorted((state / FAILURES).glob("*/*.json")):
        name = f"{path.parent.name}/{path.stem}"
        try:
            found[name] = Failure(**json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            found[name] = Failure("unknown", f"{path}: {error}", path.stem, path.stem)
    return found


def stamp_index(reports: Path) -> None:
    """Note what the index was written over, so that a run without news need not write it again."""
    state = reports / STATE
    content = {"over": _over(reports), "index": digest_of(reports / "index.html")}
    write_file(state / STAMP, json.dumps(content).encode(), state)


def index_is_current(reports: Path) -> bool:
    """Whether the index is the one over all that is published and failed now."""
    try:
        content = json.loads((reports / STATE / STAMP).read_text(encoding="utf-8"))
        return bool(content == {"over": _over(reports), "index": digest_of(reports / "index.html")})
    except (OSError, ValueError):
        return False


def _over(reports: Path) -> str:
    total = hashlib.sha256()
    for path in _sources(reports):
        total.update(f"{path.relative_to(reports).as_posix()} {digest_of(path)}\n".encode())
    return total.hexdigest()


def _sources(reports: Path) -> Iterator[Path]:
    # Dossiers, whose names hold a hyphen, are not in the index.
    yield from sorted(p for p in reports.glob(f"[0-9][0-9][0-9][0-9]Q[1-4]/*/{MANIFEST}") if "-" not in p.parent.name)
    yield from sorted((reports / STATE / FAILURES).glob("*/*.json"))
    yield from sorted(reports.glob(RESTATEMENTS))


def _path(state: Path, name: str) -> Path:
    quarter, line = name.split("/")
    return state / FAILURES / quarter / f"{line}.json"
