"""Ports for servers that a test starts, kills and starts again."""

import itertools
import os
import secrets
import socket
import zlib
from typing import Final

SERVERS: Final = range(15_000, 32_768)
"""Below what systems give to connections that go out (32768 and above): those would take it while a server is dead."""

SHARES: Final = 64
_run: Final = zlib.crc32(os.environ.get("PYTEST_XDIST_TESTRUNUID", secrets.token_hex()).encode())
_worker: Final = int("0" + "".join(filter(str.isdigit, os.environ.get("PYTEST_XDIST_WORKER", ""))))
_own: Final = SERVERS[(_run + _worker) % SHARES :: SHARES]
_next: Final = itertools.count(secrets.randbelow(len(_own)))


def free_port() -> int:
    """A port that nobody listens at, and that no connection gets by itself.

    Its server is started later, and may be dead for a while: so nobody of this run is given the same one meanwhile.
    Each worker of a run has a share of its own, and gives it in turn, from anywhere on.
    """
    for number in itertools.islice(_next, len(_own)):
        port = _own[number % len(_own)]
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
