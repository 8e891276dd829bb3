"""The text of the statements that the dispatch room needs, made from the schema. Runs none of them.

The commit of a batch and the lookup before it are one statement each, which holds only the parts there is something
for: one round trip, and what is not written costs nothing. The texts are few and are kept, and with them their plans.

Rows and keys travel as JSON, one parameter to a table: an array of arrays, taken apart by place. It costs the service
a quarter of the processor that arrays for `unnest` cost it, and the server no more (docs/decisions/0003-store.md).
"""

# ruff: noqa: S608 - made of the names in the schema alone: values are parameters

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlalchemy import BigInteger, Boolean, Column, Integer, SmallInteger, Table, Text
from sqlalchemy.dialects.postgresql import JSON

from src.dispatch.known import LATELY_CONTACTS_MAX, RECENT_CONTACTS_MAX
from src.router.folds import FLAGGED_CALLBACK
from src.store import tables
from src.store.writes import SECTIONS, Section

_TYPES: Final = {
    BigInteger: "bigint",
    Boolean: "boolean",
    Integer: "integer",
    SmallInteger: "smallint",
    JSON: "json",
}
"""Types of columns that are not text."""


def columns(table: Table) -> list[Column[object]]:
    """The columns but the tenant, in the order of a row."""
    return [each for each in table.columns if each.name != "tenant"]


def keys(table: Table) -> list[Column[object]]:
    """The primary key but the tenant."""
    return [each for each in table.primary_key.columns if each.name != "tenant"]


def names(these: Sequence[Column[object]], prefix: str = "") -> str:
    """Column names for a statement."""
    return ", ".join(f"{prefix}{each.name}" for each in these)


def values(these: Sequence[Column[object]], array: str) -> list[str]:
    """The elements of a JSON array as values of these columns."""
    typed = ((place, _TYPES.get(type(each.type))) for place, each in enumerate(these))
    return [f"({array}->>{place})::{kind}" if kind else f"{array}->>{place}" for place, kind in typed]


# -- reading -----------------------------------------------------------------------------------------------------------


def _rows_of(table: Table) -> str:
    return f"SELECT {names(columns(table))} FROM {table.name} WHERE tenant = $1"


FIRST_KEY: Final = columns(tables.api_keys)[:5]
"""What there is to say of a tenant's first key: it is neither revoked nor rotated nor limited."""

TENANT: Final = f"""\
WITH made AS (
  INSERT INTO tenants (id, name, created_at, jwt_secret)
  VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, $3)
  ON CONFLICT (name) DO NOTHING RETURNING id
), first_key AS (
  INSERT INTO api_keys (tenant, {names(FIRST_KEY)})
  SELECT id, $4, $5, $6, $7::json, $8 FROM made WHERE $4::text IS NOT NULL
)
INSERT INTO tenant_heads (tenant, seq, batch, at, state_hash) SELECT id, 0, '', 0, 0 FROM made RETURNING tenant"""

HEAD: Final = "SELECT seq, batch, at, state_hash FROM tenant_heads WHERE tenant = $1"
EVENTS: Final = f"{_rows_of(tables.journal)} AND seq > $2 ORDER BY seq LIMIT $3"
EVENTS_OF_AGENT: Final = f"{_rows_of(tables.journal)} AND seq > $2 AND agent_id = $4 ORDER BY seq LIMIT $3"

OUTGOING: Final = f"""\
SELECT {names(columns(tables.outgoing), "each.")}, {names(columns(tables.messages), "said.")},
  fact.identity_type, fact.identity_value, fact.external_id
FROM outgoing AS each
JOIN messages AS said ON said.tenant = each.tenant AND said.id = each.message_id
LEFT JOIN contact_facts AS fact ON fact.tenant = each.tenant AND fact.id = each.contact_id
WHERE each.tenant = $1 AND each.native = $2 AND each.place > $3 AND each.state = 'queued'
  AND ($5::text IS NULL OR each.channel = $5)
ORDER BY each.place LIMIT $4"""

WANTED_MEDIA: Final = f"{_rows_of(tables.media)} AND state = 'wanted' AND id > $2 ORDER BY id LIMIT $3"

WANTED_CURSORS: Final = f"{_rows_of(tables.channel_cursors)} AND wanted"

