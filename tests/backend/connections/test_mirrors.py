"""Who works on a mirror, and when."""

from __future__ import annotations

import pytest
from agent_projects import add_images, make_label_set
from doubles import InlineQueue
from pydantic import SecretStr

from backend.connections.mirrors import MirrorLost, Mirrors, Sent
from backend.errors import Unavailable
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    there = {"label_studio_url": "http://label-studio:8080", "label_studio_api_key": SecretStr("key")}
    return settings.model_copy(update={**there, "base_url": "http://tandem:9090"})


@pytest.fixture
def mirrors(services: Services) -> Mirrors:
    return services.mirrors


@pytest.fixture
def project_id(services: Services, mirrors: Mirrors) -> str:
    """A project with an image that somebody wants to be mirrored."""
    user = services.accounts.create_user("ann@example.com")
    _, secret = services.accounts.mint(user, "test")
    principal = services.accounts.authenticate(secret)
    label_set = make_label_set(services, principal.workspace_ids[0])
    add_images(services, label_set, ["red"])
    mirrors.ask(principal, label_set.project_id)
    return label_set.project_id


def test_clocks_that_tick_at_once_ask_for_one_process(mirrors: Mirrors, queue: InlineQueue, project_id: str) -> None:
    mirrors.advance()
    mirrors.advance()
    mirrors._submit(project_id, 0)

    assert list(queue.jobs) == [f"{project_id}-mirror-1"]


def test_a_queue_that_is_down_loses_nothing(mirrors: Mirrors, queue: InlineQueue, project_id: str) -> None:
    queue.is_down = True
    with pytest.raises(Unavailable):
        mirrors.advance()
    queue.is_down = False

    mirrors.advance()

    assert len(queue.jobs) == 1


def test_a_job_that_is_delivered_twice_is_done_once(mirrors: Mirrors, project_id: str) -> None:
    mirrors.advance()
    mirrors.claim(project_id, 1)

    with pytest.raises(MirrorLost):
        mirrors.claim(project_id, 1)


def test_what_failed_rests(mirrors: Mirrors, queue: InlineQueue, project_id: str) -> None:
    mirrors.advance()
    mirrors.claim(project_id, 1)
    mirrors.end(project_id, 1, error="Label Studio does not answer.", rest_s=30)
    queue.jobs.clear()

    mirrors.advance()

    assert queue.jobs == {}


def test_where_all_is_done_nobody_works(
    services: Services, mirrors: Mirrors, queue: InlineQueue, project_id: str
) -> None:
    mirrors.advance()
    mirrors.claim(project_id, 1)
    mirrors.move_in(project_id, 1, uid="7.1795203195", url="http://label-studio:8080")
    [task] = mirrors.unsent(project_id, 10)
    mirrors.note_sent(project_id, 1, {task.id: Sent("41", "http://tandem:9090/images/…", None)})
    mirrors.tell(project_id, 1, is_connected=True)
    mirrors.end(project_id, 1)
    queue.jobs.clear()

    mirrors.advance()

    assert queue.jobs == {}
    assert mirrors.newest_sent(project_id) == 41
