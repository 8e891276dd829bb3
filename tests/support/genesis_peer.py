"""A program over genesis, run in its own environment: parks, dials, bridges and ends one call, and says so.

Arguments: the port of a FreeSWITCH on this machine, and its password.
"""

import asyncio
import sys
from typing import Any

from genesis import Inbound  # type: ignore[import-not-found]  # it is not in our environment


async def main() -> None:
    events: asyncio.Queue[Any] = asyncio.Queue()
    async with Inbound("127.0.0.1", int(sys.argv[1]), sys.argv[2]) as client:
        for name in ("CHANNEL_PARK", "CHANNEL_BRIDGE", "CHANNEL_HANGUP_COMPLETE"):
            client.on(name, events.put)
        await client.send("event plain CHANNEL_PARK CHANNEL_BRIDGE CHANNEL_HANGUP_COMPLETE")
        say("subscribed")
        parked = await events.get()
        call = parked["Unique-ID"]
        say(f"parked {call} {parked['Caller-Caller-ID-Number']} {parked['Caller-Caller-ID-Name']}")
        await client.send("bgapi originate {origination_uuid=leg-1,originate_timeout=5}user/1001 &park()")
        say(f"answered {(await events.get())['Unique-ID']}")
        bridged = await client.send(f"api uuid_bridge {call} leg-1")
        assert bridged.body is None or bridged.body.startswith("+OK"), bridged
        say(f"bridged {(await events.get())['Bridge-B-Unique-ID']}")
        await client.send("api uuid_kill leg-1")
        say(f"ended {(await events.get())['variable_hangup_cause_q850']}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


asyncio.run(main())
