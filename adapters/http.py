"""What all APIs over HTTP share: reading JSON bodies, wording errors, saying who may come in."""

from __future__ import annotations

import hmac
import json
import logging
from base64 import b64decode
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, NoReturn

from flask import Flask, Request, Response, request
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from backend.errors import Conflict, Denied, Invalid, LimitExceeded, NotFound, TandemError, Unavailable

log = logging.getLogger(__name__)

_REASON_LENGTH = 180
_GATEWAY_CODES = frozenset({"label_studio_token", "label_studio_unreachable"})


def decode_json(body: bytes) -> Any:
    """Decode JSON, which has no NaN and no Infinity.

    Raises:
        ValueError: It is none.
        RecursionError: It is nested too deeply.
    """
    return json.loads(body, parse_constant=_refuse_constant)


def read_json(request: Request, *, decode: Callable[[bytes], Any] = decode_json) -> Any:
    """Return the decoded JSON body, whatever its Content-Type says.

    Args:
        request: The request.
        decode: In place of `decode_json`; raises the same errors.

    Raises:
        Invalid: It is empty, not UTF-8, not JSON, nested too deeply, or holds NaN or Infinity.
        LimitExceeded: It is too large.
    """
    try:
        body = request.get_data(cache=False)
    except RequestEntityTooLarge as error:
        raise LimitExceeded(
            f"The body is larger than {(request.max_content_length or 0) // 2**20} MiB.", code="body_too_large"
        ) from error
    if not body:
        raise Invalid("The body is empty; a JSON object is expected.", code="body_invalid")
    return parse_json(body, decode=decode)


def parse_json(body: bytes, *, decode: Callable[[bytes], Any] = decode_json) -> Any:
    """Decode a body.

    Raises:
        Invalid: It is not UTF-8, not JSON, nested too deeply, or holds NaN or Infinity.
    """
    try:
        return decode(body)
    except RecursionError:
        raise Invalid("The body is nested too deeply.", code="body_invalid") from None
    except (ValueError, UnicodeDecodeError):
        raise Invalid("The body is not valid JSON.", code="body_invalid") from None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def answer(body: Any, status: int = 200, *, reason: str = "") -> Response:
    """Return a JSON response; NaN and Infinity are a bug and never leave."""
    text = json.dumps(body, allow_nan=False, separators=(",", ":"))
    response = Response(text, status=status, mimetype="application/json")
    if reason:
        response.status = f"{status} {reason_phrase(reason)}"
    return response


def error_answer(error: TandemError) -> Response:
    """Word an error: the sentence is in the body, and in the reason phrase for callers that look at nothing else."""
    response = answer({"detail": error.message, "code": error.code}, _status(error), reason=error.message)
    retry_after_s = error.retry_after_s if isinstance(error, LimitExceeded | Unavailable) else None
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    return response


def word_errors(
    app: Flask,
    *,
    when_crashed: Callable[[str], object] = lambda _: None,
    find_words: Callable[[str], Callable[[TandemError], Response] | None] = lambda _: None,
) -> None:
    """Let an application word its errors, and log them; nobody sees a traceback.

    Args:
        app: The application.
        when_crashed: Called with the route of a request that ended with an error that nobody expected.
        find_words: Returns how the API that a path belongs to words errors; None: as `error_answer` does.
    """

    @app.errorhandler(TandemError)
    def expected(error: TandemError) -> Response:
        response = (find_words(request.path) or error_answer)(error)
        log.warning(
            "request refused", extra={"status": response.status_code, "code": error.code, "reason": error.message}
        )
        return response

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        status, sentence = error.code or 500, error.description or error.name
        word = find_words(request.path)
        response = word(_as_our_own(status, sentence)) if word else plain_error(status, sentence)
        for name, value in error.get_headers():
            if name.lower() == "allow":
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        route = request.url_rule.endpoint if request.url_rule else "unknown"
        when_crashed(route)
        log.exception("request crashed", extra={"route": route})
        sentence = f"an internal error ({type(error).__name__}); the log says more under this request id"
        word = find_words(request.path)
        return word(TandemError(sentence, code="internal")) if word else plain_error(500, sentence)


def _as_our_own(status: int, sentence: str) -> TandemError:
    """Turn an error of HTTP itself into one of ours, for APIs with words of their own."""
    match status:
        case 404:
            return NotFound(sentence, code="not_found")
        case 405:
            return TandemError(sentence, code="method_not_allowed")
        case 413:
            return LimitExceeded(sentence, code="payload_too_large")
    return Invalid(sentence) if status < 500 else TandemError(sentence, code="internal")


def plain_error(status: int, detail: str) -> Response:
    """Word an HTTP error that is not ours, such as an unknown path."""
    code = HTTPStatus(status).name.lower()
    return answer({"detail": detail, "code": code}, status, reason=detail)


def reason_phrase(sentence: str) -> str:
    r"""Make a sentence fit for an HTTP status line: one line of printable Latin-1, not too long.

    >>> reason_phrase("Two\r\nlines → one")
    'Two lines ? one'
    """
    line = " ".join(sentence.split())
    if len(line) > _REASON_LENGTH:
        line = line[: _REASON_LENGTH - 3] + "..."
    latin = line.encode("latin-1", "replace").decode("latin-1")
    return "".join(character if character.isprintable() else "?" for character in latin)


def _status(error: TandemError) -> int:
    if error.code in _GATEWAY_CODES:
        return 502
    if error.code == "prediction_timeout":
        return 504
    match error:
        case Invalid():
            return 400
        case Denied():
            return 403
        case NotFound():
            return 404
        case Conflict():
            return 409
        case LimitExceeded():
            return 413 if error.retry_after_s is None else 429
        case Unavailable():
            return 503
    return 500


def storable(name: str, text: str) -> str:
    """Return a field's text if a database can keep it.

    Raises:
        Invalid: It holds NUL or half of a surrogate pair.
    """
    if "\0" in text or text.encode(errors="replace").decode() != text:
        raise Invalid(f"{name}: holds a character that is no text.", code="body_invalid")
    return text


class BasicAuth:
    """HTTP Basic authentication; open where no user and no password are set."""

    def __init__(self, user: str, password: str) -> None:
        expected = f"{user}:{password}"
        self._expected = [expected.encode()]
        if all(character <= "\xff" for character in expected):
            self._expected.append(expected.encode("latin-1"))  # what Label Studio sends; browsers send UTF-8
        self.is_on = bool(user or password)

    def admits(self, request: Request) -> bool:
        """Say whether a request may come in; the comparison takes the same time for every wrong answer."""
        return not self.is_on or self.proves(request)

    def proves(self, request: Request) -> bool:
        """Say whether a request carries the right user and password."""
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if not self.is_on or scheme.lower() != "basic":
            return False
        try:
            said = b64decode(encoded.strip())
        except ValueError:
            return False
        return True in [hmac.compare_digest(said, expected) for expected in self._expected]


def unauthorized(*, sent: bool) -> Response:
    """Ask for a user and a password."""
    problem = "Wrong user or password" if sent else "User and password required"
    return challenge(f"{problem}: set Basic Auth in the connection to BASIC_AUTH_USER and BASIC_AUTH_PASS of Tandem")


def challenge(sentence: str) -> Response:
    """Refuse a caller who has not proved who it is; the sentence says what would prove it."""
    response = answer({"detail": sentence, "code": "unauthenticated"}, 401, reason=sentence)
    response.headers["WWW-Authenticate"] = 'Basic realm="Login required"'
    return response
