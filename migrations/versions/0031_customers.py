"""Customers that are merged and come apart again, what people have to settle about them, reviews and ratings.

Columns with defaults that stand in the catalogue alone, new tables, and one partial index that holds no row yet, built
while the service writes. The last release goes on beside this one: it takes merged customers for what they were before.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_MS_MAX: Final = 500


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'")
    op.execute(
        "ALTER TABLE customers"
        """ ADD COLUMN survivor_id TEXT COLLATE "C","""
        " ADD COLUMN more JSON NOT NULL DEFAULT '{}'"
    )
    op.execute("""ALTER TABLE identities ADD COLUMN scope TEXT COLLATE "C" NOT NULL DEFAULT ''""")
    op.execute("""\
CREATE TABLE customer_conflicts (
    tenant TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    other_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    contact_id TEXT COLLATE "C",
    settled_at BIGINT,
    settled_by TEXT COLLATE "C",
    verdict TEXT COLLATE "C",
    CONSTRAINT pk_customer_conflicts PRIMARY KEY (tenant, id)
)""")
    open_ones = "(tenant, id) WHERE settled_at IS NULL"
    op.execute(f"CREATE INDEX ix_customer_conflicts_open ON customer_conflicts {open_ones}")
    for column in ("customer_id", "other_id"):
        name = f"ix_customer_conflicts_tenant_{column}_id"
        op.execute(f"CREATE INDEX {name} ON customer_conflicts (tenant, {column}, id)")
    op.execute("""\
CREATE TABLE reviews (
    tenant TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    customer_id TEXT COLLATE "C" NOT NULL,
    tags JSON NOT NULL,
    earlier JSON NOT NULL,
    at BIGINT NOT NULL,
    settled_at BIGINT,
    settled_by TEXT COLLATE "C",
    note TEXT,
    CONSTRAINT pk_reviews PRIMARY KEY (tenant, contact_id, kind)
)""")
    op.execute("CREATE INDEX ix_reviews_open ON reviews (tenant, contact_id) WHERE settled_at IS NULL")
    op.execute("""\
CREATE TABLE ratings (
    tenant TEXT COLLATE "C" NOT NULL,
    contact_id TEXT COLLATE "C" NOT NULL,
    score SMALLINT NOT NULL,
    comment TEXT,
    by TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    CONSTRAINT pk_ratings PRIMARY KEY (tenant, contact_id)
)""")
    with op.get_context().autocommit_block():
        # A build that was cut off leaves an index that is not good: it is made anew.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_customers_survivor")
        op.execute(
            "CREATE INDEX CONCURRENTLY ix_customers_survivor ON customers (tenant, survivor_id, id)"
            " WHERE survivor_id IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_MS_MAX}ms'")
    for table in ("ratings", "reviews", "customer_conflicts"):
        op.execute(f"DROP TABLE {table}")
    op.execute("ALTER TABLE identities DROP COLUMN scope")
    op.execute("DROP INDEX ix_customers_survivor")
    op.execute("ALTER TABLE customers DROP COLUMN more, DROP COLUMN survivor_id")
