"""Sessions over HTTP that threads can share, and that tell nobody what was meant for somebody else."""

from __future__ import annotations

from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter

from adapters.label_studio.addresses import PublicOnlyAdapter


class NoCredentials(requests.auth.AuthBase):
    """Adds nothing; without it, requests would send what a .netrc file holds and overwrite our header with it."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Return the request as it is."""
        return request


def new_session(*, verify: bool, allow_private: bool) -> requests.Session:
    """Return a session that keeps connections, but neither cookies nor credentials."""
    return session_through((HTTPAdapter if allow_private else PublicOnlyAdapter)(pool_maxsize=32), verify=verify)


def session_through(adapter: HTTPAdapter, *, verify: bool) -> requests.Session:
    """Return such a session that connects as an adapter does."""
    session = requests.Session()
    session.verify = verify
    session.auth = NoCredentials()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
