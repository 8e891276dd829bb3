"""An agent at its desktop: a stream, a presence, and a step for each thing on the desk.

What is on the desk follows from the events alone. Each of them sets the assignment's next step (answer the offer,
finish the conversation, end the wrap-up), and the step before is forgotten. So whatever happens, be it a broken
connection, a customer who hangs up or a service that starts again, the desk does what the service last told it.
"""

import asyncio
import contextlib
import json
import time
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from src.cli.simulate.api import Api, Declined, Gone
from src.cli.simulate.ledger import Ledger
from src.cli.simulate.pace import Pace, seeded
from src.cli.simulate.scenario import AgentHabits, Spread

SUBPROTOCOL: Final = Subprotocol("cordboard.v1")
FRAME_BYTES_MAX: Final = 4 * 1024 * 1024
OPEN_S_MAX: Final = 10.0
REPLY_S_MAX: Final = 20.0
RECONNECT_S_FIRST: Final = 0.2
RECONNECT_S_MAX: Final = 3.0
TOKEN_TTL_S: Final = 3600
TOKEN_SPARE_S: Final = 300
RETRY_S: Final = 0.5
REACTION_SHARE_MAX: Final = 0.6
"""An agent that means to answer does so before this share of the offer's time has passed."""

_REPLACED: Final = 4002
_BAD_TOKEN: Final = 4001
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

    api: Api
    stream_url: str
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


