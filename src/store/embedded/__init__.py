"""The embedded database: PostgreSQL from a wheel, as a child process of the service, on Linux and macOS.

What may be relied on: the data survives restarts and crashes; nothing listens on the network; one service to a data
folder; no server outlives its service for long, however that ended; and what cannot start says so in one line.
"""

from src.store.embedded.server import EmbeddedPostgres, running_url

__all__ = ["EmbeddedPostgres", "running_url"]
