"""`tandem doctor`: each thing that can be wrong is found, and what to do about it is said (C-137)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from doubles import Answer, Asked, FakeLabelStudio, FakeWeb, as_json

from adapters.cli.findings import Finding, Outcome, broken, examine
from adapters.cli.label_studio_checks import check_address, check_label_studio, check_projects
from adapters.cli.machine_checks import (
    check_database,
    check_disk,
    check_gpu,
    check_queue,
    check_server,
    check_webhooks,
    check_weights,
)
from adapters.label_studio.label_config import parse
from backend.errors import Unavailable
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Device, Settings, WebhookAuth

CONNECTED = {"url": "http://tandem.test:9090", "state": "CO", "readable_state": "Connected", "error_message": None}
WEBHOOK = {"url": "http://tandem.test:9090/webhook", "is_active": True}


class LabelStudioWithTask(FakeLabelStudio):
    """One project with one task that nobody has labelled."""

    def __init__(self) -> None:
        super().__init__()
        self.answers["/api/ml"] = as_json([CONNECTED])
        self.answers["/api/webhooks/"] = as_json([WEBHOOK])
        self.uploads["7/cat.png"] = b"an image"
        self.unlabelled = [{"id": 41, "data": {"image": "/data/upload/7/cat.png"}, "annotations": []}]

    def _list_tasks(self, asked: Asked) -> Answer:
        assert asked.query["review"] == "true", "otherwise Label Studio would ask for predictions"
        return as_json({"total": 1, "tasks": self.unlabelled})


@pytest.fixture
def label_studio(monkeypatch: pytest.MonkeyPatch, home: Path) -> Iterator[LabelStudioWithTask]:
    with LabelStudioWithTask() as fake:
        monkeypatch.setenv("LABEL_STUDIO_URL", fake.url)
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", fake.pat)
        yield fake


def port_of(fake: FakeWeb) -> int:
    return int(fake.url.rpartition(":")[2])


def found(findings: Iterator[Finding], outcome: Outcome) -> str:
    """Return everything that was found so, with its advice."""
    return "\n".join(f"{one.text} → {one.advice}" for one in findings if one.outcome is outcome)


def projects_found(outcome: Outcome) -> str:
    return found(check_projects(Settings()), outcome)


class TestServer:
    def test_that_answers_is_fine(self, fake_web: FakeWeb) -> None:
        fake_web.answers["/health"] = as_json({"status": "UP"})

        assert "answers" in found(check_server(Settings(host="127.0.0.1", port=port_of(fake_web))), Outcome.FINE)

    def test_with_another_password_is_told_apart(self, fake_web: FakeWeb) -> None:
        fake_web.answers["/health"] = Answer(401)

        said = found(check_server(Settings(host="127.0.0.1", port=port_of(fake_web))), Outcome.BROKEN)

        assert "BASIC_AUTH_PASS" in said

    def test_that_is_not_there_is_started_with_up(self) -> None:
        assert "tandem up" in found(check_server(Settings(host="127.0.0.1", port=1)), Outcome.BROKEN)


class TestWebhooks:
    def test_the_rule_is_told(self) -> None:
        assert "auto" in found(check_webhooks(Settings()), Outcome.FINE)

    @pytest.mark.parametrize("rule", [WebhookAuth.BASIC, WebhookAuth.TOKEN])
    def test_a_rule_that_shuts_out_the_automatic_webhook_is_doubtful(self, rule: WebhookAuth) -> None:
        said = found(check_webhooks(Settings(webhook_auth=rule, webhook_token="t")), Outcome.DOUBTFUL)

        assert "carries no credentials" in said


class TestMachine:
    def test_a_database_without_tables_needs_migrating(self, home: Path) -> None:
        assert "tandem migrate" in found(check_database(Settings()), Outcome.BROKEN)
        assert not home.exists(), "looking must not create anything"

    def test_the_password_of_the_database_is_not_told(self) -> None:
        url = "postgresql://ada:geheim@127.0.0.1:1/tandem"

        said = list(examine("database", lambda: check_database(Settings(database_url=url))))

        assert "geheim" not in str(said)

    def test_a_database_at_its_head_is_fine(self, services: object) -> None:
        assert found(check_database(Settings()), Outcome.FINE)

    def test_a_missing_redis_is_started_with_up(self, home: Path) -> None:
        assert "tandem up" in found(check_queue(Settings()), Outcome.BROKEN)

    def test_weights_are_named(self, tmp_path: Path) -> None:
        settings = Settings(weights=tmp_path)
        assert str(tmp_path) in found(check_weights(settings), Outcome.DOUBTFUL)

        (tmp_path / "resnet18-f37072fd.pth").touch()

        assert "resnet18-f37072fd.pth" in found(check_weights(settings), Outcome.FINE)

    def test_both_runtimes_at_once_are_a_trap(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("onnxruntime", "onnxruntime_gpu"):
            (tmp_path / f"{name}-1.31.1.dist-info").mkdir()
            (tmp_path / f"{name}-1.31.1.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: 1.31.1\n")
        monkeypatch.syspath_prepend(str(tmp_path))

        said = found(check_gpu(Settings(device=Device.CPU)), Outcome.BROKEN)

        assert "pip uninstall -y onnxruntime onnxruntime-gpu" in said

    def test_a_gpu_that_is_asked_for_must_be_there(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

        assert "nvidia-smi" in found(check_gpu(Settings(device=Device.CUDA)), Outcome.BROKEN)
        assert "CPU" in found(check_gpu(Settings()), Outcome.FINE)

    def test_free_space_is_told_even_before_the_first_start(self, home: Path) -> None:
        assert "GiB free" in str(list(check_disk(Settings())))


class TestLabelStudio:
    def test_its_answer_is_told(self, label_studio: LabelStudioWithTask) -> None:
        """C-137: the personal access token is exchanged."""
        assert "personal access token" in found(check_label_studio(Settings()), Outcome.FINE)
        assert label_studio.asked_for("/api/token/refresh/")

    def test_a_refused_token_is_told(self, label_studio: LabelStudioWithTask, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", "expired")

        assert "Account & Settings" in found(check_label_studio(Settings()), Outcome.BROKEN)

    def test_without_it_annotations_cannot_be_read(self, home: Path) -> None:
        assert "LABEL_STUDIO_API_KEY" in found(check_label_studio(Settings()), Outcome.DOUBTFUL)

    def test_private_addresses_need_its_settings(self, home: Path) -> None:
        assert "ML_BLOCK_LOCAL_IP=false" in found(check_address(Settings()), Outcome.DOUBTFUL)
        assert "public" in found(check_address(Settings(host="8.8.8.8")), Outcome.FINE)


@pytest.mark.usefixtures("project")
class TestProject:
    def test_that_works_is_fine_throughout(self, label_studio: LabelStudioWithTask) -> None:
        """C-137: one media fetch."""
        said = projects_found(Outcome.FINE)

        assert "learns 'pet': 2 labels" in said
        assert "Label Studio reaches http://tandem.test:9090: Connected" in said
        assert "active webhook" in said
        assert "media of task 41 can be fetched (8 bytes)" in said
        assert projects_found(Outcome.BROKEN) == ""

    def test_controls_that_are_not_learnt_are_named(self, label_studio: LabelStudioWithTask) -> None:
        assert "'note' is a <TextArea>" in projects_found(Outcome.DOUBTFUL)

    def test_texts_that_tasks_hold_themselves_are_not_fetched(
        self, label_studio: LabelStudioWithTask, services: Services
    ) -> None:
        config = '<View><Text name="t" value="$text"/><Rating name="stars" toName="t"/></View>'
        schemas = {binding.control_name: binding.schema for binding in parse(config).bindings}
        services.projects.mirror("label_studio", "7.1795203195", document=config, schemas=schemas)

        said = projects_found(Outcome.FINE)

        assert "learns 'stars': numbers" in said
        assert "nothing has to be fetched" in said
        assert projects_found(Outcome.BROKEN) == ""

    def test_an_unreachable_address_is_told_from_a_blocked_one(
        self, label_studio: LabelStudioWithTask, fake_web: FakeWeb
    ) -> None:
        """C-137: /health from the URL that Label Studio has."""
        lost = CONNECTED | {"url": fake_web.url, "state": "DI", "readable_state": "Disconnected"}
        label_studio.answers["/api/ml"] = as_json([lost])
        assert "nothing there knows our credentials" in projects_found(Outcome.BROKEN)

        fake_web.answers["/health"] = as_json({"status": "UP"})

        assert "ML_BLOCK_LOCAL_IP=false" in projects_found(Outcome.BROKEN)

    def test_without_a_webhook_training_starts_by_hand_only(self, label_studio: LabelStudioWithTask) -> None:
        """C-137: webhook policy."""
        label_studio.answers["/api/webhooks/"] = as_json([WEBHOOK | {"is_active": False}])

        assert "training starts by hand only" in projects_found(Outcome.DOUBTFUL)

    def test_without_a_connection_it_is_said_how_to_make_one(self, label_studio: LabelStudioWithTask) -> None:
        label_studio.answers["/api/ml"] = as_json([])

        assert "paste this server's URL" in projects_found(Outcome.DOUBTFUL)

    def test_media_that_cannot_be_had_are_told(self, label_studio: LabelStudioWithTask) -> None:
        label_studio.uploads.clear()

        assert "not, or no longer, in Label Studio" in projects_found(Outcome.BROKEN)

    def test_without_tasks_there_is_nothing_to_try(self, label_studio: LabelStudioWithTask) -> None:
        label_studio.unlabelled = []

        assert "no task with media" in projects_found(Outcome.DOUBTFUL)

    def test_a_label_studio_that_is_gone_is_told(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")

        assert "does not answer" in projects_found(Outcome.BROKEN)

    def test_one_whose_label_studio_is_not_known_is_doubtful(self) -> None:
        assert "set LABEL_STUDIO_URL" in projects_found(Outcome.DOUBTFUL)


def test_nothing_has_connected_yet(services: object, label_studio: LabelStudioWithTask) -> None:
    assert "none has connected" in projects_found(Outcome.DOUBTFUL)


def test_an_error_on_the_way_is_a_finding() -> None:
    def fails() -> Iterator[Finding]:
        raise Unavailable("it is away")
        yield

    assert list(examine("it", fails)) == [broken("it", "it is away")]


def test_the_exit_code_says_whether_something_is_broken(tandem: Callable[..., Result], home: Path) -> None:
    said = tandem("doctor")

    assert said.exit_code == 1
    for mark in ("✓", "!", "✗", "→ start it: tandem up"):
        assert mark in said.output


def test_programs_get_the_same(tandem: Callable[..., Result], project: Mirror, home: Path) -> None:
    told = json.loads(tandem("doctor", "--json").output)

    assert {"server", "webhooks", "database", "redis", "weights", "gpu", "disk", "address", "label studio"} <= {
        one["subject"] for one in told
    }
    assert {tuple(one) for one in told} == {("subject", "outcome", "text", "advice")}
