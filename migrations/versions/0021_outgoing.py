"""What became of messages that go out to customers.

A new table alone: the last release goes on beside this one until the first such message, whose event it does not know.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE outgoing (
    tenant TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    by TEXT COLLATE "C" NOT NULL,
    agent_id TEXT COLLATE "C",
    native BOOLEAN NOT NULL,
    place BIGINT NOT NULL,
    queued_at BIGINT NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    receipt TEXT,
    CONSTRAINT pk_outgoing PRIMARY KEY (tenant, message_id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)""")
    op.execute("CREATE INDEX ix_outgoing_queued ON outgoing (tenant, native, place) WHERE state = 'queued'")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE outgoing")
