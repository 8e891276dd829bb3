"""What stands in the book of a telephone system that keeps no connection, for whoever has the line next."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from src.api.voice.hooked import _BookPipe
from src.channels.base import Account
from src.channels.voice.calls import Reached, Standing
from src.channels.voice.hook_line import HookLine
from src.dispatch.callnotes import CallNote, CallOrder

LEG = "a1"
CALL = f"out-c1.{LEG}"
ACCOUNT = Account("t", "pbx1", "voice", {"system": "webhook"}, {})
NOTES = [
    CallNote("n1", CALL, "coming", 1),
    CallNote("n2", CALL, "agent_answered", 3, LEG),
    CallNote("n3", CALL, "reached", 5),
    CallNote("n4", CALL, "bridged", 6, LEG),
]
ORDERS = [CallOrder("o1", CALL, "ring", 2, LEG, {"timeout_s": 30}), CallOrder("o2", CALL, "dial", 4, None, {})]


class Book:
    """A book of which the last notes were not taken yet."""

    def __init__(self, untaken: int) -> None:
        self._untaken = NOTES[len(NOTES) - untaken :]

    def seen(self, *_: str) -> int:
        return 0

    async def take(self, *_: str) -> Sequence[CallNote]:
        return self._untaken

    async def standing(self, *_: Any) -> tuple[Sequence[CallNote], Sequence[CallOrder]]:
        return NOTES, ORDERS


@pytest.mark.parametrize("untaken", [1, 2, 3])
async def test_who_hears_whom_stands_though_nobody_had_taken_it(untaken: int) -> None:
    pipe, line = _BookPipe(cast("Any", SimpleNamespace(call_book=Book(untaken))), ACCOUNT), HookLine()
    (standing,), _ = line.take(await pipe.receive(), 10)
    assert isinstance(standing, Standing)
    assert {("out-c1", LEG)} == standing.talking
    events = [each for _ in range(untaken) for each in line.take(await pipe.receive(), 10)[0]]
    assert (untaken > 1) == (Reached("out-c1", 5) in events), "that the customer has picked up is still news"
