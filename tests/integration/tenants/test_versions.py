"""Configuration that several people change: nobody overwrites what they have not read."""

import asyncio
import time

import httpx
import jwt
import pytest

from tests.support.service import Client

CONNECTOR = {"url": "https://crm.example/{customer.id}", "secrets": {"Authorization": "Bearer x"}, "view": {"a": "/a"}}
SHOP = {"channel": "webchat", "settings": {"origins": ["https://shop.example"]}}
CHANGES = {
    "/v1/queues/refunds": ({}, {"wrap_up_s": 5}),
    "/v1/tags/refund": ({"keywords": {"en": ["refund"]}}, {"keywords": {"en": ["money back"]}}),
    "/v1/rules/vip": ({"then": {"priority": 1}}, {"then": {"priority": 2}}),
    "/v1/pilots/south": ({}, {"percent": 50}),
    "/v1/departments/legal": ({}, {"teams": ["law"]}),
    "/v1/agents/anna": ({}, {"name": "Anna"}),
    "/v1/channels/shop": (SHOP, {**SHOP, "enabled": False}),
    "/v1/webhooks/crm": ({"url": "https://crm.example/"}, {"url": "https://other.example/"}),
    "/v1/connectors/crm": (CONNECTOR, {**CONNECTOR, "url": "https://other.example/"}),
}
"""What is put, and something else."""


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


FAILED = (412, "precondition_failed")


async def test_a_change_is_made_only_to_what_was_read(client: Client) -> None:
    for path, (first, second) in CHANGES.items():
        put = await client.http.put(path, json=first, headers={"if-none-match": "*"})
        assert 200 == put.status_code, (path, put.text)
        again = await client.http.put(path, json=second, headers={"if-none-match": "*"})
        assert FAILED == code(again), path
        read = (await client.http.get(path)).headers["etag"]
        assert read == put.headers["etag"], path
        changed = await client.http.put(path, json=second, headers={"if-match": read})
        assert 200 == changed.status_code, path
        now = changed.headers["etag"]
        assert now != read, path
        for late in (
            await client.http.put(path, json=first, headers={"if-match": read}),
            await client.http.delete(path, headers={"if-match": f'"else", {read}'}),
            await client.http.put(path, json=first, headers={"if-match": f"W/{now}"}),
        ):
            assert FAILED == code(late), path
        assert now == (await client.http.get(path)).headers["etag"], "nothing was done"
        assert 204 == (await client.http.delete(path, headers={"if-match": f"{read}, {now}"})).status_code, path
        assert FAILED == code(await client.http.put(path, json=first, headers={"if-match": "*"})), path


async def test_what_is_there_by_default_has_a_version_too(client: Client) -> None:
    for path in ("/v1/queues/default", "/v1/settings", "/v1/token-trust"):
        default = (await client.http.get(path)).headers["etag"]
        assert FAILED == code(await client.http.put(path, json={}, headers={"if-none-match": "*"}))
        put = await client.http.put(path, json={}, headers={"if-match": default})
        assert 200 == put.status_code
        assert FAILED == code(await client.http.put(path, json={}, headers={"if-match": default}))
        assert 200 == (await client.http.put(path, json={}, headers={"if-match": "*"})).status_code
        assert 200 == (await client.http.put(path, json={})).status_code, "who does not ask is not hindered"


async def test_of_many_who_read_the_same_one_alone_changes_it(client: Client) -> None:
    read = (await client.http.put("/v1/queues/refunds", json={})).headers["etag"]
    answers = await asyncio.gather(
        *(
            client.http.put("/v1/queues/refunds", json={"wrap_up_s": each}, headers={"if-match": read})
            for each in range(1, 21)
        )
    )
    done = [each for each in answers if each.status_code == 200]
    assert 1 == len(done)
    assert {FAILED} == {code(each) for each in answers if each is not done[0]}
    assert done[0].json() == (await client.http.get("/v1/queues/refunds")).json()


@pytest.mark.parametrize("condition", ["abc", '"a', '"a" "b"', "", ",", 'w/"a"', '"a",x'])
async def test_a_condition_that_is_none_is_refused(client: Client, condition: str) -> None:
    answer = await client.http.put("/v1/queues/refunds", json={}, headers={"if-match": condition})
    assert (422, "malformed") == code(answer)
    await client.call("GET", "/v1/queues/refunds", 404)


async def test_of_a_trust_in_tokens_nothing_is_lost_whoever_changes_it_at_the_same_time(client: Client) -> None:
    path = "/v1/token-trust"
    read = (await client.http.get(path)).headers["etag"]
    changes = [client.http.put(path, json={}, headers={"if-match": read}) for _ in range(4)]
    answers = await asyncio.gather(*changes)
    assert [200, 412, 412, 412] == sorted(each.status_code for each in answers)
    assert FAILED == code(await client.http.put(path, json={}, headers={"if-match": f"W/{read}"}))
    both = {"algorithms": ["HS256", "RS256"], "jwks_url": "https://idp.example/keys"}
    rotated, put, again = await asyncio.gather(
        client.http.post(f"{path}/rotate", json={"overlap_s": 60}),
        client.http.put(path, json=both),
        client.http.post(f"{path}/rotate", json={"overlap_s": 60}),
    )
    assert [200] * 3 == [each.status_code for each in (rotated, put, again)]
    shown = await client.http.get(path)
    assert both["algorithms"] == shown.json()["algorithms"]
    assert shown.json()["previous_secret_until"] is not None
    assert read != shown.headers["etag"]
    await client.agent("anna")
    claims = {"sub": "anna", "role": "agent", "tenant": shown.json()["tenant"], "exp": time.time() + 60}
    for secret in (rotated.json()["secret"], again.json()["secret"]):  # the later one, and the one before
        bearer = {"authorization": f"Bearer {jwt.encode(claims, secret, 'HS256')}"}
        await client.call("GET", "/v1/agents/anna/assignments", headers=bearer)
