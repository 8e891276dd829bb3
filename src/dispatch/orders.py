"""What a caller wants of a tenant, on its way to whichever process serves it."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from src.dispatch.ports import Process
from src.dispatch.turn import Job, Once
from src.router.engine import Engine
from src.router.levels import Reached
from src.router.waits import Accuracy, Estimate

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Look(ABC, Generic[T_co]):
    """A question that is answered from the owner's memory, without a turn. Advice, not an answer."""

    __slots__ = ()

    @abstractmethod
    def look(self, engine: Engine | None) -> T_co:
        """Look; None: no engine is loaded."""


@dataclass(frozen=True, slots=True)
class Order(Generic[T]):
    """A job or a question, with the id under which it travels.

    A job that is not repeatable by itself has a `once`, also where the caller gave no key: see `Once.given`.
    `origin` is the span (W3C `traceparent`) in which it was given, where that is traced.
    """

    id: str
    wanted: Job[T] | Look[T]
    once: Once[T] | None = None
    origin: str | None = None


class Peers(Protocol):
    """The way to the other processes."""

    async def ask(self, peer: Process, tenant: str, order: Order[Any], left_s: float) -> Any:  # noqa: ANN401
        """Have an order carried out by the process that serves its tenant, within so many seconds.

        Raises:
            NotOwner: it does not serve the tenant (any more); nothing was done.
            PeerLost: the connection was lost; whether it was done is unknown.
            Refused: what the order was refused with there.
        """

    def gone(self, processes: Collection[str]) -> None:
        """These processes count as dead: what was sent to them is not waited for."""


@dataclass(frozen=True, slots=True)
class Outlook(Look[Mapping[str, tuple[int | None, Estimate | None]]]):
    """Position and estimated wait of waiting contacts, by id; from `now` on (milliseconds since the epoch)."""

    contact_ids: Sequence[str]
    now: int | None = None

    def look(self, engine: Engine | None) -> Mapping[str, tuple[int | None, Estimate | None]]:
        """Those that are not there have neither."""
        if engine is None:
            return {}
        return {each: (engine.position(each), engine.estimate(each, self.now)) for each in self.contact_ids}


@dataclass(frozen=True, slots=True)
class Staffing(Look[str]):
    """Whether somebody would be there for a contact of this channel: `open`, `closed` or `nobody`."""

    queue: str
    channel: str

    def look(self, engine: Engine | None) -> str:
        """Where no engine is loaded, it is about to be."""
        return "open" if engine is None else engine.staffing(self.queue, self.channel)


NO_OUTLOOK: Final[tuple[int | None, Estimate | None]] = (None, None)


@dataclass(frozen=True, slots=True)
class Accuracies(Look[Mapping[str, Accuracy]]):
    """By queue, how far off the estimated waits were since the tenant's engine was loaded."""

    def look(self, engine: Engine | None) -> Mapping[str, Accuracy]:
        """What was measured."""
        return {} if engine is None else engine.accuracy()


@dataclass(frozen=True, slots=True)
class AnsweredInTime(Look[Reached]):
    """How many were answered in time in the hour before `now` (milliseconds since the epoch)."""

    now: int

    def look(self, engine: Engine | None) -> Reached:
        """What was counted."""
        return Reached() if engine is None else engine.reached(self.now)


@dataclass(frozen=True, slots=True)
class Wake(Look[bool]):
    """Asks for nothing: whoever is asked claims the tenant if it may, and loads it."""

    def look(self, engine: Engine | None) -> bool:
        """Whether it was loaded already."""
        return engine is not None
