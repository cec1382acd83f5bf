"""All services, built from the settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from backend.access import Access
from backend.accounts.allowances import Allowances
from backend.accounts.service import Accounts
from backend.accounts.workspaces import Workspaces
from backend.connections.inbox import Inbox
from backend.connections.mirrors import Mirrors
from backend.connections.ml_backends import MLBackends
from backend.connections.state import Connections
from backend.datasets.annotations import Annotations
from backend.datasets.erasure import Erasure
from backend.datasets.images import Images
from backend.datasets.label_sets import LabelSets
from backend.datasets.portfolio import Portfolio
from backend.datasets.splits import Splits
from backend.idempotency import Idempotency
from backend.inference.batch import Batches
from backend.inference.engine import Engine
from backend.inference.interactive import Interactive
from backend.inference.job import PredictionJobs
from backend.inference.segmenters import Segmenters
from backend.inference.service import Inference
from backend.predictions.answers import Answers
from backend.predictions.batch_work import BatchWork
from backend.predictions.foreign import ForeignPredictions
from backend.predictions.pictures import Pictures
from backend.predictions.service import Predictions
from backend.projects.service import Projects
from backend.projects.tasks import Tasks
from backend.queue import Queue, RedisQueue
from backend.rate_limit import RateLimit
from backend.runs.links import DownloadLinks
from backend.runs.remains import Remains
from backend.runs.removal import Removal
from backend.runs.service import Runs
from backend.secrets import Vault
from backend.settings import Settings
from backend.storage.blobs import BlobStore
from backend.storage.database import Database
from backend.training.execution import Execution
from backend.training.service import Training
from backend.versions.downloads import Downloads
from backend.versions.registry import ModelVersion, Versions
from models.catalog import add_folder, predictor_loader
from models.family import Predictor


@dataclass(frozen=True, slots=True)
class Services:
    """What adapters may call."""

    settings: Settings
    database: Database
    blobs: BlobStore
    queue: Queue
    accounts: Accounts
    workspaces: Workspaces
    access: Access
    allowances: Allowances
    rate_limit: RateLimit
    idempotency: Idempotency
    projects: Projects
    portfolio: Portfolio
    label_sets: LabelSets
    images: Images
    splits: Splits
    tasks: Tasks
    annotations: Annotations
    versions: Versions
    training: Training
    execution: Execution
    runs: Runs
    downloads: Downloads
    download_links: DownloadLinks
    removal: Removal
    inbox: Inbox
    prediction_jobs: PredictionJobs
    predictions: Predictions
    batch_work: BatchWork
    foreign_predictions: ForeignPredictions
    pictures: Pictures
    batches: Batches
    engine: Engine
    inference: Inference
    interactive: Interactive
    segmenters: Segmenters
    connections: Connections
    ml_backends: MLBackends
    mirrors: Mirrors

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
        vault = Vault(settings.home / "secret.key")
        accounts = Accounts(database, settings)
        projects = Projects(database, vault)
        tasks = Tasks(database)
        versions = Versions(database, blobs, settings.home / "checkpoints")
        allowances = Allowances(database, settings)
        training = Training(database, queue, projects, allowances, settings)
        access = Access(database, accounts)
        downloads = Downloads(versions, settings.home / "downloads")
        remains = Remains(database, versions, downloads, blobs, settings.home)
        removal = Removal(database, tasks, versions, remains)
        erasure = Erasure(database, tasks, remains, blobs, settings)
        splits = Splits(database, access)
        batches = Batches(database)
        prediction_jobs = PredictionJobs(database, queue, projects, versions, settings)

        def load(version: ModelVersion) -> Predictor:
            return predictor_loader(version.family)(versions.checkpoint(version), settings.device_name)

        engine = Engine(load, capacity_bytes=settings.engine_bytes)
        inference = Inference(engine, tasks, settings)
        annotations = Annotations(database, access, blobs)
        runs = Runs(database, queue, access, allowances, training, tasks, versions, downloads, removal)
        answers = Answers(inference, blobs)
        batch_work = BatchWork(
            database, blobs, projects, tasks, versions, annotations, prediction_jobs, answers, settings
        )
        predictions = Predictions(database, blobs, access, runs, prediction_jobs, inference, answers, batch_work)
        return cls(
            settings=settings,
            database=database,
            blobs=blobs,
            queue=queue,
            accounts=accounts,
            workspaces=Workspaces(database, accounts, settings),
            access=access,
            allowances=allowances,
            rate_limit=RateLimit(settings.redis),
            idempotency=Idempotency(database),
            projects=projects,
            portfolio=Portfolio(database, accounts, access, splits, erasure),
            label_sets=LabelSets(database, access, versions, erasure),
            images=Images(database, access, erasure, blobs, vault, settings),
            splits=splits,
            tasks=tasks,
            annotations=annotations,
            versions=versions,
            training=training,
            execution=Execution(database, training, versions, projects, blobs, settings),
            runs=runs,
            downloads=downloads,
            download_links=DownloadLinks(accounts, vault),
            removal=removal,
            inbox=Inbox(database, training, settings),
            prediction_jobs=prediction_jobs,
            predictions=predictions,
            batch_work=batch_work,
            foreign_predictions=ForeignPredictions(database),
            pictures=Pictures(access, blobs, annotations, predictions),
            batches=batches,
            engine=engine,
            inference=inference,
            interactive=Interactive(settings),
            segmenters=Segmenters(engine, settings),
            connections=Connections(projects, training, batches, prediction_jobs),
            ml_backends=MLBackends(database, access, vault),
            mirrors=Mirrors(database, queue, access, settings),
        )

    def close(self) -> None:
        """Let go of threads and connections."""
        self.inference.close()
        self.accounts.flush()
        self.database.close()
