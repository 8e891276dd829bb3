"""A contact may be offered to several agents at once: the backstop counts who accepted, and offers no more.

The new index is there before the old one goes, so that one of them holds at any time. Both are changed while the
service writes: nothing waits for them, so there is no lock to give up waiting for. Half an index, left by a migration
that was broken off, is removed first.

Going back fails while a contact has several offers open.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

PILOT: Final = "ix_contacts_pilot ON contacts (tenant, pilot, created_at) WHERE pilot IS NOT NULL"
HELD: Final = (
    "uq_assignments_held ON assignments (tenant, contact_id) WHERE accepted_at IS NOT NULL AND ended_at IS NULL"
)
OPEN: Final = "uq_assignments_open ON assignments (tenant, contact_id) WHERE ended_at IS NULL"


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_contacts_pilot")
        op.execute(f"CREATE INDEX CONCURRENTLY {PILOT}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_assignments_held")
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {HELD}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_assignments_open")


def downgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_assignments_open")
        op.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {OPEN}")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_assignments_held")
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_contacts_pilot")
