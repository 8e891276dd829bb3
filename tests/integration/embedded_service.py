"""A service reduced to its embedded database, run by the tests in a process of its own that they may kill.

It prints one line of JSON when it serves, then waits for Ctrl-C, upon which it says whether the database still answers
before it stops it. What cannot start is one line on standard error and exit status 3.
"""

import argparse
import asyncio
import json
import logging
import resource
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import asyncpg
import structlog

from src.errors import StartupError
from src.store.embedded import EmbeddedPostgres, server


async def answers(url: str) -> bool:
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SELECT 1") == 1)
    finally:
        await connection.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--without-death-signal", action="store_true", help="as on systems that have none")
    parser.add_argument("--file-bytes-max", type=int, help="as on a disk that is full")
    options = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # where the tests run in the background, it is ignored
    # Standard output is for the tests, and standard error for the one line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if options.without_death_signal:
        server._DEATH_SIGNAL = 0
    if options.file_bytes_max:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_bytes_max, options.file_bytes_max))
    try:
        with EmbeddedPostgres(options.data_dir) as postgres:
            try:
                print(json.dumps({"url": postgres.url(), "pid": postgres.pid}), flush=True)  # noqa: T201
                while True:  # pause() would miss a signal that comes just before it
                    time.sleep(0.1)
            except KeyboardInterrupt:
                print(json.dumps({"answers": asyncio.run(answers(postgres.url()))}), flush=True)  # noqa: T201
    except StartupError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(3)


if __name__ == "__main__":
    main()
