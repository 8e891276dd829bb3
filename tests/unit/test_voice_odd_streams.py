"""Streams of telephone systems as they may come: in any pieces, among frames that nobody knows, in another order."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote
from xml.sax.saxutils import escape

import pytest

from src.channels.voice.ari_line import AriLine
from src.channels.voice.calls import Abandoned, AgentEnded, Bridged, CallEvent, Ended, Offered, Ring
from src.channels.voice.esl import Framing
from src.channels.voice.esl_line import EslLine
from src.errors import Malformed

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
ASTERISK: Final = json.loads((FIXTURES / "asterisk22_ari_capture.json").read_text())["events"]
FREESWITCH: Final = json.loads((FIXTURES / "freeswitch1.10.12_capture.json").read_text())
PARKED: Final = FREESWITCH["4001"]["events"]
T0: Final = 1_795_294_096_621
CALL, LEG = "4216851a-d634-4534-b7a0-7c8c0ee4421a", "fd7e37aa-e296-4491-9746-3d82a90b52a9"
SEEDS: Final = range(20)
HOW: Final = ("json", "plain", "xml")


def framed(kind: str, body: str, more: str = "") -> bytes:
    data = body.encode()
    return f"Content-Length: {len(data)}\nContent-Type: {kind}\n{more}\n".encode() + data


def told(fields: dict[str, Any], how: str = "json") -> bytes:
    if how == "json":
        return framed("text/event-json", json.dumps(fields))
    body = str(fields.get("_body", ""))
    values = {name: quote(str(value)) for name, value in fields.items() if name != "_body"}
    if how == "xml":
        headers = "".join(f"    <{name}>{value}</{name}>\n" for name, value in values.items())
        return framed(
            "text/event-xml", f"<event>\n  <headers>\n{headers}  </headers>\n<body>{escape(body)}</body></event>"
        )
    return framed("text/event-plain", "".join(f"{name}: {value}\n" for name, value in values.items()) + "\n" + body)


FREESWITCH_SAYS_TOO: Final = [
    *(told(each, how) for each in FREESWITCH["4002"]["events"] for how in HOW),
    framed("log/data", "[DEBUG] switch_core.c:1 two\n\nlines: of a log\n", "Log-Level: 7\nText-Channel: 0\n"),
    framed("log/data", ""),
    framed("text/event-xml", "<event><headers><Event-Name>CHANNEL_PARK</Event-Name></headers></event>"),
    told({"Event-Name": "CUSTOM", "Event-Subclass": "sofia::register", "_body": "Content-Length: 5\n\n{}"}, "plain"),
    told({"Event-Name": "CUSTOM", "Event-Subclass": "x::y", "variable_list": ["a", {"b": None}]}),
    told({"Event-Name": "CHANNEL_BRIDGE", "Unique-ID": CALL}),
    told({"Event-Name": "CHANNEL_PARK"}),
    told({"Event-Name": "BACKGROUND_JOB", "Job-UUID": "another's", "_body": "-ERR USER_BUSY\n"}, "plain"),
    told({"Event-Name": "NEVER_HEARD_OF", "Unique-ID": CALL, "Hangup-Cause": "X"}, "plain"),
    told({"Event-Name": "DTMF", "Unique-ID": LEG, "DTMF-Digit": "%0A"}, "plain"),
    b"\n\n",
]

ASTERISK_SAYS_TOO: Final = [
    {"type": "ChannelHold", "channel": {"id": "1795293507.0"}},
    {"type": "ChannelDestroyed", "cause": 16, "channel": {"id": "another's"}},
    {"type": "StasisEnd", "channel": {"id": "another's"}},
    {"type": "Dial", "dialstatus": "RINGING"},
    {"type": "Dial", "peer": {"id": "agent-leg-1"}, "caller": None, "dialstatus": "BUSY"},
    {"type": "ChannelHangupRequest", "soft": True},
    {"type": "ChannelDtmfReceived", "channel": None, "digit": "5"},
    {"type": "ChannelEnteredBridge", "bridge": {"bridge_type": "mixing"}, "channel": {"id": 5}},
    {"type": "ChannelEnteredBridge", "channel": {"id": "1795293507.0"}, "bridge": {"channels": [None, 5]}},
    {"type": "BridgeVideoSourceChanged", "bridge": {}, "old_video_source_id": None},
    {"type": "NeverHeardOf", "timestamp": 5, "channel": []},
    {"type": "MissingParams", "params": ["uri"]},
    {"type": "RESTResponse", "transaction_id": "nobody's", "status_code": 200},
    {"type": "RESTResponse", "transaction_id": None, "status_code": "200"},
]


def among(chance: random.Random, frames: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    """The frames in their order, with others between them in any."""
    found = list(frames)
    for each in chance.sample(others, len(others)):
        found.insert(chance.randint(0, len(found)), each)
    return found


def freeswitch(frames: Sequence[bytes], chance: random.Random) -> list[CallEvent]:
    """What a line to a FreeSWITCH makes of its frames, cut anywhere; the recorded agent is being dialled."""
    line, framing = EslLine(), Framing()
    line.tell(Ring(CALL, LEG, "user/1", 10), T0)
    data = b"Content-Type: command/reply\nReply-Text: +OK\n\n" + b"".join(frames)
    found: list[CallEvent] = []
    while data:
        size = chance.choice((1, 2, 13, 1_000, 40_000))
        for text in framing.feed(data[:size]):
            found += line.take(text, T0)[0]
        data = data[size:]
    return found


def asterisk(frames: Sequence[dict[str, Any]]) -> list[CallEvent]:
    line = AriLine("routing")
    return [each for frame in frames for each in line.take(json.dumps({"application": "routing", **frame}), T0)[0]]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_freeswitch_says_besides_and_how_it_is_cut_changes_nothing(seed: int) -> None:
    chance = random.Random(seed)
    frames = [told(each, chance.choice(HOW)) for each in PARKED]
    expected = freeswitch([told(each) for each in PARKED], chance)
    assert 6 == len(expected)
    assert expected == freeswitch(among(chance, frames, FREESWITCH_SAYS_TOO), chance)


def test_a_stream_that_is_cut_at_any_one_byte_has_the_same_frames() -> None:
    data = b"\n" + told(PARKED[-1], "plain") + framed("log/data", "ü\n\n") + told({"Event-Name": "ü"})
    whole = list(Framing().feed(data))
    assert 3 == len(whole)
    for each in range(len(data)):
        framing = Framing()
        assert whole == [*framing.feed(data[:each]), *framing.feed(data[each:])]


def test_a_freeswitch_that_takes_its_leave_has_answered_what_it_was_asked() -> None:
    line = EslLine()
    line.ping(T0)
    leave = "Disconnected, goodbye.\nSee you at ClueCon!\n\nhttp://www.cluecon.com/\n"
    frames = Framing().feed(
        framed("text/disconnect-notice", leave, "Controlled-Session-UUID: x\n") + framed("api/response", "+OK")
    )
    assert [((), ()), ((), ())] == [line.take(each, T0) for each in frames]
    assert line.waits_since_ms is None


@pytest.mark.parametrize("seed", SEEDS)
def test_what_asterisk_says_besides_changes_nothing(seed: int) -> None:
    expected = asterisk(ASTERISK)
    assert 7 == len(expected)
    assert expected == asterisk(among(random.Random(seed), ASTERISK, ASTERISK_SAYS_TOO))


@pytest.mark.parametrize("seed", SEEDS)
def test_in_whatever_order_a_call_is_told_it_comes_at_most_once_and_goes_once(seed: int) -> None:
    chance = random.Random(seed)
    frames = [told(each) for each in PARKED]
    for events in (
        asterisk(chance.sample(ASTERISK, len(ASTERISK))),
        freeswitch(chance.sample(frames, len(frames)), chance),
    ):
        count = Counter(type(each) for each in events)
        assert 1 == count[Ended] + count[Abandoned]
        assert count[Offered] <= 1
        assert count[AgentEnded] <= 1
        assert count[Bridged] <= 1


@pytest.mark.parametrize("left_out", range(len(ASTERISK)))
def test_whatever_asterisk_does_not_say_the_rest_is_understood(left_out: int) -> None:
    ends = (Ended, Abandoned, AgentEnded)
    events = asterisk([*ASTERISK[:left_out], *ASTERISK[left_out + 1 :], {**ASTERISK[32], "type": "ChannelDestroyed"}])
    last = [each for each in events if isinstance(each, ends)]
    assert {"1795293507.0"} == {each.call_id for each in last}
    assert 1 == sum(isinstance(each, Ended | Abandoned) for each in last)


@pytest.mark.parametrize("kind", ["StasisStart", "StasisEnd", "ChannelDestroyed"])
def test_a_channel_without_a_name_that_comes_or_goes_has_it_asked_what_stands(kind: str) -> None:
    with pytest.raises(Malformed):
        asterisk([{"type": kind, "channel": {"id": ""}}])
