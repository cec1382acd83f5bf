from __future__ import annotations

import numpy as np
import numpy.typing as npt

from models.tags import Rectangle, Tag, add_tags

RED = (200, 0, 0)


def tag(around: Rectangle | None, *, label: str = "cat", is_found: bool = False) -> Tag:
    return Tag(label, label, RED, is_found, around)


def written(*tags: Tag, avoided: tuple[Rectangle, ...] = (), side_px: int = 300) -> npt.NDArray[np.bool_]:
    """Return where a white picture is changed."""
    pixels = np.full((side_px, side_px, 3), 255, dtype=np.uint8)
    add_tags(pixels, tags, avoided=avoided)
    return np.asarray((pixels < 255).any(2))


def test_a_tag_is_above_what_it_is_about() -> None:
    shown = written(tag((100, 100, 200, 200)))

    assert shown[95, 100]
    assert not shown[100:].any()
    assert not shown[:, :100].any()


def test_a_tag_that_has_no_room_above_is_inside_and_the_next_one_beside_it() -> None:
    top = (100, 0, 200, 100)

    assert written(tag(top))[0].nonzero()[0].min() == 100
    assert written(tag(top), tag(top, label="dog"))[0].nonzero()[0].max() == 199


def test_tags_do_not_lie_on_each_other_nor_on_points() -> None:
    here = (100, 100, 110, 110)

    one = written(tag(here)).sum()
    three = written(tag(here), tag(here, label="dog"), tag(here, label="cat"))
    beside_a_point = written(tag(here), avoided=((100, 90, 105, 95),))

    assert three.sum() > 2.5 * one
    assert not beside_a_point[90:95, 100:105].any()


def test_where_there_is_no_room_only_one_of_each_label_is_written() -> None:
    everywhere = ((0, 0, 300, 300),)
    crowd = [tag((100, 100, 150, 150))] * 5

    assert (written(*crowd, avoided=everywhere) == written(crowd[0], avoided=everywhere)).all()
    assert written(crowd[0], avoided=everywhere).any()


def test_captions_are_in_the_top_left_corner_one_after_the_other() -> None:
    one, two = written(tag(None)), written(tag(None), tag(None, label="dog"))

    assert one[0, 0]
    assert not one[40:].any()
    assert two[0].sum() > 1.5 * one[0].sum()


def test_captions_begin_a_new_row_where_one_is_full_and_end_with_the_picture() -> None:
    many = written(*[tag(None, label=f"label {number}") for number in range(500)])

    assert many[:280, 0].all()


def test_a_tiny_picture_has_no_words() -> None:
    assert not written(tag((10, 30, 20, 40)), tag(None), side_px=100).any()
