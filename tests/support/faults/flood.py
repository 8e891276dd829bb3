"""Posts at a fixed rate, whatever the service makes of it: over bare sockets and from a process of its own.

As a program it takes one JSON object as its argument and prints one.
"""

import asyncio
import contextlib
import itertools
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

CONNECTIONS: Final = 1_500
"""Gateways keep their connections: so many are open before a flood begins."""

ANSWER_S_MAX: Final = 15.0


@dataclass
class Answers:
    """What came back. Latencies are seconds from the moment at which a post was due; `late_s` is how late it was sent.

    A post is one contact, or a batch of them. `taken` are external id and contact id of what was acknowledged,
    `in_doubt` external ids of what was not answered.
    """

    taken: list[tuple[str, str]] = field(default_factory=list)
    taken_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    late_s: float = 0.0
    statuses: dict[str, int] = field(default_factory=Counter)
    retry_after: dict[str, int] = field(default_factory=Counter)
    in_doubt: list[str] = field(default_factory=list)
    lasted_s: float = 0.0

    def enter(self, books: Any) -> None:
        """Write it into the books of a run (not imported here: this file is a program too)."""
        for external_id, contact_id in self.taken:
            books.acknowledged(external_id, contact_id, 0.0, 1)
        books.in_doubt.update(self.in_doubt)

    @property
    def rate(self) -> float:
        """Posts taken in a second."""
        return len(self.taken_s) / self.lasted_s

    def quantile_s(self, share: float) -> float:
        """Of what was taken."""
        return quantile(self.taken_s, share)


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


async def flood(
    ports: Sequence[int],
    key: str,
    prefix: str,
    *,
    at_once: int = 0,
    rate: float = 0.0,
    seconds: float = 0.0,
    batch: int = 0,
) -> Answers:
    """Post from a process of its own for some seconds: `at_once` gateways that wait for their answers, or at a rate.

    Without `seconds`: so many gateways that post once and do not give up. With `batch`: so many contacts at a time.
    """
    asked = {"ports": list(ports), "key": key, "prefix": prefix, "seconds": seconds, "at_once": at_once, "rate": rate}
    asked["batch"] = batch
    command = (sys.executable, __file__, json.dumps(asked))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    said, _ = await process.communicate()
    assert process.returncode == 0
    return Answers(**json.loads(said))


class Flood:
    """Many gateways at once."""

    def __init__(self, ports: Sequence[int], key: str, prefix: str, batch: int) -> None:
        self._ports = itertools.cycle(ports)
        self._head = f"authorization: Bearer {key}\r\ncontent-type: application/json\r\nhost: localhost\r\n"
        self._prefix, self._batch = prefix, batch
        self._numbers = itertools.count()
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def closed(self, at_once: int, seconds: float) -> Answers:
        """So many gateways, each of which waits for its answer."""
        answers, until = Answers(), time.monotonic() + seconds

        async def one() -> None:
            while time.monotonic() < until:
                await self._post(answers, time.monotonic())

        started = time.monotonic()
        await asyncio.gather(*(one() for _ in range(at_once)))
        answers.lasted_s = time.monotonic() - started
        return answers

    async def open(self, rate: float, seconds: float) -> Answers:
        """So many posts a second, due at even distances, whoever is still waiting."""
        for _ in range(CONNECTIONS):
            self._idle.append(await asyncio.open_connection("127.0.0.1", next(self._ports)))
        answers, started = Answers(), time.monotonic()
        under_way: set[asyncio.Task[float | None]] = set()
        for number in range(int(rate * seconds)):
            due = started + number / rate
            if (early := due - time.monotonic()) > 0.001:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._post(answers, due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        answers.lasted_s = time.monotonic() - started
        await asyncio.gather(*under_way)
        return answers

    async def rush(self, count: int) -> Answers:
        """So many gateways post once, all at the same time, and come back when they are told to."""
        answers, started = Answers(), time.monotonic()

        async def one() -> None:
            external_id = f"{self._prefix}{next(self._numbers)}"
            while (pause_s := await self._post(answers, started, external_id)) is not None:
                await asyncio.sleep(pause_s)

        await asyncio.gather(*(one() for _ in range(count)))
        answers.lasted_s = time.monotonic() - started
        return answers

    async def close(self) -> None:
        """Hang up."""
        for _, writer in self._idle:
            writer.close()

    async def _post(self, answers: Answers, due: float, external_id: str = "") -> float | None:
        """Post one; when to come back, if it was refused."""
        external_id = external_id or f"{self._prefix}{next(self._numbers)}"
        answers.late_s = max(answers.late_s, time.monotonic() - due)
        names = [f"{external_id}.{number}" for number in range(self._batch)]
        path = "/v1/contacts:batch" if names else "/v1/contacts"
        body = json.dumps({"items": [_contact(each) for each in names]} if names else _contact(external_id))
        request = f"POST {path} HTTP/1.1\r\n{self._head}content-length: {len(body)}\r\n\r\n{body}".encode()
        try:
            async with asyncio.timeout(ANSWER_S_MAX):
                status, headers, answer = await self._ask(request)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            answers.in_doubt.extend(names or [external_id])
            return 1.0
        answers.statuses[str(status)] += 1
        latency_s = time.monotonic() - due
        if status in (200, 201):
            answers.taken_s.append(latency_s)
            said = json.loads(answer)
            contacts = [each["contact"] for each in said["items"]] if names else [said]
            answers.taken.extend(zip(names or [external_id], [each["id"] for each in contacts], strict=True))
            return None
        answers.refused_s.append(latency_s)
        answers.retry_after[headers.get("retry-after", "")] += 1
        return float(headers.get("retry-after", "1"))

    async def _ask(self, request: bytes) -> tuple[int, dict[str, str], bytes]:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof():
                break
            writer.close()  # the service has closed it meanwhile: it was idle for too long
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", next(self._ports))
        try:
            writer.write(request)
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in lines)}
            answer = await reader.readexactly(int(headers["content-length"]))
        except BaseException:
            with contextlib.suppress(OSError):
                writer.transport.abort()
            raise
        self._idle.append((reader, writer))
        return int(first.split()[1]), headers, answer


def _contact(external_id: str) -> dict[str, Any]:
    identity = {"type": "web_user", "value": f"u{hash(external_id) % 500}"}
    return {"channel": "webchat", "external_id": external_id, "identity": identity, "tags": []}


async def main(asked: dict[str, Any]) -> Answers:
    """Do what was asked for on the command line."""
    found = Flood(asked["ports"], asked["key"], asked["prefix"], asked["batch"])
    if not asked["seconds"]:
        answers = await found.rush(asked["at_once"])
    elif asked["rate"]:
        answers = await found.open(asked["rate"], asked["seconds"])
    else:
        answers = await found.closed(asked["at_once"], asked["seconds"])
    await found.close()
    return answers


if __name__ == "__main__":
    print(json.dumps(vars(asyncio.run(main(json.loads(sys.argv[1]))))))  # noqa: T201  # that is its output
