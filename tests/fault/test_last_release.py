"""A new release rolls out under load: the last one's process beside it, on the schema that the new one has migrated."""

import asyncio
import io
import subprocess
import tarfile
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.support.faults.cluster import ROOT, Cluster, Node, cluster
from tests.support.faults.run import AFTER_S, running
from tests.support.service import ADMIN_KEY

BESIDE_S: Final = 3.0


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, check=False)


@pytest.fixture(scope="session")
def last_release() -> Iterator[Path]:
    """The code of the last release, from the repository's own history."""
    commit = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["cordboard"]["last-release"]
    packed = git("archive", commit, "src", "migrations")
    if packed.returncode:
        shallow = git("rev-parse", "--is-shallow-repository").stdout.strip() != b"false"
        assert shallow, f"the last release, {commit}, is not in the history: {packed.stderr.decode()}"
        pytest.skip(f"this clone has no history: {commit} is needed (git fetch --unshallow)")
    with tempfile.TemporaryDirectory(prefix="cordboard-last-") as name:
        folder = Path(name)
        with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as tar:
            tar.extractall(folder)  # of our own history; Python 3.11.2 knows no `filter`
        yield folder


def newest(source: Path) -> str:
    """The newest revision of the schema that a release knows."""
    return max(each.name[:4] for each in (source / "migrations" / "versions").glob("0*.py"))


async def serves(found: Cluster, node: Node) -> set[str]:
    return {row["tenant"] for row in await found.fetch("SELECT tenant FROM tenant_heads WHERE owner = $1", node.id)}


async def test_a_release_rolls_out_beside_the_last(last_release: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="cordboard-") as name:
        revision = newest(last_release)
        async with (
            cluster(Path(name), processes=2, source=last_release, revision=revision) as found,
            running("roll out a release", found) as run,
        ):
            new, old = found.nodes
            async with run.fault():
                await new.end()
                new.source = ROOT
                await found.start(new)  # and migrates, while the old one serves
            [at] = await found.fetch("SELECT version_num FROM alembic_version")
            assert newest(ROOT) == at["version_num"]
            assert await run.recovered()
            await asyncio.sleep(BESIDE_S)
            # Two tenants, two processes: each has one, and both write.
            assert await serves(found, old)
            assert await serves(found, new)
            before = await found.fetch("SELECT tenant, seq FROM tenant_heads")
            headers = {"authorization": f"Bearer {ADMIN_KEY}"}
            async with httpx.AsyncClient(base_url=new.url, headers=headers) as http:
                posted = {"channel": "webchat", "identity": {"type": "web_user", "value": "u"}, "tags": []}
                assert (await http.post("/v1/contacts", json=posted)).status_code == 201
            await asyncio.sleep(AFTER_S)
            after = {row["tenant"]: row["seq"] for row in await found.fetch("SELECT tenant, seq FROM tenant_heads")}
            assert all(after[row["tenant"]] > row["seq"] for row in before)
            await old.end()
            old.source = ROOT
            await found.start(old)
            await asyncio.sleep(AFTER_S)
            assert [] == await run.finish()
