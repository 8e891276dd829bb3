"""What is written down beside routing, or changes what it goes by."""

from dataclasses import dataclass
from typing import Any

from src.dispatch.config import SETTINGS_NAME
from src.dispatch.facts import TRUST, AccountFact, Actor, AuditFact, ConfigFact, ConnectorFact, Fact, KeyFact, TrustFact
from src.dispatch.known import Known, Wanted
from src.dispatch.turn import Turn
from src.dispatch.versions import Precondition, Versioned
from src.router.commands import Command
from src.router.model import DEFAULT_QUEUE
from src.router.state import State


@dataclass(frozen=True, slots=True)
class Configure:
    """A change of configuration: a command for the engine, and the fact to write with it.

    With `only_if` it is made only where what is stored is what the caller has seen. `by` goes into the audit trail.
    `tenant` is whose it is, where that is what it is found by: of a trust in tokens.
    """

    command: Command
    fact: ConfigFact | KeyFact | AccountFact | ConnectorFact | TrustFact
    only_if: Precondition | None = None
    by: Actor | None = None
    tenant: str = ""

    def wants(self, wanted: Wanted, _: State) -> None:
        """What is stored, if it matters; else configuration is checked against the engine's own."""
        if self.only_if is not None:
            match self.fact:
                case ConfigFact(kind, name):
                    wanted.config.add((kind, name))
                case AccountFact(name):
                    wanted.accounts.add(name)
                case ConnectorFact(name):
                    wanted.connectors.add(name)
                case TrustFact():
                    wanted.token_trusts.add(self.tenant)

    def check(self, turn: Turn) -> None:
        """Compare with what is stored.

        Raises:
            PreconditionFailed: it is not what the caller has seen.
        """
        if self.only_if is not None:
            self.only_if.check(_stored(self.fact, turn.known), default=_has_default(self.fact))

    def run(self, turn: Turn) -> Fact:
        self.check(turn)
        turn.decide(self.command)
        self.write(turn)
        return self.fact

    def write(self, turn: Turn) -> None:
        """Write down what has been decided."""
        turn.write(self.fact)
        if self.by is not None:
            act, name = _audited(self.fact)
            turn.write(AuditFact(turn.new_id(), turn.now, self.by, act, name))


def _audited(fact: ConfigFact | KeyFact | AccountFact | ConnectorFact | TrustFact) -> tuple[str, str]:
    """What the audit trail says of a change: what was done, and to which name."""
    match fact:
        case ConfigFact(kind, name, body):
            return f"{kind}.{'deleted' if body is None else 'updated'}", name
        case KeyFact(key_id, revoked_at=revoked_at):
            return "key.made" if revoked_at is None else "key.revoked", key_id
        case AccountFact(name, deleted=deleted):
            return f"channel.{'deleted' if deleted else 'updated'}", name
        case ConnectorFact(name, deleted=deleted):
            return f"connector.{'deleted' if deleted else 'updated'}", name
    return "token_trust.updated", "token_trust"


def _stored(fact: Fact, known: Known) -> Versioned | None:
    match fact:
        case ConfigFact(kind, name):
            return known.config.get((kind, name))
        case AccountFact(name):
            return known.accounts.get(name)
        case ConnectorFact(name):
            return known.connectors.get(name)
        case TrustFact():
            return known.token_trusts.get(TRUST)
    return None


def _has_default(fact: Fact) -> bool:
    """Whether there is something though nothing was put: the default queue, the settings, the trust in tokens."""
    return isinstance(fact, TrustFact) or (
        isinstance(fact, ConfigFact)
        and (fact.kind, fact.name)
        in {
            ("queue", DEFAULT_QUEUE),
            ("settings", SETTINGS_NAME),
        }
    )


@dataclass(frozen=True, slots=True)
class Remember:
    """Carries a result that is worked out elsewhere, so that a repeat gets the same answer.

    `act`, `name` and `by` are what the audit trail is to say of it; None: nothing.
    """

    result: Any
    by: Actor | None = None
    act: str = ""
    name: str = ""

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing."""

    def run(self, turn: Turn) -> Any:  # noqa: ANN401  # whatever it carries
        if self.by is not None:
            turn.write(AuditFact(turn.new_id(), turn.now, self.by, self.act, self.name))
        return self.result
