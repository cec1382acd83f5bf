import numpy as np
import pytest

from models import token_features
from models.token_features import Granularity, Lexicon, describe, tokenize, windows


def words(text: str, granularity: Granularity = Granularity.WORDS) -> list[str]:
    tokens = tokenize(text, granularity)
    return [tokens.word(n) for n in range(len(tokens))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("In Paris, 1,500.50 €!", ["In", "Paris", ",", "1,500.50", "€", "!"]),
        ("@ann see https://x.org/a?b=1 #fun", ["@ann", "see", "https://x.org/a?b=1", "#fun"]),
        ("東京 tower", ["東", "京", "tower"]),
        ("a🙂b", ["a", "🙂", "b"]),
        ("", []),
    ],
)
def test_words_are_cut_out_of_texts_of_any_language(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_pieces_end_where_letters_digits_and_cases_change() -> None:
    assert words("fooBar_12kg Überall", Granularity.PIECES) == ["foo", "Bar", "_", "12", "kg", "Ü", "berall"]


def test_characters_are_all_but_blanks() -> None:
    assert words("a b\n🙂", Granularity.CHARACTERS) == ["a", "b", "🙂"]


@pytest.mark.parametrize("granularity", list(Granularity))
def test_no_visible_character_is_lost(granularity: Granularity) -> None:
    text = "Ünïcödé_x9 नमस्ते 東京タワー 👩‍👩‍👧 a\u0301 ½ x²\t(©) ไทย"

    assert "".join(words(text, granularity)) == "".join(text.split())


def test_parts_of_a_text_are_found_in_tokens() -> None:
    tokens = tokenize("New York is big", Granularity.WORDS)

    assert tokens.find(0, 8) == (0, 2)
    assert tokens.find(5, 7) == (1, 2)
    assert tokens.find(3, 4) is None
    assert tokens.is_aligned(0, 9)
    assert not tokens.is_aligned(0, 6)


def test_windows_cover_long_texts_and_end_where_paragraphs_do() -> None:
    paragraph = "word " * 150
    tokens = tokenize("\n\n".join([paragraph] * 10), Granularity.WORDS)

    cuts = windows(tokens)

    assert [end for _, end in cuts[:-1]] == [start for start, _ in cuts[1:]]
    assert (cuts[0][0], cuts[-1][1]) == (0, len(tokens))
    assert all(end % 150 == 0 and end - start <= token_features.MAX_WINDOW for start, end in cuts)


def test_a_text_without_any_border_is_cut_all_the_same() -> None:
    tokens = tokenize("x " * 1000, Granularity.WORDS)

    assert max(end - start for start, end in windows(tokens)) == token_features.MAX_WINDOW


def test_the_lexicon_tells_common_words_from_names_and_survives_storage() -> None:
    texts = [tokenize("Today the dog met Rex", Granularity.WORDS)] * 4

    lexicon = Lexicon.from_text(Lexicon.learn(texts).to_text())

    assert lexicon.find("the") == lexicon.find("The") == 2  # seen 4 times
    assert lexicon.find("Rex") == 4
    assert lexicon.find("Today") == 0  # a capital at the beginning of a line says nothing
    assert lexicon.find("unheard") == 0


def test_features_of_a_token_depend_on_it_and_its_neighbours_only() -> None:
    lexicon = Lexicon.learn([])
    texts = [tokenize(text, Granularity.WORDS) for text in ("a b see Rome now c d", "e f see Rome now g h", "")]

    first, second, nothing = describe(texts, lexicon)

    shared = set(first[3]) & set(second[3])
    assert len(shared) > 0.9 * len(first[3]) - 2
    assert len(set(first[0]) & set(first[3])) < 0.6 * len(first[0])
    assert nothing == []
    assert all(features.dtype == np.int64 and (features >= 0).all() for features in first)
