"""On a real PostgreSQL and a real Redis server: the core journey, replicas, and writers that meet."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from doubles import InlineQueue
from e2e.databases import Postgres
from e2e.pictures import digits, label_config, labels_of
from e2e.servers import Tandem, run_tandem
from processes import free_port, wait_for

from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations
from backend.training.run import IllegalTransition, RunState
from backend.training.service import RunLost
from models.labels import Label, LabelSchema, Objective

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

UID = "3.1795203195"
PICTURES = [picture for picture in digits(160) if picture.label in "01"]
FEW, OTHERS = PICTURES[:14], PICTURES[14:]
CONFIG = label_config(labels_of(FEW))
SCHEMA = LabelSchema(Objective.CLASSIFICATION, (Label("cat"), Label("dog")))
NUM_AT_ONCE = 8
NUM_ROUNDS = 20


@pytest.fixture(scope="module")
def tandem(postgres: Postgres, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tandem]:
    """`tandem up` on both."""
    settings = {"DATABASE_URL": postgres.make("journey"), "REDIS_URL": redis_url}
    with run_tandem(tmp_path_factory.mktemp("tandem"), **settings) as server:
        yield server


@pytest.fixture(scope="module")
def trained(tandem: Tandem) -> dict[str, Any]:
    """The run of a project that was set up and trained."""
    assert tandem.setup(UID, CONFIG) == "untrained"
    return tandem.await_completed(tandem.train(UID, FEW))


@pytest.fixture(scope="module")
def replica(tandem: Tandem) -> Iterator[str]:
    """The URL of a further web server on the same database and folder."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (tandem.folder / "replica.log").open("wb") as log:
        process = tandem.tandem("web", output=log, PORT=str(port))
    with process:
        wait_for(lambda: _answers(tandem, url), "the replica answers", while_alive=process)
        yield url
        process.terminate()


@pytest.fixture(scope="module")
def services(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """What a process does with a database of its own, with nobody to disturb it."""
    home = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, database_url=postgres.make("services"), device="cpu")
    migrations.upgrade(settings.database)
    with contextlib.closing(Services.build(settings, queue=InlineQueue())) as built:
        yield built


@pytest.fixture
def mirror(services: Services, request: pytest.FixtureRequest) -> Mirror:
    return services.projects.mirror("label_studio", request.node.name, document="<View/>", schemas={"pet": SCHEMA})


def test_a_run_on_supplied_tasks_ends_with_a_version_that_predicts(tandem: Tandem, trained: dict[str, Any]) -> None:
    body = {
        "tasks": [{"id": number, "data": {"image": picture.data_url}} for number, picture in enumerate(OTHERS)],
        "project": UID,
        "label_config": CONFIG,
        "params": {"login": None, "password": None, "context": None},
    }

    results = tandem.post("/predict", body)["results"]

    assert {result["model_version"] for result in results} == {tandem.setup(UID, CONFIG)}
    said = [result["result"][0]["value"]["choices"][0] for result in results]
    right = [label == picture.label for label, picture in zip(said, OTHERS, strict=True)]
    assert sum(right) / len(right) >= 0.9
    assert tandem.pids("redis") == []
    assert tandem.troubles == []


def test_training_again_on_the_same_labels_is_the_same_version(tandem: Tandem, trained: dict[str, Any]) -> None:
    again = tandem.await_completed(tandem.train(UID, FEW))

    assert again["version_id"] == trained["version_id"]


def test_replicas_give_the_same_version_and_share_parameters(
    tandem: Tandem, trained: dict[str, Any], replica: str
) -> None:
    """C-139."""
    version = tandem.setup(UID, CONFIG)

    assert version in tandem.version_names(UID)
    assert tandem.setup(UID, CONFIG, url=replica) == version
    assert tandem.ask("GET", "/tandem/status", url=replica).json() == tandem.get("/tandem/status")


def test_the_migrations_can_be_run_again(services: Services) -> None:
    migrations.upgrade(services.settings.database)

    assert migrations.revision(services.settings.database) == migrations.head()


