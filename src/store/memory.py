"""The store in memory: the same fence, keys and refusals as on PostgreSQL, and nothing kept.

For simulations, where a thousand restarts of the service must cost nothing. Keys, unique indexes and what a column may
hold are taken from the schema, so that there is one truth about them.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Final

from sqlalchemy import BigInteger, Integer, SmallInteger, Table, UniqueConstraint

from src.dispatch.clock import new_id
from src.dispatch.facts import CursorFact, DeliveryFact, KeyFact, MediaFact, WebhookCursor, WebhookFact
from src.dispatch.known import LATELY_CONTACTS_MAX, RECENT_CONTACTS_MAX, Known, Wanted
from src.dispatch.ports import Batch, Checkpoint, Clock, Head, Loaded, Outgoing, Process, Survey
from src.errors import Conflict, Fenced, NotFound, StoreRejected
from src.router.entities import Row
from src.router.folds import FLAGGED_CALLBACK
from src.router.journal import Event
from src.store import rows
from src.store.reading import lately, outreach, put, recent
from src.store.statements import SOUGHT, Sought
from src.store.tables import api_keys, contacts, metadata
from src.store.writes import SECTIONS, Section, sectioned

Key = tuple[Any, ...]

_BITS: Final = {BigInteger: 64, Integer: 32, SmallInteger: 16}
_CONDITION: Final = re.compile(r"(?P<column>\w+)(?P<null> IS (?P<held>NOT )?NULL)?")


_TO_WHOM: Final = ("identity_type", "identity_value", "external_id")


class _Table:
    """Rows by primary key, with the unique indexes of the schema. A row begins with the tenant here."""

    def __init__(self, table: Table) -> None:
        self.name = table.name
        self.rows: dict[Key, Row] = {}
        self.places = {each.name: place for place, each in enumerate(table.columns)}
        self._key = [self.places[each.name] for each in table.primary_key.columns]
        self._required = [self.places[each.name] for each in table.columns if not each.nullable]
        self._bits = {
            self.places[each.name]: _BITS[kind] for each in table.columns if (kind := type(each.type)) in _BITS
        }
        self.uniques = list(self._uniques(table))

    def _uniques(self, table: Table) -> "Iterator[_Unique]":
        for index in table.indexes:
            if index.unique:
                where = str(index.dialect_options["postgresql"]["where"])
                yield _Unique([self.places[each.name] for each in index.columns], self._condition(where))
        for constraint in table.constraints:
            if isinstance(constraint, UniqueConstraint):
                yield _Unique([self.places[each.name] for each in constraint.columns], lambda _: True)

    def _condition(self, where: str) -> Callable[[Row], bool]:
        """What a partial index says of its rows: columns that are true, null or not null."""
        conditions = [self.one_condition(each) for each in where.split(" AND ")]
        return lambda row: all(holds(row) for holds in conditions)

    def one_condition(self, where: str) -> Callable[[Row], bool]:
        """A column that is true, null or not null."""
        found = _CONDITION.fullmatch(where)
        assert found, f"{self.name}: an index with a condition that is not understood: {where}"
        place = self.places[found["column"]]
        if found["null"] is None:
            return lambda row: bool(row[place])
        absent = found["held"] is None
        return lambda row: (row[place] is None) == absent

    def key(self, row: Row) -> Key:
        """Where the row lies."""
        return tuple(row[each] for each in self._key)

    def change(self, key: Key, row: Row | None) -> Row | None:
        """Put a row, or remove it; returns what was there before.

        Raises:
            StoreRejected: another row has a key that must be unique; nothing has changed.
        """
        old = self.rows.get(key)
        claims = [each.claim(row) for each in self.uniques]
        for unique, claim in zip(self.uniques, claims, strict=True):
            if claim is not None and unique.held.get(claim, key) != key:
                raise StoreRejected(f"{self.name}: a row with the same key is there")
        for unique, claim in zip(self.uniques, claims, strict=True):
            former = unique.claim(old)
            if former is not None:
                del unique.held[former]
            if claim is not None:
                unique.held[claim] = key
        if row is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = row
        return old

    def check(self, row: Row) -> None:
        """Refuse what PostgreSQL cannot hold."""
        for place in self._required:
            if row[place] is None:
                raise StoreRejected(f"{self.name}: a value is missing")
        for place, bits in self._bits.items():
            value = row[place]
            if value is not None and not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
                raise StoreRejected(f"{self.name}: a number is out of range")
        if any(isinstance(each, str) and "\0" in each for each in row):
            raise StoreRejected(f"{self.name}: a text holds NUL")


@dataclass(slots=True)
class _Unique:
    """A unique index: places of its columns, and the rows that it holds for; which key has which row."""

    columns: list[int]
    only: Callable[[Row], bool]
    held: dict[Key, Key] = field(default_factory=dict)

    def claim(self, row: Row | None) -> Key | None:
        """The row's key in this index, None if it has none."""
        return tuple(row[each] for each in self.columns) if row is not None and self.only(row) else None


