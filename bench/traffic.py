"""Contacts and desktops over the public interface: each contact is posted, offered, accepted and completed at once."""

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Final

import msgspec

from bench.wire import Http, Socket

SKILLS: Final = 20
SKILLS_EACH: Final = 5
CUSTOMERS: Final = 10_000
IN_FLIGHT: Final = 100
BATCH: Final = 50
STUCK_S_MAX: Final = 30.0


class _Data(msgspec.Struct):
    assignment_id: str = ""


class _Event(msgspec.Struct):
    type: str
    contact_id: str | None = None
    data: _Data = msgspec.field(default_factory=_Data)


class _Frame(msgspec.Struct):
    type: str
    event: _Event | None = None
    ref: str | None = None
    ok: bool = True


class _Posted(msgspec.Struct):
    id: str


_FRAME: Final = msgspec.json.Decoder(_Frame)
_POSTED: Final = msgspec.json.Decoder(_Posted)


def skills_of(agent: int) -> tuple[str, ...]:
    """What an agent can do: five neighbours of twenty skills."""
    return tuple(f"skill{(agent + each) % SKILLS:02d}" for each in range(SKILLS_EACH))


@dataclass(slots=True)
class Figures:
    """What became of a time's traffic. Latencies in seconds: post to the offer on the desktop."""

    contacts: int = 0
    seconds: float = 0.0
    delivery_s: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        """Contacts a second, from end to end."""
        return self.contacts / self.seconds if self.seconds else 0.0


def _free(queue: "asyncio.Queue[Http]", poster: Http, _: "asyncio.Task[None]") -> None:
    queue.put_nowait(poster)


class Desk:
    """One agent's desktop: takes every offer and completes it at once. The number of the agent is in its id."""

    def __init__(self, traffic: "Traffic", number: int) -> None:
        self._traffic = traffic
        self.number = number
        self.ready = asyncio.Event()
        self.socket: Socket | None = None

    async def open(self, port: int, path: str, hello: bytes, *after: bytes) -> None:
        """Connect, and wait for the answer to each of these."""
        self.socket = await Socket.connect(port, path, self.hear)
        for each in (hello, *after):
            self.ready.clear()
            self.socket.send(each)
            await self.ready.wait()

    def hear(self, text: bytes) -> None:
        """The next frame."""
        frame, socket = _FRAME.decode(text), self.socket
        assert socket is not None
        if frame.type == "event":
            assert frame.event is not None
            if frame.event.type == "contact.offered":
                self._traffic.offered(frame.event.contact_id or "")
                assignment = frame.event.data.assignment_id
                socket.send(f'{{"type":"accept","assignment_id":"{assignment}","ref":"a{assignment}"}}'.encode())
        elif frame.type == "reply" and frame.ref and frame.ref[0] in "ac":
            if not frame.ok:
                self._traffic.failures.append(text)
            elif frame.ref[0] == "a":
                assignment = frame.ref[1:]
                socket.send(f'{{"type":"complete","assignment_id":"{assignment}","ref":"c{assignment}"}}'.encode())
            else:
                self._traffic.completed()
        elif frame.type != "mark":
            self.ready.set()


