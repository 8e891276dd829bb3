"""How fast the engine decides, whether that stays flat as it grows, and what a waiting contact weighs.

Each size is built in a process of its own; then they take turns, so that whatever else the machine does concerns all of
them alike. What counts is the median of the rounds, in processor time.

A decision is one command decided: a contact comes, is accepted, is completed. Where all agents are busy, what comes
waits and is offered when another is completed, as in a centre with a queue; else it is offered at once. Handing the
changes to a store is not part of it. What is there when the rounds begin is not looked through by the garbage
collector, and stands in large pages where the kernel has such: so it is in the service a minute after it has loaded.
"""

import argparse
import gc
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from typing import Any, Final

import psutil
from rich.console import Console
from rich.progress import Progress, TextColumn
from rich.table import Table

from bench.centre import SHARED_PROFILES, STEP, Centre, Size
from bench.operations import measured
from src.app.large_pages import gather
from src.router import engine

RATE_MIN: Final = 50_000
GROWTH_MAX: Final = 1.5
UNIQUE_SHARE_MIN: Final = 1 / 3
MEMORY_MAX_MIB: Final = 1_536
MIB: Final = 1 << 20

LIVES_PER_ROUND: Final = 200
ROUNDS: Final = 25
ROUNDS_QUICK: Final = 9

QUICK: Final = (
    Size(100),
    Size(1_000),
    Size(10_000),
    Size(1_000, unique=True),
    Size(10_000, unique=True),
    Size(1_000, full=True),
    Size(1_000, waiting=10_000),
)
WHOLE: Final = (
    *(Size(each) for each in (100, 1_000, 10_000, 100_000)),
    *(Size(each, unique=True) for each in (1_000, 10_000, 100_000)),
    Size(1_000, full=True),
    Size(100_000, full=True),
    Size(1_000, waiting=10_000),
    Size(1_000, waiting=1_000_000),
    Size(100_000, waiting=1_000_000),
)


@dataclass(slots=True)
class Cell:
    """One size, the process that holds it, and what was measured of it."""

    size: Size
    pipe: Connection
    rounds: list[float] = field(default_factory=list)
    decisions_per_life: float = 0
    rss_before: int = 0
    rss: int = 0

    @property
    def us(self) -> float:
        """Microseconds of processor time for a decision."""
        return median(self.rounds)

    @property
    def rate(self) -> float:
        """Decisions a second."""
        return 1e6 / self.us


def hold(size: Size, pipe: Connection) -> None:
    """Build a centre, then play a round each time one is asked for."""
    process = psutil.Process()
    state: dict[str, int] = {}

    def tell(done: int) -> None:
        if "before" not in state and done >= size.agents + size.busy:
            state["before"] = process.memory_info().rss
        pipe.send(done)

    centre = Centre(size, tell)
    centre.drain()
    gc.collect()
    gc.freeze()
    gather()
    pipe.send((state.get("before", 0), process.memory_info().rss))
    while (contacts := pipe.recv()) is not None:
        coming = centre.coming(contacts)
        begin = time.process_time()
        decisions = centre.live(coming)
        used_s = time.process_time() - begin
        centre.drain()
        pipe.send((used_s / decisions * 1e6, decisions / contacts))


def build(sizes: tuple[Size, ...], progress: Progress) -> Iterator[Cell]:
    """Have a process for each size, one after the other: building leaves the machine nothing to spare."""
    context = get_context("spawn")
    whole = progress.add_task("building", total=sum(each.steps for each in sizes))
    for size in sizes:
        began = time.monotonic()
        ours, theirs = context.Pipe()
        context.Process(target=hold, args=(size, theirs), daemon=True).start()
        theirs.close()  # so that a process that fails is noticed
        progress.update(whole, description=f"building {describe(size)}")
        before = progress.tasks[whole].completed
        while isinstance(message := ours.recv(), int):
            progress.update(whole, completed=before + message)
        progress.update(whole, completed=before + size.steps)
        note(progress, f"built {describe(size)}: {time.monotonic() - began:.0f} s")
        yield Cell(size, ours, rss_before=message[0], rss=message[1])


def play(cells: list[Cell], rounds: int, progress: Progress) -> None:
    """Rounds in turns. The first one warms up and does not count."""
    task = progress.add_task("playing", total=(rounds + 1) * len(cells))
    for number in range(rounds + 1):
        for cell in cells:
            cell.pipe.send(LIVES_PER_ROUND)
            us, cell.decisions_per_life = cell.pipe.recv()
            if number:
                cell.rounds.append(us)
            progress.advance(task)
        note(progress, f"played round {number} of {rounds}")
    for cell in cells:
        cell.pipe.send(None)


def note(progress: Progress, what: str) -> None:
    """Say how far it has come where no bar can be drawn, as in a log."""
    if not progress.console.is_terminal:
        progress.console.print(what)


def describe(size: Size) -> str:
    """A size in words."""
    profiles = "every profile unique" if size.unique else "200 profiles"
    return f"{describe_agents(size)}, {profiles}, {size.waiting:,} waiting"


