"""HTTP as a careful client speaks it: what may be repeated is, and every failure is one clear error."""

import asyncio
import random
import ssl
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx
import msgspec
from pydantic import BaseModel

from src.client.errors import Declined, NoAnswer

REQUEST_S_MAX: Final = 30.0
PATIENCE_S: Final = 60.0
"""For so long what may be repeated is asked again, unless the caller says otherwise."""

PAUSE_S_FIRST: Final = 0.1
PAUSE_S_MAX: Final = 3.0

Query = str | int | bool | None
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. `body` is its JSON, None where there is none; `attempts` counts how often it was asked for."""

    status: int
    content: bytes
    headers: Mapping[str, str]
    attempts: int = 1

    @property
    def body(self) -> Any:  # noqa: ANN401  # any JSON value
        """What was answered, as plain JSON values."""
        return msgspec.json.decode(self.content) if self.content else None

    def read(self, form: type[T]) -> T:
        """What was answered, as one of `src.api.forms.answers`."""
        return msgspec.json.decode(self.content, type=form)


class Http:
    """One credential's way to the service. Proxies of the environment are not asked: this talks to a service of yours.

    Each connection has a client of its own: the library's pool looks at all connections and all waiting requests
    whenever one of them changes, which takes most of the time once hundreds wait. A client whose request is cancelled
    may have lost its connection for good: it is closed, and another takes its place.
    """

    def __init__(
        self,
        url: str,
        credential: str,
        *,
        connections: int = 8,
        rng: random.Random | None = None,
        on_retry: Callable[[], None] | None = None,
    ) -> None:
        """`rng` throws the pauses between attempts; `on_retry` is called before each."""
        self.url = url.rstrip("/")
        self.credential = credential
        self._rng = rng or random.Random()  # noqa: S311  # nothing is kept secret by it
        self._on_retry = on_retry or (lambda: None)
        self._tls = ssl.create_default_context()
        self._clients: set[httpx.AsyncClient] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._free: asyncio.LifoQueue[httpx.AsyncClient | None] = asyncio.LifoQueue()
        for _ in range(connections):
            self._free.put_nowait(None)

    async def __aenter__(self) -> Self:
        """Open; connections are made when they are needed."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        await asyncio.gather(*self._closing, *(client.aclose() for client in self._clients))

    async def once(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, Query] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Ask once. `body` is JSON or a pydantic model; `query` leaves out what is None.

        Raises:
            NoAnswer: no answer came.
            Declined: the service refused.
        """
        content = None if body is None else _encoded(body)
        sent = dict(headers or {}) | ({} if content is None else {"content-type": "application/json"})
        wanted = {name: value for name, value in (query or {}).items() if value is not None}
        wait_s = wanted.get("wait_s")
        timeout = REQUEST_S_MAX + (wait_s if isinstance(wait_s, int) else 0)
        client = await self._free.get()
        try:
            client = client or self._open()
            response = await client.request(
                method, path, content=content, headers=sent, params=wanted or None, timeout=timeout
            )
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise NoAnswer(str(error) or type(error).__name__) from error
        except asyncio.CancelledError:
            if client is not None:
                self._give_up(client)
                client = None
            raise
        finally:
            self._free.put_nowait(client)
        if response.is_success:
            return Answer(response.status_code, response.content, response.headers)
        raise _declined(response)

    async def patiently(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        until: Callable[[], float] | None = None,
        query: Mapping[str, Query] | None = None,
        keyed: bool | None = None,
    ) -> Answer:
        """Ask again for as long as the service is away or busy, up to `until()` (monotonic seconds).

        Where it is `keyed` (None: every POST is), all attempts bear the same `Idempotency-Key`, so that it is done once
        however often it is sent.

        Raises:
            NoAnswer: still no answer when the time was over.
            Declined: the service refused for good, or was busy until the time was over.
        """
        if until is None:
            end = time.monotonic() + PATIENCE_S
            until = lambda: end  # noqa: E731  # a constant of the same form
        keyed = method == "POST" if keyed is None else keyed
        headers = {"idempotency-key": str(uuid.uuid4())} if keyed else None
        pause_s, attempts = PAUSE_S_FIRST, 1
        while True:
            try:
                answer = await self.once(method, path, body, query=query, headers=headers)
            except NoAnswer:
                wait_s = pause_s * self._rng.uniform(0.5, 1.0)
                if time.monotonic() + wait_s > until():
                    raise
            except Declined as refusal:
                wait_s = pause_s * self._rng.uniform(0.5, 1.0) + (refusal.retry_after_s or 0.0)
                if not refusal.passing or time.monotonic() + wait_s > until():
                    raise
            else:
                return Answer(answer.status, answer.content, answer.headers, attempts)
            self._on_retry()
            attempts += 1
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, PAUSE_S_MAX)

    def _open(self) -> httpx.AsyncClient:
        client = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {self.credential}"},
            limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
            trust_env=False,
            verify=self._tls,
        )
        self._clients.add(client)
        return client

    def _give_up(self, client: httpx.AsyncClient) -> None:
        self._clients.discard(client)
        task = asyncio.create_task(client.aclose())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _encoded(body: object) -> bytes:
    if isinstance(body, BaseModel):
        return body.model_dump_json(by_alias=True, exclude_unset=True).encode()
    return msgspec.json.encode(body)


def _declined(response: httpx.Response) -> Declined:
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        problem, code, detail = None, "unknown", response.reason_phrase
    advice = response.headers.get("retry-after", "")
    return Declined(response.status_code, code, detail, float(advice) if advice.isdigit() else None, problem)
