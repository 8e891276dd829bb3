"""Whether a database's schema is the one that this release makes: nearly always, so Alembic need not be loaded to ask.

The migrations lie in `migrations/` beside the package `src`: in a checkout, in an editable installation, and in a wheel
that packs the folder next to the package.
"""

from pathlib import Path
from typing import Final

import asyncpg

from src.store.connections import CONNECT_S_MAX, reaching

FOLDER: Final = Path(__file__).resolve().parents[2] / "migrations"

READABLE_SINCE: Final = "0005"
"""The oldest revision whose release still works on the schema that this release makes.

It is raised, to the revision that did without first, when a migration takes something away. It stands in the database,
so that an older release knows whether it may start there: whoever rolls back only starts the old one again.
"""

SAID: Final = "readable since "
_AS_IT_IS: Final = """\
SELECT (SELECT array_agg(version_num::text) FROM alembic_version),
  obj_description('alembic_version'::regclass, 'pg_class')"""


def head() -> str | None:
    """The newest revision, which the files of the migrations are named after; None: there are none."""
    return max((each.name.partition("_")[0] for each in (FOLDER / "versions").glob("*.py")), default=None)


async def is_current(url: str) -> bool:
    """Whether nothing is to be done; where that cannot be told, no.

    Raises:
        StartupError: there is no database.
    """
    with reaching():
        connection = await asyncpg.connect(url, timeout=CONNECT_S_MAX)
    try:
        at, said = await connection.fetchrow(_AS_IT_IS)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
        return False
    finally:
        await connection.close()
    return (at, said) == ([head()], f"{SAID}{READABLE_SINCE}")
