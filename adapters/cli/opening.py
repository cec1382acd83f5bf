"""How a command gets at the settings, the services and the project it is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from backend.errors import Conflict, Invalid, NotFound

if TYPE_CHECKING:
    from backend.accounts.service import User
    from backend.projects.service import LabelSet, Mirror
    from backend.services import Services
    from backend.settings import Settings

# Imports are in the functions: `tandem --help` and completion answer at once.


def read_settings() -> Settings:
    """Return the settings.

    Raises:
        Invalid: A variable cannot be read; the message names it.
    """
    from pydantic import ValidationError

    from backend.settings import Settings

    try:
        settings = Settings()
    except ValidationError as error:
        problems = (f"{_variable(str(item['loc'][0]))}: {item['msg']}" for item in error.errors(include_input=False))
        raise Invalid(f"a setting is wrong. {'; '.join(problems)}") from None
    return settings.model_copy(update={"home": settings.home.expanduser().absolute()})


@contextmanager
def opened_services() -> Iterator[Services]:
    """Build the services for the length of a block.

    Raises:
        Conflict: The database does not have the schema of this release.
    """
    from backend.services import Services

    settings = read_settings()
    if problem := schema_problem(settings):
        raise Conflict(problem, code="schema")
    services = Services.build(settings)
    try:
        yield services
    finally:
        services.close()


def schema_problem(settings: Settings) -> str | None:
    """Return why the database cannot be used as it is, or None.

    Raises:
        Unavailable: It cannot be reached.
    """
    from backend.storage import migrations

    is_missing_file = settings.database.startswith("sqlite:///") and not _sqlite_exists(settings.database)
    found = None if is_missing_file else migrations.revision(settings.database)
    if found == migrations.head():
        return None
    if found is None:
        return "the database is empty; `tandem up` or `tandem migrate` sets it up"
    return f"the database has schema {found}, this release needs {migrations.head()}; run `tandem migrate`"


def choose_project(services: Services, name: str | None) -> Mirror:
    """Return the project that is meant: the one named, or the only one there is.

    Raises:
        NotFound: None or several fit the name.
        Invalid: There is not exactly one project, and none is named.
    """
    if name:
        return services.projects.get(name)
    known = services.projects.all()
    if len(known) != 1:
        raise Invalid(
            f"there are {len(known)} projects; say which one (`tandem status` lists them)" if known else NO_PROJECTS
        )
    return known[0]


def choose_label_set(project: Mirror, name: str | None) -> LabelSet:
    """Return the label set that is meant: the one named, or the only one there is.

    Raises:
        Invalid: It is not there, or there are several and none is named.
    """
    fitting = [label_set for label_set in project.label_sets if name in (None, label_set.name)]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(label_set.name for label_set in project.label_sets)
    raise Invalid(
        f"say which label set: --label-set with one of {names}" if names else "the project has nothing to learn"
    )


def choose_user(services: Services, email: str | None) -> User:
    """Return the user that is meant: the one named, or the only one there is.

    Raises:
        NotFound: There is no such user.
        Invalid: There is not exactly one user, and none is named.
    """
    if email:
        if found := services.accounts.find_user(email):
            return found
        raise NotFound(f"there is no user {email!r}; make one: tandem users create {email}")
    known = services.accounts.users()
    if len(known) != 1:
        raise Invalid(
            f"there are {len(known)} users; say which one with --user (`tandem users list` lists them)"
            if known
            else "there is no user yet; say who it is for: --user you@example.com"
        )
    return known[0]


NO_PROJECTS = "no project has connected yet; paste this server's URL into Label Studio (project → Settings → Model)"


def _sqlite_exists(url: str) -> bool:
    from pathlib import Path

    return Path(url.removeprefix("sqlite:///")).exists()


def _variable(field: str) -> str:
    """Return the environment variable that sets a field."""
    from backend.settings import Settings

    alias = Settings.model_fields[field].validation_alias if field in Settings.model_fields else None
    choices: list[str] = getattr(alias, "choices", [])
    return str(choices[1]) if len(choices) > 1 else f"TANDEM_{field.upper()}"
