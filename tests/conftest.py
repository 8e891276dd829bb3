"""What every test may ask for: a real PostgreSQL, and an empty database in it."""

import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from src.store.embedded import EmbeddedPostgres
from src.store.migrate import upgrade
from tests.support.service import Client, running


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedPostgres]:
    """One server for the whole run. Commits wait as in earnest, but nothing is forced to disk."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # run as root, the server is another user
        with EmbeddedPostgres(folder / "data", settings={"fsync": "off", "full_page_writes": "off"}) as server:
            yield server


@pytest.fixture
async def empty_database(postgres_server: EmbeddedPostgres) -> AsyncIterator[str]:
    """The URL of a database of the test's own, without any table; it is dropped afterwards."""
    name = f"test_{uuid.uuid4().hex}"
    administration = await asyncpg.connect(postgres_server.url("postgres"))
    try:
        await administration.execute(f'CREATE DATABASE "{name}"')
        yield postgres_server.url(name)
        await administration.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await administration.close()


@pytest.fixture
async def client(empty_database: str, tmp_path: Path) -> AsyncIterator[Client]:
    """The whole service over a database of the test's own, and a client with the admin key."""
    await upgrade(empty_database)
    async with running(empty_database, tmp_path) as found:
        yield found
