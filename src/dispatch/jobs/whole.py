"""Many pieces of configuration are changed in one turn: all of them, or none."""

from dataclasses import dataclass, replace
from typing import Any

from src.dispatch.facts import Actor
from src.dispatch.jobs.facts import Configure
from src.dispatch.jobs.webhooks import DeleteWebhook, PutWebhook
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.errors import PreconditionFailed
from src.router import commands
from src.router.state import State


@dataclass(frozen=True, slots=True)
class ConfigureAll:
    """Changes that the engine decides upon (`routing`), and others, which it only notes.

    Each is made only where its `only_if` holds. `dry_run`: nothing is changed, and refused is what would be. The result
    is whether anything was done.
    """

    routing: tuple[Configure, ...]
    others: tuple[Configure | PutWebhook | DeleteWebhook, ...]
    by: Actor
    dry_run: bool = False

    def wants(self, wanted: Wanted, state: State) -> None:
        """Whatever each of them wants."""
        for each in (*self.routing, *self.others):
            each.wants(wanted, state)

    def run(self, turn: Turn) -> bool:
        """Check everything, then do it."""
        for each in (*self.routing, *self.others):
            self._check(each, turn)
        wanted: list[Any] = [each.command for each in self.routing]
        deletes = [each for each in wanted if isinstance(each, commands.DeleteAgent | commands.DeleteNamed)]
        puts = [each for each in wanted if not isinstance(each, commands.DeleteAgent | commands.DeleteNamed)]
        command = commands.Reconfigure(tuple(puts), tuple(deletes))
        if self.dry_run:
            turn.engine.check(command)
            return False
        if wanted:
            turn.decide(command)
        for change in self.routing:
            replace(change, by=self.by).write(turn)
        for other in self.others:
            if isinstance(other, Configure):
                replace(other, by=self.by).run(turn)
            else:
                other.run(turn)
        return bool(wanted or self.others)

    def _check(self, each: Configure | PutWebhook | DeleteWebhook, turn: Turn) -> None:
        try:
            each.check(turn)
        except PreconditionFailed as refused:
            name = each.name if isinstance(each, DeleteWebhook) else getattr(each.fact, "name", "")
            raise PreconditionFailed(f"{name!r} has changed since it was read: look at the plan again") from refused
