from __future__ import annotations


def test_everybody_has_a_workspace_of_their_own(agent) -> None:
    [workspace] = agent.ok("GET", "/workspaces")["items"]

    assert workspace["role"] == "owner"
    assert workspace["id"] == agent.ok("GET", "/me")["defaultWorkspaceId"]
    assert workspace["tokens"]["allowance"] is None


def test_members_see_a_shared_workspace_and_strangers_do_not(make_agent, agent, stranger) -> None:
    """M-029."""
    owner = make_agent("olga@example.com", scopes=["team:write"])
    shared = owner.ok("POST", "/workspaces", json={"name": "Lab"})

    assert owner.ok("POST", f"/workspaces/{shared['id']}/members", json={"email": agent.user.email})["email"]

    assert agent.ok("GET", f"/workspaces/{shared['id']}")["role"] == "member"
    foreign = stranger.ask("GET", f"/workspaces/{shared['id']}").get_json()["error"]
    unknown = stranger.ask("GET", "/workspaces/ws_01jd3z6t9q4m8w2v5x7b1c0n3k").get_json()["error"]
    assert foreign == unknown

    member = f"/workspaces/{shared['id']}/members/{agent.ok('GET', '/me')['userId']}"
    assert owner.ok("DELETE", member) is None
    assert agent.error("GET", f"/workspaces/{shared['id']}")[:2] == (404, "NOT_FOUND")


def test_usage_is_told_for_a_month(agent) -> None:
    assert agent.ok("GET", "/usage?period=2026-01") == {
        "period": "2026-01",
        "allowance": None,
        "used": 0,
        "reserved": 0,
        "remaining": None,
        "bundle": 0,
        "entries": [],
    }
    assert agent.error("GET", "/usage?period=yesterday")[:2] == (400, "VALIDATION_ERROR")
