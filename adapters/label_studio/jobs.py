"""Background jobs for projects that live in Label Studio: collect annotations for a training run, predict tasks."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar

from adapters.label_studio import texts
from adapters.label_studio.access import Access
from adapters.label_studio.batch import BatchPrediction
from adapters.label_studio.click_sets import click_sets
from adapters.label_studio.client import SETUP_FAULTS, URL_MISSING, LabelStudio
from adapters.label_studio.conditions import has_id_up_to
from adapters.label_studio.label_config import Binding, LabelConfig, parse
from adapters.label_studio.media import Media
from adapters.label_studio.results import decode
from adapters.label_studio.wire import AnnotatedTask, Annotation, ProjectUid, read
from backend import jobs, logs
from backend.errors import Conflict, Invalid, TandemError, Unavailable
from backend.projects.service import Mirror
from backend.projects.tasks import GivenAnnotation, GivenMedia, GivenTask
from backend.services import Services
from backend.training import snapshot
from backend.training.custody import custody
from backend.training.run import RunState
from backend.training.service import RunLost
from models.labels import Medium
from models.texts import BadText

log = logging.getLogger(__name__)
T = TypeVar("T")
_Tell = Callable[[str], None]

_RETRIES_S = (1, 2, 4, 8, 15)
_FETCHERS = 8


def collect(run_id: str, attempt: int) -> None:
    """Fetch the annotations and media of a run's project, and hand the run on to a trainer."""
    with jobs.services_for_run(run_id) as services:
        Collection(services).collect(run_id, attempt)


def predict(job_id: str, attempt: int) -> None:
    """Predict more of the tasks of a prediction job."""
    with jobs.services() as services, logs.context(job_id=job_id):
        BatchPrediction(services).work(job_id, attempt)


class Collection:
    """Collects what people said in Label Studio."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._access = Access(services)

    def collect(self, run_id: str, attempt: int) -> None:
        """Take a queued run up, make its snapshot, and queue it for training."""
        training = self._services.training
        try:
            run = training.claim(run_id, attempt, state=RunState.QUEUED)
        except RunLost:
            return
        with custody(training, run, every_s=self._services.settings.heartbeat_s):
            mirror = self._services.projects.get(run.project_id)
            given, _ = self._renew(mirror, supplied=run.supplied, tell=partial(training.add_line, run))
            label_set = self._services.projects.get_label_set(run.label_set_id)
            taken, counts = snapshot.take(run, label_set, self._services.tasks, self._services.blobs)
            num_labelled = counts.num_train + counts.num_held_out
            training.add_line(run, f"collected {num_labelled} labelled items for {label_set.name!r}")
            if given and not counts.num_regions:
                # Not a failure: a project has controls that nobody has used yet, or that only serve for clicks.
                training.add_line(run, f"nothing is labelled with {label_set.name!r} yet, so there is nothing to learn")
                training.end(run, RunState.CANCELLED)
                return
            training.collected(run, taken, counts=counts)

    def refresh(self, project_id: str) -> int:
        """Bring what people said in Label Studio here; return how many labelled images are gone there.

        Raises:
            TandemError: It cannot be had; nothing has changed.
        """

        def tell(line: str) -> None:
            log.warning("annotation not collected", extra={"project_id": project_id, "reason": line})

        return self._renew(self._services.projects.get(project_id), tell=tell)[1]

    def _renew(self, mirror: Mirror, *, supplied: str | None = None, tell: _Tell) -> tuple[list[GivenTask], int]:
        """Let our annotations be those that Label Studio has; images that only we have left keep theirs.

        Args:
            mirror: Of which project.
            supplied: Blob with annotated tasks, in place of those that Label Studio has.
            tell: Takes what a person should know, sentence by sentence.
        """
        given = list(self._given_tasks(mirror, supplied, tell))
        gone = set() if supplied else self._find_gone(mirror, {each.external_id for each in given})
        self._services.tasks.replace(mirror.project.id, given, spared=gone)
        return given, len(gone)

    def _find_gone(self, mirror: Mirror, annotated: set[str]) -> set[str]:
        """Return the tasks of images that were uploaded here, and that Label Studio no longer has."""
        silent = self._services.mirrors.labelled_there(mirror.project.id) - annotated
        client = self._access.client(mirror.origin)
        assert client is not None, "annotations have just been read from it"
        number = ProjectUid.parse(mirror.origin.uid).id
        return {
            external_id
            for external_id in silent
            if not client.list_tasks(
                number,
                [has_id_up_to(int(external_id))],
                after=int(external_id) - 1,
                limit=1,
                with_annotations=False,
            ).tasks
        }

    def _given_tasks(self, mirror: Mirror, supplied: str | None, tell: _Tell) -> Iterator[GivenTask]:
        client = self._access.client(mirror.origin)
        config = parse(mirror.origin.document)
        if supplied is not None:
            tasks = json.loads(self._services.blobs.path(supplied).read_bytes())
        elif client is None:
            raise Invalid(
                "the annotations are in Label Studio: set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY for Tandem",
                code=URL_MISSING,
            )
        else:
            tasks = _fetch_tasks(client, ProjectUid.parse(mirror.origin.uid))
        yield from self._with_media(mirror, config, tasks, tell)

    def _with_media(
        self, mirror: Mirror, config: LabelConfig, tasks: Iterable[Any], tell: _Tell
    ) -> Iterator[GivenTask]:
        id_of = {row.name: row.id for row in mirror.label_sets}
        known = self._services.tasks.known_media(mirror.project.id)
        media = self._access.media(mirror.origin)

        def given(sent: Any) -> GivenTask | None:
            task = read(AnnotatedTask, sent)
            annotations = tuple(_given_annotations(task, config, id_of))
            if not annotations:
                return None
            found: dict[str, GivenMedia] = {}
            for binding in config.bindings:
                shown = binding.find_data(task.data)
                text = texts.find(binding, shown) if binding.schema.medium is Medium.TEXT else None
                if binding.data_key in found:
                    continue
                if text is not None:
                    digest = self._services.blobs.put(text.encode(errors="replace"))
                    found[binding.data_key] = GivenMedia(f"text {digest}", digest)
                elif isinstance(shown, str) and shown:
                    digest_or_none = known.get((str(task.id), shown)) or self._fetch_media(
                        media, shown, task, binding, tell
                    )
                    found[binding.data_key] = GivenMedia(shown, digest_or_none)
            return GivenTask(str(task.id), found, annotations) if found else None

        with ThreadPoolExecutor(_FETCHERS, thread_name_prefix="fetch") as pool:
            yield from (task for task in pool.map(given, tasks) if task is not None)

    def _fetch_media(self, media: Media, uri: str, task: AnnotatedTask, binding: Binding, tell: _Tell) -> str | None:
        """Put a task's file into the blob store; a file that cannot be had leaves the task out, with a log line."""
        try:
            file = _retried(lambda: media.fetch(uri, task_id=task.id))
            if binding.schema.medium is Medium.TEXT:
                return self._services.blobs.put(texts.read(binding, file.path).encode())
        except BadText as error:
            tell(f"task {task.id} is left out: {error}")
            return None
        except TandemError as error:
            if error.code in SETUP_FAULTS:
                raise
            tell(f"task {task.id} is left out: {error.message}")
            return None
        return self._services.blobs.put_file(file.path)


