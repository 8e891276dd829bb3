"""The process's memory in large pages."""

import asyncio
import mmap
import sys
from pathlib import Path

import pytest

from src.app import large_pages
from src.app.large_pages import LARGE, gather

SMAPS = """\
7f0000000000-7f0000500000 rw-p 00000000 00:00 0 
Size:               5120 kB
KernelPageSize:        4 kB
Rss:                5120 kB
7f1000100000-7f1000500000 rw-p 00000000 00:00 0                          [anon:cpython:pymalloc]
Size:               4096 kB
Rss:                4096 kB
7f2000000000-7f2000800000 rw-p 00000000 00:00 0 
Size:               8192 kB
Rss:                  12 kB
7f3000000000-7f3000400000 rw-p 00000000 08:01 131                        /usr/lib/a.so
Size:               4096 kB
Rss:                4096 kB
7f4000000000-7f4000400000 r--p 00000000 00:00 0 
Size:               4096 kB
Rss:                4096 kB
7f5000000000-7f5000400000 rw-p 00000000 00:00 0                          [stack]
Size:               4096 kB
Rss:                4096 kB
"""  # noqa: W291  # the kernel writes a blank where there is no name


def test_what_is_used_of_its_own_and_no_stack_is_put_together() -> None:
    found = list(large_pages._pages(SMAPS))
    assert found == [0x7F0000000000, 0x7F0000200000, 0x7F1000200000]


@pytest.mark.skipif(sys.platform != "linux", reason="large pages are Linux's")
def test_memory_says_the_same_in_large_pages() -> None:
    with mmap.mmap(-1, 8 * LARGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        said = bytes(range(256)) * (8 * LARGE // 256)
        memory[:] = said
        before_kib = _large_kib()
        done = gather()
        if not done:
            pytest.skip("the kernel does not put memory together")
        assert memory[:] == said
        assert _large_kib() > before_kib


def _large_kib() -> int:
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return next(int(each.split()[1]) for each in lines if each.startswith("AnonHugePages:"))


async def test_it_is_done_again_only_when_the_process_has_grown(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []
    monkeypatch.setattr(large_pages, "LOOK_S", 0)
    monkeypatch.setattr(large_pages, "GROWN_MIN", 1 << 40)
    monkeypatch.setattr(large_pages, "gather", lambda: done.append(1))
    task = asyncio.create_task(large_pages.keep_large())
    await asyncio.sleep(0.2)
    assert not done, "it has not grown"
    monkeypatch.setattr(large_pages, "GROWN_MIN", 16 << 20)
    async with asyncio.timeout(30):
        while not done:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    task.cancel()
    await asyncio.wait([task])
    assert len(done) == 1, "once after the start"
