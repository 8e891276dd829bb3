"""What the service stands on before it runs: its folder, its key, its database, and the tenants in it."""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from src.api.auth import SCOPES, key_hash, new_key
from src.config import Settings
from src.dispatch.clock import SystemClock, new_id
from src.dispatch.facts import KeyFact
from src.errors import Conflict, StartupError
from src.store import archive, replay
from src.store.embedded import EmbeddedPostgres, running_url
from src.store.postgres import PostgresStore
from src.store.queries import Queries
from src.store.schema import is_current
from src.store.seal import Sealer

DEFAULT_TENANT: Final = "default"
KEY_FILE: Final = "service.key"
ADMIN_KEY_CHARS_MIN: Final = 8


def data_dir(settings: Settings) -> Path:
    """The data folder, made if it is not there.

    Raises:
        StartupError: it cannot be made or written.
    """
    path = settings.data_dir.absolute()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"cannot use the data folder {path}: {error.strerror}") from error
    return path


def secret_key(settings: Settings) -> str:
    """The key that seals secrets: the operator's, or on the embedded default one that is made once and kept.

    Raises:
        StartupError: an existing database, and no key given.
    """
    given = settings.secret_key.get_secret_value()
    if given:
        return given
    if settings.database_url:
        raise StartupError("CORDBOARD_SECRET_KEY must be set together with CORDBOARD_DATABASE_URL")
    path = settings.data_dir / KEY_FILE
    try:
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(secrets.token_urlsafe(32))
        return path.read_text("ascii")
    except OSError as error:
        raise StartupError(f"cannot keep a key in {path}: {error.strerror}") from error


def sealer_of(settings: Settings) -> Sealer:
    """What seals and opens secrets: with the key, and for opening also with those from before.

    Raises:
        StartupError: an existing database, and no key given.
    """
    key, *before = secret_keys(settings)
    return Sealer(key, before)


def secret_keys(settings: Settings) -> list[str]:
    """The key, and those from before, the newest first.

    Raises:
        StartupError: an existing database, and no key given.
    """
    before = settings.previous_secret_keys.get_secret_value().split(",")
    return [secret_key(settings), *(each.strip() for each in before if each.strip())]


@contextlib.contextmanager
def database(settings: Settings) -> Iterator[str]:
    """The database's URL, migrated; the embedded one runs for as long as the context does."""
    if settings.database_url:
        asyncio.run(_migrated(settings.database_url))
        yield settings.database_url
        return
    with EmbeddedPostgres(settings.data_dir) as server:
        url = server.url()
        asyncio.run(_migrated(url))
        yield url


async def _migrated(url: str) -> None:
    if not await is_current(url):
        from src.store.migrate import upgrade  # noqa: PLC0415  # Alembic takes a while to import, and is seldom needed

        await upgrade(url)


@contextlib.contextmanager
def database_beside(settings: Settings) -> Iterator[str]:
    """The database's URL for a command that may run beside the service: the one that is running, if there is one."""
    running = None if settings.database_url else running_url(settings.data_dir)
    if running is not None:
        yield running
    else:
        with database(settings) as url:
            yield url


@dataclass(frozen=True, slots=True)
class Notice:
    """What a first start has to tell the operator, once."""

    tenant: str
    admin_key: str


async def create_tenant(store: PostgresStore, sealer: Sealer, name: str, key: str = "") -> Notice:
    """Make a tenant and its admin key; the key is told here and nowhere else.

    Raises:
        Conflict: there is one of that name.
    """
    given, hashed = (key, key_hash(key)) if key else new_key()
    fact = KeyFact(new_id(), hashed, "admin", SCOPES, SystemClock().now_ms())
    tenant = await store.create_tenant(name, sealer.seal(secrets.token_urlsafe(32)), fact)
    return Notice(tenant, given)


@contextlib.asynccontextmanager
async def opened(url: str, **options: int) -> AsyncIterator[PostgresStore]:
    """A store that is closed in the end."""
    store = await PostgresStore.open(url, **options)
    try:
        yield store
    finally:
        await store.close()


async def first_start(settings: Settings, store: PostgresStore, queries: Queries, sealer: Sealer) -> Notice | None:
    """Make the first tenant, on a database that has none.

    Raises:
        StartupError: the key that is given for it will not do.
    """
    if await queries.tenant_by_name(DEFAULT_TENANT) is not None:
        return None
    key = settings.admin_key.get_secret_value()
    if key and (len(key) < ADMIN_KEY_CHARS_MIN or not key.isascii() or not key.isprintable() or " " in key):
        raise StartupError(f"CORDBOARD_ADMIN_KEY must have {ADMIN_KEY_CHARS_MIN} printable ASCII characters or more")
    notice = await create_tenant(store, sealer, DEFAULT_TENANT, key)
    return None if key else notice


async def make_tenant(settings: Settings, url: str, name: str) -> Notice:
    """Make a tenant, also beside a service that is running: that one claims it by itself."""
    async with opened(url) as store:
        try:
            return await create_tenant(store, sealer_of(settings), name)
        except Conflict as error:
            raise StartupError(error.detail) from error


async def compare(url: str, name: str, archived: Path | None = None) -> list[str]:
    """Where the tables differ from the fold of the journal; empty: nowhere. `archived`: a folder to fold too."""
    async with opened(url) as store, Queries.over(url) as queries:
        tenant = await queries.tenant_by_name(name)
        if tenant is None:
            raise StartupError(f"there is no tenant {name}")
        if archived is None:
            return await replay.compare(store, tenant.id)
        own = (line.value for line in archive.read(archived) if line.tenant == tenant.id)
        return await replay.compare(store, tenant.id, own)


def archive_dir(settings: Settings) -> Path | None:
    """Where the journal is archived; None: nothing is dropped.

    Raises:
        StartupError: it is to be dropped, and there is no place of the operator's choice for the archive.
    """
    if settings.archive_dir is None and settings.database_url:
        if settings.journal_keep_days:
            raise StartupError("CORDBOARD_ARCHIVE_DIR must be set together with CORDBOARD_JOURNAL_KEEP_DAYS")
        return None
    return settings.archive_dir or settings.data_dir / "archive"
