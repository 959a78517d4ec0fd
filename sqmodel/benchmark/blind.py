"""Blind codes: a public name for every institution that only the association can trace back."""

from __future__ import annotations

import hashlib
import hmac
from bisect import bisect_right
from collections.abc import Sequence

from sqmodel.errors import InputError

LETTERS = "ABCDEFGHJKMNPQRTUVWXYZ"
DIGITS = "2346789"
"""Without those that are taken for one another: I and 1, L, O and 0, S and 5."""
LEAST_SECRET = 16


def blind_codes(codes: Sequence[str], secret: bytes) -> dict[str, str]:
    """Name institutions so that their names cannot be found out, yet a reader can follow them over the years.

    A blind code is read off an HMAC-SHA256 of the institution's code. It hangs on that code and the secret only, not
    on who else takes part; where two institutions would share one (about one chance in a thousand among 1,000
    institutions), the later in the order of codes gets its next.

    Parameters
    ----------
    codes : sequence of str
    secret : bytes
        The association's, of 16 bytes at least; whoever has it can trace the codes back by trying all institutions.

    Returns
    -------
    dict
        Blind code by code, such as ``K7Q2MX``, in the order of the blind codes, which tells nothing.

    Raises
    ------
    InputError
        The secret is too short, or a code comes twice.

    Examples
    --------
    >>> blind_codes(["bank_a", "bank_b"], b"a secret of sixteen bytes or more")
    {'bank_b': 'E4T4ZP', 'bank_a': 'E7C7UX'}
    """
    problems = []
    if len(secret) < LEAST_SECRET:
        problems.append(f"secret: expected {LEAST_SECRET} bytes or more, found {len(secret)}")
    problems += [f"codes: expected every code once, found {c!r} {codes.count(c)} times"
                 for c in sorted(set(codes)) if codes.count(c) > 1]  # fmt: skip
    if problems:
        raise InputError("blind codes", problems, "make a secret with `openssl rand -hex 32` and keep it")
    found: dict[str, str] = {}
    for code in sorted(codes):
        attempt = 0
        while (blind := _blind(code, secret, attempt)) in found:
            attempt += 1
        found[blind] = code
    return {code: blind for blind, code in sorted(found.items())}


def size_classes(sizes: Sequence[int], starts: Sequence[int], *, minimum: int, least: int) -> list[str]:
    """By which class may the size of each institution be told, so that no class holds but a few?

    Parameters
    ----------
    sizes : sequence of int
        Respondents of each institution.
    starts : sequence of int
        Where classes begin, rising; those up to `minimum` are left out.
    minimum : int
        Where the lowest class begins; who is smaller has none.
    least : int
        Institutions of a class; one of fewer is joined with its neighbours, from the largest down.

    Returns
    -------
    list of str
        Such as ``30–99``, ``300+``; empty for those below the minimum.

    Examples
    --------
    >>> size_classes([40, 50, 60, 70, 400, 5000], [100, 300, 1000], minimum=30, least=2)
    ['30–99', '30–99', '30–99', '30–99', '300+', '300+']
    """
    bounds = [minimum, *(s for s in starts if s > minimum)]
    while len(bounds) > 1:
        counts = [0] * len(bounds)
        for size in sizes:
            if size >= minimum:
                counts[bisect_right(bounds, size) - 1] += 1
        few = [k for k, count in enumerate(counts) if 0 < count < least]
        if not few:
            break
        # The largest joins the next below it, the lowest the next above.
        del bounds[max(few) or 1]
    ends = [f"–{after - 1:,}" for after in bounds[1:]] + ["+"]
    labels = [f"{start:,}{end}" for start, end in zip(bounds, ends, strict=True)]
    return [labels[bisect_right(bounds, size) - 1] if size >= minimum else "" for size in sizes]


def _blind(code: str, secret: bytes, attempt: int) -> str:
    digest = hmac.new(secret, f"sqmodel.blind/1\0{attempt}\0{code}".encode(), hashlib.sha256).digest()
    number = int.from_bytes(digest, "big")
    places = (LETTERS, DIGITS, LETTERS, DIGITS, LETTERS, LETTERS)
    text = ""
    for alphabet in places:
        number, rest = divmod(number, len(alphabet))
        text += alphabet[rest]
    return text
