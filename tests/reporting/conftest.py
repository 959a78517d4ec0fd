"""What the tests of publishing share: a browser, kernels, and a project."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sqmodel.reporting.kernels.launchers import Launcher
from sqmodel.reporting.kernels.manager import kernels
from tests.reporting.projects import call, make_project


def _unavailable(reason: str) -> Any:
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(f"no browser on the build machine: {reason}")
    pytest.skip(f"no browser: {reason}")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        _unavailable(str(error))
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        _unavailable("expected chromium on the PATH")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def warm() -> Iterator[Launcher]:
    """Prepared kernels for all runs of this process: loading the libraries is paid for once."""
    with kernels() as launcher:
        yield launcher


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder with one line and two quarters, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


@pytest.fixture(scope="session")
def original(warm: Launcher, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose two quarters are published with the real notebook; for copying only."""
    folder = make_project(tmp_path_factory.mktemp("original"))
    with contextlib.chdir(folder):
        result = call("run", "-q", "2026Q2..2026Q3")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture
def released(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of a published project, which is the working folder."""
    shutil.copytree(original, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
