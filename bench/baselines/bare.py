"""The fastest that plain ASGI does: matching in memory, group commit by `unnest`, told after the commit.

No credentials, validation, idempotency, timers, journal, trace, recovery: what these cost the service is its distance
from here.
"""

import asyncio
import os
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final

import asyncpg
import msgspec
import uvicorn
import uvloop

_SCHEMA: Final = """
CREATE TABLE contacts (
  id bigint PRIMARY KEY, external_id text NOT NULL, member text NOT NULL, skill text NOT NULL, body text NOT NULL,
  state text NOT NULL, agent_id text);
"""
_COMMIT: Final = """
INSERT INTO contacts SELECT * FROM unnest(
  $1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[])
ON CONFLICT (id) DO UPDATE SET state = excluded.state, agent_id = excluded.agent_id"""


class Identity(msgspec.Struct):
    """Who."""

    type: str
    value: str


class Posted(msgspec.Struct):
    """What is posted."""

    channel: str
    external_id: str
    identity: Identity
    tags: list[str]
    text: str


class Many(msgspec.Struct):
    """Several."""

    items: list[Posted]


class Frame(msgspec.Struct):
    """What a desktop says."""

    type: str
    assignment_id: str = ""
    ref: str = ""
    agent_id: str = ""
    skills: list[str] = []


_POSTED: Final = msgspec.json.Decoder(Posted)
_MANY: Final = msgspec.json.Decoder(Many)
_FRAME: Final = msgspec.json.Decoder(Frame)


class Contact:
    """A contact."""

    __slots__ = ("agent_id", "id", "posted", "state")

    def __init__(self, number: int, posted: Posted) -> None:
        self.id, self.posted, self.state = number, posted, "waiting"
        self.agent_id: str | None = None

    def row(self) -> tuple[Any, ...]:
        """As it is stored."""
        posted = self.posted
        return (
            self.id,
            posted.external_id,
            posted.identity.value,
            posted.tags[0],
            posted.text,
            self.state,
            self.agent_id,
        )


