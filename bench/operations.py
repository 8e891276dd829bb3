"""What each operation of the matching index takes, alone."""

import gc
import time
from collections import deque
from itertools import count
from random import Random
from statistics import median
from typing import Final

from bench.centre import CHANNELS, SHARED_PROFILES
from src.router.answers import Standing
from src.router.fit import Ability, Need
from src.router.index import Index
from src.router.model import AgentConfig

ROUNDS: Final = 15
LIVES_PER_ROUND: Final = 200
FREE: Final = tuple(CHANNELS)
_SKILLS: Final = tuple(f"skill{each:02d}" for each in range(50))


class _Stopwatch:
    """Time by name."""

    def __init__(self) -> None:
        self.used_s: dict[str, float] = {}
        self._begin = 0.0

    def start(self) -> None:
        self._begin = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.used_s[name] = self.used_s.get(name, 0) + now - self._begin
        self._begin = time.perf_counter()


def measured(agents: int) -> dict[str, float]:
    """Microseconds that each operation takes in the life of a contact, with half of so many agents busy."""
    random = Random(2026)  # noqa: S311  # the same each time
    profiles = [
        Ability.of(AgentConfig("", skills={each: random.randrange(10, 101, 10) for each in random.sample(_SKILLS, 5)}))
        for _ in range(SHARED_PROFILES)
    ]
    needs = []
    for _ in range(100):
        skill, level = random.choice(sorted(random.choice(profiles).skills))
        preferred = ((random.choice(_SKILLS), 1, 2),) if random.random() < 0.3 else ()  # noqa: PLR2004
        needs.append(Need(random.choice(FREE), ((skill, max(1, level // 2)), ("language:zh", 1)), preferred))
    index, clock, abilities = Index(), count(1_000_000), {}
    for number in range(agents):
        agent_id = f"agent{number:06d}"
        abilities[agent_id] = profiles[number % SHARED_PROFILES]
        index.put_agent(agent_id, abilities[agent_id], "available", FREE, Standing(random.randrange(1_000_000)))
    busy: deque[str] = deque()
    gc.collect()
    gc.freeze()
    rounds: list[dict[str, float]] = []
    for _round in range(agents // 2 // LIVES_PER_ROUND + 1 + ROUNDS):
        watch = _Stopwatch()
        for _ in range(LIVES_PER_ROUND):
            now, need = next(clock), random.choice(needs)
            watch.start()
            signature = index.signature(need)
            watch.lap("signature")
            found = index.candidates(signature, (), 4, sure=1)
            watch.lap("candidates")
            index.excluded(signature, ())
            watch.lap("excluded")
            if found:
                agent_id = found[0].agent_id
                watch.start()
                index.put_agent(agent_id, abilities[agent_id], "available", (), Standing(now, now, 1000))
                watch.lap("put (taken)")
                busy.append(agent_id)
            contact = (now, f"contact{now}")
            watch.start()
            index.put_waiting(contact, need, "default", matchable=False)
            watch.lap("put waiting")
            index.remove_waiting(contact[1])
            watch.lap("remove waiting")
            if len(busy) > agents // 2:
                agent_id = busy.popleft()
                watch.start()
                index.put_agent(agent_id, abilities[agent_id], "available", FREE, Standing(now))
                watch.lap("put (free)")
                index.next_for(agent_id, lambda _: False)
                watch.lap("next for")
        rounds.append({name: used_s / LIVES_PER_ROUND * 1e6 for name, used_s in watch.used_s.items()})
    gc.unfreeze()
    last = rounds[-ROUNDS:]
    return {name: median(each[name] for each in last) for name in last[0]}
