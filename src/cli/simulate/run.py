"""One run: from the opening of the centre over its closing time to the report."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

from src.api.schemas import AgentBody
from src.cli.simulate import report as reports
from src.cli.simulate.board import milliseconds
from src.cli.simulate.customers import Crowd
from src.cli.simulate.desk import Desk, Floor
from src.cli.simulate.ledger import Ledger, Tally
from src.cli.simulate.pace import Pace, seeded
from src.cli.simulate.report import Report
from src.cli.simulate.scenario import Scenario, load
from src.client import Client, ClientError, Declined, NoAnswer, Welcome
from src.errors import StartupError

CONNECTIONS_MAX: Final = 32
OPEN_S_MAX: Final = 10.0
AT_ONCE_MAX: Final = 16
"""Requests that are under way together while the centre is set up."""

JOURNAL_PAGE: Final = 1_000
JOURNAL_WAIT_S: Final = 5
SETUP_S_MAX: Final = 60.0
DRAIN_S: Final = 15.0
"""Real seconds after closing time in which conversations end by themselves; then everybody is hurried."""

HURRY_S_MAX: Final = 10.0
SETTLE_S_MAX: Final = 30.0
CHECK_S_MAX: Final = 60.0
STRANGERS_CHECKED_MAX: Final = 200
_POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Options:
    """How to run. `duration_s` is real; `rate_per_minute` of real minutes, None: what suits the agents."""

    url: str
    key: str
    duration_s: float = 60.0
    rate_per_minute: float | None = None
    agents: int | None = None
    speed: float = 30.0
    seed: str = "1"
    contacts_max: int | None = None


@dataclass(slots=True)
class Progress:
    """What a picture may look at while the run goes on."""

    options: Options
    scenario: Scenario
    ledger: Ledger
    clock_ahead_s: float
    began_s: float
    rate_per_s: float
    phase: str = "open"

    def now_ms(self) -> float:
        """The service's time, in milliseconds since the epoch."""
        return (time.time() + self.clock_ahead_s) * 1000

    def elapsed_s(self) -> float:
        """Real seconds since the first customer could come."""
        return time.monotonic() - self.began_s


Watcher = Callable[[Progress], Coroutine[Any, Any, None]]
"""Shows the run; it is cancelled when the run is over."""


async def simulate(
    options: Options,
    scenario: Scenario | None = None,
    *,
    watch: Watcher | None = None,
    stop: asyncio.Event | None = None,
) -> Report:
    """Run a contact centre and report.

    `stop` ends it early: set once it is closing time, and the run is still ended properly.

    Raises:
        StartupError: the service is not there, refuses the key or the scenario. One line says which.
    """
    scenario = scenario or load()
    stop = stop or asyncio.Event()
    tally = Tally()
    rng = seeded(options.seed, "pauses")
    async with Client(options.url, options.key, connections=CONNECTIONS_MAX, rng=rng, on_retry=tally.retried) as api:
        centre = await _open(api, options, scenario, tally)
        try:
            async with centre.working(watch):
                await centre.trade(stop)
                await centre.close()
        finally:
            with contextlib.suppress(NoAnswer, Declined):
                await _configure(api, scenario, speed=1.0)
        return await centre.settle()


async def _open(api: Client, options: Options, scenario: Scenario, tally: Tally) -> "_Centre":
    staff = scenario.staff(options.agents)
    try:
        await api.once("GET", "/v1/settings")
        seq, clock_ahead_s = await _head(api)
        await _configure(api, scenario, options.speed)
        await _each(
            (f"/v1/agents/{quote(name, safe='')}", agent.model_dump(by_alias=True)) for name, agent in staff.items()
        )(api)
    except NoAnswer as error:
        raise StartupError(
            f"no service answers at {options.url} ({error}): start one with `cordboard serve`"
        ) from error
    except Declined as refusal:
        if refusal.status == 401:  # noqa: PLR2004  # Unauthorized
            raise StartupError("the key is not valid: give an admin key by --key or CORDBOARD_ADMIN_KEY") from refusal
        raise StartupError(f"the service at {options.url} refuses: {refusal}") from refusal
    run_id = f"sim-{secrets.token_hex(4)}"
    ledger = Ledger(scenario, staff, run_id=run_id, seq=seq, speed=options.speed, tally=tally)
    return _Centre(api, options, scenario, ledger, staff, clock_ahead_s)


async def _head(api: Client) -> tuple[int, float]:
    """Where the journal stands, and how far the service's clock is ahead of ours, in seconds."""
    try:
        async with asyncio.timeout(OPEN_S_MAX), api.stream() as stream:
            async for each in stream:
                if isinstance(each, Welcome):
                    return each.seq, milliseconds(each.now) / 1000 - time.time()
    except (TimeoutError, ClientError) as error:
        raise StartupError(f"the stream of {api.url} does not open: {str(error) or 'no welcome'}") from error
    raise StartupError(f"the stream of {api.url} does not open")


