"""Processes say whether they leave, and which journal they can read: tenants are handed to those that can serve them.

The last release goes on beside this one: it writes neither column, and their defaults are true of it.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute(
        "ALTER TABLE processes ADD COLUMN draining BOOLEAN NOT NULL DEFAULT false,"
        " ADD COLUMN version SMALLINT NOT NULL DEFAULT 1"
    )


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("ALTER TABLE processes DROP COLUMN draining, DROP COLUMN version")
