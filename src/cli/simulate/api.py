"""The public API as a careful client uses it: what may be repeated is, and every failure is one clear error."""

import asyncio
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import httpx

from src.cli.simulate.ledger import Tally
from src.cli.simulate.pace import seeded

REQUEST_S_MAX: Final = 30.0
CONNECTIONS_MAX: Final = 32
PAUSE_S_FIRST: Final = 0.1
PAUSE_S_MAX: Final = 3.0
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500


class Gone(Exception):
    """No answer came: the service is not there, or the connection broke. Whether it did what was asked is unknown."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A good answer. `attempts` counts how often it was asked for."""

    status: int
    body: Any
    attempts: int = 1


class Declined(Exception):
    """The service refused. `code` is the problem's, `retry_after_s` its advice."""

    def __init__(self, status: int, code: str, detail: str, retry_after_s: float | None) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.retry_after_s = retry_after_s

    @property
    def passing(self) -> bool:
        """Whether the same may be asked again later."""
        return self.status == _TOO_MANY or self.status >= _SERVER_ERROR


class Api:
    """One API key's way to the service. Proxies of the environment are not asked: this talks to a service of yours.

    Each connection has a client of its own: the library's pool looks at all connections and all waiting requests
    whenever one of them changes, which takes most of the time once hundreds wait.
    """

    def __init__(self, url: str, key: str, tally: Tally, seed: str) -> None:
        self._tally = tally
        self._rng = seeded(seed, "pauses")
        tls = ssl.create_default_context()
        self._clients = [
            httpx.AsyncClient(
                base_url=url,
                headers={"Authorization": f"Bearer {key}"},
                timeout=REQUEST_S_MAX,
                limits=httpx.Limits(max_connections=1, max_keepalive_connections=1),
                trust_env=False,
                verify=tls,
            )
            for _ in range(CONNECTIONS_MAX)
        ]
        self._free: asyncio.LifoQueue[httpx.AsyncClient] = asyncio.LifoQueue()
        for client in self._clients:
            self._free.put_nowait(client)

    async def __aenter__(self) -> Self:
        """Open."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all connections."""
        for client in self._clients:
            await client.aclose()

    async def once(self, method: str, path: str, body: Any = None, **query: str | int) -> Answer:  # noqa: ANN401  # JSON
        """Ask once.

        Raises:
            Gone: no answer came.
            Declined: the service refused.
        """
        client = await self._free.get()
        try:
            response = await client.request(method, path, json=body, params=query or None)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            raise Gone(str(error) or type(error).__name__) from error
        finally:
            self._free.put_nowait(client)
        if response.is_success:
            return Answer(response.status_code, response.json() if response.content else None)
        raise _declined(response)

    async def patiently(
        self,
        method: str,
        path: str,
        body: Any = None,  # noqa: ANN401  # JSON
        *,
        until: Callable[[], float],
    ) -> Answer:
        """Ask again for as long as the service is away or busy, up to `until()` (monotonic seconds).

        Only for what may be done twice: a contact with its `external_id`, a put, a cancel.

        Raises:
            Gone: still no answer when the time was over.
            Declined: the service refused for good, or was busy until the time was over.
        """
        pause_s, attempts = PAUSE_S_FIRST, 1
        while True:
            try:
                answer = await self.once(method, path, body)
            except Gone:
                wait_s = pause_s
                if time.monotonic() + wait_s > until():
                    raise
            except Declined as refusal:
                wait_s = max(pause_s, refusal.retry_after_s or 0.0)
                if not refusal.passing or time.monotonic() + wait_s > until():
                    raise
            else:
                return Answer(answer.status, answer.body, attempts)
            self._tally.retries += 1
            attempts += 1
            await asyncio.sleep(wait_s * self._rng.uniform(0.5, 1.0))
            pause_s = min(pause_s * 2, PAUSE_S_MAX)


def _declined(response: httpx.Response) -> Declined:
    try:
        problem = response.json()
        code, detail = str(problem["code"]), str(problem["detail"])
    except (ValueError, KeyError, TypeError):
        code, detail = "unknown", response.reason_phrase
    advice = response.headers.get("retry-after", "")
    return Declined(response.status_code, code, detail, float(advice) if advice.isdigit() else None)
