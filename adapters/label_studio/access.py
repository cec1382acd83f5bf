"""Which Label Studio a project lives in, and how to read from it."""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from adapters.identifiers import read_id
from adapters.label_studio.addresses import is_private_address, names_this_machine
from adapters.label_studio.client import LabelStudio
from adapters.label_studio.media import Media, MediaFile
from backend.errors import NotFound
from backend.projects.service import Origin
from backend.services import Services

KIND = "label_studio"
"""The kind of origin that this adapter owns."""
_OWN_IMAGE = re.compile(r"/images/(?P<id>[^/]+)/file$")
_KEPT = 16
_LOOKED_UP_S = 60


class Access:
    """Gives each project its client and its media, sharing them between requests. Make it after forking."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._lock = threading.Lock()
        self._media: OrderedDict[tuple[str, str], Media] = OrderedDict()

    def client(self, origin: Origin | None) -> LabelStudio | None:
        """Return a client for the Label Studio of a project, or None where nothing says which one that is.

        LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY come first. Otherwise what the project's set-up said is used, unless
        it names "this machine", which is another one there than here, or a private address.
        """
        settings = self._services.settings
        url, token, is_ours = self._address(origin)
        if not url:
            return None
        return LabelStudio(url, token, verify=settings.verify_tls, allow_private=is_ours or settings.allow_local_fetch)

    def media(self, origin: Origin | None) -> Media:
        """Return what fetches a project's files."""
        settings = self._services.settings
        url, token, _ = self._address(origin)
        with self._lock:
            media = self._media.get((url, token))
            if media is None:
                media = self._media[(url, token)] = Media(
                    settings.home / "cache" / "media",
                    settings.media_cache_bytes,
                    max_file_bytes=settings.max_media_bytes,
                    label_studio=self.client(origin),
                    local_files_root=settings.local_files_root,
                    allow_private=settings.allow_local_fetch,
                    verify=settings.verify_tls,
                    find_own=self._find_own,
                )
            self._media.move_to_end((url, token))
            while len(self._media) > _KEPT:
                self._media.popitem(last=False)
        return media

    def _find_own(self, uri: str) -> MediaFile | None:
        """Return the image that an address stands for which only we can have signed, wherever it says that we are."""
        try:
            parts = urlsplit(uri)
        except ValueError:
            return None
        found = _OWN_IMAGE.search(parts.path)
        signature = parse_qs(parts.query).get("sig")
        if found is None or signature is None:
            return None
        try:
            file = self._services.images.signed_file(read_id("image_id", found["id"]), signature[0])
        except NotFound:
            return None
        return MediaFile(file.path, file.tag)

    def _address(self, origin: Origin | None) -> tuple[str, str, bool]:
        """Return URL, token, and whether the operator chose them."""
        settings = self._services.settings
        if settings.label_studio_url:
            return settings.label_studio_url, settings.label_studio_api_key.get_secret_value(), True
        if origin is None or not self._is_usable(origin.url):
            return "", "", False
        return origin.url, self._services.projects.token(origin) or "", False

    def _is_usable(self, url: str) -> bool:
        """Say whether an address that came with a request may be called: a public one, or private ones are allowed."""
        try:
            parts = urlsplit(url)
        except ValueError:
            return False
        host = parts.hostname if parts.scheme in ("http", "https") else None
        if not host or names_this_machine(url):
            return False
        return self._services.settings.allow_local_fetch or not _is_private(host, int(time.monotonic() // _LOOKED_UP_S))


@lru_cache(maxsize=256)
def _is_private(host: str, _period: int) -> bool:
    """Say whether a host's address is private; predictions ask often, and a name server may be slow."""
    return is_private_address(host)
