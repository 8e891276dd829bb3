"""One person across channels: who it is, what happened, and what people make of it."""

import asyncio
import json
from typing import Any

import pytest

from src.dispatch.known import Wanted
from src.dispatch.people import IDENTITIES_MAX
from src.store.customers import CONFLICTS_MAX
from tests.support.service import Client, Desktop

PHONE = {"type": "phone", "value": "13800138000", "proven": True}
OPENID = {"type": "wechat_openid", "value": "oMe-1"}
UNIONID = {"type": "wechat_unionid", "value": "uMe-1"}
USER = {"type": "web_user", "value": "me"}
CHAT = {"chat": {"cost": 25, "max": 4}}
EVERY = {each: {"cost": 10, "max": 9} for each in ("wechat", "webchat", "voice")}


async def came(client: Client, channel: str, *identities: dict[str, Any], **body: Any) -> dict[str, Any]:
    first, *also = identities
    posted = {"channel": channel, "account": "main", "identity": first, "identities": also, "tags": [], **body}
    return dict(await client.call("POST", "/v1/contacts", json=posted))


async def customer(client: Client, customer_id: str) -> dict[str, Any]:
    return dict(await client.call("GET", f"/v1/customers/{customer_id}"))


async def merged(client: Client, customer_id: str, other_id: str, *expected: int) -> Any:
    return await client.call("POST", f"/v1/customers/{customer_id}/merge", *expected, json={"customer_id": other_id})


async def unmerged(client: Client, customer_id: str, other_id: str, *expected: int) -> Any:
    return await client.call("POST", f"/v1/customers/{customer_id}/unmerge", *expected, json={"customer_id": other_id})


def keys(shown: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["type"], each["value"]) for each in shown["identities"]}


@pytest.fixture
async def staffed(client: Client) -> Client:
    """Two agents; refunds are known by their words, the third within a day is a repeat, and gold has an agent."""
    for agent in ("anna", "nina"):
        await client.agent(agent, skills={"refund": 50}, channels=EVERY)
    tier = {"priority": 600, "agents": ["nina"], "dedicated_wait_s": 60}
    await client.call("PUT", "/v1/queues/default", json={"last_agent_wait_s": 60})
    await client.call("PUT", "/v1/tags/refund", json={"keywords": {"zh": ["退款"], "en": ["refund"]}})
    await client.call("PUT", "/v1/settings", json={"repeat_count": 3, "tiers": {"gold": tier}})
    return client


async def accepted(client: Client, desktop: Desktop) -> dict[str, Any]:
    """The customer as the next offer shows it; the offer is accepted."""
    offered = (await desktop.event("contact.offered"))["data"]
    await client.call("POST", f"/v1/assignments/{offered['assignment_id']}/accept")
    return dict(offered["customer"])


async def lived(client: Client) -> list[dict[str, Any]]:
    """A message over WeChat, a visit to the website, and two calls, of one customer."""
    async with client.desktop("anna", status="available") as anna:
        first = await came(client, "wechat", OPENID, UNIONID, text="我要退款", tags=None)
        who = first["customer_id"]
        assert [] == (await accepted(client, anna))["last_contacts"]
        await client.call("PATCH", f"/v1/customers/{who}", json={"display_name": "Zhang San"})
        second = await came(client, "webchat", USER, UNIONID, text="refund please", tags=None)
        shown = await accepted(client, anna)
        [last] = shown["last_contacts"]
        assert (who, "Zhang San") == (second["customer_id"], shown["display_name"])
        assert (first["id"], "wechat", ["refund"]) == (last["id"], last["channel"], last["tags"])
        assert ("anna", True) == (last["agent_id"], last["open"])
        identity = {**PHONE, "proven": True}
        shown = await client.call("POST", f"/v1/customers/{who}/identities", json=identity)
        assert ("phone", "+8613800138000") in keys(shown)
        async with client.desktop("nina", status="available"):
            third = await came(client, "voice", PHONE, text="refund!", tags=None)
            assert (who, "anna") == (third["customer_id"], third["assignment"]["agent_id"]), "the last agent"
            assert (["refund"], ["repeat"]) == (third["tags"], third["flags"])
            repeat = await anna.event("customer.repeat")
            assert {first["id"], second["id"]} == set(repeat["data"]["earlier"])
            await client.call("PATCH", f"/v1/customers/{who}", json={"tier": "gold"})
            for each in (first, second, third):  # while they go on, their agent has the customer's next call too
                await client.call("POST", f"/v1/contacts/{each['id']}/cancel")
            fourth = await came(client, "voice", PHONE)
            assert (600, "nina") == (fourth["priority"], fourth["assignment"]["agent_id"]), "the tier's"
    return [fourth, third, second, first]