async def _configure(api: Client, scenario: Scenario, speed: float) -> None:
    """Put the scenario's configuration: queues before the rules that name them."""
    wanted = scenario.configuration(speed)
    await api.once("PUT", "/v1/settings", wanted.settings)
    for kind, bodies in (("queues", wanted.queues), ("tags", wanted.tags), ("rules", wanted.rules)):
        await _each((f"/v1/{kind}/{quote(name, safe='')}", body) for name, body in bodies.items())(api)


def _each(puts: Iterable[tuple[str, Any]]) -> Callable[[Client], Awaitable[None]]:
    """Put all of these, some at a time."""

    async def put_all(api: Client) -> None:
        gate = asyncio.Semaphore(AT_ONCE_MAX)

        async def put(path: str, body: Any) -> None:  # noqa: ANN401  # JSON
            async with gate:
                await api.patiently("PUT", path, body, until=lambda: end)

        end = time.monotonic() + SETUP_S_MAX
        await asyncio.gather(*(put(path, body) for path, body in puts))

    return put_all


class _Centre:
    """The centre while it is open, and its closing."""

    def __init__(
        self,
        api: Client,
        options: Options,
        scenario: Scenario,
        ledger: Ledger,
        staff: dict[str, AgentBody],
        clock_ahead_s: float,
    ) -> None:
        self._api = api
        self._options = options
        self._ledger = ledger
        pace = Pace(options.speed)
        mix = scenario.simulation.channels
        floor = Floor(
            api=api,
            ledger=ledger,
            habits=scenario.simulation.agents,
            wrap_up_s={name: queue.wrap_up_s for name, queue in scenario.queues.items()},
            handling={name: each.handling for name, each in mix.items()},
            pace=pace,
            seed=options.seed,
        )
        self._desks = [Desk(agent_id, floor) for agent_id in staff]
        self._crowd = Crowd(api, ledger, scenario, pace, seed=options.seed)
        wanted = options.rate_per_minute
        rate_per_s = wanted / 60 if wanted is not None else scenario.rate_per_s(staff) * options.speed
        self.progress = Progress(options, scenario, ledger, clock_ahead_s, time.monotonic(), rate_per_s)
        self._sent_home = False
        self._unchecked = ""

    @contextlib.asynccontextmanager
    async def working(self, watch: Watcher | None) -> AsyncIterator[None]:
        """Agents come in and the journal is read; in the end all of them are gone."""
        desks = [asyncio.create_task(desk.run(), name=desk.agent_id) for desk in self._desks]
        others = [asyncio.create_task(self._read_journal())]
        if watch is not None:
            others.append(asyncio.create_task(watch(self.progress)))
        try:
            await self._all_in(desks)
            self.progress.began_s = time.monotonic()
            yield
        finally:
            await self._crowd.stop()
            for task in (*desks, *others):
                task.cancel()
            for desk, ended in zip(desks, await asyncio.gather(*desks, return_exceptions=True), strict=True):
                if isinstance(ended, Exception):
                    self._ledger.tally.error("a desk that ended", f"{desk.get_name()}: {ended}")
            await asyncio.gather(*others, return_exceptions=True)

    async def _all_in(self, desks: Sequence["asyncio.Task[None]"]) -> None:
        ready = asyncio.create_task(self._wait_for_all())
        done, _ = await asyncio.wait([ready, *desks], timeout=SETUP_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        if ready not in done:
            ready.cancel()
            failed = next((task.exception() for task in done), None)
            raise StartupError(f"the agents' desktops do not connect: {failed or 'no welcome'}") from failed

    async def _wait_for_all(self) -> None:
        for desk in self._desks:
            await desk.ready.wait()

    # -- open ---------------------------------------------------------------------------------------------------

    async def trade(self, stop: asyncio.Event) -> None:
        """Let customers in until the time is over, enough have come, or it is said to stop."""
        arriving = asyncio.create_task(self._crowd.arrive(self.progress.rate_per_s, self._options.contacts_max))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait(
                [arriving, stopping], timeout=self._options.duration_s, return_when=asyncio.FIRST_COMPLETED
            )
            if arriving.done():
                arriving.result()
        finally:
            arriving.cancel()
            stopping.cancel()
            await asyncio.gather(arriving, stopping, return_exceptions=True)

    # -- closing ------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Nobody comes in any more; whoever is there is served, or sent home."""
        self.progress.phase = "closing"
        errors = self._ledger.tally.errors.total()
        self._crowd.leave_by(time.monotonic() + DRAIN_S + HURRY_S_MAX)
        await _bounded(HURRY_S_MAX, *(desk.last_round() for desk in self._desks))
        if not await self._empty_within(DRAIN_S):
            self.progress.phase = "sending home"
            await self._crowd.send_home()
            await self._end_unknown()
            for desk in self._desks:
                desk.hurry()
        await self._empty_within(HURRY_S_MAX)
        self.progress.phase = "closed"
        await _bounded(HURRY_S_MAX, *(desk.leave() for desk in self._desks))
        await self._read_rest()
        self._sent_home = errors == self._ledger.tally.errors.total()

    async def _empty_within(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while self._ledger.board.open and time.monotonic() < end:  # noqa: ASYNC110  # many changes, few looks
            await asyncio.sleep(_POLL_S)
        return not self._ledger.board.open

    async def _end_unknown(self) -> None:
        """Contacts of posts that nobody answered have nobody who waits: cancel those that are ours."""
        for contact_id in self._ledger.strangers[:STRANGERS_CHECKED_MAX]:
            try:
                contact = await self._get(contact_id)
            except Declined:
                continue
            except NoAnswer:
                return
            ours = contact is not None and (contact["external_id"] or "").startswith(f"{self._ledger.run_id}-")
            if ours and self._ledger.state(contact_id) != "closed":
                with contextlib.suppress(NoAnswer, Declined):
                    await self._api.once("POST", f"/v1/contacts/{contact_id}/cancel", {"reason": "closing_time"})

    async def settle(self) -> Report:
        """Hold everything against each other and report."""
        ledger = self._ledger
        strangers = ledger.strangers[:STRANGERS_CHECKED_MAX]
        known = dict.fromkeys([*ledger.sample, *list(ledger.board.open)[:STRANGERS_CHECKED_MAX]])
        checked, gate = 0, asyncio.Semaphore(AT_ONCE_MAX)

        async def read_again(contact_id: str) -> None:
            nonlocal checked
            async with gate:
                if self._unchecked:
                    return
                try:
                    contact = await self._get(contact_id)
                except NoAnswer as error:
                    self._unchecked = f"the service did not answer when contacts were read again ({error})"
                    return
                except Declined as refusal:
                    ledger.tally.error(refusal.code, f"GET {contact_id}: {refusal}")
                    return
            if contact_id in known:
                ledger.check_contact(contact_id, contact)
                checked += 1
            elif contact is not None:
                ledger.check_stranger(contact)

        ledger.finish(all_ended=self._sent_home and not self._unchecked, journal_read=not self._unchecked)
        try:
            async with asyncio.timeout(CHECK_S_MAX):
                await asyncio.gather(*(read_again(each) for each in dict.fromkeys([*known, *strangers])))
                await self._look_at_people()
        except TimeoutError:
            within = f"only {checked} of {len(known)} contacts could be read again within {CHECK_S_MAX:.0f} s"
            self._unchecked = self._unchecked or within
        elapsed_s = self.progress.elapsed_s()
        return reports.make(ledger, elapsed_s=elapsed_s, checked=checked, unchecked=self._unchecked)

    async def _look_at_people(self) -> None:
        """Read the unified views of some who came over several channels."""
        people, end = self._ledger.people, time.monotonic() + HURRY_S_MAX
        with contextlib.suppress(NoAnswer, Declined):
            for known in people.to_look_at("proven"):
                views = [await self._get(each, "customers") for each in known.customers]
                people.is_one(known, [each for each in views if each is not None])
            for known in people.to_look_at("typed"):
                view = await self._get(known.customers[0], "customers")
                if view is not None and people.is_suggested(view) and people.suggested == 1:
                    other = view["suggestions"][0]["customer_id"]
                    accept = f"/v1/customers/{view['id']}/suggestions/{other}/accept"
                    merged = await self._api.patiently("POST", accept, until=lambda: end)
                    people.is_accepted(known, merged.body)

    async def _get(self, contact_id: str, kind: str = "contacts") -> dict[str, Any] | None:
        end = time.monotonic() + HURRY_S_MAX
        try:
            answer = await self._api.patiently("GET", f"/v1/{kind}/{contact_id}", until=lambda: end)
        except Declined as refusal:
            if refusal.status == 404:  # noqa: PLR2004  # Not Found
                return None
            raise
        contact: dict[str, Any] = answer.body
        return contact

    # -- the journal --------------------------------------------------------------------------------------------

    async def _read_journal(self) -> None:
        while True:
            try:
                if await self._read_page(JOURNAL_WAIT_S) < JOURNAL_PAGE:
                    await asyncio.sleep(_POLL_S)  # a page of several events costs no more than one of one
            except NoAnswer:
                await asyncio.sleep(_POLL_S)
            except Declined as refusal:
                if not refusal.passing:
                    self._unchecked = f"the journal cannot be read: {refusal}"
                    return
                await asyncio.sleep(refusal.retry_after_s or 1)

    async def _read_page(self, wait_s: int) -> int:
        after = self._ledger.board.seq
        answer = await self._api.once(
            "GET", "/v1/events", query={"after": after, "limit": JOURNAL_PAGE, "wait_s": wait_s}
        )
        events = answer.body["items"]
        if after == self._ledger.board.seq:
            self._ledger.journalled(events)
        return len(events)

    async def _read_rest(self) -> None:
        """Read what the journal has by now."""
        end = time.monotonic() + SETTLE_S_MAX
        while time.monotonic() < end:
            try:
                if await self._read_page(0) == 0:
                    return
            except (NoAnswer, Declined):
                await asyncio.sleep(1)
        self._unchecked = self._unchecked or "the journal could not be read to its end"


async def _bounded(seconds: float, *ways: Awaitable[None]) -> None:
    """Go all of these ways together, but no longer than so many seconds."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await asyncio.gather(*ways)
