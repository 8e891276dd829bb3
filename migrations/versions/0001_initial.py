"""Every table of the first release."""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5
"""A change that waits for a lock makes everybody behind it wait: better it fails, and is tried again."""

STATEMENTS: Final = (
    """
    CREATE TABLE tenants (
        id TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        created_at BIGINT NOT NULL,
        jwt_secret TEXT NOT NULL,
        CONSTRAINT pk_tenants PRIMARY KEY (id),
        CONSTRAINT uq_tenants_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE tenant_heads (
        tenant TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        batch TEXT NOT NULL,
        at BIGINT NOT NULL,
        state_hash BIGINT NOT NULL,
        owner TEXT COLLATE "C",
        CONSTRAINT pk_tenant_heads PRIMARY KEY (tenant)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE processes (
        id TEXT COLLATE "C" NOT NULL,
        internal_address TEXT,
        expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
        CONSTRAINT pk_processes PRIMARY KEY (id)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE journal (
        tenant TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        type TEXT COLLATE "C" NOT NULL,
        at BIGINT NOT NULL,
        contact_id TEXT COLLATE "C",
        agent_id TEXT COLLATE "C",
        customer_id TEXT COLLATE "C",
        data JSON NOT NULL,
        version SMALLINT NOT NULL,
        CONSTRAINT pk_journal PRIMARY KEY (tenant, seq)
    )
    """,
    "CREATE INDEX ix_journal_tenant_agent_id_seq ON journal (tenant, agent_id, seq) WHERE agent_id IS NOT NULL",
    """
    CREATE TABLE contacts (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        customer_id TEXT COLLATE "C" NOT NULL,
        channel TEXT COLLATE "C" NOT NULL,
        account TEXT COLLATE "C" NOT NULL,
        created_at BIGINT NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        queue TEXT COLLATE "C" NOT NULL,
        priority BIGINT NOT NULL,
        language TEXT COLLATE "C",
        tags JSON NOT NULL,
        requirements JSON NOT NULL,
        target_agent_id TEXT COLLATE "C",
        assignment_id TEXT COLLATE "C",
        outcome TEXT COLLATE "C",
        sla_stage SMALLINT NOT NULL,
        transfers INTEGER NOT NULL,
        bars JSON NOT NULL,
        updated_at BIGINT NOT NULL,
        answered_at BIGINT,
        closed_at BIGINT,
        CONSTRAINT pk_contacts PRIMARY KEY (tenant, id)
    ) WITH (fillfactor = 70)
    """,
    (
        "CREATE INDEX ix_contacts_open ON contacts (tenant, queue, (created_at - priority * 1000), id)"
        " WHERE closed_at IS NULL"
    ),
    "CREATE INDEX ix_contacts_open_customer ON contacts (tenant, customer_id) WHERE closed_at IS NULL",
    "CREATE INDEX ix_contacts_tenant_customer_id_id ON contacts (tenant, customer_id, id)",
    """
    CREATE TABLE assignments (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        agent_id TEXT COLLATE "C" NOT NULL,
        channel TEXT COLLATE "C" NOT NULL,
        cost BIGINT NOT NULL,
        offered_at BIGINT NOT NULL,
        expires_at BIGINT NOT NULL,
        state TEXT COLLATE "C" NOT NULL,
        accepted_at BIGINT,
        ends_at BIGINT,
        outcome TEXT COLLATE "C",
        resolved BOOLEAN,
        disposition TEXT,
        ended_at BIGINT,
        CONSTRAINT pk_assignments PRIMARY KEY (tenant, id)
    ) WITH (fillfactor = 70)
    """,
    "CREATE INDEX ix_assignments_open_agent ON assignments (tenant, agent_id, id) WHERE ended_at IS NULL",
    "CREATE INDEX ix_assignments_tenant_agent_id_contact_id ON assignments (tenant, agent_id, contact_id)",
    "CREATE UNIQUE INDEX uq_assignments_open ON assignments (tenant, contact_id) WHERE ended_at IS NULL",
    """
    CREATE TABLE agent_states (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        status TEXT COLLATE "C" NOT NULL,
        reason TEXT,
        session TEXT COLLATE "C",
        lease_s BIGINT,
        grace_until BIGINT,
        idle_since BIGINT NOT NULL,
        misses INTEGER NOT NULL,
        CONSTRAINT pk_agent_states PRIMARY KEY (tenant, id)
    ) WITH (fillfactor = 50)
    """,
    """
    CREATE TABLE customers (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        created_at BIGINT NOT NULL,
        display_name TEXT,
        tier TEXT COLLATE "C",
        preferred_agent_id TEXT COLLATE "C",
        attributes JSON NOT NULL,
        tags JSON NOT NULL,
        CONSTRAINT pk_customers PRIMARY KEY (tenant, id)
    )
    """,
    """
    CREATE TABLE identities (
        tenant TEXT COLLATE "C" NOT NULL,
        customer_id TEXT COLLATE "C" NOT NULL,
        type TEXT COLLATE "C" NOT NULL,
        value TEXT COLLATE "C" NOT NULL,
        display_name TEXT,
        strong BOOLEAN NOT NULL,
        created_at BIGINT NOT NULL,
        CONSTRAINT pk_identities PRIMARY KEY (tenant, customer_id, type, value)
    )
    """,
    "CREATE INDEX ix_identities_weak ON identities (tenant, type, value) WHERE NOT strong",
    "CREATE UNIQUE INDEX uq_identities_strong ON identities (tenant, type, value) WHERE strong",
    """
    CREATE TABLE contact_facts (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        channel TEXT COLLATE "C" NOT NULL,
        account TEXT COLLATE "C" NOT NULL,
        external_id TEXT COLLATE "C",
        identity_type TEXT COLLATE "C" NOT NULL,
        identity_value TEXT COLLATE "C" NOT NULL,
        text TEXT,
        attributes JSON NOT NULL,
        CONSTRAINT pk_contact_facts PRIMARY KEY (tenant, id)
    )
    """,
    (
        "CREATE UNIQUE INDEX uq_contact_facts_external ON contact_facts (tenant, channel, account, external_id)"
        " WHERE external_id IS NOT NULL"
    ),
    """
    CREATE TABLE messages (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        customer_id TEXT COLLATE "C" NOT NULL,
        channel TEXT COLLATE "C" NOT NULL,
        account TEXT COLLATE "C" NOT NULL,
        external_id TEXT COLLATE "C",
        sender TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        text TEXT,
        payload JSON NOT NULL,
        at BIGINT NOT NULL,
        CONSTRAINT pk_messages PRIMARY KEY (tenant, id)
    )
    """,
    "CREATE INDEX ix_messages_tenant_contact_id_id ON messages (tenant, contact_id, id)",
    (
        "CREATE UNIQUE INDEX uq_messages_external ON messages (tenant, channel, account, external_id)"
        " WHERE external_id IS NOT NULL"
    ),
    """
    CREATE TABLE notes (
        tenant TEXT COLLATE "C" NOT NULL,
        assignment_id TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        text TEXT NOT NULL,
        at BIGINT NOT NULL,
        CONSTRAINT pk_notes PRIMARY KEY (tenant, assignment_id)
    )
    """,
    "CREATE INDEX ix_notes_tenant_contact_id ON notes (tenant, contact_id)",
    """
    CREATE TABLE config (
        tenant TEXT COLLATE "C" NOT NULL,
        kind TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        body JSON NOT NULL,
        CONSTRAINT pk_config PRIMARY KEY (tenant, kind, name)
    )
    """,
    """
    CREATE TABLE api_keys (
        tenant TEXT COLLATE "C" NOT NULL,
        id TEXT COLLATE "C" NOT NULL,
        hash TEXT COLLATE "C" NOT NULL,
        name TEXT NOT NULL,
        scopes JSON NOT NULL,
        created_at BIGINT NOT NULL,
        revoked_at BIGINT,
        CONSTRAINT pk_api_keys PRIMARY KEY (tenant, id),
        CONSTRAINT uq_api_keys_hash UNIQUE (hash)
    )
    """,
    """
    CREATE TABLE channel_accounts (
        tenant TEXT COLLATE "C" NOT NULL,
        name TEXT COLLATE "C" NOT NULL,
        channel TEXT COLLATE "C" NOT NULL,
        settings JSON NOT NULL,
        secrets JSON NOT NULL,
        queue TEXT COLLATE "C",
        enabled BOOLEAN NOT NULL,
        CONSTRAINT pk_channel_accounts PRIMARY KEY (tenant, name),
        CONSTRAINT uq_channel_accounts_name UNIQUE (name)
    )
    """,
    """
    CREATE TABLE traces (
        tenant TEXT COLLATE "C" NOT NULL,
        contact_id TEXT COLLATE "C" NOT NULL,
        seq BIGINT NOT NULL,
        trace JSON NOT NULL,
        CONSTRAINT pk_traces PRIMARY KEY (tenant, contact_id, seq)
    )
    """,
    """
    CREATE TABLE answers (
        tenant TEXT COLLATE "C" NOT NULL,
        scope TEXT COLLATE "C" NOT NULL,
        body_hash TEXT NOT NULL,
        status SMALLINT NOT NULL,
        body JSON NOT NULL,
        at BIGINT NOT NULL,
        CONSTRAINT pk_answers PRIMARY KEY (tenant, scope)
    )
    """,
    "CREATE INDEX ix_answers_at ON answers (at)",
)

TABLES: Final = (
    "answers",
    "traces",
    "channel_accounts",
    "api_keys",
    "config",
    "notes",
    "messages",
    "contact_facts",
    "identities",
    "customers",
    "agent_states",
    "assignments",
    "contacts",
    "journal",
    "processes",
    "tenant_heads",
    "tenants",
)


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    for table in TABLES:
        op.drop_table(table)
