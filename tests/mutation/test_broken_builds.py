"""Each fault of `broken_builds` is put into a copy of the service; the fault suite must notice.

`make test-mutations` tries them: each takes the better part of a minute.
"""

import os
import shutil
from pathlib import Path

import pytest

from tests.mutation.broken_builds import BUILDS, Build
from tests.support.faults.cluster import ROOT, cluster
from tests.support.faults.scenarios import broken_by

ALL = os.environ.get("CORDBOARD_TEST_MUTATIONS") == "all"

TRIES = 3
"""A fault is chance, and so is what it meets: the suite must notice within so many runs of it."""


def test_every_fault_still_finds_its_place() -> None:
    for file, old, _ in (change for each in BUILDS for change in each.changes):
        count = (ROOT / "src" / file).read_text().count(old)
        assert count == 1, f"{file}: {old!r} stands there {count} times"


@pytest.mark.skipif(not ALL, reason="make test-mutations breaks the service")
@pytest.mark.parametrize("build", BUILDS, ids=lambda each: each.why)
async def test_the_fault_suite_notices(build: Build, tmp_path: Path) -> None:
    source = tmp_path / "build"
    for each in ("src", "migrations"):
        shutil.copytree(ROOT / each, source / each, ignore=shutil.ignore_patterns("__pycache__"))
    for file, old, new in build.changes:
        path = source / "src" / file
        path.write_text(path.read_text().replace(old, new))
    tmp_path.chmod(0o711)
    seen: list[str] = []
    for attempt in range(TRIES):
        folder = tmp_path / f"run{attempt}"
        folder.mkdir()
        async with cluster(folder, source=source) as found:
            broken = await broken_by(build.scenario, found)
        if any(line.startswith(build.noticed) for line in broken):
            return
        seen += broken
    pytest.fail(f"nobody notices that {build.why}: {seen}")
