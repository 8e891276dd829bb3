"""Holds every client's own record against the journal. Pure: what was promised, and where it was broken.

What is checked, and what each line of the result begins with:

- `journal`: numbers are consecutive, time does not go back;
- `lost`: an acknowledged contact, accept or completion is not in the journal;
- `doubled`: one post became two contacts, or two posts one;
- `held twice`: a contact was with an agent while it was with another;
- `over capacity`: an agent was given more than it can take;
- `stream`: a subscriber's record has a gap, a double, or something that the journal does not have;
- `webhook`: a receiver was not told of an event, of one contact's in another order, or of one that there is not;
- `not matched`: a contact waited more than two seconds beside an agent that could have had it;
- `refused`: good work was refused for good;
- `two customers`: a person whose identities came together is not one customer, or two persons are;
- `left open`: a contact did not come to its end although its agent was there.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from src.router import events as ev
from src.router.journal import Event
from tests.support.faults.books import Books, HookBook, StreamBook
from tests.support.faults.load import CAPACITY, CHANNEL, COST

MATCHABLE_MS_MAX = 2_000
EXAMPLES_MAX = 5
FREED = frozenset(
    {
        ev.OFFER_DECLINED,
        ev.OFFER_EXPIRED,
        ev.OFFER_REVOKED,
        ev.ASSIGNMENT_COMPLETED,
        ev.ASSIGNMENT_LOST,
        ev.CONTACT_TRANSFERRED,
    }
)
STATES = {
    ev.CONTACT_RECEIVED: "waiting",
    ev.CONTACT_OFFERED: "offered",
    ev.CONTACT_ACTIVE: "active",
    ev.CONTACT_REQUEUED: "waiting",
    ev.CONTACT_PARKED: "parked",
    ev.CONTACT_RESUMED: "waiting",
}


def check(journal: Sequence[Event], books: Books, *, recovered_at: int, ended: bool = True) -> list[str]:
    """Every broken promise, in words; none: all were kept.

    `recovered_at`: from this moment of the journal's time on nothing matchable may be left. `ended`: the gateways have
    stopped and the desks had time to finish everything.
    """
    fold = _Fold(recovered_at)
    for event in journal:
        fold.tell(event)
    found = [
        *_journal(journal),
        *_contacts(journal, books),
        *fold.broken,
        *(line for each in books.streams for line in _stream(each, journal)),
        *(line for each in books.hooks for line in _webhook(each, journal)),
        *(f"refused: {each}" for each in books.refused),
        *_acts(journal, books),
        *_customers(journal, books),
    ]
    if ended:  # what is open still has been waiting since the journal ended
        found += [
            f"left open: {contact_id} is {state}"
            for contact_id, state in fold.open.items()
            if contact_id not in books.aside
        ]
    return found


def _journal(journal: Sequence[Event]) -> Iterator[str]:
    for number, event in enumerate(journal, 1):
        if event.seq != number:
            yield f"journal: number {number} is {event.seq}"
            return
    for earlier, later in pairwise(journal):
        if later.at < earlier.at:
            yield f"journal: time goes back from {earlier.seq} to {later.seq}"


def _contacts(journal: Sequence[Event], books: Books) -> Iterator[str]:
    received = Counter(event.contact_id for event in journal if event.type == ev.CONTACT_RECEIVED)
    yield from (f"doubled: contact {each} was received {count} times" for each, count in received.items() if count > 1)
    by_contact = Counter(each.contact_id for each in books.posts)
    yield from (f"doubled: {count} posts became contact {each}" for each, count in by_contact.items() if count > 1)
    yield from (
        f"lost: {each.external_id} was acknowledged as {each.contact_id}"
        for each in books.posts
        if each.contact_id not in received
    )
    strangers = len(received.keys() - by_contact.keys())
    if strangers > len(books.in_doubt):
        yield f"doubled: {strangers} contacts that no answer named, but only {len(books.in_doubt)} posts in doubt"


def _customers(journal: Sequence[Event], books: Books) -> Iterator[str]:
    came_as = {event.contact_id: event.customer_id for event in journal if event.type == ev.CONTACT_RECEIVED}
    into: dict[str | None, str | None] = {}
    for event in journal:
        if event.type == ev.CUSTOMER_MERGED:
            into[event.data["merged_id"]] = event.customer_id
    whose: dict[str | None, str] = {}
    linked = {each.person for each in books.posts if each.linked}
    customers: dict[str, set[str | None]] = {}
    for post in books.posts:
        customer = came_as.get(post.contact_id)
        while customer in into:
            customer = into[customer]
        if post.person:
            customers.setdefault(post.person, set()).add(customer)
            if whose.setdefault(customer, post.person) != post.person:
                yield f"two customers: {customer} is {whose[customer]} and {post.person}"
    for person in sorted(linked):
        if len(customers[person]) > 1:
            yield f"two customers: {person} is {sorted(map(str, customers[person]))}"


def _acts(journal: Sequence[Event], books: Books) -> Iterator[str]:
    active = {event.data["assignment_id"] for event in journal if event.type == ev.CONTACT_ACTIVE}
    completed = {event.data["assignment_id"] for event in journal if event.type == ev.ASSIGNMENT_COMPLETED}
    yield from (f"lost: the accepting of {each}" for each in books.accepted - active)
    yield from (f"lost: the completing of {each}" for each in books.completed - completed)


def _stream(book: StreamBook, journal: Sequence[Event]) -> Iterator[str]:
    yield from (f"stream: {book.name}: {each}" for each in book.breaks[:EXAMPLES_MAX])
    upto = max((skipped[1] for skipped in book.skipped), default=0)
    due = {event.seq for event in journal if event.seq > upto and book.concerns(event.agent_id)}
    told = {each for each in book.told if upto < each <= len(journal)}
    if missed := sorted(due - told)[:EXAMPLES_MAX]:
        yield f"stream: {book.name} was never told {missed}, but {book.last}"
    if invented := sorted(told - due)[:EXAMPLES_MAX]:
        yield f"stream: {book.name} was told {invented}, which is not in the journal or not its own"


def _webhook(book: HookBook, journal: Sequence[Event]) -> Iterator[str]:
    due = {event.seq: event.contact_id for event in journal if event.seq > book.since and event.type in book.types}
    if missed := [each for each in due if each not in book.taken]:
        yield f"webhook: {len(missed)} of {len(due)} are missing, among them {missed[:EXAMPLES_MAX]}"
    if invented := [each for each in book.taken if each <= len(journal) and each not in due][:EXAMPLES_MAX]:
        yield f"webhook: told of {invented}, which is not in the journal or not wanted"
    last: dict[str | None, int] = {}
    for each in book.taken:
        contact_id = due.get(each)
        if each < last.get(contact_id, 0) and contact_id is not None:
            yield f"webhook: of {contact_id} {each} came after {last[contact_id]}"
        last[contact_id] = each


@dataclass
class _Agent:
    available: bool = False
    there: bool = False
    paused: bool = False
    load: int = 0

    @property
    def free(self) -> bool:
        return self.available and self.there and not self.paused and self.load + COST <= CAPACITY


@dataclass
class _Fold:
    """Who has what, as the journal tells it. It knows nothing of how the service keeps its own books."""

    recovered_at: int
    broken: list[str] = field(default_factory=list)
    open: dict[str, str] = field(default_factory=dict)
    _waiting: dict[str, None] = field(default_factory=dict)
    _strange: set[str] = field(default_factory=set)
    _holders: dict[str, dict[str, str]] = field(default_factory=dict)
    _agents: dict[str, _Agent] = field(default_factory=dict)
    _barred: dict[tuple[str, str], int] = field(default_factory=dict)
    _at: int = 0
    _pairs: dict[tuple[str, str], int] = field(default_factory=dict)

    def tell(self, event: Event) -> None:
        if event.at > self._at:
            self._look(event.at)
            self._at = event.at
        contact_id, agent_id = event.contact_id or "", event.agent_id or ""
        if event.type == ev.AGENT_PRESENCE:
            agent = self._agent(agent_id)
            agent.available = event.data["status"] == "available"
            agent.there = event.data["connected"] and event.data["grace_until"] is None
        elif event.type in (ev.AGENT_PAUSED, ev.AGENT_UNPAUSED):
            self._agent(agent_id).paused = event.type == ev.AGENT_PAUSED
        elif event.type == ev.CONTACT_CLOSED:
            self.open.pop(contact_id, None)
            self._waiting.pop(contact_id, None)
        elif event.type in STATES:
            self._moved(event, contact_id)
        if event.type == ev.CONTACT_OFFERED:
            self._offered(event, contact_id, agent_id)
        if event.type in FREED:
            if self._holders.get(contact_id, {}).pop(event.data["assignment_id"], None) is None:
                self.broken.append(f"held twice: {event.seq} takes away what {agent_id} did not have")
            else:
                self._agent(agent_id).load -= COST
            if event.data.get("barred_until") is not None:
                self._barred[contact_id, agent_id] = event.data["barred_until"]

    def _moved(self, event: Event, contact_id: str) -> None:
        self.open[contact_id] = STATES[event.type]
        if event.type == ev.CONTACT_RECEIVED and event.data["channel"] != CHANNEL:
            self._strange.add(contact_id)
        if STATES[event.type] == "waiting" and contact_id not in self._strange:
            self._waiting[contact_id] = None
        else:
            self._waiting.pop(contact_id, None)

    def _agent(self, agent_id: str) -> _Agent:
        return self._agents.setdefault(agent_id, _Agent())

    def _offered(self, event: Event, contact_id: str, agent_id: str) -> None:
        held = self._holders.setdefault(contact_id, {})
        if held:
            self.broken.append(f"held twice: {event.seq} gives {contact_id} to {agent_id}, but {held} has it")
        held[event.data["assignment_id"]] = agent_id
        agent = self._agent(agent_id)
        agent.load += COST
        if agent.load > CAPACITY:
            self.broken.append(f"over capacity: {event.seq} gives {agent_id} more than {CAPACITY}")

    def _look(self, now: int) -> None:
        """Time goes on from `_at` to `now`: who could have had what meanwhile, and for how long already?"""
        free = [each for each, agent in self._agents.items() if agent.free] if self._waiting else []
        pairs = {
            (contact_id, agent_id): self._pairs.get((contact_id, agent_id), self._at)
            for agent_id in free
            for contact_id in self._waiting
            if self._barred.get((contact_id, agent_id), 0) <= self._at
        }
        for (contact_id, agent_id), since in pairs.items():
            if now - max(since, self.recovered_at) > MATCHABLE_MS_MAX:
                self.broken.append(f"not matched: {contact_id} and {agent_id} for {now - since} ms before {now}")
        self._pairs = pairs