@dataclass(slots=True)
class _Line:
    """One open connection and the replies that are awaited on it."""

    socket: ClientConnection
    replies: dict[str, "asyncio.Future[Mapping[str, Any]]"] = field(default_factory=dict)

    def drop(self) -> None:
        """Nothing more comes: whoever waits for a reply learns of it."""
        for reply in self.replies.values():
            if not reply.done():
                reply.set_exception(Gone("the connection broke"))
                reply.exception()
        self.replies.clear()


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
        self._line: _Line | None = None
        self._online = asyncio.Event()
        self._token, self._token_until_s = "", 0.0
        self._away_s = 0.0
        self._refs = 0
        self._welcomed = False
        self._hurrying = False
        self._left = False
        self._back: asyncio.Task[None] | None = None
        self._whims: list[asyncio.Task[None]] = []

    # -- the connection -----------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a connection open, and open it again whenever it breaks."""
        self._whims = [asyncio.create_task(self._take_breaks()), asyncio.create_task(self._lose_connection())]
        pause_s = RECONNECT_S_FIRST
        try:
            while not self._left:
                self._welcomed = False
                try:
                    await self._connected()
                except ConnectionClosed as closed:
                    if self._closed_for_good(closed):
                        return
                except Declined as refusal:
                    if not refusal.passing:
                        raise
                except (OSError, InvalidHandshake, TimeoutError, Gone):
                    pass
                if not self._left:
                    pause_s = RECONNECT_S_FIRST if self._welcomed else min(pause_s * 2, RECONNECT_S_MAX)
                    away_s, self._away_s = self._away_s, 0.0
                    await asyncio.sleep(away_s or pause_s * self._rng.uniform(0.5, 1.0))
        finally:
            for task in [*self._whims, *(held.step for held in self.held.values()), self._back]:
                if task is not None:
                    task.cancel()

    def _closed_for_good(self, closed: ConnectionClosed) -> bool:
        code = closed.rcvd.code if closed.rcvd is not None else None
        if code == _BAD_TOKEN:
            self._token_until_s = 0.0
        if code == _REPLACED:
            self._tally.error(f"another desktop took over {self.agent_id}")
        return code == _REPLACED

    async def _connected(self) -> None:
        """One connection, from hello to its end."""
        token = await self._fresh_token()
        async with connect(
            self._floor.stream_url,
            subprotocols=[SUBPROTOCOL],
            compression=None,
            open_timeout=OPEN_S_MAX,
            max_size=FRAME_BYTES_MAX,
            proxy=None,
        ) as socket:
            hello: dict[str, Any] = {"type": "hello", "token": token}
            if self._book.last is not None:
                hello["after"] = self._book.last
            await socket.send(json.dumps(hello))
            async with asyncio.timeout(OPEN_S_MAX):
                welcome = msgspec.json.decode(await socket.recv())
            self._line = line = _Line(socket)
            self._welcome(welcome)
            greeting = asyncio.create_task(self._say("presence", **self._wanted))
            try:
                async for frame in socket:
                    self._frame(msgspec.json.decode(frame), line, welcome["seq"])
            finally:
                greeting.cancel()
                self._online.clear()
                line.drop()

    async def _fresh_token(self) -> str:
        if time.monotonic() > self._token_until_s:
            asked = {"agent_id": self.agent_id, "role": "agent", "ttl_s": TOKEN_TTL_S}
            self._token = (await self._floor.api.once("POST", "/v1/tokens", asked)).body["token"]
            self._token_until_s = time.monotonic() + TOKEN_TTL_S - TOKEN_SPARE_S
        return self._token

    def _welcome(self, welcome: Mapping[str, Any]) -> None:
        """Go on where the last connection ended, or begin anew from what the service says is on the desk."""
        resumed, again = welcome["resumed"], self._book.last is not None
        self._tally.reconnects += again
        self._book.welcomed(welcome["seq"], resumed=resumed)
        if not resumed:
            self._tally.not_resumed += again
            there = {each["assignment_id"]: each for each in welcome["snapshot"]["assignments"]}
            for assignment_id in self.held.keys() - there.keys():
                self._drop(assignment_id)
            for assignment_id, each in there.items():
                queue = (each["contact"] or {}).get("queue", "")
                held = self.held.setdefault(assignment_id, Held(assignment_id, each["channel"], queue, ""))
                if held.state != each["state"]:
                    self._enter(held, each["state"], each.get("expires_in_ms"))
        self._welcomed = True
        self._online.set()
        self.ready.set()

    def _frame(self, frame: Mapping[str, Any], line: _Line, welcome_seq: int) -> None:
        if frame["type"] == "event":
            event = frame["event"]
            if self._book.heard(frame["prev"], event["seq"]):
                self._event(event, old=event["seq"] <= welcome_seq)
        elif frame["type"] == "mark":
            self._book.marked(frame["seq"])
        elif frame["type"] == "reply":
            reply = line.replies.get(frame["ref"] or "")
            if reply is not None and not reply.done():
                reply.set_result(frame)

    # -- what is told -------------------------------------------------------------------------------------------

    def _event(self, event: Mapping[str, Any], *, old: bool) -> None:
        kind, data = event["type"], event["data"]
        assignment_id = data.get("assignment_id")
        if kind == "contact.offered":
            self._floor.ledger.on_desk(event, time.monotonic())
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
        while True:
            await self._online.wait()
            line = self._line
            assert line is not None
            self._refs += 1
            ref = str(self._refs)
            line.replies[ref] = asyncio.get_running_loop().create_future()
            try:
                await line.socket.send(json.dumps({"type": kind, "ref": ref, **said}))
                async with asyncio.timeout(REPLY_S_MAX):
                    reply = await line.replies[ref]
            except (ConnectionClosed, Gone):
                if self._line is line:
                    self._online.clear()
                continue
            except TimeoutError:
                self._tally.error(f"{self.agent_id}: no reply to {kind}")
                line.socket.transport.abort()
                continue
            finally:
                line.replies.pop(ref, None)
            if reply["ok"]:
                return
            problem = reply["problem"]
            if problem["status"] != 503:  # noqa: PLR2004  # come back later
                self._refused(kind, problem)
                return
            await asyncio.sleep(RETRY_S)

    def _refused(self, kind: str, problem: Mapping[str, Any]) -> None:
        if problem["code"] in _TOO_LATE:
            self._tally.too_late += 1
        else:
            self._tally.error(f"{self.agent_id}: {kind}: {problem['code']}: {problem['detail']}")

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
            await self._online.wait()
            if self._line is not None:
                self._tally.drops += 1
                self._away_s = pace.real_s(habits.outage.draw(self._rng))
                self._line.socket.transport.abort()

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
        self._left = True
        if self._line is not None:
            with contextlib.suppress(ConnectionClosed):
                await self._line.socket.close()
