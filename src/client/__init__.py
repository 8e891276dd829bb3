"""A client of the public interface, for gateways, desktops, integrators and administrators.

    rest      every call, typed; what may be repeated is repeated
    stream    events, each once and in order, through any number of connections; an agent's desktop
    http      how requests are made
    errors    what may come instead of an answer

It knows nothing of the service's inside but the forms of what the interface accepts (`src.api.schemas`) and says
(`src.api.forms`): `data_of` reads an event's data into the one of its type.
"""

from src.api.forms.answers import (
    Assignment,
    ConfigurationChange,
    Configured,
    Contact,
    Customer,
    Held,
    Message,
    Outgoing,
)
from src.api.forms.events import Event, data_of
from src.api.forms.frames import Snapshot, Typing, Welcome
from src.client.errors import ClientError, Declined, NoAnswer, Replaced, Silent
from src.client.rest import Client
from src.client.stream import Desktop, Stream

__all__ = [
    "Assignment",
    "Client",
    "ClientError",
    "ConfigurationChange",
    "Configured",
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
    "data_of",
]
