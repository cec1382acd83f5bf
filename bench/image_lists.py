"""Does the last page of a long list of images cost more than the first?"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from sqlalchemy import insert, select

from backend.accounts.service import Principal
from backend.ids import new_id
from backend.projects.tasks import Task
from backend.services import Services
from backend.settings import Settings
from backend.storage import migrations
from backend.storage.columns import utc_now
from bench.report import Finding, at_most, show

_NUM_IMAGES = 100_000
_PER_PAGE = 100
_REPEATS = 30
_GOAL = 1.5


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-") as folder:
        settings = Settings(home=Path(folder), device="cpu")
        migrations.upgrade(settings.database)
        services = Services.build(settings)
        try:
            findings = _measure(services)
        finally:
            services.close()
    show("Listing 100,000 images, 100 on a page", findings)


def _measure(services: Services) -> list[Finding]:
    principal = services.accounts.local(services.accounts.create_user("bench@example.com"))
    project_id = services.portfolio.create(principal, "bench").project.id
    with services.database.transaction() as session:
        session.execute(insert(Task), [_row(project_id, number) for number in range(1, _NUM_IMAGES + 1)])
    before_last = _NUM_IMAGES - _NUM_IMAGES // _PER_PAGE * _PER_PAGE + _PER_PAGE
    with services.database.reading() as session:
        oldest = select(Task.id).filter_by(project_id=project_id).order_by(Task.id).offset(before_last).limit(1)
        cursor = session.scalars(oldest).one()
    first_ms, last_ms = (_milliseconds(services, principal, project_id, at) for at in (None, cursor))
    count_ms = _timed(lambda: services.portfolio.get(principal, project_id))
    return [
        Finding("page 1", f"{first_ms:.2f} ms"),
        Finding("page 1,000", f"{last_ms:.2f} ms"),
        at_most("… as many times as long", last_ms / first_ms, _GOAL, "×", digits=2),
        Finding("how many are in which split", f"{count_ms:.1f} ms"),
    ]


def _milliseconds(services: Services, principal: Principal, project_id: str, cursor: str | None) -> float:
    found, _ = services.images.page(principal, project_id, limit=_PER_PAGE, cursor=cursor)
    if len(found) != _PER_PAGE:
        raise RuntimeError(f"a page has {len(found)} images")
    return _timed(lambda: services.images.page(principal, project_id, limit=_PER_PAGE, cursor=cursor))


def _timed(work: object) -> float:
    assert callable(work)
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds) * 1000


def _row(project_id: str, number: int) -> dict[str, object]:
    task_id = new_id()
    return {
        "id": task_id,
        "number": number,
        "project_id": project_id,
        "external_id": task_id,
        "media": {"image": {"source": "upload", "sha256": f"{number:064x}"}},
        "filename": f"{number}.jpg",
        "content": f"{number:064x}",
        "mime_type": "image/jpeg",
        "width_px": 640,
        "height_px": 480,
        "num_bytes": 100_000,
        "split": ("train", "train", "held_out", "test", None)[number % 5],
        "created_at": utc_now(),
    }


if __name__ == "__main__":
    main()
