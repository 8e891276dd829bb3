"""What is due when. It only orders; what becomes of a thing that is due is the engine's business."""

import heapq
from typing import Final

_STALE_FACTOR: Final = 4
_STALE_MIN: Final = 1024


class Timers:
    """At most one deadline for each (kind, id); setting it anew replaces it. Times in milliseconds."""

    def __init__(self) -> None:
        self._due: dict[tuple[str, str], int] = {}
        self._heap: list[tuple[int, str, str]] = []

    def set(self, kind: str, entity_id: str, due_at: int | None) -> None:
        """Set, move or (with None) clear the deadline."""
        key = (kind, entity_id)
        if due_at is None:
            self._due.pop(key, None)
        elif self._due.get(key) != due_at:
            self._due[key] = due_at
            heapq.heappush(self._heap, (due_at, kind, entity_id))
            if len(self._heap) > _STALE_MIN + _STALE_FACTOR * len(self._due):
                self._heap = [(at, *each) for each, at in self._due.items()]
                heapq.heapify(self._heap)

    def next_due(self) -> int | None:
        """The earliest deadline."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop(self, now: int) -> tuple[str, str] | None:
        """Take one thing that is due by `now`, earliest first; its deadline is cleared."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, kind, entity_id = heapq.heappop(self._heap)
        del self._due[(kind, entity_id)]
        return (kind, entity_id)

    def _drop_stale(self) -> None:
        while self._heap and self._due.get(self._heap[0][1:]) != self._heap[0][0]:
            heapq.heappop(self._heap)
