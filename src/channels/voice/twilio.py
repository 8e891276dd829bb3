"""Twilio's voice webhooks, and TwiML, which answers them: what arrives, and what is said. It does no I/O.

    POST /twilio              the number's voice URL: a caller
    POST /twilio/wait         the next round of waiting: a caller hears its place and music, and asks again
    POST /twilio/talk?leg=    the caller was sent to the agent
    POST /twilio/agent?…      an agent's telephone was answered
    POST /twilio/leg?…        what becomes of an agent's telephone
    POST /twilio/status       the number's status callback: the caller is gone
    POST /twilio/customer?…   a customer whom we dialled has picked up
    POST /twilio/called?…     what becomes of a customer's telephone

Whoever waits is in a loop of ours: music for `ROUND_S`, then Twilio asks what next. So how it stands is looked at once
in a round, whatever was lost meanwhile, and no queue of Twilio's has to be kept in step with ours. An agent's telephone
that answers enters a conference named for the agent's side; the caller is sent there to talk. A conference is made by
being entered and gone when it is empty; one that the agent leaves sends the caller back to us, and to the loop.
Customers whom we dial have an id of Twilio's that is not the call's: that one stands in the addresses.

A request is Twilio's if it is signed with the account's token, or with a key that was agreed on with Twilio: an HMAC
over the whole address and the sorted parameters, without any time. All that it can say is said once: a repeat changes
nothing.

Sources: twilio.com/docs/usage/security, /docs/voice/twiml, /docs/voice/api/call-resource; `tests/fixtures`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit
from xml.sax.saxutils import escape, quoteattr

from src.channels.base import Account, ChannelRequest, Receipt, Reply
from src.channels.voice.calls import Dial, Ended, Offered, Ring, inbound_of
from src.channels.voice.checks import check_calls, check_strings, check_url
from src.dispatch.callnotes import OUT, CallNote
from src.errors import BadSignature, Malformed, NotFound

BASE: Final = "/twilio"
ROUND_S: Final = 15
"""How long a round of waiting without music lasts, and about how long music should be."""

API: Final = "https://api.twilio.com"
FIELDS_MAX: Final = 200
TEXT_CHARS_MAX: Final = 256
SID_CHARS_MAX: Final = 64
CALL_ID_CHARS_MAX: Final = 150
FINAL: Final = {"completed": 16, "busy": 17, "no-answer": 19, "canceled": 16, "failed": 3}
"""The states in which a call of Twilio's has ended, and the Q.850 causes that stand for them."""

PLACES: Final = {
    "en": "You are number {position} in the queue.",
    "zh": "您目前排在第{position}位，请稍候。",
}
LANGUAGE: Final = "en-US"

SETTINGS: Final = frozenset(
    {
        "system",
        "account_sid",
        "number",
        "public_url",
        "default_region",
        "language",
        "greeting",
        "place_text",
        "closed_text",
        "closed_url",
        "music",
        "phones",
        "trunk",
        "shows",
        "ring",
        "api_base_url",
    }
)
_KEYS: Final = ("auth_token", "previous_auth_token", "shared_key", "previous_shared_key")
SECRETS: Final = frozenset(_KEYS)
PHONES: Final = "{phone}"

Params = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Round:
    """A caller asks what next. `first`: it has just come."""

    call_id: str
    first: bool = False


@dataclass(frozen=True, slots=True)
class Joins:
    """An agent's telephone was answered. `ref` is Twilio's id of it."""

    call_id: str
    leg_id: str
    ref: str


@dataclass(frozen=True, slots=True)
class Reaches:
    """A customer whom we dialled has picked up. `ref` is Twilio's id of that side."""

    call_id: str
    ref: str


