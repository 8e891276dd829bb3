"""An agent at its desktop: a stream, a presence, and a step for each thing on the desk.

What is on the desk follows from the events alone. Each of them sets the assignment's next step (answer the offer,
finish the conversation, end the wrap-up), and the step before is forgotten. So whatever happens, be it a broken
connection, a customer who hangs up or a service that starts again, the desk does what the service last told it.
"""

import asyncio
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Final

from src.cli.simulate.ledger import Ledger
from src.cli.simulate.pace import Pace, seeded
from src.cli.simulate.scenario import AgentHabits, Spread
from src.client import Client, Declined, Event, NoAnswer, Replaced, Silent, Welcome

RECONNECT_S_MAX: Final = 3.0
REACTION_SHARE_MAX: Final = 0.6
"""An agent that means to answer does so before this share of the offer's time has passed."""

_TOO_LATE: Final = frozenset({"offer_ended", "invalid_state", "not_found", "forbidden"})
_ENDS: Final = frozenset(
    {
        "offer.declined",
        "offer.expired",
        "offer.revoked",
        "assignment.completed",
        "assignment.lost",
        "contact.transferred",
    }
)


@dataclass(frozen=True, slots=True)
class Floor:
    """What all desks share."""

    api: Client
    ledger: Ledger
    habits: AgentHabits
    wrap_up_s: Mapping[str, int]
    handling: Mapping[str, Spread]
    pace: Pace
    seed: str


@dataclass(slots=True)
class Held:
    """Something on the desk, and the step that is under way."""

    assignment_id: str
    channel: str
    queue: str
    state: str = "offered"
    step: "asyncio.Task[None] | None" = None


