"""Access tokens of channel accounts, kept for all processes together."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE channel_tokens (
    tenant TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    made_with TEXT NOT NULL,
    token TEXT,
    expires_at TIMESTAMPTZ,
    renewing_until TIMESTAMPTZ,
    CONSTRAINT pk_channel_tokens PRIMARY KEY (tenant, account)
) WITH (fillfactor = 50)""")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE channel_tokens")
