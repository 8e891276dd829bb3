"""A tape of random operations drives the engine on a fake clock; after each step every promise is checked.

`make test` plays the same tapes each time; `make test-tapes` plays others, and more.
"""

import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.tape.operations import NAMES
from tests.property.tape.player import Operation, Player

TAPES = int(os.environ.get("CORDBOARD_TEST_TAPES", "200"))
FIRST = int(os.environ.get("CORDBOARD_TEST_FIRST_TAPE", "0"))
"""The number of the first random tape."""

LENGTH = 100

operations = st.tuples(st.sampled_from(NAMES), st.integers(0, 2**16))


@settings(max_examples=-(-TAPES // 2))
@given(st.integers(0, 2**16), st.lists(operations, min_size=60, max_size=120))
def test_every_promise_holds_after_every_step(centre: int, tape: list[Operation]) -> None:
    _play(centre, tape)


def test_every_promise_holds_on_tapes_that_nobody_looks_for() -> None:
    """Evenly drawn, they come to places that a search for simple tapes does not. One that fails is made shorter."""
    for number in range(FIRST, FIRST + TAPES):
        random = Random(number)
        centre, tape = random.randrange(2**16), [(random.choice(NAMES), random.randrange(2**16)) for _ in range(LENGTH)]
        broken = _broken(centre, tape)
        if broken is not None:
            shortest = _shortened(centre, tape, broken)
            raise AssertionError(f"tape {number}: centre {centre}, {shortest}: {broken}")


def _play(centre: int, tape: list[Operation]) -> None:
    player = Player()
    player.open(centre)
    for operation in tape:
        player.play(operation)


def _broken(centre: int, tape: list[Operation]) -> str | None:
    """What a tape breaks, without the names of who was concerned."""
    try:
        _play(centre, tape)
    except AssertionError as broken:
        return " ".join(word for word in str(broken).split() if not word[-1].isdigit()) or "a promise"
    return None


def _shortened(centre: int, tape: list[Operation], broken: str) -> list[Operation]:
    """The same without the operations that it breaks without."""
    size = len(tape) // 2
    while size:
        place = 0
        while place < len(tape):
            shorter = tape[:place] + tape[place + size :]
            if _broken(centre, shorter) == broken:
                tape = shorter
            else:
                place += size
        size //= 2
    return tape
