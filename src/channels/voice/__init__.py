"""Voice: telephone systems that tell us of their calls, and are told what to do with them. It does no I/O.

    /ari   Asterisk dials us with its outbound WebSocket (20.15, 22.5 and later): subprotocol `ari`, HTTP Basic

or is dialled by us at `url` (20.14, 22.4 and later); so is FreeSWITCH, at its event socket. Others keep no connection:
any system that posts signed events and takes commands (`hook`), and Twilio (`twilio`).

`calls` says what happens to a call and what can be done with it, in words of no system; `switchboard` decides what is
to be done; `ari` and `ari_line` turn Asterisk's words into those and back, `esl` and `esl_line` FreeSWITCH's,
`hook_line` the notes of systems without a connection; `lines` is what these have in common. `api/voice` joins them to
the tenant.
"""

import re
from base64 import b64decode
from collections.abc import Mapping
from hmac import compare_digest
from typing import ClassVar, Final
from urllib.parse import urlsplit

from src.channels.base import Account, ChannelRequest, Conversation, Receipt
from src.channels.voice import hook, twilio
from src.channels.voice.ari_line import AriLine
from src.channels.voice.checks import check_calls, check_strings
from src.channels.voice.esl_line import EslLine
from src.channels.voice.hook_line import HookLine
from src.channels.voice.lines import Extension, extension_of
from src.channels.voice.switchboard import Switchboard
from src.errors import Malformed, NotFound, Unauthenticated

AUTHORIZATION_CHARS_MAX: Final = 2_048
ARI_SUBPROTOCOL: Final = "ari"

PHONES: Final = "PJSIP/{phone}"
FREESWITCH_PHONES: Final = "user/{phone}"
"""How agents' telephones are called where nothing else is configured."""

FREESWITCH_PORT: Final = 8021

_NUMBER: Final = re.compile(r"\+[0-9]{4,15}")

_SETTINGS: Final = frozenset(
    {
        "username",
        "default_region",
        "app",
        "music",
        "phones",
        "ring",
        "url",
        "language",
        "trunk",
        "shows",
        "closed_exten",
    }
)
_SECRETS: Final = frozenset({"password"})


