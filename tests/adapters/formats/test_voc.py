from __future__ import annotations

import pytest

from models.labels import Objective

BOX = "<bndbox><xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>70</ymax></bndbox>"


def _file(inside: str, filename: str = "a.jpg") -> str:
    return f"<annotation><filename>{filename}</filename>{inside}</annotation>"


def test_edges_become_boxes(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    cars.bring("voc", {"files": {"x.xml": _file(f"<object><name>car</name>{BOX}</object>")}})

    assert cars.said() == {"a.jpg": [{"label": "car", "bbox": [10, 20, 100, 50]}]}
    assert "<xmin>10</xmin><ymin>20</ymin><xmax>110</xmax><ymax>70</ymax>" in cars.out("voc")["files"]["a.xml"]


def test_a_file_without_objects_says_that_there_are_none(exchange) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    cars.bring("voc", {"files": {"b.xml": "<annotation></annotation>"}})

    assert cars.said() == {"b.jpg": []}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<annotation>",
        "<other/>",
        '<!DOCTYPE a [<!ENTITY b "c">]><annotation><filename>a.jpg</filename></annotation>',
        _file("<size><width>480</width><height>640</height></size>"),
        _file("<object><name>car</name></object>"),
        _file(f"<object><name>car</name>{BOX.replace('110', 'x')}</object>"),
    ],
)
def test_a_broken_file_is_listed(exchange, text: str) -> None:
    cars = exchange(Objective.DETECTION, ["car"])

    imported = cars.bring("voc", {"files": {"a.xml": text}})

    assert imported.num_images == 0
    assert len(imported.problems) == 1
    assert cars.said() == {}
