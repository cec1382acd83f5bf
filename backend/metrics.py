"""What is counted and timed, for Prometheus; correct across several web processes."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

REQUESTS = Counter("tandem_requests", "HTTP requests answered", ["route", "status"])
REQUEST_SECONDS = Histogram(
    "tandem_request_seconds",
    "Time to answer an HTTP request",
    ["route"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 3, 10, 30, 100),
)
PREDICTIONS = Counter("tandem_predictions", "Items predicted", ["outcome"])
PREDICTION_SECONDS = Histogram("tandem_prediction_seconds", "Time in the network, per batch of images")
MODEL_LOADS = Counter("tandem_model_loads", "Model versions loaded into memory")
MODEL_LOAD_SECONDS = Histogram("tandem_model_load_seconds", "Time to load a model version")
CLICKS = Counter("tandem_clicks", "Clicks, boxes and strokes answered by a segmenter", ["outcome"])
CLICK_SECONDS = Histogram(
    "tandem_click_seconds",
    "Time in the segmenter, per click",
    buckets=(0.01, 0.02, 0.05, 0.1, 0.15, 0.3, 1, 3),
)
CLICK_ENCODINGS = Counter("tandem_click_encodings", "Images decoded and encoded for clicks")
CLICK_ENCODE_SECONDS = Histogram("tandem_click_encode_seconds", "Time to decode and encode an image for clicks")
EVENTS = Counter("tandem_events", "Webhook events stored", ["action"])
ERRORS = Counter("tandem_errors", "Requests that failed for a reason of ours", ["route"])


def count_answer(route: str, status: int, seconds: float) -> None:
    """Count and time an answer to an HTTP request."""
    answers, durations = _meters(route, status)
    answers.inc()
    durations.observe(seconds)


@cache  # to find a meter by its labels takes longer than to turn it
def _meters(route: str, status: int) -> tuple[Counter, Histogram]:
    return REQUESTS.labels(route, status), REQUEST_SECONDS.labels(route)
