from pathlib import Path

import pytest

from models import texts


def test_a_text_is_read_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Grüße 🎉", encoding="utf-8")

    assert texts.read(tmp_path / "a.txt") == "Grüße 🎉"
    assert texts.read(b"") == ""


@pytest.mark.parametrize(
    ("content", "reason"), [(b"\xff\xfe\x00a", "not UTF-8"), (b"a" * (texts.MAX_CHARACTERS + 1), "1,000,001")]
)
def test_what_is_no_text_is_refused_with_a_reason(content: bytes, reason: str) -> None:
    with pytest.raises(texts.BadText, match=reason):
        texts.read(content)
