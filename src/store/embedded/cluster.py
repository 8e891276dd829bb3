"""The database cluster on disk: made once, whole or not at all, and checked before it is used.

A new cluster is made in a sibling folder and renamed when it is complete, so a start that was cut short leaves nothing
that the next one could take for a database.
"""

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import structlog

from src.errors import StartupError
from src.store.embedded.programs import Account, bundled_major, find_program, require_named_user, spawn

CLUSTER = "postgres"
UNFINISHED_CLUSTER = "postgres.new"
PASSWORD = "postgres.password"  # noqa: S105 - the name of a file
OWNER = "cordboard"

_PASSWORD_BYTES = 24
_INITDB_S_MAX = 300

_log = structlog.get_logger(__name__)


def make_folder(data_dir: Path) -> None:
    """Make the data folder where it is missing.

    Made by root it lets others pass through (not look in), for PostgreSQL runs as another user then. A folder that is
    already there keeps its mode.
    """
    if not data_dir.exists():
        data_dir.mkdir(parents=True)
        data_dir.chmod(0o711 if os.geteuid() == 0 else 0o700)


def ensure_password(data_dir: Path) -> str:
    """Return the password of the cluster's owner, which is made on first use and kept in a file for our eyes only."""
    path = data_dir / PASSWORD
    if path.exists() and (kept := path.read_text(encoding="ascii").strip()):
        return kept
    if (data_dir / CLUSTER).exists():
        raise StartupError(
            f"the password of the embedded database is gone: restore {path}, "
            "or set CORDBOARD_DATA_DIR to a new folder to start empty"
        )
    password = secrets.token_urlsafe(_PASSWORD_BYTES)
    _write_secret(path, password)
    return password


def _write_secret(path: Path, secret: str) -> None:
    """Write a secret so that the file is complete or missing, and never readable by others."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.")
    with open(descriptor, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, not a path
        file.write(f"{secret}\n")
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)


def check_cluster(cluster: Path) -> None:
    """Check that the bundled PostgreSQL can use an existing cluster.

    Raises:
        StartupError: another major version made it, or it is no cluster.
    """
    try:
        major = (cluster / "PG_VERSION").read_text(encoding="ascii").strip()
    except FileNotFoundError:
        raise StartupError(
            f"{cluster} is no PostgreSQL database: restore it from a backup, or move it away to start with an empty one"
        ) from None
    if major != bundled_major():
        raise StartupError(
            f"the database in {cluster} was made by PostgreSQL {major} and this release brings {bundled_major()}: "
            "dump it with the release that made it and load it into a new CORDBOARD_DATA_DIR"
        )


def make_cluster(data_dir: Path, *, account: Account, password: str, lock: int, durable: bool) -> None:
    """Make `<data_dir>/postgres`, owned by `account`.

    Args:
        data_dir: the data folder, whose lock the caller holds.
        account: whom PostgreSQL runs as.
        password: of the cluster's owner.
        lock: the descriptor of `postgres.lock`.
        durable: whether the new cluster is forced to disk before it counts.

    Raises:
        StartupError: initdb failed; the message bears its reason.
    """
    if not account.uid:
        require_named_user()
    unfinished = data_dir / UNFINISHED_CLUSTER
    for leftover in data_dir.glob(f"{UNFINISHED_CLUSTER}*"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    _log.info("making the embedded database", folder=str(data_dir / CLUSTER))
    password_file = data_dir / f"{UNFINISHED_CLUSTER}.password"
    try:
        unfinished.mkdir(mode=0o700)
        account.give(unfinished)
        # initdb wants a file that it can read as the user it runs as.
        _write_secret(password_file, password)
        account.give(password_file)
        _run_initdb(unfinished, password_file, account=account, lock=lock, durable=durable)
        unfinished.rename(data_dir / CLUSTER)
        _sync_folder(data_dir)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    finally:
        password_file.unlink(missing_ok=True)


def _run_initdb(folder: Path, password_file: Path, *, account: Account, lock: int, durable: bool) -> None:
    """Fill an empty folder with a cluster."""
    command = [
        *(str(find_program("initdb")), "--pgdata", str(folder), "--username", OWNER),
        *("--auth", "scram-sha-256", "--pwfile", str(password_file)),
        # PostgreSQL's own C.UTF-8 sorts and folds alike on every machine, whatever locales it has.
        *("--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"),
        *(() if durable else ("--no-sync",)),
    ]
    with tempfile.TemporaryFile() as output:
        process = spawn(command, account=account, folder=folder, death_signal=signal.SIGKILL, lock=lock, output=output)
        with process:
            try:
                code = process.wait(timeout=_INITDB_S_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                raise StartupError(f"making the database in {folder} took more than {_INITDB_S_MAX} s") from None
            except BaseException:
                process.kill()
                raise
        output.seek(0)
        said = output.read().decode(errors="replace")
    if code != 0:
        raise StartupError(f"cannot make the database in {folder.parent}: {last_complaint(said)}")


def last_complaint(text: str) -> str:
    """Return the line of a PostgreSQL program's output that says why it ended."""
    # The last one is said to whoever connects too early, not about the server.
    lines = [line.strip() for line in text.splitlines() if line.strip() and "the database system is " not in line]
    grave = [line for line in lines if any(mark in line for mark in ("PANIC:", "FATAL:", "error:", "ERROR:"))]
    return (grave or lines or ["it said nothing"])[-1]


def adopt_cluster(cluster: Path, account: Account) -> None:
    """Give a cluster that root owns, such as one restored by `cp -r`, to the user that PostgreSQL runs as."""
    if not account.uid or cluster.stat().st_uid == account.uid:
        return
    for folder, folders, files in os.walk(cluster):
        for name in (*folders, *files):
            account.give(Path(folder) / name)
    account.give(cluster)


def rotate_log(path: Path, bytes_max: int) -> None:
    """Keep a log within its size: what exceeds it becomes `NAME.1`, in place of the one before.

    The content is copied and cut off rather than renamed, for PostgreSQL goes on writing (appending) to the file that
    it has open.
    """
    if path.exists() and path.stat().st_size > bytes_max:
        shutil.copyfile(path, path.with_name(f"{path.name}.1"))
        os.truncate(path, 0)


def _sync_folder(folder: Path) -> None:
    """Force a folder's entries to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
