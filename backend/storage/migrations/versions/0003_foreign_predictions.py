"""Add what other ML backends say about tasks."""

import sqlalchemy as sa
from alembic import op

from backend.storage.columns import UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "foreign_predictions",
        sa.Column("task_id", sa.String(), nullable=False),
        sa.Column("model_version", sa.String(), nullable=False),
        sa.Column("result", sa.JSON(), nullable=False),
        sa.Column("score", sa.Double(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"]),
        sa.PrimaryKeyConstraint("task_id", "model_version"),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("foreign_predictions")
