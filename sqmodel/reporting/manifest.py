"""The manifest of a published page: what went in, what came out, and the key that tells whether anything changed.

Nothing here loads a heavy library, holds a time or a name of a machine: the same input makes the same manifest.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqmodel.errors import RunError

MANIFEST = "manifest.json"
SCHEMA = "sqmodel.manifest/1"
LIBRARIES = (
    "sqmodel", "numpy", "scipy", "pandas", "pingouin", "factor-analyzer", "seaborn", "matplotlib", "nbconvert",
    "papermill", "ipykernel", "fonttools", "xlsxwriter", "pylopdf-fonts-zh-cn",
    "pydantic", "sqlalchemy", "pyarrow", "python-calamine", "mistune", "nh3", "jinja2",
)  # fmt: skip
_SOURCE = {".py", ".yaml", ".json", ".j2", ".css"}


@dataclass(frozen=True)
class Manifest:
    """Content of manifest.json.

    Parameters
    ----------
    business_line, quarter : str
    kind : str
        ``report``, ``dossier`` or ``design``.
    key : str
        Digest of all that the page depends on: parameters, inputs, notebook and code.
    params : dict
        The parameters as checked, as readers may see them.
    given : list of str
        Names of those that the notebook was given; for the others its own defaults hold.
    seed : int
    inputs, outputs : dict
        Sha256 of every file by its name; of answers from a database, of the answers as read.
    notebook : dict
        Name and sha256.
    code : str
        Digest of the package's own files.
    versions : dict
        Of Python and the libraries.
    """

    business_line: str
    quarter: str
    kind: str
    key: str
    params: dict[str, Any]
    seed: int
    inputs: dict[str, str]
    notebook: dict[str, str]
    code: str
    versions: dict[str, str]
    outputs: dict[str, str] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)

    def encode(self) -> bytes:
        """The file's bytes."""
        content = {"schema": SCHEMA} | asdict(self)
        return (json.dumps(content, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a page's folder.

    Raises
    ------
    RunError
        There is none, or it cannot be read.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("schema") != SCHEMA:
            raise KeyError("schema")
        found = Manifest(**content)
    except FileNotFoundError:
        raise RunError(f"{path}: expected the page's manifest, found nothing; publish the report again") from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        shown = f"{type(error).__name__}: {error}"
        raise RunError(f"{path}: expected a manifest ({SCHEMA}), found {shown}; publish the report again") from None
    return found


def damaged(folder: Path, manifest: Manifest) -> list[str]:
    """What of a page's folder is not as it was published."""
    problems = []
    for name, expected in manifest.outputs.items():
        path = folder / name
        found = digest_of(path) if path.is_file() else ""
        if found != expected:
            shown = f"found {found[:12]}…" if found else "found nothing"
            problems.append(f"{path}: expected sha256 {expected[:12]}…, {shown}")
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST and name not in manifest.outputs:
            problems.append(f"{path}: expected the published files only, found another one")
    return problems


def is_current(folder: Path, key: str) -> bool:
    """Whether the page in `folder` is whole and was made from what `key` stands for."""
    try:
        manifest = read_manifest(folder)
    except RunError:
        return False
    return manifest.key == key and not damaged(folder, manifest)


def key_of(given: Mapping[str, Any], inputs: Mapping[str, str], notebook: str) -> str:
    """Digest of all that a page depends on; `notebook` is the notebook's own digest."""
    parts = {"given": given, "inputs": inputs, "notebook": notebook, "code": code_digest(), "versions": versions()}
    text = json.dumps(parts, ensure_ascii=False, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def digest_of(path: Path) -> str:
    """Sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@functools.cache
def code_digest() -> str:
    """Digest of the package's files, so that a change in a checkout counts as one without a new version."""
    package = Path(str(files("sqmodel")))
    total = hashlib.sha256()
    for path in sorted(p for p in package.rglob("*") if p.suffix in _SOURCE):
        total.update(f"{path.relative_to(package).as_posix()} {digest_of(path)}\n".encode())
    return total.hexdigest()


@functools.cache
def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that a page's numbers and looks depend on."""
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}
