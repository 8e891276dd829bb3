"""Connections to PostgreSQL: how they are made, what is checked first, and what their errors mean here."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Final

import asyncpg

from src.errors import StartupError, StoreRejected, StoreUnreachable

SERVER_VERSION_MIN: Final = 14
CONNECT_S_MAX: Final = 10.0
ACQUIRE_S_MAX: Final = 10.0
CLOSE_S_MAX: Final = 1.0

STATEMENT_S_MAX: Final = 15
"""The server gives up a statement after this long, and with it whatever the statement holds back."""

ANSWER_S_MAX: Final = 20.0
"""Longer than any statement may run: a server that is silent for so long is taken to be gone."""

IDLE_IN_TRANSACTION_S_MAX: Final = 60
IDLE_S_MAX: Final = 300.0
STATEMENTS_KEPT: Final = 128
QUERIES_PER_CONNECTION_MAX: Final = 1_000_000

SETTINGS: Final = {
    "idle_in_transaction_session_timeout": f"{IDLE_IN_TRANSACTION_S_MAX}s",
    "jit": "off",
    "statement_timeout": f"{STATEMENT_S_MAX}s",
}

PINNED: Final = {
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
"""Plans of the hot statements: made once for each text, not for each call, and by key: they look up a few rows each."""

_REJECTIONS: Final = frozenset(
    {
        "21",  # cardinality violation: a row twice in one statement
        "22",  # data exception: a value that the type cannot hold
        "23",  # integrity constraint violation
        "44",  # with check option violation
        "54",  # program limit exceeded: a value too long for its index
    }
)
"""Classes of SQLSTATE that blame the data. https://www.postgresql.org/docs/current/errcodes-appendix.html"""

_ASYNCPG: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)


@asynccontextmanager
async def translated() -> AsyncIterator[None]:
    """Raise asyncpg's errors as the store's.

    Raises:
        StoreRejected: the database refused the data.
        StoreUnreachable: anything else: the connection, the server, or a timeout.
    """
    try:
        yield
    except asyncpg.PostgresError as error:
        if (error.sqlstate or "")[:2] in _REJECTIONS:
            raise StoreRejected(_blame(error)) from error
        raise StoreUnreachable(_cause(error)) from error
    except (ValueError, OverflowError) as error:
        # A value that cannot even be sent: asyncpg's own DataError is a ValueError, and so is a lone surrogate's.
        raise StoreRejected(_blame(error)) from error
    except (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError, StartupError) as error:
        raise StoreUnreachable(_cause(error)) from error


def _blame(error: Exception) -> str:
    """What was refused, without the values: they are customers' data, and PostgreSQL likes to quote them."""
    where = getattr(error, "constraint_name", None) or getattr(error, "column_name", None)
    return f"{type(error).__name__}: {where}" if where else type(error).__name__


def _cause(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"


@contextmanager
def reaching() -> Iterator[None]:
    """A connection is made inside.

    Raises:
        StartupError: there is none to be had; one line says why.
    """
    try:
        yield
    except TimeoutError as error:  # an OSError too, and one that says nothing
        raise StartupError(f"PostgreSQL does not answer within {CONNECT_S_MAX:.0f} s") from error
    except (*_ASYNCPG, OSError, EOFError) as error:
        raise StartupError(f"PostgreSQL cannot be used: {error}") from error
    except ValueError as error:
        raise StartupError("The URL of PostgreSQL is not one") from error


async def open_pool(url: str, *, connections_max: int) -> asyncpg.Pool:
    """A pool of checked connections with pinned plans. One of them is made at once.

    Raises:
        StartupError: the server cannot be used; one line says why.
    """
    with reaching():
        return await asyncpg.create_pool(
            url,
            min_size=1,
            max_size=connections_max,
            max_queries=QUERIES_PER_CONNECTION_MAX,
            max_inactive_connection_lifetime=IDLE_S_MAX,
            timeout=CONNECT_S_MAX,
            command_timeout=ANSWER_S_MAX,
            statement_cache_size=STATEMENTS_KEPT,
            max_cached_statement_lifetime=0,
            init=_prepare,
            reset=_as_it_is,
            server_settings={"application_name": "cordboard"},
        )


async def settle(connection: Any, settings: Mapping[str, str]) -> None:  # noqa: ANN401 - a pool's proxy, or its own
    """Give a new connection its settings.

    They are no startup parameters: PgBouncer lets those through only where its operator has told it so.
    """
    await connection.execute("; ".join(f"SET {name} = '{value}'" for name, value in settings.items()))


async def _prepare(connection: asyncpg.Connection) -> None:
    await settle(connection, {**SETTINGS, **PINNED})
    await check(connection)


async def close_pool(pool: asyncpg.Pool) -> None:
    """Disconnect in order; a server that is silent is not waited for."""
    try:
        async with asyncio.timeout(CLOSE_S_MAX):
            await pool.close()
    except (TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        pool.terminate()


async def check(connection: asyncpg.Connection) -> None:
    """Refuse a server that cannot keep the service's promises.

    Raises:
        StartupError: too old, or it acknowledges before it has written.
    """
    version = connection.get_server_version()
    if version.major < SERVER_VERSION_MIN:
        raise StartupError(f"PostgreSQL {SERVER_VERSION_MIN} or newer is needed; this one is {version.major}")
    if await connection.fetchval("SELECT current_setting('synchronous_commit')") == "off":
        raise StartupError("PostgreSQL has synchronous_commit = off: what it acknowledged could be lost. Turn it on")


async def _as_it_is(connection: Any) -> None:  # noqa: ANN401 - a pool's proxy of a connection
    """Give a connection back as it is: nothing here changes a session, so a round trip to clean it is saved."""
