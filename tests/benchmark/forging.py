"""A valid submission in small, and packages of it that were changed before they were signed."""

from __future__ import annotations

import dataclasses
import io
import struct
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sqmodel.benchmark.archive import DESCRIPTOR, SIGNATURE, pack
from sqmodel.benchmark.content import (
    GRID,
    OVERALL,
    Context,
    Identity,
    Indicator,
    ItemCounts,
    ItemMoments,
    Ordinal,
    Score,
    Submission,
    Waiting,
    Withheld,
)
from sqmodel.benchmark.descriptor import descriptor_of, facts_of, sha256, signature_text
from sqmodel.benchmark.member_keys import MemberKey
from sqmodel.benchmark.packing import texts_of
from sqmodel.benchmark.profile import Member, Profile, Register, load_profile
from sqmodel.benchmark.signing import public_hex, sign
from sqmodel.definitions import Text
from sqmodel.measurement.moments import GroupMoments
from sqmodel.operations.standards import load_standard
from sqmodel.survey.instrument import load_instrument

QUARTER = "2026Q3"
CENTRAL, END = b"PK\1\2", b"PK\5\6"
ITEMS = ("exp1", "eff1", "rsk1", "com1")
DIMENSIONS = ("EXP", "EFF", "RSK", "COM")
N = 40


def key_of(code: str) -> Ed25519PrivateKey:
    """The same key every time; whoever reads this has it, too."""
    return Ed25519PrivateKey.from_private_bytes(code.encode().ljust(32, b"."))


def register() -> Register:
    """Two members with one key each, and one with a key of today, one of before and one that was stolen."""
    keys = (
        MemberKey(key=public_hex(key_of("bank_c"))),
        MemberKey(key=public_hex(key_of("bank_c_before")), begin="2025Q1", until="2026Q1"),
        MemberKey(key=public_hex(key_of("bank_c_stolen")), until="2026Q2", revoked=True),
    )
    members = [Member(code=c, title=Text(en=c), key=public_hex(key_of(c))) for c in ("bank_a", "bank_b")]
    members.append(Member(code="bank_c", title=Text(en="bank_c"), keys=keys))
    return Register(name="association", title=Text(en="Association"), members=tuple(members))


def profile(*, ordinal: bool = True) -> Profile:
    """The shipped one; it asks for ordinal statistics, so that those of attacks are looked at."""
    return load_profile("lending_association").model_copy(update={"ordinal": ordinal})


def answers() -> np.ndarray[Any, np.dtype[np.float64]]:
    """40 respondents to 4 items on 1-7, from a formula."""
    i, j = np.arange(N)[:, None], np.arange(len(ITEMS))
    return ((i * i + 3 * i * (j + 2) + 5 * j) % 7 + 1).astype(float)


def valid(institution: str = "bank_a", **changes: Any) -> Submission:
    """A submission without fault."""
    x = answers()
    mean, cov = x.mean(axis=0), np.cov(x.T, bias=True)
    points, error = (mean - 1) / 6 * 100, cov / 36 * 1e4 / (N - 1)
    overall = Score(OVERALL, N, float(points.mean()), float(np.sqrt(error.mean())))
    dimensions = [Score(d, N, p, s) for d, p, s in
                  zip(DIMENSIONS, points.tolist(), np.sqrt(np.diag(error)).tolist(), strict=True)]  # fmt: skip
    instrument, standard = load_instrument("lending_service"), load_standard("lending_standard")
    found = Submission(
        institution=institution, quarter=QUARTER, revision=0,
        instrument=Identity(instrument.name, instrument.version, instrument.digest),
        standard=Identity(standard.name, standard.version, standard.digest), simulated=True, n=N,
        counts=tuple(ItemCounts(c, tuple(range(1, 8)), tuple(int((x[:, k] == v).sum()) for v in range(1, 8)))
                     for k, c in enumerate(ITEMS)),
        moments=ItemMoments(ITEMS, N, mean, cov), scores=(overall, *dimensions), score_cov=error,
        indicators=(Indicator("within_limit", "share", 200.0, 150.0, 0.75, 0.03),
                    Indicator("complaints", "rate", 1000.0, 12.0, 0.012, 0.0035),
                    Indicator("review_hours", "mean", 200.0, float("nan"), 31.25, 1.5)),
        waiting=tuple(Waiting("approval", h, 200, round(0.8 ** (k + 1), 6), 0.01) for k, h in enumerate(GRID)),
        context=(Context("size", "large", 0.25), Context("size", "small", 0.5)),
        withheld=(Withheld("context", "size=micro", "small counts"),),
    )  # fmt: skip
    return dataclasses.replace(found, **changes)


def ordinal() -> Ordinal:
    """Made up, but in order."""
    thresholds = np.concatenate([np.array([-1.0, 0.1 * k, 1.25]) for k in range(len(ITEMS))])
    cov = np.full((4, 4), 0.3) + 0.7 * np.eye(4)
    m = len(thresholds) + 6
    acov = np.eye(m) * 1.5 + 0.1
    return Ordinal(ITEMS, (4,) * 4, GroupMoments(float(N), cov, np.zeros(4), thresholds, acov))


Texts = dict[str, bytes]


def contents(
    submission: Submission | None = None,
    *,
    tables: Callable[[Texts], object] | None = None,
    facts: Mapping[str, Any] | None = None,
    descriptor: Callable[[bytes], bytes] | None = None,
    key: Ed25519PrivateKey | None = None,
) -> Texts:
    """All files of a package whose tables, facts or descriptor were changed before it was signed."""
    submission = submission or valid()
    texts = texts_of(submission)
    if tables:
        tables(texts)
    told = {path: (len(text), sha256(text)) for path, text in texts.items()}
    signed = descriptor_of({**facts_of(submission), **(facts or {})}, told)
    if descriptor:
        signed = descriptor(signed)
    key = key or key_of("bank_a")
    return {DESCRIPTOR: signed, **texts, SIGNATURE: signature_text(public_hex(key), sign(key, signed))}


def changed(path: str, old: str, new: str, times: int = 1) -> Callable[[Texts], object]:
    """Change a table before it is signed; the change must be one."""

    def change(texts: Texts) -> None:
        before = texts[path]
        texts[path] = before.replace(old.encode(), new.encode("utf-8"), times)
        assert texts[path] != before, path

    return change


def zipped(files: Texts, method: int = zipfile.ZIP_DEFLATED, extra: Mapping[str, bytes] | None = None) -> bytes:
    """As any other program writes a ZIP."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in [*files.items(), *(extra or {}).items()]:
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, method)
    return buffer.getvalue()


def packed_with(name: str, content: bytes = b"x") -> bytes:
    """A package as we write it, with one file more."""
    return pack({**contents(), name: content})


def patched(content: bytes, signature: bytes, offset: int, form: str, value: int, which: int = 0) -> bytes:
    """Change a field of a header of a ZIP: the one at `offset` after the header numbered `which`."""
    place = -1
    for _ in range(which + 1):
        place = content.index(signature, place + 1)
    field = struct.pack(form, value)
    return content[: place + offset] + field + content[place + offset + len(field) :]


def edited(old: str, new: str, times: int = 1) -> Callable[[bytes], bytes]:
    """Change a descriptor's text."""

    def edit(text: bytes) -> bytes:
        after = text.replace(old.encode(), new.encode(), times)
        assert after != text, old
        return after

    return edit
