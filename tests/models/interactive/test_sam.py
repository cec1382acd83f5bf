"""The ONNX files here have the names, shapes and conventions of the published exports, but only draw discs."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from clicked_pictures import disc
from onnx import TensorProto, helper, numpy_helper

from models.clicks import Prompts
from models.family import FamilyError
from models.images import Image
from models.interactive import simulated, window
from models.interactive.sam import Layout, SamSegmenter
from models.regions import Box, Mask

_FLOAT = TensorProto.FLOAT
_RADIUS = 160.0
"""Of the discs, in pixels of the square of 1024."""


def encoder(path: Path, layout: Layout, *, is_raw: bool = False) -> None:
    """Write an encoder whose features are the mean of its input: enough to see that it was fed."""
    shape = ["image_height", "image_width", 3] if is_raw else [1, 3, 1024, 1024]
    sizes = (
        {"image_embeddings": (1, 256, 64, 64)}
        if layout is Layout.SAM
        else {
            "high_res_feats_0": (1, 32, 256, 256),
            "high_res_feats_1": (1, 64, 128, 128),
            "image_embed": (1, 256, 64, 64),
        }
    )
    nodes = [helper.make_node("ReduceMean", ["image"], ["mean"], keepdims=0)]
    constants = []
    for name, size in sizes.items():
        constants.append(numpy_helper.from_array(np.array(size, np.int64), f"{name}_shape"))
        nodes.append(helper.make_node("Expand", ["mean", f"{name}_shape"], [name]))
    write(path, nodes, {"image": shape}, {name: list(size) for name, size in sizes.items()}, constants)


def decoder(path: Path, layout: Layout, *, num_masks: int = 1) -> None:
    """Write a decoder: mask k is a disc around the first point, smaller from mask to mask, scored 0.5 + k / 10."""
    names = ["image_embeddings"] if layout is Layout.SAM else ["image_embed", "high_res_feats_0", "high_res_feats_1"]
    inputs: dict[str, list[int | str]] = {
        names[0]: [1, 256, 64, 64],
        "point_coords": [1, "num_points", 2],
        "point_labels": [1, "num_points"],
        "mask_input": [1, 1, 256, 256],
        "has_mask_input": [1],
    }
    if layout is Layout.SAM:
        inputs["orig_im_size"] = [2]
    else:
        inputs |= {"high_res_feats_0": [1, 32, 256, 256], "high_res_feats_1": [1, 64, 128, 128]}
    ys, xs = np.mgrid[0:256, 0:256] * 4.0 + 2
    radii = _RADIUS / 2.0 ** np.arange(num_masks)
    constants = [
        numpy_helper.from_array(np.stack((xs, ys), -1).astype(np.float32)[None, None], "grid"),
        numpy_helper.from_array(radii.astype(np.float32)[None, :, None, None], "radii"),
        numpy_helper.from_array((0.5 + np.arange(num_masks) / 10).astype(np.float32)[None], "scores"),
        numpy_helper.from_array(np.array([0, 0, 0], np.int64), "start"),
        numpy_helper.from_array(np.array([1, 1, 2], np.int64), "end"),
        numpy_helper.from_array(np.array([1, 1, 1, 1, 2], np.int64), "point_shape"),
        numpy_helper.from_array(np.array([-1], np.int64), "last"),
        numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        numpy_helper.from_array(np.array(2.0, np.float32), "two"),
        numpy_helper.from_array(np.array(0.0, np.float32), "zero"),
    ]
    nodes = [
        helper.make_node("Slice", ["point_coords", "start", "end"], ["first"]),
        helper.make_node("Reshape", ["first", "point_shape"], ["placed"]),
        helper.make_node("Add", ["placed", "half"], ["centre"]),
        helper.make_node("Sub", ["grid", "centre"], ["away"]),
        helper.make_node("Pow", ["away", "two"], ["squares"]),
        helper.make_node("ReduceSum", ["squares", "last"], ["squared"], keepdims=0),
        helper.make_node("Sqrt", ["squared"], ["distances"]),
        helper.make_node("Sub", ["radii", "distances"], ["logits"]),
    ]
    # Inputs that change nothing here must still be asked for.
    last = "logits"
    for number, name in enumerate(name for name in inputs if name != "point_coords"):
        nodes += [
            helper.make_node("ReduceMean", [name], [f"mean_{number}"], keepdims=0),
            helper.make_node("Mul", [f"mean_{number}", "zero"], [f"nothing_{number}"]),
            helper.make_node("Add", [last, f"nothing_{number}"], [f"logits_{number}"]),
        ]
        last = f"logits_{number}"
    nodes.append(helper.make_node("Identity", [last], ["low_res_masks" if layout is Layout.SAM else "masks"]))
    nodes.append(helper.make_node("Identity", ["scores"], ["iou_predictions"]))
    outputs: dict[str, list[int | str]] = {"masks": [1, num_masks, 256, 256], "iou_predictions": [1, num_masks]}
    if layout is Layout.SAM:
        # As in the export: the large masks are of a size that was fixed when it was traced, and wrong for others.
        nodes.append(helper.make_node("Neg", ["low_res_masks"], ["masks"]))
        outputs["low_res_masks"] = [1, num_masks, 256, 256]
    write(path, nodes, inputs, outputs, constants)


def write(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, list[int | str]],
    outputs: dict[str, list[int | str]],
    constants: list[onnx.TensorProto],
) -> None:
    graph = helper.make_graph(
        nodes,
        "discs",
        [helper.make_tensor_value_info(name, _FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_tensor_value_info(name, _FLOAT, shape) for name, shape in outputs.items()],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def expected_disc(
    size: tuple[int, int], at: tuple[float, float], *, squeezed: bool, radius: float = _RADIUS
) -> np.ndarray:
    """Return the disc as the decoder means it: round in its square, which keeps the image's proportions or not."""
    width, height = size
    longer = max(width, height)
    scale_x, scale_y = (1024 / width, 1024 / height) if squeezed else (1024 / longer, 1024 / longer)
    ys, xs = np.mgrid[0:height, 0:width] + 0.5
    return np.hypot((xs - at[0] * width) * scale_x, (ys - at[1] * height) * scale_y) < radius


