"""What does a model of spans see of a text? Its tokens, and hashed features of each with its neighbours. No torch.

Tokens are as coarse as the spans that people draw allow: words, else pieces of words where letters, digits and cases
change, else characters.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from models.text_features import UNSPACED, Features, hash_of

MAX_WINDOW = 400
"""Most tokens of a window."""

# N tokens, F features


class Granularity(IntEnum):
    """How small tokens are."""

    WORDS = 0
    PIECES = 1
    CHARACTERS = 2


_PATTERNS = {
    Granularity.WORDS: re.compile(
        rf"https?://\S+|[@#]\w+|[{UNSPACED}]|\d+(?:[.,]\d+)*|[^\W{UNSPACED}]+(?:['’\-][^\W{UNSPACED}]+)*|[^\w\s]"
    ),
    Granularity.PIECES: re.compile(rf"[{UNSPACED}]|\d+|[A-Z]?[a-z]+|[A-Z]+|[^\W\d_A-Za-z{UNSPACED}]+|[^\w\s]|_"),
    Granularity.CHARACTERS: re.compile(r"\S"),
}
_SENTENCE_ENDS = frozenset(".!?…。！？")


@dataclass(frozen=True, slots=True)
class Tokens:
    """A text in parts.

    Attributes:
        text: The text.
        starts: Of each token, in code points, ascending.
        ends: Likewise.
    """

    text: str
    starts: npt.NDArray[np.int64]
    ends: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, index: int) -> str:
        """Return a token."""
        return self.text[self.starts[index] : self.ends[index]]

    def find(self, start: int, end: int) -> tuple[int, int] | None:
        """Return the tokens that a part of the text touches: the first, and one after the last; None: it is blank."""
        first = int(np.searchsorted(self.ends, start, side="right"))
        last = int(np.searchsorted(self.starts, end, side="left"))
        return (first, last) if first < last else None

    def is_aligned(self, start: int, end: int) -> bool:
        """Tell whether a part of the text begins and ends where tokens do, blanks aside."""
        found = self.find(start, end)
        return found is None or (int(self.starts[found[0]]) >= start and int(self.ends[found[1] - 1]) <= end)


def tokenize(text: str, granularity: Granularity) -> Tokens:
    """Cut a text into tokens; blanks are in none.

    >>> tokens = tokenize("Ann's 2 cats (東京)", Granularity.WORDS)
    >>> [tokens.word(n) for n in range(len(tokens))]
    ["Ann's", '2', 'cats', '(', '東', '京', ')']
    """
    found = [match.span() for match in _PATTERNS[granularity].finditer(text)]
    bounds = np.array(found, np.int64).reshape(-1, 2)
    return Tokens(text, np.ascontiguousarray(bounds[:, 0]), np.ascontiguousarray(bounds[:, 1]))


def windows(tokens: Tokens) -> list[tuple[int, int]]:
    """Cut a text into windows of at most `MAX_WINDOW` tokens, at an end of a paragraph or a sentence where one is near.

    Returns:
        First token of each window, and one after its last.
    """
    cuts = []
    start = 0
    while start < len(tokens):
        end = min(start + MAX_WINDOW, len(tokens))
        if end < len(tokens):
            end = max(range(start + MAX_WINDOW // 2, end + 1), key=lambda at: (_border(tokens, at), at))
        cuts.append((start, end))
        start = end
    return cuts


def _border(tokens: Tokens, at: int) -> int:
    """Return how good it is to cut before a token."""
    gap = tokens.text[tokens.ends[at - 1] : tokens.starts[at]]
    return 3 if gap.count("\n") > 1 else 2 if "\n" in gap else 1 if tokens.word(at - 1) in _SENTENCE_ENDS else 0


@dataclass(frozen=True, slots=True)
class Lexicon:
    """How common words are in the texts that were learnt from, and how they are written there.

    A name that was never seen looks like other names that were never seen, and unlike a common word at the beginning of
    a sentence. Words are hashed; collisions are rare and do little harm.

    Attributes:
        classes: Of the words in each bucket: 0 to 3 how often they are written small (0, 1 or 2, 3 to 9, more), plus 4
            where they are written with a capital within a line.
    """

    classes: npt.NDArray[np.uint8]

    @classmethod
    def learn(cls, tokenized: Sequence[Tokens]) -> Self:
        """Count words."""
        small: Counter[int] = Counter()
        capital: Counter[int] = Counter()
        for tokens in tokenized:
            gaps = _gaps(tokens)
            for index in range(len(tokens)):
                word = tokens.word(index)
                if not word[:1].isupper():
                    small[hash_of(word.lower())] += 1
                elif gaps[index] != 2:
                    capital[hash_of(word.lower())] += 1
        num_buckets = max(1 << 10, 1 << (16 * len(small.keys() | capital.keys())).bit_length())
        classes = np.zeros(min(num_buckets, 1 << 21), np.uint8)
        for number, times in small.items():
            bucket = number % len(classes)
            classes[bucket] = max(classes[bucket], 1 if times < 3 else 2 if times < 10 else 3)
        for number in capital:
            classes[number % len(classes)] |= 4
        return cls(classes)

    def find(self, word: str) -> int:
        """Return the class of a word; 0 where it was never seen."""
        return int(self.classes[hash_of(word.lower()) % len(self.classes)])

    def to_text(self) -> str:
        """Return the stored form."""
        return base64.b64encode(zlib.compress(self.classes.tobytes(), 9)).decode("ascii")

    @classmethod
    def from_text(cls, stored: str) -> Self:
        """Read the stored form."""
        return cls(np.frombuffer(zlib.decompress(base64.b64decode(stored)), np.uint8))


def describe(tokenized: Sequence[Tokens], lexicon: Lexicon) -> Iterator[list[Features]]:
    """Return the features of each token of each text; see `text_features.pack`."""
    known: dict[str, _Word] = {}
    for tokens in tokenized:
        found = []
        for index in range(len(tokens)):
            word = tokens.word(index)
            if word not in known:
                known[word] = _describe_word(word, lexicon.find(word))
            found.append(known[word])
        if found:
            columns_NF = np.array([word.column_values for word in found], np.int64)
            context_NF = _context(columns_NF, _gaps(tokens))
            yield [np.concatenate((word.own, row_F)) for word, row_F in zip(found, context_NF, strict=True)]
        else:
            yield []


@dataclass(frozen=True, slots=True)
class _Word:
    """Features of a token whatever is around it.

    Attributes:
        own: Features of its own.
        column_values: What neighbours see of it: the folded word, its shape, long and short, its ending, whether it
            begins with a capital, whether all of it is capitals, its class in the lexicon.
    """

    own: Features
    column_values: tuple[int, ...]


def _describe_word(word: str, familiarity: int) -> _Word:
    folded = word.lower()
    if len(folded) > 40:  # addresses and the like: what they are shows at their ends
        folded = f"{folded[:20]}{folded[-20:]}"
    long_shape = "".join(map(_kind, word[:20]))
    shape = re.sub(r"(.)\1+", r"\1", long_shape)
    framed = f"^{folded}$"
    named = [f"w{folded}", f"S{long_shape}", f"s{shape}", f"n{min(len(word), 8)}", f"l{long_shape[-1]}"]
    named += [f"f{familiarity}", f"f{familiarity & 3}{shape}", f"F{familiarity & 4}"]
    named += [f"p{folded[:n]}" for n in range(1, 5)] + [f"e{folded[-n:]}" for n in range(1, 5)]
    named += [f"c{framed[n : n + 3]}" for n in range(len(framed) - 2)]
    columns = (f"w{folded}", f"s{shape}", f"e{folded[-3:]}", f"s{shape[:1]}")
    return _Word(
        np.unique(np.array([_number(name) for name in named], np.int64)),
        (*map(_number, columns), int(word[:1].isupper()), int(word.isupper() and len(word) > 1), familiarity),
    )


def _kind(character: str) -> str:
    if character.isupper():
        return "X"
    if character.islower():
        return "x"
    if character.isdigit():
        return "9"
    if character.isalpha():
        return "Z" if character > "\u2e7f" else "z"
    return character


def _number(name: str) -> int:
    return hash_of(name) << 1


def _gaps(tokens: Tokens) -> npt.NDArray[np.int64]:
    """Return what is before each token: 0 nothing, 1 a blank, 2 a new line or the beginning; shape (N,)."""
    gaps = np.ones(len(tokens), np.int64)
    gaps[:1] = 2
    gaps[1:][tokens.starts[1:] == tokens.ends[:-1]] = 0
    for at in np.flatnonzero(tokens.starts[1:] > tokens.ends[:-1]) + 1:
        if "\n" in tokens.text[tokens.ends[at - 1] : tokens.starts[at]]:
            gaps[at] = 2
    return gaps


def _context(columns_NF: npt.NDArray[np.int64], gaps_N: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return features of where tokens stand, shape (N, F)."""
    num_tokens = len(columns_NF)
    word, shape, ending, start, is_capital, is_upper, familiarity = columns_NF.T
    after_N = np.append(gaps_N[1:], 2)
    places = np.arange(num_tokens)
    line_N = np.cumsum(gaps_N == 2) - 1
    num_by_line = np.bincount(line_N)
    capitals_N = (5 * np.bincount(line_N, weights=is_capital) / num_by_line).astype(np.int64)[line_N]
    is_loud_N = (np.bincount(line_N, weights=is_upper) > 0.6 * num_by_line).astype(np.int64)[line_N]
    parts: list[Sequence[npt.NDArray[np.int64]]] = [
        (np.zeros(num_tokens, np.int64),),
        (gaps_N, after_N),
        (gaps_N, shape),
        (capitals_N, shape),
        (is_loud_N,),
        (is_loud_N, shape),
        (np.minimum(places, 3), shape),
        (_shifted(shape, -1), shape, _shifted(shape, 1)),
        (_shifted(word, -1), _shifted(word, 1)),
    ]
    for offset in (-2, -1, 1, 2):
        parts += [
            (_shifted(word, offset),),
            (_shifted(shape, offset),),
            (_shifted(familiarity, offset), _shifted(start, offset)),
        ]
    for offset in (-1, 1):
        near = _shifted(word, offset)
        parts += [(_shifted(ending, offset),), (_shifted(shape, offset), shape), (near, shape), (near, word)]
    return np.stack([_mixed(number, part) for number, part in enumerate(parts)], 1)


def _shifted(column_N: npt.NDArray[np.int64], offset: int) -> npt.NDArray[np.int64]:
    """Return the value that each token's neighbour has; -1 beyond the ends."""
    shifted = np.full(len(column_N), -1, np.int64)
    if offset > 0:
        shifted[:-offset] = column_N[offset:]
    else:
        shifted[-offset:] = column_N[:offset]
    return shifted


def _mixed(number: int, columns: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    mixed: npt.NDArray[Any] = np.full(len(columns[0]), 0x9E3779B9 + number * 0x10001, np.uint64)
    for column_N in columns:
        mixed = (mixed ^ column_N.astype(np.uint64)) * np.uint64(0xBF58476D1CE4E5B9)
        mixed ^= mixed >> np.uint64(29)
    numbers: npt.NDArray[np.int64] = (mixed >> np.uint64(24)).astype(np.int64) << 1 | 1
    return numbers
