"""A service under steady load for as long as wanted: does its memory stay flat? `make soak` (MINUTES=60).

The service runs as operators run it, with its embedded PostgreSQL; `cordboard simulate` is the load. Every few seconds
the memory, open files and threads of the service and the memory of PostgreSQL's own processes are noted. What comes
before a third of the time is warming up. Of the rest the slope is taken (Theil and Sen: the median of the slopes
between all pairs, which a few outliers do not move); it fails where an hour would add more than is allowed.
"""

import argparse
import csv
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, fields
from itertools import combinations
from pathlib import Path
from typing import Final

import psutil

SAMPLE_S: Final = 5.0
WARM_UP: Final = 1 / 3
POINTS_MAX: Final = 240
"""So many points are compared pair by pair; more are thinned out."""

KEY: Final = "cb_" + "s" * 40
MIB: Final = 1 << 20
STATES: Final = ("waiting", "offered", "active", "wrap_up", "parked")
START_S_MAX: Final = 120.0

PER_HOUR_MAX: Final = {"service_mib": 12.0, "files": 6.0, "threads": 3.0}
"""What an hour may add. Arenas settle for hours, so some MiB are no leak; something kept for each contact would be."""

LEAST: Final = {"service_mib": 4.0, "files": 10.0, "threads": 1.0}
"""So much is let pass however short the run: it is what comes and goes. Only long runs are sharp."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What was seen at a moment, seconds from the start."""

    at_s: float
    service_mib: float
    postgres_mib: float
    files: int
    threads: int
    open_contacts: int


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """The median of the slopes between all pairs of points (seconds, value), for an hour."""
    thinned = points[:: max(1, len(points) // POINTS_MAX)]
    return 3600 * statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(thinned, 2))


def verdict(samples: Sequence[Sample]) -> list[tuple[str, float, float, bool]]:
    """By what was measured: its slope for an hour, what that may be, and whether it holds."""
    steady = samples[int(len(samples) * WARM_UP) :]
    hours = (steady[-1].at_s - steady[0].at_s) / 3600
    found = []
    for name, allowed in PER_HOUR_MAX.items():
        most = max(allowed, LEAST[name] / hours)
        slope = slope_per_hour([(each.at_s, getattr(each, name)) for each in steady])
        found.append((name, slope, most, slope <= most))
    return found


@contextmanager
def serving(folder: Path, port: int) -> Iterator[psutil.Process]:
    """The service as a process of its own, ready."""
    settings = {"CORDBOARD_PORT": str(port), "CORDBOARD_DATA_DIR": str(folder), "CORDBOARD_ADMIN_KEY": KEY}
    command = [sys.executable, "-m", "src.cli.main", "serve"]
    with folder.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            _wait_for(f"http://127.0.0.1:{port}/readyz", process)
            yield psutil.Process(process.pid)
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(int(START_S_MAX * 10)):
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own address
                return
        except (urllib.error.URLError, OSError):
            if process.poll() is not None:
                raise SystemExit("the service has ended") from None
            time.sleep(0.1)
    raise SystemExit("the service does not become ready")


def sample(service: psutil.Process, began: float, port: int) -> Sample:
    """Look at the service, and at PostgreSQL's processes below it: the memory that each has to itself."""
    postgres = 0
    for each in service.children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            postgres += each.memory_full_info().uss
    return Sample(
        round(time.monotonic() - began, 1),
        round(service.memory_info().rss / MIB, 2),
        round(postgres / MIB, 2),
        service.num_fds(),
        service.num_threads(),
        _open_contacts(port),
    )


def _open_contacts(port: int) -> int:
    url = f"http://127.0.0.1:{port}/v1/stats"
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 - the same
        queues = json.load(answer)["queues"].values()
    return sum(value for queue in queues for name, value in queue.items() if name in STATES)


def main() -> None:
    """Run, sample, judge."""
    options = _options()
    samples: list[Sample] = []
    with tempfile.TemporaryDirectory(prefix="cordboard-soak-") as name, options.out.open("w", newline="") as file:
        folder, port = Path(name), _free_port()
        folder.chmod(0o711)  # run as root, PostgreSQL is another user
        written = csv.writer(file)
        written.writerow(each.name for each in fields(Sample))
        with serving(folder / "data", port) as service, _load(port, options, folder) as load:
            began = time.monotonic()
            while load.poll() is None and time.monotonic() < began + options.minutes * 60:
                time.sleep(SAMPLE_S)
                samples.append(sample(service, began, port))
                written.writerow(astuple(samples[-1]))
                file.flush()
        print((folder / "load.log").read_text("utf-8")[-2_000:])
    held = len(samples) * SAMPLE_S > options.minutes * 40 and load.returncode == 0
    if not held:
        print(f"the load ended early or found a promise broken (status {load.returncode})")
    for name, slope, most, holds in verdict(samples):
        first, last = getattr(samples[len(samples) // 3], name), getattr(samples[-1], name)
        print(f"{name:12} {first:8.1f} -> {last:8.1f}  {slope:+8.2f} an hour (at most {most:+.0f})  {_word(holds)}")
        held = held and holds
    sys.exit(0 if held else 1)


def _word(holds: bool) -> str:
    return "flat" if holds else "GROWS"


@contextmanager
def _load(port: int, options: argparse.Namespace, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Customers and agents for the whole time; in the end it checks what it was promised."""
    command = [sys.executable, "-m", "src.cli.main", "simulate", "--plain", "--url", f"http://127.0.0.1:{port}"]
    command += ["--key", KEY, "--duration", str(options.minutes * 60), "--speed", str(options.speed)]
    command += ["--agents", str(options.agents)]
    with (folder / "load.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603 - ours
        try:
            yield process
            process.wait(300)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--agents", type=int, default=60)
    parser.add_argument("--speed", type=float, default=30.0, help="how many times as fast the centre's clock runs")
    parser.add_argument("--out", type=Path, default=Path("soak.csv"), help="the samples")
    return parser.parse_args()


if __name__ == "__main__":
    main()
