"""What the embedded PostgreSQL promises, on real servers: durability, privacy, and a clean end however it comes."""

import asyncio
import json
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest

from src.errors import StartupError
from src.store.embedded import EmbeddedPostgres, launcher, programs
from src.store.embedded.cluster import rotate_log

SERVICE = Path(__file__).with_name("embedded_service.py")
IS_ROOT = os.geteuid() == 0
only_as_root = pytest.mark.skipif(not IS_ROOT, reason="needs root, to become another user")
only_on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a process to its parent's life")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


async def value(url: str, sql: str) -> object:
    async with connected(url) as connection:
        return await connection.fetchval(sql)


async def remember(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("CREATE TABLE IF NOT EXISTS remembered (n int)")
        await connection.execute("INSERT INTO remembered VALUES (1)")


async def remembered(url: str) -> object:
    return await value(url, "SELECT count(*) FROM remembered")


async def eventually(holds: Callable[[], bool], *, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Service:
    """A running `embedded_service.py`."""

    process: subprocess.Popen[str]
    url: str
    postgres: psutil.Process

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@contextmanager
def service(data_dir: Path, *options: str, uid: int = 0) -> Iterator[Service]:
    """Run a service of its own; as another user where `uid` is given."""
    command = [sys.executable, str(SERVICE), str(data_dir), *options]
    if uid:
        # The launcher, since the interpreter itself may lie where that user cannot go.
        numbers = (str(number) for number in (os.getpid(), 0, uid, uid))
        command = [sys.executable, "-I", launcher.__file__, *numbers, str(SERVICE.parent), *command]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stderr is not None
            line = process.stdout.readline()
            if not line:
                raise StartupError(process.stderr.read())
            ready = json.loads(line)
            yield Service(process, ready["url"], psutil.Process(ready["pid"]))
        finally:
            process.kill()


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def family(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


@pytest.fixture(scope="module")
def template() -> Iterator[Path]:
    """A data folder that was made, used and left in order."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        folder = Path(name) / "data"
        with EmbeddedPostgres(folder, settings={"fsync": "off"}):
            pass
        yield folder


@pytest.fixture
def data_dir(template: Path, tmp_path: Path) -> Path:
    """A copy of the template, which spares making a cluster for each test."""
    return Path(shutil.copytree(template, tmp_path / "data"))


async def test_data_survives_and_the_second_start_is_quick(tmp_path: Path) -> None:
    server = EmbeddedPostgres(tmp_path / "data")
    await remember(server.start())
    server.stop()
    started = time.monotonic()
    url = server.start()
    took_s = time.monotonic() - started
    try:
        assert 1 == await remembered(url)
        assert took_s < 5  # it takes 0.2 s on a machine that has nothing else to do
    finally:
        server.stop()


async def test_it_is_set_up_for_durability_and_for_every_language(data_dir: Path) -> None:
    expected = {
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "server_encoding": "UTF8",
        "listen_addresses": "",
        "max_connections": "60",
        "TimeZone": "UTC",
    }
    with EmbeddedPostgres(data_dir) as server:
        async with connected(server.url()) as connection:
            assert expected == {name: await connection.fetchval(f"SHOW {name}") for name in expected}
            assert "C.UTF-8" == await connection.fetchval(
                "SELECT datlocale FROM pg_database WHERE datname = 'cordboard'"
            )
            assert "ÄÖÜ 微信" == await connection.fetchval("SELECT upper('äöü 微信')")


async def test_nothing_listens_on_the_network(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        assert [] == psutil.Process(server.pid).net_connections(kind="inet")


async def test_a_password_is_needed_and_no_copy_of_it_lies_about(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with EmbeddedPostgres(data_dir) as server:
        password = (data_dir / "postgres.password").read_text().strip()
        assert password in server.url()
        with pytest.raises(asyncpg.InvalidPasswordError):
            await value(server.url().replace(password, "guess"), "SELECT 1")
        command_line = psutil.Process(server.pid).cmdline()
    assert 0o600 == (data_dir / "postgres.password").stat().st_mode & 0o777
    assert not any(password in argument for argument in command_line)
    expected = {"lock", "postgres", "postgres.lock", "postgres.log", "postgres.password"}
    assert expected == {path.name for path in data_dir.iterdir()}


async def test_the_environment_of_the_service_does_not_reach_postgres(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PGDATA", "PGPORT", "PGHOST", "PGUSER", "PGPASSWORD", "PGDATABASE"):
        monkeypatch.setenv(name, "1")
    with EmbeddedPostgres(data_dir) as server:
        assert "cordboard" == await value(server.url(), "SELECT current_database()")


async def test_the_server_outlives_the_thread_that_called_start(data_dir: Path) -> None:
    server = EmbeddedPostgres(data_dir)
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        await asyncio.sleep(0.5)
        assert 1 == await value(server.url(), "SELECT 1")
    finally:
        server.stop()


async def test_a_killed_server_is_started_again_with_its_data(data_dir: Path) -> None:
    with EmbeddedPostgres(data_dir) as server:
        await remember(server.url())
        killed = server.pid
        assert killed is not None
        os.kill(killed, signal.SIGKILL)
        await eventually(lambda: server.pid not in {None, killed})
        for _ in range(200):
            try:
                assert 1 == await remembered(server.url())
                break
            except (asyncpg.PostgresError, OSError):
                await asyncio.sleep(0.05)
        else:
            pytest.fail("it does not answer again")


@only_on_linux
async def test_the_server_dies_with_a_killed_service(data_dir: Path) -> None:
    with service(data_dir) as running:
        await remember(running.url)
        everyone = family(running.postgres)
        running.kill()
        await eventually(lambda: not any(is_alive(process) for process in everyone))
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == await remembered(server.url())


async def test_an_orphan_is_stopped_by_the_next_start(data_dir: Path) -> None:
    with service(data_dir, "--without-death-signal") as running:
        await remember(running.url)
        running.kill()
        await asyncio.sleep(0.3)
        assert is_alive(running.postgres)
        with EmbeddedPostgres(data_dir) as server:
            assert not is_alive(running.postgres)
            assert 1 == await remembered(server.url())


async def test_an_orphan_that_holds_no_lock_is_found_by_its_folder(data_dir: Path) -> None:
    with service(data_dir, "--without-death-signal") as running:
        await remember(running.url)
        running.kill()
        # As if the server had been started by hand: its pid file is all that there is.
        (data_dir / "postgres.lock").unlink()
        with EmbeddedPostgres(data_dir) as server:
            assert not is_alive(running.postgres)
            assert 1 == await remembered(server.url())


async def test_everything_killed_at_once_recovers(data_dir: Path) -> None:
    with service(data_dir) as running:
        await remember(running.url)
        for process in family(running.postgres):
            # Children end by themselves as soon as they see that the first one is gone.
            with suppress(psutil.NoSuchProcess):
                process.kill()
        running.kill()
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == await remembered(server.url())


async def test_what_a_crash_of_the_machine_leaves_is_no_obstacle(
    data_dir: Path, stranger: subprocess.Popen[bytes]
) -> None:
    for content in (b"", b"12", f"{stranger.pid}\n{data_dir}/postgres\n1\n5432\n".encode()):
        (data_dir / "postgres" / "postmaster.pid").write_bytes(content)
        (data_dir / "run").mkdir()
        (data_dir / "run" / ".s.PGSQL.5432").touch()
        (data_dir / "run" / ".s.PGSQL.5432.lock").write_text(f"{stranger.pid}\n")
        with EmbeddedPostgres(data_dir) as server:
            assert 1 == await value(server.url(), "SELECT 1")
    assert stranger.poll() is None


async def test_a_cluster_cut_short_is_made_again(tmp_path: Path) -> None:
    half_made = tmp_path / "data" / "postgres.new"
    half_made.mkdir(parents=True)
    (half_made / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(tmp_path / "data") as server:
        assert 1 == await value(server.url(), "SELECT 1")
    assert not half_made.exists()


async def test_a_full_disk_is_one_line_and_leaves_nothing_half_made(tmp_path: Path) -> None:
    with (
        pytest.raises(StartupError, match="cannot make the database in ") as refusal,
        service(tmp_path / "data", "--file-bytes-max", "100000"),
    ):
        pass
    assert 1 == len(str(refusal.value).strip().splitlines())
    assert [] == list((tmp_path / "data").glob("postgres.new*"))
    with EmbeddedPostgres(tmp_path / "data") as server:
        assert 1 == await value(server.url(), "SELECT 1")


async def test_a_second_service_is_told_who_has_the_folder(data_dir: Path) -> None:
    with service(data_dir) as running:
        with pytest.raises(StartupError, match=rf"in use by another cordboard \(process {running.process.pid}\)"):
            EmbeddedPostgres(data_dir).start()
        assert 1 == await value(running.url, "SELECT 1")


async def test_ctrl_c_reaches_the_service_and_not_the_server(data_dir: Path) -> None:
    with service(data_dir) as running:
        os.killpg(running.process.pid, signal.SIGINT)
        out, _ = running.process.communicate(timeout=30)
    assert '{"answers": true}' == out.strip()
    assert 0 == running.process.returncode
    assert "database system is shut down" in (data_dir / "postgres.log").read_text().splitlines()[-1]


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process that has nothing to do with us."""
    with subprocess.Popen(["sleep", "60"]) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("name", ["d" * 120, "a, \"b' 微信 %20"], ids=["deep", "odd"])
async def test_any_data_folder_will_do(template: Path, tmp_path: Path, name: str) -> None:
    data_dir = Path(shutil.copytree(template, tmp_path / name))
    with EmbeddedPostgres(data_dir) as server:
        assert 1 == await value(server.url(), "SELECT 1")
        socket_folder = (data_dir / "run").resolve()
        assert 0o700 == socket_folder.stat().st_mode & 0o777
    assert not socket_folder.exists()


def test_a_data_folder_that_is_a_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    with pytest.raises(StartupError, match=r"cannot keep the embedded database in .*Not a directory"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_a_cluster_of_another_major_version_is_one_line(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").write_text("17\n")
    with pytest.raises(StartupError, match="was made by PostgreSQL 17 and this release brings 18"):
        EmbeddedPostgres(data_dir).start()


def test_a_folder_that_is_no_cluster_is_one_line(data_dir: Path) -> None:
    (data_dir / "postgres" / "PG_VERSION").unlink()
    with pytest.raises(StartupError, match="is no PostgreSQL database"):
        EmbeddedPostgres(data_dir).start()


def test_a_lost_password_is_one_line(data_dir: Path) -> None:
    (data_dir / "postgres.password").unlink()
    with pytest.raises(StartupError, match="the password of the embedded database is gone"):
        EmbeddedPostgres(data_dir).start()


def test_a_wrong_password_is_one_line(data_dir: Path) -> None:
    (data_dir / "postgres.password").write_text("guess\n")
    with pytest.raises(StartupError, match="does not let its owner in"):
        EmbeddedPostgres(data_dir).start()


def test_a_server_that_cannot_run_says_why_in_one_line(data_dir: Path) -> None:
    with pytest.raises(StartupError, match=r"did not start: .*no_such_setting") as refusal:
        EmbeddedPostgres(data_dir, settings={"no_such_setting": "on"}).start()
    assert 1 == len(str(refusal.value).splitlines())
    # And nothing stays locked.
    with EmbeddedPostgres(data_dir):
        pass


def test_a_missing_wheel_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "_PACKAGE", "no_such_package")
    with pytest.raises(StartupError, match="not installed for this platform"):
        EmbeddedPostgres(tmp_path / "data").start()


def test_the_log_stays_within_its_size(tmp_path: Path) -> None:
    log = tmp_path / "postgres.log"
    log.write_bytes(b"x" * 11)
    rotate_log(log, 11)
    assert 11 == log.stat().st_size
    rotate_log(log, 10)
    assert 0 == log.stat().st_size
    assert b"x" * 11 == (tmp_path / "postgres.log.1").read_bytes()


@pytest.fixture
def ordinary_uid() -> int:
    """An ordinary user; run as root, one that may not even pass through root's folders."""
    return pwd.getpwnam("nobody").pw_uid if IS_ROOT else 0


@pytest.fixture
def ordinary_folder(ordinary_uid: int) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        if ordinary_uid:
            os.chown(name, ordinary_uid, ordinary_uid)
        yield Path(name)


async def test_an_ordinary_user_can_run_it(ordinary_uid: int, ordinary_folder: Path) -> None:
    data_dir = ordinary_folder / "data"
    with service(data_dir, uid=ordinary_uid) as running:
        await remember(running.url)
        assert (ordinary_uid or os.getuid()) == running.postgres.uids().real
        running.kill()
    with service(data_dir, uid=ordinary_uid) as running:
        assert 1 == await remembered(running.url)
    assert 0o700 == data_dir.stat().st_mode & 0o777


@only_as_root
def test_an_ordinary_user_is_told_of_a_folder_that_it_cannot_write(tmp_path: Path, ordinary_uid: int) -> None:
    with (
        pytest.raises(StartupError, match=r"cannot keep the embedded database in .*Permission denied") as refusal,
        service(tmp_path / "data", uid=ordinary_uid),
    ):
        pass
    assert 1 == len(str(refusal.value).strip().splitlines())


@only_as_root
def test_an_ordinary_user_is_told_of_a_cluster_that_is_not_its_own(ordinary_uid: int, ordinary_folder: Path) -> None:
    cluster = ordinary_folder / "data" / "postgres"
    cluster.mkdir(parents=True)
    os.chown(cluster.parent, ordinary_uid, ordinary_uid)
    with pytest.raises(StartupError, match="belongs to the user root"), service(cluster.parent, uid=ordinary_uid):
        pass


@only_as_root
async def test_root_hands_it_to_another_user_even_below_a_closed_folder(data_dir: Path) -> None:
    closed = data_dir.parent
    closed.chmod(0o700)
    # The copy of the template is root's, as one restored by hand would be.
    assert 0 == (data_dir / "postgres" / "base").stat().st_uid
    with EmbeddedPostgres(data_dir) as server:
        owner = (data_dir / "postgres" / "base").stat().st_uid
        assert 0 != owner
        assert owner == psutil.Process(server.pid).uids().real
        assert 1 == await value(server.url(), "SELECT 1")
    assert (0o700, 0) == (closed.stat().st_mode & 0o777, closed.stat().st_uid)