class Router:
    """The contact centre in memory."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._numbers = count(1)
        self._free: dict[str, deque[str]] = defaultdict(deque)
        self._waiting: dict[str, deque[Contact]] = defaultdict(deque)
        self._is_free: set[str] = set()
        self._skills: dict[str, list[str]] = {}
        self._contacts: dict[int, Contact] = {}
        self._changed: dict[int, Contact] = {}
        self._then: list[Callable[[], None]] = []
        self._wake = asyncio.Event()
        self.desktops: dict[str, asyncio.Queue[str]] = {}

    def committed(self) -> "asyncio.Future[None]":
        """Done once everything so far is committed."""
        future = asyncio.get_running_loop().create_future()

        def done() -> None:
            if not future.done():
                future.set_result(None)

        self.after(done)
        return future

    def after(self, then: Callable[[], None]) -> None:
        """Do something behind the next commit."""
        self._then.append(then)
        self._wake.set()

    def arrive(self, agent_id: str, skills: list[str]) -> None:
        """An agent is there."""
        self._skills[agent_id] = skills
        self._free_again(agent_id)

    def take(self, posted: Posted) -> Contact:
        """A contact comes."""
        contact = Contact(next(self._numbers), posted)
        self._contacts[contact.id] = self._changed[contact.id] = contact
        skill = posted.tags[0]
        free = self._free[skill]
        while free:
            agent_id = free.popleft()
            if agent_id in self._is_free:
                self._offer(contact, agent_id)
                return contact
        self._waiting[skill].append(contact)
        return contact

    def obey(self, frame: Frame, agent_id: str) -> None:
        """An agent accepts or completes."""
        contact = self._contacts[int(frame.assignment_id)]
        self._changed[contact.id] = contact
        if frame.type == "accept":
            contact.state = "active"
        else:
            contact.state = "closed"
            del self._contacts[contact.id]
            self._free_again(agent_id)
        out = self.desktops[agent_id]
        self.after(lambda: out.put_nowait(f'{{"type":"reply","ref":"{frame.ref}","ok":true}}'))

    def _free_again(self, agent_id: str) -> None:
        skills = self._skills[agent_id]
        waiting = [self._waiting[each] for each in skills if self._waiting[each]]
        if waiting:
            first = min(waiting, key=lambda each: each[0].id)
            self._offer(first.popleft(), agent_id)
            return
        self._is_free.add(agent_id)
        for each in skills:
            self._free[each].append(agent_id)

    def _offer(self, contact: Contact, agent_id: str) -> None:
        self._is_free.discard(agent_id)
        contact.state, contact.agent_id = "offered", agent_id
        self._changed[contact.id] = contact
        event = (
            f'{{"type":"event","event":{{"type":"contact.offered","contact_id":"{contact.id}",'
            f'"data":{{"assignment_id":"{contact.id}"}}}}}}'
        )
        out = self.desktops[agent_id]
        self.after(lambda: out.put_nowait(event))

    async def run(self) -> None:
        """Commit whatever has changed, then tell."""
        async with self._pool.acquire() as connection:
            while True:
                await self._wake.wait()
                self._wake.clear()
                changed, self._changed = self._changed, {}
                then, self._then = self._then, []
                if changed:
                    columns = list(zip(*(each.row() for each in changed.values()), strict=True))
                    await connection.execute(_COMMIT, *columns)
                for each in then:
                    each()


class App:
    """Plain ASGI."""

    def __init__(self, router: Router) -> None:
        self._router = router

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # noqa: ANN401
        """A request or a socket."""
        if scope["type"] == "websocket":
            await self._stream(receive, send)
            return
        body = b""
        if scope["method"] == "POST":
            while True:
                message = await receive()
                body += message["body"]
                if not message.get("more_body"):
                    break
        answer, status = await self._answer(scope["path"], body)
        head = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": answer})

    async def _answer(self, path: str, body: bytes) -> tuple[bytes, int]:
        if path == "/readyz":
            return b"{}", 200
        if path == "/v1/contacts":
            taken = [self._router.take(_POSTED.decode(body))]
        else:
            taken = [self._router.take(each) for each in _MANY.decode(body).items]
        await self._router.committed()
        shown = [msgspec.json.encode({"id": str(each.id), "state": each.state}) for each in taken]
        if path == "/v1/contacts":
            return shown[0], 201
        return b'{"items":[' + b",".join(b'{"status":201,"contact":' + each + b"}" for each in shown) + b"]}", 200

    async def _stream(self, receive: Any, send: Any) -> None:  # noqa: ANN401
        await receive()
        await send({"type": "websocket.accept"})
        hello = _FRAME.decode((await receive())["text"])
        out: asyncio.Queue[str] = asyncio.Queue()
        self._router.desktops[hello.agent_id] = out
        await send({"type": "websocket.send", "text": '{"type":"welcome"}'})
        writer = asyncio.create_task(self._write(out, send))
        self._router.arrive(hello.agent_id, hello.skills)
        while (message := await receive())["type"] == "websocket.receive":
            self._router.obey(_FRAME.decode(message["text"]), hello.agent_id)
        writer.cancel()

    async def _write(self, out: "asyncio.Queue[str]", send: Any) -> None:  # noqa: ANN401
        while True:
            await send({"type": "websocket.send", "text": await out.get()})


async def main() -> None:
    """Serve."""
    pool = await asyncpg.create_pool(os.environ["CORDBOARD_DATABASE_URL"], min_size=1, max_size=2)
    await pool.execute(_SCHEMA)
    router = Router(pool)
    task = asyncio.create_task(router.run())
    config = uvicorn.Config(
        App(router),
        port=int(os.environ["CORDBOARD_PORT"]),
        http="httptools",
        ws="websockets-sansio",
        ws_per_message_deflate=False,
        log_level="warning",
        access_log=False,
        lifespan="off",
    )
    await uvicorn.Server(config).serve()
    task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
