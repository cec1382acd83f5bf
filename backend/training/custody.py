"""While a process works on a run: it says so every few seconds, and whatever goes wrong ends the run with a reason."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import TandemError
from backend.training.run import RunFault, RunState, TrainingRun
from backend.training.service import RunLost, Training
from models.family import FamilyError

log = logging.getLogger(__name__)


@contextmanager
def custody(training: Training, run: TrainingRun, *, every_s: float) -> Iterator[None]:
    """Look after a claimed run while the block works on it.

    An exception inside ends the run as failed, with a sentence; a run that was lost is left alone. None escapes.
    """
    done = threading.Event()

    def beat() -> None:
        while not done.wait(every_s):
            try:
                training.beat(run)
            except RunLost:
                return
            except TandemError as error:
                log.warning("heartbeat failed", extra={"run_id": run.id, "reason": error.message})

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    except RunLost:
        log.info("run is no longer ours", extra={"run_id": run.id})
    except FamilyError as error:
        _fail(training, run, str(error), RunFault.NOT_LEARNABLE)
    except TandemError as error:
        _fail(training, run, error.message, error.code)
    except Exception as error:
        log.exception("run crashed", extra={"run_id": run.id})
        sentence = f"an internal error ended the run ({type(error).__name__}); the worker's log says more"
        _fail(training, run, sentence, RunFault.INTERNAL)
    finally:
        done.set()
        thread.join()


def _fail(training: Training, run: TrainingRun, sentence: str, code: str) -> None:
    try:
        training.add_line(run, sentence)
        training.end(run, RunState.FAILED, error=sentence, error_code=code)
    except RunLost:
        log.info("run is no longer ours", extra={"run_id": run.id})
