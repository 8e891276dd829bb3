"""What is known of customers elsewhere: fetched in the background, kept in this process alone, never in the journal.

Nobody waits for another system but who asks for it: routing, intake and offers are served with what is known by then.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import msgspec
import structlog

from src import metrics
from src.connectors.breaker import Breaker
from src.connectors.outward import Failed, Outward
from src.connectors.template import Asked, Person, TooMuch, learnt, request, shown
from src.dispatch.customers import Learn
from src.dispatch.facts import ConnectorFact
from src.dispatch.ports import Clock
from src.dispatch.turn import Job
from src.errors import Refused, StartupError, Unavailable
from src.router import events as ev
from src.router.journal import Event

RELOAD_S: Final = 5.0
"""So soon a process notices what another one was told of connectors."""

RUNNING_MAX: Final = 1_000
"""Customers that are asked for at a time; of more, nothing is asked until somebody looks again."""

CONNECTOR_AT_A_TIME: Final = 16
"""Requests under way to one connector: a slow one leaves room to the others."""

PAUSE_S: Final = 5.0
"""After a failure one customer is not asked for again for so long, unless somebody insists."""

ENTRIES_MAX: Final = 20_000
KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
ENTRY_BYTES: Final = 512
"""What an entry takes beside its data, roughly."""

_BUSY: Final = "busy"
_OPEN: Final = "circuit_open"
_NO_KEY: Final = "not_applicable"
_CHANGED: Final = frozenset({"customer.updated", "customer.deleted", ev.CUSTOMER_MERGED, ev.CUSTOMER_UNMERGED})

Key = tuple[str, str, str]
"""Tenant, connector, customer."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Entry:
    """What is known of one customer by one connector. Times are milliseconds.

    `asked` is which request it answers, `tried_at` when it last could not be had.
    """

    asked: bytes = b""
    data: Any = None
    size: int = 0
    as_of: int | None = None
    missing_since: int | None = None
    error: str | None = None
    tried_at: int | None = None


@dataclass(slots=True, eq=False)
class _Connector:
    """One connector, as configured; its secrets opened."""

    fact: ConnectorFact
    headers: Mapping[str, str] = field(repr=False)
    breaker: Breaker = field(default_factory=Breaker)
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONNECTOR_AT_A_TIME))


