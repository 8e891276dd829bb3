"""What is due when. It only orders; what becomes of a thing that is due is the engine's business."""

from heapq import heapify, heappop, heappush
from typing import Final

_STALE_FACTOR: Final = 4
_STALE_MIN: Final = 1024


class Timers:
    """At most one deadline for each (kind, id); setting it anew replaces it. Times in milliseconds."""

    def __init__(self) -> None:
        self._due: dict[str, dict[str, int]] = {}
        self._heap: list[tuple[int, str, str]] = []
        self._heap_max = _STALE_MIN

    def set(self, kind: str, entity_id: str, due_at: int | None) -> None:
        """Set, move or (with None) clear the deadline."""
        due = self._due.get(kind)
        if due is None:
            due = self._due[kind] = {}
        if due_at is None:
            if entity_id in due:
                del due[entity_id]
        elif due.get(entity_id) != due_at:
            due[entity_id] = due_at
            heappush(self._heap, (due_at, kind, entity_id))
            if len(self._heap) > self._heap_max:
                self._heap = [(at, of, each) for of, those in self._due.items() for each, at in those.items()]
                heapify(self._heap)
                self._heap_max = _STALE_MIN + _STALE_FACTOR * len(self._heap)

    def next_due(self) -> int | None:
        """The earliest deadline."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop(self, now: int) -> tuple[str, str] | None:
        """Take one thing that is due by `now`, earliest first; its deadline is cleared."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, kind, entity_id = heappop(self._heap)
        del self._due[kind][entity_id]
        return (kind, entity_id)

    def _drop_stale(self) -> None:
        heap, due = self._heap, self._due
        while heap and due[heap[0][1]].get(heap[0][2]) != heap[0][0]:
            heappop(heap)
