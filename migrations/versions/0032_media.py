"""Pictures, recordings and files: what there is of them, and what is in them."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0032"
down_revision: str | None = "0031"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE media (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    state TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    source TEXT,
    hash TEXT COLLATE "C",
    media_type TEXT,
    size BIGINT NOT NULL,
    name TEXT,
    reason TEXT COLLATE "C",
    CONSTRAINT pk_media PRIMARY KEY (tenant, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02)""")
    op.execute("CREATE INDEX ix_media_wanted ON media (tenant, id) WHERE state = 'wanted'")
    op.execute("""\
CREATE TABLE media_contents (
    tenant TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_media_contents PRIMARY KEY (tenant, hash)
)""")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE media_contents")
    op.execute("DROP TABLE media")
