"""What Asterisk's events become: a recorded call, event by event, and everything that can be odd about one."""

import json
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from src.channels.base import Account, ChannelRequest, Conversation
from src.channels.voice import CHANNEL, lines
from src.channels.voice.ari import FRAME_CHARS_MAX, AriCalls
from src.channels.voice.ari_line import AriLine
from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    AgentRinging,
    Bridged,
    CallEvent,
    Dtmf,
    Ended,
    HangUp,
    Left,
    Offered,
    Queued,
    caller_identity,
    inbound_of,
)
from src.channels.voice.lines import extension_of
from src.dispatch.inbound import Inbound, InboundContact, InboundHangup
from src.errors import Malformed, NotFound, Refused, Unauthenticated
from src.profile.identities import Identity, normalised

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDED: list[dict[str, Any]] = json.loads((FIXTURES / "asterisk22_ari_capture.json").read_text())["events"]
DIALLED_US: list[dict[str, Any]] = json.loads((FIXTURES / "asterisk22_ari_outbound_ws_rest_over_ws.json").read_text())

CALL, LEG = "1795293507.0", "agent-leg-1"
T0 = 1_795_293_507_068
ACCOUNT = Account(
    "default", "pbx", "voice", {"username": "ast", "default_region": "CN"}, {"password": "astpw"}, queue="front"
)
CONTACT = InboundContact(
    channel="voice",
    account="pbx",
    external_id=CALL,
    identity=Identity("phone", "+8613800138000", "Zhang San"),
    queue="front",
    attributes={"dialed": "4001", "asterisk_id": "02:fc:00:00:00:01", "application": "routing"},
)


def frame(kind: str, channel_id: str = CALL, **members: object) -> dict[str, Any]:
    """A frame about a caller's channel in the application, as Asterisk sends it."""
    sender = {"asterisk_id": "02:fc:00:00:00:01", "application": "routing"}
    common = {"type": kind, "timestamp": "2026-11-21T20:38:27.068+0000", "channel": channel(channel_id)}
    return {**common, **sender, **members}


def channel(channel_id: str = CALL, *, number: str = "13800138000", name: str = "Zhang San") -> dict[str, Any]:
    dialplan = {"exten": "4001", "app_name": "Stasis", "app_data": f"routing,inbound,4001,{number}"}
    return {"id": channel_id, "caller": {"name": name, "number": number}, "dialplan": dialplan}


def started(channel_id: str = CALL, **caller: str) -> dict[str, Any]:
    args = ["inbound", "4001", "13800138000"]
    return frame("StasisStart", args=args, channel=channel(channel_id, **caller))


def agent_started(leg_id: str = LEG, call_id: str = CALL) -> dict[str, Any]:
    return frame("StasisStart", args=["agent", call_id], channel=channel(leg_id))


def mixed(*members: str) -> dict[str, Any]:
    return frame("ChannelEnteredBridge", members[-1], bridge={"bridge_type": "mixing", "channels": list(members)})


def events_of(frames: Sequence[dict[str, Any]], calls: AriCalls | None = None) -> list[CallEvent]:
    calls = calls or AriCalls()
    return [event for one in frames for event in calls.take(one, T0)]


def meant(frames: Sequence[dict[str, Any]], account: Account = ACCOUNT) -> list[Inbound]:
    conversation = opened(account)
    events = [each for one in frames for each in conversation.take(json.dumps(one), T0)[0]]
    return [inbound for each in events if (inbound := inbound_of(each, account)) is not None]


def basic(credentials: str) -> dict[str, str]:
    return {"authorization": "Basic " + b64encode(credentials.encode()).decode()}


def opened(account: Account = ACCOUNT) -> Conversation:
    conversation, subprotocol = CHANNEL.open(ChannelRequest("GET", "/ari", headers=basic("ast:astpw")), account)
    assert subprotocol is None
    return conversation


