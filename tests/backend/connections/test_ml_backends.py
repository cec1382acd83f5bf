"""The registry of ML backends: whose they are, how their projects are counted, what they are doing."""

from __future__ import annotations

import pytest

from backend.accounts.service import Principal
from backend.connections.ml_backends import SELF, MLBackend
from backend.errors import Invalid, NotFound
from backend.inference.job import PredictionJob
from backend.projects.service import Mirror, Origin, Project
from backend.services import Services
from backend.storage.database import next_number
from backend.training.run import RunState


@pytest.fixture
def principal(services: Services) -> Principal:
    return services.accounts.local(services.accounts.create_user("ann@example.com"))


@pytest.fixture
def stranger(services: Services, principal: Principal) -> Principal:
    return services.accounts.local(services.accounts.create_user("bob@example.com"))


@pytest.fixture
def backend(services: Services, principal: Principal, mirror: Mirror) -> MLBackend:
    made = services.ml_backends.create(principal, MLBackend(project_id=mirror.project.id, url=SELF))
    return services.ml_backends.note(made, is_reachable=True, error=None)


def own_project(services: Services, *, number: int | None = None) -> Project:
    """Make a project that does not live in Label Studio."""
    with services.database.transaction() as session:
        project = Project(number=number or next_number(session, "project"), title="toys")
        session.add(project)
        session.flush()
        session.add(Origin(project_id=project.id, kind="mlp", uid=project.id))
    return project


def test_a_project_in_label_studio_has_the_number_that_it_has_there(
    services: Services, principal: Principal, mirror: Mirror, backend: MLBackend
) -> None:
    found = services.ml_backends.find_project(principal, 7)

    assert found is not None
    assert found.id == mirror.project.id
    assert services.ml_backends.project_number(backend) == 7
    assert services.ml_backends.find_project(principal, mirror.project.number) is None


def test_a_project_that_was_made_here_has_our_number(services: Services, principal: Principal) -> None:
    project = own_project(services, number=41)

    found = services.ml_backends.find_project(principal, 41)

    assert found is not None
    assert found.id == project.id


def test_a_number_that_both_use_is_label_studios(services: Services, principal: Principal, mirror: Mirror) -> None:
    own_project(services, number=7)

    found = services.ml_backends.find_project(principal, 7)

    assert found is not None
    assert found.id == mirror.project.id


def test_of_several_installations_the_one_that_called_last_is_meant(
    services: Services, principal: Principal, mirror: Mirror
) -> None:
    other = services.projects.mirror("label_studio", "7.2", document="<View/>", schemas={})
    services.projects.note_contact(other.origin)
    services.projects.note_contact(mirror.origin)

    found = services.ml_backends.find_project(principal, 7)

    assert found is not None
    assert found.id == mirror.project.id


def test_what_belongs_to_others_is_not_there(
    services: Services, principal: Principal, stranger: Principal, mirror: Mirror, backend: MLBackend
) -> None:
    registry = services.ml_backends

    assert registry.find_project(stranger, 7) is None
    assert registry.all(stranger) == []
    for ask in (registry.get, registry.delete, registry.change):
        with pytest.raises(NotFound):
            ask(stranger, backend.id)
    with pytest.raises(NotFound):
        registry.create(stranger, MLBackend(project_id=mirror.project.id, url="http://a"))
    assert [found.id for found in registry.all(principal)] == [backend.id]


def test_a_url_is_registered_once_in_a_project(
    services: Services, principal: Principal, mirror: Mirror, backend: MLBackend
) -> None:
    other = services.ml_backends.create(principal, MLBackend(project_id=mirror.project.id, url="http://a"))

    with pytest.raises(Invalid):
        services.ml_backends.create(principal, MLBackend(project_id=mirror.project.id, url=SELF))
    with pytest.raises(Invalid):
        services.ml_backends.change(principal, other.id, url=SELF)


def test_a_password_is_not_stored_as_it_is(services: Services, principal: Principal, backend: MLBackend) -> None:
    changed = services.ml_backends.change(principal, backend.id, password="correct horse")
    kept = services.ml_backends.change(principal, backend.id, title="other")
    gone = services.ml_backends.change(principal, backend.id, password="")

    assert "correct" not in changed.basic_auth_pass
    assert services.ml_backends.password(kept) == "correct horse"
    assert (gone.basic_auth_pass, services.ml_backends.password(gone)) == ("", "")


def test_a_version_is_followed_only_where_that_is_wanted(
    services: Services, principal: Principal, backend: MLBackend
) -> None:
    followed = services.ml_backends.note(backend, is_reachable=True, error=None, model_version="v1")
    fixed = services.ml_backends.change(principal, backend.id, auto_update=False)
    services.ml_backends.note(fixed, is_reachable=True, error=None, model_version="v2")

    assert followed.model_version == "v1"
    assert services.ml_backends.get(principal, backend.id).model_version == "v1"


def test_what_is_noted_of_a_backend_that_is_gone_is_forgotten(
    services: Services, principal: Principal, backend: MLBackend
) -> None:
    services.ml_backends.delete(principal, backend.id)

    services.ml_backends.note(backend, is_reachable=False, error="down")

    assert services.ml_backends.all(principal) == []


def test_work_counts_more_than_an_error_and_silence_more_than_work(
    services: Services, principal: Principal, mirror: Mirror, backend: MLBackend
) -> None:
    """N-008, N-009."""
    registry = services.ml_backends
    [run] = services.training.wish(mirror.project.id, reason="test")
    job = PredictionJob(project_id=mirror.project.id, version_name="v", versions={})
    with services.database.transaction() as session:
        session.add(job)
    registry.note_training(backend, [run.id])
    registry.note_predicting(backend, job.id)

    def state() -> str:
        return registry.state(registry.get(principal, backend.id)).state.value

    registry.note(registry.get(principal, backend.id), is_reachable=True, error="old")
    seen = [state()]
    registry.note(registry.get(principal, backend.id), is_reachable=False, error="silent")
    seen.append(state())
    registry.note(registry.get(principal, backend.id), is_reachable=True, error="old")
    services.training.cancel(run.id)
    seen.append(state())
    services.prediction_jobs.cancel(job.id)
    seen.append(state())
    registry.note(registry.get(principal, backend.id), is_reachable=True, error=None)
    seen.append(state())

    assert seen == ["TR", "DI", "PR", "ER", "CO"]


def test_a_run_that_failed_is_an_error_until_another_is_asked_for(
    services: Services, principal: Principal, mirror: Mirror, backend: MLBackend
) -> None:
    """N-009."""
    registry = services.ml_backends
    [run] = services.training.wish(mirror.project.id, reason="test")
    registry.note_training(backend, [run.id])
    services.training.advance()
    services.training.end(services.training.claim(run.id, 1, state=RunState.RUNNING), RunState.FAILED, error="no disk")

    failed = registry.state(registry.get(principal, backend.id))
    registry.note_training(backend, [])

    assert (failed.state.value, failed.error_message) == ("ER", "no disk")
    assert registry.state(registry.get(principal, backend.id)).state.value == "CO"
