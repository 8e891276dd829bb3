"""How far what is kept for a while only has been taken away."""

from collections.abc import Sequence

from alembic import op

revision: str = "0060"
down_revision: str | None = "0051"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("""\
CREATE TABLE retention_progress (
    tenant TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    cursor TEXT COLLATE "C" NOT NULL,
    still_open JSON NOT NULL,
    until BIGINT NOT NULL,
    gone BIGINT NOT NULL,
    swept BIGINT NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_retention_progress PRIMARY KEY (tenant, kind)
)""")


def downgrade() -> None:
    op.execute("DROP TABLE retention_progress")
