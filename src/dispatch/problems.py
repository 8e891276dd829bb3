"""What callers can want of common problems, as jobs: matters that many contacts have, told to a department once.

A contact is linked to one problem at most. Its department hears of the first contact, and again of every so many more;
its answer closes the problem, and whoever has one of its contacts hears that there is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from src.dispatch import people
from src.dispatch.facts import Actor, AuditFact, ContactFact, LinkFact, ProblemFact
from src.dispatch.known import Wanted
from src.dispatch.turn import Turn
from src.dispatch.versions import Precondition
from src.errors import Conflict, Gone, InUse, NotFound, UnknownReference
from src.router import commands
from src.router import events as ev
from src.router.state import State


def state_of(problem: ProblemFact) -> str:
    """`open`, or `solved`."""
    return "open" if problem.solved_at is None else "solved"


@dataclass(frozen=True, slots=True)
class PutProblem:
    """Make or change a common problem; what came of it stays. Another department is told of it at once."""

    name: str
    body: Mapping[str, Any]
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.problems.add(self.name)

    def run(self, turn: Turn) -> ProblemFact:
        before = turn.known.problems.get(self.name)
        if self.only_if is not None:
            self.only_if.check(before)
        if self.body["department"] not in turn.engine.config.departments:
            raise UnknownReference(f"there is no department {self.body['department']!r}", field="department")
        problem = ProblemFact(self.name, self.body, turn.now) if before is None else replace(before, body=self.body)
        if before is not None and before.linked and before.body["department"] != self.body["department"]:
            problem = _reported(turn, problem)
        _changed(turn, problem, "problem.updated", self.by)
        return problem


@dataclass(frozen=True, slots=True)
class DeleteProblem:
    """Remove a common problem that no contact is linked to."""

    name: str
    by: Actor
    only_if: Precondition | None = None

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.problems.add(self.name)

    def run(self, turn: Turn) -> None:
        problem = _found(turn, self.name)
        if self.only_if is not None:
            self.only_if.check(problem)
        if problem.linked:
            raise InUse("contacts are linked to it: solve it instead", linked=problem.linked)
        _changed(turn, replace(problem, deleted=True), "problem.deleted", self.by)


@dataclass(frozen=True, slots=True)
class LinkProblem:
    """Link a contact, open or closed, to one common problem; None: to none. Said again, nothing happens.

    `was` is the problem that it is linked to as far as the caller knows: it is looked up with the other.
    """

    contact_id: str
    name: str | None
    was: str | None
    by: str

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.contacts.add(self.contact_id)
        wanted.problems.update(each for each in (self.name, self.was) if each is not None)

    def run(self, turn: Turn) -> str:
        customer_id = people.insist_on(turn, self.contact_id)
        fact = turn.known.facts.get(self.contact_id)
        if fact is None:
            raise Gone("the customer was erased")
        problem = None if self.name is None else _found(turn, self.name)
        if fact.problem == self.name:
            return self.contact_id
        before = None if fact.problem is None else turn.known.problems.get(fact.problem)
        if before is None and fact.problem not in {None, self.was}:
            raise Conflict("somebody has linked the contact meanwhile: try again")
        if fact.problem is not None:
            self._say(turn, ev.CONTACT_UNLINKED, customer_id, fact.problem)
        if before is not None:
            kept = tuple(each for each in before.unreported if each != self.contact_id)
            turn.write(replace(before, linked=max(0, before.linked - 1), unreported=kept))
        turn.write(LinkFact(replace(fact, problem=self.name)))
        if problem is not None:
            self._say(turn, ev.CONTACT_LINKED, customer_id, problem.name)
            turn.write(_linked(turn, problem, self.contact_id))
        return self.contact_id

    def _say(self, turn: Turn, kind: str, customer_id: str, name: str) -> None:
        turn.decide(commands.Record(kind, customer_id, {"name": name, "by": self.by}, self.contact_id))


def _linked(turn: Turn, problem: ProblemFact, contact_id: str) -> ProblemFact:
    """The problem with one contact more; its department is told of the first, and then of every so many."""
    problem = replace(
        problem,
        linked=problem.linked + 1,
        first_at=turn.now if problem.first_at is None else problem.first_at,
        last_at=turn.now,
        unreported=(*problem.unreported, contact_id),
    )
    if problem.reported_at is not None and len(problem.unreported) < problem.body["report_every"]:
        return problem
    return _reported(turn, problem)


def _reported(turn: Turn, problem: ProblemFact) -> ProblemFact:
    """The problem, of which its department is told."""
    department = problem.body["department"]
    data = {
        "name": problem.name,
        "department": department,
        "state": state_of(problem),
        "count": problem.linked,
        "contacts": list(problem.unreported),
    }
    turn.decide(commands.TellProblem(ev.PROBLEM_REPORTED, data, department))
    return replace(problem, reported_at=turn.now, unreported=())


@dataclass(frozen=True, slots=True)
class SolveProblem:
    """The department has an answer to a common problem. Said again, only the note changes.

    Whoever has one of its contacts is told.
    """

    name: str
    note: str | None
    by: Actor

    def wants(self, wanted: Wanted, state: State) -> None:
        wanted.problems.add(self.name)
        wanted.linked.update(_in_hand(state))

    def run(self, turn: Turn) -> ProblemFact:
        problem = _found(turn, self.name)
        solved = replace(problem, note=self.note)
        if problem.solved_at is None:
            solved = replace(solved, solved_at=turn.now, solved_by=self.by.id)
            turn.decide(commands.TellProblem(ev.PROBLEM_SOLVED, _moved(problem, self.by)))
            for contact_id in _in_hand(turn.engine.state):
                contact, fact = turn.engine.state.contacts[contact_id], _fact(turn, contact_id)
                if fact is not None and fact.problem == problem.name:
                    data = {"name": problem.name}
                    turn.decide(commands.Record(ev.CONTACT_PROBLEM_SOLVED, contact.customer_id, data, contact_id))
        turn.write(solved)
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "problem.solved", problem.name))
        return solved


def _in_hand(state: State) -> list[str]:
    """The open contacts that somebody has accepted."""
    held = (each.contact_id for each in state.assignments.values() if each.accepted_at is not None)
    return [each for each in dict.fromkeys(held) if each in state.contacts]


def _fact(turn: Turn, contact_id: str) -> ContactFact | None:
    """What is known of a contact as it stands in this batch, where it is linked to a problem."""
    return turn.known.facts.get(contact_id) or turn.known.linked.get(contact_id)


@dataclass(frozen=True, slots=True)
class ReopenProblem:
    """The answer was none: the problem is open again. Of one that is open nothing happens."""

    name: str
    by: Actor

    def wants(self, wanted: Wanted, _: State) -> None:
        wanted.problems.add(self.name)

    def run(self, turn: Turn) -> ProblemFact:
        problem = _found(turn, self.name)
        if problem.solved_at is None:
            return problem
        problem = replace(problem, solved_at=None, solved_by=None, note=None)
        turn.decide(commands.TellProblem(ev.PROBLEM_REOPENED, _moved(problem, self.by), problem.body["department"]))
        turn.write(problem)
        turn.write(AuditFact(turn.new_id(), turn.now, self.by, "problem.reopened", problem.name))
        return problem


def _moved(problem: ProblemFact, by: Actor) -> dict[str, Any]:
    return {"name": problem.name, "department": problem.body["department"], "by": by.id}


def _found(turn: Turn, name: str) -> ProblemFact:
    problem = turn.known.problems.get(name)
    if problem is None:
        raise NotFound(f"there is no common problem {name!r}")
    return problem


def _changed(turn: Turn, problem: ProblemFact, act: str, by: Actor) -> None:
    turn.decide(commands.Note(act, problem.name))
    turn.write(problem)
    turn.write(AuditFact(turn.new_id(), turn.now, by, act, problem.name))
