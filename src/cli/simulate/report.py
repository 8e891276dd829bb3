"""What a run comes to: the figures, and the promises that were broken. `summary` says it in words."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil

from src.cli.simulate.board import QueueFigures
from src.cli.simulate.ledger import Ledger, Tally
from src.cli.simulate.people import People
from src.cli.simulate.promises import Promise


def percentile(values: Sequence[float], share: float) -> float | None:
    """The smallest value that `share` of all values do not exceed (nearest rank); None of none."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(share * len(values)) - 1)]


@dataclass(frozen=True, slots=True)
class QueueReport:
    """One queue. Waits in seconds of the centre's clock; the service level is a share, 0 to 1, with its goal."""

    answered: int
    abandoned: int
    wait_p50_s: float | None
    wait_p95_s: float | None
    service_level: float | None
    goal: float


@dataclass(frozen=True, slots=True)
class Report:
    """One run. `elapsed_s` and latencies are real seconds; `broken` holds a line for each broken promise."""

    elapsed_s: float
    speed: float
    tally: Tally
    answered: int
    abandoned: int
    still_open: int
    outcomes: Mapping[str, int]
    queues: Mapping[str, QueueReport]
    wait_p50_s: float | None
    wait_p95_s: float | None
    service_level: float | None
    latency_p50_s: float | None
    latency_p99_s: float | None
    events: int
    checked: int
    people: People
    strangers: int
    gaps: int
    doubles: int
    broken: list[str] = field(default_factory=list)
    unchecked: str = ""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept and could be checked, and nothing else went wrong either."""
        return not self.broken and not self.unchecked and not self.tally.errors


def make(ledger: Ledger, *, elapsed_s: float, checked: int, unchecked: str = "") -> Report:
    """The report of the books as they stand."""
    board = ledger.board
    waits = [wait for figures in board.queues.values() for wait in figures.waits_s]
    answered = sum(each.answered for each in board.queues.values())
    abandoned = sum(each.abandoned for each in board.queues.values())
    in_time = sum(each.answered_in_time for each in board.queues.values())
    return Report(
        elapsed_s=elapsed_s,
        speed=ledger.speed,
        tally=ledger.tally,
        answered=answered,
        abandoned=abandoned,
        still_open=len(board.open),
        outcomes=dict(sorted(board.outcomes.items())),
        queues={name: _queue(figures) for name, figures in board.queues.items()},
        wait_p50_s=percentile(waits, 0.5),
        wait_p95_s=percentile(waits, 0.95),
        service_level=in_time / (answered + abandoned) if answered + abandoned else None,
        latency_p50_s=percentile(ledger.latencies.all_s, 0.5),
        latency_p99_s=percentile(ledger.latencies.all_s, 0.99),
        events=board.events,
        checked=checked,
        people=ledger.people,
        strangers=len(ledger.strangers),
        gaps=ledger.promises.count(Promise.GAPLESS, Promise.TOLD, Promise.JOURNAL),
        doubles=ledger.promises.count(Promise.ONCE, Promise.NOTHING_DOUBLED, Promise.ONE_AGENT),
        broken=list(ledger.promises.lines()),
        unchecked=unchecked,
    )


def _queue(figures: QueueFigures) -> QueueReport:
    return QueueReport(
        answered=figures.answered,
        abandoned=figures.abandoned,
        wait_p50_s=percentile(figures.waits_s, 0.5),
        wait_p95_s=percentile(figures.waits_s, 0.95),
        service_level=figures.service_level,
        goal=figures.percent / 100,
    )


def duration(seconds: float | None) -> str:
    """A wait as people say it: `0.4 s`, `42 s`, `3:20`."""
    if seconds is None:
        return "-"
    if seconds < 9.95:  # noqa: PLR2004  # below it, a tenth is worth telling
        return f"{seconds:.1f} s"
    if seconds < 99.5:  # noqa: PLR2004  # below it, minutes would be coarse
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}"


def latency(seconds: float | None) -> str:
    """A latency: `3.1 ms`, `412 ms`, `1.20 s`."""
    if seconds is None:
        return "-"
    if seconds < 0.01:  # noqa: PLR2004  # below it, a tenth of a millisecond is worth telling
        return f"{seconds * 1000:.1f} ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def percent(share: float | None) -> str:
    """A share: `93 %`; not rounded up to all of them."""
    return "-" if share is None else f"{int(share * 100)} %"


def lines(report: Report) -> Iterator[str]:
    """What there is to say beside the table of the queues."""
    tally = report.tally
    yield (
        f"{tally.posted} contacts posted in {report.elapsed_s:.0f} s, {tally.acknowledged} acknowledged, "
        f"{report.answered} answered, {report.abandoned} abandoned, {report.still_open} open"
    )
    yield (
        f"waits: half below {duration(report.wait_p50_s)}, 95 % below {duration(report.wait_p95_s)} of the centre's "
        f"clock ({report.speed:g} times as fast); {percent(report.service_level)} answered in time"
    )
    yield (
        f"from the post to the desktop: half within {latency(report.latency_p50_s)}, "
        f"99 % within {latency(report.latency_p99_s)}"
    )
    yield (
        f"on the way: {tally.drops} connections dropped, {tally.reconnects} opened again "
        f"({tally.not_resumed} from a snapshot), {tally.missed} offers missed, {tally.declined} declined, "
        f"{tally.too_late} answers too late, {tally.breaks} breaks, {tally.retries} requests repeated"
    )
    people = report.people
    yield (
        f"customers: {len(people)} people, {people.several} over several channels, "
        f"{people.suggested} suggested to be one, {people.merged} merged, {people.repeats} repeats"
    )
    if people.example:
        yield f"of them {people.example}"
    if tally.unanswered:
        yield f"{tally.unanswered} posts got no answer, so nothing was promised of them"
    if report.strangers:
        yield f"{report.strangers} contacts came from elsewhere, or of posts without an answer"
    yield f"checked: {report.events} events of the journal, {report.checked} contacts read again"


def verdict(report: Report) -> Iterator[str]:
    """The last words: what was broken, or that nothing was."""
    for line in report.broken:
        yield f"BROKEN PROMISE: {line}"
    if report.unchecked:
        yield f"NOT CHECKED: {report.unchecked}"
    if report.tally.errors:
        kinds = ", ".join(f"{count} {kind}" for kind, count in report.tally.errors.most_common())
        yield f"ERRORS: {report.tally.errors.total()} ({kinds}), the last: {report.tally.last_error}"
    if not report.broken and not report.unchecked:
        yield f"Nothing lost, nothing doubled, no gap: {report.gaps} gaps, {report.doubles} doubles."