async def test_a_life(staffed: Client) -> None:
    client, contacts = staffed, await lived(staffed)
    _, third, second, first = contacts
    who = first["customer_id"]
    rated = {"score": 4, "comment": "fine"}
    await client.call("PUT", f"/v1/contacts/{first['id']}/satisfaction", json=rated)
    shown = await customer(client, who)
    moments = shown["timeline"]["items"]
    assert [each["id"] for each in contacts] == [each["id"] for each in moments]
    assert ["我要退款"] == [each["text"] for each in moments[-1]["messages"]]
    assert 4 == moments[-1]["satisfaction"]["score"]
    assert {"rated": 1, "mean": 4.0} == shown["satisfaction"]
    assert {first["id"], second["id"]} == set(moments[1]["repeat"]["earlier"])
    page = await client.call("GET", f"/v1/customers/{who}/timeline?limit=3")
    rest = await client.call("GET", f"/v1/customers/{who}/timeline?limit=3&cursor={page['next_cursor']}")
    assert moments == [*page["items"], *rest["items"]]
    assert rest["next_cursor"] is None
    assert {"wechat_openid", "wechat_unionid", "web_user", "phone"} == {kind for kind, _ in keys(shown)}
    [review] = (await client.call("GET", "/v1/reviews"))["items"]
    assert (third["id"], ["refund"], who) == (review["contact_id"], review["tags"], review["customer_id"])
    await client.call("POST", f"/v1/reviews/{third['id']}/settle", json={"note": "the refund was late"})
    assert [] == (await client.call("GET", "/v1/reviews"))["items"]
    [done] = (await client.call("GET", "/v1/reviews?settled=true"))["items"]
    assert "the refund was late" == done["note"]


async def test_a_merge_does_not_disturb_the_agent_and_can_be_undone(client: Client) -> None:
    await client.agent("anna", channels=CHAT)
    async with client.desktop("anna", status="available") as desktop:
        held = await came(client, "chat", PHONE, text="hello")
        offered = await desktop.event("contact.offered")
        await client.call("POST", f"/v1/assignments/{offered['data']['assignment_id']}/accept")
        other = await came(client, "chat", USER, queue=None)
        who, survivor = held["customer_id"], other["customer_id"]
        await client.call("PATCH", f"/v1/customers/{who}", json={"tier": "gold", "attributes": {"a": 1, "b": 1}})
        await client.call("PATCH", f"/v1/customers/{survivor}", json={"attributes": {"b": 2}, "tags": ["x"]})
        before = {each: await customer(client, each) for each in (who, survivor)}
        shown = await merged(client, survivor, who)
        assert (survivor, "gold", {"a": 1, "b": 2}, ["x"]) == (
            shown["id"],
            shown["tier"],
            shown["attributes"],
            shown["tags"],
        )
        moved = await desktop.event("contact.moved")
        assert (held["id"], survivor, "merged") == (
            moved["contact_id"],
            moved["data"]["customer_id"],
            moved["data"]["reason"],
        )
        now = await client.call("GET", f"/v1/contacts/{held['id']}")
        assert (survivor, "active", "anna") == (now["customer_id"], now["state"], now["assignment"]["agent_id"])
        assert offered["data"]["assignment_id"] == now["assignment"]["id"]
        assert {held["id"], other["id"]} == {each["id"] for each in shown["open_contacts"]}
        found = await client.call("GET", f"/v1/contacts?customer_id={survivor}")
        assert {held["id"], other["id"]} == {each["id"] for each in found["items"]}
        gone = await customer(client, who)
        assert survivor == gone["id"]
        [merge] = gone["merged_from"]
        assert (who, survivor, "requested") == (merge["id"], merge["into"], merge["reason"])
        assert shown == await merged(client, survivor, who), "said again, nothing happens"

        since = await came(client, "chat", PHONE)
        assert survivor == since["customer_id"]
        assert survivor == (await client.call("GET", "/v1/customers:lookup?type=phone&value=13800138000"))["id"]
        left = await unmerged(client, survivor, who)
        assert keys(before[survivor]) == keys(left)
        assert [other["id"]] == [each["id"] for each in left["contacts"]]
        back = await customer(client, who)
        assert keys(before[who]) == keys(back)
        assert [since["id"], held["id"]] == [each["id"] for each in back["contacts"]], "by the identity that went back"
        assert ("gold", {"a": 1, "b": 1}) == (back["tier"], back["attributes"])
        assert who == (await client.call("GET", f"/v1/contacts/{held['id']}"))["customer_id"]
        assert "unmerged" == (await desktop.event("contact.moved"))["data"]["reason"]
    again = await came(client, "chat", PHONE, USER)
    assert who == again["customer_id"], "told apart by a person: no identity makes them one"
    kinds = [each["type"] for each in (await client.call("GET", "/v1/events?limit=1000"))["items"]]
    assert (1, 1, 0) == tuple(map(kinds.count, ("customer.merged", "customer.unmerged", "customer.conflict")))


