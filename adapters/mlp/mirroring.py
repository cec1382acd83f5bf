"""The background job that brings a project into Label Studio and keeps it up to date there, in both directions."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from adapters.identifiers import read_id, spell
from adapters.label_studio import authoring
from adapters.label_studio.access import KIND, Access
from adapters.label_studio.client import URL_MISSING, LabelStudio, LabelStudioProject
from adapters.label_studio.described import take_note
from adapters.label_studio.jobs import Collection
from adapters.label_studio.label_config import LabelConfig, parse
from adapters.label_studio.label_config.merging import EMPTY, merge
from adapters.label_studio.results import Found, encode
from adapters.label_studio.wire import ProjectUid
from backend import jobs, logs
from backend.connections.mirrors import MirrorLost, Progress, Sent
from backend.datasets.images import UPLOAD_FIELD
from backend.errors import Conflict, Invalid, NotFound, TandemError
from backend.projects.service import LabelSet, Mirror
from backend.projects.tasks import Annotation, Task
from backend.services import Services
from models.labels import Objective
from models.regions import from_json

log = logging.getLogger(__name__)

_ID_FIELD = "tandem_id"
"""The field of a task's data that says which image of ours it is: what was sent already is recognised by it."""
_SENT_ALONG = 1
"""The id of an annotation that goes along with its task; Label Studio gives it another one, and remembers this."""
_TITLE = "Tandem"
_TASKS_AT_ONCE = 100
_SLICE_S = 60.0
"""Other background work waits for so long at most."""
_FAILED_RESTS_S = 30.0
_COLLECTED_RESTS_S = 3.0


def mirror(project_id: str, attempt: int) -> None:
    """Do what is to be done for a project in Label Studio."""
    with jobs.services() as services, logs.context(project_id=project_id):
        Mirroring(services, project_id, attempt).work()


