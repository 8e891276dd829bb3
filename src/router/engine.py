"""The engine of one tenant: `decide(command, now)` gives events. No clock, no randomness, no I/O.

Each event is applied as soon as it is decided, because what follows in the same decision depends on it; nothing but
`State.apply` changes the state. Whoever cannot commit the events throws the engine away and loads another.

Commands only say what is so (`handlers`); after every one the matching asks the board who can be matched now.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final

from src.errors import NotFound, Refused
from src.router import commands, dryrun, explain, hours, matching
from src.router.board import Board, Decision
from src.router.config import Config
from src.router.handlers import (
    assignments,
    collaborations,
    configuration,
    contacts,
    customers,
    messages,
    parking,
    presence,
    problems,
    reconfiguring,
    supervision,
    time,
)
from src.router.handlers.base import NOTHING, Archive, Room
from src.router.intake import Intake
from src.router.levels import Reached
from src.router.state import State
from src.router.waits import Accuracy, Estimate

__all__ = ["Archive", "Config", "Decision", "Engine"]


class Engine:
    """One tenant's router. `new_id` gives ids for assignments: unique, and sorted by when they were made.

    Contacts in `aside` are in the state, but nothing looks at them: the next command must be their `SetAside`.
    """

    def __init__(
        self,
        new_id: Callable[[], str],
        config: Config | None = None,
        state: State | None = None,
        aside: Collection[str] = (),
    ) -> None:
        self.config = config or Config()
        self.state = state or State()
        self._board = Board(new_id, self.config, self.state, aside)
        self._room = Room(self._board, Intake(self.config))

    def decide(self, command: commands.Command, now: int, archive: Archive = NOTHING) -> Decision:
        """Answer one command. `now` in milliseconds; if it lies before the last event, that event's time counts.

        Raises:
            Refused: a subclass with a stable code; then nothing has happened.
            Exception: a fault of ours; `state.at_hand` tells which contact it was busy with, if it was with one.
        """
        board, room = self._board, self._room
        board.begin(now)
        room.archive = archive
        try:
            _HANDLERS[type(command)](room, command)
        except Refused:
            self.state.at_hand = None
            raise
        matching.settle(board)
        self.state.at_hand = None
        return board.decision

    def next_due(self) -> int | None:
        """When `Tick` next has something to do, in milliseconds since the epoch."""
        return self._board.timers.next_due()

    def position(self, contact_id: str) -> int | None:
        """The contact's place in its queue, from 1; None unless waiting."""
        return self._board.index.position(contact_id)

    def estimate(self, contact_id: str, now: int | None = None) -> Estimate | None:
        """How long a waiting contact will likely wait from now, or from the last decision; None if unknown."""
        contact, position = self.state.contacts.get(contact_id), self.position(contact_id)
        if contact is None or position is None:
            return None
        return self._board.estimate(contact, position, now)

    def staffing(self, queue: str, channel: str) -> str:
        """What a contact of this channel would find in the queue now: `open`, `closed`, or `nobody` who is there.

        It costs a look at every agent where nobody is there.
        """
        policy, board = self.config.queue(queue), self._board
        if policy.paused or (policy.hours is not None and not hours.is_open(policy.hours, board.now)):
            return "closed"
        there = (each.id for each in self.state.agents.values() if each.there)
        return "open" if any(board.desk(each).now.cost(channel) is not None for each in there) else "nobody"

    def estimated_wait_s(self, contact_id: str) -> int | None:
        """The same, as one number of seconds."""
        found = self.estimate(contact_id)
        return None if found is None else found.wait_s

    def accuracy(self) -> Mapping[str, Accuracy]:
        """By queue, how far off the estimates were since this engine was loaded."""
        return self._board.waits.accuracy()

    def reached(self, now: int) -> Reached:
        """How many were answered in time within the last hour, since this engine was loaded."""
        return self._board.levels.reached(self.config.queues, now)

    def lease_expires_at(self, agent_id: str) -> int | None:
        """When a lease taken without a socket ends, in milliseconds since the epoch."""
        return self._board.lease_until.get(agent_id)

    def leases(self) -> dict[str, int]:
        """When each lease taken without a socket ends: what a reload by the same process takes over."""
        return dict(self._board.lease_until)

    def floors(self) -> dict[str, int]:
        """Until when each offer lives at least that was handed over: what a reload by the same process takes over."""
        return dict(self._board.offer_floor)

    def explain(self, contact_id: str, agent_id: str) -> str:
        """Why this agent is or is not a candidate for this waiting contact now: `fits`, or a reason's code."""
        contact, board = self.state.contacts.get(contact_id), self._board
        if contact is None or agent_id not in self.config.agents:
            raise NotFound("no such open contact or agent")
        return explain.one(board.index, board.need(contact), board.barred(contact), agent_id)

    def dry_run(self, command: commands.Receive, now: int) -> dict[str, Any]:
        """What would become of a contact that has not come. Changes nothing; see `dryrun`."""
        self._board.begin(now)
        return dryrun.of_new(self._board, self._room.intake, command)

    def dry_run_transfer(self, command: commands.Transfer, now: int, archive: Archive = NOTHING) -> dict[str, Any]:
        """What would become of a contact that is handed on. Changes nothing; see `dryrun`.

        Raises:
            Refused: as the transfer itself would be.
        """
        self._board.begin(now)
        self._room.archive = archive
        contact, assignment, changed = contacts.transferred(self._room, command)
        return dryrun.of_transfer(self._board, contact, assignment.agent_id, changed)

    def check(self, command: commands.Reconfigure) -> None:
        """Whether a change of configuration would be made. Changes nothing.

        Raises:
            Refused: as the change itself would be.
        """
        reconfiguring.check(self._room, command)

    def explain_contact(self, contact_id: str, now: int) -> dict[str, Any]:
        """What may become of an open contact now. Changes nothing; see `dryrun`."""
        contact = self.state.contacts.get(contact_id)
        if contact is None:
            raise NotFound("there is no such open contact")
        self._board.begin(now)
        return dryrun.of_contact(self._board, contact)


