"""That what installs, builds and composes Tandem fits Tandem."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters.cli.main import main
from backend.settings import Settings

ROOT = Path(__file__).parents[2]
PROCESSES = {
    "web": ["web"],
    "background": ["worker", "background"],
    "clock": ["worker", "clock"],
    "trainer": ["worker", "trainer"],
    "trainer-gpu": ["worker", "trainer"],
    "migrate": ["migrate"],
}


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def variables() -> set[str]:
    """Return the names of all environment variables that are read."""
    names = set()
    for name, info in Settings.model_fields.items():
        names |= {f"TANDEM_{name.upper()}", *getattr(info.validation_alias, "choices", ())}
    return names


def test_each_process_has_a_service_and_its_command_exists(compose: dict[str, Any]) -> None:
    assert {name: compose["services"][name]["command"] for name in PROCESSES} == PROCESSES
    for arguments in PROCESSES.values():
        command, *rest = arguments
        main.commands[command].make_context(command, list(rest))


def test_services_only_set_what_is_read(compose: dict[str, Any]) -> None:
    for name in PROCESSES:
        assert set(compose["services"][name]["environment"]) <= variables() | {"PROMETHEUS_MULTIPROC_DIR"}


def test_everything_waits_for_the_migration_and_that_for_the_database(compose: dict[str, Any]) -> None:
    for name in PROCESSES.keys() - {"migrate"}:
        waits_for = compose["services"][name]["depends_on"]
        assert waits_for["migrate"]["condition"] == "service_completed_successfully"
        assert waits_for["redis"]["condition"] == "service_healthy"
    assert compose["services"]["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    assert compose["services"]["migrate"]["restart"] == "no"


def test_what_must_survive_lies_in_volumes(compose: dict[str, Any]) -> None:
    mounted = {mount.partition(":")[0] for one in compose["services"].values() for mount in one["volumes"]}

    assert mounted == compose["volumes"].keys() == {"data", "postgres", "redis"}


def test_what_can_be_asked_for_its_health_is(compose: dict[str, Any]) -> None:
    for name in ("postgres", "redis", "web"):
        assert compose["services"][name]["healthcheck"]["test"][0] == "CMD"


def test_the_web_service_has_longer_to_stop_than_its_requests(compose: dict[str, Any]) -> None:
    from adapters.gunicorn_conf import GRACE_S

    assert int(compose["services"]["web"]["stop_grace_period"].removesuffix("s")) > GRACE_S


def test_a_gpu_is_reserved_for_the_trainer_of_the_gpu_profile_only(compose: dict[str, Any]) -> None:
    reserving = {name for name, one in compose["services"].items() if "reservations" in json.dumps(one)}

    assert reserving == {"trainer-gpu"}
    assert compose["services"]["trainer-gpu"]["profiles"] == ["gpu"]
    [device] = compose["services"]["trainer-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "device_ids": ["0"], "capabilities": ["gpu"]}


def test_no_password_is_written_down() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    assert re.findall(r"(?:PASSWORD|PASS|TOKEN|KEY): (?!\$\{)", text) == []


@pytest.mark.skipif(
    not shutil.which("docker")
    or subprocess.run(("docker", "compose", "version"), capture_output=True, check=False).returncode != 0,
    reason="no docker with compose here",
)
def test_docker_accepts_the_composition() -> None:
    command = ("docker", "compose", "--profile", "cpu", "--profile", "gpu", "config", "--quiet")

    said = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "POSTGRES_PASSWORD": "x"}, capture_output=True, text=True, check=False
    )

    assert said.returncode == 0, said.stderr


def test_the_image_holds_all_packages_and_does_not_run_as_root() -> None:
    text = (ROOT / "Dockerfile").read_text()
    ignored = (ROOT / ".dockerignore").read_text().splitlines()

    for package in ("adapters", "backend", "models"):
        assert f"COPY {package} {package}" in text
        assert f"!{package}" in ignored
    assert "\nUSER tandem\n" in text
    assert "-c requirements/constraints.txt" in text


def test_every_dependency_is_pinned_within_its_range() -> None:
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements" / "constraints.txt").read_text().splitlines()
    pins = {
        canonicalize_name(name): version for name, _, version in (line.partition("==") for line in lines) if version
    }
    extras = project["optional-dependencies"]

    for text in (*project["dependencies"], *(one for name in extras if name != "gpu" for one in extras[name])):
        wanted = Requirement(text)
        if wanted.name != project["name"]:
            assert wanted.specifier.contains(pins[canonicalize_name(wanted.name)]), text


def test_make_tells_what_it_can_do() -> None:
    said = subprocess.run(("make", "help"), cwd=ROOT, capture_output=True, text=True, check=True)

    assert re.findall(r"make (\S+)", said.stdout) == ["help", "up", "install", "test", "check", "e2e", "bench", "clean"]


def test_what_ci_runs_is_executable_and_sound() -> None:
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert subprocess.run(("bash", "-n", script), check=False).returncode == 0
