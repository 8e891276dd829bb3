"""WeChat's official vectors, byte for byte, and what becomes of every kind of push, good or bad."""

import json
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pytest
import wechatpy
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CBC
from hypothesis import given
from hypothesis import strategies as st
from wechatpy.crypto import WeChatCrypto
from wechatpy.utils import WeChatSigner

from src.channels.base import Account, ChannelRequest, Receipt
from src.channels.tencent.crypto import ReplyEnvelope, decrypt, encrypt, encrypt_reply, key_of, signature_of, verify
from src.channels.tencent.parse import BODY_BYTES_MAX, DEPTH_MAX, FIELDS_MAX, VALUE_CHARS_MAX, fields_of, is_json
from src.channels.wechat import CHANNEL
from src.dispatch.inbound import InboundMessage
from src.errors import BadSignature, Malformed, NotFound, Refused, StaleTimestamp
from src.profile.identities import Identity

VECTORS: dict[str, Any] = json.loads((Path(__file__).parents[1] / "fixtures/wechat_vectors.json").read_text())
TOKEN, KEY, OLD_KEY, APP_ID = (
    "tok3n",
    "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
    "x" * 42 + "A",
    "wx0123456789abcdef",
)
NOW_S = 1_800_000_000
ACCOUNT = Account(
    "default", "shop", "wechat", {"app_id": APP_ID}, {"token": TOKEN, "encoding_aes_key": KEY}, queue="front"
)
ENVELOPE = {"ToUserName": "gh_1", "FromUserName": "o1", "CreateTime": str(NOW_S)}


def account_of(vector: Mapping[str, Any]) -> Account:
    secrets = {"token": vector["token"]}
    settings = {}
    if "encoding_aes_key" in vector:
        secrets["encoding_aes_key"] = vector["encoding_aes_key"]
        settings = {"app_id": vector["appid"]}
    CHANNEL.check(settings, secrets)
    return Account("default", "vectors", "wechat", settings, secrets)


def as_xml(fields: Mapping[str, str]) -> bytes:
    return (
        "<xml>" + "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items()) + "</xml>"
    ).encode()


def plain(body: bytes, *, at_s: int = NOW_S, account: Account = ACCOUNT) -> Receipt:
    query = {"timestamp": str(at_s), "nonce": "7", "signature": signature_of(TOKEN, str(at_s), "7"), "openid": "o1"}
    return CHANNEL.receive(ChannelRequest("POST", query=query, body=body), account, NOW_S * 1_000)


def encrypted(
    body: bytes, *, key: str = KEY, app_id: str = APP_ID, account: Account = ACCOUNT, extra: bytes = b""
) -> Receipt:
    return sealed(encrypt(body, key_of(key), app_id, b"0123456789abcdef"), account=account, extra=extra)


def sealed(ciphertext: str, *, account: Account = ACCOUNT, extra: bytes = b"") -> Receipt:
    query = {
        "timestamp": str(NOW_S),
        "nonce": "7",
        "encrypt_type": "aes",
        "signature": signature_of(TOKEN, str(NOW_S), "7"),
        "msg_signature": signature_of(TOKEN, str(NOW_S), "7", ciphertext),
    }
    body = b"<xml>%s<Encrypt><![CDATA[%s]]></Encrypt></xml>" % (extra, ciphertext.encode())
    return CHANNEL.receive(ChannelRequest("POST", query=query, body=body), account, NOW_S * 1_000)


def only(receipt: Receipt) -> InboundMessage:
    assert (b"success", 200) == (receipt.reply.body, receipt.reply.status)
    (message,) = receipt.inbound
    assert isinstance(message, InboundMessage)
    return message


def message(**fields: str) -> InboundMessage:
    """The same fields by all four ways in must mean the same."""
    whole = ENVELOPE | fields
    xml, as_json = as_xml(whole), json.dumps(whole).encode()
    first = only(plain(xml))
    assert [first] * 3 == [only(plain(as_json)), only(encrypted(xml)), only(encrypted(as_json))]
    return first


