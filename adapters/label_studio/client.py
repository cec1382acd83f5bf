"""What is read from a Label Studio server: who we are, projects, annotated tasks, and files by address."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter

from adapters.label_studio.addresses import PublicOnlyAdapter, is_same_server
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
            return str(self._read_json(response)["release"])

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
        while True:
            page = self._get_json(
                "/api/tasks/",
                {
                    "project": str(project_id),
                    "page_size": str(_TASKS_PER_PAGE),
                    "fields": "all",
                    "review": "true",
                    "resolve_uri": "false",
                    "query": json.dumps(_annotated_after(last_id)),
                },
                read_s=_PAGE_READ_S,
            )["tasks"]
            if not page:
                return
            for task in page:
                if task["id"] <= last_id:
                    raise Unavailable(f"Label Studio listed the tasks of project {project_id} out of order; try again.")
                last_id = task["id"]
                if task["annotations"]:
                    yield task

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
            access = self._read_json(response).get("access")
        if not isinstance(access, str):
            raise Unavailable(f"Label Studio at {self.url} gave no access token for LABEL_STUDIO_API_KEY.")
        log.debug("access token renewed", extra={"label_studio": self.url})
        return access

    def _get_json(self, path: str, params: Mapping[str, str] | None = None, *, read_s: float = _READ_S) -> Any:
        url = f"{self.url}{path}" + (f"?{urlencode(params)}" if params else "")
        with self.open(url, {"Accept": "application/json"}, read_s=read_s) as response:
            if response.status_code == 401:
                raise self.refusal()
            return self._read_json(response)

    def _read_json(self, response: requests.Response) -> Any:
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
        self, method: str, url: str, *, headers: Mapping[str, str], read_s: float, body: Any = None
    ) -> requests.Response:
        try:
            return self._session.request(
                method,
                url,
                headers=dict(headers),
                json=body,
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


class NoCredentials(requests.auth.AuthBase):
    """Adds nothing; without it, requests would send what a .netrc file holds and overwrite our header with it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request as it is."""
        return request


def new_session(*, verify: bool, allow_private: bool) -> requests.Session:
    """Return a session that threads can share: it keeps connections, but neither cookies nor credentials."""
    session = requests.Session()
    session.verify = verify
    session.auth = NoCredentials()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = (HTTPAdapter if allow_private else PublicOnlyAdapter)(pool_maxsize=32)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def _annotated_after(task_id: int) -> dict[str, Any]:
    """Return the Data Manager's query for the tasks with annotations whose ids are greater, by id."""
    return {
        "filters": {
            "conjunction": "and",
            "items": [
                {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": task_id},
                {"filter": "filter:tasks:annotations_ids", "operator": "empty", "type": "String", "value": False},
            ],
        },
        "ordering": ["tasks:id"],
    }
