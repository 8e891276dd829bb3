"""WeCom customer service (企业微信 微信客服): customers of WeChat, over a company's WeCom. It keeps nothing.

    GET   WeCom checks that the address is ours: the answer is `echostr`, decrypted.
    POST  says only that something has happened: the answer is empty, and it is asked for in the background.
          A company has one such address for all of its accounts: any of them takes what is meant for another.

`api` speaks, `normal` says what was pulled, `errors` what WeCom's refusals mean. A session stays in the state in which
an API has it: a desk of one's own answers there. Protocol: developer.work.weixin.qq.com/document/path/94670.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from src.channels.base import (
    Account,
    Budget,
    ChannelRequest,
    Media,
    Outbound,
    Pulled,
    Reach,
    Receipt,
    Reply,
    Said,
    Sent,
)
from src.channels.tencent.crypto import decrypt, key_of, verify
from src.channels.tencent.parse import ENCRYPT_CHARS_MAX, fields_of, required, string
from src.channels.wecom.api import SEND_ON_EVENT, Api
from src.channels.wecom.normal import IDENTITY_TYPE, Welcome, read_items
from src.errors import BadSignature, Malformed, NotFound, NotSent, StaleTimestamp

SETTING_CHARS_MAX: Final = 256
EVENT_CHARS_MAX: Final = 600
TOKEN_CHARS_MAX: Final = 128
CURSOR_CHARS_MAX: Final = 1_024
WELCOME_MS: Final = 20_000
TIMESTAMP_TOLERANCE_S: Final = 300

GRANT: Final = (5, 48 * 3_600)
"""So many messages in so many seconds are granted by each message of a customer."""

_SETTINGS: Final = frozenset({"corp_id", "open_kfid", "api_base_url", "welcome_text", "ending_text"})
_SECRETS: Final = frozenset({"token", "encoding_aes_key", "previous_encoding_aes_key", "corp_secret"})
_KEYS: Final = ("encoding_aes_key", "previous_encoding_aes_key")


class WeCom:
    """WeCom customer service accounts.

    Settings: `corp_id`, `open_kfid`, `welcome_text` (sent to whoever comes in; without it nothing is), `ending_text`
    (sent when a session is over; without it sessions are left to end by themselves), `api_base_url`.
    Secrets: `token`, `encoding_aes_key`, `previous_encoding_aes_key` (still accepted while keys are changed),
    `corp_secret` (needed to pull and to send).
    """

    name: ClassVar[str] = "wecom"
    window_s: ClassVar[int] = GRANT[1]

    def check(self, settings: Mapping[str, object], secrets: Mapping[str, str]) -> None:
        """See `Channel.check`."""
        _check_texts("settings", settings, _SETTINGS, ("corp_id", "open_kfid"))
        _check_texts("secrets", secrets, _SECRETS, ("token", "encoding_aes_key"))
        if not str(settings.get("api_base_url", "https://")).startswith(("https://", "http://")):
            raise Malformed("api_base_url must begin with https:// or http://", field="settings.api_base_url")
        for name in _KEYS:
            try:
                key_of(secrets.get(name, secrets["encoding_aes_key"]))
            except Malformed as error:
                raise Malformed(error.detail, field=f"secrets.{name}") from error

    def receive(self, request: ChannelRequest, account: Account, now_ms: int) -> Receipt:
        """See `Receives.receive`."""
        if request.path or request.method not in {"GET", "POST"}:
            raise NotFound("there is nothing at this address of a WeCom account")
        if request.method == "GET":
            return Receipt(Reply(_decrypted(request.query.get("echostr", ""), request.query, account)))
        ciphertext = required(fields_of(request.body), "Encrypt", chars_max=ENCRYPT_CHARS_MAX)
        fields = fields_of(_decrypted(ciphertext, request.query, account))
        if string(fields, "Event", chars_max=SETTING_CHARS_MAX) != "kf_msg_or_event":
            return Receipt(Reply(b""))
        _check_fresh(request.query, now_ms)
        token = required(fields, "Token", chars_max=TOKEN_CHARS_MAX)
        meant = {
            "corp_id": account.settings.get("corp_id"),
            "open_kfid": string(fields, "OpenKfId", chars_max=SETTING_CHARS_MAX),
        }
        return Receipt(Reply(b""), wanted=token, wanted_for=meant)

    async def pull(self, cursor: str | None, token: str | None, account: Account, reach: Reach, now_ms: int) -> Pulled:
        """See `Pulls.pull`. Whoever has just come in is greeted on the way."""
        api = Api(account, reach)
        cursor = _cursor_at(api.open_kfid, cursor)
        value = await api.pulled(cursor, token)
        following = _cursor(value.get("next_cursor")) or cursor or ""
        found = read_items(value.get("msg_list"), api.open_kfid, account.name, account.queue)
        for each in found.welcomes:
            await _greet(api, each, account, now_ms)
        more = value.get("has_more") == 1 and following != (cursor or "")
        company = str(account.settings.get("corp_id", ""))  # all of its accounts know a customer by one id
        inbound = [replace(each, identity=replace(each.identity, scope=company)) for each in found.inbound]
        return Pulled(inbound, found.failed, f"{api.open_kfid} {following}" if following else "", more)

    async def send(self, message: Outbound, account: Account, reach: Reach) -> Sent:
        """See `Sends.send`. WeCom takes each of our ids once."""
        if message.identity_type != IDENTITY_TYPE:
            raise NotSent("unknown_recipient", "refused")
        await Api(account, reach).send(message)
        return Sent()

    async def end(self, identity_value: str, account: Account, reach: Reach) -> None:
        """See `Ends.end`. Only a session that is over may be sent this, once."""
        text = account.settings.get("ending_text")
        if isinstance(text, str):
            await Api(account, reach).end(identity_value, text)

    async def fetch(self, source: str, account: Account, reach: Reach) -> Media:
        """See `Fetches.fetch`. WeCom keeps it for three days."""
        return await Api(account, reach).download(source)

    def budget(self, said: Sequence[Said], now_ms: int) -> Budget:
        """See `Rations.budget`."""
        messages, seconds = GRANT
        sent = 0
        for each in reversed(said):
            if each.sender == "customer" and each.kind != "event":
                until = each.at + seconds * 1_000
                return Budget(max(0, messages - sent) if until > now_ms else 0, until, seconds)
            sent += each.sender != "customer" and each.state in ("queued", "sent", "delivered")
        return Budget(0, now_ms, seconds)


def _cursor_at(open_kfid: str, kept: str | None) -> str | None:
    """A kept cursor as WeCom gave it; None where it gave it for another `open_kfid`, as that was changed."""
    at, separated, cursor = (kept or "").partition(" ")
    if not separated:  # as they were once kept
        return kept
    return cursor if at == open_kfid else None


def _cursor(given: object) -> str | None:
    """Where to go on from; None: nobody could. Then it stays where it was, and what comes again is known by its id."""
    return given if isinstance(given, str) and len(given) <= CURSOR_CHARS_MAX and given.isprintable() else None


async def _greet(api: Api, welcome: Welcome, account: Account, now_ms: int) -> None:
    """Greet, at most once: a greeting that fails is not worth holding anything up."""
    text = account.settings.get("welcome_text")
    if not isinstance(text, str) or now_ms - welcome.at_ms > WELCOME_MS:
        return
    try:
        await api.call(SEND_ON_EVENT, {"code": welcome.code, "msgtype": "text", "text": {"content": text}})
    except NotSent:
        return


def _decrypted(ciphertext: str, query: Mapping[str, str], account: Account) -> bytes:
    verify(
        query.get("msg_signature"), account.secrets.get("token"), query.get("timestamp"), query.get("nonce"), ciphertext
    )
    keys = [key_of(account.secrets[name]) for name in _KEYS if name in account.secrets]
    corp_id = account.settings.get("corp_id")
    if not keys or not isinstance(corp_id, str):
        raise BadSignature("this account has no key to decrypt with")
    return decrypt(ciphertext, keys, corp_id).message


def _check_fresh(query: Mapping[str, str], now_ms: int) -> None:
    timestamp = query.get("timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):  # noqa: PLR2004  # digits of seconds
        raise Malformed("timestamp must be a number of seconds", field="timestamp")
    if abs(int(timestamp) * 1_000 - now_ms) > TIMESTAMP_TOLERANCE_S * 1_000:
        raise StaleTimestamp(f"the push is more than {TIMESTAMP_TOLERANCE_S} s away from now")


def _check_texts(where: str, given: Mapping[str, object], known: frozenset[str], needed: Sequence[str]) -> None:
    for name, value in given.items():
        if name not in known:
            raise Malformed(f"WeCom accounts have no such {where}", field=f"{where}.{name}")
        chars_max = EVENT_CHARS_MAX if name in ("welcome_text", "ending_text") else SETTING_CHARS_MAX
        if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= chars_max:
            raise Malformed(f"{name} must be 1 to {chars_max} printable characters", field=f"{where}.{name}")
    for name in needed:
        if name not in given:
            raise Malformed(f"{name} is missing", field=f"{where}.{name}")


CHANNEL: Final = WeCom()
