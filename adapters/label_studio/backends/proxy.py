"""The same nine operations on the registry of the Label Studio behind us: statuses and bodies are passed through."""

from __future__ import annotations

import re

from flask import Request, Response, request
from requests import Response as Answer

from adapters.label_studio.access import KIND, Access
from adapters.label_studio.backends.dialect import credentials
from adapters.label_studio.backends.predicting import predict_in_label_studio, predict_there
from adapters.label_studio.backends.there import There
from adapters.label_studio.backends.wire import PredictQuery
from adapters.label_studio.contract import MODEL_CLASS
from adapters.operations import MAX_JSON_BYTES, Api, Operation, validated
from adapters.repeats import answer_once
from adapters.transfer import read_chunks
from backend.accounts.service import PREFIXES, Principal
from backend.connections.ml_backends import MLBackend
from backend.errors import Conflict
from backend.services import Services

_PASSED_ON = ("Content-Type", "Accept")
_PASSED_BACK = ("Content-Type", "Allow", "Retry-After", "WWW-Authenticate")
_PREDICT = "create_predictions_all_tasks"
_PATIENCE_S = 100.0


class Proxy:
    """Forwards requests to LABEL_STUDIO_URL.

    Whoever has a key of ours speaks there with LABEL_STUDIO_API_KEY, within the key's scopes; everybody else with the
    token that came with the request, which Label Studio judges.
    """

    def __init__(self, services: Services, api: Api) -> None:
        self._services = services
        self._api = api
        self._operations = {operation.name: operation for operation in api.operations}
        client = Access(services).client(None)
        assert client is not None, "there is a proxy only where LABEL_STUDIO_URL is set"
        self._client = client

    def answer(self) -> Response | None:
        """Answer a request; None: no operation has such a path."""
        operation = self._operations.get((request.endpoint or "").rpartition(".")[2])
        if operation is None:
            return None
        principal, headers = self._speaker(request, operation)

        def passed_on() -> Response:
            return self._pass_on(operation, principal, headers)

        if principal is None or request.method != "POST":
            return passed_on()
        return answer_once(
            request,
            self._services.idempotency,
            principal.user_id,
            passed_on,
            word=self._api.dialect.word,
            max_bytes=MAX_JSON_BYTES,
        )

    def _pass_on(self, operation: Operation, principal: Principal | None, headers: dict[str, str]) -> Response:
        content = b"".join(read_chunks(request, MAX_JSON_BYTES))
        with self._client.forward(request.method, _path(operation), headers=headers, content=content) as answer:
            if operation.name == _PREDICT and answer.status_code == 404:
                return self._predict(principal, headers)
            return _passed_back(answer)

    def _speaker(self, request: Request, operation: Operation) -> tuple[Principal | None, dict[str, str]]:
        """Return who asks, None where only Label Studio knows, and what to tell it.

        Raises:
            Denied: Nobody who may.
        """
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        scheme, key = credentials(request)
        is_theirs = not key.startswith(PREFIXES) and (scheme == "token" or (scheme == "bearer" and key.count(".") == 2))
        if is_theirs:
            return None, {**headers, "Authorization": request.headers["Authorization"]}
        return self._api.dialect.admit(self._services, request, operation), headers

    def _predict(self, principal: Principal | None, headers: dict[str, str]) -> Response:
        """Let all tasks be predicted by what is behind the backend's address; Label Studio's free edition does not.

        What does not tell us what it is, as where it wants a password, is taken for this server.

        Raises:
            NotFound: The project is somebody else's.
            Conflict: It was never set up here, or see `predict_in_label_studio`.
        """
        read_only = {name: value for name, value in headers.items() if name != "Content-Type"}
        path = f"/api/ml/{(request.view_args or {})['id']}"
        with self._client.forward("GET", path, headers=read_only, content=b"") as answer:
            if answer.status_code != 200:
                return _passed_back(answer)
            row = answer.json()
            uid = self._client.get_project(int(row["project"])).uid
        mirror = self._services.projects.find(KIND, uid)
        if mirror is None:
            raise Conflict(
                "The project was never set up here; connect it to this server first.", code="model_not_ready"
            )
        if principal is not None:
            self._services.access.project(principal, mirror.project.id)
        query = validated(PredictQuery, request.args.to_dict())
        backend = MLBackend(
            project_id=mirror.project.id, url=str(row["url"]), timeout_s=row.get("timeout") or _PATIENCE_S
        )
        peer = There(self._services, backend, "")  # its password is Label Studio's secret
        if peer.model_class() in (MODEL_CLASS, None):
            _, answered = predict_in_label_studio(self._services, mirror.project.id, query.batch_size)
        else:
            by = principal.user_id if principal else None
            _, answered = predict_there(self._services, backend, peer.look(), query.batch_size, created_by=by)
        return self._api.dialect.wrap(answered, 200)


def _path(operation: Operation) -> str:
    """Return where Label Studio has an operation: details without a slash at the end, the list with one."""
    path = re.sub(r"<[^>]*\bid>", str((request.view_args or {}).get("id", "")), operation.path)
    query = request.query_string.decode("ascii", "replace")
    return (path if "id" in (request.view_args or {}) else f"{path}/") + (f"?{query}" if query else "")


def _passed_back(answer: Answer) -> Response:
    response = Response(answer.content, status=answer.status_code)
    del response.headers["Content-Type"]
    for name in _PASSED_BACK:
        if name in answer.headers:
            response.headers[name] = answer.headers[name]
    return response
