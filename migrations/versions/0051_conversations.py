"""Contacts that go on with one another over channels, and those with which an agent reaches the customer."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0051"
down_revision: str | None = "0050"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute(
        'ALTER TABLE contact_facts ADD COLUMN IF NOT EXISTS conversation_id TEXT COLLATE "C",'
        " ADD COLUMN IF NOT EXISTS outbound BOOLEAN NOT NULL DEFAULT false"
    )
    with op.get_context().autocommit_block():
        # A build that was cut off leaves an index that is not good: it is made anew.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_contact_facts_conversation")
        op.execute(
            "CREATE INDEX CONCURRENTLY ix_contact_facts_conversation"
            " ON contact_facts (tenant, conversation_id) WHERE conversation_id IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP INDEX ix_contact_facts_conversation")
    op.execute("ALTER TABLE contact_facts DROP COLUMN conversation_id, DROP COLUMN outbound")
