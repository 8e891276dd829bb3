"""The schema, as SQLAlchemy Core metadata. Holds no statement and opens no connection.

Every key leads with `tenant`: one tenant's rows lie together, and nothing is found without naming whose it is. Times
are milliseconds since the epoch. Identifiers and keys compare byte by byte (collation C), as Python does, so that a
page of a list ends where the next begins on every server.

JSON is of type `json`, not `jsonb`, because the text comes back as it was written: the folded state's hash is over it.
Statements, too, give and take it as text: `rows.py` turns it into values and back.
"""

import re
from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    TextClause,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.types import TypeEngine

metadata: Final = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

_ROOM_FOR_UPDATES: Final = {"fillfactor": 70}
"""Rows that change soon after they were written find room on their page, and no index is touched (HOT)."""

_ROOM_FOR_MANY_UPDATES: Final = {"fillfactor": 50}

_VACUUM_FEW: Final = {"autovacuum_vacuum_scale_factor": 0, "autovacuum_vacuum_threshold": 500}
"""Few rows, each changed with every commit: what the updates leave behind is cleared away before it fills pages."""

_VACUUM_AGENTS: Final = {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_vacuum_threshold": 500}

_VACUUM_MANY: Final = {"autovacuum_vacuum_scale_factor": 0.02, "autovacuum_analyze_scale_factor": 0.02}
"""Many rows, of which the newest alone change: a fifth of all, which is PostgreSQL's own measure, would be days."""


def _key(name: str, *, nullable: bool = False) -> Column[str]:
    """An identifier, or a word that rows are found by."""
    return Column(name, Text(collation="C"), nullable=nullable)


def _text(name: str, *, nullable: bool = True) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _json(name: str, *, before: str | None = None) -> Column[str]:
    return Column(name, JSON, nullable=False, server_default=_default(before))


def _number(
    name: str, kind: type[TypeEngine[int]] = BigInteger, *, nullable: bool = False, before: str | None = None
) -> Column[int]:
    return Column(name, kind, nullable=nullable, server_default=_default(before))


def _flag(name: str, *, before: str | None = None) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default=_default(before))


def _default(before: str | None) -> TextClause | None:
    """What a column that came later says of rows from before, and of those that an older release still writes."""
    return None if before is None else text(before)


# -- whose it is, and who serves it ------------------------------------------------------------------------------------

tenants: Final = Table(
    "tenants",
    metadata,
    _key("id"),
    _key("name"),
    _number("created_at"),
    _text("jwt_secret", nullable=False),
    PrimaryKeyConstraint("id"),
    UniqueConstraint("name"),
)

