"""What integrators use in JavaScript, against what this service says; `make test-js` brings the libraries."""

import asyncio
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from src.api.asyncapi import document
from tests.integration.test_receivers import receive

ROOT = Path(__file__).parents[2]
FOLDER = os.environ.get("CORDBOARD_TEST_JS")

pytestmark = pytest.mark.skipif(
    FOLDER is None, reason="make test-js brings the libraries; signatures and schema are checked in Python too"
)


def beside_the_libraries(program: Path) -> str:
    """Modules are looked for where the program lies."""
    assert FOLDER is not None
    return str(shutil.copy(program, FOLDER))


def test_asyncapis_own_parser_takes_the_document() -> None:
    program = beside_the_libraries(ROOT / "tests" / "support" / "asyncapi.mjs")
    text = (ROOT / "asyncapi.yaml").read_text("utf-8")
    said = subprocess.run(["node", program], input=text, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"valid {len(document()['components']['messages'])}" == said.strip()
    broken = text.replace("action: receive", "action: shout", 1)
    said = subprocess.run(
        ["node", program], input=broken, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert said.strip().endswith("invalid")


async def test_standard_webhooks_own_library_believes_what_is_posted(database: str, tmp_path: Path) -> None:
    program = beside_the_libraries(ROOT / "examples" / "receiver.mjs")
    async with asyncio.timeout(60):
        await receive(database, tmp_path, "node", program)
