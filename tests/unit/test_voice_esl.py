"""FreeSWITCH's event socket: what was recorded, byte for byte; what cannot be; commands that nobody else writes."""

import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from src.channels.base import Account
from src.channels.voice import CHANNEL, dial_of, line_of, phone_of
from src.channels.voice.calls import (
    Abandoned,
    AgentAnswered,
    AgentEnded,
    AgentRinging,
    Announce,
    Bridge,
    Bridged,
    CallEvent,
    Dial,
    Drop,
    Dtmf,
    Ended,
    HangUp,
    Hold,
    Left,
    Offered,
    Queued,
    Reached,
    Ring,
    Standing,
)
from src.channels.voice.esl import HEADER_BYTES_MAX, Framing
from src.channels.voice.esl_line import EslLine
from src.channels.voice.lines import CALLS_MAX, extension_of
from src.errors import Malformed

FIXTURES = Path(__file__).parents[1] / "fixtures"
RECORDED: dict[str, Any] = json.loads((FIXTURES / "freeswitch1.10.12_capture.json").read_text())
PARKED = RECORDED["4001"]
CALL, LEG = "4216851a-d634-4534-b7a0-7c8c0ee4421a", "fd7e37aa-e296-4491-9746-3d82a90b52a9"
T0 = 1_795_294_096_621
ACCOUNT = Account("default", "fs", "voice", {"url": "esl://fs"}, {"password": "ClueCon"})


def framed(kind: str, body: str, **headers: str) -> bytes:
    data = body.encode()
    lines = {"Content-Length": str(len(data)), "Content-Type": kind, **headers}
    return "".join(f"{name}: {value}\n" for name, value in lines.items()).encode() + b"\n" + data


def event(fields: dict[str, Any], *, plain: bool = False) -> bytes:
    if not plain:
        return framed("text/event-json", json.dumps(fields, ensure_ascii=False))
    lines = "".join(f"{name}: {quote(str(value))}\n" for name, value in fields.items() if name != "_body")
    return framed("text/event-plain", f"{lines}\n{fields.get('_body', '')}")


def reply(text: str = "+OK") -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


def response(body: str) -> bytes:
    return framed("api/response", body)


