from __future__ import annotations

from builders import CONFIG, PROJECT
from pictures import form, photo

from adapters.label_studio.label_config import parse
from backend.services import Services

UNKNOWN = "prj_01jd3z6t9q4m8w2v5x7b1c0n3k"


def test_a_project_is_made_in_the_default_workspace(agent) -> None:
    made = agent.ok("POST", "/projects", json={"name": "demo", "description": "for a test"})

    me = agent.ok("GET", "/me")
    assert made["name"] == "demo"
    assert made["workspaceId"] == me["defaultWorkspaceId"]
    assert made["createdBy"] == me["userId"]
    assert made["imageCount"] == 0
    assert made["splits"] == {"train": 0, "val": 0, "test": 0, "unassigned": 0}
    assert made["labelStudio"] == {"projectId": None, "url": None, "error": None}


def test_the_detail_has_images_label_sets_and_models(agent) -> None:
    project = agent.ok("POST", "/projects", json={"name": "demo"})
    path = f"/projects/{project['id']}"
    agent.ok("POST", f"{path}/images", **form(photo(1), photo(2), split="val"))
    label_set = agent.ok(
        "POST", f"{path}/labelsets", json={"name": "objects", "taskType": "detection", "labels": ["cat"]}
    )

    detail = agent.ok("GET", f"{path}?imageLimit=1")

    assert detail["imageCount"] == detail["splits"]["val"] == 2
    assert len(detail["images"]["items"]) == 1
    assert detail["images"]["hasMore"] is True
    assert detail["labelSets"] == [label_set]
    assert detail["models"] == []
    assert agent.ok("GET", f"{path}?imageLimit=0")["images"]["items"] == []


def test_projects_are_listed_newest_first_and_page_by_page(agent) -> None:
    made = [agent.ok("POST", "/projects", json={"name": f"p{number}"})["id"] for number in range(5)]

    found, cursor = [], ""
    while cursor is not None:
        page = agent.ok("GET", f"/projects?limit=2{cursor and f'&cursor={cursor}'}")
        found += [each["id"] for each in page["items"]]
        cursor = page["nextCursor"]

    assert found == sorted(made, reverse=True)
    assert agent.error("GET", "/projects?cursor=next")[:2] == (400, "VALIDATION_ERROR")


def test_a_project_changes_only_where_it_is_named(agent) -> None:
    project = agent.ok("POST", "/projects", json={"name": "demo", "description": "old"})
    path = f"/projects/{project['id']}"

    changed = agent.ok("PATCH", path, json={"name": "new", "labelStudio": {"projectId": 7, "url": "http://ls"}})

    assert (changed["name"], changed["description"]) == ("new", "old")
    assert agent.ok("GET", path)["labelStudio"] == {"projectId": 7, "url": "http://ls", "error": None}
    assert agent.error("PATCH", path, json={"name": ""})[:2] == (400, "VALIDATION_ERROR")


def test_projects_of_label_studio_belong_to_the_oldest_workspace(agent, stranger, services: Services) -> None:
    schemas = {each.control_name: each.schema for each in parse(CONFIG).bindings}
    services.projects.mirror("label_studio", PROJECT, document=CONFIG, schemas=schemas, url="http://ls:8080")

    [listed] = agent.ok("GET", "/projects")["items"]

    assert listed["labelStudio"] == {"projectId": 7, "url": "http://ls:8080", "error": None}
    assert listed["workspaceId"] == agent.ok("GET", "/me")["defaultWorkspaceId"]
    assert stranger.ok("GET", "/projects")["items"] == []


