"""How many requests a credential and a tenant may make, and what each answer says of it.

Counted by each process on its own: several of them let through so many times as much. What a process cannot serve is
refused before (`api/edge.py`); this is for what it could serve and is not to.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

from src.api.auth import Principal
from src.api.buckets import Buckets
from src.dispatch.ports import Clock
from src.errors import RateLimited

WINDOW_S: Final = 10
"""What is allowed in so many seconds may be asked for at once."""

AGENT_PER_S: Final = 50
"""What one agent or supervisor may ask for with tokens: a desktop needs a few."""

CALLERS_MAX: Final = 50_000

HEADERS: Final = "cordboard.limits"
"""Where a request's scope keeps the headers that go with its answer."""


@dataclass(frozen=True, slots=True)
class _Limit:
    name: str
    per_s: int
    left: float

    @property
    def burst(self) -> int:
        return self.per_s * WINDOW_S

    def policy(self) -> str:
        return f'"{self.name}";q={self.burst};w={WINDOW_S}'

    def state(self) -> str:
        left = max(0, math.floor(self.left))
        return f'"{self.name}";r={left};t={math.ceil((self.burst - left) / self.per_s)}'


class Limits:
    """Takes one request at a time from a credential's share and from its tenant's."""

    def __init__(self, clock: Clock, *, key_per_s: int, tenant_per_s: int) -> None:
        self._key_per_s, self._tenant_per_s = key_per_s, tenant_per_s
        self._buckets = Buckets(clock, CALLERS_MAX)

    def take(self, principal: Principal, scope: Any) -> None:  # noqa: ANN401  # an ASGI scope
        """Count a request, and note in its scope what the answer is to say (RateLimit fields, IETF draft 10).

        Raises:
            RateLimited: there is none left for this credential, or for its tenant.
        """
        own = AGENT_PER_S if principal.role is not None else principal.requests_per_s or self._key_per_s
        found = [
            self._one("credential", (principal.tenant, principal.role, principal.id), own),
            self._one("tenant", (principal.tenant,), self._tenant_per_s),
        ]
        scope[HEADERS] = [
            (b"ratelimit-policy", ", ".join(each.policy() for each in found).encode()),
            (b"ratelimit", ", ".join(each.state() for each in found).encode()),
        ]
        for each in found:
            if each.left < 0:
                wait_s = max(1, math.ceil(-each.left / each.per_s))
                raise RateLimited(f"the {each.name} asks for too much", retry_after_s=wait_s, limit=each.name)

    def _one(self, name: str, key: tuple[object, ...], per_s: int) -> _Limit:
        return _Limit(name, per_s, self._buckets.take(key, per_s * WINDOW_S, per_s))
