"""The journal in partitions by time, checkpoints for what is dropped of it, and vacuuming that keeps up with updates.

The old table becomes the first partition as it is: no row is copied. That none of its rows lies beyond it is checked
while the service writes; then names are exchanged in one short transaction, which gives up when it does not get its
lock, and is tried again. The service makes the further partitions.

PostgreSQL keeps a unique key across partitions only if it holds the time. So each partition has the key of its own, and
across them the fence alone keeps numbers unique, as it always did: `cordboard replay` would find a number twice.

Going back copies the journal, and is not for a service that runs.
"""

import time
from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import context, op

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_MS_MAX: Final = 500
DAY_MS: Final = 24 * 3600 * 1000
WEEK_MS: Final = 7 * DAY_MS

COLUMNS: Final = """
    tenant TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    type TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    contact_id TEXT COLLATE "C",
    agent_id TEXT COLLATE "C",
    customer_id TEXT COLLATE "C",
    data JSON NOT NULL,
    version SMALLINT NOT NULL"""

AGENTS: Final = "(tenant, agent_id, seq) WHERE agent_id IS NOT NULL"

CHECKPOINTS: Final = """
    CREATE TABLE journal_checkpoints (
        tenant TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        at BIGINT NOT NULL,
        state_hash BIGINT NOT NULL,
        state JSON NOT NULL,
        CONSTRAINT pk_journal_checkpoints PRIMARY KEY (tenant)
    )"""

OPTIONS: Final = {
    "tenant_heads": ("autovacuum_vacuum_scale_factor = 0", "autovacuum_vacuum_threshold = 500"),
    "processes": ("autovacuum_vacuum_scale_factor = 0", "autovacuum_vacuum_threshold = 500"),
    "agent_states": ("autovacuum_vacuum_scale_factor = 0.02", "autovacuum_vacuum_threshold = 500"),
    "contacts": ("autovacuum_vacuum_scale_factor = 0.02", "autovacuum_analyze_scale_factor = 0.02"),
    "assignments": ("autovacuum_vacuum_scale_factor = 0.02", "autovacuum_analyze_scale_factor = 0.02"),
    "answers": ("autovacuum_vacuum_scale_factor = 0.05", "autovacuum_analyze_scale_factor = 0.05"),
}


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{LOCK_MS_MAX}ms'")
        newest = 0
        if not context.is_offline_mode():  # a clock may have run ahead
            newest = op.get_bind().scalar(sa.text("SELECT coalesce(max(at), 0) FROM tenant_heads"))
        until = (max(newest, time.time_ns() // 1_000_000) + 2 * DAY_MS) // WEEK_MS * WEEK_MS + WEEK_MS
        op.execute("ALTER TABLE journal DROP CONSTRAINT IF EXISTS ck_journal_until")
        op.execute(f"ALTER TABLE journal ADD CONSTRAINT ck_journal_until CHECK (at < {until}) NOT VALID")
        op.execute("ALTER TABLE journal VALIDATE CONSTRAINT ck_journal_until")
        op.execute("RESET lock_timeout")
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'")
    op.execute(CHECKPOINTS)
    for table, options in OPTIONS.items():
        op.execute(f"ALTER TABLE {table} SET ({', '.join(options)})")
    op.execute("ALTER TABLE journal RENAME TO journal_before")
    op.execute("ALTER INDEX pk_journal RENAME TO pk_journal_before")
    op.execute("ALTER INDEX ix_journal_tenant_agent_id_seq RENAME TO ix_journal_before_agent")
    op.execute(f"CREATE TABLE journal ({COLUMNS}) PARTITION BY RANGE (at)")
    op.execute(f"ALTER TABLE journal ATTACH PARTITION journal_before FOR VALUES FROM (MINVALUE) TO ({until})")
    op.execute("ALTER TABLE journal_before DROP CONSTRAINT ck_journal_until")
    op.execute(
        "CREATE TABLE journal_other PARTITION OF journal"
        " (CONSTRAINT pk_journal_other PRIMARY KEY (tenant, seq)) DEFAULT"
    )
    op.execute(f"CREATE INDEX ix_journal_tenant_agent_id_seq ON journal {AGENTS}")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'")
    op.execute("ALTER TABLE journal RENAME TO journal_parts")
    op.execute("ALTER INDEX ix_journal_tenant_agent_id_seq RENAME TO ix_journal_parts_agent")
    op.execute(f"CREATE TABLE journal ({COLUMNS}, CONSTRAINT pk_journal PRIMARY KEY (tenant, seq))")
    op.execute("INSERT INTO journal SELECT * FROM journal_parts")
    op.execute("DROP TABLE journal_parts")
    op.execute(f"CREATE INDEX ix_journal_tenant_agent_id_seq ON journal {AGENTS}")
    op.execute("DROP TABLE journal_checkpoints")
    for table, options in OPTIONS.items():
        op.execute(f"ALTER TABLE {table} RESET ({', '.join(each.partition(' ')[0] for each in options)})")
