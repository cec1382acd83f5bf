"""Which servers somebody is logged in to on this machine, and with which key."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import platformdirs

from backend.errors import Invalid, Unavailable

DEFAULT_SERVER = "http://127.0.0.1:9090"
_FILE_MODE, _FOLDER_MODE = 0o600, 0o700


@dataclass(frozen=True, slots=True)
class Login:
    """A server, and a key that it knows.

    Attributes:
        server: Its address, without a slash at the end.
        source: Where both come from, in words.
    """

    server: str
    key: str = field(repr=False)
    source: str


class Credentials:
    """The file with all logins; whoever else may read it, may no longer after it was opened here.

    Args:
        path: In place of `credentials.json` in TANDEM_CONFIG_DIR or, without that, in the usual place for settings.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or _folder() / "credentials.json"
        said = self._read()
        self._keys: dict[str, str] = said["servers"]
        self._current: str | None = said["current"]

    @property
    def servers(self) -> list[str]:
        """Addresses, the current one first."""
        return sorted(self._keys, key=lambda server: (server != self._current, server))

    @property
    def current(self) -> Login | None:
        """The login that counts where no server is named."""
        return self.find(self._current) if self._current else None

    def find(self, server: str) -> Login | None:
        """Return the login at a server."""
        key = self._keys.get(server)
        return Login(server, key, str(self.path)) if key else None

    def keep(self, server: str, key: str) -> None:
        """Remember a key, and make its server the current one."""
        self._keys[server], self._current = key, server
        self._write()

    def forget(self, server: str) -> bool:
        """Forget the key for a server; say whether there was one. Another server becomes the current one."""
        was_known = self._keys.pop(server, None) is not None
        if self._current == server:
            self._current = next(iter(self._keys), None)
        if was_known:
            self._write()
        return was_known

    def _read(self) -> dict[str, Any]:
        try:
            if self.path.stat().st_mode & 0o077:
                self.path.chmod(_FILE_MODE)
            said = json.loads(self.path.read_bytes())
        except FileNotFoundError:
            return {"servers": {}, "current": None}
        except (OSError, ValueError) as error:
            raise _unreadable(self.path, str(error)) from error
        match said:
            case {"servers": dict(servers), "current": str() | None as current}:
                return {"servers": {str(server): str(key) for server, key in servers.items()}, "current": current}
        raise _unreadable(self.path, "it holds something else")

    def _write(self) -> None:
        text = json.dumps({"current": self._current, "servers": self._keys}, indent=2)
        written = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        try:
            self.path.parent.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
            descriptor = os.open(written, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
            with open(descriptor, "w") as file:
                file.write(f"{text}\n")
            written.replace(self.path)
        except OSError as error:
            written.unlink(missing_ok=True)
            raise Unavailable(f"{self.path} cannot be written ({error.strerror}); see TANDEM_CONFIG_DIR") from error


def find_login(server: str | None = None) -> Login | None:
    """Return whom to be, and where: None where nobody is logged in.

    A key in TANDEM_API_KEY counts before those of the file; its server is the one named, or that of TANDEM_BASE_URL, or
    one on this machine.

    Args:
        server: In place of TANDEM_BASE_URL and of the current one.

    Raises:
        Invalid: The address of the server is none, or the file cannot be read.
    """
    named = server or os.environ.get("TANDEM_BASE_URL", "")
    if key := os.environ.get("TANDEM_API_KEY", "").strip():
        return Login(normalized(named or DEFAULT_SERVER), key, "TANDEM_API_KEY")
    credentials = Credentials()
    return credentials.find(normalized(named)) if named else credentials.current


def normalized(server: str) -> str:
    """Return a server's address as it is kept.

    >>> normalized("tandem.example.com/"), normalized("http://LOCALHOST:9090/x/")
    ('https://tandem.example.com', 'http://localhost:9090/x')

    Raises:
        Invalid: It is none.
    """
    written = server.strip()
    if "://" not in written:
        is_near = re.match(r"(localhost|127\.|\[::1\])", written)
        written = f"{'http' if is_near else 'https'}://{written}"
    found = re.fullmatch(r"(https?)://([^/?#@\s]+)(/[^?#\s]*)?", written, re.IGNORECASE)
    if not found:
        raise Invalid(f"{server!r} is no address of a server; it looks like {DEFAULT_SERVER}")
    return f"{found[1].lower()}://{found[2].lower()}{(found[3] or '').rstrip('/')}"


def _folder() -> Path:
    named = os.environ.get("TANDEM_CONFIG_DIR")
    return Path(named).expanduser() if named else platformdirs.user_config_path("tandem")


def _unreadable(path: Path, why: str) -> Invalid:
    return Invalid(f"{path} cannot be read ({why}); repair it, or delete it and log in again: tandem auth login")
