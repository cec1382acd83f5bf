import cv2
import numpy as np
import pytest

from models.families.instance_segmentation.predict import polygons, separate
from models.labels import Label, LabelSchema, Objective
from models.outlines import fill, repaired
from models.regions import Polygon, Region

SCHEMA = LabelSchema(Objective.INSTANCE_SEGMENTATION, (Label("nut"), Label("fig")))
SIDE = 96
ANY = (0.0, 1.0)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.hypot(columns - x, rows - y) < radius


def depth_of(*things: np.ndarray) -> np.ndarray:
    """What a perfect network says: the distance to the edge of each thing, by its largest one."""
    depth = np.zeros(things[0].shape, dtype=np.float32)
    for thing in things:
        distance = cv2.distanceTransform(thing.astype(np.uint8), cv2.DIST_L2, 5)
        depth = np.where(thing, distance / distance.max(), depth)
    return depth


def maps(nuts: np.ndarray, figs: np.ndarray, *depths: np.ndarray) -> np.ndarray:
    return np.stack((nuts, figs, *depths)).astype(np.float32)


def shapes(found: list[Region]) -> list[Polygon]:
    assert all(isinstance(region, Polygon) for region in found)
    return [region for region in found if isinstance(region, Polygon)]


def iou(polygon: Polygon, thing: np.ndarray) -> float:
    inside = fill(polygon.points, SIDE, SIDE)
    return float((inside & thing).sum() / (inside | thing).sum())


def test_things_that_touch_are_told_apart_by_their_depth() -> None:
    left, right = disc(34, 48, 15), disc(61, 48, 15)
    right &= ~left

    numbers = separate(left | right, depth_of(left, right))

    assert len(np.unique(numbers[left])) <= 2
    one, other = np.bincount(numbers[left]).argmax(), np.bincount(numbers[right]).argmax()
    assert one != other
    assert (numbers[left] == one).mean() > 0.97
    assert (numbers[right] == other).mean() > 0.97


def test_every_pixel_inside_and_none_outside_belongs_to_a_thing() -> None:
    left, right = disc(30, 48, 18), disc(64, 40, 12)

    numbers = separate(left | right, depth_of(left, right))

    assert ((numbers > 0) == (left | right)).all()


def test_a_ripple_does_not_divide_a_thing() -> None:
    thing = disc(48, 48, 30)
    rng = np.random.default_rng(0)
    ripples = cv2.GaussianBlur(rng.normal(0, 0.05, thing.shape), (0, 0), 1).astype(np.float32)

    assert len(np.unique(separate(thing, depth_of(thing) + ripples))) == 2


def test_a_thing_without_a_heart_is_found() -> None:
    line = np.zeros((SIDE, SIDE), dtype=bool)
    line[40:42, 10:80] = True

    numbers = separate(line | disc(70, 70, 10), depth_of(disc(70, 70, 10)))

    assert len(np.unique(numbers)) == 3
    assert len(np.unique(numbers[line])) == 1


def test_nothing_is_divided_into_nothing() -> None:
    empty = np.zeros((8, 8), dtype=bool)

    assert not separate(empty, np.ones((8, 8), dtype=np.float32)).any()


def test_each_thing_becomes_a_polygon_with_its_score_surest_first() -> None:
    nut, fig = disc(25, 30, 14), disc(66, 60, 18)

    found = shapes(polygons(maps(0.7 * nut, 0.9 * fig, depth_of(nut, fig)), SCHEMA, groups=[[0, 1]], areas=ANY))

    assert [(polygon.label, polygon.score) for polygon in found] == [
        ("fig", pytest.approx(0.9, abs=0.03)),
        ("nut", pytest.approx(0.7, abs=0.03)),
    ]
    assert iou(found[0], fig) > 0.93
    assert iou(found[1], nut) > 0.93


def test_polygons_are_sound_and_lie_in_the_image() -> None:
    rng = np.random.default_rng(0)
    noise = cv2.GaussianBlur(rng.random((SIDE, 40)), (0, 0), 2)
    likely = (noise > 0.5).astype(np.float32)

    found = shapes(polygons(maps(likely, 0 * likely, noise), SCHEMA, groups=[[0, 1]], areas=ANY))

    assert len(found) > 5
    for polygon in found:
        assert len(polygon.points) >= 3
        assert repaired(polygon.points) == polygon.points
        assert all(0 <= coordinate <= 1 for point in polygon.points for coordinate in point)


def test_the_label_is_what_most_of_a_thing_wants() -> None:
    thing = disc(48, 48, 20)
    corner = thing & disc(60, 60, 10)

    (polygon,) = polygons(
        maps(0.8 * (thing & ~corner), 0.8 * corner, depth_of(thing)), SCHEMA, groups=[[0, 1]], areas=ANY
    )

    assert polygon.label == "nut"


def test_a_label_that_lies_on_another_is_outlined_on_its_own() -> None:
    nut, fig = disc(48, 48, 30), disc(48, 48, 12)

    found = shapes(polygons(maps(nut, fig, depth_of(nut), depth_of(fig)), SCHEMA, groups=[[0], [1]], areas=ANY))

    assert sorted(polygon.label for polygon in found) == ["fig", "nut"]
    assert min(iou(polygon, nut if polygon.label == "nut" else fig) for polygon in found) > 0.93


def test_what_is_too_small_or_too_large_for_a_thing_is_left_out() -> None:
    nut, speck = disc(48, 48, 30), disc(10, 10, 2)
    seen = maps(nut | speck, 0 * nut, depth_of(nut, speck))

    assert len(polygons(seen, SCHEMA, groups=[[0, 1]], areas=ANY)) == 2
    assert len(polygons(seen, SCHEMA, groups=[[0, 1]], areas=(0.005, 1.0))) == 1
    assert len(polygons(seen, SCHEMA, groups=[[0, 1]], areas=(0.0, 0.005))) == 1


def test_an_image_without_things_has_no_polygons() -> None:
    empty = np.zeros((3, 32, 64), dtype=np.float32)

    assert polygons(empty, SCHEMA, groups=[[0, 1]], areas=ANY) == []
