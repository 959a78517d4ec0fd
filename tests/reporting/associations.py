"""Small associations: simulated institutions whose packages lie in a folder, with their register and rules."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from sqmodel.benchmark.package import write_package
from sqmodel.benchmark.signing import load_private, new_keys, public_hex
from sqmodel.benchmark.simulate import Simulation, simulate_association
from tests.reporting.cells import ROOT

QUARTERS = ("2026Q2", "2026Q3")
PROFILE = ROOT / "sqmodel" / "benchmark" / "profiles" / "lending_association.yaml"


def make_association(
    folder: Path, institutions: int = 4, *, quarters: Sequence[str] = QUARTERS, names: str = "names", **options: Any
) -> Simulation:
    """Write ``in/*.zip``, ``register.yaml``, ``profile.yaml`` and ``secret``; the simulation behind them."""
    (folder / "in").mkdir(parents=True)
    (folder / "params").mkdir()
    codes = [f"I{k:0{len(str(institutions))}d}" for k in range(1, institutions + 1)]
    private = {code: new_keys(code, folder / "keys").private for code in codes}
    keys = {code: public_hex(key) for code, key in private.items()}
    made = simulate_association(institutions, quarters=quarters, keys=keys, **options)
    for submission in made.submissions:
        place = folder / "in" / f"{submission.institution}_{submission.quarter}.zip"
        write_package(submission, private[submission.institution], place)
    register = made.register.model_dump(mode="json")
    (folder / "register.yaml").write_text(yaml.safe_dump(register, allow_unicode=True), encoding="utf-8")
    profile = yaml.safe_load(PROFILE.read_text(encoding="utf-8"))
    profile["publication"]["names"] = names
    (folder / "profile.yaml").write_text(yaml.safe_dump(profile, allow_unicode=True), encoding="utf-8")
    (folder / "secret").write_bytes(b"a secret of sixteen bytes or more")
    return made


def key_of(folder: Path, code: str) -> Any:
    """The private key of an institution."""
    return load_private(folder / "keys" / f"{code}.key")
