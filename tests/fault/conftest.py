"""One cluster for all faults; how often each is tried; and the table of times that it took to recover."""

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.faults.cluster import Cluster, cluster
from tests.support.faults.run import NOTES, TABLE

LONG = [
    *("test_crowds.py", "test_customers_kill.py", "test_last_release.py", "test_overload.py"),
    *("test_storm.py", "test_visitors_kill.py", "test_voice_kill.py"),
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


@pytest.fixture(scope="session")
async def the_cluster() -> AsyncIterator[Cluster]:
    """Three processes, PostgreSQL and Redis, whole again behind each test."""
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        async with cluster(Path(name)) as found:
            yield found


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for note in NOTES:
        terminalreporter.write_line(note)
    if not TABLE:
        return
    terminalreporter.section("times to recover, in seconds")
    line = "{:<44}{:>10}{:>14}{:>8}{:>10}{:>9}".format
    terminalreporter.write_line(line("fault", "no answer", "answers again", "whole", "contacts", "retries"))
    for row in TABLE:
        figures = (f"{row.outage_s:.2f}", f"{row.acknowledged_s:.2f}", f"{row.whole_s:.2f}")
        terminalreporter.write_line(line(row.name, *figures, str(row.contacts), str(row.retries)))
