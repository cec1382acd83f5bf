from __future__ import annotations

from pathlib import Path

from labelled_projects import make_label_set, make_project
from trained_projects import add_training, build_detector, paint, upload

from backend.errors import Conflict, NotFound
from backend.predictions.answers import Answer, Answers, settled
from backend.services import Services
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice, Number

COLOURS = LabelSchema(Objective.CLASSIFICATION, (Label("Red", ("crimson",)), Label("green")))


def test_labels_are_those_that_the_label_set_has_now() -> None:
    found = settled([Choice("gone", 0.9), Choice("crimson", 0.8), Choice("GREEN", 0.7)], COLOURS, threshold=0.0)

    assert found == (Choice("Red", 0.8),)


def test_a_region_without_a_score_is_sure() -> None:
    assert settled([Choice("green")], COLOURS, threshold=1.0) == (Choice("green"),)


def test_a_number_has_no_label_to_lose() -> None:
    schema = LabelSchema(Objective.REGRESSION, ())

    assert settled([Number(3.0, 0.4)], schema, threshold=0.25) == (Number(3.0, 0.4),)


def test_files_that_are_not_here_do_not_disturb_the_others(services: Services, tmp_path: Path) -> None:
    label_set = make_label_set(services, make_project(services), Objective.DETECTION, ["red", "green"])
    run = add_training(services, label_set, build_detector(tmp_path / "detector", label_set.schema))
    there, missing, elsewhere = (upload(services, label_set, paint({(at, 0): 0})) for at in range(3))
    assert missing.content is not None
    services.blobs.remove(missing.content)
    elsewhere.content, elsewhere.media = None, {"image": {"source": "s3://b/c.png", "sha256": None}}
    version = services.versions.get(run.version_id or "")

    first, second, third = Answers(services.inference, services.blobs).find(
        version, label_set, [there, missing, elsewhere], threshold=0.5
    )

    assert isinstance(first, Answer)
    assert [region.label for region in first.regions] == ["red"]
    assert isinstance(second, NotFound)
    assert isinstance(third, Conflict)
