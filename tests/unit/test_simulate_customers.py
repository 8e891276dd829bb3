"""What the simulated customers promise: the same seed brings the same people, in the shares of the scenario."""

import itertools
import random

import pytest

from src.api.schemas import ContactBody
from src.cli.simulate.customers import body, visits
from src.cli.simulate.report import duration, latency, percent, percentile
from src.cli.simulate.scenario import Spread, load
from src.errors import StartupError

DEMO = load()
MANY = 4_000


def test_the_same_seed_brings_the_same_people_with_the_same_words() -> None:
    first, again, other = (list(itertools.islice(visits(DEMO, seed), 50)) for seed in ("1", "1", "2"))

    assert first == again
    assert first != other


def test_channels_and_tiers_come_in_their_shares() -> None:
    seen = list(itertools.islice(visits(DEMO, "1"), MANY))

    for channel, mix in DEMO.simulation.channels.items():
        share = sum(visit.customer.channel == channel for visit in seen) / MANY
        assert share == pytest.approx(mix.share, abs=0.03)
    for tier, expected in DEMO.simulation.customers.tiers.items():
        assert sum(visit.customer.tier == tier for visit in seen) / MANY == pytest.approx(expected, abs=0.03)


def test_customers_come_back() -> None:
    seen = list(itertools.islice(visits(DEMO, "1"), MANY))
    people = {visit.customer.person.id for visit in seen}

    assert sum(visit.new for visit in seen) == len(people)
    assert 1 - len(people) / MANY == pytest.approx(DEMO.simulation.customers.returning_share, abs=0.03)


def test_people_come_over_several_channels_and_tell_their_number_in_their_shares() -> None:
    habits = DEMO.simulation.customers
    seen = list(itertools.islice(visits(DEMO, "1"), MANY))
    channels: dict[int, set[str]] = {}
    for visit in seen:
        channels.setdefault(visit.customer.person.id, set()).add(visit.customer.channel)
    assert len(channels) / 20 < sum(len(each) > 1 for each in channels.values())
    tells = [each.customer.person.tells for each in seen if each.new]
    assert tells.count("proven") / len(tells) == pytest.approx(habits.proven_number_share, abs=0.03)
    assert tells.count("typed") / len(tells) == pytest.approx(habits.typed_number_share, abs=0.03)
    told = {
        (each.customer.person.tells, each.customer.number is None) for each in seen if each.customer.channel != "voice"
    }
    assert {("proven", False), ("typed", False), ("nothing", True)} == told


def test_what_is_posted_is_what_the_api_takes() -> None:
    for visit in itertools.islice(visits(DEMO, "1"), 500):
        posted = ContactBody.model_validate(body(visit, "run-1"))

        call = posted.channel == "voice"
        assert call == (posted.text is None)
        assert call == (posted.tags is not None)


def test_a_spread_has_its_median_and_its_percentile() -> None:
    spread, rng = Spread(median_s=100, p95_s=300), random.Random(1)
    drawn = sorted(spread.draw(rng) for _ in range(20_000))

    assert drawn[10_000] == pytest.approx(100, rel=0.05)
    assert drawn[19_000] == pytest.approx(300, rel=0.07)
    assert sum(drawn) / 20_000 == pytest.approx(spread.mean_s, rel=0.05)


def test_a_scenario_that_is_wrong_says_where_in_one_line(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("scenario") / "mine.yaml"
    path.write_text("queues: {}\ntags: {}\nrules: {}\nagents: {a1: {skills: {refund: 101}}}\n", "utf-8")

    with pytest.raises(StartupError, match=r"mine\.yaml: agents\.a1\.skills\.refund: .*100") as caught:
        load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([], 0.5, None), ([3], 0.95, 3), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.95, 95), ([2, 1], 1, 2)],
)
def test_percentiles_are_by_nearest_rank(values: list[float], share: float, expected: float | None) -> None:
    assert expected == percentile(values, share)


def test_figures_are_told_as_people_say_them() -> None:
    assert ("-", "0.4 s", "42 s", "3:20") == (duration(None), duration(0.4), duration(42.2), duration(200))
    assert ("-", "3.1 ms", "412 ms", "1.20 s") == (latency(None), latency(0.0031), latency(0.412), latency(1.2))
    assert ("-", "99 %", "100 %") == (percent(None), percent(0.999), percent(1.0))
