"""What the simulation's books promise: they see a gap, a double and a loss, and nothing where nothing is wrong."""

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.cli.simulate.ledger import Ledger
from src.cli.simulate.people import People
from src.cli.simulate.promises import DeskBook, Promise, Promises
from src.cli.simulate.report import make, verdict
from src.cli.simulate.scenario import Line, load

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEMO = load()
LINE = Line("快递三天没更新了", None, ("logistics",))


def book() -> tuple[DeskBook, Promises]:
    promises = Promises()
    desk = DeskBook("a1", promises)
    desk.welcomed(10, resumed=False)
    return desk, promises


# -- one desk ------------------------------------------------------------------------------------------------------


def test_a_chain_without_a_gap_keeps_every_promise() -> None:
    desk, promises = book()
    for seq in (11, 14, 20):
        desk.journalled(seq)
    desk.heard(10, 11)
    desk.heard(11, 14)
    desk.marked(17)
    desk.welcomed(25, resumed=True)
    desk.heard(17, 20)
    desk.finish(25)

    assert {} == promises.counts


def test_an_event_that_does_not_follow_the_last_one_is_a_gap() -> None:
    desk, promises = book()
    desk.heard(10, 11)
    desk.heard(13, 14)

    assert {Promise.GAPLESS: 1} == promises.counts


def test_an_event_that_is_told_twice_is_a_double() -> None:
    desk, promises = book()

    assert desk.heard(10, 11)
    assert not desk.heard(10, 11)
    assert {Promise.ONCE: 1} == promises.counts


def test_a_mark_that_goes_back_is_a_gap() -> None:
    desk, promises = book()
    desk.marked(12)
    desk.marked(11)

    assert {Promise.GAPLESS: 1} == promises.counts


@pytest.mark.parametrize("journal_first", [True, False])
def test_an_event_that_never_came_is_missed_though_the_chain_looks_whole(*, journal_first: bool) -> None:
    desk, promises = book()
    journal: list[Callable[[], object]] = [lambda: desk.journalled(11), lambda: desk.journalled(12)]
    socket: list[Callable[[], object]] = [lambda: desk.heard(10, 12)]
    for each in [*journal, *socket] if journal_first else [*socket, *journal]:
        each()
    desk.finish(12)

    assert {Promise.TOLD: 1} == promises.counts


def test_a_mark_that_passes_over_an_event_hides_nothing() -> None:
    desk, promises = book()
    desk.journalled(11)
    desk.marked(15)
    desk.finish(15)

    assert {Promise.TOLD: 1} == promises.counts


def test_what_was_told_but_never_committed_is_seen() -> None:
    desk, promises = book()
    desk.heard(10, 11)
    desk.finish(11)

    assert {Promise.TRUE: 1} == promises.counts


def test_what_happened_before_the_first_welcome_and_after_the_last_frame_is_not_missed() -> None:
    desk, promises = book()
    for seq in (9, 10, 11, 30):
        desk.journalled(seq)
    desk.heard(10, 11)
    desk.finish(30)

    assert {} == promises.counts


def test_a_connection_that_was_not_resumed_has_the_rest_in_its_snapshot() -> None:
    desk, promises = book()
    desk.heard(10, 11)
    desk.welcomed(20, resumed=False)
    for seq in (11, 15, 20, 21):
        desk.journalled(seq)
    desk.heard(20, 21)
    desk.finish(21)

    assert {} == promises.counts


@given(
    events=st.sets(st.integers(11, 60)),
    lost=st.sets(st.integers(11, 60)),
    journal_leads=st.lists(st.booleans(), min_size=120, max_size=120),
)
def test_however_socket_and_journal_interleave_exactly_the_lost_events_are_missed(
    events: set[int], lost: set[int], journal_leads: list[bool]
) -> None:
    desk, promises = book()
    journal, told = sorted(events), [seq for seq in sorted(events) if seq not in lost]
    prev = 10
    for leads in journal_leads:
        if (leads or not told) and journal:
            desk.journalled(journal.pop(0))
        elif told:
            desk.heard(prev, told[0])
            prev = told.pop(0)
    desk.marked(60)
    desk.finish(60)

    assert len(events & lost) == promises.count(Promise.TOLD)
    assert 0 == promises.count(Promise.TRUE, Promise.ONCE, Promise.GAPLESS)


# -- the whole centre ----------------------------------------------------------------------------------------------


