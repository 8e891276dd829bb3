"""Of which contacts the customer was asked how it was, so that nobody is asked too often."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0067"
down_revision: str | None = "0066"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE surveys (
    tenant TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    withheld TEXT COLLATE "C",
    CONSTRAINT pk_surveys PRIMARY KEY (tenant, contact_id)
)""")


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE surveys")