CHECKPOINT: Final = "SELECT seq, at, state_hash, state FROM journal_checkpoints WHERE tenant = $1"
DROPPED: Final = "SELECT seq FROM journal_checkpoints WHERE tenant = $1"
PUT_CHECKPOINT: Final = """\
INSERT INTO journal_checkpoints (tenant, seq, at, state_hash, state) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant) DO UPDATE
  SET seq = excluded.seq, at = excluded.at, state_hash = excluded.state_hash, state = excluded.state"""

FORGET_TRACES: Final = """\
DELETE FROM traces WHERE ctid = ANY (ARRAY(
  SELECT ctid FROM traces WHERE tenant = $1 AND contact_id < $2 AND seq <= $3 LIMIT $4))
RETURNING seq"""


def events_in(partition: str) -> str:
    """`EVENTS`, of one partition of the journal."""
    return EVENTS.replace("FROM journal ", f"FROM {partition} ")


YOUNG: Final = """\
SELECT relname FROM pg_class
WHERE relnamespace = current_schema()::regnamespace AND relname = ANY ($1::text[]) AND reltuples < $2"""

FORGET: Final = """\
DELETE FROM answers WHERE ctid = ANY (ARRAY(SELECT ctid FROM answers WHERE at < $1 ORDER BY at LIMIT $2))
RETURNING at"""

FORGET_AUDIT: Final = """\
DELETE FROM audit WHERE ctid = ANY (ARRAY(SELECT ctid FROM audit WHERE at < $1 ORDER BY at LIMIT $2))
RETURNING at"""

_OPEN: Final = {
    "contacts": " AND closed_at IS NULL",
    "assignments": " AND ended_at IS NULL",
    "collaborations": " AND closed_at IS NULL",
}


def loading(table: Table) -> str:
    """The rows of a tenant that its engine needs: of contacts, assignments and collaborations the open ones."""
    return _rows_of(table) + _OPEN.get(table.name, "")


@cache
def repeating(table: Table) -> tuple[int, ...]:
    """Where a row holds text that many rows share: everything but ids."""
    texts = (place for place, each in enumerate(columns(table)) if isinstance(each.type, Text | JSON))
    return tuple(each for each in texts if not columns(table)[each].name.endswith("id"))


# -- who serves a tenant -----------------------------------------------------------------------------------------------

RENEW: Final = """\
WITH before AS (SELECT expires_at FROM processes WHERE id = $1)
INSERT INTO processes (id, expires_at, internal_address, version)
VALUES ($1, clock_timestamp() + make_interval(secs => $2), $3, $4)
ON CONFLICT (id) DO UPDATE
  SET expires_at = excluded.expires_at, internal_address = excluded.internal_address, version = excluded.version
RETURNING coalesce((SELECT expires_at > clock_timestamp() FROM before), false)"""
"""Its value: whether the lease still ran."""

DRAIN: Final = "UPDATE processes SET draining = true WHERE id = $1"

_LIVE: Final = "expires_at > clock_timestamp()"

CLAIM: Final = """\
UPDATE tenant_heads SET owner = $1 WHERE tenant = $2
  AND EXISTS (SELECT FROM processes WHERE id = $1 AND expires_at > clock_timestamp())
  AND (owner IS NULL OR owner = $1
    OR NOT EXISTS (SELECT FROM processes WHERE id = owner AND expires_at > clock_timestamp()))
RETURNING tenant"""

HAND: Final = f"""\
UPDATE tenant_heads SET owner = $3 WHERE tenant = $2 AND owner = $1
  AND ($3::text IS NULL OR EXISTS (SELECT FROM processes WHERE id = $3 AND NOT draining AND {_LIVE}))
RETURNING tenant"""

WHO_SERVES: Final = f"""\
SELECT id, internal_address, draining, version
FROM tenant_heads JOIN processes ON id = owner WHERE tenant = $1 AND {_LIVE}"""

LIVE: Final = f"SELECT id, internal_address, draining, version FROM processes WHERE {_LIVE} ORDER BY id"

OWNERS: Final = "SELECT tenant, owner FROM tenant_heads ORDER BY tenant"

RELEASE: Final = "DELETE FROM processes WHERE id = $1"

BURY: Final = "DELETE FROM processes WHERE expires_at < clock_timestamp() - make_interval(secs => $1)"

HEADS: Final = "SELECT tenant, seq FROM tenant_heads WHERE tenant = ANY($1::text[])"

