"""Faults that are put into the service one at a time; the fault suite must notice each of them.

Where two guards keep the same promise, taking one of them away breaks nothing, and both go together: the journal's key
refuses a second event of a number also where the fence let it pass.
"""

from dataclasses import dataclass
from typing import Final

from tests.support.faults import scenarios
from tests.support.faults.scenarios import Fault


@dataclass(frozen=True, slots=True)
class Build:
    """Texts of files under `src/` are replaced. `scenario` brings it to light, in lines that begin so."""

    why: str
    changes: tuple[tuple[str, str, str], ...]
    scenario: Fault
    noticed: tuple[str, ...]


BUILDS: Final = (
    Build(
        "the fence is gone, and with it the journal's key, which would do for it",
        (
            (
                "store/statements.py",
                "WHERE tenant = $1 AND seq = $2 RETURNING tenant",
                "WHERE tenant = $1 AND $2::bigint IS NOT NULL RETURNING tenant",
            ),
            (
                "store/statements.py",
                '    if section.verb == "put":\n',
                '    if section.verb != "put":\n        text += " ON CONFLICT DO NOTHING"\n    else:\n',
            ),
        ),
        scenarios.pause_the_owner,
        ("journal", "refused", "lost", "doubled", "held twice", "left open", "tables", "it does not"),
    ),
    Build(
        "callers are answered before the commit",
        (
            (
                "dispatch/tenant.py",
                "        wrote = await self._memory.commit(turn)\n",
                "        [each.answer() for each in items]\n        wrote = await self._memory.commit(turn)\n",
            ),
        ),
        scenarios.kill_the_silenced_owner,
        ("lost",),
    ),
    Build(
        "a resumed stream begins one too late",
        (
            (
                "api/stream.py",
                "await self._replay(after, seq)",
                "await self._replay(after + 1, seq)",
            ),
        ),
        scenarios.kill_the_integrators,
        ("stream",),
    ),
    Build(
        "a resumed stream begins one too early",
        (
            (
                "api/stream.py",
                "await self._replay(after, seq)",
                "await self._replay(after - 1, seq)",
            ),
        ),
        scenarios.kill_the_integrators,
        ("stream",),
    ),
    Build(
        "a lost last announcement is not noticed",
        (
            (
                "delivery/announce.py",
                "if reached is not None and reached < seq:",
                "if False:",
            ),
        ),
        scenarios.lose_redis,
        ("stream",),
    ),
    Build(
        "a gap between announcements is not noticed",
        (
            (
                "delivery/hub.py",
                "if events[0].seq > channel.published + 1:",
                "if False:",
            ),
        ),
        scenarios.blink_to_redis,
        ("stream",),
    ),
    Build(
        "announcements are not heard",
        (
            (
                "delivery/announce.py",
                'elif message["type"] == "message":',
                'elif message["type"] == "massage":',
            ),
        ),
        scenarios.cut_from_redis,
        ("told late",),
    ),
    Build(
        "what a repeat finds is not looked at",
        (
            (
                "dispatch/jobs/inbound.py",
                "                return Taken(known, created=False)\n",
                "",
            ),
        ),
        scenarios.kill_the_owner,
        ("refused",),
    ),
    Build(
        "a webhook is said to have come further than its receiver",
        (
            (
                "dispatch/webhooks.py",
                "seq = next(iter(self._fresh), self._place + 1) - 1",
                "seq = self._place",
            ),
        ),
        scenarios.kill_the_owner_amid_webhooks,
        ("webhook",),
    ),
    Build(
        "what a webhook's receiver failed upon is not tried again by the next owner",
        (
            (
                "dispatch/webhooks.py",
                "if each.seq not in self.items and each.seq not in self._changes:",
                "if False:",
            ),
        ),
        scenarios.kill_the_owner_amid_webhooks,
        ("webhook",),
    ),
    Build(
        "sockets of a process that died count as there",
        (
            (
                "dispatch/owner.py",
                "self._to_check.update(self._loops)",
                "pass",
            ),
        ),
        scenarios.kill_desks,
        ("left open",),
    ),
    Build(
        "time stands still while the clock is behind the journal",
        (
            (
                "dispatch/clock.py",
                "CATCHING_UP: Final = 0.9",
                "CATCHING_UP: Final = 0.0",
            ),
        ),
        scenarios.clock_goes_back,
        ("left open",),
    ),
)
