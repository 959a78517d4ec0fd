"""Files in pieces, unpacked where they are packed by gzip, so that a small file cannot fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path

PACKED = 1 << 18
MAGIC = b"\x1f\x8b"


def chunks(path: Path, size: int) -> Iterator[bytes]:
    """Pieces of at most `size` bytes of a file's content.

    Raises
    ------
    EOFError
        A packed file ends early.
    OSError
        It cannot be read or unpacked.
    """
    with path.open("rb") as file:
        packed = file.read(2) == MAGIC
        file.seek(0)
        if packed:
            yield from _unpacked(iter(lambda: file.read(PACKED), b""), size)
        else:
            yield from iter(lambda: file.read(size), b"")


def _unpacked(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Members of gzip one after the other, in pieces of about `size`."""
    member = zlib.decompressobj(wbits=31)
    given, done, ready = b"", True, bytearray()
    while True:
        if not given:
            given = next(pieces, b"")
            if not given:
                break
        if done:
            given = given.lstrip(b"\0")  # tapes pad with zeros
            if not given:
                continue
            member, done = zlib.decompressobj(wbits=31), False
        try:
            ready += member.decompress(given, size)
        except zlib.error as error:
            raise OSError(str(error)) from None
        done = member.eof
        given = member.unused_data if done else member.unconsumed_tail
        if len(ready) >= size:
            yield bytes(ready)
            ready.clear()
    if not done:
        raise EOFError("the file ends before what was packed does")
    if ready:
        yield bytes(ready)
