"""Webhooks, how far each has come in the journal, and what it has not taken."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0062"
down_revision: str | None = "0061"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5

_TABLES: Final = (
    """\
CREATE TABLE webhooks (
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body JSON NOT NULL,
    secrets JSON NOT NULL,
    since BIGINT NOT NULL,
    CONSTRAINT pk_webhooks PRIMARY KEY (tenant, name)
)""",
    """\
CREATE TABLE webhook_cursors (
    tenant TEXT COLLATE "C" NOT NULL,
    webhook TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    failing TEXT COLLATE "C",
    failing_since BIGINT,
    CONSTRAINT pk_webhook_cursors PRIMARY KEY (tenant, webhook)
) WITH (fillfactor = 50)""",
    """\
CREATE TABLE webhook_deliveries (
    tenant TEXT COLLATE "C" NOT NULL,
    webhook TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    attempts BIGINT NOT NULL,
    since BIGINT NOT NULL,
    at BIGINT NOT NULL,
    due_at BIGINT NOT NULL,
    reason TEXT COLLATE "C",
    CONSTRAINT pk_webhook_deliveries PRIMARY KEY (tenant, webhook, seq)
)""",
    "CREATE INDEX ix_webhook_deliveries_tenant_webhook_state_seq ON webhook_deliveries (tenant, webhook, state, seq)",
)


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for each in _TABLES:
        op.execute(each)


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for each in ("webhook_deliveries", "webhook_cursors", "webhooks"):
        op.execute(f"DROP TABLE {each}")