class TestRecordedCall:
    def test_events(self) -> None:
        expected = [
            Offered(
                CALL,
                T0,
                "13800138000",
                "Zhang San",
                "4001",
                {"asterisk_id": "02:fc:00:00:00:01", "application": "routing"},
            ),
            Queued(CALL, T0 + 11),
            AgentRinging(None, T0 + 1_524, LEG),
            AgentAnswered(CALL, T0 + 1_525, LEG),
            Bridged(CALL, T0 + 1_538, LEG),
        ]
        *before, last, leg = events_of(RECORDED)
        assert expected == before
        assert isinstance(last, Ended)
        assert (CALL, 16) == (last.call_id, last.cause)
        assert isinstance(leg, AgentEnded)
        assert (CALL, LEG, 16) == (leg.call_id, leg.leg_id, leg.cause)

    def test_the_service_hears_that_a_caller_came_and_went(self) -> None:
        assert [CONTACT, InboundHangup("voice", "pbx", CALL, 16)] == meant(RECORDED)

    def test_every_end_is_told_once_wherever_the_connection_begins(self) -> None:
        hung_up_at = next(index for index, event in enumerate(RECORDED) if event["type"] == "ChannelHangupRequest")
        for first in range(1, hung_up_at + 1):
            assert [InboundHangup("voice", "pbx", CALL, 16)] == meant(RECORDED[first:])

    def test_the_handshake_of_an_asterisk_that_dials_us(self) -> None:
        headers = {name.lower(): value for name, value in DIALLED_US[0]["handshake"]["headers"].items()}
        _, subprotocol = CHANNEL.open(ChannelRequest("GET", "/ari", headers=headers), ACCOUNT)
        assert "ari" == subprotocol

    def test_answers_to_requests_are_taken_and_mean_nothing(self) -> None:
        frames = [entry["recv"] for entry in DIALLED_US if "recv" in entry]
        assert "RESTResponse" in {one["type"] for one in frames}
        assert ["loc-1", "loc-1"] == [inbound.external_id for inbound in meant(frames)]


