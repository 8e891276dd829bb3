"""What monitoring reads: counted as it happens, by names that stay, and with no label that tenants choose."""

import asyncio
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from src.router.events import KNOWN
from tests.support.service import Client, running

LABELS = {
    "type": KNOWN,
    "at": {"edge", "tenant", "door", "orders"},
    "of": {"agents", "others"},
    "what": {"contact", "message", "answer", "order", "webhook", "outgoing"},
    "code": {
        "ok",
        "timeout",
        "forbidden_address",
        "failed",
        "unreachable",
        "redirected",
        "refused",
        "wrong_content",
        "too_large",
        "circuit_open",
        "dead",
        "bad_signature",
        "malformed",
        "not_found",
        "stale_timestamp",
        "unauthenticated",
    },
}


async def scraped(client: Client) -> dict[str, float]:
    """Every value by its name and labels."""
    answer = await client.http.get("/metrics", headers={"authorization": ""})
    assert 200 == answer.status_code, "no credential is asked for"
    assert answer.headers["content-type"].startswith("text/plain; version=")
    found = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation or family.name.endswith("_created")
        for each in family.samples:
            for name, value in each.labels.items():
                assert name == "le" or value in LABELS[name], f"{each.name} has a label that is not bounded: {value}"
            found[each.name + "".join(f" {value}" for value in each.labels.values())] = each.value
    return found


async def test_what_goes_on_is_counted(database: str, tmp_path: Path) -> None:
    async with running(database, tmp_path) as client:
        before = await scraped(client)
        await client.agent("anna", channels={"webchat": {"cost": 10, "max": 5}})
        async with client.desktop("anna", status="available") as anna:
            await asyncio.gather(*(client.contact(f"c{each}", channel="webchat") for each in range(3)))
            while (offers := [each for each in anna.events if each["type"] == "contact.offered"])[2:] == []:
                await anna.frame()
            for each in offers:
                assert (await anna.ask(type="accept", assignment_id=each["data"]["assignment_id"]))["ok"]
            await client.contact("c0", channel="webchat")
            account = {"channel": "wechat", "secrets": {"token": "T"}}
            await client.call("PUT", "/v1/channels/oa1", json=account)
            assert 401 == (await client.http.post("/channels/wechat/oa1", content="<xml/>")).status_code
            for _ in range(2):
                keyed = {"headers": {"idempotency-key": "k"}}
                await client.call("POST", f"/v1/contacts/{offers[0]['contact_id']}/escalate", json={}, **keyed)
            after = await scraped(client)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert 3 == more("cordboard_events_total contact.received")
    assert 3 == more("cordboard_events_total contact.offered")
    assert (1, 1) == (more("cordboard_repeats_total contact"), more("cordboard_repeats_total answer"))
    assert 1 == more("cordboard_pushes_refused_total bad_signature")
    assert 3 == more("cordboard_contact_wait_seconds_count")
    assert 3 >= more("cordboard_contact_wait_seconds_sum") >= 0
    assert more("cordboard_commit_jobs_sum") >= 8, "an agent, a socket, a presence, three contacts and accepts"
    assert more("cordboard_commit_seconds_count") >= 6
    assert more("cordboard_commit_seconds_sum") > 0
    assert 4 == more("cordboard_intake_seconds_count")
    assert 3 == more("cordboard_offer_seconds_count")
    assert 3 >= more("cordboard_offer_seconds_sum") >= 0
    assert more("cordboard_decision_seconds_count") >= 6
    assert more("cordboard_decision_seconds_sum") > 0
    assert more("cordboard_delivery_seconds_count") >= 6, "three offers, three that became active"
    assert (0, 0) == (after["cordboard_outbox_waiting"], after["cordboard_outbox_lag_seconds"])
    assert more("cordboard_event_loop_cpu_seconds_total") > 0
    assert (1, 1) == (after["cordboard_owned_tenants"], after["cordboard_sockets agents"])
    assert 0 == after["cordboard_expected_wait_seconds"], "there is next to nothing to do"
    assert after["cordboard_event_loop_delay_seconds_count"] >= 0
