"""Gateways' own numbers of customers, and visitors, mean somebody at their account alone.

What is known so far is known at every account at which its customer came: one row more for each. The bare rows stay, so
that the last release goes on finding them; of those that it adds while both run, the new one knows nothing.
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0061"
down_revision: str | None = "0060"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.execute("""\
INSERT INTO identities (tenant, customer_id, type, value, display_name, strong, created_at, scope)
SELECT each.tenant, each.customer_id, each.type, each.value || '@' || place.account, each.display_name, each.strong,
  each.created_at, place.account
FROM identities AS each
CROSS JOIN LATERAL (
  SELECT DISTINCT account FROM contacts
  WHERE contacts.tenant = each.tenant AND contacts.customer_id = each.customer_id AND account <> '') AS place
WHERE each.type IN ('external_id', 'visitor') AND each.scope = ''
ON CONFLICT DO NOTHING""")


def downgrade() -> None:
    op.execute("DELETE FROM identities WHERE type IN ('external_id', 'visitor') AND scope <> ''")
