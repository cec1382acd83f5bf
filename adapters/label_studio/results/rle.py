"""The byte list of Label Studio's brush ⇄ runs of pixels, without ever holding the image's four channels.

The bytes are a stream of bits, most significant first: 32 bits with the number of samples, 5 bits with the bits of a
sample, less one, four times 4 bits with the bits of a run length, less one. Then records until all samples are there:
1 bit (1: one sample, repeated; 0: that many samples), 2 bits that choose one of the four run lengths, the run length
less one, and the sample or samples. Samples are red, green, blue and alpha of each pixel, row by row; a pixel is
inside where alpha is not 0.

Source: rle-pack of thi.ng/umbrella, which the editor uses (contract of Label Studio, section B.9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

_SIZES = (3, 4, 8, 16)
_HEADER_BITS = 32 + 5 + 4 * 4
_RECORDS_AT_ONCE = 1 << 16
_BYTES_AT_ONCE = 1 << 13
"""Searched for records: bounds the memory, like the number of records written at a time."""

_Ints = npt.NDArray[np.int64]


def encode(runs: Sequence[int]) -> list[int]:
    """Write runs of pixels: outside, inside, outside and so on.

    >>> encode((0, 1))
    [0, 0, 0, 4, 57, 27, 252, 127, 224]
    """
    lengths = 4 * np.asarray(runs, np.int64)
    samples = np.where(np.arange(lengths.size) % 2 == 1, 255, 0)
    longest = 1 << _SIZES[-1]
    pieces = -(-lengths // longest)  # a longer run takes several records, only the last of which is shorter
    total, samples = int(lengths.sum()), np.repeat(samples, pieces)
    is_last = np.zeros(samples.size, bool)
    is_last[np.cumsum(pieces)[pieces > 0] - 1] = True
    counts = np.full(samples.size, longest, np.int64)
    counts[is_last] = ((lengths - 1) % longest + 1)[pieces > 0]

    header = total << 21 | 7 << 16
    for index, size in enumerate(_SIZES):
        header |= (size - 1) << (12 - 4 * index)
    written = bytearray()
    left_over = np.array([int(bit) for bit in f"{header:0{_HEADER_BITS}b}"], np.uint8)
    for start in range(0, counts.size, _RECORDS_AT_ONCE):
        block = slice(start, start + _RECORDS_AT_ONCE)
        bits = np.concatenate([left_over, _records(counts[block], samples[block])])
        whole = bits.size - bits.size % 8
        written += np.packbits(bits[:whole]).tobytes()
        left_over = bits[whole:]
    return list(bytes(written) + np.packbits(left_over).tobytes())


def _records(counts: _Ints, samples: _Ints) -> npt.NDArray[np.uint8]:
    """Return the bits of records of repeated samples, one bit per element."""
    kinds = np.searchsorted([1 << size for size in _SIZES], counts)
    sizes = np.array(_SIZES, np.int64)[kinds]
    words = ((4 | kinds) << sizes | (counts - 1)) << 8 | samples
    lengths = 3 + sizes + 8
    columns = np.arange(3 + _SIZES[-1] + 8)
    shifts = lengths[:, None] - 1 - columns
    bits = (words[:, None] >> np.maximum(shifts, 0)) & 1
    flat: npt.NDArray[np.uint8] = bits[shifts >= 0].astype(np.uint8)
    return flat


def decode(stream: Sequence[int], num_pixels: int) -> tuple[int, ...]:
    """Read runs of pixels: outside, inside, outside and so on.

    Args:
        stream: The bytes.
        num_pixels: How many there must be.

    Raises:
        ValueError: The stream is no such list, ends too early, or holds another number of pixels.
    """
    try:
        content = bytes(stream)
    except (TypeError, ValueError) as error:
        raise ValueError("rle is not a list of bytes") from error
    if len(content) * 8 < _HEADER_BITS:
        raise ValueError("rle is too short")
    header = int.from_bytes(content[:7], "big") >> 3
    num_samples, word_bits = header >> 21, (header >> 16 & 31) + 1
    if num_samples != 4 * num_pixels:
        raise ValueError(f"rle holds {num_samples:,} samples; the image has {num_pixels:,} pixels of four samples")
    if word_bits != 8:
        raise ValueError(f"rle holds samples of {word_bits} bits; 8 are expected")
    sizes = np.array([(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)], np.int64)
    return _pixel_runs(_find_records(np.frombuffer(content, np.uint8), sizes, num_samples), num_samples)


@dataclass(frozen=True, slots=True)
class _Records:
    """Where the records of a stream are.

    Attributes:
        content: The stream, and four bytes more.
        is_repeated: Of each record, whether one sample is repeated.
        counts: Number of samples.
        positions: Of the first sample, in bits.
    """

    content: npt.NDArray[np.uint8]
    is_repeated: npt.NDArray[np.bool_]
    counts: _Ints
    positions: _Ints


def _find_records(content: npt.NDArray[np.uint8], sizes: _Ints, num_samples: int) -> _Records:
    """Find the records, block by block: read one at every bit of a block, then step from each to the one after it."""
    padded = np.concatenate([content, np.zeros(8, np.uint8)])
    found: list[tuple[npt.NDArray[np.bool_], _Ints, _Ints]] = []
    position, num_seen = _HEADER_BITS, 0
    while num_seen < num_samples:
        first = position // 8
        if first >= content.size:
            raise ValueError("rle ends too early")
        at = np.arange(first * 8, min(first + _BYTES_AT_ONCE, content.size) * 8, dtype=np.int64)
        kinds = _bits(padded, at, 3)
        length_bits = sizes[kinds & 3]
        counts = (_bits(padded, at + 3, 16) >> (16 - length_bits)) + 1
        is_repeated = kinds >= 4
        values_at = at + 3 + length_bits
        following = (values_at + 8 * np.where(is_repeated, 1, counts)).tolist()
        picked = []
        count_list = counts.tolist()
        offset, end = first * 8, int(at[-1]) + 1
        while position < end and num_seen < num_samples:
            picked.append(position - offset)
            num_seen += count_list[position - offset]
            position = following[position - offset]
        found.append((is_repeated[picked], counts[picked], values_at[picked]))
    if position > content.size * 8:
        raise ValueError("rle ends too early")
    is_repeated, counts, positions = (np.concatenate(parts) for parts in zip(*found, strict=True))
    counts[-1] -= num_seen - num_samples  # as in the editor, whatever is too much is not read
    return _Records(padded, is_repeated, counts, positions)


def _bits(content: npt.NDArray[np.uint8], at: _Ints, num: int) -> _Ints:
    """Return numbers of up to 17 bits that begin at the given bits."""
    first = at >> 3
    window = content[first].astype(np.int64) << 16 | content[first + 1].astype(np.int64) << 8 | content[first + 2]
    numbers: _Ints = window >> (24 - num - (at & 7)) & ((1 << num) - 1)
    return numbers


def _pixel_runs(records: _Records, num_samples: int) -> tuple[int, ...]:
    """Return runs of pixels by their alpha, every fourth sample."""
    ends = np.cumsum(records.counts)
    num_alphas = ends // 4 - (ends - records.counts) // 4
    num_segments = np.where(records.is_repeated, np.minimum(num_alphas, 1), num_alphas)
    owner = np.repeat(np.arange(ends.size), num_segments)
    nth = np.arange(owner.size) - np.repeat(np.cumsum(num_segments) - num_segments, num_segments)
    to_alpha = (3 - (ends - records.counts)) % 4
    sample = np.where(records.is_repeated[owner], 0, to_alpha[owner] + 4 * nth)
    is_inside = _bits(records.content, records.positions[owner] + 8 * sample, 8) != 0
    lengths = np.where(records.is_repeated[owner], num_alphas[owner], 1)

    changes = np.flatnonzero(is_inside[1:] != is_inside[:-1]) + 1
    starts = np.concatenate([[0], changes]) if is_inside.size else np.zeros(0, np.int64)
    runs = np.add.reduceat(lengths, starts).tolist() if starts.size else []
    assert sum(runs) * 4 == num_samples
    return tuple([0, *runs] if is_inside.size and is_inside[0] else runs)