class TestCalls:
    def test_a_caller_who_gives_up_waiting(self) -> None:
        holding = frame("ChannelEnteredBridge", bridge={"bridge_type": "holding", "channels": [CALL]})
        frames = [started(), holding, frame("ChannelHangupRequest", cause=16), frame("StasisEnd")]
        assert [Queued(CALL, T0), Abandoned(CALL, T0, 16)] == events_of(frames)[1:]

    def test_an_answer_without_a_bridge_is_no_talk(self) -> None:
        assert Abandoned(CALL, T0, None) == events_of([started(), agent_started(), frame("StasisEnd")])[-1]

    def test_a_call_ends_once_however_often_asterisk_says_so(self) -> None:
        ends = [frame("ChannelHangupRequest", cause=16), frame("StasisEnd"), frame("ChannelDestroyed", cause=16)]
        for frames in (ends, [ends[2], ends[0], ends[1]], [*ends, *ends]):
            assert [CONTACT.external_id] == [inbound.external_id for inbound in meant(frames)]
            assert 2 == len(meant([started(), *frames]))

    def test_a_destroyed_channel_that_was_never_in_the_application_is_none_of_ours(self) -> None:
        outside = channel() | {"dialplan": {"app_name": "AppDial2", "app_data": "(Outgoing Line)"}}
        assert [] == meant([frame("ChannelDestroyed", cause=17, channel=outside)])
        assert [] == meant([frame("ChannelHangupRequest", channel=outside), frame("StasisEnd", channel=outside)])

    def test_the_cause_comes_with_whatever_says_it(self) -> None:
        assert [InboundHangup("voice", "pbx", CALL, 31)] == meant([started(), frame("ChannelDestroyed", cause=31)])[1:]

    @pytest.mark.parametrize(("bit", "cause"), [(1, 41), (4, 41), (8, 16), (16, 41), (32, 16), (64, None), (33, None)])
    def test_why_asterisk_itself_ends_a_channel_is_no_cause_but_stands_for_one(
        self, bit: int, cause: int | None
    ) -> None:
        asked = frame("ChannelHangupRequest", cause=bit, soft=True)
        assert [InboundHangup("voice", "pbx", CALL, cause)] == meant([started(), asked, frame("StasisEnd")])[1:]
        leg = [agent_started(), frame("ChannelHangupRequest", LEG, cause=bit, soft=True), frame("StasisEnd", LEG)]
        assert AgentEnded(CALL, T0, LEG, cause) == events_of([started(), *leg])[-1]

    @pytest.mark.parametrize("cause", [None, 0, -1, 128, True, "16", 16.0, 10**30])
    def test_causes_that_are_none(self, cause: object) -> None:
        frames = [started(), frame("ChannelHangupRequest", cause=cause), frame("StasisEnd")]
        assert [InboundHangup("voice", "pbx", CALL, None)] == meant(frames)[1:]

    def test_an_agents_leg_is_never_a_contact(self) -> None:
        assert [] == meant([agent_started(), frame("StasisEnd", LEG), frame("ChannelDestroyed", LEG, cause=16)])
        nameless = frame("StasisStart", args=["agent"], channel=channel(LEG))
        assert [] == meant([nameless, mixed(CALL, LEG), frame("StasisEnd", LEG)])

    @pytest.mark.parametrize("args", [[], None, "agent", ["support"], ["inbound"], [5, None], ["Agent"]])
    def test_whatever_else_enters_is_a_caller(self, args: object) -> None:
        (contact,) = meant([started() | {"args": args}])
        assert CONTACT.external_id == contact.external_id

    def test_the_same_start_twice_is_one_call(self) -> None:
        assert [CONTACT] == meant([started(), started()])

    def test_talking_is_told_once_per_agent(self) -> None:
        frames = [started(), agent_started(), agent_started(), mixed(CALL, LEG), mixed(LEG, CALL)]
        frames += [agent_started("leg-2"), mixed(CALL, LEG, "leg-2"), frame("StasisEnd", LEG), frame("StasisEnd")]
        expected = [
            AgentAnswered(CALL, T0, LEG),
            Bridged(CALL, T0, LEG),
            AgentAnswered(CALL, T0, "leg-2"),
            Bridged(CALL, T0, "leg-2"),
            AgentEnded(CALL, T0, LEG, None),
            Ended(CALL, T0, None),
        ]
        assert expected == events_of(frames)[1:]

    def test_two_callers_in_one_bridge_do_not_talk_to_each_others_agents(self) -> None:
        frames = [started("1.1"), started("1.2"), agent_started(LEG, "1.2"), mixed("1.1", "1.2", LEG)]
        assert [Bridged("1.2", T0, LEG)] == events_of(frames)[-1:]
        assert 4 == len(events_of(frames))

    def test_ringing_names_the_call_when_asterisk_does(self) -> None:
        ringing = {"type": "Dial", "dialstatus": "RINGING", "peer": {"id": LEG}, "caller": {"id": CALL}}
        assert [AgentRinging(CALL, T0, LEG)] == events_of([started(), ringing])[1:]
        assert [AgentRinging(None, T0, LEG)] == events_of([ringing])
        assert [] == events_of([ringing | {"dialstatus": "BUSY"}])

    def test_a_call_goes_on_under_its_first_id_when_its_channel_is_replaced(self) -> None:
        frames = [
            started(),
            agent_started(),
            mixed(CALL, LEG),
            started("9.9") | {"replace_channel": channel()},
            frame("StasisEnd"),
            frame("ChannelHangupRequest", "9.9", cause=16),
            frame("StasisEnd", "9.9"),
        ]
        assert [CONTACT, InboundHangup("voice", "pbx", CALL, 16)] == meant(frames)

    def test_keys(self) -> None:
        pressed = [frame("ChannelDtmfReceived", digit=digit, duration_ms=120) for digit in ("5", "#", "d", "", "55", 5)]
        expected = [Dtmf(CALL, T0, "5", 120), Dtmf(CALL, T0, "#", 120), Dtmf(CALL, T0, "D", 120)]
        assert expected == events_of([started(), *pressed])[1:]
        assert [] == events_of(pressed)

    def test_other_applications_on_the_connection_are_left_alone(self) -> None:
        account = replace(ACCOUNT, settings={**ACCOUNT.settings, "app": "routing"})
        assert 2 == len(meant(RECORDED, account))
        assert [] == meant(RECORDED, replace(account, settings={**ACCOUNT.settings, "app": "other"}))

    @pytest.mark.parametrize(
        "timestamp", [None, 5, "", "yesterday", "2026-11-21T20:38:27", "0001-01-01T00:00:00+23:59"]
    )
    def test_without_a_time_of_its_own_a_frame_happened_now(self, timestamp: object) -> None:
        (offered,) = AriCalls().take(started() | {"timestamp": timestamp}, 42)
        assert isinstance(offered, Offered)
        assert 42 == offered.at_ms or timestamp == "0001-01-01T00:00:00+23:59"

    def test_what_is_kept_in_mind_is_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(lines, "CALLS_MAX", 3)
        calls = AriCalls()
        events_of([started(f"1.{n}") for n in range(10)] + [agent_started(f"leg-{n}", "1.9") for n in range(10)], calls)
        assert (3, 3) == (len(calls._calls), len(calls._legs))
        assert [Ended("1.0", T0, None)] == events_of([frame("StasisEnd", "1.0")], calls)
        assert [Abandoned("1.9", T0, None)] == events_of([frame("StasisEnd", "1.9")], calls)
        events_of([frame("StasisEnd", f"2.{n}") for n in range(10)], calls)
        assert 3 == len(calls._ended)


