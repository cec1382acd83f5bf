from __future__ import annotations

from collections.abc import Callable

from flask.testing import FlaskClient

from backend.services import Services


def test_keys_are_listed_without_their_secrets(agent) -> None:
    """M-005."""
    [key] = agent.ok("GET", "/keys")["items"]

    assert key["status"] == "active"
    assert key["id"].startswith("key_")
    assert agent.key not in agent.ask("GET", "/keys").get_data(as_text=True)


def test_a_key_that_may_not_make_keys_is_told_that_people_do(agent) -> None:
    assert agent.error("POST", "/keys", json={"name": "x"})[:2] == (403, "HUMAN_REQUIRED")


def test_ten_keys_may_be_active_and_a_revoked_one_makes_room(make_agent) -> None:
    """M-003."""
    manager = make_agent(scopes=["keys:manage", "projects:read"])
    made = [manager.ok("POST", "/keys", json={"name": f"k{number}"}) for number in range(9)]

    assert manager.error("POST", "/keys", json={"name": "one more"})[:2] == (409, "KEY_LIMIT_REACHED")

    assert manager.ok("DELETE", f"/keys/{made[0]['key']['id']}") is None
    assert manager.ok("POST", "/keys", json={"name": "one more"})["secret"].startswith("mlp_live_")


def test_a_key_never_makes_one_that_may_more_than_itself(make_agent) -> None:
    manager = make_agent(scopes=["keys:manage", "projects:read"])

    made = manager.ok("POST", "/keys", json={"name": "usual"})
    assert made["key"]["scopes"] == ["projects:read"]
    assert manager.error("POST", "/keys", json={"name": "more", "scopes": ["training:write"]})[:2] == (
        403,
        "INSUFFICIENT_SCOPE",
    )


def test_a_revoked_key_is_refused_at_once_by_every_process(
    agent, make_client: Callable[..., FlaskClient], services: Services
) -> None:
    """M-004."""
    other = make_client(queue=services.queue)
    headers = {"Authorization": f"Bearer {agent.key}"}
    assert other.get("/me", headers=headers).status_code == 200

    agent.ok("DELETE", f"/keys/{agent.ok('GET', '/me')['keyId']}")

    assert other.get("/me", headers=headers).get_json()["error"]["code"] == "API_KEY_INVALID"


def test_both_prefixes_open_the_same_doors(make_agent) -> None:
    """S-009."""
    assert make_agent(prefix="mlp_sk_").ok("GET", "/me")["authSource"] == "apiKey"