class Traffic:
    """Posts over some connections to a system and sees each contact through; `batch` contacts to a request."""

    def __init__(self, port: int, key: str, name: str) -> None:
        self.port, self.key = port, key
        self.failures: list[bytes] = []
        self.desks: list[Desk] = []
        self._name = name
        self._member: str | None = None
        self._posters: list[Http] = []
        self._numbers = count()
        self._free: deque[asyncio.Future[None]] = deque()
        self._room = IN_FLIGHT
        self.done = 0
        self._open = 0
        self._begun: dict[str, float] = {}
        self._early: dict[str, float] = {}
        self._delivery: list[float] = []

    async def connect(self, posters: int = 32) -> None:
        """Open the connections that contacts are posted over."""
        self._posters = [await Http.connect(self.port, self.key) for _ in range(posters)]

    def close(self) -> None:
        """Hang up everywhere."""
        for poster in self._posters:
            poster.close()
        for desk in self.desks:
            if desk.socket is not None:
                desk.socket.close()

    # -- told by the desks --------------------------------------------------------------------------------------

    def offered(self, contact_id: str) -> None:
        """A desktop has heard of a contact."""
        begun = self._begun.pop(contact_id, None)
        if begun is None:
            self._early[contact_id] = time.perf_counter()
        else:
            self._delivery.append(time.perf_counter() - begun)

    def completed(self) -> None:
        """A contact's life is over."""
        self.done += 1
        self._open -= 1
        self._room += 1
        while self._free and self._room > 0:
            waiting = self._free.popleft()
            if not waiting.done():
                waiting.set_result(None)
                break

    # -- loads --------------------------------------------------------------------------------------------------

    async def flat_out(self, seconds: float, batch: int = 1) -> Figures:
        """As many contacts as the system takes, a hundred at a time under way, or eight batches."""
        self._room = IN_FLIGHT if batch == 1 else 8 * batch
        stop_at = time.perf_counter() + seconds
        posters = self._posters if batch == 1 else self._posters[:8]
        tasks = [asyncio.create_task(self._post_on(poster, stop_at, batch)) for poster in posters]
        begin, done = time.perf_counter(), self.done
        await asyncio.sleep(seconds)
        took_s, lived = time.perf_counter() - begin, self.done - done
        await asyncio.gather(*tasks)
        await self.settled()
        return Figures(lived, took_s, self._take())

    async def steady(self, seconds: float, rate: float) -> Figures:
        """So many contacts a second, whether or not it keeps up; each delivery is timed from when it was due."""
        queue: asyncio.Queue[Http] = asyncio.Queue()
        for each in self._posters:
            queue.put_nowait(each)
        begin, tasks = time.perf_counter(), []
        for number in range(int(seconds * rate)):
            due = begin + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            poster = await queue.get()
            task = asyncio.create_task(self._post(poster, 1, due))
            task.add_done_callback(partial(_free, queue, poster))
            tasks.append(task)
        await asyncio.gather(*tasks)
        took_s = time.perf_counter() - begin
        await self.settled()
        return Figures(len(tasks), took_s, self._take())

    async def of_one(self, member: str, count: int) -> None:
        """See so many contacts of one customer through."""
        self._member = member
        for begin in range(0, count, BATCH):
            await self._post(self._posters[0], min(BATCH, count - begin), time.perf_counter())
        await self.settled()
        self._member = None

    async def settled(self) -> None:
        """Wait until everything posted has been completed."""
        last, moved_at = self._open, time.perf_counter()
        while self._open > 0:
            await asyncio.sleep(0.02)
            if self._open != last:
                last, moved_at = self._open, time.perf_counter()
            if self.failures or time.perf_counter() - moved_at > STUCK_S_MAX:
                raise RuntimeError(f"{self._name}: {self._open} contacts are stuck; {self.failures[:1]}")

    async def _post_on(self, poster: Http, stop_at: float, batch: int) -> None:
        while time.perf_counter() < stop_at:
            while self._room < batch:
                waiting = asyncio.get_running_loop().create_future()
                self._free.append(waiting)
                await waiting
            self._room -= batch
            await self._post(poster, batch, time.perf_counter())

    async def _post(self, poster: Http, batch: int, due: float) -> None:
        self._open += batch
        if batch == 1 and self._member is None:
            answer = _POSTED.decode(await poster.good("POST", "/v1/contacts", self._contact()))
            early = self._early.pop(answer.id, None)
            if early is None:
                self._begun[answer.id] = due
            else:
                self._delivery.append(early - due)
            return
        items = b",".join(self._contact() for _ in range(batch))
        answer_all = await poster.good("POST", "/v1/contacts:batch", b'{"items":[' + items + b"]}")
        if answer_all.count(b'"status":201') != batch:
            self.failures.append(answer_all[:300])

    def _contact(self) -> bytes:
        number = next(self._numbers)
        member = self._member or f"m{number % CUSTOMERS}"
        return (
            f'{{"channel":"voice","external_id":"{self._name}-{number}","identity":{{"type":"member","value":'
            f'"{member}"}},"tags":["skill{number % SKILLS:02d}"],"text":"my order has not come"}}'
        ).encode()

    def _take(self) -> list[float]:
        taken, self._delivery = self._delivery, []
        self._early.clear()
        self._begun.clear()
        return taken
