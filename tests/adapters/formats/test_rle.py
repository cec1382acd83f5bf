from __future__ import annotations

import numpy as np
import pytest

from adapters.formats.geometry import Size
from adapters.formats.rle import read_mask, write_mask
from backend.errors import Invalid
from models.regions import Mask


def test_compressed_counts_are_those_of_pycocotools() -> None:
    """The string is what `pycocotools.mask.encode` returns for this mask; the counts are written down by hand."""
    inside = np.zeros((9, 10), bool)
    inside[2:5, 3:8] = True
    inside[6, 1] = True

    written = write_mask(Mask.from_array("a", inside))

    assert written == {"size": [9, 10], "counts": "?1=2I0000000`0"}
    counts = [15, 1, 13, 3, 6, 3, 6, 3, 6, 3, 6, 3, 22]
    assert read_mask("a", {"size": [9, 10], "counts": counts}, Size(10, 9)) == Mask.from_array("a", inside)
    assert read_mask("a", written, Size(10, 9)) == Mask.from_array("a", inside)


@pytest.mark.parametrize("seed", range(20))
def test_any_mask_comes_back(seed: int) -> None:
    drawn = np.random.default_rng(seed)
    height, width = (int(side) for side in drawn.integers(1, 200, 2))
    inside = drawn.random((height, width)) < drawn.random()
    inside[0, 0] = True
    mask = Mask.from_array("a", inside)

    assert read_mask("a", write_mask(mask), Size(width, height)) == mask


@pytest.mark.parametrize(
    "counts", [[], [6], [0, 7], [3, -1, 4], [3.0, 3], [True, 5], "", "6", "o", "ooooooooooooooooooooo", "é", 7, None]
)
def test_counts_that_make_no_sense_are_refused(counts) -> None:
    with pytest.raises(Invalid) as caught:
        read_mask("a", {"size": [2, 3], "counts": counts}, Size(3, 2))

    assert caught.value.code == "geometry_invalid"
