"""How the file behind a URI in task data gets onto this machine, whole, once, and without leaking credentials."""

from __future__ import annotations

import binascii
import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import file_digest
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, unquote_to_bytes, urljoin, urlsplit, urlunsplit

import requests

from adapters.label_studio.addresses import is_same_server
from adapters.label_studio.client import GATEWAY_FAULTS, UNREACHABLE, URL_MISSING, LabelStudio
from adapters.label_studio.download import save_body, too_large
from adapters.label_studio.file_cache import FileCache
from adapters.label_studio.media_source import Source, SourceKind, find_source, show
from adapters.label_studio.session import new_session
from backend.errors import Denied, Invalid, NotFound, TandemError, Unavailable

log = logging.getLogger(__name__)

_Credentials = tuple[str, str] | None

_CONNECT_S = 5.0
_READ_S = 30.0
_MAX_REDIRECTS = 5
_TRY_ELSEWHERE = {400, 403, 404, 500}
_MAX_AGE_S = {
    SourceKind.UPLOAD: None,  # Label Studio never changes an upload
    SourceKind.INLINE: None,
    SourceKind.LOCAL_FILES: 3600.0,
    SourceKind.CLOUD: 3600.0,
    SourceKind.LABEL_STUDIO: 600.0,
    SourceKind.WEB: 600.0,
}
_HINTS = {
    (SourceKind.LOCAL_FILES, 403): "set LOCAL_FILES_SERVING_ENABLED=true in Label Studio",
    (SourceKind.LOCAL_FILES, 404): (
        "a local storage of the Label Studio project must contain it, below LOCAL_FILES_DOCUMENT_ROOT"
    ),
    (
        SourceKind.CLOUD,
        404,
    ): "no cloud storage of the task's project matches; check the project's Cloud Storage settings",
    (SourceKind.CLOUD, 424): "its cloud storage failed; check the credentials in the project's Cloud Storage settings",
    (SourceKind.UPLOAD, 404): "the upload is not, or no longer, in Label Studio",
}
_HINT_FORBIDDEN = "the user of LABEL_STUDIO_API_KEY may not see it; add the user to the organization or project"
_HINT_CREDENTIALS = "check the credentials for task data in the Label Studio project's settings"
_HINT_SIGNED = "the storage refused the address that Label Studio signed; check the project's Cloud Storage settings"


@dataclass(frozen=True)
class MediaFile:
    """A complete file on this machine and the SHA-256 of its content, in hexadecimal."""

    path: Path
    sha256: str


