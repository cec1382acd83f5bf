"""Which image is meant: the images of a project, by the names that files give them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from adapters.identifiers import read_id, spell
from backend.datasets.annotations import Picture


class Ambiguous(Exception):
    """Several images have this name."""


class Catalogue:
    """The images of a project by id, by the address they came from, by file name and by file name without its ending.

    Args:
        pictures: All of them.
    """

    def __init__(self, pictures: Iterable[Picture]) -> None:
        self._by_id: dict[str, Picture] = {}
        self._by_name: dict[str, list[str]] = {}
        for picture in pictures:
            self._by_id[picture.task_id] = picture
            for name in dict.fromkeys(_names(picture)):
                self._by_name.setdefault(name, []).append(picture.task_id)

    def by_id(self, written: object) -> Picture | None:
        """Return the image with an id; a file name or an address may hold it."""
        if not isinstance(written, str):
            return None
        for part in (written, *reversed(urlsplit(written).path.split("/"))):
            found = self._by_id.get(read_id("image_id", PurePosixPath(part).stem))
            if found is not None:
                return found
        return None

    def by_name(self, written: object) -> Picture | None:
        """Return the image with an address or a file name; where no name fits as it is, without folder and ending.

        Raises:
            Ambiguous: Several have it.
        """
        if not isinstance(written, str) or not written:
            return None
        for name in (written, base_name(written), _stem(base_name(written))):
            found = self._by_name.get(name, ())
            if len(found) > 1:
                raise Ambiguous
            if found:
                return self._by_id[found[0]]
        return None

    def name(self, picture: Picture) -> str:
        """Return a file name that means this image and no other; its id where its own does not."""
        own = picture.filename or next((base_name(source) for source in picture.sources), "")
        is_its_own = own and "/" not in own and len(self._by_name.get(_stem(own), ())) == 1
        return own if is_its_own else spell("image_id", picture.task_id) + PurePosixPath(own).suffix


def _names(picture: Picture) -> Iterator[str]:
    yield from picture.sources
    for name in filter(None, (picture.filename, *map(base_name, picture.sources))):
        yield name
        yield _stem(name)


def base_name(address: str) -> str:
    r"""Return the file name at the end of a path or an address.

    >>> base_name("http://host/data/a%20b.jpg?x=1"), base_name("/local-files/?d=cats/a.jpg"), base_name("c:\\a.jpg")
    ('a b.jpg', 'a.jpg', 'a.jpg')
    """
    if "://" in address or address.startswith("/"):
        parts = urlsplit(address)
        address = unquote(parse_qs(parts.query).get("d", [parts.path])[0])
    return address.replace("\\", "/").rpartition("/")[2]


def _stem(name: str) -> str:
    stem, dot, ending = name.rpartition(".")
    return stem if dot and stem and 0 < len(ending) <= 5 else name
