"""What every channel promises, whichever it is: one suite over all that are found.

A new channel passes it by adding an account that its `check` accepts to `tests/fixtures/channel_accounts.json`.
"""

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import src.channels
from src.channels.base import (
    Account,
    Answered,
    Call,
    Channel,
    ChannelRequest,
    Converses,
    Fetch,
    Hosts,
    Media,
    Outbound,
    Receipt,
    Receives,
    Sends,
    Sent,
    discover,
)
from src.dispatch.inbound import InboundContact, InboundDigits, InboundHangup, InboundMessage
from src.errors import Malformed, NotSent, Refused

CHANNELS = discover(src.channels.__path__, "src.channels")
FIXTURES = Path(__file__).parents[1] / "fixtures"
CONFIGURATIONS: dict[str, dict[str, Any]] = json.loads((FIXTURES / "channel_accounts.json").read_text())
NOW_MS = 1_800_000_000_000


every_channel = pytest.mark.parametrize("channel", CHANNELS.values(), ids=CHANNELS.keys())

every_account = pytest.mark.parametrize(
    ("channel", "configuration"),
    [(CHANNELS[name.split()[0]], each) for name, each in CONFIGURATIONS.items()],
    ids=CONFIGURATIONS.keys(),
)
"""A channel may have accounts of several kinds: the further ones have a word behind the channel's name."""


def account_of(channel: Channel, configuration: dict[str, Any] | None = None) -> Account:
    return Account("default", "main", channel.name, **(configuration or CONFIGURATIONS[channel.name]))


def assert_plain(value: object) -> None:
    """Whatever a channel hands on can be written as JSON in UTF-8 and holds no NUL."""
    written = json.dumps(value, ensure_ascii=False, allow_nan=False)
    assert "\\u0000" not in written
    written.encode()


def assert_normal(inbound: object, account: Account) -> None:
    assert isinstance(inbound, InboundContact | InboundMessage | InboundHangup | InboundDigits)
    assert (account.channel, account.name) == (inbound.channel, inbound.account)
    assert inbound.external_id
    assert_plain(inbound.external_id)
    if isinstance(inbound, InboundContact | InboundMessage):
        assert_plain([inbound.identity.value, inbound.identity.display_name, inbound.text, dict(inbound.attributes)])
    if isinstance(inbound, InboundMessage):
        assert_plain(dict(inbound.payload))


def test_there_are_channels() -> None:
    assert {"voice", "webchat", "wechat"} <= CHANNELS.keys()


@every_channel
def test_a_channel_is_named_for_its_address_and_speaks_some_protocol(channel: Channel) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9_]{0,31}", channel.name)
    assert isinstance(channel, Receives | Converses | Hosts)


@every_account
def test_the_example_account_is_accepted(channel: Channel, configuration: dict[str, Any]) -> None:
    channel.check(configuration["settings"], configuration["secrets"])


@every_account
@pytest.mark.parametrize("where", ["settings", "secrets"])
def test_unknown_settings_are_refused_by_name(channel: Channel, configuration: dict[str, Any], where: str) -> None:
    spoiled = configuration | {where: configuration[where] | {"no_such_name": "x"}}
    with pytest.raises(Malformed) as refused:
        channel.check(spoiled["settings"], spoiled["secrets"])
    assert {"field": f"{where}.no_such_name"} == refused.value.extra


@every_account
@pytest.mark.parametrize("junk", [None, True, -1, 1e308, "", "a\0", "\ud800", "x" * 100_000, [], {}, ["x"]])
def test_unusable_values_are_refused_without_showing_secrets(
    channel: Channel, configuration: dict[str, Any], junk: Any
) -> None:
    for where in ("settings", "secrets"):
        for name in configuration[where]:
            spoiled = configuration | {where: configuration[where] | {name: junk}}
            with pytest.raises(Malformed) as refused:
                channel.check(spoiled["settings"], spoiled["secrets"])
            assert {"field": f"{where}.{name}"} == refused.value.extra
            assert not shown_secrets(refused.value, configuration["secrets"])


@every_channel
def test_missing_values_are_refused_or_optional(channel: Channel) -> None:
    with pytest.raises(Malformed):
        channel.check({}, {})


@every_account
def test_secrets_are_in_no_repr(channel: Channel, configuration: dict[str, Any]) -> None:
    account = account_of(channel, configuration)
    assert not shown_secrets(account, account.secrets)
    assert not shown_secrets(channel, account.secrets)
    if isinstance(channel, Receives):
        with pytest.raises(Refused) as refused:
            channel.receive(ChannelRequest("POST", body=b"{}"), account, NOW_MS)
        assert not shown_secrets(refused.value, account.secrets)
    if isinstance(channel, Converses):
        with pytest.raises(Refused) as refused:
            channel.open(ChannelRequest("GET", headers={"authorization": "Basic x"}), account)
        assert not shown_secrets(refused.value, account.secrets)


def shown_secrets(shown: object, secrets: Mapping[str, str]) -> set[str]:
    extra = shown.extra if isinstance(shown, Refused) else None
    words = f"{shown!r} {shown} {extra}"
    return {name for name, value in secrets.items() if value in words}


