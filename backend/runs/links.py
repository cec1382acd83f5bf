"""Addresses that open a model's file without a key, for an hour, to whoever is handed one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from backend.accounts.service import Accounts, Principal
from backend.errors import NotFound
from backend.secrets import Vault
from backend.storage.columns import utc_now
from backend.versions.downloads import Format

LINK_LIFE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Link:
    """What stands in for a key, and until when."""

    signature: str
    expires_at: datetime


class DownloadLinks:
    """Lends what a principal may see of one run to those without a key, until it expires or the principal loses it."""

    def __init__(self, accounts: Accounts, vault: Vault) -> None:
        self._accounts = accounts
        self._vault = vault

    def make(self, principal: Principal, run_id: str, form: Format) -> Link:
        """Return what opens one format of a run's model."""
        expires_at = (utc_now() + LINK_LIFE).replace(microsecond=0)
        said = f"{expires_at.timestamp():.0f}.{principal.user_id}.{principal.key_id or ''}"
        return Link(f"{said}.{self._vault.sign(_signed(run_id, form, said))}", expires_at)

    def lender(self, run_id: str, form: Format, signature: str) -> Principal:
        """Return who a signature was made for, as they are today: whoever is no member any more lends nothing.

        Raises:
            NotFound: It is not that of this run and format, it has expired, or the key that asked for it is revoked.
        """
        said, _, sign = signature.rpartition(".")
        if self._vault.is_signed(_signed(run_id, form, said), sign):
            expiry, user_id, key_id = said.split(".")
            user = self._accounts.find_user(user_id)
            if user is not None and datetime.fromtimestamp(int(expiry), UTC) > utc_now():
                lender = self._accounts.local(user)
                if not key_id or self._is_in_use(lender, key_id):
                    return lender
        raise NotFound("This address is wrong, or has expired; ask for another one.", code="not_found")

    def _is_in_use(self, owner: Principal, key_id: str) -> bool:
        now = utc_now()
        return any(
            key.id == key_id and key.revoked_at is None and (key.expires_at is None or key.expires_at > now)
            for key in self._accounts.keys(owner)
        )


def _signed(run_id: str, form: Format, said: str) -> str:
    return f"model/{run_id}/{form.value}/{said}"
