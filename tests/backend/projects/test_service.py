from __future__ import annotations

import pytest
from sqlalchemy import event

from backend.errors import NotFound
from backend.projects.service import OWN_PARAMS, LabelSet, Mirror, Origin, Promotion
from backend.services import Services
from backend.settings import Settings
from models.labels import Label, LabelSchema, Objective

PETS = LabelSchema(Objective.CLASSIFICATION, (Label("cat"), Label("dog")))
MOOD = LabelSchema(Objective.MULTI_LABEL, (Label("calm"), Label("wild")))


def writes(services: Services) -> list[str]:
    statements: list[str] = []

    @event.listens_for(services.database.engine, "before_cursor_execute")
    def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
        if statement.split()[0] in {"INSERT", "UPDATE", "DELETE"}:
            statements.append(statement)

    return statements


def test_a_hundred_equal_set_ups_write_once(services: Services) -> None:  # C-018
    said = {"document": "<View/>", "schemas": {"pet": PETS}, "url": "http://ls", "params": {"a": 1}, "token": "secret"}
    services.projects.mirror("label_studio", "7.1", **said)
    statements = writes(services)

    for _ in range(100):
        services.projects.mirror("label_studio", "7.1", **said)

    assert statements == []


def test_projects_with_equal_numbers_are_told_apart(services: Services) -> None:  # C-021
    first = services.projects.mirror("label_studio", "7.1", document="<View/>", schemas={"pet": PETS})
    second = services.projects.mirror("label_studio", "7.2", document="<View/>", schemas={"mood": MOOD})

    assert first.project.id != second.project.id
    assert [row.name for row in second.label_sets] == ["mood"]


def test_parameters_are_seen_by_every_process(services: Services, settings: Settings) -> None:  # C-020
    services.projects.mirror("label_studio", "7.1", document="<View/>", schemas={}, params={"threshold": 0.4})
    other = Services.build(settings)

    found = other.projects.find("label_studio", "7.1")
    other.close()

    assert found is not None
    assert found.origin.params == {"threshold": 0.4}


def test_a_label_set_that_disappears_comes_back_with_its_version(services: Services, mirror: Mirror) -> None:
    def names(document: str, schemas: dict[str, LabelSchema]) -> list[tuple[str, str]]:
        found = services.projects.mirror("label_studio", "7.1", document=document, schemas=schemas)
        return [(row.name, row.id) for row in found.label_sets]

    before = names("<View/>", {"pet": PETS})
    assert names("<View>a</View>", {"mood": MOOD})[0][0] == "mood"
    assert names("<View>b</View>", {"pet": PETS}) == before


def test_a_token_is_not_stored_in_clear(services: Services) -> None:
    mirror = services.projects.mirror("label_studio", "7.1", document="", schemas={}, token="the-token")

    assert "the-token" not in mirror.origin.token
    assert services.projects.token(mirror.origin) == "the-token"


def test_a_token_that_cannot_be_read_any_more_is_none(services: Services, settings: Settings) -> None:
    mirror = services.projects.mirror("label_studio", "7.1", document="", schemas={}, token="the-token")
    (settings.home / "secret.key").unlink()

    assert services.projects.token(mirror.origin) is None


def test_trust_is_never_lost(services: Services) -> None:
    services.projects.mirror("label_studio", "7.1", document="", schemas={}, is_trusted=True)

    mirror = services.projects.mirror("label_studio", "7.1", document="<View/>", schemas={}, is_trusted=False)

    assert mirror.origin.is_trusted


@pytest.mark.parametrize("name", ["7.1", "7"])
def test_a_project_is_found_by_what_people_call_it(services: Services, mirror: Mirror, name: str) -> None:
    assert services.projects.get(name).project.id == mirror.project.id
    assert services.projects.get(mirror.project.id).project.id == mirror.project.id


def test_a_name_that_fits_several_projects_is_refused(services: Services, mirror: Mirror) -> None:
    services.projects.mirror("label_studio", "7.2", document="", schemas={})

    with pytest.raises(NotFound, match="several"):
        services.projects.get("7")


@pytest.mark.parametrize("name", ["8", "%", "_.1", ""])
def test_a_name_that_fits_nothing_is_refused(services: Services, mirror: Mirror, name: str) -> None:
    with pytest.raises(NotFound, match="there is no project"):
        services.projects.get(name)


def test_contact_is_written_rarely_but_errors_at_once(services: Services, mirror: Mirror) -> None:
    def contact(error: str = "") -> None:
        services.projects.note_contact(services.projects.get(mirror.project.id).origin, error=error)

    statements = writes(services)
    for _ in range(20):
        contact()
    quiet = len(statements)

    contact("no token")
    contact()

    assert quiet == 1
    assert len(statements) == 3


def test_a_policy_changes_only_where_it_is_said(services: Services, mirror: Mirror) -> None:
    services.projects.change(mirror.project.id, promotion=Promotion.MANUAL)
    services.projects.change(mirror.project.id, train_every=0)

    project = services.projects.get("7").project
    assert (project.promotion, project.train_every, project.train_quiet_s) == ("manual", 0, None)


def test_a_label_set_that_the_origin_is_still_to_get_stays_as_it_is(services: Services, mirror: Mirror) -> None:
    changed = LabelSchema(Objective.CLASSIFICATION, (Label("cat"), Label("dog"), Label("cow")))
    with services.database.transaction() as session:
        row = session.get_one(LabelSet, mirror.label_sets[0].id)
        row.labels, row.document = changed.to_json(), "<View>with cows</View>"
        session.add(LabelSet(project_id=row.project_id, name="new", labels=MOOD.to_json(), document="<View>new</View>"))

    said = {"document": "<View>as before</View>", "schemas": {row.name: row.schema for row in mirror.label_sets}}
    found = services.projects.mirror("label_studio", mirror.origin.uid, **said)
    statements = writes(services)
    services.projects.mirror("label_studio", mirror.origin.uid, **said)

    schemas = {row.name: row.schema for row in found.label_sets}
    assert schemas[mirror.label_sets[0].name] == changed
    assert schemas["new"] == MOOD
    assert statements == []


def test_what_we_keep_ourselves_among_the_parameters_stays(services: Services, mirror: Mirror) -> None:
    with services.database.transaction() as session:
        session.get_one(Origin, mirror.project.id).params = {"theirs": 1, OWN_PARAMS: {"ours": 1}}

    said = {"document": mirror.origin.document, "schemas": {row.name: row.schema for row in mirror.label_sets}}
    params = {"theirs": 2, OWN_PARAMS: "forged"}
    found = services.projects.mirror("label_studio", mirror.origin.uid, params=params, **said)

    assert found.origin.params == {"theirs": 2, OWN_PARAMS: {"ours": 1}}
