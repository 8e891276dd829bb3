"""Everything that was seen, held against each other: what customers were answered, desks were told, the journal says.

Pure but for the times that it is handed: `monotonic` seconds for latencies, the service's own milliseconds for waits.
"""

from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from src.api.schemas import AgentBody
from src.cli.simulate.board import Board, QueueFigures, milliseconds
from src.cli.simulate.pace import seeded
from src.cli.simulate.people import People
from src.cli.simulate.promises import DeskBook, Promise, Promises
from src.cli.simulate.scenario import Line, Scenario

RECENT_SHOWN: Final = 12
RECENT_LATENCIES: Final = 500
SAMPLE_MAX: Final = 200
"""Closed contacts that are asked for at the end, drawn evenly from all."""


@dataclass(slots=True)
class Tally:
    """Plain counts."""

    posted: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    refused: int = 0
    retries: int = 0
    given_up: int = 0
    declined: int = 0
    missed: int = 0
    breaks: int = 0
    drops: int = 0
    reconnects: int = 0
    not_resumed: int = 0
    too_late: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    last_error: str = ""

    def retried(self) -> None:
        """Something was asked for again."""
        self.retries += 1

    def error(self, kind: str, what: str) -> None:
        """Something went wrong that is no broken promise, but should not be; counted by what kind it is of."""
        self.errors[kind] += 1
        self.last_error = what


@dataclass(frozen=True, slots=True)
class Shown:
    """One assignment for the picture: what was said, whereto it went, and how long that took.

    `took_s` is real seconds from the post to the desk where the contact was offered at once (`at_once`), else seconds
    of the centre's clock.
    """

    said: str
    queue: str
    agent: str
    took_s: float
    at_once: bool


@dataclass(slots=True)
class Latencies:
    """Real seconds from a post to the frame on the desk, of contacts that were offered at once."""

    all_s: "array[float]" = field(default_factory=lambda: array("f"))
    recent_s: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_LATENCIES))

    def add(self, took_s: float) -> None:
        """One more."""
        self.all_s.append(took_s)
        self.recent_s.append(took_s)


