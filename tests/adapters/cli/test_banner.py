"""What `tandem up` says when it is ready (C-136)."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles import FakeLabelStudio

from adapters.cli.banner import FIRST_KEY, announce, ask_label_studio, needed_settings, webhook_rule
from backend.services import Services
from backend.settings import LogFormat, Settings, WebhookAuth


def connected(fake: FakeLabelStudio, token: str) -> Settings:
    return Settings(label_studio_url=fake.url, label_studio_api_key=token)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.7", "localhost", "host.docker.internal", "100.64.0.9"])
def test_for_a_private_address_the_settings_of_label_studio_are_told(host: str) -> None:
    """C-136."""
    assert needed_settings([f"http://{host}:9090"]) == "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false"


def test_a_public_address_needs_none() -> None:
    assert needed_settings(["http://8.8.8.8:9090"]) is None


def test_the_webhook_rule_in_effect_is_told() -> None:
    assert webhook_rule(Settings()) == "auto: open to everyone"
    assert webhook_rule(Settings(webhook_auth=WebhookAuth.TOKEN, webhook_token="t")).startswith("token: the token")


@pytest.mark.parametrize(("token", "kind"), [("legacy_token", "legacy token"), ("pat", "personal access token")])
def test_label_studio_is_asked_who_we_are(fake_label_studio: FakeLabelStudio, token: str, kind: str) -> None:
    state = ask_label_studio(connected(fake_label_studio, getattr(fake_label_studio, token)))

    assert not state.problem
    assert state.text == f"1.23.2 at {fake_label_studio.url}, as admin@example.com with a {kind}"


def test_a_refused_token_is_told(fake_label_studio: FakeLabelStudio) -> None:
    assert "refused LABEL_STUDIO_API_KEY" in ask_label_studio(connected(fake_label_studio, "wrong")).problem


def test_people_read_lines(
    fake_label_studio: FakeLabelStudio, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = connected(fake_label_studio, fake_label_studio.pat).model_copy(
        update={
            "home": tmp_path / "[odd] name",
            "host": "0.0.0.0",
            "basic_auth_user": "ada",
            "log_format": LogFormat.CONSOLE,
        }
    )

    announce(settings)

    said = capsys.readouterr().out
    assert "http://localhost:9090\n" in said
    assert "http://host.docker.internal:9090   (Label Studio in Docker on this machine)" in said
    assert "Basic auth      on, user 'ada'" in said
    assert "Webhooks        auto: open for projects that were connected with user and password" in said
    assert f"Data            {tmp_path}/[odd] name" in said
    assert "ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false" in said
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in said
    assert "Label Studio    1.23.2 at" in said
    assert fake_label_studio.pat not in said


@pytest.mark.parametrize("log_format", [LogFormat.CONSOLE, LogFormat.JSON])
def test_without_a_user_the_command_that_makes_the_first_key_is_told(
    services: Services, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, log_format: LogFormat
) -> None:
    caplog.set_level("INFO")
    settings = services.settings.model_copy(update={"log_format": log_format})

    def is_told() -> bool:
        caplog.clear()
        announce(settings)
        return FIRST_KEY in capsys.readouterr().out or FIRST_KEY in str([vars(record) for record in caplog.records])

    before = is_told()
    services.accounts.create_user("ada@example.com")

    assert (before, is_told()) == (True, False)
