from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from backend.errors import Conflict, NotFound
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import UNTRAINED, ModelVersion, combined_name
from models.labels import LabelSchema, Objective

Label = Callable[[Sequence[str]], None]


@pytest.fixture
def three(services: Services, label: Label, train: Callable[[], str]) -> list[ModelVersion]:
    versions = []
    for number in (5, 6, 7):
        label(["cat"] * number + ["dog"] * 5)
        versions.append(services.versions.get(services.training.get(train()).version_id or ""))
    return versions


def in_use(services: Services, mirror: Mirror) -> str | None:
    return services.projects.get_label_set(mirror.label_sets[0].id).version_id


def test_rolling_back_twice_goes_back_two_versions(
    services: Services, mirror: Mirror, three: list[ModelVersion]
) -> None:
    label_set = mirror.label_sets[0].id

    assert services.versions.roll_back(label_set).id == three[1].id
    assert services.versions.roll_back(label_set).id == three[0].id
    with pytest.raises(Conflict, match="no earlier version"):
        services.versions.roll_back(label_set)
    assert in_use(services, mirror) == three[0].id


def test_a_version_rolled_back_to_is_pinned_until_unpinned(
    services: Services, mirror: Mirror, three: list[ModelVersion]
) -> None:
    label_set = mirror.label_sets[0].id

    services.versions.roll_back(label_set)
    assert services.projects.get_label_set(label_set).is_pinned
    services.versions.unpin(label_set)

    assert not services.projects.get_label_set(label_set).is_pinned


def test_the_history_tells_which_version_answered_when(
    services: Services, mirror: Mirror, three: list[ModelVersion]
) -> None:
    services.versions.pin(three[0])

    history = services.versions.history(mirror.label_sets[0].id)

    assert [row.version_id for row in history] == [*(version.id for version in three), three[0].id]
    assert history[-1].reason == "pinned"


def test_a_version_is_found_by_its_name(services: Services, mirror: Mirror, three: list[ModelVersion]) -> None:
    assert services.versions.named(mirror.project.id, three[1].name).id == three[1].id
    with pytest.raises(NotFound):
        services.versions.named(mirror.project.id, "pet-v9-00000000")


def test_a_checkpoint_folder_has_the_files_of_the_version(services: Services, three: list[ModelVersion]) -> None:
    folder = services.versions.checkpoint(three[0])

    assert sorted(path.name for path in folder.iterdir()) == ["manifest.json", "model.onnx", "weights.pth"]
    assert services.versions.checkpoint(three[0]) == folder


def test_the_combined_name_of_nothing_is_untrained() -> None:
    assert combined_name({}) == UNTRAINED


def test_the_combined_name_of_many_versions_stays_short(three: list[ModelVersion]) -> None:
    one = combined_name({"a": three[0]})
    two = combined_name({"a": three[0], "b": three[1]})
    many = combined_name({str(number): three[number % 3] for number in range(30)})

    assert one == three[0].name
    assert two == f"{three[0].name}+{three[1].name}"
    assert len(many) <= 200


def test_versions_that_only_answer_clicks_predict_nothing(services: Services, mirror: Mirror) -> None:
    clicks = LabelSchema(Objective.CLICK_SEGMENTATION, ())
    schemas = {"pet": mirror.label_sets[0].schema, "clicks:photo": clicks}
    changed = services.projects.mirror("label_studio", "7.1", document="<View></View>", schemas=schemas)
    [label_set] = [row for row in changed.label_sets if row.name == "clicks:photo"]
    version = ModelVersion(
        project_id=changed.project.id,
        label_set_id=label_set.id,
        number=1,
        name="clicks-photo-v1",
        run_id="01run",
        family="click_segmentation",
        labels=label_set.labels,
        settings={},
        libraries={},
        weights_source="random",
        snapshot="0" * 64,
        files={},
        metrics={},
    )
    with services.database.transaction() as session:
        session.add(version)
    services.versions.promote(version, reason="test")
    rows = services.projects.get(changed.project.id).label_sets

    assert services.versions.current(rows) == {}
    assert [each.name for each in services.versions.answering_clicks(rows).values()] == ["clicks-photo-v1"]


def test_what_another_process_promotes_answers_at_once(
    services: Services, settings: Settings, mirror: Mirror, three: list[ModelVersion]
) -> None:
    def current(services: Services) -> list[str]:
        label_sets = services.projects.get(mirror.project.id).label_sets
        return [version.id for version in services.versions.current(label_sets).values()]

    other = Services.build(settings)
    before = current(other)

    services.versions.promote(three[0], reason="test")
    after = current(other)
    other.close()

    assert (before, after) == ([three[2].id], [three[0].id])


def test_a_version_stays_readable_when_the_transaction_it_was_read_in_is_rolled_back(
    services: Services, mirror: Mirror, three: list[ModelVersion]
) -> None:
    label_sets = services.projects.get(mirror.project.id).label_sets

    with services.database.transaction() as session:
        services.versions.current(label_sets)
        session.rollback()

    assert combined_name(services.versions.current(label_sets)) == three[2].name