class TestOfficialVectors:
    def test_get_check(self) -> None:
        query = {name: value for name, value in VECTORS["get_verify"].items() if name != "token"}
        receipt = CHANNEL.receive(ChannelRequest("GET", query=query), account_of(VECTORS["get_verify"]), 0)
        assert b"4375120948345356249" == receipt.reply.body
        assert receipt.reply.media_type.startswith("text/plain")
        assert () == receipt.inbound

    def test_plain_json(self) -> None:
        vector = VECTORS["plain_json"]
        query = {name: value for name, value in vector.items() if name != "token"}
        body = VECTORS["safe_json"]["plaintext"].encode()
        receipt = CHANNEL.receive(ChannelRequest("POST", query=query, body=body), account_of(vector), 0)
        assert (b"success", ()) == (receipt.reply.body, receipt.inbound)

    @pytest.mark.parametrize("name", ["safe_json", "safe_xml"])
    def test_safe_mode(self, name: str) -> None:
        vector = VECTORS[name]
        if name == "safe_json":
            body = json.dumps(vector["body"]).encode()
        else:
            body = (
                f"<xml><ToUserName>gh_1</ToUserName><Encrypt><![CDATA[{vector['encrypt']}]]></Encrypt></xml>".encode()
            )
        request = ChannelRequest("POST", query=vector["query"], body=body)
        receipt = CHANNEL.receive(request, account_of(vector), 0)
        assert (b"success", ()) == (receipt.reply.body, receipt.inbound)

    @pytest.mark.parametrize("name", ["safe_json", "safe_xml"])
    def test_decryption_and_encryption(self, name: str) -> None:
        vector = VECTORS[name]
        ciphertext = vector["encrypt"] if name == "safe_xml" else vector["body"]["Encrypt"]
        key, plaintext = key_of(vector["encoding_aes_key"]), vector["plaintext"].encode()
        assert plaintext == decrypt(ciphertext, [key], vector["appid"]).message
        assert ciphertext == encrypt(plaintext, key, vector["appid"], vector["random16"].encode())

    def test_encrypted_reply_in_json(self) -> None:
        vector = VECTORS["safe_json"]
        reply = vector["reply"]
        envelope = ReplyEnvelope(vector["token"], vector["appid"], reply["TimeStamp"], reply["Nonce"])
        body = encrypt_reply(
            reply["plaintext"].encode(),
            key_of(vector["encoding_aes_key"]),
            reply["random16"].encode(),
            envelope,
            as_json=True,
        )
        expected = {name: reply[name] for name in ("Encrypt", "MsgSignature", "TimeStamp", "Nonce")}
        assert expected == json.loads(body)

    def test_encrypted_reply_in_xml(self) -> None:
        vector = VECTORS["safe_json"]
        reply = vector["reply"]
        envelope = ReplyEnvelope(vector["token"], vector["appid"], reply["TimeStamp"], "<&>")
        key = key_of(vector["encoding_aes_key"])
        body = encrypt_reply(reply["plaintext"].encode(), key, reply["random16"].encode(), envelope, as_json=False)
        fields = fields_of(body)
        assert (reply["Encrypt"], "1713424427", "<&>") == (fields["Encrypt"], fields["TimeStamp"], fields["Nonce"])
        verify(str(fields["MsgSignature"]), vector["token"], "1713424427", "<&>", reply["Encrypt"])

    def test_known_answer_with_chinese(self) -> None:
        vector = VECTORS["wxjava_known_answer"]
        key, plaintext = key_of(vector["encoding_aes_key"]), vector["plaintext"].encode()
        assert vector["Encrypt"] == encrypt(plaintext, key, vector["appid"], vector["random16"].encode())
        assert plaintext == decrypt(vector["Encrypt"], [key], vector["appid"]).message

    def test_wecom_shares_the_scheme(self) -> None:
        vector = VECTORS["wecom_echostr"]
        query = vector["query"]
        verify(query["msg_signature"], vector["token"], query["timestamp"], query["nonce"], query["echostr"])
        opened = decrypt(query["echostr"], [key_of(vector["encoding_aes_key"])], vector["corp_id"])
        assert vector["plaintext"].encode() == opened.message


