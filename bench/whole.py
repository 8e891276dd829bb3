"""How fast the whole service is, beside what users could have instead, in one run: goals P1 to P8.

The systems take turns for several rounds, so that whatever else the machine does concerns all of them alike; medians
count. The clients and PostgreSQL share the machine with what is measured. Processor time for each contact is steadier
than contacts a second: it is told beside.
"""

import argparse
import pstats
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

import uvloop
from rich.console import Console
from rich.progress import Progress, TextColumn

from bench import engine
from bench.baselines.floor import Floor
from bench.baselines.sql_router import SqlRouter
from bench.centre import Size
from bench.machine import Postgres
from bench.pair import two_tenants
from bench.report import Goal, chart, markdown, show
from bench.sizes import Backlog, desktops, percentiles_ms, views
from bench.systems import System, baseline, service
from bench.traffic import BATCH

BLOCKED: Final = 100_000
STEADY_RATE: Final = 200
COMMITS: Final = 1_000
P50_MAX: Final = 3.0
P99_MAX: Final = 5.0
ENGINE_QUICK: Final = (Size(100), Size(10_000), Size(10_000, unique=True), Size(10_000, waiting=10_000))

FLOOR: Final = "pgbench, single-row commits"
SQL: Final = "SQL router, SKIP LOCKED"
SQL_BLOCKED: Final = "SQL router, 100,000 blocked at the head"
TYPICAL: Final = "typical: FastAPI, ORM, SKIP LOCKED"
BARE: Final = "bare prototype, nothing promised"
OURS: Final = "Cordboard, one by one"
OURS_BATCH: Final = "Cordboard, in batches of 50"


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured."""

    rounds: int
    seconds: float
    desktops: int
    waiting: int
    sizes: tuple[Size, ...]
    engine_rounds: int


WHOLE: Final = Extent(5, 6, 10_000, 10_000, engine.WHOLE, engine.ROUNDS)
QUICK: Final = Extent(2, 3, 500, 2_000, ENGINE_QUICK, 5)


@dataclass(slots=True)
class Round:
    """All systems, and what each did in each round, in contacts a second."""

    ours: System
    typical: System
    bare: System
    floor: Floor
    sql: SqlRouter
    blocked: SqlRouter
    rates: dict[str, list[float]] = field(default_factory=dict)

    async def play(self, seconds: float) -> None:
        """Each in its turn."""
        self._note(FLOOR, await self.floor.rate(max(2, round(seconds / 2))))
        self._note(SQL, await self.sql.rate(seconds / 2))
        self._note(SQL_BLOCKED, await self.blocked.rate(seconds / 2))
        self._note(TYPICAL, (await self.typical.play(seconds)).rate)
        self._note(BARE, (await self.bare.play(seconds / 2)).rate)
        self._note(OURS, (await self.ours.play(seconds)).rate)
        self._note(OURS_BATCH, (await self.ours.play(seconds, BATCH)).rate)

    def _note(self, name: str, rate: float) -> None:
        self.rates.setdefault(name, []).append(rate)

    def medians(self) -> dict[str, float]:
        """By system."""
        return {name: median(each) for name, each in self.rates.items()}

    def goals(self) -> list[Goal]:
        """P1 and P2. A ratio is the median of the rounds' ratios."""
        found = []
        for key, ours, against, least in (
            ("P1", OURS, FLOOR, 1.0),
            ("P1", OURS, SQL, 5.0),
            ("P1", OURS, TYPICAL, 25.0),
            ("P1", OURS, SQL_BLOCKED, 50.0),
            ("P2", OURS_BATCH, FLOOR, 2.5),
        ):
            ratio = median(a / max(b, 0.1) for a, b in zip(self.rates[ours], self.rates[against], strict=True))
            rate = f"{median(self.rates[ours]):,.0f} against {median(self.rates[against]):,.1f}/s"
            found.append(Goal(key, f"{ours}; against {against}", rate, f"≥ {least:g}", ratio, ratio >= least))
        return found


async def latency(ours: System, floor: Floor, seconds: float) -> list[Goal]:
    """P3: from post to desktop at a steady rate, against one commit."""
    commit_p50, commit_p99 = percentiles_ms(await floor.commits_s(COMMITS))
    figures = await ours.traffic.steady(seconds, STEADY_RATE)
    p50, p99 = percentiles_ms(figures.delivery_s)
    return [
        Goal(
            "P3",
            f"post to desktop at {STEADY_RATE}/s, {name}",
            f"{ms:.1f} against {commit:.1f} ms",
            f"≤ {most:g}",
            ms / commit,
            ms <= most * commit,
        )
        for name, ms, commit, most in (("p50", p50, commit_p50, P50_MAX), ("p99", p99, commit_p99, P99_MAX))
    ]


