"""Let the tasks of a project be counted by split without reading them."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_index("tasks_by_split", "tasks", ["project_id", "split"])


def downgrade() -> None:
    """Undo."""
    op.drop_index("tasks_by_split", "tasks")
