"""The run in the terminal: a live picture, a line now and then where there is no terminal, and the summary."""

import asyncio
from collections.abc import Iterator
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len, set_cell_size
from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from src.cli.simulate import report as reports
from src.cli.simulate.board import QueueFigures, Seat, together
from src.cli.simulate.ledger import Shown
from src.cli.simulate.report import Report, duration, latency, percent, percentile
from src.cli.simulate.run import Progress, Watcher

REFRESH_S: Final = 0.25
PLAIN_LINE_S: Final = 5.0
WIDE_COLUMNS: Final = 96
"""From this width on, queues have their titles and all their figures."""

SEATS_SHOWN_MAX: Final = 24
SEAT_WIDTH: Final = 30
RECENT_ROWS_MAX: Final = 8
LOAD_CELLS: Final = 8
_FIXED_ROWS: Final = 12
"""Rows that frames, headings and totals take."""

_STATES: Final = ("waiting", "offered", "active", "wrap_up")
_HEADINGS: Final = {
    "waiting": "wait",
    "offered": "offer",
    "active": "active",
    "wrap-up": "wrap",
    "answered": "answ",
    "gave up": "gone",
    "p50": "p50",
    "p95": "p95",
    "longest": "",
    "in time": "in time",
}
"""The figures of a queue, and what they are called on a narrow terminal, if there."""

_NEAR_GOAL: Final = 0.85
"""This share of a queue's goal is still shown in yellow."""

_PRESENCE_STYLE: Final = {"available": "green", "away": "yellow", "offline": "bright_black", "connection lost": "red"}


def live(console: Console) -> Watcher:
    """Draw the whole picture a few times a second."""

    async def watch(progress: Progress) -> None:
        with Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop") as screen:
            while True:
                screen.update(picture(progress, console.width, console.height), refresh=True)
                await asyncio.sleep(REFRESH_S)

    return watch


def plain(console: Console) -> Watcher:
    """Print a line now and then."""

    async def watch(progress: Progress) -> None:
        while True:
            console.print(plain_line(progress), highlight=False, soft_wrap=True)
            await asyncio.sleep(PLAIN_LINE_S)

    return watch


def plain_line(progress: Progress) -> str:
    """How it goes, in one line."""
    board, tally = progress.ledger.board, progress.ledger.tally
    counts = _counts(progress)
    states = " ".join(f"{state} {sum(each.get(state, 0) for each in counts.values())}" for state in _STATES)
    answered = sum(each.answered for each in board.queues.values())
    recent = list(progress.ledger.latencies.recent_s)
    promises = sum(progress.ledger.promises.counts.values())
    return (
        f"{_clock(progress.elapsed_s())} {progress.phase}: posted {tally.acknowledged} {states} answered {answered} "
        f"desk p50 {latency(percentile(recent, 0.5))} p99 {latency(percentile(recent, 0.99))} "
        f"errors {tally.errors.total()} broken promises {promises}"
    )


