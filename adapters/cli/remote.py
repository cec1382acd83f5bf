"""A server elsewhere, asked over HTTP: what all commands against a server are made of."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import IO, Any

import click
import requests
from urllib3.filepost import encode_multipart_formdata

from adapters.cli.credentials import DEFAULT_SERVER, find_login
from adapters.identifiers import PREFIXES, read_id
from adapters.replies import Problem, Reply, read
from adapters.verbs import Asked, Verb, verbs

_TIMEOUTS_S = (10, 300)
"""To connect; between two bytes of an answer, which for a prediction by a model that must be loaded may be long."""
_MAX_WAIT_S = 60
_NUM_TRIES = 20
_PAGE = 200
_LISTS = {"projectId": "projects list", "workspaceId": "workspaces list", "labelSetId": "labelsets list"}
"""Where things that have a name are listed, by the name of the argument that means one."""

File = tuple[str, str, bytes | IO[bytes], str]
"""A part of a form: its name, the file's name, content, media type."""


@cache
def commands() -> Mapping[str, Verb]:
    """Return all verbs that have a command, by its words: "projects list"."""
    from adapters.web import SPOKEN

    return {verb.command: verb for verb in verbs(SPOKEN) if verb.command}


class Remote:
    """A server that somebody has a key for; it is also what `adapters.replies.Server` asks for.

    Args:
        base_url: Without a slash at the end.
        key: Sent with every request; "": none.
        session: In place of one of its own.
        say: Told what somebody who waits may want to know.

    Raises:
        Problem: The key cannot be one.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        session: requests.Session | None = None,
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        if not key.isprintable():
            raise Problem("API_KEY_INVALID", "What was said to be a key is none: it holds a line break.", 401)
        self.base_url = base_url
        self._session = session or requests.Session()
        self._session.auth = _Bearer(key)
        self._session.headers["User-Agent"] = f"tandem/{version('tandem-ml')}"
        self._say = say

    def __call__(self, asked: Asked, headers: Mapping[str, str]) -> Reply:
        """See `adapters.replies.Server`.

        Raises:
            Problem: There is no answer.
        """
        with self._send(asked, headers, stream=False) as response:
            return _reply(response)

    def call(self, verb: str | Verb, given: Mapping[str, Any], *, idempotency_key: str | None = None) -> Any:
        """Do something, and return what came of it: `data`, or None where nothing is said.

        Args:
            verb: Or the words of its command: "projects create".
            given: Its arguments by the names that HTTP has.
            idempotency_key: With which it is done once, however often it is asked for.

        Raises:
            Problem: It is refused, or there is no answer.
        """
        asked = (commands()[verb] if isinstance(verb, str) else verb).ask(given)
        return read(self(asked, _repeatable(idempotency_key)))

    def pages(self, verb: str | Verb, given: Mapping[str, Any]) -> Iterator[Any]:
        """Return the items of a list one by one, from all its pages."""
        cursor = given.get("cursor")
        while True:
            page = self.call(verb, {"limit": _PAGE, **given, "cursor": cursor})
            yield from page["items"]
            cursor = page.get("nextCursor")
            if not cursor:
                return

    def stream(self, asked: Asked, headers: Mapping[str, str] | None = None) -> requests.Response:
        """Return an answer whose body is still to be read: use it with `with`, and `iter_content`.

        Raises:
            Problem: It is refused, or there is no answer.
        """
        response = self._send(asked, headers or {}, stream=True)
        if response.status_code >= 400:
            with response:
                read(_reply(response))
        return response

    def upload(
        self,
        target: str,
        files: Sequence[File],
        data: Mapping[str, str] | None = None,
        *,
        idempotency_key: str | None = None,
        on_sent: Callable[[int, int], object] = lambda sent, total: None,
    ) -> Any:
        """Send files as a form by POST, and return what came of it.

        Args:
            target: Path and query.
            files: All of them are read into memory.
            data: The form's texts.
            idempotency_key: With which it is done once, however often it is asked for.
            on_sent: Told while sending how many bytes of how many are gone.

        Raises:
            Problem: It is refused, or there is no answer.
        """
        parts: list[tuple[str, Any]] = list((data or {}).items())
        for name, filename, content, media_type in files:
            parts.append((name, (filename, content if isinstance(content, bytes) else content.read(), media_type)))
        body, content_type = encode_multipart_formdata(parts)
        headers = {"Content-Type": content_type, **_repeatable(idempotency_key)}
        return self._post(target, io.BytesIO(body), headers, on_sent)

    def send_json(
        self,
        target: str,
        file: IO[bytes],
        *,
        idempotency_key: str | None = None,
        on_sent: Callable[[int, int], object] = lambda sent, total: None,
    ) -> Any:
        """Send by POST a body of JSON that lies on disk, as it stands, and return what came of it.

        See `upload` for the other arguments.

        Raises:
            Problem: It is refused, or there is no answer.
        """
        headers = {"Content-Type": "application/json", **_repeatable(idempotency_key)}
        return self._post(target, file, headers, on_sent)

    def find(self, argument: str, named: str) -> str:
        """Return the id of what is meant: an id, or the unique name of a project, a workspace or a label set.

        A label set has a name inside a project: `cats/breeds`.

        Args:
            argument: What it is for, as HTTP has it: `projectId`.
            named: What somebody wrote; what is neither is for the server to refuse.

        Raises:
            Problem: Nothing or several things are called that.
        """
        kind = _snake(argument)
        if argument not in _LISTS or read_id(kind, named):
            return named
        where: dict[str, Any] = {}
        name = named
        if argument == "labelSetId":
            project, slash, name = named.rpartition("/")
            if not slash:
                raise _unfound(f"{named!r} is no id of a label set. By name it is PROJECT/NAME, such as cats/breeds.")
            where["projectId"] = self.find("projectId", project)
        found = [each for each in self.pages(_LISTS[argument], where) if each["name"] == name]
        if len(found) == 1:
            return str(found[0]["id"])
        noun = kind.removesuffix("_id").replace("_", " ")
        if found:
            ids = ", ".join(str(each["id"]) for each in found)
            raise Problem("CONFLICT", f"There are {len(found)} called {name!r}; say which {noun}: {ids}", 409)
        raise _unfound(f"There is no {noun} {name!r} that you may see; `tandem {_LISTS[argument]}` lists them.")

    def _post(
        self, target: str, file: IO[bytes], headers: Mapping[str, str], on_sent: Callable[[int, int], object]
    ) -> Any:
        with self._send(Asked("POST", target, _Counted(file, on_sent)), headers, stream=False) as response:
            return read(_reply(response))

    def _send(self, asked: Asked, headers: Mapping[str, str], *, stream: bool) -> requests.Response:
        """Ask, and where we are too fast wait as long as we are told to, and ask again."""
        for tries_left in reversed(range(_NUM_TRIES)):
            response = self._ask(asked, headers, stream=stream)
            wait_s = _wait_s(response)
            if wait_s is None or not tries_left:
                return response
            response.close()
            self._say(f"The server asks to be called less often; going on in {wait_s} s.")
            time.sleep(wait_s)
        raise AssertionError("the last try returns")

    def _ask(self, asked: Asked, headers: Mapping[str, str], *, stream: bool) -> requests.Response:
        content: dict[str, Any] = {"json": asked.body}
        if isinstance(asked.body, _Counted):
            asked.body.rewind()
            content = {"data": asked.body}
        try:
            response = self._session.request(
                asked.method,
                f"{self.base_url}{asked.target}",
                headers=dict(headers),
                timeout=_TIMEOUTS_S,
                allow_redirects=False,
                stream=stream,
                **content,
            )
        except requests.Timeout as error:
            raise _unreachable(
                f"{self.base_url} did not answer in time; try again, or ask `tandem doctor` there."
            ) from error
        except requests.exceptions.SSLError as error:
            raise _unreachable(
                f"{self.base_url} cannot be trusted ({_reason(error)}); see REQUESTS_CA_BUNDLE."
            ) from error
        except requests.RequestException as error:
            raise _unreachable(
                f"{self.base_url} cannot be reached ({_reason(error)}); is it running? `tandem up` starts a server, "
                "`tandem auth status` tells which one is meant."
            ) from error
        if 300 <= response.status_code < 400 and "Location" in response.headers:
            raise Problem(
                "UPSTREAM_ERROR",
                f"{self.base_url} sends us on to {response.headers['Location']}; use the address that is really meant.",
                502,
            )
        return response


def chosen_remote(server: str | None = None) -> Remote:
    """Return the server that is meant, with the key of whoever is logged in; see `find_login`.

    Raises:
        Problem: Nobody is logged in.
    """
    login = find_login(server)
    if login is None:
        raise not_logged_in(server)
    return Remote(login.server, login.key, say=lambda sentence: click.echo(sentence, err=True))


def not_logged_in(server: str | None = None) -> Problem:
    """Return what is wrong where nobody is logged in."""
    there = f" at {server}" if server else ""
    return Problem(
        "UNAUTHENTICATED",
        f"You are not logged in{there}: `tandem auth login --server {server or DEFAULT_SERVER}` asks for a key, "
        "or set TANDEM_API_KEY and TANDEM_BASE_URL.",
        401,
    )


class _Bearer(requests.auth.AuthBase):
    """Keeps `.netrc` from putting something else in place of the key."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._key:
            request.headers["Authorization"] = f"Bearer {self._key}".encode()  # type: ignore[assignment]  # any letters may come
        return request


