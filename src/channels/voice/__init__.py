"""Voice: telephone systems that tell us of their calls. It does no I/O; a conversation keeps its calls in mind.

    /ari   Asterisk dials us with its outbound WebSocket (20.15, 22.5 and later): subprotocol `ari`, HTTP Basic

`calls` says what happens to a call in words of no system, and what the service is told of it; `ari` turns Asterisk's
events into those. Nothing is sent back to Asterisk yet.
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from hmac import compare_digest
from typing import ClassVar, Final

import phonenumbers

from src.channels.base import Account, ChannelRequest, Conversation
from src.channels.voice.ari import AriCalls, frame_of
from src.channels.voice.calls import inbound_of
from src.dispatch.inbound import Inbound
from src.errors import Malformed, NotFound, Unauthenticated

SETTING_CHARS_MAX: Final = 256
AUTHORIZATION_CHARS_MAX: Final = 2_048
ARI_SUBPROTOCOL: Final = "ari"

_SETTINGS: Final = frozenset({"username", "default_region", "app"})
_SECRETS: Final = frozenset({"password"})


class Voice:
    """Telephone systems.

    Settings: `username` (what the system logs in with), `default_region` (an ISO 3166 code as which national numbers
    are read, such as CN; without it only numbers that begin with + are telephone numbers), `app` (the ARI application,
    if the connection carries several). Secret: `password`.
    """

    name: ClassVar[str] = "voice"

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """See `Channel.check`."""
        _check_strings("settings", settings, known=_SETTINGS, needed="username")
        _check_strings("secrets", secrets, known=_SECRETS, needed="password")
        if ":" in str(settings["username"]):
            raise Malformed("username must not contain a colon: HTTP Basic ends it there", field="settings.username")
        if settings.get("default_region", "CN") not in phonenumbers.SUPPORTED_REGIONS:
            raise Malformed("default_region must be an ISO 3166 code, such as CN", field="settings.default_region")

    def open(self, request: ChannelRequest, account: Account) -> tuple[Conversation, str | None]:
        """See `Converses.open`.

        Raises:
            NotFound: there is no WebSocket but `/ari`.
            Unauthenticated: HTTP Basic is missing or wrong.
        """
        if request.path != "/ari":
            raise NotFound("a voice account has its WebSocket at /ari")
        _authenticate(request.headers.get("authorization", ""), account)
        offered = {protocol.strip() for protocol in request.headers.get("sec-websocket-protocol", "").split(",")}
        return AriConversation(account), ARI_SUBPROTOCOL if ARI_SUBPROTOCOL in offered else None


class AriConversation:
    """One connection of an Asterisk."""

    def __init__(self, account: Account) -> None:
        app = account.settings.get("app")
        self._account = account
        self._calls = AriCalls(app if isinstance(app, str) else None)

    def frame(self, text: str, now_ms: int) -> tuple[Sequence[Inbound], Sequence[str]]:
        """See `Conversation.frame`. No frames go back."""
        events = self._calls.take(frame_of(text), now_ms)
        meant = (inbound_of(event, self._account) for event in events)
        return tuple(inbound for inbound in meant if inbound is not None), ()


def _authenticate(header: str, account: Account) -> None:
    """Check HTTP Basic (RFC 7617) in constant time."""
    scheme, _, credentials = header.partition(" ")
    username, password = account.settings.get("username"), account.secrets.get("password")
    if scheme.lower() != "basic" or len(header) > AUTHORIZATION_CHARS_MAX or not username or not password:
        raise Unauthenticated("HTTP Basic authentication is needed here")
    try:
        given = b64decode(credentials.strip(), validate=True)
    except ValueError as error:
        raise Unauthenticated("the credentials are not base64") from error
    if not compare_digest(given, f"{username}:{password}".encode()):
        raise Unauthenticated("the user name or the password is wrong")


def _check_strings(where: str, given: Mapping[str, object], *, known: frozenset[str], needed: str) -> None:
    for name, value in given.items():
        if name not in known:
            raise Malformed(f"voice accounts have no such {where}", field=f"{where}.{name}")
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= SETTING_CHARS_MAX:
            raise Malformed(f"{name} must be 1 to {SETTING_CHARS_MAX} printable characters", field=f"{where}.{name}")
    if needed not in given:
        raise Malformed(f"{needed} is missing", field=f"{where}.{needed}")


CHANNEL: Final = Voice()
