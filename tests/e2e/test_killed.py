"""Whatever is killed, flushed or cancelled: nothing is lost, and nothing is left running. With real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import redis
from e2e.agents import Agent, has_ended, make_agent
from e2e.pictures import digits, label_config, labels_of
from e2e.servers import Tandem, run_tandem
from processes import wait_for

from backend.settings import Settings
from backend.training.service import MAX_LOSSES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

UID = "{}.1795203195"
FEW = [picture for picture in digits(160) if picture.label in "01"][:20]
CONFIG = label_config(labels_of(FEW))
LOST_AFTER_S = Settings.model_fields["lost_after_s"].default


@pytest.fixture(scope="module")
def tandem(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    """A server with two web processes; leave it running."""
    with run_tandem(tmp_path_factory.mktemp("tandem"), TANDEM_WEB_WORKERS="2") as server:
        yield server


def horses(tandem: Tandem) -> list[int]:
    """Return the processes that train: children of the trainer."""
    trainers = tandem.pids("worker trainer")
    return [pid for pid in trainers if _parent(pid) in trainers]


@dataclass(frozen=True)
class Killed:
    """A run whose process was killed.

    Attributes:
        before: What it said of itself just before.
        noticed_s: How long it took until it was taken up again.
        run: What became of it.
    """

    before: dict[str, Any]
    noticed_s: float
    run: dict[str, Any]


@pytest.fixture(scope="module")
def killed(tandem: Tandem) -> Killed:
    """Kill the process of project 1's first run."""
    run_id = tandem.train(UID.format(1), FEW)
    before = tandem.await_epochs(run_id)
    [horse] = horses(tandem)

    os.kill(horse, signal.SIGKILL)
    killed_at = time.monotonic()
    tandem.await_run(run_id, lambda run: run["attempt"] > before["attempt"], "been taken up again")
    noticed_s = time.monotonic() - killed_at
    return Killed(before, noticed_s, tandem.await_completed(run_id))


def test_a_run_whose_process_is_killed_goes_on_from_its_last_epoch_within_15_s(killed: Killed) -> None:
    assert killed.noticed_s < 15
    assert killed.run["attempt"] == killed.before["attempt"] + 1
    assert never_starts_again(killed.run)


@pytest.fixture(scope="module")
def agent(tandem: Tandem) -> Agent:
    return make_agent(tandem)


@pytest.fixture
def training(agent: Agent) -> str:
    """A training that was started through the mlp API."""
    project = agent.ask("POST", "/projects", json={"name": "digits"})["id"]
    agent.upload(project, FEW)
    body = {"name": "digit", "taskType": "classification", "labels": labels_of(FEW)}
    label_set = agent.ask("POST", f"/projects/{project}/labelsets", json=body)["id"]
    agent.label(label_set, FEW)
    return agent.start(label_set)


def test_an_agents_training_whose_process_is_killed_goes_on_and_is_paid_once(
    tandem: Tandem, agent: Agent, training: str
) -> None:
    """Our deviation from M-023: a loss is not the end, and nobody who polls sees a step back."""
    path = f"/training/{training}"
    before = tandem.await_epochs(bare(training))
    seen = [agent.ask("GET", path)]
    [horse] = horses(tandem)

    os.kill(horse, signal.SIGKILL)
    while not has_ended(seen[-1]):
        time.sleep(1)
        seen.append(agent.ask("GET", path))

    assert (seen[-1]["status"], seen[-1]["error"]) == ("completed", None)
    assert all(later["progress"] >= earlier["progress"] for earlier, later in pairwise(seen))
    assert seen[-1]["tokens"]["consumed"] == 1
    assert tandem.run(bare(training))["attempt"] == before["attempt"] + 1


def test_an_agents_training_that_is_killed_at_one_point_again_and_again_fails_within_two_minutes_for_free(
    tandem: Tandem, agent: Agent, training: str
) -> None:
    """M-023, with real kills."""
    path = f"/training/{training}"
    num_kills, attempt, first_at = 0, 0, 0.0

    while (run := tandem.run(bare(training)))["state"] not in ("completed", "failed"):
        if run["state"] == "running" and run["attempt"] > attempt:
            for horse in horses(tandem):
                os.kill(horse, signal.SIGKILL)
            num_kills, attempt, first_at = num_kills + 1, run["attempt"], first_at or time.monotonic()
        time.sleep(0.2)

    told = agent.ask("GET", path)
    assert time.monotonic() - first_at < 120
    assert num_kills == MAX_LOSSES
    assert (told["status"], told["error"]["code"]) == ("failed", "WORKER_LOST")
    assert told["error"]["hint"]
    assert (told["tokens"]["reserved"], told["tokens"]["consumed"]) == (0, 0)
    assert agent.error("GET", f"{path}/download") == (409, "MODEL_NOT_READY")