def cut(data: bytes, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    while data:
        size = chance.choice((1, 7, 100, 5_000))
        yield data[:size]
        data = data[size:]


def heard(line: EslLine, data: bytes, seed: int = 0) -> tuple[list[CallEvent], list[str]]:
    framing = Framing()
    events: list[CallEvent] = []
    frames: list[str] = []
    for piece in cut(data, seed):
        for text in framing.feed(piece):
            happened, said = line.take(text, T0)
            events += happened
            frames += said
    return events, frames


def fresh(app: str | None = None) -> EslLine:
    """A line that has been told that nothing stands."""
    line = EslLine(app)
    assert 3 == len(line.begin(T0))
    events, _ = heard(line, reply() + response('{"row_count":0}') + response("+OK"))
    assert [Standing((), {})] == events
    assert line.waits_since_ms is None
    return line


def channel(name: str, channel_id: str = CALL, direction: str = "inbound", **more: str) -> dict[str, str]:
    return {"Event-Name": name, "Unique-ID": channel_id, "Call-Direction": direction, **more}


@pytest.mark.parametrize("plain", [False, True])
def test_the_recorded_call_byte_for_byte_in_whatever_pieces_it_comes(plain: bool) -> None:
    for seed in range(3):
        line = fresh()
        assert line.tell(Ring(CALL, LEG, "sofia/internal/agent1@127.0.0.1:5070", 10, "13800138000"), T0)
        data = reply() + b"".join(event(each, plain=plain) for each in PARKED["events"])
        events, frames = heard(line, data, seed)
        context = {"context": "public"}
        assert [
            Offered(CALL, T0, "13800138000", "Zhang San", "4001", context),
            AgentRinging(CALL, T0, LEG),
            AgentAnswered(CALL, T0 + 20, LEG),
            Bridged(CALL, T0 + 80, LEG),
            AgentEnded(CALL, T0 + 7_040, LEG, 16),
            Ended(CALL, T0 + 7_040, 16),
        ] == events
        assert [] == frames


@pytest.mark.parametrize(("case", "cause"), [("busy", 17), ("no-answer", 19), ("unreachable", 41)])
def test_recorded_failures_of_dialling(case: str, cause: int) -> None:
    line = fresh()
    heard(line, event(channel("CHANNEL_PARK")))
    line.tell(Ring(CALL, LEG, "sofia/x", 5), T0)
    said = [each["event"] for each in RECORDED["failures"] if each.get("case") == case and "event" in each]
    job = said[-1] | {"Job-UUID": LEG}
    events, _ = heard(line, reply(f"+OK Job-UUID: {LEG}") + b"".join(event(each) for each in (*said[:-1], job)))
    assert [AgentEnded(CALL, T0, LEG, cause)] == events
    assert ([], []) == heard(line, event(job)), "once"


def test_what_stands_is_asked_channel_by_channel() -> None:
    line = EslLine()
    _, asks, seen = line.begin(T0)
    assert f"api global_setvar cordboard_seen={T0 // 1000}\n\n" == seen
    assert "api show channels as json\n\n" == asks
    recorded = RECORDED["failures"][-1]
    row = recorded["body"]["rows"][0]
    legs = [row | {"uuid": each} for each in (LEG, "theirs", "bad id\n\napi x")]
    _, frames = heard(line, reply() + response(json.dumps({"row_count": 4, "rows": [row, *legs]})) + response("+OK"))
    assert [f"api uuid_dump {each} json\n\n" for each in (row["uuid"], LEG, "theirs")] == frames
    ours = {"variable_cordboard_call": row["uuid"]}
    dumps = [
        channel(
            "CHANNEL_DATA", LEG, "outbound", **ours, **{"Answer-State": "answered", "variable_signal_bond": row["uuid"]}
        ),
        channel("CHANNEL_DATA", row["uuid"], **ours, **{"Caller-Caller-ID-Number": "13800138000"}),
    ]
    data = b"".join(response(json.dumps(each)) for each in dumps) + response("-ERR No such channel!\n")
    events, _ = heard(line, data)
    offered = Offered(row["uuid"], 0, "13800138000", details={"context": ""})
    assert [Standing((offered,), {LEG: True}, frozenset({(row["uuid"], LEG)}))] == events
    ended, _ = heard(line, event(channel("CHANNEL_HANGUP_COMPLETE", row["uuid"], variable_hangup_cause_q850="16")))
    assert [Ended(row["uuid"], T0, 16)] == ended


def test_commands() -> None:
    line = fresh()
    heard(line, event(channel("CHANNEL_PARK")))
    assert [
        f"api uuid_setvar_multi {CALL} cordboard_call={CALL};park_after_bridge=true;hangup_after_bridge=false\n\n",
        f"api uuid_answer {CALL}\n\n",
        f"api uuid_broadcast {CALL} playback::local_stream://moh aleg\n\n",
    ] == line.tell(Hold(CALL), T0)
    assert [Queued(CALL, T0)] == heard(line, response("+OK") * 3)[0]
    assert [
        f"api uuid_break {CALL} all\n\n",
        f"api uuid_broadcast {CALL} playback::ivr/ivr-you_are_number.wav aleg\n\n",
        f"api uuid_broadcast {CALL} say::en number pronounced 3 aleg\n\n",
        f"api uuid_broadcast {CALL} playback::local_stream://moh aleg\n\n",
    ] == line.tell(Announce(CALL, 3), T0)
    says = (
        f"bgapi originate {{origination_uuid={LEG},cordboard_call={CALL},originate_timeout=20,ignore_early_media=true,"
        "origination_caller_id_number=+861,origination_caller_id_name='A Bsystemid'}"
        f"user/1001x &park()\nJob-UUID: {LEG}\n\n"
    )
    assert [says] == line.tell(Ring(CALL, LEG, "user/1001 \nx", 20, "+861", "A B'},$^system\n\nid"), T0)
    assert f"api uuid_bridge {CALL} {LEG}\n\n" == line.tell(Bridge(CALL, LEG), T0)[-1]
    assert [f"api uuid_kill {CALL} NORMAL_CLEARING\n\n"] == line.tell(HangUp(CALL), T0)
    assert [f"api uuid_kill {LEG} NORMAL_CLEARING\n\n"] == line.tell(Drop(LEG), T0)


@pytest.mark.parametrize("number", ["13800138000", "+1", "+86x", "+86 138", "+8613800138000,user/1", None])
def test_only_whole_numbers_are_dialled(number: str | None) -> None:
    account = Account("default", "fs", "voice", {"url": "esl://fs", "trunk": "sofia/gateway/t/{number}"}, {})
    assert dial_of(account, number) is None
    assert "sofia/gateway/t/+8613800138000" == dial_of(account, "+8613800138000")
    assert dial_of(ACCOUNT, "+8613800138000") is None


def test_a_customer_who_is_dialled() -> None:
    line = fresh()
    said = line.tell(Dial("out-1", "sofia/gateway/t/+861", 45, "+862"), T0)
    says = (
        "bgapi originate {origination_uuid=out-1,cordboard_call=out-1,originate_timeout=45,ignore_early_media=true,"
        "origination_caller_id_number=+862}sofia/gateway/t/+861 &park()\nJob-UUID: out-1\n\n"
    )
    assert [says] == list(said)
    busy = {"Event-Name": "BACKGROUND_JOB", "Job-UUID": "out-1", "_body": "-ERR USER_BUSY\n"}
    assert [Abandoned("out-1", T0, 17)] == heard(line, reply() + event(busy) + event(busy))[0]
    line.tell(Dial("out-1", "sofia/gateway/t/+861", 45), T0)
    assert [Abandoned("out-1", T0, 41)] == heard(line, reply("-ERR no"))[0]
    line.tell(Dial("out-1", "sofia/gateway/t/+861", 45), T0)
    parked = channel("CHANNEL_PARK", "out-1", "outbound", variable_cordboard_call="out-1")
    assert [Reached("out-1", T0)] == heard(line, reply() + event(parked) + event(parked))[0]
    gone = channel("CHANNEL_HANGUP_COMPLETE", "out-1", "outbound", variable_hangup_cause_q850="16")
    assert [Abandoned("out-1", T0, 16)] == heard(line, event(gone))[0]


@pytest.mark.parametrize(("closed", "to"), [("4999", "4999 XML"), ("4999@voicemail", "4999 XML voicemail")])
def test_a_caller_who_is_given_back_is_no_news_any_more(closed: str, to: str) -> None:
    line = EslLine(closed=extension_of(closed))
    heard(line, event(channel("CHANNEL_PARK")))
    says = "cordboard_reason=callback;cordboard_contact=c1;cordboard_call=;park_after_bridge=;hangup_after_bridge="
    assert [
        f"api uuid_setvar_multi {CALL} {says}\n\n",
        f"api uuid_break {CALL} all\n\n",
        f"api uuid_transfer {CALL} {to}\n\n",
    ] == line.tell(HangUp(CALL, "callback", "c1"), T0)
    assert [Left(CALL, T0)] == heard(line, response("+OK") * 3)[0]
    pressed = channel("DTMF", **{"DTMF-Digit": "1"})
    gone = channel("CHANNEL_HANGUP_COMPLETE", variable_hangup_cause_q850="16")
    assert [] == heard(line, event(pressed) + event(gone))[0]
    there = channel("CHANNEL_DATA", variable_current_application="voicemail", variable_cordboard_reason="callback")
    line.begin(T0)
    listed = response(json.dumps({"row_count": 1, "rows": [{"uuid": CALL}]}))
    assert [Standing((), {})] == heard(line, reply() + listed + response("+OK") + response(json.dumps(there)))[0]


def test_a_caller_who_cannot_be_given_back_is_hung_up_on() -> None:
    kill = f"api uuid_kill {CALL} NORMAL_CLEARING\n\n"
    assert [kill] == fresh().tell(HangUp(CALL, "callback"), T0), "nothing takes over"
    line = EslLine(closed=extension_of("4999"))
    heard(line, event(channel("CHANNEL_PARK")) + event(channel("CHANNEL_PARK", "x2")))
    line.tell(HangUp(CALL, "callback"), T0)
    assert ([], [kill]) == heard(line, response("+OK") * 2 + response("-ERR Operation failed"))
    line.tell(HangUp("x2", "callback"), T0)
    gone = "-ERR No such channel!\n"
    assert [Left("x2", T0)] == heard(line, response("+OK") + response(gone) * 3)[0]


def test_what_a_failed_command_means() -> None:
    line = fresh()
    heard(line, event(channel("CHANNEL_PARK")))
    line.tell(Ring(CALL, LEG, "user/1", 20), T0)
    assert [AgentEnded(CALL, T0, LEG, 41)] == heard(line, reply("-ERR no such command"))[0]
    line.tell(Ring(CALL, LEG, "user/1", 20), T0)
    line.tell(Bridge(CALL, LEG), T0)
    events, frames = heard(line, reply() + response("+OK") + response("-ERR Invalid uuid\n"))
    assert ([AgentEnded(CALL, T0, LEG, 41)], [f"api uuid_kill {LEG} NORMAL_CLEARING\n\n"]) == (events, frames)
    line.tell(HangUp(CALL), T0)
    assert [Abandoned(CALL, T0, None)] == heard(line, response("+OK") + response("-ERR No such channel!\n"))[0]


def test_keys_and_their_length() -> None:
    line = fresh()
    data = event(channel("CHANNEL_PARK")) + event(channel("DTMF", **{"DTMF-Digit": "#", "DTMF-Duration": "960"}))
    assert Dtmf(CALL, T0, "#", 120) == heard(line, data)[0][-1]
    assert ([], []) == heard(line, event(channel("DTMF", **{"DTMF-Digit": "12"})))
    assert ([], []) == heard(line, event(channel("DTMF", "other", **{"DTMF-Digit": "1"})))


def test_callers_of_another_dial_plan_are_not_ours() -> None:
    line = fresh("front")
    assert ([], []) == heard(line, event(channel("CHANNEL_PARK")))
    events, _ = heard(line, event(channel("CHANNEL_PARK", variable_cordboard_app="front")))
    assert isinstance(events[0], Offered)


def test_a_channel_that_freeswitch_had_dialled_and_somebody_transferred_to_us_is_a_caller() -> None:
    theirs = channel("CHANNEL_PARK", "x9", "outbound")
    assert ([], []) == heard(fresh(), event(theirs)), "somebody else's, for all that is known"
    line = fresh("front")
    assert ([], []) == heard(line, event(theirs))
    events, _ = heard(line, event(theirs | {"variable_cordboard_app": "front"}))
    assert isinstance(events[0], Offered)
    gone = channel("CHANNEL_HANGUP_COMPLETE", "x9", "outbound", variable_hangup_cause_q850="16")
    assert [Abandoned("x9", T0, 16)] == heard(line, event(gone))[0]


def test_a_caller_who_gives_up_and_an_end_that_began_elsewhere() -> None:
    line = fresh()
    gone = channel("CHANNEL_HANGUP_COMPLETE", **{"Hangup-Cause": "NORMAL_CLEARING"})
    assert [Abandoned(CALL, T0, 16)] == heard(line, event(channel("CHANNEL_PARK")) + event(gone))[0][1:]
    assert [] == heard(line, event(gone))[0], "once"
    held = {"variable_cordboard_call": "x1"}
    assert [Ended("x1", T0, None)] == heard(line, event(channel("CHANNEL_HANGUP_COMPLETE", "x1", **held)))[0]


@pytest.mark.parametrize(
    ("name", "number", "cause"),
    [
        ("MEDIA_TIMEOUT", "16", 41),
        ("ALLOTTED_TIMEOUT", "16", 19),
        ("ORIGINATOR_CANCEL", "16", 16),
        ("INCOMPATIBLE_DESTINATION", "", 88),
        ("USER_BUSY", "0", 17),
        ("NEVER_HEARD_OF", "21", 21),
        ("NEVER_HEARD_OF", "999", None),
    ],
)
def test_causes_by_name_and_number(name: str, number: str, cause: int | None) -> None:
    gone = channel("CHANNEL_HANGUP_COMPLETE", **{"Hangup-Cause": name, "variable_hangup_cause_q850": number})
    assert Abandoned(CALL, T0, cause) == heard(fresh(), event(channel("CHANNEL_PARK")) + event(gone))[0][-1]


def test_no_more_calls_are_kept_in_mind_than_there_may_be() -> None:
    line = fresh()
    for number in range(CALLS_MAX + 5):
        line._calls.take(channel("CHANNEL_PARK", f"c{number}"), T0)
    assert CALLS_MAX == len(line._calls._calls)


@pytest.mark.parametrize(
    "said",
    [
        b"Content-Length: 99999999\n\n",
        b"Content-Length: -1\n\n",
        b"Content-Length: 1e3\n\n",
        b"Content-Length: 2\ncontent-length: 3\n\n{}",
        b"x" * (HEADER_BYTES_MAX + 1),
        b"HTTP/1.1 400 Bad Request\n\n",
        b"No-Type: 1\n\n",
        b"Content-Type: text/rude-rejection\n\n",
        framed("text/event-json", "[" * 3_000),
        framed("text/event-json", "[]"),
        framed("text/event-json", "{}"),
        framed("text/event-plain", "no colon\n\n"),
        framed("text/event-xml", "<event>"),
        framed("text/event-xml", "<a>" * 100_000),
        framed("text/event-xml", "<event><headers/></event>"),
        framed("text/event-xml", '<!DOCTYPE e [<!ENTITY a "CHANNEL_PARK">]><event><headers>&a;</headers></event>'),
        event(channel("CHANNEL_PARK"))[:-1] + reply(),
        reply(),
    ],
)
def test_what_is_not_the_protocol(said: bytes) -> None:
    with pytest.raises(Malformed):
        heard(fresh(), said)


def test_a_length_that_is_too_long_waits_and_owes_an_answer() -> None:
    line = fresh()
    line.ping(T0)
    assert ([], []) == heard(line, b"Content-Type: api/response\nContent-Length: 50\n\n17\n")
    assert T0 == line.waits_since_ms


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "esl://pbx:0"}, "settings.url"),
        ({"url": "esl://pbx/path"}, "settings.url"),
        ({"url": "esl://user@pbx"}, "settings.url"),
        ({"url": "esl:"}, "settings.url"),
        ({"url": "esl://pbx", "music": "a b"}, "settings.music"),
        ({"url": "esl://pbx", "language": "e n"}, "settings.language"),
        ({"username": "ast", "language": "en"}, "settings.language"),
        ({"url": "esl://pbx", "username": "a:b"}, "settings.username"),
        ({"url": "esl://pbx", "trunk": "sofia/gateway/trunk"}, "settings.trunk"),
        *(
            ({"url": "esl://pbx", "closed_exten": each}, "settings.closed_exten")
            for each in ("", "-both", "4999 XML", "4999@", "@voicemail", "4999@a@b", "4999\n", "4999;x", "9" * 81)
        ),
    ],
)
def test_settings_that_cannot_be(settings: dict[str, str], field: str) -> None:
    with pytest.raises(Malformed) as refused:
        CHANNEL.check(settings, {"password": "x"})
    assert field == refused.value.extra["field"]


def test_settings_that_can_be() -> None:
    CHANNEL.check({"url": "esl://pbx", "language": "zh", "music": "/sounds/moh.wav", "app": "front"}, {"password": "x"})
    assert isinstance(line_of(ACCOUNT), EslLine)
    assert "user/1001" == phone_of(ACCOUNT, "1001")


def _texts(events: Sequence[CallEvent]) -> list[str]:
    return [each.name for each in events if isinstance(each, Offered)]


def test_names_that_no_database_takes() -> None:
    data = framed("text/event-json", json.dumps(channel("CHANNEL_PARK", **{"Caller-Caller-ID-Name": "a\ud800\0b"})))
    assert ["a?\ufffdb"] == _texts(heard(fresh(), data)[0])
