"""What people type as reasons and dispositions, by the id that the journal holds in its place.

What was typed before stays in the journal as it is.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0063"
down_revision: str | None = "0062"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE remarks (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    text TEXT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_remarks PRIMARY KEY (tenant, id)
)""")
    op.execute("CREATE INDEX ix_remarks_tenant_contact_id ON remarks (tenant, contact_id)")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE remarks")
