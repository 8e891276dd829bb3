"""Calls of telephone systems that keep no connection to us: what happened to them, and what is to be done."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0064"
down_revision: str | None = "0063"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5

_TABLES: Final = (
    """\
CREATE TABLE call_notes (
    tenant TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    leg_id TEXT COLLATE "C",
    ref TEXT COLLATE "C",
    cause BIGINT,
    taken BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_call_notes PRIMARY KEY (tenant, account, id)
) WITH (fillfactor = 70)""",
    """\
CREATE TABLE call_orders (
    tenant TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    call_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    leg_id TEXT COLLATE "C",
    data JSON NOT NULL,
    done BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_call_orders PRIMARY KEY (tenant, account, id)
) WITH (fillfactor = 70)""",
    "CREATE INDEX ix_call_notes_tenant_account_call_id ON call_notes (tenant, account, call_id)",
    "CREATE INDEX ix_call_notes_tenant_account_at ON call_notes (tenant, account, at)",
    "CREATE INDEX ix_call_notes_not_taken ON call_notes (tenant, account) WHERE NOT taken",
    "CREATE INDEX ix_call_notes_coming ON call_notes (tenant, account, call_id) WHERE kind = 'coming'",
    "CREATE INDEX ix_call_orders_tenant_account_call_id ON call_orders (tenant, account, call_id)",
    "CREATE INDEX ix_call_orders_tenant_account_at ON call_orders (tenant, account, at)",
    "CREATE INDEX ix_call_orders_not_done ON call_orders (tenant, account, id) WHERE NOT done",
)


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for each in _TABLES:
        op.execute(each)


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for each in ("call_orders", "call_notes"):
        op.execute(f"DROP TABLE {each}")
