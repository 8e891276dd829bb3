"""The customers: they arrive as a Poisson process, say what the scenario lets them say, wait, and sometimes give up."""

import asyncio
import itertools
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from src.cli.simulate.ledger import Ledger
from src.cli.simulate.pace import Pace, seeded
from src.cli.simulate.scenario import Line, Scenario
from src.client import Client, Declined, NoAnswer
from src.client.http import Answer

IN_FLIGHT_MAX: Final = 500
"""Posts that may wait for an answer; while the service is away, nobody else dials in."""

KNOWN_MAX: Final = 10_000
"""Customers of a channel that may come back."""

BACKLOG_S_MAX: Final = 1.0
"""Arrivals that could not be made in time are made up for, but no more than these seconds of them."""


_UNANSWERED: Final = frozenset({"waiting", "offered"})
_ANSWERED: Final = frozenset({"active", "wrap_up", "closed"})
_NOT_ACTIVE: Final = frozenset({"waiting", "offered", "wrap_up", "closed"})
_NOT_SERVED: Final = frozenset({"waiting", "offered", "closed"})


@dataclass(frozen=True, slots=True)
class Customer:
    """A person with an identity on one channel. `number` is the telephone number that it tells there, if it does."""

    channel: str
    identity_type: str
    identity: str
    name: str
    tier: str
    person: "Person"
    number: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """Whoever comes over one channel or several. `tells` its number in chats: proven, typed in, or not at all."""

    id: int
    name: str
    tier: str
    phone: str
    tells: Literal["proven", "typed", "nothing"]


@dataclass(slots=True)
class _Seen:
    """What is remembered of a person who was there: as whom it came over each channel, and with which words last."""

    person: Person
    line: Line
    came_as: dict[str, Customer]


@dataclass(frozen=True, slots=True)
class Visit:
    """One contact to be: who, what they say, and how long they wait, in seconds of the centre's clock."""

    number: int
    customer: Customer
    line: Line
    new: bool
    patience_s: float
    follows_up: bool
    hangs_up_after_s: float | None


def visits(scenario: Scenario, seed: str) -> Iterator[Visit]:
    """Who comes, in order, without end. The same seed gives the same people with the same words."""
    rng = seeded(seed, "customers")
    simulation, habits = scenario.simulation, scenario.simulation.customers
    lines = list(scenario.lines())
    channels, shares = list(simulation.channels), [each.share for each in simulation.channels.values()]
    known: dict[str, list[_Seen]] = {channel: [] for channel in channels}
    for number in itertools.count(1):
        channel = rng.choices(channels, shares)[0]
        mix = simulation.channels[channel]
        new = not known[channel] or rng.random() >= habits.returning_share
        line = rng.choice(lines)
        if new:
            seen = _Seen(_somebody(scenario, number, rng), line, {})
        else:
            elsewhere = rng.random() < habits.other_channel_share
            seen = rng.choice(known[rng.choice(channels)] or known[channel] if elsewhere else known[channel])
            line = seen.line if rng.random() < habits.same_matter_share else line
        seen.line = line
        if channel not in seen.came_as:
            seen.came_as[channel] = _as(seen.person, scenario, channel, rng)
            if len(known[channel]) < KNOWN_MAX:
                known[channel].append(seen)
        hangs_up = rng.random() < habits.hang_up_share
        yield Visit(
            number=number,
            customer=seen.came_as[channel],
            line=line,
            new=new,
            patience_s=mix.patience.draw(rng),
            follows_up=rng.random() < habits.follow_up_share,
            hangs_up_after_s=mix.handling.draw(rng) / 2 if hangs_up else None,
        )


def _somebody(scenario: Scenario, number: int, rng: random.Random) -> Person:
    habits = scenario.simulation.customers
    tier = rng.choices(list(habits.tiers), list(habits.tiers.values()))[0]
    drawn, proven = rng.random(), habits.proven_number_share
    return Person(
        id=number,
        name=rng.choice(habits.surnames) + rng.choice(("先生", "女士")),
        tier=tier,
        phone=f"+86138{rng.randrange(10**8):08d}",
        tells="proven" if drawn < proven else "typed" if drawn < proven + habits.typed_number_share else "nothing",
    )


def _as(person: Person, scenario: Scenario, channel: str, rng: random.Random) -> Customer:
    """The person as it comes over a channel."""
    kind = scenario.simulation.channels[channel].identity
    if kind == "phone":
        return Customer(channel, kind, person.phone, person.name, person.tier, person)
    number = None if person.tells == "nothing" else person.phone
    return Customer(channel, kind, f"o{rng.getrandbits(108):027x}", person.name, person.tier, person, number)


def body(visit: Visit, external_id: str) -> dict[str, Any]:
    """The contact as it is posted. A call has no text: its tags are what the telephone menu found."""
    customer, line = visit.customer, visit.line
    posted: dict[str, Any] = {
        "channel": customer.channel,
        "external_id": external_id,
        "identity": {"type": customer.identity_type, "value": customer.identity, "display_name": customer.name},
    }
    if customer.identity_type == "phone":
        posted["tags"] = list(line.tags)
    else:
        posted["text"] = line.text
    if customer.number is not None:
        proven = customer.person.tells == "proven"
        posted["identities"] = [{"type": "phone", "value": customer.number, "proven": proven}]
    if line.language is not None:
        posted["language"] = line.language
    return posted


