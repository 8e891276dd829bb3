"""When the customers of chats on websites were last there, so that those who wait and went away are known."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0065"
down_revision: str | None = "0064"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE visits (
    tenant TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    account TEXT COLLATE "C" NOT NULL,
    seen_at BIGINT NOT NULL,
    leaves BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_visits PRIMARY KEY (tenant, contact_id)
) WITH (fillfactor = 70)""")
    op.execute("CREATE INDEX ix_visits_tenant_account_seen_at ON visits (tenant, account, seen_at)")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE visits")
