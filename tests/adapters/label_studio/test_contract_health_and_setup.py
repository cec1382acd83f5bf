"""Sections A.3 and A.4 of the contract: GET /health and POST /setup."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from builders import CONFIG, PROJECT, add_version, basic, predict_body, setup_body, task
from doubles import FakeLabelStudio
from flask.testing import FlaskClient
from sqlalchemy import func, select

from adapters.label_studio.access import KIND
from backend.projects.service import Mirror, Origin
from backend.services import Services
from backend.settings import Settings
from backend.versions.registry import UNTRAINED, ModelVersion

MakeClient = Callable[..., FlaskClient]
BOMB = """<?xml version="1.0"?><!DOCTYPE v [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>
<View>&b;<Image name="photo" value="$img"/></View>"""
FILE = '<!DOCTYPE v [<!ENTITY f SYSTEM "file:///etc/passwd">]><View>&f;</View>'
BROKEN = {
    "no XML": "yes",
    "empty": "",
    "unclosed": "<View><Image>",
    "entity bomb": BOMB,
    "file entity": FILE,
    "1,000 deep": "<View>" * 1000 + "</View>" * 1000,
    "NUL": "<View>\0</View>",
    "not View": "<Image name='photo' value='$img'/>",
    "too long": "<View>" + " " * 2**20 + "</View>",
    "threshold": CONFIG.replace('toName="photo"', 'toName="photo" model_score_threshold="hot"'),
}


def num_projects(services: Services) -> int:
    with services.database.reading() as session:
        return session.scalar(select(func.count()).select_from(Origin)) or 0


class TestHealth:
    def test_it_is_a_json_object(self, client: FlaskClient) -> None:
        """C-011; "ready" is the marker of C-015: the server loads models when they are asked for, so it always is."""
        response = client.get("/health")

        assert response.status_code == 200
        assert response.get_json() == {"status": "UP", "model_class": "Tandem", "ready": True}

    def test_the_root_says_the_same(self, client: FlaskClient) -> None:
        """C-012."""
        assert client.get("/").get_json() == client.get("/health").get_json()

    def test_head_is_answered(self, client: FlaskClient) -> None:
        """C-013."""
        response = client.head("/health")

        assert (response.status_code, response.data) == (200, b"")

    def test_it_needs_no_database_and_no_queue(self, make_client: MakeClient, settings: Settings) -> None:
        (settings.home / "tandem.sqlite3").unlink()

        assert make_client().get("/health").status_code == 200

    @pytest.mark.parametrize(
        "header",
        [
            None,
            "Basic " + "bHM6d3Jvbmc=",
            "Basic",
            "Basic !!!",
            "Basic gIE=",
            "Basic Z2l0aHVi",
            "Basic café",
            "Bearer c2VjcmV0",
            "Token 0123",
            "Digest username=ls",
            "basic:",
            "\x80",
        ],
    )
    def test_other_credentials_than_the_right_ones_are_401(self, make_client: MakeClient, header: str | None) -> None:
        """C-014, agent-surface 3.1 and S-008: wrong, malformed, not UTF-8, of another scheme, or none."""
        client = make_client(basic_auth_user="ls", basic_auth_pass="secret")

        for path in ("/health", "/", "/a/health", "/metrics", "/tandem/status", "/versions"):
            response = client.get(path, headers={"Authorization": header} if header else {})
            assert response.status_code == 401, path
            assert response.headers["WWW-Authenticate"] == 'Basic realm="Login required"'
            assert "BASIC_AUTH_PASS" in response.status
            assert response.mimetype == "application/json"

    @pytest.mark.parametrize(
        ("password", "encoding"),
        [("secret", "utf-8"), ("pässwörd", "latin-1"), ("pässwörd", "utf-8"), ("密码:x", "utf-8"), ("", "utf-8")],
    )
    def test_the_right_password_lets_in_as_label_studio_and_as_browsers_encode_it(
        self, make_client: MakeClient, password: str, encoding: str
    ) -> None:
        """agent-surface 3.1, non-ASCII: requests, hence Label Studio, sends Latin-1; browsers and curl send UTF-8."""
        client = make_client(basic_auth_user="ls", basic_auth_pass=password)

        response = client.get("/health", headers=basic("ls", password, encoding=encoding))

        assert response.status_code == 200

    def test_a_character_that_latin_1_lacks_is_not_replaced_by_a_question_mark(self, make_client: MakeClient) -> None:
        client = make_client(basic_auth_user="ls", basic_auth_pass="pass€")

        assert client.get("/health", headers=basic("ls", "pass?")).status_code == 401


class TestSetup:
    def test_the_version_is_a_text(self, client: FlaskClient) -> None:
        """C-016, before any training."""
        response = client.post("/setup", json=setup_body())

        assert response.status_code == 200
        assert response.get_json() == {"model_version": UNTRAINED}

    def test_no_model_is_loaded(self, client: FlaskClient, services: Services, version: ModelVersion) -> None:
        """C-017, as far as it is not about speed."""
        assert client.post("/setup", json=setup_body()).get_json() == {"model_version": version.name}
        assert not services.engine.is_loaded(version.id)

    def test_a_hundred_calls_change_nothing(
        self, client: FlaskClient, services: Services, version: ModelVersion
    ) -> None:
        """C-018."""
        before = services.projects.find(KIND, PROJECT)

        answers = {client.post("/setup", json=setup_body()).get_data() for _ in range(100)}

        after = services.projects.find(KIND, PROJECT)
        assert len(answers) == 1
        assert before is not None
        assert after is not None
        assert (before.origin.document, before.origin.token) == (after.origin.document, after.origin.token)
        assert [row.id for row in before.label_sets] == [row.id for row in after.label_sets]
        assert num_projects(services) == 1

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [
            (None, {}),
            ("", {}),
            ("fast", {}),
            ('{"threshold": 0.4}', {"threshold": 0.4}),
            ({"threshold": {"pet": 0.4}}, {"threshold": {"pet": 0.4}}),
            (["a", 1], {}),
            (3, {}),
            ({"a\0": "\ud800"}, {"a\0": "\ud800"}),
        ],
    )
    def test_extra_params_may_be_anything(
        self, client: FlaskClient, services: Services, sent: object, kept: dict[str, Any]
    ) -> None:
        """C-019."""
        response = client.post("/setup", data=json.dumps({**setup_body(), "extra_params": sent}))

        found = services.projects.find(KIND, PROJECT)
        assert response.status_code == 200
        assert found is not None
        assert found.origin.params == kept

    def test_what_was_said_is_known_to_another_process(
        self, client: FlaskClient, settings: Settings, make_client: MakeClient
    ) -> None:
        """C-020, and C-139: two replicas share what set-up said."""
        client.post("/setup", json=setup_body(extra_params={"threshold": 0.7}))
        other = Services.build(settings)

        found = other.projects.find(KIND, PROJECT)
        other.close()

        assert found is not None
        assert found.origin.params == {"threshold": 0.7}
        response = make_client().post("/predict", json=predict_body(task(1), label_config=None))
        assert response.get_json()["results"][0]["model_version"] == UNTRAINED

    def test_projects_of_two_installations_with_one_number_are_apart(
        self, client: FlaskClient, services: Services, version: ModelVersion
    ) -> None:
        """C-021."""
        other = "7.1600000000"

        response = client.post("/setup", json=setup_body(project=other, extra_params={"a": 1}))

        assert response.get_json() == {"model_version": UNTRAINED}
        assert client.post("/setup", json=setup_body()).get_json() == {"model_version": version.name}
        found = services.projects.find(KIND, PROJECT)
        assert found is not None
        assert found.origin.params == {"threshold": 0.4}

    @pytest.mark.parametrize("config", BROKEN.values(), ids=BROKEN)
    def test_a_label_config_that_cannot_be_used_is_400_and_one_line_of_log(
        self, client: FlaskClient, services: Services, caplog: pytest.LogCaptureFixture, config: str
    ) -> None:
        """C-022."""
        caplog.set_level(logging.WARNING)

        response = client.post("/setup", data=json.dumps({**setup_body(), "schema": config}))

        assert response.status_code == 400
        assert response.get_json()["code"] == "label_config_invalid"
        refused = [record for record in caplog.records if record.getMessage() == "label config refused"]
        assert [vars(record)["reason"] for record in refused] == [response.get_json()["detail"]]
        assert client.get("/health").status_code == 200
        assert num_projects(services) == 0

    @pytest.mark.parametrize(
        "config",
        [
            "<View/>",
            '<View><Hologram name="h" toName="photo"/><Image name="photo" value="$img"/></View>',
            '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>',
            '<View><Choices name="c" toName="nothing"><Choice value="a"/><Choice value="b"/></Choices></View>',
        ],
    )
    def test_a_config_without_anything_to_learn_connects(self, client: FlaskClient, config: str) -> None:
        """Bad input, unknown tags: people connect first and change the config later."""
        assert client.post("/setup", json=setup_body(schema=config)).get_json() == {"model_version": UNTRAINED}

    def test_a_broken_config_leaves_the_known_one_in_use(self, client: FlaskClient, version: ModelVersion) -> None:
        client.post("/setup", json=setup_body(schema="<View>"))

        response = client.post("/predict", json=predict_body(task(1), label_config=None))

        assert response.get_json()["results"][0]["result"][0]["value"] == {"choices": ["red"]}

    def test_a_broken_config_is_shown_as_the_error_of_the_connection(self, client: FlaskClient, mirror: Mirror) -> None:
        detail = client.post("/setup", json=setup_body(schema="<View>")).get_json()["detail"]

        [project] = client.get("/tandem/status").get_json()["projects"]
        assert (project["state"], project["error_message"]) == ("ER", detail)
        client.post("/setup", json=setup_body())
        assert client.get("/tandem/projects/7").get_json()["state"] == "CO"

    @pytest.mark.parametrize(
        "project", ["", "seven", "7.", ".7", "7.1.2", "-7.1", "7.1e3", "9" * 30, 7.5, True, [], {}]
    )
    def test_a_malformed_project_is_400(self, client: FlaskClient, project: object) -> None:
        """C-023."""
        response = client.post("/setup", json={**setup_body(), "project": project})

        assert response.status_code == 400
        assert response.status.startswith("400 project: ")

    @pytest.mark.parametrize("missing", ["project", "schema"])
    def test_a_missing_field_is_400_and_named(self, client: FlaskClient, missing: str) -> None:
        body = setup_body()
        del body[missing]

        assert client.post("/setup", json=body).status == f"400 {missing}: field required."

    @pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "[::1]", "10.0.0.8", "169.254.169.254"])
    def test_a_hostname_of_this_machine_or_network_is_not_called(
        self, client: FlaskClient, version: ModelVersion, fake_label_studio: FakeLabelStudio, host: str
    ) -> None:
        """C-024: "localhost" is another machine there than here, and nobody may point us at our own network."""
        port = fake_label_studio.url.rsplit(":", 1)[1]
        client.post("/setup", json=setup_body(hostname=f"http://{host}:{port}", access_token="0123"))

        response = client.post("/predict", json=predict_body(task(1), task(2, "/data/upload/7/x.png")))

        first, second = response.get_json()["results"]
        assert (len(first["result"]), len(second["result"])) == (1, 0)
        assert fake_label_studio.asked == []

    @pytest.mark.parametrize("hostname", ["", "x", "http://", "http://[", "ftp://8.8.8.8", "http://a b", "//", "\r\n"])
    def test_a_useless_hostname_does_no_harm(self, client: FlaskClient, version: ModelVersion, hostname: str) -> None:
        assert client.post("/setup", json=setup_body(hostname=hostname)).status_code == 200

        response = client.post("/predict", json=predict_body(task(1), task(2, "/data/upload/7/x.png")))

        assert [len(entry["result"]) for entry in response.get_json()["results"]] == [1, 0]

    def test_a_promoted_version_is_named_at_once(
        self, client: FlaskClient, services: Services, mirror: Mirror, make_client: MakeClient, tmp_path: Path
    ) -> None:
        """C-025, and in every web process."""
        replica = make_client()
        before = {caller.post("/setup", json=setup_body()).get_json()["model_version"] for caller in (client, replica)}

        first = add_version(services, mirror.label_sets[0], tmp_path)
        second = add_version(services, mirror.label_sets[0], tmp_path, sharpness=10)
        after = {caller.post("/setup", json=setup_body()).get_json()["model_version"] for caller in (client, replica)}

        assert before == {UNTRAINED}
        assert after == {second.name} != {first.name}

    def test_the_version_survives_a_restart(self, make_client: MakeClient, version: ModelVersion) -> None:
        """C-026."""
        assert make_client().post("/setup", json=setup_body()).get_json() == {"model_version": version.name}

    def test_the_access_token_is_kept_encrypted(
        self, client: FlaskClient, services: Services, settings: Settings
    ) -> None:
        client.post("/setup", json=setup_body(access_token="hush-token"))

        found = services.projects.find(KIND, PROJECT)
        assert found is not None
        assert services.projects.token(found.origin) == "hush-token"
        files = [path for path in settings.home.rglob("*") if path.is_file()]
        assert files
        assert not any(b"hush-token" in path.read_bytes() for path in files)