class TestCallers:
    @pytest.mark.parametrize(
        ("number", "region", "expected"),
        [
            ("13800138000", "CN", ("phone", "+8613800138000")),
            ("008613800138000", "CN", ("phone", "+8613800138000")),
            ("0755-12345678", "CN", ("phone", "+8675512345678")),
            ("4008001234", "CN", ("phone", "+864008001234")),
            (" +44 20 7946 0958 ", None, ("phone", "+442079460958")),
            ("13800138000", None, ("sip_user", "13800138000")),
            ("1001", "CN", ("sip_user", "1001")),
            ("10086", "CN", ("sip_user", "10086")),
            ("80012345", "CN", ("sip_user", "80012345")),  # eight digits: an extension, or a city without its code
            ("12345678901234", "CN", ("sip_user", "12345678901234")),
            ("+1001", "CN", ("sip_user", "+1001")),
            ("alice", "CN", ("sip_user", "alice")),
            ("1800FLOWERS", "US", ("sip_user", "1800FLOWERS")),
            ("٠١٢٣", "CN", ("sip_user", "٠١٢٣")),
            ("", "CN", ("call", "1.1")),
            ("  ", "CN", ("call", "1.1")),
            ("anonymous", "CN", ("call", "1.1")),
            ("Restricted", "CN", ("call", "1.1")),
            ("9" * 257, "CN", ("call", "1.1")),
        ],
    )
    def test_who_calls(self, number: str, region: str | None, expected: tuple[str, str]) -> None:
        identity = caller_identity(number, "", "1.1", region)
        assert expected == identity.key
        assert identity == normalised(identity)

    def test_callers_who_hide_are_not_one_customer(self) -> None:
        first, second = meant([started("1.1", number=""), started("1.2", number="anonymous")])
        assert isinstance(first, InboundContact)
        assert isinstance(second, InboundContact)
        assert first.identity.key != second.identity.key

    @pytest.mark.parametrize(
        ("name", "shown"), [("", None), ("Anonymous", None), (" Li ", "Li"), ("x" * 999, "x" * 128)]
    )
    def test_names(self, name: str, shown: str | None) -> None:
        assert shown == caller_identity("1001", name, "1.1", None).display_name

    def test_nothing_that_a_caller_sends_stops_the_others(self) -> None:
        (contact,) = meant([started(number="1\x002\ud800", name="\ud800\0")])
        assert isinstance(contact, InboundContact)
        assert Identity("sip_user", "1\ufffd2?", "?\ufffd") == contact.identity

    def test_a_call_claims_no_words_and_no_tags(self) -> None:
        assert (None, None) == (CONTACT.text, CONTACT.tags)


class TestConversation:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "[]",
            "5",
            "{",
            "{}",
            '{"type": 5}',
            '{"type": "StasisStart"}',
            '{"type": "StasisStart", "channel": {"id": ""}}',
            '{"type": "StasisStart", "channel": {"id": 5}}',
            '{"type": "StasisEnd", "channel": {"id": "a\\u0000"}}',
            '{"type": "StasisEnd", "channel": {"id": "\\ud800"}}',
            json.dumps({"type": "StasisEnd", "channel": {"id": "1" * 151}}),
            '{"a": ' * 100_000,
            '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
            '{"cause": ' + "9" * 10_000 + "}",
            '{"a": "' + "x" * FRAME_CHARS_MAX + '"}',
        ],
    )
    def test_what_is_no_ari_is_malformed(self, text: str) -> None:
        with pytest.raises(Malformed):
            opened().take(text, T0)

    @given(st.data())
    def test_frames_with_anything_in_them_are_read_or_refused(self, data: st.DataObject) -> None:
        junk = (
            st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.text(max_size=5), max_size=3)
        )
        conversation = opened()
        for _ in range(4):
            spoiled = json.loads(json.dumps(data.draw(st.sampled_from(RECORDED))))
            inner = spoiled.get("channel", spoiled)
            for target in (spoiled, inner, inner.get("dialplan", {})):
                if target and data.draw(st.booleans()):
                    target[data.draw(st.sampled_from(sorted(target)))] = data.draw(junk)
            try:
                events, frames = conversation.take(json.dumps(spoiled), T0)
            except Refused:
                continue
            json.dumps([*map(repr, events), *frames], ensure_ascii=False).encode()

    def test_unknown_events_mean_nothing(self) -> None:
        assert ((), []) == opened().take('{"type": "ChannelTeleported"}', T0)


