"""The pages' commands, typed into a shell as they stand there, against a service."""

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.guides import DOCS, ROOT, Guide
from tests.support.service import Client

RUN = ("getting-started", "gateway", "desktop", "integrator", "operations")


@pytest.mark.parametrize("name", RUN)
async def test_commands_do_what_the_page_says(tenant: Client, name: str) -> None:
    guide = Guide(DOCS / f"{name}.md")
    key = tenant.http.headers["authorization"].removeprefix("Bearer ")
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "CORDBOARD_KEY": key, "PYTHONPATH": str(ROOT), "PATH": programs}
    pipe = asyncio.subprocess.PIPE
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        guide.script(tenant.url),
        cwd=ROOT,
        env=environment,
        stdout=pipe,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(60):
            printed = (await shell.communicate())[0].decode()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    assert 0 == shell.returncode, printed
    assert '"code":' not in printed, f"something was refused: {printed}"
    lines, place = [each.strip() for each in printed.splitlines()], 0
    for said in guide.said():
        assert said.strip() in lines[place:], f"{said!r} is not printed behind line {place}: {printed}"
        place = lines.index(said.strip(), place) + 1
