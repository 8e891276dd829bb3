"""P7: do two processes with a tenant each lose anything against one process with one tenant?

All share two cores with their clients and PostgreSQL, so contacts a second say nothing: the processor time of a contact
does, in the processes and PostgreSQL together.
"""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from statistics import median
from typing import Final

from bench.machine import ADMIN_KEY, SECRET, Postgres, Program, start_service
from bench.report import Goal
from bench.systems import staffed
from bench.traffic import Traffic

GROWTH_MAX: Final = 1.1
ROUNDS: Final = 3
SETTLED_S: Final = 8.0
"""Longer than it takes a process that comes to be given its share of the tenants."""


async def two_tenants(postgres: Postgres, folder: Path, seconds: float) -> Goal:
    """Alone, then both at once; the tenants' contacts go to the processes that serve them."""
    url = await postgres.database("pair")
    programs = [start_service("pair-1", url, folder)]
    await programs[0].answers("/readyz")
    keys = [ADMIN_KEY, _second_key(url, folder)]
    alone = await staffed(programs[0], keys[0], "alone")
    await alone.flat_out(2)
    one = [await _cost_us(postgres, programs, [alone], seconds) for _ in range(ROUNDS)]
    alone.close()
    programs.append(start_service("pair-2", url, folder))
    await programs[1].answers("/readyz")
    await asyncio.sleep(SETTLED_S)
    ways = []
    # Which process serves which tenant shows by the cost: where it is the other, each contact is forwarded.
    for name, order in (("straight", programs), ("crossed", programs[::-1])):
        both = [
            await staffed(each, key, f"{name}-{place}")
            for place, (each, key) in enumerate(zip(order, keys, strict=True))
        ]
        await asyncio.gather(*(each.flat_out(2) for each in both))
        ways.append([await _cost_us(postgres, programs, both, seconds) for _ in range(ROUNDS)])
        for each in both:
            each.close()
    for program in programs:
        program.stop()
    own, forwarded = sorted(median(each) for each in ways)
    growth = own / median(one)
    measured = f"{own:,.0f} against {median(one):,.0f} µs a contact (all forwarded: {forwarded:,.0f})"
    what = "two tenants on two processes against one on one"
    return Goal("P7", what, measured, f"≤ {GROWTH_MAX:g} times", growth, growth <= GROWTH_MAX)


def _second_key(url: str, folder: Path) -> str:
    """Make a tenant as an operator does; returns its admin key."""
    cordboard = str(Path(sys.executable).with_name("cordboard"))
    settings = {"CORDBOARD_DATABASE_URL": url, "CORDBOARD_SECRET_KEY": SECRET, "CORDBOARD_DATA_DIR": str(folder)}
    told = subprocess.run(  # noqa: S603  # the project's own command
        [cordboard, "tenants", "create", "second"],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.split()[-1]


async def _cost_us(postgres: Postgres, programs: list[Program], loads: list[Traffic], seconds: float) -> float:
    before = postgres.cpu_s() + sum(each.cpu_s() for each in programs)
    done = sum(each.done for each in loads)
    await asyncio.gather(*(each.flat_out(seconds) for each in loads))
    used_s = postgres.cpu_s() + sum(each.cpu_s() for each in programs) - before
    return used_s / (sum(each.done for each in loads) - done) * 1e6
