from __future__ import annotations

import pytest

from backend.errors import Conflict, Invalid
from models.labels import Objective


def test_quotes_and_a_byte_order_mark_are_understood(exchange) -> None:
    kinds = exchange(Objective.CLASSIFICATION, ["a, b"])

    assert kinds.bring("csv", '\ufeffimage,class\n"a.jpg","a, b"\n\n').num_created == 1

    assert kinds.text("csv") == 'filename,label\r\na.jpg,"a, b"\r\n'


def test_one_answer_takes_one_label(exchange) -> None:
    imported = exchange(Objective.CLASSIFICATION, ["a", "b"]).bring("csv", "filename,label\na.jpg,a,b\n")

    assert (imported.num_created, imported.num_skipped) == (1, 1)
    assert imported.problems[0].ref == "a.jpg#2"


def test_shapes_have_no_place_in_it(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    with pytest.raises(Invalid, match="csv has labels"):
        cars.bring("csv", "filename,label\n")
    with pytest.raises(Conflict, match="csv cannot hold"):
        cars.text("csv")
