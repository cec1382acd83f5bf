"""The ML backend at another URL: asked over HTTP, as Label Studio asks it."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import HTTPError

from adapters.http import decode_json, storable
from adapters.label_studio.access import Access
from adapters.label_studio.addresses import CheckedAdapter, IPAddress, innermost, is_public
from adapters.label_studio.backends.items import Items
from adapters.label_studio.backends.peers import (
    Listed,
    Refused,
    Seen,
    Tried,
    Unanswered,
    document_of,
    prediction_request,
    uid_of,
)
from adapters.label_studio.session import session_through
from backend.connections.ml_backends import MLBackend
from backend.errors import Denied, Invalid, TandemError, Unavailable
from backend.services import Services

_CONNECT_S = 1.0
_HEALTH_S = 1.0
_SETUP_S = 3.0
_MAX_BYTES = 64 * 2**20
_CHUNK_BYTES = 64 * 2**10
_METADATA = frozenset({"100.100.100.200", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"})
"""Where clouds tell a machine its secrets, unless they do at a link-local address."""
URL_REFUSED = "backend_url_refused"
UPSTREAM = "upstream_error"
_Answer = tuple[int, Any]


def _require_address(url: str) -> None:
    """Make sure that a URL can be an ML backend's; where it leads to is checked when connecting.

    Raises:
        Invalid: It cannot.
    """
    try:
        parts = urlsplit(url)
        is_fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or any(character.isspace() for character in url):
        raise Invalid(f"It should look like http://gpu-box:9090, or be self; {url!r} does not.", code=URL_REFUSED)
    if "@" in parts.netloc:
        raise Invalid("Give user and password as basic_auth_user and basic_auth_pass.", code=URL_REFUSED)


class There:
    """See `peers.Peer`.

    Args:
        services: What adapters may call.
        backend: As it is registered, or as somebody wants it to be.
        password: Its password, decrypted.
    """

    def __init__(self, services: Services, backend: MLBackend, password: str) -> None:
        self._services = services
        self._backend = backend
        self._mirror = services.projects.get(backend.project_id)
        self._password = password

    def look(self) -> Seen:
        """See `peers.Peer`: its health, its set-up, and what became of the training it was asked for."""
        try:
            status, _ = self._ask("GET", "health", read_s=_HEALTH_S)
        except TandemError as error:
            return Seen(is_reachable=False, error=error.message)
        if status != 200:
            return Seen(is_reachable=False, error=f"GET /health answered {status}.", needs_password=status == 401)
        try:
            status, said = self._ask("POST", "setup", self._setup(), read_s=_SETUP_S)
        except TandemError as error:
            return Seen(is_reachable=True, error=error.message)
        if status not in (200, 201) or not isinstance(said, dict):
            return Seen(is_reachable=True, error=f"POST /setup answered {status}{_reason(said)}.")
        version = said.get("model_version")
        is_training, failure = self._job_status()
        return Seen(True, failure, None if version is None else str(version), is_training)

    def model_class(self) -> str | None:
        """Return what it calls the model that it serves; None: it does not say, or not to us."""
        try:
            status, said = self._ask("GET", "health", read_s=_HEALTH_S)
        except TandemError:
            return None
        named = said.get("model_class") if status == 200 and isinstance(said, dict) else None
        return None if named is None else str(named)

    def train(self, *, use_ground_truth: bool) -> Sequence[str]:
        """See `peers.Peer`: which annotations it learns from is its own choice."""
        body = {"action": "START_TRAINING", "project": self._project()}
        try:
            status, said = self._ask("POST", "webhook", body, read_s=self._backend.timeout_s)
        except TandemError as error:
            raise Refused(error.message) from error
        if not 200 <= status < 300 or not isinstance(said, dict):
            raise Refused(f"POST /webhook answered {status}{_reason(said)}.")
        return [str(said["job"])] if said.get("job") else []

    def suggest(self, task_number: int, context: Any) -> dict[str, Any]:
        """See `peers.Peer`."""
        task = self._items().find(task_number)
        results = self._predict(prediction_request(self._mirror, [task], context))
        if not isinstance(results[0], dict):
            raise Unavailable("POST /predict answered no result.", code=UPSTREAM)
        return results[0]

    def try_out(self) -> Tried:
        """See `peers.Peer`."""
        task = self._items().pick()
        request = prediction_request(self._mirror, [task])
        return Tried(self._url("predict"), task, request, self._predict(request))

    def predict(self, tasks: Sequence[dict[str, Any]]) -> list[list[dict[str, Any]] | TandemError]:
        """Return what it predicts for each task, or why it predicts nothing.

        A prediction has `result`, `score` and `model_version`, None where it does not say the latter.

        Raises:
            Unavailable: It does not answer, or not with one result for each task; it may if asked for one at a time.
        """
        results = self._predict(prediction_request(self._mirror, tasks))
        if len(results) != len(tasks):
            raise Unavailable(f"POST /predict answered {len(results)} results for {len(tasks)} tasks.", code=UPSTREAM)
        return [_predictions(result) for result in results]

    def _items(self) -> Items:
        return Items(self._services, Access(self._services), self._backend, self._mirror)

    def _predict(self, request: dict[str, Any]) -> list[Any]:
        """Return the results of /predict, one at least.

        Raises:
            Denied, Unavailable: See `_ask`; or there are none.
        """
        status, said = self._ask("POST", "predict", request, read_s=self._backend.timeout_s)
        results = said.get("results") if isinstance(said, dict) else None
        if status != 200 or not isinstance(results, list) or not results:
            raise Unavailable(f"POST /predict answered {status}{_reason(said)}, and no result.", code=UPSTREAM)
        return results

    def versions(self) -> Listed:
        """See `peers.Peer`."""
        try:
            status, said = self._ask("GET", "versions", read_s=_SETUP_S)
        except TandemError as error:
            raise Unanswered(error.message, status=500) from error
        if status == 404:
            current = self._backend.model_version
            hint = "The backend does not list its versions; upgrade it to see more than the current one."
            return Listed([current] if current else [], hint)
        if status != 200:
            raise Unanswered(f"GET /versions answered {status}{_reason(said)}.", status=status)
        names = said.get("versions") if isinstance(said, dict) else None
        return Listed([str(name) for name in names] if isinstance(names, list) else [])

    def _setup(self) -> dict[str, Any]:
        """Return the body of /setup. What we may do in Label Studio is not told: any URL can be registered."""
        return {
            "project": uid_of(self._mirror),
            "schema": document_of(self._mirror),
            "hostname": self._services.settings.label_studio_url or self._mirror.origin.url,
            "access_token": "",
            "extra_params": self._backend.extra_params,
        }

    def _project(self) -> dict[str, Any]:
        number, _, seconds = uid_of(self._mirror).partition(".")
        created_at = datetime.fromtimestamp(int(seconds or 0), UTC)
        return {
            "id": int(number),
            "title": self._mirror.project.title,
            "description": self._mirror.project.description,
            "label_config": document_of(self._mirror),
            "created_at": created_at.isoformat().replace("+00:00", "Z"),
        }

    def _job_status(self) -> tuple[bool, str | None]:
        """Return whether the training that was asked for goes on, and why it failed, as far as the backend tells."""
        if not self._backend.run_ids:
            return False, None
        try:
            status, said = self._ask("POST", "job_status", {"job": self._backend.run_ids[0]}, read_s=_HEALTH_S)
        except TandemError:
            return False, None
        if status != 200 or not isinstance(said, dict):
            return False, None
        state = said.get("job_status")
        failure = f"the training failed: {said.get('error') or 'no reason was given'}" if state == "failed" else None
        return state in ("queued", "started"), failure

    def _ask(self, method: str, name: str, body: Any = None, *, read_s: float) -> _Answer:
        """Return the status and the decoded JSON of an answer; None where it is none.

        Raises:
            Denied: The URL leads to where nothing may be asked.
            Unavailable: There is no answer.
        """
        backend = self._backend
        has_auth = backend.auth_method == "BASIC_AUTH"
        auth = HTTPBasicAuth((backend.basic_auth_user or "").encode(), self._password.encode()) if has_auth else None
        _require_address(backend.url)
        url = self._url(name)
        try:
            with (
                self._connect() as session,
                session.request(
                    method,
                    url,
                    json=body,
                    auth=auth,
                    stream=True,
                    allow_redirects=False,
                    timeout=(_CONNECT_S, read_s),
                ) as response,
            ):
                return response.status_code, _decoded(response, until=time.monotonic() + read_s)
        except (requests.RequestException, HTTPError, OSError) as error:
            raise Unavailable(f"{url} does not answer ({type(error).__name__}).", code=URL_REFUSED) from error

    def _url(self, name: str) -> str:
        return f"{self._backend.url.partition('?')[0].partition('#')[0].rstrip('/')}/{name}"

    def _connect(self) -> requests.Session:
        return session_through(CheckedAdapter(self._check_addresses), verify=self._services.settings.verify_tls)

    def _check_addresses(self, host: str, addresses: Sequence[IPAddress]) -> None:
        for address in map(innermost, addresses):
            if address.is_link_local or str(address) in _METADATA:
                raise Denied(
                    f"{host} leads to a link-local or metadata address, which is never called.", code=URL_REFUSED
                )
            if self._services.settings.block_local_ip and not is_public(address):
                raise Denied(
                    f"{host} leads to a private address, which ML_BLOCK_LOCAL_IP forbids to call.", code=URL_REFUSED
                )


def _decoded(response: requests.Response, *, until: float) -> Any:
    """Return what a body says, None where it is no JSON; one that does not end in time, or is too large, is cut."""
    content = bytearray()
    while len(content) < _MAX_BYTES and time.monotonic() < until:
        chunk = response.raw.read1(_CHUNK_BYTES, decode_content=True)
        if not chunk:
            break
        content += chunk
    try:
        return decode_json(bytes(content))
    except (ValueError, RecursionError):
        return None


def _predictions(result: Any) -> list[dict[str, Any]] | TandemError:
    """Return the predictions of a result: it is one, or a list of them."""
    entries = result if isinstance(result, list) else [result]
    try:
        predictions = [
            {
                "result": each["result"],
                "score": _score(each.get("score")),
                "model_version": _name(each.get("model_version")),
            }
            for each in entries
            if isinstance(each, dict) and _is_items(each.get("result"))
        ]
    except Invalid as error:
        return error
    return predictions or Invalid("the backend answered nothing with a list of results", code=UPSTREAM)


def _is_items(result: Any) -> bool:
    return isinstance(result, list) and all(isinstance(item, dict) for item in result)


def _score(said: Any) -> float | None:
    """Return a score as a number; numeric text counts."""
    try:
        score = float(said)
    except (TypeError, ValueError, OverflowError):
        return None
    return score if math.isfinite(score) else None


def _name(said: Any) -> str | None:
    """Return a version's name.

    Raises:
        Invalid: It cannot be stored.
    """
    return None if said in (None, "") else storable("model_version", str(said))


def _reason(said: Any) -> str:
    """Return what a backend says about a failure, in brackets."""
    detail = said.get("detail") or said.get("error") if isinstance(said, dict) else None
    return f" ({json.dumps(detail)[:200]})" if detail else ""
