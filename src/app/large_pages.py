"""The process's memory in large pages, where the kernel has such.

The engine of a large tenant lies on a hundred thousand pages of 4 KiB, and each decision looks at agents and contacts
that nobody has looked at for a while. To find where such a page is costs about as much as to read it; with pages of
2 MiB the processor has nearly all of them at hand. Linux puts memory together so where it is asked to (`MADV_COLLAPSE`,
since 6.1); on other systems, and older ones, everything stays as it is.
"""

import asyncio
import ctypes
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

LARGE: Final = 2 << 20
"""Bytes of a large page."""

LOOK_S: Final = 60.0
GROWN_MIN: Final = 64 << 20
"""So many bytes more than when it was last done, and it is done again."""

DENSE: Final = 0.75
"""What is used of a region at least: to put together what is mostly empty, as stacks of threads are, would use more."""

_COLLAPSE: Final = 25
_SMAPS: Final = Path("/proc/self/smaps")
_REGION: Final = re.compile(
    r"^([0-9a-f]+)-([0-9a-f]+) rw-p \S+ \S+ 0 *(?:\[heap\]|\[anon:.*\])?\n(?:(?!Rss:).*\n)*?Rss: +(\d+) kB$",
    re.MULTILINE,
)


async def keep_large() -> None:
    """Do it after the start, and whenever the process has grown."""
    process, gathered = psutil.Process(), 0
    while True:
        await asyncio.sleep(LOOK_S)
        if process.memory_info().rss - gathered >= GROWN_MIN:
            await asyncio.to_thread(gather)
            gathered = process.memory_info().rss


def gather() -> int:
    """Put the process's own memory into large pages, as far as the kernel does so; gives how many bytes it did."""
    if sys.platform != "linux":
        return 0
    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    done = [begin for begin in _pages(_SMAPS.read_text("ascii")) if advise(begin, LARGE, _COLLAPSE) == 0]
    return len(done) * LARGE


def _pages(smaps: str) -> Iterator[int]:
    """Where large pages may begin: in memory of the process's own that is used, and comes from no file."""
    for begin, end, used_kib in _REGION.findall(smaps):
        first, last = int(begin, 16), int(end, 16)
        if int(used_kib) << 10 >= DENSE * (last - first):
            yield from range(-(-first // LARGE) * LARGE, last - LARGE + 1, LARGE)
