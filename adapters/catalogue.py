"""Which errors the agents' APIs know: one code, the same on every one of them."""

from __future__ import annotations

from backend.errors import Conflict, Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable

STATUS: dict[str, int] = {
    "UNAUTHENTICATED": 401,
    "API_KEY_INVALID": 401,
    "INSUFFICIENT_SCOPE": 403,
    "FORBIDDEN": 403,
    "HUMAN_REQUIRED": 403,
    "NOT_FOUND": 404,
    "RESULTS_NOT_FOUND": 404,
    "METHOD_NOT_ALLOWED": 405,
    "INVALID_JSON": 400,
    "VALIDATION_ERROR": 400,
    "NO_FILES": 400,
    "UNKNOWN_LABEL": 400,
    "GEOMETRY_INVALID": 400,
    "IMPORT_INVALID": 400,
    "LABEL_CONFIG_UNSUPPORTED": 400,
    "IMAGE_INVALID": 400,
    "PAYLOAD_TOO_LARGE": 413,
    "IMAGE_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "UNSUPPORTED_IMAGE_TYPE": 415,
    "TOKENS_EXHAUSTED": 402,
    "CONFLICT": 409,
    "INVALID_STATE": 409,
    "MODEL_NOT_READY": 409,
    "FORMAT_UNAVAILABLE": 409,
    "KEY_LIMIT_REACHED": 409,
    "IDEMPOTENCY_IN_PROGRESS": 409,
    "LABELS_INSUFFICIENT": 422,
    "TASK_TYPE_NOT_TRAINABLE": 422,
    "IDEMPOTENCY_KEY_REUSED": 422,
    "RATE_LIMITED": 429,
    "INTERNAL": 500,
    "UPSTREAM_ERROR": 502,
    "QUEUE_UNAVAILABLE": 503,
    "SERVICE_UNAVAILABLE": 503,
    "INFERENCE_TIMEOUT": 504,
}
"""HTTP status by code."""
_EXIT_CODES_BY_STATUS = {401: 3, 403: 3, 404: 4, 405: 2, 402: 5, 409: 5, 429: 6, 504: 8}
EXIT_CODES: dict[str, int] = {code: _EXIT_CODES_BY_STATUS.get(status, 1) for code, status in STATUS.items()}
"""What commands end with, by code (agent-surface.md §8)."""

_SYNONYMS = {
    "body_invalid": "INVALID_JSON",
    "body_too_large": "PAYLOAD_TOO_LARGE",
    "illegal_transition": "INVALID_STATE",
    "label_studio_token": "UPSTREAM_ERROR",
    "label_studio_unreachable": "UPSTREAM_ERROR",
    "prediction_timeout": "INFERENCE_TIMEOUT",
}


def code_of(error: TandemError) -> str:
    """Return an error's code in the catalogue: its own where that is known, else its category's.

    >>> code_of(NotFound("no such run", code="run_not_found"))
    'NOT_FOUND'
    """
    code = _SYNONYMS.get(error.code, error.code.upper())
    if code in STATUS:
        return code
    match error:
        case Invalid():
            return "VALIDATION_ERROR"
        case Denied():
            return "FORBIDDEN"
        case NotFound():
            return "NOT_FOUND"
        case Conflict():
            return "CONFLICT"
        case LimitExceeded():
            return "PAYLOAD_TOO_LARGE" if error.retry_after_s is None else "RATE_LIMITED"
        case Unavailable():
            return "SERVICE_UNAVAILABLE"
    return "INTERNAL"