WEBHOOKS: Final = f"""\
SELECT {", ".join(f"webhooks.{each.name}" for each in columns(tables.webhooks))},
  cursor.seq, cursor.failing, cursor.failing_since
FROM webhooks JOIN webhook_cursors AS cursor ON cursor.tenant = webhooks.tenant AND cursor.webhook = webhooks.name
WHERE webhooks.tenant = $1 ORDER BY webhooks.name"""

DELIVERIES: Final = f"""\
SELECT {names(columns(tables.webhook_deliveries))} FROM webhook_deliveries
WHERE tenant = $1 AND webhook = $2 AND state = $3 AND seq > $4 ORDER BY seq LIMIT $5"""

FORGET_DELIVERIES: Final = """\
DELETE FROM webhook_deliveries WHERE ctid IN (
  SELECT each.ctid FROM webhook_deliveries AS each
  LEFT JOIN webhooks ON webhooks.tenant = each.tenant AND webhooks.name = each.webhook
  WHERE webhooks.name IS NULL OR each.seq <= webhooks.since OR (each.state = 'dead' AND each.at < $1) LIMIT $2)
RETURNING 1"""
"""What is left of webhooks that were removed, and what was given up before a time."""

# -- the commit --------------------------------------------------------------------------------------------------------

_FENCE: Final = """\
head AS (
  UPDATE tenant_heads SET seq = $3, batch = $4, at = $5, state_hash = $6 WHERE tenant = $1 AND seq = $2 RETURNING tenant
)"""
_FENCE_PARAMETERS: Final = 6


@cache
def commit(present: tuple[int, ...]) -> str:
    """The statement that commits the sections of these numbers; its one value is 1, or 0 where the fence held.

    Parameters: tenant, number before; seq, batch, at, state_hash of the new head; then the rows of each section, as
    JSON. The sections draw on the fence's row: without it they write nothing.
    """
    parts = [_FENCE]
    for parameter, number in enumerate(present, _FENCE_PARAMETERS + 1):
        parts.append(f"part{number} AS (\n{_section(SECTIONS[number], parameter)}\n)")
    return f"WITH {', '.join(parts)}\nSELECT count(*) FROM head"


def _section(section: Section, parameter: int) -> str:
    table = section.table
    used = keys(table) if section.verb == "remove" else columns(table)
    source = f"head, jsonb_array_elements(${parameter}) AS new"
    if section.verb == "remove":
        pairs = zip(used, values(used, "new"), strict=True)
        same = " AND ".join(f"stored.{each.name} = {value}" for each, value in pairs)
        return (
            f"  DELETE FROM {table.name} AS old USING {source}, {_each(table, 'ctid', 'head.tenant', same)}\n"
            "  WHERE old.ctid = found.ctid"
        )
    text = (
        f"  INSERT INTO {table.name} (tenant, {names(used)})\n"
        f"  SELECT head.tenant, {', '.join(values(used, 'new'))} FROM {source}"
    )
    if section.verb == "put":
        sets = ", ".join(f"{each.name} = excluded.{each.name}" for each in _changed(section, used))
        text += f"\n  ON CONFLICT ({names(list(table.primary_key.columns))}) DO UPDATE SET {sets}"
    return text


def _changed(section: Section, used: Sequence[Column[object]]) -> list[Column[object]]:
    return [each for each in used if (each.name in section.changes if section.changes else not each.primary_key)]


def _each(table: Table, wanted: str, tenant: str, same: str, only: str = "true") -> str:
    """The stored row of each key, as `found`.

    `OFFSET 0` keeps PostgreSQL from turning it round, to look at all rows of the tenant and ask of each whether it is
    wanted: on tables that were empty when the plan was made, that looked cheaper.
    """
    return (
        f"LATERAL (SELECT {wanted} FROM {table.name} AS stored\n"
        f"    WHERE stored.tenant = {tenant} AND {same} AND {only} OFFSET 0) AS found"
    )


# -- the lookup --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Sought:
    """Rows of one table that a lookup finds by `key`: given, or named by a column of what it has found before."""

    name: str
    table: Table
    key: tuple[str, ...]
    follows: tuple[tuple[str, str], ...] = ()
    only: str = "true"