async def test_a_number_is_proven_by_the_call_and_not_by_what_is_said_beside_it(client: Client) -> None:
    said = {"type": "phone", "value": "13800138000"}
    caller = await came(client, "voice", said)
    typed = [await came(client, "webchat", said), await came(client, "chat", USER, said)]
    assert 3 == len({each["customer_id"] for each in (caller, *typed)})
    assert caller["customer_id"] == (await came(client, "voice", said))["customer_id"]
    told = await came(client, "chat", {"type": "web_user", "value": "she"})
    shown = await client.call("POST", f"/v1/customers/{told['customer_id']}/identities", json=said)
    assert caller["customer_id"] != shown["id"], "nobody vouches for what is only said"
    assert caller["customer_id"] in {each["customer_id"] for each in shown["suggestions"]}


async def test_one_number_at_two_gateways_is_two_customers_and_comes_back_as_it_was(client: Client) -> None:
    number = {"type": "external_id", "value": "1001"}
    one = await came(client, "chat", number, account="crm")
    other = await came(client, "chat", number, account="shop")
    again = await came(client, "voice", number, account="crm")
    assert one["customer_id"] == again["customer_id"] != other["customer_id"]
    assert number == one["identity"]
    [shown] = (await customer(client, one["customer_id"]))["identities"]
    assert ("1001", "crm") == (shown["value"], shown["scope"])
    found = await client.call("GET", "/v1/customers:lookup?type=external_id&value=1001&account=shop")
    assert other["customer_id"] == found["id"]


async def test_what_was_typed_in_only_suggests(client: Client) -> None:
    caller = await came(client, "voice", PHONE)
    visitor = await came(client, "chat", USER, {**PHONE, "proven": False}, {"type": "email", "value": "Me@X.cn"})
    writer = await came(client, "mail", {"type": "email", "value": "me@x.cn"})
    assert 3 == len({each["customer_id"] for each in (caller, visitor, writer)})
    shown = await customer(client, visitor["customer_id"])
    why = {each["customer_id"]: each["identities"] for each in shown["suggestions"]}
    assert {
        caller["customer_id"]: [{"type": "phone", "value": "+8613800138000"}],
        writer["customer_id"]: [{"type": "email", "value": "me@x.cn"}],
    } == why
    suggested = f"/v1/customers/{visitor['customer_id']}/suggestions"
    shown = await client.call("POST", f"{suggested}/{writer['customer_id']}/dismiss")
    assert [caller["customer_id"]] == [each["customer_id"] for each in shown["suggestions"]]
    shown = await client.call("POST", f"{suggested}/{caller['customer_id']}/accept")
    assert [] == shown["suggestions"]
    assert "suggested" == shown["merged_from"][0]["reason"]
    assert [] == (await customer(client, writer["customer_id"]))["suggestions"]


