"""A server that the tests of a module share, and commands that run in this process."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from doubles import InlineQueue
from processes import RunningServer
from reachable import ReachableServer, serving
from terminals import Terminal

from adapters.cli.credentials import Credentials
from adapters.cli.main import main
from adapters.label_studio.label_config import parse
from adapters.web import create_app
from backend.projects.service import Mirror
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations
from backend.versions.registry import ModelVersion

CONFIG = (
    '<View><Image name="photo" value="$image"/>'
    '<Choices name="pet" toName="photo"><Choice value="cat"/><Choice value="dog"/></Choices>'
    '<TextArea name="note" toName="photo"/></View>'
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """`tandem up` with two web processes; leave it running."""
    running = RunningServer(tmp_path_factory.mktemp("up"), {"TANDEM_WEB_WORKERS": "2"})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give commands in this process an empty home, and nothing of the developer's own settings."""
    for name, info in Settings.model_fields.items():
        for variable in (f"TANDEM_{name.upper()}", *getattr(info.validation_alias, "choices", ())):
            monkeypatch.delenv(str(variable), raising=False)
    monkeypatch.delenv("TANDEM_API_KEY", raising=False)
    monkeypatch.setenv("TANDEM_CONFIG_DIR", str(tmp_path / "config"))
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TANDEM_HOST", "127.0.0.1")
    return tmp_path / "home"


@pytest.fixture
def tandem(home: Path) -> Callable[..., Result]:
    """Run a command in this process and return what it said."""
    return lambda *arguments: CliRunner().invoke(main, list(arguments), prog_name="tandem")


@pytest.fixture
def reachable(home: Path) -> Iterator[ReachableServer]:
    """A server on this machine with a home of its own, where nobody is logged in yet."""
    with serving(home.parent / "server") as server:
        yield server


@pytest.fixture
def logged_in(reachable: ReachableServer) -> ReachableServer:
    """The same, and somebody is logged in there."""
    Credentials().keep(reachable.url, reachable.mint("ann@example.com"))
    return reachable


@pytest.fixture
def own_signals() -> Iterator[None]:
    """Give pytest its signal handlers back."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def services(home: Path) -> Iterator[Services]:
    """What the commands see: a database at its head, in the same home."""
    settings = Settings()
    migrations.upgrade(settings.database)
    built = Services.build(settings)
    yield built
    built.close()


@pytest.fixture
def project(services: Services) -> Mirror:
    """A project of Label Studio that has connected, with something to learn."""
    config = parse(CONFIG)
    schemas = {binding.control_name: binding.schema for binding in config.bindings}
    mirror = services.projects.mirror("label_studio", "7.1795203195", document=CONFIG, schemas=schemas)
    services.projects.note_contact(mirror.origin)
    return services.projects.get(mirror.project.id)


@pytest.fixture
def add_version(services: Services, project: Mirror) -> Callable[[float], ModelVersion]:
    """Register and promote a version with the given accuracy."""

    def add(accuracy: float) -> ModelVersion:
        label_set = project.label_sets[0]
        number = 1 + len(services.versions.of_label_set(label_set.id))
        version = ModelVersion(
            project_id=project.project.id,
            label_set_id=label_set.id,
            number=number,
            name=f"pet-v{number}",
            run_id="01run",
            family="image_classification",
            labels=label_set.labels,
            settings={},
            libraries={},
            weights_source="random",
            snapshot="5" * 64,
            files={},
            metrics={"accuracy": accuracy, "macro_f1": accuracy},
        )
        with services.database.transaction() as session:
            session.add(version)
        services.versions.promote(version, reason="test")
        return version

    return add


@pytest.fixture
def terminal(home: Path, queue: InlineQueue) -> Iterator[Terminal]:
    """Somebody who has a key and nothing else, at a server of this process."""
    settings = Settings(home=home, device="cpu")
    migrations.upgrade(settings.database)
    with closing(Services.build(settings, queue=queue)) as services:
        _, key = services.accounts.mint(services.accounts.create_user("ann@example.com"), "test")
        with Terminal(create_app(settings, services), services, key) as running:
            yield running
