"""PostgreSQL and Redis over TLS, and a Redis that Sentinels watch over: real servers, certificates of our own."""

import asyncio
import contextlib
import ssl
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from redis.exceptions import RedisError

from src.connectors import posts
from src.connectors.outward import Failed, Outward, networks
from src.delivery.redis import connect
from src.errors import StartupError
from src.store.migrate import upgrade
from src.store.postgres import PostgresStore
from tests.support.faults.servers import _redis_program
from tests.support.ports import free_port


@dataclass(frozen=True)
class Certificates:
    """A certificate for 127.0.0.1 and its key, and the authority that signed it; `stranger` is another authority."""

    certificate: Path
    key: Path
    authority: Path
    stranger: Path


@pytest.fixture(scope="module")
def certificates() -> Iterator[Certificates]:
    with tempfile.TemporaryDirectory(prefix="cordboard-tls-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        found = Certificates(*(folder / each for each in ("server.pem", "server.key", "ca.pem", "stranger.pem")))
        signing, authority = _authority("Cordboard's tests")
        key = ec.generate_private_key(ec.SECP256R1())
        address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        signed = (
            _builder("server", authority.subject, key)
            .add_extension(address, critical=False)
            .sign(signing, hashes.SHA256())
        )
        found.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        found.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.TraditionalOpenSSL,
                serialization.NoEncryption(),
            )
        )
        found.key.chmod(0o600)
        found.authority.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
        found.stranger.write_bytes(_authority("A stranger")[1].public_bytes(serialization.Encoding.PEM))
        yield found


