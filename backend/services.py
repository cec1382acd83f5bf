"""All services, built from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from backend.connections import Connections
from backend.inbox import Inbox
from backend.inference.batch import Batches
from backend.inference.engine import Engine
from backend.inference.interactive import Interactive
from backend.inference.job import PredictionJobs
from backend.inference.segmenters import Segmenters
from backend.inference.service import Inference
from backend.projects import Projects
from backend.queue import Queue, RedisQueue
from backend.secrets import Vault
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.tasks import Tasks
from backend.training.execution import Execution
from backend.training.service import Training
from backend.versions import ModelVersion, Versions
from models.catalog import add_folder, predictor_loader
from models.family import Predictor


@dataclass(frozen=True, slots=True)
class Services:
    """What adapters may call."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: Queue
    projects: Projects
    tasks: Tasks
    versions: Versions
    training: Training
    execution: Execution
    inbox: Inbox
    prediction_jobs: PredictionJobs
    batches: Batches
    engine: Engine
    inference: Inference
    interactive: Interactive
    segmenters: Segmenters
    connections: Connections

    @classmethod
    def build(cls, settings: Settings, *, queue: Queue | None = None) -> Self:
        """Put the services together. Nothing is connected to before it is used.

        Args:
            settings: The settings.
            queue: In place of RQ on `settings.redis`.
        """
        add_folder(settings.home / "families")
        database = Database(settings.database, pool_size=settings.web_threads)
        queue = queue or RedisQueue(settings.redis)
        blobs = BlobStore(settings.home / "blobs")
        projects = Projects(database, Vault(settings.home / "secret.key"))
        tasks = Tasks(database)
        versions = Versions(database, blobs, settings.home / "checkpoints")
        training = Training(database, queue, projects, settings)
        batches = Batches(database)
        prediction_jobs = PredictionJobs(database, queue, projects, versions, settings)

        def load(version: ModelVersion) -> Predictor:
            return predictor_loader(version.family)(versions.checkpoint(version), settings.device_name)

        engine = Engine(load, capacity_bytes=settings.engine_bytes)
        return cls(
            settings=settings,
            database=database,
            blobs=blobs,
            queue=queue,
            projects=projects,
            tasks=tasks,
            versions=versions,
            training=training,
            execution=Execution(database, training, versions, projects, blobs, settings),
            inbox=Inbox(database, training, settings),
            prediction_jobs=prediction_jobs,
            batches=batches,
            engine=engine,
            inference=Inference(engine, tasks, settings),
            interactive=Interactive(settings),
            segmenters=Segmenters(engine, settings),
            connections=Connections(projects, training, batches, prediction_jobs),
        )

    def close(self) -> None:
        """Let go of threads and connections."""
        self.inference.close()
        self.database.close()
