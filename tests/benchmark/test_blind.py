"""Blind codes: stable, unique, and nothing about the names in them."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sqmodel.benchmark import blind
from sqmodel.benchmark.blind import blind_codes
from sqmodel.errors import InputError

SECRET = b"sixteen bytes are just long enough"
CODES = [f"bank_{k:04d}" for k in range(1_000)]


def test_codes_are_unique_and_look_alike() -> None:
    found = blind_codes(CODES, SECRET)
    assert set(found) == set(CODES)
    assert len(set(found.values())) == 1_000
    assert all(re.fullmatch(r"[A-HJKMNP-RT-Z][2346789][A-HJKMNP-RT-Z][2346789][A-HJKMNP-RT-Z]{2}", b)
               for b in found.values())  # fmt: skip


def test_a_code_does_not_hang_on_who_else_takes_part() -> None:
    found = blind_codes(CODES, SECRET)
    again = blind_codes(CODES[::-1], SECRET)
    assert again == found
    assert list(again) == list(found)
    few = blind_codes(CODES[10:20], SECRET)
    assert sum(few[c] == found[c] for c in few) == 10


def test_without_the_secret_nothing_follows() -> None:
    one, other = blind_codes(CODES, SECRET), blind_codes(CODES, SECRET + b"!")
    assert sum(one[c] == other[c] for c in CODES) == 0
    # The order in which they are given, too: no more of the names' order than chance has in it.
    ranks = np.array([list(one).index(c) for c in CODES])
    assert abs(np.corrcoef(ranks, np.arange(1_000))[0, 1]) < 4 / np.sqrt(1_000)


def test_two_that_would_share_a_code_get_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blind, "LETTERS", "AB")
    monkeypatch.setattr(blind, "DIGITS", "2")
    found = blind_codes(CODES[:16], SECRET)
    assert len(set(found.values())) == 16


def test_a_short_secret_and_doubled_codes_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        blind_codes(["a", "b", "a"], b"short")
    assert str(caught.value) == (
        "blind codes: 2 problems\n"
        "  - secret: expected 16 bytes or more, found 5\n"
        "  - codes: expected every code once, found 'a' 2 times\n"
        "  What to do: make a secret with `openssl rand -hex 32` and keep it"
    )
