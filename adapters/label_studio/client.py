"""What is read from a Label Studio server: who we are, projects, annotated tasks, and files by address."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests

from adapters.label_studio.addresses import is_same_server
from adapters.label_studio.conditions import IS_ANNOTATED, is_newer_than
from adapters.label_studio.session import new_session
from adapters.label_studio.tokens import HOW_TO_GET_ONE, TOKEN_REFUSED, ApiKey, KeyKind
from backend.errors import Denied, Invalid, NotFound, Unavailable

log = logging.getLogger(__name__)

UNREACHABLE = "label_studio_unreachable"
URL_MISSING = "label_studio_url_missing"
URL_INVALID = "label_studio_url_invalid"
SETUP_FAULTS = frozenset({UNREACHABLE, URL_MISSING, URL_INVALID, TOKEN_REFUSED})
"""Codes of errors that will meet every task alike, because something is set up wrongly or down."""

_CONNECT_S = 5.0
_READ_S = 30.0
_PAGE_READ_S = 120.0
_TASKS_PER_PAGE = 200
GATEWAY_FAULTS = {502, 503, 504}


@dataclass(frozen=True)
class TaskPage:
    """Some tasks as Label Studio's JSON, and how many there are on all pages."""

    tasks: list[dict[str, Any]]
    total: int


@dataclass(frozen=True)
class LabelStudioProject:
    """A project as Label Studio describes it."""

    id: int
    title: str
    label_config: str
    created_at: datetime

    @property
    def uid(self) -> str:
        """The project's name in /setup, /predict and webhooks: ids repeat between servers, this does not."""
        return f"{self.id}.{int(self.created_at.timestamp())}"


