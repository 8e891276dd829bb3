"""Rosters: who is to work when. They are kept, and routing never looks at them."""

from dataclasses import dataclass

from src.dispatch.facts import Actor, AuditFact, RosterFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.dispatch.versions import Precondition
from src.errors import NotFound, UnknownReference
from src.router.state import State


@dataclass(frozen=True, slots=True)
class PutRoster:
    """Put a whole roster in the place of the one of its name."""

    roster: RosterFact
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        if self.only_if is not None:
            wanted.rosters.add(self.roster.name)

    def run(self, turn: Turn) -> RosterFact:
        if self.only_if is not None:
            self.only_if.check(turn.known.rosters.get(self.roster.name))
        unknown = sorted({agent_id for agent_id, _, _ in self.roster.shifts} - turn.engine.config.agents.keys())
        if unknown:
            raise UnknownReference(f"there is no agent {unknown[0]!r}", field="shifts")
        turn.write(self.roster)
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "roster.updated", self.roster.name))
        return self.roster


@dataclass(frozen=True, slots=True)
class DeleteRoster:
    """Remove a roster."""

    name: str
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.rosters.add(self.name)

    def run(self, turn: Turn) -> None:
        roster = turn.known.rosters.get(self.name)
        if self.only_if is not None:
            self.only_if.check(roster)
        if roster is None:
            raise NotFound(f"there is no roster {self.name!r}")
        turn.write(RosterFact(self.name, (), deleted=True))
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "roster.deleted", self.name))
