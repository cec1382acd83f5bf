"""`tandem connect`: connect a Label Studio project to this server, in place of the form in its settings."""

from __future__ import annotations

from typing import Any

import click

from adapters.cli.opening import read_settings
from adapters.cli.reaching import urls
from backend.errors import Denied, Invalid, NotFound, TandemError, Unavailable
from backend.settings import Settings


@click.command()
@click.argument("project", type=click.IntRange(min=1))
@click.option("--url", help="The URL at which Label Studio reaches this server [default: the first that `up` prints].")
@click.option("--title", default="Tandem", show_default=True, help="What Label Studio calls the connection.")
def connect(project: int, url: str | None, title: str) -> None:
    """Connect the Label Studio project with the number PROJECT to this server.

    Needs LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY. A connection with the same URL is brought up to date.
    """
    settings = read_settings()
    if not settings.label_studio_url or not settings.label_studio_api_key.get_secret_value():
        raise Invalid(
            "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY; Label Studio shows a key under Account & Settings"
        )
    url = (url or urls(settings)[0]).rstrip("/")
    state = register(settings, project, url=url, title=title)
    click.echo(f"Project {project} of {settings.label_studio_url} and {url}: {state}.")
    click.echo('For predictions by themselves: project → Settings → Annotation → "Use predictions to prelabel tasks".')


def register(settings: Settings, project: int, *, url: str, title: str) -> str:
    """Make or update the connection in Label Studio; return the state that Label Studio says it is in.

    Raises:
        Denied: Label Studio refused our key, or the URL because its address is private.
        NotFound: There is no such project.
        Invalid: Label Studio could not use the URL; the message is its own.
        Unavailable: Label Studio does not answer.
    """
    import httpx
    from label_studio_sdk import LabelStudio
    from label_studio_sdk.core.api_error import ApiError

    said: dict[str, Any] = {"url": url, "project": project, "title": title}
    if settings.has_basic_auth:
        said |= {
            "auth_method": "BASIC_AUTH",
            "basic_auth_user": settings.basic_auth_user,
            "basic_auth_pass": settings.basic_auth_pass.get_secret_value(),
        }
    try:
        client = LabelStudio(
            base_url=settings.label_studio_url, api_key=settings.label_studio_api_key.get_secret_value()
        )
        known = next((row for row in client.ml.list(project=project) if (row.url or "").rstrip("/") == url), None)
        row = client.ml.create(**said) if known is None else client.ml.update(known.id, **said)
    except ApiError as error:
        raise _worded(error, settings, project) from None
    except httpx.HTTPError as error:
        raise Unavailable(
            f"Label Studio at {settings.label_studio_url} does not answer ({type(error).__name__}); "
            "check LABEL_STUDIO_URL"
        ) from None
    return str(row.readable_state or row.state)


def _worded(error: Any, settings: Settings, project: int) -> TandemError:
    body = error.body if isinstance(error.body, dict) else {}
    problems = [str(problem) for field in (body.get("validation_errors") or {}).values() for problem in field]
    said = " ".join(problems or [str(body.get("detail") or error.body)])[:500]
    if error.status_code == 401:
        return Denied(f"Label Studio at {settings.label_studio_url} refused LABEL_STUDIO_API_KEY: {said}")
    if error.status_code == 403:
        return Denied(
            f"Label Studio refused: {said}. For a private address, start Label Studio with "
            "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
        )
    if error.status_code == 404:
        return NotFound(f"{settings.label_studio_url} has no project {project} that this key may see")
    return Invalid(f"Label Studio answered {error.status_code}: {said}")