def test_wishes_at_once_make_one_pending_run(services: Services, mirror: Mirror) -> None:
    """C-064."""
    runs = at_once(lambda _: services.training.wish(mirror.project.id, reason="test")[0].id)

    assert len(set(runs)) == 1


def test_set_ups_at_once_make_one_project(services: Services) -> None:
    for round_number in range(NUM_ROUNDS):
        uid = f"{round_number}.1795203195"
        schemas = {"pet": SCHEMA, "colour": SCHEMA}
        found = at_once(
            lambda _, uid=uid, schemas=schemas: services.projects.mirror(
                "label_studio", uid, document="<View/>", schemas=schemas
            )
        )
        assert len({mirror.project.id for mirror in found}) == 1
        assert len({tuple(row.id for row in mirror.label_sets) for mirror in found}) == 1


def test_a_job_delivered_twice_at_once_is_claimed_once(services: Services, mirror: Mirror) -> None:
    for _ in range(NUM_ROUNDS):
        run = start(services, mirror)

        def claim(_: int, run: Any = run) -> bool:
            try:
                services.training.claim(run.id, run.attempt, state=RunState.RUNNING)
            except RunLost:
                return False
            return True

        assert sum(at_once(claim)) == 1
        services.training.cancel(run.id)


def test_a_run_that_is_cancelled_while_it_ends_is_one_or_the_other(services: Services, mirror: Mirror) -> None:
    for _ in range(NUM_ROUNDS):
        run = start(services, mirror)
        claimed = services.training.claim(run.id, run.attempt, state=RunState.RUNNING)

        def end(number: int, claimed: Any = claimed) -> str | None:
            try:
                if number % 2:
                    services.training.end(claimed, RunState.FAILED, error="test")
                    return "failed"
                services.training.cancel(claimed.id)
                return "cancelled"
            except (RunLost, IllegalTransition):
                return None

        happened = [state for state in at_once(end, 2) if state]
        assert happened == [services.training.get(run.id).state]


def test_clocks_that_tick_at_once_start_a_run_once(services: Services, mirror: Mirror) -> None:
    for _ in range(NUM_ROUNDS):
        [run] = services.training.wish(mirror.project.id, reason="test")
        at_once(lambda _: services.training.advance())
        # A clock that looks between another one's row and its message to the queue delivers once more: harmless,
        # because only the newest delivery can be claimed.
        num_deliveries = services.training.get(run.id).attempt
        claimed = [is_claimed(services, run.id, attempt) for attempt in range(1, num_deliveries + 1)]
        assert claimed == [False] * (num_deliveries - 1) + [True]
        services.training.cancel(run.id)


def test_events_at_once_are_all_counted(services: Services, mirror: Mirror) -> None:
    at_once(lambda number: services.inbox.put(mirror.project.id, "X", [str(number)], is_trusted=True))

    assert services.inbox.num_waiting(mirror.project.id) == NUM_AT_ONCE
    services.inbox.coalesce()


def is_claimed(services: Services, run_id: str, attempt: int) -> bool:
    try:
        services.training.claim(run_id, attempt, state=RunState.RUNNING)
    except RunLost:
        return False
    return True


def at_once(function: Callable[[int], Any], number: int = NUM_AT_ONCE) -> Sequence[Any]:
    """Call a function with 0, 1, 2 … in threads that begin together; return what came of it."""
    ready = threading.Barrier(number)

    def call(index: int) -> Any:
        ready.wait()
        return function(index)

    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(call, range(number)))


def start(services: Services, mirror: Mirror) -> Any:
    """Return a run that waits for whoever claims it."""
    [run] = services.training.wish(mirror.project.id, reason="test")
    services.training.advance()
    return services.training.get(run.id)


def _answers(tandem: Tandem, url: str) -> bool:
    with contextlib.suppress(OSError):
        return tandem.ask("GET", "/health", url=url).ok
    return False
