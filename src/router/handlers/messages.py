"""Messages that go out to customers: who may send one, and what became of it."""

from src.errors import InvalidState
from src.router import commands
from src.router import events as ev
from src.router.handlers.base import Room
from src.router.transitions import MESSAGE

_EVENTS = {"sent": ev.MESSAGE_SENT, "delivered": ev.MESSAGE_DELIVERED, "failed": ev.MESSAGE_FAILED}
_LATER = {"sent": frozenset({"delivered"})}
"""States in which word of an earlier one brings nothing new."""


def send(room: Room, command: commands.SendMessage) -> None:
    """Somebody writes to the customer of a contact that is open."""
    contact = room.contact(command.contact_id)
    if contact.state == "closed":
        raise InvalidState("the contact is closed", state="closed")
    room.held(contact, command.agent_id)
    room.board.tell(ev.MESSAGE_QUEUED, contact, message_id=command.message_id, kind=command.kind, by=command.by)


def move(room: Room, command: commands.MoveMessage) -> None:
    """A message was sent, arrived, or could not be sent. Hearing so again changes nothing.

    The event concerns whoever holds the contact; where nobody does, the agent who wrote the message.
    """
    board, contact = room.board, room.contact(command.contact_id)
    if command.before == command.state or command.before in _LATER.get(command.state, ()):
        return
    event = _EVENTS[command.state]
    if (command.before, event) not in MESSAGE:
        raise InvalidState(f"a message that is {command.before} cannot become {command.state}", state=command.before)
    data = {"message_id": command.message_id}
    if command.state == "failed":
        data["reason"] = command.reason or "failed"
    holder = board.current(contact)
    board.emit(event, data, contact=contact, agent_id=command.agent_id if holder is None else holder.agent_id)


def media_came(room: Room, command: commands.MediaCame) -> None:
    """Whoever holds the contact hears that there is something to be opened, or that it cannot be had."""
    contact = room.contact(command.contact_id)
    if command.reason is not None:
        room.board.tell(ev.MEDIA_FAILED, contact, media_id=command.media_id, reason=command.reason)
        return
    size = command.size
    room.board.tell(ev.MEDIA_KEPT, contact, media_id=command.media_id, media_type=command.media_type, bytes=size)


def answer_call(room: Room, command: commands.AnswerCall) -> None:
    """Whoever has the contact hears that the customer has picked up."""
    room.board.tell(ev.CALL_ANSWERED, room.contact(command.contact_id))


def end_call(room: Room, command: commands.EndCall) -> None:
    """Whoever has the contact hears that the caller is gone, and why."""
    room.board.tell(ev.CALL_ENDED, room.contact(command.contact_id), cause=command.cause)


def connect_line(room: Room, command: commands.ConnectLine) -> None:
    """Whoever holds an older connection of the account hears that it has been replaced."""
    room.board.emit(ev.CHANNEL_CONNECTED, {"name": command.account, "session": command.session})


def report_trouble(room: Room, command: commands.ReportTrouble) -> None:
    """Supervisors and integrators hear that an account cannot send."""
    room.board.emit(ev.CHANNEL_TROUBLE, {"name": command.account, "reason": command.reason})
