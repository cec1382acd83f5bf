"""The process of a hosted model: imports its code, then answers calls until Tandem ends the conversation.

Started by `adapters/hosting/process.py` with a socket and a description of what to serve. Predictions and trainings are
made one after the other, in the main thread; set-ups are answered beside them, because Label Studio waits three
seconds for one.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any

from .frames import Frames

log = logging.getLogger(__name__)

Call = dict[str, Any]


def main() -> None:
    """Serve what the arguments say: the number of a socket, and a JSON object."""
    frames = Frames(socket.socket(fileno=int(sys.argv[1])))
    asked = json.loads(sys.argv[2])
    del sys.argv[1:]  # models may read the command line
    logging.basicConfig(
        level=os.environ.get("LOG_LEVEL", "INFO").upper(),
        stream=sys.stderr,
        format="[%(asctime)s] [%(levelname)s] [%(name)s] %(message)s",
    )
    waiting: queue.SimpleQueue[Call] = queue.SimpleQueue()
    beside: queue.SimpleQueue[Call] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(frames, waiting, beside), name="reader", daemon=True).start()
    try:
        answers = _load(asked)
    except BaseException as error:
        if not _is_ours(error):
            log.exception("the model could not be loaded")
        frames.send({"id": 0, "error": _sentence(error)})
        return
    frames.send({"id": 0, "value": answers.pop("describe")({})})
    threading.Thread(target=_answer, args=(frames, beside, answers), name="beside", daemon=True).start()
    _answer(frames, waiting, answers)


def _read(frames: Frames, waiting: queue.SimpleQueue[Call], beside: queue.SimpleQueue[Call]) -> None:
    """Take calls in. Ends the process with the conversation, even in the middle of a call."""
    try:
        while True:
            call = frames.receive()
            (beside if call["call"] == "setup" else waiting).put(call)
    except EOFError:
        os._exit(0)


def _load(asked: dict[str, Any]) -> dict[str, Callable[[dict[str, Any]], Any]]:
    """Import the model's code and return what answers each call."""
    target = asked["target"]
    os.chdir(target["folder"])
    sys.path.insert(0, target["folder"])
    from ..api import init_app
    from . import calls, discovery, phase

    phase.let_fit_win(asked["fit_wins"])
    model_class = discovery.find_class(discovery.Target(**target))
    generation = asked["generation"] or discovery.generation(model_class)
    made = calls.Calls(model_class, generation=generation, keeps_models=asked["keeps_models"])
    app = init_app(model_class)

    def within(path: str, answer: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
        def answer_within(body: dict[str, Any]) -> Any:
            with calls.request_context(app, path, body):
                return answer(body)

        return answer_within

    description = {
        "model_class": model_class.__name__,
        "generation": generation,
        "train_events": sorted(_train_events(model_class, generation)),
        "learns": discovery.learns(model_class),
    }
    return {
        "describe": lambda _: description,
        "setup": within("/setup", made.setup),
        "predict": within("/predict", made.predict),
        "fit": within("/webhook", made.fit),
    }


def _train_events(model_class: Any, generation: int) -> set[str]:
    """Return the events that a model learns from; PROJECT_UPDATED was one in the first generation."""
    events = set(model_class.TRAIN_EVENTS)
    return events | {"START_TRAINING", "PROJECT_UPDATED"} if generation == 1 else events


def _answer(
    frames: Frames,
    asked: queue.SimpleQueue[Call],
    answers: dict[str, Callable[[dict[str, Any]], Any]],
) -> None:
    while True:
        call = asked.get()
        try:
            said = {"id": call["id"], "value": answers[call["call"]](call["body"])}
        except Exception as error:
            log.exception("the model failed in %s", call["call"])
            said = {"id": call["id"], "error": _sentence(error)}
        frames.send(said)


def _sentence(error: BaseException) -> str:
    """Word an exception in one line, without its traceback."""
    text = " ".join(str(error).split())[:500]
    if _is_ours(error):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _is_ours(error: BaseException) -> bool:
    """Say whether an exception's sentence is written for whoever started the host."""
    from .discovery import DiscoveryError

    return isinstance(error, DiscoveryError)


if __name__ == "__main__":
    main()