class Desk:
    """One agent. `run` lasts until `leave` was called, or another desktop took the agent over."""

    def __init__(self, agent_id: str, floor: Floor) -> None:
        self.agent_id = agent_id
        self.held: dict[str, Held] = {}
        self.ready = asyncio.Event()
        self._floor = floor
        self._book = floor.ledger.books[agent_id]
        self._tally = floor.ledger.tally
        self._rng = seeded(floor.seed, agent_id)
        self._wanted: dict[str, str] = {"status": "available"}
        self._stream = floor.api.desktop(
            agent_id,
            reconnect_s_max=RECONNECT_S_MAX,
            rng=seeded(floor.seed, f"{agent_id} line"),
            on_frame=self._overhear,
        )
        self._hurrying = False
        self._back: asyncio.Task[None] | None = None
        self._whims: list[asyncio.Task[None]] = []

    # -- the connection -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Do what the service says, until the connection is closed for good."""
        self._whims = [asyncio.create_task(each) for each in (self._take_breaks(), self._lose_connection())]
        greeting = asyncio.create_task(self._say("presence", **self._wanted))
        try:
            async with self._stream:
                async for each in self._stream:
                    if isinstance(each, Welcome):
                        self._begin_anew(each)
                    elif isinstance(each, Event):
                        self._event(each)
        except Replaced as error:
            self._tally.error("replaced", f"{self.agent_id}: {error}")
        finally:
            for task in [greeting, *self._whims, *(held.step for held in self.held.values()), self._back]:
                if task is not None:
                    task.cancel()

    def _overhear(self, frame: Mapping[str, Any]) -> None:
        """Keep the book by what comes over the socket itself, not by what the client makes of it."""
        kind = frame["type"]
        if kind == "welcome":
            again = self._book.last is not None
            self._tally.reconnects += again
            self._tally.not_resumed += again and not frame["resumed"]
            self._book.welcomed(frame["seq"], resumed=frame["resumed"])
            self.ready.set()
        elif kind == "event":
            event = frame["event"]
            if self._book.heard(frame["prev"], event["seq"]) and event["type"] == "contact.offered":
                self._floor.ledger.on_desk(event, time.monotonic())
        elif kind == "mark":
            self._book.marked(frame["seq"])

    def _begin_anew(self, welcome: Welcome) -> None:
        """Take what is on the desk from what the service says."""
        assert welcome.snapshot is not None
        there = {each.assignment_id: each for each in welcome.snapshot.assignments}
        for assignment_id in self.held.keys() - there.keys():
            self._drop(assignment_id)
        for assignment_id, each in there.items():
            queue = "" if each.contact is None else each.contact.queue
            held = self.held.setdefault(assignment_id, Held(assignment_id, each.channel, queue, ""))
            if held.state != each.state:
                self._enter(held, each.state, each.expires_in_ms)

    # -- what is told -------------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        kind, data, old = event.type, event.data, event.seq <= self._stream.head
        assignment_id = data.get("assignment_id", "")
        if kind == "contact.offered":
            queue = (data["contact"] or {}).get("queue", "")
            held = self.held[assignment_id] = Held(assignment_id, data["channel"], queue)
            self._enter(held, "offered", data["expires_in_ms"])
        elif kind in _ENDS:
            self._drop(assignment_id)
        elif assignment_id in self.held and kind == "contact.active":
            self._enter(self.held[assignment_id], "active", None)
        elif assignment_id in self.held and kind == "assignment.wrap_up":
            self._enter(self.held[assignment_id], "wrap_up", None)
        elif kind == "agent.presence" and not old and data["connected"] and data["status"] != self._wanted["status"]:
            self._come_back_later()

    def _enter(self, held: Held, state: str, expires_in_ms: int | None) -> None:
        """Take the step that this state asks for."""
        held.state = state
        if held.step is not None:
            held.step.cancel()
        held.step = asyncio.create_task(self._step(held, state, expires_in_ms))

    def _step(self, held: Held, state: str, expires_in_ms: int | None) -> Coroutine[Any, Any, None]:
        if state == "offered":
            return self._answer(held, expires_in_ms)
        if state == "active":
            return self._serve(held)
        return self._wrap_up(held)

    def _drop(self, assignment_id: str) -> None:
        held = self.held.pop(assignment_id, None)
        if held is not None and held.step is not None:
            held.step.cancel()

    # -- what the agent does ------------------------------------------------------------------------------------

    async def _answer(self, held: Held, expires_in_ms: int | None) -> None:
        habits, mood = self._floor.habits, self._rng.random()
        reaction_s = habits.reaction.draw(self._rng)
        if expires_in_ms is not None:
            reaction_s = min(reaction_s, expires_in_ms / 1000 * self._floor.pace.speed * REACTION_SHARE_MAX)
        if self._hurrying:
            await self._say("accept", assignment_id=held.assignment_id)
            return
        if mood < habits.miss_share:
            self._tally.missed += 1
            return
        await self._floor.pace.sleep(reaction_s)
        if mood < habits.miss_share + habits.decline_share:
            self._tally.declined += 1
            await self._say("decline", assignment_id=held.assignment_id, reason="not_now")
        else:
            await self._say("accept", assignment_id=held.assignment_id)

    async def _serve(self, held: Held) -> None:
        spread = self._floor.handling.get(held.channel) or next(iter(self._floor.handling.values()))
        if not self._hurrying:
            await self._floor.pace.sleep(spread.draw(self._rng))
        await self._say("complete", assignment_id=held.assignment_id, resolved=True, disposition="served")

    async def _wrap_up(self, held: Held) -> None:
        whole_s = self._floor.wrap_up_s.get(held.queue, 0)
        if not self._hurrying:
            await self._floor.pace.sleep(whole_s * self._floor.habits.wrap_up_share)
        await self._say("wrap_up_done", assignment_id=held.assignment_id)

    async def _say(self, kind: str, **said: Any) -> None:
        """Say something until it is answered. All of it may be said twice."""
        say = self._stream.always if kind == "presence" else self._stream.ask
        while True:
            try:
                await say(kind, **said)
            except Silent as error:
                self._tally.error("no reply", f"{self.agent_id}: {error}")
            except Declined as refusal:
                if not refusal.passing:
                    self._refused(kind, refusal)
                    return
            except NoAnswer:
                return  # the desk was left
            else:
                return

    def _refused(self, kind: str, refusal: Declined) -> None:
        if refusal.code in _TOO_LATE:
            self._tally.too_late += 1
        else:
            self._tally.error(refusal.code, f"{self.agent_id}: {kind}: {refusal.code}: {refusal.detail}")

    # -- whims --------------------------------------------------------------------------------------------------

    async def _take_breaks(self) -> None:
        habits, pace = self._floor.habits, self._floor.pace
        while True:
            await pace.sleep(self._rng.expovariate(1 / habits.break_every_s))
            self._tally.breaks += 1
            self._wanted = {"status": "away", "reason": "break"}
            await self._say("presence", **self._wanted)
            await pace.sleep(habits.break_.draw(self._rng))
            self._wanted = {"status": "available"}
            await self._say("presence", **self._wanted)

    async def _lose_connection(self) -> None:
        habits, pace = self._floor.habits, self._floor.pace
        while True:
            await pace.sleep(self._rng.expovariate(1 / habits.drop_every_s))
            await self._stream.online()
            self._tally.drops += 1
            self._stream.drop(pace.real_s(habits.outage.draw(self._rng)))

    def _come_back_later(self) -> None:
        """The service sent the agent away (too many missed offers): it is back after a moment."""
        if self._back is None or self._back.done():
            self._back = asyncio.create_task(self._come_back())

    async def _come_back(self) -> None:
        await self._floor.pace.sleep(self._floor.habits.reaction.draw(self._rng) * 2)
        await self._say("presence", **self._wanted)

    # -- closing time -------------------------------------------------------------------------------------------

    async def last_round(self) -> None:
        """No more breaks and broken connections: be there for whoever still waits."""
        for whim in self._whims:
            whim.cancel()
        self._wanted = {"status": "available"}
        await self._say("presence", **self._wanted)

    def hurry(self) -> None:
        """Finish everything at once."""
        self._hurrying = True
        for held in self.held.values():
            self._enter(held, held.state, 0)

    async def leave(self) -> None:
        """Go offline and hang up."""
        self._wanted = {"status": "offline"}
        await self._say("presence", **self._wanted)
        await self._stream.close()
