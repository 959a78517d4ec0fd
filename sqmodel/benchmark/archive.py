"""The archive of a submission: a ZIP of one form only, so that any other byte in it is refused.

Entries are stored, not compressed: nothing is ever inflated at the receiver's, and the same content has the same bytes
whatever library made it. A ZIP that is not byte for byte what `pack` makes of its own entries is refused; the checks
before that only say why in words.
"""

from __future__ import annotations

import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

from sqmodel.benchmark.tables import TABLES, shown
from sqmodel.errors import InputError, Problem

DESCRIPTOR = "datapackage.json"
SIGNATURE = "signature.json"
MOST_BYTES = {DESCRIPTOR: 100_000, **{path: t.most_bytes for path, t in TABLES.items()}, SIGNATURE: 1_000}
"""Names that an archive may hold, in their order, and how large each may be."""
MOST_FILE = 40_000_000
CHUNK = 1 << 20

_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION = 20
_DATE = 0x21
"""1 January 1980, the first that a ZIP can hold."""
_METHODS = {8: "deflate", 9: "deflate64", 12: "bzip2", 14: "lzma", 93: "zstd", 95: "xz"}
_ENCRYPTED = 0x1


class SubmissionError(InputError):
    """A submission cannot be accepted, or cannot be written; lists all that is wrong with it.

    `signer` is the institution whose trusted key signed it all the same; empty where that is not known.
    """

    signer: str = ""


class Entry(NamedTuple):
    """A file in an archive and where its content begins."""

    name: str
    crc: int
    size: int
    start: int


def pack(contents: Mapping[str, bytes]) -> bytes:
    """The only archive that these files can have."""
    entries = _placed([(name, zlib.crc32(content), len(content)) for name, content in contents.items()])
    body = b"".join(_local(e) + contents[e.name] for e in entries)
    return body + _directory(entries)


def _placed(files: Sequence[tuple[str, int, int]]) -> list[Entry]:
    entries, position = [], 0
    for name, crc, size in files:
        position += _LOCAL.size + len(name)
        entries.append(Entry(name, crc, size, position))
        position += size
    return entries


def _local(entry: Entry) -> bytes:
    name = entry.name.encode("ascii")
    head = (b"PK\3\4", _VERSION, 0, 0, 0, _DATE, entry.crc, entry.size, entry.size, len(name), 0)
    return _LOCAL.pack(*head) + name


def _directory(entries: Sequence[Entry]) -> bytes:
    told = b"".join(
        _CENTRAL.pack(b"PK\1\2", _VERSION, _VERSION, 0, 0, 0, _DATE, e.crc, e.size, e.size, len(e.name), 0, 0, 0, 0, 0,
                      e.start - _LOCAL.size - len(e.name)) + e.name.encode("ascii")
        for e in entries
    )  # fmt: skip
    start = entries[-1].start + entries[-1].size if entries else 0
    return told + _END.pack(b"PK\5\6", 0, 0, len(entries), len(entries), len(told), start, 0)


@contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """Open a file to read, never through a link, and never anything that is no file.

    Raises
    ------
    SubmissionError
        It is a link, a folder, a pipe or a device, or cannot be read.
    """
    source = path.name
    try:
        _require_regular(os.lstat(path), source)
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        descriptor = os.open(path, flags)
    except OSError as error:
        raise SubmissionError(source, [f"expected a file that can be read, found: {error.strerror}"]) from None
    with os.fdopen(descriptor, "rb") as file:
        # Once more: another may have taken its place in between.
        _require_regular(os.fstat(file.fileno()), source)
        yield file


def _require_regular(found: os.stat_result, source: str) -> None:
    kinds = {stat.S_IFREG: "", stat.S_IFDIR: "a folder", stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a named pipe",
             stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}  # fmt: skip
    kind = kinds.get(stat.S_IFMT(found.st_mode), "something else")
    if kind:
        raise SubmissionError(source, [f"expected a regular file, found {kind}"])


@dataclass(frozen=True)
class Archive:
    """An archive of the one form, open to read.

    Attributes
    ----------
    source : str
        What it is called in messages.
    file : BinaryIO
    entries : dict
        By name, in their order.
    """

    source: str
    file: BinaryIO
    entries: dict[str, Entry]

    def read(self, name: str) -> bytes:
        """A file's content, as its checksum has it."""
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        """A file's content piece by piece; the last is followed by the check of its checksum.

        Raises
        ------
        SubmissionError
            The content is shorter than said or does not fit its checksum.
        """
        entry = self.entries[name]
        self.file.seek(entry.start)
        left, crc = entry.size, 0
        while left:
            piece = self.file.read(min(left, CHUNK))
            if not piece:
                raise SubmissionError(self.source, [f"{name}: expected {entry.size:,} bytes, found fewer"])
            left, crc = left - len(piece), zlib.crc32(piece, crc)
            yield piece
        if crc != entry.crc:
            raise SubmissionError(self.source, [f"{name}: expected the content of its checksum, found another"])


