"""The first user of a server that is set up by its settings."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor

import pytest
from pydantic import SecretStr

from backend.accounts.first_user import has_users, make_first_user
from backend.accounts.service import USUAL_SCOPES
from backend.errors import Denied, Invalid
from backend.services import Services
from backend.settings import Settings

KEY = "mlp_live_" + "Ab3" * 8


def given(services: Services, key: str = KEY, **others: str) -> Settings:
    return services.settings.model_copy(update={"bootstrap_key": SecretStr(key), **others})


def test_they_are_made_with_the_key_of_the_settings(services: Services) -> None:
    make_first_user(given(services))

    principal = services.accounts.authenticate(KEY)
    assert (principal.email, principal.is_admin) == ("admin@localhost", True)
    assert principal.scopes >= USUAL_SCOPES
    assert len(principal.workspace_ids) == 1


def test_their_address_can_be_chosen(services: Services) -> None:
    make_first_user(given(services, bootstrap_user="Ada@example.com"))

    assert services.accounts.authenticate(KEY).email == "ada@example.com"


def test_without_a_key_nobody_is_made(services: Services) -> None:
    make_first_user(services.settings)

    assert not has_users(services.settings)


def test_where_there_are_users_the_key_means_nothing(services: Services) -> None:
    services.accounts.create_user("ada@example.com")

    make_first_user(given(services))

    assert [user.email for user in services.accounts.users()] == ["ada@example.com"]
    with pytest.raises(Denied):
        services.accounts.authenticate(KEY)


def test_a_key_that_was_revoked_stays_so_after_another_start(services: Services) -> None:
    make_first_user(given(services))
    principal = services.accounts.authenticate(KEY)
    services.accounts.revoke(principal, principal.key_id or "")

    make_first_user(given(services))

    with pytest.raises(Denied):
        services.accounts.authenticate(KEY)


@pytest.mark.parametrize(
    "key", ["secret", "mlp_live_short", "mlp_live_" + "x" * 25, f"{KEY}\n", "mlp_live_" + "-" * 24]
)
def test_what_does_not_read_as_a_key_is_refused_and_not_repeated(services: Services, key: str) -> None:
    with pytest.raises(Invalid, match="TANDEM_BOOTSTRAP_KEY does not read as a key") as failure:
        make_first_user(given(services, key))

    assert key not in failure.value.message
    assert not has_users(services.settings)


def test_processes_that_start_at_once_make_one_user(services: Services) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: make_first_user(given(services)), range(8)))

    assert [user.email for user in services.accounts.users()] == ["admin@localhost"]
    assert services.accounts.authenticate(KEY).is_admin


def test_the_key_is_neither_logged_nor_shown(services: Services, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)

    make_first_user(given(services))

    assert KEY not in caplog.text + repr(given(services))
