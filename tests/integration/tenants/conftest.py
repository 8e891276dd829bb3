"""Here each test has a tenant of its own, at a service that all tests of a file share: it is there at once."""

import uuid
from collections.abc import AsyncIterator

import pytest

from src.app.ground import make_tenant
from src.store.embedded import EmbeddedPostgres
from tests.conftest import database_of
from tests.support.service import Client, running
from tests.support.told import check_journal


@pytest.fixture(scope="module")
async def shared(
    postgres_server: EmbeddedPostgres, migrated_template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Client]:
    """One service for all tests of a file; it may reach telephone systems on this machine."""
    async with (
        database_of(postgres_server, migrated_template) as url,
        running(url, tmp_path_factory.mktemp("shared"), voice_networks="127.0.0.1/32") as found,
    ):
        yield found


@pytest.fixture
async def tenant(shared: Client) -> AsyncIterator[Client]:
    """A client with the admin key of a new tenant."""
    notice = await make_tenant(shared.settings, shared.settings.database_url, uuid.uuid4().hex)
    client = Client(shared.url, notice.admin_key)
    client.settings, client.services = shared.settings, shared.services
    yield client
    for each in (client.http, *client.others):
        await each.aclose()
    await check_journal(client, notice.tenant)


@pytest.fixture
def client(tenant: Client) -> Client:
    """The same: most tests do not care whose service it is."""
    return tenant
