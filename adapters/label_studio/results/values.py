"""What must the `value` of a result item be? One reader per control tag, for tags with and without a model.

Each takes a `value` that anybody may have written and returns one that Label Studio's validation takes and that its
editor shows: the same, or repaired where only one repair is possible. What is not valid raises a ValueError, whose
message says why; its subject is the item.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from adapters.label_studio.label_config import Control
from adapters.label_studio.results.formats import SHAPES
from adapters.label_studio.results.sheet import Sheet, read_number

_Value = dict[str, Any]
_Reader = Callable[[_Value, Control, Sheet], _Value]


def read_value(tag: str, value: _Value, control: Control, sheet: Sheet) -> _Value:
    """Return a valid `value`.

    Args:
        tag: Lower case, as in the item's `type`.
        value: As it was written.
        control: Whose answer it is.
        sheet: The size of the image, as far as the item says it.

    Raises:
        ValueError: It is not valid.
    """
    reader = _READERS.get(tag) or _READERS.get(tag.removesuffix("labels"))
    read = reader(value, control, sheet) if reader else value
    key = tag if tag.endswith("labels") else None
    return {**read, key: _read_labels(read.get(key), control)} if key else read


def _read_labels(names: object, control: Control) -> list[str]:
    listed = [names] if isinstance(names, str) else names
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ValueError("has no list of labels")
    known = [name for name in listed if control.labels is None or name in control.labels]
    if listed and not known:
        raise ValueError(f"has the label {listed[0]!r}, which the config lacks")
    return known


# Shapes on images -----------------------------------------------------------------------------------------------------


def _read_box(value: _Value, _control: Control, sheet: Sheet) -> _Value:
    x, y, width, height, rotation = _read_numbers(value, "x", "y", "width", "height", "rotation")
    end_x, end_y = (x, y) if rotation else (x + width, y + height)
    is_fine = min(x, y) >= 0 and max(end_x, end_y, width, height) <= 100 and min(width, height) > 0
    return {"rotation": 0, **value} if is_fine and 0 <= rotation <= 360 else _redrawn("rectangle", value, sheet)


def _read_numbers(value: _Value, *keys: str) -> list[float]:
    return [0.0 if key == "rotation" and value.get(key) is None else read_number(value, key) for key in keys]


def _redrawn(shape: str, value: _Value, sheet: Sheet) -> _Value:
    """Read a shape and write it again, which cuts it at the image's edge and keeps it within all limits."""
    drawn = SHAPES[shape].encode(SHAPES[shape].decode(value, sheet, ""), sheet)
    if drawn is None:
        raise ValueError("is outside the image")
    return {**value, **drawn}


def _read_ellipse(value: _Value, _control: Control, sheet: Sheet) -> _Value:
    x, y, radius_x, radius_y, rotation = _read_numbers(value, "x", "y", "radiusX", "radiusY", "rotation")
    is_fine = min(x, y) >= 0 and max(x, y) <= 100 and min(radius_x, radius_y) > 0 and max(radius_x, radius_y) <= 50
    return {"rotation": 0, **value} if is_fine and 0 <= rotation <= 360 else _redrawn("ellipse", value, sheet)


def _read_polygon(value: _Value, _control: Control, sheet: Sheet) -> _Value:
    cut = _redrawn("polygon", {**value, "closed": True}, sheet)
    is_inside = all(0 <= number <= 100 for point in value["points"] for number in point)
    return {**value, "closed": True} if is_inside and len(cut["points"]) == len(value["points"]) else cut


def _read_keypoint(value: _Value, _control: Control, sheet: Sheet) -> _Value:
    dot = value.get("width")
    is_seen = isinstance(dot, int | float) and 0 < dot <= 100
    drawn = _redrawn("keypoint", value, sheet)
    return value if is_seen else {**value, "width": drawn["width"]}


def _read_brush(value: _Value, _control: Control, sheet: Sheet) -> _Value:
    """Check the bytes and the number of pixels they stand for; the runs are left alone."""
    listed = value.get("rle")
    if not isinstance(listed, list) or len(listed) < 7:
        raise ValueError("has no rle")
    try:
        num_samples = int.from_bytes(bytes(listed)[:4], "big")
    except (TypeError, ValueError) as error:
        raise ValueError("has an rle that is not a list of bytes") from error
    if sheet.width_px and num_samples != 4 * sheet.width_px * sheet.height_px:
        raise ValueError("has an rle of another size than the image")
    return {**value, "format": "rle"}


