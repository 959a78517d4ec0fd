"""The page on paper: printed to PDF by an installed Chromium, offline, with the same bytes each time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from sqmodel.errors import RunError

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")
NAMES = {"zh": "report.zh.pdf", "en": "report.en.pdf"}
SECONDS = 120
_DATE = re.compile(rb"/(CreationDate|ModDate) ?\(D:(\d{14})")
_FILE = re.compile(r'<a href="[^#"][^"]*">')
_CHECKED = re.compile(r'(<input [^>]*id="sq-(zh|en)")( checked)?')


def find_browser() -> str:
    """Path of the browser that prints: ``SQMODEL_CHROMIUM``, or the first one on the path.

    Raises
    ------
    RunError
        There is none.
    """
    given = os.environ.get("SQMODEL_CHROMIUM", "")
    found = shutil.which(given) if given else next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        where = f"at {given} ($SQMODEL_CHROMIUM)" if given else "on the path"
        raise RunError(f"--pdf: expected Chromium {where}, found none; install it; nothing was run")
    return found


def print_page(page: str, browser: str) -> dict[str, bytes]:
    """The page as PDF in each language, by file name.

    Parameters
    ----------
    page : str
        The whole page.
    browser : str
        Path of Chromium.

    Raises
    ------
    RunError
        The browser did not print; the message has its last words.
    """
    with tempfile.TemporaryDirectory(prefix="sqmodel-") as folder:
        return {name: _printed(in_language(page, code), browser, Path(folder), name) for code, name in NAMES.items()}


def in_language(page: str, language: str) -> str:
    """The page as it opens in a language."""
    return _CHECKED.sub(lambda m: m[1] + (" checked" if m[2] == language else ""), page)


def _without_files(page: str) -> str:
    """The page without links to the files beside it: on paper they would lead to where it was printed."""
    return _FILE.sub("<a>", page)


def _printed(page: str, browser: str, folder: Path, name: str) -> bytes:
    source, target = folder / f"{name}.html", folder / name
    source.write_text(_without_files(page), encoding="utf-8")
    command = [
        browser, "--headless", "--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}", "--no-pdf-header-footer", f"--print-to-pdf={target}",
        # Root has no sandbox of its own; the page holds no script in any case.
        *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        source.as_uri(),
    ]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, text=True, errors="replace")
    except subprocess.TimeoutExpired:
        raise RunError(f"{name}: expected {browser} to print within {SECONDS} s, found it still at work") from None
    if done.returncode or not target.is_file():
        said = " ".join(done.stderr.split())[-300:]
        raise RunError(f"{name}: expected {browser} to print the page, found exit status {done.returncode}: {said}")
    # The day of printing is no part of the report.
    return _DATE.sub(rb"/\1 (D:20000101000000", target.read_bytes())
