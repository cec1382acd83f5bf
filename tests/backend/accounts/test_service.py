"""Users, keys, and whom a key lets in."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event, update

from backend.accounts.service import MAX_KEYS, SCOPES, USUAL_SCOPES, ApiKey, AuthSource, Principal, User
from backend.errors import Conflict, Denied, Invalid, NotFound, TandemError
from backend.services import Services
from backend.settings import Settings
from backend.storage.columns import utc_now


@pytest.fixture
def ada(services: Services) -> User:
    return services.accounts.create_user("ada@example.com", "Ada")


def secret_of(services: Services, user: User, **given: Any) -> str:
    return services.accounts.mint(user, "agent", **given)[1]


def as_key(services: Services, user: User, **given: Any) -> Principal:
    return services.accounts.authenticate(secret_of(services, user, **given))


def change_keys(services: Services, **values: Any) -> None:
    with services.database.transaction() as session:
        session.execute(update(ApiKey).values(**values))


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(TandemError) as failure:
        call()
    return failure.value.code


class TestUsers:
    def test_the_first_is_the_administrator(self, services: Services) -> None:
        users = [services.accounts.create_user(f"{name}@example.com") for name in ("ada", "bob")]

        assert [user.is_admin for user in users] == [True, False]
        assert [user.id for user in services.accounts.users()] == [user.id for user in users]

    def test_each_has_a_workspace_of_their_own(self, services: Services, ada: User) -> None:
        bob = services.accounts.create_user("bob@example.com")

        [hers], [his] = (services.workspaces.all(services.accounts.local(user)) for user in (ada, bob))

        assert (hers.name, hers.owner_id, hers.allowance) == ("Ada", ada.id, None)
        assert (his.name, his.owner_id) == ("bob@example.com", bob.id)
        assert services.accounts.oldest_workspace_id() == hers.id

    def test_nobody_has_no_workspace(self, services: Services) -> None:
        assert services.accounts.oldest_workspace_id() is None

    def test_are_found_by_address_in_any_case_and_by_id(self, services: Services, ada: User) -> None:
        found = [services.accounts.find_user(name) for name in (" Ada@Example.com", ada.id, "bob@example.com")]

        assert [user and user.id for user in found] == [ada.id, ada.id, None]

    def test_an_address_is_taken_once(self, services: Services, ada: User) -> None:
        with pytest.raises(Conflict):
            services.accounts.create_user("ADA@example.com")

    @pytest.mark.parametrize("email", ["", "ada", "ada@", "a b@example.com"])
    def test_an_address_has_its_form(self, services: Services, email: str) -> None:
        with pytest.raises(Invalid) as failure:
            services.accounts.create_user(email)

        assert failure.value.details["fields"].keys() == {"email"}

    def test_on_the_server_may_do_everything_of_theirs(self, services: Services, ada: User) -> None:
        principal = services.accounts.local(ada)

        assert principal.auth_source is AuthSource.LOCAL
        assert principal.scopes == frozenset(SCOPES)
        assert list(principal.workspace_ids) == [services.accounts.oldest_workspace_id()]


class TestAuthentication:
    def test_a_key_acts_as_its_owner(self, services: Services, ada: User) -> None:
        key, secret = services.accounts.mint(ada, "agent")

        principal = services.accounts.authenticate(secret)

        assert (principal.user_id, principal.email, principal.name) == (ada.id, "ada@example.com", "Ada")
        assert (principal.auth_source, principal.key_id, principal.is_admin) == (AuthSource.API_KEY, key.id, True)
        assert principal.scopes == USUAL_SCOPES
        assert principal.workspace_ids == (services.accounts.oldest_workspace_id(),)

    @pytest.mark.parametrize("prefix", ["mlp_live_", "mlp_sk_"])
    def test_keys_of_both_prefixes_are_taken(self, services: Services, ada: User, prefix: str) -> None:
        """S-009, as far as it is about the backend."""
        secret = secret_of(services, ada, prefix=prefix)

        assert re.fullmatch(prefix + "[0-9A-Za-z]{24}", secret)
        assert services.accounts.authenticate(secret).user_id == ada.id

    @pytest.mark.parametrize("token", ["", "Basic", "sk-123", "mlp_clm_" + "a" * 24, "xmlp_live_" + "a" * 24])
    def test_what_is_no_key_proves_nothing(self, services: Services, token: str) -> None:
        assert code_of(lambda: services.accounts.authenticate(token)) == "unauthenticated"

    @pytest.mark.parametrize("rest", ["", "short", "a" * 24, "a" * 25, "é" * 24, "a" * 23 + "\n", "\x00" * 24])
    def test_unknown_and_malformed_keys_are_refused(self, services: Services, rest: str) -> None:
        """M-002, as far as it is about the backend."""
        assert code_of(lambda: services.accounts.authenticate("mlp_live_" + rest)) == "api_key_invalid"

    def test_a_revoked_key_is_refused_at_once_by_every_process(
        self, services: Services, settings: Settings, ada: User
    ) -> None:
        """M-004, as far as it is about the backend."""
        key, secret = services.accounts.mint(ada, "agent")
        with closing(Services.build(settings, queue=services.queue)) as other_process:
            other_process.accounts.authenticate(secret)

            services.accounts.revoke(services.accounts.local(ada), key.id)

            assert code_of(lambda: other_process.accounts.authenticate(secret)) == "api_key_invalid"

    def test_an_expired_key_is_refused(self, services: Services, ada: User) -> None:
        secret = secret_of(services, ada, expires_at=utc_now() + timedelta(hours=1))
        services.accounts.authenticate(secret)
        change_keys(services, expires_at=utc_now())

        assert code_of(lambda: services.accounts.authenticate(secret)) == "api_key_invalid"

    def test_write_includes_read(self, services: Services, ada: User) -> None:
        principal = as_key(services, ada, scopes=["projects:write", "notes:write"])

        assert principal.scopes == {"projects:write", "projects:read", "notes:write"}

    def test_workspaces_of_others_come_after_ones_own(self, services: Services, ada: User) -> None:
        bob = services.accounts.create_user("bob@example.com")
        [hers] = services.accounts.local(ada).workspace_ids
        [his] = services.accounts.local(bob).workspace_ids
        secret = secret_of(services, bob)

        services.workspaces.add_member(services.accounts.local(ada), hers, bob.id)

        assert services.accounts.authenticate(secret).workspace_ids == (his, hers)

    def test_one_statement_tells_who_asks(self, services: Services, ada: User) -> None:
        secret = secret_of(services, ada)
        services.accounts.authenticate(secret)
        services.accounts.flush()
        asked: list[object] = []
        event.listen(services.database.engine, "checkout", lambda *given: asked.append(given))

        services.accounts.authenticate(secret)
        services.accounts.flush()

        assert len(asked) == 1

    def test_its_use_is_noted_once_a_minute(self, services: Services, ada: User) -> None:
        secret = secret_of(services, ada)

        def use() -> float:
            services.accounts.authenticate(secret)
            services.accounts.flush()
            [key] = services.accounts.keys(services.accounts.local(ada))
            assert key.last_used_at is not None
            return key.last_used_at.timestamp()

        first, second = use(), use()
        change_keys(services, last_used_at=utc_now() - timedelta(seconds=61))
        third = use()

        assert first == second
        assert third >= first
        assert time.time() - third < 30


class TestMinting:
    def test_ten_keys_may_be_in_use(self, services: Services, ada: User) -> None:
        """M-003."""
        person = services.accounts.local(ada)
        keys = [services.accounts.mint(person, str(number))[0] for number in range(MAX_KEYS)]

        before = code_of(lambda: services.accounts.mint(person, "one more"))
        services.accounts.revoke(person, keys[3].id)
        services.accounts.mint(person, "one more")
        after = code_of(lambda: services.accounts.mint(person, "two more"))

        assert before == after == "key_limit_reached"

    def test_others_keys_and_expired_ones_do_not_count(self, services: Services, ada: User) -> None:
        bob = services.accounts.create_user("bob@example.com")
        for number in range(MAX_KEYS):
            services.accounts.mint(ada, str(number), expires_at=utc_now() + timedelta(days=1))
        change_keys(services, expires_at=utc_now())

        services.accounts.mint(bob, "his")
        services.accounts.mint(ada, "hers")

    def test_no_more_than_ten_come_of_calls_at_the_same_time(self, services: Services, ada: User) -> None:
        """M-003."""

        def mint(number: int) -> bool:
            try:
                services.accounts.mint(ada, str(number))
            except Conflict:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(mint, range(3 * MAX_KEYS)))

        assert sum(made) == MAX_KEYS == len(services.accounts.keys(services.accounts.local(ada)))

    def test_secrets_are_not_kept(
        self, services: Services, settings: Settings, ada: User, caplog: pytest.LogCaptureFixture
    ) -> None:
        """M-005."""
        caplog.set_level("DEBUG")

        key, secret = services.accounts.mint(ada, "agent")
        services.accounts.authenticate(secret)
        services.accounts.revoke(services.accounts.local(ada), key.id)
        with pytest.raises(Denied) as failure:
            services.accounts.authenticate(secret)
        services.close()

        told = [repr(services.accounts.keys(services.accounts.local(ada))), caplog.text, failure.value.message]
        assert not any(secret.removeprefix("mlp_live_") in text for text in told)
        assert not any(secret.encode() in file.read_bytes() for file in settings.home.glob("tandem.sqlite3*"))
        assert key.preview == f"{secret[:12]}…{secret[-3:]}"

    def test_a_key_makes_none(self, services: Services, ada: User) -> None:
        principal = as_key(services, ada)

        assert code_of(lambda: services.accounts.mint(principal, "child")) == "human_required"

    def test_a_key_that_may_make_keys_makes_narrower_ones(self, services: Services, ada: User) -> None:
        parent = as_key(services, ada, scopes=["keys:manage", "projects:write"])

        usual, _ = services.accounts.mint(parent, "usual")
        narrow, _ = services.accounts.mint(parent, "narrow", scopes=["projects:read"])
        with pytest.raises(Denied) as failure:
            services.accounts.mint(parent, "wide", scopes=["training:write", "projects:read"])

        assert usual.scopes == ["projects:read", "projects:write"]
        assert narrow.scopes == ["projects:read"]
        assert failure.value.code == "insufficient_scope"
        assert failure.value.details == {"requiredScopes": ["training:write"]}

    @pytest.mark.parametrize(
        ("field", "given"),
        [
            ("name", {"name": " "}),
            ("name", {"name": "n" * 121}),
            ("scopes", {"scopes": ["projects:delete"]}),
            ("prefix", {"prefix": "sk_"}),
            ("expiresAt", {"expires_at": utc_now() - timedelta(seconds=1)}),
        ],
    )
    def test_what_makes_no_sense_is_named(
        self, services: Services, ada: User, field: str, given: dict[str, Any]
    ) -> None:
        with pytest.raises(Invalid) as failure:
            services.accounts.mint(ada, **{"name": "agent", **given})

        assert failure.value.details["fields"].keys() == {field}


class TestRevoking:
    def test_newest_keys_are_listed_first(self, services: Services, ada: User) -> None:
        for name in ("a", "b"):
            services.accounts.mint(ada, name)
            time.sleep(0.002)

        assert [key.name for key in services.accounts.keys(services.accounts.local(ada))] == ["b", "a"]

    def test_a_key_may_revoke_itself_and_no_other(self, services: Services, ada: User) -> None:
        own = as_key(services, ada)
        other, _ = services.accounts.mint(ada, "other")

        assert code_of(lambda: services.accounts.revoke(own, other.id)) == "human_required"
        services.accounts.revoke(own, str(own.key_id))

        assert [key.revoked_at is None for key in services.accounts.keys(own)] == [True, False]

    def test_a_key_that_may_manage_keys_revokes_others_of_its_owner(self, services: Services, ada: User) -> None:
        manager = as_key(services, ada, scopes=["keys:manage"])
        other, _ = services.accounts.mint(ada, "other")

        services.accounts.revoke(manager, other.id)

        assert services.accounts.keys(manager)[0].revoked_at is not None

    def test_once_is_enough(self, services: Services, ada: User) -> None:
        key, _ = services.accounts.mint(ada, "agent")
        person = services.accounts.local(ada)
        services.accounts.revoke(person, key.id)
        [before] = services.accounts.keys(person)

        services.accounts.revoke(person, key.id)

        assert services.accounts.keys(person)[0].revoked_at == before.revoked_at

    def test_others_keys_are_as_unknown_as_none(self, services: Services, ada: User) -> None:
        key, _ = services.accounts.mint(ada, "agent")
        stranger = replace(services.accounts.local(ada), user_id="somebody else")

        for key_id in (key.id, "none"):
            with pytest.raises(NotFound) as failure:
                services.accounts.revoke(stranger, key_id)
            assert failure.value.code == "not_found"
