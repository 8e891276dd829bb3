"""A program over asyncari, run in its own environment: holds a call, rings a telephone, joins both and hangs up.

Arguments: the address of an Asterisk, its application, a user and a password. What happens is said line by line.
"""

import logging
import sys
from typing import Any

import anyio
import asyncari  # type: ignore[import-not-found]  # it is not in our environment


async def main() -> None:
    address, app, username, password = sys.argv[1:]
    async with (
        asyncari.connect(address, app, username, password) as ari,
        ari.on_channel_event("StasisStart") as started,
        ari.on_channel_event("ChannelDestroyed") as destroyed,
    ):
        say("connected")
        _, event = await anext(started)
        caller = event.channel
        say(f"caller {caller.id} {caller.caller['number']} {' '.join(event.args)}")
        await caller.answer()
        holding = await ari.bridges.createWithId(bridgeId="held", type="holding")
        await holding.startMoh()
        await holding.addChannel(channel=caller.id)
        await caller.wait_bridged(holding)
        say(f"held in {holding.bridge_type}")
        asked: dict[str, Any] = {"endpoint": "PJSIP/1001", "app": app, "appArgs": "agent,x", "timeout": "5"}
        leg = await ari.channels.originate(channelId="leg-1", originator=caller.id, callerId="4001", **asked)
        _, event = await anext(started)
        assert event.channel is leg
        say(f"answered {leg.id} {leg.state} {' '.join(event.args)}")
        talk = await ari.bridges.createWithId(bridgeId="talk", type="mixing")
        await talk.addChannel(channel=f"{caller.id},{leg.id}")
        await caller.wait_bridged(talk)
        await leg.wait_bridged(talk)
        say(f"joined {len(talk.channels)}, held {len(holding.channels)}")
        await leg.hangup(reason_code="16")
        _, event = await anext(destroyed)
        say(f"ended {event.cause}")
        try:
            await leg.answer()
        except Exception as error:  # noqa: BLE001  # whatever asyncari makes of a 404
            say(f"gone {type(error).__name__}")


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


logging.basicConfig(level=logging.WARNING)  # what it does not understand, it says there
anyio.run(main)
