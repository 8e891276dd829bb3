"""What strangers' bytes reach first, each as a function of bytes: it may refuse, and nothing else.

A new parser that faces the outside is a function here and a folder of the same name in `corpus/`.
"""

import asyncio
import base64
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qsl

import jwt
import msgspec
from pydantic import BaseModel, TypeAdapter, ValidationError

from src.api import jwks, stream
from src.api.context import conditions
from src.api.progress.links import ProgressLinks
from src.api.schemas import ContactBody, PilotBody, QueueBody, RuleBody, TagConfigBody
from src.api.webchat import bodies, directline, socket
from src.app.posting import PAUSE_S_MAX, _seconds
from src.channels.base import Account, ChannelRequest
from src.channels.tencent.crypto import encrypt, key_of, signature_of
from src.channels.voice import CHANNEL, line_of, twilio
from src.channels.voice.calls import inbound_of
from src.channels.voice.esl import Framing
from src.channels.webchat.site import site_of
from src.channels.webchat.tokens import VisitorTokens
from src.channels.wechat import WeChat
from src.channels.wecom import WeCom
from src.channels.wecom.normal import read_items
from src.cluster import wire
from src.connectors.posts import BrokenOffError, _Line
from src.connectors.template import TooMuch, check_body, check_url, check_view, shown
from src.dispatch import signatures
from src.dispatch.config import pilot_config, queue_config, rule_config, tag_config
from src.dispatch.inbound import InboundContact, InboundDigits, InboundHangup
from src.errors import Refused
from src.router import checks
from src.router.classify import Rules
from src.router.tagging import TagFinder

CORPUS: Final = Path(__file__).parent / "corpus"
NOW_MS: Final = 1_760_000_000_000

_ACCOUNTS: Final = json.loads((Path(__file__).parents[1] / "fixtures" / "channel_accounts.json").read_text("utf-8"))
_QUEUES: Final = {"default": queue_config("default", QueueBody().model_dump(by_alias=True))}
_REFUSALS: Final = (Refused, ValidationError)