class TestMessages:
    def test_text(self) -> None:
        expected = InboundMessage(
            channel="wechat",
            account="shop",
            external_id="1234567890123456",
            identity=Identity("wechat_openid", "o1"),
            kind="text",
            text="退货 & <b>",
            queue="front",
        )
        assert expected == message(MsgType="text", Content="退货 & <b>", MsgId="1234567890123456")

    @pytest.mark.parametrize(
        ("fields", "kind", "text", "payload"),
        [
            ({"MsgType": "text", "Content": ""}, "text", "", {}),
            ({"MsgType": "text", "Content": "满意", "bizmsgmenuid": "101"}, "menu", "满意", {"menu_id": "101"}),
            (
                {"MsgType": "image", "MediaId": "m", "PicUrl": "http://p"},
                "image",
                "[image]",
                {"media_id": "m", "picture_url": "http://p"},
            ),
            (
                {"MsgType": "voice", "MediaId": "m", "Format": "amr", "MediaId16K": "n", "Recognition": ""},
                "voice",
                "[voice]",
                {"media_id": "m", "format": "amr", "media_id_16k": "n"},
            ),
            (
                {"MsgType": "voice", "MediaId": "m", "Recognition": "我要退货"},
                "voice",
                "[voice] 我要退货",
                {"media_id": "m", "recognition": "我要退货"},
            ),
            (
                {"MsgType": "video", "MediaId": "m", "ThumbMediaId": "t"},
                "video",
                "[video]",
                {"media_id": "m", "thumb_media_id": "t"},
            ),
            ({"MsgType": "shortvideo", "MediaId": "m"}, "video", "[video]", {"media_id": "m"}),
            (
                {"MsgType": "location", "Location_X": "23.13", "Location_Y": "-113.3", "Scale": "20", "Label": "广州"},
                "location",
                "[location] 广州",
                {"latitude": 23.13, "longitude": -113.3, "scale": 20, "label": "广州"},
            ),
            (
                {"MsgType": "link", "Title": "t", "Description": "d", "Url": "u"},
                "link",
                "[link] t",
                {"title": "t", "description": "d", "url": "u"},
            ),
            (
                {"MsgType": "miniprogrampage", "Title": "t", "AppId": "wx", "PagePath": "p", "ThumbUrl": "u"},
                "link",
                "[mini program] t",
                {"title": "t", "app_id": "wx", "page_path": "p", "thumb_url": "u"},
            ),
            (
                {"MsgType": "file", "Title": "合同.pdf", "FileKey": "k", "FileMd5": "m", "FileTotalLen": "123"},
                "file",
                "[file] 合同.pdf",
                {"title": "合同.pdf", "file_key": "k", "md5": "m", "size": "123"},
            ),
            ({"MsgType": "image", "PicUrl": "http://p"}, "image", "[image]", {"picture_url": "http://p"}),
            ({"MsgType": "voice", "MediaId": " "}, "voice", "[voice]", {}),
            ({"MsgType": "video"}, "video", "[video]", {}),
            ({"MsgType": "link", "Title": "t"}, "link", "[link] t", {"title": "t"}),
            (
                {"MsgType": "location", "Location_X": "1", "Label": "广州"},
                "location",
                "[location] 广州",
                {"label": "广州"},
            ),
            ({"MsgType": "location", "Location_X": "91", "Location_Y": "0"}, "location", "[location]", {}),
            ({"MsgType": "location", "Location_X": "1e999", "Location_Y": "0"}, "location", "[location]", {}),
            ({"MsgType": "location", "Location_X": "nan", "Location_Y": "0"}, "location", "[location]", {}),
            ({"MsgType": "location", "Location_X": "x", "Location_Y": "0"}, "location", "[location]", {}),
            (
                {"MsgType": "location", "Location_X": "1", "Location_Y": "0", "Scale": "9" * 100},
                "location",
                "[location]",
                {"latitude": 1.0, "longitude": 0.0},
            ),
        ],
    )
    def test_kinds(self, fields: dict[str, str], kind: str, text: str, payload: dict[str, object]) -> None:
        got = message(**fields, MsgId="5")
        assert (kind, text, payload, "5", True) == (got.kind, got.text, got.payload, got.external_id, got.opens)

    def test_an_unknown_type_is_kept_with_all_it_says(self) -> None:
        got = message(MsgType="hologram", MsgId="5", Beam="b")
        assert ("unknown", "[unknown] hologram", True) == (got.kind, got.text, got.opens)
        assert ENVELOPE | {"MsgType": "hologram", "MsgId": "5", "Beam": "b"} == got.payload

    @pytest.mark.parametrize("kind", ["text", "hologram"])
    def test_without_an_id_all_that_a_message_says_stands_for_it(self, kind: str) -> None:
        first = message(MsgType=kind, Content="x").external_id
        assert first == message(MsgType=kind, Content="x").external_id
        assert first != message(MsgType=kind, Content="y").external_id

    @pytest.mark.parametrize("content", [None, [], {"a": "1"}, ["x"]])
    def test_a_text_without_words_is_kept_with_all_it_says(self, content: object) -> None:
        got = only(plain(json.dumps({**ENVELOPE, "MsgType": "text", "MsgId": "5", "Content": content}).encode()))
        assert ("unknown", "[unknown] text", "5") == (got.kind, got.text, got.external_id)
        assert content == got.payload.get("Content")

    def test_json_may_say_numbers(self) -> None:
        body = {**ENVELOPE, "CreateTime": NOW_S, "MsgType": "text", "Content": "x", "MsgId": 9_007_199_254_740_993}
        assert "9007199254740993" == only(plain(json.dumps(body).encode())).external_id

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf", b" \r\n"])
    def test_the_content_tells_the_form(self, mark: bytes) -> None:
        assert {"a": "1"} == fields_of(mark + b'{"a": 1}')
        assert {"a": "1"} == fields_of(mark + b"<xml><a>1</a></xml>")
        assert is_json(mark + b'{"a": 1}')
        assert not is_json(mark + b"<xml/>")

    def test_a_declared_encoding_does_not_matter(self) -> None:
        assert {"a": "中"} == fields_of('<?xml version="1.0" encoding="gbk"?><xml><a>中</a></xml>'.encode())

    def test_long_stand_ins_are_cut(self) -> None:
        got = message(MsgType="link", Title="t" * 1_000, Url="u", MsgId="5")
        assert 200 == len(got.text or "")