def read_archive(file: BinaryIO, source: str) -> Archive:
    """Read the directory of an archive and check that its form is that of `pack`.

    Nothing is read but headers, and no more than the largest directory that there can be.

    Raises
    ------
    SubmissionError
        The file is too large, no ZIP, or a ZIP of another form.
    """
    size = file.seek(0, os.SEEK_END)
    told = _told_directory(file, size, source)
    entries = _listed(told, source)
    problems: list[Problem | str] = [*_compressed(entries), *(p for e in entries for p in _faults(e))]
    names = [e.name for e in entries]
    problems += [f"expected {n} once, found it {names.count(n)} times" for n in MOST_BYTES if names.count(n) > 1]
    if not problems:
        problems = [f"expected {n} in the ZIP, found none" for n in (DESCRIPTOR, SIGNATURE) if n not in names]
    if problems:
        raise SubmissionError(source, list(dict.fromkeys(problems)))
    placed = _placed([(e.name, e.crc, e.size) for e in entries])
    if not _is_canonical(file, placed, told, size):
        raise SubmissionError(source, ["expected a ZIP as `sqmodel submit` writes it, byte for byte, found other "
                                       "headers, places or bytes between its files"])  # fmt: skip
    return Archive(source, file, {e.name: e for e in placed})


def _told_directory(file: BinaryIO, size: int, source: str) -> bytes:
    """The bytes from where the directory is said to begin to the end of the file."""
    if size == 0:
        raise SubmissionError(source, ["expected a ZIP, found an empty file"])
    if size > MOST_FILE:
        raise SubmissionError(source, [f"expected {MOST_FILE:,} bytes or fewer, found {size:,}"])
    file.seek(max(0, size - _END.size))
    end = file.read(_END.size)
    if len(end) < _END.size or not end.startswith(b"PK\5\6"):
        raise SubmissionError(source, ["expected a ZIP that ends with its directory, found other bytes at the end: "
                                       "no ZIP, cut off, or something was added"])  # fmt: skip
    _, _, _, _, count, length, start, _ = _END.unpack(end)
    if count > len(MOST_BYTES):
        raise SubmissionError(source, [f"expected {len(MOST_BYTES)} files in the ZIP or fewer, found {count:,}"])
    if start + length + _END.size != size:
        raise SubmissionError(source, ["expected a ZIP whose directory is where it says, found it elsewhere: something "
                                       "was put before or after its files"])  # fmt: skip
    if length > len(MOST_BYTES) * (_CENTRAL.size + 1_000):
        raise SubmissionError(source, [f"expected a directory of a few files, found {length:,} bytes"])
    file.seek(start)
    return file.read(size - start)


class _Told(NamedTuple):
    """What the directory says of an entry."""

    name: str
    crc: int
    size: int
    packed: int
    flags: int
    method: int
    attributes: int


def _listed(told: bytes, source: str) -> list[_Told]:
    """The directory's entries; sizes are checked against the bytes that are there."""
    entries, position, end = [], 0, len(told) - _END.size
    while position < end:
        if position + _CENTRAL.size > end or not told.startswith(b"PK\1\2", position):
            raise SubmissionError(source, ["expected a directory of files, found other bytes in it"])
        (_, _, _, flags, method, _, _, crc, packed, size, name, extra, comment, _, _, attributes, _) = (
            _CENTRAL.unpack_from(told, position)
        )
        position += _CENTRAL.size
        # Latin-1 has a character for every byte; what is no name of ours is refused next.
        entries.append(_Told(told[position : position + name].decode("latin-1"), crc, size, packed, flags, method,
                             attributes))  # fmt: skip
        position += name + extra + comment
    return entries


def _compressed(entries: Sequence[_Told]) -> Iterator[Problem]:
    methods = dict.fromkeys(e.method for e in entries if e.method)
    for method in methods:
        names = [e.name if e.name in MOST_BYTES else shown(e.name) for e in entries if e.method == method]
        yield Problem(f"expected stored files in the ZIP, for nothing is inflated here, found some compressed by "
                      f"{_METHODS.get(method, f'method {method}')}", tuple(names))  # fmt: skip


def _faults(entry: _Told) -> Iterator[str]:
    name, mode = entry.name, entry.attributes >> 16
    place = name if name in MOST_BYTES else shown(name)
    if name not in MOST_BYTES:
        yield from _bad_name(name)
    if stat.S_ISLNK(mode):
        yield f"{place}: expected a file in the ZIP, found a symbolic link"
    if entry.flags & _ENCRYPTED:
        yield f"{place}: expected a file that anyone can read, found an encrypted one"
    most = MOST_BYTES.get(name, CHUNK)
    if max(entry.size, entry.packed) > most:
        yield f"{place}: expected {most:,} bytes or fewer, found {max(entry.size, entry.packed):,}"
    elif not entry.method and entry.size != entry.packed:
        yield f"{place}: expected one size of a stored file, found {entry.packed:,} and {entry.size:,} bytes"


def _bad_name(name: str) -> Iterator[str]:
    """Names that lead out of a folder are told apart from those that are merely not ours."""
    parts = name.replace("\\", "/").split("/")
    if name.startswith(("/", "\\")) or name[1:2] == ":":
        yield f"expected a file's name in the ZIP, found the absolute path {shown(name)}"
    elif ".." in parts:
        yield f"expected a file's name in the ZIP, found a path that leads out of it, {shown(name)}"
    else:
        yield f"expected the files of a submission in the ZIP, found {shown(name)}"


def _is_canonical(file: BinaryIO, entries: Sequence[Entry], told: bytes, size: int) -> bool:
    """Whether every byte that is no content is the one that `pack` writes; then the contents fill the rest exactly."""
    order = list(MOST_BYTES)
    names = [e.name for e in entries]
    directory = _directory(entries)
    if names != sorted(names, key=order.index) or told != directory:
        return False
    last = entries[-1]
    if last.start + last.size + len(directory) != size:
        return False
    for entry in entries:
        header = _local(entry)
        file.seek(entry.start - len(header))
        if file.read(len(header)) != header:
            return False
    return True