class Journal:
    """Writes a journal as the service would, into a ledger."""

    def __init__(self) -> None:
        self.ledger = Ledger(DEMO, DEMO.staff(None), run_id="run", seq=100, speed=10)
        self._seqs: Iterator[int] = count(101)

    def say(self, kind: str, contact_id: str | None = "c1", agent_id: str | None = None, **data: Any) -> int:
        seq = next(self._seqs)
        event = {
            "seq": seq,
            "type": kind,
            "at": f"2026-11-21T20:38:{seq % 60:02d}.000Z",
            "contact_id": contact_id,
            "agent_id": agent_id,
            "data": data,
        }
        self.ledger.journalled([event])
        return seq

    def skip(self) -> None:
        next(self._seqs)

    def receive(self, contact_id: str = "c1", channel: str = "wechat") -> None:
        self.say("contact.received", contact_id, queue="logistics", channel=channel)

    def offer(self, contact_id: str = "c1", agent_id: str = "a4", channel: str = "wechat", cost: int = 25) -> int:
        data = {"assignment_id": f"{contact_id}-{agent_id}", "channel": channel, "cost": cost}
        return self.say("contact.offered", contact_id, agent_id, **data)

    def then(self, kind: str, contact_id: str = "c1", agent_id: str = "a4", **data: Any) -> int:
        return self.say(kind, contact_id, agent_id, assignment_id=f"{contact_id}-{agent_id}", **data)

    def answered_post(
        self, contact_id: str = "c1", external_id: str = "run-1", tags: tuple[str, ...] = LINE.tags
    ) -> None:
        self.ledger.posting(external_id, 1.0)
        self.ledger.acknowledged(external_id, LINE, {"id": contact_id, "state": "offered", "tags": list(tags)})

    def broken(self) -> dict[Promise, int]:
        for book in self.ledger.books.values():
            book.welcomed(10_000, resumed=False)  # nobody listens: what a desk hears is another test's matter
        self.ledger.finish(all_ended=True, journal_read=True)
        return self.ledger.promises.counts


def test_a_whole_life_keeps_every_promise() -> None:
    journal = Journal()
    journal.answered_post()
    journal.receive()
    journal.offer()
    journal.then("offer.declined")
    journal.say("contact.requeued", reason="declined")
    journal.offer(agent_id="a5")
    journal.then("contact.active", agent_id="a5")
    journal.then("assignment.wrap_up", agent_id="a5")
    journal.then("assignment.completed", agent_id="a5")
    journal.say("contact.closed", outcome="completed")

    assert {} == journal.broken()
    report = make(journal.ledger, elapsed_s=1, checked=0)
    assert report.ok
    assert (1, 0, 0) == (report.answered, report.abandoned, report.still_open)
    assert ["Nothing lost, nothing doubled, no gap: 0 gaps, 0 doubles."] == list(verdict(report))


def test_an_acknowledged_contact_that_is_not_in_the_journal_is_lost() -> None:
    journal = Journal()
    journal.answered_post()

    assert {Promise.NOTHING_LOST: 1} == journal.broken()
    report = make(journal.ledger, elapsed_s=1, checked=0)
    assert not report.ok
    assert "BROKEN PROMISE: nothing is lost" in next(verdict(report))


def test_a_contact_that_is_received_twice_is_a_double() -> None:
    journal = Journal()
    journal.answered_post()
    journal.receive()
    journal.receive()
    journal.say("contact.closed", outcome="abandoned")

    assert {Promise.NOTHING_DOUBLED: 1} == journal.broken()


@pytest.mark.parametrize("answer_first", [True, False])
def test_one_contact_that_answers_two_posts_is_a_double(*, answer_first: bool) -> None:
    journal = Journal()
    if not answer_first:
        journal.receive()
    journal.answered_post("c1", "run-1")
    journal.answered_post("c1", "run-2")
    if answer_first:
        journal.receive()
    journal.say("contact.closed", outcome="abandoned")

    assert {Promise.NOTHING_DOUBLED: 1} == journal.broken()


def test_a_post_that_became_two_contacts_is_a_double() -> None:
    journal = Journal()
    for contact_id in ("c1", "c2"):
        journal.receive(contact_id)
        journal.say("contact.closed", contact_id, outcome="abandoned")
    journal.answered_post("c1", "run-1")

    assert ["c2"] == journal.ledger.strangers
    journal.ledger.check_stranger({"id": "c2", "external_id": "run-1"})
    assert {Promise.NOTHING_DOUBLED: 1} == journal.broken()


def test_a_strangers_contact_raises_no_alarm() -> None:
    journal = Journal()
    journal.receive("c9")
    journal.ledger.check_stranger({"id": "c9", "external_id": None})
    journal.say("contact.requeued", "from-before", reason="agent_lost")
    journal.offer("from-before")

    assert {} == journal.broken()


def test_a_contact_that_is_offered_while_another_has_it_is_seen() -> None:
    journal = Journal()
    journal.answered_post()
    journal.receive()
    journal.offer(agent_id="a4")
    journal.offer(agent_id="a5")
    journal.then("assignment.completed", agent_id="a4")
    journal.then("assignment.completed", agent_id="a5")
    journal.say("contact.closed", outcome="completed")

    assert {Promise.ONE_AGENT: 1} == journal.broken()


