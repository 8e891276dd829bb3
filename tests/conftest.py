"""What every test may ask for: a real PostgreSQL, and an empty database in it."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from src.app.ground import DEFAULT_TENANT
from src.store.embedded import EmbeddedPostgres
from src.store.migrate import upgrade
from src.store.postgres import PostgresStore
from src.store.tables import metadata
from tests.support.service import Client, running
from tests.support.told import check_journal

# Reading all the authorities of the world takes a tenth of a second for each client, and no test asks the world.
os.environ["SSL_CERT_FILE"] = str(Path(__file__).parent / "fixtures/authority.pem")

# Processes that tests start keep what Python has compiled, as those of an operator do: it is a quarter of their start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A machine that is busy with other things is slow, not wrong; and what a change breaks does not depend on the day.
ANEW = "CORDBOARD_TEST_FIRST_TAPE" in os.environ
settings.register_profile("patient", deadline=None, derandomize=not ANEW, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

# Whole processes and real waits are slow; beside the last of them, quick files fill the time.
SLOW = ("fault", "integration", "browser", "mutation", "theory", "property")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow files, so that no process is left alone with one of them at the end."""
    order = {folder: rank for rank, folder in enumerate(SLOW)}
    items.sort(key=lambda item: order.get(item.path.relative_to(Path(__file__).parent).parts[0], len(SLOW)))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server for the whole run. Commits wait as in earnest, but nothing is forced to disk."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # run as root, the server is another user
        with EmbeddedPostgres(folder / "data", settings={"fsync": "off", "full_page_writes": "off"}) as server:
            yield server


async def _do(url: str, statement: str) -> Any:
    """The first row that a statement gives."""
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchrow(statement)
    finally:
        await connection.close()


async def _made(server: EmbeddedPostgres, template: str = "template1") -> str:
    """The URL of a new database."""
    name = f"test_{uuid.uuid4().hex}"
    await _do(server.url("postgres"), f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return server.url(name)


@asynccontextmanager
async def database_of(server: EmbeddedPostgres, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database, which is dropped afterwards."""
    url = await _made(server, template)
    yield url
    await _do(server.url("postgres"), f'DROP DATABASE "{_name(url)}" WITH (FORCE)')


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


_SHAPE = """
    SELECT (SELECT count(*) FROM pg_class WHERE NOT relispartition AND relnamespace = 'public'::regnamespace
            AND relname NOT LIKE 'pk_journal_2%'),
           (SELECT count(*) FROM pg_constraint JOIN pg_class ON conrelid = pg_class.oid WHERE NOT relispartition),
           (SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal)
"""


_EMPTYING = f"WITH {', '.join(f'{each}_gone AS (DELETE FROM {each})' for each in metadata.tables)} SELECT 1"


@pytest.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database of the test's own, without any table; it is dropped afterwards."""
    async with database_of(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The name of a database with the schema and no rows, to be copied."""
    async with database_of(postgres_server) as url:
        await upgrade(url)
        yield _name(url)


@pytest.fixture
async def new_database(postgres_server: EmbeddedPostgres, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a database with the schema that never held a row; it is dropped afterwards."""
    async with database_of(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
def databases() -> list[str]:
    """The URLs of databases that tests have left empty: to empty one is a hundred times as quick as to copy one."""
    return []


@pytest.fixture
async def database(
    postgres_server: EmbeddedPostgres, migrated_template: str, databases: list[str]
) -> AsyncIterator[str]:
    """The URL of a database of the test's own, with the schema and no rows."""
    url = databases.pop() if databases else await _made(postgres_server, migrated_template)
    yield url
    await _do(url, _EMPTYING)
    if await _do(url, _SHAPE) == await _do(postgres_server.url(migrated_template), _SHAPE):
        databases.append(url)


@pytest.fixture
async def postgres_store(database: str) -> AsyncIterator[PostgresStore]:
    """The store on a database that holds no rows."""
    store = await PostgresStore.open(database)
    yield store
    await store.close()


@pytest.fixture
async def client(database: str, tmp_path: Path) -> AsyncIterator[Client]:
    """The whole service over a database of the test's own, and a client with the admin key."""
    async with running(database, tmp_path) as found:
        yield found
        await check_journal(found, DEFAULT_TENANT)