def engine_goals(extent: Extent, progress: Progress) -> list[Goal]:
    """P4, and the memory of P6, as `make bench-engine` measures them."""
    cells = list(engine.build(extent.sizes, progress))
    engine.play(cells, extent.engine_rounds, progress)
    found = []
    for what, how_much, met in engine.verdicts(cells):
        key, _, rest = what.partition(" ")
        name, _, goal = rest.rpartition(": ")
        small = extent.sizes is ENGINE_QUICK and not name.startswith("rate")
        found.append(Goal(key, f"engine, {name}", how_much, goal, None, None if small else met))
    return found


async def measure(
    extent: Extent, folder: Path, progress: Progress
) -> tuple[list[Goal], dict[str, float], list[System]]:
    """The goals, the rates for the chart, and the systems with what they cost."""
    task = progress.add_task("starting", total=extent.rounds + 5)
    with Postgres.running(folder / "postgres") as postgres:
        ours, typical, bare = systems = [
            await service(postgres, folder),
            *[await baseline(postgres, folder, each) for each in ("typical", "bare")],
        ]
        try:
            floor = Floor(await postgres.database("floor"), folder)
            sql = SqlRouter(await postgres.database("sql"))
            blocked = SqlRouter(await postgres.database("blocked"), BLOCKED)
            for each in (floor, sql, blocked):
                await each.prepare()
            everyone = Round(ours, typical, bare, floor, sql, blocked)
            await systems[0].traffic.flat_out(2)
            for number in range(extent.rounds):
                progress.update(task, description=f"round {number + 1}")
                await everyone.play(extent.seconds)
                progress.advance(task)
            progress.update(task, description="post to desktop")
            goals = everyone.goals() + await latency(systems[0], floor, extent.seconds * 2)
            progress.update(task, description="a customer of many contacts", advance=1)
            goals.append(await views(systems[0], extent.waiting))
            progress.update(task, description="many desktops", advance=1)
            goals += await desktops(systems[0], extent.desktops, extent.seconds * 2)
            for each in (sql, blocked):
                await each.close()
        finally:
            for system in systems:
                system.close()
        progress.update(task, description="two tenants on two processes", advance=1)
        goals.append(await two_tenants(postgres, folder, extent.seconds))
        progress.update(task, description="a backlog", advance=1)
        inner = progress.add_task("posting", total=extent.waiting)
        goals += await Backlog(postgres, folder, extent.waiting).goals(
            lambda posted: progress.update(inner, completed=posted)
        )
        progress.advance(task)
    return goals, everyone.medians(), systems


def show_costs(systems: Sequence[System], console: Console) -> None:
    """Processor time."""
    for system in systems:
        for load, taken in system.server_us.items():
            cost = f"{median(taken):,.0f} µs in the server, {median(system.postgres_us[load]):,.0f} µs in PostgreSQL"
            console.print(f"Processor for each contact, {system.name}, {load}: {cost}")


async def profile(folder: Path, into: Path, seconds: float) -> None:
    """Where the service's processor time goes while contacts come one by one."""
    with Postgres.running(folder / "postgres") as postgres:
        system = await service(postgres, folder, "service", into)
        await system.play(seconds)
        system.close()
    pstats.Stats(str(into)).sort_stats("tottime").print_stats(40)


def main(arguments: list[str]) -> int:
    """Measure, print, and say by the exit code whether every goal is met."""
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller, under two minutes")
    parser.add_argument("--waiting", type=int, help="contacts that are open at the restart")
    parser.add_argument("--profile", type=Path, help="only profile the service into this file")
    parser.add_argument("--into", type=Path, help="a folder for the table and the chart")
    given = parser.parse_args(arguments)
    if given.into is not None:
        given.into.mkdir(parents=True, exist_ok=True)
    extent: Extent = QUICK if given.quick else WHOLE
    if given.waiting is not None:
        extent = replace(extent, waiting=given.waiting)
    console = Console(width=None if sys.stdout.isatty() else 160)
    columns: list[Any] = [*Progress.get_default_columns(), TextColumn("{task.completed:,.0f}")]
    with tempfile.TemporaryDirectory(prefix="cordboard-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        if given.profile is not None:
            uvloop.run(profile(folder, given.profile, extent.seconds * 2))
            return 0
        with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
            goals, rates, systems = uvloop.run(measure(extent, folder, progress))
            goals += engine_goals(extent, progress)
    goals.sort(key=lambda each: each.id)
    show(goals, console)
    show_costs(systems, console)
    console.print("All but P5 is measured without webhooks.")
    if given.into is not None:
        (given.into / "performance.svg").write_text(chart(rates, "Cordboard"), "utf-8")
        (given.into / "performance-table.md").write_text(markdown(goals), "utf-8")
    missed = [each for each in goals if each.met is False]
    console.print(
        f"{len(missed)} of {len(goals)} goals are missed" + (" (a quick run decides nothing)" if given.quick else "")
    )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
