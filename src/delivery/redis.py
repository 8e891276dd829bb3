"""A client for Redis by URL: one server, or whichever server Sentinels call the master; plain or over TLS."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from src.errors import StartupError

ANSWER_S_MAX: Final = 1.0
"""A Redis that does not answer for so long counts as away."""

SENTINEL_PORT: Final = 26379
_TIMES: Final[dict[str, Any]] = {"socket_timeout": ANSWER_S_MAX, "socket_connect_timeout": ANSWER_S_MAX}
_TLS_OPTIONS: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"})
_FORMS: Final = (
    "redis://[user:password@]host[:port][/number], rediss://… for TLS, or "
    "redis+sentinel://[user:password@]host[:port],host[:port],…/master[/number], rediss+sentinel://… for TLS"
)


@asynccontextmanager
async def connect(url: str) -> AsyncIterator[Redis]:
    """A client for this URL, closed in the end. It connects when it is used.

    Options behind `?` are those of redis-py; `ssl_ca_certs=FILE` names the authority that signed the server's
    certificate. With Sentinels, `sentinel_password` (and `sentinel_username`) are what they ask for; user and password
    before the hosts are the master's.

    Raises:
        StartupError: it is no such URL.
    """
    client, sentinels = _clients(url)
    try:
        yield client
    finally:
        for each in (client, *sentinels):
            await each.aclose()


def _clients(url: str) -> tuple[Redis, Sequence[Redis]]:
    """The client, and those that ask the Sentinels for it."""
    try:
        if urlsplit(url).scheme in ("redis+sentinel", "rediss+sentinel"):
            return _by_sentinels(url)
        if urlsplit(url).scheme in ("redis", "rediss"):
            return Redis.from_url(url, **_TIMES), ()
    except (ValueError, TypeError, RedisError) as error:
        raise StartupError(f"CORDBOARD_REDIS_URL is not valid: {error}") from error
    raise StartupError(f"CORDBOARD_REDIS_URL must be {_FORMS}")


def _by_sentinels(url: str) -> tuple[Redis, Sequence[Redis]]:
    parts = urlsplit(url)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    master, _, number = parts.path.strip("/").partition("/")
    if not master or not hosts:
        raise StartupError(f"CORDBOARD_REDIS_URL must name Sentinels and a master: {_FORMS}")
    options: dict[str, Any] = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    sentinel: dict[str, Any] = {
        name: options.pop(f"sentinel_{name}") for name in ("username", "password") if f"sentinel_{name}" in options
    }
    if unknown := options.keys() - _TLS_OPTIONS:
        raise ValueError(f"the option {min(unknown)} is not known with Sentinels")
    if "ssl_check_hostname" in options:
        options["ssl_check_hostname"] = options["ssl_check_hostname"].lower() in ("true", "1", "yes")
    tls = {"ssl": True, **options} if parts.scheme.startswith("rediss") else {}
    login: dict[str, Any] = {"username": unquote(username) or None, "password": unquote(password) or None}
    watched = Sentinel(  # type: ignore[no-untyped-call]
        [_address(each) for each in hosts.split(",")], sentinel_kwargs={**_TIMES, **tls, **sentinel}
    )
    return watched.master_for(master, db=int(number or 0), **login, **_TIMES, **tls), watched.sentinels


def _address(text: str) -> tuple[str, int]:
    """Host and port; an IPv6 address stands in brackets."""
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError(f"{text!r} is no host")
    return parts.hostname, parts.port or SENTINEL_PORT