@pytest.mark.parametrize(("channel", "cost", "taken"), [("wechat", 25, 4), ("voice", 100, 1)])
def test_an_agent_that_is_given_more_than_it_can_take_is_seen(channel: str, cost: int, taken: int) -> None:
    journal = Journal()
    for number in range(taken):
        journal.receive(f"c{number}", channel)
        journal.offer(f"c{number}", channel=channel, cost=cost)
    assert {} == journal.ledger.promises.counts

    journal.receive("more", channel)
    journal.offer("more", channel=channel, cost=cost)

    assert {Promise.CAPACITY: 1} == journal.ledger.promises.counts


def test_capacity_is_free_again_after_a_decline() -> None:
    journal = Journal()
    for number in range(3):
        journal.receive(f"c{number}", "voice")
        journal.offer(f"c{number}", channel="voice", cost=100)
        journal.then("offer.declined", f"c{number}")
        journal.say("contact.requeued", f"c{number}", reason="declined")

    assert {} == journal.ledger.promises.counts


def test_a_conversation_that_moved_on_takes_nothing_until_it_is_taken_again() -> None:
    journal = Journal()
    for number, channel, cost in ((1, "voice", 100), (2, "wechat", 25)):
        journal.receive(f"c{number}", channel)
        journal.offer(f"c{number}", channel=channel, cost=cost)
        if number == 1:
            journal.then("assignment.released", "c1")
    assert {} == journal.ledger.promises.counts
    journal.then("assignment.retaken", "c1")
    assert 1 == journal.broken()[Promise.CAPACITY], "both at once are too much"


def test_a_number_that_is_missing_in_the_journal_is_seen() -> None:
    journal = Journal()
    journal.receive()
    journal.skip()
    journal.say("contact.closed", outcome="abandoned")

    assert 1 == journal.broken()[Promise.JOURNAL]


def test_what_happens_to_a_closed_contact_is_seen() -> None:
    journal = Journal()
    journal.receive()
    journal.say("contact.closed", outcome="abandoned")
    journal.offer()

    assert 1 == journal.broken()[Promise.ORDER]


def test_other_tags_than_the_text_has_are_seen() -> None:
    journal = Journal()
    journal.receive()
    journal.answered_post(tags=("logistics", "refund"))
    journal.say("contact.closed", outcome="abandoned")

    assert {Promise.TAGS: 1} == journal.broken()


def test_a_contact_that_stays_open_is_seen() -> None:
    journal = Journal()
    journal.answered_post()
    journal.receive()

    assert {Promise.ENDS: 1} == journal.broken()


def test_get_and_journal_must_agree() -> None:
    journal = Journal()
    journal.answered_post()
    journal.receive()
    journal.say("contact.closed", outcome="abandoned")
    journal.ledger.check_contact("c1", {"state": "closed"})
    assert {} == journal.ledger.promises.counts

    journal.ledger.check_contact("c1", {"state": "waiting"})
    journal.ledger.check_contact("c1", None)

    assert {Promise.AGREEMENT: 2} == journal.broken()


def test_waits_are_told_in_the_centres_own_time() -> None:
    journal = Journal()
    journal.receive()
    journal.offer()
    journal.then("contact.active")

    # Two seconds of a clock that runs ten times as fast.
    assert [20.0] == list(journal.ledger.board.queues["logistics"].waits_s)
    assert 1.0 == journal.ledger.board.queues["logistics"].service_level


# -- people --------------------------------------------------------------------------------------------------------


def test_who_proves_its_number_is_one_customer_with_all_its_contacts() -> None:
    promises = Promises()
    people = People(promises)
    for number, channel in enumerate(("voice", "wechat", "voice")):
        contact = {"id": f"c{number}", "customer_id": "k1"}
        people.came(7, "王先生", channel, contact, tells="proven")
    (known,) = people.to_look_at("proven")
    view: dict[str, Any] = {
        "id": "k1",
        "last_agent_id": "a1",
        "timeline": {"items": [{"id": "c0"}, {"id": "c1"}], "next_cursor": None},
    }
    people.is_one(
        known, [{**view, "timeline": {**view["timeline"], "items": [{"id": f"c{each}"} for each in range(3)]}}]
    )
    assert {} == promises.counts
    assert "王先生 came 3 times, over voice and wechat, and was last served by a1" == people.example
    people.is_one(known, [view])
    people.is_one(known, [view, {**view, "id": "k2"}])
    people.is_one(known, [])
    assert {Promise.ONE_CUSTOMER: 3} == promises.counts


def test_what_went_wrong_is_told_by_kind() -> None:
    journal = Journal()
    for kind in ("no reply", "overloaded", "no reply"):
        journal.ledger.tally.error(kind, f"a7: {kind}")
    report = make(journal.ledger, elapsed_s=1, checked=0)
    assert not report.ok
    assert "ERRORS: 3 (2 no reply, 1 overloaded), the last: a7: no reply" in list(verdict(report))
