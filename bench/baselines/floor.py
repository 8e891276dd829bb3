"""What the disk and PostgreSQL give: two inserts and an update in a transaction, by PostgreSQL's own pgbench."""

import asyncio
import re
import time
from pathlib import Path
from typing import Final

import asyncpg

from src.store.embedded.programs import find_program

CLIENTS: Final = 8
_SCHEMA: Final = """
CREATE TABLE contacts (id bigserial PRIMARY KEY, body text NOT NULL, state text NOT NULL);
CREATE TABLE events (id bigserial PRIMARY KEY, contact bigint NOT NULL, type text NOT NULL);
CREATE TABLE commits (at bigserial PRIMARY KEY);
"""
_SCRIPT: Final = """
BEGIN;
INSERT INTO contacts (body, state) VALUES ('my order has not come', 'waiting') RETURNING id \\gset
INSERT INTO events (contact, type) VALUES (:id, 'contact.received');
UPDATE contacts SET state = 'closed' WHERE id = :id;
COMMIT;
"""


class Floor:
    """Single-row commits by eight clients."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._script = folder / "floor.sql"

    async def prepare(self) -> None:
        """Make the tables."""
        connection = await asyncpg.connect(self._url)
        await connection.execute(_SCHEMA)
        await connection.close()
        self._script.write_text(_SCRIPT)

    async def rate(self, seconds: int) -> float:
        """Transactions a second."""
        process = await asyncio.create_subprocess_exec(
            str(find_program("pgbench")),
            *("--no-vacuum", "--protocol=prepared", f"--client={CLIENTS}", f"--time={seconds}"),
            *(f"--file={self._script}", self._url),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await process.communicate()
        found = re.search(rb"tps = ([0-9.]+)", out)
        if found is None:
            raise RuntimeError(out.decode())
        return float(found[1])

    async def commits_s(self, count: int) -> list[float]:
        """How long each of so many single commits took, one after the other on one connection, in seconds."""
        connection = await asyncpg.connect(self._url)
        taken = []
        for _ in range(count):
            begin = time.perf_counter()
            await connection.execute("INSERT INTO commits DEFAULT VALUES")
            taken.append(time.perf_counter() - begin)
        await connection.close()
        return taken