_Done = tuple[_Table, Key, Row | None]
"""A row that was changed: its table, its key, and what was there before."""


class MemoryStore:
    """`Store` and `Leases` in this process. `clock` times the leases."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._tables = {name: _Table(table) for name, table in metadata.tables.items()}
        self._tenants: dict[str, str] = {}
        self._heads: dict[str, Head] = {}
        self._owners: dict[str, str | None] = {}
        self._lease_until: dict[str, float] = {}
        self._processes: dict[str, Process] = {}
        self._contacts_of: dict[Key, dict[Key, None]] = defaultdict(dict)

    async def create_tenant(self, name: str, jwt_secret: str, key: KeyFact | None = None) -> str:  # noqa: ARG002 - nobody reads it here
        """Make a tenant with an empty journal, and return its id. `key` is its first API key.

        Raises:
            Conflict: there is one of that name.
        """
        if name in self._tenants:
            raise Conflict(f"there is a tenant {name} already")
        tenant = new_id()
        if key is not None:
            self._write(Section(api_keys, "put"), (tenant, *rows.key_row(key)), [])
        self._tenants[name] = tenant
        self._heads[tenant] = Head(0, "", 0, 0)
        return tenant

    # -- the store ----------------------------------------------------------------------------------------------

    async def head(self, tenant: str) -> Head:
        """The head row as committed. Raises `NotFound` for a tenant that is not there."""
        head = self._heads.get(tenant)
        if head is None:
            raise NotFound("there is no such tenant")
        return head

    async def load(self, tenant: str) -> Loaded:
        """Everything an engine is made of."""
        head = await self.head(tenant)
        return Loaded(
            head=head,
            contacts=self._of(tenant, "contacts", "closed_at"),
            assignments=self._of(tenant, "assignments", "ended_at"),
            agents=self._of(tenant, "agent_states"),
            config=[rows.config_from(each) for each in self._of(tenant, "config")],
            collaborations=self._of(tenant, "collaborations", "closed_at"),
        )

    async def lookup(self, tenant: str, wanted: Wanted) -> Known:
        """What is there of what is wanted.

        Raises:
            StoreRejected: a key that no row could have: it holds NUL, or half a character.
        """
        known = Known()
        keys = [key for each in wanted.keys().values() for key in each]
        rows.dump(keys)
        if any("\0" in part for key in keys for part in (key if isinstance(key, tuple) else (key,))):
            raise StoreRejected("a key holds NUL")
        found: dict[str, list[Row]] = {}
        for sought in SOUGHT:
            given = getattr(wanted, sought.name, ())
            asked = {(tenant, *each) if len(sought.key) > 1 else (tenant, each) for each in given}
            for other, column in sought.follows:
                place = self._tables[_table(other)].places[column]
                asked |= {(tenant, each[place]) for each in found.get(other, ()) if each[place] is not None}
            if sought.name == "held" and not wanted.whole:
                continue
            found[sought.name] = [row for key in asked for row in self._find(sought, key)]
            put(known, sought.name, [row[1:] for row in found[sought.name]])
        if wanted.recent_since is not None:
            customers = set(known.identities.values()) if wanted.identities else set(known.customers)
            customers.update(*known.families.values())
            known.recent = recent(self._recent(tenant, customers, wanted.recent_since))
        if wanted.lately_since is not None:
            known.lately = lately(self._lately(tenant, known.customers, wanted.lately_since))
        if wanted.outreach:
            known.outreach = outreach(self._outreach(tenant, known.customers))
        return known

    async def commit(self, batch: Batch) -> None:
        """Write the batch, all of it or nothing.

        Raises:
            Fenced: the head is not at `batch.before`.
            StoreRejected: the data breaks a constraint or cannot be stored; nothing was written.
        """
        sections = sectioned(batch)
        head = self._heads.get(batch.tenant)
        if head is None or head.seq != batch.before:
            raise Fenced("another process took this tenant over")
        done: list[_Done] = []
        try:
            for section, written in zip(SECTIONS, sections, strict=True):
                rows.dump(written)
                for row in written:
                    self._write(section, (batch.tenant, *row), done)
        except StoreRejected:
            for table, key, old in reversed(done):
                table.change(key, old)
            raise
        self._heads[batch.tenant] = batch.head

    async def outgoing(
        self, tenant: str, after: int, limit: int, *, native: bool, channel: str | None = None
    ) -> Sequence[Outgoing]:
        """Messages that wait to be sent, in order, after a place."""
        facts = sorted(map(rows.outgoing_from, self._of(tenant, "outgoing")), key=lambda each: each.place)
        said, about = self._tables["messages"].rows, self._tables["contact_facts"]
        found: list[Outgoing] = []
        for fact in facts:
            message = said.get((tenant, fact.message_id))
            asked = fact.state == "queued" and fact.native == native and fact.place > after
            if asked and message is not None and channel in (None, fact.channel):
                row = about.rows.get((tenant, fact.contact_id))
                whose = [None if row is None else row[about.places[each]] for each in _TO_WHOM]
                found.append(Outgoing(fact, rows.message_from(message[1:]), *whose))
        return found[:limit]

    async def wanted_media(self, tenant: str, after: str, limit: int) -> Sequence[MediaFact]:
        """Media that are still to be fetched, by id, after one of these."""
        facts = sorted(map(rows.media_from, self._of(tenant, "media")), key=lambda each: each.id)
        return [each for each in facts if each.state == "wanted" and each.id > after][:limit]

    async def wanted_cursors(self, tenant: str) -> Sequence[CursorFact]:
        """Accounts of channels that say that there is something to be asked for."""
        return [each for each in map(rows.cursor_from, self._of(tenant, "channel_cursors")) if each.wanted]

    async def webhooks(self, tenant: str) -> Sequence[tuple[WebhookFact, WebhookCursor]]:
        """The tenant's webhooks by name, and how far each has come."""
        found = sorted(map(rows.webhook_from, self._of(tenant, "webhooks")), key=lambda each: each.name)
        cursors = {row[0]: WebhookCursor(*row) for row in self._of(tenant, "webhook_cursors")}
        return [(each, cursors[each.name]) for each in found]

    async def deliveries(self, tenant: str, webhook: str, state: str, after: int, limit: int) -> Sequence[DeliveryFact]:
        """What a webhook has not taken and is in this state, by number."""
        found = sorted(map(rows.delivery_from, self._of(tenant, "webhook_deliveries")), key=lambda each: each.seq)
        mine = [each for each in found if each.webhook == webhook and each.state == state and each.seq > after]
        return mine[:limit]

    async def checkpoint(self, tenant: str) -> Checkpoint | None:  # noqa: ARG002 - nothing is ever dropped here
        """None: the whole journal is kept."""
        return None

    async def dropped(self, tenant: str) -> int:  # noqa: ARG002 - nothing is ever dropped here
        """Nothing is."""
        return 0

    async def heads(self, tenants: Sequence[str]) -> Mapping[str, int]:
        """The last number of each of these tenants' journals."""
        return {each: self._heads[each].seq for each in tenants if each in self._heads}

    async def events(self, tenant: str, after: int, limit: int, *, agent_id: str | None = None) -> Sequence[Event]:
        """The journal after a number, in order; only one agent's, if asked."""
        journal, seq = self._tables["journal"].rows, after + 1
        found: list[Event] = []
        while len(found) < limit and (row := journal.get((tenant, seq))) is not None:
            event = rows.event_from(row[1:])
            if agent_id in (None, event.agent_id):
                found.append(event)
            seq += 1
        return found

    # -- leases -------------------------------------------------------------------------------------------------

    async def renew(self, process: str, lease_s: float, address: str | None = None, version: int = 1) -> bool:
        """Say that the process lives, for so many seconds from now."""
        ran = self._lives(process)
        before = self._processes.get(process)
        self._processes[process] = Process(process, address, before is not None and before.draining, version)
        self._lease_until[process] = self._clock.monotonic() + lease_s
        return ran

    async def drain(self, process: str) -> None:
        """Say that the process is about to leave."""
        if process in self._processes:
            self._processes[process] = replace(self._processes[process], draining=True)

    async def claim(self, process: str, tenant: str) -> bool:
        """Take a tenant that nobody serves, or whose process has lapsed. A process that has lapsed gets none."""
        owner = self._owners.get(tenant)
        if (
            tenant not in self._heads
            or not self._lives(process)
            or (owner not in (None, process) and self._lives(owner))
        ):
            return False
        self._owners[tenant] = process
        return True

    async def hand(self, process: str, tenant: str, successor: str | None) -> bool:
        """Give a tenant to another process that lives and stays, or to nobody."""
        if self._owners.get(tenant) != process:
            return False
        if successor is not None and (not self._lives(successor) or self._processes[successor].draining):
            return False
        self._owners[tenant] = successor
        return True

    async def who_serves(self, tenant: str) -> Process | None:
        """The process that has the tenant, if it lives."""
        owner = self._owners.get(tenant)
        return self._processes[owner] if owner is not None and self._lives(owner) else None

    async def survey(self) -> Survey:
        """Every process that lives, and who has which tenant."""
        live = {name: each for name, each in sorted(self._processes.items()) if self._lives(name)}
        return Survey(live, {tenant: self._owners.get(tenant) for tenant in sorted(self._heads)})

    async def release(self, process: str) -> None:
        """Give up everything at once."""
        self._lease_until.pop(process, None)
        self._processes.pop(process, None)

    # -- within -------------------------------------------------------------------------------------------------

    def _lives(self, process: str | None) -> bool:
        return process is not None and self._lease_until.get(process, 0.0) > self._clock.monotonic()

    def _of(self, tenant: str, name: str, null: str | None = None) -> list[Row]:
        """A tenant's rows of a table; only those where a column is null, if asked."""
        table = self._tables[name]
        place = None if null is None else table.places[null]
        mine = (row for key, row in table.rows.items() if key[0] == tenant)
        return [row[1:] for row in mine if place is None or row[place] is None]

    def _find(self, sought: Sought, key: Key) -> Iterable[Row]:
        table = self._tables[sought.table.name]
        if [each.name for each in sought.table.primary_key.columns] == ["tenant", *sought.key]:
            row = table.rows.get(key)
            condition = sought.only.removeprefix("stored.")
            unwanted = row is None or (condition != "true" and not table.one_condition(condition)(row))
            return () if row is None or unwanted else (row,)
        if sought.name in ("family", "held", "token_trusts"):  # few ask for these
            places = [table.places[each] for each in ("tenant", *sought.key)]
            return [row for row in table.rows.values() if tuple(row[each] for each in places) == key]
        held = (unique.held.get(key) for unique in table.uniques)
        return [table.rows[each] for each in held if each is not None]

    def _lately(self, tenant: str, customers: Iterable[str], since: int) -> Iterator[tuple[str, str]]:
        """Rows for `reading.lately`."""
        place = self._tables["contacts"].places
        for customer_id in customers:
            newest = islice(self._newest(tenant, customer_id), LATELY_CONTACTS_MAX)
            found = [
                (row[place["id"]], row[place["created_at"]], rows.load(row[place["tags"]]))
                for row in newest
                if row[place["created_at"]] >= since
            ]
            if found:
                yield customer_id, rows.dump(found)

    def _newest(self, tenant: str, customer_id: str) -> Iterator[Row]:
        """A customer's contacts, newest first. One that was taken back with its batch is no longer there."""
        kept = self._tables["contacts"].rows
        keys = sorted(self._contacts_of.get((tenant, customer_id), ()), reverse=True)
        return (row for key in keys if (row := kept.get(key)) is not None)

    def _outreach(self, tenant: str, customers: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Rows for `reading.outreach`."""
        place, facts = self._tables["contacts"].places, self._tables["contact_facts"]
        surveys = self._tables["surveys"]
        for customer_id in customers:
            found: list[int] = []
            for row in islice(self._newest(tenant, customer_id), LATELY_CONTACTS_MAX):
                fact = facts.rows.get((tenant, row[place["id"]]))
                if FLAGGED_CALLBACK in rows.load(row[place["flags"]]):
                    if row[place["answered_at"]] is not None:
                        found.append(row[place["answered_at"]])
                elif fact is not None and fact[facts.places["outbound"]]:
                    found.append(row[place["created_at"]])
                asked = surveys.rows.get((tenant, row[place["id"]]))
                if asked is not None and asked[surveys.places["withheld"]] is None:
                    found.append(asked[surveys.places["at"]])
            if found:
                yield customer_id, rows.dump(found)

    def _recent(self, tenant: str, customers: Iterable[str], since: int) -> Iterator[tuple[str, str]]:
        """Rows for `reading.recent`."""
        place = self._tables["contacts"].places
        for customer_id in customers:
            found = [
                (
                    row[place["id"]],
                    row[place["created_at"]],
                    rows.load(row[place["tags"]]),
                    row[place["closed_at"]],
                    rows.load(row[place["more"]]).get("previous_agent_id"),
                    *self._holder(tenant, row[place["assignment_id"]]),
                    row[place["channel"]],
                    row[place["outcome"]],
                    *(() if row[place["closed_at"]] is not None else self._fact(tenant, row[place["id"]])),
                )
                for row in islice(self._newest(tenant, customer_id), RECENT_CONTACTS_MAX)
                if row[place["created_at"]] >= since
            ]
            if found:
                yield customer_id, rows.dump(found)

    def _fact(self, tenant: str, contact_id: str) -> Iterator[str | None]:
        """What an open contact belongs to, if it is not the first of its conversation, and whom it came from."""
        kept = self._tables["contact_facts"]
        row = kept.rows.get((tenant, contact_id))
        for each in ("conversation_id", "identity_type", "identity_value"):
            yield None if row is None else row[kept.places[each]]

    def _holder(self, tenant: str, assignment_id: str | None) -> tuple[str | None, int | None]:
        """The agent of an assignment, and when it accepted."""
        kept = self._tables["assignments"]
        row = kept.rows.get((tenant, assignment_id))
        return (None, None) if row is None else (row[kept.places["agent_id"]], row[kept.places["accepted_at"]])

    def _write(self, section: Section, row: Row, done: list[_Done]) -> None:
        """Write one row, and note down how to undo it."""
        table = self._tables[section.table.name]
        if section.verb == "remove":
            done.append((table, row, table.change(row, None)))
            return
        table.check(row)
        key = table.key(row)
        if section.verb == "insert" and key in table.rows:
            raise StoreRejected(f"{table.name}: the row is there already")
        there = table.rows.get(key)
        if section.changes and there is not None:
            changed = {table.places[each]: row[table.places[each]] for each in section.changes}
            row = tuple(changed.get(place, old) for place, old in enumerate(there))
        done.append((table, key, table.change(key, row)))
        if section.table is contacts:
            self._contacts_of[(row[0], row[table.places["customer_id"]])][key] = None


def _table(sought_name: str) -> str:
    return next(each.table.name for each in SOUGHT if each.name == sought_name)
