"""While a process works on a prediction job: it says so, and whatever goes wrong ends the job with a reason."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress

from backend.errors import TandemError
from backend.inference.job import JobLost, PredictionJob, PredictionJobs

log = logging.getLogger(__name__)


def work_on(
    jobs: PredictionJobs, job_id: str, attempt: int, work: Callable[[PredictionJob], None], *, every_s: float
) -> None:
    """Claim a job's next slice and work on it; harmless where it is no longer waiting for this attempt.

    An exception ends the job as failed, with a sentence; a job that was lost is left alone. None escapes.

    Args:
        jobs: Where it is.
        job_id: Which.
        attempt: Of the slice.
        work: Does it; says how far it is, and at its end that it rests or has ended.
        every_s: How often the process says that it is alive.
    """
    try:
        job = jobs.claim(job_id, attempt)
    except JobLost:
        log.info("prediction job is no longer ours", extra={"job_id": job_id})
        return
    done = threading.Event()
    thread = threading.Thread(target=_beat, args=(jobs, job, every_s, done), name="heartbeat", daemon=True)
    thread.start()
    try:
        work(job)
    except JobLost:
        log.info("prediction job is no longer ours", extra={"job_id": job_id})
    except TandemError as error:
        _fail(jobs, job, error.message)
    except Exception as error:
        log.exception("prediction job crashed", extra={"job_id": job_id})
        _fail(jobs, job, f"an internal error ended the job ({type(error).__name__}); the worker's log says more")
    finally:
        done.set()
        thread.join()


def _beat(jobs: PredictionJobs, job: PredictionJob, every_s: float, done: threading.Event) -> None:
    while not done.wait(every_s):
        try:
            jobs.beat(job)
        except JobLost:
            return
        except TandemError as error:
            log.warning("heartbeat failed", extra={"job_id": job.id, "reason": error.message})


def _fail(jobs: PredictionJobs, job: PredictionJob, sentence: str) -> None:
    with suppress(JobLost):
        jobs.end(job, error=sentence)
