"""The customer who comes again with the same matter: at once, by tags that come later, and however often it came."""

from typing import Any

from tests.support.floor import acting, answer, do, events, got, present, taken
from tests.support.service import Client

PHONE = {"type": "phone", "value": "+8613800138000", "proven": True}


async def marks(tenant: Client) -> dict[str, set[str]]:
    """The contacts that are put before reviewers, and those that they came behind."""
    found = (await tenant.call("GET", "/v1/reviews?limit=100"))["items"]
    return {each["contact_id"]: set(each["earlier"]) for each in found}


async def patched(tenant: Client, contact: dict[str, Any], *tags: str) -> dict[str, Any]:
    return dict(await tenant.call("PATCH", f"/v1/contacts/{contact['id']}", json={"tags": tags}))


async def test_a_tag_that_is_given_later_marks_too(tenant: Client) -> None:
    first = await tenant.contact("1", tags=["refund"])
    second = await tenant.contact("2")
    assert {} == await marks(tenant)
    assert ["repeat"] == (await patched(tenant, second, "refund"))["flags"]
    assert {second["id"]: {first["id"]}} == await marks(tenant)
    told = await events(tenant, "customer.repeat")
    assert [(second["id"], ["refund"], [first["id"]])] == [
        (each["contact_id"], each["data"]["tags"], each["data"]["earlier"]) for each in told
    ]
    await tenant.call("POST", f"/v1/reviews/{second['id']}/settle", json={"note": "seen"})
    await patched(tenant, second, "refund", "invoice")
    assert {} == await marks(tenant), "a contact is put before them once"
    assert 1 == len(await events(tenant, "customer.repeat"))


async def test_of_two_the_one_that_came_later_is_marked(tenant: Client) -> None:
    """Unless it has closed: then the other is, by which it shows."""
    first, second = await tenant.contact("1"), await tenant.contact("2", tags=["refund"])
    await patched(tenant, first, "refund")
    assert ([], ["repeat"]) == ((await got(tenant, first))["flags"], (await got(tenant, second))["flags"])
    third, fourth = await tenant.contact("3"), await tenant.contact("4", tags=["invoice"])
    await do(tenant, fourth, "cancel")
    await patched(tenant, third, "invoice")
    assert {second["id"]: {first["id"]}, third["id"]: {fourth["id"]}} == await marks(tenant)


async def test_a_transfer_to_a_tag_marks(tenant: Client) -> None:
    first = await tenant.contact("1", tags=["refund"])
    await present(tenant, "anna")
    second = await tenant.contact("2", channel="webchat")
    await answer(tenant, await got(tenant, second), "accept")
    assert ["repeat"] == (await do(tenant, second, "transfer", to={"tags": ["refund"]}))["flags"]
    assert {second["id"]: {first["id"]}} == await marks(tenant)


async def test_who_is_not_kept_by_a_queue_is_a_repeat_too(tenant: Client) -> None:
    first = await tenant.contact("1", tags=["refund"])
    full = {"max_length": 1, "overflow": {"action": "close", "message": "call again", "reason": "full"}}
    await tenant.call("PUT", "/v1/queues/default", json=full)
    second = await tenant.contact("2", tags=["refund"])
    assert "closed" == second["state"]
    assert {second["id"]: {first["id"]}} == await marks(tenant)


async def test_another_customers_contacts_are_no_repeat_and_a_merged_ones_are(tenant: Client) -> None:
    first = await tenant.contact("1", tags=["refund"])
    other = await tenant.contact("2", identity={"type": "phone", "value": "+8613900139000"})
    await patched(tenant, other, "refund")
    assert {} == await marks(tenant)
    await tenant.call("POST", f"/v1/customers/{first['customer_id']}/merge", json={"customer_id": other["customer_id"]})
    await do(tenant, first, "cancel")
    third = await tenant.contact("3")
    await patched(tenant, third, "refund")
    assert {other["id"]: {first["id"]}, third["id"]: {first["id"], other["id"]}} == await marks(tenant)


async def test_who_is_found_to_be_one_is_a_repeat_in_what_is_open(tenant: Client) -> None:
    """The mark stays when the two are told apart: it was judged by what was known, and somebody settles it."""
    first = await tenant.contact("1", tags=["refund"])
    await do(tenant, first, "cancel")
    other = await tenant.contact("2", tags=["refund"], identity={"type": "phone", "value": "+8613900139000"})
    path = f"/v1/customers/{first['customer_id']}"
    both = {"customer_id": other["customer_id"]}
    for _ in range(2):
        await tenant.call("POST", f"{path}/merge", json=both)
        assert {other["id"]: {first["id"]}} == await marks(tenant)
    await tenant.call("POST", f"{path}/unmerge", json=both)
    assert (["repeat"], 1) == ((await got(tenant, other))["flags"], len(await events(tenant, "customer.repeat")))


