"""Where the server's unix socket lives: in the data folder, or in a temporary one when that path will not do."""

import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from src.store.embedded.programs import Account

PORT = 5432
_SOCKET = f".s.PGSQL.{PORT}"
SOCKET_FOLDER = "run"
# What fits into `sockaddr_un.sun_path` with its closing zero; macOS has four bytes less than Linux.
_PATH_BYTES_MAX = 103


def make_socket_folder(data_dir: Path, account: Account) -> Path:
    """Return an empty folder, open to `account` alone, in which a socket can be and be named.

    `<data_dir>/run` is that folder, or a link to it. Any from an earlier start is removed first, with its socket.
    """
    remove_socket_folder(data_dir)
    folder = data_dir / SOCKET_FOLDER
    # To clients a comma in it separates hosts.
    if len(os.fsencode(folder / _SOCKET)) <= _PATH_BYTES_MAX and "," not in str(folder):
        folder.mkdir(mode=0o700)
    else:
        # The base is not taken from TMPDIR, which may be as deep as the data folder.
        temporary = Path(tempfile.mkdtemp(prefix="cordboard-", dir="/tmp"))
        folder.symlink_to(temporary)
        folder = temporary
    account.give(folder)
    return folder


def remove_socket_folder(data_dir: Path) -> None:
    """Remove the socket folder of this data folder, if there is one."""
    folder = data_dir / SOCKET_FOLDER
    if folder.is_symlink():
        target = folder.readlink()
        folder.unlink()
        # Only what we put there, and only while it is still ours: others may write to the folder above it.
        if target.is_dir() and not target.is_symlink():
            for name in (_SOCKET, f"{_SOCKET}.lock"):
                with suppress(OSError):
                    (target / name).unlink()
            with suppress(OSError):
                target.rmdir()
    elif folder.exists():
        shutil.rmtree(folder)
