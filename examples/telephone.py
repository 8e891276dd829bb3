"""A telephone system's gateway: what happens to calls comes in as lines, what is to be done goes out as lines.

python examples/telephone.py          # with CORDBOARD_URL, CORDBOARD_ACCOUNT and CORDBOARD_VOICE_SECRET
offered call-1 13800138000
{"id": "…", "type": "hold", "call_id": "call-1"}
"""

import base64
import hashlib
import hmac
import json
import os
import sys
import threading
import time
import uuid

import httpx

ADDRESS = f"{os.environ['CORDBOARD_URL']}/channels/voice/{os.environ['CORDBOARD_ACCOUNT']}"
KEY = base64.b64decode(os.environ["CORDBOARD_VOICE_SECRET"].removeprefix("whsec_"))
MORE = {"offered": "number", "dtmf": "digits", "ended": "cause", "abandoned": "cause"}


def post(path: str, body: dict[str, object]) -> dict[str, list[dict[str, str]]]:
    """Post until there is an answer, signed by Standard Webhooks. What has the same id counts once."""
    number, content = str(uuid.uuid4()), json.dumps(body).encode()
    while True:
        at = str(int(time.time()))
        digest = hmac.new(KEY, f"{number}.{at}.".encode() + content, hashlib.sha256).digest()
        signed = {"webhook-timestamp": at, "webhook-signature": f"v1,{base64.b64encode(digest).decode()}"}
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
    done: list[str] = []
    while True:
        for each in post("/commands", {"done": done, "wait_s": 20})["commands"]:
            print(json.dumps(each), flush=True)
            done.append(each["id"])
        done = done[-100:]


post("", {"type": "standing", "calls": []})  # a real system says here which calls it has
threading.Thread(target=obey, daemon=True).start()
for line in sys.stdin:
    kind, call_id, *more = line.split()
    said = int(more[0]) if MORE.get(kind) == "cause" and more else "".join(more) or None
    post("", {"type": kind, "call_id": call_id, MORE.get(kind, "leg_id"): said})
