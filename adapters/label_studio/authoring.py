"""What is written to a Label Studio server besides predictions: projects, configs, tasks, connections to us."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from adapters.label_studio.client import LabelStudio, LabelStudioProject
from backend.errors import Denied, Invalid

_TITLE_LENGTHS = (3, 50)
_PROJECTS_PER_PAGE = 100


def create_project(client: LabelStudio, title: str, *, description: str, config: str) -> LabelStudioProject:
    """Make a project.

    Raises:
        Invalid: Label Studio finds fault with the config; the message says why.
        Denied, Unavailable: See `LabelStudio.fetch_annotated_tasks`.
    """
    shortest, longest = _TITLE_LENGTHS
    fitting = title if len(title) <= longest else f"{title[: longest - 1]}…"
    body = {"title": fitting.ljust(shortest, "."), "description": description, "label_config": config}
    return _project(_send(client, "POST", "/api/projects/", body))


def find_project(client: LabelStudio, description: str) -> LabelStudioProject | None:
    """Return the project whose description has a text in it, if there is one.

    Raises:
        Denied, Unavailable: See `LabelStudio.fetch_annotated_tasks`.
    """
    page = 1
    while True:
        found = _send(client, "GET", f"/api/projects/?page={page}&page_size={_PROJECTS_PER_PAGE}")
        for each in found["results"]:
            if description in (each.get("description") or ""):
                return _project(each)
        if not found.get("next"):
            return None
        page += 1


def change_config(client: LabelStudio, project_id: int, config: str) -> None:
    """Give a project another labelling config.

    Raises:
        Invalid: Label Studio finds fault with it; the message says why.
        NotFound, Denied, Unavailable: See `LabelStudio.fetch_annotated_tasks`.
    """
    _send(client, "PATCH", f"/api/projects/{project_id}/", {"label_config": config})


def import_tasks(client: LabelStudio, project_id: int, tasks: Sequence[Mapping[str, Any]]) -> None:
    """Store tasks, all or none; each has ``data`` and may have ``annotations``.

    Raises:
        Invalid: Label Studio finds fault with one; the message says why.
        NotFound, Denied, Unavailable: See `LabelStudio.fetch_annotated_tasks`.
    """
    _send(client, "POST", f"/api/projects/{project_id}/import", list(tasks))


def connect(client: LabelStudio, project_id: int, url: str, *, title: str, login: tuple[str, str] | None) -> None:
    """Make an ML backend known to a project, or bring what it knows up to date; Label Studio calls it meanwhile.

    Args:
        client: The server.
        project_id: The project.
        url: Of the backend.
        title: What people see.
        login: User and password that Label Studio shall say to the backend.

    Raises:
        Invalid: Label Studio cannot use the backend; the message says why.
        NotFound, Denied, Unavailable: See `LabelStudio.fetch_annotated_tasks`.
    """
    body: dict[str, Any] = {"project": project_id, "url": url, "title": title, "is_interactive": True}
    if login is not None:
        body |= {"auth_method": "BASIC_AUTH", "basic_auth_user": login[0], "basic_auth_pass": login[1]}
    known = _send(client, "GET", f"/api/ml/?project={project_id}")
    same = next((each["id"] for each in known if str(each["url"]).rstrip("/") == url), None)
    if same is None:
        _send(client, "POST", "/api/ml/", body)
    else:
        _send(client, "PATCH", f"/api/ml/{same}", body)


def _project(found: Mapping[str, Any]) -> LabelStudioProject:
    return LabelStudioProject(
        id=int(found["id"]),
        title=str(found["title"] or ""),
        label_config=str(found["label_config"] or ""),
        created_at=datetime.fromisoformat(found["created_at"]),
    )


def _send(client: LabelStudio, method: str, path: str, body: Any = None) -> Any:
    content = b"" if body is None else json.dumps(body).encode()
    headers = {"Accept": "application/json", "Content-Type": "application/json"}
    with client.forward(method, path, headers=headers, content=content) as response:
        if response.status_code == 400:
            raise Invalid(f"Label Studio refused: {_said(response.text)}", code="refused_by_label_studio")
        if response.status_code == 403:
            raise Denied(
                f"Label Studio refused: {_said(response.text)} Where this is about a private address, start Label "
                "Studio with ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false; else the user of "
                "LABEL_STUDIO_API_KEY may not do this."
            )
        return response.json() if response.status_code == 201 else client.read_json(response)


def _said(text: str) -> str:
    """Return the sentences of an error of Label Studio."""
    try:
        body = json.loads(text)
        problems = [str(each) for field in (body.get("validation_errors") or {}).values() for each in field]
        return " ".join(problems or [str(body["detail"])])[:500]
    except (ValueError, AttributeError, KeyError, TypeError):
        return text[:500]
