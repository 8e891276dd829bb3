"""`/readyz` tells the truth of each thing that a process stands on: while it is away, and when it is back."""

import asyncio
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from src.store.embedded import EmbeddedPostgres
from tests.support.faults.servers import RedisServer
from tests.support.service import Client, running

READY = {"status": "ready", "database": "ok", "lease": "ok", "ownership": "ok", "redis": "not_used", "tenants": 1}
BALANCER_S = 1.0
"""Whoever balances takes no answer within about a second for a no."""


async def _until(client: Client, code: int, **stands: Any) -> dict[str, Any]:
    """What it says, once it says so."""
    async with asyncio.timeout(30):
        while True:
            answer = await client.http.get("/readyz")
            said: dict[str, Any] = answer.json()
            if answer.status_code == code and stands.items() <= said.items():
                return said
            await asyncio.sleep(0.05)


async def test_a_database_that_is_silent_or_away_and_a_lease_that_is_lost(
    client: Client, database: str, postgres_server: EmbeddedPostgres
) -> None:
    assert await _until(client, 200, **READY) == READY
    name = urlsplit(database).path.removeprefix("/")
    locking = await asyncpg.connect(database)
    async with locking.transaction():
        await locking.execute("LOCK TABLE tenant_heads IN ACCESS EXCLUSIVE MODE")
        await _until(client, 503, status="not_ready", database="silent", redis="not_used")
    await locking.close()
    assert await _until(client, 200, **READY) == READY

    administration = await asyncpg.connect(postgres_server.url("postgres"))
    await administration.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
    await administration.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
    said = await _until(client, 503, status="not_ready", database="unreachable", lease="lost")
    assert name not in str(said), "nothing of how it is reached"
    assert "ok" == (await client.call("GET", "/healthz"))["status"]
    await administration.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
    await administration.close()
    await _until(client, 200, status="ready", database="ok", lease="ok")


async def test_redis_that_is_away_is_said_and_not_failed(database: str, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path)
    await redis.start()
    try:
        async with running(database, tmp_path, redis_url=f"redis://127.0.0.1:{redis.port}/0") as client:
            await _until(client, 200, redis="ok", ownership="ok")
            redis.kill()
            await _until(client, 200, status="ready", redis="unreachable", database="ok")
    finally:
        redis.kill()


@pytest.mark.parametrize("form", ["redis://127.0.0.1:{port}/0", "redis+sentinel://127.0.0.1:{port},[::1]:1/master"])
async def test_a_redis_that_is_silent_keeps_nobody_waiting_who_asks(database: str, tmp_path: Path, form: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it is connected to, and never says a word
        url = form.format(port=silent.getsockname()[1])
        async with running(database, tmp_path, redis_url=url) as client:
            await _until(client, 200, status="ready", redis="unreachable", database="ok")
            asked = [await client.http.get("/readyz") for _ in range(5)]
    assert BALANCER_S > min(each.elapsed.total_seconds() for each in asked)
