"""A client of the public interface, for gateways, desktops, integrators and administrators.

    rest      every call, typed; what may be repeated is repeated
    stream    events, each once and in order, through any number of connections; an agent's desktop
    forms     what the service answers
    http      how requests are made
    errors    what may come instead of an answer

It knows nothing of the service's inside but the forms of the bodies that the interface accepts.
"""

from src.client.errors import ClientError, Declined, NoAnswer, Replaced, Silent
from src.client.forms import Assignment, Contact, Customer, Event, Held, Message, Outgoing, Snapshot, Typing, Welcome
from src.client.rest import Client
from src.client.stream import Desktop, Stream

__all__ = [
    "Assignment",
    "Client",
    "ClientError",
    "Contact",
    "Customer",
    "Declined",
    "Desktop",
    "Event",
    "Held",
    "Message",
    "NoAnswer",
    "Outgoing",
    "Replaced",
    "Silent",
    "Snapshot",
    "Stream",
    "Typing",
    "Welcome",
]
