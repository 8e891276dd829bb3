"""From a simulated run to confidence intervals: batch means with control variates.

The run, without its warm-up, is cut into batches of equal time. What is measured in each batch is divided by the number
of contacts that *must be expected* in it, not by those that came, so that no ratio biases it. The noise that the chance
of arrivals and of service times brings in is then taken out by regression on quantities of the same batches whose
expectation is known exactly. They come from the draws alone, and never from what the engine did with them:

- how many contacts arrived, and how much work they brought;
- what a centre with an agent for everyone would have seen: there the number of contacts is Poisson;
- how long one agent as quick as all together would have let them wait: the waits of M/M/1.

The intercept of the regression is the estimate; its standard error and Student's t give the interval. See Lavenberg and
Welch, "A perspective on the use of control variables to increase the efficiency of Monte Carlo simulations", Management
Science 27 (1981). With them, a run says as much as one four to ten times as long. Waits are skewed, so that intervals
of mean waits are a little too narrow in short runs of many agents: there, batches are few and long.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from tests.theory.simulation import Run, Visit

CONFIDENCE: Final = 0.99
"""Of all intervals of one test together (Bonferroni): with other seeds or samples, one test in a hundred may fail."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Interval:
    """A confidence interval."""

    middle: float
    half_width: float

    def __contains__(self, value: float) -> bool:
        return abs(value - self.middle) <= self.half_width


class Batches:
    """A run after its warm-up, in batches of equal time. Controls are centred: less their expectations."""

    def __init__(self, run: Run, warm_up_s: float, count: int) -> None:
        self.run, self._warm_up, self._count = run, warm_up_s * 1000, count
        self._length = (run.until - self._warm_up) / count
        arrived = np.array([each.arrived_at for each in run.visits])
        self._arrived = arrived
        self._works = np.array([each.work for each in run.visits])
        self._streams = np.array([each.stream for each in run.visits])
        self._batch = np.floor((arrived - self._warm_up) / self._length).astype(int)
        assert self._batch[0] < 0, "the warm-up holds a contact at least"

    @property
    def load(self) -> float:
        """Expected arrivals in a mean service time: as many agents would be busy if there were enough."""
        return sum(each.service_s / each.gap_s for each in self.run.centre.streams)

    # -- what the engine did --------------------------------------------------------------------------------------

    def mean(self, measure: Callable[[Visit], float], streams: Collection[int] = ()) -> Floats:
        """Of each batch, the sum of a measure over the contacts of some streams, for each contact to be expected."""
        return self._per_contact(np.array([measure(each) for each in self.run.visits], dtype=np.float64), streams)

    def busy(self, agents: Collection[str]) -> Floats:
        """Of each batch, the share of their time that some agents were busy."""
        sums = np.zeros(self._count)
        for visit in self.run.visits:
            if visit.agent_id in agents:
                assert visit.offered_at is not None
                assert visit.ended_at is not None
                start = (visit.offered_at - self._warm_up) / self._length
                end = (visit.ended_at - self._warm_up) / self._length
                for batch in range(max(0, int(start)), min(self._count, int(end) + 1)):
                    sums[batch] += max(0.0, min(end, batch + 1) - max(start, batch))
        return sums / len(agents)

    # -- what was drawn -------------------------------------------------------------------------------------------

    def draws(self, streams: Collection[int] = ()) -> Floats:
        """Two controls: how many contacts of some streams arrived, and how much work they brought."""
        mean_work = self._expected(streams, lambda number: self.run.centre.streams[number].service_s * 1000)
        mean_work /= self._expected(streams)
        arrivals = self._per_contact(np.ones(len(self._works)), streams)
        return np.column_stack([arrivals - 1, self._per_contact(self._works / mean_work, streams) - 1])

    def crowd(self, number: int) -> Floats:
        """Two controls from a centre with an agent for everyone: how often an arrival would have met at least so many
        others, and how many of them from that number on.
        """
        met = np.arange(len(self._arrived)) - np.searchsorted(np.sort(self._arrived + self._works), self._arrived)
        beyond = stats.poisson.sf(np.arange(number - 1, number + 10 * (1 + int(self.load))), self.load)
        often = self._per_contact((met >= number).astype(np.float64))
        many = self._per_contact(np.maximum(met + 1 - number, 0).astype(np.float64))
        return np.column_stack([often / beyond[0] - 1, many / beyond.sum() - 1])

    def single(self, agents: int) -> Floats:
        """A control from one agent as quick as so many: the wait before it, by Lindley's recursion."""
        works = self._works / agents
        steps = np.concatenate([[0.0], np.cumsum(works[:-1] - np.diff(self._arrived))])
        waits = steps - np.minimum.accumulate(steps)
        load, service = self.load / agents, float(self._expected((), self._mean_work) / self._expected(())) / agents
        assert load < 1
        return (self._per_contact(waits) / (load * service / (1 - load)) - 1)[:, np.newaxis]

    # -- counting -------------------------------------------------------------------------------------------------

    def _mean_work(self, number: int) -> float:
        return self.run.centre.streams[number].service_s * 1000

    def _expected(self, streams: Collection[int], worth: Callable[[int], float] = lambda _: 1.0) -> float:
        """Contacts of some streams (none: of all) to be expected in a batch, each counted by its worth."""
        numbers = streams or range(len(self.run.centre.streams))
        return sum(self._length / (self.run.centre.streams[each].gap_s * 1000) * worth(each) for each in numbers)

    def _per_contact(self, values: Floats, streams: Collection[int] = ()) -> Floats:
        kept = self._batch >= 0
        if streams:
            kept &= np.isin(self._streams, list(streams))
        sums = np.zeros(self._count)
        np.add.at(sums, self._batch[kept], values[kept])
        return sums / self._expected(streams)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Something that theory knows exactly, as it was in each batch, and the controls to free it from noise with."""

    what: str
    exact: float
    samples: Floats
    controls: Sequence[Floats] = ()


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a comparison came to. `width` is half the interval's, as a share of the exact value."""

    what: str
    exact: float
    interval: Interval

    @property
    def agrees(self) -> bool:
        """Whether the exact value lies in the interval."""
        return self.exact in self.interval

    @property
    def width(self) -> float:
        """Half the interval's width as a share of the exact value: how much the comparison means."""
        return self.interval.half_width / self.exact

    def __str__(self) -> str:
        low, high = self.interval.middle - self.interval.half_width, self.interval.middle + self.interval.half_width
        outside = "" if self.agrees else ", OUTSIDE"
        return f"exact {self.exact:.4f}, measured {low:.4f} to {high:.4f}{outside}"


