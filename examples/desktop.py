"""An agent's desktop that takes whatever is offered, says hello, and ends when the customer says bye.

    python examples/desktop.py anna       # with CORDBOARD_URL and CORDBOARD_KEY (scope agents:write),
                                          # or an agent's CORDBOARD_TOKEN

What stands on the desk follows from the events alone; after a long break the service says it whole.
"""

import asyncio
import os
import sys

from src.client import Client, Declined, Desktop, Event, Welcome


async def take(desktop: Desktop, assignment_id: str, contact_id: str) -> None:
    """Accept an offer, and greet the customer. Both may be said twice: a greeting goes by an id of its own."""
    try:
        await desktop.accept(assignment_id)
        await desktop.write(contact_id, "Hello, how can I help you?", external_id=f"hello-{assignment_id}")
    except Declined as refusal:  # the offer has ended meanwhile, or the customer has gone
        print(f"not taken: {refusal.code}", flush=True)


async def serve(desktop: Desktop) -> None:
    """Do what the events ask for."""
    desk: dict[str, str] = {}  # contact -> assignment
    async for each in desktop:
        if isinstance(each, Welcome) and each.snapshot is not None:
            desk = {held.contact_id: held.id for held in each.snapshot.assignments if held.state == "active"}
            for held in each.snapshot.assignments:
                if held.state == "offered":
                    await take(desktop, held.id, held.contact_id)
        elif isinstance(each, Event) and each.contact_id is not None:
            if each.type == "contact.offered":
                said = (each.data["contact"] or {}).get("text")
                print(f"offered: {said}", flush=True)
                await take(desktop, each.data["assignment_id"], each.contact_id)
            elif each.type == "contact.active":
                desk[each.contact_id] = each.data["assignment_id"]
            elif each.type == "message.received" and each.contact_id in desk:
                said = (each.data["message"] or {}).get("text") or ""
                print(f"customer: {said}", flush=True)
                if said.strip().lower() == "bye":
                    await desktop.complete(desk[each.contact_id], resolved=True)
            elif each.type == "assignment.completed":
                desk.pop(each.contact_id, None)
                print("served", flush=True)


async def main(agent_id: str) -> None:
    """Be there until the program is interrupted."""
    url, token = os.environ["CORDBOARD_URL"], os.environ.get("CORDBOARD_TOKEN")
    async with Client(url, os.environ.get("CORDBOARD_KEY", "")) as client:
        desktop = client.desktop(agent_id) if token is None else Desktop(url, token)
        async with desktop:
            serving = asyncio.create_task(serve(desktop))
            await desktop.presence("available")
            print("there", flush=True)
            await serving


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
