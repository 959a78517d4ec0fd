"""Keys are made once and for their owner only; signatures fit one message and one key."""

from __future__ import annotations

import builtins
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

from sqmodel.benchmark.signing import KeyFileError, load_private, new_keys, public_hex, sign, verify
from sqmodel.errors import SqmodelError


def test_keys_are_written_for_their_owner_and_read_back(tmp_path: Path) -> None:
    pair = new_keys("bank_a", tmp_path / "keys")
    assert pair.private_path == tmp_path / "keys" / "bank_a.key"
    assert stat.S_IMODE(pair.private_path.stat().st_mode) == 0o600
    assert pair.public_path.read_text() == f"{pair.public}\n"
    assert pair.private_path.read_text().startswith("-----BEGIN PRIVATE KEY-----\n")
    assert public_hex(load_private(pair.private_path)) == pair.public
    assert "private=" not in repr(pair)


def test_rfc_8032_test_1() -> None:
    private = Ed25519PrivateKey.from_private_bytes(
        bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    )
    public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    signature = (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
    )
    assert public_hex(private) == public
    assert sign(private, b"").hex() == signature
    assert verify(public, b"", bytes.fromhex(signature))


def test_a_signature_fits_nothing_else() -> None:
    private, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    key, signature = public_hex(private), sign(private, b"what was said")
    assert verify(key, b"what was said", signature)
    assert not verify(key, b"what was sair", signature)
    assert not verify(public_hex(other), b"what was said", signature)
    for k in range(len(signature) * 8):
        flipped = bytearray(signature)
        flipped[k // 8] ^= 1 << k % 8
        assert not verify(key, b"what was said", bytes(flipped))
    # The same signature with its second half plus the group's order, which a careless check takes as well.
    order = 2**252 + 27742317777372353535851937790883648493
    malleable = signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not verify(key, b"what was said", malleable)
    assert not verify(key.upper(), b"what was said", signature)
    assert not verify("", b"what was said", signature)
    assert not verify(key, b"what was said", b"")
    assert not verify("ff" * 32, b"what was said", signature)


def test_no_key_is_written_over(tmp_path: Path) -> None:
    first = new_keys("bank_a", tmp_path)
    before = first.private_path.read_bytes()
    with pytest.raises(KeyFileError) as caught:
        new_keys("bank_a", tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}: 2 problems\n"
        "  - expected no bank_a.key, found one\n"
        "  - expected no bank_a.pub, found one\n"
        "  What to do: keep the keys that are there, or choose another folder"
    )
    assert first.private_path.read_bytes() == before
    # Not through a link either, wherever it leads.
    (tmp_path / "bank_b.key").symlink_to(tmp_path / "nowhere")
    with pytest.raises(KeyFileError, match=r"expected no bank_b\.key, found one"):
        new_keys("bank_b", tmp_path)
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "bank_b.pub").exists()


def test_keys_need_a_code_and_a_folder(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as caught:
        new_keys("../bank", tmp_path)
    assert str(caught.value) == (
        "keys: 1 problem\n  - expected a code such as bank_a (letters, digits, _ . -; a letter first), found '../bank'"
    )
    with pytest.raises(KeyFileError, match="found 'bank"):
        new_keys("bank\n", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError) as caught:
        new_keys("bank_a", tmp_path / "file")
    assert str(caught.value) == (
        f"{tmp_path / 'file'}: 1 problem\n  - expected a folder to write keys in, found: File exists"
    )


def test_what_is_no_key_is_refused_and_not_repeated(tmp_path: Path) -> None:
    remedy = "\n  What to do: give the file CODE.key that `sqmodel keys new` wrote"
    path = tmp_path / "x.key"
    with pytest.raises(KeyFileError) as caught:
        load_private(path)
    assert str(caught.value) == (
        f"{path}: 1 problem\n  - expected a private key, found: No such file or directory{remedy}"
    )
    encrypted = BestAvailableEncryption(b"secret")
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encrypted)
    for content in (b"my password", b"", pem):
        path.write_bytes(content)
        with pytest.raises(KeyFileError) as caught:
            load_private(path)
        assert str(caught.value) == (
            f"{path}: 1 problem\n  - expected an unencrypted Ed25519 key in PEM, found something else{remedy}"
        )
    curve = generate_private_key(SECP256R1())
    path.write_bytes(curve.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(KeyFileError) as caught:
        load_private(path)
    assert str(caught.value) == f"{path}: 1 problem\n  - expected an Ed25519 key, found another kind of key{remedy}"


def test_without_cryptography_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **options: Any) -> Any:
        if name.startswith("cryptography"):
            raise ImportError(name)
        return original(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(SqmodelError) as caught:
        verify("00" * 32, b"", b"0" * 64)
    assert str(caught.value) == (
        "signatures need the package cryptography, which is not installed; run: pip install 'sqmodel[benchmark]'"
    )