class TestEvents:
    @pytest.mark.parametrize(
        ("fields", "text", "payload"),
        [
            ({"Event": "subscribe"}, "[event: subscribe]", {"event": "subscribe"}),
            (
                {"Event": "subscribe", "EventKey": "qrscene_7", "Ticket": "T"},
                "[event: subscribe] qrscene_7",
                {"event": "subscribe", "event_key": "qrscene_7", "ticket": "T"},
            ),
            ({"Event": "SCAN", "EventKey": "7"}, "[event: scan] 7", {"event": "scan", "event_key": "7"}),
            ({"Event": "CLICK", "EventKey": "k"}, "[event: click] k", {"event": "click", "event_key": "k"}),
            (
                {"Event": "VIEW", "EventKey": "https://x", "MenuId": "3"},
                "[event: view] https://x",
                {"event": "view", "event_key": "https://x", "menu_id": "3"},
            ),
            (
                {"Event": "LOCATION", "Latitude": "23.1", "Longitude": "113.3", "Precision": "9"},
                "[event: location]",
                {"event": "location", "latitude": "23.1", "longitude": "113.3", "precision": "9"},
            ),
            (
                {"Event": "user_enter_tempsession", "SessionFrom": "s"},
                "[event: user_enter_tempsession]",
                {"event": "user_enter_tempsession", "session_from": "s"},
            ),
        ],
    )
    def test_what_a_customer_did_is_told_but_opens_nothing(
        self, fields: dict[str, str], text: str, payload: dict[str, object]
    ) -> None:
        got = message(MsgType="event", **fields)
        assert ("event", text, payload, False) == (got.kind, got.text, got.payload, got.opens)

    def test_inner_structure_is_kept(self) -> None:
        xml = (
            "<xml><FromUserName>o1</FromUserName><CreateTime>5</CreateTime><MsgType>event</MsgType>"
            "<Event>pic_weixin</Event><EventKey>6</EventKey><SendPicsInfo><Count>2</Count>\n<PicList>"
            "<item><PicMd5Sum>a</PicMd5Sum></item><item><PicMd5Sum>b</PicMd5Sum></item></PicList></SendPicsInfo></xml>"
        )
        pictures = {"Count": "2", "PicList": {"item": [{"PicMd5Sum": "a"}, {"PicMd5Sum": "b"}]}}
        expected = {"event": "pic_weixin", "event_key": "6", "send_pics_info": pictures}
        assert expected == only(plain(xml.encode())).payload

    def test_a_repeat_has_the_same_id_and_another_event_has_not(self) -> None:
        scan = {"MsgType": "event", "Event": "SCAN", "EventKey": "1"}
        variants = [{}, {"EventKey": "2"}, {"Event": "CLICK"}, {"CreateTime": "1"}, {"FromUserName": "o2"}]
        ids = [only(plain(as_xml(ENVELOPE | scan | variant))).external_id for variant in variants]
        assert len(variants) == len(set(ids))
        assert ids[0] == message(**scan).external_id
        assert ids[0] == message(**scan | {"Event": "scan"}).external_id

    @pytest.mark.parametrize("event", ["unsubscribe", "view_miniprogram", "user_get_card", "debug_demo"])
    def test_who_left_and_what_nobody_knows_yet_is_shown_too(self, event: str) -> None:
        got = message(MsgType="event", Event=event, CardId="7")
        assert ("event", f"[event: {event}]", False) == (got.kind, got.text, got.opens)
        assert {"event": event, "card_id": "7"} == got.payload

    @pytest.mark.parametrize("when", [{}, {"CreateTime": "-1"}, {"CreateTime": "9" * 1_000}, {"CreateTime": "١"}])
    def test_an_event_without_a_time_is_told_once(self, when: dict[str, str]) -> None:
        click = {"FromUserName": "o1", "MsgType": "event", "Event": "CLICK", "EventKey": "1"} | when
        first, again, other = (only(plain(as_xml(click | {"EventKey": key}))).external_id for key in "112")
        assert first == again
        assert first != other

    def test_repeated_elements_are_a_list(self) -> None:
        head = "<FromUserName>o1</FromUserName><CreateTime>5</CreateTime><MsgType>event</MsgType><Event>novel</Event>"
        lists = "<List><Id>1</Id></List><List><Id>2</Id></List><List><Id>3</Id></List>"
        failed = "<fail_idx>1</fail_idx><fail_idx>2</fail_idx><fail_idx>3</fail_idx>"
        expected = {"event": "novel", "info": {"List": [{"Id": each} for each in "123"], "fail_idx": ["1", "2", "3"]}}
        assert expected == only(plain(f"<xml>{head}<Info>{lists}{failed}</Info></xml>".encode())).payload

    @pytest.mark.parametrize(
        "event", ["TEMPLATESENDJOBFINISH", "MASSSENDJOBFINISH", "PUBLISHJOBFINISH", "kf_create_session"]
    )
    def test_what_wechat_reports_of_the_company_is_answered_and_kept_nowhere(self, event: str) -> None:
        receipt = plain(as_xml(ENVELOPE | {"MsgType": "event", "Event": event}))
        assert (b"success", ()) == (receipt.reply.body, receipt.inbound)

    @pytest.mark.parametrize("event", ["TEMPLATESENDJOBFINISH", "kf_switch_session", "debug_demo"])
    def test_other_events_that_are_old_are_answered_and_kept_nowhere(self, event: str) -> None:
        receipt = plain(as_xml(ENVELOPE | {"MsgType": "event", "Event": event}), at_s=5)
        assert (b"success", ()) == (receipt.reply.body, receipt.inbound)


MEDIA = "<MediaId><![CDATA[m]]></MediaId>"
KEYED = "<EventKey><![CDATA[钥匙]]></EventKey>"


