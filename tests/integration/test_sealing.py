"""Secrets of accounts: sealed in the tables, in no answer and no log, and sealed anew when the key changes."""

import json
from pathlib import Path

import asyncpg
import pytest

from src.errors import StartupError
from src.store.reseal import reseal
from src.store.seal import Sealer
from tests.support.service import Client

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
