"""Alembic runs this file for every command: it says which schema is meant and which connection to use.

The service and the tests hand a connection in (`src/store/migrate.py`). On the command line it is made from
`-x url=postgresql://…`; with `--sql`, statements are printed and nothing is connected.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection

from src.store import migrate
from src.store.tables import is_partition, metadata


def run(connection: Connection) -> None:
    """Run the command on an open connection, in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        include_name=lambda name, kind, _: kind != "table" or not is_partition(name or ""),
    )
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_run() -> None:
    """The same on a connection of its own."""
    async with migrate.connected(context.get_x_argument(as_dictionary=True)["url"]) as connection:
        await connection.run_sync(run)


given = context.config.attributes.get("connection")
if context.is_offline_mode():
    context.configure(dialect_name="postgresql", target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
elif given is not None:
    run(given)
else:
    asyncio.run(connect_and_run())
