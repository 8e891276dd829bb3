"""What steps, preferred agents, parked contacts, pilots, help and its words are kept in.

Every new column has a default: rows from before mean the same, and so do those that the release before still writes.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5
"""A change that waits for a lock makes everybody behind it wait: better it fails, and is tried again."""

STATEMENTS: Final = (
    """
    ALTER TABLE contacts
        ADD COLUMN queued_at BIGINT,
        ADD COLUMN step INTEGER NOT NULL DEFAULT 0,
        ADD COLUMN target_kind TEXT COLLATE "C",
        ADD COLUMN target_until BIGINT,
        ADD COLUMN parked_until BIGINT,
        ADD COLUMN owner_id TEXT COLLATE "C",
        ADD COLUMN pilot TEXT COLLATE "C",
        ADD COLUMN flags JSON NOT NULL DEFAULT '[]',
        ADD COLUMN more JSON NOT NULL DEFAULT '{}'
    """,
    """
    ALTER TABLE assignments
        ADD COLUMN released BOOLEAN NOT NULL DEFAULT false,
        ADD COLUMN wanted BOOLEAN NOT NULL DEFAULT false
    """,
    """
    ALTER TABLE agent_states
        ADD COLUMN turn_at BIGINT NOT NULL DEFAULT 0,
        ADD COLUMN paused TEXT
    """,
    """
    CREATE TABLE collaborations (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        by TEXT COLLATE "C" NOT NULL,
        requested_at BIGINT NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        department TEXT COLLATE "C",
        requirements JSON NOT NULL,
        agent_id TEXT COLLATE "C",
        deadlines JSON NOT NULL,
        feedback_by BIGINT,
        progress_by BIGINT,
        lead_by BIGINT,
        solution_by BIGINT,
        accepted_at BIGINT,
        answered_at BIGINT,
        approved BOOLEAN,
        told JSON NOT NULL,
        reason TEXT,
        closed_at BIGINT,
        asked_until BIGINT,
        CONSTRAINT pk_collaborations PRIMARY KEY (tenant, id)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX ix_collaborations_open_agent ON collaborations (tenant, agent_id, id) WHERE closed_at IS NULL",
    "CREATE INDEX ix_collaborations_tenant_contact_id_id ON collaborations (tenant, contact_id, id)",
    """
    CREATE TABLE collaboration_words (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        collaboration_id TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        author TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        text TEXT NOT NULL,
        at BIGINT NOT NULL,
        CONSTRAINT pk_collaboration_words PRIMARY KEY (tenant, collaboration_id, id)
    )
    """,
)

COLUMNS: Final = {
    "agent_states": ("turn_at", "paused"),
    "assignments": ("released", "wanted"),
    "contacts": (
        "queued_at",
        "step",
        "target_kind",
        "target_until",
        "parked_until",
        "owner_id",
        "pilot",
        "flags",
        "more",
    ),
}


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.drop_table("collaboration_words")
    op.drop_table("collaborations")
    for table, columns in COLUMNS.items():
        for column in columns:
            op.drop_column(table, column)
