"""The service's own command with two levers that a test can move while it runs: `entry.py serve`.

The file that CORDBOARD_TEST_LEVERS names holds two numbers of eight bytes:

- by how many milliseconds the wall clock is off. The clock is the service's one port to wall time: so this is what a
  clock that was set wrong looks like to it. (A time namespace shifts monotonic clocks alone, and libfaketime comes in
  no wheel.)
- whether the engine has a fault: it raises upon contacts of the channel `poison`.
"""

import mmap
import os
from pathlib import Path
from typing import Any

from src.cli.main import app
from src.dispatch.clock import SystemClock
from src.router import matching
from src.router.board import Board
from src.router.entities import Contact

SIZE = 16


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


if __name__ == "__main__":
    found = _levers(Path(os.environ["CORDBOARD_TEST_LEVERS"]))
    _shift_clock(found)
    _make_faulty(found, matching, "match")
    _make_faulty(found, Board, "put_waiting")
    app()
