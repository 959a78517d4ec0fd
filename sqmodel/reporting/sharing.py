"""Sharing: what is in place here is put on a share or into a web server's folder as well, page by page in one step."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from sqmodel.errors import RunError, UnfinishedError
from sqmodel.reporting.atomic import put_folder, recover, write_file
from sqmodel.reporting.failures import RESTATEMENTS, kept_failures
from sqmodel.reporting.lock import STATE, exclusive
from sqmodel.reporting.manifest import MANIFEST, damaged, read_manifest
from sqmodel.reporting.shelf import PAGE, write_index


@contextlib.contextmanager
def written(folder: Path, then: str) -> Iterator[None]:
    """Say in words why a folder could not be written to, and what that means."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or error
        raise UnfinishedError(f"{folder}: expected a folder that can be written to, found: {cause}; {then}") from None


def check_share(reports: Path, target: Path) -> None:
    """Whether a folder can be had for sharing: better known before the work than after.

    Raises
    ------
    RunError
        It is the reports folder itself, holds an index of another kind, is held, or cannot be written to.
    """
    if target.resolve() == reports.resolve():
        raise RunError(f"--publish-to {target}: expected another folder than the one of --reports; nothing was run")
    if (target / PAGE).exists() and not (target / STATE).is_dir():
        raise RunError(
            f"--publish-to {target}: expected an empty folder or one that was published to before, found an index.html "
            "of something else; nothing was run"
        )
    with exclusive(target):
        pass


def copy_pages(reports: Path, target: Path, names: Sequence[str]) -> None:
    """Put pages that are in place also into another folder, with an index over all that is there.

    Parameters
    ----------
    reports, target : Path
    names : sequence of str
        Quarter and folder of each page.

    Raises
    ------
    RunError
        The folder is held by another run.
    UnfinishedError
        It cannot be written to; a page is there whole or as it was.
    """
    with exclusive(target, f"the pages are in {reports} only") as state:
        recover(target)
        with written(target, f"not all pages of {reports} are there"):
            for name in names:
                if not _same(reports / name, target / name):
                    files = {p.name: p.read_bytes() for p in sorted((reports / name).iterdir()) if p.is_file()}
                    put_folder(files, target / name, state)
            if (reports / RESTATEMENTS).exists():
                write_file(target / RESTATEMENTS, (reports / RESTATEMENTS).read_bytes(), state)
            write_index(target, kept_failures(reports / state.name), state)


def _same(source: Path, place: Path) -> bool:
    """Whether a page stands there already, whole."""
    own = place / MANIFEST
    if not own.is_file() or own.read_bytes() != (source / MANIFEST).read_bytes():
        return False
    return not damaged(place, read_manifest(place))
