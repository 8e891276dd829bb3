"""What the journal is told of customers. Who they are is not for the engine to know."""

from typing import Final

from src.router import commands
from src.router import events as ev
from src.router.handlers.base import Room

FLAGGED_REPEAT: Final = "repeat"


def record(room: Room, command: commands.Record) -> None:
    """Put it in the journal; whoever holds the contact hears it."""
    board = room.board
    contact = board.state.contacts.get(command.contact_id or "")
    if contact is None:
        board.emit(command.type, command.data, contact_id=command.contact_id, customer_id=command.customer_id)
    else:
        board.tell(command.type, contact, **command.data)


def mark_repeat(room: Room, command: commands.MarkRepeat) -> None:
    """Mark an open contact, once."""
    board, contact = room.board, room.contact(command.contact_id)
    if FLAGGED_REPEAT in contact.flags or contact.state == "closed":
        return
    board.tell(ev.CONTACT_FLAGGED, contact, flag=FLAGGED_REPEAT)
    board.tell(ev.CUSTOMER_REPEAT, contact, tags=list(command.tags), earlier=list(command.earlier))
