"""Everything that is counted for operators, in one place: `GET /metrics` shows it in Prometheus' text format.

What happens is counted where it happens. What is so (sockets, tenants, how busy the loop is) is set when it is asked
for, in `api/ops.py`. No label takes values that callers or tenants choose.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.registry import Collector

from src.router import events as ev
from src.router.journal import Event
from src.router.state import State

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

_QUICK: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_SLOW: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 60, 600, 3600, 86400)


def _counter(name: str, help_: str, labels: Iterable[str] = ()) -> Counter:
    return Counter(f"cordboard_{name}", help_, tuple(labels), registry=REGISTRY)


def _gauge(name: str, help_: str, labels: Iterable[str] = ()) -> Gauge:
    return Gauge(f"cordboard_{name}", help_, tuple(labels), registry=REGISTRY)


def _histogram(name: str, help_: str, buckets: Iterable[float]) -> Histogram:
    return Histogram(f"cordboard_{name}", help_, buckets=tuple(buckets), registry=REGISTRY)


# -- what happens ------------------------------------------------------------------------------------------------------

EVENTS: Final = _counter("events", "Events committed by this process, by type: contact.received is intake", ["type"])
COMMIT_S: Final = _histogram("commit_seconds", "How long a commit took, with its repeats", _QUICK)
BATCH_JOBS: Final = _histogram("commit_jobs", "Jobs that one turn served", (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000))
WAIT_S: Final = _histogram(
    "contact_wait_seconds",
    "From a contact's arrival until an agent first had it",
    (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600),
)
INTAKE_S: Final = _histogram(
    "intake_seconds", "From a request with contacts, read whole, to its answer: they are committed by then", _QUICK
)
DECISION_S: Final = _histogram("decision_seconds", "How long the engine took to decide upon one turn's jobs", _QUICK)
OFFER_S: Final = _histogram("offer_seconds", "From an offer until the agent accepted it", (1, 2, 5, 10, 15, 20, 30, 60))
DELIVERY_S: Final = _histogram(
    "delivery_seconds", "From the time of an event until it was handed to the sockets that it concerns", _QUICK
)
WEBHOOK_S: Final = _histogram(
    "webhook_delivery_seconds", "From the time of an event until a webhook had taken it, with all its tries", _SLOW
)
OUTBOX_S: Final = _histogram(
    "outbox_seconds", "From a message's being queued until it was sent or had failed, with all its tries", _SLOW
)
TURNED_AWAY: Final = _counter("turned_away", "Refused because there was too much to do, by where", ["at"])
PUSHES_REFUSED: Final = _counter(
    "pushes_refused",
    "Requests of channels' systems that were not taken, by code: of strangers, or with a clock off",
    ["code"],
)
LEASES_LOST: Final = _counter("leases_lost", "Times that this process counted as dead and was not")
FENCED: Final = _counter("fenced", "Tenants that another process had taken over when this one wanted to commit")
SET_ASIDE: Final = _counter("contacts_set_aside", "Contacts upon which the engine failed")
UNANNOUNCED: Final = _counter("announcements_dropped", "Commits that were not announced over Redis: others find them")
SLOW_CLOSED: Final = _counter("slow_consumers", "Streams that were closed because they read too slowly")
CONNECTOR_ANSWERS: Final = _counter("connector_answers", "What came of asking other systems, by code", ["code"])
WEBHOOK_DELIVERIES: Final = _counter("webhook_deliveries", "What came of posting events to webhooks, by code", ["code"])
REPEATS: Final = _counter(
    "repeats",
    "What came again and changed nothing (contact, message, answer to an idempotency key, order of another process), or"
    " was sent again because it had not been taken (webhook, outgoing message)",
    ["what"],
)
IN_DOUBT: Final = _counter(
    "in_doubt",
    "What was found unfinished when a tenant was taken up, and may have been sent before: at most so many"
    " went twice from one process to the next",
    ["what"],
)
LOOP_DELAY_S: Final = _histogram("event_loop_delay_seconds", "How much later than asked for the loop wakes", _QUICK)

# -- what is so --------------------------------------------------------------------------------------------------------

EXPECTED_WAIT_S: Final = _gauge("expected_wait_seconds", "How long a request that comes now would wait for its turn")
SOCKETS: Final = _gauge("sockets", "Open streams, by whose they are", ["of"])
TENANTS: Final = _gauge("owned_tenants", "Tenants that this process serves")
ORDERS: Final = _gauge("orders_on_the_way", "Requests that wait for a tenant's loop, here or in another process")
WEBHOOK_WAITING: Final = _gauge("webhook_waiting", "Events that webhooks of this process's tenants have not taken yet")
WEBHOOK_LAG_S: Final = _gauge("webhook_lag_seconds", "How old the oldest of them is")
OUTBOX_WAITING: Final = _gauge(
    "outbox_waiting", "Messages of this process's tenants that wait to be sent, as far as read"
)
OUTBOX_LAG_S: Final = _gauge("outbox_lag_seconds", "How old the oldest of them is")
ESTIMATED: Final = _gauge("estimated_waits", "Contacts that were told a wait and have left their queue")
ESTIMATE_ERROR_S: Final = _gauge("estimate_error_seconds", "Mean absolute error of the waits that were told")


class _LoopCpu(Collector):
    """Processor time of the event loop's thread, in which it is asked: its rate is how busy the loop is."""

    def describe(self) -> Iterator[CounterMetricFamily]:
        """The same without a value."""
        yield CounterMetricFamily("cordboard_event_loop_cpu_seconds", "Processor time of the event loop's thread")

    def collect(self) -> Iterator[CounterMetricFamily]:
        """Look at the thread's clock."""
        for each in self.describe():
            each.add_metric((), time.thread_time())
            yield each


REGISTRY.register(_LoopCpu())

_EVENTS_OF: Final = {each: EVENTS.labels(each) for each in ev.KNOWN}


def committed(events: Sequence[Event], state: State, took_s: float) -> None:
    """Count what a commit wrote. `state` is how things stand after it."""
    COMMIT_S.observe(took_s)
    for each in events:
        _EVENTS_OF[each.type].inc()
        if each.type == ev.CONTACT_ACTIVE:
            contact = state.contacts.get(each.contact_id or "")
            if contact is not None and contact.answered_at == each.at:
                WAIT_S.observe((each.at - contact.created_at) / 1000)
            offer = state.assignments.get(each.data["assignment_id"])
            if offer is not None:
                OFFER_S.observe((each.at - offer.offered_at) / 1000)


def shown() -> bytes:
    """Everything, as Prometheus reads it. To be called in the event loop's thread."""
    return generate_latest(REGISTRY)
