"""The servers, and the trained project, that the tests of this folder share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from e2e.browser import FLAGS, HEIGHT_PX, WIDTH_PX
from e2e.databases import Postgres, run_postgres, run_redis
from e2e.pictures import Picture, label_config, labels_of, trash
from e2e.servers import LabelStudio, Project, Tandem, needs, run_label_studio, run_tandem
from selenium import webdriver


@dataclass(frozen=True)
class Trained:
    """A project whose pictures were annotated, and what came of "Start Training".

    Attributes:
        project: Connected, with the pictures to learn from annotated.
        others: Pictures that nobody annotated.
        untrained: What was predicted for them before.
        version: What answers now.
    """

    project: Project
    tandem: Tandem
    others: list[Picture]
    untrained: list[dict[str, object]]
    version: str


@pytest.fixture(scope="session")
def label_studio() -> Iterator[LabelStudio]:
    """A real Label Studio."""
    with run_label_studio() as server:
        yield server


@pytest.fixture(scope="session")
def tandem(label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    """Tandem with a personal access token for that Label Studio. Leave it running."""
    key = label_studio.personal_access_token
    folder = tmp_path_factory.mktemp("tandem")
    with run_tandem(folder, LABEL_STUDIO_URL=label_studio.url, LABEL_STUDIO_API_KEY=key) as server:
        yield server


@pytest.fixture(scope="session")
def strict_label_studio() -> Iterator[LabelStudio]:
    """A Label Studio that checks every region of every prediction."""
    with run_label_studio(fflag_feat_utc_210_prediction_validation_15082025="true") as server:
        yield server


@pytest.fixture(scope="session")
def trash_project(strict_label_studio: LabelStudio, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trained]:
    """Photos of waste in the strict Label Studio, which Tandem reaches with a legacy token; trained from the menu."""
    learnt, others = trash("train"), trash("test")
    project = strict_label_studio.create_project("Household waste", label_config(labels_of(learnt)))
    project.upload([*learnt, *others])
    key = strict_label_studio.token
    folder = tmp_path_factory.mktemp("tandem")
    settings = {"LABEL_STUDIO_URL": strict_label_studio.url, "LABEL_STUDIO_API_KEY": key, "TANDEM_TRAIN_EVERY": "0"}
    with run_tandem(folder, **settings) as tandem:
        assert project.connect(tandem).status_code == 201
        project.retrieve_predictions(others)
        untrained = project.predictions()
        project.annotate(learnt)
        project.start_training()
        [run] = tandem.runs(project.uid)
        tandem.await_completed(run["id"])
        project.retrieve_predictions(others)
        yield Trained(project, tandem, others, untrained, project.connection()["model_version"])


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL server."""
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Redis server with a port."""
    with run_redis(tmp_path_factory.mktemp("redis")) as url:
        yield url


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    """A headless Chromium with a profile of its own."""
    needs("chromium", "chromedriver")
    options = webdriver.ChromeOptions()
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.binary_location = shutil.which("chromium") or ""
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    screen = {"width": WIDTH_PX, "height": HEIGHT_PX, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    yield chrome
    chrome.quit()