async def test_people_settle_what_identities_disagree_about(client: Client) -> None:
    one = await came(client, "chat", UNIONID, PHONE)
    other = await came(client, "chat", {**UNIONID, "value": "uMe-2"}, PHONE)
    assert one["customer_id"] != other["customer_id"]
    [conflict] = (await client.call("GET", "/v1/customer-conflicts"))["items"]
    assert "wechat_unionid" == conflict["kind"]
    assert {one["customer_id"], other["customer_id"]} == set(conflict["customer_ids"])
    assert [conflict] == (await customer(client, one["customer_id"]))["conflicts"]
    settle = f"/v1/customer-conflicts/{conflict['id']}/settle"
    settled = await client.call("POST", settle, json={"verdict": "apart"})
    assert "apart" == settled["verdict"]
    assert settled == await client.call("POST", settle, json={"verdict": "apart"})
    await client.call("POST", settle, 409, json={"verdict": "merge"})
    assert [] == (await client.call("GET", "/v1/customer-conflicts"))["items"]
    assert [settled] == (await client.call("GET", "/v1/customer-conflicts?settled=true"))["items"]
    await merged(client, one["customer_id"], other["customer_id"])  # a person may think again


async def test_a_merge_by_hand_settles_what_identities_disagree_about(client: Client) -> None:
    """For good: it is not asked again where the two are told apart later."""
    one = await came(client, "chat", UNIONID, PHONE)
    other = await came(client, "chat", {**UNIONID, "value": "uMe-2"}, PHONE)
    await came(client, "chat", {**UNIONID, "value": "uMe-3"}, PHONE)
    both = one["customer_id"], other["customer_id"]
    for act in (merged, unmerged):
        await act(client, *both)
        [left] = (await client.call("GET", "/v1/customer-conflicts"))["items"]
        assert other["customer_id"] not in left["customer_ids"], "the third's stays"
        [settled] = (await client.call("GET", "/v1/customer-conflicts?settled=true"))["items"]
        assert ("merge", set(both)) == (settled["verdict"], set(settled["customer_ids"]))
    told = [each["type"] for each in (await client.call("GET", "/v1/events?limit=1000"))["items"]]
    assert 1 == told.count("customer.settled")


@pytest.mark.parametrize(
    "identity",
    [
        {"type": "phone", "value": "what?"},
        {"type": "phone", "value": "12"},
        {"type": "email", "value": "nobody"},
        {"type": "wechat_openid", "value": "o me"},
        {"type": "web_user", "value": "   "},
    ],
)
async def test_an_identity_that_is_none_is_refused(client: Client, identity: dict[str, Any]) -> None:
    who = (await came(client, "chat", USER))["customer_id"]
    for path, body in (
        ("/v1/contacts", {"channel": "chat", "identity": identity}),
        ("/v1/contacts", {"channel": "chat", "identity": USER, "identities": [identity]}),
        (f"/v1/customers/{who}/identities", identity),
    ):
        problem = await client.call("POST", path, 422, json=body)
        assert ("malformed", "identity.value") == (problem["code"], problem["field"])


async def test_what_cannot_be_merged(client: Client) -> None:
    one = (await came(client, "chat", USER))["customer_id"]
    other = (await came(client, "chat", PHONE))["customer_id"]
    assert "malformed" == (await merged(client, one, one, 422))["code"]
    await merged(client, one, "nobody", 404)
    await merged(client, "nobody", one, 404)
    await unmerged(client, one, other, 409)
    await unmerged(client, one, one, 409)
    await client.call("GET", "/v1/customers/nobody", 404)
    await client.call("GET", "/v1/customers/nobody/timeline", 404)
    await client.call("PUT", "/v1/contacts/nobody/satisfaction", 404, json={"score": 5})
    await client.call("POST", "/v1/reviews/nobody/settle", 404)
    await client.call("POST", "/v1/customer-conflicts/nobody/settle", 404, json={"verdict": "apart"})


async def test_an_agent_sees_whom_it_serves(client: Client) -> None:
    await client.agent("anna", channels={"chat": {"cost": 100, "max": 1}})
    mine, other = await came(client, "chat", PHONE), await came(client, "chat", USER)
    token = await client.token("anna")
    own = {"headers": {"authorization": f"Bearer {token}"}}
    await client.call("GET", f"/v1/customers/{mine['customer_id']}", 403, **own)
    async with client.desktop("anna", status="available") as desktop:
        offered = await desktop.event("contact.offered")
        whose = offered["customer_id"]
        assert whose == (await client.call("GET", f"/v1/customers/{whose}", **own))["id"]
        typed = {"type": "email", "value": "me@x.cn"}
        shown = await client.call("POST", f"/v1/customers/{whose}/identities", json=typed, **own)
        assert [False] == [each["strong"] for each in shown["identities"] if each["type"] == "email"]
        await client.call("POST", f"/v1/customers/{whose}/identities", 403, json={**typed, "proven": True}, **own)
        stranger = {mine["customer_id"], other["customer_id"]} - {whose}
        await client.call("GET", f"/v1/customers/{stranger.pop()}", 403, **own)