class TestOpen:
    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"authorization": ""},
            {"authorization": "Bearer x"},
            {"authorization": "Basic"},
            {"authorization": "Basic ***"},
            {"authorization": "Basic é"},
            {"authorization": "Basic " + "A" * 10_000},
            basic("ast"),
            basic("ast:"),
            basic("ast:astpw2"),
            basic("Ast:astpw"),
            basic("other:astpw"),
            basic(":"),
        ],
    )
    def test_strangers(self, headers: dict[str, str]) -> None:
        with pytest.raises(Unauthenticated):
            CHANNEL.open(ChannelRequest("GET", "/ari", headers=headers), ACCOUNT)

    @pytest.mark.parametrize(("settings", "secrets"), [({}, {}), ({"username": ""}, {"password": ""})])
    def test_an_account_without_credentials_lets_nobody_in(
        self, settings: dict[str, object], secrets: dict[str, str]
    ) -> None:
        account = replace(ACCOUNT, settings=settings, secrets=secrets)
        with pytest.raises(Unauthenticated):
            CHANNEL.open(ChannelRequest("GET", "/ari", headers=basic(":")), account)

    @pytest.mark.parametrize("path", ["", "/", "/twilio", "/ari/"])
    def test_other_paths(self, path: str) -> None:
        with pytest.raises(NotFound):
            CHANNEL.open(ChannelRequest("GET", path, headers=basic("ast:astpw")), ACCOUNT)

    @pytest.mark.parametrize(("offered", "taken"), [("ari", "ari"), ("chat, ari", "ari"), ("", None), ("chat", None)])
    def test_the_subprotocol(self, offered: str, taken: str | None) -> None:
        headers = basic("ast:astpw") | {"sec-websocket-protocol": offered}
        assert taken == CHANNEL.open(ChannelRequest("GET", "/ari", headers=headers), ACCOUNT)[1]

    def test_passwords_may_hold_anything(self) -> None:
        account = replace(ACCOUNT, secrets={"password": "a:b 密"})
        CHANNEL.open(ChannelRequest("GET", "/ari", headers=basic("ast:a:b 密")), account)