class TestPeer:
    """Pushes as wechatpy, which nobody here wrote, signs and encrypts them, and what it reads in them."""

    @pytest.mark.parametrize("mode", ["plain", "compatible", "safe"])
    @pytest.mark.parametrize(
        ("kind", "inner"),
        [
            ("text", "<Content><![CDATA[您好 <&]]></Content>"),
            ("image", f"<PicUrl><![CDATA[http://p]]></PicUrl>{MEDIA}"),
            ("voice", f"{MEDIA}<Format><![CDATA[amr]]></Format>"),
            ("video", f"{MEDIA}<ThumbMediaId><![CDATA[t]]></ThumbMediaId>"),
            ("shortvideo", f"{MEDIA}<ThumbMediaId><![CDATA[t]]></ThumbMediaId>"),
            (
                "location",
                "<Location_X>23.1</Location_X><Location_Y>113.3</Location_Y><Scale>20</Scale><Label>L</Label>",
            ),
            ("link", "<Title>t</Title><Description>d</Description><Url>http://u</Url>"),
            ("subscribe", ""),
            ("unsubscribe", ""),
            ("SCAN", f"{KEYED}<Ticket>T</Ticket>"),
            ("LOCATION", "<Latitude>23.1</Latitude><Longitude>113.3</Longitude><Precision>9</Precision>"),
            ("CLICK", KEYED),
            ("VIEW", KEYED),
            ("view_miniprogram", f"{KEYED}<MenuId>3</MenuId>"),
            (
                "scancode_push",
                f"{KEYED}<ScanCodeInfo><ScanType>qrcode</ScanType><ScanResult>1</ScanResult></ScanCodeInfo>",
            ),
        ],
    )
    def test_it_reads_what_we_read(self, mode: str, kind: str, inner: str) -> None:
        is_message = kind in {"text", "image", "voice", "video", "shortvideo", "location", "link"}
        what = f"<MsgId>5</MsgId><MsgType>{kind}</MsgType>" if is_message else ""
        what = what or f"<MsgType>event</MsgType><Event><![CDATA[{kind}]]></Event>"
        head = f"<ToUserName>gh_1</ToUserName><FromUserName>o1</FromUserName><CreateTime>{NOW_S}</CreateTime>"
        xml = f"<xml>{head}{what}{inner}</xml>"
        theirs = wechatpy.parse_message(xml)
        ours = only(self._pushed(xml, mode))
        assert (theirs.source, "wechat_openid") == (ours.identity.value, ours.identity.type)
        if not is_message:
            assert theirs.event == ours.payload["event"]
            keys = [getattr(theirs, name, None) for name in ("key", "url", "scene_id")]
            assert all(each == ours.payload["event_key"] for each in keys if each)
            return
        assert str(theirs.id) == ours.external_id
        if kind == "text":
            assert theirs.content == ours.text
        if kind == "location":
            assert [float(each) for each in theirs.location] == [ours.payload["latitude"], ours.payload["longitude"]]
        assert getattr(theirs, "media_id", None) == ours.media
        assert getattr(theirs, "url", None) == ours.payload.get("url")

    def _pushed(self, xml: str, mode: str) -> Receipt:
        account = replace(ACCOUNT, settings={"app_id": APP_ID, "mode": mode})
        signer = WeChatSigner()
        signer.add_data(TOKEN, str(NOW_S), "7")
        query = {"timestamp": str(NOW_S), "nonce": "7", "openid": "o1", "signature": signer.signature}
        if mode != "plain":
            made = fields_of(WeChatCrypto(TOKEN, KEY, APP_ID).encrypt_message(xml, "7", str(NOW_S)).encode())
            query |= {"encrypt_type": "aes", "msg_signature": str(made["MsgSignature"])}
            hidden = f"<Encrypt><![CDATA[{made['Encrypt']}]]></Encrypt>"
            xml = f"<xml>{hidden}</xml>" if mode == "safe" else xml.replace("</xml>", f"{hidden}</xml>")
        return CHANNEL.receive(ChannelRequest("POST", query=query, body=xml.encode()), account, NOW_S * 1_000)


