"""The fault suite's checker notices each kind of broken promise, and is silent where none was broken."""

from collections.abc import Callable

import pytest

from src.router import events as ev
from src.router.journal import Event
from tests.support.faults.books import Books, HookBook, StreamBook
from tests.support.faults.checker import check
from tests.support.faults.load import CHANNEL

Tale = tuple[list[Event], Books]


def _sound() -> Tale:
    """A contact's whole life, as everybody should tell of it."""
    there = {"status": "available", "connected": True, "grace_until": None}
    journal = [
        Event(1, ev.AGENT_PRESENCE, 1000, None, "anna", None, there),
        Event(2, ev.CONTACT_RECEIVED, 1001, "c1", None, "u1", {"channel": CHANNEL}),
        Event(3, ev.CONTACT_OFFERED, 1001, "c1", "anna", "u1", {"assignment_id": "a1"}),
        Event(4, ev.CONTACT_ACTIVE, 1002, "c1", "anna", "u1", {"assignment_id": "a1"}),
        Event(5, ev.ASSIGNMENT_COMPLETED, 1003, "c1", "anna", "u1", {"assignment_id": "a1"}),
        Event(6, ev.CONTACT_CLOSED, 1003, "c1", None, "u1", {"outcome": "completed"}),
    ]
    books = Books(accepted={"a1"}, completed={"a1"})
    books.acknowledged("x1", "c1", 0.0, 1, ("zhang", False))
    anna, all_ = StreamBook("anna", lambda agent_id: agent_id == "anna"), StreamBook("all", lambda _: True)
    anna.welcome(1, resumed=False)
    all_.welcome(1, resumed=False)
    last = 1
    for each in journal[1:]:
        all_.event(each.seq - 1, each.seq)
        if each.agent_id == "anna":
            anna.event(last, each.seq)
            last = each.seq
    books.streams = [anna, all_]
    books.hooks = [HookBook(frozenset({ev.CONTACT_RECEIVED, ev.CONTACT_CLOSED}), 1, {2: None, 6: None})]
    return journal, books


def _replaced(journal: list[Event], number: int, *events: Event) -> None:
    """Put these in the place of one, and number all that follow anew."""
    journal[number - 1 : number] = events
    for place, each in enumerate(journal, 1):
        journal[place - 1] = Event(
            place, each.type, each.at, each.contact_id, each.agent_id, each.customer_id, each.data
        )


def _gap_in_the_journal(journal: list[Event], _: Books) -> None:
    del journal[3]


def _lost_contact(_: list[Event], books: Books) -> None:
    books.acknowledged("x2", "c2", 0.0, 1)


def _lost_accept(_: list[Event], books: Books) -> None:
    books.accepted.add("a2")


def _one_post_twice(journal: list[Event], _: Books) -> None:
    journal.append(Event(7, ev.CONTACT_RECEIVED, 1004, "c2", None, "u1", {"channel": "other"}))


def _two_posts_one(_: list[Event], books: Books) -> None:
    books.acknowledged("x2", "c1", 0.0, 1)


def _held_twice(journal: list[Event], _: Books) -> None:
    offered = Event(0, ev.CONTACT_OFFERED, 1001, "c1", "ben", "u1", {"assignment_id": "a2"})
    _replaced(journal, 3, journal[2], offered)


def _over_capacity(journal: list[Event], _: Books) -> None:
    more = [
        event
        for n in range(2, 6)
        for event in (
            Event(0, ev.CONTACT_RECEIVED, 1001, f"c{n}", None, "u1", {"channel": CHANNEL}),
            Event(0, ev.CONTACT_OFFERED, 1001, f"c{n}", "anna", "u1", {"assignment_id": f"a{n}"}),
        )
    ]
    _replaced(journal, 3, journal[2], *more)


def _not_told(_: list[Event], books: Books) -> None:
    books.streams[0].told.remove(4)


def _told_what_is_not_so(_: list[Event], books: Books) -> None:
    books.streams[0].told.append(6)


def _told_twice(_: list[Event], books: Books) -> None:
    books.streams[1].event(5, 6)


def _gap_in_the_chain(_: list[Event], books: Books) -> None:
    books.streams[1].event(7, 8)


def _webhook_missing(_: list[Event], books: Books) -> None:
    del books.hooks[0].taken[2]


def _webhook_out_of_order(_: list[Event], books: Books) -> None:
    books.hooks[0].taken = {6: None, 2: None}


def _webhook_not_wanted(_: list[Event], books: Books) -> None:
    books.hooks[0].taken[3] = None


def _left_waiting(journal: list[Event], _: Books) -> None:
    late = [Event(0, e.type, e.at + 5000, e.contact_id, e.agent_id, e.customer_id, e.data) for e in journal[2:]]
    del journal[2:]
    journal.extend(late)
    _replaced(journal, 1, journal[0])


def _refused(_: list[Event], books: Books) -> None:
    books.refused.append("x3: 409")


def _left_open(journal: list[Event], _: Books) -> None:
    del journal[5]


def _one_person_twice(journal: list[Event], books: Books) -> None:
    journal.append(Event(7, ev.CONTACT_RECEIVED, 1004, "c2", None, "u2", {"channel": "other"}))
    books.acknowledged("x2", "c2", 0.0, 1, ("zhang", True))


def _two_persons_one(journal: list[Event], books: Books) -> None:
    journal.append(Event(7, ev.CONTACT_RECEIVED, 1004, "c2", None, "u2", {"channel": "other"}))
    journal.append(Event(8, ev.CUSTOMER_MERGED, 1004, None, None, "u1", {"merged_id": "u2"}))
    books.acknowledged("x2", "c2", 0.0, 1, ("li", True))


FAULTS: tuple[tuple[Callable[[list[Event], Books], None], str], ...] = (
    (_gap_in_the_journal, "journal: number 4 is 5"),
    (_lost_contact, "lost: x2"),
    (_lost_accept, "lost: the accepting"),
    (_one_post_twice, "doubled: 1 contacts that no answer named"),
    (_two_posts_one, "doubled: 2 posts became"),
    (_held_twice, "held twice"),
    (_over_capacity, "over capacity"),
    (_not_told, "stream: anna was never told"),
    (_told_what_is_not_so, "stream: anna was told"),
    (_told_twice, "stream: all: 6 came after 6"),
    (_gap_in_the_chain, "stream: all: 8 says that it follows 7"),
    (_webhook_missing, "webhook: 1 of 2 are missing, among them [2]"),
    (_webhook_out_of_order, "webhook: of c1 2 came after 6"),
    (_webhook_not_wanted, "webhook: told of [3]"),
    (_left_waiting, "not matched"),
    (_refused, "refused"),
    (_left_open, "left open"),
    (_one_person_twice, "two customers: zhang is ['u1', 'u2']"),
    (_two_persons_one, "two customers: u1 is zhang and li"),
)


def test_nothing_is_found_where_everything_is_as_promised() -> None:
    assert [] == check(*_sound(), recovered_at=0)


@pytest.mark.parametrize(("break_it", "said"), FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_each_broken_promise_is_found(break_it: Callable[[list[Event], Books], None], said: str) -> None:
    journal, books = _sound()
    break_it(journal, books)
    assert any(line.startswith(said) for line in check(journal, books, recovered_at=0))