class Ledger:
    """The books of one run. `seq` is where the journal stood when it began; `run_id` marks its external ids.

    Whoever stands in `listeners` is called when the journal tells something of that contact.
    """

    def __init__(
        self,
        scenario: Scenario,
        staff: Mapping[str, AgentBody],
        *,
        run_id: str,
        seq: int,
        speed: float,
        tally: Tally | None = None,
    ) -> None:
        self.run_id = run_id
        self.speed = speed
        self.tally = tally or Tally()
        self.promises = Promises()
        figures = {
            name: QueueFigures(queue.service_level.within_s, queue.service_level.percent)
            for name, queue in scenario.queues.items()
        }
        self.board = Board(staff, figures, self.promises, seq=seq, speed=speed)
        self.books = {agent_id: DeskBook(agent_id, self.promises) for agent_id in staff}
        self.people = People(self.promises)
        self.recent: deque[Shown] = deque(maxlen=RECENT_SHOWN)
        self.latencies = Latencies()
        self.sample: list[str] = []
        self.listeners: dict[str, Callable[[], None]] = {}
        self._names = {agent_id: agent.name for agent_id, agent in staff.items()}
        self._posting: dict[str, float] = {}
        self._unconfirmed: dict[str, str] = {}
        self._strangers: dict[str, None] = {}
        self._acknowledged: set[str] = set()
        self._rng = seeded(run_id, "sample")

    # -- from the customers -------------------------------------------------------------------------------------

    def posting(self, external_id: str, at_s: float) -> None:
        """A contact is about to be posted, at `at_s` (monotonic)."""
        self.tally.posted += 1
        self._posting[external_id] = at_s

    def acknowledged(self, external_id: str, line: Line, contact: Mapping[str, Any]) -> None:
        """The service took the contact and answered with it."""
        self.tally.acknowledged += 1
        contact_id = contact["id"]
        if self._strangers.pop(contact_id, _NOT_THERE) is _NOT_THERE:
            if contact_id in self._unconfirmed or self.board.knows(contact_id):
                self.promises.broken(Promise.NOTHING_DOUBLED, f"{external_id} was answered with another's {contact_id}")
            else:
                self._unconfirmed[contact_id] = external_id
        self._acknowledged.add(external_id)
        if contact["state"] != "offered":
            self._posting.pop(external_id, None)
        tags = tuple(sorted(contact["tags"]))
        if tags != line.tags:
            self.promises.broken(Promise.TAGS, f"{line.text!r} got {list(tags)}, not {list(line.tags)}")

    def unanswered(self, external_id: str) -> None:
        """Nobody answered the post, however often; whether the contact is there is unknown, and either is right."""
        self.tally.unanswered += 1
        self._posting.pop(external_id, None)

    def refused(self, external_id: str, why: str) -> None:
        """The service refused the contact."""
        self.tally.refused += 1
        self.tally.error("a contact refused", f"a contact was refused: {why}")
        self._posting.pop(external_id, None)

    # -- from the desks -----------------------------------------------------------------------------------------

    def on_desk(self, event: Mapping[str, Any], at_s: float) -> None:
        """An offer reached its desk at `at_s` (monotonic)."""
        contact = event["data"].get("contact")
        if contact is None:
            return
        at_once = contact["created_at"] == event["at"]
        posted_s = self._posting.pop(contact["external_id"] or "", None)
        if at_once and posted_s is not None:
            took_s = at_s - posted_s
            self.latencies.add(took_s)
        else:
            at_once = False
            took_s = (milliseconds(event["at"]) - milliseconds(contact["created_at"])) / 1000 * self.speed
        agent = f"{event['agent_id']} {self._names.get(event['agent_id'], '')}".strip()
        said = contact["text"] or f"({contact['channel']}) {', '.join(contact['tags']) or 'no key pressed'}"
        self.recent.append(Shown(said, contact["queue"], agent, took_s, at_once))

    # -- from the journal ---------------------------------------------------------------------------------------

    def journalled(self, events: Sequence[Mapping[str, Any]]) -> None:
        """The next events of the journal."""
        for event in events:
            contact_id, agent_id = event["contact_id"], event["agent_id"]
            if (
                event["type"] == "contact.received"
                and not self.board.knows(contact_id)
                and self._unconfirmed.pop(contact_id, None) is None
            ):
                self._strangers[contact_id] = None
            self.board.tell(event)
            self.people.journalled(event["type"])
            if agent_id in self.books:
                self.books[agent_id].journalled(event["seq"])
            if event["type"] == "contact.closed":
                self._maybe_sample(contact_id)
            if contact_id in self.listeners:
                self.listeners[contact_id]()

    def state(self, contact_id: str) -> str:
        """The state of a contact as far as the journal was read."""
        tracked = self.board.open.get(contact_id)
        if tracked is not None:
            return tracked.state
        return "closed" if contact_id in self.board.closed else "waiting"

    def _maybe_sample(self, contact_id: str) -> None:
        """Keep an even sample of the closed contacts (Vitter's algorithm R)."""
        if len(self.sample) < SAMPLE_MAX:
            self.sample.append(contact_id)
        elif (place := self._rng.randrange(len(self.board.closed) + 1)) < SAMPLE_MAX:
            self.sample[place] = contact_id

    # -- at the end ---------------------------------------------------------------------------------------------

    @property
    def strangers(self) -> list[str]:
        """Contacts in the journal that no answer named: another's, or of a post that nobody answered."""
        return list(self._strangers)

    def check_stranger(self, contact: Mapping[str, Any]) -> None:
        """Look at a contact that no answer named."""
        external_id = contact["external_id"]
        if external_id in self._acknowledged:
            self.promises.broken(Promise.NOTHING_DOUBLED, f"{external_id} is also contact {contact['id']}")

    def check_contact(self, contact_id: str, contact: Mapping[str, Any] | None) -> None:
        """Hold what GET says of a contact (None: it is not there) against the journal."""
        tracked = self.board.open.get(contact_id)
        state = "closed" if tracked is None else tracked.state
        if contact is None:
            self.promises.broken(Promise.AGREEMENT, f"{contact_id} is {state}, but GET does not find it")
        elif contact["state"] != state:
            self.promises.broken(Promise.AGREEMENT, f"{contact_id} is {state}, but GET says {contact['state']}")

    def finish(self, *, all_ended: bool, journal_read: bool) -> None:
        """Hold the books against the journal. `all_ended`: whoever was left was sent home.

        Where it was not read to its end (`journal_read` is false), nobody is missing in it yet.
        """
        for contact_id, external_id in self._unconfirmed.items() if journal_read else ():
            self.promises.broken(Promise.NOTHING_LOST, f"{external_id} was answered with {contact_id}")
        for book in self.books.values():
            book.finish(self.board.seq)
        for contact_id, tracked in self.board.open.items() if all_ended else ():
            if contact_id not in self._strangers:
                self.promises.broken(Promise.ENDS, f"{contact_id} is {tracked.state}")


_NOT_THERE: Final = object()
