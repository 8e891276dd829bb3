"""An exhaustive checker of small models: every state that can be reached, in order of distance."""

import gc
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Step(Generic[S]):
    """Something that can happen: in words, whether it is a fault (nothing need wait for it), and what is so then."""

    words: str
    fault: bool
    after: S


@dataclass(frozen=True, slots=True)
class Found:
    """What a search came to. `wrong` None: nothing is; else `trace` is a shortest way to it, in words.

    `complete` false: the search was ended at its bound of states.
    """

    states: int
    depth: int
    complete: bool
    wrong: str | None = None
    trace: tuple[str, ...] = ()

    def told(self) -> str:
        """The result as text for people."""
        head = f"{self.states:,} states, {self.depth} steps deep{'' if self.complete else ' (ended at the bound)'}"
        if self.wrong is None:
            return f"{head}: nothing is wrong"
        return "\n".join([f"{head}: {self.wrong}", *(f"  {n:2}. {each}" for n, each in enumerate(self.trace, 1))])


def search(
    first: S,
    steps: Callable[[S], Iterable[Step[S]]],
    wrong: Callable[[S], str | None],
    wrong_at_rest: Callable[[S], str | None],
    states_max: int,
) -> Found:
    """Visit every state once, nearest first. A state is at rest when nothing but faults can happen in it."""
    came: dict[S, tuple[S, str] | None] = {first: None}
    line = deque([(first, 0)])
    depth = 0
    gc_was_on = gc.isenabled()
    gc.disable()  # nothing here goes in circles, and looking through millions of tuples takes longer than the search
    try:
        while line:
            state, depth = line.popleft()
            found = wrong(state)
            rest = True
            for step in steps(state):
                rest = rest and step.fault
                if step.after not in came:
                    came[step.after] = (state, step.words)
                    line.append((step.after, depth + 1))
            if found is None and rest:
                found = wrong_at_rest(state)
            if found is not None:
                return Found(len(came), depth, complete=False, wrong=found, trace=_trace(came, state))
            if len(came) > states_max:
                return Found(len(came), depth, complete=False)
    finally:
        if gc_was_on:
            gc.enable()
    return Found(len(came), depth, complete=True)


def _trace(came: dict[S, tuple[S, str] | None], state: S) -> tuple[str, ...]:
    words = []
    while (before := came[state]) is not None:
        state = before[0]
        words.append(before[1])
    return tuple(reversed(words))
