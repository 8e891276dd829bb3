"""The same gateway over plain HTTP: no stream, and nothing but httpx."""

import os
import sys
import threading
import time
import uuid

import httpx

CHANNEL = "lines"
HTTP = httpx.Client(
    base_url=os.environ["CORDBOARD_URL"], headers={"Authorization": f"Bearer {os.environ['CORDBOARD_KEY']}"}
)


def post(path: str, body: dict[str, object]) -> httpx.Response:
    """Post until there is an answer. All that is posted here may be posted twice."""
    while True:
        try:
            answer = HTTP.post(path, json=body)
        except httpx.TransportError:
            time.sleep(1)
            continue
        if answer.status_code not in {429, 503}:
            return answer
        time.sleep(int(answer.headers.get("retry-after", "1")))


def send_all() -> None:
    """Once a second, send what waits: what has a receipt waits no longer."""
    while True:
        for each in HTTP.get("/v1/messages", params={"channel": CHANNEL}).raise_for_status().json()["items"]:
            print(each["contact"]["identity"]["value"], each["message"]["text"], flush=True)
            post(f"/v1/messages/{each['message']['id']}/receipt", {"state": "sent"})
        time.sleep(1)


threading.Thread(target=send_all, daemon=True).start()
for line in sys.stdin:
    who, _, text = line.strip().partition(" ")
    identity = {"type": "email", "value": who}
    post(
        "/v1/contacts", {"channel": CHANNEL, "external_id": str(uuid.uuid4()), "identity": identity, "text": text}
    ).raise_for_status()