class Connectors:
    """Every tenant's connectors. `configured` reads them, `person` a customer; `open_secret` opens what is sealed.

    `submit` is the way to a tenant's loop: what is learnt is kept with the customer.
    """

    def __init__(
        self,
        outward: Outward,
        clock: Clock,
        configured: Callable[[], Awaitable[Sequence[tuple[str, ConnectorFact]]]],
        person: Callable[[str, str], Awaitable[Person | None]],
        open_secret: Callable[[str], str],
        submit: Callable[[str, Job[Any]], Awaitable[Any]],
    ) -> None:
        self._outward = outward
        self._clock = clock
        self._read = configured
        self._person = person
        self._open_secret = open_secret
        self._submit = submit
        self._learning: Counter[tuple[str, str]] = Counter()
        self._tenants: dict[str, dict[str, _Connector]] = {}
        self._entries: OrderedDict[Key, _Entry] = OrderedDict()
        self._bytes = 0
        self._running: dict[tuple[str, str], asyncio.Task[None]] = {}

    # -- configuration ------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep up with the configuration."""
        while True:
            try:
                await self.reload()
            except Unavailable as error:
                _log.warning("connectors.not_read", error=str(error))
            await asyncio.sleep(RELOAD_S)

    async def reload(self) -> None:
        """Look what is configured; one that has changed begins anew, with nothing known."""
        found: dict[str, dict[str, _Connector]] = {}
        for tenant, fact in await self._read():
            if not fact.body["enabled"]:
                continue
            before = self._tenants.get(tenant, {}).get(fact.name)
            if before is None or before.fact != fact:
                try:
                    secrets = {name: self._open_secret(each) for name, each in fact.secrets.items()}
                except StartupError:
                    _log.error("connector.secrets_not_readable", tenant=tenant, connector=fact.name)
                    continue
                before = _Connector(fact, {**fact.body["headers"], **secrets})
                self._forget(tenant, fact.name)
            found.setdefault(tenant, {})[fact.name] = before
        for tenant, names in self._tenants.items():
            for name in names.keys() - found.get(tenant, {}).keys():
                self._forget(tenant, name)
        self._tenants = found

    # -- what is known ------------------------------------------------------------------------------------------

    def noticed(self, tenant: str, events: Sequence[Event]) -> None:
        """Events were committed here: customers who come are asked for, and whoever changed is not known any more."""
        if tenant not in self._tenants:
            return
        for each in events:
            if each.customer_id is None:
                continue
            if each.type == ev.CONTACT_RECEIVED:
                self._begin(tenant, each.customer_id)
            elif each.type in _CHANGED and not self._learning[tenant, each.customer_id]:
                for changed in (each.customer_id, each.data.get("merged_id"), each.data.get("unmerged_id")):
                    if changed is not None:
                        self.forget(tenant, changed)

    def known(self, tenant: str, customer_id: str) -> dict[str, Any]:
        """What is known now, by connector. Where that is not fresh, it begins to be asked for.

        Of each: `data` as its view maps it, `as_of` when it was so, whether it is `stale`; `missing_since` when it
        could not be had any more, and why (`error`); and whether it is being asked for (`pending`). Times are in ms.
        """
        connectors = self._tenants.get(tenant)
        if not connectors:
            return {}
        self._begin(tenant, customer_id)
        return {name: self._view(tenant, each, customer_id) for name, each in connectors.items()}

    async def ask(self, tenant: str, customer_id: str, *, refresh: bool, wait_s: float) -> dict[str, Any]:
        """The same after waiting for it, so long at most. `refresh`: also what is fresh is asked for anew."""
        self._begin(tenant, customer_id, refresh=refresh)
        task = self._running.get((tenant, customer_id))
        if task is not None and wait_s:
            await asyncio.wait([task], timeout=wait_s)
        return self.known(tenant, customer_id)

    def forget(self, tenant: str, customer_id: str) -> None:
        """Nothing is known of this customer any more."""
        task = self._running.pop((tenant, customer_id), None)
        if task is not None:
            task.cancel()
        for name in self._tenants.get(tenant, ()):
            self._drop((tenant, name, customer_id))

    async def stop(self) -> None:
        """Ask for nothing any more."""
        tasks = list(self._running.values())
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _view(self, tenant: str, connector: _Connector, customer_id: str) -> dict[str, Any]:
        entry = self._entries.get((tenant, connector.fact.name, customer_id)) or _Entry()
        age = _age_ms(entry, self._clock.now_ms())
        body = connector.fact.body
        too_old = age is None or age > (body["fresh_s"] + body["stale_s"]) * 1000
        return {
            "data": None if too_old else entry.data,
            "as_of": None if too_old else entry.as_of,
            "stale": not too_old and age is not None and age > body["fresh_s"] * 1000,
            "missing_since": entry.missing_since,
            "error": entry.error,
            "pending": (tenant, customer_id) in self._running,
        }

    # -- asking -------------------------------------------------------------------------------------------------

    def _begin(self, tenant: str, customer_id: str, *, refresh: bool = False) -> None:
        key = (tenant, customer_id)
        connectors = self._tenants.get(tenant)
        if not connectors or key in self._running:
            return
        due = [each for each in connectors.values() if refresh or self._is_due(tenant, each, customer_id)]
        if not due:
            return
        if len(self._running) >= RUNNING_MAX:
            for each in due:
                self._missed(self._entry((tenant, each.fact.name, customer_id)), _BUSY)
            return
        asking = self._ask_all(tenant, due, customer_id, refresh=refresh)
        task = asyncio.create_task(asking, name=f"ask for {customer_id}")
        self._running[key] = task
        task.add_done_callback(lambda done: self._done(key, done))

    def _done(self, key: tuple[str, str], task: "asyncio.Task[None]") -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("connectors.failed", tenant=key[0], exc_info=error)

    def _is_due(self, tenant: str, connector: _Connector, customer_id: str) -> bool:
        entry = self._entries.get((tenant, connector.fact.name, customer_id))
        if entry is None:
            return True
        now = self._clock.now_ms()
        age = _age_ms(entry, now)
        if age is not None and age <= connector.fact.body["fresh_s"] * 1000:
            return False
        return entry.tried_at is None or not 0 <= now - entry.tried_at < PAUSE_S * 1000

    async def _ask_all(self, tenant: str, due: Sequence[_Connector], customer_id: str, *, refresh: bool) -> None:
        """Ask these. Of one that was merged into another, the other is asked for, where that is due."""
        try:
            person = await self._person(tenant, customer_id)
        except Unavailable:
            for each in due:
                self._missed(self._entry((tenant, each.fact.name, customer_id)), _BUSY)
            return
        if person is None:  # erased, perhaps by another process
            for each in due:
                self._drop((tenant, each.fact.name, customer_id))
        elif person.id != customer_id:
            self._begin(tenant, person.id, refresh=refresh)
        else:
            await asyncio.gather(*(self._ask(tenant, each, person) for each in due))

    async def _ask(self, tenant: str, connector: _Connector, person: Person) -> None:
        fact = connector.fact
        key = (tenant, fact.name, person.id)
        asked = request(fact.body["method"], fact.body["url"], fact.body["body"], person)
        entry = self._entry(key)
        mark = b"" if asked is None else sha256(msgspec.json.encode([asked.method, asked.url, asked.body])).digest()
        if entry.asked != mark:  # the customer has other addresses now: what was known is perhaps somebody else's
            self._drop(key)
            entry = self._entry(key)
            entry.asked = mark
        if asked is None:
            entry.error, entry.tried_at = _NO_KEY, self._clock.now_ms()
            return
        try:
            answer, data, size = await self._fetched(connector, asked)
        except Failed as error:
            metrics.CONNECTOR_ANSWERS.labels(error.code).inc()
            _log.warning("connector.failed", tenant=tenant, connector=fact.name, code=error.code)
            self._missed(self._entry(key), error.code)
            return
        metrics.CONNECTOR_ANSWERS.labels("ok").inc()
        self._drop(key)
        now = self._clock.now_ms()
        self._keep(key, _Entry(mark, data, size, as_of=now))
        await self._learn(tenant, fact.body.get("learn") or {}, answer, person)

    async def _learn(self, tenant: str, learn: Mapping[str, Any], answer: Any, person: Person) -> None:  # noqa: ANN401
        said, attributes = learnt(learn, answer)
        as_known = all(getattr(person, name) == value for name, value in said.items())
        if as_known and attributes.items() <= person.attributes.items():
            return
        self._learning[tenant, person.id] += 1  # this is no news: what was asked for is not asked for again
        try:
            await self._submit(tenant, Learn(person.id, said, attributes, person.others))
        except Refused as refusal:
            # It was erased meanwhile, or nobody serves the tenant: the next answer says it again.
            _log.warning("connector.not_learnt", tenant=tenant, customer_id=person.id, code=refusal.code)
        finally:
            self._learning[tenant, person.id] -= 1
            self._learning += Counter()

    async def _fetched(self, connector: _Connector, asked: Asked) -> tuple[Any, Any, int]:
        body = connector.fact.body
        async with connector.room:
            if not connector.breaker.lets_pass(self._clock.monotonic()):
                raise Failed(_OPEN)
            try:
                answer = await self._outward.fetch(asked, connector.headers, body["timeout_s"], body["retries"])
            except Failed:
                connector.breaker.failed(self._clock.monotonic())
                raise
            connector.breaker.succeeded()
        try:
            return (None, None, 4) if answer is None else (answer, *shown(body["view"], answer))
        except TooMuch:
            raise Failed("too_large") from None

    # -- keeping ------------------------------------------------------------------------------------------------

    def _entry(self, key: Key) -> _Entry:
        entry = self._entries.get(key)
        if entry is None:
            entry = _Entry()
            self._keep(key, entry)
        self._entries.move_to_end(key)
        return entry

    def _missed(self, entry: _Entry, code: str) -> None:
        now = self._clock.now_ms()
        entry.error, entry.tried_at = code, now
        if entry.missing_since is None:
            entry.missing_since = now

    def _keep(self, key: Key, entry: _Entry) -> None:
        self._entries[key] = entry
        self._bytes += entry.size + ENTRY_BYTES
        while len(self._entries) > ENTRIES_MAX or self._bytes > KEPT_BYTES_MAX:
            self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._bytes -= entry.size + ENTRY_BYTES

    def _forget(self, tenant: str, name: str) -> None:
        for key in [each for each in self._entries if each[:2] == (tenant, name)]:
            self._drop(key)


def _age_ms(entry: _Entry, now: int) -> int | None:
    return None if entry.as_of is None else max(0, now - entry.as_of)
