"""Background jobs for projects that agents made: what there is to learn from is all here."""

from __future__ import annotations

from backend import jobs, logs
from backend.training import snapshot
from backend.training.custody import custody
from backend.training.run import RunState
from backend.training.service import RunLost


def collect(run_id: str, attempt: int) -> None:
    """Make the snapshot of a run of what was said by now, and hand the run on to a trainer."""
    with jobs.services_for_run(run_id) as services:
        training = services.training
        try:
            run = training.claim(run_id, attempt, state=RunState.QUEUED)
        except RunLost:
            return
        with custody(training, run, every_s=services.settings.heartbeat_s):
            label_set = services.projects.get_label_set(run.label_set_id)
            taken, counts = snapshot.take(run, label_set, services.tasks, services.blobs)
            num_items = counts.num_train + counts.num_held_out
            training.add_line(run, f"collected {num_items} labelled items for {label_set.title or label_set.name!r}")
            training.collected(run, taken, counts=counts)


def predict(job_id: str, attempt: int) -> None:
    """Predict more of the tasks of a batch run."""
    with jobs.services() as services, logs.context(job_id=job_id):
        services.batch_work.work(job_id, attempt)