def _builder(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _authority(name: str) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    built = _builder(name, None, key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return key, built.add_extension(usage, critical=True).sign(key, hashes.SHA256())


@asynccontextmanager
async def server(folder: Path, *options: str) -> AsyncIterator["subprocess.Popen[bytes]"]:
    """A Redis, or a Sentinel."""
    with (folder / "redis.log").open("ab") as log:
        process = subprocess.Popen([_redis_program(), *options], cwd=folder, stdout=log, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


async def answers(url: str, within_s: float = 10.0) -> None:
    """Wait until it answers."""
    deadline = asyncio.get_running_loop().time() + within_s
    async with connect(url) as redis:
        while True:
            try:
                assert await redis.ping()
            except (RedisError, OSError):
                assert asyncio.get_running_loop().time() < deadline, f"{url} does not answer"
                await asyncio.sleep(0.1)
            else:
                return


@asynccontextmanager
async def over_tls(certificates: Certificates, target: Path | int, *, postgres: bool = False) -> AsyncIterator[int]:
    """A port that speaks TLS and passes on to a socket or port that does not: the servers in wheels cannot.

    PostgreSQL's clients ask for TLS first, in eight bytes, and are told `S`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    lines: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        lines.add(task)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            if postgres:
                asked = await reader.readexactly(8)
                if asked[4:] != (80877103).to_bytes(4, "big"):
                    return writer.close()
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(context)
            opened = asyncio.open_unix_connection(target) if isinstance(target, Path) else None
            back, forth = await (opened or asyncio.open_connection("127.0.0.1", target))  # type: ignore[arg-type]
            await asyncio.gather(_pass(reader, forth), _pass(back, writer))
        return writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=None if postgres else context)
    try:
        yield int(server.sockets[0].getsockname()[1])
    finally:
        server.close()
        for task in lines:
            task.cancel()
        await asyncio.gather(*lines, return_exceptions=True)


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65_536):
        writer.write(some)
        await writer.drain()
    writer.close()


async def test_redis_over_tls(certificates: Certificates, tmp_path: Path) -> None:
    plain = free_port()
    options = ("--port", str(plain), "--bind", "127.0.0.1", "--save", "", "--requirepass", "secret")
    async with server(tmp_path, *options), over_tls(certificates, plain) as port:
        url = f"rediss://:secret@127.0.0.1:{port}/0"
        await answers(f"{url}?ssl_ca_certs={certificates.authority}")
        for bad in (f"{url}?ssl_ca_certs={certificates.stranger}", f"redis://:secret@127.0.0.1:{port}/0"):
            async with connect(bad) as redis:
                with pytest.raises((RedisError, OSError)):
                    await redis.ping()


async def test_sentinels_name_the_master_also_when_it_changes(tmp_path: Path) -> None:
    ports = [free_port() for _ in range(3)]
    common = ("--save", "", "--appendonly", "no", "--requirepass", "secret", "--masterauth", "secret")
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {ports[2]}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {ports[0]} 1\n"
        "sentinel auth-pass main secret\nsentinel down-after-milliseconds main 500\n"
        "sentinel failover-timeout main 2000\n",
        encoding="ascii",
    )
    async with AsyncExitStack() as stack:
        master = await stack.enter_async_context(server(tmp_path, "--port", str(ports[0]), *common))
        await answers(f"redis://:secret@127.0.0.1:{ports[0]}/0")
        follow = ("--replicaof", f"127.0.0.1 {ports[0]}")
        await stack.enter_async_context(server(tmp_path, "--port", str(ports[1]), *follow, *common))
        await answers(f"redis://:secret@127.0.0.1:{ports[1]}/0")
        await stack.enter_async_context(server(tmp_path, str(configuration), "--sentinel"))
        url = f"redis+sentinel://:secret@127.0.0.1:{ports[2]}/main/0"
        await answers(url)
        async with connect(f"redis://127.0.0.1:{ports[2]}") as sentinel, asyncio.timeout(20):
            while not await sentinel.sentinel_slaves("main"):
                await asyncio.sleep(0.2)
        async with connect(url) as redis:
            assert ports[0] == int((await redis.info("server"))["tcp_port"])
            master.kill()
            async with asyncio.timeout(40):
                while True:
                    try:
                        await redis.publish("cordboard:events:t", b"a hint")
                        break
                    except (RedisError, OSError):
                        await asyncio.sleep(0.2)
            assert ports[1] == int((await redis.info("server"))["tcp_port"])


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost",
        "localhost:6379",
        "redis+sentinel://localhost",
        "redis+sentinel:///main",
        "redis+sentinel://h:port/main",
        "redis+sentinel://h/main/x",
        "redis+sentinel://h/main/0?colour=red",
        "redis://localhost:port",
    ],
)
async def test_a_url_that_is_none_is_told_at_the_start(url: str) -> None:
    with pytest.raises(StartupError, match="CORDBOARD_REDIS_URL"):
        async with connect(url):
            pass


async def test_postgres_over_tls(certificates: Certificates, empty_database: str) -> None:
    found = urlsplit(empty_database)
    folder = Path(parse_qs(found.query)["host"][0])
    async with over_tls(certificates, next(folder.glob(".s.PGSQL.*[0-9]")), postgres=True) as port:
        url = f"postgresql://{found.username}:{found.password}@127.0.0.1:{port}{found.path}"
        good = f"{url}?sslmode=verify-full&sslrootcert={certificates.authority}"
        await upgrade(good)
        store = await PostgresStore.open(good)
        try:
            tenant = await store.create_tenant("t", "sealed")
            assert 0 == (await store.head(tenant)).seq
        finally:
            await store.close()
        for bad in (f"{url}?sslmode=verify-full&sslrootcert={certificates.stranger}", f"{url}?sslmode=disable"):
            with pytest.raises((StartupError, ssl.SSLError)):
                await upgrade(bad)


async def test_posts_go_to_those_whom_an_authority_vouches_for(
    certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"\r\n" != await reader.readline():
            pass
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server = await asyncio.start_server(take, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for authority, host, taken in (
        (certificates.authority, "127.0.0.1", True),
        (certificates.authority, "localhost", False),
        (certificates.stranger, "127.0.0.1", False),
    ):
        believed = ssl.create_default_context(cafile=str(authority))
        monkeypatch.setattr(posts, "trusted", lambda believed=believed: believed)
        async with Outward(networks("127.0.0.1/32, ::1/128")) as ways:
            if taken:
                assert (await ways.post(f"https://{host}:{port}/", b"", {}))[0] == 204
            else:
                with pytest.raises(Failed, match="unreachable"):
                    await ways.post(f"https://{host}:{port}/", b"", {})
    server.close()