class TestProof:
    TEXT = as_xml(ENVELOPE | {"MsgType": "text", "Content": "x", "MsgId": "5"})

    @pytest.mark.parametrize("off_s", [-300, 0, 300])
    def test_within_the_tolerance(self, off_s: int) -> None:
        assert "x" == only(plain(self.TEXT, at_s=NOW_S + off_s)).text

    @pytest.mark.parametrize("off_s", [-301, 301])
    def test_beyond_the_tolerance(self, off_s: int) -> None:
        with pytest.raises(StaleTimestamp):
            plain(self.TEXT, at_s=NOW_S + off_s)
        wide = replace(ACCOUNT, settings={"app_id": APP_ID, "timestamp_tolerance_s": 301})
        assert "x" == only(plain(self.TEXT, at_s=NOW_S + off_s, account=wide)).text

    def test_the_key_before_the_last_still_opens(self) -> None:
        with pytest.raises(BadSignature):
            encrypted(self.TEXT, key=OLD_KEY)
        rotated = replace(ACCOUNT, secrets={**ACCOUNT.secrets, "previous_encoding_aes_key": OLD_KEY})
        assert "x" == only(encrypted(self.TEXT, key=OLD_KEY, account=rotated)).text
        assert "x" == only(encrypted(self.TEXT, account=rotated)).text
        ciphertext = encrypt(b"m", key_of(OLD_KEY), APP_ID, b"0" * 16)
        assert 1 == decrypt(ciphertext, [key_of(KEY), key_of(OLD_KEY)], APP_ID).key_index

    def test_compatible_mode_believes_the_encrypted_part(self) -> None:
        assert "x" == only(encrypted(self.TEXT, extra=b"<Content>forged</Content>")).text

    def test_safe_mode_takes_no_plain_text(self) -> None:
        safe = replace(ACCOUNT, settings={"app_id": APP_ID, "mode": "safe"})
        with pytest.raises(BadSignature):
            plain(self.TEXT, account=safe)
        assert "x" == only(encrypted(self.TEXT, account=safe)).text

    @pytest.mark.parametrize("spoiled", ["signature", "timestamp", "nonce"])
    @pytest.mark.parametrize("value", [None, "", "0", "f" * 40, "é\ud800"])
    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_plain_signatures(self, method: str, spoiled: str, value: str | None) -> None:
        query = {
            "timestamp": str(NOW_S),
            "nonce": "7",
            "signature": signature_of(TOKEN, str(NOW_S), "7"),
            "echostr": "1",
        }
        query.pop(spoiled) if value is None else query.update({spoiled: value})
        with pytest.raises(BadSignature):
            CHANNEL.receive(ChannelRequest(method, query=query, body=self.TEXT), ACCOUNT, NOW_S * 1_000)

    @pytest.mark.parametrize("msg_signature", [None, "", signature_of(TOKEN, str(NOW_S), "7"), "é"])
    def test_an_encrypted_push_is_proven_by_its_own_signature_alone(self, msg_signature: str | None) -> None:
        ciphertext = encrypt(self.TEXT, key_of(KEY), APP_ID, b"0" * 16)
        query = {
            "timestamp": str(NOW_S),
            "nonce": "7",
            "encrypt_type": "aes",
            "signature": signature_of(TOKEN, str(NOW_S), "7"),
        }
        query |= {} if msg_signature is None else {"msg_signature": msg_signature}
        body = json.dumps({"ToUserName": "gh_1", "Encrypt": ciphertext}).encode()
        with pytest.raises(BadSignature):
            CHANNEL.receive(ChannelRequest("POST", query=query, body=body), ACCOUNT, NOW_S * 1_000)

    def test_an_account_without_a_token_believes_nobody(self) -> None:
        empty = replace(ACCOUNT, secrets={"token": ""})
        query = {"timestamp": "1", "nonce": "7", "signature": signature_of("", "1", "7"), "echostr": "1"}
        with pytest.raises(BadSignature):
            CHANNEL.receive(ChannelRequest("GET", query=query), empty, NOW_S * 1_000)

    def test_an_account_without_a_key_opens_nothing(self) -> None:
        with pytest.raises(BadSignature):
            encrypted(self.TEXT, account=replace(ACCOUNT, secrets={"token": TOKEN}))

    def test_a_message_for_another_app_is_refused(self) -> None:
        with pytest.raises(BadSignature):
            encrypted(self.TEXT, app_id="wxother")

    @pytest.mark.parametrize("ciphertext", ["***", "AAAA", "=", "é", b64encode(b"0" * 48).decode()])
    def test_what_can_be_no_ciphertext_is_malformed(self, ciphertext: str) -> None:
        with pytest.raises(Malformed):
            sealed(ciphertext)

    def test_a_cut_ciphertext_is_refused(self) -> None:
        whole = b64decode(encrypt(self.TEXT, key_of(KEY), APP_ID, b"0" * 16))
        for cut_bytes in range(len(whole)):
            with pytest.raises((BadSignature, Malformed)):
                sealed(b64encode(whole[:cut_bytes]).decode())

    @given(st.integers(0, 63), st.integers(1, 255))
    def test_a_changed_byte_never_changes_the_end_unseen(self, position: int, change: int) -> None:
        key = key_of(KEY)
        whole = bytearray(b64decode(encrypt(b"m" * 8, key, APP_ID, b"0" * 16)))
        whole[position] ^= change
        try:
            opened = decrypt(b64encode(bytes(whole)).decode(), [key], APP_ID)
        except BadSignature:
            return
        assert 8 == len(opened.message)

    @pytest.mark.parametrize("tail", [b"\x00", b"\x21", b"\x02", b"\x01\x02\x03", b"\x03\x02\x03", b"\x20" * 31])
    def test_padding_is_looked_at_in_full(self, tail: bytes) -> None:
        with pytest.raises(BadSignature):
            sealed(raw_ciphertext((framed(b"m") + b"x" * 64)[: 64 - len(tail)] + tail))

    @pytest.mark.parametrize("length", [0, 2, 1_000, 0xFFFFFFFF])
    def test_a_wrong_length_is_refused(self, length: int) -> None:
        frame = framed(b"m", length=length)
        pad_bytes = 32 - len(frame) % 32
        with pytest.raises(BadSignature):
            sealed(raw_ciphertext(frame + bytes([pad_bytes]) * pad_bytes))

    def test_padding_alone_is_refused(self) -> None:
        with pytest.raises(BadSignature):
            sealed(raw_ciphertext(bytes([32]) * 32))


