"""Traces over OpenTelemetry, from a gateway's request to the desktop's frame. Off until a tracer is given.

    request ─► order ─► (another process) ─► commit ─► announcement ─► frame, webhook, message

What an event came of, its origin, is the request's span. It is no part of the journal: it is kept in memory for the
newest events and travels beside orders and announcements, so that what is read from the journal later has none.
Spans hold ids, codes and numbers; never a path, a text or an error's message.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Link, Span, SpanKind, Status, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from src.errors import Refused

TRACEPARENT: Final = "traceparent"

ORIGINS_MAX: Final = 20_000
"""So many events' origins are kept; of more, the oldest are forgotten."""

LINKS_MAX: Final = 100
"""So many requests are named by the commit that they share."""

_CARRIER: Final = TraceContextTextMapPropagator()
_NOTHING: Final = nullcontext()


@dataclass(frozen=True, slots=True)
class Origin:
    """What an event came of (W3C `traceparent`), and the event's type."""

    traceparent: str
    event: str


_tracer: Tracer | None = None
_origins: OrderedDict[tuple[str, int], Origin] = OrderedDict()


def use(tracer: Tracer | None) -> None:
    """Trace with this from now on; None: no longer."""
    global _tracer  # noqa: PLW0603  # like what is counted, it is the process's
    _tracer = tracer
    _origins.clear()


def on() -> bool:
    """Whether anything is traced."""
    return _tracer is not None


def current() -> str | None:
    """The span that is under way, as W3C `traceparent`; None where there is none."""
    if _tracer is None:
        return None
    found: dict[str, str] = {}
    _CARRIER.inject(found)
    return found.get(TRACEPARENT)


def headers() -> Mapping[str, str]:
    """What carries the span that is under way into a request to somebody else."""
    found = current()
    return {} if found is None else {TRACEPARENT: found}


def span(
    name: str,
    parent: str | None = None,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Iterable[str] = (),
    **attributes: str | int,
) -> AbstractContextManager[Span | None]:
    """A span for as long as the context lasts, below `parent` (a `traceparent`) or what is under way; None when off.

    A `parent` that is none begins a new trace. `attributes` are named `cordboard.…`.
    """
    if _tracer is None:
        return _NOTHING
    return _spanned(_tracer, name, parent, kind, links, attributes)


@contextmanager
def _spanned(
    tracer: Tracer, name: str, parent: str | None, kind: SpanKind, links: Iterable[str], attributes: Mapping[str, Any]
) -> Iterator[Span]:
    with tracer.start_as_current_span(
        name,
        None if parent is None else _context(parent),
        kind,
        {f"cordboard.{each}": value for each, value in attributes.items()},
        [Link(trace.get_current_span(_context(each)).get_span_context()) for each in links],
        record_exception=False,  # what it says may be somebody's data
        set_status_on_exception=False,
    ) as found:
        try:
            yield found
        except Refused as refusal:
            found.set_attribute("error.type", refusal.code)
            raise
        except Exception as error:
            found.set_attribute("error.type", type(error).__qualname__)
            found.set_status(Status(StatusCode.ERROR))
            raise


def _context(traceparent: str) -> Context:
    return _CARRIER.extract({TRACEPARENT: traceparent}, Context())


def keep(tenant: str, seq: int, origin: Origin) -> None:
    """Remember what an event of a tenant came of."""
    if _tracer is not None:
        _origins[(tenant, seq)] = origin
        if len(_origins) > ORIGINS_MAX:
            _origins.popitem(last=False)


def origin(tenant: str, seq: int) -> Origin | None:
    """What an event of a tenant came of, where that is known."""
    return None if _tracer is None else _origins.get((tenant, seq))


def noted(_logger: object, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A processor of structlog: the line with the ids of the span in which it is written."""
    if _tracer is not None:
        found = trace.get_current_span().get_span_context()
        if found.is_valid:
            line["trace_id"], line["span_id"] = f"{found.trace_id:032x}", f"{found.span_id:016x}"
    return line
