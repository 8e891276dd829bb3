"""The client, over connections that break: nothing missed, nothing twice; and every field that the service answers."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from src.api.forms.answers import Held, Message, Outgoing, Recipient
from src.api.forms.events import ContactOffered
from src.api.schemas import ContactBody
from src.client import (
    Assignment,
    Client,
    Contact,
    Declined,
    Desktop,
    Event,
    NoAnswer,
    Replaced,
    Stream,
    Welcome,
    data_of,
)
from tests.support import service

PERSON = {"type": "email", "value": "zhang@example.com"}


@pytest.fixture
async def api(tenant: service.Client) -> Any:
    async with Client(tenant.url, tenant.http.headers["authorization"].removeprefix("Bearer ")) as found:
        yield found


async def _offer(desktop: Desktop) -> Event:
    async with asyncio.timeout(30):
        async for each in desktop:
            if isinstance(each, Event) and each.type == "contact.offered":
                return each
    raise AssertionError("the stream ended")


def _fields(form: Any) -> set[str]:
    return {each.encode_name for each in msgspec.structs.fields(form)}


async def test_a_contact_goes_through_gateway_and_desktop(api: Client) -> None:
    await api.put_agent("anna", {"name": "Anna"})
    async with api.desktop("anna") as desktop:
        await desktop.presence("available")
        posted = await api.post_contact(
            ContactBody.model_validate({"channel": "email", "identity": PERSON, "tags": []})
        )
        offer = await _offer(desktop)
        assert posted.id == offer.contact_id
        told = data_of(offer)
        assert isinstance(told, ContactOffered)
        assert told.contact is not None
        assert ("email", posted.id) == (told.channel, told.contact.id)
        taken = await desktop.accept(told.assignment_id)
        assert "active" == taken.state
        said = await desktop.write(posted.id, "Hello", external_id="1")
        assert said.id == (await desktop.write(posted.id, "Hello", external_id="1")).id
        [waiting] = [each async for each in api.waiting_messages("email")]
        assert ("Hello", PERSON["value"]) == (waiting.message.text, waiting.contact.identity.value)  # type: ignore[union-attr]
        assert "sent" == (await api.post_receipt(waiting.message.id, {"state": "sent"})).state
        assert [] == [each async for each in api.waiting_messages("email")]
        await desktop.complete(taken.id, resolved=True)
    assert "closed" == (await api.get_contact(posted.id)).state
    assert [posted.id] == [each.id async for each in api.list_contacts(state="closed")]
    months = [each async for each in api.reports(period="month", by="channel")]
    assert [(posted.channel, 1)] == [(each.group, each.closed) for each in months]


async def test_a_common_problem_goes_through_the_client(tenant: service.Client, api: Client) -> None:
    await api.put("departments", "depot", {})
    await api.put("common-problems", "late", {"title": "Parcels stand still", "department": "depot"})
    contact = await tenant.contact("1", channel="email", identity=PERSON)
    assert "late" == (await api.link_common_problem(contact["id"], "late")).common_problem
    assert [contact["id"]] == [each.contact_id async for each in api.linked_contacts("late")]
    solved = await api.solve_common_problem("late", "They move.")
    assert ("solved", "They move.", 1) == (solved.state, solved.note, solved.count)
    assert "open" == (await api.reopen_common_problem("late")).state
    await api.unlink_common_problem(contact["id"])
    assert [0] == [each["count"] async for each in api.list_all("common-problems")]
    await api.delete("common-problems", "late")


async def test_rosters_and_forecasts_go_through_the_client(api: Client) -> None:
    await api.put_agent("anna", {})
    day = {"from": "2027-03-01T09:00:00+08:00", "to": "2027-03-01T17:00:00+08:00"}
    await api.put("rosters", "march", {"shifts": [{"agent_id": "anna", **day}]})
    assert [("march", 1)] == [(each["name"], each["shifts"]) async for each in api.list_all("rosters")]
    found = await api.forecast("default", day["from"], hours=2, interval_s=3600)
    assert [(0, None, 1)] * 2 == [(each.weeks, each.contacts, each.rostered) for each in found.intervals]
    await api.delete("rosters", "march")


async def test_forms_have_every_field_that_is_answered(tenant: service.Client, api: Client) -> None:
    await api.put_agent("anna", {})
    await api.presence("anna", "available")
    contact = await tenant.contact("1", channel="email", identity=PERSON)
    shown = await tenant.call("GET", f"/v1/contacts/{contact['id']}")
    assert _fields(Contact) == set(shown)
    assert _fields(Assignment) == set(shown["assignment"])
    held = (await tenant.call("GET", "/v1/agents/anna/assignments"))["items"][0]
    assert _fields(Held) == set(held)
    [read] = await api.assignments("anna", "offered", wait_s=20)
    assert read.contact is not None
    assert (held["id"], shown["id"]) == (read.id, read.contact.id)
    await api.act_on_assignment(read.id, "accept")
    said = await tenant.call("POST", f"/v1/contacts/{contact['id']}/messages", json={"from": "agent", "text": "Hello"})
    assert _fields(Message) == set(said)
    [waiting] = (await tenant.call("GET", "/v1/messages"))["items"]
    assert (_fields(Outgoing), _fields(Recipient)) == (set(waiting), set(waiting["contact"]))
    [event] = (await tenant.call("GET", "/v1/events", params={"limit": 1}))["items"]
    assert _fields(Event) == set(event)


def test_an_event_of_a_later_release_is_passed_over() -> None:
    told = {
        "id": "t.1",
        "seq": 1,
        "type": "contact.juggled",
        "at": "2026-11-27T00:00:00.000Z",
        "tenant": "t",
        "balls": 3,
    }
    assert data_of(msgspec.convert(told, Event)) is None


async def test_a_stream_misses_nothing_and_tells_nothing_twice_however_often_it_breaks(api: Client) -> None:
    rng, told = random.Random(3), list[int]()
    begin = (await api.events(limit=1000))[-1:]
    after = begin[0].seq if begin else 0

    async def post() -> None:
        for number in range(60):
            await api.post_contact({"channel": "email", "external_id": str(number), "identity": PERSON, "tags": []})
            await asyncio.sleep(0.02)

    async with api.stream(after, reconnect_s_max=0.3) as stream:

        async def cut() -> None:
            while True:
                await asyncio.sleep(rng.uniform(0.01, 0.2))
                await stream.online()
                stream.drop()

        cutting, posting = asyncio.create_task(cut()), asyncio.create_task(post())
        async with asyncio.timeout(30):
            async for each in stream:
                assert isinstance(each, Event), "it did not resume"
                told.append(each.seq)
                assert each.seq == stream.last
                if posting.done() and (await api.events(each.seq, limit=1)) == []:
                    break
        cutting.cancel()
        await posting
    journal = [each.seq for each in await api.events(after, limit=1000)]
    assert journal == told
    assert len(journal) >= 60


async def test_a_gateway_goes_on_after_a_restart_with_the_number_that_it_kept(api: Client) -> None:
    async with api.stream() as stream:
        async for each in stream:
            assert isinstance(each, Welcome)
            assert not each.resumed
            break
        last = stream.last
    contact = await api.post_contact({"channel": "email", "identity": PERSON, "tags": []})
    async with api.stream(last) as stream:
        async for each in stream:
            assert isinstance(each, Event)
            assert (contact.id, "contact.received") == (each.contact_id, each.type)
            break


async def test_what_is_said_while_the_connection_is_away_is_said_when_it_is_back(api: Client) -> None:
    await api.put_agent("anna", {})
    async with api.desktop("anna", reconnect_s_max=0.5) as desktop:
        await desktop.presence("available")
        await api.post_contact({"channel": "email", "identity": PERSON, "tags": []})
        offer = await _offer(desktop)
        desktop.drop(away_s=0.3)
        assert "active" == (await desktop.accept(offer.data["assignment_id"])).state
        with pytest.raises(Declined) as refused:
            await desktop.decline(offer.data["assignment_id"])
        assert ("invalid_state", 409) == (refused.value.code, refused.value.status)


async def test_a_desktop_that_was_replaced_does_not_come_back(api: Client) -> None:
    await api.put_agent("anna", {})
    async with api.desktop("anna") as first:
        await first.online()
        async with api.desktop("anna") as second:
            await second.online()
            with pytest.raises(Replaced):
                async for _ in first:
                    pass
            with pytest.raises(Replaced):
                await first.presence("away")
            await second.presence("available")


async def test_a_bad_credential_ends_the_stream(tenant: service.Client) -> None:
    async with Stream(tenant.url, "cb_wrong") as stream:
        with pytest.raises(Declined, match="401"):
            async for _ in stream:
                pass


async def test_a_closed_stream_comes_to_its_end(api: Client) -> None:
    stream = api.stream()
    async with stream:
        await stream.online()
    assert all([isinstance(each, Welcome) async for each in stream])
    with pytest.raises(NoAnswer):
        await stream.ask("ping")