@pytest.mark.parametrize("layout", list(Layout))
@pytest.mark.parametrize("size", [(320, 240), (240, 320)])
def test_a_click_is_answered_where_it_is(tmp_path: Path, layout: Layout, size: tuple[int, int]) -> None:
    encoder(tmp_path / "a.onnx", layout)
    decoder(tmp_path / "b.onnx", layout)
    segmenter = SamSegmenter(tmp_path, device="cpu")
    image = Image(np.zeros((size[1], size[0], 3), np.uint8), *size)

    segment = segmenter.segment(segmenter.encode(image), Prompts(inside=((0.4, 0.6),)))

    assert segment is not None
    assert segmenter.layout is layout
    found = window.paste(segment, width_px=size[0], height_px=size[1])
    expected = expected_disc(size, (0.4, 0.6), squeezed=layout is Layout.SAM_2)
    assert simulated.overlap(found, expected) > 0.97


@pytest.mark.parametrize("size", [(320, 240), (240, 320), (300, 300)])
def test_an_encoder_that_prepares_images_itself_gets_its_own_size(tmp_path: Path, size: tuple[int, int]) -> None:
    encoder(tmp_path / "a.onnx", Layout.SAM, is_raw=True)
    decoder(tmp_path / "b.onnx", Layout.SAM)
    segmenter = SamSegmenter(tmp_path, device="cpu")
    image = Image(np.zeros((size[1], size[0], 3), np.uint8), *size)

    segment = segmenter.segment(segmenter.encode(image), Prompts(inside=((0.5, 0.5),)))

    assert segment is not None
    zoom = min(1024 / size[0], 684 / size[1])
    ys, xs = np.mgrid[0 : size[1], 0 : size[0]] + 0.5
    expected = np.hypot(xs - size[0] / 2, ys - size[1] / 2) * zoom < _RADIUS
    assert simulated.overlap(window.paste(segment, width_px=size[0], height_px=size[1]), expected) > 0.97