def check(settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
    """See `Channel.check`."""
    check_strings("settings", settings, known=SETTINGS, needed=("account_sid", "number", "public_url"))
    check_strings("secrets", secrets, known=SECRETS, needed=("auth_token",))
    check_calls(settings, PHONES)
    for name in ("public_url", "api_base_url", "music"):
        check_url(settings, name)
    if "closed_url" in settings and not _is_elsewhere(str(settings["closed_url"])):
        raise Malformed("closed_url must be an https address of your own TwiML", field="settings.closed_url")
    if not str(settings["account_sid"]).isalnum():
        raise Malformed("account_sid must be letters and digits, such as AC…", field="settings.account_sid")


def receive(request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
    """See `Receives.receive`. What is asked for is answered with TwiML by whoever knows how the call stands."""
    path = request.path.removeprefix(BASE)
    if request.method != "POST" or not request.path.startswith(BASE) or path not in _PATHS:
        raise NotFound("Twilio posts to /twilio and what is below it")
    given = _verified(request, account)
    params = dict(given)
    sid = _sid(params.get("CallSid"), "CallSid")
    if params.get("AccountSid") != account.settings.get("account_sid"):
        raise BadSignature("AccountSid is another account's")
    status = params.get("CallStatus", "")
    match path:
        case "":
            number = "" if params.get("From") in _HIDDEN else params.get("From", "")
            call = Offered(sid, now_ms, _clean(number), _clean(params.get("CallerName")), _clean(params.get("To")))
            inbound = inbound_of(call, account)
            assert inbound is not None
            return Receipt(_NOTHING, (inbound,), notes=[CallNote(sid, sid, "offered", now_ms)], asked=Round(sid, True))
        case "/wait":
            return Receipt(_NOTHING, asked=Round(_call_id(request.query.get("call", sid))))
        case "/talk":
            leg_id, call_id = _sid(request.query.get("leg"), "leg"), _call_id(request.query.get("call", sid))
            return Receipt(talk(call_id, leg_id, account), notes=[bridged(call_id, leg_id, now_ms)])
        case "/status":
            if status not in FINAL:
                return Receipt(_EMPTY)
            inbound = inbound_of(Ended(sid, now_ms, FINAL[status]), account)
            assert inbound is not None
            return Receipt(_EMPTY, (inbound,), notes=[ended(sid, now_ms, status)])
    call_id = _call_id(request.query.get("call"))
    if path == "/customer":
        return Receipt(_NOTHING, asked=Reaches(call_id, sid))
    if path == "/called":
        return Receipt(_EMPTY, notes=customer_notes(call_id, sid, status, now_ms))
    leg_id = _sid(request.query.get("leg"), "leg")
    if path == "/agent":
        return Receipt(_NOTHING, asked=Joins(call_id, leg_id, sid))
    return Receipt(_EMPTY, notes=leg_notes(call_id, leg_id, sid, status, now_ms))


def ended(call_id: str, now_ms: int, status: str) -> CallNote:
    """A caller is gone, as a state of Twilio's says."""
    return CallNote(f"{call_id} ended", call_id, "ended", now_ms, cause=FINAL[status])


def bridged(call_id: str, leg_id: str, now_ms: int) -> CallNote:
    """Caller and agent hear each other."""
    return CallNote(f"{leg_id} bridged", call_id, "bridged", now_ms, leg_id)


def customer_notes(call_id: str, sid: str, status: str, now_ms: int) -> Sequence[CallNote]:
    """What a state of Twilio's says of a customer whom we dial."""
    if status in FINAL:
        return [CallNote(f"{sid} ended", call_id, "ended", now_ms, None, sid, FINAL[status])]
    if status == "ringing":
        return [CallNote(f"{sid} dialled", call_id, "dialled", now_ms, None, sid)]
    return []


def leg_notes(call_id: str, leg_id: str, sid: str, status: str, now_ms: int) -> Sequence[CallNote]:
    """What a state of Twilio's says of an agent's telephone."""
    if status in FINAL:
        return [CallNote(f"{sid} ended", call_id, "agent_ended", now_ms, leg_id, sid, FINAL[status])]
    if status == "ringing":
        return [CallNote(f"{sid} ringing", call_id, "agent_ringing", now_ms, leg_id, sid)]
    return []


# -- TwiML ---------------------------------------------------------------------------------------------------------


def wait(account: Account, call_id: str, position: int | None, *, first: bool) -> Reply:
    """A round of waiting: a greeting, the caller's place, music; then Twilio asks again."""
    settings = account.settings
    language = str(settings.get("language", LANGUAGE))
    texts = []
    if first and "greeting" in settings:
        texts.append(str(settings["greeting"]))
    if position is not None:
        place = settings.get("place_text", PLACES.get(language[:2].lower(), PLACES["en"]))
        texts.append(str(place).replace("{position}", str(position)))
    said = "".join(_say(account, each) for each in texts)
    music = settings.get("music")
    plays = f'<Pause length="{ROUND_S}"/>' if music is None else f"<Play>{escape(str(music))}</Play>"
    return _twiml(
        f'{said}{plays}<Redirect method="POST">{escape(address(account, "/wait", _named(call_id)))}</Redirect>'
    )


def talk(call_id: str, leg_id: str, account: Account) -> Reply:
    """The caller enters the agent's conference; it goes on waiting when that is over and it is still there.

    Its leaving does not end the conference: it may be sent there twice, and the agent's side is ended by us.
    """
    action = quoteattr(address(account, "/wait", _named(call_id)))
    room = f'<Conference beep="false" endConferenceOnExit="false">{escape(leg_id)}</Conference>'
    return _twiml(f'<Dial action={action} method="POST">{room}</Dial>')


def join(leg_id: str) -> Reply:
    """The agent's telephone enters its conference, in which nothing is heard until the caller comes."""
    room = f'<Conference beep="false" endConferenceOnExit="true" waitUrl="">{escape(leg_id)}</Conference>'
    return _twiml(f"<Dial>{room}</Dial>")


def hang_up() -> Reply:
    """The end of a call."""
    return _twiml("<Hangup/>")


def turn_away(account: Account, reason: str, contact_id: str) -> Reply:
    """What a caller hears whom its queue has not kept, `reason` as in `HangUp`: the tenant's own TwiML, or the end."""
    text, url = account.settings.get("closed_text"), account.settings.get("closed_url")
    said = "" if text is None else _say(account, str(text))
    if url is None:
        return _twiml(f"{said}<Hangup/>")
    why = f"{'&' if urlsplit(str(url)).query else '?'}reason={reason}&contact={contact_id}" if reason else ""
    return _twiml(f'{said}<Redirect method="POST">{escape(str(url).rstrip("?") + why)}</Redirect>')


def says_why(account: Account) -> bool:
    """Whether callers whom their queue does not keep hear anything."""
    return "closed_text" in account.settings or "closed_url" in account.settings


def address(account: Account, path: str, query: Mapping[str, str] = MappingProxyType({})) -> str:
    """The whole address of one of the account's webhooks, as Twilio is told it."""
    base = str(account.settings["public_url"]).rstrip("/")
    asked = f"?{urlencode(query, errors='replace')}" if query else ""
    return f"{base}/channels/voice/{account.name}{BASE}{path}{asked}"


# -- requests to Twilio --------------------------------------------------------------------------------------------


def calls_url(account: Account, sid: str | None = None) -> str:
    """Where Twilio takes a call, or has one."""
    base = str(account.settings.get("api_base_url", API)).rstrip("/")
    where = f"{base}/2010-04-01/Accounts/{account.settings['account_sid']}/Calls"
    return f"{where}.json" if sid is None else f"{where}/{sid}.json"


def ring_form(ring: Ring, account: Account) -> Params:
    """What has Twilio ring an agent's telephone, and tell of it."""
    ids = {"call": ring.call_id, "leg": ring.leg_id}
    answered, told = address(account, "/agent", ids), address(account, "/leg", ids)
    return _call_form(ring.phone, str(account.settings["number"]), ring.timeout_s, answered, told)


def dial_form(dial: Dial, account: Account) -> Params:
    """What has Twilio call a customer, and tell of it."""
    ids = {"call": dial.call_id}
    answered, told = address(account, "/customer", ids), address(account, "/called", ids)
    return _call_form(dial.phone, dial.number, dial.timeout_s, answered, told)


def _call_form(number: str, shown: str, timeout_s: int, answered: str, told: str) -> Params:
    return [
        ("To", number),
        ("From", shown),
        ("Timeout", str(timeout_s)),
        ("Url", answered),
        ("Method", "POST"),
        ("StatusCallback", told),
        ("StatusCallbackMethod", "POST"),
        *(("StatusCallbackEvent", each) for each in ("ringing", "answered", "completed")),
    ]


def talk_form(call_id: str, leg_id: str, account: Account) -> Params:
    """What sends a caller, or a customer, to an agent."""
    return [("Url", address(account, "/talk", {"leg": leg_id} | _named(call_id))), ("Method", "POST")]


def turn_away_form(call_id: str, account: Account) -> Params:
    """What has a waiting caller ask what next, who is then turned away."""
    return [("Url", address(account, "/wait", _named(call_id))), ("Method", "POST")]


END_FORM: Final[Params] = (("Status", "completed"),)
"""What ends a call, whether it rings or is answered."""


def credential(account: Account) -> str:
    """What Twilio lets us in with (HTTP Basic)."""
    text = f"{account.settings['account_sid']}:{account.secrets['auth_token']}"
    return "Basic " + base64.b64encode(text.encode()).decode()


# -- signatures ----------------------------------------------------------------------------------------------------


def signature(url: str, params: Params, token: str, algorithm: str = "HMAC_SHA1") -> str:
    """Twilio's signature of a request: over its address, and the names and values that it posts, sorted."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(set(params)))
    made = hmac.new(token.encode(), text.encode("utf-8", "replace"), _HASHES[algorithm])
    return base64.b64encode(made.digest()).decode()


def _verified(request: ChannelRequest, account: Account) -> Params:
    given = request.headers.get("x-twilio-signature", "").encode("utf-8", "replace")
    try:
        params = parse_qsl(
            request.body.decode("utf-8"), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace"
        )
    except ValueError as error:
        raise Malformed("a request of Twilio's is a form of at most 200 fields") from error
    url = address(account, request.path.removeprefix(BASE))
    url += f"?{request.query_string}" if request.query_string else ""
    algorithm = _algorithm(request.headers.get("x-twilio-webhooks-signature-settings", ""))
    keys = [account.secrets[name] for name in _KEYS if name in account.secrets]
    expected = [signature(each, params, key, algorithm).encode() for each in _spelled(url) for key in keys]
    if not any(hmac.compare_digest(given, each) for each in expected):
        raise BadSignature("the signature does not fit; public_url must be as Twilio calls it")
    return params


def _algorithm(settings: str) -> str:
    """How a request is signed, as `key=…,algorithm=…` says; where nothing is said, as Twilio always has.

    Raises:
        BadSignature: in a way that is not known here.
    """
    said = dict(each.strip().partition("=")[::2] for each in settings.split(","))
    algorithm = said.get("algorithm", "").strip().upper() or "HMAC_SHA1"
    if algorithm not in _HASHES:
        raise BadSignature("requests are signed with HMAC_SHA1 or HMAC_SHA256")
    return algorithm


def _is_elsewhere(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return bool(parts.scheme == "https" and parts.hostname and parts.port != 0 and "@" not in parts.netloc) and (
            not parts.fragment
        )
    except ValueError:
        return False


def _spelled(url: str) -> Sequence[str]:
    """An address without its port and with it: Twilio signs either."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    port = parts.port or (443 if parts.scheme == "https" else 80)
    rest = url.split(parts.netloc, 1)[1]
    return [url, f"{parts.scheme}://{host}{rest}", f"{parts.scheme}://{host}:{port}{rest}"]


def _say(account: Account, text: str) -> str:
    language = str(account.settings.get("language", LANGUAGE))
    return f"<Say language={quoteattr(language)}>{escape(text)}</Say>"


def _twiml(inside: str) -> Reply:
    text = f'<?xml version="1.0" encoding="UTF-8"?><Response>{inside}</Response>'
    return Reply(text.encode(), "application/xml")


def _sid(value: str | None, name: str) -> str:
    if value is None or not 0 < len(value) <= SID_CHARS_MAX or not value.replace("-", "").isalnum():
        raise Malformed(f"{name} must be 1 to {SID_CHARS_MAX} letters and digits", field=name)
    if value.startswith(OUT):
        raise Malformed(f"{name} must not begin with {OUT}", field=name)
    return value


def _call_id(value: str | None) -> str:
    """A call's id in an address: Twilio's own, or ours."""
    if value is not None and value.startswith(OUT) and len(value) <= CALL_ID_CHARS_MAX and _CALL_ID.fullmatch(value):
        return value
    return _sid(value, "call")


def _named(call_id: str) -> dict[str, str]:
    """What an address says of a call whose id is not Twilio's."""
    return {"call": call_id} if call_id.startswith(OUT) else {}


def _clean(value: str | None) -> str:
    return (value or "").replace("\0", "\ufffd")[:TEXT_CHARS_MAX]


_HIDDEN: Final = frozenset(
    {"", "anonymous", "Anonymous", "+266696687", "266696687", "+7378742833", "+2562533", "+8656696"}
)
"""What Twilio writes in the place of a number that is not shown: words, as they are dialled on a keypad."""

_HASHES: Final = {"HMAC_SHA1": hashlib.sha1, "HMAC_SHA256": hashlib.sha256}
_CALL_ID: Final = re.compile(r"[A-Za-z0-9.\-]+")
_PATHS: Final = frozenset({"", "/wait", "/talk", "/agent", "/leg", "/status", "/customer", "/called"})
_NOTHING: Final = _twiml("")
_EMPTY: Final = Reply(b"", status=204)
