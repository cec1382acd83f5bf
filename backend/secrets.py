"""Encrypts the tokens we keep for others, and signs what is ours."""

from __future__ import annotations

import contextlib
import hmac
import os
import tempfile
from base64 import urlsafe_b64encode
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken


class Vault:
    """Encrypts, decrypts and signs short texts with a key that lies beside the data, readable by its owner only."""

    def __init__(self, key_file: Path) -> None:
        self._key_file = key_file

    def encrypt(self, text: str) -> str:
        """Return a text that only this vault can read."""
        return self._cipher().encrypt(text.encode()).decode()

    def decrypt(self, encrypted: str) -> str | None:
        """Return the text, or None where the key is no longer the one that encrypted it."""
        try:
            return self._cipher().decrypt(encrypted.encode()).decode()
        except InvalidToken:
            return None

    def sign(self, text: str) -> str:
        """Return what nobody else can say of a text: 43 characters that fit into a URL."""
        key = hmac.digest(self._key(), b"tandem/signatures", "sha256")
        return urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).rstrip(b"=").decode()

    def is_signed(self, text: str, signature: str) -> bool:
        """Say whether a signature is that of a text; it takes the same time for every wrong one."""
        return hmac.compare_digest(self.sign(text).encode(), signature.encode())

    def _cipher(self) -> Fernet:
        return Fernet(self._key())

    def _key(self) -> bytes:
        if not self._key_file.exists():
            self._make_key()
        return self._key_file.read_bytes()

    def _make_key(self) -> None:
        """Write a new key; of several processes that try, the first wins, and nobody sees half a key."""
        self._key_file.parent.mkdir(parents=True, exist_ok=True)
        handle, fresh = tempfile.mkstemp(dir=self._key_file.parent)  # readable by its owner only
        with open(handle, "wb") as file:
            file.write(Fernet.generate_key())
        with contextlib.suppress(FileExistsError):
            os.link(fresh, self._key_file)
        os.unlink(fresh)
