"""The first user: whether there is one, and who it is where a key comes with the settings."""

from __future__ import annotations

from contextlib import closing, suppress

from sqlalchemy.exc import IntegrityError

from backend.accounts.service import KEY_FORM, USUAL_SCOPES, Accounts, new_key
from backend.errors import Conflict, Invalid
from backend.settings import Settings
from backend.storage.database import Database

_KEY_NAME = "TANDEM_BOOTSTRAP_KEY"


def has_users(settings: Settings) -> bool:
    """Say whether there is any user, at less cost than that of building all services."""
    with closing(Database(settings.database)) as database:
        return bool(Accounts(database, settings).users())


def make_first_user(settings: Settings) -> None:
    """Make the user that `bootstrap_key` belongs to, where it is set and there is nobody yet.

    Processes that do so at the same time make one user.

    Raises:
        Invalid: What is set does not read as keys do, or `bootstrap_user` is no email address.
    """
    secret = settings.bootstrap_key.get_secret_value()
    if not secret:
        return
    if not KEY_FORM.fullmatch(secret):
        raise Invalid(
            f"{_KEY_NAME} does not read as a key: mlp_live_ and 24 letters or digits, such as "
            "`echo mlp_live_$(openssl rand -hex 12)` gives"
        )
    with closing(Database(settings.database)) as database:
        accounts = Accounts(database, settings)
        with suppress(IntegrityError, Conflict), database.transaction() as session:  # somebody else was faster
            if accounts.users():
                return
            user = accounts.create_user(settings.bootstrap_user)
            session.add(new_key(user.id, _KEY_NAME, secret, scopes=USUAL_SCOPES))