SOUGHT: Final = (
    Sought("identities", tables.identities, ("type", "value"), only="stored.strong"),
    Sought("external_contacts", tables.contact_facts, ("channel", "account", "external_id")),
    Sought("external_messages", tables.messages, ("channel", "account", "external_id")),
    Sought("contacts", tables.contacts, ("id",)),
    Sought("facts", tables.contact_facts, ("id",), (("contacts", "id"),)),
    Sought("assignments", tables.assignments, ("id",), (("contacts", "assignment_id"),)),
    Sought("customers", tables.customers, ("id",), (("contacts", "customer_id"), ("identities", "customer_id"))),
    Sought("family", tables.customers, ("survivor_id",), (("customers", "survivor_id"),)),
    Sought("held", tables.identities, ("customer_id",), (("customers", "id"), ("family", "id"))),
    Sought("collaborations", tables.collaborations, ("id",)),
    Sought("remarks", tables.remarks, ("id",), (("assignments", "disposition"), ("collaborations", "reason"))),
    Sought("conflicts", tables.customer_conflicts, ("id",)),
    Sought("reviews", tables.reviews, ("contact_id", "kind")),
    Sought("surveys", tables.surveys, ("contact_id",)),
    Sought("problems", tables.common_problems, ("name",)),
    Sought("rosters", tables.rosters, ("name",)),
    Sought("linked", tables.contact_facts, ("id",), only="stored.problem IS NOT NULL"),
    Sought("messages", tables.messages, ("id",)),
    Sought("outgoing", tables.outgoing, ("message_id",), (("messages", "id"),)),
    Sought("media", tables.media, ("id",)),
    Sought("cursors", tables.channel_cursors, ("account",)),
    Sought("config", tables.config, ("kind", "name")),
    Sought("accounts", tables.channel_accounts, ("name",)),
    Sought("connectors", tables.connectors, ("name",)),
    Sought("token_trusts", tables.token_trusts, ("tenant",)),
    Sought("api_keys", tables.api_keys, ("id",)),
    Sought("webhooks", tables.webhooks, ("name",)),
    Sought("answers", tables.answers, ("scope",)),
)
"""What can be looked up, by the names of `Known`. Those that have a name in `Wanted` may be given keys."""


def _same(sought: Sought) -> str:
    return " AND ".join(f"stored.{each} = key.{each}" for each in sought.key)


_RECENT: Final = f"""\
found_recent AS MATERIALIZED (
  SELECT key.customer_id, found.contacts FROM ({{whose}} UNION SELECT id FROM found_family) AS key (customer_id),
  LATERAL (SELECT json_agg(json_build_array(
      newest.id, newest.created_at, tags, closed_at, more->>'previous_agent_id', held.agent_id, held.accepted_at,
      channel, outcome, said.conversation_id, said.identity_type, said.identity_value)) AS contacts
    FROM (SELECT id, created_at, tags, closed_at, more, assignment_id, channel, outcome FROM contacts AS stored
      WHERE stored.tenant = $1 AND stored.customer_id BETWEEN key.customer_id AND key.customer_id
      ORDER BY stored.customer_id DESC, stored.id DESC LIMIT {RECENT_CONTACTS_MAX}) AS newest
    LEFT JOIN LATERAL (SELECT agent_id, accepted_at FROM assignments AS stored
      WHERE stored.tenant = $1 AND stored.id BETWEEN newest.assignment_id AND newest.assignment_id
      ORDER BY stored.id LIMIT 1) AS held ON true
    LEFT JOIN LATERAL (SELECT conversation_id, identity_type, identity_value FROM contact_facts AS stored
      WHERE stored.tenant = $1 AND stored.id BETWEEN newest.id AND newest.id
      ORDER BY stored.id LIMIT 1) AS said ON newest.closed_at IS NULL
    WHERE newest.created_at >= {{since}}) AS found
)"""
"""The newest contacts of the customers found by identity, or of all found where no identity is wanted, and of their
families: for each customer an array of what `reading.recent` reads.

`BETWEEN`, and the orders, leave PostgreSQL the one index that has the rows in this order. With `=` it may as well go
through all rows of the tenant: on tables that were empty when the plan was made, that looked as cheap.
"""


