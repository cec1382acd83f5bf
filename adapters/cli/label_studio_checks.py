"""What `tandem doctor` looks at in Label Studio: token, connection, webhook, labelling config, access to media."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import requests

from adapters.cli.banner import ALLOW_PRIVATE, ALLOW_PRIVATE_OTHERWISE, ask_label_studio, needed_settings
from adapters.cli.findings import Finding, broken, doubtful, fine
from adapters.cli.opening import NO_PROJECTS, opened_services
from adapters.cli.reaching import ask_health, urls
from adapters.label_studio.access import KIND, Access
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.label_config import LabelConfig, parse
from adapters.label_studio.wire import ProjectUid
from backend.errors import TandemError
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from models.labels import Medium

_ALLOW = f"start Label Studio with {ALLOW_PRIVATE} (or {ALLOW_PRIVATE_OTHERWISE})"


def check_label_studio(settings: Settings) -> Iterator[Finding]:
    """Ask Label Studio who we are."""
    state = ask_label_studio(settings)
    if not settings.label_studio_url:
        yield doubtful("label studio", state.text, "set both; the key is a personal access token (Account & Settings)")
    elif state.problem:
        yield broken("label studio", state.problem)
    else:
        yield fine("label studio", state.text)


def check_address(settings: Settings) -> Iterator[Finding]:
    """Say whether Label Studio, left as it is, refuses to call us."""
    if needed_settings(urls(settings)):
        yield doubtful(
            "address", "some of our addresses are private; Label Studio 1.23.1 and later refuses those", _ALLOW
        )
    else:
        yield fine("address", "public")


def check_projects(settings: Settings) -> Iterator[Finding]:
    """Look at each project that has connected: its config, the connection as Label Studio sees it, and one image."""
    with opened_services() as services:
        known = [project for project in services.projects.all() if project.origin.kind == KIND]
        if not known:
            yield doubtful("projects", "none has connected", NO_PROJECTS)
        for project in known:
            yield from _check_project(settings, services, project)


def _check_project(settings: Settings, services: Services, project: Mirror) -> Iterator[Finding]:
    subject = f"project {project.project.title}"
    try:
        config = parse(project.origin.document)
        yield from _check_config(subject, config)
        client = Access(services).client(project.origin)
        if client is None:
            yield doubtful(subject, "its Label Studio is not known", "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY")
            return
        project_id = ProjectUid.parse(project.origin.uid).id
        yield from _check_connection(subject, settings, client, project_id)
        yield from _check_media(subject, services, project, config, _first_task(client, project_id))
    except TandemError as error:
        yield broken(subject, error.message)


def _check_config(subject: str, config: LabelConfig) -> Iterator[Finding]:
    for binding in config.bindings:
        what = "numbers" if binding.schema.scale else f"{len(binding.schema.names)} labels"
        yield fine(subject, f"learns {binding.control_name!r}: {what}")
    for control in config.unlearnable:
        advice = "" if config.bindings else "nothing in this labelling config can be learnt"
        yield doubtful(subject, f"{control.control_name!r} {control.reason}", advice)


def _check_connection(subject: str, settings: Settings, client: LabelStudio, project_id: int) -> Iterator[Finding]:
    """Let Label Studio say how its connections fare: listing them makes it call /health and /setup of each."""
    connections = _get(client, f"/api/ml?project={project_id}")
    if not connections:
        yield doubtful(subject, "Label Studio has no connection to an ML backend there", NO_PROJECTS)
    for connection in connections:
        url = str(connection.get("url", ""))
        state = connection.get("readable_state") or connection.get("state")
        if connection.get("state") in ("CO", "TR", "PR"):
            yield fine(subject, f"Label Studio reaches {url}: {state}")
            yield from _check_webhook(subject, client, project_id, url)
        elif ask_health(settings, url).is_up:
            yield broken(
                subject,
                f"{url} answers here, but Label Studio says {state}: {connection.get('error_message') or 'no reason'}",
                f"if the address is private, {_ALLOW}; else check user, password and the network between",
            )
        else:
            yield broken(
                subject,
                f"Label Studio says {state} about {url}, and nothing there knows our credentials",
                f"enter one of {', '.join(urls(settings))} with user and password of this server",
            )


def _check_webhook(subject: str, client: LabelStudio, project_id: int, url: str) -> Iterator[Finding]:
    wanted = f"{url.rstrip('/')}/webhook"
    rows = _get(client, f"/api/webhooks/?project={project_id}")
    if any(str(row.get("url", "")).split("?")[0] == wanted and row.get("is_active") for row in rows):
        yield fine(subject, "Label Studio has an active webhook to us")
    else:
        yield doubtful(
            subject,
            f"Label Studio has no active webhook to {wanted}",
            "training starts by hand only; delete the connection and make it again, or add the webhook yourself "
            "(project → Settings → Webhooks)",
        )


def _check_media(
    subject: str, services: Services, project: Mirror, config: LabelConfig, task: dict[str, Any] | None
) -> Iterator[Finding]:
    """Fetch the media of one task as training does, without a cache."""
    fetched = [binding for binding in config.bindings if binding.schema.medium is Medium.IMAGE or binding.is_address]
    if config.bindings and not fetched:
        yield fine(subject, "its tasks hold their texts themselves; nothing has to be fetched")
        return
    data = task.get("data", {}) if task else {}
    uri = next((found for binding in fetched if isinstance(found := binding.find_data(data), str)), None)
    if task is None or uri is None:
        yield doubtful(subject, "no task with media to try", "import some")
        return
    with tempfile.TemporaryDirectory(prefix="tandem-doctor-") as folder:
        elsewhere = services.settings.model_copy(update={"home": Path(folder)})
        file = Access(replace(services, settings=elsewhere)).media(project.origin).fetch(uri, task_id=task["id"])
        yield fine(subject, f"media of task {task['id']} can be fetched ({file.path.stat().st_size:,} bytes)")


def _first_task(client: LabelStudio, project_id: int) -> dict[str, Any] | None:
    # `review` keeps Label Studio from asking its ML backend, us, for a prediction of the task.
    found = _get(
        client, f"/api/tasks/?project={project_id}&page=1&page_size=1&fields=all&review=true&resolve_uri=false"
    )
    tasks = found.get("tasks", []) if isinstance(found, dict) else found
    return tasks[0] if tasks else None


def _get(client: LabelStudio, path: str) -> Any:
    """Return what Label Studio answers; nothing where it answers without JSON or with an error."""
    with client.open(f"{client.url}{path}", {"Accept": "application/json"}) as response:
        if response.status_code == 401:
            raise client.refusal()
        try:
            return response.json() if response.ok else []
        except requests.RequestException:
            return []