def framed(body: bytes, *, length: int | None = None) -> bytes:
    return b"0" * 16 + (len(body) if length is None else length).to_bytes(4) + body + APP_ID.encode()


def raw_ciphertext(padded: bytes) -> str:
    """The ciphertext of exactly these bytes: what `encrypt` would never make."""
    encryptor = Cipher(AES(key_of(KEY)), CBC(key_of(KEY)[:16])).encryptor()
    return b64encode(encryptor.update(padded) + encryptor.finalize()).decode()


def xml_text(inner: str) -> bytes:
    head = "<FromUserName>o</FromUserName><CreateTime>1</CreateTime><MsgType>text</MsgType><MsgId>1</MsgId>"
    return f"<xml>{head}<Content>{inner}</Content></xml>".encode()


HOSTILE = {
    "empty": b"",
    "neither": b"a=b",
    "long": b"<xml>" + b" " * BODY_BYTES_MAX,
    "list": b"[]",
    "not UTF-8": xml_text("").replace(b"<Content>", b"<Content>\xff"),
    "GBK": "<xml><a>退货</a></xml>".encode("gbk"),
    "UTF-16": "<xml><a>1</a></xml>".encode("utf-16"),
    "cut XML": xml_text("x")[:-3],
    "two roots": xml_text("x") + b"<xml/>",
    "another root": b"<html><a>1</a></html>",
    "no fields": b"<xml>text</xml>",
    "empty root": b"<xml/>",
    "entity bomb": b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + xml_text("&b;"),
    "external entity": b'<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>' + xml_text("&a;"),
    "document type": b"<!DOCTYPE xml>" + xml_text("x"),
    "external document type": b'<!DOCTYPE xml SYSTEM "http://127.0.0.1/x.dtd">' + xml_text("x"),
    "undefined entity": xml_text("&nbsp;"),
    "NUL in XML": xml_text("a\0b"),
    "NUL reference": xml_text("&#0;"),
    "surrogate reference": xml_text("&#xD800;"),
    "deep XML": b"<xml>" + b"<a>" * 100_000 + b"</a>" * 100_000 + b"</xml>",
    "a little too deep": b"<xml>" + b"<a>" * DEPTH_MAX + b"</a>" * DEPTH_MAX + b"</xml>",
    "many fields": b"<xml>" + b"".join(b"<a%d/>" % n for n in range(FIELDS_MAX)) + b"</xml>",
    "many items": b"<xml>" + b"<item/>" * FIELDS_MAX + b"</xml>",
    "doubled field": xml_text("x").replace(b"</xml>", b"<MsgId>2</MsgId></xml>"),
    "text and fields": xml_text("x<b>y</b>z"),
    "structure for a string": xml_text("").replace(b"<MsgId>1</MsgId>", b"<MsgId><b>1</b></MsgId>"),
    "long value": xml_text("x" * (VALUE_CHARS_MAX + 1)),
    "long name": b"<xml><" + b"a" * 65 + b"/></xml>",
    "namespace": b'<xml xmlns="urn:x"><a/></xml>',
    "cut JSON": b'{"a": ',
    "deep JSON": b'{"a": ' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep objects": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "doubled JSON name": b'{"MsgId": "1", "MsgId": "2"}',
    "doubled odd name": b'{"\\ud800": "1", "\\ud800": "2"}',
    "NaN": b'{"a": NaN}',
    "Infinity": b'{"a": -Infinity}',
    "JSON NUL": b'{"a": "\\u0000"}',
    "JSON surrogate": b'{"a": "\\ud800"}',
    "JSON NUL name": b'{"\\u0000": "a"}',
    "JSON long number": b'{"a": ' + b"9" * 100_000 + b"}",
    "many JSON items": b'{"a": [' + b"1," * FIELDS_MAX + b"1]}",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_bodies_are_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        plain(body)
    with pytest.raises(Malformed):
        encrypted(body)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[(name, value) for name in ("FromUserName", "MsgType", "MsgId") for value in ([], {"a": "1"}, ["x"])],
        ("FromUserName", None),
        ("MsgType", None),
    ],
)
def test_who_wrote_and_what_it_is_must_be_said(name: str, value: object) -> None:
    fields = {**ENVELOPE, "MsgType": "text", "Content": "x", "MsgId": "5", name: value}
    with pytest.raises(Malformed) as refused:
        plain(json.dumps(fields).encode())
    assert {"field": name} == refused.value.extra


@pytest.mark.parametrize(
    "fields",
    [
        {"MsgType": "event"},
        {"MsgType": "text", "Content": "x", "MsgId": "5" * 65},
        {"MsgType": "text", "Content": "x", "FromUserName": "o" * 129},
    ],
)
def test_ids_that_are_missing_or_too_long(fields: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        plain(as_xml({"MsgId": "5"} | ENVELOPE | fields))


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NAMES = st.sampled_from(["FromUserName", "CreateTime", "MsgType", "MsgId", "Content", "Event", "EventKey", "MediaId"])
KINDS = st.sampled_from(["text", "image", "location", "link", "event", "subscribe", "SCAN", "hologram"])
JUNK = st.recursive(
    SCALARS | KINDS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES | st.text(max_size=3), inner)
)