class Mirroring:
    """Works on the mirror of one project. Whatever it is interrupted in, it finds out what is there and goes on."""

    def __init__(self, services: Services, project_id: str, attempt: int) -> None:
        self._services = services
        self._mirrors = services.mirrors
        self._access = Access(services)
        self._project_id = project_id
        self._attempt = attempt
        self._base_url = services.settings.base_url.rstrip("/")

    def work(self) -> None:
        """Do some of what is to be done, and leave the rest to the next job; a failure is told, and tried again."""
        with suppress(MirrorLost):
            progress = self._mirrors.claim(self._project_id, self._attempt)
            try:
                with self._heartbeat():
                    error, rest_s = "", self._work(progress)
            except TandemError as problem:
                error, rest_s = problem.message, _FAILED_RESTS_S
            except MirrorLost:
                raise
            except Exception as problem:
                log.exception("mirroring crashed")
                error = f"an internal error ended the job ({type(problem).__name__}); the worker's log says more"
                rest_s = _FAILED_RESTS_S
            self._mirrors.end(self._project_id, self._attempt, error=error, rest_s=rest_s)

    def _work(self, progress: Progress) -> float:
        """Return for how many seconds to rest."""
        project = self._services.projects.get(self._project_id)
        client = self._access.client(project.origin)
        if client is None:
            raise Invalid("Set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY.", code=URL_MISSING)
        there = self._find_there(client, project, progress)
        config = self._configure(client, there)
        self._send_images(client, there, config)
        if not progress.is_connected:
            self._connect(client, there)
        return self._collect(progress)

    def _find_there(self, client: LabelStudio, project: Mirror, progress: Progress) -> LabelStudioProject:
        """Return the project in Label Studio, which is made where there is none.

        Raises:
            NotFound: It is gone.
            Conflict: There is another one in its place.
        """
        if project.origin.kind == KIND:
            uid = ProjectUid.parse(project.origin.uid)
            there = _get(client, uid.id)
            if there.uid != str(uid):
                raise Conflict(f"Project {uid.id} of {client.url} is another one ({there.title!r}).")
            self._mirrors.tell(self._project_id, self._attempt, url=client.url)
            return there
        mark = f"Mirrored from {spell('project_id', self._project_id)} of Tandem."
        if progress.wanted is not None:
            there = _get(client, progress.wanted)
        else:
            is_first = progress.attempt == 1
            there = (None if is_first else authoring.find_project(client, mark)) or authoring.create_project(
                client,
                project.project.title,
                description=f"{project.project.description}\n\n{mark}".strip(),
                config=EMPTY,
            )
        self._mirrors.move_in(self._project_id, self._attempt, uid=there.uid, url=client.url)
        return there

    def _configure(self, client: LabelStudio, there: LabelStudioProject) -> LabelConfig:
        """Bring label sets that are new or changed into the labelling config; return what it is then."""
        documents = self._mirrors.unsaid(self._project_id)
        controls = {
            control: document for name, document in documents.items() for control in _controls_of(name, document)
        }
        document = merge(there.label_config or EMPTY, controls) if controls else there.label_config or EMPTY
        if controls and document != there.label_config:
            authoring.change_config(client, there.id, document)
        config = parse(document)
        self._mirrors.note_said(self._project_id, self._attempt, documents)
        take_note(self._services.projects, there.uid, document, config)
        return config

    def _send_images(self, client: LabelStudio, there: LabelStudioProject, config: LabelConfig) -> None:
        """Make tasks of images that are not there yet, for as long as a slice lasts."""
        until = time.monotonic() + _SLICE_S
        label_sets = {row.id: row for row in self._services.projects.get(self._project_id).label_sets}
        while True:
            if self._mirrors.unsent(self._project_id, 1):
                self._recognise(client, there)
            tasks = self._mirrors.unsent(self._project_id, _TASKS_AT_ONCE)
            if not tasks:
                self._mirrors.note_all_sent(self._project_id, self._attempt)
            if not tasks or time.monotonic() > until:
                return
            said = self._mirrors.said_here([task.id for task in tasks])
            entries = [self._entry(task, said.get(task.id, []), label_sets, config) for task in tasks]
            self._mirrors.tell(self._project_id, self._attempt)
            authoring.import_tasks(client, there.id, entries)

    def _recognise(self, client: LabelStudio, there: LabelStudioProject) -> None:
        """Find out which of our images are tasks in Label Studio, whoever sent them."""
        after = self._mirrors.newest_sent(self._project_id)
        while tasks := client.list_tasks(there.id, after=after, limit=_TASKS_AT_ONCE).tasks:
            after = tasks[-1]["id"]
            sent: dict[str, Sent] = {}
            for task in tasks:
                task_id = read_id("image_id", str(task["data"].get(_ID_FIELD, "")))
                source = str(task["data"].get(UPLOAD_FIELD, ""))
                ours = (each["id"] for each in task.get("annotations", []) if each.get("import_id") == _SENT_ALONG)
                sent.setdefault(task_id, Sent(str(task["id"]), source, next(map(str, ours), None)))
            self._mirrors.note_sent(self._project_id, self._attempt, sent)

    def _entry(
        self,
        task: Task,
        said: Sequence[Annotation],
        label_sets: dict[str, LabelSet],
        config: LabelConfig,
    ) -> dict[str, Any]:
        """Return a task in Label Studio's words.

        What was said here goes along where every label set is answered: in Label Studio an annotation is about all of
        them, and what is not drawn is not there.
        """
        image_id = spell("image_id", task.id)
        address = f"{self._base_url}{self._services.images.signed_url_path(task)}"
        fields = {UPLOAD_FIELD, *(binding.data_key for binding in config.bindings)}
        entry: dict[str, Any] = {"data": {**dict.fromkeys(sorted(fields), address), _ID_FIELD: image_id}}
        answered = {label_sets[row.label_set_id].name: row for row in said if row.label_set_id in label_sets}
        asked = {row.name for row in label_sets.values() if row.schema.objective is not Objective.CLICK_SEGMENTATION}
        if answered and set(answered) == asked and task.width_px and task.height_px:
            found = [
                Found(binding, from_json(answered[binding.control_name].regions), task.width_px, task.height_px)
                for binding in config.bindings
                if binding.control_name in answered
            ]
            result = encode(found, config=config, task_id=image_id).result
            is_ours = ("score", "origin")
            items = [{key: value for key, value in item.items() if key not in is_ours} for item in result]
            entry["annotations"] = [{"id": _SENT_ALONG, "result": items}]
        return entry

    def _connect(self, client: LabelStudio, there: LabelStudioProject) -> None:
        settings = self._services.settings
        login = (settings.basic_auth_user, settings.basic_auth_pass.get_secret_value())
        authoring.connect(
            client, there.id, self._base_url, title=_TITLE, login=login if settings.has_basic_auth else None
        )
        self._mirrors.tell(self._project_id, self._attempt, is_connected=True)

    def _collect(self, progress: Progress) -> float:
        """Bring here what people said there since the last time; return for how many seconds to rest."""
        newest = self._mirrors.newest_event(self._project_id)
        if newest == progress.last_event and progress.is_connected:
            return 0.0
        began = time.monotonic()
        num_gone = Collection(self._services).refresh(self._project_id)
        self._mirrors.tell(self._project_id, self._attempt, last_event=newest, num_gone=num_gone)
        return max(_COLLECTED_RESTS_S, 5 * (time.monotonic() - began))

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """While the block works, say so every few seconds."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._services.settings.heartbeat_s):
                try:
                    self._mirrors.tell(self._project_id, self._attempt)
                except MirrorLost:
                    return
                except TandemError as error:
                    log.warning("heartbeat failed", extra={"reason": error.message})

        thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def _get(client: LabelStudio, number: int) -> LabelStudioProject:
    try:
        return client.get_project(number)
    except NotFound as error:
        raise NotFound(
            f"Project {number} is gone from {client.url}, or the user of LABEL_STUDIO_API_KEY may not see it; what is "
            "here stays.",
            code="label_studio_project_gone",
        ) from error


def _controls_of(name: str, document: str) -> list[str]:
    """Return the controls that a label set consists of: its own, and the one that names what is drawn with it."""
    naming = (each.labels_name for each in parse(document).bindings if each.control_name == name)
    return [*filter(None, naming), name]
