"""Connectors: ways to other systems that know of customers."""

from collections.abc import Sequence

from alembic import op

revision: str = "0030"
down_revision: str | None = "0022"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE connectors (
          tenant TEXT COLLATE "C" NOT NULL,
          name TEXT COLLATE "C" NOT NULL,
          body JSON NOT NULL,
          secrets JSON NOT NULL,
          CONSTRAINT pk_connectors PRIMARY KEY (tenant, name)
        )
    """)


def downgrade() -> None:
    op.execute("DROP TABLE connectors")
