"""What a URI in task data means: which file, on which server or disk, and where to look for it."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import parse_qs, quote, unquote, urlsplit

from backend.errors import Denied, Invalid


class SourceKind(StrEnum):
    """Who has the file."""

    UPLOAD = "upload"
    LOCAL_FILES = "local files"
    CLOUD = "cloud storage"
    LABEL_STUDIO = "label studio"
    WEB = "web"
    INLINE = "inline"


@dataclass(frozen=True)
class Source:
    """A file to fetch.

    Attributes:
        kind: Who has it.
        shown: Its address for people, without credentials, signatures or content.
        places: Where to ask, in this order until one has it: paths below Label Studio's base URL, or one absolute URL.
        local_path: Its path below the root of Label Studio's local files.
    """

    kind: SourceKind
    shown: str
    places: tuple[str, ...]
    local_path: str | None = None


_CLOUD = re.compile(r"(s3|gs|azure-blob):", re.IGNORECASE)
_UPLOAD = re.compile(r"/?(?:data/)?upload/(?P<file>.+)", re.DOTALL)
_LOCAL_FILES = re.compile(r"/?data/local-files/?\?(?P<query>.*)", re.DOTALL)


def find_source(uri: str, *, task_id: str | int | None, base_path: str = "") -> Source:
    """Read a URI as Label Studio does.

    Args:
        uri: As it stands in the task's data; absolute URLs of Label Studio itself without scheme and host.
        task_id: The task it stands in; files in cloud storage are found through it.
        base_path: The path under which Label Studio is served, which a URI may or may not begin with.

    Raises:
        Invalid: It is no address of a file, or one that needs a task and there is none.
        Denied: It points outside the folder of local files.

    >>> find_source("/label-studio/data/upload/7/cat.png", task_id=1, base_path="/label-studio").places
    ('/data/upload/7/cat.png', '/storage-data/uploaded/?filepath=upload/7/cat.png')
    """
    if uri.startswith("data:"):
        return Source(SourceKind.INLINE, f"{uri.partition(',')[0][:60]},…", ())
    if re.match(r"https?://", uri, re.IGNORECASE):
        return Source(SourceKind.WEB, show(uri), (uri,))
    if _CLOUD.match(uri):
        return _find_cloud(uri, task_id)
    path = uri.replace("\\", "/")
    if base_path and path.startswith(f"{base_path}/"):
        path = path.removeprefix(base_path)
    if found := _LOCAL_FILES.fullmatch(path):
        local_path = parse_qs(found["query"]).get("d", [""])[0].replace("\\", "/")
        _refuse_outside(local_path)
        return Source(
            SourceKind.LOCAL_FILES,
            f"/data/local-files/?d={local_path}",
            (f"/data/local-files/?d={quote(local_path)}",),
            local_path,
        )
    if found := _UPLOAD.fullmatch(path):
        file = found["file"]
        _refuse_outside(file)
        return Source(
            SourceKind.UPLOAD,
            show(f"/data/upload/{file}"),
            (f"/data/upload/{file}", f"/storage-data/uploaded/?filepath=upload/{quote(unquote(file))}"),
        )
    if path.startswith("/") and not path.startswith("//"):
        _refuse_outside(path[1:])
        return Source(SourceKind.LABEL_STUDIO, show(path), (path,))
    raise Invalid(
        f"{uri[:100]!r} is no address of a file; expected http(s), s3, gs, azure-blob, data, or a path of Label Studio "
        "such as /data/upload/….",
        code="media_uri",
    )


def show(url: str) -> str:
    """Return a URL without credentials, query and fragment.

    >>> show("https://ann:secret@img.example.org:8443/a.png?X-Amz-Signature=123#top")
    'https://img.example.org:8443/a.png'
    """
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}://{host}{parts.path}" if host else parts.path


def _find_cloud(uri: str, task_id: str | int | None) -> Source:
    shown = show(uri)
    if task_id is None or not re.fullmatch(r"\d+", str(task_id)):
        raise Invalid(
            f"{shown} lies in cloud storage, which Label Studio opens by task only; the task needs its id.",
            code="media_task_id",
        )
    encoded = urlsafe_b64encode(uri.encode()).decode()
    places = tuple(f"/tasks/{task_id}/{name}/?fileuri={encoded}" for name in ("resolve", "presign"))
    return Source(SourceKind.CLOUD, shown, places)


def _refuse_outside(path: str) -> None:
    """Raise Denied for a path that leads, or would after being decoded once more, out of the folder it is joined to."""
    for form in (path, unquote(path)):
        is_absolute = form.startswith("/") or re.match(r"[A-Za-z]:", form)
        if not form or "\0" in form or is_absolute or ".." in re.split(r"[/\\?]", form):
            raise Denied(
                f"The path {path[:100]!r} leads outside the folder of media; expected one below it.", code="media_path"
            )