class Crowd:
    """All customers of one run. `rate_per_s` in real seconds."""

    def __init__(self, api: Client, ledger: Ledger, scenario: Scenario, pace: Pace, *, seed: str) -> None:
        self._api = api
        self._ledger = ledger
        self._pace = pace
        self._rng = seeded(seed, "arrivals")
        self._visits = visits(scenario, seed)
        self._ordinary = next(iter(scenario.simulation.customers.tiers))
        self._in_flight = asyncio.Semaphore(IN_FLIGHT_MAX)
        self._tasks: set[asyncio.Task[None]] = set()
        self._there: dict[str, None] = {}
        self._end = float("inf")

    async def arrive(self, rate_per_s: float, contacts_max: int | None) -> None:
        """Let customers in, at random intervals, until this is cancelled or so many have come."""
        due = time.monotonic()
        for visit in itertools.islice(self._visits, contacts_max):
            due = max(due + self._rng.expovariate(rate_per_s), time.monotonic() - BACKLOG_S_MAX)
            if (ahead_s := due - time.monotonic()) > 0:
                await asyncio.sleep(ahead_s)
            await self._in_flight.acquire()
            task = asyncio.create_task(self._visit(visit))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def leave_by(self, end: float) -> None:
        """The centre closes: nobody asks for anything after `end` (monotonic seconds)."""
        self._end = end

    async def send_home(self) -> None:
        """Cancel the contacts of all who still wait or are offered."""
        waiting = [each for each in self._there if self._ledger.state(each) in _UNANSWERED]
        await asyncio.gather(*(self._cancel(contact_id, "closing_time") for contact_id in waiting))

    async def stop(self) -> None:
        """Forget everybody who is still under way."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _visit(self, visit: Visit) -> None:
        try:
            contact = await self._post(visit)
        finally:
            self._in_flight.release()
        if contact is None:
            return
        contact_id, news = contact["id"], asyncio.Event()
        self._there[contact_id] = None
        self._ledger.listeners[contact_id] = news.set
        try:
            if visit.new and visit.customer.tier != self._ordinary:
                await self._patch_tier(contact["customer_id"], visit.customer.tier)
            await self._stay(contact_id, visit, news)
        finally:
            del self._there[contact_id], self._ledger.listeners[contact_id]

    async def _post(self, visit: Visit) -> dict[str, Any] | None:
        external_id = f"{self._ledger.run_id}-{visit.number}"
        self._ledger.posting(external_id, time.monotonic())
        try:
            answer = await self._api.patiently(
                "POST", "/v1/contacts", body(visit, external_id), until=lambda: self._end, keyed=False
            )
        except NoAnswer:
            self._ledger.unanswered(external_id)
        except Declined as refusal:
            if refusal.passing:
                self._ledger.unanswered(external_id)
            else:
                self._ledger.refused(external_id, str(refusal))
        else:
            contact: dict[str, Any] = answer.body
            self._ledger.acknowledged(external_id, visit.line, contact)
            person = visit.customer.person
            self._ledger.people.came(person.id, person.name, visit.customer.channel, contact, tells=person.tells)
            return contact
        return None

    async def _stay(self, contact_id: str, visit: Visit, news: asyncio.Event) -> None:
        """Wait and be served, more than once where the agent is lost; give up, write once more or leave on the way."""
        follows_up, hangs_up_after_s = visit.follows_up, visit.hangs_up_after_s
        while True:
            if not await self._until(contact_id, _ANSWERED, news, visit.patience_s):
                self._ledger.tally.given_up += 1
                await self._cancel(contact_id, "abandoned")
                return
            if follows_up and visit.customer.identity_type != "phone":
                follows_up = False
                await self._write(contact_id, visit)
            if hangs_up_after_s is not None:
                if not await self._until(contact_id, _NOT_ACTIVE, news, hangs_up_after_s):
                    await self._cancel(contact_id, "hung_up")
                hangs_up_after_s = None
            await self._until(contact_id, _NOT_SERVED, news, None)
            if self._ledger.state(contact_id) == "closed":
                return

    async def _until(self, contact_id: str, states: frozenset[str], news: asyncio.Event, seconds: float | None) -> bool:
        """Whether the contact came into one of the states within so many seconds of the centre's clock."""
        try:
            async with asyncio.timeout(None if seconds is None else self._pace.real_s(seconds)):
                while self._ledger.state(contact_id) not in states:
                    news.clear()
                    await news.wait()
        except TimeoutError:
            return False
        return True

    async def _write(self, contact_id: str, visit: Visit) -> None:
        external_id = f"{self._ledger.run_id}-{visit.number}-1"
        said = {"external_id": external_id, "from": "customer", "text": visit.line.text}
        await self._ask("POST", f"/v1/contacts/{contact_id}/messages", said)

    async def _patch_tier(self, customer_id: str, tier: str) -> None:
        await self._ask("PATCH", f"/v1/customers/{customer_id}", {"tier": tier})

    async def _cancel(self, contact_id: str, reason: str) -> None:
        await self._ask("POST", f"/v1/contacts/{contact_id}/cancel", {"reason": reason})

    async def _ask(self, method: str, path: str, asked: dict[str, Any]) -> Answer | None:
        """Ask for something that may be done twice; what comes of it is in the journal."""
        try:
            return await self._api.patiently(method, path, asked, until=lambda: self._end, keyed=False)
        except NoAnswer as error:
            self._ledger.tally.error("no answer", f"{method} {path}: {error}")
        except Declined as refusal:
            if refusal.code != "invalid_state":
                self._ledger.tally.error(refusal.code, f"{method} {path}: {refusal}")
        return None