def _given_annotations(task: AnnotatedTask, config: LabelConfig, id_of: dict[str, str]) -> Iterator[GivenAnnotation]:
    bindings, clicks = config.bindings, click_sets(config)
    for number, annotation in enumerate(task.annotations):
        if annotation.was_cancelled:
            continue
        said = {
            b.control_name: decode(annotation.result, b, bindings).regions for b in bindings if b.control_name in id_of
        }
        given = {name: regions for name, regions in said.items() if regions is not None}
        drawn = {each.name: regions for each in clicks if (regions := each.merged(given)) is not None}
        answers = {id_of[name]: regions for name, regions in {**given, **drawn}.items() if name in id_of}
        if answers:
            yield GivenAnnotation(str(annotation.id or number), _updated_at(annotation), answers)


def _updated_at(annotation: Annotation) -> datetime:
    try:
        moment = datetime.fromisoformat(annotation.updated_at or annotation.created_at or "")
    except ValueError:
        return datetime.fromtimestamp(0, UTC)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _fetch_tasks(client: LabelStudio, uid: ProjectUid) -> Iterator[dict[str, Any]]:
    """Yield the annotated tasks, after making sure that this is the project that is meant.

    Raises:
        Conflict: The project with this number was created at another time: it is another installation's.
    """
    found = _retried(lambda: client.get_project(uid.id))
    if uid.created_at_s is not None and found.uid != str(uid):
        raise Conflict(
            f"project {uid.id} of {client.url} is another one ({found.title!r}); check LABEL_STUDIO_URL",
            code="wrong_label_studio",
        )
    yield from client.fetch_annotated_tasks(uid.id)


def _retried(ask: Callable[[], T]) -> T:
    """Ask again for half a minute while Label Studio cannot be reached."""
    for pause_s in _RETRIES_S:
        try:
            return ask()
        except Unavailable as error:
            if error.code not in SETUP_FAULTS:
                raise
            log.warning("asked in vain", extra={"reason": error.message, "again_in_s": pause_s})
            time.sleep(pause_s)
    return ask()