def _read_bitmask(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    url = value.get("imageDataURL")
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise ValueError("has no imageDataURL")
    return value


def _read_vector(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    vertices = value.get("vertices")
    if not isinstance(vertices, list) or not vertices:
        raise ValueError("has no vertices")
    for vertex in vertices:
        _object(vertex, "has a vertex that is no object")
        read_number(vertex, "x"), read_number(vertex, "y")
    return {"closed": False, **value}


# Parts of texts, sounds, series and videos ----------------------------------------------------------------------------


def _read_part(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    """Check a start and an end: offsets, seconds, phrase numbers, times or XPaths."""
    start, end = value.get("start"), value.get("end")
    for place in (start, end):
        if isinstance(place, bool) or not isinstance(place, int | float | str):
            raise ValueError("has no start and end")
    for key in ("start", "end"):
        if not isinstance(value[key], str):
            read_number(value, key)
    if isinstance(start, int | float) and isinstance(end, int | float) and start > end:
        raise ValueError("ends before it starts")
    for key in ("startOffset", "endOffset"):
        if (offset := value.get(key)) is not None and (type(offset) is not int or offset < 0):
            raise ValueError(f"has a {key} that is no offset")
    return value


def _read_span(value: _Value, control: Control, sheet: Sheet) -> _Value:
    if "start" not in value:  # it names a shape, with which its geometry was read
        return value
    if value.get("start") is not None and value.get("start") == value.get("end"):
        raise ValueError("is empty")
    return _read_part(value, control, sheet)


def _read_series(value: _Value, control: Control, sheet: Sheet) -> _Value:
    read = _read_part(value, control, sheet)
    return read if isinstance(value.get("instant"), bool) else {**read, "instant": value["start"] == value["end"]}


def _read_ranges(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    ranges = value.get("ranges")
    if not isinstance(ranges, list) or not ranges:
        raise ValueError("has no ranges")
    for each in ranges:
        _object(each, "has a range that is no object")
        if read_number(each, "start") > read_number(each, "end"):
            raise ValueError("has a range that ends before it starts")
    return value


def _read_video_box(value: _Value, control: Control, _sheet: Sheet) -> _Value:
    """Check the key frames; their times follow from their frames where they are missing."""
    frames, duration, sequence = value.get("framesCount"), value.get("duration"), value.get("sequence")
    if type(frames) is not int or frames < 1 or duration is None or not isinstance(sequence, list) or not sequence:
        raise ValueError("needs framesCount, duration and a sequence")
    per_frame = read_number(value, "duration") / frames
    keys = []
    for key in sequence:
        _object(key, "has a key frame that is no object")
        if type(key.get("frame")) is not int:
            raise ValueError("has a key frame without a frame")
        limits = [read_number(key, name) for name in ("x", "y", "width", "height")]
        if max(limits) > 100:
            raise ValueError("has a key frame outside the picture")
        keys.append({"enabled": True, "rotation": 0, "time": key["frame"] * per_frame, **key})
        read_number(keys[-1], "time")
    labels = {"labels": _read_labels(value["labels"], control)} if "labels" in value else {}
    return {**value, "sequence": keys, **labels}


# Answers --------------------------------------------------------------------------------------------------------------


def _read_choices(value: _Value, control: Control, _sheet: Sheet) -> _Value:
    return {**value, "choices": _read_labels(value.get("choices"), control)}


def _read_taxonomy(value: _Value, control: Control, _sheet: Sheet) -> _Value:
    paths = value.get("taxonomy")
    if not isinstance(paths, list) or not all(isinstance(path, list) for path in paths):
        raise ValueError("has no list of paths")
    if not all(isinstance(step, str) for path in paths for step in path):
        raise ValueError("has a path that is not a list of names")
    known = [path for path in paths if control.labels is None or control.labels.issuperset(path)]
    if paths and not known:
        raise ValueError(f"has the path {paths[0]!r}, which the config lacks")
    return {**value, "taxonomy": known}


def _read_rating(value: _Value, control: Control, _sheet: Sheet) -> _Value:
    stars = read_number(value, "rating")
    if not stars.is_integer() or not 0 <= stars <= control.max_rating:
        raise ValueError(f"has a rating that is no whole number from 0 to {control.max_rating}")
    return {**value, "rating": int(stars)}


def _read_number(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    read_number(value, "number")
    return value


def _read_datetime(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    written = value.get("datetime")
    if isinstance(written, list) and len(written) == 1:
        written = written[0]
    if not isinstance(written, str):
        raise ValueError("has no datetime")
    return {**value, "datetime": written}


def _read_text(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    written = value.get("text")
    lines = [written] if isinstance(written, str) else written
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise ValueError("has no list of texts")
    return {**value, "text": lines}


def _read_pairwise(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    if value.get("selected") not in ("left", "right"):
        raise ValueError("selects neither left nor right")
    return value


def _read_ranker(value: _Value, _control: Control, _sheet: Sheet) -> _Value:
    lists = value.get("ranker")
    if not isinstance(lists, Mapping) or not all(
        isinstance(ids, list) and all(isinstance(each, str) for each in ids) for ids in lists.values()
    ):
        raise ValueError("has no lists of ids")
    return value


def _object(found: object, complaint: str) -> None:
    if not isinstance(found, Mapping):
        raise ValueError(complaint)


_READERS: Mapping[str, _Reader] = {
    "rectangle": _read_box,
    "ellipse": _read_ellipse,
    "polygon": _read_polygon,
    "keypoint": _read_keypoint,
    "brush": _read_brush,
    "magicwand": _read_brush,
    "bitmask": _read_bitmask,
    "vector": _read_vector,
    "labels": _read_span,
    "hypertextlabels": _read_part,
    "paragraphlabels": _read_part,
    "timeserieslabels": _read_series,
    "timelinelabels": _read_ranges,
    "videorectangle": _read_video_box,
    "choices": _read_choices,
    "taxonomy": _read_taxonomy,
    "rating": _read_rating,
    "number": _read_number,
    "datetime": _read_datetime,
    "textarea": _read_text,
    "pairwise": _read_pairwise,
    "ranker": _read_ranker,
}
GEOMETRY = frozenset({"rectangle", "ellipse", "polygon", "keypoint", "brush", "bitmask", "vector"})
"""Tags whose regions a <Labels> beside them may name in an item of its own, which repeats the geometry."""
