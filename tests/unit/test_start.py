"""What a process loads to start: nothing that it may never need and that takes long."""

import subprocess
import sys


def test_what_only_several_processes_need_is_not_loaded() -> None:
    code = "import sys, src.app.server; print({'aiohttp', 'alembic', 'redis'} & sys.modules.keys())"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "set()"