def test_foreign_projects_look_like_unknown_ones(agent, stranger) -> None:
    """M-029."""
    theirs = agent.ok("POST", "/projects", json={"name": "demo"})
    image = agent.ok("POST", f"/projects/{theirs['id']}/images", **form(photo(1)))["images"][0]
    body = {"name": "objects", "taskType": "detection", "labels": ["cat"]}
    label_set = agent.ok("POST", f"/projects/{theirs['id']}/labelsets", json=body)

    asked = {
        "GET": [
            "/projects/{prj}",
            "/projects/{prj}/images",
            "/projects/{prj}/labelsets",
            "/images/{img}",
            "/images/{img}/file",
            "/images/{img}/file?maxSize=64",
            "/label-sets/{lbs}",
        ],
        "DELETE": ["/projects/{prj}", "/images/{img}", "/label-sets/{lbs}"],
        "PATCH": ["/projects/{prj}", "/images/{img}", "/label-sets/{lbs}"],
        "PUT": ["/projects/{prj}/splits"],
        "POST": ["/projects/{prj}/images", "/projects/{prj}/labelsets"],
    }
    own = {"prj": theirs["id"], "img": image["id"], "lbs": label_set["id"]}
    for method, paths in asked.items():
        for path in paths:
            body = {
                "split": None,
                "images": [{"base64": "AAAA"}],
                "name": "x",
                "taskType": "detection",
                "labels": ["a"],
            }
            options = {} if method == "GET" else {"json": body}
            foreign = stranger.ask(method, path.format(**own), **options)
            unknown = stranger.ask(method, path.format(**{kind: f"{kind}_{UNKNOWN[4:]}" for kind in own}), **options)
            assert (foreign.status_code, unknown.status_code) == (404, 404), (method, path)
            assert foreign.get_json()["error"] == unknown.get_json()["error"], (method, path)
    listed = f"/projects?workspaceId={agent.ok('GET', '/me')['defaultWorkspaceId']}"
    assert stranger.error("GET", listed)[:2] == (404, "NOT_FOUND")
    assert agent.ok("GET", f"/projects/{theirs['id']}")["imageCount"] == 1


def test_a_key_without_the_scope_may_only_read(make_agent) -> None:
    reader = make_agent("ann@example.com", scopes=["projects:read"])

    assert reader.ok("GET", "/projects")["items"] == []
    refused = reader.error("POST", "/projects", json={"name": "demo"})
    assert refused == (403, "INSUFFICIENT_SCOPE", {"requiredScopes": ["projects:write"]})


def test_a_deleted_project_is_gone_with_its_files(agent, services: Services) -> None:
    project = agent.ok("POST", "/projects", json={"name": "demo"})
    other = agent.ok("POST", "/projects", json={"name": "other"})
    both, alone = photo(1), photo(2)
    uploaded = agent.ok("POST", f"/projects/{project['id']}/images", **form(both, alone))["images"]
    agent.ok("POST", f"/projects/{other['id']}/images", **form(both))
    body = {"name": "objects", "taskType": "detection", "labels": ["cat"]}
    label_set = agent.ok("POST", f"/projects/{project['id']}/labelsets", json=body)
    said = {"annotations": [{"label": "cat", "bbox": [1, 1, 9, 9]}]}
    agent.ok("PUT", f"/label-sets/{label_set['id']}/images/{uploaded[0]['id']}/annotations", json=said)
    agent.ok("POST", f"/label-sets/{label_set['id']}/training")

    assert agent.ok("DELETE", f"/projects/{project['id']}") is None

    assert agent.error("GET", f"/projects/{project['id']}")[:2] == (404, "NOT_FOUND")
    assert agent.error("GET", f"/images/{uploaded[0]['id']}")[:2] == (404, "NOT_FOUND")
    assert [services.blobs.has(each["sha256"]) for each in uploaded] == [True, False]


def test_a_project_is_not_deleted_while_a_training_waits(agent) -> None:
    project = agent.ok("POST", "/projects", json={"name": "demo"})
    uploaded = agent.ok("POST", f"/projects/{project['id']}/images", **form(*map(photo, range(4))))["images"]
    body = {"name": "objects", "taskType": "detection", "labels": ["cat"]}
    label_set = agent.ok("POST", f"/projects/{project['id']}/labelsets", json=body)
    for image in uploaded:
        said = {"annotations": [{"label": "cat", "bbox": [1, 1, 9, 9]}]}
        agent.ok("PUT", f"/label-sets/{label_set['id']}/images/{image['id']}/annotations", json=said)
    training = agent.ok("POST", f"/label-sets/{label_set['id']}/training")
    agent.ok("POST", f"/training/{training['id']}/start")

    for path in (f"/projects/{project['id']}", f"/label-sets/{label_set['id']}"):
        assert agent.error("DELETE", path) == (409, "INVALID_STATE", {"status": "queued"})

    agent.ok("POST", f"/training/{training['id']}/cancel")
    assert agent.ok("DELETE", f"/projects/{project['id']}") is None


def test_the_number_of_a_project_is_what_ml_backends_are_added_to(agent) -> None:
    project = agent.ok("POST", "/projects", json={"name": "cats"})
    agent.ok(
        "POST",
        f"/projects/{project['id']}/labelsets",
        json={"name": "kind", "taskType": "classification", "labels": ["a", "b"]},
    )

    added = agent.ask("POST", "/api/ml", json={"project": project["number"], "url": "self"})

    assert (added.status_code, added.json["project"]) == (201, project["number"])
