"""${message}."""

from collections.abc import Sequence
from typing import Final

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}
revision: str = ${repr(up_revision)}
down_revision: str | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}

LOCK_S_MAX: Final = 5
"""A change that waits for a lock makes everybody behind it wait: better it fails, and is tried again."""


def upgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    op.execute(f"SET LOCAL lock_timeout = '{LOCK_S_MAX}s'")
    ${downgrades if downgrades else "pass"}
