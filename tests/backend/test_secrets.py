from __future__ import annotations

import stat
import threading
from pathlib import Path

from backend.secrets import Vault


def test_only_the_owner_may_read_the_key(tmp_path: Path) -> None:
    Vault(tmp_path / "home" / "key").encrypt("text")

    assert stat.S_IMODE((tmp_path / "home" / "key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["key"]


def test_a_text_encrypted_by_one_process_is_read_by_another(tmp_path: Path) -> None:
    encrypted = Vault(tmp_path / "key").encrypt("tökén")

    assert "tökén" not in encrypted
    assert Vault(tmp_path / "key").decrypt(encrypted) == "tökén"


def test_many_at_once_agree_on_one_key(tmp_path: Path) -> None:
    encrypted: list[str] = []
    threads = [
        threading.Thread(target=lambda: encrypted.append(Vault(tmp_path / "key").encrypt("text"))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [Vault(tmp_path / "key").decrypt(text) for text in encrypted] == ["text"] * 8


def test_a_signature_holds_for_one_text_and_one_key(tmp_path: Path) -> None:
    vault, other = Vault(tmp_path / "key"), Vault(tmp_path / "other")

    signature = vault.sign("image/1")

    assert Vault(tmp_path / "key").is_signed("image/1", signature)
    assert not vault.is_signed("image/2", signature)
    assert not other.is_signed("image/1", signature)
    assert not vault.is_signed("image/1", "é")