def judge(comparisons: Sequence[Comparison]) -> list[Verdict]:
    """One interval for each comparison; all of them hold together with the confidence."""
    return [
        Verdict(each.what, each.exact, interval(each.samples, each.controls, len(comparisons))) for each in comparisons
    ]


def outside(verdicts: Sequence[Verdict]) -> list[str]:
    """What disagrees with theory."""
    return [each.what for each in verdicts if not each.agrees]


def report(verdicts: Sequence[Verdict], record_property: Callable[[str, object], None]) -> None:
    """Show each comparison."""
    for each in verdicts:
        show(each.what, each, record_property)


def show(what: str, found: object, record_property: Callable[[str, object], None]) -> None:
    """Keep what was found in the run's report, and print it, which is seen with `pytest -s`."""
    record_property(what, str(found))
    print(f"{what}: {found}")  # noqa: T201  # these tests are read for their numbers, too


def interval(samples: Floats, controls: Sequence[Floats] = (), together: int = 1) -> Interval:
    """The intercept of the samples' regression on the controls, and how far off it may be. One of `together`."""
    design = np.column_stack([np.ones(len(samples)), *controls])
    coefficients, _, rank, _ = np.linalg.lstsq(design, samples, rcond=None)
    assert rank == design.shape[1], "a control says nothing new"
    freedom = len(samples) - int(rank)
    residuals = samples - design @ coefficients
    variance = float(residuals @ residuals) / freedom * float(np.linalg.inv(design.T @ design)[0, 0])
    quantile = float(stats.t.ppf(1 - (1 - CONFIDENCE) / together / 2, freedom))
    return Interval(float(coefficients[0]), quantile * variance**0.5)
