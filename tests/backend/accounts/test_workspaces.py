"""What people share (mlp.md section 6)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from backend.accounts.service import Principal, User, Workspace
from backend.accounts.workspaces import Workspaces
from backend.errors import Conflict, Denied, Invalid, NotFound, TandemError
from backend.services import Services
from backend.settings import Settings


@pytest.fixture
def ada(services: Services) -> User:
    return services.accounts.create_user("ada@example.com", "Ada")


@pytest.fixture
def bob(services: Services, ada: User) -> User:
    return services.accounts.create_user("bob@example.com")


@pytest.fixture
def workspaces(services: Services) -> Workspaces:
    return services.workspaces


@pytest.fixture
def lab(services: Services, workspaces: Workspaces, ada: User) -> Workspace:
    """A workspace of Ada's, besides her own."""
    return workspaces.create(services.accounts.local(ada), " Lab ")


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(TandemError) as failure:
        call()
    return failure.value.code


def test_ones_own_is_listed_first(services: Services, workspaces: Workspaces, ada: User, lab: Workspace) -> None:
    found = workspaces.all(services.accounts.local(ada))

    assert [workspace.name for workspace in found] == ["Ada", "Lab"]
    assert workspaces.get(services.accounts.local(ada), lab.id).owner_id == ada.id


@pytest.mark.parametrize("name", ["", "  ", "n" * 201])
def test_a_workspace_has_a_name(services: Services, workspaces: Workspaces, ada: User, name: str) -> None:
    with pytest.raises(Invalid):
        workspaces.create(services.accounts.local(ada), name)


def test_to_strangers_a_workspace_is_as_unknown_as_none(
    services: Services, workspaces: Workspaces, bob: User, lab: Workspace
) -> None:
    """M-029, as far as it is about workspaces."""
    stranger = services.accounts.local(bob)

    def messages(workspace_id: str) -> set[str]:
        calls: tuple[Callable[[Principal, str], object], ...] = (
            workspaces.get,
            workspaces.members,
            lambda principal, known: workspaces.add_member(principal, known, bob.id),
            lambda principal, known: workspaces.remove_member(principal, known, bob.id),
            lambda principal, known: workspaces.set_allowance(principal, known, allowance=None),
        )
        found = set()
        for call in calls:
            with pytest.raises(NotFound) as failure:
                call(stranger, workspace_id)
            found.add(failure.value.message)
        return found

    assert messages(lab.id) == messages("none")
    assert len(messages(lab.id)) == 1


@pytest.mark.parametrize("field", ["email", "id"])
def test_a_member_sees_it_at_once(
    services: Services, workspaces: Workspaces, ada: User, bob: User, lab: Workspace, field: str
) -> None:
    for _ in range(2):
        added = workspaces.add_member(services.accounts.local(ada), lab.id, getattr(bob, field))

    assert added.id == bob.id
    assert [user.id for user in workspaces.members(services.accounts.local(bob), lab.id)] == [ada.id, bob.id]


def test_a_removed_members_keys_lose_it_at_once(
    services: Services, workspaces: Workspaces, ada: User, bob: User, lab: Workspace
) -> None:
    owner = services.accounts.local(ada)
    workspaces.add_member(owner, lab.id, bob.id)
    _, secret = services.accounts.mint(bob, "agent")
    before = services.accounts.authenticate(secret)

    workspaces.remove_member(owner, lab.id, bob.id)

    assert lab.id in before.workspace_ids
    assert lab.id not in services.accounts.authenticate(secret).workspace_ids


def test_some_things_only_the_owner_may(
    services: Services, workspaces: Workspaces, ada: User, bob: User, lab: Workspace
) -> None:
    workspaces.add_member(services.accounts.local(ada), lab.id, bob.id)
    member = services.accounts.local(bob)

    assert code_of(lambda: workspaces.remove_member(member, lab.id, ada.id)) == "forbidden"
    assert code_of(lambda: workspaces.set_allowance(member, lab.id, allowance=5)) == "forbidden"


def test_the_owner_stays(services: Services, workspaces: Workspaces, ada: User, lab: Workspace) -> None:
    with pytest.raises(Conflict):
        workspaces.remove_member(services.accounts.local(ada), lab.id, ada.id)


def test_who_is_no_user_or_no_member_is_told(
    services: Services, workspaces: Workspaces, ada: User, bob: User, lab: Workspace
) -> None:
    owner = services.accounts.local(ada)

    assert code_of(lambda: workspaces.add_member(owner, lab.id, "eve@example.com")) == "not_found"
    assert code_of(lambda: workspaces.remove_member(owner, lab.id, bob.id)) == "not_found"


def test_the_owner_says_what_may_be_spent(
    services: Services, workspaces: Workspaces, ada: User, lab: Workspace
) -> None:
    owner = services.accounts.local(ada)

    workspaces.set_allowance(owner, lab.id, allowance=10, bundle=5)
    changed = workspaces.set_allowance(owner, lab.id, allowance=None)

    assert (changed.allowance, changed.bundle) == (None, 5)
    with pytest.raises(Invalid):
        workspaces.set_allowance(owner, lab.id, allowance=-1)


def test_a_key_may_not_say_what_may_be_spent(
    services: Services, workspaces: Workspaces, ada: User, lab: Workspace
) -> None:
    _, secret = services.accounts.mint(ada, "agent")

    with pytest.raises(Denied) as failure:
        workspaces.set_allowance(services.accounts.authenticate(secret), lab.id, allowance=10)

    assert failure.value.code == "human_required"


class TestWithATokenAllowance:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return settings.model_copy(update={"token_allowance": 7})

    def test_new_workspaces_have_it(
        self, workspaces: Workspaces, services: Services, ada: User, lab: Workspace
    ) -> None:
        assert {found.allowance for found in workspaces.all(services.accounts.local(ada))} == {7}