class LabelStudio:
    """A Label Studio server.

    Safe to share between threads; make it after forking. It speaks plain HTTP and not through Label Studio's SDK,
    whose client leaves the path of a sub-path installation out when it exchanges tokens, cannot stream, and takes
    half a second to import.

    Args:
        url: Base URL, with the path when Label Studio is served under one.
        token: Personal access token or legacy token; empty for none.
        verify: Whether TLS certificates are checked.
        allow_private: Whether the server may have a private address. True for a URL that an operator configured;
            False for one that came with a request.

    Raises:
        Invalid: The URL is not an http or https address.
    """

    def __init__(self, url: str, token: str, *, verify: bool = True, allow_private: bool = True) -> None:
        parts = urlsplit(url.strip())
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Invalid(
                f"LABEL_STUDIO_URL should look like https://label-studio.example.org, not {url!r}.", code=URL_INVALID
            )
        self.base_path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{self.base_path}"
        self._session = new_session(verify=verify, allow_private=allow_private)
        self._key = ApiKey(token, self._exchange)

    @property
    def key_kind(self) -> KeyKind:
        """What kind of API key is used."""
        return self._key.kind

    def owns(self, url: str) -> bool:
        """Say whether an absolute URL is this server's, so that our token may be sent to it."""
        return is_same_server(self.url, url)

    def whoami(self) -> str:
        """Return the e-mail address of the user whose token we have.

        Raises:
            Denied: The token is missing, expired or refused.
            Unavailable: Label Studio does not answer.
        """
        return str(self._get_json("/api/current-user/whoami")["email"])

    def version(self) -> str:
        """Return the release of Label Studio, such as 1.23.2; for this it asks for no token.

        Raises:
            Unavailable: Label Studio does not answer.
        """
        with self._ask("GET", f"{self.url}/api/version", headers={}, read_s=_READ_S) as response:
            return str(self.read_json(response)["release"])

    def get_project(self, project_id: int) -> LabelStudioProject:
        """Return a project.

        Raises:
            NotFound: There is none with this id, or the token's user may not see it.
            Denied: The token is missing, expired or refused.
            Unavailable: Label Studio does not answer.
        """
        found = self._get_json(f"/api/projects/{project_id}")
        return LabelStudioProject(
            id=int(found["id"]),
            title=str(found["title"] or ""),
            label_config=str(found["label_config"] or ""),
            created_at=datetime.fromisoformat(found["created_at"]),
        )

    def fetch_annotated_tasks(self, project_id: int) -> Iterator[dict[str, Any]]:
        """Yield every task that has an annotation, skipped ones included, in the order of ids, as Label Studio's JSON.

        Each has ``id``, ``data`` with the URIs as imported, and ``annotations`` with ``id``, ``result``,
        ``was_cancelled``, ``ground_truth``, ``updated_at`` and ``completed_by``. One page is in memory at a time; a
        page continues after the last id seen, so tasks that come or go meanwhile shift nothing.

        Raises:
            NotFound: There is no such project, or the token's user may not see it.
            Denied: The token is missing, expired or refused.
            Unavailable: Label Studio does not answer, or not with tasks in the order of their ids.
        """
        # NOTE: one request for the whole export (/api/projects/<id>/export) holds its answer back until all of it is
        # made, beyond the patience of the usual proxies from some 50,000 tasks on. `review` keeps Label Studio from
        # asking its ML backend, us, for predictions of every task that it lists.
        last_id = 0
        while tasks := self.list_tasks(project_id, [IS_ANNOTATED], after=last_id, limit=_TASKS_PER_PAGE).tasks:
            last_id = tasks[-1]["id"]
            yield from (task for task in tasks if task["annotations"])

    def list_tasks(
        self,
        project_id: int,
        conditions: Sequence[Mapping[str, Any]] = (),
        *,
        after: int = 0,
        limit: int,
        page: int = 1,
        with_annotations: bool = True,
    ) -> TaskPage:
        """Return tasks that fulfil all conditions of the Data Manager and have a greater id, in the order of ids.

        Args:
            project_id: The project.
            conditions: Such as `IS_ANNOTATED`.
            after: The greatest id seen so far.
            limit: How many at most.
            page: Which part of them, from 1 on, where there are more.
            with_annotations: Whether the tasks' annotations, drafts and predictions are sent as well.

        Raises:
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        query = {
            "filters": {"conjunction": "and", "items": [is_newer_than(after), *conditions]},
            "ordering": ["tasks:id"],
        }
        found = self._get_json(
            "/api/tasks/",
            {
                "project": str(project_id),
                "page": str(page),
                "page_size": str(limit),
                "fields": "all" if with_annotations else "task_only",
                "review": "true",
                "resolve_uri": "false",
                "query": json.dumps(query, default=dict),
            },
            read_s=_PAGE_READ_S,
        )
        ids = [task["id"] for task in found["tasks"]]
        if ids != sorted(ids) or (ids and ids[0] <= after):
            raise Unavailable(f"Label Studio listed the tasks of project {project_id} out of order; try again.")
        return TaskPage(found["tasks"], int(found.get("total", len(ids))))

    def get_view_conditions(self, view_id: int) -> list[Mapping[str, Any]]:
        """Return the conditions of a tab of the Data Manager, fit for `list_tasks`.

        Raises:
            Invalid: They are alternatives, of which one is enough.
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        filters = self._get_json(f"/api/dm/views/{view_id}/")["data"].get("filters") or {}
        items: list[Mapping[str, Any]] = filters.get("items") or []
        if len(items) > 1 and filters.get("conjunction") == "or":
            raise Invalid(f"tab {view_id} combines its filters with OR, which cannot be used here; use AND")
        return items

    def list_model_versions(self, project_id: int) -> list[str]:
        """Return the versions that predictions of a project are marked with.

        Raises:
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        return [str(name) for name in self._get_json(f"/api/projects/{project_id}/model-versions/")]

    def import_predictions(self, project_id: int, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Store predictions, all or none; each has ``task``, ``result``, ``score`` and ``model_version``.

        Raises:
            Invalid: Label Studio finds fault with one; the message says with which and why.
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        self._send_json("POST", f"/api/projects/{project_id}/import/predictions", list(predictions))

    def delete_predictions(self, project_id: int, model_version: str) -> None:
        """Delete all predictions of a project that are marked with a version.

        Raises:
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        self._send_json("DELETE", f"/api/projects/{project_id}/model-versions/", {"model_version": model_version})

    def open(self, url: str, headers: Mapping[str, str] | None = None, *, read_s: float = _READ_S) -> requests.Response:
        """Ask for one of this server's URLs and return the answer, whatever its status, with its body unread.

        Redirects are not followed. An access token that was refused is renewed once.

        Raises:
            Denied: The token has expired or could not be exchanged.
            Unavailable: Label Studio does not answer.
        """
        response = self._open_once(url, headers or {}, read_s)
        if response.status_code == 401 and self._key.forget(response.request.headers.get("Authorization")):
            response.close()
            response = self._open_once(url, headers or {}, read_s)
        return response

    def forward(self, method: str, path: str, *, headers: Mapping[str, str], content: bytes) -> requests.Response:
        """Pass somebody's request on and return the answer, whatever its status, with its body unread.

        Our token says who asks, unless the headers do.

        Raises:
            Denied: It has expired, could not be exchanged, or was refused.
            Unavailable: Label Studio does not answer, or from somewhere else.
        """
        url = f"{self.url}{path}"
        for _ in range(2):
            ours = None if "Authorization" in headers else self._key.header()
            sent = {**headers, "Authorization": ours} if ours else headers
            response = self._ask(method, url, headers=sent, read_s=_PAGE_READ_S, content=content)
            if response.is_redirect:
                self.read_json(response)
            if response.status_code != 401 or "Authorization" in headers:
                return response
            response.close()
            if not self._key.forget(ours):
                break
        raise self.refusal()

    def refusal(self) -> Denied:
        """Return the error to raise when this server answers 401: what is wrong with the token and what to do."""
        reason = {
            KeyKind.NONE: "LABEL_STUDIO_API_KEY is not set",
            KeyKind.LEGACY: "the legacy token is not valid, or legacy tokens are disabled for the organization",
            KeyKind.PERSONAL: "the personal access token has been revoked or belongs to another Label Studio",
            KeyKind.ACCESS: "it is an access token, which lasts five minutes",
        }[self.key_kind]
        return Denied(
            f"Label Studio at {self.url} refused LABEL_STUDIO_API_KEY (401): {reason}; {HOW_TO_GET_ONE}.",
            code=TOKEN_REFUSED,
        )

    def _open_once(self, url: str, headers: Mapping[str, str], read_s: float) -> requests.Response:
        authorization = self._key.header()
        sent = {**headers, "Authorization": authorization} if authorization else dict(headers)
        return self._ask("GET", url, headers=sent, read_s=read_s)

    def _exchange(self, personal_token: str) -> str:
        """Return an access token in return for a personal one."""
        with self._ask(
            "POST", f"{self.url}/api/token/refresh/", headers={}, read_s=_READ_S, body={"refresh": personal_token}
        ) as response:
            if response.status_code in {400, 401, 403}:
                raise self.refusal()
            access = self.read_json(response).get("access")
        if not isinstance(access, str):
            raise Unavailable(f"Label Studio at {self.url} gave no access token for LABEL_STUDIO_API_KEY.")
        log.debug("access token renewed", extra={"label_studio": self.url})
        return access

    def _get_json(self, path: str, params: Mapping[str, str] | None = None, *, read_s: float = _READ_S) -> Any:
        url = f"{self.url}{path}" + (f"?{urlencode(params)}" if params else "")
        with self.open(url, {"Accept": "application/json"}, read_s=read_s) as response:
            if response.status_code == 401:
                raise self.refusal()
            return self.read_json(response)

    def _send_json(self, method: str, path: str, body: Any) -> None:
        for _ in range(2):
            authorization = self._key.header()
            headers = {"Accept": "application/json", **({"Authorization": authorization} if authorization else {})}
            url = f"{self.url}{path}"
            with self._ask(method, url, headers=headers, read_s=_PAGE_READ_S, body=body) as response:
                if response.status_code == 401:
                    if self._key.forget(authorization):
                        continue
                    break
                if response.status_code == 400:
                    raise Invalid(f"Label Studio refused: {response.text[:500]}", code="refused_by_label_studio")
                if response.status_code not in (201, 204):
                    self.read_json(response)
                return
        raise self.refusal()

    def read_json(self, response: requests.Response) -> Any:
        """Return what an answer with the status 200 says.

        Raises:
            NotFound, Denied, Unavailable: See `fetch_annotated_tasks`.
        """
        status, path = response.status_code, urlsplit(response.url).path
        if status == 403:
            raise Denied(
                f"Label Studio answered 403 to {path}: the user of LABEL_STUDIO_API_KEY may not read it; add the user "
                "to the project or use another token."
            )
        if status == 404:
            raise NotFound(
                f"Label Studio answered 404 to {path}: it does not exist at {self.url}, or the user of "
                "LABEL_STUDIO_API_KEY may not see it."
            )
        if response.is_redirect:
            target = urlsplit(response.headers["Location"])
            raise Unavailable(
                f"Label Studio at {self.url} redirects {path} to {target.scheme}://{target.hostname}{target.path}; "
                "set LABEL_STUDIO_URL to the address that answers.",
                code=UNREACHABLE,
            )
        try:
            if status == 200:
                return response.json()
        except requests.RequestException as error:
            raise Unavailable(
                f"What answers {path} at {self.url} does not speak Label Studio's JSON; check LABEL_STUDIO_URL.",
                code=UNREACHABLE,
            ) from error
        raise Unavailable(
            f"Label Studio answered {status} to {path}; see its log.",
            code=UNREACHABLE if status in GATEWAY_FAULTS else None,
        )

    def _ask(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        read_s: float,
        body: Any = None,
        content: bytes | None = None,
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                json=body,
                data=content,
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT_S, read_s),
            )
        except requests.exceptions.SSLError as error:
            raise Unavailable(
                f"The TLS certificate of Label Studio at {self.url} could not be verified; install its authority, name "
                "it in REQUESTS_CA_BUNDLE, or set VERIFY_SSL=false.",
                code=UNREACHABLE,
            ) from error
        except requests.RequestException as error:
            raise Unavailable(
                f"Label Studio at {self.url} does not answer ({type(error).__name__}); check LABEL_STUDIO_URL and that "
                "this machine can reach it.",
                code=UNREACHABLE,
            ) from error