class Media:
    """Fetches the files of tasks, and keeps them for a while.

    Safe to share between threads and, by its folder, between processes; make it after forking. A path that it gave
    can be opened for at least ten minutes.

    Args:
        cache_folder: Where fetched files are kept.
        cache_bytes: How much is kept there.
        max_file_bytes: How large one file may be.
        label_studio: The server that tasks come from; None when it is not known.
        local_files_root: The folder that Label Studio knows as LOCAL_FILES_DOCUMENT_ROOT, if this machine has it too.
        allow_private: Whether files may come from private addresses other than Label Studio's own.
        verify: Whether TLS certificates of other servers are checked.
        find_own: Returns the file that a URI of this very server stands for, which is not to be asked over HTTP; None
            for any other URI.

    Raises:
        Invalid: The root of local files is the root of the file system.
    """

    def __init__(
        self,
        cache_folder: Path,
        cache_bytes: int,
        *,
        max_file_bytes: int,
        label_studio: LabelStudio | None,
        local_files_root: Path | None = None,
        allow_private: bool = False,
        verify: bool = True,
        find_own: Callable[[str], MediaFile | None] = lambda _: None,
    ) -> None:
        self._find_own = find_own
        self._cache = FileCache(cache_folder, cache_bytes)
        self._max_file_bytes = max_file_bytes
        self._label_studio = label_studio
        self._local_files_root = local_files_root.resolve() if local_files_root else None
        if self._local_files_root and self._local_files_root.parent == self._local_files_root:
            raise Invalid("LOCAL_FILES_DOCUMENT_ROOT should be the folder that holds the media, not '/'.")
        self._web = new_session(verify=verify, allow_private=allow_private)

    def fetch(
        self, uri: str, *, task_id: str | int | None, login: str | None = None, password: str | None = None
    ) -> MediaFile:
        """Return the file that a URI in task data stands for.

        Args:
            uri: As it stands in the task's data.
            task_id: The task; needed for files in cloud storage.
            login: User for files on other web servers, if they ask for one.
            password: The same user's password.

        Raises:
            NotFound: There is no such file.
            Invalid: The URI is no address of a file.
            LimitExceeded: The file is too large.
            Denied: Somebody refused it, or we do: private addresses, paths outside the folder of local files.
            Unavailable: It cannot be had at present.
            All of these concern one file, unless the code is one of ``SETUP_FAULTS``.
        """
        shown = "…"
        try:
            if own := self._find_own(uri):
                return own
            base_path = self._label_studio.base_path if self._label_studio else ""
            try:
                source = find_source(self._without_own_host(uri), task_id=task_id, base_path=base_path)
            except ValueError as error:
                raise Invalid(f"The URI of a file is malformed: {error}.", code="media_uri") from error
            shown = source.shown
            if local := self._find_local(source):
                return local
            return self._fetch_cached(uri, source, (login, password or "") if login else None)
        except TandemError as error:
            log.warning(
                "media not fetched",
                extra={"media": shown, "task_id": task_id, "code": error.code, "reason": error.message},
            )
            raise

    def _without_own_host(self, uri: str) -> str:
        """Return an absolute URL below Label Studio's base URL as a path, and anything else as it is."""
        label_studio = self._label_studio
        if label_studio and uri.startswith(("http://", "https://")) and label_studio.owns(uri):
            parts = urlsplit(uri)
            if parts.path.startswith(f"{label_studio.base_path}/"):
                return urlunsplit(("", "", parts.path, parts.query, ""))
        return uri

    def _find_local(self, source: Source) -> MediaFile | None:
        """Return a file below our own root of local files, if there is one."""
        root = self._local_files_root
        if root is None or source.local_path is None:
            return None
        path = (root / source.local_path).resolve()
        if not path.is_relative_to(root):
            raise Denied(
                f"{source.shown} is a link that leads outside LOCAL_FILES_DOCUMENT_ROOT ({root}).", code="media_path"
            )
        if path.is_file():
            stat = path.stat()
            if stat.st_size > self._max_file_bytes:
                raise too_large(source.shown, self._max_file_bytes)
            return MediaFile(path, _hash_file(path, stat.st_mtime_ns, stat.st_size))
        if self._label_studio is None:
            raise NotFound(
                f"{source.shown} is not below LOCAL_FILES_DOCUMENT_ROOT ({root}), and LABEL_STUDIO_URL is not set to "
                "ask Label Studio for it.",
                code="media_not_found",
            )
        return None

    def _fetch_cached(self, uri: str, source: Source, credentials: _Credentials) -> MediaFile:
        def write(file: BinaryIO) -> None:
            if source.kind is SourceKind.INLINE:
                file.write(_decode_data_url(uri, source, self._max_file_bytes))
            else:
                self._download(source, file, credentials)

        owner = self._label_studio.url if self._label_studio else ""
        key = json.dumps([owner, uri, credentials])
        found = self._cache.get(key, max_age_s=_MAX_AGE_S[source.kind], write=write)
        return MediaFile(found.path, found.sha256)

    def _download(self, source: Source, file: BinaryIO, credentials: _Credentials) -> None:
        """Write a file from the first place that has it."""
        refusals: list[_Refused] = []
        for url in self._urls(source):
            file.seek(0)
            file.truncate()
            try:
                open_at = partial(self._open, url, credentials)
                save_body(open_at, file, max_bytes=self._max_file_bytes, shown=source.shown)
            except _Refused as refused:
                refusals.append(refused)
                if not refused.by_label_studio or refused.status not in _TRY_ELSEWHERE:
                    break
            else:
                return
        raise self._explain(source, refusals)

    def _urls(self, source: Source) -> list[str]:
        if source.kind is SourceKind.WEB:
            return list(source.places)
        if self._label_studio is None:
            raise Unavailable(
                f"{source.shown} is on the Label Studio server, whose address is not known; set LABEL_STUDIO_URL and "
                "LABEL_STUDIO_API_KEY.",
                code=URL_MISSING,
            )
        return [self._label_studio.url + place for place in source.places]

    def _open(self, url: str, credentials: _Credentials, headers: Mapping[str, str]) -> requests.Response:
        """Return the answer to a request for a file after any redirects, each of which is checked like a new URL."""
        parts = urlsplit(url)
        if parts.username:
            credentials = unquote(parts.username), unquote(parts.password or "")
            url = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        first = url
        for _ in range(_MAX_REDIRECTS + 1):
            is_own = self._label_studio is not None and self._label_studio.owns(url)
            may_know_credentials = is_same_server(first, url)
            response = self._ask(url, headers, credentials if may_know_credentials else None)
            target = self._web.get_redirect_target(response)
            if target is None:
                if response.status_code == 200 or (headers and response.status_code in {206, 416}):
                    _refuse_page(response)
                    return response
                response.close()
                raise _Refused(response.status_code, url, by_label_studio=is_own)
            response.close()
            url = urljoin(url, target)
            if not url.lower().startswith(("http://", "https://")):
                raise Denied(f"{show(first)} redirects to {show(url)}, which is no web address.", code="media_redirect")
        raise Unavailable(f"{show(first)} redirects more than {_MAX_REDIRECTS} times.", code="media_redirect")

    def _ask(self, url: str, headers: Mapping[str, str], credentials: _Credentials) -> requests.Response:
        # Lengths and ranges mean the file itself only when it is not compressed on the way.
        headers = {**headers, "Accept-Encoding": "identity"}
        if self._label_studio is not None and self._label_studio.owns(url):
            return self._label_studio.open(url, headers)
        if credentials:
            headers["Authorization"] = f"Basic {b64encode(':'.join(credentials).encode()).decode()}"
        try:
            return self._web.get(
                url,
                headers=headers,
                stream=True,
                allow_redirects=False,
                timeout=(_CONNECT_S, _READ_S),
            )
        except (requests.exceptions.InvalidURL, requests.exceptions.MissingSchema) as error:
            raise Invalid(f"{show(url)} is no address that can be asked for a file.", code="media_uri") from error
        except requests.RequestException as error:
            raise Unavailable(
                f"{urlsplit(url).hostname} does not answer for {show(url)} ({type(error).__name__}); check that this "
                "machine can reach it, and its certificate.",
                code="media_unreachable",
            ) from error

    def _explain(self, source: Source, refusals: list[_Refused]) -> TandemError:
        """Return what to raise when no place had the file."""
        first, statuses = refusals[0], {refused.status for refused in refusals}
        last = refusals[-1]
        if self._label_studio and last.by_label_studio and last.status == 401:
            return self._label_studio.refusal()
        # NOTE: Label Studio 1.23 answers 500 for an upload that is gone.
        is_gone = source.kind is SourceKind.UPLOAD and first.status == 500 and bool(statuses & {403, 404})
        status = 404 if is_gone else first.status
        who = "Label Studio" if first.by_label_studio else urlsplit(first.url).hostname
        hint = _hint(source, status, by_label_studio=first.by_label_studio)
        message = f"{who} answered {first.status} for {source.shown}" + (f": {hint}." if hint else ".")
        if status in {401, 403}:
            return Denied(message, code="media_denied")
        if status in {404, 410}:
            return NotFound(message, code="media_not_found")
        if first.by_label_studio and status in GATEWAY_FAULTS:
            return Unavailable(message, code=UNREACHABLE)
        return Unavailable(message, code="media_unavailable")