_LATELY: Final = f"""\
found_lately AS MATERIALIZED (
  SELECT key.customer_id, found.contacts FROM (SELECT id FROM found_customers UNION SELECT id FROM found_family)
    AS key (customer_id),
  LATERAL (SELECT json_agg(json_build_array(newest.id, newest.created_at, newest.tags)) AS contacts
    FROM (SELECT id, created_at, tags FROM contacts AS stored
      WHERE stored.tenant = $1 AND stored.customer_id BETWEEN key.customer_id AND key.customer_id
      ORDER BY stored.customer_id DESC, stored.id DESC LIMIT {LATELY_CONTACTS_MAX}) AS newest
    WHERE newest.created_at >= {{since}}) AS found
)"""
"""Of more contacts the tags alone: for each customer found an array of what `reading.lately` reads."""


_OUTREACH: Final = f"""\
found_outreach AS MATERIALIZED (
  SELECT key.customer_id, found.moments FROM (SELECT id FROM found_customers UNION SELECT id FROM found_family)
    AS key (customer_id),
  LATERAL (SELECT json_agg(begun.at) AS moments
    FROM (SELECT id, created_at, answered_at, flags::jsonb ? '{FLAGGED_CALLBACK}' AS back FROM contacts AS stored
      WHERE stored.tenant = $1 AND stored.customer_id BETWEEN key.customer_id AND key.customer_id
      ORDER BY stored.customer_id DESC, stored.id DESC LIMIT {LATELY_CONTACTS_MAX}) AS newest
    LEFT JOIN LATERAL (SELECT outbound FROM contact_facts AS stored
      WHERE stored.tenant = $1 AND stored.id BETWEEN newest.id AND newest.id
      ORDER BY stored.id LIMIT 1) AS said ON true
    LEFT JOIN LATERAL (SELECT at FROM surveys AS stored
      WHERE stored.tenant = $1 AND stored.contact_id BETWEEN newest.id AND newest.id AND stored.withheld IS NULL
      ORDER BY stored.contact_id LIMIT 1) AS asked ON true,
    LATERAL (VALUES (CASE WHEN newest.back THEN newest.answered_at WHEN said.outbound THEN newest.created_at END),
      (asked.at)) AS begun (at)
    WHERE begun.at IS NOT NULL) AS found
)"""
"""When each customer found was turned to unasked: an array of what `reading.outreach` reads."""


@cache
def lookup(
    wanted: frozenset[str], *, recent: bool = False, lately: bool = False, outreach: bool = False, whole: bool = False
) -> tuple[str, tuple[str, ...]]:
    """The statement that finds what is wanted, and the names of its columns: each an array of records, or null.

    Parameters: tenant; then the keys of each wanted name in the order of `SOUGHT`, as JSON; with `recent`, which
    follows customers, since when, and so with `lately`. `outreach`: with the moments at which these were turned to.
    `whole`: with every identity of these.
    """
    parts: dict[str, str] = {}
    given: list[str] = []
    for sought in SOUGHT:
        sources = [
            f'SELECT {column} COLLATE "C" FROM found_{other}' for other, column in sought.follows if other in parts
        ]
        if sought.name in wanted:
            key = values([sought.table.columns[each] for each in sought.key], "given")
            sources.append(f"SELECT {', '.join(key)} FROM jsonb_array_elements(${len(given) + 2}) AS given")
            given.append(sought.name)
        if sources and (whole or sought.name != "held"):
            parts[sought.name] = (
                f"found_{sought.name} AS MATERIALIZED (\n"
                f"  SELECT found.* FROM ({' UNION '.join(sources)}) AS key ({', '.join(sought.key)}),\n"
                f"  {_each(sought.table, names(columns(sought.table)), '$1', _same(sought), sought.only)}\n)"
            )
    texts = list(parts.values())
    if recent and "customers" in parts:
        parts["recent"] = ""
        by_identity = "identities" in parts
        whose = "SELECT customer_id FROM found_identities" if by_identity else "SELECT id FROM found_customers"
        texts.append(_RECENT.format(since=f"${len(given) + 2}", whose=whose))
    if lately and "customers" in parts:
        parts["lately"] = ""
        texts.append(_LATELY.format(since=f"${len(given) + 2 + recent}"))
    if outreach and "customers" in parts:
        parts["outreach"] = ""
        texts.append(_OUTREACH)
    answers = ",\n".join(f"(SELECT array_agg(each) FROM found_{each} AS each)" for each in parts)
    return f"WITH {', '.join(texts)}\nSELECT {answers}", tuple(parts)
