"""Masks as COCO writes them: {"size": [height, width], "counts": …}, runs column by column.

Counts are a list of lengths (uncompressed) or a string of printable characters (compressed); both are read, and the
string is written.

Source: maskApi.c of pycocotools, rleToString and rleFrString.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from adapters.formats.geometry import Size, refuse
from models.regions import Mask


def read_mask(label: str, written: object, size: Size) -> Mask:
    """Read a mask.

    Raises:
        Invalid: It is none, is of another size than the image, or nothing is inside.

    >>> read_mask("a", {"size": [2, 3], "counts": [1, 2, 3]}, Size(3, 2)).runs
    (1, 1, 1, 1, 2)
    """
    if not isinstance(written, Mapping) or not isinstance(counts := written.get("counts"), list | str | bytes):
        refuse('rle must be {"size": [height, width], "counts": [..] or "..."}, as in COCO.')
    if written.get("size") != [size.height_px, size.width_px]:
        refuse(f"rle has the size {written.get('size')}; of this image it is [{size.height_px}, {size.width_px}].")
    runs = counts if isinstance(counts, list) else _from_text(counts)
    lengths = [run for run in runs if isinstance(run, int) and not isinstance(run, bool) and run >= 0]
    if len(lengths) < len(runs) or sum(lengths) != size.width_px * size.height_px:
        refuse(f"rle counts must be lengths that add up to {size.width_px * size.height_px}, the pixels of the image.")
    if not any(lengths[1::2]):
        refuse("rle is empty: no pixel is inside.")
    is_inside = np.arange(len(lengths)) % 2 == 1
    return Mask.from_array(label, np.repeat(is_inside, lengths).reshape(size.width_px, size.height_px).T)


def write_mask(mask: Mask) -> dict[str, Any]:
    """Write a mask with compressed counts.

    >>> write_mask(Mask("a", 3, 2, (1, 1, 1, 1, 2)))
    {'size': [2, 3], 'counts': '123'}
    """
    columns = Mask.from_array(mask.label, mask.to_array().T)
    return {"size": [mask.height_px, mask.width_px], "counts": _to_text(columns.runs)}


def _from_text(text: str | bytes) -> list[int]:
    """Read groups of five bits, least significant first, each plus 48; from the third on a run is a difference."""
    runs: list[int] = []
    value = shift = 0
    for code in text.encode("latin-1", "replace") if isinstance(text, str) else text:
        bits = code - 48
        if not 0 <= bits < 64:
            refuse("rle counts hold a character that compressed counts never have.")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            if shift > 60:
                refuse("rle counts hold a number that is too large.")
            continue
        if bits & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift:
        refuse("rle counts end in the middle of a number.")
    return runs


def _to_text(runs: Iterable[int]) -> str:
    kept = list(runs)
    text = bytearray()
    for index, run in enumerate(kept):
        value = run - kept[index - 2] if index > 2 else run
        while True:
            bits = value & 0x1F
            value >>= 5
            is_last = value == (-1 if bits & 0x10 else 0)
            text.append((bits if is_last else bits | 0x20) + 48)
            if is_last:
                break
    return text.decode()
