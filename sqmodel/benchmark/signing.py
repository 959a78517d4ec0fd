"""Signing: who a submission is from, and that not one byte of it was changed since."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqmodel.benchmark.content import CODE
from sqmodel.errors import InputError, SqmodelError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    PrivateKey = Ed25519PrivateKey

ALGORITHM = "Ed25519"
KEY_BYTES = 32
SIGNATURE_BYTES = 64
MOST_KEY_FILE = 10_000
_HEX = re.compile(r"[0-9a-f]{64}")


class KeyFileError(InputError):
    """A key cannot be made, found or read."""


@dataclass(frozen=True)
class KeyPair:
    """A private key, and the public one that the association's register gets.

    Attributes
    ----------
    private : PrivateKey
        Shown by nothing that prints a key pair.
    public : str
        64 hexadecimal digits.
    private_path, public_path : Path
    """

    private: PrivateKey = field(repr=False)
    public: str
    private_path: Path
    public_path: Path


def new_keys(code: str, folder: Path) -> KeyPair:
    """Make the keys of an institution.

    Parameters
    ----------
    code : str
        The institution's code in the register.
    folder : Path
        Gets ``CODE.key`` (PKCS #8 in PEM, unencrypted, for its owner only: mode 0600) and ``CODE.pub`` (64 hexadecimal
        digits); it is made if need be.

    Raises
    ------
    KeyFileError
        The code is none, a file is there already (a key is never written over), or the folder cannot be written.
    SqmodelError
        `cryptography` is not installed.
    """
    if not re.fullmatch(CODE, code):
        raise KeyFileError(
            "keys", [f"expected a code such as bank_a (letters, digits, _ . -; a letter first), found {code!r}"]
        )
    private_path, public_path = folder / f"{code}.key", folder / f"{code}.pub"
    there = [p for p in (private_path, public_path) if os.path.lexists(p)]
    if there:
        raise KeyFileError(
            str(folder),
            [f"expected no {p.name}, found one" for p in there],
            "keep the keys that are there, or choose another folder",
        )
    private: PrivateKey = _ed25519().Ed25519PrivateKey.generate()
    pair = KeyPair(private, public_hex(private), private_path, public_path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write_new(private_path, _pem(private), 0o600)
        _write_new(public_path, f"{pair.public}\n".encode(), 0o644)
    except OSError as error:
        raise KeyFileError(str(folder), [f"expected a folder to write keys in, found: {error.strerror}"]) from None
    return pair


def load_private(path: Path) -> PrivateKey:
    """Read an institution's private key.

    Raises
    ------
    KeyFileError
        There is no file, or it holds no unencrypted Ed25519 key in PEM.
    SqmodelError
        `cryptography` is not installed.
    """
    kind: type[PrivateKey] = _ed25519().Ed25519PrivateKey
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    remedy = "give the file CODE.key that `sqmodel keys new` wrote"
    try:
        with path.open("rb") as file:
            content = file.read(MOST_KEY_FILE)
    except OSError as error:
        raise KeyFileError(str(path), [f"expected a private key, found: {error.strerror}"], remedy) from None
    try:
        private = load_pem_private_key(content, password=None)
    # A TypeError says that the key is encrypted; what was found is not repeated: it may be a secret.
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise KeyFileError(
            str(path), [f"expected an unencrypted {ALGORITHM} key in PEM, found something else"], remedy
        ) from None
    if not isinstance(private, kind):
        raise KeyFileError(str(path), [f"expected an {ALGORITHM} key, found another kind of key"], remedy)
    return private


def public_hex(private: PrivateKey) -> str:
    """The public key that belongs to a private one: 64 hexadecimal digits."""
    return private.public_key().public_bytes_raw().hex()


def sign(private: PrivateKey, message: bytes) -> bytes:
    """The 64 bytes of a message's signature; the same every time, as RFC 8032 has it."""
    return private.sign(message)


def drawing_secret(private: PrivateKey) -> bytes:
    """A secret that only the holder of a key can know, for `disclosure.protect`: it tells nothing of the key."""
    return hmac.digest(private.private_bytes_raw(), b"sqmodel: which counts are withheld", hashlib.sha256)


def verify(public: str, message: bytes, signature: bytes) -> bool:
    """Whether a message was signed with the private key that belongs to a public one.

    Parameters
    ----------
    public : str
        64 hexadecimal digits.
    message, signature : bytes

    Returns
    -------
    bool
        False also where the key or the signature are none at all.

    Raises
    ------
    SqmodelError
        `cryptography` is not installed.
    """
    kind = _ed25519().Ed25519PublicKey
    from cryptography.exceptions import InvalidSignature

    if not _HEX.fullmatch(public) or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        kind.from_public_bytes(bytes.fromhex(public)).verify(signature, message)
    # A ValueError says that the 32 bytes are no point of the curve.
    except (InvalidSignature, ValueError):
        return False
    return True


def require_cryptography() -> None:
    """Raise a SqmodelError that says what to install where `cryptography` is not there."""
    _ed25519()


def _ed25519() -> Any:
    """The module of the extra, or what to install."""
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError:
        raise SqmodelError(
            "signatures need the package cryptography, which is not installed; run: pip install 'sqmodel[benchmark]'"
        ) from None
    return ed25519


def _pem(private: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write_new(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is not there yet: never through a link, never over another."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        path.unlink(missing_ok=True)
        raise
