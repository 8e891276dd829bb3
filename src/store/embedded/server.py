"""The embedded PostgreSQL server: started, watched and stopped with the service."""

import asyncio
import os
import signal
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import asyncpg
import structlog

from src.errors import StartupError
from src.store.embedded.cluster import (
    CLUSTER,
    OWNER,
    PASSWORD,
    UNFINISHED_CLUSTER,
    adopt_cluster,
    check_cluster,
    ensure_password,
    last_complaint,
    make_cluster,
    make_folder,
    rotate_log,
)
from src.store.embedded.leftovers import clear_leftovers, lock_folder
from src.store.embedded.programs import Account, choose_account, find_program, spawn
from src.store.embedded.sockets import PORT, SOCKET_FOLDER, make_socket_folder, remove_socket_folder

if TYPE_CHECKING:
    import subprocess

DATABASE = "cordboard"
LOG = "postgres.log"

# Reading crashed journals again is bounded by max_wal_size; a slow disk may still take minutes over it.
_READY_S_MAX = 900
_READY_POLL_S = 0.05
_READY_POLL_S_MAX = 0.5
_PROGRESS_EVERY_S = 5.0
_CONNECT_S_MAX = 10
# An orderly shutdown writes out up to shared_buffers; after that the next start repeats the journal instead.
_STOP_STEPS = ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))
# What the server gets when its service dies: shut down in order.
_DEATH_SIGNAL: int = signal.SIGINT
_LOG_BYTES_MAX = 10 * 1024 * 1024
_WATCH_S = 1.0
_RESTART_PAUSE_S = 1.0

_SETTINGS: Mapping[str, str] = {
    # An acknowledged contact is on disk: these three are the first promise of the service.
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "jit": "off",
    "listen_addresses": "",
    "max_connections": "60",
    # A report must not take every core from routing, nor more shared memory than a container has.
    "max_parallel_workers_per_gather": "0",
    "max_wal_size": "1GB",
    "port": str(PORT),
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "unix_socket_permissions": "0700",
    "wal_compression": "on",
    # The log is for the operator. Statements and key values in it would be customers' data.
    "log_checkpoints": "off",
    "log_error_verbosity": "terse",
    "log_line_prefix": "%m [%p] ",
    "log_min_error_statement": "panic",
    "log_timezone": "UTC",
}

_log = structlog.get_logger(__name__)


def running_url(data_dir: Path) -> str | None:
    """The URL of the server that another process runs on this data folder; None: nobody does."""
    try:
        os.close(lock_folder(data_dir))
    except StartupError:
        password = (data_dir / PASSWORD).read_text("ascii").strip()
        return _url((data_dir / SOCKET_FOLDER).resolve(), password, DATABASE)
    except OSError:
        pass  # there is no such folder yet
    return None


def _url(socket_folder: Path | None, password: str | None, database: str) -> str:
    host = quote(str(socket_folder), safe="/")
    return f"postgresql://{OWNER}:{password}@/{database}?host={host}&port={PORT}"