def picture(progress: Progress, width: int, height: int) -> RenderableType:
    """Everything at one moment, for a terminal of this size."""
    wide = width >= WIDE_COLUMNS
    parts: list[RenderableType] = [_head(progress), _queue_table(progress, wide=wide)]
    seats = progress.ledger.board.seats
    few = len(seats) <= SEATS_SHOWN_MAX
    parts.append(Panel(_seats(seats) if few else _seat_counts(seats), title="agents", title_align="left"))
    seat_rows = -(-len(seats) // max(1, (width - 4) // (SEAT_WIDTH + 1))) if few else 1
    left = height - _FIXED_ROWS - len(progress.ledger.board.queues) - seat_rows
    if (rows := min(RECENT_ROWS_MAX, left - 2)) > 0:
        shown = list(progress.ledger.recent)[-rows:]
        lines = [_assignment(each, width - 4) for each in reversed(shown)]
        lines += [Text()] * (rows - len(lines))
        parts.append(Panel(Group(*lines), title="latest assignments", title_align="left"))
    parts.append(_totals(progress))
    return Group(*parts)


def _head(progress: Progress) -> Text:
    options = progress.options
    head = Text(no_wrap=True, overflow="ellipsis")
    head.append("Cordboard ", "bold")
    head.append(f"{options.url}  ")
    head.append(f"{_clock(progress.elapsed_s())} of {_clock(options.duration_s)}  ", "bold cyan")
    head.append(f"{progress.rate_per_s * 60:.0f} contacts a minute, clock ×{options.speed:g}  ")
    if progress.phase != "open":
        head.append(progress.phase, "bold yellow")
    return head


def _counts(progress: Progress) -> dict[str, dict[str, int]]:
    counts: dict[str, dict[str, int]] = {}
    for contact in progress.ledger.board.open.values():
        of = counts.setdefault(contact.queue, {})
        of[contact.state] = of.get(contact.state, 0) + 1
    return counts


def _longest(progress: Progress) -> dict[str, float]:
    board, now_ms = progress.ledger.board, progress.now_ms()
    longest: dict[str, float] = {}
    for contact in board.open.values():
        if not contact.answered:
            longest[contact.queue] = max(longest.get(contact.queue, 0.0), board.waits_s(contact, now_ms))
    return longest


def _queue_table(progress: Progress, *, wide: bool) -> Table:
    table = Table(box=SIMPLE_HEAD, expand=True, padding=0, show_edge=False, header_style="bold")
    table.add_column("queue", no_wrap=True, overflow="ellipsis", ratio=1)
    for heading, short in _HEADINGS.items():
        if wide or short:
            table.add_column(heading if wide else short, justify="right", no_wrap=True)
    counts, longest, queues = _counts(progress), _longest(progress), progress.ledger.board.queues
    titles = progress.scenario.simulation.titles if wide else {}
    for name, figures in queues.items():
        title = Text.assemble(name, " ", (titles.get(name, ""), "bright_black"))
        table.add_row(title, *_queue_cells(counts.get(name, {}), figures, longest.get(name), wide=wide))
    table.add_section()
    whole = {state: sum(each.get(state, 0) for each in counts.values()) for state in _STATES}
    everybody = Text("all", "bold")
    table.add_row(everybody, *_queue_cells(whole, together(queues), max(longest.values(), default=None), wide=wide))
    return table


def _queue_cells(
    counts: dict[str, int], figures: QueueFigures, longest_s: float | None, *, wide: bool
) -> Iterator[Text]:
    styles = {"waiting": "bold yellow", "offered": "cyan", "active": "bold green", "wrap_up": "blue"}
    for state in _STATES:
        yield _count(counts.get(state, 0), styles[state])
    yield _count(figures.answered, "")
    yield _count(figures.abandoned, "red")
    recent = list(figures.recent_waits_s)
    yield Text(duration(percentile(recent, 0.5)))
    yield Text(duration(percentile(recent, 0.95)))
    if wide:
        late = longest_s is not None and longest_s > figures.within_s
        yield Text(duration(longest_s), "red" if late else "")
    yield _service_level(figures.service_level, figures.percent / 100)


def _count(number: int, style: str) -> Text:
    return Text(str(number), style) if number else Text("·", "bright_black")


def _service_level(share: float | None, goal: float) -> Text:
    if share is None:
        return Text("-", "bright_black")
    style = "green" if share >= goal else "yellow" if share >= goal * _NEAR_GOAL else "red"
    return Text(percent(share), style)


def _presence(seat: Seat) -> str:
    return "connection lost" if not seat.connected and seat.status != "offline" else seat.status


def _seats(seats: dict[str, Seat]) -> Columns:
    cells: list[RenderableType] = []
    for agent_id, seat in seats.items():
        style = _PRESENCE_STYLE[_presence(seat)]
        filled = round(LOAD_CELLS * seat.load / seat.config.capacity) if seat.config.capacity else 0
        text = Text(no_wrap=True)
        text.append("● ", style)
        text.append(set_cell_size(f"{agent_id} {seat.config.name}", SEAT_WIDTH - LOAD_CELLS - 9))
        text.append("█" * filled, "green")
        text.append("░" * (LOAD_CELLS - filled), "bright_black")
        text.append(f" {len(seat.held)} " if seat.held else "   ")
        mark = {"connection lost": "lost", "available": ""}.get(_presence(seat), _presence(seat)[:4])
        text.append(set_cell_size(mark, 4), style)
        cells.append(text)
    return Columns(cells, width=SEAT_WIDTH)


def _seat_counts(seats: dict[str, Seat]) -> Text:
    counts: dict[str, int] = {}
    for seat in seats.values():
        counts[_presence(seat)] = counts.get(_presence(seat), 0) + 1
    load = sum(seat.load for seat in seats.values())
    capacity = sum(seat.config.capacity for seat in seats.values())
    text = Text(f"{len(seats)}: ")
    for presence, style in _PRESENCE_STYLE.items():
        text.append(f"{counts.get(presence, 0)} {presence}  ", style)
    return text.append(f"{percent(load / capacity if capacity else None)} of their capacity taken")


def _assignment(shown: Shown, width: int) -> Text:
    took = f" in {latency(shown.took_s)}" if shown.at_once else f" after {duration(shown.took_s)}"
    tail = f" → {shown.queue} → {shown.agent}"
    said = _cut(shown.said, max(10, width - cell_len(tail) - cell_len(took)))
    return Text.assemble(said, (tail, "cyan"), (took, "green" if shown.at_once else "yellow"), no_wrap=True)


def _cut(text: str, cells: int) -> str:
    """The text in at most so many cells of the terminal; a Chinese character takes two."""
    text = " ".join(text.split())
    return text if cell_len(text) <= cells else f"{set_cell_size(text, cells - 1).rstrip()}…"


def _totals(progress: Progress) -> Text:
    ledger, tally = progress.ledger, progress.ledger.tally
    elapsed_s = progress.elapsed_s()
    recent = list(ledger.latencies.recent_s)
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(f"{tally.acknowledged} contacts", "bold")
    text.append(f", {tally.acknowledged / elapsed_s if elapsed_s > 1 else 0:.1f} a second; to the desk ")
    text.append(f"p50 {latency(percentile(recent, 0.5))}, p99 {latency(percentile(recent, 0.99))}", "green")
    text.append(f"; {tally.drops} drops, {tally.retries} retries")
    broken = sum(ledger.promises.counts.values())
    text.append(f"\ngaps and doubles: {broken}", "bold red" if broken else "")
    text.append(f"  errors: {tally.errors.total()} {tally.last_error}".rstrip(), "red" if tally.errors else "")
    return text


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def summary(report: Report, console: Console) -> None:
    """What the run came to."""
    table = Table(title="Summary", title_justify="left", title_style="bold", border_style="bright_black")
    table.add_column("queue")
    for name in ("answered", "gave up", "p50", "p95", "in time", "goal"):
        table.add_column(name, justify="right")
    for name, queue in report.queues.items():
        waits = (duration(queue.wait_p50_s), duration(queue.wait_p95_s))
        level = _service_level(queue.service_level, queue.goal)
        table.add_row(name, str(queue.answered), str(queue.abandoned), *waits, level, percent(queue.goal))
    console.print(table)
    for line in reports.lines(report):
        console.print(Text(line), soft_wrap=True)
    for line in reports.verdict(report):
        console.print(Text(line, "bold green" if report.ok else "bold red"), soft_wrap=True)
