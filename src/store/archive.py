"""The archive: what is dropped of the journal, as JSON lines, gzipped. One file for each partition; knows no SQL.

A line is an array: `["event", tenant, …]` with the columns of the journal, or `["checkpoint", tenant, seq, at, hash,
state]`, which says what the journal of a tenant adds up to behind its events of this file. A file is there under its
name only when it is whole, on disk, and was read back.
"""

import gzip
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import msgspec

from src.dispatch.ports import Checkpoint
from src.errors import StoreRejected
from src.router.journal import Event
from src.store import rows

SUFFIX: Final = ".jsonl.gz"
LEVEL: Final = 6

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an archive: an event or a checkpoint of a tenant."""

    tenant: str
    value: Event | Checkpoint


class ArchiveWriter:
    """Writes one file; `finish` makes it count. As a context manager it leaves nothing half written behind."""

    def __init__(self, folder: Path, name: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{name}{SUFFIX}"
        self._part = folder / f"{name}.part"
        self._raw = self._part.open("wb")
        self._file = gzip.GzipFile(filename="", fileobj=self._raw, mode="wb", compresslevel=LEVEL)
        self._last: dict[str, int] = {}
        self.events = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._raw.close()
        self._part.unlink(missing_ok=True)

    def event(self, tenant: str, event: Event) -> None:
        """Write an event. Those of a tenant come in order."""
        self._file.write(_encode(["event", tenant, *rows.event_row(event)]) + b"\n")
        self._last[tenant] = event.seq
        self.events += 1

    def checkpoint(self, tenant: str, checkpoint: Checkpoint) -> None:
        """Write what the tenant's events add up to."""
        self._file.write(_encode(["checkpoint", tenant, *rows.checkpoint_row(checkpoint)]) + b"\n")

    def finish(self) -> None:
        """Have the file on disk, read it back, and give it its name.

        Raises:
            StoreRejected: what is on disk is not what was written.
        """
        self._file.close()
        self._raw.flush()
        os.fsync(self._raw.fileno())
        self._raw.close()
        events, last = 0, dict[str, int]()
        for line in _lines(self._part):
            if isinstance(line.value, Event):
                events += 1
                last[line.tenant] = line.value.seq
        if events != self.events or last != self._last:
            raise StoreRejected(f"the archive {self._part} cannot be read back")
        self._part.replace(self.path)
        _sync(self.path.parent)


def read(folder: Path) -> Iterator[Line]:
    """Every line of every file, in the order in which they were dropped."""
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        yield from _lines(path)


def _lines(path: Path) -> Iterator[Line]:
    with gzip.open(path) as file:
        for text in file:
            kind, tenant, *row = _decode(text)
            yield Line(tenant, rows.event_from(row) if kind == "event" else rows.checkpoint_from(row))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