class TestGivenBack:
    """Callers whom their queue has not kept, where something in the dial plan takes over."""

    @staticmethod
    def line(closed: str = "4999@voicemail") -> AriLine:
        line = AriLine("routing", closed=extension_of(closed))
        line.take(json.dumps(started()), T0)
        return line

    @staticmethod
    def said(frames: Sequence[str]) -> list[tuple[str, str, dict[str, str]]]:
        read = [json.loads(each) for each in frames]
        pairs = [{one["name"]: one["value"] for one in each.get("query_strings", ())} for each in read]
        return [(each["method"], each["uri"], query) for each, query in zip(read, pairs, strict=True)]

    @staticmethod
    def answer(line: AriLine, number: int, status: int) -> tuple[Sequence[CallEvent], Sequence[str]]:
        response = {"type": "RESTResponse", "transaction_id": f"c{number}", "status_code": status}
        return line.take(json.dumps(response), T0)

    def test_the_dial_plan_goes_on_and_knows_why(self) -> None:
        to = {"extension": "4999", "priority": "1", "context": "voicemail"}
        assert [
            ("POST", f"channels/{CALL}/variable", {"variable": "CORDBOARD_REASON", "value": "callback"}),
            ("POST", f"channels/{CALL}/variable", {"variable": "CORDBOARD_CONTACT", "value": "c1"}),
            ("POST", f"channels/{CALL}/continue", to),
        ] == self.said(self.line().tell(HangUp(CALL, "callback", "c1"), T0))
        del to["context"]
        assert to == self.said(self.line("4999").tell(HangUp(CALL, "callback"), T0))[2][2]
        assert "DELETE" == self.said(self.line().tell(HangUp(CALL), T0))[0][0]
        assert "DELETE" == self.said(AriLine("routing").tell(HangUp(CALL, "callback"), T0))[0][0]

    @pytest.mark.parametrize("first", ["answer", "event"])
    @pytest.mark.parametrize("status", [204, 404, 409])
    def test_that_it_has_left_is_told_once(self, first: str, status: int) -> None:
        line = self.line()
        line.tell(HangUp(CALL, "callback"), T0)
        end = json.dumps(frame("StasisEnd"))
        self.answer(line, 1, 204)
        self.answer(line, 2, 204)
        told = [lambda: self.answer(line, 3, status)[0], lambda: line.take(end, T0)[0]]
        if first == "event":
            told.reverse()
        assert ([Left(CALL, T0)], []) == (list(told[0]()), list(told[1]()))
        destroyed = json.dumps(frame("ChannelDestroyed", cause=16))
        assert not line.take(destroyed, T0)[0]

    def test_what_asterisk_refuses_is_hung_up_on(self) -> None:
        line = self.line()
        line.tell(HangUp(CALL, "callback"), T0)
        events, frames = self.answer(line, 3, 412)
        assert ([], [("DELETE", f"channels/{CALL}", {"reason_code": "16"})]) == (list(events), self.said(frames))

    def test_a_channel_that_the_dial_plan_has_is_none_of_ours(self) -> None:
        shown = channel() | {"dialplan": {"app_name": "VoiceMail", "app_data": "front@default,u"}}
        assert AriCalls().stands(shown) is None
        assert CALL == AriCalls().stands(channel() | {"dialplan": {"app_name": "AppDial2"}})


class TestCheck:
    def test_accepts(self) -> None:
        CHANNEL.check({"username": "ast"}, {"password": "p"})
        CHANNEL.check({"username": "ast", "default_region": "CN", "app": "routing"}, {"password": "p"})

    @pytest.mark.parametrize(
        ("settings", "secrets", "field"),
        [
            ({}, {"password": "p"}, "settings.username"),
            ({"username": "ast"}, {}, "secrets.password"),
            ({"username": ""}, {"password": "p"}, "settings.username"),
            ({"username": 5}, {"password": "p"}, "settings.username"),
            ({"username": "a:b"}, {"password": "p"}, "settings.username"),
            ({"username": "a\n"}, {"password": "p"}, "settings.username"),
            ({"username": "ast"}, {"password": ""}, "secrets.password"),
            ({"username": "ast"}, {"password": None}, "secrets.password"),
            ({"username": "ast", "default_region": "China"}, {"password": "p"}, "settings.default_region"),
            ({"username": "ast", "default_region": ["CN"]}, {"password": "p"}, "settings.default_region"),
            ({"username": "ast", "phones": "PJSIP/anna"}, {"password": "p"}, "settings.phones"),
            ({"username": "ast", "ring": "never"}, {"password": "p"}, "settings.ring"),
            ({"username": "ast", "url": "http://pbx:8088"}, {"password": "p"}, "settings.app"),
            ({"username": "ast", "url": "ftp://pbx", "app": "a"}, {"password": "p"}, "settings.url"),
            ({"username": "ast", "url": "http://pbx:x", "app": "a"}, {"password": "p"}, "settings.url"),
            ({"username": "ast", "url": "http://u:p@pbx", "app": "a"}, {"password": "p"}, "settings.url"),
            ({"username": "ast", "closed_exten": "4999,1"}, {"password": "p"}, "settings.closed_exten"),
            ({"username": "ast", "color": "red"}, {"password": "p"}, "settings.color"),
            ({"username": "ast"}, {"password": "p", "token": "t"}, "secrets.token"),
        ],
    )
    def test_refuses(self, settings: dict[str, object], secrets: dict[str, Any], field: str) -> None:
        with pytest.raises(Malformed) as refused:
            CHANNEL.check(settings, secrets)
        assert {"field": field} == refused.value.extra
