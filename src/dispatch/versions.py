"""Which version of a piece of configuration somebody has seen: so that nobody overwrites what they have not read."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import msgspec

from src.dispatch.facts import AccountFact, ConfigFact, ConnectorFact, ProblemFact, RosterFact, TrustFact, WebhookFact
from src.errors import PreconditionFailed

Named = ConfigFact | AccountFact | ConnectorFact | WebhookFact
"""What is configured under a name: a tenant's configuration as a whole."""

Versioned = Named | TrustFact | ProblemFact | RosterFact

ANY: Final = "*"
"""Whatever version there is, as long as there is one."""

_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def version(fact: Versioned | None) -> str:
    """A name for what is stored, 32 hex digits; None: nothing is, and a default holds."""
    values: list[Any] = []
    match fact:
        case ConfigFact() | ProblemFact():
            values = [fact.body]
        case RosterFact():
            values = [fact.shifts]
        case AccountFact():
            values = [fact.channel, fact.settings, fact.secrets, fact.queue, fact.enabled]
        case ConnectorFact() | WebhookFact() | TrustFact():
            values = [fact.body, fact.secrets]
    return sha256(_ENCODER.encode(values)).hexdigest()[:32]


@dataclass(frozen=True, slots=True)
class Precondition:
    """What must be so for a change to be made.

    `versions` are those that it may replace, `ANY` for every one; None: no matter. `absent`: there must be none yet.
    """

    versions: tuple[str, ...] | None = None
    absent: bool = False

    def check(self, fact: Versioned | None, *, default: bool = False) -> None:
        """Compare with what is stored. `default`: where nothing is, there is something all the same.

        Raises:
            PreconditionFailed: it is not so.
        """
        there = fact is not None or default
        if self.absent and there:
            raise PreconditionFailed("there is one of this name already")
        if self.versions is None:
            return
        if not there:
            raise PreconditionFailed("there is none of this name")
        current = version(fact)
        if ANY not in self.versions and current not in self.versions:
            raise PreconditionFailed("it has changed since it was read: read it again", version=current)
