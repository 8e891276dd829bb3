"""API keys that are rotated and limited, whose tokens a tenant trusts, and who changed what."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0050"
down_revision: str | None = "0040"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
ALTER TABLE api_keys
    ADD COLUMN previous_hash TEXT COLLATE "C",
    ADD COLUMN previous_until BIGINT,
    ADD COLUMN requests_per_s INTEGER""")
    op.execute("""\
CREATE TABLE token_trusts (
    tenant TEXT COLLATE "C" NOT NULL,
    body JSON NOT NULL,
    secrets JSON NOT NULL,
    CONSTRAINT pk_token_trusts PRIMARY KEY (tenant)
)""")
    op.execute("""\
CREATE TABLE audit (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    by_kind TEXT COLLATE "C" NOT NULL,
    by_id TEXT COLLATE "C" NOT NULL,
    act TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    more JSON NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (tenant, id)
)""")
    op.execute("CREATE INDEX ix_audit_old ON audit (at)")
    with op.get_context().autocommit_block():
        # A build that was cut off leaves an index that is not good: it is made anew.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS uq_api_keys_previous")
        op.execute(
            "CREATE UNIQUE INDEX CONCURRENTLY uq_api_keys_previous ON api_keys (previous_hash)"
            " WHERE previous_hash IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE audit")
    op.execute("DROP TABLE token_trusts")
    op.execute("DROP INDEX uq_api_keys_previous")
    op.execute("""\
ALTER TABLE api_keys
    DROP COLUMN requests_per_s,
    DROP COLUMN previous_until,
    DROP COLUMN previous_hash""")
