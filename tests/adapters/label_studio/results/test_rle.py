"""Tests of adapters/label_studio/results/rle.py; the converter of Label Studio's SDK is the second opinion."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from label_studio_sdk.converter import brush as sdk

from adapters.label_studio.results import rle
from models.regions import Mask

ANY_SPEED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
VECTORS: list[tuple[list[list[int]], list[int]]] = [
    ([[255]], [0, 0, 0, 4, 57, 27, 252, 127, 224]),
    ([[0]], [0, 0, 0, 4, 57, 27, 252, 96, 0]),
    ([[0, 255], [255, 0]], [0, 0, 0, 16, 57, 27, 252, 96, 19, 255, 198, 0]),
    ([[0, 0, 0], [0, 255, 255]], [0, 0, 0, 24, 57, 27, 253, 240, 9, 255, 192]),
]
SIZES = array_shapes(min_dims=2, max_dims=2, max_side=12)
MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40))


def circle(width_px: int, height_px: int, radius_px: float) -> np.ndarray[Any, np.dtype[np.bool_]]:
    rows, columns = np.ogrid[:height_px, :width_px]
    return (columns - width_px / 2) ** 2 + (rows - height_px / 2) ** 2 < radius_px**2


def runs_of(inside: object) -> tuple[int, ...]:
    return Mask.from_array("", np.asarray(inside)).runs


class TestRle:
    @pytest.mark.parametrize(("mask", "stream"), VECTORS)
    def test_the_vectors_of_the_contract(self, mask: list[list[int]], stream: list[int]):
        """C-090."""
        runs = runs_of(mask)

        assert rle.encode(runs) == stream
        assert rle.decode(stream, sum(runs)) == runs
        assert sdk.decode_rle(rle.encode(runs)).tolist() == np.repeat(mask, 4).tolist()

    def test_long_runs_take_several_records(self):
        """C-090: the last two vectors; the second is no image, so that only its beginning can be compared."""
        assert rle.encode((65536 // 4,)) == [0, 1, 0, 0, 57, 27, 255, 255, 255, 0]
        assert rle.decode([0, 1, 0, 0, 57, 27, 255, 255, 255, 0, 0], 65536 // 4) == (65536 // 4,)
        assert rle.encode((131080 // 4,))[6:13] == [255, 255, 255, 0, 255, 255, 224]
        assert sdk.decode_rle(rle.encode((131080 // 4,))).tolist() == [0] * 131080

    @ANY_SPEED
    @given(MASKS)
    def test_the_sdk_reads_what_we_write(self, inside: np.ndarray[Any, np.dtype[np.bool_]]):
        """C-090: four equal samples for each pixel, as many as the image has."""
        samples = sdk.decode_rle(rle.encode(runs_of(inside)))

        assert np.array_equal(samples.reshape(*inside.shape, 4), np.repeat(inside[..., None] * 255, 4, 2))

    @ANY_SPEED
    @given(arrays(np.uint8, SIZES.map(lambda size: (*size, 4)), elements=st.integers(0, 2)))
    def test_we_read_what_the_sdk_writes_whatever_the_colours(self, pixels: np.ndarray[Any, np.dtype[np.uint8]]):
        """Literal records, too; a pixel is inside where its alpha is not 0."""
        stream = sdk.encode_rle(pixels.ravel())

        assert rle.decode(stream, pixels.shape[0] * pixels.shape[1]) == runs_of(pixels[..., 3])

    def test_other_run_lengths_than_the_usual_ones_are_read(self):
        stream = sdk.encode_rle(np.repeat([0, 255, 0], [8, 40, 16]).astype(np.uint8), rle_sizes=[3, 5, 8, 12])

        assert rle.decode(stream, 16) == (2, 10, 4)

    @ANY_SPEED
    @given(st.lists(st.integers(-1, 256) | st.none()), st.integers(0, 50))
    def test_any_list_is_read_or_refused(self, stream: list[Any], num_pixels: int):
        try:
            runs = rle.decode(stream, num_pixels)
        except ValueError:
            return
        assert sum(runs) == num_pixels

    @pytest.mark.parametrize(
        "stream",
        [
            VECTORS[2][1][:-2],
            VECTORS[2][1][:8],
            VECTORS[0][1],
            [0, 0, 0, 16, 1, 27, 252, 96, 19, 255, 198, 0],
            [0, 0, 0, 16],
            [300] * 9,
            "x",
        ],
    )
    def test_streams_of_another_size_or_kind_are_refused(self, stream: Any):
        with pytest.raises(ValueError, match="rle"):
            rle.decode(stream, 4)

    def test_twelve_megapixels_take_less_than_a_second(self):
        """C-091; a circle takes 5 ms, one per cent of noise, 240,000 runs, 0.1 s."""
        noise = np.random.default_rng(0).random((3000, 4000)) < 0.01
        runs = runs_of(noise | circle(4000, 3000, 1200))

        started = time.process_time()
        stream = rle.encode(runs)
        took_s = time.process_time() - started

        assert took_s < 1
        assert rle.decode(stream, 12_000_000) == runs
