"""Ports for servers that a test starts, kills and starts again."""

import secrets
import socket

SERVERS = range(15_000, 32_768)
"""Below what systems give to connections that go out (32768 and above): those would take it while a server is dead."""

TRIES = 100


def free_port() -> int:
    """A port that nobody listens at, and that no connection gets by itself."""
    for _ in range(TRIES):
        port = secrets.choice(SERVERS)
        with socket.socket() as found:
            try:
                found.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
    raise AssertionError("no port is free")
