from __future__ import annotations

import pytest

from backend.errors import Conflict, Invalid
from models.labels import Objective


@pytest.mark.parametrize(
    "line", ["1 .5 .5 .2 .1", "-1 .5 .5 .2 .1", "0 .5 .5 .2", "0 .5 .5 .2 nan", "0 .5 .5 .2 x", "x"]
)
def test_a_broken_line_is_listed(exchange, line: str) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    imported = cars.bring("yolo", {"classes": ["car"], "files": {"a.txt": f"0 0.5 0.5 0.2 0.1\n\n{line}\n"}})

    assert imported.num_created == 1
    assert [problem.ref for problem in imported.problems] == ["a.txt#3"]
    assert cars.said() == {"a.jpg": [{"label": "car", "bbox": [256, 216, 128, 48]}]}


def test_outlines_have_as_many_points_as_they_need(exchange) -> None:
    parts = exchange(Objective.INSTANCE_SEGMENTATION, ["part"])

    parts.bring("yolo", {"classes": ["part"], "files": {"a.jpg": "0 0 0 0.5 0 0.5 0.5 0 0.5"}})

    assert parts.said() == {"a.jpg": [{"label": "part", "polygon": [[0, 0], [320, 0], [320, 240], [0, 240]]}]}
    assert parts.out("yolo") == {"classes": ["part"], "files": {"a.txt": "0 0 0 0.5 0 0.5 0.5 0 0.5\n"}}


def test_there_are_no_points_and_no_masks(exchange) -> None:
    with pytest.raises(Invalid, match="yolo has no points"):
        exchange(Objective.KEY_POINTS, ["nose"]).bring("yolo", {"classes": [], "files": {}})
    with pytest.raises(Conflict, match="yolo cannot hold"):
        exchange(Objective.SEMANTIC_SEGMENTATION, ["road"]).text("yolo")
