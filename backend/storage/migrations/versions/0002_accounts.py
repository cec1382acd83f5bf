"""Add accounts, keys, registered ML backends, uploads, and runs and jobs that somebody described."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from backend.storage.columns import UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_LONG_AGO = "1970-01-01 00:00:00.000000"
_INDEXES = (
    ("ix_projects_number", "projects", ["number"], True),
    ("ix_projects_workspace_id", "projects", ["workspace_id"], False),
    ("ix_tasks_number", "tasks", ["number"], True),
    ("one_task_per_upload", "tasks", ["project_id", "content"], True),
    ("tasks_by_project", "tasks", ["project_id", "id"], False),
    ("ix_prediction_jobs_run_id", "prediction_jobs", ["run_id"], False),
)
_PENDING = "one_pending_run_per_label_set"


def upgrade() -> None:
    """Apply."""
    _create_tables()
    for table, columns in _added().items():
        for column in columns:
            op.add_column(table, column)
    for table in ("projects", "tasks"):
        op.execute(
            f"UPDATE {table} SET number = numbered.number FROM "  # noqa: S608 - two names of our own
            f"(SELECT id, row_number() OVER (ORDER BY id) AS number FROM {table}) AS numbered "
            f"WHERE numbered.id = {table}.id"
        )
        name = table.removesuffix("s")
        op.execute(f"INSERT INTO counters (name, value) SELECT '{name}', count(*) FROM {table}")  # noqa: S608
    op.execute("UPDATE projects SET updated_at = created_at")
    op.execute("UPDATE annotations SET created_at = updated_at")
    for name, table, indexed, is_unique in _INDEXES:
        op.create_index(name, table, indexed, unique=is_unique)
    op.drop_index(_PENDING, "training_runs")
    _create_pending_index("state = 'pending' AND trigger = 'label_studio'")


def downgrade() -> None:
    """Undo."""
    op.drop_index(_PENDING, "training_runs")
    _create_pending_index("state = 'pending'")
    for name, table, _, _ in _INDEXES:
        op.drop_index(name, table)
    for table, columns in _added().items():
        for column in columns:
            op.drop_column(table, column.name)
    for name in (
        "ml_backends",
        "token_entries",
        "memberships",
        "workspaces",
        "api_keys",
        "users",
        "kept_answers",
        "counters",
    ):
        op.drop_table(name)


def _added() -> dict[str, tuple[sa.Column[Any], ...]]:
    """Return the new columns by table; made anew, because a column belongs to one table."""
    return {
        "projects": (
            sa.Column("number", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("description", sa.String(), nullable=False, server_default=""),
            sa.Column("workspace_id", sa.String(), nullable=True),
            sa.Column("created_by", sa.String(), nullable=True),
            sa.Column("updated_at", UtcDateTime(), nullable=False, server_default=_LONG_AGO),
        ),
        "label_sets": (
            sa.Column("title", sa.String(), nullable=False, server_default=""),
            sa.Column("document", sa.String(), nullable=False, server_default=""),
            sa.Column("colors", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("created_at", UtcDateTime(), nullable=False, server_default=_LONG_AGO),
            sa.Column("updated_at", UtcDateTime(), nullable=False, server_default=_LONG_AGO),
        ),
        "tasks": (
            sa.Column("number", sa.Integer(), nullable=False, server_default="0"),
            sa.Column("filename", sa.String(), nullable=False, server_default=""),
            sa.Column("content", sa.String(), nullable=True),
            sa.Column("mime_type", sa.String(), nullable=False, server_default=""),
            sa.Column("width_px", sa.Integer(), nullable=True),
            sa.Column("height_px", sa.Integer(), nullable=True),
            sa.Column("num_bytes", sa.Integer(), nullable=True),
            sa.Column("created_at", UtcDateTime(), nullable=False, server_default=_LONG_AGO),
        ),
        "annotations": (
            sa.Column("source", sa.String(), nullable=False, server_default="human"),
            sa.Column("created_by", sa.String(), nullable=True),
            sa.Column("created_at", UtcDateTime(), nullable=False, server_default=_LONG_AGO),
        ),
        "training_runs": (
            sa.Column("error_code", sa.String(), nullable=True),
            sa.Column("trigger", sa.String(), nullable=False, server_default="label_studio"),
            sa.Column("title", sa.String(), nullable=False, server_default=""),
            sa.Column("ratios", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("options", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("created_by", sa.String(), nullable=True),
        ),
        "prediction_jobs": (
            sa.Column("kind", sa.String(), nullable=False, server_default="write_back"),
            sa.Column("adapter", sa.String(), nullable=False, server_default="label_studio"),
            sa.Column("run_id", sa.String(), nullable=True),
            sa.Column("split", sa.String(), nullable=False, server_default=""),
            sa.Column("threshold", sa.Double(), nullable=False, server_default="0"),
            sa.Column("iou", sa.Double(), nullable=False, server_default="0.5"),
            sa.Column("evaluation", sa.JSON(), nullable=False, server_default="{}"),
            sa.Column("created_by", sa.String(), nullable=True),
        ),
    }


def _create_pending_index(where: str) -> None:
    op.create_index(
        _PENDING,
        "training_runs",
        ["label_set_id"],
        unique=True,
        sqlite_where=sa.text(where),
        postgresql_where=sa.text(where),
    )


def _create_tables() -> None:
    op.create_table(
        "counters",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "kept_answers",
        sa.Column("scope", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.String(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("body", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_index(op.f("ix_kept_answers_created_at"), "kept_answers", ["created_at"])
    op.create_table(
        "users",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("email", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("is_admin", sa.Boolean(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("digest", sa.String(), nullable=False),
        sa.Column("prefix", sa.String(), nullable=False),
        sa.Column("preview", sa.String(), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("last_used_at", UtcDateTime(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("revoked_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("digest"),
    )
    op.create_index(op.f("ix_api_keys_user_id"), "api_keys", ["user_id"])
    op.create_table(
        "workspaces",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("owner_id", sa.String(), nullable=False),
        sa.Column("allowance", sa.Integer(), nullable=True),
        sa.Column("bundle", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["owner_id"], ["users.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_workspaces_owner_id"), "workspaces", ["owner_id"])
    op.create_table(
        "memberships",
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"]),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("workspace_id", "user_id"),
    )
    op.create_index(op.f("ix_memberships_user_id"), "memberships", ["user_id"])
    op.create_table(
        "token_entries",
        sa.Column("run_id", sa.String(), nullable=False),
        sa.Column("workspace_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("period", sa.String(), nullable=False),
        sa.Column("num_reserved", sa.Integer(), nullable=False),
        sa.Column("num_consumed", sa.Integer(), nullable=False),
        sa.Column("num_from_bundle", sa.Integer(), nullable=False),
        sa.Column("at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspaces.id"]),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index(op.f("ix_token_entries_workspace_id"), "token_entries", ["workspace_id"])
    op.create_table(
        "ml_backends",
        sa.Column("id", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("project_id", sa.String(), nullable=False),
        sa.Column("url", sa.String(), nullable=False),
        sa.Column("title", sa.String(), nullable=True),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("auth_method", sa.String(), nullable=False),
        sa.Column("basic_auth_user", sa.String(), nullable=True),
        sa.Column("basic_auth_pass", sa.String(), nullable=False),
        sa.Column("is_interactive", sa.Boolean(), nullable=False),
        sa.Column("auto_update", sa.Boolean(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=True),
        sa.Column("extra_params", sa.JSON(), nullable=True),
        sa.Column("timeout_s", sa.Double(), nullable=False),
        sa.Column("is_reachable", sa.Boolean(), nullable=False),
        sa.Column("error_message", sa.String(), nullable=True),
        sa.Column("run_ids", sa.JSON(), nullable=False),
        sa.Column("prediction_job_id", sa.String(), nullable=True),
        sa.Column("created_by", sa.String(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("project_id", "url"),
    )
