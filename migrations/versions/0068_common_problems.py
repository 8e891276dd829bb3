"""Matters that many contacts have in common, which go to a department once and not contact by contact."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0068"
down_revision: str | None = "0067"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE IF NOT EXISTS common_problems (
    tenant TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    body JSON NOT NULL,
    created_at BIGINT NOT NULL,
    linked BIGINT NOT NULL,
    first_at BIGINT,
    last_at BIGINT,
    reported_at BIGINT,
    unreported JSON NOT NULL,
    solved_at BIGINT,
    solved_by TEXT COLLATE "C",
    note TEXT,
    CONSTRAINT pk_common_problems PRIMARY KEY (tenant, name)
)""")
    op.execute('ALTER TABLE contact_facts ADD COLUMN IF NOT EXISTS problem TEXT COLLATE "C"')
    with op.get_context().autocommit_block():
        # A build that was cut off leaves an index that is not good: it is made anew.
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS ix_contact_facts_problem")
        op.execute(
            "CREATE INDEX CONCURRENTLY ix_contact_facts_problem"
            " ON contact_facts (tenant, problem, id) WHERE problem IS NOT NULL"
        )


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP INDEX ix_contact_facts_problem")
    op.execute("ALTER TABLE contact_facts DROP COLUMN problem")
    op.execute("DROP TABLE common_problems")
