from __future__ import annotations

import pytest

from adapters.formats.catalogue import Ambiguous, Catalogue
from backend.datasets.annotations import Picture

ID = "01jd3z6t9q4m8w2v5x7b1c0n3k"
OTHER = "01jd3z6t9q4m8w2v5x7b1c0n3m"


def _picture(task_id: str, filename: str, *sources: str) -> Picture:
    return Picture(task_id, filename, sources, 640, 480, None)


@pytest.mark.parametrize(
    "name",
    ["cat.jpg", "train/cat.jpg", r"C:\data\cat.jpg", "cat.txt", "cat", "http://host/a/cat.jpg?token=x", "cat.png"],
)
def test_an_image_is_found_by_any_spelling_of_its_name(name: str) -> None:
    assert Catalogue([_picture(ID, "cat.jpg")]).by_name(name) is not None


@pytest.mark.parametrize("name", ["cats.jpg", "", None, 7, "cat.jpg.zip.tar", "/", "jpg"])
def test_another_name_finds_nothing(name: object) -> None:
    assert Catalogue([_picture(ID, "cat.jpg")]).by_name(name) is None


@pytest.mark.parametrize("written", [f"img_{ID}", f"img_{ID}.jpg", f"http://here/images/img_{ID}/file?sig=1", ID])
def test_an_image_is_found_by_any_spelling_of_its_id(written: str) -> None:
    assert Catalogue([_picture(ID, "cat.jpg")]).by_id(written) is not None


def test_an_address_decides_between_images_of_the_same_name() -> None:
    catalogue = Catalogue([_picture(ID, "", "/data/1/cat.jpg"), _picture(OTHER, "", "/data/2/cat.jpg")])

    found = catalogue.by_name("/data/2/cat.jpg")

    assert found is not None
    assert found.task_id == OTHER
    with pytest.raises(Ambiguous):
        catalogue.by_name("cat.jpg")


def test_a_name_that_means_several_is_not_used() -> None:
    first, second = _picture(ID, "cat.jpg"), _picture(OTHER, "cat.png")

    assert Catalogue([first]).name(first) == "cat.jpg"
    assert Catalogue([first, second]).name(first) == f"img_{ID}.jpg"
