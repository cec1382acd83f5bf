"""Services on real SQLite and real files, with a queue and a family that do what the test says."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from backend_doubles import FakeFit, write_image
from databases import Databases
from doubles import InlineQueue

from backend.projects.service import Mirror
from backend.projects.tasks import GivenAnnotation, GivenMedia, GivenTask
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations
from backend.storage.columns import utc_now
from backend.training.execution import Execution
from backend.training.run import RunState
from models.labels import Label, LabelSchema, Objective
from models.regions import Choice

SCHEMA = LabelSchema(Objective.CLASSIFICATION, (Label("cat"), Label("dog")))


@pytest.fixture
def settings(tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    home = tmp_path / "home"
    home.mkdir()
    with databases.make(home) as url:
        monkeypatch.setenv("DATABASE_URL", url)
        yield Settings(home=home, heartbeat_s=0.05, lost_after_s=1.0, train_quiet_s=0.0, device="cpu")


@pytest.fixture
def queue() -> InlineQueue:
    return InlineQueue()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, migrated once for all tests."""
    path = tmp_path_factory.mktemp("database") / "tandem.sqlite3"
    migrations.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def services(settings: Settings, queue: InlineQueue) -> Iterator[Services]:
    built = Services.build(settings, queue=queue)
    yield built
    built.close()


@pytest.fixture
def mirror(services: Services) -> Mirror:
    return services.projects.mirror("label_studio", "7.1", document="<View/>", schemas={"pet": SCHEMA})


@pytest.fixture
def label(services: Services, mirror: Mirror, tmp_path: Path) -> Callable[[Sequence[str]], None]:
    """Label tasks 0, 1, 2 … of the project with the given labels, in place of all labels before."""

    def photo(number: int) -> GivenMedia:
        path = write_image(tmp_path / f"{number}.png", number)
        return GivenMedia(f"/{number}.png", services.blobs.put_file(path))

    def label_tasks(labels: Sequence[str]) -> None:
        label_set = mirror.label_sets[0].id
        services.tasks.replace(
            mirror.project.id,
            [
                GivenTask(
                    external_id=str(number),
                    media={"": photo(number)},
                    annotations=(GivenAnnotation(str(number), utc_now(), {label_set: (Choice(name),)}),),
                )
                for number, name in enumerate(labels)
            ],
        )

    return label_tasks


@pytest.fixture
def fit() -> FakeFit:
    return FakeFit()


@pytest.fixture
def train(services: Services, mirror: Mirror, fit: FakeFit, settings: Settings) -> Callable[[], str]:
    """Train the project on the labels it has now; return the run's id."""
    from backend.training import snapshot

    execution = Execution(
        services.database,
        services.training,
        services.versions,
        services.projects,
        services.blobs,
        settings,
        fitter=lambda _: fit,
    )

    def train_now() -> str:
        label_set = mirror.label_sets[0]
        [run] = services.training.wish(mirror.project.id, reason="test")
        services.training.advance()
        collecting = services.training.claim(run.id, 1, state=RunState.QUEUED)
        items = services.tasks.labelled_items(label_set)
        services.training.collected(collecting, snapshot.store(services.blobs, label_set.schema, items))
        services.training.advance()
        execution.execute(run.id, 2)
        return run.id

    return train_now