class _Counted:
    """A body that tells how much of it has been read."""

    def __init__(self, file: IO[bytes], on_sent: Callable[[int, int], object]) -> None:
        self._file, self._on_sent = file, on_sent
        self._size = file.seek(0, io.SEEK_END)

    def __len__(self) -> int:
        return self._size

    def rewind(self) -> None:
        """Begin again."""
        self._file.seek(0)

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        block = self._file.read(size)
        self._on_sent(self._file.tell(), self._size)
        return block


def _reply(response: requests.Response) -> Reply:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status_code, headers, response.content)


def _repeatable(key: str | None) -> dict[str, str]:
    return {"Idempotency-Key": key} if key else {}


def _wait_s(response: requests.Response) -> int | None:
    """Return how long to wait before asking again; None: that is no use, or too long."""
    said = response.headers.get("Retry-After", "")
    if response.status_code != 429 or not said.isdecimal() or int(said) > _MAX_WAIT_S:
        return None
    return max(int(said), 1)


def _unreachable(message: str) -> Problem:
    return Problem("SERVICE_UNAVAILABLE", message, 503)


def _unfound(message: str) -> Problem:
    return Problem("NOT_FOUND", message, 404)


def _reason(error: Exception) -> str:
    """Return the last cause of a failed connection, which is the one that people understand."""
    text = str(error)
    for cause in ("Name or service not known", "Connection refused", "No route to host", "Network is unreachable"):
        if cause in text:
            return cause.lower()
    return type(error).__name__


def _snake(camel: str) -> str:
    """Return the name that a parameter has in `adapters.identifiers.PREFIXES`."""
    return next((name for name in PREFIXES if name.replace("_", "") == camel.lower()), camel)
