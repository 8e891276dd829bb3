"""Secrets of accounts: sealed in the tables, in no answer and no log, and sealed anew when the key changes."""

import json
from pathlib import Path

import asyncpg
import pytest
from pydantic import SecretStr

from src.channels.webchat.tokens import Visitor, VisitorTokens
from src.errors import StartupError
from src.profile.identities import Identity
from src.store.reseal import reseal
from src.store.seal import Sealer
from tests.support.service import Client, running

SECRETS = {
    "token": "s3cret-token",
    "app_secret": "s3cret-app",
    "encoding_aes_key": "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG",
}


async def _rows(database: str) -> str:
    connection = await asyncpg.connect(database)
    try:
        tables = ("channel_accounts", "tenants", "journal", "answers", "channel_tokens")
        return json.dumps([[str(tuple(row)) for row in await connection.fetch(f"TABLE {each}")] for each in tables])
    finally:
        await connection.close()


async def test_secrets_are_written_and_never_read_back(
    client: Client, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    body = {"channel": "wechat", "settings": {"app_id": "wx1"}, "secrets": SECRETS}
    headers = {"idempotency-key": "k"}
    answers = [await client.call("PUT", f"/v1/channels/oa{each}", json=body, headers=headers) for each in "12"]
    answers.append(await client.call("GET", "/v1/channels/oa1"))
    answers.append(await client.call("GET", "/v1/channels"))
    answers.append(await client.call("PUT", "/v1/channels/oa1", 422, json=body | {"settings": {"app_id": ""}}))
    answers.append(await client.call("GET", "/v1/events?after=0&limit=100"))
    await client.http.get("/channels/wechat/oa1", params={"signature": "wrong", "timestamp": "1", "nonce": "1"})
    stored = await _rows(client.settings.database_url)
    told = capfd.readouterr()
    for secret in SECRETS.values():
        assert secret not in json.dumps(answers)
        assert secret not in stored
        assert secret not in told.out + told.err + caplog.text
    kept = await client.call("PUT", "/v1/channels/oa1", json={"channel": "wechat", "settings": {"app_id": "wx2"}})
    assert sorted(SECRETS) == kept["secrets"], "what is left out stays"
    retired = {"channel": "wechat", "settings": {"app_id": "wx2"}, "secrets": {"app_secret": None}}
    left = await client.call("PUT", "/v1/channels/oa1", json=retired)
    assert sorted(SECRETS.keys() - {"app_secret"}) == left["secrets"], "what is null goes"
    missing = await client.call("PUT", "/v1/channels/oa1", 422, json=retired | {"secrets": {"token": None}})
    assert "secrets.token" == missing["field"]


async def test_the_key_changes_and_the_old_one_may_go(client: Client, tmp_path: Path) -> None:
    body = {"channel": "wechat", "settings": {"app_id": "wx1"}, "secrets": SECRETS}
    await client.call("PUT", "/v1/channels/oa1", json=body)
    database, old = client.settings.database_url, "a secret for tests"
    with pytest.raises(StartupError):
        await reseal(database, Sealer("new"))
    await client.call("GET", "/v1/channels/oa1")
    assert await reseal(database, Sealer("new", [old])) >= 2
    assert await reseal(database, Sealer("new")) >= 2, "the old one is needed no more"
    connection = await asyncpg.connect(database)
    try:
        sealed = json.loads(await connection.fetchval("SELECT secrets FROM channel_accounts WHERE name = 'oa1'"))
    finally:
        await connection.close()
    assert SECRETS == {name: Sealer("new").open(each) for name, each in sealed.items()}
    with pytest.raises(StartupError):
        Sealer(old).open(sealed["token"])
    assert "s3cret-token" == Sealer("newer", ["new", old]).open(sealed["token"])
    await reseal(database, Sealer(old, ["new"]))


async def test_the_secret_of_agent_tokens_is_sealed_anew_too(client: Client) -> None:
    rotated = await client.call("POST", "/v1/token-trust/rotate", json={"overlap_s": 60})
    url = client.settings.database_url
    await reseal(url, Sealer("a new key", ["a secret for tests"]))
    connection = await asyncpg.connect(url)
    try:
        secrets = json.loads(await connection.fetchval("SELECT secrets FROM token_trusts"))
    finally:
        await connection.close()
    assert rotated["secret"] == Sealer("a new key").open(secrets["current"])


async def test_what_visitors_hold_outlives_a_change_of_the_key(database: str, tmp_path: Path) -> None:
    origin = {"origin": "https://shop.example", "authorization": ""}
    async with running(database, tmp_path, previous_secret_keys=SecretStr("the key before")) as client:
        body = {"channel": "webchat", "settings": {"origins": [origin["origin"]]}}
        await client.call("PUT", "/v1/channels/shop", json=body)
        tenant = (await client.call("GET", "/v1/token-trust"))["tenant"]
        visitor = Visitor(tenant, "shop", Identity("web_visitor", "v-1"), client.services.clock.now_ms() // 1000 + 600)
        path = "/channels/webchat/shop/conversation"
        for key, expected in (("a secret for tests", 200), ("the key before", 200), ("nobody's key", 401)):
            bearer = f"Bearer {VisitorTokens([key]).make('visit', visitor)}"
            answer = await client.http.get(path, headers={**origin, "authorization": bearer})
            assert expected == answer.status_code, (key, answer.text)