async def test_a_tag_that_the_agent_gives_while_it_talks_marks(tenant: Client) -> None:
    first = await tenant.contact("1", tags=["refund"])
    await present(tenant, "anna")
    await tenant.agent("ben")
    second = await taken(tenant, "2")
    path, tags = f"/v1/contacts/{second['id']}", {"tags": ["refund"], "attributes": {"order": "7"}}
    async with acting(tenant, "anna") as anna, acting(tenant, "ben") as ben:
        await ben.call("PATCH", path, 403, json=tags)
        await anna.call("PATCH", f"/v1/contacts/{first['id']}", 403, json=tags)
        for kept in ({"queue": "default"}, {"priority": 1}, {"teams": {"include": ["x"]}}):
            assert "invalid_state" == (await anna.call("PATCH", path, 409, json={**tags, **kept}))["code"]
        now = await anna.call("PATCH", path, json=tags)
    assert ("active", ["refund"], {"order": "7"}) == (now["state"], now["tags"], now["attributes"])
    assert (["repeat"], "anna") == (now["flags"], now["assignment"]["agent_id"])
    assert {second["id"]: {first["id"]}} == await marks(tenant)
    [told] = await events(tenant, "contact.reclassified")
    assert ("anna", "anna", None) == (told["agent_id"], told["data"]["by"], told["data"]["anew"])
    await do(tenant, second, "take_back")
    assert ["refund"] == [each["skill"] for each in (await got(tenant, second))["requirements"]]


async def test_of_a_customer_who_came_often_all_contacts_count(tenant: Client) -> None:
    first = await tenant.contact("0", tags=["refund"])
    for number in range(1, 15):
        await tenant.contact(str(number))
    repeat = await tenant.contact("15", tags=["refund"])
    assert ["repeat"] == repeat["flags"]
    assert {repeat["id"]: {first["id"]}} == await marks(tenant)
    rule = {"when": {"repeat": True}, "then": {"priority": 900}}
    await tenant.call("PUT", "/v1/rules/again", json=rule)
    asked = {"channel": "voice", "tags": ["refund"], "identity": {"type": "phone", "value": "+8613800138000"}}
    assert 900 == (await tenant.call("POST", "/v1/routing:explain", json=asked))["priority"]
    batch = [
        {
            "channel": "voice",
            "external_id": f"b{each}",
            "identity": {"type": "email", "value": "a@b.cn", "proven": True},
        }
        for each in range(14)
    ]
    items = [{**each, "tags": ["order"] if number in (0, 13) else []} for number, each in enumerate(batch)]
    taken = (await tenant.call("POST", "/v1/contacts:batch", json={"items": items}))["items"]
    assert {taken[13]["contact"]["id"]: {taken[0]["contact"]["id"]}}.items() <= (await marks(tenant)).items()


OPENED = ("phone", "+8613900139000"), ("wechat_openid", "oAnna"), ("member", "77")


async def test_customers_whom_a_contact_ties_together_are_repeats_in_all_that_is_open(tenant: Client) -> None:
    """Three came each for themselves; one contact, or one message, says that they are one."""
    names = [{"type": kind, "value": value, "proven": True} for kind, value in OPENED]
    came = [
        await tenant.contact(str(number), tags=["refund"], identity=name, channel=f"c{number}")
        for number, name in enumerate(names)
    ]
    assert {} == await marks(tenant)
    tied = await tenant.contact("tied", tags=["refund"], identity=names[0], identities=names[1:])
    ids = [each["id"] for each in came]
    assert 1 == len({(await got(tenant, each))["customer_id"] for each in (*came, tied)})
    assert {ids[1]: {ids[0]}, ids[2]: {*ids[:2]}, tied["id"]: {*ids}} == await marks(tenant)
    assert 3 == len(await events(tenant, "customer.repeat")), "each once"


async def test_what_is_open_for_long_is_judged_by_what_came_before_it(tenant: Client) -> None:
    """Also where its customer has come so often since that this is far behind."""
    phone = {"type": "phone", "value": "+8613900139000", "proven": True}
    first = await tenant.contact("first", tags=["refund"])
    other = await tenant.contact("other", tags=["refund"], identity=phone)
    for number in range(12):
        await tenant.contact(str(number))
        await tenant.contact(f"o{number}", identity=phone)
    await tenant.contact("tied", identity=phone, identities=[PHONE])
    assert {other["id"]: {first["id"]}} == await marks(tenant)
