"""What a visitor's browser sends, over REST and as frames of the socket: one model for each thing that can be done."""

from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, TypeAdapter

from src.api.schemas import Body, Id, Language, Short, Text
from src.channels.webchat.signed import Claim

SCORE_MAX: Final = 5
PAGE_CHARS_MAX: Final = 2_000
NUMBER_MAX: Final = 2**53

ClientId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
"""What a browser calls a message that it sends: sent twice, it is kept once."""

Number = Annotated[int, Field(ge=0, le=NUMBER_MAX)]


def _words(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty")
    value.encode()
    return value


class IdentityClaim(Body):
    """What a website's server says of a visitor who is signed in there; `expires_at` in seconds since the epoch."""

    user_id: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    expires_at: Annotated[int, Field(ge=0, le=2**40)]
    signature: Annotated[str, StringConstraints(min_length=1, max_length=128)]
    name: Short | None = None

    def claim(self) -> Claim:
        """The channel's form."""
        return Claim(self.user_id, self.expires_at, self.signature, self.name)


class SessionBody(Body):
    """How a visit begins: as whom the website vouches for, as who came before, or as a stranger."""

    identity: IdentityClaim | None = None
    resume: Annotated[str, StringConstraints(max_length=4_096)] | None = None


class SaidBody(Body):
    """A visitor's message. `form`, `page` and `language` count where it opens a contact; so does `leave`."""

    id: ClientId
    text: Annotated[Text, AfterValidator(_words)]
    form: Annotated[dict[str, Text], Field(max_length=20)] | None = None
    page: Annotated[str, StringConstraints(max_length=PAGE_CHARS_MAX), AfterValidator(_words)] | None = None
    language: Language | None = None
    leave: bool = False


class TypingBody(Body):
    """The visitor types, or has stopped."""

    typing: bool = True


class SeenBody(Body):
    """Everything up to this number has reached the browser."""

    number: Number


class RatingBody(Body):
    """How it was, 1 to 5."""

    score: Annotated[int, Field(ge=1, le=SCORE_MAX)]
    comment: Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_words)] | None = None


class Hello(Body):
    """The first frame of a socket. `after`: the last number that the browser has; without it, it knows nothing."""

    type: Literal["hello"]
    token: Annotated[str, StringConstraints(max_length=4_096)]
    after: Number | None = None


class Message(SaidBody):
    """See `SaidBody`."""

    type: Literal["message"]


class Typing(TypingBody):
    """See `TypingBody`."""

    type: Literal["typing"]


class Seen(SeenBody):
    """See `SeenBody`."""

    type: Literal["seen"]


class End(Body):
    """The visitor ends the conversation."""

    type: Literal["end"]
    id: Id | None = None


class Rating(RatingBody):
    """See `RatingBody`."""

    type: Literal["rating"]
    id: Id | None = None


class Sync(Body):
    """The visitor may have gone on elsewhere: say where the conversation stands."""

    type: Literal["sync"]


class Ping(Body):
    """Is anybody there?"""

    type: Literal["ping"]


FRAME_MODELS: Final = (Message, Typing, Seen, End, Rating, Sync, Ping)
"""What may be said behind hello."""

FRAMES: Final[dict[str, TypeAdapter[Any]]] = {
    model.model_fields["type"].annotation.__args__[0]: TypeAdapter(model)  # type: ignore[union-attr]
    for model in FRAME_MODELS
}
