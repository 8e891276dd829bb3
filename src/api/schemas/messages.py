"""Bodies about messages: one model for each kind, told apart by `kind`; what becomes of one that goes out."""

from typing import Annotated, Any, Final, Literal

from pydantic import Discriminator, Field, StringConstraints, Tag

from src.api.schemas.base import Attributes, Body, Id, Short, Text

URL_CHARS_MAX: Final = 2_048
CAPTION_CHARS_MAX: Final = 512
OPTIONS_MAX: Final = 10

Spoken = Annotated[Text, StringConstraints(min_length=1)]
Caption = Annotated[str, StringConstraints(min_length=1, max_length=CAPTION_CHARS_MAX)]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A stable word for machines."""

WebAddress = Annotated[str, StringConstraints(pattern=r"^https?://[^\s\x00-\x1f\x7f]+$", max_length=URL_CHARS_MAX)]


class LocationBody(Body):
    """A place, in degrees (WGS 84); `scale` is that of the map."""

    latitude: Annotated[float, Field(ge=-90, le=90)]
    longitude: Annotated[float, Field(ge=-180, le=180)]
    label: Caption | None = None
    scale: Annotated[int, Field(ge=1, le=100)] | None = None


class LinkBody(Body):
    """A page, as a card."""

    url: WebAddress
    title: Caption
    description: Caption | None = None
    picture_url: WebAddress | None = None


class MediaBody(Body):
    """A file that was handed in before (`POST /v1/media`); `thumb_media_id`: the picture that stands for a video."""

    media_id: Id
    thumb_media_id: Id | None = None
    title: Caption | None = None
    description: Caption | None = None


class OptionBody(Body):
    """One line of a menu; its id comes back with the customer's choice."""

    id: Short
    text: Caption


class MenuBody(Body):
    """What a customer can choose from; `tail` stands below it."""

    options: Annotated[list[OptionBody], Field(min_length=1, max_length=OPTIONS_MAX)]
    tail: Caption | None = None


class EventBody(Body):
    """What a customer did: a word for machines, and whatever belongs to it."""

    event: Code
    details: Attributes = {}


class _Message(Body):
    """What every message has. `external_id`: the sender's own id of it; seen again, it is the same message."""

    external_id: Short | None = None
    from_: Annotated[Literal["customer", "agent", "system"], Field(alias="from")] = "customer"

    def fields(self) -> dict[str, Any]:
        """The kind's own fields, JSON values; those that were left out are not there."""
        payload = getattr(self, "payload", None)
        return {} if payload is None else dict(payload.model_dump(exclude_none=True))


class TextMessage(_Message):
    """Words."""

    kind: Literal["text"] = "text"
    text: Spoken


class NoticeMessage(_Message):
    """A word of the system, shown apart from what people say."""

    kind: Literal["notice"]
    from_: Annotated[Literal["agent", "system"], Field(alias="from")]
    text: Spoken


class LocationMessage(_Message):
    """A place."""

    kind: Literal["location"]
    text: Spoken | None = None
    payload: LocationBody


class LinkMessage(_Message):
    """A page."""

    kind: Literal["link"]
    text: Spoken | None = None
    payload: LinkBody


class MenuMessage(_Message):
    """A question with answers to choose from; `text` is the question."""

    kind: Literal["menu"]
    from_: Annotated[Literal["agent", "system"], Field(alias="from")]
    text: Spoken
    payload: MenuBody


class EventMessage(_Message):
    """Something that the customer did, other than writing."""

    kind: Literal["event"]
    from_: Annotated[Literal["customer"], Field(alias="from")] = "customer"
    text: Spoken | None = None
    payload: EventBody


class MediaMessage(_Message):
    """A picture, a recording, a video or a file; `text` is what is said with it."""

    kind: Literal["image", "voice", "video", "file"]
    text: Spoken | None = None
    payload: MediaBody


def _kind(given: Any) -> str:  # noqa: ANN401  # whatever came in
    kind = given.get("kind", "text") if isinstance(given, dict) else getattr(given, "kind", "text")
    if kind in ("image", "voice", "video", "file"):
        return "media"
    return kind if isinstance(kind, str) else ""


MessageBody = Annotated[
    Annotated[TextMessage, Tag("text")]
    | Annotated[NoticeMessage, Tag("notice")]
    | Annotated[LocationMessage, Tag("location")]
    | Annotated[LinkMessage, Tag("link")]
    | Annotated[MenuMessage, Tag("menu")]
    | Annotated[EventMessage, Tag("event")]
    | Annotated[MediaMessage, Tag("media")],
    Discriminator(_kind),
]
"""One message of a conversation."""

AnyMessage = TextMessage | NoticeMessage | LocationMessage | LinkMessage | MenuMessage | EventMessage | MediaMessage


class ReceiptBody(Body):
    """What became of a message that a gateway sends. `receipt` is the channel's own id of it.

    `reason` says why it failed, as a word for machines: it is kept in the journal, so it must hold nothing personal.
    """

    state: Literal["sent", "delivered", "failed"]
    reason: Code | None = None
    receipt: Short | None = None


class MessageFrame(Body):
    """The parts of a frame that are the message: what `MessageBody` is made of."""

    contact_id: Id
    external_id: Any = None
    kind: Any = "text"
    text: Any = None
    payload: Any = None
