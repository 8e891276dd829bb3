"""What grows: many desktops, many open contacts at a restart, many contacts of one customer, a second process."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles
from typing import Final

from bench.machine import ADMIN_KEY, Postgres, start_service
from bench.receiver import Receiver
from bench.report import Goal
from bench.systems import System, hire
from bench.traffic import Desk, Traffic
from bench.wire import Http

KIB: Final = 1024
RATE_GOAL: Final = 500
DESKTOPS_GOAL: Final = 10_000
DESKTOP_KIB_MAX: Final = 40
DELIVERY_P99_MS_MAX: Final = 10
RESTART_S_MAX: Final = 2.0
OPEN_GOAL: Final = 10_000
FORWARD_MS_MAX: Final = 2.0
VIEW_GROWTH_MAX: Final = 1.5
BATCH: Final = 500
FEW: Final = 10
ASKED: Final = 200
VIEWS: Final = 40


def percentiles_ms(seconds: list[float]) -> tuple[float, float]:
    """The 50th and the 99th, in milliseconds."""
    cuts = quantiles(seconds, n=100)
    return cuts[49] * 1000, cuts[98] * 1000


async def desktops(system: System, count: int, seconds: float) -> list[Goal]:
    """P5: so many desktops more that hear nothing but their heartbeats, while contacts flow to the others.

    Without webhooks, and then while each event is posted to one besides.
    """
    program = system.program
    hello = await hire(program, count, "idle")
    before = program.rss()
    idle = Traffic(program.port, ADMIN_KEY, "idle")
    for number in range(count):
        desk = Desk(idle, number)
        await desk.open(program.port, "/v1/stream", hello(number))
        idle.desks.append(desk)
    await asyncio.sleep(1)
    each_kib = (program.rss() - before) / count / KIB
    whole = count >= DESKTOPS_GOAL
    found = [
        Goal(
            "P5",
            f"{count:,} desktops: memory of each",
            f"{each_kib:.0f} KiB",
            f"≤ {DESKTOP_KIB_MAX} KiB",
            each_kib / DESKTOP_KIB_MAX,
            each_kib <= DESKTOP_KIB_MAX if whole else None,
        )
    ]
    found.append(await _delivery(system, idle, "without webhooks", seconds))
    async with Receiver.listening() as receiver:
        api = await Http.connect(program.port, ADMIN_KEY)
        body = json.dumps({"url": f"http://127.0.0.1:{receiver.port}/events"}).encode()
        await api.good("PUT", "/v1/webhooks/bench", body)
        found.append(await _delivery(system, idle, "every event to a webhook", seconds))
        await receiver.settled()
        await api.good("DELETE", "/v1/webhooks/bench")
        api.close()
    idle.close()
    p50, p99 = percentiles_ms(receiver.late_s)
    taken = f"{len(receiver.seqs):,} events, {receiver.missing} missing: p50 {p50:.1f}, p99 {p99:.1f} ms"
    found.append(Goal("P5", "from an event until its webhook has taken it", taken, "none missing", None, None))
    return found


async def _delivery(system: System, idle: Traffic, how: str, seconds: float) -> Goal:
    """From post to desktop while contacts flow, beside so many others."""
    rate = min(RATE_GOAL, system.rate() / 2)
    before_s = system.program.cpu_s()
    figures = await system.traffic.steady(seconds, rate)
    cost_us = (system.program.cpu_s() - before_s) / figures.contacts * 1e6
    lost = sum(each.socket is None or each.socket.lost for each in idle.desks)
    p50, p99 = percentiles_ms(figures.delivery_s)
    met = p99 <= DELIVERY_P99_MS_MAX and rate >= RATE_GOAL and not lost
    return Goal(
        "P5",
        f"{len(idle.desks):,} desktops, {lost} lost, {how}: delivery",
        f"p50 {p50:.1f}, p99 {p99:.1f} ms at {rate:.0f}/s, {cost_us:,.0f} µs a contact",
        f"p99 ≤ {DELIVERY_P99_MS_MAX} ms, {RATE_GOAL}/s",
        p99 / DELIVERY_P99_MS_MAX,
        met if len(idle.desks) >= DESKTOPS_GOAL else None,
    )


@dataclass(slots=True)
class Backlog:
    """A service over a database of its own in which many contacts wait that nobody can take."""

    postgres: Postgres
    folder: Path
    waiting: int

    async def goals(self, told: Callable[[int], None]) -> list[Goal]:
        """P6 and P7 on it. `told` hears how many contacts have been posted."""
        url = await self.postgres.database("backlog")
        first = start_service("backlog", url, self.folder)
        await first.answers("/readyz")
        api = await Http.connect(first.port, ADMIN_KEY)
        for begin in range(0, self.waiting, BATCH):
            await api.good("POST", "/v1/contacts:batch", _items("many", begin, min(BATCH, self.waiting - begin)))
            told(begin + BATCH)
        api.close()
        first.stop()
        begun = time.perf_counter()
        first = start_service("backlog", url, self.folder)
        await _first_answer(first.answers("/readyz"), first.port)
        took_s = time.perf_counter() - begun
        goal = "≤ 2 s" if self.waiting <= OPEN_GOAL else "≤ 30 s with 1,000,000"
        limit = RESTART_S_MAX if self.waiting <= OPEN_GOAL else 30.0
        what = f"restart to the first contact taken, {self.waiting:,} open"
        met = took_s <= limit if self.waiting >= OPEN_GOAL else None
        second = start_service("backlog-2", url, self.folder)
        await second.answers("/readyz")
        forwarded = await _forwarding(first.port, second.port)
        second.stop()
        first.stop()
        return [Goal("P6", what, f"{took_s:.1f} s", goal, took_s / limit, met), forwarded]


def _items(member: str, begin: int, count: int) -> bytes:
    return json.dumps({"items": [_contact(member, f"{member}-{begin + each}") for each in range(count)]}).encode()


def _contact(member: str, name: str) -> dict[str, object]:
    identity = {"type": "member", "value": member}
    return {
        "channel": "voice",
        "external_id": name,
        "identity": identity,
        "tags": ["nobody-can"],
        "text": "a rare thing",
    }


async def _first_answer(ready: Awaitable[None], port: int) -> None:
    await ready
    api = await Http.connect(port, ADMIN_KEY)
    deadline = time.monotonic() + 60
    while (await api.ask("POST", "/v1/contacts", json.dumps(_contact("few", "again")).encode()))[0] != 201:  # noqa: PLR2004
        if time.monotonic() > deadline:
            raise RuntimeError("the service takes no contact after its restart")


async def _timed_ms(api: Http, method: str, path: str, body: bytes = b"") -> float:
    begin = time.perf_counter()
    await api.good(method, path, body)
    return (time.perf_counter() - begin) * 1000


async def views(system: System, contacts: int) -> Goal:
    """P8: reading the view of a customer with so many contacts that have ended takes no longer than with a few."""
    customers = {"few": FEW, "many": contacts}
    for member, count in customers.items():
        await system.traffic.of_one(member, count)
    api = await Http.connect(system.program.port, ADMIN_KEY)
    times: dict[str, list[float]] = {each: [] for each in customers}
    for _ in range(VIEWS):
        for member, taken in times.items():
            taken.append(await _timed_ms(api, "GET", f"/v1/customers:lookup?type=member&value={member}"))
    api.close()
    few, many = median(times["few"]), median(times["many"])
    growth, goal = many / few, f"≤ {VIEW_GROWTH_MAX} times"
    what = f"view of a customer with {contacts:,} contacts against {FEW}"
    return Goal("P8", what, f"{many:.1f} against {few:.1f} ms", goal, growth, growth <= VIEW_GROWTH_MAX)


async def _forwarding(*ports: int) -> Goal:
    """One of the two processes serves the tenant; what is posted to the other is forwarded."""
    ways = [await Http.connect(each, ADMIN_KEY) for each in ports]
    times: list[list[float]] = [[], []]
    for number in range(ASKED):
        for place, (way, taken) in enumerate(zip(ways, times, strict=True)):
            body = json.dumps(_contact("few", f"way{place}-{number}")).encode()
            taken.append(await _timed_ms(way, "POST", "/v1/contacts", body))
    own, other = sorted(median(each[ASKED // 10 :]) for each in times)
    more = other - own
    measured = f"{more:.1f} ms more than {own:.1f}"
    return Goal(
        "P7",
        "a forwarded contact, median",
        measured,
        f"≤ {FORWARD_MS_MAX} ms more",
        more / FORWARD_MS_MAX,
        more <= FORWARD_MS_MAX,
    )