TEXT = st.text(alphabet=st.characters(exclude_categories=()), max_size=20)
NAMES = st.sampled_from(["signature", "msg_signature", "timestamp", "nonce", "echostr", "encrypt_type", "token"])
HEADERS = st.sampled_from(["authorization", "content-type", "sec-websocket-protocol", "origin", "cookie"])
BODIES = (
    st.binary(max_size=100)
    | st.builds(lambda inner: json.dumps(inner).encode(), st.dictionaries(TEXT, TEXT | st.integers() | st.none()))
    | st.builds(lambda inner: f"<xml><Encrypt>{inner}</Encrypt></xml>".encode("utf-8", "replace"), TEXT)
)
REQUESTS = st.builds(
    ChannelRequest,
    method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"]),
    path=st.sampled_from(["", "", "/ari", "/twilio", "/twilio/agent", "/commands"]) | TEXT,
    query=st.dictionaries(NAMES | TEXT, st.sampled_from(["aes", "raw", "1800000000"]) | TEXT, max_size=7),
    headers=st.dictionaries(HEADERS | TEXT, st.sampled_from(["Basic YTpi", "ari", "Bearer x"]) | TEXT, max_size=5),
    body=BODIES,
)


@every_account
@given(request_=REQUESTS)
def test_a_strangers_request_is_refused_in_order(
    channel: Channel, configuration: dict[str, Any], request_: ChannelRequest
) -> None:
    account = account_of(channel, configuration)
    if isinstance(channel, Receives):
        with pytest.raises(Refused):
            channel.receive(request_, account, NOW_MS)
    if isinstance(channel, Converses):
        with pytest.raises(Refused):
            channel.open(request_, account)


class Wild:
    """`Reach` to a system that answers with whatever it is told to, or not at all."""

    def __init__(self, answer: Answered | None) -> None:
        self.answer = answer
        self.calls: list[Call] = []

    async def call(self, call: Call) -> Answered:
        self.calls.append(call)
        if self.answer is None:
            raise NotSent("channel_unreachable", "again")
        return self.answer

    async def media(self, media_id: str) -> Media:
        raise NotSent("bad_media", "refused")

    async def token(self, fetch: Fetch, *, stale: str | None = None) -> str:
        return "t0ken" if stale is None else (await fetch(force=False))[0]


MESSAGES: list[tuple[str, str | None, dict[str, Any]]] = [
    ("text", "您好", {}),
    ("notice", "please wait", {}),
    ("location", None, {"latitude": 31.2, "longitude": 121.5}),
    ("link", "see", {"url": "https://e.example/", "title": "t"}),
    ("menu", "Which?", {"options": [{"id": "1", "text": "a"}]}),
    ("image", None, {"media_id": "m"}),
    ("file", None, {"media_id": "m"}),
    ("telepathy", None, {}),
]
ANSWERS = [
    None,
    *(Answered(status, {}, body) for status in (200, 500) for body in (b"", b"{}", b"[]", b"\xff", b"<html>")),
]


@pytest.mark.parametrize(
    "channel", [each for each in CHANNELS.values() if isinstance(each, Sends)], ids=lambda each: each.name
)
@pytest.mark.parametrize("answer", ANSWERS)
async def test_a_message_is_sent_or_not_and_nothing_else(channel: Channel, answer: Answered | None) -> None:
    assert isinstance(channel, Sends)
    account = account_of(channel)
    for kind, text, payload in MESSAGES:
        reach = Wild(answer)
        message = Outbound("m1", kind, text, payload, "wechat_openid", "oAnna", "c1", None)
        sent: Sent | None = None
        failure: NotSent | None = None
        try:
            sent = await channel.send(message, account, reach)
        except NotSent as error:
            failure = error
        assert isinstance(sent, Sent) or failure is not None
        if failure is not None:
            assert re.fullmatch(r"[a-z][a-z0-9_]{0,63}", failure.reason)
            assert not shown_secrets(failure, account.secrets)
        for call in reach.calls:
            assert not shown_secrets(call, {**account.secrets, "token": "t0ken"})
            assert "t0ken" not in call.url


CARRIER = '''
"""A channel that a test wrote: whoever knows the password posts a line of text."""

from src.channels.base import Receipt, Reply
from src.dispatch.inbound import Identity, InboundMessage
from src.errors import BadSignature, Malformed


class Carrier:
    name = "carrier_pigeon"

    def check(self, settings, secrets):
        if set(settings) | set(secrets) != {"password"}:
            raise Malformed("a loft has a password and nothing else", field="secrets.password")

    def receive(self, request, account, now_ms):
        if request.headers.get("password") != account.secrets["password"]:
            raise BadSignature("a strange pigeon")
        line = request.body.decode("utf-8", "replace")
        message = InboundMessage("carrier_pigeon", account.name, str(now_ms), Identity("ring", "7"), text=line)
        return Receipt(Reply(b"coo"), (message,))


CHANNEL = Carrier()
'''


def test_a_channel_is_added_by_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "carrier.py").write_text(CARRIER, encoding="utf-8")
    (tmp_path / "carrier_helper.py").write_text("CHANNEL = 'not a channel'\n", encoding="utf-8")
    monkeypatch.setattr(src.channels, "__path__", [*src.channels.__path__, str(tmp_path)])
    try:
        found = discover(src.channels.__path__, "src.channels")
    finally:
        for module in ("carrier", "carrier_helper"):
            sys.modules.pop(f"src.channels.{module}", None)
            vars(src.channels).pop(module, None)
    assert CHANNELS.keys() | {"carrier_pigeon"} == found.keys()
    pigeons = found["carrier_pigeon"]
    assert isinstance(pigeons, Receives)
    account = Account("default", "loft", "carrier_pigeon", secrets={"password": "crumbs"})
    receipt = pigeons.receive(ChannelRequest("POST", headers={"password": "crumbs"}, body=b"hello"), account, NOW_MS)
    assert isinstance(receipt, Receipt)
    assert b"coo" == receipt.reply.body
    for inbound in receipt.inbound:
        assert_normal(inbound, account)
