"""What `tandem up` says when it is ready: where to connect, who may, and what Label Studio needs."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass

from adapters.cli.answers import console
from adapters.cli.opening import schema_problem
from adapters.cli.reaching import FROM_DOCKER, urls
from backend.errors import TandemError
from backend.settings import LogFormat, Settings

log = logging.getLogger(__name__)

ALLOW_PRIVATE = "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"
"""What Label Studio needs in its environment, since 1.23.1, to talk to a backend at a private address."""
ALLOW_PRIVATE_OTHERWISE = "USE_DEFAULT_BANNED_SUBNETS=false"
FIRST_KEY = "tandem keys create --user you@example.com"
"""What makes the first user, and a key for their agents."""


@dataclass(frozen=True)
class LabelStudioState:
    """How our calls to Label Studio fare; `problem` is empty where they are answered."""

    text: str
    problem: str = ""


def announce(settings: Settings) -> None:
    """Say that the server is ready, then how Label Studio answers: lines for people on a terminal, else log lines."""
    addresses = urls(settings)
    if _is_for_people(settings):
        _print(settings, addresses)
    else:
        log.info(
            "server ready",
            extra={
                "urls": addresses,
                "basic_auth": settings.has_basic_auth,
                "webhooks": webhook_rule(settings),
                "home": str(settings.home),
                "label_studio_needs": needed_settings(addresses),
            },
        )
    if not _has_users(settings):
        _announce_first_key(settings)
    state = ask_label_studio(settings)
    if _is_for_people(settings):
        console().print(f"  Label Studio    {state.text}", markup=False, soft_wrap=True)
    elif state.problem:
        log.warning("label studio not usable", extra={"reason": state.problem})
    else:
        log.info("label studio asked", extra={"answer": state.text})


def _has_users(settings: Settings) -> bool:
    from backend.accounts.first_user import has_users

    try:
        return schema_problem(settings) is not None or has_users(settings)
    except TandemError:  # then others have told already
        return True


def _announce_first_key(settings: Settings) -> None:
    if _is_for_people(settings):
        console().print(f"  {'Agents':<16}no keys yet; make the first: {FIRST_KEY}", markup=False, soft_wrap=True)
    else:
        log.info("no keys for agents yet", extra={"to_make_one": FIRST_KEY})


def needed_settings(addresses: list[str]) -> str | None:
    """Return the settings without which Label Studio refuses some of the URLs, or None."""
    from urllib.parse import urlsplit

    from adapters.label_studio.addresses import is_private_address

    hosts = [urlsplit(url).hostname or "" for url in addresses]
    if any(host == FROM_DOCKER or is_private_address(host) for host in hosts):
        return ALLOW_PRIVATE
    return None


def webhook_rule(settings: Settings) -> str:
    """Say whose webhook events are accepted (WEBHOOK_AUTH)."""
    from adapters.http import BasicAuth
    from adapters.label_studio.webhook_auth import WebhookDoor

    auth = BasicAuth(settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())
    return f"{settings.webhook_auth}: {WebhookDoor(settings, auth).rule}"


def ask_label_studio(settings: Settings) -> LabelStudioState:
    """Ask the Label Studio of LABEL_STUDIO_URL who we are there."""
    if not settings.label_studio_url:
        problem = (
            "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set: annotations and uploaded images cannot be read"
        )
        return LabelStudioState(problem, problem)
    from adapters.label_studio.client import LabelStudio

    try:
        client = LabelStudio(
            settings.label_studio_url,
            settings.label_studio_api_key.get_secret_value(),
            verify=settings.verify_tls,
        )
        user = client.whoami()
        return LabelStudioState(f"{client.version()} at {client.url}, as {user} with a {client.key_kind}")
    except TandemError as error:
        return LabelStudioState(error.message, error.message)


def _print(settings: Settings, addresses: list[str]) -> None:
    terminal = console()

    def say(title: str, text: str) -> None:
        terminal.print(f"  {title:<16}{text}", markup=False, soft_wrap=True)

    terminal.print("\n[bold green]Tandem is ready.[/] Paste into Label Studio (project → Settings → Model → Connect):")
    for url in addresses:
        note = "   (Label Studio in Docker on this machine)" if FROM_DOCKER in url else ""
        terminal.print(f"  [bold cyan]{url}[/]{note}", soft_wrap=True)
    terminal.print()
    if settings.has_basic_auth:
        say("Basic auth", f"on, user {settings.basic_auth_user!r}; enter it with its password in the connection")
    else:
        say("Basic auth", "off: whoever reaches this port may use it (BASIC_AUTH_USER, BASIC_AUTH_PASS)")
    say("Webhooks", webhook_rule(settings))
    say("Data", str(settings.home))
    if needed := needed_settings(addresses):
        say("Private address", f"Label Studio 1.23.1 and later needs {needed}")
        say("", f"in its environment to call such an address (or {ALLOW_PRIVATE_OTHERWISE})")


def _is_for_people(settings: Settings) -> bool:
    return settings.log_format is LogFormat.CONSOLE or (settings.log_format is LogFormat.AUTO and sys.stdout.isatty())
