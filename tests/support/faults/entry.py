"""The service's own command with three levers that a test can move while it runs: `entry.py serve`.

The file that CORDBOARD_TEST_LEVERS names holds three numbers of eight bytes:

- by how many milliseconds the wall clock is off. The clock is the service's one port to wall time: so this is what a
  clock that was set wrong looks like to it. (A time namespace shifts monotonic clocks alone, and libfaketime comes in
  no wheel.)
- whether the engine has a fault: it raises upon contacts of the channel `poison`;
- how many frames may wait for one subscriber; 0: as many as ever. Few are too many also on a slow machine, before an
  unanswered ping is.
"""

import mmap
import os
from pathlib import Path
from typing import Any

from src.cli.main import app
from src.delivery import hub
from src.dispatch.clock import SystemClock
from src.router import matching
from src.router.board import Board
from src.router.entities import Contact

SIZE = 24


def _levers(path: Path) -> "memoryview[int]":
    with path.open("r+b") as file:
        return memoryview(mmap.mmap(file.fileno(), SIZE)).cast("q")


def _shift_clock(levers: "memoryview[int]") -> None:
    true_now_ms = SystemClock.now_ms

    def now_ms(self: SystemClock) -> int:
        return true_now_ms(self) + levers[0]

    SystemClock.now_ms = now_ms  # type: ignore[method-assign]  # that is the purpose


def _make_faulty(levers: "memoryview[int]", at: Any, name: str) -> None:
    sound = getattr(at, name)

    def faulty(board: Board, contact: Contact) -> Any:
        if levers[1] and contact.channel == "poison":
            raise RuntimeError("a fault of ours")
        return sound(board, contact)

    setattr(at, name, faulty)


def _shorten_buffers(levers: "memoryview[int]") -> None:
    sound, full = hub.Subscriber.put, hub.BUFFER_FRAMES_MAX

    def put(self: hub.Subscriber, seq: int, encoded: bytes) -> None:
        hub.BUFFER_FRAMES_MAX = levers[2] or full  # type: ignore[misc]  # that is the purpose
        sound(self, seq, encoded)

    hub.Subscriber.put = put  # type: ignore[method-assign]  # the same


if __name__ == "__main__":
    found = _levers(Path(os.environ["CORDBOARD_TEST_LEVERS"]))
    _shift_clock(found)
    _make_faulty(found, matching, "match")
    _make_faulty(found, Board, "put_waiting")
    _shorten_buffers(found)
    app()