def _account(channel: str) -> Account:
    of: Mapping[str, Any] = _ACCOUNTS[channel]
    return Account("t", "a", channel, of["settings"], of["secrets"], None)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _json(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return None


def _signed(account: Account, *parts: str) -> dict[str, str]:
    """A query that is signed with the account's own token: what is behind the signature is to be reached."""
    timestamp, nonce = str(NOW_MS // 1000), "nonce"
    name = "msg_signature" if parts else "signature"
    return {
        "timestamp": timestamp,
        "nonce": nonce,
        name: signature_of(account.secrets["token"], timestamp, nonce, *parts),
    }


def _pushed(channel: WeChat | WeCom, account: Account, query: Mapping[str, str], body: bytes) -> None:
    receipt = channel.receive(ChannelRequest("POST", "", query, {}, body), account, NOW_MS)
    for each in receipt.inbound:
        assert isinstance(each, InboundHangup | InboundDigits) or wire.load(wire.dump(each)) == each


def wechat(data: bytes) -> None:
    """A push in plain text that WeChat signed."""
    account = _account("wechat")
    _pushed(WeChat(), account, _signed(account), data)


def wechat_sealed(data: bytes) -> None:
    """The same, encrypted."""
    account = _account("wechat")
    sealed = encrypt(data, key_of(account.secrets["encoding_aes_key"]), str(account.settings["app_id"]), b"r" * 16)
    query = _signed(account, sealed) | {"encrypt_type": "aes"}
    _pushed(WeChat(), account, query, f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode())


def wechat_unsigned(data: bytes) -> None:
    """Anything at all, as query and body."""
    head, _, body = data.partition(b"\n")
    query = dict(each.partition("=")[::2] for each in _text(head).split("&"))
    _pushed(WeChat(), _account("wechat"), query, body)


def wecom(data: bytes) -> None:
    """A callback of WeCom, encrypted and signed."""
    account = _account("wecom")
    sealed = encrypt(data, key_of(account.secrets["encoding_aes_key"]), str(account.settings["corp_id"]), b"r" * 16)
    _pushed(WeCom(), account, _signed(account, sealed), f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode())


def wecom_ciphertext(data: bytes) -> None:
    """Something signed that may be no ciphertext."""
    account = _account("wecom")
    sealed = base64.b64encode(data).decode()
    _pushed(WeCom(), account, _signed(account, sealed), f"<xml><Encrypt>{sealed}</Encrypt></xml>".encode())


def wecom_messages(data: bytes) -> None:
    """What WeCom answers when it is asked for messages."""
    for each in read_items(_json(data), "wk0123", "a", None).inbound:
        assert wire.load(wire.dump(each)) == each


def ari(data: bytes) -> None:
    """Asterisk's events, one to a line."""
    conversation = line_of(_account("voice"))
    for line in _text(data).split("\n"):
        events, _ = conversation.take(line, NOW_MS)
        for each in events:
            inbound = inbound_of(each, _account("voice"))
            assert wire.load(wire.dump(inbound)) == inbound


def esl(data: bytes) -> None:
    """What FreeSWITCH sends over its event socket, in pieces; a call stands, and answers are owed."""
    account = Account("default", "main", "voice", {"url": "esl://fs"}, {"password": "x"})
    conversation, framing = line_of(account), Framing()
    conversation.begin(NOW_MS)
    for each in range(0, len(data), 97):
        for text in framing.feed(data[each : each + 97]):
            events, frames = conversation.take(text, NOW_MS)
            assert all(frame.count("\n\n") == 1 for frame in frames), "one command"
            for event in events:
                inbound = inbound_of(event, account)
                assert wire.load(wire.dump(inbound)) == inbound


def voice_webhook(data: bytes) -> None:
    """What a telephone system posts, signed: an event, or behind `/` a question for commands."""
    account = _account("voice webhook")
    path, body = ("/commands", data[1:]) if data[:1] == b"/" else ("", data)
    headers = signatures.headers("e1", NOW_MS // 1000, body, account.secrets.values())
    _received(ChannelRequest("POST", path, headers=headers, body=body), account)


def twilio_form(data: bytes) -> None:
    """A form of Twilio's, signed; its first line is the path and the query."""
    account = _account("voice twilio")
    head, _, body = data.partition(b"\n")
    path, _, asked = _text(head).partition("?")
    query = dict(each.partition("=")[::2] for each in asked.split("&"))
    form = parse_qsl(body.decode(errors="replace"), keep_blank_values=True)
    url = twilio.address(account, path.removeprefix(twilio.BASE)) + (f"?{asked}" if asked else "")
    signed = {"x-twilio-signature": twilio.signature(url, form, account.secrets["auth_token"])}
    _received(ChannelRequest("POST", path, query, signed, body, asked), account)


def _received(request: ChannelRequest, account: Account) -> None:
    receipt = CHANNEL.receive(request, account, NOW_MS)
    assert all(isinstance(each, InboundContact | InboundDigits | InboundHangup) for each in receipt.inbound)
    msgspec.json.encode(receipt.notes)


def stream_frames(data: bytes) -> None:
    """A frame of a desktop's."""
    raw = stream._decoded(_text(data))
    adapter = stream._FRAMES.get(str(raw.get("type")))
    if adapter is not None:
        adapter.validate_json(_text(data))


def visitor_frames(data: bytes) -> None:
    """A frame of a visitor's browser, and a form filled in."""
    raw = socket._decoded(_text(data))
    for model in (bodies.Message, bodies.Seen, bodies.Rating, bodies.Sync, bodies.End, bodies.SessionBody):
        _tried(model, json.dumps(raw).encode())


def _tried(model: type[BaseModel], data: bytes) -> BaseModel | None:
    try:
        return model.model_validate_json(data)
    except ValidationError:
        return None


def direct_line(data: bytes) -> None:
    """An activity, and how a conversation begins."""
    _tried(directline.Activity, data)
    _tried(directline.ConversationBody, data)


def direct_line_watermark(data: bytes) -> None:
    """Where a client says that it has read to."""
    text: str | None = TypeAdapter(directline.Watermark).validate_python(_text(data))
    directline._number(text)


def site(data: bytes) -> None:
    """The settings of a website."""
    found = _json(data)
    if isinstance(found, dict):
        site_of(found)


def visitor_tokens(data: bytes) -> None:
    """A visitor's token that somebody made up."""
    VisitorTokens(["secret"]).read("visit", _text(data), "a", NOW_MS)


def progress_links(data: bytes) -> None:
    """A link that somebody made up."""
    ProgressLinks(["secret"]).read(_text(data), NOW_MS)


def conditions_of(data: bytes) -> None:
    """An `If-Match` field."""
    conditions(_text(data), None)


def key_sets(data: bytes) -> None:
    """What an identity provider publishes."""
    for algorithm, keys in jwks._parsed(_json(data)).items():
        for key in keys.values():
            try:
                jwt.decode("a.b.c", key, [algorithm])
            except jwt.PyJWTError:
                continue


def contacts(data: bytes) -> None:
    """A contact that is posted, as it travels and is stored."""
    body = ContactBody.model_validate_json(data)
    assert wire.load(wire.dump(body.model_dump())) == body.model_dump()


def rules(data: bytes) -> None:
    """Rules, queues, tags and pilots, as the engine takes them."""
    found = _tried(RuleBody, data)
    if found is not None:
        rule = rule_config("r", found.model_dump(by_alias=True))
        checks.check_rule(rule, queues=_QUEUES, agents={})
        Rules([rule])
    queue = _tried(QueueBody, data)
    if queue is not None:
        checks.check_queue(queue_config("q", queue.model_dump(by_alias=True)), queues=_QUEUES, agents={})
    tag = _tried(TagConfigBody, data)
    if tag is not None:
        TagFinder({"t": tag_config("t", tag.model_dump(by_alias=True))})
    pilot = _tried(PilotBody, data)
    if pilot is not None:
        checks.check_pilot(pilot_config("p", pilot.model_dump(by_alias=True)), queues=_QUEUES, agents={})


def connector(data: bytes) -> None:
    """A connector's templates, and another system's answer looked at through a view."""
    found = _json(data)
    if not isinstance(found, dict):
        return
    check_url(str(found.get("url")))
    check_body(found.get("body"))
    check_view(found.get("view"))
    try:
        shown(found.get("view"), found.get("answer"))
    except TooMuch:
        return


def webhook_answers(data: bytes) -> None:
    """What a receiver of webhooks answers, in pieces as long as the first byte says, and then it hangs up."""
    asyncio.run(_answered(data[1:], 1 + sum(data[:1])))


async def _answered(data: bytes, length: int) -> None:
    lost: list[_Line] = []
    line = _Line((False, "there", 80), lost.append)
    line.connection_made(_Wire())
    asking = asyncio.ensure_future(line.ask(b""))
    await asyncio.sleep(0)
    for start in range(0, len(data), length):
        line.data_received(data[start : start + length])
    line.connection_lost(None)
    assert lost == [line]
    try:
        status, after = await asking
    except BrokenOffError:
        return
    assert 200 <= status <= 999  # three digits, and no answer that another follows
    assert 0 <= _seconds(after, NOW_MS) <= PAUSE_S_MAX


class _Wire(asyncio.Transport):
    """It leads nowhere."""

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not data

    def get_write_buffer_size(self) -> int:
        return 0

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass


def orders(data: bytes) -> None:
    """What another process sends, behind its signature."""
    try:
        wire.load(data)
    except wire.Untravelled:
        return


TARGETS: Final[Mapping[str, Callable[[bytes], None]]] = {
    each.__name__: each
    for each in (
        wechat,
        wechat_sealed,
        wechat_unsigned,
        wecom,
        wecom_ciphertext,
        wecom_messages,
        ari,
        esl,
        voice_webhook,
        twilio_form,
        stream_frames,
        visitor_frames,
        direct_line,
        direct_line_watermark,
        site,
        visitor_tokens,
        progress_links,
        conditions_of,
        key_sets,
        contacts,
        rules,
        connector,
        webhook_answers,
        orders,
    )
}


def tried(target: Callable[[bytes], None], data: bytes) -> None:
    """Hand the bytes to a target, which may refuse them."""
    try:
        target(data)
    except _REFUSALS:
        return