class Voice:
    """Telephone systems.

    Settings, beside the secret `password`:

    - `username`: what Asterisk logs in with; or we at FreeSWITCH, if it asks for one
    - `default_region`: an ISO 3166 code as which national numbers are read, such as CN; without it only numbers that
      begin with + are telephone numbers
    - `url`: where the system waits to be dialled: http or https an Asterisk, esl a FreeSWITCH
    - `app`: the ARI application, if the connection carries several or is dialled by us; of FreeSWITCH: what the
      variable `cordboard_app` of our callers is
    - `music`: the class of music on hold; of FreeSWITCH: what is played
    - `language`: of FreeSWITCH: the module of mod_say in whose language places in the queue are said
    - `phones`: how an agent's telephone is called, `PJSIP/{phone}` or `user/{phone}` where nothing is said
    - `trunk`: how customers are called, `PJSIP/{number}@trunk` or `sofia/gateway/trunk/{number}`; without it nobody is
    - `shows`: the number that they see
    - `closed_exten`: the extension of the dial plan, `4999` or `4999@voicemail`, to which callers are given back whom
      their queue does not keep; without it they are hung up on
    - `ring`: `offer`, telephones ring with the offer; `accept`, only once the agent has accepted at the desktop

    `system` is missing for those; accounts of `webhook` and `twilio` have settings and secrets of their own: those that
    `hook.check` and `twilio.check` take.
    """

    name: ClassVar[str] = "voice"

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """See `Channel.check`."""
        match settings.get("system"):
            case None:
                _check_connected(settings, secrets)
            case "webhook":
                hook.check(settings, secrets)
            case "twilio":
                twilio.check(settings, secrets)
            case _:
                raise Malformed("system must be webhook or twilio, or missing", field="settings.system")

    def receive(self, request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
        """See `Receives.receive`."""
        match account.settings.get("system"):
            case "webhook":
                return hook.receive(request, account, now_ms)
            case "twilio":
                return twilio.receive(request, account, now_ms)
            case _:
                raise NotFound("this account's telephone system keeps a connection")

    def open(self, request: ChannelRequest, account: Account) -> tuple[Conversation, str | None]:
        """See `Converses.open`.

        Raises:
            NotFound: there is no WebSocket but `/ari`.
            Unauthenticated: HTTP Basic is missing or wrong.
        """
        if request.path != "/ari" or keeps_none(account.settings):
            raise NotFound("a voice account has its WebSocket at /ari")
        _authenticate(request.headers.get("authorization", ""), account)
        offered = {protocol.strip() for protocol in request.headers.get("sec-websocket-protocol", "").split(",")}
        return line_of(account), ARI_SUBPROTOCOL if ARI_SUBPROTOCOL in offered else None


def is_freeswitch(account: Account) -> bool:
    """Whether the account is a FreeSWITCH that we dial."""
    return str(account.settings.get("url", "")).startswith("esl:")


def keeps_none(settings: Mapping[str, object]) -> bool:
    """Whether a telephone system keeps no connection to us, nor we to it."""
    return settings.get("system") in ("webhook", "twilio")


def line_of(account: Account) -> Conversation:
    """A connection to the account's telephone system, whoever dialled, or what stands for one."""
    if keeps_none(account.settings):
        asks = account.settings["system"] == "twilio"  # callers ask what they are to hear
        return HookLine(without=("hold", "announce") if asks else ())
    app, music = _text_setting(account, "app"), _text_setting(account, "music")
    closed = _closed_exten(account)
    if is_freeswitch(account):
        return EslLine(app, music, _text_setting(account, "language"), closed)
    return AriLine(app, music, closed)


def switchboard_of(account: Account) -> Switchboard:
    """The calls of one connection, as the account is configured."""
    return Switchboard(rings_on_offer=account.settings.get("ring", "offer") == "offer")


def phone_of(account: Account, phone: str | None) -> str | None:
    """How the account's telephone system calls an agent's telephone: whole where it says so, else as configured."""
    if phone is None or "/" in phone:
        return phone
    default = FREESWITCH_PHONES if is_freeswitch(account) else PHONES
    default = hook.PHONES if keeps_none(account.settings) else default
    return str(account.settings.get("phones", default)).replace("{phone}", phone)


def dial_of(account: Account, number: str | None) -> str | None:
    """How the account's telephone system calls a customer; None where it cannot."""
    trunk = account.settings.get("trunk")
    if number is None or not _NUMBER.fullmatch(number) or not isinstance(trunk, str):
        return None
    return trunk.replace("{number}", number)


def shown_to_customers(account: Account) -> str:
    """The number that customers see whom we dial; empty where the telephone system chooses."""
    return str(account.settings.get("shows", account.settings.get("number", "")))


def _check_connected(settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
    freeswitch = str(settings.get("url", "")).startswith("esl:")
    check_strings("settings", settings, known=_SETTINGS, needed=("url" if freeswitch else "username",))
    check_strings("secrets", secrets, known=_SECRETS, needed=("password",))
    if ":" in str(settings.get("username", "")):
        raise Malformed("username must not contain a colon: it ends there", field="settings.username")
    if any(each in str(settings.get("music", "")) for each in " ,;'\"") and freeswitch:
        raise Malformed("music must be one word, such as local_stream://moh", field="settings.music")
    if not str(settings.get("language", "en")).isalpha() or ("language" in settings and not freeswitch):
        raise Malformed("language must be a module of FreeSWITCH's mod_say, such as en", field="settings.language")
    check_calls(settings, PHONES)
    if "closed_exten" in settings and extension_of(str(settings["closed_exten"])) is None:
        raise Malformed("closed_exten must be such as 4999 or 4999@voicemail", field="settings.closed_exten")
    if "url" in settings:
        _check_url(settings)


def _check_url(settings: Mapping[str, object]) -> None:
    try:
        parts = urlsplit(str(settings["url"]))
        known = parts.scheme in ("http", "https") or (parts.scheme == "esl" and parts.path in ("", "/"))
        good = known and parts.hostname and parts.port != 0 and "@" not in parts.netloc
    except ValueError:
        good = False
    if not good or parts.query or parts.fragment:
        raise Malformed("url must be such as http://pbx:8088 (Asterisk) or esl://pbx:8021", field="settings.url")
    if "app" not in settings and parts.scheme != "esl":
        raise Malformed("app is needed where Asterisk is dialled", field="settings.app")


def _closed_exten(account: Account) -> Extension | None:
    text = _text_setting(account, "closed_exten")
    return None if text is None else extension_of(text)


def _text_setting(account: Account, name: str) -> str | None:
    value = account.settings.get(name)
    return value if isinstance(value, str) else None


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


CHANNEL: Final = Voice()