@pytest.mark.parametrize(
    ("num_masks", "prompts", "radius"),
    [
        (4, Prompts(inside=((0.5, 0.5),)), _RADIUS / 8),  # the best of the three guesses
        (4, Prompts(inside=((0.5, 0.5), (0.55, 0.5))), _RADIUS),  # the mask for unambiguous prompts
        (3, Prompts(inside=((0.5, 0.5),)), _RADIUS / 4),
    ],
)
def test_the_right_one_of_several_masks_is_taken(
    tmp_path: Path, num_masks: int, prompts: Prompts, radius: float
) -> None:
    encoder(tmp_path / "a.onnx", Layout.SAM)
    decoder(tmp_path / "b.onnx", Layout.SAM, num_masks=num_masks)
    segmenter = SamSegmenter(tmp_path, device="cpu")
    image, _ = disc()

    segment = segmenter.segment(segmenter.encode(image), prompts)

    assert segment is not None
    expected = expected_disc((320, 240), (0.5, 0.5), squeezed=False, radius=radius)
    assert simulated.overlap(window.paste(segment, width_px=320, height_px=240), expected) > 0.9


@pytest.mark.parametrize("layout", list(Layout))
def test_a_box_is_handed_over_by_its_corners_and_a_stroke_by_points_in_it(tmp_path: Path, layout: Layout) -> None:
    encoder(tmp_path / "a.onnx", layout)
    decoder(tmp_path / "b.onnx", layout)
    segmenter = SamSegmenter(tmp_path, device="cpu")
    image, _ = disc()
    encoded = segmenter.encode(image)
    stroke = np.zeros((240, 320), bool)
    stroke[118:123, 156:165] = True
    box = Box.from_bounds("", 0.5, 0.5, 0.7, 0.7)

    of_box = segmenter.segment(encoded, Prompts(boxes=(box,)))
    of_stroke = segmenter.segment(encoded, Prompts(masks=(Mask.from_array("", stroke),)))

    assert of_box is not None
    assert of_stroke is not None
    expected = expected_disc((320, 240), (0.5, 0.5), squeezed=layout is Layout.SAM_2)
    for segment in (of_box, of_stroke):  # the first corner, and the middle of the stroke, are in the image's middle
        assert simulated.overlap(window.paste(segment, width_px=320, height_px=240), expected) > 0.9


def test_what_is_kept_of_an_image_is_counted(tmp_path: Path) -> None:
    encoder(tmp_path / "a.onnx", Layout.SAM_2)
    decoder(tmp_path / "b.onnx", Layout.SAM_2)
    segmenter = SamSegmenter(tmp_path, device="cpu")

    encoded = segmenter.encode(disc()[0])

    assert encoded.num_bytes == 4 * (256 * 64 * 64 + 32 * 256 * 256 + 64 * 128 * 128)


def test_other_files_make_another_segmenter(tmp_path: Path) -> None:
    encoder(tmp_path / "a.onnx", Layout.SAM)
    decoder(tmp_path / "b.onnx", Layout.SAM)
    before = SamSegmenter(tmp_path, device="cpu").key

    decoder(tmp_path / "b.onnx", Layout.SAM, num_masks=4)

    assert SamSegmenter(tmp_path, device="cpu").key != before


def test_an_empty_folder_is_refused_with_what_is_expected(tmp_path: Path) -> None:
    with pytest.raises(
        FamilyError, match=r"no \.onnx file in .*; expected an encoder with the output image_embeddings"
    ):
        SamSegmenter(tmp_path, device="cpu")


def test_files_of_different_networks_are_refused_with_what_they_have(tmp_path: Path) -> None:
    encoder(tmp_path / "a.onnx", Layout.SAM)
    decoder(tmp_path / "b.onnx", Layout.SAM_2)

    with pytest.raises(FamilyError, match=r"No two files in .* fit together.*a\.onnx has inputs image and outputs"):
        SamSegmenter(tmp_path, device="cpu")


def test_two_networks_in_one_folder_are_refused(tmp_path: Path) -> None:
    for layout in Layout:
        encoder(tmp_path / f"{layout}-e.onnx", layout)
        decoder(tmp_path / f"{layout}-d.onnx", layout)

    with pytest.raises(FamilyError, match="holds 2 pairs"):
        SamSegmenter(tmp_path, device="cpu")


def test_a_file_that_is_no_onnx_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"not an ONNX file")

    with pytest.raises(FamilyError, match=r"broken\.onnx is not an ONNX file"):
        SamSegmenter(tmp_path, device="cpu")
