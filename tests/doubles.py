"""What stands in for others in tests: Label Studio and the web as real HTTP servers on loopback, a queue's workers."""

from __future__ import annotations

import base64
import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pkgutil import resolve_name
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlsplit

from backend.errors import Unavailable


@dataclass(frozen=True)
class Asked:
    """A request that a fake server received."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def authorization(self) -> str | None:
        return self.headers.get("authorization")


@dataclass(frozen=True)
class Answer:
    """What a fake server answers.

    Attributes:
        cut_at: How many bytes of the body are sent although its whole length is announced.
        has_length: Whether the length is announced.
        max_range_bytes: How much a request for a range gets at most; None: ranges are ignored.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_at: int | None = None
    has_length: bool = True
    max_range_bytes: int | None = 1 << 30
    delay_s: float = 0.0


def as_json(value: Any, status: int = 200) -> Answer:
    return Answer(status, json.dumps(value).encode(), {"Content-Type": "application/json"})


def redirect(url: str, status: int = 303) -> Answer:
    return Answer(status, headers={"Location": url})


def make_jwt(**claims: Any) -> str:
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*encoded, "c2lnbmF0dXJl"])


class FakeWeb:
    """A web server that answers by exact path, and remembers what it was asked.

    Use it as a context manager. `answers` holds what is at a path: bytes, an Answer, or a function of the request.
    `faults` come first: they are used up one by one by requests whose path begins with the given text.
    """

    def __init__(self) -> None:
        self.answers: dict[str, bytes | Answer | Callable[[Asked], Answer]] = {}
        self.asked: list[Asked] = []
        self._faults: list[tuple[str, Answer]] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = Asked(
                    self.command,
                    parts.path,
                    {name: values[-1] for name, values in parse_qs(parts.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(int(self.headers.get("Content-Length", 0))),
                )
                with fake._lock:
                    fake.asked.append(asked)
                _send(self, asked, fake._next_fault(asked.path) or fake.answer(asked))

            do_POST = do_PATCH = do_DELETE = do_GET  # noqa: N815 - the names are the standard library's

            def log_message(self, format: str, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass  # a client that has hung up is part of several tests

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def break_path(self, path: str, answer: Answer, *, times: int = 1) -> None:
        """Answer so to the next requests whose path begins with this."""
        with self._lock:
            self._faults += [(path, answer)] * times

    def asked_for(self, path: str) -> list[Asked]:
        """Return the requests whose path begins with this."""
        with self._lock:
            return [asked for asked in self.asked if asked.path.startswith(path)]

    def answer(self, asked: Asked) -> Answer:
        found = self.answers.get(asked.path, Answer(404))
        if isinstance(found, bytes):
            return Answer(body=found)
        return found if isinstance(found, Answer) else found(asked)

    def _next_fault(self, path: str) -> Answer | None:
        with self._lock:
            for fault in self._faults:
                if path.startswith(fault[0]):
                    self._faults.remove(fault)
                    return fault[1]
        return None


class FakeLabelStudio(FakeWeb):
    """A Label Studio server, as far as media, projects and annotated tasks are read from it, or written to it.

    Fill the dictionaries: `uploads` by "<project>/<file>", `local_files` by path below its root, `cloud` by URI with
    the content or any Answer, such as a redirect to where it is signed for, `projects` by id with their JSON, and
    `tasks` by project id with their JSON, annotations included. `predictions` are those imported, except where
    `refuses` finds fault with one, and `connections` the ML backends. It takes `pat` and `legacy_token`.
    """

    def __init__(self, *, base_path: str = "", legacy_enabled: bool = True, access_lifetime_s: int = 300) -> None:
        super().__init__()
        self.base_path = base_path
        self.legacy_token = "0123456789abcdef0123456789abcdef01234567"
        self.legacy_enabled = legacy_enabled
        self.access_lifetime_s = access_lifetime_s
        self.pat = make_jwt(token_type="refresh", exp=int(time.time()) + 10**8, iat=int(time.time()), jti="pat")
        self.access_tokens: set[str] = set()
        self.keeps_uploads_in_cloud = False
        self.uploads: dict[str, bytes] = {}
        self.local_files: dict[str, bytes] = {}
        self.cloud: dict[str, bytes | Answer] = {}
        self.projects: dict[int, dict[str, Any]] = {}
        self.tasks: dict[int, list[dict[str, Any]]] = {}
        self.predictions: list[dict[str, Any]] = []
        self.refuses: Callable[[dict[str, Any]], bool] | None = None
        self.connections: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return super().url + self.base_path

    def answer(self, asked: Asked) -> Answer:
        if not asked.path.startswith(f"{self.base_path}/"):
            return Answer(404)
        path = asked.path.removeprefix(self.base_path)
        if path == "/api/token/refresh/":
            return self._refresh(asked)
        if path.rstrip("/") == "/api/version":
            return as_json({"release": "1.23.2"})
        if not self._knows(asked.authorization):
            return as_json({"status_code": 401, "detail": "Authentication credentials were not provided."}, 401)
        return self._answer_known(path, asked)

    def _answer_known(self, path: str, asked: Asked) -> Answer:
        if path == "/api/current-user/whoami":
            return as_json({"id": 1, "email": "admin@example.com"})
        if path == "/api/projects/":
            return self._projects(asked)
        if path == "/api/ml/" and path not in self.answers:
            return self._ml(asked)
        found = re.fullmatch(r"/api/ml/(\d+)", path)
        if found and int(found[1]) <= len(self.connections):
            self.connections[int(found[1]) - 1].update(json.loads(asked.body))
            return as_json(self.connections[int(found[1]) - 1])
        if found := re.fullmatch(r"/api/projects/(\d+)/import", path):
            return self.import_tasks(int(found[1]), json.loads(asked.body))
        if found := re.fullmatch(r"/api/projects/(\d+)/?", path):
            if asked.method == "PATCH" and int(found[1]) in self.projects:
                self.projects[int(found[1])].update(json.loads(asked.body))
            project = self.projects.get(int(found[1]))
            return as_json(project) if project else as_json({"status_code": 404}, 404)
        if path == "/api/tasks/":
            return self._list_tasks(asked)
        if found := re.fullmatch(r"/api/projects/(\d+)/import/predictions", path):
            return self._import_predictions(int(found[1]), asked)
        if re.fullmatch(r"/api/projects/\d+/model-versions/", path):
            return self._model_versions(asked)
        if path.startswith("/data/upload/"):
            file = self.uploads.get(unquote(path.removeprefix("/data/upload/")))
            # 1.23 fails on an upload that it does not know.
            return Answer(500) if file is None or self.keeps_uploads_in_cloud else Answer(body=file)
        if path == "/storage-data/uploaded/":
            file = self.uploads.get(unquote(asked.query["filepath"]).removeprefix("upload/"))
            if file is None:
                return Answer(403)
            return Answer(body=file) if self.keeps_uploads_in_cloud else Answer(400)
        if path in {"/data/local-files/", "/data/local-files"}:
            file = self.local_files.get(asked.query["d"])
            return Answer(404) if file is None else Answer(body=file)
        if re.fullmatch(r"/tasks/\d+/(resolve|presign)/", path):
            stored = self.cloud.get(base64.urlsafe_b64decode(asked.query["fileuri"]).decode(), Answer(404))
            return Answer(body=stored) if isinstance(stored, bytes) else stored
        return super().answer(asked)

    def _projects(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            return as_json({"results": list(self.projects.values()), "next": None})
        with self._lock:
            number = max(self.projects, default=0) + 1
            made = {"id": number, "created_at": "2026-11-20T19:33:15.123456Z", **json.loads(asked.body)}
            self.projects[number], self.tasks[number] = made, []
        return as_json(made, 201)

    def _ml(self, asked: Asked) -> Answer:
        if asked.method == "GET":
            return as_json([each for each in self.connections if str(each["project"]) == asked.query["project"]])
        made = {"id": len(self.connections) + 1, **json.loads(asked.body)}
        self.connections.append(made)
        return as_json(made, 201)

    def import_tasks(self, project_id: int, sent: list[dict[str, Any]]) -> Answer:
        with self._lock:
            first = 1 + max((each["id"] for tasks in self.tasks.values() for each in tasks), default=100)
            for number, task in enumerate(sent, first):
                said = [
                    {"was_cancelled": False, **each, "id": 1000 * number, "import_id": each.get("id")}
                    for each in task.get("annotations", [])
                ]
                self.tasks[project_id].append({"id": number, "data": task["data"], "annotations": said})
        return as_json({"task_count": len(sent)}, 201)

    def _list_tasks(self, asked: Asked) -> Answer:
        project_id = int(asked.query["project"])
        if project_id not in self.tasks:
            return as_json({"status_code": 404}, 404)
        query = json.loads(asked.query["query"])
        assert query["ordering"] == ["tasks:id"], "Label Studio orders as asked, and this fake by id only"
        after = query["filters"]["items"][0]
        assert after["filter"] == "filter:tasks:id", "the first filter must be that on ids"
        conditions = query["filters"]["items"]
        tasks = [t for t in self.tasks[project_id] if all(self._fulfils(t, condition) for condition in conditions)]
        tasks.sort(key=lambda task: int(task["id"]))
        size = int(asked.query["page_size"])
        start = size * (int(asked.query["page"]) - 1)
        return as_json({"total": len(tasks), "tasks": tasks[start : start + size]})

    def _fulfils(self, task: dict[str, Any], condition: dict[str, Any]) -> bool:
        column, value = condition["filter"].removeprefix("filter:tasks:"), condition["value"]
        if column == "id":
            return bool(task["id"] <= value if condition["operator"] == "less_or_equal" else task["id"] > value)
        if column == "annotations_ids":
            return bool(task["annotations"]) is not value
        assert (column, condition["operator"]) == ("predictions_model_versions", "not_contains")
        names = [made["model_version"] for made in self.predictions if made["task"] == task["id"]]
        return not any(wanted in name for name in names for wanted in value)

    def _import_predictions(self, project_id: int, asked: Asked) -> Answer:
        sent = json.loads(asked.body)
        if self.refuses is not None and any(self.refuses(made) for made in sent):
            return as_json({"detail": "Prediction 0: Error validating prediction"}, 400)
        assert {made["task"] for made in sent} <= {task["id"] for task in self.tasks[project_id]}
        with self._lock:
            self.predictions += sent
        return as_json({"created": len(sent)}, 201)

    def _model_versions(self, asked: Asked) -> Answer:
        if asked.method == "DELETE":
            gone = json.loads(asked.body)["model_version"]
            self.predictions = [made for made in self.predictions if made["model_version"] != gone]
            return as_json(1)
        return as_json({made["model_version"]: 1 for made in self.predictions})

    def _refresh(self, asked: Asked) -> Answer:
        if json.loads(asked.body).get("refresh") != self.pat:
            return as_json({"status_code": 401, "detail": "Token is invalid"}, 401)
        with self._lock:
            now = int(time.time())
            access = make_jwt(
                token_type="access", exp=now + self.access_lifetime_s, iat=now, jti=str(len(self.access_tokens))
            )
            self.access_tokens.add(access)
        return as_json({"access": access})

    def _knows(self, authorization: str | None) -> bool:
        scheme, _, token = (authorization or "").partition(" ")
        if scheme == "Token":
            return self.legacy_enabled and token.strip() == self.legacy_token
        return scheme == "Bearer" and token in self.access_tokens


def _send(handler: BaseHTTPRequestHandler, asked: Asked, answer: Answer) -> None:
    time.sleep(answer.delay_s)
    status, body, headers = answer.status, answer.body, dict(answer.headers)
    wanted = re.fullmatch(r"bytes=(\d+)-", asked.headers.get("range", ""))
    cut_at = answer.cut_at
    if wanted and status == 200 and answer.max_range_bytes is not None:
        start, total = int(wanted[1]), len(body)
        body = body[start : start + answer.max_range_bytes]
        status, cut_at = (206, None) if body else (416, None)
        headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{total}" if body else f"bytes */{total}"
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    if answer.has_length:
        handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body[:cut_at])


@dataclass
class InlineQueue:
    """A queue that keeps jobs until the test has them done, in its own process.

    Attributes:
        jobs: Path and arguments, by job id.
        cancelled: Ids of jobs that were cancelled.
        is_down: Whether every call fails, as if Redis were gone.
    """

    jobs: dict[str, tuple[str, tuple[Any, ...]]] = field(default_factory=dict)
    cancelled: list[str] = field(default_factory=list)
    is_down: bool = False

    def submit(self, job: str, *args: Any, queue: str, job_id: str, timeout_s: float) -> None:
        self.ping()
        self.jobs.setdefault(job_id, (job, args))

    def is_expected(self, job_id: str) -> bool:
        self.ping()
        return job_id in self.jobs

    def cancel(self, job_id: str) -> None:
        self.ping()
        self.jobs.pop(job_id, None)
        self.cancelled.append(job_id)

    def depth(self, queue: str) -> int:
        return len(self.jobs)

    def note_clock(self) -> None:
        pass

    def has_clock(self) -> bool:
        return True

    def num_workers(self, queue: str) -> int:
        return 1

    def ping(self) -> None:
        if self.is_down:
            raise Unavailable("the queue is gone", code="queue_unavailable")

    def run_all(self) -> None:
        """Do what waits, in order. Jobs build their services from the environment, so set it."""
        while self.jobs:
            job, args = self.jobs.pop(next(iter(self.jobs)))
            resolve_name(job)(*args)
