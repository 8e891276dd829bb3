"""The centre's clock, which runs `speed` times as fast as the real one, and its dice."""

import asyncio
import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Turns seconds of the centre's clock into real ones."""

    speed: float

    def real_s(self, seconds: float) -> float:
        """Real seconds."""
        return seconds / self.speed

    async def sleep(self, seconds: float) -> None:
        """Sleep for so many seconds of the centre's clock."""
        await asyncio.sleep(seconds / self.speed)


def seeded(seed: str, purpose: str) -> random.Random:
    """Dice for one purpose: the same seed throws the same, whatever others throw meanwhile."""
    return random.Random(f"{seed}:{purpose}")  # noqa: S311  # nothing is kept secret by it
