"""One cluster for all faults; how often each is tried; and the table of times that it took to recover.

Most faults are waited for: they are tried beside one another, in as many processes as wanted (`-n`), each with its own
cluster. What floods the machine has it for itself.
"""

import fcntl
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import astuple
from pathlib import Path

import pytest

from tests.support.faults.cluster import Cluster, cluster
from tests.support.faults.run import NOTES, TABLE, Row

TEST_S_MAX = 900
ALONE = ("test_crowds.py", "test_overload.py", "test_storm.py")
LONG = [
    *("test_crowds.py", "test_customers_kill.py", "test_last_release.py", "test_overload.py"),
    *("test_pulled_kill.py", "test_storm.py", "test_visitors_kill.py", "test_voice_kill.py"),
]
collect_ignore = [] if os.environ.get("CORDBOARD_TEST_FAULTS") == "all" else LONG


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--count", type=int, default=1, help="try each fault so many times")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "the_cluster" in metafunc.fixturenames:
        count = metafunc.config.getoption("--count", 1)
        if count > 1:
            metafunc.fixturenames.append("round")
            metafunc.parametrize("round", range(count))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What must be alone comes last: then nobody else has much left to do. Starting processes may take its time."""
    items.sort(key=lambda item: item.path.name in ALONE)
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(TEST_S_MAX))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Wait, before a test's time begins to count, until nothing is under way that it cannot share the machine with."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if item.path.name in ALONE else fcntl.LOCK_SH)
        return (yield)


@pytest.fixture(autouse=True)
def _measured(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test measures goes with its report to whichever process prints the summary."""
    yield
    request.node.user_properties += [("note", each) for each in NOTES] + [("row", astuple(each)) for each in TABLE]
    NOTES.clear()
    TABLE.clear()


@pytest.fixture(scope="session")
async def the_cluster() -> AsyncIterator[Cluster]:
    """Three processes, PostgreSQL and Redis, whole again behind each test."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        async with cluster(Path(name)) as found:
            yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for some in terminalreporter.stats.values() for each in some]
    told = [pair for each in reports if getattr(each, "when", "") == "teardown" for pair in each.user_properties]
    for kind, note in told:
        if kind == "note":
            terminalreporter.write_line(note)
    rows = [Row(*values) for kind, values in told if kind == "row"]
    if not rows:
        return
    terminalreporter.section("times to recover, in seconds")
    line = "{:<44}{:>10}{:>14}{:>8}{:>10}{:>9}".format
    terminalreporter.write_line(line("fault", "no answer", "answers again", "whole", "contacts", "retries"))
    for row in rows:
        figures = (f"{row.outage_s:.2f}", f"{row.acknowledged_s:.2f}", f"{row.whole_s:.2f}")
        terminalreporter.write_line(line(row.name, *figures, str(row.contacts), str(row.retries)))
