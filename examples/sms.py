"""Alarms as text messages: a receiver of webhooks that tells whoever is responsible over an SMS gateway.

python examples/sms.py    # with WEBHOOK_SECRET (whsec_…), PORT, SMS_URL and PHONES ({"boss": "+8613800138001"});
                          # needs the package standardwebhooks
"""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook(os.environ["WEBHOOK_SECRET"])
PHONES = json.loads(os.environ["PHONES"])


class Alarms(BaseHTTPRequestHandler):
    """One request for each alarm."""

    def do_POST(self) -> None:
        """Send it on. What fails here is answered by nobody, and posted again later: under the same id."""
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            WEBHOOK.verify(body, {name.lower(): value for name, value in self.headers.items()})
        except WebhookVerificationError:
            self.send_response(401)
        else:
            event = json.loads(body)
            alarm = event["data"]
            for agent in alarm["responsible"]:
                text = f"{alarm['level']}: {alarm['name']} in {alarm['queue']}, contact {event['contact_id']}"
                sms = json.dumps({"to": PHONES[agent], "text": text}).encode()
                once = {"content-type": "application/json", "idempotency-key": f"{event['id']} {agent}"}
                urlopen(Request(os.environ["SMS_URL"], sms, once), timeout=10).close()  # noqa: S310
            self.send_response(204)
        self.end_headers()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Alarms).serve_forever()