@given(st.dictionaries(NAMES | st.text(max_size=3), JUNK, max_size=9))
def test_signed_junk_is_read_or_refused(fields: dict[str, object]) -> None:
    try:
        receipt = encrypted(json.dumps(fields).encode())
    except Refused:
        return
    for inbound in receipt.inbound:
        assert isinstance(inbound, InboundMessage)
        json.dumps([inbound.text, inbound.external_id, dict(inbound.payload)], ensure_ascii=False).encode()


@given(st.binary(max_size=200) | st.builds(lambda tail: b"<xml>" + tail, st.binary(max_size=60)))
def test_signed_noise_is_refused(body: bytes) -> None:
    with pytest.raises(Refused):
        plain(body)


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", ""), ("DELETE", ""), ("HEAD", ""), ("GET", "/x"), ("POST", "/twilio")]
)
def test_nothing_else_is_at_the_address(method: str, path: str) -> None:
    with pytest.raises(NotFound):
        CHANNEL.receive(ChannelRequest(method, path), ACCOUNT, 0)


@pytest.mark.parametrize("echostr", [None, "", "a\nb", "\0", "\ud800", "x" * 257])
def test_an_echostr_must_be_fit_to_be_sent_back(echostr: str | None) -> None:
    query = {"timestamp": "1", "nonce": "7", "signature": signature_of(TOKEN, "1", "7")}
    query |= {} if echostr is None else {"echostr": echostr}
    with pytest.raises(Malformed):
        CHANNEL.receive(ChannelRequest("GET", query=query), ACCOUNT, 0)


def test_a_signed_timestamp_must_be_a_number() -> None:
    query = {"timestamp": "now", "nonce": "7", "signature": signature_of(TOKEN, "now", "7")}
    with pytest.raises(Malformed):
        CHANNEL.receive(ChannelRequest("POST", query=query, body=TestProof.TEXT), ACCOUNT, 0)


def test_an_unknown_encryption_is_malformed() -> None:
    with pytest.raises(Malformed):
        CHANNEL.receive(ChannelRequest("POST", query={"encrypt_type": "rsa"}), ACCOUNT, 0)


class TestCheck:
    @pytest.mark.parametrize(
        ("settings", "secrets"),
        [
            ({}, {"token": "t"}),
            ({"app_id": "wx", "mode": "plain", "timestamp_tolerance_s": 60}, {"token": "t", "app_secret": "s"}),
            (
                {"app_id": "wx", "mode": "safe", "api_base_url": "http://127.0.0.1:1"},
                {"token": "t", "encoding_aes_key": KEY, "previous_encoding_aes_key": OLD_KEY},
            ),
        ],
    )
    def test_accepts(self, settings: dict[str, object], secrets: dict[str, str]) -> None:
        CHANNEL.check(settings, secrets)

    @pytest.mark.parametrize(
        ("settings", "secrets", "field"),
        [
            ({}, {}, "secrets.token"),
            ({}, {"token": ""}, "secrets.token"),
            ({}, {"token": 5}, "secrets.token"),
            ({"color": "red"}, {"token": "t"}, "settings.color"),
            ({}, {"token": "t", "color": "red"}, "secrets.color"),
            ({"token": "t"}, {"token": "t"}, "settings.token"),
            ({}, {"token": "t", "encoding_aes_key": KEY}, "settings.app_id"),
            ({"app_id": ""}, {"token": "t"}, "settings.app_id"),
            ({"app_id": 5}, {"token": "t"}, "settings.app_id"),
            ({"app_id": "a\0"}, {"token": "t"}, "settings.app_id"),
            ({"mode": "unsafe"}, {"token": "t"}, "settings.mode"),
            ({"mode": ["safe"]}, {"token": "t"}, "settings.mode"),
            ({"mode": "safe", "app_id": "wx"}, {"token": "t"}, "secrets.encoding_aes_key"),
            ({"timestamp_tolerance_s": 0}, {"token": "t"}, "settings.timestamp_tolerance_s"),
            ({"timestamp_tolerance_s": True}, {"token": "t"}, "settings.timestamp_tolerance_s"),
            ({"timestamp_tolerance_s": 1e9}, {"token": "t"}, "settings.timestamp_tolerance_s"),
            ({"api_base_url": "ftp://x"}, {"token": "t"}, "settings.api_base_url"),
            ({"app_id": "wx"}, {"token": "t", "encoding_aes_key": "short"}, "secrets.encoding_aes_key"),
            ({"app_id": "wx"}, {"token": "t", "encoding_aes_key": "*" * 43}, "secrets.encoding_aes_key"),
            ({}, {"token": "t", "previous_encoding_aes_key": KEY}, "secrets.encoding_aes_key"),
        ],
    )
    def test_refuses(self, settings: dict[str, object], secrets: dict[str, Any], field: str) -> None:
        with pytest.raises(Malformed) as refused:
            CHANNEL.check(settings, secrets)
        assert {"field": field} == refused.value.extra
