from __future__ import annotations

import pytest

from models.lettering import ink, spell


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cat", "cat"),
        ("Äpfel & Öl", "Apfel & Ol"),
        ("Łódź", "Lodz"),
        ("ﬁve\t½\n", "five 1⁄2"),
        ("汽车", None),
        ("кот", None),
        ("cat 🐈", None),
        ("", None),
        ("\u200b\x00", None),
    ],
)
def test_a_text_is_spelt_in_the_letters_that_there_are_or_not_at_all(text: str, expected: str | None) -> None:
    assert spell(text) == expected


def test_all_lines_of_a_size_are_as_high() -> None:
    assert ink("a", 20, max_width_px=500).shape[0] == ink("Qg|", 20, max_width_px=500).shape[0]


def test_longer_texts_are_wider_until_they_are_cut_off() -> None:
    short, long, longer = (ink(text, 20, max_width_px=120) for text in ("mm", "mmmm", "m" * 50))

    assert short.shape[1] < long.shape[1] <= longer.shape[1] <= 120
    assert longer[:, -20:].any(), "the ellipsis is there"


def test_there_is_ink_in_a_line() -> None:
    assert ink("H", 20, max_width_px=100).max() == 255
