"""What is written down beside routing, or changes what it goes by."""

from dataclasses import dataclass
from typing import Any

from src.dispatch.ports import (
    AccountFact,
    ConfigFact,
    ConnectorFact,
    Fact,
    KeyFact,
    Wanted,
)
from src.dispatch.turn import Turn
from src.router.commands import Command
from src.router.state import State


@dataclass(frozen=True, slots=True)
class Configure:
    """A change of configuration: a command for the engine, and the fact to write with it."""

    command: Command
    fact: ConfigFact | KeyFact | AccountFact | ConnectorFact

    def wants(self, wanted: Wanted, _: State) -> None:
        """Configuration is checked against the engine's own."""

    def run(self, turn: Turn) -> Fact:
        turn.decide(self.command)
        turn.write(self.fact)
        return self.fact


@dataclass(frozen=True, slots=True)
class Remember:
    """Does nothing: it carries a result that is worked out elsewhere, so that a repeat gets the same answer."""

    result: Any

    def wants(self, wanted: Wanted, _: State) -> None:
        """Nothing."""

    def run(self, _: Turn) -> Any:  # noqa: ANN401  # whatever it carries
        return self.result
