"""What does a linear model see of a text? Hashed n-grams of words and of characters, of any language. No torch.

Words are runs of letters and digits; of scripts that are written without spaces (Chinese, Japanese, Thai …) every
character is a word. Every other visible character, such as an emoji, is a word too. N-grams of characters are taken
within runs of letters and digits, with a blank at either end: they find stems and endings and forgive typing errors.

A feature is a number of 40 bits; a network takes it modulo its number of buckets (see `pack`).
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

INPUT = "features"
"""Name of the input of networks on features: float32, shape (B, L, 2), see `pack`."""
MAX_CHARACTERS = 50_000
"""Of a longer text the first and the last half as many are seen."""
_CHARACTER_LENGTHS = (2, 3, 4, 5)
_MAX_BATCH_SIZE = 2_000_000
"""Numbers that a network holds at a time: texts × features × outputs."""
UNSPACED = (  # scripts that are written without blanks between words
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
    "\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # kana, Han
)
_WORD = re.compile(rf"[{UNSPACED}]|[^\W{UNSPACED}]+|[^\w\s]")
_RUN = re.compile(r"\w+|[^\w\s]")

# B texts, L features

Features = npt.NDArray[np.int64]


def words(text: str) -> list[str]:
    """Return the words of a text, folded: compatible forms of a character are one, and so are its cases.

    >>> words("Schöne Ｇrüße, 東京! 🙂")
    ['schöne', 'grüsse', ',', '東', '京', '!', '🙂']
    """
    return _WORD.findall(_fold(text))


def _fold(text: str) -> str:
    if len(text) > MAX_CHARACTERS:
        text = f"{text[: MAX_CHARACTERS // 2]} {text[-MAX_CHARACTERS // 2 :]}"
    return unicodedata.normalize("NFKC", text.casefold())


def count(text: str) -> tuple[Features, npt.NDArray[np.float32]]:
    """Return the features of a text, ascending, and how often each occurs.

    The lowest bit of a feature says what it is: 0 characters, 1 one word or two neighbours.
    """
    folded = _fold(text)
    found = _WORD.findall(folded)
    singles = np.fromiter((hash_of(word) for word in found), np.int64, len(found))
    pairs = (singles[:-1] * 31 + singles[1:] * 17 + 7) % (1 << 39)
    grams = np.concatenate((np.concatenate((singles, pairs)) * 2 + 1, _character_grams(_RUN.findall(folded)) * 2))
    features, counts = np.unique(grams, return_counts=True)
    return features, counts.astype(np.float32)


def hash_of(word: str) -> int:
    """Return a stable number of 32 bits."""
    return zlib.crc32(word.encode("utf-8", "surrogatepass"))


def _character_grams(runs: Sequence[str]) -> Features:
    """Return the n-grams of all runs as numbers of 39 bits: a polynomial of the characters, modulo 2^64, mixed."""
    if not runs:
        return np.zeros(0, np.int64)
    line = f" {' '.join(runs)} "
    codes = np.frombuffer(line.encode("utf-32-le", "surrogatepass"), np.uint32).astype(np.uint64)
    num_blanks = np.concatenate(([0], np.cumsum(codes == 32)))
    grams = []
    rolling = codes + np.uint64(1)
    for length in range(2, max(_CHARACTER_LENGTHS) + 1):
        rolling = rolling[:-1] * np.uint64(0x9E3779B97F4A7C15) + codes[length - 1 :]
        if length in _CHARACTER_LENGTHS:
            # Blanks may be at the ends only: n-grams do not reach over the borders of runs.
            inner = num_blanks[length - 1 : len(codes)] - num_blanks[1 : len(codes) - length + 2]
            grams.append(_mixed(rolling[inner == 0] + np.uint64(length)))
    return np.concatenate(grams)


def _mixed(numbers: npt.NDArray[np.uint64]) -> Features:
    numbers = (numbers ^ (numbers >> np.uint64(31))) * np.uint64(0xBF58476D1CE4E5B9)
    return (numbers >> np.uint64(25)).astype(np.int64)


def pack(rows: Sequence[tuple[Features, npt.NDArray[np.float32]]], num_buckets: int) -> npt.NDArray[np.float32]:
    """Return features and their values as a network takes them: shape (B, L, 2), padded with zeros.

    Args:
        rows: Features and values of each text, or of each word of a text.
        num_buckets: Even, at most 2^24, so that a bucket is exact in float32. Bucket 0 is padding; the lowest bit of
            a bucket is that of its features.
    """
    longest = max((len(features) for features, _ in rows), default=0)
    packed_BL2 = np.zeros((len(rows), max(1, longest), 2), np.float32)
    for row, (features, values) in enumerate(rows):
        packed_BL2[row, : len(features), 0] = buckets(features, num_buckets)
        packed_BL2[row, : len(features), 1] = values
    return packed_BL2


def buckets(features: Features, num_buckets: int) -> Features:
    """Return the bucket of each feature; never 0."""
    return features % (num_buckets - 2) + 2


def choose_num_buckets(num_features: int) -> int:
    """Return so many buckets that a feature never seen before rarely falls into one that was."""
    return int(2 ** np.clip(np.ceil(np.log2(max(1, num_features) * 16)), 14, 21))


def batches(
    rows: Sequence[tuple[Features, npt.NDArray[np.float32]]], num_buckets: int, *, num_outputs: int
) -> Iterator[tuple[list[int], npt.NDArray[np.float32]]]:
    """Return all rows packed, rows of like length together, so that a network of so many outputs needs little memory.

    Yields:
        Which rows they are, and the rows (see `pack`).
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index][0]))
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * len(rows[order[end]][0]) * num_outputs <= _MAX_BATCH_SIZE:
            end += 1
        yield order[start:end], pack([rows[index] for index in order[start:end]], num_buckets)
        start = end
