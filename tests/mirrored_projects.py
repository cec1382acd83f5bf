"""A project that may be mirrored into a Label Studio, and what happens on both sides."""

from __future__ import annotations

from typing import Any

from builders import image_bytes
from doubles import FakeLabelStudio, InlineQueue
from pictures import form

from backend.projects.service import OWN_PARAMS, Origin
from backend.services import Services
from backend.storage.columns import utc_now

LABELS = {"name": "colour", "taskType": "classification", "labels": ["red", "green"]}


class World:
    """An agent's project with two images and a label set, and the Label Studio that it may be mirrored into."""

    def __init__(self, agent: Any, services: Services, queue: InlineQueue, label_studio: FakeLabelStudio) -> None:
        self.agent, self.services, self.queue, self.label_studio = agent, services, queue, label_studio
        self.path = f"/projects/{agent.ok('POST', '/projects', json={'name': 'Colours'})['id']}"
        self.project_id = self.path.removeprefix("/projects/prj_")
        self.label_set = agent.ok("POST", f"{self.path}/labelsets", json=LABELS)
        self.images = self.upload("red", "green")

    def upload(self, *colours: str) -> list[dict[str, Any]]:
        files = [(f"{colour}.png", image_bytes(colour)) for colour in colours]
        return list(self.agent.ok("POST", f"{self.path}/images", **form(*files))["images"])

    def ask(self, **wanted: Any) -> Any:
        return self.agent.ok("PATCH", self.path, json={"labelStudio": wanted or {"create": True}})

    def work(self) -> dict[str, Any]:
        """Let the clock tick and the workers work, as long as there is something to do; return the link."""
        for _ in range(5):
            self.wake()
            self.services.mirrors.advance()
            self.queue.run_all()
        return dict(self.agent.ok("GET", self.path)["labelStudio"])

    def wake(self) -> None:
        """Let time pass, so that whatever rests is due."""
        with self.services.database.transaction() as session:
            origin = session.get_one(Origin, self.project_id)
            if OWN_PARAMS in origin.params:
                kept = {**origin.params[OWN_PARAMS], "rests_until": None}
                origin.params = {**origin.params, OWN_PARAMS: kept}

    @property
    def origin(self) -> Origin:
        with self.services.database.reading() as session:
            return session.get_one(Origin, self.project_id)

    @property
    def there(self) -> list[dict[str, Any]]:
        """Tasks of the first project there."""
        return self.label_studio.tasks[1]

    def annotate(self, task: dict[str, Any], colour: str) -> None:
        """Let a person answer a task there, and Label Studio say so."""
        value = {"from_name": "colour", "to_name": "image", "type": "choices", "value": {"choices": [colour]}}
        said = {"id": len(task["annotations"]) + 10 * task["id"], "result": [{"id": "a", **value}]}
        task["annotations"].append({**said, "updated_at": utc_now().isoformat(), "was_cancelled": False})
        self.services.inbox.put(self.project_id, "ANNOTATION_CREATED", [str(said["id"])], is_trusted=True)

    def labels(self, image: dict[str, Any]) -> list[str]:
        path = f"/label-sets/{self.label_set['id']}/images/{image['id']}/annotations"
        return [each["label"] for each in self.agent.ok("GET", path)["annotations"]]
