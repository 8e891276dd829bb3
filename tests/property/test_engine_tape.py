"""A tape of random operations drives the engine on a fake clock; after each step every promise is checked."""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.property.tape.operations import NAMES
from tests.property.tape.player import Operation, Player

TAPES = int(os.environ.get("CORDBOARD_TEST_TAPES", "200"))

operations = st.tuples(st.sampled_from(NAMES), st.integers(0, 2**16))


@settings(max_examples=TAPES)
@given(st.integers(0, 2**16), st.lists(operations, min_size=60, max_size=120))
def test_every_promise_holds_after_every_step(centre: int, tape: list[Operation]) -> None:
    player = Player()
    player.open(centre)
    for operation in tape:
        player.play(operation)
