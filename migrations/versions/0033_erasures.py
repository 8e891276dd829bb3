"""Customers that were erased."""

from collections.abc import Sequence

from alembic import op

revision: str = "0033"
down_revision: str | None = "0032"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for name, columns in (("ix_media_contact", "tenant, contact_id"), ("ix_media_hash", "tenant, hash")):
            # A build that was cut off leaves an index that is not good: it is made anew.
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON media ({columns})")
    op.execute("""
        CREATE TABLE erasures (
          tenant TEXT COLLATE "C" NOT NULL,
          customer_id TEXT COLLATE "C" NOT NULL,
          at BIGINT NOT NULL,
          done_at BIGINT,
          CONSTRAINT pk_erasures PRIMARY KEY (tenant, customer_id)
        )
    """)
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("CREATE INDEX ix_erasures_pending ON erasures (at) WHERE done_at IS NULL")


def downgrade() -> None:
    op.execute("SET LOCAL lock_timeout = '500ms'")
    op.execute("DROP INDEX ix_media_hash")
    op.execute("DROP INDEX ix_media_contact")
    op.execute("DROP TABLE erasures")
