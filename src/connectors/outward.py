"""Out of the house: one request to somebody else's system, with everything about it bounded.

Only public addresses are called, unless the operator allows others. What counts is the address that is connected to:
the name is resolved here, once, and the connection goes to what was checked.
"""

import asyncio
import contextlib
import ipaddress
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final, Self

import httpcore
import httpx
import msgspec

from src.connectors.posts import BrokenOffError, NotConnectedError, Posts
from src.connectors.template import Asked
from src.connectors.transport import Transport

ANSWER_BYTES_MAX: Final = 256 * 1024
ANSWER_DEPTH_MAX: Final = 32
CONNECTIONS_MAX: Final = 64
IDLE_S_MAX: Final = 30.0
PAUSE_S: Final = 0.1
LOOKUP_S_MAX: Final = 5.0
LOOKUPS_MAX: Final = 64
"""Names that are looked up at a time. One whose servers are silent takes a thread for as long as the system waits."""

_PASSING: Final = frozenset({429, 502, 503, 504})
_OK: Final = 200
_NOT_FOUND: Final = 404
_AT_FAULT: Final = 500
_REDIRECTS: Final = range(300, 400)
_CREDENTIAL: Final = frozenset({401, 403})

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_PUBLIC_6: Final = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is given out for the whole Internet. What stands for IPv4 addresses (NAT64 of either prefix, and
IPv4-compatible ones) is outside, and what was once private (`fec0::/10`): `is_global` takes some of it for public.
"""

_NOWHERE: Final = (ipaddress.ip_network("192.88.99.0/24"), ipaddress.ip_network("3fff::/20"))
"""The relays of 6to4, which lead to IPv4 addresses unseen; addresses for documents. `is_global` knows neither."""


class Failed(Exception):
    """Nothing came of it. `code` is shown to agents; `passing`: another try may have an answer."""

    def __init__(self, code: str, *, passing: bool = False) -> None:
        super().__init__(code)
        self.code = code
        self.passing = passing


class ForbiddenAddressError(OSError):
    """The address is not one that may be called."""


def networks(text: str) -> Sequence[Network]:
    """Networks as an operator writes them: `10.1.0.0/16, fd00::/8`.

    Raises:
        ValueError: they are none.
    """
    return [ipaddress.ip_network(each.strip()) for each in text.split(",") if each.strip()]


def allowed(address: Address, also: Iterable[Network]) -> bool:
    """Whether an address may be called: it is public, or in a network that the operator allows."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return allowed(address.ipv4_mapped, also)
        if address.scope_id is not None:
            return False
    if any(address.version == each.version and address in each for each in also):
        return True
    if isinstance(address, ipaddress.IPv6Address) and (
        address not in _PUBLIC_6 or address.sixtofour is not None or address.teredo is not None
    ):
        return False
    if any(address.version == each.version and address in each for each in _NOWHERE):
        return False
    return address.is_global and not address.is_multicast


async def resolved(host: str, port: int, also: Iterable[Network]) -> str:
    """The address of a host that may be called.

    Raises:
        ForbiddenAddressError: it is not one that may be called.
        OSError: the name has no address.
    """
    try:
        async with asyncio.timeout(LOOKUP_S_MAX):
            found = await _looked_up(host.strip("[]"), port)
    except UnicodeError as error:
        raise OSError("the name is none") from error
    addresses = [ipaddress.ip_address(each[4][0]) for each in found]
    if not all(allowed(each, also) for each in addresses):
        raise ForbiddenAddressError
    return str(addresses[0])


_Found = Sequence[tuple[Any, ...]]
_under_way: Final[dict[tuple[asyncio.AbstractEventLoop, str, int], asyncio.Future[_Found]]] = {}
"""Lookups that have no answer yet: whoever asks for the same name waits for the same answer."""


async def _looked_up(host: str, port: int) -> _Found:
    """What the system knows of a name, asked in a thread of its own, for which the process does not wait when it ends.

    The loop's own way has a few threads for all: a handful of names whose servers are silent would hold up everybody's.
    """
    loop = asyncio.get_running_loop()
    key = loop, host, port
    asked = _under_way.get(key)
    if asked is None:
        if len(_under_way) >= LOOKUPS_MAX:
            raise OSError("too many names are being looked up")
        asked = _under_way[key] = loop.create_future()
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())  # also where nobody waits any more
        threading.Thread(target=_look_up, args=(key, asked), name="name", daemon=True).start()
    return await asyncio.shield(asked)


def _look_up(key: tuple[asyncio.AbstractEventLoop, str, int], asked: asyncio.Future[_Found]) -> None:
    loop, host, port = key
    tell: Callable[[], None]
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except Exception as error:  # noqa: BLE001  # it is told to whoever asked
        tell = partial(asked.set_exception, error)
    else:
        tell = partial(asked.set_result, found)

    def end() -> None:
        del _under_way[key]
        tell()

    try:
        loop.call_soon_threadsafe(end)
    except RuntimeError:  # the loop has ended meanwhile
        del _under_way[key]


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to addresses that may be called, and to no others."""

    def __init__(self, also: Sequence[Network]) -> None:
        self._also = also
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Resolve, look, connect."""
        try:
            address = await resolved(host, port, self._also)
        except ForbiddenAddressError:
            raise
        except OSError as error:
            raise httpcore.ConnectError("the name has no address") from error
        return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)


