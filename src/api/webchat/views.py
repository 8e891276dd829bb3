"""What a visitor sees of its conversation: less than agents do, and in words of its own."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any, Final

from src.channels.webchat.site import Site
from src.channels.webchat.tokens import Visitor
from src.delivery.views import Json, rfc3339
from src.dispatch.facts import MessageFact

STATES: Final[Mapping[str, str]] = {
    "waiting": "waiting",
    "offered": "waiting",
    "active": "active",
    "parked": "parked",
    "wrap_up": "ended",
    "closed": "ended",
}
"""A contact's state, as its visitor is told."""

_OWN_CHARS: Final = 16


def external_id(visitor: Visitor, client_id: str) -> str:
    """The channel's id of a message: two visitors whose browsers hit upon one id do not meet."""
    return f"{_own(visitor)}.{client_id}"


def _own(visitor: Visitor) -> str:
    return sha256("\0".join(visitor.key).encode()).hexdigest()[:_OWN_CHARS]


def message(fact: MessageFact, visitor: Visitor, agent: str | None) -> Json:
    """One message. `client_id` is what the browser called it, of the visitor's own; `agent` names who wrote it."""
    own, _, client_id = (fact.external_id or "").partition(".")
    return {
        "id": fact.id,
        "client_id": client_id if fact.sender == "customer" and own == _own(visitor) else None,
        "number": fact.seq,
        "from": "visitor" if fact.sender == "customer" else fact.sender,
        "agent": None if agent is None else {"name": agent},
        "kind": fact.kind,
        "text": fact.text,
        "payload": dict(fact.payload),
        "at": rfc3339(fact.at),
    }


def site(settings: Site) -> Json:
    """What a browser must know of the website's chat."""
    return {
        "title": settings.title,
        "greeting": settings.greeting,
        "form": [
            {
                "name": each.name,
                "label": dict(each.label),
                "kind": each.kind,
                "required": each.required,
                "options": list(each.options),
            }
            for each in settings.form
        ],
        "leave_message": settings.leave_message,
        "satisfaction": settings.satisfaction,
        "uploads": settings.uploads,
    }


def conversation(  # one for each thing that is shown
    contact_id: str,
    state: str,
    agent: str | None,
    position: int | None,
    wait_s: int | None,
    attributes: Mapping[str, Any],
    *,
    answered: bool,
    rated: int | None,
    asks: bool,
) -> Json:
    """Where the conversation stands. `agent` is the name of who answers; `answered`: somebody does, or did.

    `asks`: the visitor is to be asked how it was.
    """
    return {
        "id": contact_id,
        "state": STATES[state],
        "agent": None if agent is None else {"name": agent},
        "position": position,
        "estimated_wait_s": wait_s,
        "answered": answered,
        "left_message": attributes.get("left_message") is True,
        "rated": rated,
        "asks": asks and rated is None,
    }
