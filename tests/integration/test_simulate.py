"""The demonstration contact centre against the real service, and every promise checked from outside."""

from src.cli.simulate.run import Options, simulate
from tests.support.service import ADMIN_KEY, Client


async def test_a_short_day_keeps_every_promise(client: Client) -> None:
    report = await simulate(Options(url=client.url, key=ADMIN_KEY, duration_s=6, contacts_max=40))
    assert report.ok, report.broken
    assert (0, 0) == (report.gaps, report.doubles)
    assert report.people.several, "nobody came over two channels"
    assert report.people.repeats, "nobody came again with the same matter"