def bare(training: str) -> str:
    """Return what the operator calls a training."""
    return training.partition("_")[2]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_server_that_ends_leaves_nothing_running_and_completes_the_run_when_it_is_back(
    tandem: Tandem, number: signal.Signals
) -> None:
    """C-138."""
    uid = UID.format(2)
    run_id = tandem.train(uid, FEW if number == signal.SIGKILL else FEW[:-2])
    before = tandem.await_epochs(run_id)

    tandem.stop(number)
    wait_for(lambda: tandem.pids() == [], "nothing is left running")
    tandem.start()

    run = tandem.await_completed(run_id)
    assert run["attempt"] > before["attempt"]
    assert never_starts_again(run)
    assert tandem.version_names(uid)[-1] == tandem.setup(uid, CONFIG)


def test_runs_survive_a_redis_that_forgets_everything_and_one_that_is_killed(tandem: Tandem) -> None:
    at_work = tandem.train(UID.format(3), FEW)
    tandem.await_epochs(at_work)
    waiting = tandem.train(UID.format(4), FEW)
    tandem.await_run(waiting, lambda run: run["snapshot"] and run["state"] == "queued", "waited for the trainer")
    [server] = tandem.pids("redis")

    with redis.Redis(unix_socket_path=str(tandem.home / "redis" / "redis.sock")) as connection:
        connection.flushall()
    os.kill(server, signal.SIGKILL)

    tandem.await_completed(at_work)
    tandem.await_completed(waiting)


def test_a_cancelled_run_stops_within_seconds_and_stays_cancelled(tandem: Tandem) -> None:
    uid = UID.format(5)
    run_id = tandem.train(uid, FEW)
    tandem.await_epochs(run_id)
    [horse] = horses(tandem)

    tandem.post(f"/tandem/runs/{run_id}/cancel")
    cancelled_at = time.monotonic()
    wait_for(lambda: horse not in horses(tandem), "the process that trained is gone")
    gone_s = time.monotonic() - cancelled_at
    time.sleep(LOST_AFTER_S + 3)

    assert gone_s < 5
    run = tandem.run(run_id)
    assert (run["state"], run["version_id"]) == ("cancelled", None)
    assert horses(tandem) == []
    assert tandem.setup(uid, CONFIG) == "untrained"


def test_pinning_and_rolling_back_are_seen_at_once_by_every_web_process(tandem: Tandem, killed: Killed) -> None:
    uid = UID.format(1)
    tandem.await_completed(tandem.train(uid, FEW[:-2]))
    older, newer = tandem.version_names(uid)
    project = tandem.project(uid)
    label_set = project["label_sets"][0]["id"]
    assert answering(tandem, uid) == {newer}

    tandem.post(f"/tandem/projects/{project['id']}/versions/{older}/pin")
    assert answering(tandem, uid) == {older}
    tandem.post(f"/tandem/label-sets/{label_set}/unpin")
    tandem.post(f"/tandem/projects/{project['id']}/versions/{newer}/promote")
    assert answering(tandem, uid) == {newer}
    tandem.post(f"/tandem/label-sets/{label_set}/rollback")
    assert answering(tandem, uid) == {older}


def answering(tandem: Tandem, uid: str) -> set[str]:
    """Return the versions that answer now, asked so often that every web process is."""
    body = {"tasks": [{"id": 1, "data": {"image": FEW[0].data_url}}], "project": uid, "label_config": CONFIG}

    def ask(number: int) -> str:
        if number % 2:
            return tandem.setup(uid, CONFIG)
        return str(tandem.post("/predict", {**body, "params": {}})["results"][0]["model_version"])

    with ThreadPoolExecutor(16) as pool:
        return set(pool.map(ask, range(64)))


def never_starts_again(run: dict[str, Any]) -> bool:
    """Say whether the epochs of each stage follow one another, with none learnt twice."""
    history = run["history"]
    return all(
        later["epoch"] > earlier["epoch"] for earlier, later in pairwise(history) if earlier["stage"] == later["stage"]
    )


def _parent(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as stat:
        return int(stat.read().rpartition(")")[2].split()[1])