class EmbeddedPostgres:
    """A PostgreSQL of our own in `<data_dir>/postgres`, reached over a unix socket with a password.

    One service to a data folder. `start` and `stop` block, and may be called from any thread; a context manager does
    both. While it serves, a server that ends by itself is started again.

    Args:
        data_dir: everything is kept in here; it is made where it is missing.
        settings: PostgreSQL settings over the built-in ones, for tests: `{"fsync": "off"}`.
    """

    def __init__(self, data_dir: Path, *, settings: Mapping[str, str] | None = None) -> None:
        self._data_dir = data_dir.absolute()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._password = ""
        self._account = Account()
        self._socket_folder = Path()
        self._service_lock: int | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._spawned = threading.Event()
        self._serving = threading.Event()
        self._stopping = threading.Event()
        self._spawn_error: Exception | None = None
        self._log_offset_bytes = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id of the running server, or None."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self) -> str:
        """Start the server, wait until it can be used, and return the URL of the database `cordboard`.

        The database is made where it is missing. After a crash this takes as long as PostgreSQL needs to recover;
        progress is logged.

        Raises:
            StartupError: with one line for the operator.
        """
        assert self._service_lock is None, "start() and stop() come in pairs"
        for event in (self._spawned, self._serving, self._stopping):
            event.clear()
        try:
            make_folder(self._data_dir)
            self._data_dir = self._data_dir.resolve()
            self._service_lock = lock_folder(self._data_dir)
            self._start_keeper(self._prepare())
            self._wait_until_ready()
        except OSError as error:
            self.stop()
            raise StartupError(self._describe(error)) from error
        except BaseException:
            self.stop()
            raise
        self._serving.set()
        return self.url()

    def url(self, database: str = DATABASE) -> str:
        """Return the URL of a database of this server, as libpq, asyncpg and SQLAlchemy understand it."""
        return _url(self._socket_folder, self._password, database)

    def stop(self) -> None:
        """Shut the server down in order, however long its last writes take, and by force after that. Idempotent."""
        self._stopping.set()
        keeper = self._keeper
        if keeper is not None:
            for number, patience_s in _STOP_STEPS:
                self._signal(number)
                keeper.join(timeout=patience_s)
                if not keeper.is_alive():
                    break
                _log.warning("PostgreSQL does not shut down", signal=number.name, waited_s=patience_s)
        if self._service_lock is not None:
            with suppress(OSError):
                remove_socket_folder(self._data_dir)
            os.close(self._service_lock)
        self._service_lock = self._keeper = self._process = None

    def _prepare(self) -> int:
        """Bring the data folder into the state a server can start from; return the descriptor of its lock."""
        cluster = self._data_dir / CLUSTER
        find_program("postgres")
        lock = clear_leftovers(self._data_dir, (cluster, self._data_dir / UNFINISHED_CLUSTER))
        try:
            self._account = choose_account(cluster)
            self._password = ensure_password(self._data_dir)
            if not cluster.exists():
                make_cluster(
                    self._data_dir,
                    account=self._account,
                    password=self._password,
                    lock=lock,
                    durable=self._settings["fsync"] == "on",
                )
            check_cluster(cluster)
            adopt_cluster(cluster, self._account)
            self._socket_folder = make_socket_folder(self._data_dir, self._account)
        except BaseException:
            os.close(lock)
            raise
        return lock

    def _start_keeper(self, lock: int) -> None:
        """Start the thread that starts the server.

        The system ties the server's life to the thread that started it, not to the process: so that thread is one that
        lives exactly as long.
        """
        self._spawn_error = None
        self._keeper = threading.Thread(target=self._keep, args=(lock,), name="embedded-postgres", daemon=True)
        self._keeper.start()
        self._spawned.wait()
        if self._spawn_error is not None:
            raise self._spawn_error

    def _keep(self, lock: int) -> None:
        """Run the server, and again when it ends without being asked to."""
        while True:
            try:
                self._spawn(lock)
            except (StartupError, OSError) as error:
                self._spawn_error = error
                _log.exception("PostgreSQL cannot be started")
                return
            finally:
                os.close(lock)
                self._spawned.set()
            if self._stopping.is_set():
                # stop() came while there was nothing yet that it could have signalled.
                self._signal(signal.SIGINT)
            code = self._watch()
            if self._stopping.is_set() or not self._serving.is_set():
                return
            _log.error("PostgreSQL ended by itself and is started again", code=code, said=self._last_complaint())
            if self._stopping.wait(_RESTART_PAUSE_S):
                return
            try:
                lock = clear_leftovers(self._data_dir, (self._data_dir / CLUSTER,))
            except (StartupError, OSError) as error:
                _log.critical("PostgreSQL cannot be started again", reason=str(error))
                return

    def _spawn(self, lock: int) -> None:
        """Start the server process; from here on it holds the lock itself."""
        path = self._data_dir / LOG
        rotate_log(path, _LOG_BYTES_MAX)
        quoted = str(self._socket_folder).replace('"', '""')
        settings = {**self._settings, "unix_socket_directories": f'"{quoted}"'}
        options = [option for name, value in settings.items() for option in ("-c", f"{name}={value}")]
        cluster = self._data_dir / CLUSTER
        log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            self._log_offset_bytes = os.fstat(log).st_size
            self._process = spawn(
                [str(find_program("postgres")), "-D", str(cluster), *options],
                account=self._account,
                folder=cluster,
                death_signal=_DEATH_SIGNAL,
                lock=lock,
                output=log,
            )
        finally:
            os.close(log)

    def _watch(self) -> int:
        """Wait for the server to end, keep its log within bounds meanwhile, and return its exit code."""
        process = self._process
        assert process is not None
        while (code := process.poll()) is None:
            if self._stopping.wait(_WATCH_S):
                return process.wait()
            with suppress(OSError):
                rotate_log(self._data_dir / LOG, _LOG_BYTES_MAX)
        return code

    def _signal(self, number: signal.Signals) -> None:
        """Send a signal to the server, if it still runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def _wait_until_ready(self) -> None:
        """Wait for the server to take connections, and make the database."""
        started = time.monotonic()
        reported_at, pause_s = started, _READY_POLL_S
        # A loop of its own in a thread of its own: the caller may have one running.
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-postgres-probe") as executor:
            while (reason := executor.submit(lambda: asyncio.run(self._try_to_connect())).result()) is not None:
                now = time.monotonic()
                if self.pid is None:
                    raise StartupError(f"the embedded PostgreSQL did not start: {self._last_complaint()}")
                if now - started > _READY_S_MAX:
                    raise StartupError(f"the embedded PostgreSQL is not ready after {_READY_S_MAX} s: {reason}")
                if now - reported_at > _PROGRESS_EVERY_S:
                    reported_at = now
                    _log.info("waiting for PostgreSQL", waited_s=round(now - started), reason=reason)
                time.sleep(pause_s)
                pause_s = min(pause_s * 1.5, _READY_POLL_S_MAX)

    async def _try_to_connect(self) -> str | None:
        """Connect and make sure of the database; return None, or why the server is not ready."""
        try:
            connection = await asyncpg.connect(self.url("postgres"), timeout=_CONNECT_S_MAX)
        except (asyncpg.CannotConnectNowError, OSError, TimeoutError, asyncpg.ConnectionDoesNotExistError) as error:
            return str(error) or type(error).__name__
        except asyncpg.PostgresError as error:
            raise StartupError(
                f"the embedded database in {self._data_dir} does not let its owner in ({error}): "
                f"restore {CLUSTER} and {PASSWORD} from the same backup"
            ) from error
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f'CREATE DATABASE "{DATABASE}"')
        except asyncpg.PostgresError as error:
            raise StartupError(f"the embedded PostgreSQL cannot make its database: {error}") from error
        finally:
            await connection.close()
        return None

    def _last_complaint(self) -> str:
        """Return what the server's log says about its end."""
        with suppress(OSError), (self._data_dir / LOG).open("rb") as log:
            log.seek(self._log_offset_bytes)
            return last_complaint(log.read().decode(errors="replace"))
        return "its log cannot be read"

    def _describe(self, error: OSError) -> str:
        """Return the line for an operator whose data folder cannot be used."""
        place = error.filename if isinstance(error.filename, str) else str(self._data_dir)
        reason = error.strerror or str(error)
        return (
            f"cannot keep the embedded database in {self._data_dir}: {reason} ({place}); "
            "set CORDBOARD_DATA_DIR to a folder that can be written"
        )