class Outward:
    """A client: httpx for what is asked, `Posts` for what is told.

    Cookies are not kept, and redirects not followed: they would lead anywhere.
    """

    def __init__(self, also: Sequence[Network] = (), connections_max: int = CONNECTIONS_MAX) -> None:
        self._posts = Posts(lambda host, port: resolved(host, port, also), connections_max)
        self._client = httpx.AsyncClient(
            transport=Transport(connections_max, kept=CONNECTIONS_MAX, idle_s=IDLE_S_MAX, network=_Guarded(also)),
            follow_redirects=False,
            trust_env=False,
            timeout=httpx.Timeout(None),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._posts.close()
        await self._client.aclose()

    async def fetch(self, asked: Asked, headers: Mapping[str, str], timeout_s: float, retries: int) -> Any:  # noqa: ANN401
        """The answer as JSON; None where the other system does not know the customer (404).

        Each try has `timeout_s` in all. `retries` more follow one that failed in passing, each after a longer pause.

        Raises:
            Failed: as `unreachable`, `timeout`, `forbidden_address`, `redirected`, `refused`, `failed`, `too_large` or
                `wrong_content`.
        """
        for left in range(retries, -1, -1):
            try:
                async with asyncio.timeout(timeout_s):
                    return await self._once(asked, headers)
            except TimeoutError:
                failed = Failed("timeout", passing=True)
            except Failed as error:
                failed = error
            if not failed.passing or not left:
                raise failed
            await asyncio.sleep(PAUSE_S * 2 ** (retries - left) * random.uniform(0.5, 1.5))  # noqa: S311
        raise AssertionError("there is at least one try")

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, str | None]:
        """Post JSON; the answer's status and its `Retry-After`. Its body says nothing.

        Where a connection that was kept is broken off, it is posted once more over a new one (`Posts`).

        Raises:
            Failed: as `unreachable` (nobody there), `failed` (broken off) or `forbidden_address`.
        """
        sent = {"content-type": "application/json", "user-agent": "Cordboard", "accept-encoding": "identity", **headers}
        try:
            return await self._posts.post(url, sent, body)
        except NotConnectedError as error:
            if isinstance(error.__cause__, ForbiddenAddressError):
                raise Failed("forbidden_address") from error
            raise Failed("unreachable", passing=True) from error
        except (BrokenOffError, httpx.InvalidURL) as error:
            raise Failed("failed", passing=True) from error

    async def call(self, method: str, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Ask once; the answer's status and its body.

        Raises:
            Failed: as of `post`, or `too_large`.
        """
        sent = {"accept": "application/json", "user-agent": "Cordboard", "accept-encoding": "identity", **headers}
        async with self._sent(method, url, sent, body) as answer:
            return answer.status_code, await _read(answer)

    @contextlib.asynccontextmanager
    async def _sent(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes
    ) -> AsyncIterator[httpx.Response]:
        try:
            async with self._client.stream(method, url, headers=headers, content=body) as answer:
                yield answer
        except ForbiddenAddressError as error:
            raise Failed("forbidden_address") from error
        except httpx.ConnectError as error:
            raise Failed("unreachable", passing=True) from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise Failed("failed", passing=True) from error
        finally:
            self._client.cookies.clear()

    async def _once(self, asked: Asked, headers: Mapping[str, str]) -> Any:  # noqa: ANN401
        sent = {"accept": "application/json", "accept-encoding": "identity", **headers}
        if asked.body is not None:
            sent["content-type"] = "application/json"
        try:
            async with self._client.stream(asked.method, asked.url, headers=sent, content=asked.body) as answer:
                _look_at(answer)
                return None if answer.status_code == _NOT_FOUND else _parsed(await _read(answer))
        except ForbiddenAddressError as error:
            raise Failed("forbidden_address") from error
        except httpx.InvalidURL as error:
            raise Failed("failed") from error
        except (httpx.HTTPError, OSError) as error:
            raise Failed("unreachable", passing=True) from error
        finally:
            self._client.cookies.clear()


def _look_at(answer: httpx.Response) -> None:
    status = answer.status_code
    if status == _NOT_FOUND:
        return
    if status in _REDIRECTS:
        raise Failed("redirected")
    if status in _CREDENTIAL:
        raise Failed("refused")
    if status != _OK:
        raise Failed("failed", passing=status in _PASSING or status == _AT_FAULT)
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    encoding = answer.headers.get("content-encoding", "identity").strip().lower()
    if (kind != "application/json" and not kind.endswith("+json")) or encoding != "identity":
        raise Failed("wrong_content")


async def _read(answer: httpx.Response) -> bytes:
    found = bytearray()
    async for chunk in answer.aiter_raw():
        found += chunk
        if len(found) > ANSWER_BYTES_MAX:
            raise Failed("too_large")
    return bytes(found)


def _parsed(text: bytes) -> Any:  # noqa: ANN401
    try:
        found = msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise Failed("wrong_content") from error
    level: list[Any] = [found]
    for _ in range(ANSWER_DEPTH_MAX):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return found
    raise Failed("wrong_content")
