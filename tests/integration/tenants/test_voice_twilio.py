"""Calls by Twilio's webhooks and REST API (a double of them, which signs with `twilio`'s own library)."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from twilio.request_validator import RequestValidator

from src.api.voice import hooked
from src.channels.voice import twilio as spoken
from tests.support.service import Client
from tests.support.twilio import ACCOUNT, TOKEN, Twilio

CHANNELS = {"voice": {"cost": 100, "max": 1}}
PUBLIC = "https://calls.example"
VECTORS = json.loads((Path(__file__).parents[2] / "fixtures" / "webhook_vectors.json").read_text())["twilio"]


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """New accounts are found at once."""
    monkeypatch.setattr(hooked, "ROUND_S", 0.1)


@asynccontextmanager
async def connected(tenant: Client, **settings: Any) -> AsyncIterator[Twilio]:
    name = "tw-" + sha256(tenant.http.headers["authorization"].encode()).hexdigest()[:12]
    async with Twilio(tenant.url, PUBLIC, name).listening() as twilio:
        body = {
            "channel": "voice",
            "settings": {
                "system": "twilio",
                "account_sid": ACCOUNT,
                "number": "+861012345678",
                "public_url": PUBLIC,
                "default_region": "CN",
                "language": "zh-CN",
                "greeting": "您好 <&>",
                "music": "https://calls.example/music.mp3",
                "api_base_url": f"http://127.0.0.1:{twilio.port}",
                **settings,
            },
            "secrets": {"auth_token": TOKEN},
        }
        shown = await tenant.call("PUT", f"/v1/channels/{name}", json=body)
        assert TOKEN not in json.dumps(shown)
        yield twilio


async def agent(tenant: Client, agent_id: str) -> None:
    await tenant.agent(agent_id, channels=CHANNELS, phone=f"+8613900{agent_id}")


async def contacts(tenant: Client) -> list[tuple[str, str | None]]:
    found = (await tenant.call("GET", "/v1/contacts"))["items"]
    return [(each["state"], each["outcome"]) for each in found]


async def until_state(tenant: Client, state: str, outcome: str | None = None) -> None:
    async with asyncio.timeout(30):
        while (state, outcome) not in await contacts(tenant):
            await asyncio.sleep(0.05)


class Form(dict[str, list[str]]):
    """A form in which a name may have several values, as web frameworks give it to `twilio`."""

    def getlist(self, name: str) -> list[str]:
        return self[name]


def test_signatures_are_twilios() -> None:
    params = tuple(VECTORS["params"].items())
    assert VECTORS["X-Twilio-Signature"] == spoken.signature(VECTORS["url"], params, VECTORS["auth_token"])
    many = Form({"a": ["2", "1", "2"], "B": [""], "名": ["字"]})
    flat = [(name, value) for name, values in many.items() for value in values]
    expected = RequestValidator(TOKEN).compute_signature(f"{PUBLIC}/x?y=1", many)
    assert expected == spoken.signature(f"{PUBLIC}/x?y=1", flat, TOKEN)


async def test_a_hard_phone_that_is_answered_accepts_the_offer_and_the_call_ends_with_the_caller(
    tenant: Client,
) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio:
        twilio.phones["+861390001"] = "ring"
        call = await twilio.call("+8613800138000")
        assert ["您好 <&>", "您目前排在第1位，请稍候。"] == twilio.calls[call].said
        async with tenant.desktop("01", status="available") as anna:
            offered = (await anna.event("contact.offered"))["data"]
            leg = (await twilio.until(lambda: twilio.legs("ringing")))[0]
            assert offered["assignment_id"] in leg.form["Url"][0]
            assert "+861012345678" == leg.form["From"][0]
            await twilio.pick_up(leg.sid)
            await anna.event("contact.active")
            await twilio.until(lambda: twilio.talking() == [{call, leg.sid}])
            await twilio.end(call)
            await anna.event("assignment.completed")
            await twilio.until(lambda: not twilio.legs("ringing", "in-progress"))
    assert [("closed", "customer_left")] == await contacts(tenant)


async def test_what_the_desktop_accepts_rings_the_phone_and_an_agents_hang_up_ends_the_call(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant, ring="accept") as twilio, tenant.desktop("01", status="available") as anna:
        twilio.phones["+861390001"] = "ring"
        call = await twilio.call("+8613800138000")
        offered = (await anna.event("contact.offered"))["data"]
        assert [] == twilio.legs("ringing")
        assert (await anna.ask(type="accept", assignment_id=offered["assignment_id"]))["ok"]
        leg = (await twilio.until(lambda: twilio.legs("ringing")))[0]
        assert "wait" == twilio.calls[call].hears
        await twilio.pick_up(leg.sid)
        await twilio.until(lambda: twilio.talking() == [{call, leg.sid}])
        await twilio.end(leg.sid)
        await twilio.until(lambda: "completed" == twilio.calls[call].status)
        await until_state(tenant, "closed", "customer_left")


async def test_a_busy_phone_declines_a_silent_one_misses_a_wrong_one_too_and_the_next_is_rung(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio, tenant.desktop("01", status="available") as anna:
        twilio.phones |= {"+861390001": "busy", "+861390002": "silent", "+861390004": "answer"}
        call = await twilio.call("+8613800138000")
        assert "busy" == (await anna.event("offer.declined"))["data"]["reason"]
        for number in ("02", "03"):
            await agent(tenant, number)
            async with tenant.desktop(number, status="available") as other:
                await other.event("offer.expired")
        await agent(tenant, "04")
        async with tenant.desktop("04", status="available") as last:
            await last.event("contact.active")
            talking = await twilio.until(twilio.talking)
            assert call in talking[0]


async def test_who_hangs_up_in_the_queue_has_abandoned_and_the_ringing_stops(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio, tenant.desktop("01", status="available"):
        twilio.phones["+861390001"] = "ring"
        call = await twilio.call("+8613800138000")
        await twilio.until(lambda: twilio.legs("ringing"))
        await twilio.end(call)
        await until_state(tenant, "closed", "abandoned")
        await twilio.until(lambda: not twilio.legs("ringing"))


async def test_a_transfer_sends_the_caller_back_to_the_music_and_to_the_next(tenant: Client) -> None:
    await agent(tenant, "01")
    await agent(tenant, "02")
    async with connected(tenant) as twilio, tenant.desktop("01", status="available") as anna:
        twilio.phones |= {"+861390001": "answer", "+861390002": "ring"}
        call = await twilio.call("+8613800138000")
        active = await anna.event("contact.active")
        await twilio.until(twilio.talking)
        async with tenant.desktop("02", status="available"):
            path = f"/v1/contacts/{active['contact_id']}/transfer"
            await tenant.call("POST", path, json={"to": {"agent_id": "02"}})
            await twilio.until(lambda: "wait" == twilio.calls[call].hears)
            leg = (await twilio.until(lambda: twilio.legs("ringing")))[0]
            await twilio.pick_up(leg.sid)
            await twilio.until(lambda: twilio.talking() == [{call, leg.sid}])


async def test_each_round_says_the_place_and_makes_good_what_was_lost(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio:
        first, second = await twilio.call("+8613800138001"), await twilio.call("+8613800138002")
        await twilio.end(first)
        await until_state(tenant, "closed", "abandoned")
        await twilio.round(second)
        assert ["您目前排在第2位，请稍候。", "您目前排在第1位，请稍候。"] == twilio.calls[second].said[1:]
        twilio.phones["+861390001"] = "answer"
        async with tenant.desktop("01", status="available") as anna:
            await anna.event("contact.offered")
            leg = (await twilio.until(lambda: twilio.legs("in-progress")))[0]
            await anna.event("contact.active")
            twilio.failures = [500] * 50  # sending the caller there fails
            async with asyncio.timeout(30):
                while not twilio.talking():  # the answer is perhaps not noted yet: callers come round again
                    if "wait" == twilio.calls[second].hears:
                        await twilio.round(second)
                    await asyncio.sleep(0.05)
            assert [{second, leg.sid}] == twilio.talking()
            assert (await anna.ask(type="complete", assignment_id=twilio.calls[second].hears))["ok"]
            await until_state(tenant, "closed", "completed")


async def test_what_ended_while_nobody_listened_is_found(tenant: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooked, "LOOK_AFTER_S", 0.3)
    monkeypatch.setattr(hooked, "SWEEP_S", 0.1)
    async with connected(tenant) as twilio:
        twilio.deaf = True
        call = await twilio.call("+8613800138000")
        await twilio.end(call, "failed")
        await until_state(tenant, "closed", "abandoned")


async def test_a_phone_that_was_rung_twice_is_answered_once(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio, tenant.desktop("01", status="available") as anna:
        twilio.phones["+861390001"] = "ring"
        call = await twilio.call("+8613800138000")
        leg = (await twilio.until(lambda: twilio.legs("ringing")))[0]
        twilio._ring(leg.form)  # as after a crash between the request and its note
        again = (await twilio.until(lambda: [each for each in twilio.legs("ringing") if each is not leg]))[0]
        await twilio.pick_up(leg.sid)
        await anna.event("contact.active")
        await twilio.until(twilio.talking)
        await twilio.pick_up(again.sid)
        assert "completed" == again.status
        await asyncio.sleep(0.3)
        assert [{call, leg.sid}] == twilio.talking()


async def test_a_wrong_credential_is_told(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant) as twilio, tenant.desktop("01", status="available") as anna:
        await twilio.call("+8613800138000")
        twilio.failures = [401] * 9
        await anna.event("offer.expired")
        found = (await tenant.call("GET", "/v1/events", params={"limit": 1000}))["items"]
        assert "bad_credential" in [each["data"].get("reason") for each in found if each["type"] == "channel.trouble"]


async def follow_up(tenant: Client, twilio: Twilio) -> str:
    """A contact with which 01 is to reach a customer by telephone."""
    number = {"type": "phone", "value": "+8613800138000", "proven": True}
    earlier = await tenant.contact("m-1", channel="sms", identity=number)
    body = {"channel": "voice", "account": twilio.account, "agent_id": "01"}
    return str((await tenant.call("POST", f"/v1/contacts/{earlier['id']}/follow-up", json=body))["id"])


async def test_a_follow_up_rings_its_agent_then_calls_the_customer_and_bridges_them(tenant: Client) -> None:
    await agent(tenant, "01")
    async with connected(tenant, trunk="{number}") as twilio, tenant.desktop("01", status="available") as anna:
        twilio.phones |= {"+861390001": "ring", "+8613800138000": "ring"}
        contact_id = await follow_up(tenant, twilio)
        leg = (await twilio.until(lambda: twilio.legs("ringing")))[0]
        assert "+861390001" == leg.number
        await twilio.pick_up(leg.sid)
        assert contact_id == (await anna.event("contact.active"))["contact_id"]
        called = (await twilio.until(lambda: twilio.legs("ringing")))[0]
        assert ("+8613800138000", ["+861012345678"], ["45"]) == (
            called.number,
            called.form["From"],
            called.form["Timeout"],
        )
        await twilio.pick_up(called.sid)
        assert contact_id == (await anna.event("call.answered"))["contact_id"]
        await twilio.until(lambda: twilio.talking() == [{called.sid, leg.sid}])
        twilio._ring(called.form)  # as after a crash between the request and its note
        again = (await twilio.until(lambda: twilio.legs("ringing")))[0]
        await twilio.pick_up(again.sid)
        assert ("completed", [{called.sid, leg.sid}]) == (again.status, twilio.talking())
        await twilio.end(called.sid)
        assert {"cause": 16} == (await anna.event("call.ended"))["data"]
        await anna.event("assignment.completed")
        await twilio.until(lambda: not twilio.legs("ringing", "in-progress"))
    assert "customer_left" == (await tenant.call("GET", f"/v1/contacts/{contact_id}"))["outcome"]


async def test_whom_a_closed_queue_lets_go_is_called_and_a_transfer_goes_on_with_the_call(tenant: Client) -> None:
    await agent(tenant, "01")
    await agent(tenant, "02")
    closed = {"time_zone": "UTC", "closed": {"action": "callback"}}
    await tenant.call("PUT", "/v1/queues/default", json={"hours": closed})
    async with (
        connected(tenant, trunk="{number}", shows="+861087654321", closed_text="明天回电") as twilio,
        tenant.desktop("01", status="available") as anna,
    ):
        twilio.phones |= {"+861390001": "answer", "+861390002": "answer", "+8613800138000": "busy"}
        caller = await twilio.call("+8613800138000")
        await twilio.until(lambda: "completed" == twilio.calls[caller].status)
        assert ["明天回电"] == twilio.calls[caller].said
        contact_id = (await tenant.call("GET", "/v1/contacts"))["items"][0]["id"]
        await tenant.call("PUT", "/v1/queues/default", json={})
        await tenant.call("POST", f"/v1/contacts/{contact_id}/resume", json={})
        await anna.event("contact.active")
        while {"cause": 17} != (await anna.event("call.ended"))["data"]:
            pass
        await twilio.until(lambda: not twilio.legs("ringing", "in-progress"))
        twilio.phones["+8613800138000"] = "answer"
        async with tenant.desktop("02", status="available") as bert:
            transfer = f"/v1/contacts/{contact_id}/transfer"
            await tenant.call("POST", transfer, json={"to": {"agent_id": "02"}})
            await bert.event("contact.active")
            first = (await twilio.until(twilio.talking))[0]
            called = next(each for each in twilio.legs("in-progress") if each.number == "+8613800138000")
            assert ["+861087654321"] == called.form["From"]
            assert called.sid in first
            await tenant.call("POST", transfer, json={"to": {"agent_id": "01"}})
            second = (await twilio.until(lambda: [each for each in twilio.talking() if each != first]))[0]
            assert called.sid in second
            await twilio.end(next(iter(second - {called.sid})))
            await twilio.until(lambda: "completed" == called.status)
            await until_state(tenant, "closed", "customer_left")


async def test_whom_its_queue_does_not_keep_hears_why_and_goes_on_to_a_voicemail_which_is_no_news(
    tenant: Client,
) -> None:
    await agent(tenant, "01")
    url = "https://voicemail.example/front?box=1&lang=zh"
    async with (
        connected(tenant, trunk="{number}", closed_text="请留言", closed_url=url) as twilio,
        tenant.desktop("01") as anna,
    ):
        waits = await twilio.call("+8613800138000")
        await twilio.until(lambda: "wait" == twilio.calls[waits].hears)
        contact_id = (await tenant.call("GET", "/v1/contacts"))["items"][0]["id"]
        await tenant.call("POST", f"/v1/contacts/{contact_id}/cancel", json={"reason": "moved"})
        await twilio.until(lambda: f"{url}&reason=cancelled&contact={contact_id}" == twilio.calls[waits].next_url)
        closed = {"time_zone": "UTC", "closed": {"action": "callback"}}
        await tenant.call("PUT", "/v1/queues/default", json={"hours": closed})
        late = await twilio.call("+8613800138001")
        (parked,) = (await tenant.call("GET", "/v1/contacts", params={"state": "parked"}))["items"]
        assert f"{url}&reason=callback&contact={parked['id']}" == twilio.calls[late].next_url
        assert ["请留言"] == twilio.calls[late].said
        assert ("请留言", 1) == (twilio.calls[waits].said[-1], twilio.calls[waits].said.count("请留言"))
        await tenant.call("PUT", "/v1/queues/default", json={})
        await tenant.call("POST", f"/v1/contacts/{parked['id']}/resume", json={})
        assert (await anna.ask(type="presence", status="available"))["ok"]
        twilio.phones |= {"+861390001": "answer", "+8613800138001": "ring"}
        assert parked["id"] == (await anna.event("contact.offered"))["contact_id"]
        await twilio.until(lambda: [each for each in twilio.legs("ringing") if "+8613800138001" == each.number])
        await twilio.end(late)  # it has left its message
        assert "in-progress" == twilio.calls[waits].status
        orders = [form for method, path, form in twilio.asked if method == "POST" and late in path]
        assert [] == orders, "nobody takes it away from the voicemail"
        await twilio.end(next(each.sid for each in twilio.legs("ringing")), "busy")
        assert {"cause": 17} == (await anna.event("call.ended"))["data"]


@pytest.mark.parametrize(
    "url", ["http://voicemail.example/", "https:///x", "https://u:p@voicemail.example/", "https://x.example/#a", "x"]
)
async def test_a_voicemail_is_an_https_address(tenant: Client, url: str) -> None:
    body = {
        "channel": "voice",
        "settings": {
            "system": "twilio",
            "account_sid": ACCOUNT,
            "number": "+861012345678",
            "public_url": PUBLIC,
            "closed_url": url,
        },
        "secrets": {"auth_token": TOKEN},
    }
    refused = await tenant.call("PUT", "/v1/channels/tw-refused", 422, json=body)
    assert "settings.closed_url" == refused["field"]


@pytest.mark.parametrize("query", ["?line=a%20b", "?line=a+b", "?a=2&a=1&b", "?line=%E7%BA%BF&c=%2f", "?x=1:2,3~(4)"])
@pytest.mark.parametrize("port", ["", ":443"])
async def test_an_address_is_signed_as_it_was_put_down_at_twilio(tenant: Client, port: str, query: str) -> None:
    async with connected(tenant) as twilio:
        url = f"{PUBLIC}{port}/channels/voice/{twilio.account}/twilio{query}"
        form = {"AccountSid": ACCOUNT, "CallSid": "CA1", "From": "+8613800138000", "To": "+4001"}
        signed = {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(url, form)}
        at = url.replace(f"{PUBLIC}{port}", tenant.url)
        assert 200 == (await twilio.http.post(at, data=form, headers=signed)).status_code
        for other in (f"{at}&more=1", at.replace("?", "?z&")):
            assert 401 == (await twilio.http.post(other, data=form, headers=signed)).status_code
        assert 1 == len(await contacts(tenant))


@pytest.mark.parametrize("settings", [{}, {"x-twilio-webhooks-signature-settings": "key=wk1, algorithm=HMAC_SHA256"}])
async def test_a_key_that_was_agreed_on_with_twilio_signs_as_well(tenant: Client, settings: dict[str, str]) -> None:
    async with connected(tenant) as twilio:
        body = await tenant.call("GET", f"/v1/channels/{twilio.account}")
        secrets = {"shared_key": "a shared key"}
        put = {"channel": "voice", "settings": body["settings"], "secrets": secrets}
        assert "shared_key" in (await tenant.call("PUT", f"/v1/channels/{twilio.account}", json=put))["secrets"]
        url = f"{PUBLIC}/channels/voice/{twilio.account}/twilio/status"
        form = {"AccountSid": ACCOUNT, "CallSid": "CA1", "CallStatus": "ringing"}
        at, algorithm = url.replace(PUBLIC, tenant.url), "HMAC_SHA256" if settings else "HMAC_SHA1"
        for key, expected in ((TOKEN, 204), ("a shared key", 204), ("another", 401)):
            signed = {"x-twilio-signature": RequestValidator(key).compute_signature(url, form, algorithm)}
            assert expected == (await twilio.http.post(at, data=form, headers=signed | settings)).status_code
        signed["x-twilio-webhooks-signature-settings"] = "algorithm=HMAC_MD5"
        refused = await twilio.http.post(at, data=form, headers=signed)
        assert (401, "bad_signature") == (refused.status_code, refused.json()["code"])


async def test_bad_requests_have_names_and_change_nothing(tenant: Client) -> None:
    async with connected(tenant) as twilio:
        url = f"{PUBLIC}/channels/voice/{twilio.account}/twilio"
        call = {"CallSid": "CA1", "From": "+8613800138000", "To": "+4001"}
        for answer, status, code in [
            (await twilio.post(url, token="another", **call), 401, "bad_signature"),
            (await twilio.post(url, account="AC00", **call), 401, "bad_signature"),
            (await twilio.post(url.replace("twilio", "twilio/agent?call=CA1"), **call), 422, "malformed"),
            (await twilio.post(url, **{**call, "CallSid": "../x"}), 422, "malformed"),
            (await twilio.post(url, **{**call, "CallSid": "out-1"}), 422, "malformed"),
            (await twilio.post(url + "/nowhere", **call), 404, "not_found"),
            (await twilio.http.post(url.replace(PUBLIC, tenant.url), data=call), 401, "bad_signature"),
            (await twilio.http.get(url.replace(PUBLIC, tenant.url)), 404, "not_found"),
            (await twilio.post(url, **call, more="x" * 2_000_000), 413, "body_too_large"),
            (await twilio.post(url, **call, **{f"f{n}": "x" for n in range(300)}), 422, "malformed"),
        ]:
            assert (status, code) == (answer.status_code, answer.json()["code"])
        assert [] == await contacts(tenant)
        with_port = url.replace(PUBLIC, f"{PUBLIC}:443")
        form = {"AccountSid": ACCOUNT, **call}
        signed = {"x-twilio-signature": RequestValidator(TOKEN).compute_signature(with_port, form)}
        for _ in range(2):  # whoever replays it learns nothing and changes nothing
            answer = await twilio.http.post(url.replace(PUBLIC, tenant.url), data=form, headers=signed)
            assert 200 == answer.status_code
        assert [("waiting", None)] == await contacts(tenant)
        unknown = await twilio.post(url + "/agent?call=CA1&leg=no-such-leg", CallSid="CA9", CallStatus="in-progress")
        assert "<Hangup/>" in unknown.text
