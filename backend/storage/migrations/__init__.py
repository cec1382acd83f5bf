"""Bring a database to the schema of this release; nothing else ever changes the schema."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import OperationalError

from backend.errors import Unavailable

_HERE = Path(__file__).parent


def head() -> str:
    """Return the newest revision: scripts are called NNNN_what.py, in order."""
    return max(script.name.split("_")[0] for script in (_HERE / "versions").glob("[0-9]*.py"))


def revision(database_url: str) -> str | None:
    """Return the revision a database is at; None where it was never set up.

    Raises:
        Unavailable: It cannot be reached.
    """
    engine = create_engine(database_url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found = connection.scalar(text("SELECT version_num FROM alembic_version"))
            return str(found) if found else None
    except OperationalError as error:
        raise Unavailable(
            f"the database does not answer ({type(error.orig).__name__}); see DATABASE_URL", code="database"
        ) from error
    finally:
        engine.dispose()


def upgrade(database_url: str, target: str = "") -> None:
    """Bring a database to a revision, by default `head`, creating it (SQLite) or its tables; quick where it is there.

    Raises:
        Unavailable: It cannot be reached.
    """
    if database_url.startswith("sqlite:///"):
        Path(database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
    target = target or head()
    if revision(database_url) == target:
        return
    from alembic import command  # imported here: it takes half a second
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_HERE))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    command.upgrade(config, target)
