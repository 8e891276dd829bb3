"""Fold a tenant's journal from its beginning or a checkpoint, and compare it with the tables. Changes nothing."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from src.dispatch.known import Wanted
from src.dispatch.ports import Checkpoint, Loaded, Store
from src.router import events as ev
from src.router.entities import (
    AGENT_COLUMNS,
    ASSIGNMENT_COLUMNS,
    COLLABORATION_COLUMNS,
    CONTACT_COLUMNS,
    Agent,
    Assignment,
    Collaboration,
    Contact,
    Row,
)
from src.router.journal import VERSION, Event
from src.router.state import State
from src.router.transitions import MESSAGE

PAGE_EVENTS: Final = 5_000
MESSAGES_AT_A_TIME: Final = 1_000
MESSAGE_STATES: Final = {event: state for (_, event), state in MESSAGE.items()}

DIFFERENCES_MAX: Final = 1_000
"""More than so many are not told one by one."""


async def compare(store: Store, tenant: str, archived: Iterable[Event | Checkpoint] | None = None) -> list[str]:
    """Where the tables differ from the fold of the journal, a sentence each; empty: nowhere.

    Without `archived` the fold goes on from the tenant's checkpoint, where there is one. With it, which is what was
    dropped of the tenant's journal, everything is folded, and each checkpoint on the way is compared too.

    Raises:
        NotFound: there is no such tenant.
        StoreUnreachable: the database went away.
    """
    loaded = await store.load(tenant)
    checkpoint = await store.checkpoint(tenant)
    fold = Fold(checkpoint if archived is None else None)
    wrong = next(fold.start(archived or (), checkpoint), None)
    if wrong is not None:
        return [wrong]
    state = fold.state
    while state.seq < loaded.head.seq:
        page = await store.events(tenant, state.seq, min(PAGE_EVENTS, loaded.head.seq - state.seq))
        wrong = next(fold.page(page), None)
        if wrong is not None:
            return [wrong]
        if not page:
            return [f"the journal ends at {state.seq}, the head says {loaded.head.seq}"]
    told = list(islice(_differences(state, loaded), DIFFERENCES_MAX))
    return told or await _messages(store, tenant, fold.messages, loaded.head.at)


async def _messages(store: Store, tenant: str, messages: Mapping[str, str], at: int) -> list[str]:
    """Where messages that went out are not in the state that their last event says; what came after `at` is left out.

    They are no part of the fold: each is looked up. Those that were erased are in no table any more.
    """
    told: list[str] = []
    everything = list(messages)
    for start in range(0, len(everything), MESSAGES_AT_A_TIME):
        ids = everything[start : start + MESSAGES_AT_A_TIME]
        known = await store.lookup(tenant, Wanted(messages=set(ids)))
        for each in ids:
            found = known.outgoing.get(each)
            if each not in known.messages:
                continue  # it was erased with its customer
            if found is None or (found.state != messages[each] and found.at <= at):
                state = "not in the tables" if found is None else f"{found.state} in the tables"
                told.append(f"message {each} is {state}, {messages[each]} by the journal")
    return told[:DIFFERENCES_MAX]


class Fold:
    """A journal that is being folded, from its beginning or from a checkpoint. What is wrong is told in sentences.

    Behind the first of them nothing more can be said. `messages` are those that go out, with the last state of each.
    """

    def __init__(self, checkpoint: Checkpoint | None = None) -> None:
        self.state = State()
        self.messages: dict[str, str] = {}
        if checkpoint is not None:
            self.state.load(checkpoint.seq, checkpoint.at, *checkpoint.rows)
        self._from = checkpoint

    def start(self, archived: Iterable[Event | Checkpoint], stored: Checkpoint | None) -> Iterator[str]:
        """Check the checkpoint that this began from; or fold what is archived, up to the one that is stored."""
        if self._from is not None:
            yield from self._same(self._from)
        for each in archived:
            yield from self.page([each]) if isinstance(each, Event) else self._same(each)
        if stored is not None:
            yield from self._same(stored)

    def page(self, page: Sequence[Event]) -> Iterator[str]:
        """Fold the events that follow."""
        state = self.state
        for event in page:
            if event.seq != state.seq + 1:
                yield f"event {state.seq + 1} is not in the journal"
            if event.type not in ev.KNOWN or event.version > VERSION:
                what = f"a {event.type} of version {event.version}"
                yield f"event {event.seq} is {what}, which this release does not know"
            try:
                state.apply(event)
            except (AssertionError, KeyError, TypeError) as error:
                yield f"event {event.seq}, a {event.type}, does not follow from what came before: {error!r}"
            if event.type in MESSAGE_STATES:
                self.messages[event.data["message_id"]] = MESSAGE_STATES[event.type]
            if event.type == ev.CHECKPOINT:
                state.drain()
                if f"{state.hash:016x}" != event.data["state_hash"]:
                    yield f"the checkpoint at {event.seq} recorded another state than the journal adds up to"
        state.drain()

    def checkpoint(self) -> Checkpoint:
        """What it adds up to so far."""
        state = self.state
        kinds = (state.contacts, state.assignments, state.agents, state.collaborations)
        return Checkpoint(state.seq, state.at, state.hash, tuple(tuple(_folded(each)) for each in kinds))

    def _same(self, checkpoint: Checkpoint) -> Iterator[str]:
        if (checkpoint.seq, checkpoint.state_hash) != (self.state.seq, self.state.hash):
            yield f"the journal up to {self.state.seq} is not what the stored checkpoint at {checkpoint.seq} says"


def _differences(state: State, loaded: Loaded) -> Iterator[str]:
    yield from _rows("contact", CONTACT_COLUMNS, loaded.contacts, _folded(state.contacts))
    yield from _rows("assignment", ASSIGNMENT_COLUMNS, loaded.assignments, _folded(state.assignments))
    yield from _rows("agent", AGENT_COLUMNS, loaded.agents, _folded(state.agents))
    yield from _rows("collaboration", COLLABORATION_COLUMNS, loaded.collaborations, _folded(state.collaborations))
    if loaded.head.at != state.at:
        yield f"the head's time is {loaded.head.at}, the last event's {state.at}"
    if loaded.head.state_hash != state.hash:
        yield f"the head's hash is {loaded.head.state_hash:016x}, the journal adds up to {state.hash:016x}"


def _folded(entities: Mapping[str, Contact | Assignment | Agent | Collaboration]) -> list[Row]:
    return [each.row() for each in entities.values()]


def _rows(kind: str, columns: Sequence[str], stored: Iterable[Row], folded: Iterable[Row]) -> Iterator[str]:
    tables, journal = {row[0]: row for row in stored}, {row[0]: row for row in folded}
    for key in sorted(tables.keys() | journal.keys()):
        if key not in journal:
            yield f"{kind} {key} is in the tables, but not in the journal's state"
        elif key not in tables:
            yield f"{kind} {key} is in the journal's state, but not in the tables"
        else:
            for column, found, expected in zip(columns, tables[key], journal[key], strict=True):
                if found != expected:
                    yield f"{kind} {key}: {column} is {found!r} in the tables, {expected!r} by the journal"