tenant_heads: Final = Table(
    "tenant_heads",
    metadata,
    _key("tenant"),
    _number("seq"),
    _text("batch", nullable=False),
    _number("at"),
    _number("state_hash"),  # 64 bits, kept with a sign
    _key("owner", nullable=True),
    PrimaryKeyConstraint("tenant"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES | _VACUUM_FEW,
)

processes: Final = Table(
    "processes",
    metadata,
    _key("id"),
    _text("internal_address"),
    Column("expires_at", DateTime(timezone=True), nullable=False),  # judged by the database's clock alone
    _flag("draining", before="false"),
    _number("version", SmallInteger, before="1"),
    PrimaryKeyConstraint("id"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES | _VACUUM_FEW,
)

# -- the truth ---------------------------------------------------------------------------------------------------------

journal: Final = Table(
    "journal",
    metadata,
    _key("tenant"),
    _number("seq"),
    _key("type"),
    _number("at"),
    _key("contact_id", nullable=True),
    _key("agent_id", nullable=True),
    _key("customer_id", nullable=True),
    _json("data"),
    _number("version", SmallInteger),
    # Each partition has this key of its own: one across them would have to hold the time as well.
    PrimaryKeyConstraint("tenant", "seq").ddl_if(dialect="none"),
    Index(None, "tenant", "agent_id", "seq", postgresql_where=text("agent_id IS NOT NULL")),
    postgresql_partition_by="RANGE (at)",  # by the week: `partitions.py`
)

_PARTITION: Final = re.compile(r"journal_(before|other|\d{8})")


def is_partition(table: str) -> bool:
    """Whether a table is a part of the journal: what there is of those is no matter of the schema."""
    return _PARTITION.fullmatch(table) is not None


# What the journal added up to at the end of what was archived and dropped of it: the last of each tenant.
journal_checkpoints: Final = Table(
    "journal_checkpoints",
    metadata,
    _key("tenant"),
    _number("seq"),
    _number("at"),
    _number("state_hash"),  # 64 bits, kept with a sign
    _json("state"),
    PrimaryKeyConstraint("tenant"),
)

# -- folded: what the journal adds up to -------------------------------------------------------------------------------

contacts: Final = Table(
    "contacts",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("customer_id"),
    _key("channel"),
    _key("account"),
    _number("created_at"),
    _key("state"),
    _key("queue"),
    _number("priority"),
    _key("language", nullable=True),
    _json("tags"),
    _json("requirements"),
    _key("target_agent_id", nullable=True),
    _key("assignment_id", nullable=True),
    _key("outcome", nullable=True),
    _number("sla_stage", SmallInteger),
    _number("transfers", Integer),
    _json("bars"),
    _number("updated_at"),
    _number("answered_at", nullable=True),
    _number("closed_at", nullable=True),
    _number("queued_at", nullable=True),
    _number("step", Integer, before="0"),
    _key("target_kind", nullable=True),
    _number("target_until", nullable=True),
    _number("parked_until", nullable=True),
    _key("owner_id", nullable=True),
    _key("pilot", nullable=True),
    _json("flags", before="'[]'"),
    _json("more", before="'{}'"),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "customer_id", "id"),
    # Open contacts, queue by queue in the order in which they are served: for loading, queues and positions. `state` is
    # left out on purpose: an offer or an answer then touches no index.
    Index(
        "ix_contacts_open",
        "tenant",
        "queue",
        text("(created_at - priority * 1000)"),
        "id",
        postgresql_where=text("closed_at IS NULL"),
    ),
    Index("ix_contacts_open_customer", "tenant", "customer_id", postgresql_where=text("closed_at IS NULL")),
    Index("ix_contacts_pilot", "tenant", "pilot", "created_at", postgresql_where=text("pilot IS NOT NULL")),
    postgresql_with=_ROOM_FOR_UPDATES | _VACUUM_MANY,
)

assignments: Final = Table(
    "assignments",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("contact_id"),
    _key("agent_id"),
    _key("channel"),
    _number("cost"),
    _number("offered_at"),
    _number("expires_at"),
    _key("state"),
    _number("accepted_at", nullable=True),
    _number("ends_at", nullable=True),
    _key("outcome", nullable=True),
    Column("resolved", Boolean),
    _text("disposition"),
    _number("ended_at", nullable=True),
    _flag("released", before="false"),
    _flag("wanted", before="false"),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "agent_id", "contact_id"),
    # An agent's open ones; loading uses it as well.
    Index("ix_assignments_open_agent", "tenant", "agent_id", "id", postgresql_where=text("ended_at IS NULL")),
    # The backstop of the first promise: whatever the engine decides, a contact is with one agent at a time. Offers do
    # not count: several agents may be asked at once. A parked contact is its owner's.
    Index(
        "uq_assignments_held",
        "tenant",
        "contact_id",
        unique=True,
        postgresql_where=text("accepted_at IS NOT NULL AND ended_at IS NULL"),
    ),
    postgresql_with=_ROOM_FOR_UPDATES | _VACUUM_MANY,
)

