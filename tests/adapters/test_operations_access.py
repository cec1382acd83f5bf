"""Who may do what: every operation of every API, asked by everybody who may not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any

import pytest
from belongings import make_belongings
from databases import Databases
from doubles import InlineQueue
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from adapters.identifiers import PREFIXES
from adapters.operations import Operation
from adapters.web import SPOKEN, create_app
from backend.accounts.service import SCOPES
from backend.ids import new_id
from backend.services import Services
from backend.settings import Settings

Ids = dict[str, str]
"""By name of the parameter."""
OPERATIONS = [operation for api in SPOKEN for operation in api.operations]
OF_SOMETHING = [operation for operation in OPERATIONS if operation.parameters]


@dataclass(frozen=True)
class Scene:
    """Two strangers. Everything asked here is refused, so all tests share it.

    Attributes:
        ids: Of what the first one has.
        keys: The first one's, by what is the matter with them, and the "stranger"'s.
    """

    client: FlaskClient
    ids: Ids
    keys: dict[str, str | None]

    def ask(self, operation: Operation, who: str, ids: Ids) -> TestResponse:
        """Do what an operation is for, with its example where it has one."""
        path = operation.path
        for name in operation.parameters:
            path = path.replace(f"<{name}>", ids[name]).replace(f"<int:{name}>", ids[name])
        key = self.keys[who]
        headers = {"X-Request-Id": "same"} | ({"Authorization": f"Bearer {key}"} if key else {})
        takes_body = operation.body is not None or operation.form is not None
        how = "json" if takes_body else "query_string"
        sent: dict[str, Any] = {how: dict(operation.example)}
        return self.client.open(path, method=operation.method, headers=headers, buffered=True, **sent)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, databases: Databases) -> Iterator[Scene]:
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as stack:
        own = {"database_url": stack.enter_context(databases.make(home)), "label_studio_url": "", "base_url": ""}
        settings = Settings(home=home, device="cpu", redis_url="", basic_auth_user="", **own)
        services = stack.enter_context(closing(Services.build(settings, queue=InlineQueue())))
        accounts = services.accounts
        owner, stranger = (accounts.create_user(f"{name}@example.com") for name in ("ann", "bob"))
        revoked, secret = accounts.mint(owner, "revoked", scopes=SCOPES)
        accounts.revoke(accounts.local(owner), revoked.id)
        keys = {
            "good": accounts.mint(owner, "good", scopes=SCOPES)[1],
            "bare": accounts.mint(owner, "bare", scopes=())[1],
            "revoked": secret,
            "wrong": "mlp_live_" + "a" * 24,
            "none": None,
            "stranger": accounts.mint(stranger, "good", scopes=SCOPES)[1],
        }
        ids = make_belongings(services, owner, home)
        yield Scene(create_app(settings, services).test_client(), ids, keys)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: each.name)
def test_without_a_key_that_is_valid_nothing_happens(scene: Scene, operation: Operation) -> None:
    """M-002, M-004."""
    said = {who: scene.ask(operation, who, scene.ids) for who in ("none", "wrong", "revoked")}

    assert {who: (answer.status_code, code_of(answer)) for who, answer in said.items()} == {
        "none": (401, "UNAUTHENTICATED"),
        "wrong": (401, "API_KEY_INVALID"),
        "revoked": (401, "API_KEY_INVALID"),
    }
    assert all("WWW-Authenticate" in answer.headers for answer in said.values())


@pytest.mark.parametrize("operation", [each for each in OPERATIONS if each.scope], ids=lambda each: each.name)
def test_a_key_without_the_scope_is_told_which_one_it_needs(scene: Scene, operation: Operation) -> None:
    answer = scene.ask(operation, "bare", scene.ids)

    assert (answer.status_code, code_of(answer)) == (403, "INSUFFICIENT_SCOPE")
    assert all(scope in answer.get_data(as_text=True) for scope in operation.scope.split())


@pytest.mark.parametrize("operation", OF_SOMETHING, ids=lambda each: each.name)
def test_what_is_somebody_elses_is_as_unknown_as_what_never_was(scene: Scene, operation: Operation) -> None:
    """S-013: status, body and headers are those of an id that nobody ever had."""
    unknown = {name: PREFIXES[name] + new_id() if name in PREFIXES else "4711" for name in scene.ids}

    somebody_elses, nobodys = (scene.ask(operation, "stranger", ids) for ids in (scene.ids, unknown))

    assert somebody_elses.status_code == nobodys.status_code == 404
    assert told(somebody_elses) == told(nobodys)


@pytest.mark.parametrize("operation", OF_SOMETHING, ids=lambda each: each.name)
def test_what_is_no_id_at_all_is_unknown(scene: Scene, operation: Operation) -> None:
    nonsense = {name: "x" if name in PREFIXES else str(2**80) for name in scene.ids}

    assert scene.ask(operation, "good", nonsense).status_code == 404


def code_of(answer: TestResponse) -> str:
    body = answer.get_json()
    return str(body["error"]["code"] if "error" in body else body["code"])


def told(answer: TestResponse) -> tuple[Any, dict[str, str]]:
    """Return all that a caller learns, but for what differs each time."""
    body = {name: value for name, value in answer.get_json().items() if name != "id"}
    return body, {name: value for name, value in answer.headers.items() if name not in ("RateLimit", "Date")}