async def test_first_contacts_at_the_same_moment_are_one_customer(client: Client) -> None:
    for number in range(20):
        shared = {"type": "wechat_unionid", "value": f"u-{number}"}
        found = await asyncio.gather(
            came(client, "wechat", {**OPENID, "value": f"o-{number}"}, shared),
            came(client, "webchat", {**USER, "value": f"w-{number}"}, shared),
            came(client, "voice", shared),
        )
        assert 1 == len({each["customer_id"] for each in found}), json.dumps(found)


async def test_whoever_waits_is_judged_anew_where_customers_turn_out_to_be_one(client: Client) -> None:
    await client.call("PUT", "/v1/settings", json={"tiers": {"gold": {"priority": 600}}})
    rule = {"when": {"customer_attributes": {"city": ["Xi'an"]}, "text": ["refund"]}, "then": {"priority": 50}}
    await client.call("PUT", "/v1/rules/city", json=rule)
    known = await came(client, "mail", {"type": "member", "value": "1"})
    gold = {"tier": "gold", "attributes": {"city": "Xi'an"}}
    await client.call("PATCH", f"/v1/customers/{known['customer_id']}", json=gold)
    waits = await came(client, "webchat", USER, text="my refund")
    assert 0 == waits["priority"]

    async def priorities(*contacts: dict[str, Any]) -> list[int]:
        return [(await client.call("GET", f"/v1/contacts/{each['id']}"))["priority"] for each in contacts]

    await merged(client, waits["customer_id"], known["customer_id"])
    assert [600, 650] == await priorities(known, waits)
    await unmerged(client, waits["customer_id"], known["customer_id"])
    assert [600, 0] == await priorities(known, waits), "and it is undone with the merge"
    other = await came(client, "webchat", {**USER, "value": "other"})
    both = await came(client, "voice", {"type": "member", "value": "1"}, {**USER, "value": "other"}, text="refund")
    assert [600, 600, 650, 0] == await priorities(known, other, both, waits), "each once"


async def test_many_who_share_a_number_are_told_apart_and_nobody_carries_them_all(client: Client) -> None:
    """An office's line: each has a number of its own at the gateway, and none is merged with another."""
    many = 2 * CONFLICTS_MAX
    identities = [{"type": "external_id", "value": str(each)} for each in range(many)]
    items = [
        {"channel": "voice", "external_id": each["value"], "identity": PHONE, "identities": [each], "tags": []}
        for each in identities
    ]
    for _ in range(2):  # said again, nothing is new
        answer = await client.call("POST", "/v1/contacts:batch", json={"items": items})
        [who] = {each["contact"]["customer_id"] for each in answer["items"]}
    assert CONFLICTS_MAX == len((await customer(client, who))["conflicts"])
    told = (await client.call("GET", "/v1/customer-conflicts?limit=200"))["items"]
    assert many - 1 == len(told), "each once, and the first is the customer's own"
    found = await client.services.store.lookup(await tenant_of(client), Wanted(customers={who}))
    assert len(found.customers[who].apart) <= 1


async def test_more_identities_than_a_customer_may_have_are_refused_and_not_dropped_in_silence(client: Client) -> None:
    who = (await came(client, "voice", PHONE))["customer_id"]
    typed = [{"type": "email", "value": f"{each}@x.cn"} for each in range(IDENTITIES_MAX)]
    path = f"/v1/customers/{who}/identities"
    for each in typed[:-1]:
        shown = await client.call("POST", path, json=each)
    assert IDENTITIES_MAX == len(shown["identities"])
    assert "conflict" == (await client.call("POST", path, 409, json=typed[-1]))["code"]
    await client.call("POST", path, json=typed[0])  # it has that one already
    shown = await client.call("POST", path, json={"type": "member", "value": "1", "proven": True})
    assert ["too_many"] == [each["kind"] for each in shown["conflicts"]], "who is proven is not lost"


async def tenant_of(client: Client) -> str:
    [first] = (await client.call("GET", "/v1/events?limit=1"))["items"]
    return str(first["tenant"])
