"""How far accounts that are asked for their messages have been read."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0040"
down_revision: str | None = "0033"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE channel_cursors (
    tenant TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    channel TEXT COLLATE "C" NOT NULL,
    cursor TEXT,
    wanted BOOLEAN NOT NULL,
    token TEXT,
    at BIGINT NOT NULL,
    calls BIGINT NOT NULL,
    CONSTRAINT pk_channel_cursors PRIMARY KEY (tenant, account)
) WITH (fillfactor = 50)""")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE channel_cursors")
