"""A telephone system's gateway: events of calls come in as lines of JSON, commands go out as lines of JSON.

python examples/telephone.py     # with CORDBOARD_URL, CORDBOARD_ACCOUNT, CORDBOARD_VOICE_SECRET; needs standardwebhooks
"""

import json
import os
import sys
import threading
import time
import uuid
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks.webhooks import Webhook

ADDRESS = f"{os.environ['CORDBOARD_URL']}/channels/voice/{os.environ['CORDBOARD_ACCOUNT']}"
KEY = Webhook(os.environ["CORDBOARD_VOICE_SECRET"])


def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Post until it is taken, signed anew each time. What has the same id counts once."""
    number, content = str(uuid.uuid4()), json.dumps(body)
    while True:
        now = datetime.now(UTC)
        signed = {"webhook-timestamp": str(int(now.timestamp())), "webhook-signature": KEY.sign(number, now, content)}
        try:
            answer = httpx.post(ADDRESS + path, content=content, headers={"webhook-id": number, **signed}, timeout=30)
        except httpx.TransportError:
            time.sleep(1)
            continue
        if answer.status_code not in {429, 503}:
            return dict(answer.raise_for_status().json())
        time.sleep(int(answer.headers.get("retry-after", "1")))


def obey() -> None:
    """Ask for commands for ever; what is done is told with the next question."""
    commands: list[dict[str, Any]] = []
    while True:
        commands = post("/commands", {"done": [each["id"] for each in commands], "wait_s": 20})["commands"]
        for each in commands:
            print(json.dumps(each), flush=True)


post("", {"type": "standing", "calls": []})  # a real system says here which calls it has
threading.Thread(target=obey, daemon=True).start()
for line in sys.stdin:
    post("", json.loads(line))
