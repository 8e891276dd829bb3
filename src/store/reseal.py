"""Seal everything that is stored anew, with the present key: then the one before is needed no more."""

from typing import Final

from src.errors import StartupError
from src.store import rows
from src.store.connections import open_pool, translated
from src.store.seal import Sealer

_KEYED: Final = (
    ("channel_accounts", ("tenant", "name")),
    ("connectors", ("tenant", "name")),
    ("token_trusts", ("tenant",)),
    ("webhooks", ("tenant", "name")),
)
"""Tables whose column `secrets` holds sealed texts by name, and their keys."""


class _UnknownKeyError(Exception):
    """Something was sealed with a key that is not known."""


async def reseal(url: str, sealer: Sealer) -> int:
    """Do it in one transaction, beside a service that knows both keys; returns how many rows were sealed anew.

    Access tokens of channels are forgotten: they are fetched again. Stored answers lose what they hold within a day.

    Raises:
        StartupError: something was sealed with a key that `sealer` does not know; nothing was changed.
        StoreUnreachable: the database went away; nothing was changed.
    """
    try:
        return await _reseal(url, sealer)
    except _UnknownKeyError as error:
        raise StartupError(str(error)) from error


def _anew(sealer: Sealer, sealed: str) -> str:
    try:
        return sealer.seal(sealer.open(sealed))
    except StartupError as error:
        raise _UnknownKeyError(str(error)) from error


async def _reseal(url: str, sealer: Sealer) -> int:
    done = 0
    pool = await open_pool(url, connections_max=1)
    try:
        async with translated(), pool.acquire() as connection, connection.transaction():
            for table, key in _KEYED:
                names = ", ".join(key)
                query = f"SELECT {names}, secrets FROM {table} FOR UPDATE"  # noqa: S608  # names of ours
                same = " AND ".join(f"{each} = ${place}" for place, each in enumerate(key, 2))
                change = f"UPDATE {table} SET secrets = $1::json WHERE {same}"  # noqa: S608  # the same
                for *found, secrets in await connection.fetch(query):
                    anew = {name: _anew(sealer, each) for name, each in rows.load(secrets).items()}
                    await connection.execute(change, rows.dump(anew), *found)
                    done += 1
            for tenant, sealed in await connection.fetch("SELECT id, jwt_secret FROM tenants FOR UPDATE"):
                anew_secret = _anew(sealer, sealed)
                await connection.execute("UPDATE tenants SET jwt_secret = $1 WHERE id = $2", anew_secret, tenant)
                done += 1
            await connection.execute("DELETE FROM channel_tokens")
    finally:
        await pool.close()
    return done
