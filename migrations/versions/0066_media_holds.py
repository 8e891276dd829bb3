"""Who is about to name the contents of media, so that what nothing names can go and nothing else does.

What is kept already is looked at once: a process that died between the contents and their name left them behind.
"""

from collections.abc import Sequence
from typing import Final

from alembic import op

revision: str = "0066"
down_revision: str | None = "0065"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

LOCK_S_MAX: Final = 5
LOOKED_AT_MS: Final = 3_600_000


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("""\
CREATE TABLE media_holds (
    tenant TEXT COLLATE "C" NOT NULL,
    hash TEXT COLLATE "C" NOT NULL,
    id TEXT COLLATE "C" NOT NULL,
    until BIGINT NOT NULL,
    CONSTRAINT pk_media_holds PRIMARY KEY (tenant, hash, id)
)""")
    op.execute("CREATE INDEX ix_media_holds_until ON media_holds (until)")
    op.execute(f"""\
INSERT INTO media_holds (tenant, hash, id, until)
SELECT tenant, hash, gen_random_uuid()::text, (extract(epoch FROM clock_timestamp()) * 1000)::bigint + {LOOKED_AT_MS}
FROM media_contents""")  # noqa: S608


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    op.execute("DROP TABLE media_holds")