_HANDLERS: Final[dict[type, Callable[[Room, Any], None]]] = {
    commands.Receive: contacts.receive,
    commands.Message: contacts.message,
    commands.SendMessage: messages.send,
    commands.MoveMessage: messages.move,
    commands.MediaCame: messages.media_came,
    commands.AnswerCall: messages.answer_call,
    commands.EndCall: messages.end_call,
    commands.ReportTrouble: messages.report_trouble,
    commands.ConnectLine: messages.connect_line,
    commands.Cancel: contacts.cancel,
    commands.Transfer: contacts.transfer,
    commands.Return: contacts.give_back,
    commands.Reclassify: contacts.reclassify,
    commands.Rejudge: contacts.rejudge,
    commands.Escalate: contacts.escalate,
    commands.Accept: assignments.accept,
    commands.Decline: assignments.decline,
    commands.Miss: presence.missed,
    commands.Complete: assignments.complete,
    commands.FinishWrapUp: assignments.finish_wrap_up,
    commands.Park: parking.park,
    commands.Resume: parking.unpark,
    commands.SetAside: parking.set_aside,
    commands.Assign: supervision.assign,
    commands.TakeBack: supervision.take_back,
    commands.Pin: supervision.pin,
    commands.PauseAgent: supervision.pause_agent,
    commands.PauseQueue: supervision.pause_queue,
    commands.Collaborate: collaborations.collaborate,
    commands.AcceptCollaboration: collaborations.accept,
    commands.ReplyCollaboration: collaborations.reply,
    commands.CloseCollaboration: collaborations.close,
    commands.SetPresence: presence.set_presence,
    commands.Connect: presence.connect,
    commands.Disconnect: presence.disconnect,
    commands.Restart: presence.restart,
    commands.Tick: time.tick,
    commands.PutAgent: configuration.put_agent,
    commands.DeleteAgent: configuration.delete_agent,
    commands.PutQueue: configuration.put_queue,
    commands.PutTag: configuration.put_tag,
    commands.PutRule: configuration.put_rule,
    commands.PutPilot: configuration.put_pilot,
    commands.PutDepartment: configuration.put_department,
    commands.PutSettings: configuration.put_settings,
    commands.DeleteNamed: configuration.delete_named,
    commands.Reconfigure: reconfiguring.reconfigure,
    commands.Note: configuration.note,
    commands.Record: customers.record,
    commands.MarkRepeat: customers.mark_repeat,
    commands.TellProblem: problems.tell_problem,
    commands.Checkpoint: configuration.checkpoint,
}
"""Which function obeys which command."""
