"""Agent tokens of an identity provider: by its published keys, through rotations, and by nothing else."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import websockets
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from src.api import jwks
from tests.support.service import Client, running

RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


def published(key: Any, name: str, **more: Any) -> dict[str, Any]:
    maker: Any = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return {**maker.to_jwk(key.public_key(), as_dict=True), "kid": name, "use": "sig", **more}


class Provider:
    """An identity provider that publishes keys, and counts how often it is asked."""

    def __init__(self) -> None:
        self.keys: list[Any] = []
        self.asked = 0
        self.up = True
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        body = json.dumps({"keys": self.keys}).encode()
        status = b"200 OK" if self.up else b"500 Broken"
        head = b"HTTP/1.1 %b\r\ncontent-type: application/jwk-set+json\r\nconnection: close\r\n\r\n"
        writer.write(head % status + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def provider() -> AsyncIterator[Provider]:
    found = Provider()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks"
    async with server:
        yield found


@pytest.fixture
async def client(database: str, tmp_path: Path) -> AsyncIterator[Client]:
    async with running(database, tmp_path, connector_networks="127.0.0.0/8") as found:
        await found.agent("anna")
        yield found


async def trusting(client: Client, provider: Provider, **body: Any) -> dict[str, Any]:
    """Claims that the tenant takes, once it trusts the provider."""
    put = {"algorithms": ["RS256", "ES256"], "jwks_url": provider.url, **body}
    shown = await client.call("PUT", "/v1/token-trust", json=put)
    return {"sub": "anna", "tenant": shown["tenant"], "role": "agent", "exp": int(time.time()) + 600}


async def status(client: Client, token: str) -> int:
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {token}"}) as http:
        return (await http.get("/v1/agents/anna")).status_code


async def test_tokens_by_published_keys_are_taken_and_forgeries_are_not(client: Client) -> None:
    async with provider() as idp:
        idp.keys = [published(RSA_KEY, "r1"), published(EC_KEY, "e1"), {"kty": "oct", "k": "c2VjcmV0" * 6, "kid": "o1"}]
        claims = await trusting(client, idp)
        for key, algorithm, name in ((RSA_KEY, "RS256", "r1"), (EC_KEY, "ES256", "e1")):
            assert 200 == await status(client, jwt.encode(claims, key, algorithm, {"kid": name})), algorithm
            assert 200 == await status(client, jwt.encode(claims, key, algorithm)), "the only one of its kind"
        public = RSA_KEY.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        other = rsa.generate_private_key(65537, 2048)
        good = jwt.encode(claims, RSA_KEY, "RS256", {"kid": "r1"})
        head, body, _ = good.split(".")
        forged = [
            jwt.encode(claims, other, "RS256", {"kid": "r1"}),
            jwt.encode(claims, RSA_KEY, "RS256", {"kid": "e1"}),
            jwt.encode(claims, RSA_KEY, "RS512", {"kid": "r1"}),
            jwt.encode(claims, "", "none"),
            jwt.encode(claims, "secret" * 6, "HS256", {"kid": "o1"}),
            _by_public_key(claims, public),
            f"{head}.{body}.",
            jwt.encode({**claims, "exp": int(time.time()) - 1}, RSA_KEY, "RS256", {"kid": "r1"}),
            jwt.encode({**claims, "role": "admin"}, RSA_KEY, "RS256", {"kid": "r1"}),
            jwt.encode({**claims, "tenant": "other"}, RSA_KEY, "RS256", {"kid": "r1"}),
            jwt.encode({key: value for key, value in claims.items() if key != "exp"}, RSA_KEY, "RS256", {"kid": "r1"}),
        ]
        for each in forged:
            assert 401 == await status(client, each), jwt.get_unverified_header(each)
        minted = await client.call("POST", "/v1/tokens", 409, json={"agent_id": "anna"})
        assert "conflict" == minted["code"], "what this service would sign is not taken"


def _by_public_key(claims: dict[str, Any], public: bytes) -> str:
    """HS256 with the public key as its secret, which PyJWT would not make: the classic confusion."""
    import base64  # noqa: PLC0415
    import hmac  # noqa: PLC0415

    parts = [json.dumps(each).encode() for each in ({"alg": "HS256", "typ": "JWT", "kid": "r1"}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(each).rstrip(b"=") for each in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(public, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


async def test_a_new_key_is_fetched_once_it_is_named_and_not_at_every_name(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider() as idp:
        idp.keys = [published(RSA_KEY, "r1")]
        claims = await trusting(client, idp)
        first = jwt.encode(claims, RSA_KEY, "RS256", {"kid": "r1"})
        assert [200] * 20 == await asyncio.gather(*(status(client, first) for _ in range(20)))
        assert 1 == idp.asked, "together they ask once"
        idp.keys = [published(RSA_KEY, "r1"), published(EC_KEY, "e1")]
        second = jwt.encode(claims, EC_KEY, "ES256", {"kid": "e1"})
        assert 401 == await status(client, second), "it was asked a moment ago"
        made_up = [jwt.encode(claims, EC_KEY, "ES256", {"kid": f"x{each}"}) for each in range(30)]
        assert [401] * 30 == await asyncio.gather(*(status(client, each) for each in made_up))
        assert 1 == idp.asked
        monkeypatch.setattr(jwks, "COOLDOWN_S", 0.0)
        assert 200 == await status(client, second)
        assert 2 == idp.asked
        idp.keys = [published(EC_KEY, "e1")]
        monkeypatch.setattr(jwks, "FRESH_S", 0.0)
        assert [401, 200] == [await status(client, each) for each in (first, second)], "r1 is withdrawn"
        idp.up = False
        assert 200 == await status(client, second), "the last set is believed for a while"
        monkeypatch.setattr(jwks, "STALE_S", 0.0)
        assert 503 == await status(client, second)


async def test_issuer_and_audience_are_insisted_on(client: Client) -> None:
    async with provider() as idp:
        idp.keys = [published(RSA_KEY, "r1")]
        claims = await trusting(client, idp, issuer="https://idp.example", audience="cordboard")
        good = {**claims, "iss": "https://idp.example", "aud": "cordboard"}
        for given, expected in (
            (good, 200),
            ({**good, "aud": ["other", "cordboard"]}, 200),
            (claims, 401),
            ({**good, "iss": "https://evil.example"}, 401),
            ({**good, "aud": "other"}, 401),
        ):
            assert expected == await status(client, jwt.encode(given, RSA_KEY, "RS256", {"kid": "r1"})), given


async def test_keys_that_are_not_fit_are_passed_over(client: Client) -> None:
    weak = rsa.generate_private_key(65537, 1024)
    large = ec.generate_private_key(ec.SECP384R1())
    async with provider() as idp:
        idp.keys = [
            published(weak, "weak"),
            published(large, "large"),
            published(EC_KEY, "enc", use="enc"),
            published(EC_KEY, "alg", alg="ES384"),
            published(EC_KEY, "ops", key_ops=["sign"]),
            {**published(EC_KEY, "private"), "d": "AAAA"},
            {"kty": "RSA", "kid": "half"},
            "nonsense",
            None,
            published(RSA_KEY, "r1"),
        ]
        claims = await trusting(client, idp)
        with pytest.warns(jwt.warnings.InsecureKeyLengthWarning):
            by_weak = jwt.encode(claims, weak, "RS256", {"kid": "weak"})
        assert 401 == await status(client, by_weak)
        for name in ("enc", "alg", "ops", "private", "half"):
            assert 401 == await status(client, jwt.encode(claims, EC_KEY, "ES256", {"kid": name})), name
        assert 200 == await status(client, jwt.encode(claims, RSA_KEY, "RS256", {"kid": "r1"}))


async def test_where_keys_come_from_is_looked_at(client: Client) -> None:
    for url in ("http://idp.example/jwks", "http://10.0.0.1/jwks", "https://u:p@idp.example/", "https://{x}/", "x"):
        body = {"algorithms": ["RS256"], "jwks_url": url}
        assert "malformed" == (await client.call("PUT", "/v1/token-trust", 422, json=body))["code"], url
    await client.call("PUT", "/v1/token-trust", 422, json={"algorithms": ["RS256"]})
    await client.call("PUT", "/v1/token-trust", 422, json={"algorithms": ["none"]})
    inward = {"algorithms": ["RS256"], "jwks_url": "https://192.168.0.1/jwks"}
    tenant = (await client.call("PUT", "/v1/token-trust", json=inward))["tenant"]
    claims = {"sub": "anna", "tenant": tenant, "role": "agent", "exp": int(time.time()) + 600}
    assert 503 == await status(client, jwt.encode(claims, RSA_KEY, "RS256")), "private networks are not called"
    writer = await client.call("POST", "/v1/keys", json={"name": "k", "scopes": ["config:write"]})
    async with httpx.AsyncClient(base_url=client.url, headers={"authorization": f"Bearer {writer['key']}"}) as http:
        for method, path in (("GET", ""), ("PUT", ""), ("POST", "/rotate")):
            answer = await http.request(method, f"/v1/token-trust{path}", json={} if method != "GET" else None)
            assert 403 == answer.status_code, "who may change this can make supervisors"


async def test_the_tenants_secret_is_rotated_with_an_overlap(client: Client) -> None:
    old = await client.token("anna")
    url = client.url.replace("http", "ws") + "/v1/stream"
    async with websockets.connect(url) as socket:
        await socket.send(json.dumps({"type": "hello", "token": old}))
        assert "welcome" == json.loads(await socket.recv())["type"]
        rotated = await client.call("POST", "/v1/token-trust/rotate", json={"overlap_s": 3})
        async with asyncio.timeout(30):
            await socket.wait_closed()
        assert 1012 == socket.close_code, "show it anew"
    new = await client.token("anna")
    claims = jwt.decode(old, options={"verify_signature": False})
    own = jwt.encode(claims, rotated["secret"], "HS256")
    assert [200, 200, 200] == [await status(client, each) for each in (old, new, own)]
    async with asyncio.timeout(30):
        while await status(client, old) != 401:
            await asyncio.sleep(0.2)
    assert [200, 200] == [await status(client, each) for each in (new, own)]
    shown = await client.call("GET", "/v1/token-trust")
    assert rotated["previous_secret_until"] == shown["previous_secret_until"]
    assert "secret" not in shown
    acts = [each["act"] for each in (await client.call("GET", "/v1/audit"))["items"]]
    assert "token_trust.updated" in acts
