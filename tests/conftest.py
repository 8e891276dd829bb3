"""What every test may ask for: a real PostgreSQL, and an empty database in it."""

import os
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
from hypothesis import HealthCheck, settings

from src.app.ground import DEFAULT_TENANT, make_tenant
from src.store.embedded import EmbeddedPostgres
from src.store.migrate import upgrade
from src.store.postgres import PostgresStore
from src.store.tables import metadata
from tests.support.service import Client, running
from tests.support.told import check_journal

# A machine that is busy with other things is slow, not wrong; and what a change breaks does not depend on the day.
ANEW = "CORDBOARD_TEST_FIRST_TAPE" in os.environ
settings.register_profile("patient", deadline=None, derandomize=not ANEW, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server for the whole run. Commits wait as in earnest, but nothing is forced to disk."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # run as root, the server is another user
        with EmbeddedPostgres(folder / "data", settings={"fsync": "off", "full_page_writes": "off"}) as server:
            yield server


@asynccontextmanager
async def _database(server: EmbeddedPostgres, template: str = "template1") -> AsyncIterator[str]:
    """The URL of a new database, which is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    administration = await asyncpg.connect(server.url("postgres"))
    try:
        await administration.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        yield server.url(name)
        await administration.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await administration.close()


async def _empty(url: str) -> None:
    """Remove every row."""
    connection = await asyncpg.connect(url)
    await connection.execute("; ".join(f"DELETE FROM {each}" for each in metadata.tables))
    await connection.close()


@pytest.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database of the test's own, without any table; it is dropped afterwards."""
    async with _database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
async def migrated_template(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The name of a database with the schema and no rows, to be copied."""
    async with _database(postgres_server) as url:
        await upgrade(url)
        yield urlsplit(url).path.removeprefix("/")


@pytest.fixture
async def database(postgres_server: EmbeddedPostgres, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a database of the test's own, with the schema and no rows."""
    async with _database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture(scope="session")
async def reused_database(postgres_server: EmbeddedPostgres, migrated_template: str) -> AsyncIterator[str]:
    """The URL of a database that is emptied behind each test: a hundred times as quick as a copy."""
    async with _database(postgres_server, migrated_template) as url:
        yield url


@pytest.fixture
async def postgres_store(reused_database: str) -> AsyncIterator[PostgresStore]:
    """The store on a database that holds no rows."""
    store = await PostgresStore.open(reused_database)
    yield store
    await store.close()
    await _empty(reused_database)


@pytest.fixture
async def client(database: str, tmp_path: Path) -> AsyncIterator[Client]:
    """The whole service over a database of the test's own, and a client with the admin key."""
    async with running(database, tmp_path) as found:
        yield found
        await check_journal(found, DEFAULT_TENANT)


@pytest.fixture(scope="module")
async def shared(
    postgres_server: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """One service for all tests of a file; it may reach telephone systems on this machine."""
    async with (
        _database(postgres_server, migrated_template) as url,
        running(url, tmp_path_factory.mktemp("shared"), voice_networks="127.0.0.1/32") as found,
    ):
        yield found


@pytest.fixture
async def tenant(shared: Client) -> AsyncIterator[Client]:
    """A client with the admin key of a new tenant, at the service that the file's tests share."""
    notice = await make_tenant(shared.settings, shared.settings.database_url, uuid.uuid4().hex)
    client = Client(shared.url, notice.admin_key)
    client.settings, client.services = shared.settings, shared.services
    yield client
    for each in (client.http, *client.others):
        await each.aclose()
    await check_journal(client, notice.tenant)
