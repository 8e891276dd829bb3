"""What channels hand in: the one normal form of everything that reaches the company. No channel's words in here."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from src.profile.identities import Identity
from src.router.model import NO_TERMS, TagRequest, Terms

__all__ = ["Identity", "Inbound", "InboundContact", "InboundDigits", "InboundHangup", "InboundMessage", "TagRequest"]


@dataclass(frozen=True, slots=True)
class InboundContact:
    """A new piece of work: a call that arrived, or whatever a gateway posts. Opens a contact, always.

    `external_id` is the channel's own id of it, unique per channel and account: seen again, it is the same contact.
    `tags` None means: find them in `text`. `language` is a BCP 47 code. `priority` is seconds of head start. `terms`
    say who may take it. `also` are further identities of the customer that came with it.
    """

    channel: str
    account: str
    external_id: str | None
    identity: Identity
    text: str | None = None
    tags: tuple[TagRequest, ...] | None = None
    language: str | None = None
    priority: int = 0
    queue: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    terms: Terms = NO_TERMS
    also: tuple[Identity, ...] = ()


@dataclass(frozen=True, slots=True)
class InboundMessage:
    """One message of a customer on a message channel. Joins the open contact of that customer on that account.

    Without one it opens a contact, unless `opens` is false (a mere event: it is then kept nowhere).
    `external_id` is the channel's message id, unique per channel and account: seen again, nothing happens.
    `kind` is `text`, `image`, `voice`, `video`, `file`, `location`, `link`, `menu`, `event` or `unknown`; `text` is
    what an agent reads first; `payload` the kind's own fields (coordinates, addresses), JSON values only. `media` is
    the channel's own id of a file that is to be fetched and kept. `also` are further identities of the customer.
    `leaves`: the customer need not stay where it chats to be answered.
    """

    channel: str
    account: str
    external_id: str
    identity: Identity
    kind: str = "text"
    text: str | None = None
    payload: Mapping[str, object] = field(default_factory=dict)
    language: str | None = None
    queue: str | None = None
    opens: bool = True
    media: str | None = None
    attributes: Mapping[str, object] = field(default_factory=dict)
    also: tuple[Identity, ...] = ()
    leaves: bool = False


@dataclass(frozen=True, slots=True)
class InboundHangup:
    """The customer is gone: a caller hung up, a visitor left. Ends the contact that `external_id` opened, if open.

    `cause` is a Q.850 number for calls, None elsewhere.
    """

    channel: str
    account: str
    external_id: str
    cause: int | None = None


@dataclass(frozen=True, slots=True)
class InboundDigits:
    """Somebody pressed keys, one or more of `0123456789*#ABCD`, in the call that `external_id` is the id of."""

    channel: str
    account: str
    external_id: str
    digits: str


Inbound = InboundContact | InboundMessage | InboundHangup | InboundDigits