agent_states: Final = Table(
    "agent_states",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("status"),
    _text("reason"),
    _key("session", nullable=True),
    _number("lease_s", nullable=True),
    _number("grace_until", nullable=True),
    _number("idle_since"),
    _number("misses", Integer),
    _number("turn_at", before="0"),
    _text("paused"),
    PrimaryKeyConstraint("tenant", "id"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES | _VACUUM_AGENTS,
)

collaborations: Final = Table(
    "collaborations",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("contact_id"),
    _key("kind"),
    _key("by"),
    _number("requested_at"),
    _key("state"),
    _key("department", nullable=True),
    _json("requirements"),
    _key("agent_id", nullable=True),
    _json("deadlines"),
    _number("feedback_by", nullable=True),
    _number("progress_by", nullable=True),
    _number("lead_by", nullable=True),
    _number("solution_by", nullable=True),
    _number("accepted_at", nullable=True),
    _number("answered_at", nullable=True),
    Column("approved", Boolean),
    _json("told"),
    _text("reason"),
    _number("closed_at", nullable=True),
    _number("asked_until", nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "contact_id", "id"),
    # An agent's open ones; loading uses it as well, and so do lists of what is open.
    Index("ix_collaborations_open_agent", "tenant", "agent_id", "id", postgresql_where=text("closed_at IS NULL")),
    postgresql_with=_ROOM_FOR_UPDATES,
)

# -- facts: beside the journal, in the same transaction ----------------------------------------------------------------

customers: Final = Table(
    "customers",
    metadata,
    _key("tenant"),
    _key("id"),
    _number("created_at"),
    _text("display_name"),
    _key("tier", nullable=True),
    _key("preferred_agent_id", nullable=True),
    _json("attributes"),
    _json("tags"),
    _key("survivor_id", nullable=True),
    _json("more", before="'{}'"),
    PrimaryKeyConstraint("tenant", "id"),
    # Families of merged customers: most customers have none.
    Index("ix_customers_survivor", "tenant", "survivor_id", "id", postgresql_where=text("survivor_id IS NOT NULL")),
)

identities: Final = Table(
    "identities",
    metadata,
    _key("tenant"),
    _key("customer_id"),
    _key("type"),
    _key("value"),
    _text("display_name"),
    _flag("strong"),
    _number("created_at"),
    Column("scope", Text(collation="C"), nullable=False, server_default=text("''")),
    PrimaryKeyConstraint("tenant", "customer_id", "type", "value"),
    # A backstop: a strong identity is of one customer. Weak ones are shared, and only found.
    Index("uq_identities_strong", "tenant", "type", "value", unique=True, postgresql_where=text("strong")),
    Index("ix_identities_weak", "tenant", "type", "value", postgresql_where=text("NOT strong")),
)

customer_conflicts: Final = Table(
    "customer_conflicts",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("customer_id"),
    _key("other_id"),
    _key("kind"),
    _number("at"),
    _key("contact_id", nullable=True),
    _number("settled_at", nullable=True),
    _key("settled_by", nullable=True),
    _key("verdict", nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_customer_conflicts_open", "tenant", "id", postgresql_where=text("settled_at IS NULL")),
    Index(None, "tenant", "customer_id", "id"),
    Index(None, "tenant", "other_id", "id"),
)

reviews: Final = Table(
    "reviews",
    metadata,
    _key("tenant"),
    _key("contact_id"),
    _key("kind"),
    _key("customer_id"),
    _json("tags"),
    _json("earlier"),
    _number("at"),
    _number("settled_at", nullable=True),
    _key("settled_by", nullable=True),
    _text("note"),
    PrimaryKeyConstraint("tenant", "contact_id", "kind"),
    Index("ix_reviews_open", "tenant", "contact_id", postgresql_where=text("settled_at IS NULL")),
)

ratings: Final = Table(
    "ratings",
    metadata,
    _key("tenant"),
    _key("contact_id"),
    _number("score", SmallInteger),
    _text("comment"),
    _key("by"),
    _number("at"),
    PrimaryKeyConstraint("tenant", "contact_id"),
)

# Whether the customer of a contact was to be asked how it was: `withheld` says why not.
surveys: Final = Table(
    "surveys",
    metadata,
    _key("tenant"),
    _key("contact_id"),
    _number("at"),
    _key("withheld", nullable=True),
    PrimaryKeyConstraint("tenant", "contact_id"),
)

# Customers that were erased: `done_at` null while something of them is still to be taken away.
erasures: Final = Table(
    "erasures",
    metadata,
    _key("tenant"),
    _key("customer_id"),
    _number("at"),
    _number("done_at", nullable=True),
    PrimaryKeyConstraint("tenant", "customer_id"),
    Index("ix_erasures_pending", "at", postgresql_where=text("done_at IS NULL")),
)

# How far what is kept for a while only has been taken away: each kind of data of each tenant.
retention_progress: Final = Table(
    "retention_progress",
    metadata,
    _key("tenant"),
    _key("kind"),
    _key("cursor"),
    _json("still_open"),
    _number("until"),
    _number("gone"),
    _number("swept"),
    _number("at"),
    PrimaryKeyConstraint("tenant", "kind"),
)

contact_facts: Final = Table(
    "contact_facts",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("channel"),
    _key("account"),
    _key("external_id", nullable=True),
    _key("identity_type"),
    _key("identity_value"),
    _text("text"),
    _json("attributes"),
    _key("conversation_id", nullable=True),
    _flag("outbound", before="false"),
    _key("problem", nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_contact_facts_problem", "tenant", "problem", "id", postgresql_where=text("problem IS NOT NULL")),
    Index(
        "ix_contact_facts_conversation",
        "tenant",
        "conversation_id",
        postgresql_where=text("conversation_id IS NOT NULL"),
    ),
    Index(
        "uq_contact_facts_external",
        "tenant",
        "channel",
        "account",
        "external_id",
        unique=True,
        postgresql_where=text("external_id IS NOT NULL"),
    ),
)

# Matters that many contacts have in common, and their department's answer. Which contacts: `contact_facts.problem`.
common_problems: Final = Table(
    "common_problems",
    metadata,
    _key("tenant"),
    _key("name"),
    _json("body"),
    _number("created_at"),
    _number("linked"),
    _number("first_at", nullable=True),
    _number("last_at", nullable=True),
    _number("reported_at", nullable=True),
    _json("unreported"),
    _number("solved_at", nullable=True),
    _key("solved_by", nullable=True),
    _text("note"),
    PrimaryKeyConstraint("tenant", "name"),
)

# Who is to work when: `shifts` are agents' ids, each with a time from which and one up to which; all lie between
# `from_at` and `until_at`. Routing looks at none of it.
rosters: Final = Table(
    "rosters",
    metadata,
    _key("tenant"),
    _key("name"),
    _number("from_at"),
    _number("until_at"),
    _json("shifts"),
    PrimaryKeyConstraint("tenant", "name"),
)

messages: Final = Table(
    "messages",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("contact_id"),
    _key("customer_id"),
    _key("channel"),
    _key("account"),
    _key("external_id", nullable=True),
    _key("sender"),
    _key("kind"),
    _text("text"),
    _json("payload"),
    _number("at"),
    _number("seq", before="0"),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "contact_id", "id"),
    Index(
        "uq_messages_external",
        "tenant",
        "channel",
        "account",
        "external_id",
        unique=True,
        postgresql_where=text("external_id IS NOT NULL"),
    ),
)

outgoing: Final = Table(
    "outgoing",
    metadata,
    _key("tenant"),
    _key("message_id"),
    _key("contact_id"),
    _key("channel"),
    _key("account"),
    _key("by"),
    _key("agent_id", nullable=True),
    _flag("native"),
    _number("place"),
    _number("queued_at"),
    _key("state"),
    _number("at"),
    _key("reason", nullable=True),
    _text("receipt"),
    PrimaryKeyConstraint("tenant", "message_id"),
    Index("ix_outgoing_queued", "tenant", "native", "place", postgresql_where=text("state = 'queued'")),
    postgresql_with=_VACUUM_MANY,
)

media: Final = Table(
    "media",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("contact_id"),
    _key("channel"),
    _key("account"),
    _key("kind"),
    _key("state"),
    _number("at"),
    _text("source"),
    _key("hash", nullable=True),
    _text("media_type"),
    _number("size"),
    _text("name"),
    _key("reason", nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_media_contact", "tenant", "contact_id"),
    Index("ix_media_hash", "tenant", "hash"),
    Index("ix_media_wanted", "tenant", "id", postgresql_where=text("state = 'wanted'")),
    postgresql_with=_VACUUM_MANY,
)

# What is in them, once for all that are alike. Written beside the commits, before the first that names it.
media_contents: Final = Table(
    "media_contents",
    metadata,
    _key("tenant"),
    _key("hash"),
    Column("body", LargeBinary, nullable=False),
    PrimaryKeyConstraint("tenant", "hash"),
)

# Who is about to name them; one whose time is over (`until`, in milliseconds) has them looked at.
media_holds: Final = Table(
    "media_holds",
    metadata,
    _key("tenant"),
    _key("hash"),
    _key("id"),
    _number("until"),
    PrimaryKeyConstraint("tenant", "hash", "id"),
    Index("ix_media_holds_until", "until"),
)

# Who chats on a website, and when it was last seen there: written with the contact, and by whichever process has its
# browser. `leaves`: it need not stay there.
visits: Final = Table(
    "visits",
    metadata,
    _key("tenant"),
    _key("contact_id"),
    _key("account"),
    _number("seen_at"),
    _flag("leaves", before="false"),
    PrimaryKeyConstraint("tenant", "contact_id"),
    Index(None, "tenant", "account", "seen_at"),
    postgresql_with=_ROOM_FOR_UPDATES,
)

channel_cursors: Final = Table(
    "channel_cursors",
    metadata,
    _key("tenant"),
    _key("account"),
    _key("channel"),
    _text("cursor"),
    _flag("wanted"),
    _text("token"),
    _number("at"),
    _number("calls"),
    PrimaryKeyConstraint("tenant", "account"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES,
)

notes: Final = Table(
    "notes",
    metadata,
    _key("tenant"),
    _key("assignment_id"),
    _key("contact_id"),
    _text("text", nullable=False),
    _number("at"),
    PrimaryKeyConstraint("tenant", "assignment_id"),
    Index(None, "tenant", "contact_id"),
)

remarks: Final = Table(
    "remarks",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("contact_id"),
    _text("text", nullable=False),
    _number("at"),
    PrimaryKeyConstraint("tenant", "id"),
    Index(None, "tenant", "contact_id"),
)

collaboration_words: Final = Table(
    "collaboration_words",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("collaboration_id"),
    _key("contact_id"),
    _key("author"),
    _key("kind"),
    _text("text", nullable=False),
    _number("at"),
    PrimaryKeyConstraint("tenant", "collaboration_id", "id"),
)

config: Final = Table(
    "config",
    metadata,
    _key("tenant"),
    _key("kind"),
    _key("name"),
    _json("body"),
    PrimaryKeyConstraint("tenant", "kind", "name"),
)

api_keys: Final = Table(
    "api_keys",
    metadata,
    _key("tenant"),
    _key("id"),
    _key("hash"),
    _text("name", nullable=False),
    _json("scopes"),
    _number("created_at"),
    _number("revoked_at", nullable=True),
    _key("previous_hash", nullable=True),
    _number("previous_until", nullable=True),
    _number("requests_per_s", Integer, nullable=True),
    PrimaryKeyConstraint("tenant", "id"),
    UniqueConstraint("hash"),  # a credential says which tenant it is of: found without one
    Index("uq_api_keys_previous", "previous_hash", unique=True, postgresql_where=text("previous_hash IS NOT NULL")),
)

token_trusts: Final = Table(
    "token_trusts",
    metadata,
    _key("tenant"),
    _json("body"),
    _json("secrets"),
    PrimaryKeyConstraint("tenant"),
)
"""Whose agent tokens a tenant takes; `secrets` are those that sign by HS256, by name, sealed."""

audit: Final = Table(
    "audit",
    metadata,
    _key("tenant"),
    _key("id"),
    _number("at"),
    _key("by_kind"),
    _key("by_id"),
    _key("act"),
    _key("name"),
    _json("more"),
    PrimaryKeyConstraint("tenant", "id"),
    Index("ix_audit_old", "at"),
)
"""Who changed what of configuration and credentials."""

channel_accounts: Final = Table(
    "channel_accounts",
    metadata,
    _key("tenant"),
    _key("name"),
    _key("channel"),
    _json("settings"),
    _json("secrets"),
    _key("queue", nullable=True),
    _flag("enabled"),
    PrimaryKeyConstraint("tenant", "name"),
    UniqueConstraint("name"),  # the channel's address holds no tenant
)

connectors: Final = Table(
    "connectors",
    metadata,
    _key("tenant"),
    _key("name"),
    _json("body"),
    _json("secrets"),
    PrimaryKeyConstraint("tenant", "name"),
)

webhooks: Final = Table(
    "webhooks",
    metadata,
    _key("tenant"),
    _key("name"),
    _json("body"),
    _json("secrets"),
    _number("since"),
    PrimaryKeyConstraint("tenant", "name"),
)

webhook_cursors: Final = Table(
    "webhook_cursors",
    metadata,
    _key("tenant"),
    _key("webhook"),
    _number("seq"),
    _key("failing", nullable=True),
    _number("failing_since", nullable=True),
    PrimaryKeyConstraint("tenant", "webhook"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES,
)

webhook_deliveries: Final = Table(
    "webhook_deliveries",
    metadata,
    _key("tenant"),
    _key("webhook"),
    _number("seq"),
    _key("key"),
    _key("state"),
    _number("attempts"),
    _number("since"),
    _number("at"),
    _number("due_at"),
    _key("reason", nullable=True),
    PrimaryKeyConstraint("tenant", "webhook", "seq"),
    Index(None, "tenant", "webhook", "state", "seq"),
)

# -- kept for all processes together, written by any -------------------------------------------------------------------

# What a channel's system lets us in with for a while. `made_with` says of which credentials it is.
channel_tokens: Final = Table(
    "channel_tokens",
    metadata,
    _key("tenant"),
    _key("account"),
    _text("made_with", nullable=False),
    _text("token"),  # sealed
    Column("expires_at", DateTime(timezone=True)),
    Column("renewing_until", DateTime(timezone=True)),
    PrimaryKeyConstraint("tenant", "account"),
    postgresql_with=_ROOM_FOR_MANY_UPDATES,
)

# Calls of telephone systems that keep no connection to us: what happened to them, what is to be done. No numbers, no
# names. `taken`: by the line of the tenant's owner. Ids of orders grow with time.
call_notes: Final = Table(
    "call_notes",
    metadata,
    _key("tenant"),
    _key("account"),
    _key("id"),
    _key("call_id"),
    _key("kind"),
    _number("at"),
    _key("leg_id", nullable=True),
    _key("ref", nullable=True),
    _number("cause", nullable=True),
    _flag("taken", before="false"),
    PrimaryKeyConstraint("tenant", "account", "id"),
    Index(None, "tenant", "account", "call_id"),
    Index(None, "tenant", "account", "at"),
    Index("ix_call_notes_not_taken", "tenant", "account", postgresql_where=text("NOT taken")),
    Index("ix_call_notes_coming", "tenant", "account", "call_id", postgresql_where=text("kind = 'coming'")),
    postgresql_with=_ROOM_FOR_UPDATES,
)

call_orders: Final = Table(
    "call_orders",
    metadata,
    _key("tenant"),
    _key("account"),
    _key("id"),
    _key("call_id"),
    _key("kind"),
    _number("at"),
    _key("leg_id", nullable=True),
    _json("data"),
    _flag("done", before="false"),
    PrimaryKeyConstraint("tenant", "account", "id"),
    Index(None, "tenant", "account", "call_id"),
    Index(None, "tenant", "account", "at"),
    Index("ix_call_orders_not_done", "tenant", "account", "id", postgresql_where=text("NOT done")),
    postgresql_with=_ROOM_FOR_UPDATES,
)

traces: Final = Table(
    "traces",
    metadata,
    _key("tenant"),
    _key("contact_id"),
    _number("seq"),
    _json("trace"),
    PrimaryKeyConstraint("tenant", "contact_id", "seq"),
)

answers: Final = Table(
    "answers",
    metadata,
    _key("tenant"),
    _key("scope"),
    _text("body_hash", nullable=False),
    _number("status", SmallInteger),
    _json("body"),
    _number("at"),
    PrimaryKeyConstraint("tenant", "scope"),
    Index(None, "at"),
    postgresql_with={"autovacuum_vacuum_scale_factor": 0.05, "autovacuum_analyze_scale_factor": 0.05},
)
