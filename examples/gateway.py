"""A gateway: what customers write comes in as lines, what agents answer goes out as lines.

    python examples/gateway.py            # with CORDBOARD_URL and CORDBOARD_KEY
                                          # (scopes contacts:write, contacts:read, events:read)
    zhang@example.com My parcel is lost

It may be stopped and started at any time: what waits to be sent is asked for whenever the stream begins anew.
"""

import asyncio
import os
import sys
import uuid

from src.client import Client, Declined, Event, Welcome

CHANNEL = "lines"


async def take_in(client: Client, contacts: dict[str, str], who: str, text: str) -> None:
    """Add the words to the customer's open contact; where there is none, they begin one."""
    number = str(uuid.uuid4())  # a real channel has an id of its own for each message
    if who in contacts:
        try:
            await client.post_message(contacts[who], {"external_id": number, "from": "customer", "text": text})
        except Declined as refusal:
            if refusal.code != "invalid_state":  # else: the contact has ended meanwhile
                raise
        else:
            return
    contact = await client.post_contact(
        {"channel": CHANNEL, "external_id": number, "identity": {"type": "email", "value": who}, "text": text}
    )
    contacts[who] = contact.id


async def read_lines(client: Client, contacts: dict[str, str]) -> None:
    """Take in every line of standard input."""
    while line := await asyncio.to_thread(sys.stdin.readline):
        who, _, text = line.strip().partition(" ")
        if text:
            await take_in(client, contacts, who, text)


async def send_all(client: Client) -> None:
    """Send what waits, and say of each that it was sent: then it waits no longer."""
    async for each in client.waiting_messages(CHANNEL):
        if each.contact.identity is None:  # the customer has been forgotten, and the message soon is, too
            continue
        print(f"{each.contact.identity.value} {each.message.text}", flush=True)
        await client.post_receipt(each.message.id, {"state": "sent"})


async def main() -> None:
    """Carry words both ways until the lines end."""
    async with Client(os.environ["CORDBOARD_URL"], os.environ["CORDBOARD_KEY"]) as client:
        contacts = {
            each.identity.value: each.id
            async for each in client.list_contacts(channel=CHANNEL)
            if each.identity is not None and each.state != "closed"
        }
        async with client.stream() as stream:
            reading = asyncio.create_task(read_lines(client, contacts))
            reading.add_done_callback(lambda _: asyncio.ensure_future(stream.close()))
            async for each in stream:
                if isinstance(each, Welcome) or (isinstance(each, Event) and each.type == "message.queued"):
                    await send_all(client)
            await reading


if __name__ == "__main__":
    asyncio.run(main())