def describe_agents(size: Size) -> str:
    """Its agents in words."""
    return f"{size.agents:,} agents, all busy" if size.full else f"{size.agents:,} agents"


def show(cells: list[Cell], console: Console) -> None:
    """The table of decisions."""
    how = "source" if str(engine.__file__).endswith(".py") else "compiled"
    table = Table(title=f"Engine ({how}), every policy on", title_justify="left")
    for name in (
        "agents",
        "profiles",
        "busy",
        "waiting",
        "µs/decision",
        "decisions/s",
        "lives/s",
        "growth",
        "MiB",
        "B/waiting",
    ):
        table.add_column(name, justify="left" if name == "profiles" else "right")
    for cell in cells:
        size = cell.size
        each_waiting = (cell.rss - cell.rss_before) / size.waiting if size.waiting >= STEP and cell.rss_before else None
        table.add_row(
            f"{size.agents:,}",
            "unique" if size.unique else f"{min(size.agents, SHARED_PROFILES)}",
            "all" if size.is_full else "half",
            f"{size.waiting:,}",
            f"{cell.us:.1f}",
            f"{cell.rate:,.0f}",
            f"{cell.rate / cell.decisions_per_life:,.0f}",
            f"{cell.us / cells[0].us:.2f}",
            f"{cell.rss / MIB:,.0f}",
            "" if each_waiting is None else f"{each_waiting:,.0f}",
        )
    console.print(table)


def show_operations(console: Console, agents: tuple[int, ...]) -> None:
    """The table of what the index alone takes."""
    table = Table(title="Index alone, 200 profiles, µs", title_justify="left")
    table.add_column("agents", justify="right")
    rows = {each: measured(each) for each in agents}
    for name in next(iter(rows.values())):
        table.add_column(name, justify="right")
    table.add_column("a life", justify="right")
    for count, row in rows.items():
        table.add_row(f"{count:,}", *(f"{us:.1f}" for us in row.values()), f"{sum(row.values()):.1f}")
    console.print(table)


def verdicts(cells: list[Cell]) -> Iterator[tuple[str, str, bool]]:
    """Each goal as far as these sizes show it: what, how much, and whether it is met.

    How much the length of a queue matters is seen where both do the same: all agents are busy, and what comes waits.
    """
    idle = [each for each in cells if not each.size.unique and not each.size.is_full]
    full = {each.size.agents: each for each in cells if each.size.full}
    small, large = idle[0], idle[-1]
    yield f"P4 rate: at least {RATE_MIN:,}/s", f"{small.rate:,.0f}/s", small.rate >= RATE_MIN
    growth = large.us / small.us
    what = f"{small.size.agents:,} to {large.size.agents:,} agents"
    yield f"P4 growth, {what}: at most {GROWTH_MAX}", f"{growth:.2f}", growth <= GROWTH_MAX
    for cell in cells:
        if cell.size.waiting:
            same = full.get(cell.size.agents) or next(each for each in idle if each.size.agents == cell.size.agents)
            growth = cell.us / same.us
            what = f"0 to {cell.size.waiting:,} waiting, {describe_agents(same.size)}"
            yield f"P4 growth, {what}: at most {GROWTH_MAX}", f"{growth:.2f}", growth <= GROWTH_MAX
    unique = [each for each in cells if each.size.unique][-1]
    same = next(each for each in idle if each.size.agents == unique.size.agents)
    share = unique.rate / same.rate
    what = f"every profile unique, {unique.size.agents:,} agents"
    yield f"P4 share, {what}: at least a third", f"{share:.2f}", share >= UNIQUE_SHARE_MIN
    most = max(cells, key=lambda each: (each.size.waiting, -each.size.agents))
    mib = most.rss / MIB
    yield (
        f"P6 memory, {most.size.waiting:,} waiting: at most {MEMORY_MAX_MIB:,} MiB",
        f"{mib:,.0f} MiB",
        mib <= MEMORY_MAX_MIB,
    )


def main(arguments: list[str]) -> int:
    """Measure, print, and say by the exit code whether every goal is met."""
    parser = argparse.ArgumentParser(prog="make bench-engine", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    quick: bool = parser.parse_args(arguments).quick
    console = Console(width=None if sys.stdout.isatty() else 120)
    columns: list[Any] = [*Progress.get_default_columns(), TextColumn("{task.completed:,.0f}")]
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        cells = list(build(QUICK if quick else WHOLE, progress))
        play(cells, ROUNDS_QUICK if quick else ROUNDS, progress)
    show(cells, console)
    show_operations(console, (1_000, 10_000) if quick else (1_000, 100_000))
    met = True
    for what, how_much, is_met in verdicts(cells):
        met = met and is_met
        console.print(f"[{'green' if is_met else 'red'}]{'PASS' if is_met else 'FAIL'}[/]  {what}: {how_much}")
    if quick:
        console.print("These sizes are smaller than the goals': the whole run decides.")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
