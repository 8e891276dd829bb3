"""The systems that contacts are sent through over HTTP and WebSocket, each with its agents at their desktops."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

from bench.machine import ADMIN_KEY, Postgres, Program, start, start_service
from bench.receiver import LOOPBACK
from bench.traffic import Desk, Figures, Traffic, skills_of
from bench.wire import Http

AGENTS: Final = 200
TOKEN_S: Final = 7_200


@dataclass(slots=True)
class System:
    """One of them, and what was measured of it: by load, contacts a second and processor microseconds of a contact."""

    name: str
    program: Program
    postgres: Postgres
    traffic: Traffic
    rates: dict[str, list[float]] = field(default_factory=dict)
    server_us: dict[str, list[float]] = field(default_factory=dict)
    postgres_us: dict[str, list[float]] = field(default_factory=dict)

    async def play(self, seconds: float, batch: int = 1) -> Figures:
        """Send it what it can take, and note what that cost."""
        load = "batches" if batch > 1 else "singles"
        server_s, postgres_s = self.program.cpu_s(), self.postgres.cpu_s()
        before = self.traffic.done
        figures = await self.traffic.flat_out(seconds, batch)
        contacts = self.traffic.done - before
        self.rates.setdefault(load, []).append(figures.rate)
        self.server_us.setdefault(load, []).append((self.program.cpu_s() - server_s) / contacts * 1e6)
        self.postgres_us.setdefault(load, []).append((self.postgres.cpu_s() - postgres_s) / contacts * 1e6)
        return figures

    def rate(self, load: str = "singles") -> float:
        """The median of its rounds."""
        return median(self.rates[load])

    def close(self) -> None:
        """End it."""
        self.traffic.close()
        self.program.stop()


async def hire(program: Program, count: int, name: str = "agent", key: str = ADMIN_KEY) -> Callable[[int], bytes]:
    """Make agents of the service; returns what each says first on its socket."""
    api = await Http.connect(program.port, key)
    tokens = []
    for number in range(count):
        body = {"skills": dict.fromkeys(skills_of(number), 50), "capacity": 100}
        await api.good("PUT", f"/v1/agents/{name}{number}", json.dumps(body).encode())
        asked = {"agent_id": f"{name}{number}", "role": "agent", "ttl_s": TOKEN_S}
        tokens.append(json.loads(await api.good("POST", "/v1/tokens", json.dumps(asked).encode()))["token"])
    api.close()
    return lambda number: json.dumps({"type": "hello", "token": tokens[number]}).encode()


async def service(postgres: Postgres, folder: Path, name: str = "service", profile: Path | None = None) -> System:
    """The service as an operator starts it, with its agents available."""
    url = await postgres.database(name)
    program = start_service(name, url, folder, profile, CORDBOARD_WEBHOOK_NETWORKS=LOOPBACK)
    await program.answers("/readyz")
    return System(name, program, postgres, await staffed(program, ADMIN_KEY, name))


async def staffed(program: Program, key: str, name: str) -> Traffic:
    """A tenant of the service, with its agents available at their desktops."""
    traffic = Traffic(program.port, key, name)
    hello = await hire(program, AGENTS, key=key)
    available = b'{"type":"presence","status":"available","ref":"there"}'
    for number in range(AGENTS):
        desk = Desk(traffic, number)
        await desk.open(program.port, "/v1/stream", hello(number), available)
        traffic.desks.append(desk)
    await traffic.connect()
    return traffic


async def baseline(postgres: Postgres, folder: Path, name: str) -> System:
    """One of the programs in `baselines`."""
    url = await postgres.database(name)
    program = start(name, ["-m", f"bench.baselines.{name}"], folder, CORDBOARD_DATABASE_URL=url)
    await program.answers("/readyz")
    traffic = Traffic(program.port, "", name)
    for number in range(AGENTS):
        desk = Desk(traffic, number)
        hello = {"type": "hello", "agent_id": f"agent{number}", "skills": skills_of(number)}
        await desk.open(program.port, "/v1/stream", json.dumps(hello).encode())
        traffic.desks.append(desk)
    await traffic.connect()
    return System(name, program, postgres, traffic)