class _Refused(Exception):
    """A server answered with a status other than success."""

    def __init__(self, status: int, url: str, *, by_label_studio: bool) -> None:
        super().__init__(status)
        self.status = status
        self.url = url
        self.by_label_studio = by_label_studio


def _hint(source: Source, status: int, *, by_label_studio: bool) -> str:
    if by_label_studio:
        return _HINTS.get((source.kind, status), _HINT_FORBIDDEN if status == 403 else "")
    if source.kind is not SourceKind.WEB:
        return _HINT_SIGNED
    return _HINT_CREDENTIALS if status in {401, 403} else ""


def _refuse_page(response: requests.Response) -> None:
    is_page = response.headers.get("Content-Type", "").startswith("text/html")
    if is_page and not urlsplit(response.url).path.endswith((".html", ".htm")):
        response.close()
        raise Denied(
            f"{show(response.url)} is a web page, not a file; a sign-in page may stand in front of the server, which "
            "must let LABEL_STUDIO_API_KEY through.",
            code="media_is_page",
        )


def _decode_data_url(uri: str, source: Source, max_bytes: int) -> bytes:
    head, comma, body = uri.partition(",")
    if len(body) * 3 // 4 > max_bytes + 3:
        raise too_large(source.shown, max_bytes)
    try:
        content = b64decode(unquote_to_bytes(body)) if head.endswith(";base64") else unquote_to_bytes(body)
    except binascii.Error:
        content = b""
    if not comma or not content:
        raise Invalid(f"{source.shown} is no valid data URL with content.", code="media_uri")
    if len(content) > max_bytes:
        raise too_large(source.shown, max_bytes)
    return content


@lru_cache(maxsize=65536)
def _hash_file(path: Path, modified_ns: int, num_bytes: int) -> str:
    """Return a file's SHA-256; modification time and size are asked for so that a changed file is read again."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
