"""The association's register as a file: institutions are entered, and no line that is there is changed."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from pydantic import ValidationError

from sqmodel.benchmark.content import CODE
from sqmodel.benchmark.profile import ProfileError, Register, load_register
from sqmodel.definitions import explain, one_line
from sqmodel.errors import InputError
from sqmodel.reporting.atomic import write_file
from sqmodel.yaml_text import read_yaml

HEAD = """\
# 协会成员名册 The association's register: who may submit, with which key. Complete titles and peer groups by hand.
name: {name}
title: {{zh: 协会, en: Association}}
peer_groups: {{}}
members:
"""


def check_codes(codes: Sequence[str], folder: Path, register: Path | None) -> None:
    """Can keys be made for all of these institutions, and can they be entered?

    Raises
    ------
    InputError
        All problems at once; nothing was made.
    """
    problems = [f"expected every code once, found {c} {codes.count(c)} times" for c in dict.fromkeys(codes)
                if codes.count(c) > 1]  # fmt: skip
    problems += [f"expected a code such as bank_a (letters, digits, _ . -; a letter first), found {c!r}"
                 for c in dict.fromkeys(codes) if not re.fullmatch(CODE, c)]  # fmt: skip
    there = [p.name for c in dict.fromkeys(codes) for p in (folder / f"{c}.key", folder / f"{c}.pub")
             if os.path.lexists(p)]  # fmt: skip
    problems += [f"expected no {name} in {folder}, found one" for name in there]
    if register is not None and register.exists():
        known = load_register(register)
        problems += [f"expected no {c} in {register}, found one" for c in dict.fromkeys(codes) if known.member(c)]
        if "members:" not in register.read_text(encoding="utf-8").splitlines():
            problems.append(f"expected `members:` on a line of its own in {register}, found none")
    if problems:
        raise InputError("keys", problems, "keys and entries that are there stay as they are; nothing was made")


def entry(code: str, public: str) -> str:
    """The line of the register."""
    return f'  - {{code: {code}, title: {{zh: {code}, en: {code}}}, key: "{public}"}}'


def enter(members: Mapping[str, str], register: Path) -> None:
    """Enter institutions: the lines go right below ``members:``, all others stay as they are.

    Parameters
    ----------
    members : mapping
        Code to public key.
    register : Path
        Begun where it is not there.

    Raises
    ------
    ProfileError
        The register would no longer be one; it is left as it was.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", register.stem)
    begun = HEAD.format(name=name if name[:1].isalpha() else "register")
    lines = (register.read_text(encoding="utf-8") if register.exists() else begun).splitlines()
    first = place = lines.index("members:") + 1
    # Behind the members that are there, as far in as they are.
    while place < len(lines) and re.match(r"\s*-\s|\s+\S", lines[place]):
        place += 1
    listed = [re.match(r"(\s*)-\s", line) for line in lines[first:place]]
    indent = next((found[1] for found in listed if found), "  ")
    lines[place:place] = [indent + entry(code, key).lstrip() for code, key in members.items()]
    text = "\n".join([*lines, ""])
    try:
        Register.model_validate(read_yaml(text))
    except (ValidationError, yaml.YAMLError) as error:
        told = explain(error) if isinstance(error, ValidationError) else [one_line(error)]
        raise ProfileError(str(register), told, "the register stays as it was; enter the lines by hand") from None
    register.parent.mkdir(parents=True, exist_ok=True)
    write_file(register, text.encode(), register.parent)
