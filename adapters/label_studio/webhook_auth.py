"""Who may send events. Label Studio's own webhook carries no credentials, so knowing them cannot be required."""

from __future__ import annotations

import hmac
from enum import Enum, auto

from flask import Request

from adapters.http import BasicAuth
from backend.settings import Settings, WebhookAuth


class Trust(Enum):
    """What we know of a sender."""

    PROVEN = auto()
    """It knows our credentials, or none are asked for."""
    UNPROVEN = auto()
    """It sent none. Its events count only for projects set up by somebody who knew them."""
    REFUSED = auto()


class WebhookDoor:
    """Applies WEBHOOK_AUTH.

    "auto": user and password, the token (header X-Webhook-Token or ?token=), or, where no token is set, nothing.
    "basic": user and password. "token": the token. "off": nothing. What is sent must be right in any case.
    """

    def __init__(self, settings: Settings, auth: BasicAuth) -> None:
        self._mode = settings.webhook_auth
        self._token = settings.webhook_token.get_secret_value()
        self._auth = auth

    def trust(self, request: Request) -> Trust:
        """Return what we know of whoever sent a request."""
        said = request.headers.get("X-Webhook-Token", request.args.get("token"))
        knows_token = bool(said and self._token) and hmac.compare_digest(
            (said or "").encode(errors="replace"), self._token.encode()
        )
        knows_password = self._auth.proves(request)
        match self._mode:
            case WebhookAuth.BASIC:
                is_known = knows_password or not self._auth.is_on
            case WebhookAuth.TOKEN:
                is_known = knows_token
            case WebhookAuth.OFF:
                is_known = knows_password or not self._auth.is_on
            case WebhookAuth.AUTO:
                is_known = knows_password or knows_token or not (self._auth.is_on or self._token)
        if is_known:
            return Trust.PROVEN
        sent_something = said is not None or (self._auth.is_on and "Authorization" in request.headers)
        is_open = self.is_off or (self._mode is WebhookAuth.AUTO and not self._token)
        return Trust.UNPROVEN if is_open and not sent_something else Trust.REFUSED

    @property
    def is_off(self) -> bool:
        """Whether events of any project are taken from anybody; only START_TRAINING needs what the others need."""
        return self._mode is WebhookAuth.OFF

    @property
    def rule(self) -> str:
        """The rule in effect, for people."""
        match self._mode:
            case WebhookAuth.BASIC:
                return "user and password (Label Studio's own webhook does not send them)"
            case WebhookAuth.TOKEN:
                return "the token WEBHOOK_TOKEN, as header X-Webhook-Token or ?token="
            case WebhookAuth.OFF:
                return "open to everyone"
        if self._token:
            return "user and password, or the token WEBHOOK_TOKEN"
        return (
            "open for projects that were connected with user and password" if self._auth.is_on else "open to everyone"
        )
