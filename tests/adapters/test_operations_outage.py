"""What still works while Redis is down, and lists that change while they are read."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from belongings import make_belongings
from flask.testing import FlaskClient

from adapters.operations import Effect, Operation
from adapters.web import SPOKEN
from backend.accounts.service import SCOPES
from backend.services import Services

READS = [o for api in SPOKEN for o in api.operations if o.effect is Effect.READ and o.method == "GET"]
PATIENCE_S = 5.0


@pytest.fixture
def without_redis(make_client: Callable[..., FlaskClient]) -> FlaskClient:
    """A caller of a server whose Redis does not answer."""
    return make_client(redis_url="redis://127.0.0.1:1/0")


@pytest.fixture
def headers(services: Services) -> dict[str, str]:
    owner = services.accounts.find_user("ann@example.com") or services.accounts.create_user("ann@example.com")
    return {"Authorization": f"Bearer {services.accounts.mint(owner, 'test', scopes=SCOPES)[1]}"}


@pytest.fixture
def ids(services: Services, headers: dict[str, str], tmp_path: Path) -> dict[str, str]:
    [owner] = services.accounts.users()
    return make_belongings(services, owner, tmp_path)


def path_of(operation: Operation, ids: dict[str, str]) -> str:
    path = operation.path
    for name in operation.parameters:
        path = path.replace(f"<{name}>", ids[name]).replace(f"<int:{name}>", ids[name])
    return path


def test_reads_and_discovery_work_while_redis_is_down(
    without_redis: FlaskClient, headers: dict[str, str], ids: dict[str, str]
) -> None:
    """S-017."""
    told = {}
    for operation in READS:
        started = time.monotonic()
        answer = without_redis.get(
            path_of(operation, ids), headers=headers, query_string=dict(operation.example), buffered=True
        )
        told[operation.name] = answer.status_code
        assert time.monotonic() - started < PATIENCE_S, operation.name
    public = ("/agents.md", "/auth.md", "/llms.txt", "/openapi.json", "/docs", "/health")
    for path in public:
        told[path] = without_redis.get(path, buffered=True).status_code

    assert {name: status for name, status in told.items() if status >= 400} == {}


def test_a_training_does_not_start_and_says_so_at_once_while_redis_is_down(
    without_redis: FlaskClient, headers: dict[str, str], ids: dict[str, str]
) -> None:
    """S-017: it stays pending, so that it can be started later."""
    label_set = f"/label-sets/{ids['label_set_id']}"
    images = without_redis.get(f"/projects/{ids['project_id']}/images", headers=headers).get_json()["data"]["items"]
    for number, image in enumerate(images):
        said = {"annotations": [{"label": ("red", "green")[number % 2]}]}
        path = f"{label_set}/images/{image['id']}/annotations"
        assert without_redis.put(path, headers=headers, json=said).status_code == 200
    described = without_redis.post(f"{label_set}/training", headers=headers, json={}).get_json()["data"]
    started = time.monotonic()

    refused = without_redis.post(f"/training/{described['id']}/start", headers=headers)

    assert (refused.status_code, refused.get_json()["error"]["code"]) == (503, "QUEUE_UNAVAILABLE")
    assert time.monotonic() - started < PATIENCE_S
    assert without_redis.get(f"/training/{described['id']}", headers=headers).get_json()["data"]["status"] == "pending"


@pytest.mark.parametrize("limit", [1, 2])
def test_pages_neither_repeat_nor_skip_what_was_there_while_more_comes(
    client: FlaskClient, headers: dict[str, str], limit: int
) -> None:
    """S-012."""

    def create(name: str) -> str:
        return str(client.post("/projects", headers=headers, json={"name": name}).get_json()["data"]["id"])

    there = [create(f"project {number}") for number in range(5)]
    seen: list[Any] = []
    cursor: str | None = None
    while True:
        query = {"limit": limit} | ({"cursor": cursor} if cursor else {})
        page = client.get("/projects", headers=headers, query_string=query).get_json()["data"]
        seen += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
        if not page["hasMore"]:
            break
        create("meanwhile")

    assert seen == there[::-1]
