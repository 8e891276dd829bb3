"""Who uses a data folder: the service's lock, and PostgreSQL processes that outlived a service.

Two locks, both by flock(2), so that they end with their holders whatever happens:

- `lock` is held by the service: one service to a folder.
- `postgres.lock` is inherited by every PostgreSQL process of the folder. Whoever gets it knows that none is alive,
  which process numbers in a file cannot tell: they are used again, and they mean nothing in another container.
"""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import structlog

from src.errors import StartupError

SERVICE_LOCK = "lock"
POSTGRES_LOCK = "postgres.lock"
_POLL_S = 0.05
# How long leftovers get to shut down in order, then to drop everything, then to be killed.
_GRACE_S = ((signal.SIGINT, 20.0), (signal.SIGQUIT, 5.0), (signal.SIGKILL, 5.0))

_log = structlog.get_logger(__name__)


def lock_folder(data_dir: Path) -> int:
    """Take the service's lock on a data folder and return its descriptor.

    Raises:
        StartupError: another service has it.
    """
    descriptor = os.open(data_dir / SERVICE_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if not _try_lock(descriptor):
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise StartupError(
            f"the data folder {data_dir} is in use by another cordboard (process {holder}): "
            "stop that one, or set CORDBOARD_DATA_DIR to another folder"
        )
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor


def clear_leftovers(data_dir: Path, clusters: tuple[Path, ...]) -> int:
    """Stop every PostgreSQL process of the folder and return the descriptor of `postgres.lock`, which is now ours.

    The caller holds the service's lock, so whatever still runs is an orphan of a service that died.

    Raises:
        StartupError: something still uses the folder and cannot be stopped from here.
    """
    descriptor = os.open(data_dir / POSTGRES_LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _stop_leftovers(descriptor, data_dir, clusters)
    except BaseException:
        os.close(descriptor)
        raise
    for cluster in clusters:
        # Nobody is alive, so this file is stale: perhaps half-written, perhaps with a number that is somebody else's.
        (cluster / "postmaster.pid").unlink(missing_ok=True)
    return descriptor


def _stop_leftovers(descriptor: int, data_dir: Path, clusters: tuple[Path, ...]) -> None:
    """Return once the lock is ours and no process is left."""
    for number, grace_s in _GRACE_S:
        if _is_clear(descriptor, clusters):
            return
        found = list(_processes_of(clusters))
        _log.warning("stopping a PostgreSQL that outlived its service", signal=number.name, pids=[p.pid for p in found])
        for process in found:
            # Only the parent of them all knows how to shut down in order; the others follow it.
            if number != signal.SIGINT or _is_postmaster(process):
                with suppress(psutil.NoSuchProcess):
                    process.send_signal(number)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline:
            if _is_clear(descriptor, clusters):
                return
            time.sleep(_POLL_S)
    raise StartupError(
        f"the database in {data_dir} is in use by a PostgreSQL that cannot be stopped from here "
        "(in another container?): stop it first"
    )


def _is_clear(descriptor: int, clusters: tuple[Path, ...]) -> bool:
    """Take the lock if it can be had, and tell whether nothing is left.

    Processes are looked for only where the lock does not say it all: a server that was started by hand holds no lock,
    but leaves its `postmaster.pid`.
    """
    if not _try_lock(descriptor):
        return False
    return not any((cluster / "postmaster.pid").exists() for cluster in clusters) or not any(_processes_of(clusters))


def _try_lock(descriptor: int) -> bool:
    """Take an exclusive lock without waiting; False when it is taken."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _processes_of(clusters: tuple[Path, ...]) -> Iterator[psutil.Process]:
    """Yield the live PostgreSQL processes of these clusters: each works in its cluster's folder."""
    folders = {(status.st_dev, status.st_ino) for status in (c.stat() for c in clusters if c.exists())}
    for process in psutil.process_iter(["name"]):
        if not (process.info["name"] or "").startswith("postgres"):
            continue
        with suppress(psutil.Error, OSError):
            status = Path(process.cwd()).stat()
            if (status.st_dev, status.st_ino) in folders and process.status() != psutil.STATUS_ZOMBIE:
                yield process


def _is_postmaster(process: psutil.Process) -> bool:
    """Tell the first process from its children, which call themselves `postgres: what they do`."""
    with suppress(psutil.Error):
        command = process.cmdline()
        return bool(command) and not command[0].startswith("postgres:")
    return False
