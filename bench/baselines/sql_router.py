"""A router in SQL: contacts and agents are rows, and `FOR UPDATE SKIP LOCKED` finds who gets what. No HTTP, no push."""

import asyncio
import time
from typing import Final

import asyncpg

from bench.traffic import SKILLS, skills_of

AGENTS: Final = 1_000
CLIENTS: Final = 8
_SCHEMA: Final = """
CREATE TABLE agents (
  id bigint PRIMARY KEY, skills text[] NOT NULL, free boolean NOT NULL DEFAULT true,
  idle_since timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON agents (idle_since) WHERE free;
CREATE TABLE contacts (
  id bigserial PRIMARY KEY, skill text NOT NULL, body text NOT NULL, state text NOT NULL DEFAULT 'waiting',
  agent_id bigint);
CREATE INDEX ON contacts (id) WHERE state = 'waiting';
"""
_POST: Final = "INSERT INTO contacts (skill, body) VALUES ($1, $2)"
_MATCH: Final = """
WITH found AS (
  SELECT waiting.id, fit.id AS agent_id FROM contacts AS waiting, LATERAL (
    SELECT id FROM agents WHERE free AND waiting.skill = ANY (skills)
    ORDER BY idle_since LIMIT 1 FOR UPDATE SKIP LOCKED) AS fit
  WHERE waiting.state = 'waiting' ORDER BY waiting.id LIMIT 1 FOR UPDATE OF waiting SKIP LOCKED
), taken AS (
  UPDATE agents SET free = false FROM found WHERE agents.id = found.agent_id
)
UPDATE contacts SET state = 'active', agent_id = found.agent_id FROM found WHERE contacts.id = found.id
RETURNING contacts.id, contacts.agent_id"""
_COMPLETE: Final = """
WITH done AS (UPDATE contacts SET state = 'closed' WHERE id = $1)
UPDATE agents SET free = true, idle_since = now() WHERE id = $2"""


class SqlRouter:
    """Eight clients, each of which posts a contact, has one matched and completes it: three commits."""

    def __init__(self, url: str, blocked: int = 0) -> None:
        self._url, self._blocked = url, blocked
        self._clients: list[asyncpg.Connection] = []

    async def prepare(self) -> None:
        """Make agents, and contacts at the head that nobody can take."""
        self._clients = [await asyncpg.connect(self._url) for _ in range(CLIENTS)]
        first = self._clients[0]
        await first.execute(_SCHEMA)
        await first.executemany(
            "INSERT INTO agents (id, skills) VALUES ($1, $2)", [(each, skills_of(each)) for each in range(AGENTS)]
        )
        await first.execute(
            "INSERT INTO contacts (skill, body) SELECT 'rare', 'a rare thing' FROM generate_series(1, $1::int)",
            self._blocked,
        )
        await first.execute("ANALYZE")

    async def close(self) -> None:
        """Disconnect."""
        for each in self._clients:
            await each.close()

    async def rate(self, seconds: float) -> float:
        """Contacts a second through their whole life."""
        begin = time.perf_counter()
        done = await asyncio.gather(*(self._live(each, begin + seconds) for each in self._clients))
        return sum(done) / (time.perf_counter() - begin)

    async def _live(self, client: asyncpg.Connection, until: float) -> int:
        done = 0
        while time.perf_counter() < until:
            await client.execute(_POST, f"skill{done % SKILLS:02d}", "my order has not come")
            found = await client.fetchrow(_MATCH)
            if found is not None:
                await client.execute(_COMPLETE, *found)
                done += 1
        return done
