"""Programs that have a key, and nothing else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import requests
from e2e.pictures import Picture
from e2e.servers import RUN_TIMEOUT_S, Tandem

from backend.accounts.service import SCOPES

_FILES_PER_UPLOAD = 20
_POLL_S = 1.0
"""A key is good for one request a second."""


@dataclass
class Agent:
    """Speaks the mlp API. Its errors fail the test, except those that it is asked for."""

    url: str
    key: str

    def send(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send a request once, over a connection of its own."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return requests.request(method, self.url + path, headers=headers, timeout=100, **options)

    def answer(self, method: str, path: str, **options: Any) -> requests.Response:
        """Return the answer to a request that must succeed; wait as long as one is asked to."""
        while (response := self.send(method, path, **options)).status_code == 429:
            time.sleep(int(response.headers["Retry-After"]))
        assert response.ok, f"{method} {path}: {response.status_code} {response.text[:1000]}"
        return response

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """Return the data of an answer."""
        response = self.answer(method, path, **options)
        return response.json()["data"] if response.content else None

    def error(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """Return the status and the code of an answer that must be an error."""
        response = self.send(method, path, **options)
        return response.status_code, response.json()["error"]["code"]

    def pages(self, path: str, *, limit: int) -> list[list[Any]]:
        """Return the pages of a list."""
        pages, query = [], {"limit": str(limit)}
        while True:
            told = self.ask("GET", path, params=query)
            pages.append(told["items"])
            if not told["hasMore"]:
                return pages
            query["cursor"] = told["nextCursor"]

    def upload(self, project: str, pictures: Sequence[Picture]) -> dict[str, str]:
        """Return the ids of images by their names."""
        ids: dict[str, str] = {}
        for start in range(0, len(pictures), _FILES_PER_UPLOAD):
            part = pictures[start : start + _FILES_PER_UPLOAD]
            files = [("files", (picture.name, picture.content)) for picture in part]
            said = self.ask("POST", f"/projects/{project}/images", files=files)
            assert (said["rejected"], said["dropped"]) == ([], 0)
            ids |= {image["filename"]: image["id"] for image in said["images"]}
        return ids

    def label(self, label_set: str, pictures: Sequence[Picture]) -> Any:
        """Say what is to be seen on pictures that were uploaded, all at once."""
        rows = "".join(f"{picture.name},{picture.label}\n" for picture in pictures)
        body = {"format": "csv", "data": f"filename,label\n{rows}"}
        return self.ask("POST", f"/label-sets/{label_set}/annotations/import", json=body)

    def start(self, label_set: str, **config: Any) -> str:
        """Describe a training and start it; return its id."""
        training = self.ask("POST", f"/label-sets/{label_set}/training", json={"config": config})
        self.ask("POST", f"/training/{training['id']}/start")
        return str(training["id"])

    def wait(self, path: str, claim: Callable[[Any], object], what: str) -> Any:
        """Ask until something is true of the answer."""
        deadline = time.monotonic() + RUN_TIMEOUT_S
        while not claim(found := self.ask("GET", path)):
            assert time.monotonic() < deadline, f"{what}: {found}"
            time.sleep(_POLL_S)
        return found


def has_ended(told: dict[str, Any]) -> bool:
    """Say whether a training or a batch run needs no more waiting."""
    return told.get("run", told)["status"] in ("completed", "failed", "cancelled")


def make_agent(tandem: Tandem, email: str = "agent@example.com") -> Agent:
    """Give somebody, who has an account from now on, a key that is good for everything."""
    code, said = tandem.say("users", "list", "--json")
    assert code == 0, said
    if email not in {user["email"] for user in json.loads(said)}:
        code, said = tandem.say("users", "create", email)
        assert code == 0, said
    scopes = [word for scope in SCOPES for word in ("--scope", scope)]
    code, said = tandem.say("keys", "create", "--user", email, "--json", *scopes)
    assert code == 0, said
    return Agent(tandem.url, json.loads(said)["secret"])
