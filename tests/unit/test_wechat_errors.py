"""What WeChat is sent, what its answers mean, and how much may still be sent."""

import asyncio
import json
from typing import Any

import pytest

from src.channels.base import Account, Answered, Budget, Call, Fetch, Media, Outbound, Said
from src.channels.wechat import CHANNEL
from src.channels.wechat.errors import MEANINGS
from src.errors import NotSent

ACCOUNT = Account(
    "t", "oa", "wechat", {"app_id": "wx1", "api_base_url": "https://double/"}, {"token": "T", "app_secret": "S"}
)
NOW = 1_700_000_000_000
HOUR = 3_600_000


class Script:
    """`Reach` that answers from a list, and remembers what was asked."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls: list[Call] = []
        self.token_is = "token-0"
        self.files = {"ours": Media(b"\x89PNG picture", "image/png", "p.png")}
        self.stale: list[str] = []

    async def call(self, call: Call) -> Answered:
        self.calls.append(call)
        answer = self.answers.pop(0) if self.answers else {"errcode": 0, "errmsg": "ok"}
        if isinstance(answer, Answered):
            return answer
        return Answered(200, {}, json.dumps(answer).encode())

    async def media(self, media_id: str) -> Media:
        if media_id not in self.files:
            raise NotSent("bad_media", "refused")
        return self.files[media_id]

    async def token(self, fetch: Fetch, *, stale: str | None = None) -> str:
        if stale is not None:
            self.stale.append(stale)
            self.token_is, _ = await fetch(force=False)
        return self.token_is


def send(script: Script, kind: str = "text", text: str | None = "您好", **payload: Any) -> dict[str, Any]:
    message = Outbound("m1", kind, text, payload, "wechat_openid", "oAnna", "c1")
    asyncio.run(CHANNEL.send(message, ACCOUNT, script))
    body: dict[str, Any] = json.loads(script.calls[-1].body)
    return body


def refusal(script: Script) -> NotSent:
    with pytest.raises(NotSent) as refused:
        send(script)
    return refused.value


def test_text_travels_as_it_is_written() -> None:
    script = Script()
    assert {"touser": "oAnna", "msgtype": "text", "text": {"content": "您好"}} == send(script)
    assert "您好".encode() in script.calls[0].body
    assert ("POST", "https://double/cgi-bin/message/custom/send") == (script.calls[0].method, script.calls[0].url)
    assert {"access_token": "token-0"} == script.calls[0].query
    assert "token-0" not in repr(script.calls[0])


def test_each_kind_has_its_form() -> None:
    assert {"content": "请稍候"} == send(Script(), "notice", "请稍候")["text"]
    place = send(Script(), "location", None, latitude=31.2, longitude=121.5, label="上海")
    assert {"content": "上海\n31.2, 121.5"} == place["text"]
    link = send(
        Script(), "link", "see", url="https://e.example/", title="Returns", picture_url="https://e.example/p.png"
    )
    assert [
        {"title": "Returns", "description": "see", "url": "https://e.example/", "picurl": "https://e.example/p.png"}
    ] == link["news"]["articles"]
    menu = send(Script(), "menu", "Which?", options=[{"id": "1", "text": "Refund"}])["msgmenu"]
    assert {"head_content": "Which?", "list": [{"id": "1", "content": "Refund"}], "tail_content": ""} == menu
    with pytest.raises(NotSent) as refused:
        send(Script(), "file", None)
    assert ("kind_not_supported", "refused") == (refused.value.reason, refused.value.fate)


def test_a_file_is_handed_in_first_and_named_by_the_id_that_comes_back() -> None:
    script = Script({"type": "image", "media_id": "theirs", "created_at": 1})
    body = send(script, "image", None, media_id="ours")
    assert {"touser": "oAnna", "msgtype": "image", "image": {"media_id": "theirs"}} == body
    upload = script.calls[0]
    assert {"access_token": "token-0", "type": "image"} == upload.query
    assert b'name="media"; filename="file.png"' in upload.body
    assert b"\x89PNG picture" in upload.body
    two = [{"media_id": "theirs"}, {"thumb_media_id": "thumb", "type": "thumb"}]
    video = send(Script(*two), "video", None, media_id="ours", thumb_media_id="ours", title="t")["video"]
    assert {"media_id": "theirs", "thumb_media_id": "thumb", "title": "t"} == video
    with pytest.raises(NotSent) as refused:
        send(Script(), "image", None, media_id="gone")
    assert ("bad_media", "refused") == (refused.value.reason, refused.value.fate)


def fetch(script: Script) -> Media:
    return asyncio.run(CHANNEL.fetch("theirs", ACCOUNT, script))


def test_what_a_customer_sent_is_fetched() -> None:
    headers = {"content-type": "image/jpeg", "content-disposition": 'attachment; filename="a.jpg"'}
    assert Media(b"jpeg", name="a.jpg") == fetch(Script(Answered(200, headers, b"jpeg")))
    said = {"content-type": "text/plain"}
    renewed = Script(
        Answered(200, said, b'{"errcode": 40001}'),
        {"access_token": "token-1", "expires_in": 7200},
        Answered(200, headers, b"jpeg"),
    )
    assert b"jpeg" == fetch(renewed).body
    with pytest.raises(NotSent) as gone:
        fetch(Script(Answered(200, said, b'{"errcode": 40007, "errmsg": "invalid media_id"}')))
    assert ("bad_media", "refused") == (gone.value.reason, gone.value.fate)


@pytest.mark.parametrize(
    ("url", "followed"),
    [
        ("http://mp.qq.com/video", True),
        ("https://double/video", True),
        ("http://169.254.169.254/latest/meta-data", False),
        ("file:///etc/passwd", False),
        ("http://evil.example/qq.com", False),
        ("http://qq.com.evil.example/", False),
        ("http://qq.com@evil.example/", False),
        (None, False),
    ],
)
def test_a_video_is_fetched_from_wechat_alone(url: str | None, followed: bool) -> None:
    script = Script(
        Answered(200, {"content-type": "application/json"}, json.dumps({"video_url": url}).encode()),
        Answered(200, {"content-type": "video/mp4"}, b"mp4"),
    )
    if followed:
        assert b"mp4" == fetch(script).body
        assert url == script.calls[1].url
        assert not script.calls[1].query, "the token stays with WeChat's API"
        return
    with pytest.raises(NotSent):
        fetch(script)
    assert 1 == len(script.calls)


def test_a_token_that_does_not_hold_is_renewed_once() -> None:
    script = Script({"errcode": 40001}, {"access_token": "token-1", "expires_in": 7200}, {"errcode": 0})
    send(script)
    assert ["token-0"] == script.stale
    asked = json.loads(script.calls[1].body)
    assert {
        "grant_type": "client_credential",
        "appid": "wx1",
        "secret": "S",
        "force_refresh": False,
    } == asked
    assert {"access_token": "token-1"} == script.calls[2].query
    again = Script({"errcode": 42001}, {"access_token": "token-1", "expires_in": 7200}, {"errcode": 42001})
    failure = refusal(again)
    assert ("bad_credentials", "admin") == (failure.reason, failure.fate)
    assert 3 == len(again.calls), "once and no more"


@pytest.mark.parametrize(("code", "meant"), MEANINGS.items())
def test_each_error_code_has_its_class(code: int, meant: tuple[str, str, float]) -> None:
    renewal = [{"access_token": "t", "expires_in": 7200}, {"errcode": code}]
    failure = refusal(Script({"errcode": code, "errmsg": "x"}, *renewal))
    assert meant == (failure.reason, failure.fate, failure.pause_s)


@pytest.mark.parametrize(
    ("answer", "reason", "fate"),
    [
        ({"errcode": 99999}, "wechat_99999", "admin"),
        (Answered(502, {}, b"bad gateway"), "channel_busy", "again"),
        (Answered(302, {"location": "http://evil"}, b""), "channel_busy", "again"),
        (Answered(200, {}, b"<html>"), "channel_unreadable", "again"),
        (Answered(200, {}, b"[" * 100_000), "channel_unreadable", "again"),
        ([], "channel_unreadable", "again"),
        ({"errcode": "0"}, "channel_busy", "again"),
        ({"errcode": True}, "channel_busy", "again"),
    ],
)
def test_answers_that_nobody_expects(answer: Any, reason: str, fate: str) -> None:
    failure = refusal(Script(answer))
    assert (reason, fate) == (failure.reason, failure.fate)


def test_an_account_without_a_secret_cannot_send() -> None:
    bare = Account("t", "oa", "wechat", {"app_id": "wx1"}, {"token": "T"})
    script = Script({"errcode": 41001})
    with pytest.raises(NotSent) as refused:
        asyncio.run(CHANNEL.send(Outbound("m", "text", "x", {}, "wechat_openid", "o", "c"), bare, script))
    assert ("no_credentials", "admin") == (refused.value.reason, refused.value.fate)


# -- the budget --------------------------------------------------------------------------------------------------------


def heard(hours_ago: float, kind: str = "text", **payload: Any) -> Said:
    return Said(NOW - int(hours_ago * HOUR), "customer", kind, payload)


def wrote(hours_ago: float, state: str = "sent", reason: str | None = None) -> Said:
    return Said(NOW - int(hours_ago * HOUR), "agent", "text", {}, state, reason)


SECONDS = 1 / 3600


@pytest.mark.parametrize(
    ("said", "messages", "until_hours"),
    [
        ([], 0, 0),
        ([heard(1)], 5, 47),
        ([heard(47), wrote(46), wrote(2)], 3, 1),
        ([heard(49), wrote(1)], 0, 0),
        ([heard(3), *[wrote(2)] * 5], 0, 0),
        ([heard(3), *[wrote(2)] * 5, heard(1)], 5, 47),
        ([heard(3), wrote(2, "failed", "quota_used")], 0, 0),
        ([heard(3), wrote(2, "failed", "quota_used"), heard(1)], 5, 47),
        ([heard(3), wrote(2, "failed", "too_large"), wrote(2, "queued"), wrote(1, "delivered")], 3, 45),
        ([heard(3), *[wrote(2)] * 4, heard(30 * SECONDS, "menu")], 3, 30 * SECONDS),
        ([heard(3), *[wrote(2)] * 4, heard(90 * SECONDS, "menu")], 1, 45),
        ([heard(10 * SECONDS, "event", event="subscribe")], 3, 50 * SECONDS),
        ([heard(10 * SECONDS, "event", event="scancode_waitmsg")], 3, 50 * SECONDS),
        ([heard(10 * SECONDS, "event", event="view")], 0, 0),
        ([heard(1), heard(10 * SECONDS, "event", event="unsubscribe")], 0, 0),
        (
            [heard(1), heard(2 * SECONDS, "event", event="unsubscribe"), heard(SECONDS, "event", event="subscribe")],
            3,
            59 * SECONDS,
        ),
        ([heard(1), heard(10 * SECONDS, "event", event="click")], 5, 47),
    ],
)
def test_how_much_may_still_be_sent(said: list[Said], messages: int, until_hours: float) -> None:
    left = CHANNEL.budget(said, NOW)
    assert isinstance(left, Budget)
    assert (messages, round(until_hours * 3600)) == (left.messages, round((left.until - NOW) / 1000))
