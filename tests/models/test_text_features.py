import time

import numpy as np
import pytest

from models import text_features


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello, World", ["hello", ",", "world"]),
        ("STRASSE straße Ｆｕｌｌ", ["strasse", "strasse", "full"]),
        ("東京は晴れ", ["東", "京", "は", "晴", "れ"]),
        ("さっぱり good", ["さ", "っ", "ぱ", "り", "good"]),
        ("Привет мир", ["привет", "мир"]),
        ("great 👍🎉", ["great", "👍", "🎉"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_texts_of_any_language_have_words(text: str, expected: list[str]) -> None:
    assert text_features.words(text) == expected


def test_words_their_neighbours_and_characters_within_them_are_counted() -> None:
    features, counts = text_features.count("ab ab")

    # "ab" and the pair "ab ab"; the characters " a", "ab", "b ", " ab", "ab ", " ab ", twice each
    assert sorted(counts[features % 2 == 1].tolist()) == [1, 2]
    assert counts[features % 2 == 0].tolist() == [2] * 6


def test_typing_errors_leave_most_characters_alike() -> None:
    right, wrong, other = (set(text_features.count(text)[0]) for text in ("transfer", "transfre", "mortgage"))

    assert len(right & wrong) > 0.4 * len(right)
    assert len(right & other) < 0.1 * len(right)


def test_characters_of_scripts_without_blanks_are_seen_together() -> None:
    one, other = (set(text_features.count(text)[0]) for text in ("東京大学", "東京駅"))

    only_first = set(text_features.count("東")[0]) | set(text_features.count("京")[0])
    assert (one & other) - only_first


def test_features_are_the_same_on_every_machine_and_in_every_process() -> None:
    features, _ = text_features.count("Tea!")

    assert features[:3].tolist() == [4782403429, 5315755943, 16408984766]


def test_a_very_long_text_is_counted_quickly() -> None:
    text = " ".join(f"word{n * 7919 % 100_003}" for n in range(100_000))[:1_000_000]

    start = time.perf_counter()
    features, _ = text_features.count(text)

    assert time.perf_counter() - start < 5
    assert 0 < len(features) < 4 * 5 * text_features.MAX_CHARACTERS


def test_packed_rows_are_padded_and_keep_kind_and_value() -> None:
    rows = [(np.array([10, 21]), np.array([1, 2], np.float32)), (np.array([7]), np.array([3], np.float32))]

    packed = text_features.pack(rows, 16)

    assert packed.shape == (2, 2, 2)
    assert packed[:, :, 0].tolist() == [[10 % 14 + 2, 21 % 14 + 2], [7 + 2, 0]]
    assert packed[:, :, 1].tolist() == [[1, 2], [3, 0]]
    assert text_features.pack([], 16).shape == (0, 1, 2)


def test_batches_hold_every_row_once_and_little_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_features, "_MAX_BATCH_SIZE", 100)
    rows = [(np.arange(n), np.ones(n, np.float32)) for n in (3, 40, 0, 300, 7)]

    batches = list(text_features.batches(rows, 1 << 14, num_outputs=2))

    assert sorted(index for indices, _ in batches for index in indices) == [0, 1, 2, 3, 4]
    for indices, packed in batches:
        assert len(indices) == 1 or packed.shape[0] * packed.shape[1] * 2 <= 100
        assert [int((packed[n, :, 1] > 0).sum()) for n in range(len(indices))] == [len(rows[i][0]) for i in indices]


@pytest.mark.parametrize("num_features", [0, 1, 5000, 10**7])
def test_buckets_are_many_for_few_features_and_exact_in_float32(num_features: int) -> None:
    num_buckets = text_features.choose_num_buckets(num_features)

    assert num_buckets % 2 == 0
    assert min(16 * num_features, 1 << 21) <= num_buckets <= 1 << 24
